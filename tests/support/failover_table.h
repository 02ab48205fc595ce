/* failover_table.h — what bench/failover found out, as tables and as JSON.
 *
 * Why:    one row per event and run for whoever looks for a cause, one cell per event and contender
 *         for whoever compares.
 * Thread: main.
 */
#ifndef ALV_TESTS_SUPPORT_FAILOVER_TABLE_H
#define ALV_TESTS_SUPPORT_FAILOVER_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/support/contender.h"
#include "tests/support/probe.h"

/* What one event did. Times in ms after it began, -1 = not seen. */
typedef struct alv_failover_outcome {
    alv_contender_kind kind;
    int nodes; /* of the contender, when nothing happens */
    const char *event;
    int run;
    alv_probe_summary all;   /* every command until all was settled again */
    alv_probe_summary soon;  /* those of the first seconds, the same for all events */
    alv_probe_summary moved; /* as `all`: users of shards that have another owner afterwards */
    int moved_shards;
    int64_t verdict_ms;  /* a peer found it dead */
    int64_t evicted_ms;  /* and had its place in the group taken */
    int64_t assigned_ms; /* the last shard was given to somebody */
    int64_t active_ms;   /* and is at work */
    int64_t ready_ms;    /* the node that (re)started said that it is ready */
    int64_t ended_ms;    /* the node that was stopped has ended */
    int64_t settled_ms;  /* nothing moves any more */
    int64_t restored;    /* records read by the node that (re)started, for the shards it has now */
} alv_failover_outcome;

void alv_failover_print_head(void);
void alv_failover_print_row(const alv_failover_outcome *outcome);

/* A new reference. */
json_t *alv_failover_row_json(const alv_failover_outcome *outcome);

/* The longest wait of all runs and the median of their p99 for each event (down) and contender
 * (across), as Markdown. `rows` are alv_failover_row_json. */
void alv_failover_print_summary(const json_t *rows);

#endif
