/* failover.c — how long commands wait when nodes die, stop, join and come back.
 *
 * Goal:   the section "Failover" of docs/performance.md, reproducible with one command.
 * Method: nodes with default settings on a broker of their own; commands at a steady rate (see
 *         tests/support/probe.h) before, during and after each event. An event begins when the cluster
 *         is settled: every node hears the others, every shard is at work, and hot standbys are in
 *         place. The wait of a command that was under way at that moment counts as well. In the end
 *         every user's last command must be in the changelog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/cluster_view.h"
#include "tests/support/node_log.h"
#include "tests/support/probe.h"
#include "tests/support/wait.h"

#define USERS 5000
#define SHARDS 32 /* the default */
#define SLOW_US 100000
#define BEFORE_US 100000 /* commands that were under way when it began */
#define CALM_MS 3000     /* between two events, once the cluster is settled */
#define WARM_UP_MS 15000 /* every user, and time for the broker to be compiled */
#define SETTLE_TIMEOUT_MS 60000
#define READY_POLL_MS 2
#define RUN_S 180 /* room for the commands of one run */

static const char help[] =
    "usage: failover [--rate N] [--nodes 2|3] [--runs N] [--json]\n"
    "The longest wait of any command (default 1000/s) when one of the nodes (2) is killed,\n"
    "joins, is stopped, comes back, and when a node that is alone is killed and restarted.\n";

static struct {
    alv_cluster cluster;
    alv_probe *probe;
    int nodes; /* that belong to the cluster when nothing happens */
    bool up[ALV_CLUSTER_NODES_MAX];
    bool json;
    json_t *rows;
} bench;

/* What one event did. Times in ms after it began, -1 = not seen. */
typedef struct outcome {
    const char *event;
    int run;
    alv_probe_summary all;
    alv_probe_summary moved; /* users of shards that have another owner afterwards */
    int moved_shards;
    int64_t verdict_ms;  /* a peer found it dead */
    int64_t evicted_ms;  /* and had its place in the group taken */
    int64_t assigned_ms; /* the last shard was given to somebody */
    int64_t active_ms;   /* and is at work */
    int64_t ready_ms;    /* /readyz of the node that (re)started */
    int64_t ended_ms;    /* the node that was stopped has ended */
    int64_t restored;    /* records read by the node that (re)started, for the shards it has now */
} outcome;

/* ---- what is seen of the cluster ------------------------------------------------------------- */

typedef struct sight {
    int owner[SHARDS]; /* index of the node where the shard is at work, -1 = nowhere */
    int active;
    int hot;
    int64_t restored[ALV_CLUSTER_NODES_MAX]; /* records, for the shards at work there */
} sight;

static bool is_word(const json_t *row, const char *name, const char *word)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL && strcmp(text, word) == 0;
}

static void sight_add_node(sight *all, int node)
{
    int status = 0;
    size_t shard;
    json_t *row;
    json_t *rows = alv_cluster_http(&bench.cluster.nodes[node], "/v1/shards", &status);
    json_array_foreach(rows, shard, row)
    {
        if (shard < SHARDS && is_word(row, "state", "active")) {
            all->owner[shard] = node;
            all->active++;
            all->restored[node] += json_integer_value(json_object_get(row, "restored"));
        }
        all->hot += is_word(row, "standby", "hot");
    }
    json_decref(rows);
}

static sight look(void)
{
    sight all = {.active = 0};
    for (int shard = 0; shard < SHARDS; shard++) {
        all.owner[shard] = -1;
    }
    for (int node = 0; node < bench.cluster.node_count; node++) {
        if (bench.up[node]) {
            sight_add_node(&all, node);
        }
    }
    return all;
}

static int count_up(void)
{
    int count = 0;
    for (int node = 0; node < bench.cluster.node_count; node++) {
        count += bench.up[node];
    }
    return count;
}

/* Whether every other node is alive for `node`. */
static bool hears_all(const alv_cluster_node *node)
{
    int status = 0;
    int alive = 0;
    size_t i;
    json_t *peer;
    json_t *answer = alv_cluster_http(node, "/v1/peers", &status);
    json_array_foreach(json_object_get(answer, "peers"), i, peer)
    {
        alive += is_word(peer, "state", "alive");
    }
    json_decref(answer);
    return alive + 1 == count_up();
}

static bool is_settled(void *payload)
{
    (void)payload;
    for (int node = 0; node < bench.cluster.node_count; node++) {
        if (bench.up[node] && !hears_all(&bench.cluster.nodes[node])) {
            return false;
        }
    }
    sight now = look();
    return now.active == SHARDS && now.hot == (count_up() > 1 ? SHARDS : 0);
}

