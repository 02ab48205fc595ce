/* Goal: a backup taken from a node at work is good: put into an empty state.dir, a node starts from it,
 * reads nothing but what came after it, and every state is what a model says (I2, I6). A backup that is too
 * old for the tombstone rule is not believed. Whoever asks a node for its state cannot disturb it.
 *
 * Method: one node and a model of its users computed without the product's code. The tests run in the order
 * of the file, each on what the one before has left. "Under load" means that the topic has commands that the
 * node has not executed when the backup begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "api/control_client.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/user_model.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define USERS 3000
#define COMMANDS 60000
#define SHARDS 4
#define TIMEOUT_MS 60000

static const char *const settings[] = {"lanes=1", "shards=4", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_wire *wire;
    alv_user_model *users;
    uint64_t random;
    int64_t time_ms;           /* of the next command */
    char *directory;           /* of the backup */
    char *state_dir;           /* as a setting */
    int64_t command_positions; /* of the backup, summed up; here and below */
    int64_t changelog_positions;
    int64_t ledger_positions;
    int tests_passed;
} job;

/* ---- the load and the model ------------------------------------------------------------------ */

static void send_commands(int count)
{
    char topic[256];
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&job.cluster, "commands"));
    for (int i = 0; i < count; i++) {
        alv_user_model *user = &job.users[alv_user_model_random(&job.random) % USERS];
        alv_user_command command;
        alv_user_model_step(user, &job.random, job.time_ms++, &command);
        alv_wire_record record = {.topic = topic,
                                  .partition = -1,
                                  .timestamp_ms = command.timestamp_ms,
                                  .key = alv_view_of(command.key),
                                  .value = alv_view_of(command.value)};
        alv_wire_send(job.wire, &record);
    }
    alv_wire_flush(job.wire);
}

/* What the node answers, which is what its store holds, and the changelog are what the model says. */
static void check_states(void)
{
    alv_cluster_wait_consumed(&job.cluster, TIMEOUT_MS);
    json_t *keys = json_array();
    json_t *expected = json_object();
    char key[64];
    for (int i = 0; i < USERS; i++) {
        json_t *state = alv_user_model_json(&job.users[i]);
        alv_user_model_key(&job.users[i], key, sizeof(key));
        json_array_append_new(keys, json_string(key));
        if (state != NULL) {
            json_object_set_new(expected, key, state);
        }
    }
    json_t *states = alv_cluster_http_states(job.node, keys);
    json_t *changelog = alv_cluster_changelog_states(&job.cluster);
    alv_cluster_assert_states(states, expected, "HTTP");
    alv_cluster_assert_states(changelog, expected, "changelog");
    json_decref(changelog);
    json_decref(states);
    json_decref(expected);
    json_decref(keys);
}

static void start_node(const char *const *with)
{
    alv_cluster_start_node(job.node, with);
    alv_cluster_wait_ready(job.node);
}

/* ---- the operator ---------------------------------------------------------------------------- */

/* Runs `alluvium COMMAND DIRECTORY` with the node's configuration, and expects this of it. */
static alv_cluster_result operate(const char *command, const char *directory, int exit_status,
                                  const char *err)
{
    const char *const arguments[] = {
        command, directory,        "-c", job.cluster.config_path,       "-X",     job.state_dir,
        "-X",    "node.id=node-1", "-X", "tombstone.retention.ms=1000", "--json", NULL};
    alv_cluster_result result = alv_cluster_run(&job.cluster, NULL, arguments);
    if (result.exit_status != exit_status || (err != NULL && strstr(result.err, err) == NULL)) {
        fail_msg("%s: exit status %d\n%s%s", command, result.exit_status, result.out, result.err);
    }
    return result;
}

static void expect(const char *command, const char *directory, int exit_status, const char *err)
{
    alv_cluster_result result = operate(command, directory, exit_status, err);
    alv_cluster_result_done(&result);
}

static int64_t sum_of_positions(json_t *backup, const char *name)
{
    int64_t sum = 0;
    size_t i;
    json_t *shard;
    json_array_foreach(json_object_get(backup, "shards"), i, shard)
    {
        json_t *position = json_object_get(shard, "position");
        assert_true(json_is_integer(json_object_get(position, name)));
        sum += json_integer_value(json_object_get(position, name));
    }
    return sum;
}

