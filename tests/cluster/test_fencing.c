/* Goal: a transaction that a dead lane left open does not hold up whoever gets its shards, although nobody
 * evicted that lane: it is found, fenced and aborted, and every state is what a model says.
 *
 * Method: first a lane that never was a node: a plain producer with the transactional id of one, which commits
 * offsets in its name and leaves a transaction open that would last for longer than this test may. Then a
 * real node of two, with failover.evict=false, which dies between sending offsets and committing; how long
 * things took is printed. A model of the users is computed without the product's code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/node_log.h"
#include "tests/support/user_model.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define USERS 20000
#define SHARDS 4
#define TIMEOUT_MS 60000
#define BURST 100

static const char *const settings[] = {"lanes=1",
                                       "shards=4",
                                       "failover.evict=false",
                                       "standby.replicas=1",
                                       "kafka.session.timeout.ms=6000",
                                       NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    alv_wire *wire;
    alv_user_model *users;
    uint64_t random;
    int64_t time_ms; /* of the next command */
    char commands[128];
    char changelog[128];
    int tests_passed;
} job;

/* ---- the load and the model ------------------------------------------------------------------ */

static void send_commands(int count)
{
    for (int i = 0; i < count; i++) {
        alv_user_model *user = &job.users[alv_user_model_random(&job.random) % USERS];
        alv_user_command command;
        alv_user_model_step(user, &job.random, job.time_ms++, &command);
        alv_wire_record record = {.topic = job.commands,
                                  .partition = -1,
                                  .timestamp_ms = command.timestamp_ms,
                                  .key = alv_view_of(command.key),
                                  .value = alv_view_of(command.value)};
        alv_wire_send(job.wire, &record);
    }
    alv_wire_flush(job.wire);
}

static void check_states(const alv_cluster_node *node)
{
    alv_cluster_wait_consumed(&job.cluster, TIMEOUT_MS);
    json_t *keys = json_array();
    json_t *expected = json_object();
    char key[64];
    for (int i = 0; i < USERS; i++) {
        json_t *state = alv_user_model_json(&job.users[i]);
        alv_user_model_key(&job.users[i], key, sizeof(key));
        if (i % 10 == 0) { /* one by one takes its time; the changelog below has all of them */
            json_array_append_new(keys, json_string(key));
        }
        if (state != NULL) {
            json_object_set_new(expected, key, state);
        }
    }
    json_t *changelog = alv_cluster_changelog_states(&job.cluster);
    alv_cluster_assert_states(changelog, expected, "changelog");
    json_t *states = alv_cluster_http_states(node, keys);
    const char *name;
    json_t *state;
    json_object_foreach(states, name, state)
    {
        assert_true(json_equal(state, json_object_get(expected, name)));
    }
    assert_true(json_object_size(states) > 0);
    json_decref(states);
    json_decref(changelog);
    json_decref(expected);
    json_decref(keys);
}

static rd_kafka_t *open_handle(rd_kafka_type_t type, const char *const *options)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers", job.cluster.brokers, text, sizeof(text)),
        RD_KAFKA_CONF_OK);
    for (size_t i = 0; options[i] != NULL; i += 2) {
        assert_int_equal(rd_kafka_conf_set(conf, options[i], options[i + 1], text, sizeof(text)),
                         RD_KAFKA_CONF_OK);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    assert_non_null(rk);
    return rk;
}

/* ---- a lane that is none --------------------------------------------------------------------- */

static void must(rd_kafka_error_t *error)
{
    if (error != NULL) {
        fail_msg("%s", rd_kafka_error_string(error));
    }
}

