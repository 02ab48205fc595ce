#include "tests/support/sim_log.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define SIM_LANES_MAX 8
#define SIM_EVENTS_MAX 64

typedef enum sim_fate {
    SIM_OPEN,
    SIM_COMMITTED,
    SIM_ABORTED,
    SIM_CONTROL
} sim_fate;

typedef struct sim_record {
    char *key;
    size_t key_size;
    char *value; /* NUL-terminated for the tests' sake */
    size_t value_size;
    int64_t timestamp_ms;
    alv_header *headers; /* behind the last one is one without a name; they stay where they are */
    size_t header_count;
    sim_fate fate;
} sim_record;

typedef struct sim_partition {
    sim_record *records;
    size_t count;
    size_t capacity;
    int64_t start; /* what is before is gone */
} sim_partition;

typedef struct sim_event {
    int lane;
    int32_t shard;
    bool assign;
    bool lost;
} sim_event;

/* A place written by the open transaction. */
typedef struct sim_place {
    alv_topic topic;
    int32_t shard;
    size_t index;
} sim_place;

struct alv_sim_log {
    alv_log_port port;
    int32_t shard_count;
    sim_partition *partitions; /* topic * shard_count + shard */
    int64_t *committed;        /* by shard */
    sim_event events[SIM_EVENTS_MAX];
    size_t event_count;
    alv_sim_fault fault;
    bool tainted;
    int epochs;
    int64_t now_ms;
};

typedef struct sim_consumer {
    alv_consumer base;
    alv_sim_log *log;
    int lane;
    alv_rebalance_listener listener;
    bool *assigned;
    int64_t *next; /* by shard; ALV_OFFSET_NONE = silent */
} sim_consumer;

typedef struct sim_producer {
    alv_producer base;
    alv_sim_log *log;
    int epoch;
    bool open;
    sim_place *places;
    size_t place_count;
    int64_t *ends; /* topic * shard_count + shard */
} sim_producer;

typedef struct sim_reader {
    alv_reader base;
    alv_sim_log *log;
    int64_t *next; /* topic * shard_count + shard; ALV_OFFSET_NONE = not assigned */
} sim_reader;

/* ---- partitions -------------------------------------------------------------------------------- */

static size_t sim_slot(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < log->shard_count);
    return (size_t)topic * (size_t)log->shard_count + (size_t)shard;
}

static sim_partition *sim_partition_of(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    return &log->partitions[sim_slot(log, topic, shard)];
}

static sim_record *sim_append(alv_sim_log *log, alv_topic topic, int32_t shard, sim_fate fate)
{
    sim_partition *partition = sim_partition_of(log, topic, shard);
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity == 0 ? 16 : partition->capacity * 2;
        partition->records =
            alv_realloc(partition->records, partition->capacity * sizeof(sim_record));
    }
    sim_record *record = &partition->records[partition->count++];
    *record = (sim_record){.fate = fate};
    return record;
}

static void sim_fill(sim_record *record, alv_view key, alv_view value, int64_t timestamp_ms,
                     const alv_header *headers, size_t header_count)
{
    record->key = key.data == NULL ? NULL : alv_strndup(key.data, key.size);
    record->key_size = key.size;
    record->value = value.data == NULL ? NULL : alv_strndup(value.data, value.size);
    record->value_size = value.size;
    record->timestamp_ms = timestamp_ms;
    record->headers = alv_alloc_array(header_count + 1, sizeof(alv_header));
    record->header_count = header_count;
    for (size_t i = 0; i < header_count; i++) {
        record->headers[i].name = alv_strdup(headers[i].name);
        record->headers[i].value = (alv_view){
            alv_strndup(headers[i].value.data, headers[i].value.size), headers[i].value.size};
    }
}

static void sim_record_done(sim_record *record)
{
    for (size_t i = 0; i < record->header_count; i++) {
        alv_free((char *)(uintptr_t)record->headers[i].name);
        alv_free((char *)(uintptr_t)record->headers[i].value.data);
    }
    alv_free(record->headers);
    alv_free(record->key);
    alv_free(record->value);
}

