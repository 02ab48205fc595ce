/* scale.c — how the cost of a command grows with users, shards, lanes, nodes, states, standbys, transactions, watchers.
 *
 * Goal:   the curves of docs/scale.md, with one command, in pieces if need be.
 * Method: one thing is changed at a time, everything else stays as in `usual`. For each point topics and nodes of its
 *         own on one broker: every user is brought into being, then commands that change little of his state are sent
 *         as fast as the broker takes them and executed meanwhile (tests/support/padded_load.h). CPU is that of the
 *         nodes, of the broker, of PostgreSQL, as the kernel counts it; what is committed is asked of the broker;
 *         bytes and transactions are the nodes' own counters. Then one node loses its disk and restores it. All
 *         states must be right: a wrong one ends the program. Watchers are a matter of bench/watchers, which is run.
 *         Rows are added to a file after every point; what is in it is not measured again. */
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
#include "tests/support/contender.h"
#include "tests/support/group_offsets.h"
#include "tests/support/http_call.h"
#include "tests/support/metrics_text.h"
#include "tests/support/padded_load.h"
#include "tests/support/scale_table.h"
#include "tests/support/usage.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define READY_TIMEOUT_MS 300000
#define SETTLE_TIMEOUT_MS 900000
#define WATCHERS_TIMEOUT_MS 300000
#define ASK_MS 20
#define LOOK_MS 200     /* between two looks at all nodes */
#define COUNTED_MS 1500 /* the nodes' statistics of librdkafka are written twice a second */
#define STATE_BYTES_ALL 400000000LL    /* of all users */
#define CHANGED_BYTES_ALL 1500000000LL /* of all commands */
#define QUICK_PART 5
#define USERS_MAX 3000000
#define BROKERS_MAX 3
#define VALUES_MAX 8
#define WATCHERS_RATE 1000
#define WATCHERS_SECONDS 10

static const char help[] =
    "usage: scale [--only WHAT[,WHAT]] [--quick] [--minutes N] [--users-max N] [--brokers N]\n"
    "             [--json FILE]\n"
    "What a command costs with more users, shards, lanes, nodes, larger states, standbys, smaller transactions,\n"
    "watchers, and with PostgreSQL, on a broker of its own: about 35 points, half a minute each on two idle cores.\n"
    "--only       of users,shards,lanes,nodes,state,standbys,batch,watchers,postgres (all)\n"
    "--quick      a fifth of the commands, without the largest values\n"
    "--minutes    begins no further point after so many\n"
    "--users-max  3000000 unless given\n"
    "--brokers    1 unless given; with 3 topics are replicated, and the broker's CPU is that of all. A file of its own\n"
    "--json       every point, written as they come; points that are in it already are not measured again\n";

typedef struct point {
    const char *dimension;
    int value;
    int users;
    int state_bytes;
    int commands; /* besides those that bring every user into being */
    int shards;
    int lanes;
    int nodes;
    int standbys;
    int batch; /* commands in a transaction, at most; 0 = as usual */
    bool has_postgres;
} point;

static const point usual = {
    .users = 100000, .state_bytes = 300, .commands = 600000, .shards = 16, .lanes = 1, .nodes = 1};

static const struct dimension {
    const char *name;
    int values[VALUES_MAX];
    int quick_max;
} dimensions[] = {
    {"users", {10000, 100000, 1000000, 3000000, 10000000}, 100000},
    {"shards", {8, 16, 32, 64, 128, 256}, 32},
    {"lanes", {1, 2, 4, 8, 16, 64}, 4},
    {"nodes", {1, 2, 3}, 2},
    {"state", {300, 1024, 4096, 16384, 65536}, 4096},
    {"standbys", {0, 1, 2}, 1}, /* of three nodes */
    {"batch", {20, 100, 500, 2500, 20000}, 500},
    {"watchers", {100, 500, 1000, 2000}, 500},
    {"postgres", {300, 4096}, 300}, /* by bytes of a state */
};

