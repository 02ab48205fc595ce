/* The connection: made when it is needed, thrown away after anything that leaves it in doubt. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "changelog/durable_postgres_internal.h"

#define POSTGRES_CALL_US (INT64_C(75) * 1000 * 1000)
#define POSTGRES_CONNECT_S "5"

/* ---- parameters and results ------------------------------------------------------------------ */

void alv_postgres_add_text(alv_postgres_params *params, const char *text)
{
    ALV_ASSERT(params->count < ALV_POSTGRES_PARAMS_MAX);
    int i = params->count++;
    params->types[i] = ALV_PG_TEXT;
    params->values[i] = text;
}

void alv_postgres_add_array(alv_postgres_params *params, alv_pg_array *array)
{
    ALV_ASSERT(params->count < ALV_POSTGRES_PARAMS_MAX);
    alv_pg_array_finish(array);
    int i = params->count++;
    params->types[i] = alv_pg_array_oid(array->type);
    params->values[i] = array->bytes.data;
    params->lengths[i] = (int)array->bytes.size;
    params->formats[i] = 1;
}

int alv_pg_result_count(const alv_pg_result *result)
{
    return PQntuples(result);
}

const char *alv_pg_result_text(const alv_pg_result *result, int row, int column)
{
    return PQgetvalue(result, row, column);
}

alv_view alv_pg_result_view(const alv_pg_result *result, int row, int column)
{
    if (PQgetisnull(result, row, column)) {
        return ALV_VIEW_NONE;
    }
    return (alv_view){PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)};
}

void alv_pg_result_free(alv_pg_result *result)
{
    PQclear(result);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* What an operator can do about it; matched by the beginning of the SQLSTATE. */
static const struct postgres_advice {
    const char *sqlstate;
    const char *text;
} postgres_advices[] = {
    {"25006", "; this server is read-only: point postgres.url at the primary"},
    {"42501",
     "; grant this user CREATE on the database, or USAGE on the schema and SELECT, INSERT, "
     "UPDATE, DELETE on its tables entities and positions"},
    {"42P10", "; the table lacks its primary key: (application, key) of entities, (application, "
              "shard) of positions"},
    {"53", "; the server is out of resources (connections, memory or disk)"},
    {"57014", "; it took too long: the server is overloaded, or somebody cancelled it"},
};

static const char *postgres_advice_for(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof postgres_advices / sizeof postgres_advices[0]; i++) {
        const struct postgres_advice *advice = &postgres_advices[i];
        if (strncmp(sqlstate, advice->sqlstate, strlen(advice->sqlstate)) == 0) {
            return advice->text;
        }
    }
    return "";
}

static void postgres_disconnect(alv_postgres *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->tables_checked = false; /* the next server may be another one */
}

static alv_status postgres_lost(alv_postgres *pg, alv_error *err)
{
    pg->sqlstate[0] = '\0';
    alv_fail_from(err, ALV_RETRY, "libpq", 0, "%s", PQerrorMessage(pg->conn));
    postgres_disconnect(pg);
    return ALV_RETRY;
}

/* Says what the server said: the primary message alone, for details may quote data. */
static alv_status postgres_refused(alv_postgres *pg, const PGresult *result, alv_error *err)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate == NULL) {
        return postgres_lost(pg, err);
    }
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    (void)snprintf(pg->sqlstate, sizeof pg->sqlstate, "%s", sqlstate);
    alv_fail_from(err, ALV_RETRY, "libpq", 0, "%s (SQLSTATE %s)%s", text != NULL ? text : "refused",
                  sqlstate, postgres_advice_for(sqlstate));
    if (strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "3F", 2) == 0) {
        pg->tables_checked = false; /* somebody dropped or changed them */
    }
    if (PQstatus(pg->conn) == CONNECTION_BAD || strcmp(sqlstate, "25006") == 0) {
        postgres_disconnect(pg); /* read-only: find the new primary */
    }
    return ALV_RETRY;
}

