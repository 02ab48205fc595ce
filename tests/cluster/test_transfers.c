/* Goal: transfers among users end, and the sum of all balances is what it was, while nodes are killed with
 * -9 under them; every step, deadline and event is there once; a command that is sent again with its
 * idempotency key takes effect once, also when another node has to answer it.
 *
 * Method: three nodes with one lane each, killed in turn. A plain librdkafka producer starts transfers (some
 * cannot be paid, some cannot be received, some run out of time at once) and sends every other command to
 * the counters again, before and after kills. Then the changelog, the events and the ledger are read by
 * other means than the product's, and compared with what was sent, with the answers of the nodes and with
 * PostgreSQL. The random seed is printed; ALLUVIUM_TEST_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/user_model.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define NODES 3
#define USERS 100
#define USER_BALANCE 1000
#define TRANSFERS 1200
#define COUNTERS 40
#define COUNTER_KEYS 50 /* below idempotency.keys.max */
#define KILLS 6
#define END_TIMEOUT_MS 120000
#define POSTGRES_TIMEOUT_MS 60000

static const char *const settings[] = {"lanes=1", "shards=12", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[NODES];
    alv_wire *wire;
    char commands[256]; /* name of the topic */
    uint64_t random;
    bool added[COUNTERS][COUNTER_KEYS];
    int transfers; /* started so far */
} job;

static unsigned random_below(unsigned limit)
{
    return (unsigned)(alv_user_model_random(&job.random) % limit);
}

/* ---- the load -------------------------------------------------------------------------------- */

static void send_command(const char *key, const char *value, const char *idempotency_key)
{
    const alv_wire_header header = {.name = "idempotency-key", .value = idempotency_key};
    const alv_wire_record record = {.topic = job.commands,
                                    .partition = -1,
                                    .key = alv_view_of(key),
                                    .value = alv_view_of(value),
                                    .headers = &header,
                                    .header_count = idempotency_key == NULL ? 0 : 1};
    alv_wire_send(job.wire, &record);
}

static void send_balances(void)
{
    char key[32];
    char command[64];
    (void)snprintf(command, sizeof command, "{\"type\":\"add_balance\",\"amount\":%d}",
                   USER_BALANCE);
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        send_command(key, command, NULL);
    }
}

static void send_transfer(int number)
{
    char key[32];
    char id[32];
    char receiver[32];
    char command[200];
    unsigned from = random_below(USERS);
    bool is_good = random_below(10) != 0; /* else nobody can receive it */
    (void)snprintf(receiver, sizeof receiver, is_good ? "m:%u" : "nowhere/%u",
                   (from + 1 + random_below(USERS - 1)) % USERS);
    (void)snprintf(key, sizeof key, "transfer/%d", number);
    (void)snprintf(id, sizeof id, "start-%d", number);
    (void)snprintf(command, sizeof command,
                   "{\"type\":\"start\",\"from\":\"m:%u\",\"to\":\"%s\",\"amount\":%u,"
                   "\"timeoutMs\":%u}",
                   from, receiver, random_below(250) + 1, random_below(4) == 0 ? 1 : 60000);
    send_command(key, command, id);
    if (random_below(3) == 0) {
        send_command(key, command, id);
    }
}

/* Any key of any counter, sent before or not. */
static void send_add(void)
{
    unsigned counter = random_below(COUNTERS);
    unsigned number = random_below(COUNTER_KEYS);
    char key[32];
    char id[32];
    (void)snprintf(key, sizeof key, "c:%u", counter);
    (void)snprintf(id, sizeof id, "add-%u", number);
    send_command(key, "{\"type\":\"add_balance\",\"amount\":1}", id);
    job.added[counter][number] = true;
}

static void send_some(int transfers)
{
    for (int i = 0; i < transfers; i++) {
        send_transfer(job.transfers++);
        send_add();
        send_add();
    }
    alv_wire_flush(job.wire);
}

/* ---- the checks ------------------------------------------------------------------------------ */

static bool is_ended(const json_t *transfer)
{
    const char *status = json_string_value(json_object_get(transfer, "status"));
    return status != NULL && (strcmp(status, "completed") == 0 || strcmp(status, "refunded") == 0 ||
                              strcmp(status, "failed") == 0);
}

static int count_ended(json_t *states)
{
    int count = 0;
    char key[32];
    for (int i = 0; i < job.transfers; i++) {
        (void)snprintf(key, sizeof key, "transfer/%d", i);
        count += is_ended(json_object_get(states, key));
    }
    return count;
}

