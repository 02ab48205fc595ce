/* Goal:   any node shows the whole cluster: what every node says of itself, put together; and what a node
 *         does not say is told as unknown, never made up and never waited for without end.
 * Method: three real nodes in this process, and a group that says what the test wants. */
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
#include "base/alloc.h"
#include "tests/support/api_node.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define NODES 3
#define SETTLE_MS 10000

static alv_fake_group group;
static alv_api_node nodes[NODES];

/* Node i has shard i; shard 3 is nobody's. `addresses` NULL = their own. */
static void group_says(const char *const *addresses)
{
    alv_fake_lane lanes[NODES] = {{.lane = 0}};
    for (int32_t i = 0; i < NODES; i++) {
        lanes[i].shards[0] = i;
        lanes[i].shards[1] = -1;
        (void)snprintf(lanes[i].node_id, sizeof lanes[i].node_id, "node-%d", (int)i + 1);
        (void)snprintf(lanes[i].address, sizeof lanes[i].address, "%s",
                       addresses != NULL ? addresses[i] : alv_api_node_address(&nodes[i]));
    }
    alv_fake_group_say(&group, lanes, NODES);
}

static alv_http_result get(int node, const char *path)
{
    return alv_http_call(NULL, "GET", alv_api_node_address(&nodes[node]), path, NULL);
}

/* The picture is complete once all three nodes are members for the one that is asked, and answer it. */
static bool all_are_known(void *payload)
{
    int *node = payload;
    alv_http_result result = get(*node, "/v1/cluster");
    size_t count = json_array_size(json_object_get(result.json, "nodes"));
    size_t unknown = json_array_size(json_object_get(result.json, "unknown"));
    alv_http_result_done(&result);
    return count == NODES && unknown == 0;
}

static int open_nodes(void **state)
{
    (void)state;
    static const char *const roles[NODES] = {"seed,shard", "shard", NULL};
    static const char *const ids[NODES] = {"node-1", "node-2", "node-3"};
    alv_fake_group_init(&group);
    for (int i = 0; i < NODES; i++) {
        const alv_settings settings = {.node_id = ids[i],
                                       .application_id = "mall",
                                       .lanes = 1,
                                       .node_roles = roles[i],
                                       .http_listen = "127.0.0.1:0"};
        alv_api_node_open_with(&nodes[i], &settings, &group);
        alv_api_node_activate(&nodes[i], i);
    }
    group_says(NULL);
    for (int i = 0; i < NODES; i++) {
        assert_true(alv_wait_until(all_are_known, &i, SETTLE_MS));
    }
    return 0;
}

static int close_nodes(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) {
        alv_api_node_close(&nodes[i]);
    }
    alv_fake_group_done(&group);
    return 0;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static const json_t *find_node(const alv_http_result *result, int node)
{
    return json_array_get(json_object_get(result->json, "nodes"), (size_t)node);
}

/* ---- the whole picture ----------------------------------------------------------------------- */

static bool second_is_known_not_ready(void *payload)
{
    int *node = payload;
    alv_http_result result = get(*node, "/v1/cluster");
    bool known = json_is_false(json_object_get(find_node(&result, 1), "ready"));
    alv_http_result_done(&result);
    return known;
}

static void cluster__every_node_tells_what_all_say_of_themselves(void **state)
{
    (void)state;
    nodes[1].not_ready = "shard 1 is being restored";
    for (int i = 0; i < NODES; i++) {
        assert_true(alv_wait_until(second_is_known_not_ready, &i, SETTLE_MS));
        alv_http_result result = get(i, "/v1/cluster");
        assert_int_equal(result.status, 200);
        assert_string_equal(alv_http_result_text(&result, "application"), "mall");
        const json_t *first = find_node(&result, 0);
        assert_string_equal(text_of(first, "node"), "node-1");
        assert_string_equal(text_of(first, "version"), ALV_VERSION);
        json_t *roles = json_object_get(first, "roles");
        assert_int_equal(json_array_size(roles), 2);
        assert_string_equal(json_string_value(json_array_get(roles, 1)), "shard");
        assert_true(json_is_true(json_object_get(first, "ready")));
        assert_string_equal(text_of(find_node(&result, 1), "reason"), "shard 1 is being restored");
        assert_int_equal(json_array_size(json_object_get(find_node(&result, 2), "roles")), 0);
        alv_http_result_done(&result);
    }
    nodes[1].not_ready = NULL;
}