/* The last stable offset: read_committed goes no further. */
static int64_t sim_stable_end(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    const sim_partition *partition = sim_partition_of(log, topic, shard);
    size_t end = 0;
    while (end < partition->count && partition->records[end].fate != SIM_OPEN) {
        end++;
    }
    return (int64_t)end;
}

/* Copies committed records from *next on into `out`, as far as there is room. */
static void sim_deliver(const alv_sim_log *log, alv_topic topic, int32_t shard, int64_t *next,
                        alv_batch *out)
{
    const sim_partition *partition = sim_partition_of(log, topic, shard);
    int64_t end = sim_stable_end(log, topic, shard);
    for (; *next < end && out->count < out->capacity; (*next)++) {
        const sim_record *record = &partition->records[*next];
        if (record->fate == SIM_COMMITTED) {
            out->records[out->count++] = (alv_record){.topic = topic,
                                                      .shard = shard,
                                                      .offset = *next,
                                                      .timestamp_ms = record->timestamp_ms,
                                                      .key = {record->key, record->key_size},
                                                      .value = {record->value, record->value_size},
                                                      .handle = record->headers};
        }
    }
}

static bool sim_takes_fault(alv_sim_log *log, alv_sim_fault fault)
{
    if (log->fault != fault) {
        return false;
    }
    log->fault = ALV_SIM_NONE;
    return true;
}

/* ---- consumer ---------------------------------------------------------------------------------- */

static void sim_consumer_serve(sim_consumer *consumer)
{
    alv_sim_log *log = consumer->log;
    for (size_t i = 0; i < log->event_count; i++) {
        sim_event event = log->events[i];
        if (event.lane != consumer->lane) {
            continue;
        }
        memmove(&log->events[i], &log->events[i + 1],
                (log->event_count - i - 1) * sizeof(sim_event));
        log->event_count--;
        i--;
        if (event.assign) {
            consumer->assigned[event.shard] = true;
            consumer->next[event.shard] = ALV_OFFSET_NONE;
            consumer->listener.assigned(consumer->listener.payload, &event.shard, 1);
        } else {
            consumer->listener.revoked(consumer->listener.payload, &event.shard, 1, event.lost);
            consumer->assigned[event.shard] = false;
        }
    }
}

static void sim_consumer_lose_all(sim_consumer *consumer)
{
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        if (consumer->assigned[shard]) {
            consumer->listener.revoked(consumer->listener.payload, &shard, 1, true);
            consumer->assigned[shard] = false;
        }
    }
}

static alv_status sim_consumer_poll(alv_consumer *base, int timeout_ms, alv_batch *out,
                                    alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)timeout_ms;
    sim_consumer_serve(consumer);
    out->count = 0;
    if (sim_takes_fault(consumer->log, ALV_SIM_CONSUMER_FENCED)) {
        sim_consumer_lose_all(consumer);
        return alv_fail(err, ALV_FENCED, "another has the seat");
    }
    if (sim_takes_fault(consumer->log, ALV_SIM_CONSUMER_BROKEN)) {
        sim_consumer_lose_all(consumer);
        return alv_fail(err, ALV_FATAL, "the consumer is broken for good");
    }
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        if (consumer->assigned[shard] && consumer->next[shard] != ALV_OFFSET_NONE) {
            sim_deliver(consumer->log, ALV_TOPIC_COMMANDS, shard, &consumer->next[shard], out);
        }
    }
    return ALV_OK;
}

static void sim_consumer_wake(alv_consumer *base)
{
    (void)base;
}

static alv_status sim_consumer_start(alv_consumer *base, int32_t shard, int64_t offset,
                                     alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    ALV_ASSERT(consumer->assigned[shard]);
    consumer->next[shard] = offset;
    return ALV_OK;
}

static alv_status sim_consumer_pause(alv_consumer *base, int32_t shard, alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    consumer->next[shard] = ALV_OFFSET_NONE;
    return ALV_OK;
}

