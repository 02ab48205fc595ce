/* overload.c — what a node does when it is asked for far more than it can do, and how long until it is over.
 *
 * Goal:   the section "Overload" of docs/performance.md, reproducible with one command.
 * Method: one node on a broker of its own, anew for each scenario. Something floods it (tests/support/flood.h,
 *         http_flood.h), while a probe sends commands at a steady rate to users of all shards and takes how
 *         long each waits (probe.h), and another asks /healthz over new connections (node_watch.h). Then the
 *         flood ends, and the time is taken until nothing waits any more. In the end every state in the
 *         changelog must be what was sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/http_call.h"
#include "tests/support/overload_stage.h"
#include "tests/support/plugin.h"
#include "tests/support/workload.h"

#define TIMES 10 /* over capacity */
#define CALM_MS 3000
#define ROUNDS "100000" /* of a slow command: some hundred microseconds */

static const char help[] =
    "usage: overload [--only NAME[,NAME...]] [--quick] [--json]\n"
    "One node and too much of everything: what was done, how long who waited, memory, until when.\n"
    "  flood        slow commands for a quarter of the shards, ten times over capacity, and HTTP for all\n"
    "  http         commands over HTTP on 3000 connections\n"
    "  huge         keys and values at and over their limits among good ones\n"
    "  hot-key      half of all commands, as fast as they can be sent, to one entity\n"
    "  shards       256 shards on one node\n"
    "  connections  as many as there may be and more, 2000 watchers, readers that do not read\n"
    "  entities     2,500,000 of them with memory for a tenth\n"
    "--quick: about a fifth of the work. A scenario takes half a minute to two minutes.\n";

/* ---- commands over HTTP ---------------------------------------------------------------------- */

/* POSTs commands of a flood; what becomes of each is noted there. */
static void post_write(void *payload, int64_t number, alv_bytes *out)
{
    static const char body[] = "{\"type\":\"add_balance\",\"amount\":1}";
    char key[ALV_FLOOD_KEY_BYTES];
    const alv_flood *flood = payload;
    alv_flood_key(flood, alv_flood_entity(flood, number), key);
    const bool slow = strncmp(key, "slow/", 5) == 0;
    const char *text = slow ? "{\"type\":\"work\",\"rounds\":" ROUNDS "}" : body;
    alv_bytes_printf(out,
                     "POST /v1/entities/%s/commands HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     key, strlen(text), text);
}

static void post_answered(void *payload, int64_t number, int status)
{
    alv_flood *flood = payload;
    if (status == 200) {
        alv_flood_note(flood, alv_flood_entity(flood, number), true);
    } else if (status == 504 || status == 0) {
        alv_flood_note(flood, alv_flood_entity(flood, number), false);
    }
}

static alv_http_flood *post(const alv_overload_stage *stage, alv_flood *flood, int connections,
                            int pause_ms)
{
    const alv_http_flood_options options = {.address = stage->node->address,
                                            .connections = connections,
                                            .pause_ms = pause_ms,
                                            .write = post_write,
                                            .answered = post_answered,
                                            .payload = flood};
    return alv_http_flood_start(&options);
}

/* ---- flood, http ----------------------------------------------------------------------------- */

#define FLOOD_MS 5000
#define FLOOD_QUICK_MS 1500
#define FLOOD_ENTITIES 20000

static void run_flood(alv_overload_stage *stage)
{
    char *library = alv_plugin_path("slow");
    char *libraries = alv_format("behavior.libraries=%s", library);
    const char *const settings[] = {libraries, NULL};
    bool shards[ALV_OVERLOAD_SHARDS];
    bool others[ALV_OVERLOAD_SHARDS];
    for (int shard = 0; shard < ALV_OVERLOAD_SHARDS; shard++) {
        shards[shard] = shard % 4 == 0;
        others[shard] = !shards[shard];
    }
    alv_overload_row row = {.what = "flood"};
    alv_overload_begin(stage, row.what, settings);
    alv_flood *flood = alv_overload_flood(
        stage, (alv_flood_options){.prefix = "slow/",
                                   .command = "{\"type\":\"work\",\"rounds\":" ROUNDS "}",
                                   .counter = "count",
                                   .entities = FLOOD_ENTITIES,
                                   .shards = shards});
    alv_flood *quick = alv_overload_flood(stage, (alv_flood_options){.prefix = "quick:",
                                                                     .command = "",
                                                                     .counter = "balance",
                                                                     .entities = FLOOD_ENTITIES,
                                                                     .shards = others});
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    alv_flood_send(flood, alv_overload_scaled(stage, 20000));
    (void)alv_overload_drain(stage);
    int capacity =
        (int)(alv_overload_scaled(stage, 20000) * 1000LL / (alv_overload_ms_since(begin_us) + 1));
    alv_probe *probe = alv_overload_probe(stage);

    int64_t flood_us = alv_monotonic_us(alv_clock_system());
    int64_t before = alv_overload_committed(stage);
    alv_flood_start(flood, TIMES * capacity);
    alv_http_flood *asked = alv_overload_get(stage, "/v1/entities/bench:1");
    alv_http_flood *here = post(stage, flood, 400, 0);
    alv_http_flood *there = post(stage, quick, 8, 20);
    (void)poll(NULL, 0, stage->quick ? FLOOD_QUICK_MS : FLOOD_MS);
    int64_t seconds_us = alv_monotonic_us(alv_clock_system()) - flood_us;
    row.done_s = (double)(alv_overload_committed(stage) - before) * 1e6 / (double)seconds_us;
    int64_t sent = alv_flood_stop(flood) - alv_overload_scaled(stage, 20000);
    row.offered_s = (double)sent * 1e6 / (double)(alv_monotonic_us(alv_clock_system()) - flood_us);
    int64_t stopped_us = alv_monotonic_us(alv_clock_system());
    (void)poll(NULL, 0,
               (int)(12000)); /* the first commands over HTTP have waited as long as they may */
    alv_overload_note(&row, "POST to them:", here);
    alv_overload_note(&row, "POST to others:", there);
    alv_overload_note(&row, "GET:", asked);
    (void)alv_overload_drain(stage);
    row.back_ms = alv_overload_ms_since(stopped_us);
    row.wrong = alv_flood_count_wrong(flood) + alv_flood_count_wrong(quick);
    alv_overload_probe_end(probe, flood_us, shards, &row);
    alv_bytes_printf(&row.notes, "; capacity %d/s", capacity);
    alv_overload_end(stage, &row);
    alv_flood_free(flood);
    alv_flood_free(quick);
    alv_free(libraries);
    alv_free(library);
}

/* Until a command is answered within a second again, the ms that took. */
static int64_t wait_answered(const alv_overload_stage *stage, const char *key)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    char path[96];
    (void)snprintf(path, sizeof path, "/v1/entities/%s/commands", key);
    for (;;) {
        alv_http_result result =
            alv_http_call_post(NULL, stage->node->address, path, "{\"type\":\"login\"}", NULL);
        bool good = result.status == 200 && result.total_ms < 1000;
        alv_http_result_done(&result);
        if (good) {
            return alv_overload_ms_since(begin_us);
        }
        if (alv_overload_ms_since(begin_us) > ALV_OVERLOAD_WAIT_MS) {
            fail_msg("commands are not answered");
        }
    }
}

