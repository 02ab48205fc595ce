/* sim_producer.c — a lane's transactional producer; see sim_client.h. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/plant.h"
#include "tests/sim/sim_client_internal.h"
#include "tests/sim/sim_trace.h"

/* How late an EndTxn may be. */
#define PRODUCER_LATE_MAX_MS 9000

typedef struct sim_producer {
    alv_producer base;
    sim_client *client;
    int lane;
    int index;     /* at the coordinator */
    int64_t epoch; /* -1 = it has none */
    bool is_open;
    bool is_fenced;
    bool has_failed; /* a record of the open transaction was not written */
    bool is_tainted; /* something indefinite happened */
    bool is_unknown; /* so the end of the last transaction */
    int64_t ends[SIM_SLOTS];
} sim_producer;

static sim_broker *producer_broker(const sim_producer *producer)
{
    return producer->client->options.broker;
}

static alv_status producer_fenced(sim_producer *producer, alv_error *err)
{
    producer->is_fenced = true;
    return alv_fail(err, ALV_FENCED, "a newer producer has this transactional id");
}

/* I10: a next transaction needs certainty about the last one, or a new epoch. */
static alv_status producer_begin(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    ALV_ASSERT(!producer->is_open);
    if (producer->is_unknown || producer->is_tainted) {
        sim_fail("I10",
                 "n%d/%d begins a transaction with epoch %" PRId64
                 " though the end of the last one is not certain",
                 producer->client->options.node, producer->lane, producer->epoch);
    }
    if (sim_client_is_dead(producer->client) || producer->epoch < 0) {
        return sim_client_away(err);
    }
    if (producer->is_fenced) {
        return producer_fenced(producer, err);
    }
    producer->is_open = true;
    producer->has_failed = false;
    for (int slot = 0; slot < SIM_SLOTS; slot++) {
        producer->ends[slot] = ALV_OFFSET_NONE;
    }
    return ALV_OK;
}

static alv_status producer_produce(alv_producer *base, const alv_produce *record, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    ALV_ASSERT(producer->is_open);
    if (record->value.size > ALV_STATE_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "record is too large");
    }
    if (producer->is_fenced) {
        return producer_fenced(producer, err);
    }
    if (producer->has_failed) {
        return ALV_OK; /* flush says so */
    }
    sim_fate fate = sim_client_call(producer->client, SIM_CALL_PRODUCE);
    if (fate == SIM_FATE_DEAD) {
        return alv_fail(err, ALV_ABORT, "dead");
    }
    if (fate == SIM_FATE_LOST) {
        producer->has_failed = true;
        producer->is_tainted = true;
        return ALV_OK;
    }
    int64_t offset = 0;
    sim_broker *broker = producer_broker(producer);
    if (sim_coordinator_produce(broker, producer->index, producer->epoch, record, &offset) !=
        ALV_OK) {
        return producer_fenced(producer, err);
    }
    int slot = (int)record->topic * SIM_SHARDS_MAX + sim_broker_shard(broker, record);
    producer->ends[slot] = offset + 1;
    return ALV_OK;
}

static alv_status producer_flush(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    if (producer->is_fenced) {
        return producer_fenced(producer, err);
    }
    sim_fate fate = sim_client_call(producer->client, SIM_CALL_ASK);
    if (fate == SIM_FATE_DEAD || producer->has_failed) {
        return alv_fail(err, ALV_ABORT, "a record was not written");
    }
    return ALV_OK;
}

/* Now and then the broker does not say, after a retry. */
static int64_t producer_written_end(const alv_producer *base, alv_topic topic, int32_t shard)
{
    const sim_producer *producer = (const sim_producer *)base;
    if (sim_random_chance(producer->client->options.random,
                          producer->client->options.broker->unsaid_per_mille)) {
        return ALV_OFFSET_NONE;
    }
    return producer->ends[(int)topic * SIM_SHARDS_MAX + shard];
}

/* ---- the end --------------------------------------------------------------------------------- */

/* EndTxn; ALV_RETRY: nobody knows. */
static alv_status producer_end(sim_producer *producer, bool commit, alv_error *err)
{
    sim_broker *broker = producer_broker(producer);
    sim_random *random = producer->client->options.random;
    sim_fate fate = sim_client_call(producer->client, SIM_CALL_END);
    alv_status status = ALV_OK;
    if (fate == SIM_FATE_DEAD) {
        return alv_fail(err, ALV_ABORT, "dead");
    }
    if (fate == SIM_FATE_DONE || fate == SIM_FATE_UNANSWERED) {
        status = sim_coordinator_end(broker, producer->index, producer->epoch, commit);
    } else if (fate == SIM_FATE_LATE) {
        sim_coordinator_end_late(broker, producer->index, producer->epoch, commit,
                                 broker->now_ms +
                                     sim_random_between(random, 1, PRODUCER_LATE_MAX_MS));
    }
    if (fate != SIM_FATE_DONE) {
        static const char *const names[] = {"done", "lost", "carried out", "late"};
        producer->is_unknown = true;
        sim_trace("n%d/%d: no answer to EndTxn(%s) of epoch %" PRId64 ": %s",
                  producer->client->options.node, producer->lane, commit ? "commit" : "abort",
                  producer->epoch, names[fate]);
        return sim_client_away(err);
    }
    return status == ALV_OK ? ALV_OK : producer_fenced(producer, err);
}

