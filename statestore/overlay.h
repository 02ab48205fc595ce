/* overlay.h — what the open transaction changed of one shard, until it is committed and stored.
 *
 * Why:    several changes of one entity within a transaction are published and stored once, as the last
 *         state (and the last ledger). Nothing of it is in the store before the commit (I1, I4), and dropping it is all that
 *         an abort takes.
 * Thread: the lane that owns the shard.
 * Owns:   the encoded states. Entities belong to the lane's cache, which keeps them while `dirty`.
 */
#ifndef ALV_STATESTORE_OVERLAY_H
#define ALV_STATESTORE_OVERLAY_H

#include "statestore/cache.h"
#include "statestore/store.h"

/* A changed entity, and where its encoded state is in `encoded`. */
typedef struct alv_overlay_item {
    alv_entity *entity;
    size_t state_at; /* ALV_OVERLAY_STALE: it is to be encoded by _encode */
    size_t state_size;
} alv_overlay_item;

#define ALV_OVERLAY_STALE SIZE_MAX

typedef struct alv_overlay {
    alv_overlay_item *items; /* in the order of their first change */
    size_t count;
    size_t capacity;
    size_t ledger_count; /* how many of them have a changed ledger */
    alv_bytes stale;     /* keys of index entries to delete, each with its size before it */
    size_t stale_count;
    alv_bytes encoded;       /* states, ledgers and keys of the index */
    alv_store_write *writes; /* made by encode, entity by entity */
    size_t *places;          /* of each write's bytes in `encoded`, which moves while it grows */
    size_t write_count;
    size_t write_capacity;
    int64_t due_ms; /* made by encode: the earliest timer among changed ledgers, ALV_DUE_NEVER */
} alv_overlay;

void alv_overlay_init(alv_overlay *overlay);

/* Notes that the open transaction has changed the state of the entity: `dirty` from now on. To be called after
 * the change. A state that has just been read is encoded at once, while it is in the processor's caches: at the
 * commit, thousands of entities later, walking it costs twice as much. One that was in the cache is likely to be
 * changed again before that; encode does it then. */
void alv_overlay_note(alv_overlay *overlay, alv_entity *entity);

/* The same for its ledger, which has been read. */
void alv_overlay_note_ledger(alv_overlay *overlay, alv_entity *entity);

/* Frees the decoded state of an entity whose encoded state is here; it `is_away` then, and leaves the cache with
 * finish. False: there is none that could be used instead. */
bool alv_overlay_put_away(alv_overlay *overlay, alv_entity *entity);

/* The encoded state of an entity that is away; to be decoded into `state`, with `is_away` false. Valid until the next note. */
alv_view alv_overlay_away(const alv_overlay *overlay, const alv_entity *entity);

/* Notes an entry of the index of timers that no ledger bears out: it is deleted with the next apply. */
void alv_overlay_note_stale(alv_overlay *overlay, int64_t due_ms, alv_view entity_key);

/* Encodes what is not encoded yet of the changed entities. `writes` is then ready for publisher (states and ledgers)
 * and store (these and the index of timers), valid until the next note, finish or drop. ALV_REJECT: a state is larger than ALV_STATE_BYTES_MAX. */
alv_status alv_overlay_encode(alv_overlay *overlay, alv_error *err);

/* After encode: adds a write that belongs to no entity. What it points to is borrowed until finish or
 * drop. */
void alv_overlay_add_write(alv_overlay *overlay, const alv_store_write *write);

/* The transaction was committed and stored: the entities are clean; those that were deleted leave the
 * cache. */
void alv_overlay_finish(alv_overlay *overlay, alv_cache *cache);

/* The transaction was aborted: the entities leave the cache and will be decoded again from what was
 * committed. */
void alv_overlay_drop(alv_overlay *overlay, alv_cache *cache);

/* Frees the memory; must be empty (finish or drop come first). */
void alv_overlay_done(alv_overlay *overlay);

#endif
