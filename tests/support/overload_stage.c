#include "tests/support/overload_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wire.h"

#define PROBE_RATE 400
#define PROBE_S 600
#define PROBE_WARM_MS 6000
#define SLOW_US 100000

int alv_overload_scaled(const alv_overload_stage *stage, int full)
{
    return stage->quick ? full / 5 : full;
}

int64_t alv_overload_ms_since(int64_t begin_us)
{
    return (alv_monotonic_us(alv_clock_system()) - begin_us) / 1000;
}

void alv_overload_begin(alv_overload_stage *stage, const char *name, const char *const *settings)
{
    alv_cluster *cluster = &stage->cluster;
    fprintf(stderr, "%s ...\n", name);
    (void)snprintf(cluster->application, sizeof cluster->application, "overload-%s", name);
    alv_cluster_write_config(cluster);
    alv_cluster_remove(stage->node->state_dir);
    alv_cluster_start_node(stage->node, settings);
    alv_cluster_wait_ready(stage->node);
    stage->watch = alv_node_watch_open(stage->node);
}

void alv_overload_end(alv_overload_stage *stage, alv_overload_row *row)
{
    row->node = alv_node_watch_close(stage->watch);
    alv_cluster_stop_node(stage->node);
    if (row->wrong != 0) {
        fail_msg("%s: %d entities are not what was sent", row->what, row->wrong);
    }
    (void)json_array_append_new(stage->rows, alv_overload_row_json(row));
    if (!stage->json) {
        alv_overload_row_print(row);
    }
    alv_overload_row_done(row);
}

int64_t alv_overload_drain(const alv_overload_stage *stage)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    alv_cluster_wait_consumed(&stage->cluster, ALV_OVERLOAD_WAIT_MS);
    return alv_overload_ms_since(begin_us);
}

int64_t alv_overload_committed(const alv_overload_stage *stage)
{
    return alv_wire_committed(stage->cluster.brokers, stage->cluster.application,
                              alv_cluster_topic(&stage->cluster, "commands"));
}

alv_flood *alv_overload_flood(const alv_overload_stage *stage, alv_flood_options options)
{
    options.brokers = stage->cluster.brokers;
    options.application = stage->cluster.application;
    options.shard_count = ALV_OVERLOAD_SHARDS;
    return alv_flood_new(&options);
}

/* ---- the probe ------------------------------------------------------------------------------- */

alv_probe *alv_overload_probe(const alv_overload_stage *stage)
{
    const alv_probe_options options = {.brokers = stage->cluster.brokers,
                                       .application = stage->cluster.application,
                                       .rate = PROBE_RATE,
                                       .users = ALV_OVERLOAD_PROBE_USERS,
                                       .seconds_max = PROBE_S};
    alv_probe *probe = alv_probe_open(&options);
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    while (alv_probe_sent(probe) < ALV_OVERLOAD_PROBE_USERS &&
           alv_overload_ms_since(begin_us) < PROBE_WARM_MS) {
        (void)poll(NULL, 0, 100);
    }
    return probe;
}

void alv_overload_probe_end(alv_probe *probe, int64_t from_us, const bool *shards,
                            alv_overload_row *row)
{
    bool others[ALV_OVERLOAD_SHARDS];
    for (int shard = 0; shard < ALV_OVERLOAD_SHARDS; shard++) {
        others[shard] = !shards[shard];
    }
    alv_probe_stop(probe);
    if (!alv_probe_wait_seen(probe, ALV_OVERLOAD_WAIT_MS)) {
        fail_msg("commands of the probe wait for longer than %d ms", ALV_OVERLOAD_WAIT_MS);
    }
    const alv_probe_range here = {.from_us = from_us, .shards = shards};
    const alv_probe_range there = {.from_us = from_us, .shards = others};
    row->here = alv_probe_summarize(probe, &here, SLOW_US);
    row->others = alv_probe_summarize(probe, &there, SLOW_US);
    row->wrong += alv_probe_count_lost(probe);
    alv_probe_close(probe);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void get_write(void *payload, int64_t number, alv_bytes *out)
{
    (void)number;
    alv_bytes_printf(out, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", (const char *)payload);
}

alv_http_flood *alv_overload_get(const alv_overload_stage *stage, const char *path)
{
    const alv_http_flood_options options = {.address = stage->node->address,
                                            .connections = 1,
                                            .pause_ms = 20,
                                            .write = get_write,
                                            .payload = (void *)(uintptr_t)path};
    return alv_http_flood_start(&options);
}

void alv_overload_note(alv_overload_row *row, const char *what, alv_http_flood *flood)
{
    alv_http_flood_counts counts;
    alv_http_flood_stop(flood, &counts);
    alv_bytes_printf(&row->notes, "%s%s %s", row->notes.size > 0 ? "; " : "", what,
                     alv_http_flood_text(&counts));
}

void alv_overload_profile(size_t bytes, alv_bytes *out)
{
    alv_bytes_clear(out);
    alv_bytes_append_text(out, "{\"type\":\"update_profile\",\"nickname\":\"");
    while (out->size + 2 < bytes) {
        alv_bytes_append(out, "n", 1);
    }
    alv_bytes_append_text(out, "\"}");
}
