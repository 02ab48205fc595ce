/* What a write does:
 *
 *   BEGIN; claim the positions (other value stored? ROLLBACK, fenced);
 *   upsert all changed rows in one statement; delete all deleted ones in another; COMMIT.
 *
 * If PostgreSQL finds fault with a row, all of it is rolled back and done again carefully:
 * savepoints, and halving down to the row at fault (see durable_store.h for what becomes of it). A
 * full write of nothing but bad rows takes some seconds, and goes on.
 *
 * synchronous_commit stays as the server has it. Turning it off would be safe (a crash takes back
 * the last rows together with their position, and the next write is fenced by that), but with about
 * one commit per second there is nothing to gain, and others may read these tables. */
#include <stdlib.h>

#include "base/alloc.h"
#include "changelog/durable_postgres_internal.h"

/* Moves all positions that are as expected and returns the shards of the others. The row locks make
 * writers of the same shard wait for each other, before they touch a row of it. */
static const char postgres_claim[] =
    "WITH wanted AS ("
    " SELECT * FROM unnest($2::integer[], $3::bigint[], $4::bigint[])"
    " AS u (shard, expected, next)),"
    " inserted AS ("
    " INSERT INTO %s.positions (application, shard, changelog_offset, updated_at)"
    " SELECT $1, shard, next, now() FROM wanted WHERE expected = 0 ORDER BY shard"
    " ON CONFLICT (application, shard) DO NOTHING RETURNING shard),"
    " updated AS ("
    " UPDATE %s.positions AS p SET changelog_offset = wanted.next, updated_at = now() FROM wanted"
    " WHERE p.application = $1 AND p.shard = wanted.shard"
    " AND p.changelog_offset = wanted.expected RETURNING p.shard)"
    " SELECT shard FROM wanted"
    " EXCEPT (SELECT shard FROM inserted UNION ALL SELECT shard FROM updated)";

/* The order by primary key keeps neighbours together and writers from dead-locking. */
static const char postgres_upsert[] =
    "INSERT INTO %s.entities AS e"
    " (application, key, type, shard, state, changelog_offset, updated_at)"
    " SELECT $1, u.key, u.type, u.shard, u.state, u.changelog_offset, u.updated_at"
    " FROM unnest($2::text[], $3::text[], $4::integer[], $5::jsonb[], $6::bigint[],"
    " $7::timestamptz[]) AS u (key, type, shard, state, changelog_offset, updated_at)"
    " ORDER BY u.key COLLATE \"C\""
    " ON CONFLICT (application, key) DO UPDATE SET type = excluded.type, shard = excluded.shard,"
    " state = excluded.state, changelog_offset = excluded.changelog_offset,"
    " updated_at = excluded.updated_at WHERE e.changelog_offset < excluded.changelog_offset";

static const char postgres_delete[] =
    "DELETE FROM %s.entities AS e"
    " USING unnest($2::text[], $3::bigint[]) AS u (key, changelog_offset)"
    " WHERE e.application = $1 AND e.key = u.key AND e.changelog_offset < u.changelog_offset";

static void postgres_mark_fenced(const alv_pg_result *shards, alv_checkpoint_position *positions,
                                 size_t position_count)
{
    for (int i = 0; i < alv_pg_result_count(shards); i++) {
        long shard = strtol(alv_pg_result_text(shards, i, 0), NULL, 10);
        for (size_t p = 0; p < position_count; p++) {
            positions[p].fenced |= positions[p].shard == shard;
        }
    }
}

