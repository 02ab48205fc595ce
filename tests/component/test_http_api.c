/* Goal:   one node's API: entities as they are stored, every kind of key, errors that programs can
 *         read, and a server that outlives whatever is sent to it.
 * Method: a real server on a free port over the memory store; libcurl for what a client would send,
 *         a raw socket for what none would. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/http_limits.h"
#include "api/http_server.h"
#include "api/url.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "tests/support/api_node.h"
#include "tests/support/http_call.h"

#define ANSWER_MS 10000

static alv_fake_group group;
static alv_api_node node;

static int open_node(void **state)
{
    (void)state;
    alv_fake_group_init(&group);
    alv_api_node_open(&node, "node-1", &group);
    alv_api_node_activate_all(&node);
    return 0;
}

static int close_node(void **state)
{
    (void)state;
    alv_api_node_close(&node);
    alv_fake_group_done(&group);
    return 0;
}

static alv_http_result call(const char *method, const char *path)
{
    return alv_http_call(NULL, method, alv_api_node_address(&node), path, NULL);
}

static void expect_problem(const char *method, const char *path, int status)
{
    alv_http_result result = call(method, path);
    assert_int_equal(result.status, status);
    assert_string_equal(result.content_type, "application/problem+json");
    assert_int_equal(json_integer_value(json_object_get(result.json, "status")), status);
    assert_true(strlen(alv_http_result_text(&result, "title")) > 0);
    assert_true(strlen(alv_http_result_text(&result, "detail")) > 0);
    alv_http_result_done(&result);
}

/* ---- entities -------------------------------------------------------------------------------- */

static void entity__is_answered_as_it_is_stored(void **state)
{
    (void)state;
    alv_api_node_put(&node, "transfer/1", ALV_VIEW("{\"n\": 1.50, \"z\":0,\"a\":[]}"), 7);
    alv_http_result result = call("GET", "/v1/entities/transfer%2F1");
    assert_int_equal(result.status, 200);
    assert_string_equal(result.content_type, "application/json");
    assert_string_equal(result.cache_control, "no-store");
    char *expected = alv_format("{\"key\":\"transfer/1\",\"type\":\"transfer\",\"shard\":%d,"
                                "\"state\":{\"n\": 1.50, \"z\":0,\"a\":[]},"
                                "\"position\":{\"commands\":7,\"changelog\":14},"
                                "\"source\":\"owner\",\"lag\":0}",
                                (int)alv_api_node_shard("transfer/1"));
    assert_int_equal(result.body.size, strlen(expected));
    assert_memory_equal(result.body.data, expected, result.body.size);
    alv_free(expected);
    alv_http_result_done(&result);
}

static void entity__unknown_is_404(void **state)
{
    (void)state;
    expect_problem("GET", "/v1/entities/7:42", 404);
    expect_problem("GET", "/v1/entities/nobody%2Fknows", 404);
}

static void entity__head_has_the_length_and_no_body(void **state)
{
    (void)state;
    alv_api_node_put(&node, "7:42", ALV_VIEW("{}"), 1);
    alv_http_result result = call("HEAD", "/v1/entities/7:42");
    assert_int_equal(result.status, 200);
    assert_int_equal(result.body.size, 0);
    alv_http_result_done(&result);
}

static void expect_key(const char *key, const char *path)
{
    alv_http_result result = call("GET", path);
    assert_int_equal(result.status, 200);
    assert_string_equal(alv_http_result_text(&result, "key"), key);
    alv_http_result_done(&result);
}

static void entity__every_kind_of_key_is_reached(void **state)
{
    (void)state;
    static const char *const keys[] = {"7:42",  "transfer/1", "a/../b",          "..",         ".",
                                       "x?y#z", "a%41",       "q\"\\\n",         "\xc3\xbc/ ", "+",
                                       "//",    "a b",        "\xf0\x9f\x8c\x8a"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        alv_bytes path = ALV_BYTES_EMPTY;
        alv_api_node_put(&node, keys[i], ALV_VIEW("{}"), 10 + (int64_t)i);
        alv_bytes_append_text(&path, "/v1/entities/");
        alv_url_encode(alv_view_of(keys[i]), &path);
        alv_bytes_append(&path, "", 1);
        expect_key(keys[i], path.data);
        alv_bytes_done(&path);
    }
    expect_key("transfer/1", "/v1/entities/transfer/1");
    expect_key("transfer/1", "/v1/entities/transfer/1?consistency=any");
    expect_key("a/../b", "/v1/entities/a/../b");
    expect_key("//", "/v1/entities///");
}

