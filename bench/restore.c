/* restore.c — how fast a node that lost its disk comes back, and one that was only killed.
 *
 * Goal:   the section "Start and restore" of docs/performance.md, reproducible with one command.
 * Method: a broker of its own; the changelog is filled with states of so many users, as long as those of
 *         the user behavior are. Each run starts a node with default settings on an empty state folder and
 *         takes its CPU time and memory until it is ready, then again when RocksDB has come to rest; then
 *         kills the node with -9 and starts it on the same folder. At the end `alluvium verify` compares
 *         the last store with the changelog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
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
#include "tests/support/cluster_view.h"
#include "tests/support/node_log.h"
#include "tests/support/wait.h"

#define FLUSH_TIMEOUT_MS 60000
#define QUEUE_WAIT_MS 10
#define READY_TIMEOUT_MS 120000
#define LOG_LOOK_MS 20
#define REST_MS 1500 /* no CPU time for so long: RocksDB has come to rest */
#define REST_TIMEOUT_MS 60000

static const char help[] =
    "usage: restore [--entities N] [--shards N] [--runs N] [--lanes N] [--json]\n"
    "Restores --entities (2000000) states from a changelog of --shards (16) into an empty folder, --runs (3)\n"
    "times, and starts the node again after kill -9. --lanes: 1 unless given.\n";

typedef struct bench_options {
    int entities;
    int shards;
    int runs;
    int lanes;
} bench_options;

typedef struct bench_row {
    int64_t ready_ms;    /* from the start of the process */
    int64_t restore_ms;  /* from the first shard's assignment to the last shard's end */
    double cpu_us;       /* per record, until ready */
    double cpu_later_us; /* per record, until RocksDB rests */
    int64_t peak_mb;     /* until ready */
    int64_t again_ms;    /* started after kill -9: until ready */
    int64_t again_records;
} bench_row;

/* ---- the changelog --------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("a state was not written: %s", rd_kafka_err2str(message->err));
    }
}

static rd_kafka_t *producer_new(const alv_cluster *cluster)
{
    static const char *const settings[][2] = {{"enable.idempotence", "true"},
                                              {"partitioner", "murmur2_random"},
                                              {"linger.ms", "20"},
                                              {"queue.buffering.max.messages", "500000"}};
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", cluster->brokers, NULL, 0);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        assert_int_equal(
            rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)),
            RD_KAFKA_CONF_OK);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer == NULL) {
        fail_msg("librdkafka: %s", text);
    }
    return producer;
}

/* A state of 143 to 290 bytes, as the user behavior leaves it. */
static int write_state(char *out, size_t size, unsigned user)
{
    int length = snprintf(out, size,
                          "{\"mallId\":\"mall-%u\",\"userId\":\"%08u\",\"nickname\":\"user number "
                          "%u\",\"balance\":%u,\"lastLogin\":\"2026-01-%02uT10:%02u:00.000Z\"",
                          user % 7, user, user, user * 31 % 100000, 1 + user % 28, user % 60);
    if (user % 4 != 0) {
        length += snprintf(out + length, size - (size_t)length,
                           ",\"lastCartUsedTime\":\"2026-02-%02uT11:%02u:00.000Z\","
                           "\"recentProducts\":[\"p-%u\",\"p-%u\",\"p-%u\"],\"marketingOptIn\":%s",
                           1 + user % 28, user % 60, user % 9973, user % 997, user % 97,
                           user % 3 == 0 ? "true" : "false");
    }
    return length + snprintf(out + length, size - (size_t)length,
                             ",\"lastEventTime\":\"2026-03-%02uT12:00:00.000Z\"}", 1 + user % 28);
}