static void run_http(alv_overload_stage *stage)
{
    alv_overload_row row = {.what = "http"};
    alv_overload_begin(stage, row.what, NULL);
    alv_flood *flood = alv_overload_flood(
        stage,
        (alv_flood_options){
            .prefix = "flood:", .command = "", .counter = "balance", .entities = FLOOD_ENTITIES});
    int64_t flood_us = alv_monotonic_us(alv_clock_system());
    alv_http_flood *asked = alv_overload_get(stage, "/v1/entities/flood:1");
    alv_http_flood *posts = post(stage, flood, 3000, 0);
    (void)poll(NULL, 0, alv_overload_scaled(stage, 20000));
    alv_http_flood_counts counts;
    alv_http_flood_stop(posts, &counts);
    double seconds = (double)(alv_monotonic_us(alv_clock_system()) - flood_us) / 1e6;
    row.offered_s = (double)counts.sent / seconds;
    row.done_s = (double)counts.answered[200] / seconds;
    row.here.max_us = counts.max_us[200];
    alv_bytes_printf(&row.notes, "POST: %s", alv_http_flood_text(&counts));
    alv_overload_note(&row, "GET:", asked);
    row.back_ms = wait_answered(stage, "back:1");
    row.wrong = alv_flood_count_wrong(flood);
    alv_overload_end(stage, &row);
    alv_flood_free(flood);
}

/* ---- hot key --------------------------------------------------------------------------------- */

static void run_hot_key(alv_overload_stage *stage)
{
    bool shards[ALV_OVERLOAD_SHARDS] = {false};
    alv_overload_row row = {.what = "hot-key"};
    alv_overload_begin(stage, row.what, NULL);
    alv_flood *flood = alv_overload_flood(
        stage, (alv_flood_options){.prefix = "flood:",
                                   .command = "{\"type\":\"add_balance\",\"amount\":1}",
                                   .counter = "balance",
                                   .entities = FLOOD_ENTITIES,
                                   .hot_percent = 50});
    shards[alv_flood_shard(flood, 0)] = true;
    alv_probe *probe = alv_overload_probe(stage);
    int64_t flood_us = alv_monotonic_us(alv_clock_system());
    int64_t before = alv_overload_committed(stage);
    alv_flood_start(flood, 0);
    (void)poll(NULL, 0, alv_overload_scaled(stage, 20000));
    row.done_s = (double)(alv_overload_committed(stage) - before) * 1e6 /
                 (double)(alv_monotonic_us(alv_clock_system()) - flood_us);
    int64_t sent = alv_flood_stop(flood);
    row.offered_s = (double)sent * 1e6 / (double)(alv_monotonic_us(alv_clock_system()) - flood_us);
    row.back_ms = alv_overload_drain(stage);
    row.wrong = alv_flood_count_wrong(flood);
    alv_overload_probe_end(probe, flood_us, shards, &row);
    alv_overload_end(stage, &row);
    alv_flood_free(flood);
}

