/* kafka_reader.c — reads given shards from given offsets, outside of the group's assignment.
 *
 * The handle has the group's id without ever subscribing: so it is no member and sends no commits,
 * and can still ask for the group's committed offsets.
 *
 * A position is known in two ways: behind a delivered record, and from the event that librdkafka
 * puts in the place of a message when a fetch found nothing more to give. That event's offset lies
 * behind control records and aborted ones, which are never delivered. It comes in order with the
 * messages.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "topics/kafka_internal.h"

typedef struct reader_slot {
    bool assigned;
    bool rejected;    /* its offset is not in the log; to be reported */
    int64_t position; /* nothing below is handed out */
} reader_slot;

typedef struct kafka_reader {
    alv_reader base;
    const alv_kafka *log;
    alv_kafka_client client;
    alv_kafka_client probe; /* opened at the first question for a high watermark */
    rd_kafka_queue_t *queue;
    rd_kafka_queue_t *parking; /* always empty: where poll waits while the reader is paused */
    alv_kafka_hold *holds;
    rd_kafka_topic_t *known[ALV_TOPICS_MAX]; /* NULL = not looked up */
    reader_slot *slots[ALV_TOPICS_MAX];      /* by shard */
    int32_t slot_count[ALV_TOPICS_MAX];
    size_t rejected_count;
    bool paused;
    bool is_stranger; /* the group's coordinator was asked for and may not be known */
    const rd_kafka_topic_t *last_handle; /* of the last message, and ... */
    alv_topic last_topic;                /* ... what it stands for */
    alv_error notice;                    /* for the next poll */
} kafka_reader;

static reader_slot *reader_find(const kafka_reader *reader, alv_topic topic, int32_t shard)
{
    if (topic >= ALV_TOPICS_MAX || shard < 0 || shard >= reader->slot_count[topic] ||
        !reader->slots[topic][shard].assigned) {
        return NULL;
    }
    return &reader->slots[topic][shard];
}

static reader_slot *reader_make_slot(kafka_reader *reader, alv_topic topic, int32_t shard)
{
    ALV_ASSERT(topic < ALV_TOPICS_MAX);
    ALV_ASSERT(shard >= 0);
    if (shard >= reader->slot_count[topic]) {
        int32_t count = shard + 16;
        reader->slots[topic] =
            alv_realloc(reader->slots[topic], (size_t)count * sizeof(reader_slot));
        memset(reader->slots[topic] + reader->slot_count[topic], 0,
               (size_t)(count - reader->slot_count[topic]) * sizeof(reader_slot));
        reader->slot_count[topic] = count;
    }
    return &reader->slots[topic][shard];
}

/* ---- assignment ------------------------------------------------------------------------------ */

static rd_kafka_topic_partition_list_t *reader_list(const kafka_reader *reader, alv_topic topic,
                                                    int32_t shard, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reader->log->names[topic], shard)->offset = offset;
    return list;
}

/* librdkafka looks for topics that it has not met once a second only, so a first assignment would wait for
 * that. A topic handle asks for them at once. */
static void reader_look_up(kafka_reader *reader, alv_topic topic)
{
    if (reader->known[topic] == NULL) {
        const char *name = reader->log->names[topic];
        reader->known[topic] = rd_kafka_topic_new(reader->client.rk, name, NULL);
        ALV_ASSERT(reader->known[topic] != NULL);
    }
}

/* librdkafka drops what it has queued of the shard. */
static void reader_unassign(alv_reader *base, alv_topic topic, int32_t shard)
{
    kafka_reader *reader = (kafka_reader *)base;
    reader_slot *slot = reader_find(reader, topic, shard);
    if (slot == NULL) {
        return;
    }
    rd_kafka_topic_partition_list_t *list = reader_list(reader, topic, shard, 0);
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(reader->client.rk, list);
    ALV_ASSERT(error == NULL && "the shard was assigned");
    rd_kafka_topic_partition_list_destroy(list);
    if (slot->rejected) {
        reader->rejected_count--;
    }
    *slot = (reader_slot){0};
    reader->last_handle = NULL;
}

