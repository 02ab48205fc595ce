#include "tests/support/sim_log.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/support/sim_log_internal.h"

/* ---- partitions -------------------------------------------------------------------------------- */

size_t alv_sim_slot(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < log->shard_count);
    return (size_t)topic * (size_t)log->shard_count + (size_t)shard;
}

sim_partition *alv_sim_partition_of(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    return &log->partitions[alv_sim_slot(log, topic, shard)];
}

sim_record *alv_sim_append(alv_sim_log *log, alv_topic topic, int32_t shard, sim_fate fate)
{
    sim_partition *partition = alv_sim_partition_of(log, topic, shard);
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity == 0 ? 16 : partition->capacity * 2;
        partition->records =
            alv_realloc(partition->records, partition->capacity * sizeof(sim_record));
    }
    sim_record *record = &partition->records[partition->count++];
    *record = (sim_record){.fate = fate};
    return record;
}

void alv_sim_fill(sim_record *record, alv_view key, alv_view value, int64_t timestamp_ms,
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

int64_t alv_sim_stable_end(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    const sim_partition *partition = alv_sim_partition_of(log, topic, shard);
    size_t end = 0;
    while (end < partition->count && partition->records[end].fate != SIM_OPEN) {
        end++;
    }
    return (int64_t)end;
}

void alv_sim_deliver(const alv_sim_log *log, alv_topic topic, int32_t shard, int64_t *next,
                     alv_batch *out)
{
    const sim_partition *partition = alv_sim_partition_of(log, topic, shard);
    int64_t end = alv_sim_stable_end(log, topic, shard);
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

bool alv_sim_takes_fault(alv_sim_log *log, alv_sim_fault fault)
{
    if (log->fault != fault) {
        return false;
    }
    log->fault = ALV_SIM_NONE;
    return true;
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
    .open_consumer = alv_sim_open_consumer,
    .open_producer = alv_sim_open_producer,
    .open_reader = alv_sim_open_reader,
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
    sim_record *record = alv_sim_append(log, topic, shard, SIM_COMMITTED);
    alv_sim_fill(record, key, value, log->now_ms, headers, header_count);
    return (int64_t)alv_sim_partition_of(log, topic, shard)->count - 1;
}

int64_t alv_sim_log_append(alv_sim_log *log, alv_topic topic, int32_t shard, const char *key,
                           const char *value, const alv_header *headers, size_t header_count)
{
    return alv_sim_log_append_bytes(log, topic, shard, alv_view_of(key), alv_view_of(value),
                                    headers, header_count);
}

void alv_sim_log_append_marker(alv_sim_log *log, alv_topic topic, int32_t shard)
{
    (void)alv_sim_append(log, topic, shard, SIM_CONTROL);
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
    alv_sim_partition_of(log, topic, shard)->start = start;
}

int64_t alv_sim_log_end(const alv_sim_log *log, alv_topic topic, int32_t shard)
{
    return (int64_t)alv_sim_partition_of(log, topic, shard)->count;
}

const char *alv_sim_log_last(const alv_sim_log *log, alv_topic topic, int32_t shard,
                             const char *key, size_t *out_count)
{
    const sim_partition *partition = alv_sim_partition_of(log, topic, shard);
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
    const sim_partition *partition = alv_sim_partition_of(log, topic, shard);
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
