/* compare.c — Alluvium and Kafka Streams do the same job on the same broker, by turns.
 *
 * Goal:   the section "Side by side with Kafka Streams" of docs/performance.md, with one command
 *         (bench/compare, which builds both and starts this).
 * Method: a command topic is filled once; then every contender in turn, each time as if it had never
 *         been there, drains it. What is committed is asked of the broker, CPU time and memory of the
 *         kernel: both are measured from outside, by the same code. The first commands (every user
 *         once, and time for the virtual machine to compile) do not count. After each drain all states
 *         in the changelog must be those of an independent model: a wrong one ends the program.
 *         The order changes from run to run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/compare_table.h"
#include "tests/support/contender.h"
#include "tests/support/group_offsets.h"
#include "tests/support/probe.h"
#include "tests/support/usage.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"
#include "tests/support/workload.h"

#define DRAIN_SHARDS 16
#define LATENCY_SHARDS 32 /* the default */
#define LATENCY_USERS 5000
#define SLOW_US 100000
#define READY_TIMEOUT_MS 300000
#define DRAIN_TIMEOUT_MS 1800000
#define SEEN_TIMEOUT_MS 60000
#define ASK_MS 20      /* between two questions for what is committed */
#define WATCH_EVERY 50 /* questions between two looks at the process and lines of progress */
#define THREADS_MAX 2
#define VARIANTS_MAX 3

static const char help[] =
    "usage: compare [--quick] [--percent N] [--runs N] [--threads N[,N]] [--only WHAT[,WHAT]]\n"
    "               [--json FILE]\n"
    "Alluvium and Kafka Streams do the same job in turn, on a broker of their own. Takes about an\n"
    "hour on two cores; --quick: some minutes, with fewer keys and commands.\n"
    "--percent  of the keys and commands (100, with --quick 10)\n"
    "--runs     of everything (3; with --quick 1)\n"
    "--threads  lanes of the one, stream threads of the other, for the drains (1,2)\n"
    "--only     of hot,cold,restore,latency,start (all); restore means cold as well\n"
    "--json     every single measurement, with machine and versions\n";

/* What is measured against what. Settings besides the number of threads. */
typedef struct variant {
    const char *name;
    alv_contender_kind kind;
    const char *settings[3]; /* NULL-terminated */
} variant;

static const variant drain_variants[] = {
    {"Alluvium", ALV_CONTENDER_ALLUVIUM, {NULL}},
    {"Kafka Streams", ALV_CONTENDER_STREAMS, {NULL}},
    /* As much as Alluvium's entity cache may have. */
    {"Kafka Streams, record cache",
     ALV_CONTENDER_STREAMS,
     {"caching=true", "statestore.cache.max.bytes=268435456", NULL}},
};
static const variant latency_variants[] = {
    {"Alluvium", ALV_CONTENDER_ALLUVIUM, {NULL}},
    {"Kafka Streams", ALV_CONTENDER_STREAMS, {NULL}},
    {"Kafka Streams, commit 10 ms", ALV_CONTENDER_STREAMS, {"commit.interval.ms=10", NULL}},
};

/* How much of it. */
typedef struct sizes {
    int hot_users;
    int hot_first; /* commands that do not count */
    int hot_commands;
    int cold_users;
    int cold_commands; /* besides those that bring every user into being */
    int warm_up_s;     /* of the latency */
    int seconds;
} sizes;

static const sizes full_sizes = {100000, 1000000, 2500000, 2000000, 1500000, 15, 20};
#define QUICK_PERCENT 10
#define QUICK_SECONDS 5

static sizes scale(const sizes *full, int percent)
{
    sizes scaled = *full;
    scaled.hot_users = (int)((int64_t)full->hot_users * percent / 100);
    scaled.hot_first = (int)((int64_t)full->hot_first * percent / 100);
    scaled.hot_commands = (int)((int64_t)full->hot_commands * percent / 100);
    scaled.cold_users = (int)((int64_t)full->cold_users * percent / 100);
    scaled.cold_commands = (int)((int64_t)full->cold_commands * percent / 100);
    return scaled;
}

static struct {
    alv_cluster stack;
    sizes sizes;
    const char *only;
    int runs;
    int threads[THREADS_MAX];
    int threads_count;
    int step;
    const char *path; /* of the JSON file; NULL = none */
    json_t *head;     /* machine and versions */
    json_t *rows;
} bench;

