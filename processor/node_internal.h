/* node_internal.h — the node's parts, for node.c and node_ready.c. */
#ifndef ALV_PROCESSOR_NODE_INTERNAL_H
#define ALV_PROCESSOR_NODE_INTERNAL_H

#include <stdatomic.h>

#include "processor/fencer.h"
#include "processor/lane.h"
#include "processor/node.h"
#include "processor/node_tables.h"
#include "processor/rivals.h"
#include "processor/store_care.h"
#include "processor/watchdog.h"

struct alv_node {
    alv_node_options options;
    const alv_settings *settings;
    int32_t shard_count;
    alv_store *store;
    alv_directory *directory;
    alv_meter *meter;
    alv_log_port *log;
    char changelog_id[ALV_TOPIC_ID_BYTES];
    alv_node_tables global;
    alv_replicator *replicator;
    alv_checkpointer *checkpointer;
    alv_crash_mark *crash_mark;
    alv_fencer *fencer;
    alv_lane **lanes;
    int32_t lane_count;
    alv_rivals *rivals;
    bool *standbys; /* by shard: whether this node is to keep a replica */
    int64_t opened_at_us;
    alv_store_care care;
    alv_watchdog *watchdog;
    bool was_ready;

    /* Read by other threads. */
    atomic_bool started; /* the lanes are there */
    atomic_bool stopping;
    atomic_int lanes_ended;

    /* The first lane that failed says why, from its own thread. */
    atomic_bool failed;
    atomic_bool failure_ready;
    alv_error failure;
};

/* node_ready.c: says when the node becomes ready, and when it is no longer. @thread main */
void alv_node_log_readiness(alv_node *node);

#endif