#define BATCHES_MAX 1000 /* of a point; each takes some milliseconds */

#define DIMENSIONS (sizeof(dimensions) / sizeof(dimensions[0]))

static struct {
    alv_cluster stack;
    const char *only;
    const char *path;
    int users_max;
    bool quick;
    json_t *rows; /* of this and of earlier runs */
    pid_t brokers[BROKERS_MAX];
    int broker_count;
    pid_t postgres; /* 0 = was not started yet */
    int64_t begin_us;
    int measured;
    int left;
} bench;

static int64_t now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

/* ---- points ------------------------------------------------------------------------------------------------------ */

static point point_of(const struct dimension *dimension, int value)
{
    point p = usual;
    p.dimension = dimension->name;
    p.value = value;
    if (strcmp(dimension->name, "users") == 0) {
        p.users = value;
    } else if (strcmp(dimension->name, "shards") == 0) {
        p.shards = value;
    } else if (strcmp(dimension->name, "lanes") == 0) {
        p.lanes = value;
        p.shards = 64; /* one for each at least */
    } else if (strcmp(dimension->name, "nodes") == 0) {
        p.nodes = value;
    } else if (strcmp(dimension->name, "standbys") == 0) {
        p.nodes = ALV_CONTENDER_NODES_MAX;
        p.standbys = value;
    } else if (strcmp(dimension->name, "batch") == 0) {
        p.batch = value;
        p.commands = value < p.commands / BATCHES_MAX ? value * BATCHES_MAX : p.commands;
    } else if (strcmp(dimension->name, "state") == 0) {
        p.state_bytes = value;
    } else {
        p.state_bytes = value;
        p.has_postgres = true;
    }
    p.commands = bench.quick ? p.commands / QUICK_PART : p.commands;
    int64_t users_most = STATE_BYTES_ALL / p.state_bytes;
    int64_t commands_most = CHANGED_BYTES_ALL / p.state_bytes;
    p.users = p.state_bytes > usual.state_bytes && p.users > users_most ? (int)users_most : p.users;
    p.commands = p.commands > commands_most ? (int)commands_most : p.commands;
    return p;
}

static bool is_wanted(const struct dimension *dimension, int value)
{
    if (bench.only != NULL && strstr(bench.only, dimension->name) == NULL) {
        return false;
    }
    if (strcmp(dimension->name, "users") == 0 && value > bench.users_max) {
        return false;
    }
    return !bench.quick || value <= dimension->quick_max;
}

static bool is_measured(const struct dimension *dimension, int value)
{
    size_t i;
    const json_t *row;
    json_array_foreach(bench.rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "dimension")), dimension->name) == 0 &&
            json_integer_value(json_object_get(row, "value")) == value) {
            return true;
        }
    }
    return false;
}