/* ---- progress -------------------------------------------------------------------------------- */

static void tell(const char *variant_name, const char *what, int run)
{
    fprintf(stderr, "%3d  %s, run %d of %d: %s\n", ++bench.step, what, run, bench.runs,
            variant_name);
}

/* A line that is written over, when somebody is there to see it. */
static void tell_share(int64_t done, int64_t all)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "     %3d %%\r", (int)(done * 100 / all));
    }
}

/* Takes `row`. Written after every measurement: who is interrupted has what was measured until then. */
static void add_row(json_t *row)
{
    json_array_append_new(bench.rows, row);
    if (bench.path == NULL) {
        return;
    }
    json_t *all = json_pack("{s:O, s:i, s:O}", "head", bench.head, "runs", bench.runs,
                            "measurements", bench.rows);
    if (json_dump_file(all, bench.path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0) {
        fprintf(stderr, "compare: cannot write %s\n", bench.path);
        exit(EXIT_FAILURE);
    }
    json_decref(all);
}

static bool is_wanted(const char *what)
{
    return bench.only == NULL || strstr(bench.only, what) != NULL;
}

/* ---- contenders ------------------------------------------------------------------------------ */

static alv_contender *open_contender(const variant *v, const char *topics, int shards, int threads)
{
    char *count = v->kind == ALV_CONTENDER_ALLUVIUM ? alv_format("lanes=%d", threads)
                                                    : alv_format("num.stream.threads=%d", threads);
    const char *settings[] = {count, v->settings[0], v->settings[1], NULL};
    const alv_contender_options options = {.kind = v->kind,
                                           .stack = &bench.stack,
                                           .topics = topics,
                                           .shards = shards,
                                           .settings = settings};
    alv_contender *contender = alv_contender_open(&options);
    alv_free(count);
    return contender;
}

/* Nobody has ever executed the commands: no group, no changelog. */
static void forget(const char *topics, const alv_contender *contender)
{
    char *ledger = alv_format("%s.ledger", topics);
    alv_wire_delete_group(bench.stack.brokers, alv_contender_group(contender));
    alv_wire_delete_topics(bench.stack.brokers, alv_contender_changelog(contender));
    alv_wire_delete_topics(bench.stack.brokers, ledger);
    alv_contender_create_topics(&bench.stack, topics, DRAIN_SHARDS);
    alv_free(ledger);
}

static void close_contender(alv_contender *contender)
{
    alv_contender_passed(contender);
    alv_contender_close(contender);
}

/* ---- drains ---------------------------------------------------------------------------------- */

typedef struct mark {
    int64_t at_us;
    int64_t cpu_us;
    int64_t commands; /* committed by then */
} mark;

/* Waits until at least `commands` of `all` are committed. */
static mark wait_committed(alv_contender *contender, alv_group_offsets *offsets, int64_t commands,
                           int64_t all)
{
    mark now = {0};
    int64_t deadline = alv_wait_deadline(DRAIN_TIMEOUT_MS);
    for (int i = 0;; i++) {
        now.commands = alv_group_offsets_sum(offsets);
        now.at_us = alv_monotonic_us(alv_clock_system());
        now.cpu_us = alv_usage_cpu_us(alv_contender_pid(contender, 0));
        if (now.commands >= commands) {
            return now;
        }
        if (i % WATCH_EVERY == 0) {
            (void)alv_contender_is_ready(contender, 0); /* fails when it has ended */
            tell_share(now.commands, all);
        }
        if (alv_wait_expired(deadline)) {
            alv_contender_close(contender);
            fail_msg("not drained within %d ms", DRAIN_TIMEOUT_MS);
        }
        (void)poll(NULL, 0, ASK_MS);
    }
}

static void check_states(alv_contender *contender, const alv_workload *workload)
{
    int wrong = alv_workload_count_wrong(workload, alv_contender_changelog(contender));
    if (wrong > 0) {
        alv_contender_close(contender);
        fail_msg("%d users have a wrong state", wrong);
    }
}

static void add_restore(const variant *v, alv_contender *contender, int run)
{
    tell(v->name, "restore after losing the disk", run);
    alv_contender_stop(contender, 0);
    alv_contender_wipe(contender, 0);
    alv_contender_start(contender, 0);
    int64_t ready_ms = alv_contender_wait_ready(contender, 0, READY_TIMEOUT_MS);
    int64_t records = 0;
    int64_t ms = 0;
    alv_contender_restore(contender, 0, &records, &ms);
    int64_t peak_kib = alv_usage_peak_kib(alv_contender_pid(contender, 0));
    add_row(json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:f, s:I}", "what", "restore", "contender",
                      v->name, "run", run, "records", (json_int_t)records, "ms", (json_int_t)ms,
                      "ready_ms", (json_int_t)ready_ms, "records_per_s",
                      ms > 0 ? (double)records * 1000 / (double)ms : 0.0, "peak_mib",
                      (json_int_t)(peak_kib / 1024)));
}