/* Offsets that say nothing new about what was consumed, in the name of lane 0 of node-9. */
static void send_offsets(rd_kafka_t *rk)
{
    static const char metadata[] = "{\"owner\":\"node-9-0\"}";
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(SHARDS);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        rd_kafka_topic_partition_t *item =
            rd_kafka_topic_partition_list_add(list, job.commands, shard);
        item->offset = 0; /* the ledger knows better (I11) */
        item->metadata_size = sizeof(metadata) - 1;
        item->metadata = rd_kafka_mem_malloc(rk, item->metadata_size);
        memcpy(item->metadata, metadata, item->metadata_size);
    }
    rd_kafka_consumer_group_metadata_t *group =
        rd_kafka_consumer_group_metadata_new(job.cluster.application);
    must(rd_kafka_send_offsets_to_transaction(rk, list, group, TIMEOUT_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(list);
}

static void write_state(rd_kafka_t *rk, int32_t shard)
{
    assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(job.changelog),
                                       RD_KAFKA_V_PARTITION(shard),
                                       RD_KAFKA_V_KEY("mall-1:nobody", 13),
                                       RD_KAFKA_V_VALUE("{\"balance\":1}", 13), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(rk, TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* One transaction that is committed and one that is left open for ten minutes, with
 * or without offsets. */
static void leave_open(bool with_offsets)
{
    char *id = alv_format("%s-node-9-0", job.cluster.application);
    const char *const options[] = {"transactional.id", id, "transaction.timeout.ms", "600000",
                                   NULL};
    rd_kafka_t *rk = open_handle(RD_KAFKA_PRODUCER, options);
    must(rd_kafka_init_transactions(rk, TIMEOUT_MS));
    must(rd_kafka_begin_transaction(rk));
    send_offsets(rk);
    must(rd_kafka_commit_transaction(rk, TIMEOUT_MS));
    must(rd_kafka_begin_transaction(rk));
    write_state(rk, 1);
    if (with_offsets) {
        send_offsets(rk);
    }
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE); /* like a crash: no abort */
    alv_free(id);
}

static void node_gets_to_work(bool with_offsets)
{
    alv_cluster_node *node = job.nodes[0];
    alv_cluster_stop_node(node);
    leave_open(with_offsets);
    int64_t since_ms = alv_now_ms(alv_clock_system());
    alv_cluster_start_node(node, settings);
    alv_cluster_wait_ready(node);
    print_message("active %" PRId64 " ms after the start\n",
                  alv_now_ms(alv_clock_system()) - since_ms);
    assert_true(alv_node_log_last(node, "event=fenced node=node-9 lane=0", since_ms) >= 0);
    send_commands(1000);
    check_states(node);
}

static void fencing__of_a_transaction_without_offsets(void **state)
{
    (void)state;
    send_commands(10000);
    check_states(job.nodes[0]);
    node_gets_to_work(false);
    job.tests_passed++;
}

static void fencing__of_a_transaction_with_offsets(void **state)
{
    (void)state;
    node_gets_to_work(true);
    job.tests_passed++;
}

/* ---- a node that is killed ------------------------------------------------------------------- */

static bool shard_is_of(const alv_cluster_node *node, int32_t shard)
{
    int status = 0;
    json_t *shards = alv_cluster_http(node, "/v1/shards", &status);
    json_t *row = json_array_get(shards, (size_t)shard);
    const char *state = json_string_value(json_object_get(row, "state"));
    bool is_active = state != NULL && strcmp(state, "active") == 0;
    json_decref(shards);
    return is_active;
}

/* The first shard that the node executes; SHARDS when it has none yet. */
static int32_t first_shard(const alv_cluster_node *node)
{
    int32_t shard = 0;
    while (shard < SHARDS && !shard_is_of(node, shard)) {
        shard++;
    }
    return shard;
}

static bool has_a_shard(void *payload)
{
    return first_shard(payload) < SHARDS;
}

static bool has_died(void *payload)
{
    const alv_cluster_node *node = payload;
    send_commands(BURST);
    return !alv_process_running(&node->process);
}

static void fencing__of_a_node_that_was_killed_and_not_evicted(void **state)
{
    (void)state;
    alv_cluster_node *victim = job.nodes[1];
    alv_cluster_node *survivor = job.nodes[0];
    victim->fault = "before-end:5:kill"; /* records and offsets are written, and nobody ends it */
    alv_cluster_start_node(victim, settings);
    assert_true(alv_wait_until(has_a_shard, victim, TIMEOUT_MS));
    assert_true(alv_wait_until(has_died, victim, TIMEOUT_MS));
    int64_t since_ms = alv_now_ms(alv_clock_system());
    check_states(survivor);
    int64_t assigned_ms = alv_node_log_last(survivor, "state=restoring", since_ms);
    int64_t fenced_ms = alv_node_log_last(survivor, "event=fenced node=node-2 lane=0", since_ms);
    int64_t active_ms = alv_node_log_last(survivor, "state=active", since_ms);
    print_message("after the kill: assigned %" PRId64 " ms, fenced %" PRId64 " ms, active %" PRId64
                  " ms\n",
                  assigned_ms, fenced_ms, active_ms);
    assert_true(assigned_ms >= 0);
    assert_true(fenced_ms >= 0);
    assert_false(alv_cluster_log_has(survivor, "event=evicted node=node-2"));
    alv_cluster_stop_node(survivor);
    job.tests_passed++;
    job.cluster.passed = job.tests_passed == 3;
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
    alv_cluster_open(&job.cluster, "fencing");
    (void)snprintf(job.commands, sizeof(job.commands), "%s",
                   alv_cluster_topic(&job.cluster, "commands"));
    (void)snprintf(job.changelog, sizeof(job.changelog), "%s",
                   alv_cluster_topic(&job.cluster, "changelog"));
    for (int i = 0; i < 2; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
    }
    job.wire = alv_wire_open(job.cluster.brokers);
    alv_cluster_start_node(job.nodes[0], settings);
    alv_cluster_wait_ready(job.nodes[0]);
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
        cmocka_unit_test(fencing__of_a_transaction_without_offsets),
        cmocka_unit_test(fencing__of_a_transaction_with_offsets),
        cmocka_unit_test(fencing__of_a_node_that_was_killed_and_not_evicted),
    };
    return cmocka_run_group_tests(tests, start_job, end_job);
}
