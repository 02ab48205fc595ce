/* A scan holds one snapshot and fetches through a cursor, some rows at a time, so that memory stays
 * bounded. There is no index by shard: each scan reads the whole table, which is the price for an upsert
 * without one more index to keep. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "changelog/durable_postgres_internal.h"
#include "changelog/durable_rows.h"

/* With the largest states about 250 MB; usually some hundred kB. */
#define ROWS_FETCH "FETCH 256 FROM alv_rows"

#define ROWS_BEGIN_SNAPSHOT                            \
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;" \
    "SET LOCAL statement_timeout = 60000;"             \
    "SET LOCAL idle_in_transaction_session_timeout = 120000"

/* Statements over all rows of a shard take as long as they take, within what alv_postgres_run waits. */
#define ROWS_BEGIN_CHANGE                   \
    "BEGIN ISOLATION LEVEL READ COMMITTED;" \
    "SET LOCAL statement_timeout = 70000;"  \
    "SET LOCAL lock_timeout = 10000;"       \
    "SET LOCAL idle_in_transaction_session_timeout = 60000"

/* Decimal numbers as parameters. */
typedef struct rows_number {
    char text[24];
} rows_number;

static const char *rows_print(rows_number *number, int64_t value)
{
    (void)snprintf(number->text, sizeof(number->text), "%" PRId64, value);
    return number->text;
}

static int64_t rows_number_of(const alv_pg_result *result, int row, int column)
{
    return strtoll(alv_pg_result_text(result, row, column), NULL, 10);
}

/* ---- survey ---------------------------------------------------------------------------------- */

static const char rows_survey[] =
    "SELECT coalesce(e.shard, p.shard), coalesce(e.rows, 0), coalesce(e.empty, 0),"
    " coalesce(p.changelog_offset, 0)"
    " FROM (SELECT shard, count(*) AS rows, count(*) FILTER (WHERE state IS NULL) AS empty"
    " FROM %s.entities WHERE application = $1 GROUP BY shard) AS e"
    " FULL JOIN (SELECT shard, changelog_offset FROM %s.positions WHERE application = $1) AS p"
    " ON p.shard = e.shard ORDER BY 1";

alv_status alv_durable_rows_survey(alv_durable_store *store, alv_durable_shard **out,
                                   size_t *out_count, alv_error *err)
{
    alv_postgres *pg = (alv_postgres *)store;
    alv_status status = alv_postgres_prepare(pg, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_pg_result *result = NULL;
    status = alv_postgres_run_here(pg, rows_survey, &params, &result, err);
    if (status != ALV_OK) {
        return status;
    }
    size_t count = (size_t)alv_pg_result_count(result);
    alv_durable_shard *shards = alv_alloc_array(count + 1, sizeof(*shards));
    for (size_t i = 0; i < count; i++) {
        shards[i] = (alv_durable_shard){
            .shard = (int32_t)rows_number_of(result, (int)i, 0),
            .rows = rows_number_of(result, (int)i, 1),
            .rows_without_state = rows_number_of(result, (int)i, 2),
            .position = rows_number_of(result, (int)i, 3),
        };
    }
    alv_pg_result_free(result);
    *out = shards;
    *out_count = count;
    return ALV_OK;
}

/* ---- scan ------------------------------------------------------------------------------------ */

static const char rows_declare[] =
    "DECLARE alv_rows NO SCROLL CURSOR FOR"
    " SELECT key, type, state, changelog_offset,"
    " (extract(epoch FROM updated_at) * 1000)::bigint"
    " FROM %s.entities WHERE application = $1 AND shard = $2::integer";

/* False when the visitor has had enough. */
static bool rows_visit(const alv_pg_result *result, int32_t shard, alv_durable_visit visit,
                       void *payload)
{
    for (int i = 0; i < alv_pg_result_count(result); i++) {
        const alv_checkpoint_row row = {
            .key = alv_pg_result_view(result, i, 0),
            .type = alv_pg_result_view(result, i, 1),
            .state = alv_pg_result_view(result, i, 2),
            .shard = shard,
            .changelog_offset = rows_number_of(result, i, 3),
            .updated_at_ms = rows_number_of(result, i, 4),
        };
        if (!visit(payload, &row)) {
            return false;
        }
    }
    return true;
}

static alv_status rows_fetch_all(alv_postgres *pg, int32_t shard, alv_durable_visit visit,
                                 void *payload, alv_error *err)
{
    bool more = true;
    while (more) {
        alv_pg_result *result = NULL;
        alv_status status = alv_postgres_run(pg, ROWS_FETCH, NULL, &result, err);
        if (status != ALV_OK) {
            return status;
        }
        more = alv_pg_result_count(result) > 0 && rows_visit(result, shard, visit, payload);
        alv_pg_result_free(result);
    }
    return ALV_OK;
}

alv_status alv_durable_rows_scan(alv_durable_store *store, int32_t shard, alv_durable_visit visit,
                                 void *payload, int64_t *out_position, alv_error *err)
{
    alv_postgres *pg = (alv_postgres *)store;
    rows_number shard_text;
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_postgres_add_text(&params, rows_print(&shard_text, shard));
    alv_status status = alv_postgres_prepare(pg, err);
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, ROWS_BEGIN_SNAPSHOT, NULL, NULL, err);
    }
    if (status == ALV_OK) { /* the snapshot is taken by the first question */
        status = store->ops->position(store, shard, out_position, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run_here(pg, rows_declare, &params, NULL, err);
    }
    if (status == ALV_OK) {
        status = rows_fetch_all(pg, shard, visit, payload, err);
    }
    alv_postgres_rollback(pg); /* nothing was changed */
    return status;
}

