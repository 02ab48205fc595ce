/* Goal:   a map has what was put into it, in order, and a snapshot never changes, whatever happens to the map
 *         it was taken from, and whoever takes it apart.
 * Method: known sequences; then random puts and removals against an array, with snapshots that are compared
 *         long after; then a thread that reads snapshots while another one changes the map. Leaks and races
 *         show under the sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "statestore/table_map.h"
#include "statestore/tables.h"

static void put(alv_table_map *map, const char *key, int64_t number)
{
    alv_table_map_put(map, alv_view_of(key), json_integer(number), 4);
}

/* -1 when there is no such row. */
static int64_t get(const alv_table_map *map, const char *key)
{
    const json_t *value = alv_table_map_get(map, alv_view_of(key));
    return value == NULL ? -1 : json_integer_value(value);
}

static void map__has_what_was_put(void **state)
{
    (void)state;
    alv_table_map map;
    alv_table_map_init(&map, 1);
    assert_int_equal(get(&map, "a"), -1);
    put(&map, "a", 1);
    put(&map, "b", 2);
    put(&map, "", 3);
    put(&map, "a", 4);
    assert_int_equal(map.count, 3);
    assert_int_equal(get(&map, "a"), 4);
    assert_int_equal(get(&map, "b"), 2);
    assert_int_equal(get(&map, ""), 3);
    assert_int_equal(get(&map, "aa"), -1);
    assert_int_equal(alv_table_map_bytes(&map, ALV_VIEW("c")), 0);
    size_t bytes = map.bytes - alv_table_map_bytes(&map, ALV_VIEW("b"));
    alv_table_map_remove(&map, ALV_VIEW("b"));
    alv_table_map_remove(&map, ALV_VIEW("c"));
    assert_int_equal(get(&map, "b"), -1);
    assert_int_equal(map.count, 2);
    assert_int_equal(map.bytes, bytes);
    alv_table_map_done(&map);
    assert_int_equal(map.count, 0);
}

static void map__lists_its_rows_in_order(void **state)
{
    (void)state;
    alv_table_map map;
    alv_table_map_init(&map, 7);
    static const char *const keys[] = {"b", "\xff", "a", "ab", "B", "a/1"};
    static const char *const sorted[] = {"B", "a", "a/1", "ab", "b", "\xff"};
    for (int i = 0; i < 6; i++) {
        put(&map, keys[i], i);
    }
    alv_view key = ALV_VIEW_NONE;
    json_t *value = NULL;
    for (int i = 0; i < 6; i++) {
        assert_true(alv_table_map_next(&map, key, &key, &value));
        assert_true(alv_view_equal(key, alv_view_of(sorted[i])));
        assert_ptr_equal(value, alv_table_map_get(&map, key));
    }
    assert_false(alv_table_map_next(&map, key, &key, &value));
    assert_true(alv_table_map_next(&map, ALV_VIEW("a0"), &key, &value));
    assert_true(alv_view_equal(key, ALV_VIEW("ab")));
    alv_table_map_done(&map);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

#define KEYS 300
#define SNAPSHOTS 40

typedef struct snapshot {
    alv_table_map map;
    int64_t values[KEYS]; /* -1 = no row */
} snapshot;

static void assert_same(const alv_table_map *map, const int64_t *values)
{
    size_t count = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(get(map, key), values[i]);
        count += values[i] >= 0;
    }
    assert_int_equal(map->count, count);
}

static void snapshots__never_change(void **state)
{
    (void)state;
    static snapshot snapshots[SNAPSHOTS];
    alv_table_map map;
    int64_t values[KEYS];
    unsigned seed = 20240611;
    alv_table_map_init(&map, seed);
    memset(values, 0xff, sizeof values);
    for (int round = 0; round < SNAPSHOTS; round++) {
        for (int i = 0; i < 200; i++) {
            int number = rand_r(&seed) % KEYS;
            char key[16];
            (void)snprintf(key, sizeof key, "key-%d", number);
            if (rand_r(&seed) % 3 == 0) {
                alv_table_map_remove(&map, alv_view_of(key));
                values[number] = -1;
            } else {
                values[number] = rand_r(&seed) % 1000;
                put(&map, key, values[number]);
            }
        }
        snapshots[round].map = alv_table_map_share(&map);
        memcpy(snapshots[round].values, values, sizeof values);
        assert_same(&map, values);
    }
    alv_table_map_done(&map);
    for (int i = 0; i < SNAPSHOTS; i += 2) {
        assert_same(&snapshots[i].map, snapshots[i].values);
        alv_table_map_done(&snapshots[i].map);
    }
    for (int i = 1; i < SNAPSHOTS; i += 2) {
        assert_same(&snapshots[i].map, snapshots[i].values);
        alv_table_map_done(&snapshots[i].map);
    }
}