static int counter_value(json_t *states, int counter)
{
    char key[32];
    (void)snprintf(key, sizeof key, "c:%d", counter);
    return (int)json_integer_value(json_object_get(json_object_get(states, key), "balance"));
}

static int counter_expected(int counter)
{
    int count = 0;
    for (int i = 0; i < COUNTER_KEYS; i++) {
        count += job.added[counter][i];
    }
    return count;
}

static bool is_done(json_t *states)
{
    for (int i = 0; i < COUNTERS; i++) {
        if (counter_value(states, i) < counter_expected(i)) {
            return false;
        }
    }
    return count_ended(states) == job.transfers;
}

/* Waits until every transfer has ended, and everything else that was sent has had its effect. */
static json_t *wait_ended(void)
{
    int64_t deadline = alv_wait_deadline(END_TIMEOUT_MS);
    for (;;) {
        json_t *states = alv_cluster_changelog_states(&job.cluster);
        if (is_done(states)) {
            return states;
        }
        if (alv_wait_expired(deadline)) {
            fail_msg("%d of %d transfers have ended", count_ended(states), job.transfers);
        }
        json_decref(states);
    }
}

static void check_sum(json_t *states)
{
    int64_t sum = 0;
    char key[32];
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        sum += json_integer_value(json_object_get(json_object_get(states, key), "balance"));
    }
    assert_int_equal(sum, (int64_t)USERS * USER_BALANCE);
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(counter_value(states, i), counter_expected(i));
    }
}

/* No step is in a history twice. All ways through the saga must have been taken. */
static void check_histories(json_t *states)
{
    int ends[3] = {0};
    int expired = 0;
    char key[32];
    for (int i = 0; i < job.transfers; i++) {
        (void)snprintf(key, sizeof key, "transfer/%d", i);
        const json_t *transfer = json_object_get(states, key);
        json_t *seen = json_object();
        size_t index;
        json_t *line;
        json_array_foreach(json_object_get(transfer, "history"), index, line)
        {
            const char *event = json_string_value(json_object_get(line, "event"));
            if (json_object_get(seen, event) != NULL) {
                fail_msg("%s: %s twice", key, event);
            }
            json_object_set_new(seen, event, json_true());
        }
        expired += json_object_get(seen, "expired") != NULL;
        json_decref(seen);
        const char *status = json_string_value(json_object_get(transfer, "status"));
        ends[0] += strcmp(status, "completed") == 0;
        ends[1] += strcmp(status, "refunded") == 0;
        ends[2] += strcmp(status, "failed") == 0;
    }
    print_message("completed %d, refunded %d, failed %d; expired on the way %d\n", ends[0], ends[1],
                  ends[2], expired);
    assert_true(ends[0] > 0 && ends[1] > 0 && ends[2] > 0 && expired > 0);
}

static void count_event(void *payload, const alv_wire_message *message)
{
    json_t *counts = payload;
    char *key = alv_strndup(message->key.data, message->key.size);
    json_int_t count = json_integer_value(json_object_get(counts, key));
    json_object_set_new(counts, key, json_integer(count + 1));
    alv_free(key);
}

static void check_events(void)
{
    json_t *counts = json_object();
    alv_wire_read(job.cluster.brokers, alv_cluster_topic(&job.cluster, "events"), count_event,
                  counts);
    assert_int_equal(json_object_size(counts), job.transfers);
    const char *key;
    json_t *count;
    json_object_foreach(counts, key, count)
    {
        if (json_integer_value(count) != 1) {
            fail_msg("%s has ended %d times", key, (int)json_integer_value(count));
        }
    }
    json_decref(counts);
}

typedef struct pending {
    char key[64];
    bool is_pending;
} pending;

/* The deadline of a transfer that has ended is gone. */
static void check_timers(void)
{
    json_t *ledgers =
        alv_wire_last_values(job.cluster.brokers, alv_cluster_topic(&job.cluster, "ledger"));
    const char *key;
    json_t *ledger;
    int checked = 0;
    json_object_foreach(ledgers, key, ledger)
    {
        if (strncmp(key, "transfer/", 9) == 0) {
            checked++;
            assert_null(json_object_get(ledger, "timers"));
        }
    }
    assert_true(checked > 0); /* the answers to their starts are there */
    json_decref(ledgers);
}

static json_t *keys_of(json_t *states)
{
    json_t *keys = json_array();
    const char *key;
    json_t *state;
    json_object_foreach(states, key, state)
    {
        json_array_append_new(keys, json_string(key));
    }
    return keys;
}