static void entity__longest_key_and_one_more(void **state)
{
    (void)state;
    char key[ALV_KEY_BYTES_MAX + 2];
    memset(key, '/', sizeof key);
    key[ALV_KEY_BYTES_MAX] = '\0';
    alv_api_node_put(&node, key, ALV_VIEW("{}"), 1);
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&path, "/v1/entities/");
    alv_url_encode(alv_view_of(key), &path);
    alv_bytes_append(&path, "", 1);
    expect_key(key, path.data);
    path.size--;
    alv_bytes_append(&path, "x", 2);
    expect_problem("GET", path.data, 400);
    alv_bytes_done(&path);
}

static void entity__malformed_key_is_400(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "%", "a%", "a%4", "a%zz", "a%00b", "%ff", "%c0%80"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char *path = alv_format("/v1/entities/%s", paths[i]);
        expect_problem("GET", path, 400);
        alv_free(path);
    }
}

static void entity__largest_state(void **state)
{
    (void)state;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&text, "{\"x\":\"");
    while (text.size < ALV_STATE_BYTES_MAX - 16)
        alv_bytes_append_text(&text, "0123456789");
    alv_bytes_append_text(&text, "\"}");
    alv_api_node_put(&node, "big", alv_bytes_view(&text), 1);
    alv_http_result result = call("GET", "/v1/entities/big");
    assert_int_equal(result.status, 200);
    const char *x = json_string_value(json_object_get(json_object_get(result.json, "state"), "x"));
    assert_int_equal(strlen(x), text.size - 8);
    alv_http_result_done(&result);
    alv_bytes_done(&text);
}

static void entity__stopped_shard_is_503_at_once(void **state)
{
    (void)state;
    int32_t shard = alv_api_node_shard("7:42");
    alv_directory_set_state(node.directory, shard, 0, ALV_SHARD_RESTORING);
    alv_directory_set_state(node.directory, shard, 0, ALV_SHARD_STOPPED);
    alv_http_result result = call("GET", "/v1/entities/7:42");
    assert_int_equal(result.status, 503);
    assert_int_equal(result.retry_after_s, ALV_HTTP_RETRY_AFTER_S);
    assert_true(result.total_ms < ALV_HTTP_HOLD_MS);
    alv_http_result_done(&result);
}

/* Writes n = position, again and again, as a lane that commits all the time. */
static void *write_always(void *payload)
{
    atomic_bool *ended = payload;
    for (int64_t position = 2; !atomic_load(ended); position++) {
        char state[64];
        (void)snprintf(state, sizeof state, "{\"n\":%lld}", (long long)position);
        alv_api_node_put(&node, "7:42", alv_view_of(state), position);
        if (position % 64 == 0)
            (void)node.store->ops->flush(node.store,
                                         NULL); /* the memory store forgets its journal */
    }
    return NULL;
}

/* I4: whoever takes an answer's position for reached must find the state that new; and later
 * answers on one connection are never older. */
