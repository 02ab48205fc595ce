/* command.h — from a record's value to a checked command.
 *
 * Why:    everything that can be wrong with a command from outside is found here, once, and has a
 *         stable code that ends up in the dead letter (I8).
 * Thread: one lane.
 * Owns:   the decoded body, until alv_decoded_done.
 * Limits: a body of ALV_COMMAND_BYTES_MAX, nested as deep as jansson allows (2,048).
 */
#ifndef ALV_PROCESSOR_COMMAND_H
#define ALV_PROCESSOR_COMMAND_H

#include "base/bytes.h"
#include "base/status.h"
#include "processor/registry.h"

/* Why a record became a dead letter. The names are a contract: people filter by them. */
typedef enum alv_reason {
    ALV_REASON_NONE,
    ALV_REASON_NO_KEY,              /* "no-key": none, or an empty one */
    ALV_REASON_KEY_TOO_LONG,        /* "key-too-long": over ALV_KEY_BYTES_MAX */
    ALV_REASON_KEY_NOT_UTF8,        /* "key-not-utf8" (a NUL byte counts) */
    ALV_REASON_BAD_KEY,             /* "bad-key": the behavior does not accept the id */
    ALV_REASON_UNKNOWN_ENTITY_TYPE, /* "unknown-entity-type" */
    ALV_REASON_WRONG_SHARD,         /* "wrong-shard": the producer used another partitioner */
    ALV_REASON_TOO_LARGE,           /* "too-large": value over ALV_COMMAND_BYTES_MAX */
    ALV_REASON_NOT_JSON,            /* "not-json": also a null value, or a member given twice */
    ALV_REASON_NOT_AN_OBJECT,       /* "not-an-object" */
    ALV_REASON_NO_TYPE,             /* "no-type": no member "type", or not a string */
    ALV_REASON_UNKNOWN_TYPE,        /* "unknown-type": the behavior has no such command */
    ALV_REASON_BAD_FIELD,           /* "bad-field": missing, of another kind or out of range */
    ALV_REASON_STATE_TOO_LARGE,     /* "state-too-large": the state after it would not fit */
    ALV_REASON_STATE_UNREADABLE,    /* "state-unreadable": the stored state is not a JSON object */
    ALV_REASON_CRASHED_NODE,        /* "crashed-node": it killed the process, again and again */
    ALV_REASON_BAD_IDEMPOTENCY_KEY, /* "bad-idempotency-key": not UTF-8 of 1 to 1,024 bytes */
    ALV_REASON_ALREADY_ANSWERED,    /* "already-answered": who emitted it was told that it failed */
    ALV_REASON_FAILED,              /* "failed": its handler called alv_fatal */
    ALV_REASON_QUARANTINED,         /* "quarantined": its entity is, see quarantine.h */
    ALV_REASON_STATE_VERSION,       /* "state-version": newer than the behavior, or not migrated */
    ALV_REASON_COUNT,               /* not a reason */
} alv_reason;

/* Static strings: the code, and what a person should do. */
const char *alv_reason_code(alv_reason reason);
const char *alv_reason_action(alv_reason reason);

/* Checks a key: 1 to ALV_KEY_BYTES_MAX bytes of UTF-8 without NUL, of a known type, in the shard
 * where the partitioner puts it, with an id that its behavior accepts. ALV_REASON_NONE when it is
 * good; *out_behavior and *out_id_at (where the id begins) are then set. `err` gets the detail. */
alv_reason alv_command_check_key(const alv_registry *registry, alv_view key, int32_t shard,
                                 int32_t shard_count, const alv_behavior **out_behavior,
                                 size_t *out_id_at, alv_error *err);

/* A decoded command; `row` and `body` belong together. */
typedef struct alv_decoded {
    json_t *body; /* owned */
    const alv_command_row *row;
} alv_decoded;

/* Decodes and checks a value for `behavior`. On ALV_REASON_NONE `out` is to be released with
 * alv_decoded_done; otherwise it is empty and `err` has the detail. */
alv_reason alv_command_decode(const alv_behavior *behavior, alv_view value, alv_decoded *out,
                              alv_error *err);

void alv_decoded_done(alv_decoded *decoded);

#endif