/* Faults of single rows: data (22), constraints that somebody added (23), limits of the server
 * such as the depth of JSON or the size of an index entry (54). */
bool alv_postgres_blames_row(const alv_postgres *pg)
{
    if (pg->conn == NULL) {
        return false;
    }
    return strncmp(pg->sqlstate, "22", 2) == 0 || strncmp(pg->sqlstate, "23", 2) == 0 ||
           strncmp(pg->sqlstate, "54", 2) == 0;
}

/* ---- one statement, with a deadline ---------------------------------------------------------- */

/* Waits for the socket; false when the connection is broken or the deadline has passed. */
static bool postgres_wait(alv_postgres *pg, short events, int64_t deadline_us)
{
    int64_t left_ms = (deadline_us - alv_monotonic_us(alv_clock_system())) / 1000;
    if (left_ms <= 0) {
        return false;
    }
    struct pollfd socket = {.fd = PQsocket(pg->conn), .events = events};
    int ready = poll(&socket, 1, (int)left_ms);
    if (ready < 0) {
        return errno == EINTR;
    }
    return (socket.revents & ~POLLOUT) == 0 || PQconsumeInput(pg->conn) == 1;
}

/* The next result of the statement under way, NULL at its end. False when it never came. */
static bool postgres_next_result(alv_postgres *pg, int64_t deadline_us, PGresult **out)
{
    while (PQisBusy(pg->conn)) {
        if (!postgres_wait(pg, POLLIN, deadline_us)) {
            return false;
        }
    }
    *out = PQgetResult(pg->conn);
    return true;
}

static bool postgres_send(alv_postgres *pg, const char *sql, const alv_postgres_params *params,
                          int64_t deadline_us)
{
    int sent = params == NULL
                   ? PQsendQuery(pg->conn, sql)
                   : PQsendQueryParams(pg->conn, sql, params->count, params->types, params->values,
                                       params->lengths, params->formats, 0);
    if (sent == 0) {
        return false;
    }
    int flushed;
    while ((flushed = PQflush(pg->conn)) == 1) {
        if (!postgres_wait(pg, POLLIN | POLLOUT, deadline_us)) {
            return false;
        }
    }
    return flushed == 0;
}

static bool postgres_result_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Keeps the first failure of a statement's results, or else the last of them. */
static bool postgres_receive(alv_postgres *pg, int64_t deadline_us, PGresult **out)
{
    PGresult *kept = NULL;
    PGresult *next = NULL;
    while (postgres_next_result(pg, deadline_us, &next)) {
        if (next == NULL) {
            *out = kept;
            return kept != NULL;
        }
        bool keep = kept == NULL || postgres_result_good(kept);
        PQclear(keep ? kept : next);
        kept = keep ? next : kept;
    }
    PQclear(kept);
    return false;
}

/* Runs a statement (with `params`) or several (without). `out_result`, when wanted, is the
 * caller's after ALV_OK. ALV_RETRY; pg->sqlstate says more. */
alv_status alv_postgres_run(alv_postgres *pg, const char *sql, const alv_postgres_params *params,
                            PGresult **out_result, alv_error *err)
{
    int64_t deadline_us = alv_monotonic_us(alv_clock_system()) + POSTGRES_CALL_US;
    PGresult *result = NULL;
    if (!postgres_send(pg, sql, params, deadline_us) ||
        !postgres_receive(pg, deadline_us, &result)) {
        if (alv_monotonic_us(alv_clock_system()) >= deadline_us) {
            alv_fail_from(err, ALV_RETRY, "libpq", 0, "no answer within %d s",
                          (int)(POSTGRES_CALL_US / 1000000));
        }
        return postgres_lost(pg, err);
    }
    alv_status status = ALV_OK;
    if (!postgres_result_good(result)) {
        status = postgres_refused(pg, result, err);
    }
    if (status != ALV_OK || out_result == NULL) {
        PQclear(result);
    } else {
        *out_result = result;
    }
    return status;
}

