/* Goal:   what the PostgreSQL store promises: rows and positions together, nothing overwritten by
 *         older, nobody else's position moved, nothing that stops it for ever.
 * Method: against a real server, named by ALLUVIUM_TEST_POSTGRES (a connection string; all tests
 *         are skipped without it). Each test has a schema of its own, dropped at the end, and
 *         looks at the tables over a second connection. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "changelog/durable_store.h"

#define MANY ALV_CHECKPOINT_ROWS_MAX

typedef struct fixture {
    alv_settings settings;
    char schema[64];
    char quoted[64];
    alv_durable_store *store;
    PGconn *conn;
} fixture;

/* ---- helpers --------------------------------------------------------------------------------- */

/* Runs SQL in which each '@' stands for the schema; the first value of the first row, or "". */
static char *query(fixture *f, const char *format)
{
    alv_bytes sql = ALV_BYTES_EMPTY;
    for (const char *at = format; *at != '\0'; at++) {
        if (*at == '@')
            alv_bytes_append_text(&sql, f->quoted);
        else
            alv_bytes_append(&sql, at, 1);
    }
    alv_bytes_append(&sql, "", 1);
    PGresult *result = PQexec(f->conn, sql.data);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql.data, PQerrorMessage(f->conn));
    char *value = alv_strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    alv_bytes_done(&sql);
    return value;
}

static void run(fixture *f, const char *format)
{
    alv_free(query(f, format));
}

static void assert_query(fixture *f, const char *format, const char *expected)
{
    char *value = query(f, format);
    if (strcmp(value, expected) != 0)
        fail_msg("%s: \"%s\", expected \"%s\"", format, value, expected);
    alv_free(value);
}

static int set_up(void **state)
{
    static int number;
    fixture *f = alv_alloc(sizeof *f);
    (void)snprintf(f->schema, sizeof f->schema, "alv test \"%d\" %d", (int)getpid(), ++number);
    (void)snprintf(f->quoted, sizeof f->quoted, "\"alv test \"\"%d\"\" %d\"", (int)getpid(),
                   number);
    f->settings = (alv_settings){.postgres_url = getenv("ALLUVIUM_TEST_POSTGRES"),
                                 .postgres_schema = f->schema,
                                 .application_id = "app",
                                 .node_id = "node-1"};
    f->conn = PQconnectdb(f->settings.postgres_url);
    assert_int_equal(PQstatus(f->conn), CONNECTION_OK);
    run(f, "SET client_min_messages = warning");
    f->store = alv_durable_postgres_new(&f->settings);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    f->store->ops->close(f->store);
    run(f, "DROP SCHEMA IF EXISTS @ CASCADE");
    PQfinish(f->conn);
    alv_free(f);
    return 0;
}

static alv_checkpoint_row row_of(const char *key, const char *state, int64_t offset)
{
    return (alv_checkpoint_row){.key = alv_view_of(key),
                                .type = ALV_VIEW("user"),
                                .state = alv_view_of(state),
                                .shard = 3,
                                .changelog_offset = offset,
                                .updated_at_ms = 1700000000123};
}

static alv_status write_rows(fixture *f, alv_checkpoint_row *rows, size_t count, int64_t expected,
                             int64_t next, alv_error *err)
{
    alv_checkpoint_position position = {.shard = 3, .expected = expected, .changelog_offset = next};
    return f->store->ops->write(f->store, rows, count, &position, 1, err);
}

static void must_write(fixture *f, alv_checkpoint_row *rows, size_t count, int64_t expected,
                       int64_t next)
{
    alv_error err = ALV_ERROR_NONE;
    if (write_rows(f, rows, count, expected, next, &err) != ALV_OK)
        fail_msg("write: %s", err.text);
}

static int64_t must_position(fixture *f, int32_t shard)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t position = -1;
    if (f->store->ops->position(f->store, shard, &position, &err) != ALV_OK)
        fail_msg("position: %s", err.text);
    return position;
}

