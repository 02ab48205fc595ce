#include "tests/sim/sim_node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "processor/fencer.h"
#include "processor/takeover.h"
#include "tests/sim/sim_peers.h"
#include "tests/sim/sim_trace.h"

/* Restores of a few records by the usual path, of more in bulk: both happen. */
#define NODE_BULK_RECORDS_MIN 30

static int64_t clock_now_ms(const alv_clock *clock)
{
    const sim_clock *own = (const sim_clock *)clock;
    return SIM_EPOCH_MS + *own->now_ms + own->offset_ms;
}

static int64_t clock_monotonic_us(const alv_clock *clock)
{
    return *((const sim_clock *)clock)->now_ms * 1000;
}

static void node_configure(sim_node *node, const char *const *settings)
{
    char text[64];
    (void)snprintf(text, sizeof text, "node.id=n%d", node->number);
    node->config = alv_config_new();
    alv_status status = alv_config_set(node->config, text, NULL);
    (void)snprintf(text, sizeof text, "lanes=%d", node->lane_count);
    status = status == ALV_OK ? alv_config_set(node->config, text, NULL) : status;
    for (size_t i = 0; settings[i] != NULL && status == ALV_OK; i++) {
        status = alv_config_set(node->config, settings[i], NULL);
    }
    status = status == ALV_OK ? alv_config_finish(node->config, NULL) : status;
    ALV_ASSERT(status == ALV_OK);
}

void sim_node_init(sim_node *node, int number, int lane_count, const sim_node_options *options)
{
    memset(node, 0, sizeof *node);
    node->number = number;
    node->lane_count = lane_count;
    node->options = options;
    node->clock = (sim_clock){.base = {.now_ms = clock_now_ms, .monotonic_us = clock_monotonic_us},
                              .now_ms = options->now_ms};
    node->disk = sim_disk_new(options->broker, options->model, options->random, number);
    node_configure(node, options->settings);
}

void sim_node_done(sim_node *node)
{
    if (node->is_up) {
        sim_node_kill(node);
    }
    if (node->is_dead) {
        sim_node_bury(node, 0, 0);
    }
    sim_disk_free(node->disk);
    alv_config_free(node->config);
}

/* ---- what the objects tell ------------------------------------------------------------------- */

static void node_replied(void *payload, alv_reply_box *box)
{
    sim_node *node = payload;
    for (size_t i = 0; i < box->count && !node->is_dead; i++) {
        alv_result result = alv_reply_box_get(box, i);
        sim_model_replied(node->options->model, &result);
    }
}

static void node_assignment_changed(void *payload)
{
    (void)payload;
}

static void node_lane_ended(void *payload, const alv_error *error)
{
    (void)payload; /* lanes have no threads here */
    (void)error;
}

