/* watchers.c — what a thousand watchers of one node cost, and how long they wait for a change.
 *
 * Goal:   the section "Watching" of docs/performance.md, reproducible with one command.
 * Method: one node with default settings on a broker of its own; a plain producer sends profile changes
 *         at a steady rate (tests/support/probe.h). Watchers are event streams read by this program.
 *         For each event they take the time since produce(), and since a plain read_committed reader
 *         of the changelog in this program saw the same change: the time from the commit to the client,
 *         less what any reader waits for the broker. CPU is that of the node's process, and of its
 *         watch thread, from /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/cluster_view.h"
#include "tests/support/probe.h"
#include "tests/support/sse.h"
#include "tests/support/usage.h"
#include "tests/support/wait.h"

#define USERS 1000
#define WATCHERS_MAX 2000
#define WARM_UP_S 10
#define OPEN_TIMEOUT_MS 60000
#define SEEN_TIMEOUT_MS 120000
#define LEFT_MS 45000 /* heartbeats have found out that they left, and the readers are closed */
#define SAMPLES_MAX (8 * 1000 * 1000)

static const char help[] =
    "usage: watchers [--watchers N] [--rate N] [--all-rate N[,N...]] [--seconds N] [--keys-only] [--json]\n"
    "Watchers (default 1000) of one key each at --rate (1000) changes/s, then watchers of\n"
    "everything at each --all-rate (20,100), each measured for --seconds (15); and the same\n"
    "load before there was a watcher and after they have left. --keys-only: nobody, then watchers of one\n"
    "key each, no more.\n";

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_probe *probe;
    alv_sse_set *set;
    alv_sse *streams[WATCHERS_MAX];
    int stream_count;
    bool counting;
    int64_t events;
    int32_t *sent_us; /* per event: since produce() */
    int32_t *seen_us; /* since the plain reader saw it; may be below 0 */
    int64_t samples;
} job;

typedef struct row {
    const char *what;
    int watchers;
    int rate;
    double node_mib;
    double node_cpu; /* % of one core */
    double watch_cpu;
    double events_s;
    double sent_p50_ms, sent_p99_ms;
    double seen_p50_ms, seen_p99_ms;
    double plain_p50_ms, plain_p99_ms;
} row;

/* ---- CPU ------------------------------------------------------------------------------------- */

/* Clock ticks in user and system mode of a process or thread; `name` (may be NULL) must be its own. */
static long cpu_ticks(const char *path, const char *name)
{
    char text[1024];
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    char *begin = strchr(text, '(');
    char *close = strrchr(text, ')');
    if (begin == NULL || close == NULL) {
        return 0;
    }
    *close = '\0';
    if (name != NULL && strcmp(begin + 1, name) != 0) {
        return 0;
    }
    char *at = close + 2;
    for (int field = 3; field < 14; field++) {
        at = strchr(at, ' ') + 1;
    }
    char *next = NULL;
    long user = strtol(at, &next, 10);
    return user + strtol(next, NULL, 10);
}

static long node_ticks(void)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)job.node->process.pid);
    return cpu_ticks(path, NULL);
}

/* The hub's thread alone; librdkafka's threads for its readers are in the node's figure. */
static long watch_ticks(void)
{
    char folder[64];
    long ticks = 0;
    (void)snprintf(folder, sizeof folder, "/proc/%d/task", (int)job.node->process.pid);
    DIR *tasks = opendir(folder);
    struct dirent *task;
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s/stat", folder, task->d_name);
        ticks += cpu_ticks(path, "watch");
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    return ticks;
}

/* ---- watchers -------------------------------------------------------------------------------- */

static void hear(void *payload, alv_sse *sse, const alv_sse_event *event)
{
    (void)payload;
    (void)sse;
    static const char mark[] = "\"nickname\":\"";
    const char *found = strstr(event->data, mark);
    if (!job.counting || found == NULL) {
        return;
    }
    int64_t now_us = alv_monotonic_us(alv_clock_system());
    int64_t number = strtoll(found + sizeof mark - 1, NULL, 10);
    int64_t seen_us = alv_probe_seen_us(job.probe, number);
    job.events++;
    if (job.samples < SAMPLES_MAX && seen_us > 0) {
        job.sent_us[job.samples] = (int32_t)(now_us - alv_probe_sent_us(job.probe, number));
        job.seen_us[job.samples] = (int32_t)(now_us - seen_us);
        job.samples++;
    }
}

