/* Goal:   any node answers for any entity: by asking its owner once, by waiting a moment while a
 *         shard moves, and else with 503 and Retry-After; and a stop answers whatever is under way.
 * Method: two real nodes in this process and a group that says what the test wants. "The request is
 *         being held" is seen by its not being answered within LOOK_MS on a raw connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/http_limits.h"
#include "api/listener.h"
#include "api/url.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "tests/support/api_node.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define LOOK_MS 150
#define ANSWER_MS 10000
#define KEY "transfer/1"
#define PATH "/v1/entities/transfer%2F1"

static alv_fake_group group;
static alv_api_node here;
static alv_api_node there;

/* Makes `told` say that every shard belongs to the node at `address`. */
static void group_says(alv_fake_group *told, const char *node_id, const char *address)
{
    alv_fake_lane lane = {.lane = 0, .shards = {0, 1, 2, 3, -1}};
    (void)snprintf(lane.node_id, sizeof lane.node_id, "%s", node_id);
    (void)snprintf(lane.address, sizeof lane.address, "%s", address);
    alv_fake_group_say(told, &lane, 1);
}

static void owned_by(const alv_api_node *owner)
{
    group_says(&group, owner->settings.node_id, alv_api_node_address(owner));
}

static int open_nodes(void **state)
{
    (void)state;
    alv_fake_group_init(&group);
    alv_api_node_open(&here, "node-1", &group);
    alv_api_node_open(&there, "node-2", &group);
    owned_by(&there);
    return 0;
}

static int close_nodes(void **state)
{
    (void)state;
    alv_api_node_close(&here);
    alv_api_node_close(&there);
    alv_fake_group_done(&group);
    return 0;
}

static void expect_unavailable(alv_http_result *result)
{
    assert_int_equal(result->status, 503);
    assert_string_equal(result->content_type, "application/problem+json");
    assert_int_equal(result->retry_after_s, ALV_HTTP_RETRY_AFTER_S);
    assert_true(strlen(alv_http_result_text(result, "detail")) > 0);
    alv_http_result_done(result);
}

static alv_http_result get_here(const char *path, const char *header)
{
    return alv_http_call(NULL, "GET", alv_api_node_address(&here), path, header);
}

/* Sends a GET on a connection of its own and returns it when the request is seen to be held. */
static int get_held(const alv_api_node *node)
{
    static const char text[] = "GET " PATH " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(alv_api_node_address(node));
    alv_http_raw_send(fd, text, sizeof text - 1);
    assert_int_equal(alv_http_raw_read(fd, LOOK_MS, &answer), 0);
    assert_int_equal(answer.size, 0);
    alv_bytes_done(&answer);
    return fd;
}

static void expect_answer(int fd, int status, const char *part)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    assert_int_equal(alv_http_raw_read(fd, ANSWER_MS, &answer), status);
    assert_non_null(memmem(answer.data, answer.size, part, strlen(part)));
    alv_bytes_done(&answer);
    (void)close(fd);
}

/* ---- forwarding ------------------------------------------------------------------------------ */

static void forward__the_owners_answer_comes_back(void **state)
{
    (void)state;
    static const char *const keys[] = {KEY, "7:42", "..", "a/../b", "x?y#z", "a%41", "\xc3\xbc/ "};
    alv_api_node_activate_all(&there);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        alv_bytes path = ALV_BYTES_EMPTY;
        alv_api_node_put(&there, keys[i], ALV_VIEW("{\"n\":1}"), 1 + (int64_t)i);
        alv_bytes_append_text(&path, "/v1/entities/");
        alv_url_encode(alv_view_of(keys[i]), &path);
        alv_bytes_append(&path, "", 1);
        alv_http_result result = get_here(path.data, NULL);
        assert_int_equal(result.status, 200);
        assert_string_equal(result.content_type, "application/json");
        assert_string_equal(alv_http_result_text(&result, "key"), keys[i]);
        assert_string_equal(alv_http_result_text(&result, "source"), "owner");
        alv_http_result_done(&result);
        alv_bytes_done(&path);
    }
    alv_http_result result = get_here("/v1/entities/none", NULL);
    assert_int_equal(result.status, 404);
    assert_string_equal(result.content_type, "application/problem+json");
    alv_http_result_done(&result);
}