/* Runs a statement written for this schema: `%s` in `format` is the schema, each time. */
alv_status alv_postgres_run_here(alv_postgres *pg, const char *format,
                                 const alv_postgres_params *params, PGresult **out_result,
                                 alv_error *err)
{
    alv_bytes sql = ALV_BYTES_EMPTY;
    for (const char *at = format, *mark; at != NULL; at = mark == NULL ? NULL : mark + 2) {
        mark = strstr(at, "%s");
        alv_bytes_append(&sql, at, mark != NULL ? (size_t)(mark - at) : strlen(at) + 1);
        if (mark != NULL) {
            alv_bytes_append_text(&sql, pg->schema_quoted);
        }
    }
    alv_status status = alv_postgres_run(pg, sql.data, params, out_result, err);
    alv_bytes_done(&sql);
    return status;
}

/* Leaves a transaction that failed. */
void alv_postgres_rollback(alv_postgres *pg)
{
    if (pg->conn == NULL || PQtransactionStatus(pg->conn) == PQTRANS_IDLE) {
        return;
    }
    char sqlstate[sizeof pg->sqlstate];
    memcpy(sqlstate, pg->sqlstate, sizeof sqlstate);
    if (alv_postgres_run(pg, "ROLLBACK", NULL, NULL, NULL) != ALV_OK && pg->conn != NULL) {
        postgres_disconnect(pg);
    }
    memcpy(pg->sqlstate, sqlstate, sizeof sqlstate); /* the cause, not this */
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* In an address, a raw '@' or '/' in a password is taken for the end of it, and libpq would
 * quote the rest as host, port or database in its messages. */
static bool url_address_clear(const char *url)
{
    const char *start = strstr(url, "://");
    if (start == NULL) {
        return true; /* key=value form */
    }
    start += 3;
    const char *end = start + strcspn(start, "/?");
    const char *at = memchr(start, '@', (size_t)(end - start));
    if (at != NULL && memchr(at + 1, '@', (size_t)(end - at - 1)) != NULL) {
        return false;
    }
    return strchr(end, '@') == NULL;
}

static bool url_ports_clear(const PQconninfoOption *options)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, "port") == 0 && options->val != NULL) {
            return strspn(options->val, "0123456789,") == strlen(options->val);
        }
    }
    return true;
}

/* libpq's own message is not shown: it quotes the part it does not understand, which may be the
 * password. */
static alv_status postgres_check_url(alv_postgres *pg, alv_error *err)
{
    if (pg->url_checked) {
        return ALV_OK;
    }
    PQconninfoOption *options = PQconninfoParse(pg->url, NULL);
    bool clear = options != NULL && url_address_clear(pg->url) && url_ports_clear(options);
    PQconninfoFree(options);
    if (!clear) {
        return alv_fail(err, ALV_FATAL,
                        "postgres.url is not a connection string: write "
                        "postgresql://user:password@host:port/database, with special characters in "
                        "user and password percent-encoded (@ is %%40, / is %%2F, %% is %%25)");
    }
    pg->url_checked = true;
    return ALV_OK;
}

/* Notices such as "already exists, skipping" would go to stderr. */
static void postgres_ignore_notice(void *payload, const char *message)
{
    (void)payload;
    (void)message;
}

