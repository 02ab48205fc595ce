/* Goal: a handler that does not return costs its command, and no other: the node ends as by a crash, and when that
 *       has happened ALV_CRASHES_MAX times the command is a dead letter (I8).
 *
 * Method: a library whose handler takes as long as it is told to, here some thousand years. The test is the
 *         supervisor that starts the node again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "processor/crash_mark.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/http_call.h"
#include "tests/support/plugin.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define TIMEOUT_MS 60000
#define OTHERS 50
#define LONG_ROUNDS "6000000000" /* longer than ALV_LANE_SILENT_MS on any machine there is */

static void send_work(alv_wire *wire, const alv_cluster *cluster, const char *key,
                      const char *rounds)
{
    char topic[128];
    char value[96];
    (void)snprintf(topic, sizeof topic, "%s", alv_cluster_topic(cluster, "commands"));
    (void)snprintf(value, sizeof value, "{\"type\":\"work\",\"rounds\":%s}", rounds);
    alv_wire_record record = {
        .topic = topic, .partition = 0, .key = alv_view_of(key), .value = alv_view_of(value)};
    alv_wire_send(wire, &record);
}

/* Before and behind the one that never returns, all in one shard. */
static void send_commands(const alv_cluster *cluster)
{
    char key[32];
    alv_wire *wire = alv_wire_open(cluster->brokers);
    for (int i = 0; i < 2 * OTHERS; i++) {
        if (i == OTHERS) {
            send_work(wire, cluster, "slow/endless", "9000000000000000000");
        }
        (void)snprintf(key, sizeof key, "slow/%d", i % OTHERS);
        send_work(wire, cluster, key, "1");
    }
    alv_wire_flush(wire);
    alv_wire_close(wire);
}

/* The dead letters of the application, as `alluvium dead-letters list --json` prints them. */
static void assert_one_dead_letter(alv_cluster *cluster)
{
    alv_cluster_result result = alv_cluster_run(
        cluster, NULL,
        (const char *const[]){"dead-letters", "list", "-c", cluster->config_path, "--json", NULL});
    assert_int_equal(result.exit_status, 0);
    const char *found = strstr(result.out, "\"crashed-node\"");
    assert_non_null(found);
    assert_non_null(strstr(result.out, "slow/endless"));
    assert_null(strstr(found + 1, "\"crashed-node\""));
    alv_cluster_result_done(&result);
}

/* A node with that library and one lane; it ends with the cluster. */
typedef struct stuck_stage {
    alv_cluster cluster;
    alv_cluster_node *node;
    char *library; /* as a setting */
    const char *settings[5];
} stuck_stage;

static void open_stage(stuck_stage *stage, const char *name, const char *handler_timeout)
{
    char *path = alv_plugin_path("slow");
    stage->library = alv_format("behavior.libraries=%s", path);
    alv_free(path);
    const char *const settings[] = {"lanes=1", "shards=1", stage->library, handler_timeout, NULL};
    memcpy(stage->settings, settings, sizeof settings);
    alv_cluster_open(&stage->cluster, name);
    stage->node = alv_cluster_add_node(&stage->cluster);
    alv_cluster_start_node(stage->node, stage->settings);
    alv_cluster_wait_ready(stage->node);
}

static void close_stage(stuck_stage *stage)
{
    alv_cluster_stop_node(stage->node);
    alv_free(stage->library);
    stage->cluster.passed = true;
    alv_cluster_close(&stage->cluster);
}

static void expect_counts(const alv_cluster *cluster)
{
    json_t *states = alv_cluster_changelog_states(cluster);
    assert_int_equal(json_object_size(states), OTHERS);
    const char *key;
    json_t *entity;
    json_object_foreach(states, key, entity)
    {
        assert_int_equal(json_integer_value(json_object_get(entity, "count")), 2);
    }
    json_decref(states);
}

static void stuck_handler__costs_its_command_alone(void **state)
{
    (void)state;
    stuck_stage stage;
    open_stage(&stage, "stuck", "handler.timeout.ms=1000");
    alv_cluster_node *node = stage.node;
    send_commands(&stage.cluster);
    for (int i = 0; i < ALV_CRASHES_MAX; i++) {
        assert_true(alv_process_wait(&node->process, TIMEOUT_MS));
        assert_int_not_equal(node->process.exit_status, 0);
        assert_true(alv_cluster_log_has(node, "event=handler-stuck"));
        alv_cluster_start_node(node, stage.settings);
    }
    alv_cluster_wait_ready(node);
    alv_cluster_wait_consumed(&stage.cluster, TIMEOUT_MS);
    expect_counts(&stage.cluster);
    assert_one_dead_letter(&stage.cluster);
    close_stage(&stage);
}

static int readiness(const alv_cluster_node *node, const char *part)
{
    alv_http_result result = alv_http_call(NULL, "GET", node->address, "/readyz", NULL);
    int status = (int)result.status;
    if (status == 503 && memmem(result.body.data, result.body.size, part, strlen(part)) == NULL) {
        fail_msg("not ready, but: %.*s", (int)result.body.size, result.body.data);
    }
    alv_http_result_done(&result);
    return status;
}

static bool is_held_up(void *payload)
{
    return readiness(payload, "lane 0 has not got on for") == 503;
}

static bool is_ready(void *payload)
{
    return readiness(payload, "lane 0") == 200;
}

/* A handler that takes long and does return, because it may. */
static void stuck_handler__shows_while_it_may_go_on(void **state)
{
    (void)state;
    stuck_stage stage;
    open_stage(&stage, "held-up", "handler.timeout.ms=0");
    alv_wire *wire = alv_wire_open(stage.cluster.brokers);
    send_work(wire, &stage.cluster, "slow/1", LONG_ROUNDS);
    alv_wire_flush(wire);
    alv_wire_close(wire);
    assert_true(alv_wait_until(is_held_up, stage.node, TIMEOUT_MS));
    assert_true(alv_wait_until(is_ready, stage.node, TIMEOUT_MS));
    alv_cluster_wait_consumed(&stage.cluster, TIMEOUT_MS);
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stuck_handler__costs_its_command_alone),
        cmocka_unit_test(stuck_handler__shows_while_it_may_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
