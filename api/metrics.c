#include "api/metrics.h"

#include <jansson.h>
#include <stdio.h>

#include "api/http_limits.h"
#include "api/metrics_internal.h"
#include "api/routes.h"
#include "base/alloc.h"
#include "base/process_usage.h"

#define COUNTER ALV_METRIC_COUNTER
#define GAUGE ALV_METRIC_GAUGE
#define HISTOGRAM ALV_METRIC_HISTOGRAM

/* ---- node and process ------------------------------------------------------------------------ */

static void metrics_node(const alv_api *api, alv_exposition *page)
{
    char why[256] = "";
    alv_exposition_family(page, GAUGE, "alluvium_build_info", "What runs here; always 1.");
    alv_exposition_count(page,
                         ALV_LABELS({"version", ALV_VERSION},
                                    {"node", api->options.settings->node_id},
                                    {"librdkafka", alv_kafka_library_version()}),
                         1);
    alv_exposition_one(page, GAUGE, "alluvium_ready",
                       "1 when all shards of this node are active, as /readyz.",
                       api->options.ready(api->options.ready_payload, why, sizeof why));
}

static void metrics_process(alv_exposition *page)
{
    alv_process_usage usage = alv_process_usage_get();
    alv_exposition_one(page, COUNTER, "process_cpu_seconds_total",
                       "User and system time of all threads.", usage.cpu_s);
    alv_exposition_one(page, GAUGE, "process_resident_memory_bytes", "Memory in RAM.",
                       (double)usage.resident_bytes);
    alv_exposition_one(page, GAUGE, "process_virtual_memory_bytes", "Address space in use.",
                       (double)usage.virtual_bytes);
    alv_exposition_one(page, GAUGE, "process_open_fds", "Open file descriptors.",
                       (double)usage.open_files);
    alv_exposition_one(page, GAUGE, "process_max_fds", "File descriptors it may open.",
                       (double)usage.open_files_max);
    alv_exposition_one(page, GAUGE, "process_threads", "Threads.", (double)usage.threads);
    alv_exposition_one(page, GAUGE, "process_start_time_seconds",
                       "When the process was started, since the Unix epoch.", usage.started_at_s);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void metrics_counter(alv_exposition *page, const char *name, const char *help,
                            const alv_counter *counter)
{
    alv_exposition_family(page, COUNTER, name, help);
    alv_exposition_count(page, ALV_LABELS_NONE, alv_counter_get(counter));
}

static void metrics_commands(const alv_meter *meter, alv_exposition *page)
{
    metrics_counter(page, "alluvium_commands_total",
                    "Commands executed in committed transactions, rejected ones included.",
                    &meter->commands);
    metrics_counter(page, "alluvium_commands_rejected_total",
                    "Commands that their handler rejected.", &meter->rejected);
    metrics_counter(page, "alluvium_commands_repeated_total",
                    "Commands answered as before, because their idempotency key was known.",
                    &meter->repeated);
    metrics_counter(page, "alluvium_timers_fired_total",
                    "Timers that fired; they count as commands too.", &meter->timers);
    alv_exposition_family(page, COUNTER, "alluvium_dead_letters_total",
                          "Records that could not be processed, by reason.");
    for (int reason = ALV_REASON_NONE + 1; reason < ALV_REASON_COUNT; reason++) {
        alv_exposition_count(page, ALV_LABELS({"reason", alv_reason_code((alv_reason)reason)}),
                             alv_counter_get(&meter->dead_letters[reason]));
    }
    metrics_counter(page, "alluvium_entities_quarantined_total",
                    "Entities set aside because they kept failing.", &meter->quarantined);
    metrics_counter(page, "alluvium_entities_released_total", "Entities released from quarantine.",
                    &meter->released);
    metrics_counter(page, "alluvium_entities_expired_total",
                    "Entities deleted because they had not changed for as long as their behavior "
                    "says.",
                    &meter->expired);
    alv_exposition_family(page, HISTOGRAM, "alluvium_command_latency_seconds",
                          "From the time of a command's record to the commit of its effects.");
    alv_exposition_histogram(page, ALV_LABELS_NONE, &meter->latency);
}

static void metrics_transactions(const alv_meter *meter, alv_exposition *page)
{
    metrics_counter(page, "alluvium_transaction_commits_total", "Transactions committed.",
                    &meter->commits);
    metrics_counter(page, "alluvium_transaction_aborts_total",
                    "Transactions undone; their commands were run again, here or elsewhere.",
                    &meter->aborts);
    metrics_counter(page, "alluvium_transaction_uncertain_total",
                    "Commits whose answer never came and had to be found out.", &meter->uncertain);
    metrics_counter(page, "alluvium_producer_renewals_total",
                    "Producers replaced after something whose outcome nobody knew.",
                    &meter->renewals);
    metrics_counter(page, "alluvium_lane_rejoins_total",
                    "Consumers replaced after they lost their seat in the group.", &meter->rejoins);
    alv_exposition_family(page, HISTOGRAM, "alluvium_transaction_step_seconds",
                          "Steps of a commit: prepare (encode, write, flush), send (offsets, "
                          "commit), finish (into the store).");
    alv_exposition_histogram(page, ALV_LABELS({"step", "prepare"}), &meter->prepare);
    alv_exposition_histogram(page, ALV_LABELS({"step", "send"}), &meter->send);
    alv_exposition_histogram(page, ALV_LABELS({"step", "finish"}), &meter->finish);
}

/* ---- caches ---------------------------------------------------------------------------------- */

typedef struct metrics_cache_row {
    alv_metric_kind kind;
    const char *name;
    const char *help;
    size_t offset; /* in alv_meter_cache */
} metrics_cache_row;

static const metrics_cache_row metrics_cache_rows[] = {
    {GAUGE, "alluvium_cache_entities", "Decoded entities in memory.",
     offsetof(alv_meter_cache, entities)},
    {GAUGE, "alluvium_cache_bytes", "Memory of decoded entities, estimated.",
     offsetof(alv_meter_cache, bytes)},
    {COUNTER, "alluvium_cache_hits_total", "Commands that found their entity decoded.",
     offsetof(alv_meter_cache, hits)},
    {COUNTER, "alluvium_cache_misses_total", "Commands that had to read the store.",
     offsetof(alv_meter_cache, misses)},
    {COUNTER, "alluvium_cache_admissions_total",
     "Entities that proved worth keeping: used often enough, or wanted again soon after they left.",
     offsetof(alv_meter_cache, admissions)},
    {COUNTER, "alluvium_cache_evictions_total", "Entities dropped because memory was short.",
     offsetof(alv_meter_cache, evictions)},
    {COUNTER, "alluvium_cache_passivations_total", "Entities dropped because they were idle.",
     offsetof(alv_meter_cache, passivations)},
};

static void metrics_caches(const alv_api *api, alv_exposition *page)
{
    const alv_meter *meter = api->options.meter;
    for (size_t i = 0; i < sizeof metrics_cache_rows / sizeof metrics_cache_rows[0]; i++) {
        const metrics_cache_row *row = &metrics_cache_rows[i];
        alv_exposition_family(page, row->kind, row->name, row->help);
        for (int64_t lane = 0; lane < api->options.settings->lanes; lane++) {
            const char *cache = (const char *)&meter->caches[lane];
            char number[24];
            (void)snprintf(number, sizeof number, "%lld", (long long)lane);
            alv_exposition_count(
                page, ALV_LABELS({"lane", number}),
                alv_counter_get((const alv_counter *)(const void *)(cache + row->offset)));
        }
    }
}

/* ---- HTTP and peers -------------------------------------------------------------------------- */

/* Row 0 of the meter is for paths that no route has; the others follow the table of routes. */
static alv_route_name metrics_route(int row)
{
    return row == 0 ? (alv_route_name){"any", "none"} : alv_routes_name(row - 1);
}

static void metrics_answers(const alv_http_meter *meter, alv_exposition *page)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    alv_exposition_family(page, COUNTER, "alluvium_http_requests_total",
                          "Requests answered, by route and class of status.");
    for (int row = 0; metrics_route(row).method != NULL; row++) {
        alv_route_name route = metrics_route(row);
        for (int class = 0; class < ALV_HTTP_METER_CLASSES; class ++) {
            uint64_t count = alv_counter_get(&meter->answers[row][class]);
            if (count > 0) {
                alv_exposition_count(page,
                                     ALV_LABELS({"method", route.method}, {"route", route.pattern},
                                                {"status", classes[class]}),
                                     count);
            }
        }
    }
}