static void forward__head_and_large_states(void **state)
{
    (void)state;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&text, "{\"x\":\"");
    while (text.size < ALV_STATE_BYTES_MAX - 16)
        alv_bytes_append_text(&text, "0123456789");
    alv_bytes_append_text(&text, "\"}");
    alv_api_node_activate_all(&there);
    alv_api_node_put(&there, KEY, alv_bytes_view(&text), 1);
    alv_http_result result = get_here(PATH, NULL);
    assert_int_equal(result.status, 200);
    assert_true(result.body.size > text.size);
    alv_http_result_done(&result);
    result = alv_http_call(NULL, "HEAD", alv_api_node_address(&here), PATH, NULL);
    assert_int_equal(result.status, 200);
    assert_int_equal(result.body.size, 0);
    alv_http_result_done(&result);
    alv_bytes_done(&text);
}

static void forward__once_at_most(void **state)
{
    (void)state;
    alv_http_result result = get_here(PATH, "Alluvium-Forwarded: 1");
    assert_true(result.total_ms < ALV_HTTP_HOLD_MS); /* at once: the sender waits, not we */
    expect_unavailable(&result);
}

/* Each is told that the other is the owner; neither is. */
static void forward__does_not_loop(void **state)
{
    (void)state;
    alv_fake_group other;
    alv_fake_group_init(&other);
    alv_api_node third;
    alv_api_node_open(&third, "node-3", &other);
    group_says(&other, "node-1", alv_api_node_address(&here));
    owned_by(&third);
    alv_http_result result = get_here(PATH, NULL);
    assert_true(result.total_ms < ALV_HTTP_FORWARD_TIMEOUT_MS);
    expect_unavailable(&result);
    alv_api_node_close(&third);
    alv_fake_group_done(&other);
}

static void forward__dead_owner_is_503(void **state)
{
    (void)state;
    char *address = alv_strdup(alv_api_node_address(&there));
    alv_api_node_stop(&there);
    group_says(&group, "node-2", address);
    alv_http_result result = get_here(PATH, NULL);
    assert_true(result.total_ms < ALV_HTTP_FORWARD_TIMEOUT_MS);
    expect_unavailable(&result);
    alv_free(address);
}

/* The owner is dead when the request comes; while it waits, the group names another one. */
static void forward__next_owner_is_asked(void **state)
{
    (void)state;
    int fd = -1;
    char address[ALV_LISTENER_ADDRESS_BYTES];
    assert_int_equal(alv_listener_open("127.0.0.1:0", &fd, address, NULL), ALV_OK);
    (void)close(fd); /* nobody is there */
    group_says(&group, "node-9", address);
    int held = get_held(&here);
    alv_api_node_activate_all(&there);
    alv_api_node_put(&there, KEY, ALV_VIEW("{\"n\":9}"), 1);
    owned_by(&there);
    expect_answer(held, 200, "{\"n\":9}");
}

/* The owner is known but not ready to answer yet: 503 to us, which we do not pass on at once. */
static void forward__owner_that_is_late_is_asked_again(void **state)
{
    (void)state;
    int held = get_held(&here);
    alv_api_node_activate_all(&there);
    alv_api_node_put(&there, KEY, ALV_VIEW("{\"n\":2}"), 1);
    expect_answer(held, 200, "{\"n\":2}");
}

/* A forwarded request waits at the owner for the end of its restore. */
static void forward__restoring_owner_answers_when_it_is_active(void **state)
{
    (void)state;
    int32_t shard = alv_api_node_shard(KEY);
    alv_api_node_restore(&there, shard);
    int held = get_held(&here);
    alv_api_node_put(&there, KEY, ALV_VIEW("{\"n\":3}"), 1);
    alv_api_node_activate(&there, shard);
    expect_answer(held, 200, "{\"n\":3}");
}

/* ---- holding --------------------------------------------------------------------------------- */

