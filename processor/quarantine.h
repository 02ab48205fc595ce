/* quarantine.h — the entities of a shard that fail for technical reasons, and which of them are set aside.
 *
 * Why:    an entity that cannot be worked with (its state cannot be decoded, its behavior calls alv_fatal) must
 *         neither stop its shard (I8) nor go on failing with every command. It alone is quarantined: its
 *         commands wait in the dead letters, in order, until an operator releases it. That it is stands in the
 *         ledger (quarantine_record.h) and is written in the transaction of the command that led to it (I1); so it
 *         moves with the shard.
 * Cost:   a lane keeps the few rows of its shard in memory. A cached entity knows whether it has one
 *         (alv_entity.is_suspect), any other is looked up once, when it is read from the store: healthy
 *         entities pay nothing.
 * Thread: the lane that owns the shard.
 * Owns:   its rows.
 * Limits: ALV_QUARANTINE_ROWS_MAX per shard. Beyond, rows that only count failures make room; when all are
 *         quarantined no further entity is, and its commands become dead letters one by one.
 */
#ifndef ALV_PROCESSOR_QUARANTINE_H
#define ALV_PROCESSOR_QUARANTINE_H

#include "processor/quarantine_record.h"
#include "statestore/overlay.h"
#include "statestore/store.h"

typedef struct alv_quarantine {
    struct quarantine_row **rows; /* by key */
    size_t count;
    size_t capacity;
    size_t held;   /* quarantined, as of the last commit */
    bool is_dirty; /* the open transaction changed something */
} alv_quarantine;

void alv_quarantine_done(alv_quarantine *quarantine);

/* The shard becomes active: takes what its store has in place of everything. Fails as the store does. */
alv_status alv_quarantine_load(alv_quarantine *quarantine, alv_store *store, int32_t shard,
                               alv_error *err);

/* What is known of an entity as of the open transaction, NULL when nothing. Borrowed until the next change. */
const alv_quarantine_entry *alv_quarantine_find(const alv_quarantine *quarantine, alv_view key);

/* Whether there is an entry, or was one when the open transaction began, which may be undone. */
bool alv_quarantine_is_suspect(const alv_quarantine *quarantine, alv_view key);

/* The entry of an entity, to be changed in the open transaction; all zero when there was none. NULL when there
 * is no room. Borrowed until the next change. */
alv_quarantine_entry *alv_quarantine_change(alv_quarantine *quarantine, alv_view key);

/* Removes an entry, in the open transaction. */
void alv_quarantine_remove(alv_quarantine *quarantine, alv_view key);

/* Adds what changed to the writes of an encoded overlay; borrowed until commit or rewind. */
void alv_quarantine_write(alv_quarantine *quarantine, alv_overlay *overlay);

/* The open transaction was committed; or undone. */
void alv_quarantine_commit(alv_quarantine *quarantine);
void alv_quarantine_rewind(alv_quarantine *quarantine);

#endif
