/* kafka_producer.c — the transactional producer of a lane.
 *
 * librdkafka sorts its errors into "try the same call again", "abort the transaction" and "fatal".
 * What a lane needs to know is different: is the outcome certain, and may this epoch be used once
 * more (I10)?
 *
 *   where it failed         outcome     why it is certain, or not
 *   flush, send_offsets     ABORTED     nothing can commit before EndTxn is sent
 *   commit: _INCONSISTENT   ABORTED     librdkafka refused, because a record was not delivered
 *   commit: anything else   UNKNOWN     EndTxn may have been sent, may arrive, may have been obeyed
 *
 * After anything indefinite `indefinite` is set, by kafka_events.c or here, and begin refuses until
 * the producer has been renewed.
 *
 * A fatal error of the kind "fenced" has two causes that look the same to librdkafka: another
 * producer took this transactional id, or the coordinator gave up on a transaction older than its
 * time-out. By its age the second is told apart: it asks for a renewal and not for giving up the
 * shards. If the lane has been evicted as well, its consumer says so, and its commits fail on the
 * group's generation.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

/* How long close tries to end an open transaction. */
#define CLOSE_ABORT_MS 1000
/* Calling init_transactions again makes librdkafka ask the coordinator at once; by itself it pauses 500 ms
 * while the coordinator is still ending the last transaction. */
#define INIT_SLICE_MS 10
/* One turn of waiting while the queue is full. */
#define QUEUE_FULL_POLL_MS 20

typedef struct producer_written {
    int64_t *ends; /* by shard */
    int32_t shard_count;
    bool is_incomplete; /* some record was written at an offset that the broker did not tell */
} producer_written;

typedef struct kafka_producer {
    alv_producer base;
    const alv_kafka *log;
    alv_kafka_client client;
    char *transactional_id;
    alv_kafka_targets targets;
    producer_written written[ALV_TOPIC_COUNT];
    int64_t failed; /* records of the open transaction that were not delivered */
    rd_kafka_resp_err_t failed_code;
    bool is_open; /* between begin and the end of a transaction */
    int64_t begun_at_ms;
} kafka_producer;

static int64_t producer_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static void producer_taint(kafka_producer *producer)
{
    atomic_store(&producer->client.indefinite, true);
}

/* ---- what was written ------------------------------------------------------------------------ */

static void written_reset(producer_written *written)
{
    for (int32_t i = 0; i < written->shard_count; i++) {
        written->ends[i] = ALV_OFFSET_NONE;
    }
    written->is_incomplete = false;
}

static void written_note(producer_written *written, int32_t shard, int64_t offset)
{
    if (offset < 0) {
        written->is_incomplete = true;
        return;
    }
    if (shard >= written->shard_count) {
        int32_t count = shard + 16;
        written->ends = alv_realloc(written->ends, (size_t)count * sizeof(*written->ends));
        for (int32_t i = written->shard_count; i < count; i++) {
            written->ends[i] = ALV_OFFSET_NONE;
        }
        written->shard_count = count;
    }
    if (offset >= written->ends[shard]) {
        written->ends[shard] = offset + 1;
    }
}

/* Runs on the producer's own thread, inside poll, flush, commit or abort. */
static void producer_on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    kafka_producer *producer = ((alv_kafka_client *)opaque)->owner;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        written_note(&producer->written[alv_kafka_targets_topic(message)], message->partition,
                     message->offset);
        return;
    }
    producer->failed++;
    producer->failed_code = message->err;
    /* Also after a definite refusal: librdkafka then drains and bumps epochs in the background, and
     * a purge that comes late can hit the next transaction. Purged in the queue: never sent. */
    if (message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE) {
        producer_taint(producer);
    }
}

