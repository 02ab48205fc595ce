/* Goal:   watchers of real nodes are told every committed change once and in order, while the node that
 *         serves them, the owners of what they watch, or both, are killed, stopped and started; and
 *         `alluvium watch` prints them so.
 * Method: nodes under a steady load of commands on 48 users. Watchers of keys, prefixes and patterns sit
 *         on all nodes; whoever loses its connection goes to the next node with its last id, as browsers
 *         do. In the end what each has heard is compared with the changelog topic as plain librdkafka
 *         reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/test_watcher.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define SHARDS 12
#define USERS 48
#define WATCHERS 18
#define PAUSE_MS 4 /* between two commands */
#define PHASE 250  /* commands sent between two events */
#define WAIT_MS 60000

static const char *const settings[] = {"shards=12", "lanes=1", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[3];
    int node_count;
    alv_wire *wire;
    pthread_t sender;
    bool has_sender;
    atomic_bool sending;
    atomic_int sent;
    alv_watch_room room;
    char topic[96];
    alv_test_watcher watchers[WATCHERS];
    int at[WATCHERS]; /* the node each one is connected to */
    int reconnects;
} job;

/* ---- the load -------------------------------------------------------------------------------- */

static void send_command(const char *topic, int number)
{
    char key[32];
    (void)snprintf(key, sizeof key, "mall-%d:%d", number % 3, number % USERS);
    const alv_wire_record record = {
        .topic = topic,
        .partition = -1,
        .key = alv_view_of(key),
        .value = number % 11 == 10
                     ? ALV_VIEW("{\"type\":\"delete_user\"}")
                     : ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1,\"transferId\":\"t\"}"),
    };
    alv_wire_send(job.wire, &record);
}

static void *send_steadily(void *payload)
{
    (void)payload;
    char *topic = alv_format("%s.commands", job.cluster.application);
    for (int number = 0; atomic_load(&job.sending); number++) {
        send_command(topic, number * 7);
        atomic_fetch_add(&job.sent, 1);
        (void)poll(NULL, 0, PAUSE_MS);
    }
    alv_wire_flush(job.wire);
    alv_free(topic);
    return NULL;
}

static void start_sending(void)
{
    job.wire = alv_wire_open(job.cluster.brokers);
    atomic_store(&job.sent, 0);
    atomic_store(&job.sending, true);
    assert_int_equal(pthread_create(&job.sender, NULL, send_steadily, NULL), 0);
    job.has_sender = true;
}

static void stop_sending(void)
{
    if (job.has_sender) {
        atomic_store(&job.sending, false);
        (void)pthread_join(job.sender, NULL);
        alv_wire_close(job.wire);
        job.has_sender = false;
    }
}

/* ---- the watchers ---------------------------------------------------------------------------- */

static bool node_runs(int node)
{
    return alv_process_running(&job.nodes[node]->process);
}

/* To the next node that runs; a node that is just starting says 503, and then the next one is asked. */
static void go_on(int watcher)
{
    alv_test_watcher_leave(&job.watchers[watcher]);
    do {
        job.at[watcher] = (job.at[watcher] + 1) % job.node_count;
    } while (!node_runs(job.at[watcher]));
    alv_test_watcher_come(&job.watchers[watcher], job.nodes[job.at[watcher]]->address);
    job.reconnects++;
}

static void turn(void)
{
    alv_sse_turn(job.room.set, 10);
    for (int i = 0; i < WATCHERS; i++) {
        if (job.watchers[i].sse->ended) {
            go_on(i);
        }
    }
}

/* Reads what comes until so many commands more were sent. */
static void pass_phase(void)
{
    int until = atomic_load(&job.sent) + PHASE;
    int64_t deadline = alv_wait_deadline(WAIT_MS);
    while (atomic_load(&job.sent) < until) {
        assert_false(alv_wait_expired(deadline));
        turn();
    }
}

/* Waits for a node without leaving the watchers alone. */
static void pass_until_ready(alv_cluster_node *node)
{
    int status = 0;
    int64_t deadline = alv_wait_deadline(WAIT_MS);
    while (status != 200) {
        assert_false(alv_wait_expired(deadline));
        json_decref(alv_cluster_http(node, "/readyz", &status));
        turn();
    }
}