/* Keys in order are what makes a plain tree a list. */
static void map__bears_keys_in_order(void **state)
{
    (void)state;
    alv_table_map map;
    alv_table_map_init(&map, 3);
    for (int i = 0; i < 200000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%08d", i);
        put(&map, key, i);
    }
    assert_int_equal(map.count, 200000);
    assert_int_equal(get(&map, "00199999"), 199999);
    alv_table_map_done(&map);
}

/* ---- views, with threads --------------------------------------------------------------------- */

#define PUBLISHED 2000

typedef struct race {
    alv_tables *tables;
    atomic_bool done;
    int64_t seen; /* by the reader: views */
} race;

/* Both rows of a view are of one step, and steps only grow. */
static void *read_views(void *payload)
{
    race *shared = payload;
    int64_t last = 0;
    while (!atomic_load(&shared->done)) {
        alv_tables_view *view = alv_tables_take(shared->tables);
        int64_t left = get(&view->items[0].rows, "left");
        if (left != get(&view->items[0].rows, "right") || left < last ||
            left != view->items[0].offsets[0]) {
            alv_tables_release(view);
            return "a view is torn, or went backwards";
        }
        shared->seen += left != last;
        last = left;
        alv_tables_release(view);
    }
    return NULL;
}

static void publish(alv_tables *tables, alv_table *table, int64_t step)
{
    put(&table->rows, "left", step);
    put(&table->rows, "right", step);
    table->offsets[0] = step;
    alv_tables_publish(tables, table);
}

static void views__are_whole_and_only_get_newer(void **state)
{
    (void)state;
    alv_table_list list;
    assert_int_equal(alv_table_list_parse("t", &list, NULL), ALV_OK);
    race shared = {.tables = alv_tables_new(&list)};
    assert_null(alv_tables_take(shared.tables));
    alv_table table = {.topic_id = "id", .partition_count = 1};
    alv_table_map_init(&table.rows, 5);
    publish(shared.tables, &table, 1);
    pthread_t threads[2];
    race other = {.tables = shared.tables};
    pthread_create(&threads[0], NULL, read_views, &shared);
    pthread_create(&threads[1], NULL, read_views, &other);
    for (int64_t step = 2; step <= PUBLISHED; step++) {
        publish(shared.tables, &table, step);
    }
    atomic_store(&shared.done, true);
    atomic_store(&other.done, true);
    for (int i = 0; i < 2; i++) {
        void *problem = NULL;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
    alv_tables_view *view = alv_tables_take(shared.tables);
    assert_int_equal(view->serial, PUBLISHED);
    assert_int_equal(get(&view->items[0].rows, "right"), PUBLISHED);
    alv_tables_release(view);
    alv_table_map_done(&table.rows);
    alv_tables_free(shared.tables);
}

static void versions__are_compared_by_partition_and_topic(void **state)
{
    (void)state;
    alv_table older = {.topic_id = "id", .partition_count = 2, .offsets = {5, 7}};
    alv_table newer = {.topic_id = "id", .partition_count = 2, .offsets = {5, 8}};
    alv_table aside = {.topic_id = "id", .partition_count = 2, .offsets = {6, 6}};
    alv_table other = {.topic_id = "other", .partition_count = 2, .offsets = {9, 9}};
    assert_true(alv_table_covers(&newer, &older));
    assert_true(alv_table_covers(&older, &older));
    assert_false(alv_table_covers(&older, &newer));
    assert_false(alv_table_covers(&aside, &older));
    assert_false(alv_table_covers(&other, &older));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map__has_what_was_put),
        cmocka_unit_test(map__lists_its_rows_in_order),
        cmocka_unit_test(snapshots__never_change),
        cmocka_unit_test(map__bears_keys_in_order),
        cmocka_unit_test(views__are_whole_and_only_get_newer),
        cmocka_unit_test(versions__are_compared_by_partition_and_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
