/* sim_coordinator.c — transactions as their coordinator sees them; see sim_broker.h. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "tests/sim/sim_broker.h"
#include "tests/sim/sim_trace.h"

/* How long a marker may be under way when it does not arrive at once. */
#define MARKER_DELAY_MAX_MS 3000

int sim_producer_index(int node, int lane)
{
    ALV_ASSERT(node < SIM_NODES_MAX && lane < SIM_LANES_MAX);
    return node * SIM_LANES_MAX + lane;
}

/* ---- markers --------------------------------------------------------------------------------- */

static void coordinator_take_offsets(sim_broker *broker, sim_transaction *transaction)
{
    transaction->offsets_marked = true;
    for (size_t i = 0; i < transaction->offset_count; i++) {
        if (transaction->decision == SIM_COMMITTED) {
            broker->committed[transaction->offsets[i].shard] = transaction->offsets[i].offset;
            broker->committed_by[transaction->offsets[i].shard] = transaction->producer;
        }
    }
}

static void coordinator_write_marker(sim_broker *broker, const sim_marker *marker)
{
    sim_transaction *transaction = marker->transaction;
    if (marker->slot == SIM_SLOTS) {
        coordinator_take_offsets(broker, transaction);
        return;
    }
    transaction->marked |= UINT64_C(1) << marker->slot;
    const alv_produce control = {.topic = (alv_topic)(marker->slot / SIM_SHARDS_MAX),
                                 .shard = marker->slot % SIM_SHARDS_MAX};
    int64_t offset = sim_broker_append(broker, &control);
    broker->partitions[marker->slot].records[offset].is_control = true;
}

/* Writes those that are due; all of one transaction when it is given. */
static void coordinator_write_markers(sim_broker *broker, const sim_transaction *only)
{
    size_t kept = 0;
    for (size_t i = 0; i < broker->marker_count; i++) {
        sim_marker marker = broker->markers[i];
        bool due = only == NULL ? broker->now_ms >= marker.due_ms : marker.transaction == only;
        if (due) {
            coordinator_write_marker(broker, &marker);
        } else {
            broker->markers[kept++] = marker;
        }
    }
    broker->marker_count = kept;
}

static void coordinator_add_marker(sim_broker *broker, sim_transaction *transaction, int slot,
                                   bool delayed)
{
    int64_t delay_ms = delayed ? sim_random_below(broker->random, MARKER_DELAY_MAX_MS) : 0;
    broker->markers =
        alv_realloc(broker->markers, (broker->marker_count + 1) * sizeof *broker->markers);
    broker->markers[broker->marker_count++] =
        (sim_marker){.transaction = transaction, .slot = slot, .due_ms = broker->now_ms + delay_ms};
}

static void coordinator_decide(sim_broker *broker, int producer, sim_decision decision)
{
    sim_producer_state *state = &broker->producers[producer];
    sim_transaction *transaction = state->open;
    state->open = NULL;
    state->ending = transaction;
    transaction->decision = decision;
    bool delayed = sim_random_chance(broker->random, broker->marker_delay_per_mille);
    uint64_t slots = 0;
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        int slot = (int)place->topic * SIM_SHARDS_MAX + place->shard;
        if ((slots >> slot & 1) == 0) {
            slots |= UINT64_C(1) << slot;
            coordinator_add_marker(broker, transaction, slot, delayed);
        }
    }
    coordinator_add_marker(broker, transaction, SIM_SLOTS, delayed);
    broker->decided(broker->payload, transaction);
    coordinator_write_markers(broker, NULL);
}