typedef struct drain {
    const char *keys;   /* "hot", "cold" */
    const char *topics; /* prefix */
    const alv_workload *workload;
    int64_t first; /* commands that do not count */
} drain;

static void add_drain(const drain *d, const variant *v, int threads, int run, const mark *from,
                      const mark *to, int64_t total_us, int64_t peak_kib)
{
    double commands = (double)(to->commands - from->commands);
    add_row(json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:f, s:f, s:f, s:I}", "what", "drain",
                      "contender", v->name, "keys", d->keys, "threads", threads, "run", run,
                      "commands", (json_int_t)commands, "commands_per_s",
                      commands * 1e6 / (double)(to->at_us - from->at_us), "cpu_us",
                      (double)(to->cpu_us - from->cpu_us) / commands, "total_s",
                      (double)total_us / 1e6, "peak_mib", (json_int_t)(peak_kib / 1024)));
}

static void drain_once(const drain *d, const variant *v, int threads, int run)
{
    char *what = alv_format("%s keys, %d thread%s", d->keys, threads, threads > 1 ? "s" : "");
    tell(v->name, what, run);
    alv_free(what);
    alv_contender *contender = open_contender(v, d->topics, DRAIN_SHARDS, threads);
    forget(d->topics, contender);
    char *commands = alv_format("%s.commands", d->topics);
    alv_group_offsets *offsets =
        alv_group_offsets_open(bench.stack.brokers, alv_contender_group(contender), commands);
    int64_t all = alv_workload_commands(d->workload);
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    alv_contender_start(contender, 0);
    mark from = wait_committed(contender, offsets, d->first, all);
    mark to = wait_committed(contender, offsets, all, all);
    int64_t peak_kib = alv_usage_peak_kib(alv_contender_pid(contender, 0));
    add_drain(d, v, threads, run, &from, &to, to.at_us - begin_us, peak_kib);
    check_states(contender, d->workload);
    bool is_plain = v->settings[0] == NULL;
    if (is_plain && threads == 1 && strcmp(d->keys, "cold") == 0 && is_wanted("restore")) {
        add_restore(v, contender, run);
    }
    alv_contender_stop(contender, 0);
    alv_group_offsets_close(offsets);
    close_contender(contender);
    alv_free(commands);
}

/* Every other run in the other order: what the one leaves behind must not always meet the same other. */
static int turn(int run, int i, int count)
{
    return run % 2 == 1 ? i : count - 1 - i;
}

static void drain_all(const char *keys, int users, int first, int commands)
{
    int variants = (int)(sizeof(drain_variants) / sizeof(drain_variants[0]));
    char *topics = alv_format("compare-%s", keys);
    fprintf(stderr, "     filling %s.commands\n", topics);
    alv_contender_create_topics(&bench.stack, topics, DRAIN_SHARDS);
    const alv_workload_options options = {.brokers = bench.stack.brokers,
                                          .topics = topics,
                                          .users = users,
                                          .commands = commands,
                                          .seed = 20250101};
    alv_workload *workload = alv_workload_fill(&options);
    int64_t everybody = alv_workload_commands_first(workload);
    drain d = {keys, topics, workload, first > everybody ? first : everybody};
    for (int t = 0; t < bench.threads_count; t++) {
        for (int run = 1; run <= bench.runs; run++) {
            for (int i = 0; i < variants; i++) {
                drain_once(&d, &drain_variants[turn(run, i, variants)], bench.threads[t], run);
            }
        }
    }
    alv_workload_free(workload);
    alv_wire_delete_topics(bench.stack.brokers, topics);
    alv_free(topics);
}

/* ---- latency --------------------------------------------------------------------------------- */

static double ms(int64_t us)
{
    return (double)us / 1000;
}