static void open_watchers(void)
{
    static const char *const patterns[] = {"mall-?:[1-3]*", "*:*7", "mall-[!0]:*"};
    (void)snprintf(job.topic, sizeof job.topic, "%s.changelog", job.cluster.application);
    job.room = (alv_watch_room){.brokers = job.cluster.brokers,
                                .topic = job.topic,
                                .shard_count = SHARDS,
                                .set = alv_sse_set_new(alv_test_watcher_hear, NULL)};
    for (int i = 0; i < WATCHERS; i++) {
        char text[32];
        alv_watch_kind kind = (alv_watch_kind)(i / 3 % 3);
        (void)snprintf(text, sizeof text, "mall-%d:%d", i % 3, i % 3);
        if (kind == ALV_WATCH_PREFIX) {
            text[0] = '\0'; /* everything */
            if (i < 9) {
                (void)snprintf(text, sizeof text, "mall-%d:", i % 3);
            }
        } else if (kind == ALV_WATCH_PATTERN) {
            (void)snprintf(text, sizeof text, "%s", patterns[i % 3]);
        }
        job.at[i] = i % job.node_count;
        alv_test_watcher_open(&job.watchers[i], &job.room, job.nodes[job.at[i]]->address, kind,
                              text);
        job.watchers[i].tells = false;
    }
}

static void check_watchers(void)
{
    stop_sending();
    alv_cluster_wait_consumed(&job.cluster, WAIT_MS);
    int heard = 0;
    for (int i = 0; i < WATCHERS; i++) {
        turn();
        alv_test_watcher_expect_all(&job.watchers[i]);
        assert_int_equal(job.watchers[i].resets, 0);
        assert_true(job.watchers[i].count > 0);
        heard += job.watchers[i].count;
    }
    print_message("%d commands; %d changes heard by %d watchers, %d reconnects\n",
                  atomic_load(&job.sent), heard, WATCHERS, job.reconnects);
    job.cluster.passed = true;
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void start(int count)
{
    alv_cluster_open(&job.cluster, "watch");
    job.node_count = count;
    job.reconnects = 0;
    for (int i = 0; i < count; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], settings);
        alv_cluster_wait_ready(job.nodes[i]);
    }
    open_watchers();
    start_sending();
}

static int end(void **state)
{
    (void)state;
    stop_sending();
    for (int i = 0; i < WATCHERS; i++) {
        alv_test_watcher_done(&job.watchers[i]);
    }
    alv_sse_set_free(job.room.set);
    alv_cluster_close(&job.cluster);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* With two nodes each one serves watchers and owns what those of the other watch. */
static void kill__of_serving_nodes_and_owners(void **state)
{
    (void)state;
    start(2);
    for (int round = 0; round < 4; round++) {
        alv_cluster_node *victim = job.nodes[round % 2];
        pass_phase();
        alv_process_kill(&victim->process);
        pass_phase();
        alv_cluster_start_node(victim, settings);
        pass_until_ready(victim);
    }
    assert_true(job.reconnects >= 4);
    check_watchers();
}

/* Shards move from node to node; one that is paused is evicted and comes back. */
static void move__of_shards_between_three_nodes(void **state)
{
    (void)state;
    start(3);
    pass_phase();
    alv_process_signal(&job.nodes[1]->process, SIGTERM);
    pass_phase();
    alv_cluster_wait_stopped(job.nodes[1]);
    pass_phase();
    alv_cluster_start_node(job.nodes[1], settings);
    pass_until_ready(job.nodes[1]);
    pass_phase();
    alv_process_signal(&job.nodes[2]->process, SIGSTOP);
    pass_phase();
    pass_phase();
    alv_process_signal(&job.nodes[2]->process, SIGCONT);
    pass_phase();
    check_watchers();
}

/* ---- the command line ------------------------------------------------------------------------ */

typedef struct printed {
    int64_t lines;
    int64_t last[SHARDS];
    json_t *seen; /* "shard/offset": true */
} printed;

static void read_printed(const char *path, printed *out)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    *out = (printed){.seen = json_object()};
    memset(out->last, -1, sizeof out->last);
    while (getline(&line, &size, file) > 0 && strchr(line, '\n') != NULL) {
        json_t *change = json_loads(line, 0, NULL);
        assert_non_null(change);
        int64_t shard = json_integer_value(json_object_get(change, "shard"));
        int64_t offset = json_integer_value(json_object_get(change, "offset"));
        assert_true(strlen(json_string_value(json_object_get(change, "id"))) > 20);
        assert_true(offset > out->last[shard]);
        out->last[shard] = offset;
        char name[48];
        (void)snprintf(name, sizeof name, "%d/%lld", (int)shard, (long long)offset);
        (void)json_object_set_new(out->seen, name, json_true());
        out->lines++;
        json_decref(change);
    }
    free(line);
    (void)fclose(file);
}

