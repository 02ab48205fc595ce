/* Goal:   with the default settings the shards of a killed node are at work elsewhere long before
 *         its session with the group times out (10 s), and nothing is lost or done twice.
 * Method: real nodes; a thread adds 1 to the balances of 48 users in turn, at a steady rate, before,
 *         during and after. How long the users of the dead node were stuck is seen from outside:
 *         the time until every user's balance, asked from a survivor, holds a command that was sent
 *         after the kill. In the end every balance is the number of commands sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/node_log.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define USERS 48
#define PAUSE_MS 2 /* between two commands */
#define WARM_UP 500
#define FAILOVER_MS 5000
#define DRAIN_MS 60000

static const char *const settings[] = {"shards=12", NULL};
static const char *const settings_two_lanes[] = {"shards=12", "lanes=2", NULL};
static const char *const settings_one_lane[] = {"shards=12", "lanes=1", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[3];
    int node_count;
    alv_wire *wire;
    pthread_t sender;
    atomic_bool sending;
    atomic_int sent[USERS];
    atomic_int sent_count;
} job;

/* ---- the load -------------------------------------------------------------------------------- */

static void user_key(int user, char out[32])
{
    (void)snprintf(out, 32, "mall:%d", user);
}

static void *send_steadily(void *payload)
{
    (void)payload;
    char *topic = alv_format("%s.commands", job.cluster.application);
    for (int user = 0; atomic_load(&job.sending); user = (user + 1) % USERS) {
        char key[32];
        user_key(user, key);
        const alv_wire_record record = {
            .topic = topic,
            .partition = -1,
            .key = alv_view_of(key),
            .value = ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1,\"transferId\":\"t\"}"),
        };
        alv_wire_send(job.wire, &record);
        atomic_fetch_add(&job.sent[user], 1);
        atomic_fetch_add(&job.sent_count, 1);
        (void)poll(NULL, 0, PAUSE_MS);
    }
    alv_wire_flush(job.wire);
    alv_free(topic);
    return NULL;
}

static void start_sending(void)
{
    job.wire = alv_wire_open(job.cluster.brokers);
    for (int user = 0; user < USERS; user++) {
        atomic_store(&job.sent[user], 0);
    }
    atomic_store(&job.sent_count, 0);
    atomic_store(&job.sending, true);
    assert_int_equal(pthread_create(&job.sender, NULL, send_steadily, NULL), 0);
}

static void stop_sending(void)
{
    if (atomic_exchange(&job.sending, false)) {
        (void)pthread_join(job.sender, NULL);
        alv_wire_close(job.wire);
    }
}

/* ---- what is seen ---------------------------------------------------------------------------- */

/* -1: not answered at the moment. */
static int64_t balance_of(const alv_cluster_node *node, int user)
{
    char path[64];
    int status = 0;
    (void)snprintf(path, sizeof path, "/v1/entities/mall%%3A%d", user);
    json_t *answer = alv_cluster_http(node, path, &status);
    json_t *balance = json_object_get(json_object_get(answer, "state"), "balance");
    int64_t value = status == 200 ? json_integer_value(balance) : -1;
    json_decref(answer);
    return value;
}

/* Waits until every user has a command that was sent after now; how long that took. */
static int64_t wait_for_new_commands(const alv_cluster_node *node)
{
    int sent[USERS];
    int64_t began_us = alv_monotonic_us(alv_clock_system());
    int64_t deadline = alv_wait_deadline(DRAIN_MS);
    for (int user = 0; user < USERS; user++) {
        sent[user] = atomic_load(&job.sent[user]);
    }
    for (int user = 0; user < USERS; user++) {
        while (balance_of(node, user) <= sent[user]) {
            if (alv_wait_expired(deadline)) {
                fail_msg("user %d is stuck for %d ms", user, DRAIN_MS);
            }
            (void)poll(NULL, 0, 5);
        }
    }
    return (alv_monotonic_us(alv_clock_system()) - began_us) / 1000;
}

static bool has_warmed_up(void *payload)
{
    return atomic_load(&job.sent_count) >= *(const int *)payload;
}

