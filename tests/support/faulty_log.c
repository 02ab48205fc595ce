#include "tests/support/faulty_log.h"

#include "base/alloc.h"
#include "base/assert.h"

typedef struct faulty_consumer {
    alv_consumer base;
    alv_faulty_log *log;
    alv_consumer *inner;
    alv_rebalance_listener listener;
} faulty_consumer;

typedef struct faulty_producer {
    alv_producer base;
    alv_faulty_log *log;
    alv_producer *inner;
    bool is_fenced;  /* until it is renewed */
    bool is_tainted; /* the same */
} faulty_producer;

typedef struct faulty_reader {
    alv_reader base;
    alv_faulty_log *log;
    alv_reader *inner;
} faulty_reader;

struct alv_faulty_log {
    alv_log_port port;
    alv_log_port *inner;
    alv_io_faults *faults;
    int32_t shard_count;
    bool *assigned;   /* by shard */
    int *assignments; /* by shard */
};

static alv_status faulty_fail(alv_error *err, alv_status status, const char *call)
{
    return alv_fail(err, status, "%s fails, as the test wants it", call);
}

/* The usual call: it passes, or fails with what may pass. */
#define FAULTY_PASS_OR_RETRY(log, call, err, pass)        \
    do {                                                  \
        if (alv_io_faults_hit((log)->faults, (call))) {   \
            return faulty_fail((err), ALV_RETRY, (call)); \
        }                                                 \
        return (pass);                                    \
    } while (0)

/* ---- consumer -------------------------------------------------------------------------------- */

/* Tells the lane, of those shards that it has not lost already. */
static void faulty_assigned(void *payload, const int32_t *shards, size_t count)
{
    faulty_consumer *consumer = payload;
    for (size_t i = 0; i < count; i++) {
        consumer->log->assigned[shards[i]] = true;
        consumer->log->assignments[shards[i]]++;
    }
    consumer->listener.assigned(consumer->listener.payload, shards, count);
}

static void faulty_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    faulty_consumer *consumer = payload;
    for (size_t i = 0; i < count; i++) {
        if (consumer->log->assigned[shards[i]]) {
            consumer->listener.revoked(consumer->listener.payload, &shards[i], 1, lost);
            consumer->log->assigned[shards[i]] = false;
        }
    }
}

static void faulty_lose_all(faulty_consumer *consumer)
{
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        faulty_revoked(consumer, &shard, 1, true);
    }
}

static alv_status faulty_consumer_poll(alv_consumer *base, int timeout_ms, alv_batch *out,
                                       alv_error *err)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    if (!alv_io_faults_hit(consumer->log->faults, "consumer.poll")) {
        return consumer->inner->ops->poll(consumer->inner, timeout_ms, out, err);
    }
    alv_batch_clear(out);
    int flavour = consumer->log->faults->flavour;
    if (flavour != 1 && flavour != 2) {
        return faulty_fail(err, ALV_RETRY, "consumer.poll");
    }
    faulty_lose_all(consumer);
    return faulty_fail(err, flavour == 1 ? ALV_FENCED : ALV_FATAL, "consumer.poll");
}

static void faulty_consumer_wake(alv_consumer *base)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    consumer->inner->ops->wake(consumer->inner);
}

static alv_status faulty_consumer_start(alv_consumer *base, int32_t shard, int64_t offset,
                                        alv_error *err)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    FAULTY_PASS_OR_RETRY(consumer->log, "consumer.start", err,
                         consumer->inner->ops->start(consumer->inner, shard, offset, err));
}

static alv_status faulty_consumer_pause(alv_consumer *base, int32_t shard, alv_error *err)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    FAULTY_PASS_OR_RETRY(consumer->log, "consumer.pause", err,
                         consumer->inner->ops->pause(consumer->inner, shard, err));
}

static alv_status faulty_consumer_committed(alv_consumer *base, alv_shard_offset *items,
                                            size_t count, alv_error *err)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    FAULTY_PASS_OR_RETRY(consumer->log, "consumer.committed", err,
                         consumer->inner->ops->committed(consumer->inner, items, count, err));
}

static alv_status faulty_consumer_range(alv_consumer *base, int32_t shard, int64_t *out_start,
                                        int64_t *out_end, alv_error *err)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    FAULTY_PASS_OR_RETRY(
        consumer->log, "consumer.range", err,
        consumer->inner->ops->range(consumer->inner, shard, out_start, out_end, err));
}

static int64_t faulty_consumer_end(const alv_consumer *base, int32_t shard)
{
    const faulty_consumer *consumer = (const faulty_consumer *)base;
    return consumer->inner->ops->end(consumer->inner, shard);
}

