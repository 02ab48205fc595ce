/* sim_log_producer.c — transactions: records are there at once, and count when they are committed. */
#include "base/alloc.h"
#include "base/assert.h"
#include "tests/support/sim_log_internal.h"
#include "topics/partitioner.h"

/* A place written by the open transaction. */
typedef struct sim_place {
    alv_topic topic;
    int32_t shard;
    size_t index;
} sim_place;

typedef struct sim_producer {
    alv_producer base;
    alv_sim_log *log;
    int epoch;
    bool open;
    sim_place *places;
    size_t place_count;
    int64_t *ends; /* topic * shard_count + shard */
} sim_producer;

static alv_status sim_producer_begin(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    ALV_ASSERT(!producer->open);
    ALV_ASSERT(!producer->log->tainted); /* I10: whoever begins has renewed first */
    if (alv_sim_takes_fault(producer->log, ALV_SIM_BEGIN_RETRY)) {
        return alv_fail(err, ALV_RETRY, "brokers are away");
    }
    producer->open = true;
    producer->place_count = 0;
    size_t slots = (size_t)ALV_TOPICS_MAX * (size_t)producer->log->shard_count;
    for (size_t i = 0; i < slots; i++) {
        producer->ends[i] = ALV_OFFSET_NONE;
    }
    return ALV_OK;
}

static alv_status sim_producer_produce(alv_producer *base, const alv_produce *record,
                                       alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    alv_sim_log *log = producer->log;
    ALV_ASSERT(producer->open);
    if (alv_sim_takes_fault(log, ALV_SIM_PRODUCE_ABORT)) {
        return alv_fail(err, ALV_ABORT, "not enough replicas");
    }
    if (record->value.size > ALV_STATE_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "record is too large");
    }
    int32_t shard =
        record->shard >= 0 ? record->shard : alv_partitioner_shard(record->key, log->shard_count);
    sim_record *stored = alv_sim_append(log, record->topic, shard, SIM_OPEN);
    int64_t timestamp_ms = record->timestamp_ms != 0 ? record->timestamp_ms : log->now_ms;
    alv_sim_fill(stored, record->key, record->value, timestamp_ms, record->headers,
                 record->header_count);
    size_t index = alv_sim_partition_of(log, record->topic, shard)->count - 1;
    producer->places =
        alv_realloc(producer->places, (producer->place_count + 1) * sizeof(sim_place));
    producer->places[producer->place_count++] = (sim_place){record->topic, shard, index};
    producer->ends[alv_sim_slot(log, record->topic, shard)] = (int64_t)index + 1;
    return ALV_OK;
}

static alv_status sim_producer_flush(alv_producer *base, alv_error *err)
{
    const sim_producer *producer = (const sim_producer *)base;
    if (alv_sim_takes_fault(producer->log, ALV_SIM_FLUSH_FATAL)) {
        return alv_fail(err, ALV_FATAL, "the producer is broken for good");
    }
    return ALV_OK;
}

static int64_t sim_producer_written_end(const alv_producer *base, alv_topic topic, int32_t shard)
{
    const sim_producer *producer = (const sim_producer *)base;
    return producer->ends[alv_sim_slot(producer->log, topic, shard)];
}

/* Gives every record of the transaction its fate, and every partition it wrote to a marker. */
static void sim_producer_end(sim_producer *producer, sim_fate fate)
{
    alv_sim_log *log = producer->log;
    for (size_t i = 0; i < producer->place_count; i++) {
        const sim_place *place = &producer->places[i];
        alv_sim_partition_of(log, place->topic, place->shard)->records[place->index].fate = fate;
    }
    for (size_t i = 0; i < producer->place_count; i++) {
        const sim_place *place = &producer->places[i];
        sim_partition *partition = alv_sim_partition_of(log, place->topic, place->shard);
        if (place->index == partition->count - 1) {
            (void)alv_sim_append(log, place->topic, place->shard, SIM_CONTROL);
        }
    }
    producer->place_count = 0;
    producer->open = false;
}

