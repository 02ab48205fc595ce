/* verifier.h — compares what a shard's store and PostgreSQL hold with the shard's changelog.
 *
 * Why:    I2 and I5 are promises; this is how an operator checks them. The rule, apart from whoever
 *         reads the three.
 * Thread: one.
 * Owns:   copies of keys, digests instead of values: about 150 bytes and the key, per key.
 *
 * A side is complete up to its own position P (exclusive), and may be behind the changelog without being
 * wrong. Of a key, let L be its last record before P that is still in the changelog. Compaction removes a
 * record only when the key has a later one, so L is the state as of P unless a record at P or later exists
 * (then L itself, or what came between L and P, may be gone):
 *
 *   no record of the key at all      the side must not have it
 *   none before P, one from P on     cannot be told: compaction may have taken what was before P
 *   L is a tombstone                 the side must not have it
 *   L is a state                     the side must have just that state
 *
 * PostgreSQL names the record that a row comes from (changelog_offset), which must be L. A row from a
 * record between L and P that is no longer there cannot be compared, if there is a record from P on. A row
 * without a state (PostgreSQL refused it) has only its offset compared; a key that PostgreSQL's text cannot
 * hold is not expected there.
 *
 * While the changelog is being read it may be compacted: L is read and what came between L and P is removed
 * before the reading gets there. So a difference counts only when it is there a second time, in a reading
 * that began after the first had ended: by then L would be gone as well, because segments are cleaned from
 * the oldest on.
 */
#ifndef ALV_CHANGELOG_VERIFIER_H
#define ALV_CHANGELOG_VERIFIER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

typedef enum alv_verify_side {
    ALV_VERIFY_STORE,    /* values are compared byte by byte: it holds what the changelog holds */
    ALV_VERIFY_POSTGRES, /* values are compared as JSON */
    ALV_VERIFY_SIDES,    /* not a side */
} alv_verify_side;

/* What is wrong with a key on a side. */
typedef enum alv_verify_fault {
    ALV_VERIFY_MISSING,      /* not there */
    ALV_VERIFY_SURPLUS,      /* there, although the changelog has none or a deletion */
    ALV_VERIFY_OTHER_STATE,  /* another state */
    ALV_VERIFY_OTHER_RECORD, /* from another record of the changelog, older or not there */
} alv_verify_fault;

typedef struct alv_verify_difference {
    alv_view key; /* borrowed from the verifier */
    alv_verify_side side;
    alv_verify_fault fault;
    int64_t changelog_offset; /* of L; ALV_OFFSET_NONE when there is none */
    int64_t held_offset;      /* of the row; ALV_OFFSET_NONE for the store and what is missing */
} alv_verify_difference;

/* Of one side. */
typedef struct alv_verify_tally {
    int64_t compared; /* keys that are there and as they must be */
    int64_t untold;   /* keys of which nothing can be told */
    int64_t differences;
} alv_verify_tally;

typedef struct alv_verifier alv_verifier;

alv_verifier *alv_verifier_new(void);
void alv_verifier_free(alv_verifier *verifier);

/* A side takes part and claims to be complete up to `position`. Before records are given. */
void alv_verifier_set_position(alv_verifier *verifier, alv_verify_side side, int64_t position);

/* What a side holds: once per key, before or after records are given. `offset` of the record it comes
 * from, ALV_OFFSET_NONE for the store; a value without data is a row without its state. */
void alv_verifier_hold(alv_verifier *verifier, alv_verify_side side, alv_view key, alv_view value,
                       int64_t offset);

/* A record of the changelog, in the order of offsets; a value without data is a tombstone. */
void alv_verifier_record(alv_verifier *verifier, alv_view key, alv_view value, int64_t offset);

/* Compares; nothing may be given afterwards. */
void alv_verifier_finish(alv_verifier *verifier);

/* After finish. */
const alv_verify_tally *alv_verifier_tally(const alv_verifier *verifier, alv_verify_side side);

/* Keys whose last record is a state. */
int64_t alv_verifier_entities(const alv_verifier *verifier);

/* In the order of keys; all of them. Valid until free. */
const alv_verify_difference *alv_verifier_differences(const alv_verifier *verifier,
                                                      size_t *out_count);

/* "store", "postgres". Static. */
const char *alv_verify_side_name(alv_verify_side side);

/* "missing", "surplus", "other-state", "other-record". Static. */
const char *alv_verify_fault_name(alv_verify_fault fault);

#endif
