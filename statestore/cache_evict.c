/* cache_evict.c — who leaves the cache, and when. The policy and where it comes from: cache.h. */
#include "base/assert.h"
#include "statestore/cache_internal.h"

/* The small queue's share of the budget. */
#define SMALL_DIVISOR 10

/* From here on the cache counts as nearly full: what is left is the small queue's. */
#define FULL_DIVISOR 10

/* Uses after the first that are counted, and how many of them prove that an entity is worth keeping. */
#define USES_MAX 3
#define USES_PROVEN 2

/* Dirty entities of a queue that one call of _evict passes over before it gives up until the next call.
 * Walking over all of a large transaction between any two records would cost more than the memory is
 * worth. */
#define EVICT_DIRTY_MAX 16

/* Pinned entities that one call spares. Where timers are near for most entities, some must go. */
#define EVICT_PINNED_MAX 64

/* Second chances that one call gives. All of a large cache could have been used since the last eviction:
 * looking at all of it would take a lane's time for milliseconds. */
#define EVICT_CHANCES_MAX 4096

/* ---- queues ---------------------------------------------------------------------------------------- */

static void queue_add(alv_cache *cache, alv_entity *entity, uint8_t number)
{
    cache_queue *queue = &cache->queues[number];
    entity->queue = number;
    entity->newer = NULL;
    entity->older = queue->newest;
    if (queue->newest != NULL) {
        queue->newest->newer = entity;
    } else {
        queue->oldest = entity;
    }
    queue->newest = entity;
    queue->bytes += alv_cache_entity_bytes(entity);
}

void alv_cache_unqueue(alv_cache *cache, alv_entity *entity)
{
    cache_queue *queue = &cache->queues[entity->queue];
    if (entity->newer != NULL) {
        entity->newer->older = entity->older;
    } else {
        queue->newest = entity->older;
    }
    if (entity->older != NULL) {
        entity->older->newer = entity->newer;
    } else {
        queue->oldest = entity->newer;
    }
    ALV_ASSERT(queue->bytes >= alv_cache_entity_bytes(entity));
    queue->bytes -= alv_cache_entity_bytes(entity);
}

static void queue_move(alv_cache *cache, alv_entity *entity, uint8_t number)
{
    alv_cache_unqueue(cache, entity);
    queue_add(cache, entity, number);
}

void alv_cache_admit(alv_cache *cache, alv_entity *entity)
{
    bool was_here = alv_ghosts_take(&cache->ghosts, entity->hash, cache->count);
    entity->uses = -1;
    queue_add(cache, entity, was_here ? CACHE_MAIN : CACHE_SMALL);
    cache->stats.admissions += was_here;
}

void alv_cache_touch(alv_cache *cache, alv_entity *entity, int64_t now_ms)
{
    cache->now_ms = now_ms;
    cache->last = entity;
    entity->used_at_ms = now_ms;
    if (entity->uses < USES_MAX) {
        entity->uses++;
    }
}

/* ---- evict ------------------------------------------------------------------------------------------- */

/* What one call has done so far. */
typedef struct evict_round {
    int dirty[CACHE_QUEUES]; /* passed over */
    int pinned;
    int chances;
} evict_round;

static bool evict_is_pinned(const alv_cache *cache, const alv_entity *entity)
{
    return entity->ledger != NULL && entity->indexed_due_ms <= cache->now_ms + ALV_CACHE_PIN_MS;
}

static bool evict_is_open(const alv_cache *cache, const evict_round *round, int number)
{
    return cache->queues[number].oldest != NULL && round->dirty[number] < EVICT_DIRTY_MAX;
}

/* The oldest of the queue whose turn it is; NULL: nobody may leave now. */
static alv_entity *evict_candidate(const alv_cache *cache, const evict_round *round)
{
    bool main_open = evict_is_open(cache, round, CACHE_MAIN);
    bool small_large = cache->queues[CACHE_SMALL].bytes > cache->budget_bytes / SMALL_DIVISOR;
    if (evict_is_open(cache, round, CACHE_SMALL) && (small_large || !main_open)) {
        return cache->queues[CACHE_SMALL].oldest;
    }
    return main_open ? cache->queues[CACHE_MAIN].oldest : NULL;
}

/* Whether the candidate stays, at the young end of a queue. */
static bool evict_spares(alv_cache *cache, evict_round *round, alv_entity *entity)
{
    if (entity->dirty || entity == cache->last) {
        round->dirty[entity->queue]++;
        queue_move(cache, entity, entity->queue);
        return true;
    }
    if (round->pinned < EVICT_PINNED_MAX && evict_is_pinned(cache, entity)) {
        round->pinned++;
        queue_move(cache, entity, entity->queue);
        return true;
    }
    bool is_proven = entity->queue == CACHE_SMALL ? entity->uses >= USES_PROVEN : entity->uses > 0;
    if (!is_proven || round->chances == EVICT_CHANCES_MAX) {
        return false;
    }
    round->chances++;
    if (entity->queue == CACHE_SMALL) {
        entity->uses = 0;
        cache->stats.admissions++;
    } else {
        entity->uses--;
    }
    queue_move(cache, entity, CACHE_MAIN);
    return true;
}

bool alv_cache_is_new(const alv_entity *entity)
{
    return entity->uses <= 0;
}

bool alv_cache_is_passing(const alv_cache *cache, const alv_entity *entity)
{
    return entity->queue == CACHE_SMALL && alv_cache_is_new(entity) &&
           cache->bytes > cache->budget_bytes - cache->budget_bytes / FULL_DIVISOR;
}

void alv_cache_let_go(alv_cache *cache, alv_entity *entity)
{
    ALV_ASSERT(!entity->dirty);
    if (entity->queue == CACHE_SMALL) {
        alv_ghosts_add(&cache->ghosts, entity->hash);
    }
    alv_cache_remove(cache, entity);
    cache->stats.evictions++;
}

void alv_cache_evict(alv_cache *cache)
{
    evict_round round = {{0}, 0, 0};
    while (cache->bytes > cache->budget_bytes) {
        alv_entity *entity = evict_candidate(cache, &round);
        if (entity == NULL) {
            return;
        }
        if (evict_spares(cache, &round, entity)) {
            continue;
        }
        alv_cache_let_go(cache, entity);
    }
}

/* ---- passivate, drop ------------------------------------------------------------------------------------ */

size_t alv_cache_passivate(alv_cache *cache, int64_t now_ms, int64_t idle_ms, size_t looks_max,
                           bool *out_done)
{
    size_t dropped = 0;
    cache->now_ms = now_ms;
    size_t end = cache->sweep_at + looks_max;
    while (cache->sweep_at < end && cache->sweep_at <= cache->slot_mask) {
        alv_entity *entity = cache->slots[cache->sweep_at].entity;
        if (entity == NULL || entity->dirty || now_ms - entity->used_at_ms < idle_ms ||
            evict_is_pinned(cache, entity)) {
            cache->sweep_at++;
            continue;
        }
        alv_cache_remove(cache, entity); /* another may have moved into its slot */
        dropped++;
    }
    *out_done = cache->sweep_at > cache->slot_mask;
    if (*out_done) {
        cache->sweep_at = 0;
    }
    cache->stats.passivations += dropped;
    return dropped;
}

void alv_cache_drop_shard(alv_cache *cache, int32_t shard)
{
    for (int i = 0; i < CACHE_QUEUES; i++) {
        for (alv_entity *entity = cache->queues[i].oldest; entity != NULL;) {
            alv_entity *next = entity->newer;
            if (entity->shard == shard) {
                alv_cache_remove(cache, entity);
            }
            entity = next;
        }
    }
}