static alv_status sim_consumer_committed(alv_consumer *base, alv_shard_offset *items, size_t count,
                                         alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        items[i].offset = consumer->log->committed[items[i].shard];
    }
    return ALV_OK;
}

static int64_t sim_consumer_end(const alv_consumer *base, int32_t shard)
{
    const sim_consumer *consumer = (const sim_consumer *)base;
    return alv_sim_log_end(consumer->log, ALV_TOPIC_COMMANDS, shard);
}

static alv_status sim_consumer_range(alv_consumer *base, int32_t shard, int64_t *out_start,
                                     int64_t *out_end, alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    *out_start = 0;
    *out_end = alv_sim_log_end(consumer->log, ALV_TOPIC_COMMANDS, shard);
    return ALV_OK;
}

static void sim_consumer_close(alv_consumer *base, bool stay)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)stay;
    sim_consumer_serve(consumer);
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        if (consumer->assigned[shard]) {
            consumer->listener.revoked(consumer->listener.payload, &shard, 1, false);
        }
    }
    alv_free(consumer->assigned);
    alv_free(consumer->next);
    alv_free(consumer);
}

static const alv_consumer_ops sim_consumer_ops = {
    .poll = sim_consumer_poll,
    .wake = sim_consumer_wake,
    .start = sim_consumer_start,
    .pause = sim_consumer_pause,
    .committed = sim_consumer_committed,
    .range = sim_consumer_range,
    .end = sim_consumer_end,
    .close = sim_consumer_close,
};

static alv_status sim_open_consumer(alv_log_port *port, int lane,
                                    const alv_rebalance_listener *listener, alv_consumer **out,
                                    alv_error *err)
{
    alv_sim_log *log = (alv_sim_log *)port;
    (void)err;
    ALV_ASSERT(lane < SIM_LANES_MAX);
    sim_consumer *consumer = alv_alloc(sizeof *consumer);
    size_t shard_count = (size_t)log->shard_count;
    consumer->base.ops = &sim_consumer_ops;
    consumer->log = log;
    consumer->lane = lane;
    consumer->listener = *listener;
    consumer->assigned = alv_alloc_array(shard_count, sizeof *consumer->assigned);
    consumer->next = alv_alloc_array(shard_count, sizeof *consumer->next);
    *out = &consumer->base;
    return ALV_OK;
}

/* ---- producer ---------------------------------------------------------------------------------- */

static alv_status sim_producer_begin(alv_producer *base, alv_error *err)
{
    sim_producer *producer = (sim_producer *)base;
    ALV_ASSERT(!producer->open);
    ALV_ASSERT(!producer->log->tainted); /* I10: whoever begins has renewed first */
    if (sim_takes_fault(producer->log, ALV_SIM_BEGIN_RETRY)) {
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
    if (sim_takes_fault(log, ALV_SIM_PRODUCE_ABORT)) {
        return alv_fail(err, ALV_ABORT, "not enough replicas");
    }
    if (record->value.size > ALV_STATE_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "record is too large");
    }
    int32_t shard =
        record->shard >= 0 ? record->shard : alv_partitioner_shard(record->key, log->shard_count);
    sim_record *stored = sim_append(log, record->topic, shard, SIM_OPEN);
    int64_t timestamp_ms = record->timestamp_ms != 0 ? record->timestamp_ms : log->now_ms;
    sim_fill(stored, record->key, record->value, timestamp_ms, record->headers,
             record->header_count);
    size_t index = sim_partition_of(log, record->topic, shard)->count - 1;
    producer->places =
        alv_realloc(producer->places, (producer->place_count + 1) * sizeof(sim_place));
    producer->places[producer->place_count++] = (sim_place){record->topic, shard, index};
    producer->ends[sim_slot(log, record->topic, shard)] = (int64_t)index + 1;
    return ALV_OK;
}