static void sim_producer_carry_out(sim_producer *producer, const alv_shard_offset *offsets,
                                   size_t count)
{
    sim_producer_end(producer, SIM_COMMITTED);
    for (size_t i = 0; i < count; i++) {
        producer->log->committed[offsets[i].shard] = offsets[i].offset;
    }
}

static alv_commit_outcome sim_producer_commit(alv_producer *base, alv_consumer *consumer,
                                              const alv_shard_offset *offsets, size_t count,
                                              const char *owner, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    alv_sim_log *log = producer->log;
    ALV_ASSERT(producer->open && consumer != NULL && owner != NULL);
    if (producer->epoch != log->epochs) {
        (void)alv_fail(err, ALV_FENCED, "a newer producer has this transactional id");
        return ALV_COMMIT_ABORTED;
    }
    if (alv_sim_takes_fault(log, ALV_SIM_COMMIT_ABORTED)) {
        (void)alv_fail(err, ALV_ABORT, "illegal generation");
        return ALV_COMMIT_ABORTED;
    }
    bool lost_answer = alv_sim_takes_fault(log, ALV_SIM_COMMIT_LOST_ANSWER);
    if (lost_answer || alv_sim_takes_fault(log, ALV_SIM_COMMIT_LOST_REQUEST)) {
        if (lost_answer) {
            sim_producer_carry_out(producer, offsets, count);
        }
        log->tainted = true;
        (void)alv_fail(err, ALV_RETRY, "no answer");
        return ALV_COMMIT_UNKNOWN;
    }
    sim_producer_carry_out(producer, offsets, count);
    return ALV_COMMIT_DONE;
}

static alv_status sim_producer_abort(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    (void)err;
    if (producer->open) {
        sim_producer_end(producer, SIM_ABORTED);
    }
    return ALV_OK;
}

static bool sim_producer_tainted(const alv_producer *base)
{
    return ((const sim_producer *)base)->log->tainted;
}

static void sim_producer_serve(alv_producer *base)
{
    (void)base; /* it has no callbacks */
}

static alv_status sim_producer_renew(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    if (alv_sim_takes_fault(producer->log, ALV_SIM_RENEW_RETRY)) {
        return alv_fail(err, ALV_RETRY, "brokers are away");
    }
    if (alv_sim_takes_fault(producer->log, ALV_SIM_RENEW_FATAL)) {
        return alv_fail(err, ALV_FATAL, "the transactional id is not allowed any more");
    }
    if (producer->open) {
        sim_producer_end(producer, SIM_ABORTED);
    }
    producer->log->tainted = false;
    producer->epoch = ++producer->log->epochs;
    return ALV_OK;
}

static void sim_producer_close(alv_producer *base)
{
    sim_producer *producer = (sim_producer *)base;
    (void)sim_producer_abort(base, NULL);
    alv_free(producer->places);
    alv_free(producer->ends);
    alv_free(producer);
}

static const alv_producer_ops sim_producer_ops = {
    .begin = sim_producer_begin,
    .produce = sim_producer_produce,
    .flush = sim_producer_flush,
    .written_end = sim_producer_written_end,
    .commit = sim_producer_commit,
    .abort = sim_producer_abort,
    .tainted = sim_producer_tainted,
    .renew = sim_producer_renew,
    .serve = sim_producer_serve,
    .close = sim_producer_close,
};

alv_status alv_sim_open_producer(alv_log_port *port, int lane, alv_producer **out, alv_error *err)
{
    alv_sim_log *log = (alv_sim_log *)port;
    (void)lane;
    (void)err;
    sim_producer *producer = alv_alloc(sizeof *producer);
    producer->base.ops = &sim_producer_ops;
    producer->log = log;
    producer->epoch = ++log->epochs;
    producer->ends =
        alv_alloc_array((size_t)ALV_TOPICS_MAX * (size_t)log->shard_count, sizeof *producer->ends);
    *out = &producer->base;
    return ALV_OK;
}
