/* Goal: whatever is sent to users is, in the end, the same everywhere: in the answers of either node, in
 * the changelog, in PostgreSQL, and in a model that was computed without the product's code. That
 * stays true when a node is restarted, loses its disk, or is killed again and again under load.
 *
 * Method: a plain librdkafka producer sends random commands for 5,000 users; two nodes with one lane
 * each work on them. The tests run in the order of the file: each goes on from the state that the one
 * before has left and checks all of it, so that what an earlier step broke quietly is found as well.
 * The random seed is printed; ALLUVIUM_TEST_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/user_model.h"
#include "tests/support/wire.h"

#define USERS 5000
#define COMMANDS 100000
#define COMMANDS_UNDER_KILLS 20000
#define KILLS 4
#define DRAIN_TIMEOUT_MS 60000
#define POSTGRES_TIMEOUT_MS 30000

static const char *const settings[] = {"lanes=1", "shards=12", NULL};
static const char *const settings_stay[] = {"lanes=1", "shards=12", "shutdown=stay", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    alv_wire *wire;
    alv_user_model *users;
    uint64_t random;
    int64_t time_ms; /* of the next command */
    int64_t sent;
    int tests_passed;
} job;

/* ---- the load -------------------------------------------------------------------------------- */

static void send_commands(int count)
{
    char topic[256];
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&job.cluster, "commands"));
    for (int i = 0; i < count; i++) {
        /* Half of the commands go to a tenth of the users: hot and cold entities. */
        unsigned range = alv_user_model_random(&job.random) % 2 == 0 ? USERS / 10 : USERS;
        alv_user_model *user = &job.users[alv_user_model_random(&job.random) % range];
        alv_user_command command;
        alv_user_model_step(user, &job.random, job.time_ms++, &command);
        alv_wire_record record = {
            .topic = topic,
            .partition = -1,
            .timestamp_ms = command.timestamp_ms,
            .key = alv_view_of(command.key),
            .value = alv_view_of(command.value),
        };
        alv_wire_send(job.wire, &record);
    }
    alv_wire_flush(job.wire);
    job.sent += count;
}

/* ---- the checks ------------------------------------------------------------------------------ */

static json_t *expected_states(void)
{
    json_t *states = json_object();
    char key[64];
    for (int i = 0; i < USERS; i++) {
        json_t *state = alv_user_model_json(&job.users[i]);
        if (state != NULL) {
            alv_user_model_key(&job.users[i], key, sizeof(key));
            json_object_set_new(states, key, state);
        }
    }
    return states;
}

/* Keys of all users, also of those who do not exist. */
static json_t *all_keys(void)
{
    json_t *keys = json_array();
    char key[64];
    for (int i = 0; i < USERS; i++) {
        alv_user_model_key(&job.users[i], key, sizeof(key));
        json_array_append_new(keys, json_string(key));
    }
    return keys;
}

/* Everything that was sent is consumed, once, and every view of every user is what the model says. */
static void check_everything(void)
{
    alv_cluster_wait_consumed(&job.cluster, DRAIN_TIMEOUT_MS);
    json_t *expected = expected_states();
    json_t *changelog = alv_cluster_changelog_states(&job.cluster);
    alv_cluster_assert_states(changelog, expected, "changelog");
    json_t *keys = all_keys();
    for (int i = 0; i < 2; i++) {
        json_t *states = alv_cluster_http_states(job.nodes[i], keys);
        alv_cluster_assert_states(states, expected, job.nodes[i]->id);
        json_decref(states);
    }
    if (job.cluster.postgres_url != NULL) {
        alv_cluster_wait_postgres(&job.cluster, expected, POSTGRES_TIMEOUT_MS);
    }
    /* Every command was sent without a transaction, so the topic holds nothing else. */
    const char *topic = alv_cluster_topic(&job.cluster, "commands");
    assert_int_equal(alv_wire_committed(job.cluster.brokers, job.cluster.application, topic),
                     job.sent);
    json_decref(keys);
    json_decref(changelog);
    json_decref(expected);
}