static int64_t producer_written_end(const alv_producer *base, alv_topic topic, int32_t shard)
{
    const kafka_producer *producer = (const kafka_producer *)base;
    ALV_ASSERT(topic < ALV_TOPIC_COUNT);
    const producer_written *written = &producer->written[topic];
    if (written->is_incomplete || shard < 0 || shard >= written->shard_count) {
        return ALV_OFFSET_NONE;
    }
    return written->ends[shard];
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* A fenced producer whose transaction had outlived its time-out was fenced by that. */
static alv_status producer_fatal_status(const kafka_producer *producer, rd_kafka_resp_err_t code)
{
    bool is_fenced = code == RD_KAFKA_RESP_ERR__FENCED ||
                     code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
                     code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
    bool is_late = producer->is_open &&
                   producer_now_ms() - producer->begun_at_ms >= ALV_TRANSACTION_TIMEOUT_MS;
    return is_fenced && !is_late ? ALV_FENCED : ALV_RETRY;
}

/* ALV_OK while the handle has not failed for good. */
static alv_status producer_fatal(kafka_producer *producer, alv_error *err)
{
    char text[256];
    if (producer->client.rk == NULL) {
        return alv_fail(err, ALV_RETRY, "producer %s is closed until it is renewed",
                        producer->transactional_id);
    }
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(producer->client.rk, text, sizeof(text));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_OK;
    }
    producer_taint(producer);
    return alv_kafka_fail(err, producer_fatal_status(producer, code), code, "%s: %s",
                          producer->transactional_id, text);
}

/* Says what librdkafka's error object says. Takes `error`. */
static alv_status producer_fail(alv_status status, rd_kafka_error_t *error, alv_error *err)
{
    (void)alv_kafka_fail(err, status, rd_kafka_error_code(error), "%s",
                         rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return status;
}

/* The status for an error after which the transaction is not committed. */
static alv_status producer_status(kafka_producer *producer, const rd_kafka_error_t *error)
{
    if (rd_kafka_error_is_fatal(error)) {
        producer_taint(producer);
        return producer_fatal_status(producer, rd_kafka_error_code(error));
    }
    if (!alv_kafka_is_definite(rd_kafka_error_code(error))) {
        producer_taint(producer);
    }
    return rd_kafka_error_txn_requires_abort(error) || rd_kafka_error_is_retriable(error)
               ? ALV_ABORT
               : ALV_RETRY;
}

/* ---- the transaction ------------------------------------------------------------------------- */

static alv_status producer_begin(alv_producer *base, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    alv_status status = producer_fatal(producer, err);
    if (status != ALV_OK) {
        return status;
    }
    if (atomic_load(&producer->client.indefinite)) {
        return alv_fail(err, ALV_RETRY, "producer %s must be renewed first",
                        producer->transactional_id);
    }
    ALV_ASSERT(!producer->is_open);
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer->client.rk);
    if (error != NULL) {
        status = producer_status(producer, error);
        return producer_fail(status == ALV_ABORT ? ALV_RETRY : status, error, err);
    }
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        written_reset(&producer->written[topic]);
    }
    producer->failed = 0;
    producer->is_open = true;
    producer->begun_at_ms = producer_now_ms();
    return ALV_OK;
}

static alv_status producer_produce_failed(kafka_producer *producer, const alv_produce *record,
                                          rd_kafka_resp_err_t code, alv_error *err)
{
    const char *topic = producer->log->names[record->topic];
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        return alv_kafka_fail(err, ALV_REJECT, code, "record of %zu bytes for %s is too large",
                              record->key.size + record->value.size, topic);
    }
    alv_status status = producer_fatal(producer, err);
    if (status != ALV_OK) {
        return status == ALV_FENCED ? ALV_FENCED : ALV_ABORT;
    }
    return alv_kafka_fail(err, ALV_ABORT, code, "produce to %s: %s", topic, rd_kafka_err2str(code));
}