static alv_status sim_producer_flush(alv_producer *base, alv_error *err)
{
    const sim_producer *producer = (const sim_producer *)base;
    if (sim_takes_fault(producer->log, ALV_SIM_FLUSH_FATAL)) {
        return alv_fail(err, ALV_FATAL, "the producer is broken for good");
    }
    return ALV_OK;
}

static int64_t sim_producer_written_end(const alv_producer *base, alv_topic topic, int32_t shard)
{
    const sim_producer *producer = (const sim_producer *)base;
    return producer->ends[sim_slot(producer->log, topic, shard)];
}

/* Gives every record of the transaction its fate, and every partition it wrote to a marker. */
static void sim_producer_end(sim_producer *producer, sim_fate fate)
{
    alv_sim_log *log = producer->log;
    for (size_t i = 0; i < producer->place_count; i++) {
        const sim_place *place = &producer->places[i];
        sim_partition_of(log, place->topic, place->shard)->records[place->index].fate = fate;
    }
    for (size_t i = 0; i < producer->place_count; i++) {
        const sim_place *place = &producer->places[i];
        sim_partition *partition = sim_partition_of(log, place->topic, place->shard);
        if (place->index == partition->count - 1) {
            (void)sim_append(log, place->topic, place->shard, SIM_CONTROL);
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
    if (sim_takes_fault(log, ALV_SIM_COMMIT_ABORTED)) {
        (void)alv_fail(err, ALV_ABORT, "illegal generation");
        return ALV_COMMIT_ABORTED;
    }
    bool lost_answer = sim_takes_fault(log, ALV_SIM_COMMIT_LOST_ANSWER);
    if (lost_answer || sim_takes_fault(log, ALV_SIM_COMMIT_LOST_REQUEST)) {
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
    if (sim_takes_fault(producer->log, ALV_SIM_RENEW_RETRY)) {
        return alv_fail(err, ALV_RETRY, "brokers are away");
    }
    if (sim_takes_fault(producer->log, ALV_SIM_RENEW_FATAL)) {
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

static alv_status sim_open_producer(alv_log_port *port, int lane, alv_producer **out,
                                    alv_error *err)
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

/* ---- reader ------------------------------------------------------------------------------------ */

static alv_status sim_reader_assign(alv_reader *base, alv_topic topic, int32_t shard,
                                    int64_t offset, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)err;
    reader->next[sim_slot(reader->log, topic, shard)] = offset;
    return ALV_OK;
}

static void sim_reader_unassign(alv_reader *base, alv_topic topic, int32_t shard)
{
    sim_reader *reader = (sim_reader *)base;
    reader->next[sim_slot(reader->log, topic, shard)] = ALV_OFFSET_NONE;
}

static void sim_reader_pause_all(alv_reader *base, bool paused)
{
    (void)base;
    (void)paused;
}

static alv_status sim_reader_poll(alv_reader *base, int timeout_ms, alv_batch *out, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)timeout_ms;
    out->count = 0;
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        for (int32_t shard = 0; shard < reader->log->shard_count; shard++) {
            int64_t *next = &reader->next[sim_slot(reader->log, (alv_topic)topic, shard)];
            if (*next == ALV_OFFSET_NONE) {
                continue;
            }
            if (*next < sim_partition_of(reader->log, (alv_topic)topic, shard)->start) {
                return alv_fail(err, ALV_REJECT,
                                "offset %lld of topic %d shard %d is not in the log",
                                (long long)*next, topic, (int)shard);
            }
            sim_deliver(reader->log, (alv_topic)topic, shard, next, out);
        }
    }
    return ALV_OK;
}

static void sim_reader_wake(alv_reader *base)
{
    (void)base;
}

static int64_t sim_reader_position(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const sim_reader *reader = (const sim_reader *)base;
    return reader->next[sim_slot(reader->log, topic, shard)];
}

static int64_t sim_reader_last_end(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const sim_reader *reader = (const sim_reader *)base;
    if (reader->next[sim_slot(reader->log, topic, shard)] == ALV_OFFSET_NONE) {
        return ALV_OFFSET_NONE;
    }
    return alv_sim_log_end(reader->log, topic, shard);
}

static alv_status sim_reader_range(alv_reader *base, alv_topic topic, int32_t shard,
                                   int64_t *out_start, int64_t *out_end, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)err;
    *out_start = sim_partition_of(reader->log, topic, shard)->start;
    *out_end = alv_sim_log_end(reader->log, topic, shard);
    return ALV_OK;
}

static alv_status sim_reader_ends(alv_reader *base, alv_topic topic, alv_shard_offset *items,
                                  size_t count, int timeout_ms, alv_error *err)
{
    const sim_reader *reader = (const sim_reader *)base;
    (void)timeout_ms;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        items[i].offset = sim_stable_end(reader->log, topic, items[i].shard);
    }
    return ALV_OK;
}