static alv_status postgres_claim_positions(alv_postgres *pg, alv_checkpoint_position *positions,
                                           size_t position_count, alv_error *err)
{
    if (position_count == 0) {
        return ALV_OK;
    }
    alv_pg_array *columns = pg->columns;
    alv_pg_array_begin(&columns[0], ALV_PG_INT4);
    alv_pg_array_begin(&columns[1], ALV_PG_INT8);
    alv_pg_array_begin(&columns[2], ALV_PG_INT8);
    for (size_t i = 0; i < position_count; i++) {
        alv_pg_array_add_int4(&columns[0], positions[i].shard);
        alv_pg_array_add_int8(&columns[1], positions[i].expected);
        alv_pg_array_add_int8(&columns[2], positions[i].changelog_offset);
    }
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    for (int i = 0; i < 3; i++) {
        alv_postgres_add_array(&params, &columns[i]);
    }
    alv_pg_result *fenced = NULL;
    alv_status status = alv_postgres_run_here(pg, postgres_claim, &params, &fenced, err);
    if (status != ALV_OK) {
        return status;
    }
    postgres_mark_fenced(fenced, positions, position_count);
    if (alv_pg_result_count(fenced) > 0) {
        status = alv_fail(err, ALV_FENCED, "another position is stored of shard %s and %d more",
                          alv_pg_result_text(fenced, 0, 0), alv_pg_result_count(fenced) - 1);
    }
    alv_pg_result_free(fenced);
    return status;
}

typedef alv_status (*postgres_put)(alv_postgres *pg, alv_checkpoint_row *const *rows, size_t count,
                                   alv_error *err);

