#include "tests/sim/sim_broker.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_trace.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define BROKER_SESSION_MS 6000

void sim_broker_init(sim_broker *broker, int32_t shard_count, sim_random *random)
{
    ALV_ASSERT(shard_count > 0 && shard_count <= SIM_SHARDS_MAX);
    memset(broker, 0, sizeof *broker);
    broker->shard_count = shard_count;
    broker->random = random;
    for (int i = 0; i < SIM_SHARDS_MAX; i++) {
        broker->committed[i] = ALV_OFFSET_NONE;
        broker->committed_by[i] = -1;
    }
    sim_group_init(&broker->group, shard_count, BROKER_SESSION_MS);
}

static void record_done(sim_record *record)
{
    for (size_t i = 0; i < record->header_count; i++) {
        alv_free((char *)(uintptr_t)record->headers[i].name);
        alv_free((char *)(uintptr_t)record->headers[i].value.data);
    }
    alv_free((alv_header *)(uintptr_t)record->headers);
    alv_free((char *)(uintptr_t)record->key.data);
    alv_free((char *)(uintptr_t)record->value.data);
}

void sim_broker_done(sim_broker *broker)
{
    for (int slot = 0; slot < SIM_SLOTS; slot++) {
        sim_partition *partition = &broker->partitions[slot];
        for (int64_t i = 0; i < partition->end; i++) {
            record_done(&partition->records[i]);
        }
        alv_free(partition->records);
    }
    for (size_t i = 0; i < broker->transaction_count; i++) {
        alv_free(broker->transactions[i]->places);
        alv_free(broker->transactions[i]);
    }
    alv_free(broker->transactions);
    alv_free(broker->markers);
}

void sim_broker_tick(sim_broker *broker, int64_t now_ms)
{
    ALV_ASSERT(now_ms >= broker->now_ms);
    broker->now_ms = now_ms;
    sim_coordinator_tick(broker);
    sim_group_tick(&broker->group, now_ms);
}

/* ---- partitions ------------------------------------------------------------------------------ */

sim_partition *sim_broker_partition(sim_broker *broker, alv_topic topic, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < broker->shard_count);
    return &broker->partitions[(int)topic * SIM_SHARDS_MAX + shard];
}

int32_t sim_broker_shard(const sim_broker *broker, const alv_produce *record)
{
    return record->shard >= 0 ? record->shard
                              : alv_partitioner_shard(record->key, broker->shard_count);
}

static alv_view record_copy(alv_view view)
{
    return view.data == NULL ? ALV_VIEW_NONE
                             : (alv_view){alv_strndup(view.data, view.size), view.size};
}

static const alv_header *record_copy_headers(const alv_header *headers, size_t count)
{
    alv_header *copies = alv_alloc_array(count + 1, sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i] = (alv_header){alv_strdup(headers[i].name), record_copy(headers[i].value)};
    }
    return copies;
}

int64_t sim_broker_append(sim_broker *broker, const alv_produce *record)
{
    sim_partition *partition =
        sim_broker_partition(broker, record->topic, sim_broker_shard(broker, record));
    if (partition->end == partition->capacity) {
        partition->capacity = partition->capacity == 0 ? 64 : partition->capacity * 2;
        partition->records =
            alv_realloc(partition->records, (size_t)partition->capacity * sizeof(sim_record));
    }
    partition->records[partition->end] = (sim_record){
        .key = record_copy(record->key),
        .value = record_copy(record->value),
        .headers = record_copy_headers(record->headers, record->header_count),
        .header_count = record->header_count,
        .timestamp_ms =
            record->timestamp_ms != 0 ? record->timestamp_ms : SIM_EPOCH_MS + broker->now_ms,
    };
    return partition->end++;
}

bool sim_record_is_committed(const sim_record *record)
{
    return !record->is_control &&
           (record->transaction == NULL || record->transaction->decision == SIM_COMMITTED);
}

bool sim_record_is_visible(const sim_record *record)
{
    return !record->is_gone && sim_record_is_committed(record);
}

static void broker_advance_stable_end(sim_broker *broker, int slot)
{
    sim_partition *partition = &broker->partitions[slot];
    (void)broker;
    for (; partition->stable_end < partition->end; partition->stable_end++) {
        const sim_transaction *transaction = partition->records[partition->stable_end].transaction;
        if (transaction != NULL && (transaction->marked >> slot & 1) == 0) {
            return;
        }
    }
}

int64_t sim_broker_stable_end(sim_broker *broker, alv_topic topic, int32_t shard)
{
    const sim_partition *partition = sim_broker_partition(broker, topic, shard);
    broker_advance_stable_end(broker, (int)(partition - broker->partitions));
    return partition->stable_end;
}

void sim_broker_deliver(sim_broker *broker, alv_topic topic, int32_t shard, int64_t *next,
                        int64_t count_max, alv_batch *out)
{
    sim_partition *partition = sim_broker_partition(broker, topic, shard);
    broker_advance_stable_end(broker, (int)(partition - broker->partitions));
    for (; *next < partition->stable_end; (*next)++) {
        const sim_record *record = &partition->records[*next];
        if (!sim_record_is_visible(record)) {
            continue;
        }
        if (count_max-- == 0 || out->count == out->capacity) {
            return;
        }
        out->records[out->count++] = (alv_record){.topic = topic,
                                                  .shard = shard,
                                                  .offset = *next,
                                                  .timestamp_ms = record->timestamp_ms,
                                                  .key = record->key,
                                                  .value = record->value,
                                                  .handle = record->headers};
    }
}

/* ---- compaction ------------------------------------------------------------------------------ */

/* Whether a committed record of the same key comes later, before `end`. */
static bool broker_is_replaced(const sim_partition *partition, int64_t at, int64_t end)
{
    for (int64_t i = at + 1; i < end; i++) {
        const sim_record *later = &partition->records[i];
        if (sim_record_is_visible(later) &&
            alv_view_equal(later->key, partition->records[at].key)) {
            return true;
        }
    }
    return false;
}

/* Control records and tombstones stay: how long they do is a matter of days. */
void sim_broker_compact(sim_broker *broker, int64_t spared)
{
    for (int slot = 0; slot < SIM_SLOTS; slot++) {
        sim_partition *partition = &broker->partitions[slot];
        if (!alv_schema_is_compacted((alv_topic)(slot / SIM_SHARDS_MAX))) {
            continue;
        }
        broker_advance_stable_end(broker, slot);
        int64_t end = partition->end - spared;
        end = end < partition->stable_end ? end : partition->stable_end;
        for (int64_t i = 0; i < end; i++) {
            sim_record *record = &partition->records[i];
            if (sim_record_is_visible(record) && broker_is_replaced(partition, i, end)) {
                record->is_gone = true;
            }
        }
    }
}