/* Every user once, in no order. */
static void fill(const alv_cluster *cluster, int entities)
{
    rd_kafka_t *producer = producer_new(cluster);
    rd_kafka_topic_t *topic =
        rd_kafka_topic_new(producer, alv_cluster_topic(cluster, "changelog"), NULL);
    char key[64];
    char state[512];
    for (int i = 0; i < entities; i++) {
        unsigned user = (unsigned)((int64_t)i * 999983 % entities);
        int key_size = snprintf(key, sizeof(key), "mall-%u:%08u", user % 7, user);
        int size = write_state(state, sizeof(state), user);
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, state,
                                (size_t)size, key, (size_t)key_size, NULL) != 0) {
            assert_int_equal(rd_kafka_last_error(), RD_KAFKA_RESP_ERR__QUEUE_FULL);
            (void)rd_kafka_poll(producer, QUEUE_WAIT_MS);
        }
    }
    assert_int_equal(rd_kafka_flush(producer, FLUSH_TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
}

static void make_topics(alv_cluster *cluster, int shards)
{
    char setting[32];
    (void)snprintf(setting, sizeof(setting), "shards=%d", shards);
    const char *const arguments[] = {"topics", "create", "-c", cluster->config_path,
                                     "-X",     setting,  NULL};
    alv_cluster_result result = alv_cluster_run(cluster, NULL, arguments);
    if (result.exit_status != 0) {
        fail_msg("topics create: %s", result.err);
    }
    alv_cluster_result_done(&result);
}

/* ---- one run --------------------------------------------------------------------------------------- */

static double node_cpu_us(const alv_cluster_node *node)
{
    char path[64];
    long user = 0;
    long kernel = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)node->process.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(
        fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &kernel),
        2);
    assert_int_equal(fclose(file), 0);
    return (double)(user + kernel) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static int64_t node_peak_mb(const alv_cluster_node *node)
{
    char path[64];
    char line[256];
    long kib = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)node->process.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmHWM: %ld kB", &kib);
    }
    assert_int_equal(fclose(file), 0);
    return kib / 1024;
}

static double wait_for_rest(const alv_cluster_node *node)
{
    const alv_clock *clock = alv_clock_system();
    int64_t deadline_us = alv_monotonic_us(clock) + REST_TIMEOUT_MS * 1000LL;
    double before_us;
    double now_us = node_cpu_us(node);
    do {
        before_us = now_us;
        (void)poll(NULL, 0, REST_MS);
        now_us = node_cpu_us(node);
    } while (now_us - before_us > REST_MS * 1000 * 0.1 && alv_monotonic_us(clock) < deadline_us);
    return now_us;
}

/* Starts the node and waits until it says that it is ready; that is when, in ms. */
static int64_t start_node(alv_cluster_node *node, int lanes, int64_t *out_start_ms)
{
    char setting[32];
    (void)snprintf(setting, sizeof(setting), "lanes=%d", lanes);
    const char *const settings[] = {setting, NULL};
    *out_start_ms = alv_now_ms(alv_clock_system());
    alv_cluster_start_node(node, settings);
    /* Its log is read, because asking it over HTTP would cost it CPU time. */
    int64_t ready_ms = -1;
    int64_t deadline = alv_wait_deadline(READY_TIMEOUT_MS);
    while (ready_ms < 0) {
        assert_false(alv_process_wait(&node->process, LOG_LOOK_MS));
        assert_false(alv_wait_expired(deadline));
        ready_ms = alv_node_log_last(node, "event=ready", *out_start_ms);
    }
    return ready_ms;
}

/* How many records all shards have restored since the node was started. */
static int64_t restored_records(const alv_cluster_node *node)
{
    int status = 0;
    json_t *shards = alv_cluster_http(node, "/v1/shards", &status);
    assert_int_equal(status, 200);
    int64_t records = 0;
    size_t index;
    json_t *shard;
    json_array_foreach(shards, index, shard)
    {
        records += json_integer_value(json_object_get(shard, "restored"));
    }
    json_decref(shards);
    return records;
}

static bench_row measure(alv_cluster_node *node, const bench_options *options)
{
    bench_row row = {0};
    int64_t start_ms = 0;
    alv_cluster_remove(node->state_dir);
    row.ready_ms = start_node(node, options->lanes, &start_ms);
    double records = options->entities;
    row.cpu_us = node_cpu_us(node) / records;
    row.peak_mb = node_peak_mb(node);
    row.restore_ms = alv_node_log_last(node, "event=restored", start_ms) -
                     alv_node_log_last(node, "event=http-listening", start_ms);
    assert_int_equal(restored_records(node), options->entities);
    row.cpu_later_us = wait_for_rest(node) / records;

    alv_process_signal(&node->process, SIGKILL);
    assert_true(alv_process_wait(&node->process, 5000));
    row.again_ms = start_node(node, options->lanes, &start_ms);
    row.again_records = restored_records(node);
    alv_cluster_stop_node(node);
    return row;
}

