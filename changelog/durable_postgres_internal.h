/* durable_postgres_internal.h — what the parts of the PostgreSQL store share: durable_postgres.c
 * holds the connection (and is the only one that knows libpq), _tables makes and checks the tables,
 * _write writes, _rows is what the operator's tools need (durable_rows.h).
 *
 * Thread: that of the store.
 */
#ifndef ALV_CHANGELOG_DURABLE_POSTGRES_INTERNAL_H
#define ALV_CHANGELOG_DURABLE_POSTGRES_INTERNAL_H

#include "changelog/durable_store.h"
#include "changelog/pg_array.h"

/* The server gives up a statement after 60 s (a write of 64 MiB to a slow disk needs its time),
 * and we give up the server a little later, for it may be frozen. A node that vanished must not
 * hold the lock on its positions for long. */
#define ALV_POSTGRES_BEGIN                  \
    "BEGIN ISOLATION LEVEL READ COMMITTED;" \
    "SET LOCAL statement_timeout = 60000;"  \
    "SET LOCAL lock_timeout = 10000;"       \
    "SET LOCAL idle_in_transaction_session_timeout = 60000"

#define ALV_POSTGRES_PARAMS_MAX 8
#define ALV_POSTGRES_COLUMNS 6

/* libpq's connection and result, by the names of their structs. */
typedef struct pg_conn alv_pg_conn;
typedef struct pg_result alv_pg_result;

typedef struct alv_postgres {
    alv_durable_store store;
    char *url;
    char *application;
    char *client;        /* application_name */
    char *schema;        /* as it is */
    char *schema_quoted; /* for statements */
    alv_pg_conn *conn;   /* NULL = not connected */
    bool url_checked;
    bool tables_checked;
    char sqlstate[6]; /* of the last failure, "" when it was not PostgreSQL's */
    alv_pg_array columns[ALV_POSTGRES_COLUMNS];
    alv_checkpoint_row **upserts; /* the write under way, borrowed */
    alv_checkpoint_row **deletes;
    size_t upsert_count;
    size_t delete_count;
    alv_error refusal; /* why the first refused row was */
} alv_postgres;

/* Of one statement; zero-initialise it. Borrows what is added. */
typedef struct alv_postgres_params {
    int count;
    uint32_t types[ALV_POSTGRES_PARAMS_MAX];
    const char *values[ALV_POSTGRES_PARAMS_MAX];
    int lengths[ALV_POSTGRES_PARAMS_MAX];
    int formats[ALV_POSTGRES_PARAMS_MAX]; /* 0 text, 1 binary */
} alv_postgres_params;

void alv_postgres_add_text(alv_postgres_params *params, const char *text);

/* Finishes the array; it must stay as it is until the statement has run. */
void alv_postgres_add_array(alv_postgres_params *params, alv_pg_array *array);

/* Runs one statement (with `params`) or several (without). `out_result`, when wanted, belongs to
 * the caller after ALV_OK. ALV_RETRY: refused or lost; see alv_postgres_blames_row. */
alv_status alv_postgres_run(alv_postgres *pg, const char *sql, const alv_postgres_params *params,
                            alv_pg_result **out_result, alv_error *err);

/* The same for a statement about our tables: each `%s` in `format` becomes the schema. */
alv_status alv_postgres_run_here(alv_postgres *pg, const char *format,
                                 const alv_postgres_params *params, alv_pg_result **out_result,
                                 alv_error *err);

/* Whether the statement that just failed did so for what a row holds. */
bool alv_postgres_blames_row(const alv_postgres *pg);

/* Leaves the transaction, if there is one; keeps the cause in pg->sqlstate. */
void alv_postgres_rollback(alv_postgres *pg);

int alv_pg_result_count(const alv_pg_result *result);
const char *alv_pg_result_text(const alv_pg_result *result, int row, int column);

/* NULL is a view without data. Valid as long as the result. */
alv_view alv_pg_result_view(const alv_pg_result *result, int row, int column);

void alv_pg_result_free(alv_pg_result *result);

/* Sees to it that our tables are there (durable_postgres_tables.c); connected already.
 * ALV_RETRY. */
alv_status alv_postgres_check_tables(alv_postgres *pg, alv_error *err);

/* Connects and sees to the tables, when that is still to be done. ALV_RETRY, ALV_FATAL. */
alv_status alv_postgres_prepare(alv_postgres *pg, alv_error *err);

/* The store's write (durable_postgres_write.c). */
alv_status alv_postgres_write(alv_durable_store *store, alv_checkpoint_row *rows, size_t row_count,
                              alv_checkpoint_position *positions, size_t position_count,
                              alv_error *err);

#endif
