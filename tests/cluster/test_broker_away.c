/* Goal:   with one of three brokers away, nodes see their group through the two that are there: they know
 *         who is a member, pass requests on, and a node that dies is replaced without waiting for its
 *         session's end. No node ever takes the group for empty.
 * Method: three brokers and two nodes of the test's own; each broker in turn is stopped, one of them is the
 *         coordinator. The group is looked at as nodes do it (topics/kafka_members.c). */
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
#include "base/config.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"
#include "topics/kafka.h"

#define BROKERS 3
#define USERS 24
#define LOOKS 8
#define LOOK_MS 2000 /* what a node gives an answer */
#define SETTLE_MS 90000

static const char *const stack_options[] = {"--brokers", "3", NULL};
static const char *const settings[] = {"shards=6", "lanes=1", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    alv_config *config;
    alv_group_view *view;
    alv_wire *wire;
} job;

/* ---- what is seen ---------------------------------------------------------------------------- */

/* Why the last look was not good. */
static char refusal[512];

/* Whether the coordinator's answer has both lanes. An answer without any is never given. */
static bool group_is_seen(void *payload)
{
    (void)payload;
    alv_members members;
    alv_error err = ALV_ERROR_NONE;
    if (alv_group_view_members(job.view, LOOK_MS, &members, &err) != ALV_OK) {
        (void)snprintf(refusal, sizeof refusal, "%s", err.text);
        return false;
    }
    size_t count = members.count;
    (void)snprintf(refusal, sizeof refusal, "%zu members", count);
    alv_members_done(&members);
    assert_int_not_equal(count, 0);
    return count == 2;
}

static void wait_until_group_is_seen(void)
{
    if (!alv_wait_until(group_is_seen, NULL, SETTLE_MS)) {
        fail_msg("after %d ms: %s", SETTLE_MS, refusal);
    }
}

static bool is_answered_by(const alv_cluster_node *node, int user)
{
    char path[64];
    int status = 0;
    (void)snprintf(path, sizeof path, "/v1/entities/mall%%3A%d", user);
    json_t *answer = alv_cluster_http(node, path, &status);
    if (status != 200) {
        char *text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY);
        (void)snprintf(refusal, sizeof refusal, "%s: user %d: %d %s", node->id, user, status,
                       text != NULL ? text : "");
        free(text);
    }
    json_decref(answer);
    return status == 200;
}

/* Every user is answered for by every node that runs, whoever holds the shard. */
static bool all_is_answered(void *payload)
{
    int node_count = *(const int *)payload;
    bool all = true;
    for (int user = 0; user < USERS && all; user++) {
        all = is_answered_by(job.nodes[0], user) &&
              (node_count < 2 || is_answered_by(job.nodes[1], user));
    }
    return all;
}

static void wait_until_all_is_answered(int node_count)
{
    if (!alv_wait_until(all_is_answered, &node_count, SETTLE_MS)) {
        fail_msg("after %d ms: %s", SETTLE_MS, refusal);
    }
}

static void send_all(void)
{
    for (int user = 0; user < USERS; user++) {
        char key[32];
        (void)snprintf(key, sizeof key, "mall:%d", user);
        const alv_wire_record record = {.topic = alv_cluster_topic(&job.cluster, "commands"),
                                        .partition = -1,
                                        .key = alv_view_of(key),
                                        .value = ALV_VIEW("{\"type\":\"login\"}")};
        alv_wire_send(job.wire, &record);
    }
    alv_wire_flush(job.wire);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void open_view(void)
{
    alv_error err = ALV_ERROR_NONE;
    char *brokers = alv_format("bootstrap.servers=%s", job.cluster.brokers);
    char *application = alv_format("application.id=%s", job.cluster.application);
    job.config = alv_config_new();
    if (alv_config_set(job.config, brokers, &err) != ALV_OK ||
        alv_config_set(job.config, application, &err) != ALV_OK ||
        alv_config_set(job.config, "node.id=looker", &err) != ALV_OK ||
        alv_config_finish(job.config, &err) != ALV_OK ||
        alv_group_view_open(job.config, &job.view, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
    alv_free(brokers);
    alv_free(application);
}

static int start(void **state)
{
    (void)state;
    alv_cluster_open_alone(&job.cluster, "broker-away");
    alv_cluster_start_stack_with(&job.cluster, stack_options);
    for (int i = 0; i < 2; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], settings);
        alv_cluster_wait_ready(job.nodes[i]);
    }
    job.wire = alv_wire_open(job.cluster.brokers);
    send_all();
    open_view();
    wait_until_group_is_seen();
    wait_until_all_is_answered(2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    alv_group_view_close(job.view);
    alv_config_free(job.config);
    alv_wire_close(job.wire);
    alv_cluster_close(&job.cluster);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void group__is_seen_through_the_brokers_that_are_there(void **state)
{
    (void)state;
    for (int broker = 1; broker <= BROKERS; broker++) {
        char number[8];
        (void)snprintf(number, sizeof number, "%d", broker);
        alv_cluster_stack(&job.cluster, "stop-broker", number);
        wait_until_group_is_seen(); /* the coordinator moved */
        for (int look = 0; look < LOOKS; look++) {
            assert_true(group_is_seen(NULL));
        }
        wait_until_all_is_answered(2);
        alv_cluster_stack(&job.cluster, "start-broker", number);
    }
    assert_false(alv_cluster_log_has(job.nodes[0], "event=evicted"));
    assert_false(alv_cluster_log_has(job.nodes[1], "event=evicted"));
}

static void death__of_a_node_is_noticed_while_a_broker_is_away(void **state)
{
    (void)state;
    alv_cluster_stack(&job.cluster, "stop-broker", "3");
    wait_until_group_is_seen();
    alv_process_kill(&job.nodes[1]->process);
    alv_cluster_wait_log(job.nodes[0], "event=evicted node=node-2", SETTLE_MS);
    wait_until_all_is_answered(1);
    job.cluster.passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group__is_seen_through_the_brokers_that_are_there),
        cmocka_unit_test(death__of_a_node_is_noticed_while_a_broker_is_away),
    };
    return cmocka_run_group_tests(tests, start, end);
}