static void faulty_consumer_close(alv_consumer *base, bool stay)
{
    faulty_consumer *consumer = (faulty_consumer *)base;
    consumer->inner->ops->close(consumer->inner, stay);
    alv_free(consumer);
}

static const alv_consumer_ops faulty_consumer_ops = {
    .poll = faulty_consumer_poll,
    .wake = faulty_consumer_wake,
    .start = faulty_consumer_start,
    .pause = faulty_consumer_pause,
    .committed = faulty_consumer_committed,
    .range = faulty_consumer_range,
    .end = faulty_consumer_end,
    .close = faulty_consumer_close,
};

/* How an open_* fails. */
static alv_status faulty_open_status(const alv_faulty_log *log)
{
    return log->faults->flavour == 1 ? ALV_FATAL : ALV_RETRY;
}

static alv_status faulty_open_consumer(alv_log_port *port, int lane,
                                       const alv_rebalance_listener *listener, alv_consumer **out,
                                       alv_error *err)
{
    alv_faulty_log *log = (alv_faulty_log *)port;
    if (alv_io_faults_hit(log->faults, "open_consumer")) {
        return faulty_fail(err, faulty_open_status(log), "open_consumer");
    }
    faulty_consumer *consumer = alv_alloc(sizeof *consumer);
    consumer->base.ops = &faulty_consumer_ops;
    consumer->log = log;
    consumer->listener = *listener;
    const alv_rebalance_listener ours = {faulty_assigned, faulty_revoked, consumer};
    alv_status status =
        log->inner->ops->open_consumer(log->inner, lane, &ours, &consumer->inner, err);
    ALV_ASSERT(status == ALV_OK);
    *out = &consumer->base;
    return ALV_OK;
}

/* ---- producer -------------------------------------------------------------------------------- */

/* Whether a call fails, and with what: `mild`, or fenced, which it stays. */
static bool faulty_producer_fails(faulty_producer *producer, const char *call, alv_status mild,
                                  alv_status *out, alv_error *err)
{
    bool hit = alv_io_faults_hit(producer->log->faults, call);
    if (hit && producer->log->faults->flavour == 1) {
        producer->is_fenced = true;
    }
    if (!hit && !producer->is_fenced) {
        return false;
    }
    *out = faulty_fail(err, producer->is_fenced ? ALV_FENCED : mild, call);
    return true;
}

static alv_status faulty_producer_begin(alv_producer *base, alv_error *err)
{
    faulty_producer *producer = (faulty_producer *)base;
    alv_status status = ALV_OK;
    ALV_ASSERT(!producer->is_tainted); /* I10 */
    if (faulty_producer_fails(producer, "producer.begin", ALV_RETRY, &status, err)) {
        return status;
    }
    return producer->inner->ops->begin(producer->inner, err);
}

static alv_status faulty_producer_produce(alv_producer *base, const alv_produce *record,
                                          alv_error *err)
{
    faulty_producer *producer = (faulty_producer *)base;
    alv_status mild = producer->log->faults->flavour == 2 ? ALV_REJECT : ALV_ABORT;
    alv_status status = ALV_OK;
    if (faulty_producer_fails(producer, "producer.produce", mild, &status, err)) {
        return status;
    }
    return producer->inner->ops->produce(producer->inner, record, err);
}

static alv_status faulty_producer_flush(alv_producer *base, alv_error *err)
{
    faulty_producer *producer = (faulty_producer *)base;
    alv_status status = ALV_OK;
    if (faulty_producer_fails(producer, "producer.flush", ALV_ABORT, &status, err)) {
        return status;
    }
    return producer->inner->ops->flush(producer->inner, err);
}

static int64_t faulty_producer_written_end(const alv_producer *base, alv_topic topic, int32_t shard)
{
    const faulty_producer *producer = (const faulty_producer *)base;
    return producer->inner->ops->written_end(producer->inner, topic, shard);
}

static alv_commit_outcome faulty_commit_fails(faulty_producer *producer, alv_consumer *consumer,
                                              const alv_shard_offset *offsets, size_t count,
                                              const char *owner, alv_error *err)
{
    int flavour = producer->log->faults->flavour;
    if (flavour == 2 || flavour == 3) {
        if (flavour == 2) {
            alv_commit_outcome outcome = producer->inner->ops->commit(producer->inner, consumer,
                                                                      offsets, count, owner, NULL);
            ALV_ASSERT(outcome == ALV_COMMIT_DONE);
        }
        producer->is_tainted = true;
        (void)faulty_fail(err, ALV_RETRY, "producer.commit");
        return ALV_COMMIT_UNKNOWN;
    }
    producer->is_fenced = producer->is_fenced || flavour == 1;
    (void)faulty_fail(err, producer->is_fenced ? ALV_FENCED : ALV_ABORT, "producer.commit");
    return ALV_COMMIT_ABORTED;
}

