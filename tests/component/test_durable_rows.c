/* Goal:   what rebuild and verify ask of PostgreSQL: rows and position of one moment, new offsets for all rows
 *         of a shard or for none, and nothing of another application.
 * Method: against a real server, named by ALLUVIUM_TEST_POSTGRES (all tests are skipped without it). Each test
 *         has a schema of its own; rows are written as the checkpointer writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "changelog/durable_rows.h"

#define MANY (ALV_CHECKPOINT_ROWS_MAX + 1000) /* more than one statement takes */

typedef struct fixture {
    alv_settings settings;
    char schema[64];
    alv_durable_store *store;
    alv_durable_store *other; /* of another application in the same tables */
} fixture;

static void run(const fixture *f, const char *format)
{
    PGconn *connection = PQconnectdb(f->settings.postgres_url);
    char *sql = alv_format(format, f->schema);
    PQclear(PQexec(connection, "SET client_min_messages = warning"));
    PGresult *result = PQexec(connection, sql);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(connection);
    alv_free(sql);
}

static int set_up(void **state)
{
    static int number;
    static fixture f;
    f = (fixture){.settings = {.postgres_url = getenv("ALLUVIUM_TEST_POSTGRES"),
                               .postgres_schema = f.schema,
                               .application_id = "app",
                               .node_id = "node-1"}};
    (void)snprintf(f.schema, sizeof(f.schema), "alv_rows_%d_%d", (int)getpid(), ++number);
    f.store = alv_durable_postgres_new(&f.settings);
    alv_settings settings = f.settings;
    settings.application_id = "another";
    f.other = alv_durable_postgres_new(&settings);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    f->store->ops->close(f->store);
    f->other->ops->close(f->other);
    run(f, "DROP SCHEMA IF EXISTS %s CASCADE");
    return 0;
}