static void hold__until_active(void **state)
{
    (void)state;
    int32_t shard = alv_api_node_shard(KEY);
    owned_by(&here);
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int unassigned = get_held(&here);
    alv_api_node_restore(&here, shard);
    int restoring = get_held(&here);
    alv_api_node_put(&here, KEY, ALV_VIEW("{\"n\":4}"), 1);
    alv_api_node_activate(&here, shard);
    expect_answer(unassigned, 200, "{\"n\":4}");
    expect_answer(restoring, 200, "{\"n\":4}");
    /* as soon as it was active, not when the time was up */
    assert_true(alv_monotonic_us(alv_clock_system()) - begin_us < ALV_HTTP_HOLD_MS * 1000);
}

static void hold__ends_with_503(void **state)
{
    (void)state;
    alv_fake_group_say(&group, NULL, 0);
    alv_http_result result = get_here(PATH, NULL);
    assert_true(result.total_ms >= ALV_HTTP_HOLD_MS - 1);
    assert_true(result.total_ms < ALV_HTTP_FORWARD_TIMEOUT_MS);
    expect_unavailable(&result);
    alv_api_node_restore(&here, alv_api_node_shard(KEY));
    result = get_here(PATH, NULL);
    assert_non_null(strstr(alv_http_result_text(&result, "detail"), "restored"));
    expect_unavailable(&result);
}

static void hold__client_that_goes_away_is_forgotten(void **state)
{
    (void)state;
    owned_by(&here);
    (void)close(get_held(&here));
    alv_api_node_activate_all(&here);
    alv_api_node_put(&here, KEY, ALV_VIEW("{}"), 1);
    alv_http_result result = get_here(PATH, NULL);
    assert_int_equal(result.status, 200);
    alv_http_result_done(&result);
}

/* ---- many, and the end ----------------------------------------------------------------------- */

#define MANY 200

typedef struct many_calls {
    CURL *easy[MANY];
    char *url[MANY];
    int answered; /* with 200 */
} many_calls;

static size_t drop_body(char *data, size_t size, size_t count, void *payload)
{
    (void)data;
    (void)payload;
    return size * count;
}

static void many_begin(many_calls *calls, CURLM *multi, int i)
{
    calls->url[i] = alv_format("http://%s/v1/entities/%d", alv_api_node_address(&here), i);
    CURL *easy = calls->easy[i] = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, calls->url[i]);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_multi_add_handle(multi, easy);
}

static void many_run(many_calls *calls, CURLM *multi)
{
    int running = MANY;
    while (running > 0) {
        assert_int_equal(curl_multi_perform(multi, &running), CURLM_OK);
        assert_int_equal(curl_multi_poll(multi, NULL, 0, 1000, NULL), CURLM_OK);
    }
    for (int i = 0; i < MANY; i++) {
        long status = 0;
        curl_easy_getinfo(calls->easy[i], CURLINFO_RESPONSE_CODE, &status);
        calls->answered += status == 200;
        curl_multi_remove_handle(multi, calls->easy[i]);
        curl_easy_cleanup(calls->easy[i]);
        alv_free(calls->url[i]);
    }
}

/* Half of the shards are here, half there, and every request has a connection of its own. */
static void many__connections_at_once(void **state)
{
    (void)state;
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS; shard++)
        alv_api_node_activate(shard % 2 == 0 ? &here : &there, shard);
    for (int i = 0; i < MANY; i++) {
        char *key = alv_format("%d", i);
        alv_api_node *owner = alv_api_node_shard(key) % 2 == 0 ? &here : &there;
        alv_api_node_put(owner, key, ALV_VIEW("{}"), 1 + i);
        alv_free(key);
    }
    many_calls calls = {.answered = 0};
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < MANY; i++)
        many_begin(&calls, multi, i);
    many_run(&calls, multi);
    curl_multi_cleanup(multi);
    assert_int_equal(calls.answered, MANY);
}

static void stop__answers_what_is_held(void **state)
{
    (void)state;
    owned_by(&here);
    int first = get_held(&here);
    int second = get_held(&here);
    alv_api_node_stop(&here);
    expect_answer(first, 503, "stopping");
    expect_answer(second, 503, "stopping");
}

/* The owner accepts the connection and says nothing, like a process that was stopped. */
static void stop__answers_what_is_forwarded(void **state)
{
    (void)state;
    int silent = -1;
    char address[ALV_LISTENER_ADDRESS_BYTES];
    assert_int_equal(alv_listener_open("127.0.0.1:0", &silent, address, NULL), ALV_OK);
    group_says(&group, "node-9", address);
    int held = get_held(&here);
    alv_api_node_stop(&here);
    expect_answer(held, 503, "stopping");
    (void)close(silent);
}

