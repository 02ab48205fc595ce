/* Goal:   the entity cache finds what it holds, keeps to its budget, and never lets go of what the open
 *         transaction changed. Whether it keeps the right ones: test_cache_policy.c.
 * Method: known sequences for each function; then random operations against a model that knows what
 *         may leave and what must not. Leaks of entities and states show under ASan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "statestore/cache.h"

#define UNLIMITED ((size_t)1 << 40)

static alv_entity *put(alv_cache *cache, const char *key, int32_t shard)
{
    alv_entity *entity = alv_cache_insert(cache, alv_view_of(key), shard);
    entity->state = json_object();
    return entity;
}

static bool holds(alv_cache *cache, const char *key)
{
    return alv_cache_find(cache, alv_view_of(key)) != NULL;
}

static void cache__finds_what_was_inserted(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(UNLIMITED);
    assert_null(alv_cache_find(cache, ALV_VIEW("user/1")));
    alv_entity *entity = put(cache, "user/1", 7);
    assert_string_equal("user/1", entity->key);
    assert_int_equal(6, entity->key_size);
    assert_int_equal(7, entity->shard);
    assert_false(entity->dirty);
    assert_ptr_equal(entity, alv_cache_find(cache, ALV_VIEW("user/1")));
    assert_null(alv_cache_find(cache, ALV_VIEW("user/")));
    assert_null(alv_cache_find(cache, ALV_VIEW("user/11")));
    alv_cache_stats stats = alv_cache_stats_get(cache);
    assert_int_equal(1, stats.entities);
    assert_int_equal(1, stats.hits);
    assert_int_equal(3, stats.misses);
    alv_cache_remove(cache, entity);
    assert_null(alv_cache_find(cache, ALV_VIEW("user/1")));
    assert_int_equal(0, alv_cache_stats_get(cache).bytes);
    alv_cache_free(cache);
    alv_cache_free(NULL);
}

static void cache__takes_the_longest_key(void **state)
{
    (void)state;
    char key[ALV_KEY_BYTES_MAX];
    memset(key, 'k', sizeof key);
    alv_cache *cache = alv_cache_new(UNLIMITED);
    alv_entity *entity = alv_cache_insert(cache, (alv_view){key, sizeof key}, 0);
    assert_int_equal(ALV_KEY_BYTES_MAX, strlen(entity->key));
    assert_ptr_equal(entity, alv_cache_find(cache, (alv_view){key, sizeof key}));
    assert_null(alv_cache_find(cache, (alv_view){key, sizeof key - 1}));
    alv_cache_free(cache);
}

static void cache__counts_what_entities_cost(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(UNLIMITED);
    alv_entity *entity = put(cache, "a", 0);
    size_t bare = alv_cache_stats_get(cache).bytes;
    assert_true(bare > sizeof *entity);
    alv_cache_set_cost(cache, entity, 1000);
    assert_int_equal(bare + 1000, alv_cache_stats_get(cache).bytes);
    alv_cache_set_cost(cache, entity, 10);
    assert_int_equal(bare + 10, alv_cache_stats_get(cache).bytes);
    alv_cache_remove(cache, entity);
    assert_int_equal(0, alv_cache_stats_get(cache).bytes);
    alv_cache_free(cache);
}

static void evict__drops_those_used_once_first(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(10000);
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++) {
        alv_entity *entity = put(cache, keys[i], 0);
        alv_cache_touch(cache, entity, 0);
        alv_cache_set_cost(cache, entity, 3000);
        entity->dirty = i == 1;
    }
    for (int i = 0; i < 2; i++)
        alv_cache_touch(cache, alv_cache_find(cache, ALV_VIEW("a")), 5);
    alv_cache_touch(cache, alv_cache_find(cache, ALV_VIEW("e")), 5);
    alv_cache_evict(cache); /* old to young: a (used again and again) b (dirty) c d e */
    assert_true(holds(cache, "a"));
    assert_true(holds(cache, "b"));
    assert_false(holds(cache, "c"));
    assert_false(holds(cache, "d"));
    assert_true(holds(cache, "e"));
    assert_int_equal(2, alv_cache_stats_get(cache).evictions);
    assert_int_equal(1, alv_cache_stats_get(cache).admissions);
    alv_cache_evict(cache);
    assert_int_equal(2, alv_cache_stats_get(cache).evictions);
    alv_cache_free(cache);
}