static alv_status reader_assign(alv_reader *base, alv_topic topic, int32_t shard, int64_t offset,
                                alv_error *err)
{
    kafka_reader *reader = (kafka_reader *)base;
    ALV_ASSERT(offset >= 0);
    reader_unassign(base, topic, shard);
    reader_look_up(reader, topic);
    reader_slot *slot = reader_make_slot(reader, topic, shard);
    rd_kafka_topic_partition_list_t *list = reader_list(reader, topic, shard, offset);
    rd_kafka_error_t *error = rd_kafka_incremental_assign(reader->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error != NULL) {
        (void)alv_kafka_fail(err, ALV_RETRY, rd_kafka_error_code(error), "assign: %s",
                             rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        return ALV_RETRY;
    }
    *slot = (reader_slot){.assigned = true, .position = offset};
    reader->last_handle = NULL;
    return ALV_OK;
}

/* Paused means not handed out. librdkafka's own queue is bounded and stops fetching by itself, and
 * what it has read is not thrown away. */
static void reader_pause_all(alv_reader *base, bool paused)
{
    ((kafka_reader *)base)->paused = paused;
}

/* ---- poll ------------------------------------------------------------------------------------ */

static alv_topic reader_topic(kafka_reader *reader, const rd_kafka_message_t *message)
{
    if (message->rkt == NULL) {
        return ALV_TOPICS_MAX;
    }
    if (message->rkt == reader->last_handle) {
        return reader->last_topic;
    }
    const char *name = rd_kafka_topic_name(message->rkt);
    int topic = 0;
    while (topic < ALV_TOPICS_MAX && strcmp(reader->log->names[topic], name) != 0) {
        topic++;
    }
    reader->last_handle = message->rkt;
    reader->last_topic = (alv_topic)topic;
    return reader->last_topic;
}

/* What came in the place of a message. */
static void reader_note(kafka_reader *reader, reader_slot *slot, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (slot != NULL && message->offset > slot->position) {
            slot->position = message->offset;
        }
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        if (slot != NULL && !slot->rejected) {
            slot->rejected = true;
            reader->rejected_count++;
        }
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        reader->is_stranger = true; /* it reads all the same; who asks for offsets is told there */
        return;
    }
    if (reader->notice.status == ALV_OK) {
        const char *topic = message->rkt != NULL ? rd_kafka_topic_name(message->rkt) : "read";
        const alv_kafka_need need = {ALV_ACCESS_READ, ALV_ACCESS_TOPIC, topic};
        alv_status status = alv_kafka_is_forbidden(message->err) ? ALV_FATAL : ALV_RETRY;
        (void)alv_kafka_fail_needing(&reader->notice, status, message->err, need, "%s",
                                     rd_kafka_message_errstr(message));
    }
}

static void reader_deliver(kafka_reader *reader, alv_kafka_hold *hold)
{
    for (size_t i = 0; i < hold->count; i++) {
        const rd_kafka_message_t *message = hold->messages[i];
        alv_topic topic = reader_topic(reader, message);
        reader_slot *slot = reader_find(reader, topic, message->partition);
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            reader_note(reader, slot, message);
            alv_kafka_hold_drop(hold, i);
        } else if (slot == NULL || message->offset < slot->position) {
            alv_kafka_hold_drop(hold, i);
        } else {
            slot->position = message->offset + 1;
            alv_kafka_hold_keep(hold, i, topic);
        }
    }
}

/* One at a time, and again until it has been unassigned. */
static alv_status reader_report_rejected(const kafka_reader *reader, alv_error *err)
{
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        for (int32_t shard = 0; shard < reader->slot_count[topic]; shard++) {
            if (reader->slots[topic][shard].rejected) {
                return alv_fail(err, ALV_REJECT, "offset %lld of %s shard %d is not in the log",
                                (long long)reader->slots[topic][shard].position,
                                reader->log->names[topic], (int)shard);
            }
        }
    }
    ALV_ASSERT(false && "rejected_count counts them");
    return ALV_OK;
}

