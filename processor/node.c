#include "processor/node.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/logger.h"
#include "changelog/placement.h"
#include "processor/node_internal.h"
#include "topics/kafka.h"

/* While nobody rings the bell the main thread looks around this often. */
#define NODE_WAIT_MS 50

/* The main thread waits at `node_bell` and looks around when it rings; a signal handler may ring it. */
static atomic_bool node_stop_requested;
static int node_bell = -1;

__attribute__((constructor)) static void node_make_bell(void)
{
    node_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ALV_ASSERT(node_bell >= 0);
}

static void node_ring(void)
{
    (void)eventfd_write(node_bell, 1); /* fails only when it is ringing already */
}

static void node_wait_bell(int64_t timeout_ms)
{
    struct pollfd bell = {.fd = node_bell, .events = POLLIN};
    eventfd_t rings = 0;
    (void)poll(&bell, 1, (int)timeout_ms);
    (void)eventfd_read(node_bell, &rings);
}

void alv_node_request_stop(void)
{
    atomic_store(&node_stop_requested, true);
    node_ring();
}

/* ---- open ------------------------------------------------------------------------------------------ */

/* One that the node can work with. */
static void node_tell_problem(const alv_topic_info *topic)
{
    if (topic->problem[0] != '\0') {
        alv_log_text(ALV_LOG_ERROR, "topic-problem", topic->problem, "topic=%s", topic->name);
    }
}

/* Brokers may come up after the node: that is said, and tried again until somebody stops the node. */
static alv_status node_prepare_topics(alv_node *node, alv_error *err)
{
    alv_backoff backoff;
    alv_backoff_init(&backoff, (uint64_t)alv_monotonic_us(node->options.clock));
    for (;;) {
        alv_error why = ALV_ERROR_NONE;
        alv_topic_info topics[ALV_TOPICS_MAX];
        alv_status status = alv_kafka_prepare_topics(node->options.config, topics, &why);
        if (status == ALV_OK) {
            node_tell_problem(&topics[ALV_TOPIC_COMMANDS]);
            node->shard_count = topics[ALV_TOPIC_CHANGELOG].shards;
            (void)snprintf(node->changelog_id, sizeof node->changelog_id, "%s",
                           topics[ALV_TOPIC_CHANGELOG].id);
            alv_node_tables_init(&node->global, node->settings, topics);
            return alv_store_rocksdb_bind(node->store, topics[ALV_TOPIC_CHANGELOG].id, err);
        }
        if (status != ALV_RETRY) {
            return alv_fail_from(err, status, why.source, why.code, "%s", why.text);
        }
        alv_log_error(ALV_LOG_WARN, "kafka-away", &why, "servers=%s msg=\"trying again\"",
                      node->settings->bootstrap_servers);
        int64_t now_ms = alv_now_ms(node->options.clock);
        node_wait_bell(alv_backoff_failed(&backoff, now_ms) - now_ms);
        if (atomic_load(&node_stop_requested)) {
            return alv_fail(err, ALV_RETRY, "stopped while waiting for Kafka at %s",
                            node->settings->bootstrap_servers);
        }
    }
}

/* Before anything is opened: handlers must find the tables that they were written for. */
static alv_status node_check_tables(const alv_node *node, alv_error *err)
{
    alv_table_list list;
    alv_status status = alv_table_list_parse(node->settings->global_tables, &list, err);
    return status == ALV_OK ? alv_registry_check_tables(node->options.registry, &list, err)
                            : status;
}

alv_status alv_node_open(const alv_node_options *options, alv_node **out, alv_error *err)
{
    alv_node *node = alv_alloc(sizeof *node);
    node->options = *options;
    node->opened_at_us = alv_monotonic_us(options->clock);
    node->settings = alv_config_settings(options->config);
    const alv_store_options store = {.directory = node->settings->state_dir,
                                     .application_id = node->settings->application_id,
                                     .memory_bytes = node->settings->state_memory_bytes};
    alv_status status = node_check_tables(node, err);
    if (status == ALV_OK) {
        status = alv_store_rocksdb_open(&store, &node->store, err);
    }
    if (status == ALV_OK) {
        status = alv_crash_mark_open(node->settings->state_dir, &node->crash_mark, err);
    }
    if (status == ALV_OK) {
        status = node_prepare_topics(node, err);
    }
    if (status != ALV_OK) {
        alv_node_close(node);
        return status;
    }
    node->directory = alv_directory_new(node->shard_count);
    node->rivals = alv_rivals_new(node->directory, node->settings->node_id);
    node->meter = alv_meter_new();
    node->standbys = alv_alloc_array((size_t)node->shard_count, sizeof *node->standbys);
    node->care = (alv_store_care){.store = node->store,
                                  .directory = node->directory,
                                  .clock = options->clock,
                                  .state_dir = node->settings->state_dir};
    *out = node;
    return ALV_OK;
}

