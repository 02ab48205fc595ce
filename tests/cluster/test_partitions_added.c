/* Goal: partitions that somebody adds to the command topic stop nothing: nodes go on with the shards there are, also
 *       when they are started again, send to these alone, and say what is wrong.
 *
 * Method: two real nodes; the transfer behavior sends commands from entity to entity, HTTP and `alluvium send` from
 *         outside. A command in one of the new partitions must not be executed: its entity lives in a shard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define SHARDS 4
#define USERS 30
#define TIMEOUT_MS 60000

/* Five minutes until a client hears of new partitions are too long for a test. */
static const char *const settings[] = {"lanes=2", "kafka.topic.metadata.refresh.interval.ms=1000",
                                       NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    int balance; /* of every user */
} job;

static void post(const alv_cluster_node *node, const char *key, const char *body)
{
    char *path = alv_format("/v1/entities/%s/commands", key);
    alv_http_result result = alv_http_call_post(NULL, node->address, path, body, NULL);
    if (result.status != 200) {
        fail_msg("%s %s: %d", key, body, (int)result.status);
    }
    alv_http_result_done(&result);
    alv_free(path);
}

static void add_to_all(const alv_cluster_node *node)
{
    char key[32];
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        post(node, key, "{\"type\":\"add_balance\",\"amount\":1}");
    }
    job.balance++;
}

static void expect_balances(void)
{
    json_t *states = alv_cluster_changelog_states(&job.cluster);
    char key[32];
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        json_t *balance = json_object_get(json_object_get(states, key), "balance");
        assert_int_equal(json_integer_value(balance), job.balance);
    }
    json_decref(states);
}

/* Each user sends one to the next one, which takes commands from entity to entity, in all directions. */
static void transfer_around(const alv_cluster_node *node, int round)
{
    for (int i = 0; i < USERS; i++) {
        char key[32];
        char body[128];
        (void)snprintf(key, sizeof key, "transfer%%2F%d-%d", round, i);
        (void)snprintf(body, sizeof body,
                       "{\"type\":\"start\",\"from\":\"m:%d\",\"to\":\"m:%d\",\"amount\":1}", i,
                       (i + 1) % USERS);
        post(node, key, body);
    }
}

/* Of so many rounds. */
static bool transfers_are_completed(void *payload)
{
    const int *rounds = payload;
    int completed = 0;
    const char *key;
    json_t *state;
    json_t *states = alv_cluster_changelog_states(&job.cluster);
    json_object_foreach(states, key, state)
    {
        const char *status = json_string_value(json_object_get(state, "status"));
        completed += status != NULL && strcmp(status, "completed") == 0;
    }
    json_decref(states);
    return completed == *rounds * USERS;
}

static void expect_transfers(const alv_cluster_node *node, int round)
{
    transfer_around(node, round);
    int rounds = round + 1;
    assert_true(alv_wait_until(transfers_are_completed, &rounds, TIMEOUT_MS));
}

static bool both_know(void *payload)
{
    (void)payload;
    /* The new partitions are given to whichever lanes come first. */
    return alv_cluster_log_has(job.nodes[0], "event=partition-added") ||
           alv_cluster_log_has(job.nodes[1], "event=partition-added");
}

/* A command of the topic's last partition, which is no shard. */
static void send_astray(const char *topic)
{
    alv_wire *wire = alv_wire_open(job.cluster.brokers);
    alv_wire_record record = {.topic = topic,
                              .partition = 2 * SHARDS - 1,
                              .key = ALV_VIEW("m:0"),
                              .value = ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1}")};
    alv_wire_send(wire, &record);
    alv_wire_flush(wire);
    alv_wire_close(wire);
}

static void restart(void)
{
    for (int i = 0; i < 2; i++) {
        alv_cluster_stop_node(job.nodes[i]);
        alv_cluster_start_node(job.nodes[i], settings);
        alv_cluster_wait_ready(job.nodes[i]);
    }
}

static void expect_to_be_told(void)
{
    alv_cluster_result result = alv_cluster_run(
        &job.cluster, NULL,
        (const char *const[]){"topics", "check", "-c", job.cluster.config_path, NULL});
    assert_int_equal(result.exit_status, 1);
    assert_non_null(strstr(result.err, "has 8 partitions, but the changelog says 4"));
    alv_cluster_result_done(&result);
}

static void partitions_added__stop_nothing(void **state)
{
    (void)state;
    char topic[128];
    static const char *const first[] = {"lanes=2", "shards=4",
                                        "kafka.topic.metadata.refresh.interval.ms=1000", NULL};
    alv_cluster_open(&job.cluster, "partitions");
    (void)snprintf(topic, sizeof topic, "%s", alv_cluster_topic(&job.cluster, "commands"));
    for (int i = 0; i < 2; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], first);
        alv_cluster_wait_ready(job.nodes[i]);
    }
    add_to_all(job.nodes[0]);

    alv_wire_add_partitions(job.cluster.brokers, topic, 2 * SHARDS);
    assert_true(alv_wait_until(both_know, NULL, TIMEOUT_MS));
    send_astray(topic);
    add_to_all(job.nodes[0]);
    add_to_all(job.nodes[1]);
    expect_transfers(job.nodes[0], 0);
    expect_balances();
    expect_to_be_told();

    restart();
    assert_true(alv_cluster_log_has(job.nodes[0], "event=topic-problem"));
    add_to_all(job.nodes[1]);
    expect_transfers(job.nodes[1], 1);
    expect_balances();
    for (int i = 0; i < 2; i++) {
        alv_cluster_stop_node(job.nodes[i]);
    }
    job.cluster.passed = true;
    alv_cluster_close(&job.cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitions_added__stop_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