static void write_row(alv_durable_store *store, int32_t shard, const char *key, const char *value,
                      int64_t offset)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t expected = 0;
    alv_checkpoint_row row = {.key = alv_view_of(key),
                              .type = ALV_VIEW("user"),
                              .state = alv_view_of(value),
                              .shard = shard,
                              .changelog_offset = offset,
                              .updated_at_ms = 1700000000123};
    assert_int_equal(store->ops->position(store, shard, &expected, &err), ALV_OK);
    alv_checkpoint_position position = {
        .shard = shard, .expected = expected, .changelog_offset = offset + 1};
    if (store->ops->write(store, &row, 1, &position, 1, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
}

#define SEEN_LINES 8

/* What a scan has seen. */
typedef struct sight {
    char lines[SEEN_LINES][64]; /* of the first rows */
    char text[SEEN_LINES * 64]; /* the same, in order */
    int64_t count;
    int64_t limit; /* 0 = none */
    int64_t offsets;
} sight;

static bool see(void *payload, const alv_checkpoint_row *row)
{
    sight *seen = payload;
    if (seen->count < SEEN_LINES) {
        (void)snprintf(
            seen->lines[seen->count], sizeof(seen->lines[0]), "%.*s=%.*s@%d ", (int)row->key.size,
            row->key.data, row->state.data == NULL ? 4 : (int)row->state.size,
            row->state.data == NULL ? "none" : row->state.data, (int)row->changelog_offset);
    }
    seen->count++;
    seen->offsets += row->changelog_offset;
    assert_int_equal(row->updated_at_ms, 1700000000123);
    return seen->limit == 0 || seen->count < seen->limit;
}

static int line_order(const void *left, const void *right)
{
    return strcmp(left, right);
}

static sight look(alv_durable_store *store, int32_t shard, int64_t position)
{
    sight seen = {.count = 0};
    int64_t found = -1;
    alv_error err = ALV_ERROR_NONE;
    if (alv_durable_rows_scan(store, shard, see, &seen, &found, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(found, position);
    size_t lines = seen.count < SEEN_LINES ? (size_t)seen.count : SEEN_LINES;
    qsort(seen.lines, lines, sizeof(seen.lines[0]), line_order);
    for (size_t i = 0; i < lines; i++) {
        strncat(seen.text, seen.lines[i], sizeof(seen.text) - strlen(seen.text) - 1);
    }
    return seen;
}

static void durable_rows__scan_sees_the_rows_of_its_shard(void **state)
{
    fixture *f = *state;
    assert_string_equal(look(f->store, 1, 0).text, "");
    write_row(f->store, 1, "a", "{\"n\": 1}", 10);
    write_row(f->store, 2, "b", "{\"n\": 2}", 20);
    write_row(f->other, 1, "c", "{\"n\": 3}", 30);
    write_row(f->store, 1, "d", "{\"text\":\"\\u0000\"}", 40); /* refused: no state */
    assert_string_equal(look(f->store, 1, 41).text, "a={\"n\": 1}@10 d=none@40 ");
    assert_string_equal(look(f->store, 2, 21).text, "b={\"n\": 2}@20 ");
    assert_string_equal(look(f->other, 1, 31).text, "c={\"n\": 3}@30 ");
}

static void durable_rows__a_scan_can_be_ended(void **state)
{
    fixture *f = *state;
    write_row(f->store, 1, "a", "1", 10);
    write_row(f->store, 1, "b", "2", 11);
    sight seen = {.limit = 1};
    int64_t position = 0;
    assert_int_equal(alv_durable_rows_scan(f->store, 1, see, &seen, &position, NULL), ALV_OK);
    assert_int_equal(seen.count, 1);
    write_row(f->store, 1, "c", "3", 12); /* no transaction was left open */
    assert_int_equal(look(f->store, 1, 13).count, 3);
}

static void durable_rows__survey_counts_what_there_is(void **state)
{
    fixture *f = *state;
    write_row(f->store, 1, "a", "1", 10);
    write_row(f->store, 1, "b", "{\"text\":\"\\u0000\"}", 11);
    write_row(f->store, 3, "c", "1", 12);
    write_row(f->store, 3, "c", NULL, 13); /* deleted: a position is left */
    write_row(f->other, 2, "d", "1", 14);
    alv_durable_shard *shards = NULL;
    size_t count = 0;
    assert_int_equal(alv_durable_rows_survey(f->store, &shards, &count, NULL), ALV_OK);
    assert_int_equal(count, 2);
    const alv_durable_shard expected[] = {{1, 2, 1, 12}, {3, 0, 0, 14}};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(shards[i].shard, expected[i].shard);
        assert_int_equal(shards[i].rows, expected[i].rows);
        assert_int_equal(shards[i].rows_without_state, expected[i].rows_without_state);
        assert_int_equal(shards[i].position, expected[i].position);
    }
    alv_free(shards);
}

static void durable_rows__renumber_moves_rows_and_position(void **state)
{
    fixture *f = *state;
    write_row(f->store, 1, "a", "1", 1000);
    write_row(f->store, 1, "b", "2", 1001);
    write_row(f->store, 1, "empty", "{\"text\":\"\\u0000\"}", 1002);
    write_row(f->store, 2, "c", "3", 1003);
    write_row(f->other, 1, "a", "4", 1004);
    const alv_durable_place places[] = {{ALV_VIEW("b"), 0}, {ALV_VIEW("a"), 1}};
    assert_int_equal(alv_durable_rows_renumber(f->store, 1, 1003, places, 2, 2, NULL), ALV_OK);
    assert_string_equal(look(f->store, 1, 2).text, "a=1@1 b=2@0 ");
    assert_string_equal(look(f->store, 2, 1004).text, "c=3@1003 ");
    assert_string_equal(look(f->other, 1, 1005).text, "a=4@1004 ");
    write_row(f->store, 1, "a", "5", 2); /* checkpoints go on, from small offsets */
    assert_string_equal(look(f->store, 1, 3).text, "a=5@2 b=2@0 ");
}

static void durable_rows__renumber_is_fenced_by_another_position(void **state)
{
    fixture *f = *state;
    write_row(f->store, 1, "a", "1", 10);
    const alv_durable_place place = {ALV_VIEW("a"), 0};
    assert_int_equal(alv_durable_rows_renumber(f->store, 1, 10, &place, 1, 1, NULL), ALV_FENCED);
    assert_string_equal(look(f->store, 1, 11).text, "a=1@10 ");
    assert_int_equal(alv_durable_rows_renumber(f->store, 2, 5, NULL, 0, 1, NULL), ALV_FENCED);
    assert_int_equal(alv_durable_rows_renumber(f->store, 2, 0, NULL, 0, 7, NULL), ALV_OK);
    assert_int_equal(look(f->store, 2, 7).count, 0);
}

/* More rows than one statement takes: the last are moved as well as the first. */
static void durable_rows__renumber_moves_many(void **state)
{
    fixture *f = *state;
    write_row(f->store, 1, "a", "1", 10); /* makes the tables */
    char *sql =
        alv_format("INSERT INTO %%s.entities SELECT 'app', 'key-' || n, 'user', 1, '1', 5000000,"
                   " to_timestamp(1700000000.123) FROM generate_series(1, %d) AS n",
                   MANY - 1);
    run(f, sql);
    alv_free(sql);
    static char keys[MANY][16];
    static alv_durable_place places[MANY];
    int64_t sum = 0;
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
        places[i] = (alv_durable_place){alv_view_of(i == 0 ? "a" : keys[i]), i};
        sum += i;
    }
    alv_error err = ALV_ERROR_NONE;
    if (alv_durable_rows_renumber(f->store, 1, 11, places, MANY, MANY, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
    sight seen = look(f->store, 1, MANY);
    assert_int_equal(seen.count, MANY);
    assert_int_equal(seen.offsets, sum);
}

static void durable_rows__clear_leaves_other_applications_alone(void **state)
{
    fixture *f = *state;
    write_row(f->store, 1, "a", "1", 10);
    write_row(f->other, 1, "a", "2", 20);
    assert_int_equal(alv_durable_rows_clear(f->store, NULL), ALV_OK);
    assert_int_equal(look(f->store, 1, 0).count, 0);
    assert_string_equal(look(f->other, 1, 21).text, "a=2@20 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(durable_rows__scan_sees_the_rows_of_its_shard),
        TEST(durable_rows__a_scan_can_be_ended),
        TEST(durable_rows__survey_counts_what_there_is),
        TEST(durable_rows__renumber_moves_rows_and_position),
        TEST(durable_rows__renumber_is_fenced_by_another_position),
        TEST(durable_rows__renumber_moves_many),
        TEST(durable_rows__clear_leaves_other_applications_alone),
    };
    if (getenv("ALLUVIUM_TEST_POSTGRES") == NULL) {
        fprintf(stderr, "skipped: ALLUVIUM_TEST_POSTGRES names no server; run it with dev/test\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
