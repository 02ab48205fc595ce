#include "tests/support/cluster_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <string.h>
#include <cmocka.h>

#include "api/http_get.h"
#include "base/alloc.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define VIEW_HTTP_TIMEOUT_MS 10000
#define VIEW_UNAVAILABLE_MAX_MS 120000

/* ---- HTTP ------------------------------------------------------------------------------------ */

static size_t view_write(char *data, size_t size, size_t count, void *payload)
{
    alv_bytes_append(payload, data, size * count);
    return size * count;
}

/* One handle for all requests: it keeps its connections open, which makes thousands of them quick. */
static CURL *view_curl(void)
{
    static CURL *curl;
    if (curl == NULL) {
        curl = curl_easy_init();
        assert_non_null(curl);
    }
    return curl;
}

/* Shows what the nodes of the cluster show each other. */
static void view_identify(CURL *curl, const char *directory)
{
    char *ca = alv_format("%s/ca.pem", directory);
    char *certificate = alv_format("%s/node.pem", directory);
    char *key = alv_format("%s/node.key", directory);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca); /* copied, as all texts */
    curl_easy_setopt(curl, CURLOPT_SSLCERT, certificate);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, key);
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, ALV_CLUSTER_TOKEN);
    alv_free(ca);
    alv_free(certificate);
    alv_free(key);
}

json_t *alv_cluster_http(const alv_cluster_node *node, const char *path, int *out_status)
{
    alv_bytes body = ALV_BYTES_EMPTY;
    CURL *curl = view_curl();
    const char *tls = node->cluster->tls;
    char *url = alv_format("%s://%s%s", tls != NULL ? "https" : "http", node->address, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    if (tls != NULL) {
        view_identify(curl, tls);
    }
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)VIEW_HTTP_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, view_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    long status = 0;
    json_t *answer = NULL;
    if (curl_easy_perform(curl) == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        answer = body.size > 0 ? json_loadb(body.data, body.size, JSON_DECODE_ANY, NULL) : NULL;
    }
    *out_status = (int)status;
    alv_free(url);
    alv_bytes_done(&body);
    return answer;
}

/* GET, again while the answer is 503: a shard that moves is nobody's for a moment. */
static json_t *view_http_get(const alv_cluster_node *node, const char *path, int *out_status)
{
    int64_t deadline = alv_wait_deadline(VIEW_UNAVAILABLE_MAX_MS);
    json_t *answer = alv_cluster_http(node, path, out_status);
    while (*out_status == 503 && !alv_wait_expired(deadline)) {
        json_decref(answer);
        (void)poll(NULL, 0, 100);
        answer = alv_cluster_http(node, path, out_status);
    }
    if (*out_status != 200 && *out_status != 404) {
        const char *detail = json_string_value(json_object_get(answer, "detail"));
        fail_msg("%s answers GET %s with %d: %s", node->id, path, *out_status,
                 detail != NULL ? detail : "");
    }
    return answer;
}

/* The state of one entity, NULL when there is none. */
static json_t *view_http_state(const alv_cluster_node *node, const char *key)
{
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&path, "/v1/entities/");
    alv_http_get_escape(alv_view_of(key), &path);
    alv_bytes_append(&path, "", 1); /* the NUL */
    int status = 0;
    json_t *answer = view_http_get(node, path.data, &status);
    json_t *state = status == 200 ? json_incref(json_object_get(answer, "state")) : NULL;
    json_decref(answer);
    alv_bytes_done(&path);
    return state;
}

json_t *alv_cluster_http_states(const alv_cluster_node *node, json_t *keys)
{
    json_t *states = json_object();
    size_t i;
    json_t *key;
    json_array_foreach(keys, i, key)
    {
        json_t *state = view_http_state(node, json_string_value(key));
        if (state != NULL) {
            json_object_set_new(states, json_string_value(key), state);
        }
    }
    return states;
}

/* ---- Kafka ----------------------------------------------------------------------------------- */

