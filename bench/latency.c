/* latency.c — how long a command takes to its committed change, at a steady rate.
 *
 * Goal:   the section "Latency" of docs/performance.md, reproducible with one command.
 * Method: one node with default settings (but for --least) on a broker of its own; a plain producer sends profile
 *         changes of 5,000 users, a plain read_committed reader of the changelog takes the time (see
 *         tests/support/probe.h). The first seconds of each rate are not counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/probe.h"
#include "tests/support/usage.h"

#define USERS 5000
#define WARM_UP_S 15 /* every user three times, and time for the broker to be compiled */
#define SEEN_TIMEOUT_MS 60000
#define SLOW_US 100000
#define RATES_MAX 8

static const char help[] =
    "usage: latency [--rate N[,N...]] [--seconds N] [--least MS] [--json]\n"
    "Time from sending a command to its committed changelog record, for each rate\n"
    "(commands/s; default 1000,10000), measured for --seconds (20) after a warm-up,\n"
    "and what node and broker took of a core meanwhile.\n"
    "--least  commit.interval.min.ms of the node (0)\n";

typedef struct latency_row {
    alv_probe_summary times;
    double node_percent; /* of one core */
    double broker_percent;
} latency_row;

static double percent(int64_t cpu_us, int seconds)
{
    return (double)cpu_us / seconds / 10000;
}

static latency_row measure(const alv_cluster *cluster, int rate, int seconds)
{
    latency_row row;
    pid_t node = cluster->nodes[0].process.pid;
    pid_t broker = alv_bench_server(cluster, "kafka-1");
    const alv_probe_options options = {.brokers = cluster->brokers,
                                       .application = cluster->application,
                                       .rate = rate,
                                       .users = USERS,
                                       .seconds_max = WARM_UP_S + seconds + 60};
    alv_probe *probe = alv_probe_open(&options);
    int64_t from_us = alv_monotonic_us(alv_clock_system()) + WARM_UP_S * 1000000LL;
    (void)poll(NULL, 0, WARM_UP_S * 1000);
    int64_t node_us = alv_usage_cpu_us(node);
    int64_t broker_us = alv_usage_cpu_us(broker);
    (void)poll(NULL, 0, seconds * 1000);
    row.node_percent = percent(alv_usage_cpu_us(node) - node_us, seconds);
    row.broker_percent = percent(alv_usage_cpu_us(broker) - broker_us, seconds);
    alv_probe_stop(probe);
    if (!alv_probe_wait_seen(probe, SEEN_TIMEOUT_MS)) {
        fail_msg("not every command came to the changelog within %d ms", SEEN_TIMEOUT_MS);
    }
    const alv_probe_range range = {.from_us = from_us, .to_us = from_us + seconds * 1000000LL};
    row.times = alv_probe_summarize(probe, &range, SLOW_US);
    int lost = alv_probe_count_lost(probe);
    if (lost != 0) {
        fail_msg("%d users do not have their last command", lost);
    }
    alv_probe_close(probe);
    return row;
}

static double ms(int64_t us)
{
    return (double)us / 1000;
}

static void print_row(int rate, const latency_row *row)
{
    const alv_probe_summary *s = &row->times;
    printf("%9d  %9lld  %6.1f  %6.1f  %6.1f  %6.1f  %6.1f  %6.1f  %6.1f\n", rate,
           (long long)s->count, ms(s->p50_us), ms(s->p90_us), ms(s->p99_us), ms(s->p999_us),
           ms(s->max_us), row->node_percent, row->broker_percent);
    (void)fflush(stdout);
}

static json_t *row_json(int rate, const latency_row *row)
{
    const alv_probe_summary *s = &row->times;
    return json_pack("{s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rate", rate, "commands",
                     (json_int_t)s->count, "p50_ms", ms(s->p50_us), "p90_ms", ms(s->p90_us),
                     "p99_ms", ms(s->p99_us), "p999_ms", ms(s->p999_us), "max_ms", ms(s->max_us),
                     "node_percent", row->node_percent, "broker_percent", row->broker_percent);
}

static void run(alv_cluster *cluster, const int *rates, int rate_count, int seconds, bool json)
{
    json_t *rows = json_array();
    if (!json) {
        printf("one node; %s; ms from produce() to the committed change; %% of one core\n"
               "     rate   commands     p50     p90     p99   p99.9     max    node  broker\n",
               alv_bench_machine());
    }
    for (int i = 0; i < rate_count; i++) {
        latency_row row = measure(cluster, rates[i], seconds);
        json_array_append_new(rows, row_json(rates[i], &row));
        if (!json) {
            print_row(rates[i], &row);
        }
    }
    json_t *all = json_pack("{s:s, s:i, s:o}", "machine", alv_bench_machine(), "seconds", seconds,
                            "rates", rows);
    if (json) {
        (void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        printf("\n");
    }
    json_decref(all);
}

int main(int argc, char **argv)
{
    int rates[RATES_MAX] = {1000, 10000};
    int rate_count = 2;
    int seconds = 20;
    int least = 0;
    bool json = false;
    const alv_bench_option options[] = {{"--rate", rates, RATES_MAX, &rate_count, NULL},
                                        {"--seconds", &seconds, 1, NULL, NULL},
                                        {"--least", &least, 1, NULL, NULL},
                                        {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, &json);

    alv_cluster cluster;
    alv_bench_open(&cluster, "latency");
    alv_cluster_node *node = alv_cluster_add_node(&cluster);
    char *setting = alv_format("commit.interval.min.ms=%d", least);
    alv_cluster_start_node(node, (const char *[]){setting, NULL});
    alv_free(setting);
    alv_cluster_wait_ready(node);
    run(&cluster, rates, rate_count, seconds, json);
    alv_cluster_stop_node(node);
    cluster.passed = true;
    alv_cluster_close(&cluster);
    return 0;
}