static void check_views(json_t *states)
{
    json_t *keys = keys_of(states);
    json_t *answers = alv_cluster_http_states(job.nodes[0], keys);
    alv_cluster_assert_states(answers, states, job.nodes[0]->id);
    json_decref(answers);
    json_decref(keys);
    if (job.cluster.postgres_url != NULL) {
        alv_cluster_wait_postgres(&job.cluster, states, POSTGRES_TIMEOUT_MS);
    }
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void transfers__end_and_keep_the_sum_while_nodes_are_killed(void **state)
{
    (void)state;
    send_balances();
    for (int i = 0; i < KILLS; i++) {
        send_some(TRANSFERS / (KILLS + 1));
        alv_cluster_node *node = job.nodes[random_below(NODES)];
        alv_process_kill(&node->process);
        send_some(1);
        alv_cluster_start_node(node, settings);
        if (i % 2 == 0) { /* now and then the next one is killed before it is back at work */
            alv_cluster_wait_ready(node);
        }
    }
    send_some(TRANSFERS / (KILLS + 1));
    for (int i = 0; i < NODES; i++) {
        alv_cluster_wait_ready(job.nodes[i]);
    }
    json_t *states = wait_ended();
    check_sum(states);
    check_histories(states);
    check_events();
    check_timers();
    check_views(states);
    json_decref(states);
}

/* Everything is sent once more, when other nodes than the first have restored it from the log alone. */
static void transfers__are_not_started_again_by_a_restored_node(void **state)
{
    (void)state;
    json_t *before = wait_ended();
    for (int i = 0; i < NODES; i++) {
        alv_cluster_stop_node(job.nodes[i]);
        alv_cluster_remove(job.nodes[i]->state_dir);
    }
    for (int i = 0; i < NODES; i++) {
        alv_cluster_start_node(job.nodes[i], settings);
    }
    for (int i = 0; i < COUNTERS; i++) {
        char key[32];
        char id[32];
        (void)snprintf(key, sizeof key, "c:%d", i);
        for (int j = 0; j < COUNTER_KEYS; j++) {
            (void)snprintf(id, sizeof id, "add-%d", j);
            if (job.added[i][j]) {
                send_command(key, "{\"type\":\"add_balance\",\"amount\":1}", id);
            }
        }
    }
    for (int i = 0; i < job.transfers; i++) {
        char key[32];
        char id[32];
        (void)snprintf(key, sizeof key, "transfer/%d", i);
        (void)snprintf(id, sizeof id, "start-%d", i);
        send_command(key, "{\"type\":\"start\",\"from\":\"m:1\",\"to\":\"m:2\",\"amount\":1}", id);
    }
    /* Behind all of them, in each of their shards: a command whose effect can be waited for. */
    for (int i = 0; i < COUNTERS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "c:%d", i);
        send_command(key, "{\"type\":\"update_profile\",\"nickname\":\"end\"}", NULL);
    }
    alv_wire_flush(job.wire);
    for (int i = 0; i < NODES; i++) {
        alv_cluster_wait_ready(job.nodes[i]);
    }
    int64_t deadline = alv_wait_deadline(END_TIMEOUT_MS);
    json_t *after = NULL;
    for (int seen = 0; seen < COUNTERS;) {
        json_decref(after);
        after = alv_cluster_changelog_states(&job.cluster);
        seen = 0;
        for (int i = 0; i < COUNTERS; i++) {
            char key[32];
            (void)snprintf(key, sizeof key, "c:%d", i);
            const json_t *nickname = json_object_get(json_object_get(after, key), "nickname");
            seen += json_is_string(nickname);
        }
        assert_false(alv_wait_expired(deadline));
    }
    check_sum(after);
    assert_int_equal(json_object_size(after), json_object_size(before));
    check_events();
    json_decref(after);
    json_decref(before);
    job.cluster.passed = true;
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int start_job(void **state)
{
    (void)state;
    const char *given = getenv("ALLUVIUM_TEST_SEED");
    job.random =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)alv_monotonic_us(alv_clock_system());
    job.random += job.random == 0;
    print_message("seed: ALLUVIUM_TEST_SEED=%" PRIu64 "\n", job.random);
    alv_cluster_open(&job.cluster, "transfers");
    (void)snprintf(job.commands, sizeof job.commands, "%s",
                   alv_cluster_topic(&job.cluster, "commands"));
    for (int i = 0; i < NODES; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], settings);
    }
    for (int i = 0; i < NODES; i++) {
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
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfers__end_and_keep_the_sum_while_nodes_are_killed),
        cmocka_unit_test(transfers__are_not_started_again_by_a_restored_node),
    };
    return cmocka_run_group_tests(tests, start_job, end_job);
}
