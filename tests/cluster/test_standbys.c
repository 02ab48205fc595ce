/* Goal:   each shard has as many hot replicas as standby.replicas says, on other nodes than its owner's,
 *         whoever comes and goes; and a shard that moves to one of them reads nothing again.
 * Method: three real nodes with 0, 1 and 2 replicas; one is killed and comes back. What is where, and
 *         how many records its last restore read, is asked from every node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wait.h"

#define NODES 3
#define SHARDS 12
#define USERS 240
#define SETTLE_MS 60000
#define LOOK_MS 50

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[NODES];
    bool is_up[NODES];
    int replicas;
} job;

/* ---- what is where --------------------------------------------------------------------------- */

typedef struct shard_row {
    int owners; /* nodes on which it is active */
    int owner;  /* one of them */
    int hot;    /* nodes that have a replica which follows */
    int others; /* in any other state, catching up included */
    bool owner_has_replica;
    int64_t restored; /* records its owner read when it took it */
} shard_row;

static void look_at_row(json_t *row, int node, shard_row *out)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    const char *standby = json_string_value(json_object_get(row, "standby"));
    if (strcmp(state, "active") == 0) {
        out->owners++;
        out->owner = node;
        out->owner_has_replica = standby != NULL;
        out->restored = json_integer_value(json_object_get(row, "restored"));
    } else if (strcmp(state, "unassigned") != 0) {
        out->others++;
    } else if (standby != NULL && strcmp(standby, "hot") == 0) {
        out->hot++;
    } else if (standby != NULL) {
        out->others++;
    }
}

static void look(shard_row rows[SHARDS])
{
    memset(rows, 0, SHARDS * sizeof rows[0]);
    for (int node = 0; node < NODES; node++) {
        int status = 0;
        json_t *answer =
            job.is_up[node] ? alv_cluster_http(job.nodes[node], "/v1/node", &status) : NULL;
        for (size_t shard = 0; status == 200 && shard < SHARDS; shard++) {
            look_at_row(json_array_get(json_object_get(answer, "shards"), shard), node,
                        &rows[shard]);
        }
        json_decref(answer);
    }
}

static int nodes_up(void)
{
    int count = 0;
    for (int node = 0; node < NODES; node++) {
        count += job.is_up[node];
    }
    return count;
}

/* One owner, and as many replicas as there should be, none of them with the owner. */
static bool is_settled(const shard_row *row)
{
    int expected = job.replicas < nodes_up() - 1 ? job.replicas : nodes_up() - 1;
    return row->owners == 1 && row->hot == expected && row->others == 0 && !row->owner_has_replica;
}

static void wait_until_settled(const char *when)
{
    shard_row rows[SHARDS];
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    for (int shard = 0; shard < SHARDS;) {
        look(rows);
        shard = 0;
        while (shard < SHARDS && is_settled(&rows[shard])) {
            shard++;
        }
        if (shard < SHARDS && alv_wait_expired(deadline)) {
            fail_msg("%s, shard %d: %d owners, %d hot replicas (owner has one: %d), %d others",
                     when, shard, rows[shard].owners, rows[shard].hot,
                     rows[shard].owner_has_replica, rows[shard].others);
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

/* ---- the job --------------------------------------------------------------------------------- */

static void start_node(int node)
{
    char replicas[32];
    char shards[32];
    (void)snprintf(replicas, sizeof replicas, "standby.replicas=%d", job.replicas);
    (void)snprintf(shards, sizeof shards, "shards=%d", SHARDS);
    const char *const settings[] = {shards, replicas, "lanes=1", NULL};
    alv_cluster_start_node(job.nodes[node], settings);
    job.is_up[node] = true;
}

static void send_commands(void)
{
    alv_bytes lines = ALV_BYTES_EMPTY;
    for (int user = 0; user < USERS; user++) {
        alv_bytes_printf(&lines, "mall:%d\t{\"type\":\"add_balance\",\"amount\":%d}\n", user,
                         user + 1);
    }
    alv_bytes_append(&lines, "", 1);
    const char *const arguments[] = {"send", "-c", job.cluster.config_path, NULL};
    alv_cluster_result result = alv_cluster_run(&job.cluster, lines.data, arguments);
    assert_int_equal(result.exit_status, 0);
    alv_cluster_result_done(&result);
    alv_bytes_done(&lines);
    alv_cluster_wait_consumed(&job.cluster, SETTLE_MS);
}

/* Every user has `rounds` times what one round of commands gave it. */
static void check_balances(int rounds)
{
    json_t *states = alv_cluster_changelog_states(&job.cluster);
    assert_int_equal(json_object_size(states), USERS);
    json_t *keys = json_array();
    const char *key;
    json_t *state;
    json_object_foreach(states, key, state)
    {
        json_array_append_new(keys, json_string(key));
        int user = 0;
        assert_int_equal(sscanf(key, "mall:%d", &user), 1);
        assert_int_equal(json_integer_value(json_object_get(state, "balance")),
                         (json_int_t)rounds * (user + 1));
    }
    for (int node = 0; node < NODES; node++) {
        if (job.is_up[node]) {
            json_t *seen = alv_cluster_http_states(job.nodes[node], keys);
            alv_cluster_assert_states(seen, states, job.nodes[node]->id);
            json_decref(seen);
        }
    }
    json_decref(keys);
    json_decref(states);
}

/* What the shards of the dead node cost those that took them: nothing where a replica was waiting, all of
 * it where there was none. */
static void check_taken(const shard_row before[SHARDS], int victim)
{
    shard_row after[SHARDS];
    look(after);
    int taken = 0;
    for (int shard = 0; shard < SHARDS; shard++) {
        if (before[shard].owner != victim) {
            assert_int_equal(after[shard].owner, before[shard].owner);
            continue;
        }
        taken++;
        assert_int_not_equal(after[shard].owner, victim);
        if (job.replicas > 0) {
            assert_int_equal(after[shard].restored, 0);
        } else {
            assert_true(after[shard].restored > 0);
        }
    }
    assert_int_equal(taken, SHARDS / NODES);
}

static void run(int replicas)
{
    shard_row before[SHARDS];
    const int victim = 1;
    job.replicas = replicas;
    alv_cluster_open(&job.cluster, "standbys");
    for (int node = 0; node < NODES; node++) {
        job.nodes[node] = alv_cluster_add_node(&job.cluster);
        start_node(node);
    }
    wait_until_settled("at the start");
    send_commands();
    wait_until_settled("after commands");
    look(before);

    alv_process_kill(&job.nodes[victim]->process);
    job.is_up[victim] = false;
    wait_until_settled("after a kill");
    check_taken(before, victim);
    send_commands();
    check_balances(2);

    start_node(victim);
    wait_until_settled("when it is back");
    send_commands();
    check_balances(3);
    job.cluster.passed = true;
}

static int end_nodes(void **state)
{
    (void)state;
    alv_cluster_close(&job.cluster);
    memset(&job, 0, sizeof job);
    return 0;
}

static void standbys__none(void **state)
{
    (void)state;
    run(0);
}

static void standbys__one_of_each_shard(void **state)
{
    (void)state;
    run(1);
}

static void standbys__two_of_each_shard(void **state)
{
    (void)state;
    run(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(standbys__none, end_nodes),
        cmocka_unit_test_teardown(standbys__one_of_each_shard, end_nodes),
        cmocka_unit_test_teardown(standbys__two_of_each_shard, end_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