static alv_status producer_send_offsets(sim_producer *producer, const sim_consumer *consumer,
                                        const alv_shard_offset *offsets, size_t count,
                                        alv_error *err)
{
    sim_fate fate = sim_client_call(producer->client, SIM_CALL_OFFSETS);
    if (fate == SIM_FATE_DEAD) {
        return alv_fail(err, ALV_ABORT, "dead");
    }
    if (consumer->is_lost && !ALV_PLANTED(OLD_GENERATION)) {
        return alv_fail(err, ALV_ABORT, "the shards are somebody else's");
    }
    alv_status status = ALV_OK;
    bool unchecked = ALV_PLANTED(OLD_GENERATION);
    if (fate != SIM_FATE_LOST) {
        status = sim_coordinator_offsets(
            producer_broker(producer), producer->index, producer->epoch,
            unchecked ? SIM_NO_MEMBER : consumer->member_id, consumer->generation, offsets, count);
    }
    if (fate != SIM_FATE_DONE) {
        producer->is_tainted = true;
        return sim_client_away(err);
    }
    if (status == ALV_ABORT) {
        return alv_fail(err, ALV_ABORT, "the group has moved on");
    }
    return status == ALV_FENCED ? producer_fenced(producer, err) : ALV_OK;
}

static alv_commit_outcome producer_commit(alv_producer *base, alv_consumer *consumer,
                                          const alv_shard_offset *offsets, size_t count,
                                          const char *owner, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    ALV_ASSERT(producer->is_open && owner != NULL && (count == 0 || consumer != NULL));
    if (producer->is_fenced) {
        (void)producer_fenced(producer, err);
        return ALV_COMMIT_ABORTED;
    }
    if (count > 0 && producer_send_offsets(producer, (const sim_consumer *)consumer, offsets, count,
                                           err) != ALV_OK) {
        return ALV_COMMIT_ABORTED;
    }
    switch (producer_end(producer, true, err)) {
    case ALV_OK:
        producer->is_open = false;
        return ALV_COMMIT_DONE;
    case ALV_RETRY:
        producer->is_open = false;
        return ALV_COMMIT_UNKNOWN;
    default:
        return ALV_COMMIT_ABORTED;
    }
}

static alv_status producer_abort(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    if (!producer->is_open) {
        return ALV_OK;
    }
    producer->is_open = false;
    if (producer->is_fenced) {
        return producer_fenced(producer, err);
    }
    alv_status status = producer_end(producer, false, err);
    return status == ALV_ABORT ? ALV_RETRY : status;
}

static bool producer_tainted(const alv_producer *base)
{
    return ((const sim_producer *)base)->is_tainted;
}

/* ---- life ------------------------------------------------------------------------------------ */

static alv_status producer_renew(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    producer->is_open = false;
    producer->epoch = -1;
    sim_fate fate = sim_client_call(producer->client, SIM_CALL_INIT);
    int64_t epoch = -1;
    if (fate == SIM_FATE_DONE || fate == SIM_FATE_UNANSWERED) {
        epoch = ALV_PLANTED(NO_FENCE)
                    ? producer_broker(producer)->producers[producer->index].epoch
                    : sim_coordinator_init(producer_broker(producer), producer->index);
    }
    if (fate != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    producer->epoch = epoch;
    producer->is_fenced = false;
    producer->is_tainted = false;
    producer->is_unknown = false;
    return ALV_OK;
}

static void producer_serve(alv_producer *base)
{
    (void)base; /* it has no callbacks */
}

static void producer_close(alv_producer *base)
{
    sim_producer *producer = (sim_producer *)base;
    if (!sim_client_is_dead(producer->client)) {
        (void)producer_abort(base, NULL);
    }
    alv_free(producer);
}

static const alv_producer_ops producer_ops = {
    .begin = producer_begin,
    .produce = producer_produce,
    .flush = producer_flush,
    .written_end = producer_written_end,
    .commit = producer_commit,
    .abort = producer_abort,
    .tainted = producer_tainted,
    .renew = producer_renew,
    .serve = producer_serve,
    .close = producer_close,
};

alv_status sim_client_open_producer(alv_log_port *port, int lane, alv_producer **out,
                                    alv_error *err)
{
    sim_producer *producer = alv_alloc(sizeof *producer);
    producer->base.ops = &producer_ops;
    producer->client = (sim_client *)port;
    producer->lane = lane;
    producer->index = sim_producer_index(producer->client->options.node, lane);
    alv_status status = producer_renew(&producer->base, err);
    if (status != ALV_OK) {
        alv_free(producer);
        return status;
    }
    *out = &producer->base;
    return ALV_OK;
}