static void verify(alv_cluster *cluster, const alv_cluster_node *node)
{
    char *state = alv_format("state.dir=%s", node->state_dir);
    const char *const arguments[] = {"verify", "-c", cluster->config_path, "-X", state, NULL};
    alv_cluster_result result = alv_cluster_run(cluster, NULL, arguments);
    if (result.exit_status != 0) {
        fail_msg("verify: %s%s", result.out, result.err);
    }
    alv_cluster_result_done(&result);
    alv_free(state);
}

/* ---- results --------------------------------------------------------------------------------------- */

static void print_row(const bench_row *row, int entities)
{
    printf("%9.0f  %7" PRId64 "  %8" PRId64 "  %6.2f  %9.2f  %7" PRId64 "  %8" PRId64 "  %7" PRId64
           "\n",
           (double)entities * 1000 / (double)row->restore_ms, row->restore_ms, row->ready_ms,
           row->cpu_us, row->cpu_later_us, row->peak_mb, row->again_ms, row->again_records);
    (void)fflush(stdout);
}

static json_t *row_json(const bench_row *row, int entities)
{
    return json_pack("{s:f, s:I, s:I, s:f, s:f, s:I, s:I, s:I}", "records_per_s",
                     (double)entities * 1000 / (double)row->restore_ms, "restore_ms",
                     (json_int_t)row->restore_ms, "ready_ms", (json_int_t)row->ready_ms,
                     "cpu_us_per_record", row->cpu_us, "cpu_us_per_record_at_rest",
                     row->cpu_later_us, "peak_mb", (json_int_t)row->peak_mb, "killed_ready_ms",
                     (json_int_t)row->again_ms, "killed_records", (json_int_t)row->again_records);
}

static void run(alv_cluster *cluster, const bench_options *options, bool json)
{
    alv_cluster_node *node = alv_cluster_add_node(cluster);
    json_t *rows = json_array();
    if (!json) {
        printf("%d states, %d shards, %d lanes; %s\n"
               "                                  CPU us/record               after kill -9\n"
               "records/s       ms  ready ms   ready    at rest  peak MB  ready ms  records\n",
               options->entities, options->shards, options->lanes, alv_bench_machine());
    }
    for (int i = 0; i < options->runs; i++) {
        bench_row row = measure(node, options);
        json_array_append_new(rows, row_json(&row, options->entities));
        if (!json) {
            print_row(&row, options->entities);
        }
    }
    verify(cluster, node);
    json_t *all = json_pack("{s:s, s:i, s:i, s:i, s:o}", "machine", alv_bench_machine(), "entities",
                            options->entities, "shards", options->shards, "lanes", options->lanes,
                            "runs", rows);
    if (json) {
        (void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        printf("\n");
    }
    json_decref(all);
}

int main(int argc, char **argv)
{
    bench_options chosen = {.entities = 2000000, .shards = 16, .runs = 3, .lanes = 1};
    bool json = false;
    const alv_bench_option options[] = {
        {.name = "--entities", .values = &chosen.entities, .values_max = 1},
        {.name = "--shards", .values = &chosen.shards, .values_max = 1},
        {.name = "--runs", .values = &chosen.runs, .values_max = 1},
        {.name = "--lanes", .values = &chosen.lanes, .values_max = 1},
        {.name = NULL}};
    alv_bench_parse(argc, argv, options, help, &json);

    alv_cluster cluster;
    alv_bench_open(&cluster, "restore");
    make_topics(&cluster, chosen.shards);
    fprintf(stderr, "writing %d states to the changelog\n", chosen.entities);
    fill(&cluster, chosen.entities);
    run(&cluster, &chosen, json);
    cluster.passed = true;
    alv_cluster_close(&cluster);
    return 0;
}
