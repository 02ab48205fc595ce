#include "tests/support/sim_world.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "behaviors/builtin.h"
#include "statestore/codec.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

static void world_assignment_changed(void *payload)
{
    alv_sim_world *world = payload;
    world->assignment_changes++;
}

static bool world_is_early(alv_sim_world *world, const alv_result *reply)
{
    alv_position stored = ALV_POSITION_START;
    alv_status status = world->memory->ops->position(world->memory, reply->shard, &stored, NULL);
    ALV_ASSERT(status == ALV_OK);
    return alv_sim_log_committed(world->log, reply->shard) <= reply->offset ||
           stored.commands <= reply->offset || !alv_position_covers(&stored, &reply->position);
}

static void world_replied(void *payload, alv_reply_box *box)
{
    alv_sim_world *world = payload;
    for (size_t i = 0; i < box->count; i++) {
        alv_result reply = alv_reply_box_get(box, i);
        alv_reply_box_add(&world->replies, &reply);
        world->replies_early += world_is_early(world, &reply);
    }
}

/* Restores of a few records by the usual path, of more in bulk: both happen. */
#define SIM_BULK_RECORDS_MIN 6

static void world_lane_ended(void *payload, const alv_error *error)
{
    (void)payload;
    (void)error;
}

static void world_replica_progress(void *payload, const alv_replica_view *view)
{
    alv_sim_world *world = payload;
    const alv_restore *restore = view->restore;
    const alv_restore_progress progress = {
        .records = restore->records, .target = restore->records_target, .bytes = restore->bytes};
    alv_directory_set_standby(world->directory, restore->shard,
                              view->replica == ALV_REPLICA_CATCHING_UP ||
                                  view->replica == ALV_REPLICA_HOT,
                              view->replica == ALV_REPLICA_HOT);
    alv_directory_set_restore(world->directory, restore->shard, &progress);
}

static void world_start(alv_sim_world *world)
{
    const alv_settings *settings = alv_config_settings(world->config);
    const alv_replicator_options replicator = {.log = world->port,
                                               .store = world->store,
                                               .clock = &world->clock.clock,
                                               .settings = settings,
                                               .shard_count = ALV_SIM_SHARDS,
                                               .bulk_records_min = SIM_BULK_RECORDS_MIN,
                                               .progress = world_replica_progress,
                                               .payload = world};
    alv_status status = alv_replicator_new(&replicator, &world->replicator, NULL);
    if (status != ALV_OK) { /* the process ends, and whoever looks after it starts it again */
        ALV_ASSERT(world->faulty_log != NULL);
        status = alv_replicator_new(&replicator, &world->replicator, NULL);
    }
    ALV_ASSERT(status == ALV_OK);
    alv_table_list list;
    status = alv_table_list_parse(settings->global_tables, &list, NULL);
    ALV_ASSERT(status == ALV_OK);
    world->tables = list.count > 0 ? alv_tables_new(&list) : NULL;
    world->directory = alv_directory_new(ALV_SIM_SHARDS);
    world->meter = alv_meter_new();
    const alv_lane_options lane = {.number = 0,
                                   .shard_count = ALV_SIM_SHARDS,
                                   .settings = settings,
                                   .registry = world->registry,
                                   .clock = &world->clock.clock,
                                   .log = world->port,
                                   .store = world->store,
                                   .directory = world->directory,
                                   .replicator = world->replicator,
                                   .crash_mark = world->crash_mark,
                                   .meter = world->meter,
                                   .tables = world->tables,
                                   .replied = world_replied,
                                   .assignment_changed = world_assignment_changed,
                                   .ended = world_lane_ended,
                                   .payload = world};
    world->lane = alv_lane_new(&lane);
}

static void world_stop(alv_sim_world *world)
{
    alv_lane_free(world->lane);
    alv_replicator_free(world->replicator);
    alv_tables_free(world->tables);
    alv_directory_free(world->directory);
    alv_meter_free(world->meter);
}

/* All but what runs. */
static void world_init(alv_sim_world *world, const char *const *assignments,
                       const alv_behavior *behavior, alv_crash_mark *crash_mark)
{
    alv_log_set_level(ALV_LOG_ERROR);
    memset(world, 0, sizeof *world);
    world->crash_mark = crash_mark;
    world->config = alv_config_new();
    alv_status status = alv_config_set(world->config, "node.id=node-a", NULL);
    for (size_t i = 0; assignments != NULL && assignments[i] != NULL; i++) {
        ALV_ASSERT(status == ALV_OK);
        status = alv_config_set(world->config, assignments[i], NULL);
    }
    ALV_ASSERT(status == ALV_OK);
    status = alv_config_finish(world->config, NULL);
    ALV_ASSERT(status == ALV_OK);
    alv_manual_clock_init(&world->clock, 1700000000000);
    world->log = alv_sim_log_new(ALV_SIM_SHARDS);
    world->port = alv_sim_log_port(world->log);
    alv_sim_log_set_time(world->log, alv_now_ms(&world->clock.clock));
    world->memory = alv_store_memory_new();
    world->faults = alv_faulty_store_new(world->memory);
    world->store = &world->faults->base;
    world->registry = alv_registry_new();
    status = alv_builtin_register(world->registry, NULL);
    ALV_ASSERT(status == ALV_OK);
    if (behavior != NULL) {
        status = alv_registry_add(world->registry, behavior, NULL);
        ALV_ASSERT(status == ALV_OK);
    }
    status = alv_registry_set_default(world->registry, "user", NULL);
    ALV_ASSERT(status == ALV_OK);
}