static void warm_up(void)
{
    int count = WARM_UP;
    assert_true(alv_wait_until(has_warmed_up, &count, DRAIN_MS));
    (void)wait_for_new_commands(job.nodes[job.node_count - 1]);
}

/* Every command took effect once: in the changelog, and for whoever asks `node`. */
static void check_balances(const alv_cluster_node *node)
{
    stop_sending();
    alv_cluster_wait_consumed(&job.cluster, DRAIN_MS);
    json_t *states = alv_cluster_changelog_states(&job.cluster);
    for (int user = 0; user < USERS; user++) {
        char key[32];
        user_key(user, key);
        json_t *state = json_object_get(states, key);
        assert_int_equal(json_integer_value(json_object_get(state, "balance")),
                         atomic_load(&job.sent[user]));
        assert_int_equal(balance_of(node, user), atomic_load(&job.sent[user]));
    }
    json_decref(states);
    const char *topic = alv_cluster_topic(&job.cluster, "commands");
    assert_int_equal(alv_wire_committed(job.cluster.brokers, job.cluster.application, topic),
                     atomic_load(&job.sent_count));
}

/* ---- the log --------------------------------------------------------------------------------- */

/* Says when what happened, as the survivor that acted and the one that got shards saw it. */
static void report(const char *what, const alv_cluster_node *actor, int64_t killed_ms,
                   int64_t answered_ms)
{
    assert_true(alv_cluster_log_has(actor, "event=start "));
    print_message("%s at 0; ms until: verdict %" PRId64 ", evicted %" PRId64 ", assigned %" PRId64
                  ", active %" PRId64 ", every user answered %" PRId64 "\n",
                  what, alv_node_log_last(actor, "to=dead", killed_ms),
                  alv_node_log_last(actor, "event=evicted", killed_ms),
                  alv_node_log_last(actor, "state=restoring", killed_ms),
                  alv_node_log_last(actor, "state=active", killed_ms), answered_ms);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void start_nodes(int count, const char *const *with)
{
    alv_cluster_open(&job.cluster, "failover");
    job.node_count = count;
    for (int i = 0; i < count; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], with);
        alv_cluster_wait_ready(job.nodes[i]);
    }
    start_sending();
    warm_up();
    for (int i = 0; i < count; i++) {
        alv_cluster_wait_ready(job.nodes[i]); /* what moved to the later ones is there */
    }
}

static int end_nodes(void **state)
{
    (void)state;
    stop_sending();
    alv_cluster_close(&job.cluster);
    return 0;
}

/* Whether every other node is alive for `node`. */
static bool hears_all(void *payload)
{
    const alv_cluster_node *node = payload;
    int status = 0;
    size_t alive = 0;
    size_t i;
    json_t *answer = alv_cluster_http(node, "/v1/peers", &status);
    json_t *peer;
    json_array_foreach(json_object_get(answer, "peers"), i, peer)
    {
        alive += strcmp(json_string_value(json_object_get(peer, "state")), "alive") == 0;
    }
    json_decref(answer);
    return alive + 1 == (size_t)job.node_count;
}

static void wait_until_all_hear_all(void)
{
    for (int i = 0; i < job.node_count; i++) {
        assert_true(alv_wait_until(hears_all, job.nodes[i], DRAIN_MS));
    }
}