static void node_progress(void *payload, const alv_replica_view *view)
{
    sim_node *node = payload;
    bool is_hot = view->replica == ALV_REPLICA_HOT;
    alv_directory_set_standby(node->directory, view->restore->shard,
                              is_hot || view->replica == ALV_REPLICA_CATCHING_UP, is_hot);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void node_start_lanes(sim_node *node)
{
    const sim_node_options *options = node->options;
    alv_crash_mark *mark = sim_marks_open(options->marks, node->number);
    for (int i = 0; i < node->lane_count; i++) {
        const alv_lane_options lane = {.number = i,
                                       .shard_count = options->broker->shard_count,
                                       .settings = alv_config_settings(node->config),
                                       .registry = options->registry,
                                       .clock = &node->clock.base,
                                       .log = sim_client_port(node->client),
                                       .store = &node->disk->base,
                                       .directory = node->directory,
                                       .replicator = node->replicator,
                                       .checkpointer = node->checkpointer,
                                       .meter = node->meter,
                                       .tables = node->tables,
                                       .crash_mark = mark,
                                       .replied = node_replied,
                                       .assignment_changed = node_assignment_changed,
                                       .ended = node_lane_ended,
                                       .payload = node};
        node->lanes[i] = alv_lane_new(&lane);
    }
}

void sim_node_start(sim_node *node)
{
    const sim_node_options *options = node->options;
    int32_t shard_count = options->broker->shard_count;
    ALV_ASSERT(!node->is_up && !node->is_dead);
    sim_trace("n%d: starts", node->number);
    const sim_client_options client = {.broker = options->broker,
                                       .random = options->random,
                                       .node = node->number,
                                       .is_dead = options->is_dead,
                                       .call = options->call,
                                       .payload = options->payload};
    node->client = sim_client_new(&client);
    node->directory = alv_directory_new(shard_count);
    node->meter = alv_meter_new();
    node->table = options->broker->table;
    node->tables = sim_tables_new(&node->table);
    const alv_replicator_options replicator = {.log = sim_client_port(node->client),
                                               .store = &node->disk->base,
                                               .clock = &node->clock.base,
                                               .settings = alv_config_settings(node->config),
                                               .shard_count = shard_count,
                                               .bulk_records_min = NODE_BULK_RECORDS_MIN,
                                               .progress = node_progress,
                                               .payload = node};
    alv_status status = alv_replicator_new(&replicator, &node->replicator, NULL);
    ALV_ASSERT(status == ALV_OK);
    const alv_checkpointer_options checkpointer = {
        .log = sim_client_port(node->client),
        .clock = &node->clock.base,
        .settings = alv_config_settings(node->config),
        .durable = sim_postgres_connect(options->postgres, node->number),
        .shard_count = shard_count};
    status = alv_checkpointer_new(&checkpointer, &node->checkpointer, NULL);
    ALV_ASSERT(status == ALV_OK);
    sim_peers_start(node);
    node_start_lanes(node);
    node->is_up = true;
    node->die_in_calls = 0;
    node->freeze_in_calls = 0;
    memset(node->seen, 0, sizeof node->seen);
}

/* Lanes first: they let go of their shards at the others. */
static void node_free(sim_node *node, int64_t mark_loses_per_mille)
{
    for (int i = 0; i < node->lane_count; i++) {
        alv_lane_free(node->lanes[i]);
        node->lanes[i] = NULL;
    }
    sim_marks_close(node->options->marks, node->number, mark_loses_per_mille);
    sim_peers_stop(node);
    alv_checkpointer_stop(node->checkpointer);
    alv_replicator_free(node->replicator);
    alv_directory_free(node->directory);
    alv_meter_free(node->meter);
    alv_tables_free(node->tables);
    sim_client_free(node->client);
    node->is_up = false;
}

void sim_node_stop(sim_node *node)
{
    ALV_ASSERT(node->is_up && !node->is_dead && !sim_node_is_busy(node));
    sim_trace("n%d: stops", node->number);
    sim_monitor_say_goodbye(node->monitor);
    node->is_stopping = true;
    for (int part = 0; part < SIM_PARTS; part++) {
        node->is_busy[part] = true; /* nobody else takes a turn in it, however long it takes */
    }
    alv_checkpointer_keep(node->checkpointer);
    const sim_turn outer = *node->options->turn;
    *node->options->turn = (sim_turn){.node = node->number, .part = -1};
    node_free(node, 0);
    *node->options->turn = outer;
    for (int part = 0; part < SIM_PARTS; part++) {
        node->is_busy[part] = false;
    }
    node->is_stopping = false;
    if (!node->is_dead) { /* while it stopped */
        sim_network_end(node->options->network, node->number, false);
        (void)node->disk->base.ops->flush(&node->disk->base, NULL);
    } else {
        node->is_dead = false;
        sim_disk_crash(node->disk, 3);
    }
    sim_trace("n%d: is down", node->number);
}

void sim_node_kill(sim_node *node)
{
    if (!node->is_up || node->is_dead) {
        return;
    }
    sim_trace("n%d: dies%s", node->number, sim_node_is_busy(node) ? " in the middle of it" : "");
    node->is_dead = true;
    node->disk->is_dead = true;
    sim_network_end(node->options->network, node->number, node->loses_power);
    sim_marks_died(node->options->marks, node->number);
    node->loses_power = false;
}

void sim_node_poison(sim_node *node, int32_t shard, int64_t offset, bool crashes)
{
    const sim_turn *turn = node->options->turn;
    ALV_ASSERT(turn->node == node->number && turn->part >= 0 && turn->part < node->lane_count);
    sim_trace("n%d/%d: %s of shard %d offset %" PRId64, node->number, turn->part,
              crashes ? "crashes" : "dies", (int)shard, offset);
    sim_marks_die_with(node->options->marks, node->number, turn->part, shard, offset, crashes);
    node->loses_power = false;
    sim_node_kill(node);
}

bool sim_node_is_watching(const sim_node *node)
{
    return node->is_up && !node->is_dead && !node->is_stopping && node->paused_until_ms == 0;
}

bool sim_node_is_busy(const sim_node *node)
{
    for (int part = 0; part < SIM_PARTS; part++) {
        if (node->is_busy[part]) {
            return true;
        }
    }
    return false;
}

void sim_node_bury(sim_node *node, int64_t deep, int64_t mark_loses_per_mille)
{
    ALV_ASSERT(node->is_dead && !sim_node_is_busy(node));
    node_free(node, mark_loses_per_mille);
    node->is_dead = false;
    node->paused_until_ms = 0;
    sim_disk_crash(node->disk, deep);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void node_turn_lane(sim_node *node, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    if (alv_lane_turn(node->lanes[lane], 0, &err) != ALV_OK && !node->is_dead) {
        sim_trace("n%d/%d: cannot go on: %s", node->number, lane, err.text);
        sim_node_kill(node);
    }
}

bool sim_node_turn(sim_node *node, int part)
{
    if (!node->is_up || node->is_dead || node->paused_until_ms > 0 || node->is_busy[part] ||
        (part < SIM_LANES_MAX && part >= node->lane_count)) {
        return false;
    }
    const sim_turn outer = *node->options->turn;
    node->is_busy[part] = true;
    *node->options->turn = (sim_turn){.node = node->number, .part = part};
    switch (part) {
    case SIM_PART_REPLICATOR:
        alv_replicator_turn(node->replicator, 0);
        break;
    case SIM_PART_CHECKPOINTER:
        (void)alv_checkpointer_turn(node->checkpointer, 0);
        break;
    case SIM_PART_TAKEOVER:
        alv_takeover_turn(node->takeover, 0);
        break;
    case SIM_PART_FENCER:
        alv_fencer_turn(node->fencer);
        break;
    case SIM_PART_LOOK:
        sim_peers_look(node);
        break;
    default:
        node_turn_lane(node, part);
        break;
    }
    node->is_busy[part] = false;
    *node->options->turn = outer;
    return true;
}

int64_t sim_node_clock_ms(const sim_node *node)
{
    return node->clock.base.now_ms(&node->clock.base);
}

void sim_node_follow_table(sim_node *node, int64_t short_of)
{
    const sim_version *end = &node->options->broker->table;
    for (int i = 0; i < SIM_TABLE_PARTITIONS; i++) {
        int64_t to = end->offsets[i] - short_of;
        node->table.offsets[i] = to > node->table.offsets[i] ? to : node->table.offsets[i];
    }
    sim_tables_follow(node->tables, &node->table);
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* By the time it comes somebody else may have had the last word. */
static void node_paused(void *payload, alv_status status)
{
    (void)payload;
    (void)status;
}

void sim_node_set_paused(sim_node *node, int32_t shard, bool paused)
{
    if (!node->is_up || node->is_dead) {
        return;
    }
    for (int lane = 0; lane < node->lane_count; lane++) {
        (void)alv_lane_set_paused(node->lanes[lane], shard, paused, node_paused, node);
    }
}

/* As api/ask.c does: the store of whoever is the owner by its own directory. */
void sim_node_read(sim_node *node, int32_t shard)
{
    alv_position position;
    alv_store *store = &node->disk->base;
    if (!node->is_up || node->is_dead || node->paused_until_ms > 0) {
        return;
    }
    alv_shard_view view = alv_directory_view(node->directory, shard);
    const sim_version *seen = sim_model_version(node->options->model, shard);
    if (view.state == ALV_SHARD_STOPPED && (seen->offsets[0] == 0 && seen->offsets[1] == 0)) {
        sim_fail("I8", "n%d shard %d: is stopped", node->number, (int)shard);
    }
    node->awaited += view.state == ALV_SHARD_RESTORING && !sim_version_covers(&node->table, seen);
    if (view.state != ALV_SHARD_ACTIVE ||
        store->ops->position(store, shard, &position, NULL) != ALV_OK) {
        return;
    }
    if (position.commands < node->seen[shard]) {
        sim_fail("I4",
                 "n%d shard %d: what is read is at command %" PRId64 ", and was at %" PRId64
                 " before",
                 node->number, (int)shard, position.commands, node->seen[shard]);
    }
    node->seen[shard] = position.commands;
    sim_disk_check(node->disk, shard);
}