alv_directory *alv_node_directory(alv_node *node)
{
    return node->directory;
}

const alv_meter *alv_node_meter(const alv_node *node)
{
    return node->meter;
}

alv_store *alv_node_store(alv_node *node)
{
    return node->store;
}

alv_tables *alv_node_global_tables(alv_node *node)
{
    return node->global.tables;
}

alv_log_port *alv_node_log(alv_node *node)
{
    return node->log;
}

const char *alv_node_changelog_id(const alv_node *node)
{
    return node->changelog_id;
}

/* ---- start ----------------------------------------------------------------------------------------- */

/* At the pace so far; -1 while nothing is known of it. */
static int64_t node_restore_eta_ms(const alv_replica_view *view)
{
    const alv_restore *restore = view->restore;
    int64_t left = restore->records_target - restore->records;
    if (left <= 0 || alv_restorer_is_complete(restore)) {
        return 0;
    }
    return view->waits || restore->records == 0 ? -1 : left * view->took_ms / restore->records;
}

/* What of a replica can be read here: a load in bulk is ahead of the store. */
static alv_position node_replica_position(const alv_node *node, const alv_restore *restore)
{
    alv_position position = restore->position;
    if (restore->bulk) {
        (void)node->store->ops->position(node->store, restore->shard, &position, NULL); /* open */
    }
    return position;
}

/* On the replicator's thread. The position of a shard that a lane has is the lane's to say. */
static void node_replica_progress(void *payload, const alv_replica_view *view)
{
    alv_node *node = payload;
    const alv_restore *restore = view->restore;
    bool is_hot = view->replica == ALV_REPLICA_HOT;
    bool is_standby = is_hot || view->replica == ALV_REPLICA_CATCHING_UP;
    const alv_restore_progress progress = {.records = restore->records,
                                           .target = restore->records_target,
                                           .bytes = restore->bytes,
                                           .eta_ms = node_restore_eta_ms(view),
                                           .changelog_end = restore->changelog_end};
    alv_directory_set_standby(node->directory, restore->shard, is_standby, is_hot);
    alv_directory_set_restore(node->directory, restore->shard, &progress);
    if (is_standby) {
        alv_position position = node_replica_position(node, restore);
        alv_directory_set_position(node->directory, restore->shard, &position);
    }
}

static void node_lane_ended(void *payload, const alv_error *error)
{
    alv_node *node = payload;
    if (error != NULL && !atomic_exchange(&node->failed, true)) {
        node->failure = *error;
        atomic_store(&node->failure_ready, true);
    }
    atomic_fetch_add(&node->lanes_ended, 1);
    node_ring();
}

static void node_assignment_changed(void *payload)
{
    alv_node *node = payload;
    if (node->options.assignment_changed != NULL) {
        node->options.assignment_changed(node->options.payload);
    }
    node_ring();
}

static void node_replied(void *payload, alv_reply_box *box)
{
    alv_node *node = payload;
    if (node->options.replied != NULL) {
        node->options.replied(node->options.payload, box);
    }
}

static alv_status node_start_replicator(alv_node *node, alv_error *err)
{
    const alv_replicator_options options = {.log = node->log,
                                            .store = node->store,
                                            .clock = node->options.clock,
                                            .settings = node->settings,
                                            .shard_count = node->shard_count,
                                            .progress = node_replica_progress,
                                            .payload = node};
    alv_status status = alv_replicator_new(&options, &node->replicator, err);
    if (status == ALV_OK) {
        alv_replicator_start(node->replicator);
    }
    return status;
}

static alv_status node_start_checkpointer(alv_node *node, alv_error *err)
{
    if (node->settings->postgres_url == NULL) {
        return ALV_OK;
    }
    const alv_checkpointer_options options = {.log = node->log,
                                              .clock = node->options.clock,
                                              .settings = node->settings,
                                              .durable = alv_durable_postgres_new(node->settings),
                                              .shard_count = node->shard_count};
    alv_status status = alv_checkpointer_new(&options, &node->checkpointer, err);
    if (status == ALV_OK) {
        alv_checkpointer_start(node->checkpointer);
    }
    return status;
}

static void node_tables_changed(void *payload)
{
    (void)payload;
    node_ring();
}

static void node_lane_is_stuck(void *payload, int32_t lane)
{
    alv_node *node = payload;
    alv_lane_crash(node->lanes[lane]);
}