/* ---- rows and positions ---------------------------------------------------------------------- */

static void durable_postgres__writes_rows_with_their_position(void **state)
{
    fixture *f = *state;
    assert_int_equal(must_position(f, 3), 0);
    alv_checkpoint_row rows[] = {row_of("b", "{\"n\": 2}", 5), row_of("a", "{\"n\": 1}", 4)};
    must_write(f, rows, 2, 0, 6);
    assert_int_equal(must_position(f, 3), 6);
    assert_int_equal(must_position(f, 4), 0);
    assert_query(f, "SELECT state->>'n' FROM @.entities WHERE application = 'app' AND key = 'a'",
                 "1");
    assert_query(f,
                 "SELECT concat_ws(' ', type, shard, changelog_offset, extract(epoch FROM "
                 "updated_at)) FROM @.entities WHERE key = 'b'",
                 "user 3 5 1700000000.123000");
    assert_query(f,
                 "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                 "'alluvium app node-1' AND state = 'idle'",
                 "1");
}

static void durable_postgres__updates_and_deletes(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row rows[] = {row_of("a", "1", 1), row_of("b", "1", 2), row_of("c", "1", 3)};
    must_write(f, rows, 3, 0, 4);
    alv_checkpoint_row next[] = {row_of("a", NULL, 4), row_of("b", "2", 5), row_of("x", NULL, 6)};
    must_write(f, next, 3, 4, 7);
    assert_query(f, "SELECT string_agg(key || '=' || state, ' ' ORDER BY key) FROM @.entities",
                 "b=2 c=1");
    must_write(f, NULL, 0, 7, 9);
    assert_int_equal(must_position(f, 3), 9);
}

static void durable_postgres__never_overwrites_newer_rows(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row newer[] = {row_of("a", "\"new\"", 10), row_of("b", "\"new\"", 11)};
    must_write(f, newer, 2, 0, 12);
    alv_checkpoint_row older[] = {row_of("a", "\"old\"", 9), row_of("b", NULL, 11)};
    must_write(f, older, 2, 12, 13);
    assert_query(f, "SELECT string_agg(key || changelog_offset, ' ' ORDER BY key) FROM @.entities",
                 "a10 b11");
    assert_query(f, "SELECT count(*) FROM @.entities WHERE state = '\"new\"'", "2");
}

static void durable_postgres__fences_a_writer_that_expects_another_position(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row row = row_of("a", "1", 1);
    must_write(f, &row, 1, 0, 5);
    row = row_of("a", "2", 20);
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(write_rows(f, &row, 1, 4, 21, &err), ALV_FENCED);
    assert_int_equal(write_rows(f, &row, 1, 6, 21, NULL), ALV_FENCED);
    assert_int_equal(write_rows(f, &row, 1, 0, 21, NULL), ALV_FENCED);
    alv_checkpoint_position positions[] = {{.shard = 1, .expected = 0, .changelog_offset = 9},
                                           {.shard = 2, .expected = 7, .changelog_offset = 9},
                                           {.shard = 3, .expected = 5, .changelog_offset = 9},
                                           {.shard = 4, .expected = 1, .changelog_offset = 9}};
    assert_int_equal(f->store->ops->write(f->store, &row, 1, positions, 4, NULL), ALV_FENCED);
    assert_false(positions[0].fenced);
    assert_true(positions[1].fenced);
    assert_false(positions[2].fenced);
    assert_true(positions[3].fenced);
    assert_query(f, "SELECT state FROM @.entities", "1"); /* all or nothing */
    assert_query(f, "SELECT string_agg(shard || ':' || changelog_offset, ' ') FROM @.positions",
                 "3:5");
    must_write(f, &row, 1, 5, 21);
}

