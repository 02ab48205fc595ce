/* metrics_libraries.c — what RocksDB and librdkafka count, for the page of metrics. */
#include "api/metrics_internal.h"
#include "base/alloc.h"
#include "topics/kafka.h"

#define COUNTER ALV_METRIC_COUNTER
#define GAUGE ALV_METRIC_GAUGE

void alv_metrics_write_store(const alv_api *api, alv_exposition *page)
{
    alv_store_stats stats;
    alv_store *store = api->options.store;
    store->ops->stats(store, &stats);
    alv_exposition_one(page, GAUGE, "alluvium_store_memtable_bytes",
                       "Memory of what is written and not yet in table files.",
                       (double)stats.memtable_bytes);
    alv_exposition_one(page, GAUGE, "alluvium_store_block_cache_bytes",
                       "Memory of blocks read from table files.", (double)stats.block_cache_bytes);
    alv_exposition_one(page, GAUGE, "alluvium_store_file_bytes", "Size of all table files.",
                       (double)stats.file_bytes);
    alv_exposition_one(page, GAUGE, "alluvium_store_pending_compaction_bytes",
                       "What compaction has to rewrite, estimated.",
                       (double)stats.pending_compaction_bytes);
    alv_exposition_one(page, GAUGE, "alluvium_store_running_flushes", "Flushes under way.",
                       (double)stats.flushes_running);
    alv_exposition_one(page, GAUGE, "alluvium_store_running_compactions", "Compactions under way.",
                       (double)stats.compactions_running);
    alv_exposition_one(page, GAUGE, "alluvium_store_keys", "Keys in all shards, estimated.",
                       (double)stats.keys);
}

typedef struct libraries_row {
    alv_metric_kind kind;
    const char *name;
    const char *help;
    size_t offset; /* in alv_kafka_stats */
} libraries_row;

static const libraries_row libraries_rows[] = {
    {COUNTER, "alluvium_kafka_sent_bytes_total", "Bytes sent to brokers.",
     offsetof(alv_kafka_stats, sent_bytes)},
    {COUNTER, "alluvium_kafka_received_bytes_total", "Bytes received from brokers.",
     offsetof(alv_kafka_stats, received_bytes)},
    {COUNTER, "alluvium_kafka_requests_total", "Requests sent to brokers.",
     offsetof(alv_kafka_stats, requests)},
    {COUNTER, "alluvium_kafka_request_timeouts_total", "Requests that timed out.",
     offsetof(alv_kafka_stats, timeouts)},
    {COUNTER, "alluvium_kafka_disconnects_total", "Connections to brokers lost.",
     offsetof(alv_kafka_stats, disconnects)},
    {GAUGE, "alluvium_kafka_requests_in_flight", "Requests without an answer so far.",
     offsetof(alv_kafka_stats, in_flight)},
    {GAUGE, "alluvium_kafka_queue_records",
     "Records fetched and not yet taken, or produced and not yet acknowledged.",
     offsetof(alv_kafka_stats, queue_messages)},
    {GAUGE, "alluvium_kafka_queue_bytes", "Bytes of these records.",
     offsetof(alv_kafka_stats, queue_bytes)},
    {GAUGE, "alluvium_kafka_rtt_p50_seconds",
     "Median round trip to the slowest broker, in the last interval of statistics.",
     offsetof(alv_kafka_stats, rtt_p50_s)},
    {GAUGE, "alluvium_kafka_rtt_p99_seconds", "The same, 99th percentile.",
     offsetof(alv_kafka_stats, rtt_p99_s)},
};

void alv_metrics_write_kafka(alv_exposition *page)
{
    alv_kafka_stats *handles = NULL;
    size_t count = alv_kafka_stats_list(&handles);
    for (size_t i = 0; i < sizeof libraries_rows / sizeof libraries_rows[0]; i++) {
        const libraries_row *row = &libraries_rows[i];
        alv_exposition_family(page, row->kind, row->name, row->help);
        for (size_t j = 0; j < count; j++) {
            const char *handle = (const char *)&handles[j];
            alv_exposition_value(page,
                                 ALV_LABELS({"client", handles[j].kind}, {"lane", handles[j].lane}),
                                 *(const double *)(const void *)(handle + row->offset));
        }
    }
    alv_free(handles);
}
