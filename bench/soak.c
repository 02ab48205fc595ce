/* soak.c — a steady load for an hour or a day: does anything grow?
 *
 * Goal:   the section "Soak" of docs/performance.md, with one command: memory, file handles, threads, lag, latency and
 *         what is on disk stay where they are, also when nodes are killed and frozen meanwhile.
 * Method: servers of its own (a broker, a PostgreSQL) and one or two nodes. Nine of ten commands are of all kinds, to
 *         users whose states a model knows (tests/support/chaos_load.h); one of ten is a probe whose way to the
 *         committed change is timed (tests/support/probe.h); counters are read over HTTP all the time
 *         (tests/support/chaos_reader.h). Every ten seconds the kernel and /metrics are asked. Budgets of
 *         memory are small, so that what may fill up is full early. --chaos: what tests/support/chaos_schedule.h has
 *         in store for nodes, with long pauses in between; a node's samples count again when it has been up for a
 *         minute. At the end every state must be that of the model, in the changelog and in PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/chaos_load.h"
#include "tests/support/chaos_reader.h"
#include "tests/support/chaos_schedule.h"
#include "tests/support/cluster_view.h"
#include "tests/support/http_call.h"
#include "tests/support/metrics_text.h"
#include "tests/support/probe.h"
#include "tests/support/soak_table.h"
#include "tests/support/usage.h"
#include "tests/support/wait.h"

#define NODES_MAX 2
#define TICK_MS 50
#define SAMPLE_US 10000000
#define YOUNG_US 60000000 /* a node that has just started fills its caches */
#define PROBE_ONE_IN 10
#define PROBE_USERS 2000
#define CALM_MS 30000 /* two beginnings in a minute at most, most of them for a node */
#define STALE_AFTER_MS 20000
#define SLOW_US 100000
#define STOP_TIMEOUT_MS 90000
#define DRAIN_TIMEOUT_MS 300000
#define POSTGRES_TIMEOUT_MS 120000

static const char help[] =
    "usage: soak [--minutes N] [--rate N] [--users N] [--nodes 1|2] [--chaos] [--seed N] [--json FILE]\n"
    "--rate (1000) commands/s to --users (20000) for --minutes (60), on --nodes (1) and servers of its own; every\n"
    "10 s memory, handles, threads, CPU, lag, latency, files. At the end a table: first, middle and last tenth of\n"
    "the samples, the slope per hour, and what that means; then all states are checked.\n"
    "--chaos  nodes are killed, stopped and frozen meanwhile, as --seed says (a new one, which is printed)\n"
    "--json   the samples, written as they come\n"
    "SIGINT (Ctrl-C) ends it early, with the table so far and the checks.\n";

/* What is the same for every node, then what there is once. */
typedef enum row_kind {
    ROW_MEMORY,
    ROW_HANDLES,
    ROW_THREADS,
    ROW_CPU,
    ROW_DISK,
    ROW_TABLES,
    ROW_COMPACTION,
    ROW_CHECKPOINT,
    NODE_ROWS,
    ROW_LAG = NODE_ROWS,
    ROW_P50,
    ROW_P99,
    ROW_KINDS,
} row_kind;

static const struct {
    const char *name;
    alv_trend_slack slack; /* latency and CPU depend on what else the machine does */
} kinds[ROW_KINDS] = {
    [ROW_MEMORY] = {"resident memory, MiB", {2, 0.03}},
    [ROW_HANDLES] = {"open files and sockets", {2, 0.02}},
    [ROW_THREADS] = {"threads", {1, 0.02}},
    [ROW_CPU] = {"CPU, % of one core", {2, 0.25}},
    [ROW_DISK] = {"state.dir, MiB", {16, 0.05}},
    [ROW_TABLES] = {"RocksDB table files", {10, 0.10}},
    [ROW_COMPACTION] = {"bytes to be compacted, MiB", {16, 0}},
    [ROW_CHECKPOINT] = {"PostgreSQL lag, records", {1000, 0}},
    [ROW_LAG] = {"commands that wait", {500, 0}},
    [ROW_P50] = {"latency p50, ms", {5, 0.25}},
    [ROW_P99] = {"latency p99, ms", {20, 0.25}},
};

typedef struct soak_node {
    alv_cluster_node *node;
    bool should_run;
    bool start_empty;
    bool stopping;
    bool frozen;
    int64_t stop_deadline;
    int64_t started_us;
    int64_t cpu_us; /* at the last sample, of this process */
    int64_t cpu_at_us;
} soak_node;