/* The records that a node has restored since it started, and how many shards it holds. */
static int64_t restored_records(const alv_cluster_node *node, int *out_shards)
{
    int status = 0;
    json_t *answer = alv_cluster_http(node, "/v1/node", &status);
    assert_int_equal(status, 200);
    int64_t records = 0;
    *out_shards = 0;
    size_t i;
    json_t *shard;
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        if (strcmp(json_string_value(json_object_get(shard, "state")), "active") == 0) {
            (*out_shards)++;
            records += json_integer_value(json_object_get(shard, "restored"));
        }
    }
    json_decref(answer);
    return records;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void main_job__all_views_of_every_user_agree(void **state)
{
    (void)state;
    send_commands(COMMANDS);
    check_everything();
    job.tests_passed++;
}

static void main_job__a_restarted_node_restores_only_the_tail(void **state)
{
    (void)state;
    alv_cluster_node *node = job.nodes[0];
    alv_cluster_stop_node(node); /* it runs with shutdown=stay: its shards wait for it */
    alv_cluster_start_node(node, settings_stay);
    alv_cluster_wait_ready(node);

    int shards = 0;
    int64_t records = restored_records(node, &shards);
    assert_in_range(shards, 1, 12);
    /* Its store was flushed at the stop, at the end of the changelog. */
    assert_int_equal(records, 0);
    check_everything();
    job.tests_passed++;
}

static void main_job__a_lost_disk_is_restored_from_the_changelog(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        alv_cluster_stop_node(job.nodes[i]);
    }
    alv_cluster_remove(job.nodes[0]->state_dir);
    for (int i = 0; i < 2; i++) {
        alv_cluster_start_node(job.nodes[i], settings);
    }
    for (int i = 0; i < 2; i++) {
        alv_cluster_wait_ready(job.nodes[i]);
    }

    int shards = 0;
    assert_true(restored_records(job.nodes[0], &shards) > 0);
    assert_in_range(shards, 1, 12);
    check_everything();
    job.tests_passed++;
}

static void main_job__commands_go_on_after_a_restore(void **state)
{
    (void)state;
    send_commands(COMMANDS / 10);
    check_everything();
    job.tests_passed++;
}

static void main_job__kills_under_load_lose_and_double_nothing(void **state)
{
    (void)state;
    alv_cluster_node *node = job.nodes[1];
    for (int i = 0; i < KILLS; i++) {
        send_commands(COMMANDS_UNDER_KILLS / KILLS);
        alv_process_kill(&node->process);
        alv_cluster_start_node(node, settings);
        if (i % 2 == 0) { /* now and then it is killed before it is back at work */
            alv_cluster_wait_ready(node);
        }
    }
    for (int i = 0; i < 2; i++) {
        alv_cluster_wait_ready(job.nodes[i]);
    }
    check_everything();
    job.tests_passed++;
}

static void main_job__nodes_stop_cleanly(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        alv_cluster_stop_node(job.nodes[i]);
    }
    job.cluster.passed = job.tests_passed == 5; /* the tests before this one */
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void choose_seed(void)
{
    const char *given = getenv("ALLUVIUM_TEST_SEED");
    job.random =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)alv_monotonic_us(alv_clock_system());
    job.random += job.random == 0;
    print_message("seed: ALLUVIUM_TEST_SEED=%" PRIu64 "\n", job.random);
}

static int start_job(void **state)
{
    (void)state;
    choose_seed();
    job.users = alv_alloc_array(USERS, sizeof(*job.users));
    for (unsigned i = 0; i < USERS; i++) {
        alv_user_model_init(&job.users[i], i);
    }
    /* An hour ago: retention must not take the records away. */
    job.time_ms = alv_now_ms(alv_clock_system()) - 60 * 60 * 1000;
    alv_cluster_open(&job.cluster, "main-job");
    for (int i = 0; i < 2; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], i == 0 ? settings_stay : settings);
    }
    for (int i = 0; i < 2; i++) {
        alv_cluster_wait_ready(job.nodes[i]);
    }
    job.wire = alv_wire_open(job.cluster.brokers);
    return 0;
}

static int end_job(void **state)
{
    (void)state;
    alv_wire_close(job.wire);
    alv_cluster_close(&job.cluster);
    alv_free(job.users);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(main_job__all_views_of_every_user_agree),
        cmocka_unit_test(main_job__a_restarted_node_restores_only_the_tail),
        cmocka_unit_test(main_job__a_lost_disk_is_restored_from_the_changelog),
        cmocka_unit_test(main_job__commands_go_on_after_a_restore),
        cmocka_unit_test(main_job__kills_under_load_lose_and_double_nothing),
        cmocka_unit_test(main_job__nodes_stop_cleanly),
    };
    return cmocka_run_group_tests(tests, start_job, end_job);
}