/* Whoever was let go too early comes back to stay: others that are used once do not push him out. */
static void evict__makes_up_for_a_wrong_guess(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(20000);
    char key[16];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        alv_cache_set_cost(cache, put(cache, key, 0), 1000);
        alv_cache_evict(cache);
    }
    assert_false(holds(cache, "0"));
    alv_cache_set_cost(cache, put(cache, "0", 0), 1000);
    assert_int_equal(1, alv_cache_stats_get(cache).admissions);
    for (int i = 100; i < 150; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        alv_cache_set_cost(cache, put(cache, key, 0), 1000);
        alv_cache_evict(cache);
    }
    assert_true(holds(cache, "0"));
    assert_false(holds(cache, "19"));
    alv_cache_free(cache);
}

/* An entity with a ledger, its next timer due at `due_ms`. */
static void put_with_timer(alv_cache *cache, const char *key, int64_t due_ms)
{
    alv_entity *entity = put(cache, key, 0);
    entity->ledger = alv_ledger_new();
    entity->indexed_due_ms = due_ms;
    alv_cache_touch(cache, entity, 1000);
    alv_cache_set_cost(cache, entity, 1000);
}

static void evict__spares_those_with_a_timer_near(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(5000);
    put_with_timer(cache, "overdue", 10);
    put_with_timer(cache, "near", 1000 + ALV_CACHE_PIN_MS);
    put_with_timer(cache, "far", 1001 + ALV_CACHE_PIN_MS);
    put_with_timer(cache, "none", ALV_DUE_NEVER);
    char key[16];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        alv_cache_set_cost(cache, put(cache, key, 0), 1000);
        alv_cache_evict(cache);
    }
    assert_true(holds(cache, "overdue"));
    assert_true(holds(cache, "near"));
    assert_false(holds(cache, "far"));
    assert_false(holds(cache, "none"));
    bool done = false;
    assert_int_equal(0, alv_cache_passivate(cache, 1000, 0, 0, &done));
    assert_false(done);
    (void)alv_cache_passivate(cache, 1000, 0, 1000000, &done);
    assert_true(done);
    assert_int_equal(2, alv_cache_stats_get(cache).entities); /* the pinned ones */
    alv_cache_free(cache);
}

/* Everybody has a timer near: the budget is kept all the same. */
static void evict__lets_pinned_ones_go_when_there_are_too_many(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(50000);
    char key[16];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put_with_timer(cache, key, 1000);
        alv_cache_evict(cache);
        assert_true(alv_cache_stats_get(cache).bytes <= 50000);
    }
    alv_cache_free(cache);
}

static void evict__keeps_the_one_used_last(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(100);
    alv_cache_set_cost(cache, put(cache, "cold", 0), 5000);
    alv_cache_set_cost(cache, put(cache, "warm", 0), 5000);
    alv_cache_evict(cache);
    assert_false(holds(cache, "cold"));
    assert_true(holds(cache, "warm"));
    alv_cache_free(cache);
}

/* A transaction larger than the budget: nothing of it goes, all of it does once it is over. */
static void evict__waits_for_the_transaction(void **state)
{
    (void)state;
    enum {
        COUNT = 1000
    };
    alv_cache *cache = alv_cache_new(1000);
    alv_entity *entities[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        entities[i] = put(cache, key, 0);
        entities[i]->dirty = true;
        alv_cache_evict(cache);
    }
    assert_int_equal(COUNT, alv_cache_stats_get(cache).entities);
    for (int i = 0; i < COUNT; i++)
        entities[i]->dirty = false;
    alv_cache_evict(cache);
    assert_true(alv_cache_stats_get(cache).bytes <= 1000);
    alv_cache_free(cache);
}

static void passivate__drops_idle_ones_in_steps(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(UNLIMITED);
    char key[16];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        alv_cache_touch(cache, put(cache, key, 0), i);
    }
    alv_cache_find(cache, ALV_VIEW("7"))->dirty = true;
    bool done = false;
    assert_int_equal(0, alv_cache_passivate(cache, 999, 1000, 1000000, &done));
    assert_true(done);
    size_t dropped = 0;
    int steps = 0;
    for (done = false; !done; steps++)
        dropped += alv_cache_passivate(cache, 1499, 1000, 100, &done);
    assert_true(steps > 5);
    assert_int_equal(499, dropped); /* 0 to 499 without 7 */
    assert_true(holds(cache, "7"));
    assert_false(holds(cache, "499"));
    assert_true(holds(cache, "500"));
    assert_int_equal(499, alv_cache_stats_get(cache).passivations);
    assert_int_equal(0, alv_cache_stats_get(cache).evictions);
    alv_cache_free(cache);
}