static alv_status sim_reader_committed(alv_reader *base, alv_shard_offset *items, size_t count,
                                       int timeout_ms, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)timeout_ms;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        items[i].offset = reader->log->committed[items[i].shard];
    }
    return ALV_OK;
}

static void sim_reader_close(alv_reader *base)
{
    sim_reader *reader = (sim_reader *)base;
    alv_free(reader->next);
    alv_free(reader);
}

static const alv_reader_ops sim_reader_ops = {
    .assign = sim_reader_assign,
    .unassign = sim_reader_unassign,
    .pause_all = sim_reader_pause_all,
    .poll = sim_reader_poll,
    .wake = sim_reader_wake,
    .position = sim_reader_position,
    .last_end = sim_reader_last_end,
    .range = sim_reader_range,
    .ends = sim_reader_ends,
    .committed = sim_reader_committed,
    .close = sim_reader_close,
};

static alv_status sim_open_reader(alv_log_port *port, const char *name, alv_reader **out,
                                  alv_error *err)
{
    alv_sim_log *log = (alv_sim_log *)port;
    (void)name;
    (void)err;
    sim_reader *reader = alv_alloc(sizeof *reader);
    size_t slots = (size_t)ALV_TOPICS_MAX * (size_t)log->shard_count;
    reader->base.ops = &sim_reader_ops;
    reader->log = log;
    reader->next = alv_alloc_array(slots, sizeof *reader->next);
    for (size_t i = 0; i < slots; i++) {
        reader->next[i] = ALV_OFFSET_NONE;
    }
    *out = &reader->base;
    return ALV_OK;
}

/* ---- the log ----------------------------------------------------------------------------------- */

static size_t sim_headers(const alv_record *record, alv_header *out, size_t capacity)
{
    const alv_header *headers = record->handle;
    size_t count = 0;
    for (; count < capacity && headers[count].name != NULL; count++) {
        out[count] = headers[count];
    }
    return count;
}

static void sim_close(alv_log_port *port)
{
    (void)port;
}

static const alv_log_ops sim_log_ops = {
    .open_consumer = sim_open_consumer,
    .open_producer = sim_open_producer,
    .open_reader = sim_open_reader,
    .open_sender = NULL, /* nobody sends from inside */
    .headers = sim_headers,
    .close = sim_close,
};

alv_sim_log *alv_sim_log_new(int32_t shard_count)
{
    alv_sim_log *log = alv_alloc(sizeof *log);
    log->port.ops = &sim_log_ops;
    log->shard_count = shard_count;
    log->partitions =
        alv_alloc_array((size_t)ALV_TOPICS_MAX * (size_t)shard_count, sizeof(sim_partition));
    log->committed = alv_alloc_array((size_t)shard_count, sizeof *log->committed);
    for (int32_t shard = 0; shard < shard_count; shard++) {
        log->committed[shard] = ALV_OFFSET_NONE;
    }
    return log;
}