static void node_start_watchdog(alv_node *node)
{
    const alv_watchdog_options options = {.mark = node->crash_mark,
                                          .clock = node->options.clock,
                                          .lane_count = node->lane_count,
                                          .timeout_ms = node->settings->handler_timeout_ms,
                                          .stuck = node_lane_is_stuck,
                                          .payload = node};
    node->watchdog = alv_watchdog_new(&options);
}

static void node_start_lanes(alv_node *node)
{
    node->lane_count = (int32_t)node->settings->lanes;
    node->lanes = alv_alloc_array((size_t)node->lane_count, sizeof(alv_lane *));
    for (int32_t i = 0; i < node->lane_count; i++) {
        const alv_lane_options options = {.number = i,
                                          .shard_count = node->shard_count,
                                          .settings = node->settings,
                                          .registry = node->options.registry,
                                          .clock = node->options.clock,
                                          .log = node->log,
                                          .store = node->store,
                                          .directory = node->directory,
                                          .replicator = node->replicator,
                                          .checkpointer = node->checkpointer,
                                          .crash_mark = node->crash_mark,
                                          .meter = node->meter,
                                          .tables = node->global.tables,
                                          .replied = node_replied,
                                          .assignment_changed = node_assignment_changed,
                                          .ended = node_lane_ended,
                                          .payload = node};
        node->lanes[i] = alv_lane_new(&options);
    }
    for (int32_t i = 0; i < node->lane_count; i++) {
        alv_lane_start(node->lanes[i]);
    }
    node_start_watchdog(node);
    atomic_store(&node->started, true);
}

/* Handlers may look tables up from their first command on, so no lane is there before them; nor are shards
 * given to a node that could not execute them. */
static void node_start_lanes_if_due(alv_node *node)
{
    char why[256] = "";
    if (node->lanes == NULL && alv_node_tables_ready(&node->global, why, sizeof why)) {
        node_start_lanes(node);
    }
}

alv_status alv_node_start(alv_node *node, alv_error *err)
{
    ALV_ASSERT(node->lanes == NULL);
    alv_status status = alv_kafka_open(node->options.config, &node->log, err);
    if (status == ALV_OK) {
        alv_kafka_set_shards(node->log, node->shard_count);
        status = node_start_replicator(node, err);
    }
    if (status == ALV_OK) {
        status = node_start_checkpointer(node, err);
    }
    if (status == ALV_OK) {
        const alv_fencer_options fencer = {.config = node->options.config,
                                           .clock = node->options.clock,
                                           .directory = node->directory};
        status = alv_fencer_start(&fencer, &node->fencer, err);
    }
    if (status == ALV_OK) {
        const alv_table_follower_options tables = {.log = node->log,
                                                   .clock = node->options.clock,
                                                   .settings = node->settings,
                                                   .changed = node_tables_changed};
        status = alv_node_tables_start(&node->global, &tables, err);
    }
    if (status == ALV_OK) {
        node_start_lanes_if_due(node);
    }
    return status;
}

void alv_node_members_known(alv_node *node, const alv_members *members)
{
    alv_rivals_members_known(node->rivals, members);
    if (!atomic_load(&node->started)) {
        return;
    }
    alv_fencer_members_known(node->fencer, members);
    if (node->settings->standby_replicas == 0) {
        return;
    }
    alv_placement_standbys(members, node->shard_count, node->settings->node_id,
                           node->settings->standby_replicas, node->standbys);
    alv_replicator_set_standbys(node->replicator, node->standbys);
}

bool alv_node_checkpoints(const alv_node *node, alv_checkpointer_status *out_status,
                          int64_t *out_positions)
{
    if (!atomic_load(&node->started) || node->checkpointer == NULL) {
        return false;
    }
    *out_status = alv_checkpointer_status_get(node->checkpointer);
    for (int32_t shard = 0; shard < node->shard_count; shard++) {
        out_positions[shard] = alv_checkpointer_position(node->checkpointer, shard);
    }
    return true;
}

bool alv_node_set_paused(const alv_node *node, int32_t shard, bool paused,
                         void (*done)(void *payload, alv_status status), void *payload)
{
    if (!atomic_load(&node->started)) {
        return false;
    }
    alv_shard_view view = alv_directory_view(node->directory, shard);
    if (view.state != ALV_SHARD_ACTIVE || view.lane < 0 || view.lane >= node->lane_count) {
        return false;
    }
    return alv_lane_set_paused(node->lanes[view.lane], shard, paused, done, payload);
}

/* ---- run ------------------------------------------------------------------------------------------- */