static void durable_postgres__keeps_applications_apart(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row row = row_of("a", "1", 1);
    must_write(f, &row, 1, 0, 2);
    alv_settings settings = f->settings;
    settings.application_id = "other'; --";
    alv_durable_store *other = alv_durable_postgres_new(&settings);
    int64_t position = -1;
    assert_int_equal(other->ops->position(other, 3, &position, NULL), ALV_OK);
    assert_int_equal(position, 0);
    alv_checkpoint_row deleted = row_of("a", NULL, 50);
    assert_int_equal(other->ops->write(other, &deleted, 1, NULL, 0, NULL), ALV_OK);
    other->ops->close(other);
    assert_query(f, "SELECT count(*) FROM @.entities", "1");
}

static void durable_postgres__takes_any_key_and_any_time(void **state)
{
    fixture *f = *state;
    const char *keys[] = {
        "it's", "\"quoted\"", "back\\slash", "{a,b}",
        "NULL", "",           "\n\t",        "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
        "$1",   "%s"};
    const int64_t times[] = {-1, 0, INT64_MAX, INT64_MIN, 1700000000123000};
    alv_checkpoint_row rows[10];
    for (size_t i = 0; i < 10; i++) {
        rows[i] = row_of(keys[i], "{\"s\": \"\\u00e9 ' \\\\ \\\" {,}\"}", (int64_t)i);
        rows[i].updated_at_ms = times[i % 5];
    }
    must_write(f, rows, 10, 0, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(rows[i].outcome, ALV_ROW_STORED);
    assert_query(f, "SELECT count(*) FROM @.entities WHERE state->>'s' = E'\\u00e9 '' \\\\ \" {,}'",
                 "10");
    assert_query(f,
                 "SELECT count(*) FROM @.entities WHERE key IN ('it''s', E'\\n\\t', '{a,b}', "
                 "'NULL', '', E'back\\\\slash')",
                 "6");
    for (size_t i = 0; i < 10; i++)
        rows[i] = row_of(keys[i], NULL, 20);
    must_write(f, rows, 10, 10, 21);
    assert_query(f, "SELECT count(*) FROM @.entities", "0");
}

/* ---- what PostgreSQL refuses ----------------------------------------------------------------- */

static char *nested(size_t depth)
{
    char *text = alv_alloc(2 * depth + 1);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return text;
}

static void durable_postgres__stores_states_it_cannot_hold_as_null(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row before[] = {row_of("nul", "\"before\"", 1)};
    must_write(f, before, 1, 0, 2);
    char *deep = nested(200000);
    alv_checkpoint_row rows[] = {row_of("ok1", "1", 2),
                                 row_of("nul", "{\"name\": \"a\\u0000b\"}", 3),
                                 row_of("not json", "hello", 4),
                                 row_of("empty", "", 5),
                                 row_of("not utf-8", "\"\xff\"", 6),
                                 row_of("deep", deep, 7),
                                 row_of("backslash", "\"\\\\u0000\"", 8),
                                 row_of("gone", NULL, 9),
                                 row_of("ok2", "2", 10)};
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(write_rows(f, rows, 9, 2, 11, &err), ALV_OK);
    alv_free(deep);
    assert_int_equal(err.status, ALV_REJECT);
    assert_true(strlen(err.text) > 0);
    assert_int_equal(must_position(f, 3), 11);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(rows[i].outcome,
                         i >= 1 && i <= 5 ? ALV_ROW_WITHOUT_STATE : ALV_ROW_STORED);
    assert_query(f, "SELECT string_agg(key, ',' ORDER BY key) FROM @.entities WHERE state IS NULL",
                 "deep,empty,not json,not utf-8,nul");
    assert_query(f, "SELECT changelog_offset FROM @.entities WHERE key = 'nul'", "3");
    assert_query(f, "SELECT count(*) FROM @.entities WHERE state IS NOT NULL", "3");
    alv_checkpoint_row after[] = {row_of("nul", "\"after\"", 11)};
    must_write(f, after, 1, 11, 12);
    assert_query(f, "SELECT state FROM @.entities WHERE key = 'nul'", "\"after\"");
}

static void durable_postgres__skips_keys_it_cannot_hold(void **state)
{
    fixture *f = *state;
    char *noise = alv_alloc(9001); /* does not fit into an index, nor does it compress */
    uint32_t random = 1;
    for (size_t i = 0; i < 9000; i++) {
        random = random * 1664525 + 1013904223;
        noise[i] = (char)('0' + (random >> 24) % 64);
    }
    alv_checkpoint_row rows[] = {row_of("ok", "1", 1), row_of("\xff\xfe", "1", 2),
                                 row_of(noise, "1", 3), row_of("\xff", NULL, 4),
                                 row_of("nul", "1", 5)};
    rows[4].key.size = 4; /* with its NUL */
    must_write(f, rows, 5, 0, 6);
    alv_free(noise);
    assert_int_equal(rows[0].outcome, ALV_ROW_STORED);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(rows[i].outcome, ALV_ROW_SKIPPED);
    assert_query(f, "SELECT string_agg(key, ',') FROM @.entities", "ok");
}

static void durable_postgres__skips_rows_against_a_constraint_of_others(void **state)
{
    fixture *f = *state;
    (void)must_position(f, 3);
    run(f, "ALTER TABLE @.entities ADD CHECK ((state->>'age')::int > 17)");
    alv_checkpoint_row rows[] = {row_of("a", "{\"age\": 20}", 1), row_of("b", "{\"age\": 2}", 2),
                                 row_of("c", "{\"age\": \"x\"}", 3)};
    must_write(f, rows, 3, 0, 4);
    assert_int_equal(rows[0].outcome, ALV_ROW_STORED);
    assert_int_equal(rows[1].outcome, ALV_ROW_WITHOUT_STATE);
    assert_int_equal(rows[2].outcome, ALV_ROW_WITHOUT_STATE);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void *make_tables(void *payload)
{
    fixture *f = payload;
    alv_durable_store *store = alv_durable_postgres_new(&f->settings);
    int64_t position = -1;
    alv_error err = ALV_ERROR_NONE;
    if (store->ops->position(store, 1, &position, &err) != ALV_OK)
        (void)fprintf(stderr, "position: %s\n", err.text);
    store->ops->close(store);
    return position == 0 ? payload : NULL;
}

static void durable_postgres__tables_are_made_by_several_nodes_at_once(void **state)
{
    fixture *f = *state;
    for (int round = 0; round < 5; round++) {
        pthread_t nodes[8];
        for (int i = 0; i < 8; i++)
            assert_int_equal(pthread_create(&nodes[i], NULL, make_tables, f), 0);
        for (int i = 0; i < 8; i++) {
            void *done = NULL;
            assert_int_equal(pthread_join(nodes[i], &done), 0);
            assert_non_null(done);
        }
        run(f, "DROP SCHEMA @ CASCADE");
    }
}

static void durable_postgres__says_what_is_wrong_with_existing_tables(void **state)
{
    fixture *f = *state;
    run(f, "CREATE SCHEMA @; CREATE TABLE @.entities (application text, key text, type text, "
           "shard int, state text, changelog_offset bigint, updated_at timestamptz, "
           "PRIMARY KEY (application, key))");
    int64_t position = -1;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(f->store->ops->position(f->store, 3, &position, &err), ALV_RETRY);
    assert_non_null(strstr(err.text, "column state"));
    assert_non_null(strstr(err.text, "must be jsonb but is text"));
    run(f, "ALTER TABLE @.entities DROP COLUMN state");
    alv_error_clear(&err);
    assert_int_equal(f->store->ops->position(f->store, 3, &position, &err), ALV_RETRY);
    assert_non_null(strstr(err.text, "must be jsonb but is missing"));
    run(f, "ALTER TABLE @.entities ADD COLUMN state jsonb, ADD COLUMN mine int");
    alv_checkpoint_row row = row_of("a", "1", 1); /* mended while we run */
    must_write(f, &row, 1, 0, 2);
    run(f, "ALTER TABLE @.entities DROP CONSTRAINT entities_pkey");
    alv_error_clear(&err);
    assert_int_equal(write_rows(f, &row, 1, 2, 3, &err), ALV_RETRY);
    assert_non_null(strstr(err.text, "lacks its primary key"));
}

static void durable_postgres__makes_tables_again_that_were_dropped(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row row = row_of("a", "1", 1);
    must_write(f, &row, 1, 0, 2);
    run(f, "DROP SCHEMA @ CASCADE");
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(write_rows(f, &row, 1, 2, 3, &err), ALV_RETRY);
    assert_int_equal(write_rows(f, &row, 1, 2, 3, NULL), ALV_FENCED); /* the position is gone too */
    must_write(f, &row, 1, 0, 3);
}

/* A user who may write, but not create, is enough when the tables are there. */
static void durable_postgres__works_without_the_right_to_create(void **state)
{
    fixture *f = *state;
    (void)must_position(f, 3);
    char role[64];
    (void)snprintf(role, sizeof role, "alv_test_%d", (int)getpid());
    char *sql = alv_format("CREATE ROLE %s LOGIN PASSWORD 'top$ecret'; "
                           "GRANT USAGE ON SCHEMA @ TO %s",
                           role, role);
    run(f, sql);
    alv_free(sql);
    char *url = alv_format("host=%s port=%s dbname=%s user=%s password=top$ecret", PQhost(f->conn),
                           PQport(f->conn), PQdb(f->conn), role);
    alv_settings settings = f->settings;
    settings.postgres_url = url;
    alv_durable_store *store = alv_durable_postgres_new(&settings);
    int64_t position = -1;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(store->ops->position(store, 3, &position, &err), ALV_RETRY);
    assert_non_null(strstr(err.text, "42501"));
    assert_non_null(strstr(err.text, "; grant this user"));
    sql = alv_format("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA @ TO %s", role);
    run(f, sql);
    alv_free(sql);
    assert_int_equal(store->ops->position(store, 3, &position, NULL), ALV_OK);
    alv_checkpoint_row row = row_of("a", "1", 1);
    assert_int_equal(store->ops->write(store, &row, 1, NULL, 0, NULL), ALV_OK);
    store->ops->close(store);
    sql = alv_format("DROP OWNED BY %s; DROP ROLE %s", role, role);
    run(f, sql);
    alv_free(sql);
    alv_free(url);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void durable_postgres__reconnects(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row row = row_of("a", "1", 1);
    must_write(f, &row, 1, 0, 2);
    run(f, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
           "WHERE application_name = 'alluvium app node-1'");
    alv_error err = ALV_ERROR_NONE;
    row = row_of("a", "2", 2);
    assert_int_equal(write_rows(f, &row, 1, 2, 3, &err), ALV_RETRY);
    assert_true(strlen(err.text) > 0);
    must_write(f, &row, 1, 2, 3);
}

/* Two writers of one shard: the second waits for the first and is then fenced. */
static void *write_slowly(void *payload)
{
    fixture *f = payload;
    alv_durable_store *store = alv_durable_postgres_new(&f->settings);
    alv_status *status = alv_alloc(sizeof *status);
    alv_checkpoint_row row = row_of("a", "\"second\"", 9);
    alv_checkpoint_position position = {.shard = 3, .expected = 2, .changelog_offset = 10};
    *status = store->ops->write(store, &row, 1, &position, 1, NULL);
    store->ops->close(store);
    return status;
}

static void durable_postgres__two_writers_of_a_shard_take_turns(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row row = row_of("a", "\"first\"", 1);
    must_write(f, &row, 1, 0, 2);
    run(f, "BEGIN; UPDATE @.positions SET changelog_offset = 5");
    pthread_t second;
    assert_int_equal(pthread_create(&second, NULL, write_slowly, f), 0);
    int64_t deadline_us = alv_monotonic_us(alv_clock_system()) + 10 * 1000000;
    bool waits = false;
    while (!waits && alv_monotonic_us(alv_clock_system()) < deadline_us) {
        char *count = query(f, "SELECT count(*) FROM pg_locks WHERE NOT granted");
        waits = strcmp(count, "0") != 0;
        alv_free(count);
    }
    run(f, "COMMIT");
    void *result = NULL;
    assert_int_equal(pthread_join(second, &result), 0);
    alv_status status = *(alv_status *)result;
    alv_free(result);
    assert_true(waits);
    assert_int_equal(status, ALV_FENCED);
    assert_query(f, "SELECT state FROM @.entities", "\"first\"");
}

static void assert_url(const char *url, alv_status expected, const char *secret)
{
    alv_settings settings = {.postgres_url = url,
                             .postgres_schema = "alluvium",
                             .application_id = "app",
                             .node_id = "node-1"};
    alv_durable_store *store = alv_durable_postgres_new(&settings);
    int64_t position = -1;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = store->ops->position(store, 0, &position, &err);
    if (status != expected || strlen(err.text) == 0)
        fail_msg("%s: %s: %s", url, alv_status_name(status), err.text);
    if (strstr(err.text, secret) != NULL)
        fail_msg("%s is in: %s", secret, err.text);
    store->ops->close(store);
}

static void durable_postgres__refuses_a_url_that_is_none_without_quoting_it(void **state)
{
    (void)state;
    assert_url("postgresql://u:%zzsecret@127.0.0.1:1/db", ALV_FATAL, "secret");
    assert_url("postgresql://u:p@secret@127.0.0.1:1/db", ALV_FATAL, "secret");
    assert_url("postgresql://u:12/secret@127.0.0.1:1/db", ALV_FATAL, "secret");
    assert_url("postgresql://u:hunter/secret@127.0.0.1:1/db", ALV_FATAL, "hunter");
    assert_url("host=127.0.0.1 password=my secret", ALV_FATAL, "secret");
    assert_url("postgresql://u:secret/db", ALV_FATAL, "secret"); /* the host is missing */
    assert_url("secret", ALV_FATAL, "secret");
    assert_url("postgresql://u:secret@127.0.0.1:1/db", ALV_RETRY, "secret");
    assert_url("host=127.0.0.1 port=1 password='my secret'", ALV_RETRY, "secret");
    assert_url("postgresql://u:secret@no.such.host.invalid/db", ALV_RETRY, "secret");
}

/* ---- how quick ------------------------------------------------------------------------------- */

static void print_rate(const char *what, size_t count, int64_t began_us)
{
    int64_t took_us = alv_monotonic_us(alv_clock_system()) - began_us;
    print_message("%-40s %7zu rows in %4d ms, %7.0f rows/s\n", what, count, (int)(took_us / 1000),
                  (double)count * 1e6 / (double)took_us);
}

static alv_checkpoint_row *many_rows(void)
{
    alv_checkpoint_row *rows = alv_alloc_array(MANY, sizeof *rows);
    for (size_t i = 0; i < MANY; i++) {
        rows[i] = row_of(NULL, NULL, (int64_t)i);
        /* shuffled, as changes are: 7919 is prime to the count */
        rows[i].key = alv_view_of(alv_format("mall-1:user-%08zu", i * 7919 % MANY));
    }
    return rows;
}

static void set_states(alv_checkpoint_row *rows, const char *state, int64_t first_offset)
{
    for (size_t i = 0; i < MANY; i++) {
        rows[i].state = alv_view_of(state);
        rows[i].changelog_offset = first_offset + (int64_t)i;
    }
}

static void free_rows(alv_checkpoint_row *rows)
{
    for (size_t i = 0; i < MANY; i++)
        alv_free((void *)(uintptr_t)rows[i].key.data);
    alv_free(rows);
}

static void durable_postgres__writes_as_many_rows_as_a_checkpoint_may_hold(void **state)
{
    fixture *f = *state;
    char value[256];
    (void)snprintf(value, sizeof value,
                   "{\"mallId\":\"mall-1\",\"userId\":\"u\",\"nickname\":\"%0100d\",\"balance\":1,"
                   "\"recentProducts\":[\"p1\",\"p2\",\"p3\"],\"marketingOptIn\":true}",
                   7);
    alv_checkpoint_row *rows = many_rows();
    for (int i = 0; i < 3; i++) {
        set_states(rows, value, i * MANY);
        int64_t began_us = alv_monotonic_us(alv_clock_system());
        must_write(f, rows, MANY, i * MANY, (i + 1) * MANY);
        print_rate(i == 0 ? "insert" : "update", MANY, began_us);
    }
    assert_query(f, "SELECT count(*) FROM @.entities WHERE changelog_offset >= 40000", "20000");
    set_states(rows, NULL, 3 * MANY);
    int64_t began_us = alv_monotonic_us(alv_clock_system());
    must_write(f, rows, MANY, 3 * MANY, 4 * MANY);
    print_rate("delete", MANY, began_us);
    assert_query(f, "SELECT count(*) FROM @.entities", "0");
    free_rows(rows);
}

static void durable_postgres__finds_few_bad_rows_among_many(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row *rows = many_rows();
    set_states(rows, "{\"n\": 1}", 0);
    for (size_t i = 0; i < MANY; i += MANY / 10)
        rows[i + 17].state = ALV_VIEW("\"\\u0000\"");
    int64_t began_us = alv_monotonic_us(alv_clock_system());
    must_write(f, rows, MANY, 0, MANY);
    print_rate("insert, 10 bad", MANY, began_us);
    assert_query(f, "SELECT count(*) FROM @.entities WHERE state IS NULL", "10");
    assert_query(f, "SELECT count(*) FROM @.entities WHERE state IS NOT NULL", "19990");
    free_rows(rows);
}

static void durable_postgres__gets_through_nothing_but_bad_rows(void **state)
{
    fixture *f = *state;
    alv_checkpoint_row *rows = many_rows();
    set_states(rows, "not json", 0);
    int64_t began_us = alv_monotonic_us(alv_clock_system());
    must_write(f, rows, MANY, 0, MANY);
    print_rate("insert, all bad", MANY, began_us);
    assert_query(f, "SELECT count(*) FROM @.entities WHERE state IS NULL", "20000");
    free_rows(rows);
}

int main(void)
{
    if (getenv("ALLUVIUM_TEST_POSTGRES") == NULL) {
        print_message("skipped: set ALLUVIUM_TEST_POSTGRES to the connection string of a database "
                      "in which the tests may create schemas and roles\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(durable_postgres__writes_rows_with_their_position),
        TEST(durable_postgres__updates_and_deletes),
        TEST(durable_postgres__never_overwrites_newer_rows),
        TEST(durable_postgres__fences_a_writer_that_expects_another_position),
        TEST(durable_postgres__keeps_applications_apart),
        TEST(durable_postgres__takes_any_key_and_any_time),
        TEST(durable_postgres__stores_states_it_cannot_hold_as_null),
        TEST(durable_postgres__skips_keys_it_cannot_hold),
        TEST(durable_postgres__skips_rows_against_a_constraint_of_others),
        TEST(durable_postgres__tables_are_made_by_several_nodes_at_once),
        TEST(durable_postgres__says_what_is_wrong_with_existing_tables),
        TEST(durable_postgres__makes_tables_again_that_were_dropped),
        TEST(durable_postgres__works_without_the_right_to_create),
        TEST(durable_postgres__reconnects),
        TEST(durable_postgres__two_writers_of_a_shard_take_turns),
        cmocka_unit_test(durable_postgres__refuses_a_url_that_is_none_without_quoting_it),
        TEST(durable_postgres__writes_as_many_rows_as_a_checkpoint_may_hold),
        TEST(durable_postgres__finds_few_bad_rows_among_many),
        TEST(durable_postgres__gets_through_nothing_but_bad_rows),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
