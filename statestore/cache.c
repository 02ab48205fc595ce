/* cache.c — the entity cache: finding, and what entities cost. Forgetting is in cache_evict.c.
 *
 * The table is open-addressed with linear probing; each slot carries the hash, so that a probe that
 * fails touches no entity. Removing shifts the followers back instead of leaving a mark: lookups
 * stay as short as after a fresh build, whatever came and went.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "statestore/cache_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

#define SLOTS_FIRST 1024 /* a power of two */

static uint64_t key_hash(alv_view key)
{
    return XXH3_64bits(key.data, key.size);
}

static bool entity_has_key(const alv_entity *entity, alv_view key)
{
    return entity->key_size == key.size && memcmp(entity->key, key.data, key.size) == 0;
}

/* Itself, its key, its share of tables half full, its state and its ledger. */
size_t alv_cache_entity_bytes(const alv_entity *entity)
{
    return sizeof *entity + entity->key_size + 1u + 2 * (sizeof(cache_slot) + sizeof(alv_ghost)) +
           entity->cost_bytes + entity->ledger_bytes;
}

/* The slot of an entity, or the free slot where a new one with this hash belongs. */
static size_t table_slot(const alv_cache *cache, uint64_t hash, alv_view key)
{
    size_t at = hash & cache->slot_mask;
    while (cache->slots[at].entity != NULL &&
           (cache->slots[at].hash != hash || !entity_has_key(cache->slots[at].entity, key))) {
        at = (at + 1) & cache->slot_mask;
    }
    return at;
}

static void table_grow(alv_cache *cache)
{
    cache_slot *old = cache->slots;
    size_t old_count = cache->slot_mask + 1;
    cache->slots = alv_alloc_array(2 * old_count, sizeof *cache->slots);
    cache->slot_mask = 2 * old_count - 1;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].entity == NULL) {
            continue;
        }
        size_t at = old[i].hash & cache->slot_mask;
        while (cache->slots[at].entity != NULL) {
            at = (at + 1) & cache->slot_mask;
        }
        cache->slots[at] = old[i];
    }
    alv_free(old);
    alv_ghosts_grow(&cache->ghosts);
}

/* Frees a slot and moves the followers of its run that may not stand behind a gap. */
static void table_remove(alv_cache *cache, size_t at)
{
    size_t gap = at;
    for (size_t next = (at + 1) & cache->slot_mask; cache->slots[next].entity != NULL;
         next = (next + 1) & cache->slot_mask) {
        size_t home = cache->slots[next].hash & cache->slot_mask;
        size_t from_home = (next - home) & cache->slot_mask;
        size_t from_gap = (next - gap) & cache->slot_mask;
        if (from_home >= from_gap) {
            cache->slots[gap] = cache->slots[next];
            gap = next;
        }
    }
    cache->slots[gap] = (cache_slot){0};
}

static void entity_free(alv_entity *entity)
{
    json_decref(entity->state);
    alv_ledger_free(entity->ledger);
    alv_free(entity);
}

alv_cache *alv_cache_new(size_t budget_bytes)
{
    alv_cache *cache = alv_alloc(sizeof *cache);
    cache->slots = alv_alloc_array(SLOTS_FIRST, sizeof *cache->slots);
    cache->slot_mask = SLOTS_FIRST - 1;
    cache->budget_bytes = budget_bytes;
    alv_ghosts_init(&cache->ghosts, SLOTS_FIRST);
    return cache;
}

void alv_cache_free(alv_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i <= cache->slot_mask; i++) {
        if (cache->slots[i].entity != NULL) {
            entity_free(cache->slots[i].entity);
        }
    }
    alv_ghosts_done(&cache->ghosts);
    alv_free(cache->slots);
    alv_free(cache);
}

alv_entity *alv_cache_find(alv_cache *cache, alv_view key)
{
    alv_entity *entity = cache->slots[table_slot(cache, key_hash(key), key)].entity;
    if (entity != NULL) {
        cache->stats.hits++;
    } else {
        cache->stats.misses++;
    }
    return entity;
}

alv_entity *alv_cache_insert(alv_cache *cache, alv_view key, int32_t shard)
{
    ALV_ASSERT(key.size > 0 && key.size <= ALV_KEY_BYTES_MAX);
    if (cache->count + 1 > (cache->slot_mask + 1) / 4 * 3) {
        table_grow(cache);
    }
    uint64_t hash = key_hash(key);
    size_t at = table_slot(cache, hash, key);
    ALV_ASSERT(cache->slots[at].entity == NULL);

    alv_entity *entity = alv_alloc(sizeof *entity + key.size + 1);
    entity->shard = shard;
    entity->used_at_ms = cache->now_ms;
    entity->hash = hash;
    entity->key_size = (uint16_t)key.size;
    memcpy(entity->key, key.data, key.size);
    cache->slots[at] = (cache_slot){hash, entity};
    cache->count++;
    cache->bytes += alv_cache_entity_bytes(entity);
    alv_cache_admit(cache, entity);
    cache->last = entity;
    return entity;
}

/* `part`, which is some of what the entity takes, becomes `bytes`. */
static void cache_set_part(alv_cache *cache, const alv_entity *entity, size_t *part, size_t bytes)
{
    cache_queue *queue = &cache->queues[entity->queue];
    ALV_ASSERT(cache->bytes >= *part && queue->bytes >= *part);
    cache->bytes += bytes - *part; /* wraps and unwraps when it shrinks */
    queue->bytes += bytes - *part;
    *part = bytes;
}

void alv_cache_set_cost(alv_cache *cache, alv_entity *entity, size_t cost_bytes)
{
    cache_set_part(cache, entity, &entity->cost_bytes, cost_bytes);
}

void alv_cache_set_ledger_cost(alv_cache *cache, alv_entity *entity, size_t cost_bytes)
{
    cache_set_part(cache, entity, &entity->ledger_bytes, cost_bytes);
}

void alv_cache_remove(alv_cache *cache, alv_entity *entity)
{
    alv_view key = {entity->key, entity->key_size};
    size_t at = table_slot(cache, entity->hash, key);
    ALV_ASSERT(cache->slots[at].entity == entity);
    ALV_ASSERT(cache->count > 0 && cache->bytes >= alv_cache_entity_bytes(entity));
    table_remove(cache, at);
    cache->count--;
    cache->bytes -= alv_cache_entity_bytes(entity);
    alv_cache_unqueue(cache, entity);
    cache->last = cache->last == entity ? NULL : cache->last;
    entity_free(entity);
}

alv_cache_stats alv_cache_stats_get(const alv_cache *cache)
{
    alv_cache_stats stats = cache->stats;
    stats.entities = cache->count;
    stats.bytes = cache->bytes;
    return stats;
}