alv_status alv_node_wait(alv_node *node, alv_error *err)
{
    while (!atomic_load(&node_stop_requested)) {
        if (atomic_load(&node->failure_ready)) {
            return alv_fail_from(err, ALV_FATAL, node->failure.source, node->failure.code, "%s",
                                 node->failure.text);
        }
        if (alv_store_care_turn(&node->care, err) != ALV_OK) {
            return ALV_FATAL; /* whoever gets the shards goes on with them; so does the next start */
        }
        node_start_lanes_if_due(node);
        alv_node_log_readiness(node);
        if (node->watchdog != NULL) {
            alv_watchdog_look(node->watchdog);
        }
        node_wait_bell(NODE_WAIT_MS);
    }
    return ALV_OK;
}

/* ---- stop ------------------------------------------------------------------------------------------ */

/* Seats are kept for a quick restart. A node that ends because it cannot go on may be away for long. */
static bool node_keeps_seats(const alv_node *node)
{
    return strcmp(node->settings->shutdown, "stay") == 0 && !atomic_load(&node->failed) &&
           node->store->ops->is_writable(node->store, NULL);
}

/* All lanes at once, so that the group rebalances as few times as possible. */
static alv_status node_stop_lanes(alv_node *node, alv_error *err)
{
    bool stay = node_keeps_seats(node);
    int64_t deadline_us =
        alv_monotonic_us(node->options.clock) + (int64_t)ALV_STOP_TIMEOUT_MS * 1000;
    for (int32_t i = 0; i < node->lane_count; i++) {
        alv_lane_request_stop(node->lanes[i], stay);
    }
    while (atomic_load(&node->lanes_ended) < node->lane_count) {
        if (alv_monotonic_us(node->options.clock) > deadline_us) {
            return alv_fail(err, ALV_RETRY, "lanes did not stop within %d s",
                            ALV_STOP_TIMEOUT_MS / 1000);
        }
        node_wait_bell(NODE_WAIT_MS);
    }
    return ALV_OK;
}

/* What is committed is in the changelog and loses nothing by waiting there; but whoever stops the last node
 * may want to look at PostgreSQL next. */
static void node_finish_checkpoints(alv_node *node)
{
    if (node->checkpointer == NULL) {
        return;
    }
    int64_t began_us = alv_monotonic_us(node->options.clock);
    bool done = alv_checkpointer_catch_up(node->checkpointer, ALV_CHECKPOINT_CATCH_UP_MS);
    int64_t took_ms = (alv_monotonic_us(node->options.clock) - began_us) / 1000;
    if (done) {
        alv_log(ALV_LOG_INFO, "checkpoints-complete", "ms=%" PRId64, took_ms);
    } else {
        alv_log(ALV_LOG_WARN, "checkpoints-behind",
                "ms=%" PRId64
                " msg=\"PostgreSQL has not got everything; whoever has the shards next "
                "goes on from where it is\"",
                took_ms);
    }
}

/* Lanes and replicator have ended, but stay until close: the API still asks and tells about them. */
alv_status alv_node_stop(alv_node *node, alv_error *err)
{
    atomic_store(&node->stopping, true);
    if (node->checkpointer != NULL) {
        alv_checkpointer_keep(node->checkpointer);
    }
    alv_status status = node_stop_lanes(node, err);
    if (status != ALV_OK) {
        return status;
    }
    node_finish_checkpoints(node);
    alv_checkpointer_stop(node->checkpointer);
    node->checkpointer = NULL;
    alv_replicator_stop(node->replicator);
    alv_node_tables_stop(&node->global);
    if (!node->store->ops->is_writable(node->store, NULL)) {
        return ALV_OK; /* alv_node_wait has said so; what is not on the disk is in the changelog */
    }
    return node->store->ops->flush(node->store, err);
}

void alv_node_close(alv_node *node)
{
    if (node == NULL) {
        return;
    }
    alv_checkpointer_stop(node->checkpointer);
    if (node->replicator != NULL) {
        alv_replicator_stop(node->replicator); /* it answers to lanes */
    }
    for (int32_t i = 0; i < node->lane_count; i++) {
        alv_lane_free(node->lanes[i]);
    }
    alv_watchdog_free(node->watchdog);
    alv_fencer_stop(node->fencer);
    alv_node_tables_done(&node->global);
    alv_replicator_free(node->replicator); /* lanes let go of their shards there */
    alv_crash_mark_close(node->crash_mark);
    if (node->log != NULL) {
        node->log->ops->close(node->log);
    }
    if (node->store != NULL) {
        node->store->ops->close(node->store);
    }
    alv_rivals_free(node->rivals);
    alv_directory_free(node->directory);
    alv_meter_free(node->meter);
    alv_free(node->lanes);
    alv_free(node->standbys);
    alv_free(node);
}