static bool all_open(void *payload)
{
    (void)payload;
    for (int i = 0; i < job.stream_count; i++) {
        if (job.streams[i]->last_id[0] == '\0') {
            assert_false(job.streams[i]->ended);
            return false;
        }
    }
    return true;
}

static void open_watchers(int count, bool everything)
{
    for (int i = 0; i < count; i++) {
        char path[64];
        (void)snprintf(path, sizeof path,
                       everything ? "/v1/watch?prefix=" : "/v1/watch?key=bench:%d", i % USERS);
        job.streams[job.stream_count++] =
            alv_sse_open(job.set, job.node->address, path, NULL, NULL, 0);
        if (i % 64 == 0) {
            alv_sse_turn(job.set, 0);
        }
    }
    assert_true(alv_sse_until(job.set, all_open, NULL, OPEN_TIMEOUT_MS));
}

static void close_watchers(void)
{
    while (job.stream_count > 0) {
        alv_sse_close(job.set, job.streams[--job.stream_count]);
    }
}

/* ---- one measurement ------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left;
    int32_t b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(const int32_t *sorted, int64_t count, double share)
{
    return count > 0 ? sorted[(int64_t)((double)(count - 1) * share)] / 1000.0 : 0;
}

static void pass(int seconds)
{
    int64_t until_us = alv_monotonic_us(alv_clock_system()) + seconds * 1000000LL;
    while (alv_monotonic_us(alv_clock_system()) < until_us) {
        alv_sse_turn(job.set, 10);
    }
}

static void take_latencies(row *out, int64_t from_us)
{
    const alv_probe_range range = {.from_us = from_us};
    alv_probe_summary plain = alv_probe_summarize(job.probe, &range, 100000);
    out->plain_p50_ms = (double)plain.p50_us / 1000;
    out->plain_p99_ms = (double)plain.p99_us / 1000;
    qsort(job.sent_us, (size_t)job.samples, sizeof *job.sent_us, compare);
    qsort(job.seen_us, (size_t)job.samples, sizeof *job.seen_us, compare);
    out->sent_p50_ms = percentile_ms(job.sent_us, job.samples, 0.5);
    out->sent_p99_ms = percentile_ms(job.sent_us, job.samples, 0.99);
    out->seen_p50_ms = percentile_ms(job.seen_us, job.samples, 0.5);
    out->seen_p99_ms = percentile_ms(job.seen_us, job.samples, 0.99);
}

static row measure(const char *what, int watchers, bool everything, int rate, int seconds)
{
    const alv_probe_options options = {.brokers = job.cluster.brokers,
                                       .application = job.cluster.application,
                                       .rate = rate,
                                       .users = USERS,
                                       .seconds_max = WARM_UP_S + seconds + 120};
    row out = {.what = what, .watchers = watchers, .rate = rate};
    job.probe = alv_probe_open(&options);
    open_watchers(watchers, everything);
    pass(WARM_UP_S);
    job.events = job.samples = 0;
    job.counting = true;
    long node_before = node_ticks();
    long watch_before = watch_ticks();
    int64_t from_us = alv_monotonic_us(alv_clock_system());
    pass(seconds);
    double took_s = (double)(alv_monotonic_us(alv_clock_system()) - from_us) / 1e6;
    double ticks_s = (double)sysconf(_SC_CLK_TCK);
    out.node_cpu = (double)(node_ticks() - node_before) / ticks_s / took_s * 100;
    out.watch_cpu = (double)(watch_ticks() - watch_before) / ticks_s / took_s * 100;
    out.node_mib = (double)alv_usage_resident_kib(job.node->process.pid) / 1024;
    out.events_s = (double)job.events / took_s;
    job.counting = false;
    for (int i = 0; i < job.stream_count; i++) {
        if (job.streams[i]->ended) {
            fail_msg("a watcher was cut off");
        }
    }
    alv_probe_stop(job.probe);
    take_latencies(&out, from_us);
    close_watchers();
    assert_true(alv_probe_wait_seen(job.probe, SEEN_TIMEOUT_MS)); /* the next one counts anew */
    alv_probe_close(job.probe);
    return out;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void print_row(const row *r)
{
    printf("%-28s %8d %8d %10.0f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f\n", r->what,
           r->watchers, r->rate, r->events_s, r->node_cpu, r->watch_cpu, r->plain_p50_ms,
           r->plain_p99_ms, r->sent_p50_ms, r->sent_p99_ms, r->seen_p50_ms, r->seen_p99_ms);
    (void)fflush(stdout);
}