/* ---- renumber -------------------------------------------------------------------------------- */

static const char rows_move_position[] =
    "UPDATE %s.positions SET changelog_offset = $4::bigint, updated_at = now()"
    " WHERE application = $1 AND shard = $2::integer AND changelog_offset = $3::bigint"
    " RETURNING shard";

static const char rows_make_position[] =
    "INSERT INTO %s.positions (application, shard, changelog_offset, updated_at)"
    " SELECT $1, $2::integer, $4::bigint, now() WHERE $3::bigint = 0"
    " ON CONFLICT (application, shard) DO NOTHING RETURNING shard";

static const char rows_move[] =
    "UPDATE %s.entities AS e SET changelog_offset = u.changelog_offset"
    " FROM unnest($2::text[], $3::bigint[]) AS u (key, changelog_offset)"
    " WHERE e.application = $1 AND e.key = u.key";

static const char rows_delete_empty[] =
    "DELETE FROM %s.entities"
    " WHERE application = $1 AND shard = $2::integer AND state IS NULL";

/* Runs one of the two statements above that answer with a row when they did something. */
static alv_status rows_try_position(alv_postgres *pg, const char *sql,
                                    const alv_postgres_params *params, bool *out_done,
                                    alv_error *err)
{
    alv_pg_result *result = NULL;
    alv_status status = alv_postgres_run_here(pg, sql, params, &result, err);
    if (status == ALV_OK) {
        *out_done = alv_pg_result_count(result) > 0;
        alv_pg_result_free(result);
    }
    return status;
}

static alv_status rows_claim_position(alv_postgres *pg, int32_t shard, int64_t expected,
                                      int64_t position, alv_error *err)
{
    rows_number texts[3];
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_postgres_add_text(&params, rows_print(&texts[0], shard));
    alv_postgres_add_text(&params, rows_print(&texts[1], expected));
    alv_postgres_add_text(&params, rows_print(&texts[2], position));
    bool done = false;
    alv_status status = rows_try_position(pg, rows_move_position, &params, &done, err);
    if (status == ALV_OK && !done) {
        status = rows_try_position(pg, rows_make_position, &params, &done, err);
    }
    if (status == ALV_OK && !done) {
        status = alv_fail(err, ALV_FENCED,
                          "the position of shard %" PRId32 " in PostgreSQL is no longer %" PRId64
                          ": a node writes checkpoints",
                          shard, expected);
    }
    return status;
}

static alv_status rows_move_some(alv_postgres *pg, const alv_durable_place *places, size_t count,
                                 alv_error *err)
{
    alv_pg_array_begin(&pg->columns[0], ALV_PG_TEXT);
    alv_pg_array_begin(&pg->columns[1], ALV_PG_INT8);
    for (size_t i = 0; i < count; i++) {
        alv_pg_array_add_text(&pg->columns[0], places[i].key);
        alv_pg_array_add_int8(&pg->columns[1], places[i].changelog_offset);
    }
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_postgres_add_array(&params, &pg->columns[0]);
    alv_postgres_add_array(&params, &pg->columns[1]);
    return alv_postgres_run_here(pg, rows_move, &params, NULL, err);
}

static alv_status rows_move_all(alv_postgres *pg, int32_t shard, const alv_durable_place *places,
                                size_t count, alv_error *err)
{
    alv_status status = ALV_OK;
    for (size_t i = 0; status == ALV_OK && i < count; i += ALV_CHECKPOINT_ROWS_MAX) {
        size_t left = count - i;
        status = rows_move_some(
            pg, places + i, left < ALV_CHECKPOINT_ROWS_MAX ? left : ALV_CHECKPOINT_ROWS_MAX, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    rows_number shard_text;
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_postgres_add_text(&params, rows_print(&shard_text, shard));
    return alv_postgres_run_here(pg, rows_delete_empty, &params, NULL, err);
}

alv_status alv_durable_rows_renumber(alv_durable_store *store, int32_t shard, int64_t expected,
                                     const alv_durable_place *places, size_t count,
                                     int64_t position, alv_error *err)
{
    alv_postgres *pg = (alv_postgres *)store;
    ALV_ASSERT(position >= 0);
    alv_status status = alv_postgres_prepare(pg, err);
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, ROWS_BEGIN_CHANGE, NULL, NULL, err);
    }
    if (status == ALV_OK) {
        status = rows_claim_position(pg, shard, expected, position, err);
    }
    if (status == ALV_OK) {
        status = rows_move_all(pg, shard, places, count, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, "COMMIT", NULL, NULL, err);
    }
    alv_postgres_rollback(pg);
    return status;
}

/* ---- clear ----------------------------------------------------------------------------------- */

alv_status alv_durable_rows_clear(alv_durable_store *store, alv_error *err)
{
    alv_postgres *pg = (alv_postgres *)store;
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_status status = alv_postgres_prepare(pg, err);
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, ROWS_BEGIN_CHANGE, NULL, NULL, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run_here(pg, "DELETE FROM %s.entities WHERE application = $1",
                                       &params, NULL, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run_here(pg, "DELETE FROM %s.positions WHERE application = $1",
                                       &params, NULL, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, "COMMIT", NULL, NULL, err);
    }
    alv_postgres_rollback(pg);
    return status;
}