static void entity__state_is_at_least_as_new_as_its_position(void **state)
{
    (void)state;
    atomic_bool ended = false;
    pthread_t writer;
    alv_api_node_put(&node, "7:42", ALV_VIEW("{\"n\":1}"), 1);
    assert_int_equal(pthread_create(&writer, NULL, write_always, &ended), 0);
    CURL *curl = curl_easy_init();
    json_int_t last = 0;
    bool right = true;
    for (int i = 0; i < 3000 && right; i++) {
        json_int_t n = -1, position = 0;
        alv_http_result result =
            alv_http_call(curl, "GET", alv_api_node_address(&node), "/v1/entities/7:42", NULL);
        right = json_unpack(result.json, "{s:{s:I}, s:{s:I}}", "state", "n", &n, "position",
                            "commands", &position) == 0;
        right = right && n >= position && n >= last;
        last = n;
        alv_http_result_done(&result);
    }
    atomic_store(&ended, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    curl_easy_cleanup(curl);
    assert_true(right);
}

/* ---- the other requests ---------------------------------------------------------------------- */

static void health__alive_and_ready(void **state)
{
    (void)state;
    alv_http_result result = call("GET", "/healthz");
    assert_int_equal(result.status, 200);
    assert_string_equal(alv_http_result_text(&result, "status"), "ok");
    alv_http_result_done(&result);
    result = call("GET", "/readyz");
    assert_int_equal(result.status, 200);
    assert_true(json_is_true(json_object_get(result.json, "ready")));
    alv_http_result_done(&result);
}

static void health__not_ready_says_why(void **state)
{
    (void)state;
    node.not_ready = "shard 3 is being restored";
    alv_http_result result = call("GET", "/readyz");
    assert_int_equal(result.status, 503);
    assert_string_equal(alv_http_result_text(&result, "detail"), "shard 3 is being restored");
    alv_http_result_done(&result);
    result = call("GET", "/healthz");
    assert_int_equal(result.status, 200);
    alv_http_result_done(&result);
}

static void shards__are_listed(void **state)
{
    (void)state;
    int32_t shard = alv_api_node_shard("7:42");
    alv_api_node_put(&node, "7:42", ALV_VIEW("{}"), 5);
    alv_directory_add_commands(node.directory, shard, 9);
    const alv_restore_progress progress = {.records = 3, .target = 4};
    alv_directory_set_restore(node.directory, shard, &progress);
    alv_api_node_revoke(&node, (shard + 1) % ALV_API_NODE_SHARDS);
    alv_http_result result = call("GET", "/v1/shards");
    assert_int_equal(result.status, 200);
    assert_int_equal(json_array_size(result.json), ALV_API_NODE_SHARDS);
    int number, lane, commands_at, commands, restored, target;
    const char *text, *owner, *address;
    assert_int_equal(json_unpack(json_array_get(result.json, (size_t)shard),
                                 "{s:i, s:s, s:i, s:{s:s, s:s}, s:{s:i}, s:i, s:i, s:i}", "shard",
                                 &number, "state", &text, "lane", &lane, "owner", "node", &owner,
                                 "address", &address, "position", "commands", &commands_at,
                                 "commands", &commands, "restored", &restored, "target", &target),
                     0);
    assert_int_equal(number, shard);
    assert_string_equal(text, "active");
    assert_int_equal(lane, 0);
    assert_string_equal(owner, "node-1");
    assert_string_equal(address, alv_api_node_address(&node));
    assert_int_equal(commands_at, 5);
    assert_int_equal(commands, 9);
    assert_int_equal(restored, 3);
    assert_int_equal(target, 4);
    const json_t *gone = json_array_get(result.json, (size_t)((shard + 1) % ALV_API_NODE_SHARDS));
    assert_true(json_is_null(json_object_get(gone, "lane")));
    assert_true(json_is_null(json_object_get(gone, "owner")));
    alv_http_result_done(&result);
}

/* Progress is there while there is something to wait for, and only then. */
static void shards__tell_how_far_restores_and_standbys_are(void **state)
{
    (void)state;
    enum {
        RESTORING,
        STANDBY,
        HOT,
        OTHER
    };
    static_assert(OTHER < ALV_API_NODE_SHARDS, "there are so many");
    const char *state_text = NULL;
    alv_position position = {.changelog = 70};
    alv_restore_progress progress = {
        .records = 30, .target = 120, .bytes = 900, .eta_ms = 400, .changelog_end = 100};
    for (int32_t shard = RESTORING; shard <= OTHER; shard++) {
        alv_api_node_revoke(&node, shard);
    }
    alv_api_node_restore(&node, RESTORING);
    alv_directory_set_restore(node.directory, RESTORING, &progress);
    progress.eta_ms = -1;
    alv_directory_set_standby(node.directory, STANDBY, true, false);
    alv_directory_set_position(node.directory, STANDBY, &position);
    alv_directory_set_restore(node.directory, STANDBY, &progress);
    alv_directory_set_standby(node.directory, HOT, true, true);

    alv_http_result result = call("GET", "/v1/shards");
    int records, target, bytes, eta, lag;
    double share;
    assert_int_equal(json_unpack(json_array_get(result.json, RESTORING),
                                 "{s:s, s:[], s:{s:i, s:i, s:i, s:f, s:i}}", "state", &state_text,
                                 "standbys", "restore", "records", &records, "target", &target,
                                 "bytes", &bytes, "share", &share, "eta_ms", &eta),
                     0);
    assert_string_equal(state_text, "restoring");
    assert_int_equal(records, 30);
    assert_int_equal(target, 120);
    assert_int_equal(bytes, 900);
    assert_int_equal((int)(share * 1000), 250);
    assert_int_equal(eta, 400);
    assert_int_equal(json_unpack(json_array_get(result.json, STANDBY),
                                 "{s:n, s:[{s:s, s:i, s:{s:i, s:n}}]}", "restore", "standbys",
                                 "state", &state_text, "lag", &lag, "restore", "records", &records,
                                 "eta_ms"),
                     0);
    assert_string_equal(state_text, "catching-up");
    assert_int_equal(lag, 30);
    assert_int_equal(
        json_unpack(json_array_get(result.json, OTHER), "{s:n, s:[!]}", "restore", "standbys"), 0);
    assert_int_equal(json_unpack(json_array_get(result.json, HOT), "{s:n, s:[{s:s, s:i, s:n}]}",
                                 "restore", "standbys", "state", &state_text, "lag", &lag,
                                 "restore"),
                     0);
    assert_string_equal(state_text, "hot");
    alv_http_result_done(&result);
    alv_directory_set_standby(node.directory, STANDBY, false, false);
    alv_directory_set_standby(node.directory, HOT, false, false);
}

static void routes__unknown_path_and_method(void **state)
{
    (void)state;
    expect_problem("GET", "/v1/nothing", 404);
    expect_problem("DELETE", "/v1/nothing", 404);
    expect_problem("FROB", "/healthz", 405);
    alv_http_result result = call("DELETE", "/v1/entities/7:42");
    assert_int_equal(result.status, 405);
    assert_string_equal(result.allow, "GET, HEAD");
    alv_http_result_done(&result);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void connection__is_kept(void **state)
{
    (void)state;
    CURL *curl = curl_easy_init();
    const char *address = alv_api_node_address(&node);
    static const char *const paths[] = {"/healthz", "/v1/entities/none", "/v1/entities/%zz",
                                        "/nothing"};
    long connects = 0;
    for (size_t i = 0; i < 12; i++) {
        alv_http_result result = alv_http_call(curl, "GET", address, paths[i % 4], NULL);
        assert_int_not_equal(result.status, 0);
        connects += result.connects;
        alv_http_result_done(&result);
    }
    assert_int_equal(connects, 1);
    curl_easy_cleanup(curl);
}

/* Sends `text` and expects `status` (0 = the connection ends without an answer). */
static void expect_raw(const char *text, size_t size, int status, bool closed)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(alv_api_node_address(&node));
    alv_http_raw_send(fd, text, size);
    int got = alv_http_raw_read(fd, ANSWER_MS, &answer);
    if (got != status)
        fail_msg("%.40s: %d instead of %d", text, got, status);
    if (closed)
        assert_true(alv_http_raw_closed(fd, ANSWER_MS));
    (void)close(fd);
    alv_bytes_done(&answer);
    expect_problem("GET", "/nothing", 404); /* it lives */
}

#define EXPECT_RAW(text, status, closed) expect_raw("" text, sizeof(text) - 1, status, closed)

static void wire__odd_requests(void **state)
{
    (void)state;
    EXPECT_RAW("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, false);
    EXPECT_RAW("GET /healthz HTTP/1.0\r\n\r\n", 200, true);
    EXPECT_RAW("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200, true);
    EXPECT_RAW("GET /healthz HTTP/1.1\r\n\r\n", 400, true);
    EXPECT_RAW("GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, true);
    EXPECT_RAW("FROB /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, false);
    EXPECT_RAW("GET /v1/entities/a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, false);
    EXPECT_RAW("GET /v1/entities/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, false);
    EXPECT_RAW("GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, false);
    EXPECT_RAW("GET http://x/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, false);
    EXPECT_RAW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 0, true);
}

static void wire__bodies_are_refused(void **state)
{
    (void)state;
    EXPECT_RAW("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 200, false);
    EXPECT_RAW("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 400,
               true);
    EXPECT_RAW("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
               400, true);
    EXPECT_RAW(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        400, true);
    EXPECT_RAW("POST /v1/entities/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
               405, true);
}

static void wire__large_heads_are_refused(void **state)
{
    (void)state;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&text, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
    while (text.size < 4 * ALV_HTTP_CONNECTION_BYTES)
        alv_bytes_append_text(&text, "xxxxxxxxxxxxxxxx");
    alv_bytes_append_text(&text, "\r\n\r\n");
    expect_raw(text.data, text.size, 431, true);
    alv_bytes_clear(&text);
    alv_bytes_append_text(&text, "GET /v1/entities/");
    while (text.size < 4 * ALV_HTTP_CONNECTION_BYTES)
        alv_bytes_append_text(&text, "xxxxxxxxxxxxxxxx");
    alv_bytes_append_text(&text, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect_raw(text.data, text.size, 414, true);
    alv_bytes_done(&text);
}

static void wire__requests_in_a_row_are_answered_in_order(void **state)
{
    (void)state;
    static const char text[] =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    alv_bytes all = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(alv_api_node_address(&node));
    alv_http_raw_send(fd, text, sizeof text - 1);
    int64_t found = 0;
    alv_bytes part = ALV_BYTES_EMPTY;
    while (alv_http_raw_read(fd, ANSWER_MS, &part) != 0 || part.size > 0)
        alv_bytes_append(&all, part.data, part.size);
    alv_bytes_append(&all, "", 1);
    static const char *const lines[] = {"HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.1 200"};
    const char *at = all.data;
    for (; found < 3 && (at = strstr(at, lines[found])) != NULL; at++)
        found++;
    assert_int_equal(found, 3);
    (void)close(fd);
    alv_bytes_done(&part);
    alv_bytes_done(&all);
}

/* ---- listening ------------------------------------------------------------------------------- */

static const alv_http_security plain = {.scheme = "http"};

static void listen__says_what_is_wrong(void **state)
{
    (void)state;
    alv_http_server *server = NULL;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_http_server_open("nonsense", &plain, &server, &err), ALV_REJECT);
    assert_non_null(strstr(err.text, "nonsense"));
    alv_error_clear(&err);
    const char *taken = alv_api_node_address(&node);
    assert_int_equal(alv_http_server_open(taken, &plain, &server, &err), ALV_REJECT);
    assert_non_null(strstr(err.text, "Address already in use"));
    assert_non_null(strstr(err.text, taken));
    assert_null(server);
}

static void listen__v6(void **state)
{
    (void)state;
    alv_http_server *server = NULL;
    if (alv_http_server_open("[::1]:0", &plain, &server, NULL) != ALV_OK)
        skip(); /* this machine has no IPv6 */
    assert_int_equal(strncmp(alv_http_server_address(server), "[::1]:", 6), 0);
    assert_string_not_equal(alv_http_server_address(server), "[::1]:0");
    alv_http_server_stop(server);
}

static void advertise__is_the_bound_address_unless_set(void **state)
{
    (void)state;
    assert_string_equal(alv_api_advertise(node.api), alv_api_node_address(&node));
    alv_api_node_restart(&node, &group, "127.0.0.1:0");
    assert_string_equal(alv_api_advertise(node.api), alv_api_node_address(&node));
    alv_api_node_restart(&node, &group, "node-1.example:8090");
    assert_string_equal(alv_api_advertise(node.api), "node-1.example:8090");
}

#define NODE_TEST(test) cmocka_unit_test_setup_teardown(test, open_node, close_node)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        NODE_TEST(entity__is_answered_as_it_is_stored),
        NODE_TEST(entity__unknown_is_404),
        NODE_TEST(entity__head_has_the_length_and_no_body),
        NODE_TEST(entity__every_kind_of_key_is_reached),
        NODE_TEST(entity__longest_key_and_one_more),
        NODE_TEST(entity__malformed_key_is_400),
        NODE_TEST(entity__largest_state),
        NODE_TEST(entity__state_is_at_least_as_new_as_its_position),
        NODE_TEST(entity__stopped_shard_is_503_at_once),
        NODE_TEST(health__alive_and_ready),
        NODE_TEST(health__not_ready_says_why),
        NODE_TEST(shards__are_listed),
        NODE_TEST(shards__tell_how_far_restores_and_standbys_are),
        NODE_TEST(routes__unknown_path_and_method),
        NODE_TEST(connection__is_kept),
        NODE_TEST(wire__odd_requests),
        NODE_TEST(wire__bodies_are_refused),
        NODE_TEST(wire__large_heads_are_refused),
        NODE_TEST(wire__requests_in_a_row_are_answered_in_order),
        NODE_TEST(listen__says_what_is_wrong),
        NODE_TEST(listen__v6),
        NODE_TEST(advertise__is_the_bound_address_unless_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