static alv_status producer_produce(alv_producer *base, const alv_produce *record, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    ALV_ASSERT(producer->is_open);
    int64_t deadline_ms = producer->begun_at_ms + ALV_MESSAGE_TIMEOUT_MS;
    for (;;) {
        rd_kafka_resp_err_t code = alv_kafka_targets_produce(&producer->targets, producer->log,
                                                             producer->client.rk, record, NULL);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return ALV_OK;
        }
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            return producer_produce_failed(producer, record, code, err);
        }
        if (producer_now_ms() >= deadline_ms) {
            producer_taint(producer);
            return alv_kafka_fail(err, ALV_ABORT, code, "the producer's queue stays full");
        }
        rd_kafka_poll(producer->client.rk, QUEUE_FULL_POLL_MS);
    }
}

static alv_status producer_flush(alv_producer *base, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    ALV_ASSERT(producer->is_open);
    rd_kafka_resp_err_t code = rd_kafka_flush(producer->client.rk, ALV_MESSAGE_TIMEOUT_MS);
    alv_status status = producer_fatal(producer, err);
    if (status != ALV_OK) {
        return status == ALV_FENCED ? ALV_FENCED : ALV_ABORT;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer_taint(producer);
        return alv_kafka_fail(err, ALV_ABORT, code, "records are not acknowledged: %s",
                              rd_kafka_err2str(code));
    }
    if (producer->failed > 0) {
        return alv_kafka_fail(err, ALV_ABORT, producer->failed_code,
                              "%lld records were not delivered: %s", (long long)producer->failed,
                              rd_kafka_err2str(producer->failed_code));
    }
    return ALV_OK;
}

/* ---- commit ---------------------------------------------------------------------------------- */

/* JSON text for the metadata beside each offset; ids come from the configuration. */
static char *producer_metadata(const char *owner)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&text, "{\"owner\":\"");
    for (const char *at = owner; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20) {
            alv_bytes_printf(&text, "\\u%04x", (unsigned)(unsigned char)*at);
        } else if (*at == '"' || *at == '\\') {
            alv_bytes_printf(&text, "\\%c", *at);
        } else {
            alv_bytes_append(&text, at, 1);
        }
    }
    alv_bytes_append(&text, "\"}", 3); /* with the NUL */
    return text.data;
}

static rd_kafka_topic_partition_list_t *producer_offsets(const kafka_producer *producer,
                                                         const alv_shard_offset *offsets,
                                                         size_t count, const char *owner)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    char *metadata = producer_metadata(owner);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(
            list, producer->log->names[ALV_TOPIC_COMMANDS], offsets[i].shard);
        item->offset = offsets[i].offset;
        item->metadata_size = strlen(metadata);
        item->metadata = rd_kafka_mem_malloc(producer->client.rk, item->metadata_size);
        memcpy(item->metadata, metadata, item->metadata_size);
    }
    alv_free(metadata);
    return list;
}

/* Cooperative rebalances bump the generation without any callback, so it is asked for each time. */
/* The group's metadata of a consumer that is a member. A broker takes offsets without member and generation
 * from anybody while the group is empty, so a consumer that has just lost its membership must not be
 * asked for them (I3): its id is compared before and after, and never comes back once it has changed. */
static rd_kafka_consumer_group_metadata_t *producer_group(alv_consumer *consumer)
{
    rd_kafka_t *rk = alv_kafka_consumer_handle(consumer);
    char *before = rd_kafka_memberid(rk);
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(rk);
    char *after = rd_kafka_memberid(rk);
    bool is_member =
        before != NULL && after != NULL && *before != '\0' && strcmp(before, after) == 0;
    if (!is_member && group != NULL) {
        rd_kafka_consumer_group_metadata_destroy(group);
        group = NULL;
    }
    if (before != NULL) {
        rd_kafka_mem_free(rk, before);
    }
    if (after != NULL) {
        rd_kafka_mem_free(rk, after);
    }
    return group;
}