static void latency_at(const variant *v, alv_contender *contender, const char *topics, int rate,
                       int run)
{
    char *what = alv_format("latency at %d/s", rate);
    tell(v->name, what, run);
    alv_free(what);
    int warm_up_s = bench.sizes.warm_up_s;
    int seconds = bench.sizes.seconds;
    const alv_probe_options options = {.brokers = bench.stack.brokers,
                                       .application = topics,
                                       .changelog = alv_contender_changelog(contender),
                                       .rate = rate,
                                       .users = LATENCY_USERS,
                                       .seconds_max = warm_up_s + seconds + 60};
    alv_probe *probe = alv_probe_open(&options);
    int64_t from_us = alv_monotonic_us(alv_clock_system()) + warm_up_s * 1000000LL;
    (void)poll(NULL, 0, (warm_up_s + seconds) * 1000);
    alv_probe_stop(probe);
    if (!alv_probe_wait_seen(probe, SEEN_TIMEOUT_MS) || alv_probe_count_lost(probe) > 0) {
        alv_contender_close(contender);
        fail_msg("not every command is in the changelog");
    }
    const alv_probe_range range = {.from_us = from_us, .to_us = from_us + seconds * 1000000LL};
    alv_probe_summary s = alv_probe_summarize(probe, &range, SLOW_US);
    add_row(json_pack("{s:s, s:s, s:i, s:i, s:I, s:f, s:f, s:f, s:f, s:f}", "what", "latency",
                      "contender", v->name, "rate", rate, "run", run, "commands",
                      (json_int_t)s.count, "p50_ms", ms(s.p50_us), "p90_ms", ms(s.p90_us), "p99_ms",
                      ms(s.p99_us), "p999_ms", ms(s.p999_us), "max_ms", ms(s.max_us)));
    alv_probe_close(probe);
}

/* Topics of its own, so that a run begins with an empty state. */
static void latency_once(const variant *v, int number, int run)
{
    char *topics = alv_format("compare-latency-%d-%d", number, run);
    alv_contender_create_topics(&bench.stack, topics, LATENCY_SHARDS);
    alv_contender *contender = open_contender(v, topics, LATENCY_SHARDS, 2);
    alv_contender_start(contender, 0);
    (void)alv_contender_wait_ready(contender, 0, READY_TIMEOUT_MS);
    latency_at(v, contender, topics, 1000, run);
    latency_at(v, contender, topics, 10000, run);
    alv_contender_stop(contender, 0);
    alv_wire_delete_topics(bench.stack.brokers, topics);
    close_contender(contender);
    alv_free(topics);
}

static void latency_all(void)
{
    int variants = (int)(sizeof(latency_variants) / sizeof(latency_variants[0]));
    for (int run = 1; run <= bench.runs; run++) {
        for (int i = 0; i < variants; i++) {
            int number = turn(run, i, variants);
            latency_once(&latency_variants[number], number, run);
        }
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

static void start_once(const variant *v, int number, int run)
{
    char *topics = alv_format("compare-start-%d-%d", number, run);
    tell(v->name, "start to ready", run);
    alv_contender_create_topics(&bench.stack, topics, DRAIN_SHARDS);
    alv_contender *contender = open_contender(v, topics, DRAIN_SHARDS, 1);
    alv_contender_start(contender, 0);
    int64_t ready_ms = alv_contender_wait_ready(contender, 0, READY_TIMEOUT_MS);
    add_row(json_pack("{s:s, s:s, s:i, s:I}", "what", "start", "contender", v->name, "run", run,
                      "ready_ms", (json_int_t)ready_ms));
    alv_contender_stop(contender, 0);
    alv_wire_delete_topics(bench.stack.brokers, topics);
    close_contender(contender);
    alv_free(topics);
}

static void start_all(void)
{
    for (int run = 1; run <= bench.runs; run++) {
        for (int i = 0; i < 2; i++) { /* without a cache, which is empty then */
            int number = turn(run, i, 2);
            start_once(&drain_variants[number], number, run);
        }
    }
}

/* ---- the programme --------------------------------------------------------------------------- */

/* The first line that `argv` prints. The caller frees it. */
static char *first_line(const char *const *argv)
{
    char line[256] = "";
    char *path = alv_cluster_path(&bench.stack, "first-line");
    (void)unlink(path);
    alv_process_files files = {.out = path, .err = path};
    (void)alv_process_run(argv, files, SEEN_TIMEOUT_MS);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        (void)fgets(line, sizeof(line), file);
        (void)fclose(file);
    }
    line[strcspn(line, "\n")] = '\0';
    alv_free(path);
    return alv_strdup(line);
}

static json_t *versions(void)
{
    static const char processor[] = "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1";
    const char *const cpu_argv[] = {"sh", "-c", processor, NULL};
    const char *const java_argv[] = {"java", "-version", NULL};
    const char *const own_argv[] = {bench.stack.binary, "version", "--json", NULL};
    const char *const commit_argv[] = {"git",     "-C", bench.stack.root, "describe", "--always",
                                       "--dirty", NULL};
    const char *const day_argv[] = {"date", "-u", "+%Y-%m-%d", NULL};
    char *cpu = first_line(cpu_argv);
    char *java = first_line(java_argv);
    char *own = first_line(own_argv);
    char *commit = first_line(commit_argv);
    char *day = first_line(day_argv);
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o*}", "day", day, "commit", commit,
                            "processor", cpu, "machine", alv_bench_machine(), "kafka", "4.3.1",
                            "java", java, "alluvium", json_loads(own, 0, NULL));
    alv_free(cpu);
    alv_free(java);
    alv_free(own);
    alv_free(commit);
    alv_free(day);
    return all;
}