static void passivate__spares_new_entities(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(UNLIMITED);
    alv_cache_touch(cache, put(cache, "a", 0), 5000);
    put(cache, "b", 0); /* not touched yet */
    bool done = false;
    assert_int_equal(0, alv_cache_passivate(cache, 5500, 1000, 1000000, &done));
    assert_true(holds(cache, "b"));
    alv_cache_free(cache);
}

static void drop_shard__takes_all_of_one_shard(void **state)
{
    (void)state;
    alv_cache *cache = alv_cache_new(UNLIMITED);
    char key[16];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put(cache, key, i % 3)->dirty = i % 2 == 0;
    }
    alv_cache_drop_shard(cache, 1);
    alv_cache_drop_shard(cache, 9);
    assert_int_equal(200, alv_cache_stats_get(cache).entities);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        assert_int_equal(i % 3 != 1, holds(cache, key));
    }
    alv_cache_free(cache);
}

/* ---- against a model --------------------------------------------------------------------------
 * */

enum {
    KEYS = 3000,
    STEPS = 100000
};

typedef struct model_entry {
    alv_entity *entity; /* NULL = not in the cache */
    int64_t used_at_ms;
    size_t cost;
    int32_t shard;
    bool dirty;
} model_entry;

typedef struct model {
    model_entry entries[KEYS];
    int last; /* the key used last */
    int64_t now_ms;
    size_t dirty_count;
} model;

static alv_view model_key(int key, char out[16])
{
    return (alv_view){out, (size_t)snprintf(out, 16, "k/%d", key)};
}

static size_t model_count(const model *expected)
{
    size_t count = 0;
    for (int i = 0; i < KEYS; i++)
        count += expected->entries[i].entity != NULL;
    return count;
}

static void model_drop(model *expected, int key)
{
    expected->dirty_count -= expected->entries[key].dirty;
    expected->entries[key] = (model_entry){0};
}

static void model_use(model *expected, alv_cache *cache, int key, unsigned *seed)
{
    char name[16];
    model_entry *entry = &expected->entries[key];
    alv_entity *entity = alv_cache_find(cache, model_key(key, name));
    assert_ptr_equal(entry->entity, entity);
    if (entity == NULL) {
        *entry = (model_entry){.shard = rand_r(seed) % 4};
        entity = alv_cache_insert(cache, model_key(key, name), entry->shard);
        entity->state = json_integer(key);
        entry->entity = entity;
    }
    assert_int_equal(key, json_integer_value(entity->state));
    assert_int_equal(entry->shard, entity->shard);
    alv_cache_touch(cache, entity, expected->now_ms);
    expected->last = key;
    entry->used_at_ms = expected->now_ms;
    if (rand_r(seed) % 4 == 0) {
        entry->cost = (size_t)rand_r(seed) % 2000;
        alv_cache_set_cost(cache, entity, entry->cost);
    }
    /* Fewer dirty ones than _evict passes over before it gives up. */
    if (!entry->dirty && expected->dirty_count < 15 && rand_r(seed) % 8 == 0) {
        entry->dirty = entity->dirty = true;
        expected->dirty_count++;
    }
}

static void model_commit(model *expected)
{
    for (int i = 0; i < KEYS; i++)
        if (expected->entries[i].dirty)
            expected->entries[i].dirty = expected->entries[i].entity->dirty = false;
    expected->dirty_count = 0;
}

/* Takes out of the model what is no longer in the cache; how many. All of them may have left. */
static size_t model_forget_gone(model *expected, alv_cache *cache, bool spare_last, int64_t idle_ms)
{
    char name[16];
    size_t gone = 0;
    for (int i = 0; i < KEYS; i++) {
        const model_entry *entry = &expected->entries[i];
        if (entry->entity == NULL || alv_cache_find(cache, model_key(i, name)) != NULL)
            continue;
        assert_false(entry->dirty);
        assert_true(expected->now_ms - entry->used_at_ms >= idle_ms);
        assert_false(spare_last && i == expected->last);
        model_drop(expected, i);
        gone++;
    }
    return gone;
}

static void model_evict(model *expected, alv_cache *cache, size_t budget)
{
    uint64_t before = alv_cache_stats_get(cache).evictions;
    alv_cache_evict(cache);
    alv_cache_stats stats = alv_cache_stats_get(cache);
    assert_true(stats.bytes <= budget);
    assert_int_equal(stats.evictions - before, model_forget_gone(expected, cache, true, 0));
}