void alv_sim_world_init(alv_sim_world *world, const char *const *assignments)
{
    alv_sim_world_init_with(world, assignments, NULL, NULL);
}

void alv_sim_world_init_with(alv_sim_world *world, const char *const *assignments,
                             const alv_behavior *behavior, alv_crash_mark *crash_mark)
{
    world_init(world, assignments, behavior, crash_mark);
    world_start(world);
}

void alv_sim_world_init_faulty(alv_sim_world *world, const char *const *assignments,
                               alv_io_faults *io)
{
    world_init(world, assignments, NULL, NULL);
    world->faults->io = io;
    world->faulty_log = alv_faulty_log_new(world->port, io, ALV_SIM_SHARDS);
    world->port = alv_faulty_log_port(world->faulty_log);
    world_start(world);
}

void alv_sim_world_done(alv_sim_world *world)
{
    world_stop(world);
    alv_reply_box_done(&world->replies);
    world->store->ops->close(world->store);
    alv_faulty_log_free(world->faulty_log);
    alv_sim_log_free(world->log);
    alv_registry_free(world->registry);
    alv_config_free(world->config);
}

alv_status alv_sim_world_turn(alv_sim_world *world, alv_error *err)
{
    alv_status status = alv_lane_turn(world->lane, 0, err);
    alv_replicator_turn(world->replicator, 0);
    alv_manual_clock_advance(&world->clock, 1);
    alv_sim_log_set_time(world->log, alv_now_ms(&world->clock.clock));
    return status;
}

void alv_sim_world_run(alv_sim_world *world, int turns)
{
    for (int i = 0; i < turns; i++) {
        alv_status status = alv_sim_world_turn(world, NULL);
        ALV_ASSERT(status == ALV_OK);
    }
}

void alv_sim_world_activate(alv_sim_world *world)
{
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        alv_sim_log_assign(world->log, 0, shard);
    }
    for (int i = 0; i < 100; i++) {
        alv_sim_world_run(world, 1);
        if (alv_directory_count(world->directory, ALV_SHARD_ACTIVE) == ALV_SIM_SHARDS) {
            return;
        }
    }
    ALV_ASSERT(!"the shards do not become active");
}

/* A dead process calls nobody: the assignment is taken away as lost, which commits nothing, and the
 * open transaction is left to the next producer's renewal, which aborts it. */
void alv_sim_world_crash(alv_sim_world *world, size_t applies)
{
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        alv_sim_log_revoke(world->log, 0, shard, true);
    }
    world_stop(world);
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        alv_store_memory_crash(world->memory, shard, applies);
    }
    world_start(world);
}

void alv_sim_world_restart(alv_sim_world *world)
{
    world_stop(world);
    world_start(world);
}

int32_t alv_sim_world_send(alv_sim_world *world, const char *key, const char *command)
{
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    (void)alv_sim_log_append(world->log, ALV_TOPIC_COMMANDS, shard, key, command, NULL, 0);
    return shard;
}

void alv_sim_world_pass(alv_sim_world *world, int64_t ms)
{
    alv_manual_clock_advance(&world->clock, ms);
    alv_sim_log_set_time(world->log, alv_now_ms(&world->clock.clock));
}

int32_t alv_sim_world_send_waiting(alv_sim_world *world, const char *key, const char *command,
                                   const char *id)
{
    const alv_header headers[] = {
        {ALV_HEADER_REPLY_TO, ALV_VIEW(ALV_REPLY_TO_NODE "node-b")},
        {ALV_HEADER_CORRELATION_ID, alv_view_of(id)},
    };
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    (void)alv_sim_log_append(world->log, ALV_TOPIC_COMMANDS, shard, key, command, headers, 2);
    return shard;
}

const char *alv_sim_world_user(int32_t shard)
{
    static const char *const users[] = {"mall-7:user-1", "mall-7:user-2", "mall-7:user-3",
                                        "mall-7:user-4", "mall-7:user-5", "mall-7:user-6"};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        if (alv_partitioner_shard(alv_view_of(users[i]), ALV_SIM_SHARDS) == shard) {
            return users[i];
        }
    }
    ALV_ASSERT(!"six users are in all shards");
    return NULL;
}

/* -1: the state has no such member. */
static int64_t world_member(alv_view encoded, const char *member)
{
    json_t *state = NULL;
    alv_status status = alv_codec_decode(encoded, &state, NULL);
    ALV_ASSERT(status == ALV_OK);
    const json_t *value = json_object_get(state, member);
    int64_t number = value == NULL ? -1 : json_integer_value(value);
    json_decref(state);
    return number;
}

int64_t alv_sim_world_stored_balance(alv_sim_world *world, const char *key)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    bool found = false;
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    alv_status status = world->store->ops->get(world->store, shard, ALV_STORE_STATE,
                                               alv_view_of(key), &found, &value, NULL);
    ALV_ASSERT(status == ALV_OK);
    int64_t balance = found ? world_member(alv_bytes_view(&value), "balance") : -1;
    alv_bytes_done(&value);
    return balance;
}

int64_t alv_sim_world_logged(const alv_sim_world *world, const char *key, const char *member)
{
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    const char *last = alv_sim_log_last(world->log, ALV_TOPIC_CHANGELOG, shard, key, NULL);
    return last == NULL ? -1 : world_member(alv_view_of(last), member);
}

int64_t alv_sim_world_logged_balance(alv_sim_world *world, const char *key)
{
    return alv_sim_world_logged(world, key, "balance");
}