/* ---- shards, entities ------------------------------------------------------------------------ */

static void fill_and_drain(const alv_overload_stage *stage, alv_overload_row *row, int users,
                           int commands)
{
    const alv_workload_options options = {.brokers = stage->cluster.brokers,
                                          .topics = stage->cluster.application,
                                          .users = users,
                                          .commands = commands,
                                          .seed = 7};
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    alv_workload *workload = alv_workload_fill(&options);
    double filled_s = (double)(alv_monotonic_us(alv_clock_system()) - begin_us) / 1e6;
    fprintf(stderr, "  %" PRId64 " commands sent\n", alv_workload_commands(workload));
    row->back_ms = alv_overload_drain(stage);
    double drained_s = (double)(alv_monotonic_us(alv_clock_system()) - begin_us) / 1e6;
    row->offered_s = (double)alv_workload_commands(workload) / filled_s;
    row->done_s = (double)alv_workload_commands(workload) / drained_s;
    fprintf(stderr, "  checking %d states\n", users);
    row->wrong =
        alv_workload_count_wrong(workload, alv_cluster_topic(&stage->cluster, "changelog"));
    alv_workload_free(workload);
}

#define IDLE_S 10

static void run_shards(alv_overload_stage *stage)
{
    static const char *const settings[] = {"shards=256", NULL};
    alv_overload_row row = {.what = "shards"};
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    alv_overload_begin(stage, row.what, settings);
    int64_t ready_ms = alv_overload_ms_since(begin_us);
    (void)poll(NULL, 0, CALM_MS);
    alv_node_watch_view before = alv_node_watch_look(stage->watch);
    (void)poll(NULL, 0, IDLE_S * 1000);
    alv_node_watch_view after = alv_node_watch_look(stage->watch);
    alv_bytes_printf(&row.notes,
                     "start to ready, topics made: %" PRId64 " ms; %" PRId64
                     " MiB; idle: %.1f %% of a core",
                     ready_ms, after.last_kib / 1024,
                     100.0 * (double)(after.cpu_us - before.cpu_us) /
                         (double)(after.passed_us - before.passed_us));
    fill_and_drain(stage, &row, alv_overload_scaled(stage, 100000),
                   alv_overload_scaled(stage, 1000000));
    alv_overload_end(stage, &row);
}

static void run_entities(alv_overload_stage *stage)
{
    static const char *const settings[] = {"state.memory.bytes=128MiB", "cache.memory.bytes=64MiB",
                                           NULL};
    alv_overload_row row = {.what = "entities"};
    alv_overload_begin(stage, row.what, settings);
    fill_and_drain(stage, &row, alv_overload_scaled(stage, 2500000),
                   alv_overload_scaled(stage, 3000000));
    alv_bytes_printf(&row.notes, "%d entities, budgets 128 and 64 MiB",
                     alv_overload_scaled(stage, 2500000));
    alv_overload_end(stage, &row);
}

/* ---- the programme --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(alv_overload_stage *stage);
} scenarios[] = {
    {"flood", run_flood},
    {"http", run_http},
    {"huge", alv_overload_run_huge},
    {"hot-key", run_hot_key},
    {"shards", run_shards},
    {"connections", alv_overload_run_connections},
    {"entities", run_entities},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* Whether `only` names it, alone or among others with commas between them; NULL: all are wanted. */
static bool is_wanted(const char *only, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = only; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, size) == 0 && (at[size] == '\0' || at[size] == ',')) {
            return true;
        }
    }
    return only == NULL;
}

static void print_json(const alv_overload_stage *stage)
{
    json_t *all = json_pack("{s:s, s:b, s:O}", "machine", alv_bench_machine(), "quick",
                            (int)stage->quick, "rows", stage->rows);
    (void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(all);
}

int main(int argc, char **argv)
{
    static alv_overload_stage bench;
    const char *only = NULL;
    int quick = 0;
    size_t wanted = 0;
    const alv_bench_option options[] = {{"--only", NULL, 0, NULL, &only},
                                        {"--quick", &quick, 0, NULL, NULL},
                                        {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, &bench.json);
    bench.quick = quick != 0;
    for (size_t i = 0; i < SCENARIOS; i++) {
        wanted += is_wanted(only, scenarios[i].name);
    }
    if (wanted == 0) {
        fprintf(stderr, "%s: there is no scenario %s (see --help)\n", argv[0], only);
        return 2;
    }
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    bench.rows = json_array();
    alv_bench_open(&bench.cluster, "overload");
    bench.node = alv_cluster_add_node(&bench.cluster);
    if (!bench.json) {
        printf("one node, %s%s; waits in ms\n", alv_bench_machine(),
               bench.quick ? ", --quick" : "");
        alv_overload_row_print_head();
    }
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (is_wanted(only, scenarios[i].name)) {
            scenarios[i].run(&bench);
        }
    }
    if (bench.json) {
        print_json(&bench);
    }
    json_decref(bench.rows);
    bench.cluster.passed = true;
    alv_cluster_close(&bench.cluster);
    return 0;
}