void alv_sim_log_free(alv_sim_log *log)
{
    size_t slots = (size_t)ALV_TOPICS_MAX * (size_t)log->shard_count;
    for (size_t i = 0; i < slots; i++) {
        for (size_t k = 0; k < log->partitions[i].count; k++) {
            sim_record_done(&log->partitions[i].records[k]);
        }
        alv_free(log->partitions[i].records);
    }
    alv_free(log->partitions);
    alv_free(log->committed);
    alv_free(log);
}

alv_log_port *alv_sim_log_port(alv_sim_log *log)
{
    return &log->port;
}

int64_t alv_sim_log_append_bytes(alv_sim_log *log, alv_topic topic, int32_t shard, alv_view key,
                                 alv_view value, const alv_header *headers, size_t header_count)
{
    sim_record *record = sim_append(log, topic, shard, SIM_COMMITTED);
    sim_fill(record, key, value, log->now_ms, headers, header_count);
    return (int64_t)sim_partition_of(log, topic, shard)->count - 1;
}

int64_t alv_sim_log_append(alv_sim_log *log, alv_topic topic, int32_t shard, const char *key,
                           const char *value, const alv_header *headers, size_t header_count)
{
    return alv_sim_log_append_bytes(log, topic, shard, alv_view_of(key), alv_view_of(value),
                                    headers, header_count);
}

void alv_sim_log_append_marker(alv_sim_log *log, alv_topic topic, int32_t shard)
{
    (void)sim_append(log, topic, shard, SIM_CONTROL);
}

void alv_sim_log_set_time(alv_sim_log *log, int64_t now_ms)
{
    log->now_ms = now_ms;
}

static void sim_add_event(alv_sim_log *log, sim_event event)
{
    ALV_ASSERT(log->event_count < SIM_EVENTS_MAX);
    log->events[log->event_count++] = event;
}

void alv_sim_log_assign(alv_sim_log *log, int lane, int32_t shard)
{
    sim_add_event(log, (sim_event){.lane = lane, .shard = shard, .assign = true});
}

void alv_sim_log_revoke(alv_sim_log *log, int lane, int32_t shard, bool lost)
{
    sim_add_event(log, (sim_event){.lane = lane, .shard = shard, .lost = lost});
}

void alv_sim_log_fail_next(alv_sim_log *log, alv_sim_fault fault)
{
    log->fault = fault;
}

void alv_sim_log_taint(alv_sim_log *log)
{
    log->tainted = true;
}

int64_t alv_sim_log_committed(const alv_sim_log *log, int32_t shard)
{
    return log->committed[shard];
}

void alv_sim_log_set_committed(alv_sim_log *log, int32_t shard, int64_t offset)
{
    log->committed[shard] = offset;
}

void alv_sim_log_truncate(alv_sim_log *log, alv_topic topic, int32_t shard, int64_t start)
{
    ALV_ASSERT(start <= alv_sim_log_end(log, topic, shard));
    sim_partition_of(log, topic, shard)->start = start;
}

int64_t alv_sim_log_end(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    return (int64_t)sim_partition_of(log, topic, shard)->count;
}

const char *alv_sim_log_last(const alv_sim_log *log, alv_topic topic, int32_t shard,
                             const char *key, size_t *out_count)
{
    const sim_partition *partition = sim_partition_of(log, topic, shard);
    const char *last = NULL;
    size_t count = 0;
    for (size_t i = 0; i < partition->count; i++) {
        const sim_record *record = &partition->records[i];
        if (record->fate == SIM_COMMITTED && record->key != NULL &&
            alv_view_equal((alv_view){record->key, record->key_size}, alv_view_of(key))) {
            last = record->value;
            count++;
        }
    }
    if (out_count != NULL) {
        *out_count = count;
    }
    return last;
}

size_t alv_sim_log_count(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    const sim_partition *partition = sim_partition_of(log, topic, shard);
    size_t count = 0;
    for (size_t i = 0; i < partition->count; i++) {
        count += partition->records[i].fate == SIM_COMMITTED;
    }
    return count;
}

int alv_sim_log_epochs(const alv_sim_log *log)
{
    return log->epochs;
}