/* Takes `row`. */
static void add_row(json_t *row)
{
    json_array_append_new(bench.rows, row);
    if (bench.path != NULL &&
        json_dump_file(bench.rows, bench.path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0) {
        fprintf(stderr, "scale: cannot write %s\n", bench.path);
        exit(EXIT_FAILURE);
    }
}

/* ---- servers ----------------------------------------------------------------------------------------------------- */

static void start_brokers(void)
{
    alv_bench_open_brokers(&bench.stack, "scale", bench.broker_count);
    for (int i = 0; i < bench.broker_count; i++) {
        char *name = alv_format("kafka-%d", i + 1);
        bench.brokers[i] = alv_bench_server(&bench.stack, name);
        alv_free(name);
    }
}

static void need_postgres(void)
{
    if (bench.postgres == 0) {
        alv_bench_start_postgres(&bench.stack);
        bench.postgres = alv_bench_server(&bench.stack, "postgres");
    }
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* The sum of a metric over all nodes that are up. */
static double metric(alv_contender *contender, const char *name)
{
    double sum = 0;
    const alv_cluster *cluster = alv_contender_cluster(contender);
    for (int i = 0; i < alv_contender_count_up(contender); i++) {
        alv_http_result page =
            alv_http_call(NULL, "GET", cluster->nodes[i].address, "/metrics", NULL);
        assert_int_equal(page.status, 200);
        alv_bytes_append(&page.body, "", 1);
        sum += alv_metrics_text_sum(page.body.data, name);
        alv_http_result_done(&page);
    }
    return sum;
}

static int64_t brokers_cpu_us(void)
{
    int64_t sum = 0;
    for (int i = 0; i < bench.broker_count; i++) {
        sum += alv_usage_cpu_us(bench.brokers[i]);
    }
    return sum;
}

static int64_t nodes_cpu_us(const point *p, const alv_contender *contender)
{
    int64_t sum = 0;
    for (int i = 0; i < p->nodes; i++) {
        sum += alv_usage_cpu_us(alv_contender_pid(contender, i));
    }
    return sum;
}

static alv_contender *open_contender(const point *p, const char *topics)
{
    char *lanes = alv_format("lanes=%d", p->lanes);
    char *standbys = alv_format("standby.replicas=%d", p->standbys);
    char *last = NULL;
    if (p->has_postgres) {
        last = alv_format("postgres.url=%s", bench.stack.postgres_url);
    } else if (p->batch > 0) {
        last = alv_format("commit.commands.max=%d", p->batch);
    }
    const char *settings[] = {lanes, standbys, "kafka.statistics.interval.ms=500", last, NULL};
    const alv_contender_options options = {.kind = ALV_CONTENDER_ALLUVIUM,
                                           .stack = &bench.stack,
                                           .topics = topics,
                                           .shards = p->shards,
                                           .settings = settings};
    alv_contender *contender = alv_contender_open(&options);
    alv_free(lanes);
    alv_free(standbys);
    alv_free(last);
    return contender;
}

static bool is_settled(const point *p, alv_contender *contender)
{
    alv_contender_view view = alv_contender_look(contender);
    return view.calm && view.active == p->shards && view.hot == p->shards * p->standbys;
}

/* Waits until so many commands are committed, and with `settled` until nothing moves any more. */
static void wait_committed(const point *p, alv_contender *contender, alv_group_offsets *offsets,
                           int64_t commands, bool settled)
{
    int64_t deadline = alv_wait_deadline(SETTLE_TIMEOUT_MS);
    while (alv_group_offsets_sum(offsets) < commands || (settled && !is_settled(p, contender))) {
        (void)alv_contender_is_ready(contender, 0); /* fails when it has ended */
        if (alv_wait_expired(deadline)) {
            fail_msg("%s %d: not done after %d ms", p->dimension, p->value, SETTLE_TIMEOUT_MS);
        }
        (void)poll(NULL, 0, settled ? LOOK_MS : ASK_MS);
    }
}

/* ---- one point --------------------------------------------------------------------------------------------------- */

typedef struct mark {
    int64_t at_us;
    int64_t nodes_us; /* CPU time, here and below */
    int64_t broker_us;
    int64_t postgres_us;
    int64_t committed;
} mark;

static mark take_mark(const point *p, const alv_contender *contender, alv_group_offsets *offsets)
{
    mark now = {.committed = alv_group_offsets_sum(offsets),
                .nodes_us = nodes_cpu_us(p, contender),
                .broker_us = brokers_cpu_us()};
    now.postgres_us = p->has_postgres ? alv_usage_family_cpu_us(bench.postgres) : 0;
    now.at_us = now_us();
    return now;
}

static void set_real(json_t *row, const char *name, double value)
{
    json_object_set_new(row, name, json_real(value));
}

/* Rows written until PostgreSQL has everything. */
static void add_postgres(json_t *row, const point *p, alv_contender *contender,
                         alv_group_offsets *offsets, const mark *begin, double rows_before)
{
    int64_t deadline = alv_wait_deadline(SETTLE_TIMEOUT_MS);
    while (metric(contender, "alluvium_checkpoint_lag_records") > 0 ||
           metric(contender, "alluvium_checkpoint_rows_pending") > 0) {
        assert_false(alv_wait_expired(deadline));
        (void)poll(NULL, 0, LOOK_MS);
    }
    mark end = take_mark(p, contender, offsets);
    double rows = metric(contender, "alluvium_checkpoint_rows_written_total") - rows_before;
    set_real(row, "postgres_rows", rows);
    set_real(row, "postgres_rows_per_s", rows * 1e6 / (double)(end.at_us - begin->at_us));
    set_real(row, "postgres_cpu_us_per_row", (double)(end.postgres_us - begin->postgres_us) / rows);
}

/* What `p->commands` cost, with states that are there already. */
static void add_commands(json_t *row, const point *p, alv_contender *contender,
                         alv_group_offsets *offsets, alv_padded_load *load)
{
    double sent = metric(contender, "alluvium_kafka_sent_bytes_total");
    double received = metric(contender, "alluvium_kafka_received_bytes_total");
    double commits = metric(contender, "alluvium_transaction_commits_total");
    double rows = metric(contender, "alluvium_checkpoint_rows_written_total");
    mark begin = take_mark(p, contender, offsets);
    alv_padded_load_change(load, p->commands);
    mark filled = take_mark(p, contender, offsets);
    wait_committed(p, contender, offsets, alv_padded_load_sent(load), false);
    mark end = take_mark(p, contender, offsets);
    /* While commands are being sent the sender takes CPU time away: the rate is that of the rest, if that is enough. */
    int64_t rest = end.committed - filled.committed;
    const mark *from = rest * 5 >= p->commands ? &filled : &begin;
    double commands = p->commands;
    set_real(row, "commands_per_s",
             (double)(end.committed - from->committed) * 1e6 / (double)(end.at_us - from->at_us));
    set_real(row, "cpu_us", (double)(end.nodes_us - begin.nodes_us) / commands);
    set_real(row, "broker_cpu_us", (double)(end.broker_us - begin.broker_us) / commands);
    (void)poll(NULL, 0, COUNTED_MS);
    set_real(row, "sent_bytes",
             (metric(contender, "alluvium_kafka_sent_bytes_total") - sent) / commands);
    set_real(row, "received_bytes",
             (metric(contender, "alluvium_kafka_received_bytes_total") - received) / commands);
    set_real(row, "commands_per_transaction",
             commands / (metric(contender, "alluvium_transaction_commits_total") - commits));
    if (p->has_postgres) {
        add_postgres(row, p, contender, offsets, &begin, rows);
    }
}

static void add_memory(json_t *row, const point *p, const alv_contender *contender)
{
    int64_t peak_kib = 0;
    for (int i = 0; i < p->nodes; i++) {
        int64_t kib = alv_usage_peak_kib(alv_contender_pid(contender, i));
        peak_kib = kib > peak_kib ? kib : peak_kib;
    }
    set_real(row, "peak_mib", (double)peak_kib / 1024);
    const alv_cluster *cluster = alv_contender_cluster(contender);
    alv_usage_folder folder = alv_usage_of_folder(cluster->nodes[0].state_dir, ".sst");
    set_real(row, "state_dir_mib", (double)folder.bytes / (1 << 20));
}

static void add_restore(json_t *row, alv_contender *contender)
{
    alv_contender_stop(contender, 0);
    alv_contender_wipe(contender, 0);
    alv_contender_start(contender, 0);
    int64_t ready_ms = alv_contender_wait_ready(contender, 0, READY_TIMEOUT_MS);
    double cpu_us = (double)alv_usage_cpu_us(alv_contender_pid(contender, 0));
    int64_t records = 0;
    int64_t ms = 0;
    alv_contender_restore(contender, 0, &records, &ms);
    double bytes = metric(contender, "alluvium_shard_restored_bytes");
    double seconds = (double)(ms > 0 ? ms : 1) / 1000;
    set_real(row, "restore_ready_ms", (double)ready_ms);
    set_real(row, "restore_records", (double)records);
    set_real(row, "restore_records_per_s", (double)records / seconds);
    set_real(row, "restore_mib_per_s", bytes / (1 << 20) / seconds);
    set_real(row, "restore_cpu_us", records > 0 ? cpu_us / (double)records : 0);
}

static void check_states(const point *p, alv_contender *contender, const alv_padded_load *load)
{
    int wrong = alv_padded_load_count_wrong(load, alv_contender_changelog(contender));
    if (wrong > 0) {
        alv_contender_close(contender);
        fail_msg("%s %d: %d users have a wrong state", p->dimension, p->value, wrong);
    }
}

/* Until every user is there. How long the first node takes to its readiness with nothing to restore is part of it. */
static void bring_up(json_t *row, const point *p, alv_contender *contender, alv_padded_load *load)
{
    alv_contender_start(contender, 0);
    set_real(row, "start_ms", (double)alv_contender_wait_ready(contender, 0, READY_TIMEOUT_MS));
    for (int i = 1; i < p->nodes; i++) {
        alv_contender_start(contender, i);
        (void)alv_contender_wait_ready(contender, i, READY_TIMEOUT_MS);
    }
    alv_padded_load_bring_up(load);
}

static json_t *measure(const point *p)
{
    char *topics = alv_format("scale-%s-%d", p->dimension, p->value);
    char *commands = alv_format("%s.commands", topics);
    json_t *row = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "dimension",
                            p->dimension, "value", p->value, "users", p->users, "state_bytes",
                            p->state_bytes, "commands", p->commands, "shards", p->shards, "lanes",
                            p->lanes, "nodes", p->nodes, "standbys", p->standbys, "brokers",
                            bench.broker_count, "machine", alv_bench_machine());
    alv_contender_create_topics(&bench.stack, topics, p->shards);
    const alv_padded_load_options options = {.brokers = bench.stack.brokers,
                                             .topics = topics,
                                             .users = p->users,
                                             .state_bytes = p->state_bytes};
    alv_padded_load *load = alv_padded_load_open(&options);
    alv_contender *contender = open_contender(p, topics);
    bring_up(row, p, contender, load);
    alv_group_offsets *offsets =
        alv_group_offsets_open(bench.stack.brokers, alv_contender_group(contender), commands);
    wait_committed(p, contender, offsets, alv_padded_load_sent(load), true);
    add_commands(row, p, contender, offsets, load);
    add_memory(row, p, contender);
    check_states(p, contender, load);
    if (p->nodes == 1) {
        add_restore(row, contender);
    }
    for (int i = p->nodes - 1; i >= 0; i--) {
        alv_contender_stop(contender, i);
    }
    alv_group_offsets_close(offsets);
    alv_contender_passed(contender);
    alv_contender_close(contender);
    alv_padded_load_close(load);
    alv_wire_delete_topics(bench.stack.brokers, topics);
    alv_free(commands);
    alv_free(topics);
    return row;
}

/* ---- watchers ---------------------------------------------------------------------------------------------------- */

static double real_of(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static json_t *measure_watchers(int watchers)
{
    char *program = alv_format("%s/build/bench/watchers", bench.stack.root);
    char *count = alv_format("%d", watchers);
    char *rate = alv_format("%d", WATCHERS_RATE);
    char *seconds = alv_format("%d", WATCHERS_SECONDS);
    char *out = alv_cluster_path(&bench.stack, "watchers.json");
    (void)unlink(out);
    const char *const argv[] = {program,     "--watchers", count,         "--rate", rate,
                                "--seconds", seconds,      "--keys-only", "--json", NULL};
    alv_process_files files = {.out = out, .err = "/dev/stderr"};
    assert_int_equal(alv_process_run(argv, files, WATCHERS_TIMEOUT_MS), 0);
    json_t *all = json_load_file(out, 0, NULL);
    const json_t *none = json_array_get(json_object_get(all, "rows"), 0);
    const json_t *some = json_array_get(json_object_get(all, "rows"), 1);
    double more = real_of(some, "node_cpu_percent") - real_of(none, "node_cpu_percent");
    json_t *row = json_pack(
        "{s:s, s:i, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "dimension", "watchers", "value", watchers,
        "machine", alv_bench_machine(), "events_per_s", real_of(some, "events_per_s"),
        "node_cpu_percent", real_of(some, "node_cpu_percent"), "node_cpu_percent_unwatched",
        real_of(none, "node_cpu_percent"), "cpu_us_per_event",
        more * 10000 / real_of(some, "events_per_s"), "node_mib", real_of(some, "node_mib"),
        "node_mib_unwatched", real_of(none, "node_mib"));
    json_decref(all);
    alv_free(program);
    alv_free(count);
    alv_free(rate);
    alv_free(seconds);
    alv_free(out);
    return row;
}

/* ---- the programme ----------------------------------------------------------------------------------------------- */

static void tell(const char *dimension, int value)
{
    double passed_min = (double)(now_us() - bench.begin_us) / 60e6;
    double left_min = bench.measured > 0 ? passed_min / bench.measured * bench.left : bench.left;
    fprintf(stderr, "%5.1f min  %s %d, %d more, about %.0f min left\n", passed_min, dimension,
            value, bench.left - 1, left_min);
}

static void measure_value(const struct dimension *dimension, int value)
{
    tell(dimension->name, value);
    if (strcmp(dimension->name, "watchers") == 0) {
        add_row(measure_watchers(value));
    } else {
        point p = point_of(dimension, value);
        if (p.has_postgres) {
            need_postgres();
        }
        add_row(measure(&p));
    }
    bench.measured++;
    bench.left--;
}

/* Visits what is to be measured: counts it, or measures it until the time is over. */
static int visit_values(bool count_only, int minutes)
{
    int count = 0;
    for (size_t d = 0; d < DIMENSIONS; d++) {
        for (int i = 0; i < VALUES_MAX; i++) {
            int value = dimensions[d].values[i];
            bool is_end = i > 0 && value == 0;
            if (is_end || !is_wanted(&dimensions[d], value) || is_measured(&dimensions[d], value)) {
                continue;
            }
            count++;
            bool in_time = minutes == 0 || now_us() - bench.begin_us < minutes * 60000000LL;
            if (!count_only && in_time) {
                measure_value(&dimensions[d], value);
            }
        }
    }
    return count;
}

/* What earlier runs left in the file. */
static json_t *read_rows(void)
{
    if (bench.path == NULL || access(bench.path, F_OK) != 0) {
        return json_array();
    }
    json_error_t error;
    json_t *rows = json_load_file(bench.path, 0, &error);
    if (!json_is_array(rows)) {
        fprintf(stderr, "scale: %s is not what this program writes: %s\n", bench.path, error.text);
        exit(EXIT_FAILURE);
    }
    return rows;
}

int main(int argc, char **argv)
{
    int quick = 0;
    int minutes = 0;
    bench.users_max = USERS_MAX;
    bench.broker_count = 1;
    const alv_bench_option options[] = {
        {"--only", NULL, 0, NULL, &bench.only}, {"--quick", &quick, 0, NULL, NULL},
        {"--minutes", &minutes, 1, NULL, NULL}, {"--users-max", &bench.users_max, 1, NULL, NULL},
        {"--json", NULL, 0, NULL, &bench.path}, {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, NULL);
    bench.quick = quick != 0;
    bench.rows = read_rows();
    bench.left = visit_values(true, 0);
    if (bench.left > 0) {
        bench.begin_us = now_us();
        start_brokers();
        (void)visit_values(false, minutes);
        bench.stack.passed = true;
        alv_cluster_close(&bench.stack);
    }
    for (size_t d = 0; d < DIMENSIONS; d++) {
        alv_scale_print(bench.rows, dimensions[d].name);
    }
    json_decref(bench.rows);
    return 0;
}
