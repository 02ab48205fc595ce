/* cache_internal.h — what cache.c (finding) and cache_evict.c (forgetting) share. */
#ifndef ALV_STATESTORE_CACHE_INTERNAL_H
#define ALV_STATESTORE_CACHE_INTERNAL_H

#include "statestore/cache.h"
#include "statestore/cache_ghosts_internal.h"

typedef struct cache_slot {
    uint64_t hash;
    alv_entity *entity; /* NULL = free */
} cache_slot;

/* Entities in the order in which they came. */
typedef struct cache_queue {
    alv_entity *newest;
    alv_entity *oldest;
    size_t bytes;
} cache_queue;

enum {
    CACHE_SMALL, /* where entities prove themselves */
    CACHE_MAIN,
    CACHE_QUEUES
};

struct alv_cache {
    cache_slot *slots;
    size_t slot_mask; /* slots - 1 */
    size_t count;
    size_t bytes;
    size_t budget_bytes;
    cache_queue queues[CACHE_QUEUES];
    alv_ghosts ghosts; /* of those that left the small queue; as many places as slots */
    alv_entity *last;  /* used last; NULL = it is gone */
    size_t sweep_at;   /* the slot at which passivation goes on */
    int64_t now_ms;    /* as last told */
    alv_cache_stats stats;
};

/* Puts a new entity, which is in no queue, where it belongs. */
void alv_cache_admit(alv_cache *cache, alv_entity *entity);

/* Takes it out of its queue. */
void alv_cache_unqueue(alv_cache *cache, alv_entity *entity);

/* What it takes, all in all. */
size_t alv_cache_entity_bytes(const alv_entity *entity);

#endif
