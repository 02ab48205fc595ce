/* failover.c — how long commands wait when nodes die, stop, join and come back.
 *
 * Goal:   the section "Failover" of docs/performance.md, reproducible with one command.
 * Method: nodes of Alluvium with default settings, and with --streams instances of the Kafka Streams
 *         program of the same job, one contender after the other on a broker of their own; commands at
 *         a steady rate (see tests/support/probe.h) before, during and after each event. An event
 *         begins when the contender is settled: every node knows of the others, every shard is at
 *         work, and hot standbys are in place. The wait of a command that was under way at that moment
 *         counts as well. In the end every user's last command must be in the changelog. */
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
#include "tests/support/contender.h"
#include "tests/support/failover_table.h"
#include "tests/support/node_log.h"
#include "tests/support/probe.h"
#include "tests/support/wait.h"

#define USERS 5000
#define SHARDS 32 /* the default */
#define SLOW_US 100000
#define BEFORE_US 100000 /* commands that were under way when it began */
#define SOON_US 10000000 /* the first seconds, in which the p99 is taken */
#define CALM_MS 3000     /* between two events, once the contender is settled */
#define WARM_UP_MS 15000 /* every user, and time for the broker to be compiled */
#define READY_TIMEOUT_MS 120000
/* Kafka Streams moves shards to a node that joined at a probing rebalance, once a minute. */
#define SETTLE_TIMEOUT_MS 240000
#define ALLUVIUM_RUN_S 180 /* room for the commands of one run */
#define STREAMS_RUN_S 1200
#define NODES_KINDS_MAX 2

static const char help[] =
    "usage: failover [--nodes 2|3|2,3] [--runs N] [--rate N] [--streams] [--json]\n"
    "The longest wait of any command (default 1000/s) when one of the nodes (2, then 3) is killed,\n"
    "joins, is stopped, comes back, and when a node that is alone is killed and restarted.\n"
    "--streams  the same events with Kafka Streams, on the same broker (session time-out 6 s, the\n"
    "           least a stock broker allows; one standby; probing rebalance every 60 s, the least\n"
    "           that it allows). Slow: it takes minutes until it is settled again.\n";

/* Two threads, as Alluvium has lanes on two cores. What is not here is as Kafka Streams ships it. */
static const char *const streams_settings[] = {"num.stream.threads=2",
                                               "num.standby.replicas=1",
                                               "session.timeout.ms=6000",
                                               "heartbeat.interval.ms=2000",
                                               "probing.rebalance.interval.ms=60000",
                                               NULL};

static struct {
    alv_cluster stack;
    alv_contender *contender;
    alv_contender_kind kind;
    alv_probe *probe;
    int nodes; /* that the contender has when nothing happens */
    int rate;
    int runs;
    bool json;
    json_t *rows;
} bench;

/* ---- doing it -------------------------------------------------------------------------------- */

static bool is_settled(void *payload)
{
    (void)payload;
    return alv_contender_is_settled(bench.contender);
}

/* Waits until nothing moves any more, and until nobody waits. */
static void settle(void)
{
    if (!alv_wait_until(is_settled, NULL, SETTLE_TIMEOUT_MS)) {
        alv_contender_view now = alv_contender_look(bench.contender);
        alv_contender_close(bench.contender);
        fail_msg("not settled after %d ms: %d shards at work, %d hot standbys%s", SETTLE_TIMEOUT_MS,
                 now.active, now.hot, now.calm ? "" : ", not calm");
    }
    if (!alv_probe_wait_seen(bench.probe, SETTLE_TIMEOUT_MS)) {
        fail_msg("commands wait for longer than %d ms", SETTLE_TIMEOUT_MS);
    }
}

static int64_t now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

static int64_t ms_since(int64_t begin_us)
{
    return (now_us() - begin_us) / 1000;
}

/* An event and what it does to `node`; afterwards the fields of `out` that only it knows are set. */
typedef void (*act_run)(int node, alv_failover_outcome *out);

static void act_kill(int node, alv_failover_outcome *out)
{
    (void)out;
    alv_contender_kill(bench.contender, node);
}

static void act_stop(int node, alv_failover_outcome *out)
{
    int64_t begin_us = now_us();
    alv_contender_stop(bench.contender, node);
    out->ended_ms = ms_since(begin_us);
}

