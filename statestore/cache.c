/* cache.c — a hash table for finding, a list for forgetting.
 *
 * The table is open-addressed with linear probing; each slot carries the hash, so that a probe that
 * fails touches no entity. Removing shifts the followers back instead of leaving a mark: lookups
 * stay as short as after a fresh build, whatever came and went.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "statestore/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

#define SLOTS_FIRST 1024 /* a power of two */

/* Dirty entities that one call of _evict passes over before it gives up until the next call. They
 * were used a moment ago and sit at the warm end; only a budget smaller than a transaction meets
 * more, and walking over all of them between any two records would cost more than the memory is
 * worth. */
#define EVICT_DIRTY_MAX 64

typedef struct cache_slot {
    uint64_t hash;
    alv_entity *entity; /* NULL = free */
} cache_slot;

struct alv_cache {
    cache_slot *slots;
    size_t slot_mask; /* slots - 1 */
    size_t count;
    size_t bytes;
    size_t budget_bytes;
    alv_entity *warmest; /* used last */
    alv_entity *coldest;
    int64_t now_ms; /* as last told */
    alv_cache_stats stats;
};

static uint64_t key_hash(alv_view key)
{
    return XXH3_64bits(key.data, key.size);
}

static bool entity_has_key(const alv_entity *entity, alv_view key)
{
    return entity->key_size == key.size && memcmp(entity->key, key.data, key.size) == 0;
}

/* What an entity takes without its state: itself, its key and its share of a table half full. */
static size_t entity_bytes(const alv_entity *entity)
{
    return sizeof *entity + entity->key_size + 1u + 2 * sizeof(cache_slot) + entity->cost_bytes +
           entity->ledger_bytes;
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

static void list_add_warmest(alv_cache *cache, alv_entity *entity)
{
    entity->warmer = NULL;
    entity->colder = cache->warmest;
    if (cache->warmest != NULL) {
        cache->warmest->warmer = entity;
    } else {
        cache->coldest = entity;
    }
    cache->warmest = entity;
}

static void list_remove(alv_cache *cache, alv_entity *entity)
{
    if (entity->warmer != NULL) {
        entity->warmer->colder = entity->colder;
    } else {
        cache->warmest = entity->colder;
    }
    if (entity->colder != NULL) {
        entity->colder->warmer = entity->warmer;
    } else {
        cache->coldest = entity->warmer;
    }
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
    return cache;
}

void alv_cache_free(alv_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    while (cache->warmest != NULL) {
        alv_entity *entity = cache->warmest;
        cache->warmest = entity->colder;
        entity_free(entity);
    }
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
    cache->bytes += entity_bytes(entity);
    list_add_warmest(cache, entity);
    return entity;
}

void alv_cache_touch(alv_cache *cache, alv_entity *entity, int64_t now_ms)
{
    cache->now_ms = now_ms;
    entity->used_at_ms = now_ms;
    if (entity == cache->warmest) {
        return;
    }
    list_remove(cache, entity);
    list_add_warmest(cache, entity);
}

void alv_cache_set_cost(alv_cache *cache, alv_entity *entity, size_t cost_bytes)
{
    ALV_ASSERT(cache->bytes >= entity->cost_bytes);
    cache->bytes += cost_bytes - entity->cost_bytes; /* wraps and unwraps when it shrinks */
    entity->cost_bytes = cost_bytes;
}

void alv_cache_set_ledger_cost(alv_cache *cache, alv_entity *entity, size_t cost_bytes)
{
    ALV_ASSERT(cache->bytes >= entity->ledger_bytes);
    cache->bytes += cost_bytes - entity->ledger_bytes;
    entity->ledger_bytes = cost_bytes;
}

void alv_cache_remove(alv_cache *cache, alv_entity *entity)
{
    alv_view key = {entity->key, entity->key_size};
    size_t at = table_slot(cache, entity->hash, key);
    ALV_ASSERT(cache->slots[at].entity == entity);
    ALV_ASSERT(cache->count > 0 && cache->bytes >= entity_bytes(entity));
    table_remove(cache, at);
    cache->count--;
    cache->bytes -= entity_bytes(entity);
    list_remove(cache, entity);
    entity_free(entity);
}

void alv_cache_drop_shard(alv_cache *cache, int32_t shard)
{
    for (alv_entity *entity = cache->coldest; entity != NULL;) {
        alv_entity *next = entity->warmer;
        if (entity->shard == shard) {
            alv_cache_remove(cache, entity);
        }
        entity = next;
    }
}

size_t alv_cache_passivate(alv_cache *cache, int64_t now_ms, int64_t idle_ms, size_t max_count)
{
    size_t dropped = 0;
    cache->now_ms = now_ms;
    for (alv_entity *entity = cache->coldest; entity != NULL && dropped < max_count;) {
        alv_entity *next = entity->warmer;
        if (now_ms - entity->used_at_ms < idle_ms) {
            break; /* all that follow were used later */
        }
        if (!entity->dirty) {
            alv_cache_remove(cache, entity);
            dropped++;
        }
        entity = next;
    }
    cache->stats.passivations += dropped;
    return dropped;
}

/* The policy: who leaves next? Starts at `from` (NULL: the coldest) and never names a dirty entity
 * or the one used last. NULL: nobody may leave now. */
static alv_entity *evict_victim(const alv_cache *cache, alv_entity *from)
{
    alv_entity *victim = from != NULL ? from : cache->coldest;
    for (int passed = 0; victim != NULL && victim->dirty; victim = victim->warmer) {
        if (++passed > EVICT_DIRTY_MAX) {
            return NULL;
        }
    }
    return victim == cache->warmest ? NULL : victim;
}

void alv_cache_evict(alv_cache *cache)
{
    alv_entity *from = NULL;
    while (cache->bytes > cache->budget_bytes) {
        alv_entity *victim = evict_victim(cache, from);
        if (victim == NULL) {
            return;
        }
        from = victim->warmer; /* dirty ones before it were looked at */
        alv_cache_remove(cache, victim);
        cache->stats.evictions++;
    }
}

alv_cache_stats alv_cache_stats_get(const alv_cache *cache)
{
    alv_cache_stats stats = cache->stats;
    stats.entities = cache->count;
    stats.bytes = cache->bytes;
    return stats;
}