/* Kills one node and checks all that must be true then. */
static void check_kill(int victim, const alv_cluster_node *actor)
{
    wait_until_all_hear_all();
    int64_t killed_ms = alv_now_ms(alv_clock_system());
    alv_process_signal(&job.nodes[victim]->process, SIGKILL);
    int64_t answered_ms = wait_for_new_commands(actor);
    report("kill -9", actor, killed_ms, answered_ms);
    assert_true(answered_ms < FAILOVER_MS);
    assert_true(alv_cluster_log_has(actor, "event=evicted"));
    check_balances(actor);
    job.cluster.passed = true;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void kill__of_one_of_two(void **state)
{
    (void)state;
    start_nodes(2, settings);
    check_kill(1, job.nodes[0]);
}

static void kill__of_the_one_of_three_that_would_act_itself(void **state)
{
    (void)state;
    start_nodes(3, settings);
    check_kill(0, job.nodes[1]);
    assert_false(alv_cluster_log_has(job.nodes[2], "event=evicted")); /* one acts */
}

/* A majority can be wrong about a paused node; it is fenced, and comes back when it goes on. */
static void pause__of_one_of_three_loses_and_doubles_nothing(void **state)
{
    (void)state;
    start_nodes(3, settings);
    wait_until_all_hear_all();
    int64_t paused_ms = alv_now_ms(alv_clock_system());
    alv_process_signal(&job.nodes[2]->process, SIGSTOP);
    int64_t answered_ms = wait_for_new_commands(job.nodes[0]);
    report("SIGSTOP", job.nodes[0], paused_ms, answered_ms);
    assert_true(answered_ms < FAILOVER_MS);
    alv_process_signal(&job.nodes[2]->process, SIGCONT);
    wait_until_all_hear_all();
    (void)wait_for_new_commands(job.nodes[2]);
    check_balances(job.nodes[2]);
    job.cluster.passed = true;
}

static void seats__of_former_lanes_do_not_wait_for_their_session(void **state)
{
    (void)state;
    start_nodes(1, settings_two_lanes);
    alv_process_kill(&job.nodes[0]->process);
    alv_cluster_start_node(job.nodes[0], settings_one_lane);
    alv_cluster_wait_ready(job.nodes[0]);
    int64_t answered_ms = wait_for_new_commands(job.nodes[0]);
    print_message("restart with one lane fewer: every user answered %" PRId64 " ms after ready\n",
                  answered_ms);
    assert_true(answered_ms < FAILOVER_MS);
    assert_true(alv_cluster_log_has(job.nodes[0], "event=evicted node=node-1 lanes=1"));
    check_balances(job.nodes[0]);
    job.cluster.passed = true;
}

static void stop__on_purpose_needs_no_verdict(void **state)
{
    (void)state;
    start_nodes(2, settings);
    wait_until_all_hear_all();
    alv_process_signal(&job.nodes[1]->process, SIGTERM);
    int64_t answered_ms = wait_for_new_commands(job.nodes[0]);
    print_message("planned stop: every user answered after %" PRId64 " ms\n", answered_ms);
    assert_true(answered_ms < FAILOVER_MS);
    alv_cluster_wait_stopped(job.nodes[1]);
    check_balances(job.nodes[0]);
    assert_false(alv_cluster_log_has(job.nodes[0], "to=dead"));
    assert_false(alv_cluster_log_has(job.nodes[0], "event=evicted"));
    job.cluster.passed = true;
}

static void twin__is_refused(void **state)
{
    (void)state;
    start_nodes(1, settings);
    alv_cluster_node *twin = alv_cluster_add_node(&job.cluster);
    (void)snprintf(twin->id, sizeof twin->id, "%s", job.nodes[0]->id);
    alv_cluster_start_node(twin, settings);
    assert_true(alv_process_wait(&twin->process, DRAIN_MS));
    assert_int_equal(twin->process.exit_status, 1);
    char *message = alv_format("node.id=%s: a node of this id is running already, at %s",
                               job.nodes[0]->id, job.nodes[0]->address);
    assert_true(alv_cluster_log_has(twin, message));
    alv_free(message);
    check_balances(job.nodes[0]);
    job.cluster.passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(kill__of_one_of_two, end_nodes),
        cmocka_unit_test_teardown(kill__of_the_one_of_three_that_would_act_itself, end_nodes),
        cmocka_unit_test_teardown(pause__of_one_of_three_loses_and_doubles_nothing, end_nodes),
        cmocka_unit_test_teardown(seats__of_former_lanes_do_not_wait_for_their_session, end_nodes),
        cmocka_unit_test_teardown(stop__on_purpose_needs_no_verdict, end_nodes),
        cmocka_unit_test_teardown(twin__is_refused, end_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