/* Waits until nothing moves any more, and until nobody waits. */
static void settle(void)
{
    if (!alv_wait_until(is_settled, NULL, SETTLE_TIMEOUT_MS)) {
        sight now = look();
        fail_msg("not settled after %d ms: %d shards at work, %d hot standbys", SETTLE_TIMEOUT_MS,
                 now.active, now.hot);
    }
    if (!alv_probe_wait_seen(bench.probe, SETTLE_TIMEOUT_MS)) {
        fail_msg("commands wait for longer than %d ms", SETTLE_TIMEOUT_MS);
    }
}

/* ---- doing it -------------------------------------------------------------------------------- */

static void start(int node)
{
    alv_cluster_start_node(&bench.cluster.nodes[node], NULL);
    bench.up[node] = true;
}

static bool answers_ready(const alv_cluster_node *node)
{
    int status = 0;
    json_decref(alv_cluster_http(node, "/readyz", &status));
    return status == 200;
}

/* Finer than alv_cluster_wait_ready, which is not for measuring. */
static void wait_ready(int node)
{
    int64_t deadline = alv_wait_deadline(SETTLE_TIMEOUT_MS);
    while (!answers_ready(&bench.cluster.nodes[node])) {
        if (alv_wait_expired(deadline)) {
            fail_msg("%s is not ready", bench.cluster.nodes[node].id);
        }
        (void)poll(NULL, 0, READY_POLL_MS);
    }
}

/* An event and what it does to `node`; afterwards the fields of `out` that only it knows are set. */
typedef void (*act_run)(int node, outcome *out);

static int64_t ms_since(int64_t begin_us)
{
    return (alv_monotonic_us(alv_clock_system()) - begin_us) / 1000;
}

static void act_kill(int node, outcome *out)
{
    (void)out;
    alv_process_signal(&bench.cluster.nodes[node].process, SIGKILL);
    bench.up[node] = false;
}

static void act_stop(int node, outcome *out)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    bench.up[node] = false;
    alv_cluster_stop_node(&bench.cluster.nodes[node]);
    out->ended_ms = ms_since(begin_us);
}

static void act_start(int node, outcome *out)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    start(node);
    wait_ready(node);
    out->ready_ms = ms_since(begin_us);
}

/* As a machine that has never been part of it. */
static void act_join(int node, outcome *out)
{
    alv_cluster_remove(bench.cluster.nodes[node].state_dir);
    act_start(node, out);
}