static void note_unseen(void *payload, const alv_wire_message *message)
{
    const printed *it = payload;
    char name[48];
    (void)snprintf(name, sizeof name, "%d/%lld", (int)message->partition,
                   (long long)message->offset);
    if (json_object_get(it->seen, name) == NULL) {
        fail_msg("%s was not printed", name);
    }
}

/* One of those that watch everything. */
static alv_test_watcher *everything(void)
{
    return &job.watchers[12];
}

static bool printed_all(void *payload)
{
    printed it;
    read_printed(payload, &it);
    int64_t lines = it.lines;
    json_decref(it.seen);
    return lines >= everything()->count;
}

static bool file_has(const char *path, const char *text)
{
    alv_bytes all = ALV_BYTES_EMPTY;
    char block[4096];
    size_t size;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    while ((size = fread(block, 1, sizeof block, file)) > 0) {
        alv_bytes_append(&all, block, size);
    }
    (void)fclose(file);
    bool found = all.size > 0 && memmem(all.data, all.size, text, strlen(text)) != NULL;
    alv_bytes_done(&all);
    return found;
}

static bool goes_on(void *payload)
{
    return file_has(payload, "going on at");
}

static void expect_run(const char *const *argv, int status, const char *out, const char *err)
{
    alv_cluster_result result = alv_cluster_run(&job.cluster, NULL, argv);
    if (result.exit_status != status || strstr(result.out, out) == NULL ||
        strstr(result.err, err) == NULL) {
        fail_msg("exit status %d; it said:\n%s%s", result.exit_status, result.out, result.err);
    }
    alv_cluster_result_done(&result);
}

/* What people see: a change on a line, and why there is none. */
static void check_lines(const char *first_id)
{
    const char *config = job.cluster.config_path;
    const char *node = job.nodes[1]->address;
    expect_run((const char *const[]){"watch", "-c", config, "-n", node, "--last-event-id", first_id,
                                     "--count", "1", "mall-1:1", NULL},
               0, "Z mall-1:1 {\"mallId\":\"mall-1\",\"userId\":\"1\",", "");
    expect_run((const char *const[]){"watch", "-c", config, "-n", node, "--last-event-id", first_id,
                                     "--count", "40", "--pattern", "mall-?:*", NULL},
               0, " deleted\n", "");
    expect_run((const char *const[]){"watch", "-c", config, "-n", node, "--last-event-id", "x",
                                     "mall-1:1", NULL},
               1, "", "answers 400: that is not the id of an event");
    expect_run((const char *const[]){"watch", "-c", config, "-n", "127.0.0.1:1", NULL}, 1, "",
               "127.0.0.1:1");
}

/* The program survives the node that it was started with, and Ctrl-C is a good end. */
static void cli__goes_on_at_another_node(void **state)
{
    (void)state;
    start(2);
    char *out = alv_cluster_path(&job.cluster, "watch.out");
    char *err = alv_cluster_path(&job.cluster, "watch.err");
    char *first_id = alv_strdup(everything()->sse->last_id);
    const char *const argv[] = {job.cluster.binary,
                                "watch",
                                "-c",
                                job.cluster.config_path,
                                "--node",
                                job.nodes[0]->address,
                                "--json",
                                "--last-event-id",
                                first_id,
                                NULL};
    alv_process process = {0};
    pass_phase();
    alv_process_start(&process, argv, (alv_process_files){.out = out, .err = err});
    pass_phase();
    alv_process_kill(&job.nodes[0]->process);
    pass_phase();
    assert_true(alv_wait_until(goes_on, err, WAIT_MS));
    alv_cluster_start_node(job.nodes[0], settings);
    pass_until_ready(job.nodes[0]);
    pass_phase();
    check_watchers();
    job.cluster.passed = false;
    assert_true(alv_wait_until(printed_all, out, WAIT_MS));
    alv_process_signal(&process, SIGINT);
    assert_true(alv_process_wait(&process, WAIT_MS));
    assert_int_equal(process.exit_status, 0);
    printed it;
    read_printed(out, &it);
    alv_wire_read(job.cluster.brokers, job.topic, note_unseen, &it);
    assert_int_equal(it.lines, everything()->count);
    json_decref(it.seen);
    check_lines(first_id);
    alv_process_done(&process);
    alv_free(first_id);
    alv_free(out);
    alv_free(err);
    job.cluster.passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(kill__of_serving_nodes_and_owners, end),
        cmocka_unit_test_teardown(move__of_shards_between_three_nodes, end),
        cmocka_unit_test_teardown(cli__goes_on_at_another_node, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