/* Once `node` has heard of both standbys, the rest of what was set before them is there as well. */
static bool standbys_are_known(void *payload)
{
    int *node = payload;
    alv_http_result result = get(*node, "/v1/shards");
    const json_t *shard = json_array_get(result.json, 1);
    bool known = json_array_size(json_object_get(shard, "standbys")) == 2 &&
                 strcmp(text_of(shard, "state"), "active") == 0;
    alv_http_result_done(&result);
    return known;
}

static void shards__every_node_tells_them_all(void **state)
{
    (void)state;
    const alv_position owned = {.commands = 7, .changelog = 100, .ledger = 3};
    const alv_position kept = {.commands = 7, .changelog = 90, .ledger = 3};
    alv_directory_set_position(nodes[1].directory, 1, &owned);
    alv_directory_add_commands(nodes[1].directory, 1, 42);
    alv_directory_set_end(nodes[1].directory, 1, 12);
    alv_directory_set_position(nodes[2].directory, 1, &kept);
    alv_directory_set_standby(nodes[2].directory, 1, true, true);
    alv_directory_set_standby(nodes[0].directory, 1, true, false);
    for (int i = 0; i < NODES; i++) {
        assert_true(alv_wait_until(standbys_are_known, &i, SETTLE_MS));
        alv_http_result result = get(i, "/v1/shards");
        assert_int_equal(json_array_size(result.json), ALV_API_NODE_SHARDS);
        const json_t *shard = json_array_get(result.json, 1);
        const json_t *owner = json_object_get(shard, "owner");
        assert_string_equal(text_of(shard, "state"), "active");
        assert_string_equal(text_of(owner, "node"), "node-2");
        assert_string_equal(text_of(owner, "address"), alv_api_node_address(&nodes[1]));
        assert_int_equal(json_integer_value(json_object_get(shard, "lag")), 5);
        assert_int_equal(json_integer_value(json_object_get(shard, "commands")), 42);
        json_t *standbys = json_object_get(shard, "standbys");
        bool self_first = strcmp(text_of(json_array_get(standbys, 0), "node"), "node-1") == 0;
        const json_t *hot = json_array_get(standbys, self_first ? 1 : 0);
        assert_string_equal(text_of(hot, "node"), "node-3");
        assert_string_equal(text_of(hot, "state"), "hot");
        assert_int_equal(json_integer_value(json_object_get(hot, "lag")), 10);
        const json_t *nobodys = json_array_get(result.json, 3);
        assert_string_equal(text_of(nobodys, "state"), "unassigned");
        assert_true(json_is_null(json_object_get(nobodys, "owner")));
        alv_http_result_done(&result);
    }
}

static void node__tells_of_itself_alone(void **state)
{
    (void)state;
    alv_http_result result = get(0, "/v1/node");
    assert_int_equal(result.status, 200);
    assert_string_equal(alv_http_result_text(&result, "node"), "node-1");
    json_t *rows = json_object_get(result.json, "shards");
    assert_int_equal(json_array_size(rows), ALV_API_NODE_SHARDS);
    assert_string_equal(text_of(json_array_get(rows, 0), "state"), "active");
    assert_string_equal(text_of(json_array_get(rows, 1), "state"), "unassigned");
    alv_http_result_done(&result);
}

/* ---- what is not known ----------------------------------------------------------------------- */

/* A socket that accepts and never answers. */
static int open_mute(char address[ALV_LISTENER_ADDRESS_BYTES])
{
    int fd = -1;
    assert_int_equal(alv_listener_open("127.0.0.1:0", &fd, address, NULL), ALV_OK);
    return fd;
}