static void act_start(int node, alv_failover_outcome *out)
{
    alv_contender_start(bench.contender, node);
    out->ready_ms = alv_contender_wait_ready(bench.contender, node, READY_TIMEOUT_MS);
}

/* As a machine that has never been part of it. */
static void act_join(int node, alv_failover_outcome *out)
{
    alv_contender_wipe(bench.contender, node);
    act_start(node, out);
}

static void act_crash(int node, alv_failover_outcome *out)
{
    alv_contender_kill(bench.contender, node);
    alv_contender_reap(bench.contender, node);
    act_start(node, out);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static int64_t latest(const alv_cluster *cluster, const char *text, int64_t since_ms)
{
    int64_t last = -1;
    for (int node = 0; cluster != NULL && node < cluster->node_count; node++) {
        int64_t at = alv_node_log_last(&cluster->nodes[node], text, since_ms);
        last = at > last ? at : last;
    }
    return last;
}

static void read_logs(alv_failover_outcome *out, int64_t since_ms)
{
    const alv_cluster *cluster = alv_contender_cluster(bench.contender);
    out->verdict_ms = latest(cluster, "to=dead", since_ms);
    out->evicted_ms = latest(cluster, "event=evicted", since_ms);
    out->assigned_ms = latest(cluster, "state=restoring", since_ms);
    out->active_ms = latest(cluster, "state=active", since_ms);
}

/* Which shards have another owner than before. */
static int compare_owners(const alv_contender_view *before, const alv_contender_view *after,
                          bool moved[SHARDS])
{
    int count = 0;
    for (int shard = 0; shard < SHARDS; shard++) {
        moved[shard] = before->owner[shard] != after->owner[shard];
        count += moved[shard];
    }
    return count;
}

static void summarize(alv_failover_outcome *out, int64_t begin_us, const bool *moved)
{
    int64_t from_us = begin_us - BEFORE_US;
    const alv_probe_range all = {.from_us = from_us};
    const alv_probe_range soon = {.from_us = from_us, .to_us = begin_us + SOON_US};
    const alv_probe_range those = {.from_us = from_us, .shards = moved};
    out->all = alv_probe_summarize(bench.probe, &all, SLOW_US);
    out->soon = alv_probe_summarize(bench.probe, &soon, SLOW_US);
    out->moved = alv_probe_summarize(bench.probe, &those, SLOW_US);
}

static void report(const alv_failover_outcome *out)
{
    json_array_append_new(bench.rows, alv_failover_row_json(out));
    if (!bench.json) {
        alv_failover_print_row(out);
    }
}

/* Waits, if need be, until the first seconds after the event are over and all their commands seen. */
static void wait_soon(int64_t begin_us)
{
    int64_t left_ms = SOON_US / 1000 - ms_since(begin_us);
    if (left_ms > 0) {
        (void)poll(NULL, 0, (int)left_ms);
    }
    if (!alv_probe_wait_seen(bench.probe, SETTLE_TIMEOUT_MS)) {
        fail_msg("commands wait for longer than %d ms", SETTLE_TIMEOUT_MS);
    }
}

static void measure(int run, const char *event, act_run act, int node)
{
    fprintf(stderr, "%s, %d nodes, run %d of %d: %s ...\n", alv_contender_name(bench.kind),
            bench.nodes, run, bench.runs, event);
    settle();
    (void)poll(NULL, 0, CALM_MS);
    alv_failover_outcome out = {.kind = bench.kind,
                                .nodes = bench.nodes,
                                .event = event,
                                .run = run,
                                .ready_ms = -1,
                                .ended_ms = -1,
                                .restored = -1};
    bool moved[SHARDS];
    alv_contender_view before = alv_contender_look(bench.contender);
    int64_t since_ms = alv_now_ms(alv_clock_system());
    int64_t begin_us = now_us();
    act(node, &out);
    settle();
    out.settled_ms = ms_since(begin_us);
    alv_contender_view after = alv_contender_look(bench.contender);
    wait_soon(begin_us);
    out.moved_shards = compare_owners(&before, &after, moved);
    summarize(&out, begin_us, moved);
    out.restored = out.ready_ms >= 0 ? after.restored[node] : -1;
    read_logs(&out, since_ms);
    report(&out);
}

/* ---- the programme --------------------------------------------------------------------------- */

static void start_and_wait(int node)
{
    alv_contender_start(bench.contender, node);
    (void)alv_contender_wait_ready(bench.contender, node, READY_TIMEOUT_MS);
}

static void one_run(int run)
{
    int last = bench.nodes - 1;
    measure(run, "kill -9", act_kill, last);
    measure(run, "joins, empty disk", act_join, last);
    measure(run, "planned stop", act_stop, last);
    measure(run, "comes back, same disk", act_start, last);
    if (bench.nodes > 2) {
        return;
    }
    for (int node = last; node > 0; node--) {
        alv_contender_stop(bench.contender, node);
    }
    measure(run, "alone: kill -9, restart", act_crash, 0);
    for (int node = 1; run < bench.runs && node <= last; node++) {
        start_and_wait(node);
    }
}

static void set_up(const char *topics)
{
    bool is_alluvium = bench.kind == ALV_CONTENDER_ALLUVIUM;
    alv_contender_create_topics(&bench.stack, topics, SHARDS);
    const alv_contender_options options = {.kind = bench.kind,
                                           .stack = &bench.stack,
                                           .topics = topics,
                                           .shards = SHARDS,
                                           .settings = is_alluvium ? NULL : streams_settings};
    bench.contender = alv_contender_open(&options);
    for (int node = 0; node < bench.nodes; node++) {
        start_and_wait(node);
    }
    int run_s = is_alluvium ? ALLUVIUM_RUN_S : STREAMS_RUN_S;
    const alv_probe_options probe = {.brokers = bench.stack.brokers,
                                     .application = topics,
                                     .changelog = alv_contender_changelog(bench.contender),
                                     .rate = bench.rate,
                                     .users = USERS,
                                     .seconds_max = (bench.runs + 1) * run_s};
    bench.probe = alv_probe_open(&probe);
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
    alv_contender_passed(bench.contender);
    alv_contender_close(bench.contender);
}

static void measure_contender(alv_contender_kind kind, int nodes)
{
    bench.kind = kind;
    bench.nodes = nodes;
    char *topics = alv_format("failover-%s-%d", kind == ALV_CONTENDER_ALLUVIUM ? "a" : "s", nodes);
    set_up(topics);
    for (int run = 1; run <= bench.runs; run++) {
        one_run(run);
    }
    tear_down();
    alv_free(topics);
}

static void print_end(void)
{
    if (!bench.json) {
        alv_failover_print_summary(bench.rows);
        return;
    }
    json_t *all = json_pack("{s:s, s:i, s:i, s:O}", "machine", alv_bench_machine(), "rate",
                            bench.rate, "runs", bench.runs, "events", bench.rows);
    (void)json_dumpf(all, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(all);
}

int main(int argc, char **argv)
{
    int nodes[NODES_KINDS_MAX] = {2, 3};
    int nodes_count = 2;
    int streams = 0;
    bench.rate = 1000;
    bench.runs = 3;
    const alv_bench_option options[] = {{"--rate", &bench.rate, 1, NULL, NULL},
                                        {"--nodes", nodes, NODES_KINDS_MAX, &nodes_count, NULL},
                                        {"--runs", &bench.runs, 1, NULL, NULL},
                                        {"--streams", &streams, 0, NULL, NULL},
                                        {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, &bench.json);
    for (int i = 0; i < nodes_count; i++) {
        if (nodes[i] < 2 || nodes[i] > ALV_CONTENDER_NODES_MAX) {
            fprintf(stderr, "%s: --nodes takes 2, 3 or 2,3\n", argv[0]);
            return 2;
        }
    }
    bench.rows = json_array();
    alv_bench_open(&bench.stack, "failover");
    if (!bench.json) {
        printf("default settings, %d commands/s, %d runs; %s\n", bench.rate, bench.runs,
               alv_bench_machine());
        alv_failover_print_head();
    }
    for (int kind = 0; kind <= (streams ? ALV_CONTENDER_STREAMS : ALV_CONTENDER_ALLUVIUM); kind++) {
        for (int i = 0; i < nodes_count; i++) {
            measure_contender((alv_contender_kind)kind, nodes[i]);
        }
    }
    print_end();
    json_decref(bench.rows);
    bench.stack.passed = true;
    alv_cluster_close(&bench.stack);
    return 0;
}