static void take_backup(void)
{
    alv_cluster_result result = operate("backup", job.directory, 0, NULL);
    json_t *backup = json_loads(result.out, 0, NULL);
    assert_non_null(backup);
    assert_int_equal(json_array_size(json_object_get(backup, "shards")), SHARDS);
    assert_string_equal(json_string_value(json_object_get(backup, "node")), job.node->id);
    job.command_positions = sum_of_positions(backup, "commands");
    job.changelog_positions = sum_of_positions(backup, "changelog");
    job.ledger_positions = sum_of_positions(backup, "ledger");
    json_decref(backup);
    alv_cluster_result_done(&result);
}

/* The records that the node has restored since it started. */
static int64_t restored_records(void)
{
    int status = 0;
    int64_t records = 0;
    json_t *answer = alv_cluster_http(job.node, "/v1/node", &status);
    assert_int_equal(status, 200);
    size_t i;
    json_t *shard;
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        records += json_integer_value(json_object_get(shard, "restored"));
    }
    json_decref(answer);
    return records;
}

/* The backup ends before the commands that were there when it began do. A node on a quick machine may be
 * done with them first; then there are more. */
static void take_backup_under_load(void)
{
    const char *topic = alv_cluster_topic(&job.cluster, "commands");
    for (int commands = COMMANDS / 4; commands <= COMMANDS * 4; commands *= 2) {
        send_commands(commands);
        int64_t sent = alv_wire_end(job.cluster.brokers, topic);
        take_backup();
        if (job.command_positions < sent) {
            print_message("%" PRId64 " commands were waiting\n", sent - job.command_positions);
            return;
        }
        alv_cluster_remove(job.directory);
    }
    fail_msg("no backup was taken while the node was at work");
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void backup__of_a_node_at_work_needs_the_tail_only(void **state)
{
    (void)state;
    send_commands(COMMANDS);
    alv_cluster_wait_consumed(&job.cluster, TIMEOUT_MS);
    take_backup_under_load();
    send_commands(COMMANDS / 4);
    alv_cluster_wait_consumed(&job.cluster, TIMEOUT_MS);
    alv_process_kill(&job.node->process);
    alv_cluster_remove(job.node->state_dir);

    expect("restore", job.directory, 0, NULL);
    start_node(settings);
    int64_t restored = restored_records();
    int64_t changelog =
        alv_wire_end(job.cluster.brokers, alv_cluster_topic(&job.cluster, "changelog"));
    int64_t ledger = alv_wire_end(job.cluster.brokers, alv_cluster_topic(&job.cluster, "ledger"));
    int64_t tail = changelog - job.changelog_positions + ledger - job.ledger_positions;
    print_message("restored %" PRId64 " of %" PRId64 " records\n", restored, changelog + ledger);
    assert_true(job.changelog_positions > 0);
    assert_true(restored > 0);
    assert_true(restored <= tail);
    check_states();
    job.tests_passed++;
}

/* The node goes on from a restored store as from its own. */
static void backup__restored_takes_further_commands(void **state)
{
    (void)state;
    send_commands(COMMANDS / 10);
    check_states();
    alv_cluster_stop_node(job.node);
    start_node(settings);
    assert_int_equal(restored_records(), 0);
    check_states();
    job.tests_passed++;
}

static void backup__of_a_stopped_node_is_complete(void **state)
{
    (void)state;
    alv_cluster_stop_node(job.node);
    alv_cluster_remove(job.directory);
    take_backup();
    expect("backup", job.directory, 1, "is not empty");
    expect("restore", job.directory, 1, "is not empty: it holds rocksdb");
    alv_cluster_remove(job.node->state_dir);
    expect("backup", job.directory, 1, "there is no state in");
    expect("restore", job.directory, 0, NULL);
    start_node(settings);
    assert_int_equal(restored_records(), 0);
    expect("restore", job.directory, 1, "is in use by process");
    check_states();
    job.tests_passed++;
}

/* Deletions may be gone from the changelog by then: it is said, twice, and all of it is restored. */
static void backup__that_is_too_old_is_restored_whole(void **state)
{
    static const char *const short_memory[] = {"lanes=1", "shards=4", "tombstone.retention.ms=1000",
                                               NULL};
    (void)state;
    send_commands(COMMANDS / 10);
    check_states();
    alv_process_kill(&job.node->process);
    alv_cluster_remove(job.node->state_dir);
    alv_cluster_result result = operate("restore", job.directory, 0, NULL);
    json_t *report = json_loads(result.out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(report, "old")), SHARDS);
    json_decref(report);
    alv_cluster_result_done(&result);

    start_node(short_memory);
    assert_true(alv_cluster_log_has(job.node, "older than tombstone.retention.ms"));
    int64_t changelog =
        alv_wire_end(job.cluster.brokers, alv_cluster_topic(&job.cluster, "changelog"));
    assert_true(restored_records() > changelog - job.changelog_positions);
    check_states();
    job.tests_passed++;
}

