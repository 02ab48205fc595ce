/* Tables that are there are only looked at, so that a user without the right to create is
 * enough. */
#include <string.h>

#include "changelog/durable_postgres_internal.h"

/* One who makes tables at a time. Any number will do; this one is "alluvium" in ASCII. */
#define POSTGRES_TABLES_LOCK "7020105170917356909"

/* Keys in byte order: smaller and quicker indexes, `like 'prefix%'` can use them, and no upgrade
 * of the system's collations breaks them. The free space keeps updates on their page (HOT). */
static const char postgres_create_tables[] =
    "CREATE TABLE IF NOT EXISTS %s.entities ("
    " application text COLLATE \"C\" NOT NULL,"
    " key text COLLATE \"C\" NOT NULL,"
    " type text NOT NULL,"
    " shard integer NOT NULL,"
    " state jsonb,"
    " changelog_offset bigint NOT NULL,"
    " updated_at timestamptz NOT NULL,"
    " PRIMARY KEY (application, key)) WITH (fillfactor = 80);"
    "COMMENT ON COLUMN %s.entities.state IS"
    " 'NULL: PostgreSQL does not take this state; it is in the changelog, at changelog_offset';"
    "CREATE TABLE IF NOT EXISTS %s.positions ("
    " application text COLLATE \"C\" NOT NULL,"
    " shard integer NOT NULL,"
    " changelog_offset bigint NOT NULL,"
    " updated_at timestamptz NOT NULL,"
    " PRIMARY KEY (application, shard)) WITH (fillfactor = 50)";

static const struct postgres_column {
    const char *table;
    const char *name;
    const char *type;
} postgres_needed[] = {
    {"entities", "application", "text"},
    {"entities", "key", "text"},
    {"entities", "type", "text"},
    {"entities", "shard", "integer"},
    {"entities", "state", "jsonb"},
    {"entities", "changelog_offset", "bigint"},
    {"entities", "updated_at", "timestamp with time zone"},
    {"positions", "application", "text"},
    {"positions", "shard", "integer"},
    {"positions", "changelog_offset", "bigint"},
    {"positions", "updated_at", "timestamp with time zone"},
};

static alv_status postgres_read_columns(alv_postgres *pg, alv_pg_result **out, alv_error *err)
{
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->schema);
    return alv_postgres_run(pg,
                            "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, NULL)"
                            " FROM pg_catalog.pg_namespace n"
                            " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid"
                            " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
                            " WHERE n.nspname = $1 AND c.relname IN ('entities', 'positions')"
                            " AND a.attnum > 0 AND NOT a.attisdropped",
                            &params, out, err);
}

/* The type of a column, "" when the table has no such column, NULL when there is no such table. */
static const char *postgres_column_type(const alv_pg_result *columns,
                                        const struct postgres_column *needed)
{
    const char *type = NULL;
    for (int i = 0; i < alv_pg_result_count(columns); i++) {
        if (strcmp(alv_pg_result_text(columns, i, 0), needed->table) != 0) {
            continue;
        }
        if (strcmp(alv_pg_result_text(columns, i, 1), needed->name) == 0) {
            return alv_pg_result_text(columns, i, 2);
        }
        type = "";
    }
    return type;
}

/* Sets *out_missing when a table is not there; ALV_RETRY when one is there and has another
 * shape. */
static alv_status postgres_find_tables(alv_postgres *pg, bool *out_missing, alv_error *err)
{
    alv_pg_result *columns = NULL;
    alv_status status = postgres_read_columns(pg, &columns, err);
    if (status != ALV_OK) {
        return status;
    }
    *out_missing = false;
    for (size_t i = 0; i < sizeof postgres_needed / sizeof postgres_needed[0]; i++) {
        const struct postgres_column *needed = &postgres_needed[i];
        const char *type = postgres_column_type(columns, needed);
        if (type == NULL) {
            *out_missing = true;
        } else if (strcmp(type, needed->type) != 0) {
            status = alv_fail(err, ALV_RETRY,
                              "column %s of table %s.%s must be %s but is %s; drop or rename the "
                              "table (it is made anew) or choose another postgres.schema",
                              needed->name, pg->schema, needed->table, needed->type,
                              type[0] != '\0' ? type : "missing");
        }
    }
    alv_pg_result_free(columns);
    return status;
}

/* CREATE SCHEMA IF NOT EXISTS asks for the right to create one even when it is there. */
static alv_status postgres_create_schema(alv_postgres *pg, alv_error *err)
{
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->schema);
    alv_pg_result *found = NULL;
    alv_status status = alv_postgres_run(
        pg, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &params, &found, err);
    if (status != ALV_OK) {
        return status;
    }
    bool exists = alv_pg_result_count(found) > 0;
    alv_pg_result_free(found);
    return exists ? ALV_OK : alv_postgres_run_here(pg, "CREATE SCHEMA %s", NULL, NULL, err);
}

/* Several nodes start at once: IF NOT EXISTS alone fails when two do it at the same moment. */
static alv_status postgres_create(alv_postgres *pg, alv_error *err)
{
    alv_status status = alv_postgres_run(pg, ALV_POSTGRES_BEGIN, NULL, NULL, err);
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, "SELECT pg_advisory_xact_lock(" POSTGRES_TABLES_LOCK ")",
                                  NULL, NULL, err);
    }
    if (status == ALV_OK) {
        status = postgres_create_schema(pg, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run_here(pg, postgres_create_tables, NULL, NULL, err);
    }
    if (status == ALV_OK) {
        status = alv_postgres_run(pg, "COMMIT", NULL, NULL, err);
    }
    alv_postgres_rollback(pg);
    return status;
}

alv_status alv_postgres_check_tables(alv_postgres *pg, alv_error *err)
{
    bool missing = false;
    alv_status status = postgres_find_tables(pg, &missing, err);
    if (status != ALV_OK || !missing) {
        return status;
    }
    status = postgres_create(pg, err);
    return status != ALV_OK ? status : postgres_find_tables(pg, &missing, err);
}