json_t *alv_cluster_changelog_states(const alv_cluster *cluster)
{
    return alv_wire_last_values(cluster->brokers, alv_cluster_topic(cluster, "changelog"));
}

int64_t alv_cluster_backlog(const alv_cluster *cluster)
{
    const char *topic = alv_cluster_topic(cluster, "commands");
    int64_t end = alv_wire_end(cluster->brokers, topic);
    return end - alv_wire_committed(cluster->brokers, cluster->application, topic);
}

void alv_cluster_wait_consumed(const alv_cluster *cluster, int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    for (int64_t backlog = alv_cluster_backlog(cluster); backlog > 0;
         backlog = alv_cluster_backlog(cluster)) {
        if (alv_wait_expired(deadline)) {
            fail_msg("%d commands are still to be consumed after %d ms", (int)backlog, timeout_ms);
        }
        (void)poll(NULL, 0, 20);
    }
}

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

static PGconn *view_postgres(const alv_cluster *cluster)
{
    assert_non_null(cluster->postgres_url);
    char *url = alv_format("%s%cconnect_timeout=5", cluster->postgres_url,
                           strchr(cluster->postgres_url, '?') != NULL ? '&' : '?');
    PGconn *connection = PQconnectdb(url);
    alv_free(url);
    return connection;
}

json_t *alv_cluster_postgres_states(const alv_cluster *cluster)
{
    json_t *states = NULL;
    char *query = alv_format("select key, state from \"%s\".entities where application = '%s'",
                             cluster->schema, cluster->application);
    PGconn *connection = view_postgres(cluster);
    PGresult *rows = PQexec(connection, query);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK) {
        states = json_object();
        for (int i = 0; i < PQntuples(rows); i++) {
            json_object_set_new(states, PQgetvalue(rows, i, 0),
                                json_loads(PQgetvalue(rows, i, 1), JSON_DECODE_ANY, NULL));
        }
    }
    PQclear(rows);
    PQfinish(connection);
    alv_free(query);
    return states;
}

void alv_cluster_wait_postgres(const alv_cluster *cluster, json_t *expected, int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    json_t *states = alv_cluster_postgres_states(cluster);
    while (!json_equal(states, expected) && !alv_wait_expired(deadline)) {
        (void)poll(NULL, 0, 100);
        json_decref(states);
        states = alv_cluster_postgres_states(cluster);
    }
    if (states == NULL) {
        fail_msg("PostgreSQL has no rows after %d ms", timeout_ms);
    }
    alv_cluster_assert_states(states, expected, "PostgreSQL");
    json_decref(states);
}

void alv_cluster_drop_schema(const alv_cluster *cluster)
{
    if (cluster->postgres_url == NULL) {
        return;
    }
    char *query = alv_format("drop schema if exists \"%s\" cascade", cluster->schema);
    PGconn *connection = view_postgres(cluster);
    PQclear(PQexec(connection, "set client_min_messages = error"));
    PQclear(PQexec(connection, query));
    PQfinish(connection);
    alv_free(query);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* A key whose state is not the same on both sides, NULL when there is none on the left. */
static const char *first_difference(json_t *left, json_t *right)
{
    const char *key;
    json_t *state;
    json_object_foreach(left, key, state)
    {
        if (!json_equal(state, json_object_get(right, key))) {
            return key;
        }
    }
    return NULL;
}

void alv_cluster_assert_states(json_t *actual, json_t *expected, const char *what)
{
    const char *key = first_difference(expected, actual);
    if (key == NULL) {
        key = first_difference(actual, expected);
    }
    if (key == NULL) {
        return;
    }
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS;
    json_t *is = json_object_get(actual, key);
    json_t *should_be = json_object_get(expected, key);
    fail_msg("%s: %zu entities, expected %zu; %s is %s, expected %s", what,
             json_object_size(actual), json_object_size(expected), key,
             is != NULL ? json_dumps(is, flags) : "absent",
             should_be != NULL ? json_dumps(should_be, flags) : "absent");
}