static alv_commit_outcome faulty_producer_commit(alv_producer *base, alv_consumer *consumer,
                                                 const alv_shard_offset *offsets, size_t count,
                                                 const char *owner, alv_error *err)
{
    faulty_producer *producer = (faulty_producer *)base;
    alv_consumer *member = consumer != NULL ? ((faulty_consumer *)consumer)->inner : NULL;
    if (alv_io_faults_hit(producer->log->faults, "producer.commit") || producer->is_fenced) {
        return faulty_commit_fails(producer, member, offsets, count, owner, err);
    }
    return producer->inner->ops->commit(producer->inner, member, offsets, count, owner, err);
}

static alv_status faulty_producer_abort(alv_producer *base, alv_error *err)
{
    faulty_producer *producer = (faulty_producer *)base;
    alv_status status = ALV_OK;
    if (faulty_producer_fails(producer, "producer.abort", ALV_RETRY, &status, err)) {
        producer->is_tainted = true; /* it may be open still */
        return status;
    }
    return producer->inner->ops->abort(producer->inner, err);
}

static bool faulty_producer_tainted(const alv_producer *base)
{
    const faulty_producer *producer = (const faulty_producer *)base;
    return producer->is_tainted || producer->inner->ops->tainted(producer->inner);
}

static alv_status faulty_producer_renew(alv_producer *base, alv_error *err)
{
    faulty_producer *producer = (faulty_producer *)base;
    if (alv_io_faults_hit(producer->log->faults, "producer.renew")) {
        return faulty_fail(err, faulty_open_status(producer->log), "producer.renew");
    }
    producer->is_tainted = false;
    producer->is_fenced = false;
    return producer->inner->ops->renew(producer->inner, err);
}

static void faulty_producer_serve(alv_producer *base)
{
    faulty_producer *producer = (faulty_producer *)base;
    producer->inner->ops->serve(producer->inner);
}

static void faulty_producer_close(alv_producer *base)
{
    faulty_producer *producer = (faulty_producer *)base;
    producer->inner->ops->close(producer->inner);
    alv_free(producer);
}

static const alv_producer_ops faulty_producer_ops = {
    .begin = faulty_producer_begin,
    .produce = faulty_producer_produce,
    .flush = faulty_producer_flush,
    .written_end = faulty_producer_written_end,
    .commit = faulty_producer_commit,
    .abort = faulty_producer_abort,
    .tainted = faulty_producer_tainted,
    .renew = faulty_producer_renew,
    .serve = faulty_producer_serve,
    .close = faulty_producer_close,
};

static alv_status faulty_open_producer(alv_log_port *port, int lane, alv_producer **out,
                                       alv_error *err)
{
    alv_faulty_log *log = (alv_faulty_log *)port;
    if (alv_io_faults_hit(log->faults, "open_producer")) {
        return faulty_fail(err, faulty_open_status(log), "open_producer");
    }
    faulty_producer *producer = alv_alloc(sizeof *producer);
    producer->base.ops = &faulty_producer_ops;
    producer->log = log;
    alv_status status = log->inner->ops->open_producer(log->inner, lane, &producer->inner, err);
    ALV_ASSERT(status == ALV_OK);
    *out = &producer->base;
    return ALV_OK;
}

/* ---- reader ---------------------------------------------------------------------------------- */

static alv_status faulty_reader_assign(alv_reader *base, alv_topic topic, int32_t shard,
                                       int64_t offset, alv_error *err)
{
    faulty_reader *reader = (faulty_reader *)base;
    FAULTY_PASS_OR_RETRY(reader->log, "reader.assign", err,
                         reader->inner->ops->assign(reader->inner, topic, shard, offset, err));
}

static void faulty_reader_unassign(alv_reader *base, alv_topic topic, int32_t shard)
{
    faulty_reader *reader = (faulty_reader *)base;
    reader->inner->ops->unassign(reader->inner, topic, shard);
}

static void faulty_reader_pause_all(alv_reader *base, bool paused)
{
    faulty_reader *reader = (faulty_reader *)base;
    reader->inner->ops->pause_all(reader->inner, paused);
}

static alv_status faulty_reader_poll(alv_reader *base, int timeout_ms, alv_batch *out,
                                     alv_error *err)
{
    faulty_reader *reader = (faulty_reader *)base;
    FAULTY_PASS_OR_RETRY(reader->log, "reader.poll", err,
                         reader->inner->ops->poll(reader->inner, timeout_ms, out, err));
}

static void faulty_reader_wake(alv_reader *base)
{
    faulty_reader *reader = (faulty_reader *)base;
    reader->inner->ops->wake(reader->inner);
}