static alv_status producer_send_offsets(kafka_producer *producer, alv_consumer *consumer,
                                        const alv_shard_offset *offsets, size_t count,
                                        const char *owner, alv_error *err)
{
    rd_kafka_consumer_group_metadata_t *group = producer_group(consumer);
    if (group == NULL) {
        return alv_fail(err, ALV_ABORT, "the consumer is not a member of its group");
    }
    rd_kafka_topic_partition_list_t *list = producer_offsets(producer, offsets, count, owner);
    int64_t deadline_ms = producer_now_ms() + ALV_MESSAGE_TIMEOUT_MS;
    rd_kafka_error_t *error = NULL;
    for (;;) { /* with identical arguments, as librdkafka asks */
        int64_t left_ms = deadline_ms - producer_now_ms();
        error = rd_kafka_send_offsets_to_transaction(producer->client.rk, list, group,
                                                     left_ms > 0 ? (int)left_ms : 0);
        if (error == NULL || !rd_kafka_error_is_retriable(error) || left_ms <= 0) {
            break;
        }
        rd_kafka_error_destroy(error);
        rd_kafka_poll(producer->client.rk, 1);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_group_metadata_destroy(group);
    if (error == NULL) {
        return ALV_OK;
    }
    return producer_fail(producer_status(producer, error), error, err);
}

/* init, commit and abort go on in the background when their time is up, and are resumed by calling them
 * again, every `slice_ms` at the latest. NULL when done, else the last error. */
static rd_kafka_error_t *producer_end(kafka_producer *producer,
                                      rd_kafka_error_t *(*end)(rd_kafka_t *, int), int slice_ms,
                                      int timeout_ms)
{
    int64_t deadline_ms = producer_now_ms() + timeout_ms;
    for (;;) {
        int64_t left_ms = deadline_ms - producer_now_ms();
        int64_t wait_ms = left_ms < slice_ms ? left_ms : slice_ms;
        rd_kafka_error_t *error = end(producer->client.rk, wait_ms > 0 ? (int)wait_ms : 0);
        if (error == NULL || !rd_kafka_error_is_retriable(error)) {
            return error;
        }
        producer_taint(producer);
        if (left_ms <= 0) {
            return error;
        }
        rd_kafka_error_destroy(error);
        rd_kafka_poll(producer->client.rk, 1);
    }
}

static alv_commit_outcome producer_commit(alv_producer *base, alv_consumer *consumer,
                                          const alv_shard_offset *offsets, size_t count,
                                          const char *owner, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    alv_status status = producer_flush(base, err);
    if (status == ALV_OK && count > 0) {
        status = producer_send_offsets(producer, consumer, offsets, count, owner, err);
    }
    if (status != ALV_OK) {
        return ALV_COMMIT_ABORTED;
    }

    rd_kafka_error_t *error = producer_end(producer, rd_kafka_commit_transaction,
                                           ALV_TRANSACTION_TIMEOUT_MS, ALV_TRANSACTION_TIMEOUT_MS);
    if (error == NULL) {
        producer->is_open = false;
        return ALV_COMMIT_DONE;
    }
    if (rd_kafka_error_txn_requires_abort(error) &&
        rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__INCONSISTENT) {
        (void)producer_fail(ALV_ABORT, error, err);
        return ALV_COMMIT_ABORTED;
    }
    producer_taint(producer);
    (void)producer_fail(ALV_RETRY, error, err);
    return ALV_COMMIT_UNKNOWN;
}

static alv_status producer_abort(alv_producer *base, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    if (!producer->is_open) {
        return ALV_OK;
    }
    alv_status status = producer_fatal(producer, err);
    if (status != ALV_OK) {
        return status;
    }
    rd_kafka_error_t *error = producer_end(producer, rd_kafka_abort_transaction,
                                           ALV_TRANSACTION_TIMEOUT_MS, ALV_TRANSACTION_TIMEOUT_MS);
    if (error == NULL) {
        producer->is_open = false;
        return ALV_OK;
    }
    producer_taint(producer);
    status = rd_kafka_error_is_fatal(error)
                 ? producer_fatal_status(producer, rd_kafka_error_code(error))
                 : ALV_RETRY;
    return producer_fail(status, error, err);
}

static bool producer_tainted(const alv_producer *base)
{
    const kafka_producer *producer = (const kafka_producer *)base;
    return producer->client.rk == NULL || atomic_load(&producer->client.indefinite);
}

/* ---- open, renew, close ---------------------------------------------------------------------- */

static void producer_drop(kafka_producer *producer)
{
    if (producer->client.rk != NULL) {
        alv_kafka_targets_done(&producer->targets);
    }
    alv_kafka_client_close(&producer->client);
    producer->is_open = false;
}

static alv_status producer_init(kafka_producer *producer, alv_error *err)
{
    rd_kafka_error_t *error =
        producer_end(producer, rd_kafka_init_transactions, INIT_SLICE_MS, ALV_KAFKA_CALL_MS);
    if (error == NULL) {
        /* Retries until here belong to no transaction, and nothing older can follow any more. */
        atomic_store(&producer->client.indefinite, false);
        return ALV_OK;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool is_final = code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
                    code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
                    code == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT ||
                    code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
    return producer_fail(is_final ? ALV_FATAL : ALV_RETRY, error, err);
}

static alv_status producer_renew(alv_producer *base, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    producer_drop(producer);
    rd_kafka_conf_t *conf = NULL;
    alv_status status = alv_kafka_conf_new(producer->log->config, ALV_KAFKA_PRODUCER,
                                           &producer->client, &conf, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka_conf_set(conf, "transactional.id", producer->transactional_id);
    rd_kafka_conf_set_dr_msg_cb(conf, producer_on_delivery);
    alv_kafka_stats_configure(conf, producer->log->config);
    status = alv_kafka_client_open(&producer->client, ALV_KAFKA_PRODUCER, conf, err);
    if (status == ALV_OK) {
        alv_kafka_stats_add(&producer->client, "producer");
        status = producer_init(producer, err);
    }
    if (status != ALV_OK) {
        producer_drop(producer);
    }
    return status;
}

static void producer_serve(alv_producer *base)
{
    kafka_producer *producer = (kafka_producer *)base;
    if (producer->client.rk != NULL) {
        rd_kafka_poll(producer->client.rk, 0);
    }
}

/* What is left open is ended by the next producer of this name, or by the coordinator. */
static void producer_close(alv_producer *base)
{
    kafka_producer *producer = (kafka_producer *)base;
    if (producer->is_open && producer_fatal(producer, NULL) == ALV_OK) {
        rd_kafka_error_t *error =
            producer_end(producer, rd_kafka_abort_transaction, CLOSE_ABORT_MS, CLOSE_ABORT_MS);
        if (error != NULL) {
            rd_kafka_error_destroy(error);
        }
    }
    producer_drop(producer);
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        alv_free(producer->written[topic].ends);
    }
    alv_free(producer->transactional_id);
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

alv_status alv_kafka_producer_open(alv_log_port *log, int lane, alv_producer **out, alv_error *err)
{
    kafka_producer *producer = alv_alloc(sizeof(*producer));
    producer->base.ops = &producer_ops;
    producer->log = (const alv_kafka *)log;
    const alv_settings *settings = producer->log->settings;
    producer->transactional_id =
        alv_format("%s-%s-%d", settings->application_id, settings->node_id, lane);
    char *suffix = alv_format("%d", lane);
    alv_kafka_client_init(&producer->client, producer->log->config, suffix, producer);
    alv_free(suffix);

    alv_status status = producer_renew(&producer->base, err);
    if (status != ALV_OK) {
        producer_close(&producer->base);
        return status;
    }
    *out = &producer->base;
    return ALV_OK;
}