static const char *text_of(const json_t *all, const char *name)
{
    const char *text = json_string_value(json_object_get(all, name));
    return text != NULL ? text : "";
}

static void print_head(const json_t *head)
{
    printf("%s, commit %s; %s; %s; Kafka and Kafka Streams %s, %s; librdkafka %s\n",
           text_of(head, "day"), text_of(head, "commit"), text_of(head, "processor"),
           text_of(head, "machine"), text_of(head, "kafka"), text_of(head, "java"),
           text_of(json_object_get(head, "alluvium"), "librdkafka"));
    printf("%d run%s of each, by turns: median (least-most); ratio: Alluvium's median to Kafka "
           "Streams'\n",
           bench.runs, bench.runs > 1 ? "s" : "");
    const sizes *s = &bench.sizes;
    printf("hot: %d users, cold: %d users, %d shards; latency: %d users, %d shards, 2 threads, %d "
           "s; restore: cold users, 1 thread\n",
           s->hot_users, s->cold_users, DRAIN_SHARDS, LATENCY_USERS, LATENCY_SHARDS, s->seconds);
}

static void measure_all(void)
{
    const sizes *s = &bench.sizes;
    if (is_wanted("start")) {
        start_all();
    }
    if (is_wanted("latency")) {
        latency_all();
    }
    if (is_wanted("hot")) {
        drain_all("hot", s->hot_users, s->hot_first, s->hot_commands);
    }
    if (is_wanted("cold") || is_wanted("restore")) {
        drain_all("cold", s->cold_users, 0, s->cold_users / 3 * 4 + s->cold_commands);
    }
}

int main(int argc, char **argv)
{
    int quick = 0;
    int percent = 0;
    int runs_count = 0;
    bench.threads[0] = 1;
    bench.threads[1] = 2;
    bench.threads_count = 2;
    const alv_bench_option options[] = {
        {"--quick", &quick, 0, NULL, NULL},
        {"--percent", &percent, 1, NULL, NULL},
        {"--runs", &bench.runs, 1, &runs_count, NULL},
        {"--threads", bench.threads, THREADS_MAX, &bench.threads_count, NULL},
        {"--only", NULL, 0, NULL, &bench.only},
        {"--json", NULL, 0, NULL, &bench.path},
        {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, NULL);
    percent = percent > 0 ? percent : (quick ? QUICK_PERCENT : 100);
    if (percent < 1 || percent > 1000) {
        fprintf(stderr, "%s: --percent takes 1 to 1000\n", argv[0]);
        return 2;
    }
    bench.sizes = scale(&full_sizes, percent);
    if (quick) {
        bench.sizes.warm_up_s = QUICK_SECONDS;
        bench.sizes.seconds = QUICK_SECONDS;
    }
    bench.runs = runs_count > 0 ? bench.runs : (quick ? 1 : 3);
    bench.rows = json_array();
    alv_bench_open(&bench.stack, "compare");
    bench.head = versions();
    measure_all();
    print_head(bench.head);
    alv_compare_print(bench.rows);
    json_decref(bench.head);
    json_decref(bench.rows);
    bench.stack.passed = true;
    alv_cluster_close(&bench.stack);
    return 0;
}