static struct {
    alv_cluster cluster;
    soak_node nodes[NODES_MAX];
    int node_count;
    int minutes;
    int rate;
    int users;
    int seed;
    bool with_chaos;
    const char *path; /* of the JSON file; NULL = none */
    alv_chaos_load *load;
    alv_chaos_reader *reader;
    alv_probe *probe;
    alv_chaos_event *events;
    size_t event_count;
    size_t event_next;
    int64_t begin_us;
    int64_t end_us;        /* of the measuring, not of the checks */
    int64_t window_us;     /* when the last sample was taken */
    alv_soak_table *table; /* of each node NODE_ROWS rows, then what there is once */
    int sample_count;
    int starts; /* of nodes, the first ones apart */
    int kills;
    int freezes;
    bool ended_early;
} soak;

static int64_t now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

static void add_rows(void)
{
    soak.table = alv_soak_table_new();
    for (int i = 0; i < soak.node_count; i++) {
        for (int kind = 0; kind < NODE_ROWS; kind++) {
            char *name = alv_format("%s %s", soak.nodes[i].node->id, kinds[kind].name);
            alv_soak_table_add_row(soak.table, name, kinds[kind].slack);
            alv_free(name);
        }
    }
    for (int kind = NODE_ROWS; kind < ROW_KINDS; kind++) {
        alv_soak_table_add_row(soak.table, kinds[kind].name, kinds[kind].slack);
    }
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

static void print_table(void)
{
    int64_t end_us = soak.end_us > 0 ? soak.end_us : now_us();
    printf("%.0f minutes, %d commands/s, %d users, %d node%s; %s\n",
           (double)(end_us - soak.begin_us) / 60e6, soak.rate, soak.users, soak.node_count,
           soak.node_count > 1 ? "s" : "", alv_bench_machine());
    printf("%" PRId64 " commands, %d starts of nodes, %d kills, %d times frozen\n",
           alv_chaos_load_sent(soak.load) + alv_probe_sent(soak.probe), soak.starts, soak.kills,
           soak.freezes);
    alv_soak_table_print(soak.table);
}

/* Written after every sample: who is interrupted has what was measured until then. */
static void write_json(const char *states)
{
    if (soak.path == NULL) {
        return;
    }
    json_t *all = json_pack("{s:s, s:i, s:i, s:i, s:b, s:i, s:i, s:i, s:i, s:s, s:o, s:o}",
                            "machine", alv_bench_machine(), "rate", soak.rate, "users", soak.users,
                            "nodes", soak.node_count, "chaos", soak.with_chaos, "seed", soak.seed,
                            "starts", soak.starts, "kills", soak.kills, "freezes", soak.freezes,
                            "states", states, "rows", alv_soak_table_rows(soak.table), "samples",
                            alv_soak_table_samples(soak.table));
    if (json_dump_file(all, soak.path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0) {
        fprintf(stderr, "soak: cannot write %s\n", soak.path);
    }
    json_decref(all);
}

/* What was measured so far is not lost with what went wrong. */
static _Noreturn void soak_fail(const char *who, const char *what)
{
    print_table();
    fprintf(stderr, "soak: %s %s; logs and data are in %s\n", who, what, soak.cluster.directory);
    exit(EXIT_FAILURE);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static void node_start(soak_node *node)
{
    static const char *const settings[] = {"state.memory.bytes=32MiB", "cache.memory.bytes=8MiB",
                                           "idempotency.keys.max=8", NULL};
    if (node->start_empty) {
        alv_cluster_remove(node->node->state_dir);
        node->start_empty = false;
    }
    alv_cluster_start_node(node->node, settings);
    node->started_us = now_us();
    node->cpu_us = 0;
    node->cpu_at_us = node->started_us;
}

/* Starts what should run and does not. Who ends by itself is a failure. */
static void node_turn(soak_node *node)
{
    alv_process *process = &node->node->process;
    if (process->pid != 0 && alv_process_wait(process, 0)) {
        if (!node->stopping || process->exit_status != 0) {
            soak_fail(node->node->id, node->stopping ? "did not end with 0" : "ended by itself");
        }
        node->stopping = false;
    }
    if (node->stopping && alv_wait_expired(node->stop_deadline)) {
        soak_fail(node->node->id, "does not stop");
    }
    if (process->pid == 0 && node->should_run) {
        soak.starts++;
        node_start(node);
    }
}

static void node_freeze(soak_node *node, bool freeze)
{
    node->frozen = freeze;
    alv_process_signal(&node->node->process, freeze ? SIGSTOP : SIGCONT);
}

static void node_stop(soak_node *node)
{
    node->should_run = false;
    if (node->node->process.pid != 0 && !node->stopping) { /* a second SIGTERM ends it at once */
        node->stopping = true;
        node->stop_deadline = alv_wait_deadline(STOP_TIMEOUT_MS);
        alv_process_signal(&node->node->process, SIGTERM);
    }
}

static void node_act(soak_node *node, const alv_chaos_event *event)
{
    switch (event->act) {
    case ALV_CHAOS_KILL_NODE:
        soak.kills++;
        node->should_run = node->stopping = false;
        alv_process_kill(&node->node->process);
        break;
    case ALV_CHAOS_STOP_NODE:
        node_stop(node);
        break;
    case ALV_CHAOS_PAUSE_NODE:
        soak.freezes++;
        alv_chaos_reader_allow_stale(soak.reader, event->ms + STALE_AFTER_MS);
        node_freeze(node, true);
        break;
    case ALV_CHAOS_RESUME_NODE:
        node_freeze(node, false);
        break;
    case ALV_CHAOS_START_NODE:
    case ALV_CHAOS_START_EMPTY:
        node->start_empty = event->act == ALV_CHAOS_START_EMPTY && node->node->process.pid == 0;
        node->should_run = true;
        break;
    default: /* servers and networks are left alone here */
        break;
    }
}

static void act(void)
{
    int64_t passed_ms = (now_us() - soak.begin_us) / 1000;
    for (; soak.event_next < soak.event_count; soak.event_next++) {
        const alv_chaos_event *event = &soak.events[soak.event_next];
        if (event->at_ms > passed_ms) {
            return;
        }
        if (event->act <= ALV_CHAOS_START_EMPTY && event->target < soak.node_count) {
            node_act(&soak.nodes[event->target], event);
        }
    }
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static double mib(double bytes)
{
    return bytes / (1 << 20);
}

/* Whether the node answered. */
static bool sample_metrics(const soak_node *node, double *values, double *lag)
{
    alv_http_result result = alv_http_call(NULL, "GET", node->node->address, "/metrics", NULL);
    if (result.status == 200) {
        alv_bytes_append(&result.body, "", 1);
        const char *page = result.body.data;
        values[ROW_COMPACTION] =
            mib(alv_metrics_text_sum(page, "alluvium_store_pending_compaction_bytes"));
        values[ROW_CHECKPOINT] = alv_metrics_text_sum(page, "alluvium_checkpoint_lag_records");
        *lag += alv_metrics_text_sum(page, "alluvium_shard_lag_records");
    }
    bool answered = result.status == 200;
    alv_http_result_done(&result);
    return answered;
}

/* Adds the commands that wait for it to *lag, which becomes NAN when it does not say. */
static void sample_node(soak_node *node, double *values, double *lag)
{
    alv_usage_folder folder = alv_usage_of_folder(node->node->state_dir, ".sst");
    values[ROW_DISK] = mib((double)folder.bytes);
    values[ROW_TABLES] = (double)folder.files;
    pid_t pid = node->node->process.pid;
    if (pid == 0 || node->frozen || node->stopping || now_us() - node->started_us < YOUNG_US) {
        *lag = NAN;
        return;
    }
    values[ROW_MEMORY] = (double)alv_usage_resident_kib(pid) / 1024;
    values[ROW_HANDLES] = (double)alv_usage_open_files(pid);
    values[ROW_THREADS] = (double)alv_usage_threads(pid);
    int64_t cpu_us = alv_usage_cpu_us(pid);
    int64_t at_us = now_us();
    values[ROW_CPU] = (double)(cpu_us - node->cpu_us) * 100 / (double)(at_us - node->cpu_at_us);
    node->cpu_us = cpu_us;
    node->cpu_at_us = at_us;
    if (!sample_metrics(node, values, lag)) {
        *lag = NAN;
    }
}

static void sample_latency(double *shared, int64_t until_us)
{
    const alv_probe_range range = {.from_us = soak.window_us, .to_us = until_us};
    alv_probe_summary summary = alv_probe_summarize(soak.probe, &range, SLOW_US);
    if (summary.count > 0) {
        shared[ROW_P50 - NODE_ROWS] = (double)summary.p50_us / 1000;
        shared[ROW_P99 - NODE_ROWS] = (double)summary.p99_us / 1000;
    }
}

static void tell_progress(double at_s, const double *values)
{
    bool is_terminal = isatty(STDERR_FILENO) != 0;
    const double *shared = values + (ptrdiff_t)soak.node_count * NODE_ROWS;
    if (!is_terminal && soak.sample_count++ % 6 != 0) {
        return;
    }
    fprintf(
        stderr,
        "%s%5.1f of %d min: %.0f MiB, %.0f handles, lag %.0f, p50 %.1f ms, p99 %.1f ms, %d starts%s",
        is_terminal ? "\r\033[K" : "", at_s / 60, soak.minutes, values[ROW_MEMORY],
        values[ROW_HANDLES], shared[ROW_LAG - NODE_ROWS], shared[ROW_P50 - NODE_ROWS],
        shared[ROW_P99 - NODE_ROWS], soak.starts, is_terminal ? "" : "\n");
}

static void take_sample(void)
{
    int64_t at_us = now_us();
    double at_s = (double)(at_us - soak.begin_us) / 1e6;
    double *values = alv_soak_table_add_sample(soak.table, at_s);
    double lag = 0;
    for (int i = 0; i < soak.node_count; i++) {
        sample_node(&soak.nodes[i], values + (ptrdiff_t)i * NODE_ROWS, &lag);
    }
    double *shared = values + (ptrdiff_t)soak.node_count * NODE_ROWS;
    shared[ROW_LAG - NODE_ROWS] = lag;
    sample_latency(shared, at_us);
    soak.window_us = at_us;
    tell_progress(at_s, values);
    write_json("not checked yet");
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* Blocked from the start, here and in every node: Ctrl-C at a terminal reaches all of them, and is for this program
 * only. */
static bool is_interrupted(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGINT) == 1;
}

static void block_interrupts(void)
{
    sigset_t interrupt;
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGINT);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &interrupt, NULL), 0);
}

static void turn(void)
{
    for (int i = 0; i < soak.node_count; i++) {
        node_turn(&soak.nodes[i]);
    }
    const char *failure = alv_chaos_load_failure(soak.load);
    failure = failure != NULL ? failure : alv_chaos_reader_failure(soak.reader);
    if (failure != NULL) {
        soak_fail("a client:", failure);
    }
    (void)poll(NULL, 0, TICK_MS);
}

static void play(void)
{
    int64_t end_us = soak.begin_us + soak.minutes * 60000000LL;
    while (now_us() < end_us && !soak.ended_early) {
        soak.ended_early = is_interrupted();
        act();
        turn();
        if (now_us() - soak.window_us >= SAMPLE_US) {
            take_sample();
        }
    }
    soak.end_us = now_us();
    fprintf(stderr, "%s\n", soak.ended_early ? "\ninterrupted" : "");
}

/* Everybody is back, and has done everything. */
static void settle(void)
{
    soak.event_next = soak.event_count;
    alv_probe_stop(soak.probe);
    if (!alv_chaos_load_settle(soak.load, DRAIN_TIMEOUT_MS)) {
        soak_fail("the broker", "does not take all commands");
    }
    bool all_run = false;
    while (!all_run) {
        all_run = true;
        for (int i = 0; i < soak.node_count; i++) {
            soak_node *node = &soak.nodes[i];
            node_freeze(node, false);
            node->should_run = true;
            all_run = all_run && node->node->process.pid != 0 && !node->stopping;
        }
        turn();
    }
    for (int i = 0; i < soak.node_count; i++) {
        alv_cluster_wait_ready(soak.nodes[i].node);
    }
    alv_cluster_wait_consumed(&soak.cluster, DRAIN_TIMEOUT_MS);
}

/* The model's users and the probes, and nothing else, in the changelog and in PostgreSQL. */
static void check(void)
{
    fprintf(stderr, "checking all states\n");
    int lost = alv_probe_count_lost(soak.probe);
    if (lost != 0) {
        fail_msg("%d users do not have their last command", lost);
    }
    json_t *changelog = alv_cluster_changelog_states(&soak.cluster);
    json_t *expected = alv_chaos_load_states(soak.load, changelog);
    char key[32];
    for (int user = 0; user < PROBE_USERS; user++) {
        (void)snprintf(key, sizeof(key), "bench:%d", user);
        json_t *probed = json_object_get(changelog, key);
        if (probed != NULL) {
            json_object_set(expected, key, probed);
        }
    }
    alv_cluster_assert_states(changelog, expected, "the changelog");
    alv_cluster_wait_postgres(&soak.cluster, expected, POSTGRES_TIMEOUT_MS);
    printf("all %zu states are right, in the changelog and in PostgreSQL\n",
           json_object_size(expected));
    json_decref(expected);
    json_decref(changelog);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static void start_nodes(void)
{
    alv_bench_open(&soak.cluster, "soak");
    alv_bench_start_postgres(&soak.cluster);
    for (int i = 0; i < soak.node_count; i++) {
        soak.nodes[i].node = alv_cluster_add_node(&soak.cluster);
        soak.nodes[i].should_run = true;
        node_start(&soak.nodes[i]);
    }
    for (int i = 0; i < soak.node_count; i++) {
        alv_cluster_wait_ready(soak.nodes[i].node);
    }
}

static void start_clients(void)
{
    const char *addresses[NODES_MAX];
    for (int i = 0; i < soak.node_count; i++) {
        addresses[i] = soak.nodes[i].node->address;
    }
    const alv_chaos_load_options load = {.kind = &alv_chaos_load_users,
                                         .brokers = soak.cluster.brokers,
                                         .topic = alv_cluster_topic(&soak.cluster, "commands"),
                                         .seed = (uint64_t)soak.seed,
                                         .users = soak.users};
    int probes = soak.rate / PROBE_ONE_IN > 0 ? soak.rate / PROBE_ONE_IN : 1;
    const alv_probe_options probe = {.brokers = soak.cluster.brokers,
                                     .application = soak.cluster.application,
                                     .rate = probes,
                                     .users = PROBE_USERS,
                                     .seconds_max = soak.minutes * 60 + 600};
    soak.load = alv_chaos_load_start(&load);
    assert_non_null(soak.load);
    soak.reader =
        alv_chaos_reader_start(alv_chaos_load_counters(soak.load), addresses, soak.node_count);
    soak.begin_us = soak.window_us = now_us();
    soak.probe = alv_probe_open(&probe);
    alv_chaos_load_set_rate(soak.load, soak.rate - probes);
}

static void plan_chaos(void)
{
    const alv_chaos_plan plan = {.seed = (uint64_t)soak.seed,
                                 .duration_ms = soak.minutes * 60000LL,
                                 .nodes = soak.node_count,
                                 .brokers = 1,
                                 .calm_ms = CALM_MS};
    soak.events = alv_chaos_schedule(&plan, &soak.event_count);
}

static void finish(void)
{
    alv_chaos_reader_stop(soak.reader);
    for (int i = 0; i < soak.node_count; i++) {
        alv_cluster_stop_node(soak.nodes[i].node);
    }
    alv_probe_close(soak.probe);
    alv_chaos_load_stop(soak.load);
    alv_free(soak.events);
    alv_soak_table_free(soak.table);
    soak.cluster.passed = true;
    alv_cluster_close(&soak.cluster);
}

int main(int argc, char **argv)
{
    int chaos = 0;
    soak.node_count = 1;
    soak.minutes = 60;
    soak.rate = 1000;
    soak.users = 20000;
    const alv_bench_option options[] = {
        {"--minutes", &soak.minutes, 1, NULL, NULL}, {"--rate", &soak.rate, 1, NULL, NULL},
        {"--users", &soak.users, 1, NULL, NULL},     {"--nodes", &soak.node_count, 1, NULL, NULL},
        {"--chaos", &chaos, 0, NULL, NULL},          {"--seed", &soak.seed, 1, NULL, NULL},
        {"--json", NULL, 0, NULL, &soak.path},       {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, NULL);
    if (soak.node_count > NODES_MAX || soak.users < 3) {
        fprintf(stderr, "%s: --nodes takes 1 or 2, --users 3 or more\n", argv[0]);
        return 2;
    }
    soak.seed = soak.seed > 0 ? soak.seed : (int)(now_us() % 1000000) + 1;
    soak.with_chaos = chaos != 0;
    block_interrupts();
    start_nodes();
    add_rows();
    start_clients();
    if (soak.with_chaos) {
        fprintf(stderr, "chaos: --seed %d\n", soak.seed);
        plan_chaos();
    }
    play();
    settle();
    print_table();
    check();
    write_json("right");
    finish();
    return 0;
}