static void stop__idle_connections_do_not_delay_it(void **state)
{
    (void)state;
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(alv_api_node_address(&here));
    alv_http_raw_send(fd, text, sizeof text - 1);
    assert_int_equal(alv_http_raw_read(fd, ANSWER_MS, &answer), 200);
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    alv_api_node_stop(&here);
    assert_true(alv_monotonic_us(alv_clock_system()) - begin_us < ALV_HTTP_DRAIN_MS * 1000);
    assert_true(alv_http_raw_closed(fd, ANSWER_MS));
    (void)close(fd);
    alv_bytes_done(&answer);
}

/* ---- what other nodes say about themselves --------------------------------------------------- */

static bool knows_the_other(void *payload)
{
    (void)payload;
    alv_http_result result = get_here("/v1/nodes/node-2/metrics", NULL);
    bool known = result.status != 404;
    alv_http_result_done(&result);
    return known;
}

static void relay__asks_the_node_that_knows(void **state)
{
    (void)state;
    assert_true(alv_wait_until(knows_the_other, NULL, ANSWER_MS)); /* the group has been asked */
    for (int i = 1; i <= 2; i++) {
        char path[64];
        char mark[32];
        (void)snprintf(path, sizeof path, "/v1/nodes/node-%d/metrics", i);
        (void)snprintf(mark, sizeof mark, "node=\"node-%d\"", i);
        alv_http_result result = get_here(path, NULL);
        assert_int_equal(result.status, 200);
        assert_non_null(memmem(result.body.data, result.body.size, mark, strlen(mark)));
        alv_http_result_done(&result);
    }
}

/* Only members of the group are asked, and only for these two. */
static void relay__knows_no_other_hosts_and_paths(void **state)
{
    (void)state;
    static const char *const unknown[] = {"/v1/nodes/node-3/metrics",
                                          "/v1/nodes/127.0.0.1%3A80/metrics",
                                          "/v1/nodes/node-2/entities",
                                          "/v1/nodes/node-2%2Fmetrics",
                                          "/v1/nodes/",
                                          "/dashboard/../routes.c",
                                          "/dashboard/nothing.js"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        alv_http_result result = get_here(unknown[i], NULL);
        assert_int_equal(result.status, 404);
        alv_http_result_done(&result);
    }
    alv_http_result result = get_here("/v1/nodes/%ff/metrics", NULL);
    assert_int_equal(result.status, 400);
    alv_http_result_done(&result);
}

static void relay__says_when_the_node_is_silent(void **state)
{
    (void)state;
    assert_true(alv_wait_until(knows_the_other, NULL, ANSWER_MS));
    alv_api_node_stop(&there);
    alv_http_result result = get_here("/v1/nodes/node-2/metrics", NULL);
    expect_unavailable(&result);
}

#define NODES_TEST(test) cmocka_unit_test_setup_teardown(test, open_nodes, close_nodes)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        NODES_TEST(forward__the_owners_answer_comes_back),
        NODES_TEST(forward__head_and_large_states),
        NODES_TEST(forward__once_at_most),
        NODES_TEST(forward__does_not_loop),
        NODES_TEST(forward__dead_owner_is_503),
        NODES_TEST(forward__next_owner_is_asked),
        NODES_TEST(forward__owner_that_is_late_is_asked_again),
        NODES_TEST(forward__restoring_owner_answers_when_it_is_active),
        NODES_TEST(hold__until_active),
        NODES_TEST(hold__ends_with_503),
        NODES_TEST(hold__client_that_goes_away_is_forgotten),
        NODES_TEST(relay__asks_the_node_that_knows),
        NODES_TEST(relay__knows_no_other_hosts_and_paths),
        NODES_TEST(relay__says_when_the_node_is_silent),
        NODES_TEST(many__connections_at_once),
        NODES_TEST(stop__answers_what_is_held),
        NODES_TEST(stop__answers_what_is_forwarded),
        NODES_TEST(stop__idle_connections_do_not_delay_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
