/* kafka_batch.c — librdkafka's messages as a batch of records, without copying them. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "topics/kafka_internal.h"

static void hold_unlink(alv_kafka_hold *hold)
{
    if (hold->previous == NULL) {
        return;
    }
    *hold->previous = hold->next;
    if (hold->next != NULL) {
        hold->next->previous = hold->previous;
    }
}

static void hold_link(alv_kafka_hold *hold, alv_kafka_hold **list)
{
    hold->next = *list;
    hold->previous = list;
    if (hold->next != NULL) {
        hold->next->previous = &hold->next;
    }
    *list = hold;
}

/* alv_batch.clear */
static void hold_clear(alv_batch *batch)
{
    alv_kafka_hold *hold = batch->handles;
    for (size_t i = 0; i < hold->count; i++) {
        if (hold->messages[i] != NULL) {
            rd_kafka_message_destroy(hold->messages[i]);
        }
    }
    hold_unlink(hold);
    alv_free(hold->messages);
    alv_free(hold);
}

static alv_kafka_hold *hold_new(alv_kafka_hold **list, alv_batch *batch)
{
    alv_batch_clear(batch);
    alv_kafka_hold *hold = alv_alloc(sizeof(*hold));
    hold->messages = alv_alloc_array(batch->capacity, sizeof(rd_kafka_message_t *));
    hold->batch = batch;
    hold_link(hold, list);
    batch->handles = hold;
    batch->clear = hold_clear;
    return hold;
}

/* rd_kafka_consume_batch_queue alone would wait for its whole time-out once it has a first message,
 * so the wait is for one message, and the rest is what is there. Both calls drop messages that were
 * queued before a seek, a pause or a change of the assignment (versioned in librdkafka). */
alv_kafka_hold *alv_kafka_hold_fill(alv_kafka_hold **list, rd_kafka_queue_t *queue, int timeout_ms,
                                    alv_batch *batch)
{
    alv_kafka_hold *hold = hold_new(list, batch);
    rd_kafka_message_t *first = rd_kafka_consume_queue(queue, timeout_ms);
    if (first == NULL) {
        return hold;
    }
    hold->messages[hold->count++] = first;
    if (batch->capacity > 1) {
        ssize_t more =
            rd_kafka_consume_batch_queue(queue, 0, hold->messages + 1, batch->capacity - 1);
        hold->count += more > 0 ? (size_t)more : 0;
    }
    return hold;
}

void alv_kafka_hold_keep(alv_kafka_hold *hold, size_t index, alv_topic topic)
{
    const rd_kafka_message_t *message = hold->messages[index];
    rd_kafka_timestamp_type_t type;
    alv_batch *batch = hold->batch;
    ALV_ASSERT(batch->count < batch->capacity);
    batch->records[batch->count++] = (alv_record){
        .topic = topic,
        .shard = message->partition,
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .handle = message,
    };
}

void alv_kafka_hold_drop(alv_kafka_hold *hold, size_t index)
{
    rd_kafka_message_destroy(hold->messages[index]);
    hold->messages[index] = NULL;
}

void alv_kafka_hold_clear_all(alv_kafka_hold *list)
{
    for (alv_kafka_hold *hold = list, *next; hold != NULL; hold = next) {
        next = hold->next;
        alv_batch_clear(hold->batch);
    }
}

size_t alv_kafka_headers(const alv_record *record, alv_header *out, size_t capacity)
{
    rd_kafka_headers_t *headers = NULL;
    if (record->handle == NULL ||
        rd_kafka_message_headers(record->handle, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return 0;
    }
    size_t count = rd_kafka_header_cnt(headers);
    for (size_t i = 0; i < count && i < capacity; i++) {
        const void *value = NULL;
        (void)rd_kafka_header_get_all(headers, i, &out[i].name, &value, &out[i].value.size);
        out[i].value.data = value;
    }
    return count;
}