static void metrics_http(const alv_api *api, alv_exposition *page)
{
    const alv_http_meter *meter = alv_http_server_meter(api->server);
    alv_exposition_one(page, GAUGE, "alluvium_http_requests_in_flight",
                       "Requests not yet answered completely, streams and this one included.",
                       alv_http_server_in_flight(api->server));
    metrics_answers(meter, page);
    alv_exposition_family(page, HISTOGRAM, "alluvium_http_request_seconds",
                          "From the head of a request to the end of its answer; no streams.");
    for (int row = 0; metrics_route(row).method != NULL; row++) {
        alv_route_name route = metrics_route(row);
        if (alv_histogram_count(&meter->took[row]) > 0) {
            alv_exposition_histogram(page,
                                     ALV_LABELS({"method", route.method}, {"route", route.pattern}),
                                     &meter->took[row]);
        }
    }
}

static void metrics_peers(const alv_api *api, alv_exposition *page)
{
    size_t counts[ALV_PEER_LEFT + 1] = {0};
    alv_peer_view *peers = alv_alloc_array(ALV_PEER_NODES_MAX, sizeof *peers);
    size_t count =
        api->monitor == NULL ? 0 : alv_peer_monitor_list(api->monitor, peers, ALV_PEER_NODES_MAX);
    for (size_t i = 0; i < count; i++) {
        counts[peers[i].state]++;
    }
    alv_free(peers);
    alv_exposition_family(page, GAUGE, "alluvium_peers", "Other nodes, by how they are heard.");
    for (int state = 0; state <= ALV_PEER_LEFT; state++) {
        alv_exposition_count(
            page, ALV_LABELS({"state", alv_peer_state_name((alv_peer_state)state)}), counts[state]);
    }
}