static bool checkpoint_is_gone(void *payload)
{
    return access(payload, F_OK) != 0;
}

static alv_control_client *ask_node(void)
{
    alv_control_client *client = NULL;
    alv_error err = ALV_ERROR_NONE;
    if (alv_control_client_open(job.node->state_dir, &client, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
    return client;
}

/* Whoever holds a checkpoint keeps others waiting, not the node; it is gone as soon as they are, also when
 * they were killed, which looks the same to the node; and a stop does not wait for them. */
static void backup__never_stands_in_the_nodes_way(void **state)
{
    (void)state;
    char *checkpoint = alv_format("%s/checkpoint", job.node->state_dir);
    char *other = alv_cluster_path(&job.cluster, "other-backup");
    alv_control_client *client = ask_node();
    assert_int_equal(access(checkpoint, F_OK), 0);
    expect("backup", other, 1, "another backup or verify is at work");
    send_commands(COMMANDS / 10);
    check_states();
    alv_control_client_close(client);
    assert_true(alv_wait_until(checkpoint_is_gone, checkpoint, TIMEOUT_MS));

    client = ask_node();
    assert_true(alv_control_client_holds(client));
    alv_cluster_stop_node(job.node);
    assert_false(alv_control_client_holds(client));
    assert_int_equal(access(checkpoint, F_OK), -1);
    alv_control_client_close(client);

    start_node(settings);
    client = ask_node();
    alv_process_kill(&job.node->process); /* the checkpoint stays, until the next start */
    assert_false(alv_control_client_holds(client));
    assert_int_equal(access(checkpoint, F_OK), 0);
    alv_control_client_close(client);
    start_node(settings);
    assert_int_equal(access(checkpoint, F_OK), -1);
    check_states();
    alv_cluster_stop_node(job.node);
    alv_free(checkpoint);
    alv_free(other);
    job.tests_passed++;
    job.cluster.passed = job.tests_passed == 5;
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
    job.time_ms = alv_now_ms(alv_clock_system()) - 60 * 60 * 1000;
    alv_cluster_open(&job.cluster, "backup");
    job.node = alv_cluster_add_node(&job.cluster);
    job.directory = alv_cluster_path(&job.cluster, "backup");
    job.state_dir = alv_format("state.dir=%s", job.node->state_dir);
    job.wire = alv_wire_open(job.cluster.brokers);
    start_node(settings);
    return 0;
}

static int end_job(void **state)
{
    (void)state;
    alv_wire_close(job.wire);
    alv_cluster_close(&job.cluster);
    alv_free(job.state_dir);
    alv_free(job.directory);
    alv_free(job.users);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backup__of_a_node_at_work_needs_the_tail_only),
        cmocka_unit_test(backup__restored_takes_further_commands),
        cmocka_unit_test(backup__of_a_stopped_node_is_complete),
        cmocka_unit_test(backup__that_is_too_old_is_restored_whole),
        cmocka_unit_test(backup__never_stands_in_the_nodes_way),
    };
    return cmocka_run_group_tests(tests, start_job, end_job);
}