/* A new transaction, and a new producer, wait for the markers of the last one. */
static void coordinator_complete(sim_broker *broker, int producer)
{
    sim_producer_state *state = &broker->producers[producer];
    if (state->ending != NULL) {
        coordinator_write_markers(broker, state->ending);
        state->ending = NULL;
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

int64_t sim_coordinator_init(sim_broker *broker, int producer)
{
    sim_producer_state *state = &broker->producers[producer];
    state->epoch++;
    if (state->open != NULL) {
        coordinator_decide(broker, producer, SIM_ABORTED);
    }
    coordinator_complete(broker, producer);
    return state->epoch;
}

static sim_transaction *coordinator_open(sim_broker *broker, int producer)
{
    sim_producer_state *state = &broker->producers[producer];
    if (state->open == NULL) {
        coordinator_complete(broker, producer);
        broker->transactions = alv_realloc(broker->transactions, (broker->transaction_count + 1) *
                                                                     sizeof(sim_transaction *));
        sim_transaction *transaction = alv_alloc(sizeof *transaction);
        transaction->number = (int)broker->transaction_count;
        transaction->producer = producer;
        transaction->began_ms = broker->now_ms;
        broker->transactions[broker->transaction_count++] = transaction;
        state->open = transaction;
    }
    return state->open;
}

alv_status sim_coordinator_produce(sim_broker *broker, int producer, int64_t epoch,
                                   const alv_produce *record, int64_t *out_offset)
{
    if (epoch != broker->producers[producer].epoch) {
        return ALV_FENCED;
    }
    sim_transaction *transaction = coordinator_open(broker, producer);
    int32_t shard = sim_broker_shard(broker, record);
    int64_t offset = sim_broker_append(broker, record);
    sim_broker_partition(broker, record->topic, shard)->records[offset].transaction = transaction;
    if (transaction->place_count == transaction->place_capacity) {
        transaction->place_capacity = 2 * transaction->place_capacity + 16;
        transaction->places =
            alv_realloc(transaction->places, transaction->place_capacity * sizeof(sim_place));
    }
    transaction->places[transaction->place_count++] = (sim_place){record->topic, shard, offset};
    *out_offset = offset;
    return ALV_OK;
}

alv_status sim_coordinator_offsets(sim_broker *broker, int producer, int64_t epoch,
                                   int64_t member_id, int64_t generation,
                                   const alv_shard_offset *offsets, size_t count)
{
    if (epoch != broker->producers[producer].epoch) {
        return ALV_FENCED;
    }
    if (member_id != SIM_NO_MEMBER &&
        !sim_group_takes_offsets(&broker->group, member_id, generation)) {
        return ALV_ABORT;
    }
    sim_transaction *transaction = coordinator_open(broker, producer);
    ALV_ASSERT(count <= SIM_SHARDS_MAX);
    for (size_t i = 0; i < count; i++) {
        transaction->offsets[i] = offsets[i];
    }
    transaction->offset_count = count;
    return ALV_OK;
}

/* As Kafka before KIP-890: which transaction of the epoch is meant, the request does not say. */
alv_status sim_coordinator_end(sim_broker *broker, int producer, int64_t epoch, bool commit)
{
    sim_producer_state *state = &broker->producers[producer];
    if (epoch != state->epoch) {
        return ALV_FENCED;
    }
    if (state->open != NULL) {
        coordinator_decide(broker, producer, commit ? SIM_COMMITTED : SIM_ABORTED);
    }
    return ALV_OK;
}

void sim_coordinator_end_late(sim_broker *broker, int producer, int64_t epoch, bool commit,
                              int64_t due_ms)
{
    if (broker->late_count < SIM_LATE_MAX) {
        broker->late[broker->late_count++] = (sim_late_end){producer, epoch, commit, due_ms};
    }
}

bool sim_coordinator_is_unstable(const sim_broker *broker, int32_t shard)
{
    for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
        const sim_producer_state *state = &broker->producers[i];
        const sim_transaction *both[] = {state->open, state->ending};
        for (int j = 0; j < 2; j++) {
            for (size_t k = 0; both[j] != NULL && k < both[j]->offset_count; k++) {
                if (!both[j]->offsets_marked && both[j]->offsets[k].shard == shard) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* ---- what comes by itself -------------------------------------------------------------------- */

static void coordinator_receive_late(sim_broker *broker)
{
    for (size_t i = 0; i < broker->late_count;) {
        sim_late_end late = broker->late[i];
        if (broker->now_ms < late.due_ms) {
            i++;
            continue;
        }
        broker->late[i] = broker->late[--broker->late_count];
        bool hits = broker->producers[late.producer].open != NULL;
        alv_status status = sim_coordinator_end(broker, late.producer, late.epoch, late.commit);
        broker->late_hits += status == ALV_OK && hits;
        sim_trace("broker: a late EndTxn(%s) of p%d epoch %" PRId64 " arrives: %s",
                  late.commit ? "commit" : "abort", late.producer, late.epoch,
                  status != ALV_OK ? "fenced"
                  : hits           ? "ends what is open"
                                   : "nothing is open");
    }
}

void sim_coordinator_tick(sim_broker *broker)
{
    coordinator_receive_late(broker);
    coordinator_write_markers(broker, NULL);
    for (int i = 0; i < SIM_MEMBERS_MAX; i++) {
        sim_producer_state *state = &broker->producers[i];
        if (state->open != NULL &&
            broker->now_ms - state->open->began_ms > ALV_TRANSACTION_TIMEOUT_MS) {
            sim_trace("broker: the transaction of p%d takes too long", i);
            state->epoch++;
            coordinator_decide(broker, i, SIM_ABORTED);
        }
    }
}