static alv_status reader_poll(alv_reader *base, int timeout_ms, alv_batch *out, alv_error *err)
{
    kafka_reader *reader = (kafka_reader *)base;
    alv_batch_clear(out);
    rd_kafka_queue_t *queue = reader->paused ? reader->parking : reader->queue;
    reader_deliver(reader, alv_kafka_hold_fill(&reader->holds, queue, timeout_ms, out));
    if (out->count > 0) {
        return ALV_OK; /* trouble can wait for the next poll */
    }
    if (reader->rejected_count > 0) {
        return reader_report_rejected(reader, err);
    }
    if (reader->notice.status != ALV_OK) {
        alv_error notice = reader->notice;
        alv_error_clear(&reader->notice);
        return alv_kafka_fail(err, notice.status, notice.code, "%s", notice.text);
    }
    return alv_kafka_client_trouble(&reader->client, err);
}

/* A yield that nobody waits for makes one later poll return early, which does no harm. */
static void reader_wake(alv_reader *base)
{
    const kafka_reader *reader = (const kafka_reader *)base;
    rd_kafka_queue_yield(reader->queue);
    rd_kafka_queue_yield(reader->parking);
}

static int64_t reader_position(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const reader_slot *slot = reader_find((const kafka_reader *)base, topic, shard);
    return slot != NULL ? slot->position : ALV_OFFSET_NONE;
}

static int64_t reader_last_end(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const kafka_reader *reader = (const kafka_reader *)base;
    int64_t start = 0;
    int64_t end = 0;
    if (reader_find(reader, topic, shard) == NULL ||
        rd_kafka_get_watermark_offsets(reader->client.rk, reader->log->names[topic], shard, &start,
                                       &end) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        end < 0) {
        return ALV_OFFSET_NONE;
    }
    return end;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* librdkafka asks for ends with the isolation level of the handle, so high watermarks need one of
 * their own. */
static alv_status reader_open_probe(kafka_reader *reader, alv_error *err)
{
    if (reader->probe.rk != NULL) {
        return ALV_OK;
    }
    rd_kafka_conf_t *conf = NULL;
    alv_status status =
        alv_kafka_conf_new(reader->log->config, ALV_KAFKA_PROBE, &reader->probe, &conf, err);
    if (status == ALV_OK) {
        status = alv_kafka_client_open(&reader->probe, ALV_KAFKA_PROBE, conf, err);
    }
    return status;
}

static alv_status reader_range(alv_reader *base, alv_topic topic, int32_t shard, int64_t *out_start,
                               int64_t *out_end, alv_error *err)
{
    kafka_reader *reader = (kafka_reader *)base;
    ALV_ASSERT(topic < ALV_TOPICS_MAX);
    alv_status status = reader_open_probe(reader, err);
    if (status != ALV_OK) {
        return status;
    }
    (void)rd_kafka_poll(reader->probe.rk, 0); /* runs its error callback, so that none pile up */
    return alv_kafka_range(reader->probe.rk, reader->log->names[topic], shard, out_start, out_end,
                           err);
}

static alv_status reader_ends(alv_reader *base, alv_topic topic, alv_shard_offset *items,
                              size_t count, int timeout_ms, alv_error *err)
{
    kafka_reader *reader = (kafka_reader *)base;
    ALV_ASSERT(topic < ALV_TOPICS_MAX);
    return alv_kafka_ends(reader->client.rk, reader->log->names[topic], items, count, timeout_ms,
                          err);
}

static bool reader_has_shards(const kafka_reader *reader)
{
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        for (int32_t shard = 0; shard < reader->slot_count[topic]; shard++) {
            if (reader->slots[topic][shard].assigned) {
                return true;
            }
        }
    }
    return false;
}

/* To librdkafka a coordinator that may not be known is one that does not answer; why not it says among the
 * messages. A reader with shards meets that when it polls; without any, what is there is worth nothing else. */