static bool third_is_unknown(void *payload)
{
    (void)payload;
    alv_http_result result = get(0, "/v1/cluster");
    const json_t *unknown = json_object_get(result.json, "unknown");
    bool known = json_array_size(unknown) == 1 &&
                 strcmp(json_string_value(json_array_get(unknown, 0)), "node-3") == 0;
    alv_http_result_done(&result);
    return known;
}

static void expect_third_unknown(void)
{
    assert_true(alv_wait_until(third_is_unknown, NULL, SETTLE_MS));
    alv_http_result result = get(0, "/v1/cluster");
    const json_t *third = find_node(&result, 2);
    assert_true(json_is_null(json_object_get(third, "version")));
    assert_true(json_is_null(json_object_get(third, "ready")));
    assert_string_equal(text_of(find_node(&result, 1), "version"), ALV_VERSION);
    alv_http_result_done(&result);
    result = get(0, "/v1/shards");
    const json_t *shard = json_array_get(result.json, 2);
    assert_string_equal(text_of(shard, "state"), "unknown");
    assert_string_equal(text_of(json_object_get(shard, "owner"), "node"), "node-3");
    assert_true(json_is_null(json_object_get(shard, "position")));
    assert_string_equal(text_of(json_array_get(result.json, 1), "state"), "active");
    assert_true(result.total_ms < ALV_GATHER_TIMEOUT_MS + SETTLE_MS);
    alv_http_result_done(&result);
}

static void unknown__a_node_that_is_gone(void **state)
{
    (void)state;
    const char *addresses[NODES] = {alv_api_node_address(&nodes[0]),
                                    alv_api_node_address(&nodes[1]), "127.0.0.1:1"};
    group_says(addresses);
    expect_third_unknown();
}

static void unknown__a_node_that_does_not_answer(void **state)
{
    (void)state;
    char address[ALV_LISTENER_ADDRESS_BYTES];
    int fd = open_mute(address);
    const char *addresses[NODES] = {alv_api_node_address(&nodes[0]),
                                    alv_api_node_address(&nodes[1]), address};
    group_says(addresses);
    expect_third_unknown();
    assert_int_equal(close(fd), 0);
}

/* Whoever comes while a round is under way waits for the same one; a stop answers all of them. */
static void stop__answers_those_who_wait(void **state)
{
    (void)state;
    enum {
        ASKERS = 8
    };
    static const char text[] = "GET /v1/shards HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char address[ALV_LISTENER_ADDRESS_BYTES];
    int mute = open_mute(address);
    int fds[ASKERS];
    const char *addresses[NODES] = {alv_api_node_address(&nodes[0]),
                                    alv_api_node_address(&nodes[1]), address};
    group_says(addresses);
    assert_true(alv_wait_until(third_is_unknown, NULL, SETTLE_MS));
    for (int i = 0; i < ASKERS; i++) {
        fds[i] = alv_http_raw_open(alv_api_node_address(&nodes[0]));
        alv_http_raw_send(fds[i], text, sizeof text - 1);
    }
    alv_api_node_stop(&nodes[0]);
    for (int i = 0; i < ASKERS; i++) {
        alv_bytes answer = ALV_BYTES_EMPTY;
        int status = alv_http_raw_read(fds[i], SETTLE_MS, &answer);
        assert_true(status == 200 || status == 503 ||
                    status == 0); /* 0: it was not read any more */
        alv_bytes_done(&answer);
        assert_int_equal(close(fds[i]), 0);
    }
    assert_int_equal(close(mute), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_nodes, close_nodes)
    const struct CMUnitTest tests[] = {
        TEST(cluster__every_node_tells_what_all_say_of_themselves),
        TEST(shards__every_node_tells_them_all),
        TEST(node__tells_of_itself_alone),
        TEST(unknown__a_node_that_is_gone),
        TEST(unknown__a_node_that_does_not_answer),
        TEST(stop__answers_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