static void act_crash(int node, outcome *out)
{
    alv_process_kill(&bench.cluster.nodes[node].process);
    act_start(node, out);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static int64_t latest(const char *text, int64_t since_ms)
{
    int64_t last = -1;
    for (int node = 0; node < bench.cluster.node_count; node++) {
        int64_t at = alv_node_log_last(&bench.cluster.nodes[node], text, since_ms);
        last = at > last ? at : last;
    }
    return last;
}

static void read_logs(outcome *out, int64_t since_ms)
{
    out->verdict_ms = latest("to=dead", since_ms);
    out->evicted_ms = latest("event=evicted", since_ms);
    out->assigned_ms = latest("state=restoring", since_ms);
    out->active_ms = latest("state=active", since_ms);
}

static void compare_owners(const sight *before, const sight *after, bool moved[SHARDS], int *count)
{
    for (int shard = 0; shard < SHARDS; shard++) {
        moved[shard] = before->owner[shard] != after->owner[shard];
        *count += moved[shard];
    }
}

static void report(const outcome *out);

static void measure(int run, const char *event, act_run act, int node)
{
    settle();
    (void)poll(NULL, 0, CALM_MS);
    outcome out = {.event = event, .run = run, .ready_ms = -1, .ended_ms = -1, .restored = -1};
    bool moved[SHARDS];
    sight before = look();
    int64_t since_ms = alv_now_ms(alv_clock_system());
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    act(node, &out);
    settle();
    sight after = look();
    const alv_probe_range all = {.from_us = begin_us - BEFORE_US};
    compare_owners(&before, &after, moved, &out.moved_shards);
    const alv_probe_range those = {.from_us = begin_us - BEFORE_US, .shards = moved};
    out.all = alv_probe_summarize(bench.probe, &all, SLOW_US);
    out.moved = alv_probe_summarize(bench.probe, &those, SLOW_US);
    out.restored = out.ready_ms >= 0 ? after.restored[node] : -1;
    read_logs(&out, since_ms);
    report(&out);
}

/* ---- telling --------------------------------------------------------------------------------- */

static void print_cell(int64_t value, int width)
{
    if (value < 0) {
        printf("%*s", width, "-");
    } else {
        printf("%*" PRId64, width, value);
    }
}

static void print_head(int rate, int runs)
{
    printf("%d nodes, default settings, %d commands/s, %d runs; %s\n"
           "ms; verdict, evicted, assigned, active: when the logs say it last happened\n"
           "%-26s %3s %8s %8s %8s %6s %8s %8s %8s %8s %6s %6s %9s\n",
           bench.nodes, rate, runs, alv_bench_machine(), "event", "run", "longest", "p99>100",
           "moved:", "shards", "verdict", "evicted", "assigned", "active", "ready", "ended",
           "restored");
}

static void print_row(const outcome *out)
{
    printf("%-26s %3d", out->event, out->run);
    print_cell(out->all.max_us / 1000, 9);
    print_cell(out->all.slow_ms, 9);
    print_cell(out->moved_shards > 0 ? out->moved.max_us / 1000 : -1, 9);
    print_cell(out->moved_shards, 7);
    print_cell(out->verdict_ms, 9);
    print_cell(out->evicted_ms, 9);
    print_cell(out->assigned_ms, 9);
    print_cell(out->active_ms, 9);
    print_cell(out->ready_ms, 7);
    print_cell(out->ended_ms, 7);
    print_cell(out->restored, 10);
    printf("\n");
    (void)fflush(stdout);
}

static json_t *row_json(const outcome *out)
{
    return json_pack(
        "{s:s, s:i, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", out->event,
        "run", out->run, "longest_ms", (json_int_t)(out->all.max_us / 1000), "p99_above_100_ms",
        (json_int_t)out->all.slow_ms, "moved_longest_ms", (json_int_t)(out->moved.max_us / 1000),
        "moved_shards", out->moved_shards, "verdict_ms", (json_int_t)out->verdict_ms, "evicted_ms",
        (json_int_t)out->evicted_ms, "assigned_ms", (json_int_t)out->assigned_ms, "active_ms",
        (json_int_t)out->active_ms, "ready_ms", (json_int_t)out->ready_ms, "ended_ms",
        (json_int_t)out->ended_ms, "restored_records", (json_int_t)out->restored);
}

static void report(const outcome *out)
{
    json_array_append_new(bench.rows, row_json(out));
    if (!bench.json) {
        print_row(out);
    }
}

/* ---- the programme --------------------------------------------------------------------------- */

static void one_run(int run)
{
    int last = bench.nodes - 1;
    measure(run, "kill -9", act_kill, last);
    measure(run, "joins, empty disk", act_join, last);
    measure(run, "planned stop", act_stop, last);
    measure(run, "comes back, same disk", act_start, last);
    for (int node = last; node > 0; node--) {
        act_stop(node, &(outcome){0});
    }
    measure(run, "alone: kill -9, restart", act_crash, 0);
    for (int node = 1; node <= last; node++) {
        start(node);
        wait_ready(node);
    }
}

static void set_up(int rate, int runs)
{
    alv_bench_open(&bench.cluster, "failover");
    for (int node = 0; node < bench.nodes; node++) {
        (void)alv_cluster_add_node(&bench.cluster);
        start(node);
        wait_ready(node);
    }
    const alv_probe_options options = {.brokers = bench.cluster.brokers,
                                       .application = bench.cluster.application,
                                       .rate = rate,
                                       .users = USERS,
                                       .seconds_max = (runs + 1) * RUN_S};
    bench.probe = alv_probe_open(&options);
    (void)poll(NULL, 0, WARM_UP_MS);
}

/* Nothing is lost, and everything was measured. */
static void tear_down(void)
{
    settle();
    alv_probe_stop(bench.probe);
    if (!alv_probe_wait_seen(bench.probe, SETTLE_TIMEOUT_MS)) {
        fail_msg("commands wait for longer than %d ms", SETTLE_TIMEOUT_MS);
    }
    int lost = alv_probe_count_lost(bench.probe);
    if (lost != 0) {
        fail_msg("%d users do not have their last command", lost);
    }
    fprintf(stderr, "%" PRId64 " commands, none lost\n", alv_probe_sent(bench.probe));
    alv_probe_close(bench.probe);
    bench.cluster.passed = true;
    alv_cluster_close(&bench.cluster);
}

int main(int argc, char **argv)
{
    int rate = 1000;
    int runs = 3;
    bench.nodes = 2;
    const alv_bench_option options[] = {{"--rate", &rate, 1, NULL},
                                        {"--nodes", &bench.nodes, 1, NULL},
                                        {"--runs", &runs, 1, NULL},
                                        {NULL, NULL, 0, NULL}};
    alv_bench_parse(argc, argv, options, help, &bench.json);
    if (bench.nodes < 2 || bench.nodes > ALV_CLUSTER_NODES_MAX - 1) {
        fprintf(stderr, "%s: --nodes takes 2 or 3\n", argv[0]);
        return 2;
    }
    bench.rows = json_array();
    set_up(rate, runs);
    if (!bench.json) {
        print_head(rate, runs);
    }
    for (int run = 1; run <= runs; run++) {
        one_run(run);
    }
    if (bench.json) {
        json_t *all = json_pack("{s:s, s:i, s:i, s:O}", "machine", alv_bench_machine(), "rate",
                                rate, "nodes", bench.nodes, "events", bench.rows);
        (void)json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(all);
    }
    tear_down();
    json_decref(bench.rows);
    return 0;
}
