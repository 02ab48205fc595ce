/* Goal:   the cache keeps those entities that are used again: better than LRU on skewed loads, with scans
 *         over everything and in loops; hardly worse where LRU is right; within its budget at any moment.
 * Method: traces of keys, made from a fixed seed, run through the real cache, with entities put away as the
 *         executor does it, and through a plain LRU list of the same size; the shares of hits are compared, and
 *         printed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "statestore/cache.h"

enum {
    ROOM = 1000, /* entities that fit */
    KEYS = 25000,
    STEPS = 200000,
    COST = 1000,
    TRANSACTION = 10, /* uses after which those that pass leave the cache */
};

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717);
}

/* ---- traces ------------------------------------------------------------------------------------------ */

static double zipf_sums[KEYS];

static void zipf_init(double exponent)
{
    double sum = 0;
    for (int i = 0; i < KEYS; i++)
        zipf_sums[i] = sum += 1 / pow(i + 1, exponent);
}

/* Key i with a probability of about 1 / (i + 1)^exponent. */
static int zipf_next(void)
{
    double at = (double)(random_next() >> 11) / 9007199254740992.0 * zipf_sums[KEYS - 1];
    int low = 0;
    int high = KEYS - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (zipf_sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void trace_zipf(int *trace)
{
    zipf_init(0.9);
    for (int i = 0; i < STEPS; i++)
        trace[i] = zipf_next();
}

/* By turns a stretch of daily work and a walk over entities that nobody wants again. */
static void trace_zipf_and_scans(int *trace)
{
    zipf_init(0.9);
    for (int i = 0; i < STEPS; i++)
        trace[i] = i / 5000 % 2 == 0 ? zipf_next() : KEYS + i;
}

/* The same few thousand entities over and over, a quarter more than fit. */
static void trace_loop(int *trace)
{
    for (int i = 0; i < STEPS; i++)
        trace[i] = i % (ROOM * 5 / 4);
}

/* Others become the popular ones, ten times. */
static void trace_shifts(int *trace)
{
    zipf_init(0.9);
    for (int i = 0; i < STEPS; i++)
        trace[i] = (zipf_next() + i / (STEPS / 10) * 1979) % KEYS;
}

/* Users who come, do ten things and go: what was used last is what is used next. */
static void trace_sessions(int *trace)
{
    int newest = 200;
    for (int i = 0; i < STEPS; i++) {
        newest += random_next() % 10 == 0;
        trace[i] = newest - (int)(random_next() % 200);
    }
}

/* ---- an LRU of the same size ------------------------------------------------------------------------------ */

typedef struct lru {
    int newer[KEYS + STEPS + 1]; /* the last place is the list's head */
    int older[KEYS + STEPS + 1];
    bool holds[KEYS + STEPS];
    int count;
} lru;

#define HEAD (KEYS + STEPS)

static void lru_unlink(lru *list, int key)
{
    list->older[list->newer[key]] = list->older[key];
    list->newer[list->older[key]] = list->newer[key];
}

static bool lru_use(lru *list, int key)
{
    bool hit = list->holds[key];
    if (hit) {
        lru_unlink(list, key);
    } else if (list->count == ROOM) {
        list->holds[list->newer[HEAD]] = false; /* the oldest: newer than the head is the far end */
        lru_unlink(list, list->newer[HEAD]);
    } else {
        list->count++;
    }
    list->holds[key] = true;
    list->older[key] = list->older[HEAD];
    list->newer[key] = HEAD;
    list->newer[list->older[key]] = key;
    list->older[HEAD] = key;
    return hit;
}

static double lru_share(const int *trace)
{
    lru *list = alv_alloc(sizeof *list);
    list->newer[HEAD] = list->older[HEAD] = HEAD;
    int hits = 0;
    for (int i = 0; i < STEPS; i++)
        hits += lru_use(list, trace[i]);
    alv_free(list);
    return 100.0 * hits / STEPS;
}

/* ---- the cache ------------------------------------------------------------------------------------------------ */

static size_t room_bytes(void)
{
    alv_cache *cache = alv_cache_new(SIZE_MAX);
    alv_cache_set_cost(cache, alv_cache_insert(cache, ALV_VIEW("k/12345"), 0), COST);
    size_t bytes = alv_cache_stats_get(cache).bytes * ROOM;
    alv_cache_free(cache);
    return bytes;
}

/* What a transaction has put away, which leaves the cache at its end unless it was used again. */
typedef struct passing {
    alv_entity *entities[TRANSACTION];
    int count;
} passing;

static void passing_end(passing *list, alv_cache *cache)
{
    for (int i = 0; i < list->count; i++) {
        list->entities[i]->dirty = false;
        if (alv_cache_is_new(list->entities[i]))
            alv_cache_let_go(cache, list->entities[i]);
    }
    list->count = 0;
}

static double cache_share(const int *trace)
{
    size_t budget = room_bytes();
    alv_cache *cache = alv_cache_new(budget);
    passing list = {.count = 0};
    int hits = 0;
    for (int i = 0; i < STEPS; i++) {
        char text[16];
        alv_view key = {text, (size_t)snprintf(text, sizeof text, "k/%d", trace[i])};
        alv_entity *entity = alv_cache_find(cache, key);
        hits += entity != NULL;
        if (entity == NULL) {
            entity = alv_cache_insert(cache, key, 0);
            alv_cache_set_cost(cache, entity, COST);
        }
        alv_cache_touch(cache, entity, i);
        if (alv_cache_is_passing(cache, entity)) {
            entity->dirty = true;
            list.entities[list.count++] = entity;
        }
        alv_cache_evict(cache);
        if (i % TRANSACTION == TRANSACTION - 1)
            passing_end(&list, cache);
        assert_true(alv_cache_stats_get(cache).bytes <= budget);
    }
    alv_cache_stats stats = alv_cache_stats_get(cache);
    assert_int_equal(hits, stats.hits);
    assert_int_equal(STEPS - hits, stats.misses);
    assert_int_equal(stats.misses - stats.entities, stats.evictions);
    alv_cache_free(cache);
    return 100.0 * hits / STEPS;
}

/* The cache's share of hits is that of LRU and `more` of a hundred, at least. */
static void compare(const char *name, void (*make)(int *trace), double more)
{
    int *trace = alv_alloc_array(STEPS, sizeof *trace);
    random_state = 88172645463325252;
    make(trace);
    double lru_hits = lru_share(trace);
    double hits = cache_share(trace);
    print_message("%-16s LRU %5.1f %%, cache %5.1f %%\n", name, lru_hits, hits);
    assert_true(hits >= lru_hits + more);
    alv_free(trace);
}

static void policy__keeps_the_popular_ones(void **state)
{
    (void)state;
    compare("zipf", trace_zipf, 7);
}

static void policy__lets_scans_pass_through(void **state)
{
    (void)state;
    compare("zipf and scans", trace_zipf_and_scans, 4);
}

static void policy__keeps_some_of_a_loop(void **state)
{
    (void)state;
    compare("loop", trace_loop, 50);
}

static void policy__follows_a_change_of_fashion(void **state)
{
    (void)state;
    compare("shifts", trace_shifts, 2);
}

static void policy__does_not_mistake_sessions_for_scans(void **state)
{
    (void)state;
    compare("sessions", trace_sessions,
            -10); /* a session's second use is a miss as well, its third a hit */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy__keeps_the_popular_ones),
        cmocka_unit_test(policy__lets_scans_pass_through),
        cmocka_unit_test(policy__keeps_some_of_a_loop),
        cmocka_unit_test(policy__follows_a_change_of_fashion),
        cmocka_unit_test(policy__does_not_mistake_sessions_for_scans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