static bool reader_is_stranger(kafka_reader *reader)
{
    rd_kafka_message_t *message = NULL;
    while (!reader_has_shards(reader) &&
           (message = rd_kafka_consume_queue(reader->queue, 0)) != NULL) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            reader_note(reader, NULL, message);
        }
        rd_kafka_message_destroy(message);
    }
    return reader->is_stranger;
}

static alv_status reader_committed(alv_reader *base, alv_shard_offset *items, size_t count,
                                   int timeout_ms, alv_error *err)
{
    kafka_reader *reader = (kafka_reader *)base;
    const char *topic = reader->log->names[ALV_TOPIC_COMMANDS];
    alv_error why = ALV_ERROR_NONE;
    alv_status status =
        alv_kafka_committed(reader->client.rk, topic, items, count, timeout_ms, &why);
    if (status == ALV_OK) {
        reader->is_stranger = false;
        return ALV_OK;
    }
    if (why.code == RD_KAFKA_RESP_ERR__TIMED_OUT && reader_is_stranger(reader)) {
        rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
        const alv_kafka_need need = {ALV_ACCESS_DESCRIBE, ALV_ACCESS_GROUP,
                                     reader->log->settings->application_id};
        return alv_kafka_fail_needing(err, status, code, need, "committed offsets of %s: %s", topic,
                                      rd_kafka_err2str(code));
    }
    return alv_kafka_fail(err, status, why.code, "%s", why.text);
}

/* ---- open, close ----------------------------------------------------------------------------- */

static void reader_close(alv_reader *base)
{
    kafka_reader *reader = (kafka_reader *)base;
    alv_kafka_hold_clear_all(reader->holds);
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        if (reader->known[topic] != NULL) {
            rd_kafka_topic_destroy(reader->known[topic]);
        }
    }
    if (reader->queue != NULL) {
        rd_kafka_queue_destroy(reader->queue);
    }
    if (reader->parking != NULL) {
        rd_kafka_queue_destroy(reader->parking);
    }
    alv_kafka_client_close(&reader->client);
    alv_kafka_client_close(&reader->probe);
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        alv_free(reader->slots[topic]);
    }
    alv_free(reader);
}

static const alv_reader_ops reader_ops = {
    .assign = reader_assign,
    .unassign = reader_unassign,
    .pause_all = reader_pause_all,
    .poll = reader_poll,
    .wake = reader_wake,
    .position = reader_position,
    .last_end = reader_last_end,
    .range = reader_range,
    .ends = reader_ends,
    .committed = reader_committed,
    .close = reader_close,
};

static alv_status reader_open_client(kafka_reader *reader, alv_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    alv_status status =
        alv_kafka_conf_new(reader->log->config, ALV_KAFKA_READER, &reader->client, &conf, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka_conf_set(conf, "group.id", reader->log->settings->application_id);
    status = alv_kafka_client_open(&reader->client, ALV_KAFKA_READER, conf, err);
    if (status != ALV_OK) {
        return status;
    }
    (void)rd_kafka_poll_set_consumer(reader->client.rk); /* fails without group.id only */
    reader->queue = rd_kafka_queue_get_consumer(reader->client.rk);
    reader->parking = rd_kafka_queue_new(reader->client.rk);
    reader_look_up(reader, ALV_TOPIC_CHANGELOG);
    reader_look_up(reader, ALV_TOPIC_LEDGER);
    return ALV_OK;
}

alv_status alv_kafka_reader_open(alv_log_port *log, const char *name, alv_reader **out,
                                 alv_error *err)
{
    kafka_reader *reader = alv_alloc(sizeof(*reader));
    reader->base.ops = &reader_ops;
    reader->log = (const alv_kafka *)log;
    alv_kafka_client_init(&reader->client, reader->log->config, name, reader);
    alv_kafka_client_init(&reader->probe, reader->log->config, name, reader);
    alv_status status = reader_open_client(reader, err);
    if (status != ALV_OK) {
        reader_close(&reader->base);
        return status;
    }
    *out = &reader->base;
    return ALV_OK;
}