static json_t *row_json(const row *r)
{
    return json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "what",
                     r->what, "watchers", r->watchers, "changes_per_s", r->rate, "events_per_s",
                     r->events_s, "node_mib", r->node_mib, "node_cpu_percent", r->node_cpu,
                     "watch_thread_cpu_percent", r->watch_cpu, "reader_p50_ms", r->plain_p50_ms,
                     "reader_p99_ms", r->plain_p99_ms, "watcher_p50_ms", r->sent_p50_ms,
                     "watcher_p99_ms", r->sent_p99_ms, "watcher_after_reader_p50_ms",
                     r->seen_p50_ms, "watcher_after_reader_p99_ms", r->seen_p99_ms);
}

static void report(json_t *rows, bool json, row r)
{
    if (!json) {
        print_row(&r);
    }
    (void)json_array_append_new(rows, row_json(&r));
}

/* Time for the node to notice that nobody is there any more. */
static void wait_until_left(void)
{
    (void)poll(NULL, 0, LEFT_MS);
}

static void run_rest(int watchers, int rate, const int *all_rates, int all_rate_count, int seconds,
                     bool json, json_t *rows)
{
    wait_until_left();
    report(rows, json, measure("all have left", 0, false, rate, seconds));
    for (int i = 0; i < all_rate_count; i++) {
        report(rows, json, measure("everything each", watchers, true, all_rates[i], seconds));
    }
}

static void run(int watchers, int rate, const int *all_rates, int all_rate_count, int seconds,
                bool keys_only, bool json)
{
    json_t *rows = json_array();
    if (!json) {
        printf(
            "one node, default settings; %s\n"
            "CPU in %% of one core; ms from produce() to a plain reader, to the watcher, and from "
            "the plain reader to the watcher\n%-28s %8s %8s %10s %8s %8s %8s %8s %8s %8s %8s %8s\n",
            alv_bench_machine(), "", "watchers", "rate/s", "events/s", "node", "hub", "rd p50",
            "rd p99", "w p50", "w p99", "w-r p50", "w-r p99");
    }
    report(rows, json, measure("nobody has watched yet", 0, false, rate, seconds));
    report(rows, json, measure("one key each", watchers, false, rate, seconds));
    if (!keys_only) {
        run_rest(watchers, rate, all_rates, all_rate_count, seconds, json, rows);
    }
    json_t *all = json_pack("{s:s, s:i, s:o}", "machine", alv_bench_machine(), "seconds", seconds,
                            "rows", rows);
    if (json) {
        (void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        printf("\n");
    }
    json_decref(all);
}

int main(int argc, char **argv)
{
    int watchers = 1000;
    int rate = 1000;
    int all_rates[8] = {20, 100};
    int all_rate_count = 2;
    int seconds = 15;
    int keys_only = 0;
    bool json = false;
    const alv_bench_option options[] = {{"--watchers", &watchers, 1, NULL, NULL},
                                        {"--rate", &rate, 1, NULL, NULL},
                                        {"--all-rate", all_rates, 8, &all_rate_count, NULL},
                                        {"--seconds", &seconds, 1, NULL, NULL},
                                        {"--keys-only", &keys_only, 0, NULL, NULL},
                                        {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, &json);
    assert_true(watchers <= WATCHERS_MAX);
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);

    alv_bench_open(&job.cluster, "watch");
    job.sent_us = alv_alloc_array(SAMPLES_MAX, sizeof *job.sent_us);
    job.seen_us = alv_alloc_array(SAMPLES_MAX, sizeof *job.seen_us);
    job.set = alv_sse_set_new(hear, NULL);
    job.node = alv_cluster_add_node(&job.cluster);
    alv_cluster_start_node(job.node, NULL);
    alv_cluster_wait_ready(job.node);
    run(watchers, rate, all_rates, all_rate_count, seconds, keys_only != 0, json);
    alv_sse_set_free(job.set);
    alv_free(job.sent_us);
    alv_free(job.seen_us);
    alv_cluster_stop_node(job.node);
    job.cluster.passed = true;
    alv_cluster_close(&job.cluster);
    return 0;
}