static void metrics_watch(const alv_api *api, alv_exposition *page)
{
    if (api->watch == NULL) {
        return;
    }
    alv_watch_stats stats = alv_watch_hub_stats(api->watch);
    alv_exposition_one(page, GAUGE, "alluvium_watchers", "Clients that watch changes here.",
                       (double)stats.watchers);
    alv_exposition_one(page, GAUGE, "alluvium_watch_waiting_bytes",
                       "Events that wait to be sent to watchers.", (double)stats.bytes);
    alv_exposition_one(page, COUNTER, "alluvium_watch_changes_total",
                       "Changes that some watcher was told of.", (double)stats.changes);
    alv_exposition_one(page, COUNTER, "alluvium_watch_events_total",
                       "Tellings: changes times their watchers.", (double)stats.events);
    alv_exposition_one(page, COUNTER, "alluvium_watch_cut_off_total",
                       "Watchers that were cut off because they did not read fast enough.",
                       (double)stats.cut_off);
    alv_exposition_one(page, COUNTER, "alluvium_watch_resets_total",
                       "Watchers that came back too late to go on without a gap.",
                       (double)stats.resets);
}

/* ---- the page -------------------------------------------------------------------------------- */

void alv_metrics_answer(const alv_api *api, alv_answer *out)
{
    alv_exposition page;
    alv_answer_begin(out, 200, ALV_EXPOSITION_TYPE);
    alv_exposition_init(&page, &out->body);
    metrics_node(api, &page);
    if (api->options.meter != NULL) {
        metrics_commands(api->options.meter, &page);
        metrics_transactions(api->options.meter, &page);
        metrics_caches(api, &page);
    }
    alv_metrics_write_shards(api, &page);
    alv_metrics_write_tables(api, &page);
    metrics_http(api, &page);
    metrics_peers(api, &page);
    metrics_watch(api, &page);
    alv_metrics_write_store(api, &page);
    alv_metrics_write_kafka(&page);
    metrics_process(&page);
    alv_exposition_done(&page);
}