/* What comes before the address may be changed by it; what comes after may not. */
static PGconn *postgres_open(const alv_postgres *pg)
{
    const char *keywords[] = {"connect_timeout",           "target_session_attrs",
                              "keepalives_idle",           "keepalives_interval",
                              "keepalives_count",          "tcp_user_timeout",
                              "fallback_application_name", "dbname",
                              "client_encoding",           NULL};
    const char *values[] = {POSTGRES_CONNECT_S, "read-write", "10",   "5", "3", "15000",
                            pg->client,         pg->url,      "UTF8", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

static alv_status postgres_connect(alv_postgres *pg, alv_error *err)
{
    if (pg->conn != NULL) {
        return ALV_OK;
    }
    alv_status status = postgres_check_url(pg, err);
    if (status != ALV_OK) {
        return status;
    }
    pg->conn = postgres_open(pg);
    if (pg->conn == NULL) {
        return alv_fail(err, ALV_RETRY, "libpq is out of memory");
    }
    if (PQstatus(pg->conn) != CONNECTION_OK || PQsetnonblocking(pg->conn, 1) != 0) {
        return postgres_lost(pg, err);
    }
    (void)PQsetNoticeProcessor(pg->conn, postgres_ignore_notice, NULL);
    return ALV_OK;
}

alv_status alv_postgres_prepare(alv_postgres *pg, alv_error *err)
{
    alv_status status = postgres_connect(pg, err);
    if (status != ALV_OK || pg->tables_checked) {
        return status;
    }
    status = alv_postgres_check_tables(pg, err);
    pg->tables_checked = status == ALV_OK;
    return status;
}

/* ---- position -------------------------------------------------------------------------------- */

static alv_status postgres_position(alv_durable_store *store, int32_t shard, int64_t *out,
                                    alv_error *err)
{
    alv_postgres *pg = (alv_postgres *)store;
    alv_status status = alv_postgres_prepare(pg, err);
    if (status != ALV_OK) {
        return status;
    }
    char shard_text[16];
    (void)snprintf(shard_text, sizeof shard_text, "%d", (int)shard);
    alv_postgres_params params = {0};
    alv_postgres_add_text(&params, pg->application);
    alv_postgres_add_text(&params, shard_text);
    PGresult *found = NULL;
    status = alv_postgres_run_here(pg,
                                   "SELECT changelog_offset FROM %s.positions"
                                   " WHERE application = $1 AND shard = $2::integer",
                                   &params, &found, err);
    if (status != ALV_OK) {
        return status;
    }
    int64_t position = PQntuples(found) > 0 ? strtoll(PQgetvalue(found, 0, 0), NULL, 10) : 0;
    PQclear(found);
    if (position < 0) {
        return alv_fail(err, ALV_RETRY, "position of shard %d in table %s.positions is negative",
                        (int)shard, pg->schema);
    }
    *out = position;
    return ALV_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void postgres_close(alv_durable_store *store)
{
    if (store == NULL) {
        return;
    }
    alv_postgres *pg = (alv_postgres *)store;
    PQfinish(pg->conn);
    for (size_t i = 0; i < ALV_POSTGRES_COLUMNS; i++) {
        alv_pg_array_done(&pg->columns[i]);
    }
    alv_free(pg->upserts);
    alv_free(pg->deletes);
    alv_free(pg->url);
    alv_free(pg->application);
    alv_free(pg->client);
    alv_free(pg->schema);
    alv_free(pg->schema_quoted);
    alv_free(pg);
}

/* "name", with quotes inside doubled. */
static char *postgres_quote(const char *name)
{
    alv_bytes quoted = ALV_BYTES_EMPTY;
    alv_bytes_append(&quoted, "\"", 1);
    for (const char *at = name; *at != '\0'; at++) {
        alv_bytes_append(&quoted, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    }
    alv_bytes_append(&quoted, "\"", 2);
    return quoted.data;
}

/* 150008 stands for 15.8. */
const char *alv_durable_postgres_version(void)
{
    static char text[32];
    int version = PQlibVersion();
    (void)snprintf(text, sizeof text, "%d.%d", version / 10000, version % 10000);
    return text;
}

alv_durable_store *alv_durable_postgres_new(const alv_settings *settings)
{
    static const alv_durable_store_ops ops = {postgres_position, alv_postgres_write,
                                              postgres_close};
    ALV_ASSERT(settings->postgres_url != NULL);
    alv_postgres *pg = alv_alloc(sizeof *pg);
    pg->store.ops = &ops;
    pg->url = alv_strdup(settings->postgres_url);
    pg->application = alv_strdup(settings->application_id);
    pg->client = alv_format("alluvium %s %s", settings->application_id, settings->node_id);
    pg->schema = alv_strdup(settings->postgres_schema);
    pg->schema_quoted = postgres_quote(settings->postgres_schema);
    return &pg->store;
}