static int64_t faulty_reader_position(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const faulty_reader *reader = (const faulty_reader *)base;
    return reader->inner->ops->position(reader->inner, topic, shard);
}

static int64_t faulty_reader_last_end(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const faulty_reader *reader = (const faulty_reader *)base;
    return reader->inner->ops->last_end(reader->inner, topic, shard);
}

static alv_status faulty_reader_range(alv_reader *base, alv_topic topic, int32_t shard,
                                      int64_t *out_start, int64_t *out_end, alv_error *err)
{
    faulty_reader *reader = (faulty_reader *)base;
    FAULTY_PASS_OR_RETRY(
        reader->log, "reader.range", err,
        reader->inner->ops->range(reader->inner, topic, shard, out_start, out_end, err));
}

static alv_status faulty_reader_ends(alv_reader *base, alv_topic topic, alv_shard_offset *items,
                                     size_t count, int timeout_ms, alv_error *err)
{
    faulty_reader *reader = (faulty_reader *)base;
    FAULTY_PASS_OR_RETRY(
        reader->log, "reader.ends", err,
        reader->inner->ops->ends(reader->inner, topic, items, count, timeout_ms, err));
}

static alv_status faulty_reader_committed(alv_reader *base, alv_shard_offset *items, size_t count,
                                          int timeout_ms, alv_error *err)
{
    faulty_reader *reader = (faulty_reader *)base;
    FAULTY_PASS_OR_RETRY(
        reader->log, "reader.committed", err,
        reader->inner->ops->committed(reader->inner, items, count, timeout_ms, err));
}

static void faulty_reader_close(alv_reader *base)
{
    faulty_reader *reader = (faulty_reader *)base;
    reader->inner->ops->close(reader->inner);
    alv_free(reader);
}

static const alv_reader_ops faulty_reader_ops = {
    .assign = faulty_reader_assign,
    .unassign = faulty_reader_unassign,
    .pause_all = faulty_reader_pause_all,
    .poll = faulty_reader_poll,
    .wake = faulty_reader_wake,
    .position = faulty_reader_position,
    .last_end = faulty_reader_last_end,
    .range = faulty_reader_range,
    .ends = faulty_reader_ends,
    .committed = faulty_reader_committed,
    .close = faulty_reader_close,
};

static alv_status faulty_open_reader(alv_log_port *port, const char *name, alv_reader **out,
                                     alv_error *err)
{
    alv_faulty_log *log = (alv_faulty_log *)port;
    if (alv_io_faults_hit(log->faults, "open_reader")) {
        return faulty_fail(err, faulty_open_status(log), "open_reader");
    }
    faulty_reader *reader = alv_alloc(sizeof *reader);
    reader->base.ops = &faulty_reader_ops;
    reader->log = log;
    alv_status status = log->inner->ops->open_reader(log->inner, name, &reader->inner, err);
    ALV_ASSERT(status == ALV_OK);
    *out = &reader->base;
    return ALV_OK;
}

/* ---- the log itself -------------------------------------------------------------------------- */

/* Records carry a handle of the log inside, which alone knows what it is; there is one such log. */
static alv_log_port *faulty_headers_log;

static size_t faulty_headers(const alv_record *record, alv_header *out, size_t capacity)
{
    return faulty_headers_log->ops->headers(record, out, capacity);
}

static const alv_log_ops faulty_log_ops = {
    .open_consumer = faulty_open_consumer,
    .open_producer = faulty_open_producer,
    .open_reader = faulty_open_reader,
    .headers = faulty_headers,
};

alv_faulty_log *alv_faulty_log_new(alv_log_port *inner, alv_io_faults *faults, int32_t shard_count)
{
    alv_faulty_log *log = alv_alloc(sizeof *log);
    log->port.ops = &faulty_log_ops;
    log->inner = inner;
    log->faults = faults;
    log->shard_count = shard_count;
    log->assigned = alv_alloc_array((size_t)shard_count, sizeof *log->assigned);
    log->assignments = alv_alloc_array((size_t)shard_count, sizeof *log->assignments);
    faulty_headers_log = inner;
    return log;
}

void alv_faulty_log_free(alv_faulty_log *log)
{
    if (log == NULL) {
        return;
    }
    alv_free(log->assigned);
    alv_free(log->assignments);
    alv_free(log);
}

alv_log_port *alv_faulty_log_port(alv_faulty_log *log)
{
    return &log->port;
}

bool alv_faulty_log_is_assigned(const alv_faulty_log *log, int32_t shard)
{
    return log->assigned[shard];
}

int alv_faulty_log_assignments(const alv_faulty_log *log, int32_t shard)
{
    return log->assignments[shard];
}