static void model_passivate(model *expected, alv_cache *cache, unsigned *seed)
{
    bool done = false;
    size_t looks = (size_t)rand_r(seed) % 100;
    size_t dropped = alv_cache_passivate(cache, expected->now_ms, 500, looks, &done);
    assert_int_equal(dropped, model_forget_gone(expected, cache, false, 500));
}

static void model_drop_shard(model *expected, alv_cache *cache, int32_t shard)
{
    alv_cache_drop_shard(cache, shard);
    for (int i = 0; i < KEYS; i++)
        if (expected->entries[i].entity != NULL && expected->entries[i].shard == shard)
            model_drop(expected, i);
}

static void model_check(const model *expected, alv_cache *cache)
{
    char name[16];
    assert_int_equal(model_count(expected), alv_cache_stats_get(cache).entities);
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(expected->entries[i].entity, alv_cache_find(cache, model_key(i, name)));
}

static void cache__random_operations_match_a_model(void **state)
{
    (void)state;
    const size_t budget = 1500000; /* about half of the keys */
    model *expected = alv_alloc(sizeof *expected);
    alv_cache *cache = alv_cache_new(budget);
    unsigned seed = 4711;
    for (int step = 0; step < STEPS; step++) {
        int what = rand_r(&seed) % 4000;
        int key = rand_r(&seed) % KEYS;
        expected->now_ms += rand_r(&seed) % 2;
        if (what == 0)
            model_drop_shard(expected, cache, rand_r(&seed) % 4);
        else if (what < 20)
            model_commit(expected);
        else if (what < 40)
            model_passivate(expected, cache, &seed);
        else if (what < 60 && expected->entries[key].entity != NULL) {
            alv_cache_remove(cache, expected->entries[key].entity);
            model_drop(expected, key);
        } else {
            model_use(expected, cache, key, &seed);
            if (step % 64 == 0)
                model_evict(expected, cache, budget);
        }
        if (step % 5000 == 0)
            model_check(expected, cache);
    }
    model_check(expected, cache);
    alv_cache_stats stats = alv_cache_stats_get(cache);
    assert_true(stats.evictions > 100 && stats.passivations > 100); /* else nothing was tested */
    alv_cache_free(cache);
    alv_free(expected);
}

/* Who left stays known while the table of those who are here grows. */
static void cache__remembers_who_left_when_it_grows(void **state)
{
    (void)state;
    char key[16];
    alv_cache *cache = alv_cache_new(1 << 20);
    alv_entity *heavy = put(cache, "heavy", 0);
    alv_cache_set_cost(cache, heavy, 2 << 20);
    alv_cache_touch(cache, heavy, 1);
    alv_cache_touch(cache, put(cache, "light", 0), 1); /* who is used last stays in any case */
    alv_cache_evict(cache);
    assert_int_equal(1, alv_cache_stats_get(cache).evictions);
    assert_false(holds(cache, "heavy"));
    for (int i = 0; i < 2000; i++) { /* more than the table begins with */
        (void)snprintf(key, sizeof key, "user/%d", i);
        (void)put(cache, key, 0);
    }
    alv_cache_evict(cache);
    assert_int_equal(1, alv_cache_stats_get(cache).evictions); /* there is room for all of them */
    uint64_t admissions = alv_cache_stats_get(cache).admissions;
    (void)put(cache, "nobody", 0);
    assert_int_equal(admissions, alv_cache_stats_get(cache).admissions);
    (void)put(cache, "heavy", 0); /* was misjudged: it is kept from now on */
    assert_int_equal(admissions + 1, alv_cache_stats_get(cache).admissions);
    alv_cache_free(cache);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache__finds_what_was_inserted),
        cmocka_unit_test(cache__takes_the_longest_key),
        cmocka_unit_test(cache__counts_what_entities_cost),
        cmocka_unit_test(evict__drops_those_used_once_first),
        cmocka_unit_test(evict__makes_up_for_a_wrong_guess),
        cmocka_unit_test(evict__spares_those_with_a_timer_near),
        cmocka_unit_test(evict__lets_pinned_ones_go_when_there_are_too_many),
        cmocka_unit_test(evict__keeps_the_one_used_last),
        cmocka_unit_test(evict__waits_for_the_transaction),
        cmocka_unit_test(passivate__drops_idle_ones_in_steps),
        cmocka_unit_test(passivate__spares_new_entities),
        cmocka_unit_test(drop_shard__takes_all_of_one_shard),
        cmocka_unit_test(cache__random_operations_match_a_model),
        cmocka_unit_test(cache__remembers_who_left_when_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