static alv_status postgres_put_upserts(alv_postgres *pg, alv_checkpoint_row *const *rows,
                                       size_t count, alv_error *err)
{
    static const alv_pg_type types[ALV_POSTGRES_COLUMNS] = {
        ALV_PG_TEXT, ALV_PG_TEXT, ALV_PG_INT4, ALV_PG_JSONB, ALV_PG_INT8, ALV_PG_TIMESTAMPTZ};
    alv_pg_array *columns = pg->columns;
    for (size_t i = 0; i < ALV_POSTGRES_COLUMNS; i++) {
        alv_pg_array_begin(&columns[i], types[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const alv_checkpoint_row *row = rows[i];
        alv_pg_array_add_text(&columns[0], row->key);
        alv_pg_array_add_text(&columns[1], row->type);
        alv_pg_array_add_int4(&columns[2], row->shard);
        if (row->outcome == ALV_ROW_WITHOUT_STATE) {
            alv_pg_array_add_null(&columns[3]);
        } else {
            alv_pg_array_add_jsonb(&columns[3], row->state);
        }
        alv_pg_array_add_int8(&columns[4], row->changelog_offset);
        alv_pg_array_add_timestamptz(&columns[5], row->updated_at_ms);
    }
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    for (size_t i = 0; i < ALV_POSTGRES_COLUMNS; i++) {
        alv_postgres_add_array(&params, &columns[i]);
    }
    return alv_postgres_run_here(pg, postgres_upsert, &params, NULL, err);
}

static alv_status postgres_put_deletes(alv_postgres *pg, alv_checkpoint_row *const *rows,
                                       size_t count, alv_error *err)
{
    alv_pg_array_begin(&pg->columns[0], ALV_PG_TEXT);
    alv_pg_array_begin(&pg->columns[1], ALV_PG_INT8);
    for (size_t i = 0; i < count; i++) {
        alv_pg_array_add_text(&pg->columns[0], rows[i]->key);
        alv_pg_array_add_int8(&pg->columns[1], rows[i]->changelog_offset);
    }
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_postgres_add_array(&params, &pg->columns[0]);
    alv_postgres_add_array(&params, &pg->columns[1]);
    return alv_postgres_run_here(pg, postgres_delete, &params, NULL, err);
}

/* ALV_REJECT: at least one of these rows is at fault, and none of them was written. */
static alv_status postgres_put_guarded(alv_postgres *pg, postgres_put put,
                                       alv_checkpoint_row *const *rows, size_t count,
                                       alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_postgres_run(pg, "SAVEPOINT alv_rows", NULL, NULL, err);
    if (status != ALV_OK) {
        return status;
    }
    status = put(pg, rows, count, &why);
    if (status == ALV_OK) {
        return alv_postgres_run(pg, "RELEASE SAVEPOINT alv_rows", NULL, NULL, err);
    }
    if (!alv_postgres_blames_row(pg)) {
        if (err != NULL && err->status == ALV_OK) {
            *err = why;
        }
        return status;
    }
    if (count == 1) {
        (void)alv_fail_from(&pg->refusal, ALV_REJECT, "libpq", 0, "%s", why.text);
    }
    status = alv_postgres_run(pg, "ROLLBACK TO SAVEPOINT alv_rows; RELEASE SAVEPOINT alv_rows",
                              NULL, NULL, err);
    return status == ALV_OK ? ALV_REJECT : status;
}

/* Halves until the rows at fault are alone, and puts them without their state or not at all.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as rows can be halved */
static alv_status postgres_put_careful(alv_postgres *pg, postgres_put put,
                                       alv_checkpoint_row *const *rows, size_t count,
                                       alv_error *err)
{
    alv_status status = postgres_put_guarded(pg, put, rows, count, err);
    if (status != ALV_REJECT) {
        return status;
    }
    if (count > 1) {
        size_t half = count / 2;
        status = postgres_put_careful(pg, put, rows, half, err);
        return status != ALV_OK ? status
                                : postgres_put_careful(pg, put, rows + half, count - half, err);
    }
    if (rows[0]->state.data != NULL) {
        rows[0]->outcome = ALV_ROW_WITHOUT_STATE;
        status = postgres_put_guarded(pg, put, rows, 1, err);
    }
    if (status == ALV_REJECT) {
        rows[0]->outcome = ALV_ROW_SKIPPED;
    }
    return status == ALV_REJECT ? ALV_OK : status;
}

/* As above; without `careful`, ALV_REJECT says that care is needed. */
static alv_status postgres_put_rows(alv_postgres *pg, postgres_put put,
                                    alv_checkpoint_row *const *rows, size_t count, bool careful,
                                    alv_error *err)
{
    if (count == 0) {
        return ALV_OK;
    }
    if (careful) {
        return postgres_put_careful(pg, put, rows, count, err);
    }
    alv_status status = put(pg, rows, count, err);
    return status != ALV_OK && alv_postgres_blames_row(pg) ? ALV_REJECT : status;
}

static alv_status postgres_transaction(alv_postgres *pg, alv_checkpoint_position *positions,
                                       size_t position_count, bool careful, alv_error *err)
{
    alv_status status = alv_postgres_run(pg, ALV_POSTGRES_BEGIN, NULL, NULL, err);
    if (status == ALV_OK) {
        status = postgres_claim_positions(pg, positions, position_count, err);
    }
    if (status == ALV_OK) {
        status = postgres_put_rows(pg, postgres_put_upserts, pg->upserts, pg->upsert_count, careful,
                                   err);
    }
    if (status == ALV_OK) {
        status = postgres_put_rows(pg, postgres_put_deletes, pg->deletes, pg->delete_count, careful,
                                   err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, "COMMIT", NULL, NULL, err);
    }
    alv_postgres_rollback(pg);
    return status;
}

static void postgres_sort_out(alv_postgres *pg, alv_checkpoint_row *rows, size_t row_count)
{
    pg->upserts = alv_realloc(pg->upserts, (row_count + 1) * sizeof *pg->upserts);
    pg->deletes = alv_realloc(pg->deletes, (row_count + 1) * sizeof *pg->deletes);
    pg->upsert_count = 0;
    pg->delete_count = 0;
    for (size_t i = 0; i < row_count; i++) {
        rows[i].outcome = ALV_ROW_STORED;
        if (rows[i].state.data != NULL) {
            pg->upserts[pg->upsert_count++] = &rows[i];
        } else {
            pg->deletes[pg->delete_count++] = &rows[i];
        }
    }
}

alv_status alv_postgres_write(alv_durable_store *store, alv_checkpoint_row *rows, size_t row_count,
                              alv_checkpoint_position *positions, size_t position_count,
                              alv_error *err)
{
    alv_postgres *pg = (alv_postgres *)store;
    for (size_t i = 0; i < position_count; i++) {
        positions[i].fenced = false;
    }
    postgres_sort_out(pg, rows, row_count);
    alv_error_clear(&pg->refusal);
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_postgres_prepare(pg, &why);
    if (status == ALV_OK) {
        status = postgres_transaction(pg, positions, position_count, false, &why);
    }
    if (status == ALV_REJECT) {
        alv_error_clear(&why);
        status = postgres_transaction(pg, positions, position_count, true, &why);
    }
    if (err != NULL && err->status == ALV_OK) {
        *err = status == ALV_OK ? pg->refusal : why;
    }
    return status;
}
