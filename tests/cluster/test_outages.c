/* Goal: a server that is away delays and loses nothing. A node that starts before Kafka waits for it and
 * says so; while PostgreSQL is away commands go on and the checkpoint catches up later; while the
 * broker is away nothing happens, and afterwards everything has happened once.
 *
 * Method: servers of the test's own (dev/stack), which are taken away and brought back; one node.
 * The tests run in the order of the file, each going on from the state that the one before has left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wire.h"

#define USERS 200
#define DRAIN_TIMEOUT_MS 60000
#define POSTGRES_TIMEOUT_MS 60000
#define LOG_TIMEOUT_MS 30000

static const char *const settings[] = {"lanes=1", "shards=4", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_wire *wire;
    int rounds; /* every user has been given 1 so often */
    int tests_passed;
} fixture;

/* ---- load and checks ------------------------------------------------------------------------- */

static void queue_round(void)
{
    char topic[256];
    char key[32];
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&fixture.cluster, "commands"));
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof(key), "m:%d", i);
        alv_wire_record record = {
            .topic = topic,
            .partition = -1,
            .key = alv_view_of(key),
            .value = ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1,\"time\":1700000000000}"),
        };
        alv_wire_send(fixture.wire, &record);
    }
    fixture.rounds++;
}

static void send_round(void)
{
    queue_round();
    alv_wire_flush(fixture.wire);
}

static json_t *expected_states(void)
{
    json_t *states = json_object();
    char key[32];
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof(key), "m:%d", i);
        json_t *user = json_pack("{s:s, s:s, s:n, s:i, s:n, s:n, s:[], s:b, s:s}", "mallId", "m",
                                 "userId", key + 2, "nickname", "balance", fixture.rounds,
                                 "lastLogin", "lastCartUsedTime", "recentProducts",
                                 "marketingOptIn", 0, "lastEventTime", "2023-11-14T22:13:20.000Z");
        assert_non_null(user);
        json_object_set_new(states, key, user);
    }
    return states;
}

static json_t *read_states(void)
{
    json_t *keys = json_array();
    for (int i = 0; i < USERS; i++) {
        json_array_append_new(keys, json_sprintf("m:%d", i));
    }
    json_t *states = alv_cluster_http_states(fixture.node, keys);
    json_decref(keys);
    return states;
}

/* What the node answers is what was sent, within the time that the answer may take. */
static void check_http(void)
{
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
    json_t *expected = expected_states();
    json_t *states = read_states();
    alv_cluster_assert_states(states, expected, "HTTP");
    json_decref(states);
    json_decref(expected);
}

static void check_everywhere(void)
{
    check_http();
    json_t *expected = expected_states();
    json_t *changelog = alv_cluster_changelog_states(&fixture.cluster);
    alv_cluster_assert_states(changelog, expected, "changelog");
    alv_cluster_wait_postgres(&fixture.cluster, expected, POSTGRES_TIMEOUT_MS);
    json_decref(changelog);
    json_decref(expected);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void outages__a_node_waits_for_kafka_and_says_so(void **state)
{
    (void)state;
    alv_cluster_stack(&fixture.cluster, "stop-broker", "1");
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_log(fixture.node, fixture.cluster.brokers, LOG_TIMEOUT_MS);
    alv_cluster_wait_log(fixture.node, "level=warn", LOG_TIMEOUT_MS);
    assert_true(alv_process_running(&fixture.node->process));
    alv_cluster_stack(&fixture.cluster, "start-broker", "1");
    alv_cluster_wait_ready(fixture.node);
    fixture.wire = alv_wire_open(fixture.cluster.brokers);
    send_round();
    check_everywhere();
    fixture.tests_passed++;
}

static void outages__a_node_that_waits_for_kafka_can_be_stopped(void **state)
{
    (void)state;
    static const char *const elsewhere[] = {"bootstrap.servers=127.0.0.1:1", NULL};
    alv_cluster_node *node = alv_cluster_add_node(&fixture.cluster);
    alv_cluster_start_node(node, elsewhere);
    alv_cluster_wait_log(node, "127.0.0.1:1", LOG_TIMEOUT_MS);
    alv_cluster_wait_log(node, "level=warn", LOG_TIMEOUT_MS);
    alv_cluster_stop_node(node);
    fixture.tests_passed++;
}

static void outages__without_postgres_commands_go_on_and_rows_catch_up(void **state)
{
    (void)state;
    alv_cluster_stack(&fixture.cluster, "stop-postgres", NULL);
    for (int i = 0; i < 3; i++) {
        send_round();
        check_http();
    }
    alv_cluster_wait_log(fixture.node, "thread=checkpointer", LOG_TIMEOUT_MS);
    alv_cluster_stack(&fixture.cluster, "start-postgres", NULL);
    check_everywhere();
    fixture.tests_passed++;
}

static void outages__a_node_starts_without_postgres(void **state)
{
    (void)state;
    alv_cluster_stop_node(fixture.node);
    alv_cluster_stack(&fixture.cluster, "stop-postgres", NULL);
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    send_round();
    check_http();
    alv_cluster_stack(&fixture.cluster, "start-postgres", NULL);
    check_everywhere();
    fixture.tests_passed++;
}

static void outages__a_broker_that_comes_back_has_lost_nothing(void **state)
{
    (void)state;
    queue_round(); /* maybe half of it is on its way when the broker goes */
    alv_cluster_stack(&fixture.cluster, "stop-broker", "1");
    json_t *states = read_states(); /* reads need no broker */
    assert_int_equal(json_object_size(states), USERS);
    json_decref(states);
    alv_cluster_stack(&fixture.cluster, "start-broker", "1");
    alv_wire_flush(fixture.wire);
    send_round();
    check_everywhere();
    fixture.tests_passed++;
}

/* PostgreSQL has all of it when the process has ended; a server that is away is not waited for. */
static void outages__a_clean_stop_leaves_postgres_up_to_date(void **state)
{
    (void)state;
    send_round();
    check_http();
    alv_cluster_stop_node(fixture.node);
    json_t *expected = expected_states();
    json_t *rows = alv_cluster_postgres_states(&fixture.cluster);
    alv_cluster_assert_states(rows, expected, "PostgreSQL");
    assert_true(alv_cluster_log_has(fixture.node, "event=checkpoints-complete"));
    assert_false(alv_cluster_log_has(fixture.node, "event=checkpoints-behind"));
    json_decref(rows);
    json_decref(expected);
    alv_cluster_stack(&fixture.cluster, "stop-postgres", NULL);
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    send_round();
    check_http();
    alv_cluster_stop_node(fixture.node);
    assert_true(alv_cluster_log_has(fixture.node, "event=checkpoints-behind"));
    fixture.cluster.passed = fixture.tests_passed == 5; /* the tests before this one */
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int start_fixture(void **state)
{
    (void)state;
    alv_cluster_open_alone(&fixture.cluster, "outages");
    alv_cluster_start_stack(&fixture.cluster);
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_wire_close(fixture.wire);
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outages__a_node_waits_for_kafka_and_says_so),
        cmocka_unit_test(outages__a_node_that_waits_for_kafka_can_be_stopped),
        cmocka_unit_test(outages__without_postgres_commands_go_on_and_rows_catch_up),
        cmocka_unit_test(outages__a_node_starts_without_postgres),
        cmocka_unit_test(outages__a_broker_that_comes_back_has_lost_nothing),
        cmocka_unit_test(outages__a_clean_stop_leaves_postgres_up_to_date),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
