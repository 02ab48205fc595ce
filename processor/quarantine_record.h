/* quarantine_record.h — the record that says of an entity that it fails, and whether it is quarantined.
 *
 * Why:    it lies in the ledger and in the store beside the entity's own, under ALV_QUARANTINE_KEY and the
 *         entity's key, which no entity can have; absent when the entity has not failed since it was last
 *         executed. Lanes write it, whoever reads the store shows it:
 *             {"quarantined":true,"failures":3,"reason":"failed","detail":"...","since":MS,"offset":N,"waiting":5}
 * Thread: any; pure.
 * Owns:   nothing.
 */
#ifndef ALV_PROCESSOR_QUARANTINE_RECORD_H
#define ALV_PROCESSOR_QUARANTINE_RECORD_H

#include "processor/command.h"

#define ALV_QUARANTINE_DETAIL_BYTES 256 /* with the NUL; more is cut between characters */

typedef struct alv_quarantine_entry {
    int64_t failures;  /* in a row */
    alv_reason reason; /* of the last one */
    int64_t since_ms;  /* when it was quarantined; 0 = it is not, its failures are only counted */
    int64_t
        offset; /* of the first command of these failures: a release may put back from there on */
    int64_t waiting; /* commands that came since and are in the dead letters */
    char detail[ALV_QUARANTINE_DETAIL_BYTES];
} alv_quarantine_entry;

/* Appends the key of an entity's record. */
void alv_quarantine_key(alv_view entity_key, alv_bytes *out);

/* The entity's key in that of its record. */
alv_view alv_quarantine_entity(alv_view record_key);

void alv_quarantine_encode(const alv_quarantine_entry *entry, alv_bytes *out);

/* False: it is no such record. */
bool alv_quarantine_decode(alv_view record, alv_quarantine_entry *out);

/* Whether a record says that its entity is quarantined, by its first bytes. */
bool alv_quarantine_is_held(alv_view record);

#endif
