/* cache.h — a lane's decoded entities: what the next command of a hot entity finds without a read.
 *
 * Why:    reading and decoding a state costs ten times as much as finding it here. The cache is
 *         bounded by a budget; what leaves it is still in the store.
 * Policy: S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction",
 *         SOSP 2023). New entities enter a small queue, a tenth of the budget; who was used at least
 *         twice more when he has reached its end goes over to the main queue, where each use, up to
 *         three, earns another round; the others leave, and who comes back soon after that goes to the
 *         main queue at once. So a scan over millions of entities passes through the small queue, and
 *         those in daily use stay. Chosen by traces: it beats LRU as clearly as W-TinyLFU does on
 *         skewed loads and scans, loses little where recency is all (W-TinyLFU with its usual window of
 *         1 % loses a quarter of the hits there), gives way only in loops, needs no sketch, and a hit
 *         costs an addition instead of moving list entries. Figures: docs/performance.md; the traces:
 *         tests/unit/statestore/test_cache_policy.c.
 * Pins:   an entity whose ledger is here and whose next timer is due within ALV_CACHE_PIN_MS stays, so
 *         that the timer finds it; but not at any price: where too many are pinned, some leave.
 * Thread: one lane; there is one cache per lane and no lock.
 * Owns:   the entities and their `state` references. A pointer to an entity is valid until it is
 *         removed, dropped, passivated or evicted, which happens only in the functions named so.
 * Limits: budget_bytes, except that dirty entities and the one used last stay whatever it says: the
 *         size of a transaction is the bound then (commit.commands.max).
 */
#ifndef ALV_STATESTORE_CACHE_H
#define ALV_STATESTORE_CACHE_H

#include <jansson.h>
#include <stdint.h>

#include "base/bytes.h"
#include "statestore/ledger.h"

#define ALV_CACHE_PIN_MS 60000

/* The fields down to `indexed_due_ms` are the user's to set. */
typedef struct alv_entity {
    json_t *state;        /* decoded working state; NULL = the entity does not exist. Owned */
    const void *behavior; /* for the user of the cache; borrowed */
    uint32_t id_at;       /* for the user of the cache: where the id begins in the key */
    bool dirty;           /* changed by the open transaction: must not leave the cache */
    bool state_changed;   /* what of it was changed; for overlay.c */
    bool ledger_changed;
    size_t overlay_at; /* while it is dirty: its place in the overlay */
    bool
        is_suspect; /* for the user of the cache: its commands have failed, see processor/quarantine.h */
    bool is_away;     /* for overlay.c: `state` is there in encoded form only, and NULL here */
    bool is_outdated; /* for the user of the cache: `state` is to be migrated before it is used */
    uint32_t state_version; /* of `state`, see codec.h; 0 counts as 1 */

    /* Read when it is needed for the first time, because most commands never need it: NULL = not read
     * yet. Owned. `indexed_due_ms` is the due time under which the store's index of timers has the
     * entity, ALV_DUE_NEVER = not at all. */
    alv_ledger *ledger;
    int64_t indexed_due_ms;

    int32_t shard;
    uint16_t key_size;
    int64_t used_at_ms;  /* by _touch */
    size_t cost_bytes;   /* by _set_cost */
    size_t ledger_bytes; /* by _set_ledger_cost */

    /* Private. */
    int8_t uses;   /* after the first, up to a few; -1 = none yet */
    uint8_t queue; /* in which it is */
    uint64_t hash;
    struct alv_entity *newer; /* in its queue */
    struct alv_entity *older;

    char key[]; /* NUL-terminated */
} alv_entity;

typedef struct alv_cache alv_cache;

/* Never NULL. */
alv_cache *alv_cache_new(size_t budget_bytes);

/* Releases all entities, dirty ones too. NULL is fine. */
void alv_cache_free(alv_cache *cache);

/* The entity of a key, NULL when it is not here. Counts a hit or a miss, but no use. */
alv_entity *alv_cache_find(alv_cache *cache, alv_view key);

/* A new entity, state NULL, clean, the one used last. Asserts that the key (at most
 * ALV_KEY_BYTES_MAX bytes) is not here. */
alv_entity *alv_cache_insert(alv_cache *cache, alv_view key, int32_t shard);

/* The entity is being used, for the first time since _insert or once more. */
void alv_cache_touch(alv_cache *cache, alv_entity *entity, int64_t now_ms);

/* What the user thinks the state takes in memory; the cache adds what it takes itself. 0 at first.
 * */
void alv_cache_set_cost(alv_cache *cache, alv_entity *entity, size_t cost_bytes);

/* The same for the ledger, besides. */
void alv_cache_set_ledger_cost(alv_cache *cache, alv_entity *entity, size_t cost_bytes);

/* Whether this is the entity's first use since _insert. */
bool alv_cache_is_new(const alv_entity *entity);

/* Whether keeping the decoded state does not pay: the cache is nearly full, and this is the entity's first use
 * for as long as the cache remembers. Most such entities are not used again before their turn to leave has come,
 * and freeing them then walks memory that is in no cache of the processor any more. */
bool alv_cache_is_passing(const alv_cache *cache, const alv_entity *entity);

/* Evicts an entity that is clean; it is remembered, so that it stays when it comes back soon. */
void alv_cache_let_go(alv_cache *cache, alv_entity *entity);

/* Releases an entity, dirty or not. */
void alv_cache_remove(alv_cache *cache, alv_entity *entity);

/* Releases all entities of a shard that is not this lane's any more, dirty ones too. Walks the
 * whole cache. */
void alv_cache_drop_shard(alv_cache *cache, int32_t shard);

/* Releases clean entities that were not used for `idle_ms` and are not pinned, in small steps: looks at
 * about `looks_max` and goes on there at the next call; *out_done when all have been looked at. Returns
 * how many it released. */
size_t alv_cache_passivate(alv_cache *cache, int64_t now_ms, int64_t idle_ms, size_t looks_max,
                           bool *out_done);

/* Releases clean entities until the budget is kept or nothing more may go. Called between records; costs
 * a comparison when there is room. */
void alv_cache_evict(alv_cache *cache);

typedef struct alv_cache_stats {
    size_t entities;
    size_t bytes;
    uint64_t hits; /* this and the following: since the cache was made */
    uint64_t misses;
    uint64_t admissions; /* to the main queue */
    uint64_t evictions;
    uint64_t passivations;
} alv_cache_stats;

alv_cache_stats alv_cache_stats_get(const alv_cache *cache);

#endif
