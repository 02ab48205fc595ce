/* node_ready.c — whether the node does what it is there for, and what is missing. */
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/logger.h"
#include "processor/node_internal.h"

static bool node_lanes_ready(const alv_node *node, char *why, size_t size)
{
    int64_t now_us = alv_monotonic_us(node->options.clock);
    for (int32_t i = 0; i < node->lane_count; i++) {
        int64_t silent_ms = alv_directory_lane_silent_ms(node->directory, i, now_us);
        if (!alv_lane_has_joined(node->lanes[i])) {
            (void)snprintf(why, size, "lane %" PRId32 " has not joined the group yet", i);
            return false;
        }
        if (silent_ms >= ALV_LANE_SILENT_MS) {
            (void)snprintf(why, size,
                           "lane %" PRId32 " has not got on for %" PRId64
                           " s: a handler, the disk or Kafka holds it up",
                           i, silent_ms / 1000);
            return false;
        }
    }
    return true;
}

bool alv_node_ready(const alv_node *node, char *why, size_t size)
{
    if (atomic_load(&node->stopping)) {
        (void)snprintf(why, size, "the node is stopping");
        return false;
    }
    if (!alv_node_tables_ready(&node->global, why, size)) {
        return false;
    }
    if (!atomic_load(&node->started)) {
        (void)snprintf(why, size, "the node is starting");
        return false;
    }
    if (!node_lanes_ready(node, why, size)) {
        return false;
    }
    int32_t restoring = alv_directory_count(node->directory, ALV_SHARD_RESTORING);
    int32_t stopped = alv_directory_count(node->directory, ALV_SHARD_STOPPED);
    if (restoring + stopped > 0) {
        (void)snprintf(why, size, "%" PRId32 " shards are restoring, %" PRId32 " are stopped",
                       restoring, stopped);
        return false;
    }
    return true;
}

void alv_node_log_readiness(alv_node *node)
{
    char why[256] = "";
    bool ready = alv_node_ready(node, why, sizeof why);
    if (ready && !node->was_ready) {
        int64_t took_us = alv_monotonic_us(node->options.clock) - node->opened_at_us;
        const char *address = node->settings->http_advertise;
        alv_log(ALV_LOG_INFO, "ready", "node=%s http=%s took_ms=%" PRId64, node->settings->node_id,
                address != NULL ? address : "none", took_us / 1000);
    } else if (!ready && node->was_ready) {
        alv_log(ALV_LOG_INFO, "not-ready", "node=%s why=\"%s\"", node->settings->node_id, why);
    }
    node->was_ready = ready;
}
