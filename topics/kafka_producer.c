/* kafka_producer.c — the transactional producer of a lane.
 *
 * librdkafka sorts its errors into "try the same call again", "abort the transaction" and "fatal".
 * What a lane needs to know is different: is the outcome certain, and may this epoch be used once
 * more (I10)?
 *
 *   where it failed         outcome     why it is certain, or not
 *   flush, send_offsets     ABORTED     nothing can commit before EndTxn is sent
 *   send_offsets hangs      ABORTED     the same, and the call that was left behind will not send it
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
#include "topics/kafka_epoch_internal.h"
#include "topics/offset_note.h"

/* How long close tries to end an open transaction. */
#define CLOSE_ABORT_MS 1000
/* One turn of waiting while the queue is full. */
#define QUEUE_FULL_POLL_MS 20

typedef struct kafka_producer {
    alv_producer base;
    const alv_kafka *log;
    int lane;
    char *transactional_id;
    alv_kafka_epoch *epoch; /* NULL until it is renewed */
    bool is_open;           /* between begin and the end of a transaction */
    int64_t begun_at_ms;
} kafka_producer;

static int64_t producer_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static rd_kafka_t *producer_rk(const kafka_producer *producer)
{
    return producer->epoch->client.rk;
}

static void producer_taint(kafka_producer *producer)
{
    alv_kafka_epoch_taint(producer->epoch);
}

static int64_t producer_written_end(const alv_producer *base, alv_topic topic, int32_t shard)
{
    const kafka_producer *producer = (const kafka_producer *)base;
    ALV_ASSERT(topic < ALV_TOPIC_COUNT);
    if (producer->epoch == NULL) {
        return ALV_OFFSET_NONE;
    }
    const alv_kafka_written *written = &producer->epoch->written[topic];
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

static alv_kafka_need producer_need_to_write(const char *topic)
{
    return (alv_kafka_need){ALV_ACCESS_WRITE, ALV_ACCESS_TOPIC, topic};
}

/* What a refused request of the transaction itself was about. */
static alv_kafka_need producer_need(const kafka_producer *producer, rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        const char *group = producer->log->settings->application_id;
        return (alv_kafka_need){ALV_ACCESS_READ, ALV_ACCESS_GROUP, group};
    }
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) { /* consumed offsets are sent */
        const char *topic = producer->log->names[ALV_TOPIC_COMMANDS];
        return (alv_kafka_need){ALV_ACCESS_READ, ALV_ACCESS_TOPIC, topic};
    }
    return (alv_kafka_need){ALV_ACCESS_WRITE, ALV_ACCESS_TRANSACTIONAL_ID,
                            producer->transactional_id};
}

/* ALV_OK while the handle has not failed for good. */
static alv_status producer_fatal(kafka_producer *producer, alv_error *err)
{
    char text[256];
    if (producer->epoch == NULL) {
        return alv_fail(err, ALV_RETRY, "producer %s is closed until it is renewed",
                        producer->transactional_id);
    }
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(producer_rk(producer), text, sizeof(text));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_OK;
    }
    producer_taint(producer);
    return alv_kafka_fail_needing(err, producer_fatal_status(producer, code), code,
                                  producer_need(producer, code), "%s: %s",
                                  producer->transactional_id, text);
}

/* Says what librdkafka's error object says. Takes `error`. */
static alv_status producer_fail(const kafka_producer *producer, alv_status status,
                                rd_kafka_error_t *error, alv_error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    (void)alv_kafka_fail_needing(err, status, code, producer_need(producer, code), "%s",
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
    if (atomic_load(&producer->epoch->client.indefinite)) {
        return alv_fail(err, ALV_RETRY, "producer %s must be renewed first",
                        producer->transactional_id);
    }
    ALV_ASSERT(!producer->is_open);
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer_rk(producer));
    if (error != NULL) {
        status = producer_status(producer, error);
        return producer_fail(producer, status == ALV_ABORT ? ALV_RETRY : status, error, err);
    }
    alv_kafka_epoch_reset(producer->epoch);
    atomic_store(&producer->epoch->client.forbidden, -1);
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
    return alv_kafka_fail_needing(err, ALV_ABORT, code, producer_need_to_write(topic),
                                  "produce to %s: %s", topic, rd_kafka_err2str(code));
}

static alv_status producer_produce(alv_producer *base, const alv_produce *record, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    ALV_ASSERT(producer->is_open);
    int64_t deadline_ms = producer->begun_at_ms + ALV_MESSAGE_TIMEOUT_MS;
    for (;;) {
        rd_kafka_resp_err_t code = alv_kafka_targets_produce(
            &producer->epoch->targets, producer->log, producer_rk(producer), record, NULL);
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
        rd_kafka_poll(producer_rk(producer), QUEUE_FULL_POLL_MS);
    }
}

/* Records of a transaction that may not write to a topic come back as purged. */
static alv_status producer_undelivered(const kafka_producer *producer, alv_error *err)
{
    const alv_kafka_epoch *epoch = producer->epoch;
    int forbidden = atomic_load(&epoch->client.forbidden);
    rd_kafka_resp_err_t code =
        forbidden >= 0 ? RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED : epoch->failed_code;
    alv_topic topic = forbidden >= 0 ? (alv_topic)forbidden : epoch->failed_topic;
    const char *name = producer->log->names[topic];
    return alv_kafka_fail_needing(err, ALV_ABORT, code, producer_need_to_write(name),
                                  "%lld records were not delivered: %s: %s",
                                  (long long)epoch->failed, name, rd_kafka_err2str(code));
}

static alv_status producer_flush(alv_producer *base, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    ALV_ASSERT(producer->is_open);
    rd_kafka_resp_err_t code = rd_kafka_flush(producer_rk(producer), ALV_MESSAGE_TIMEOUT_MS);
    alv_status status = producer_fatal(producer, err);
    if (status != ALV_OK) {
        return status == ALV_FENCED ? ALV_FENCED : ALV_ABORT;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer_taint(producer);
        return alv_kafka_fail(err, ALV_ABORT, code, "records are not acknowledged: %s",
                              rd_kafka_err2str(code));
    }
    return producer->epoch->failed > 0 ? producer_undelivered(producer, err) : ALV_OK;
}

/* ---- commit ---------------------------------------------------------------------------------- */

static rd_kafka_topic_partition_list_t *producer_offsets(const kafka_producer *producer,
                                                         const alv_shard_offset *offsets,
                                                         size_t count, const char *owner)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    alv_bytes note = ALV_BYTES_EMPTY;
    alv_offset_note_write(owner, &note);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(
            list, producer->log->names[ALV_TOPIC_COMMANDS], offsets[i].shard);
        item->offset = offsets[i].offset;
        item->metadata_size = note.size;
        item->metadata = rd_kafka_mem_malloc(producer_rk(producer), item->metadata_size);
        memcpy(item->metadata, note.data, note.size);
    }
    alv_bytes_done(&note);
    return list;
}

/* The call has not returned: its epoch is left behind. */
static void producer_give_up(kafka_producer *producer, const char *what, alv_error *err)
{
    alv_kafka_epoch_close(producer->epoch);
    producer->epoch = NULL;
    producer->is_open = false;
    (void)alv_fail(err, ALV_RETRY, "%s of %s hangs", what, producer->transactional_id);
}

/* What the end of a commit means; the table at the top of this file. Takes ended.error. */
static alv_commit_outcome producer_outcome(kafka_producer *producer, alv_kafka_ended ended,
                                           alv_error *err)
{
    if (!ended.has_returned) {
        producer_give_up(producer, ended.may_have_ended ? "commit" : "sending the offsets", err);
        return ended.may_have_ended ? ALV_COMMIT_UNKNOWN : ALV_COMMIT_ABORTED;
    }
    if (ended.error == NULL) {
        producer->is_open = false;
        return ALV_COMMIT_DONE;
    }
    if (!ended.may_have_ended) {
        (void)producer_fail(producer, producer_status(producer, ended.error), ended.error, err);
        return ALV_COMMIT_ABORTED;
    }
    if (rd_kafka_error_txn_requires_abort(ended.error) &&
        rd_kafka_error_code(ended.error) == RD_KAFKA_RESP_ERR__INCONSISTENT) {
        (void)producer_fail(producer, ALV_ABORT, ended.error, err);
        return ALV_COMMIT_ABORTED;
    }
    producer_taint(producer);
    (void)producer_fail(producer, ALV_RETRY, ended.error, err);
    return ALV_COMMIT_UNKNOWN;
}

static alv_commit_outcome producer_commit(alv_producer *base, alv_consumer *consumer,
                                          const alv_shard_offset *offsets, size_t count,
                                          const char *owner, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_consumer_group_metadata_t *group = NULL;
    if (producer_flush(base, err) != ALV_OK) {
        return ALV_COMMIT_ABORTED;
    }
    if (count > 0) {
        group = alv_kafka_consumer_group(consumer);
        if (group == NULL) {
            (void)alv_fail(err, ALV_ABORT,
                           "the consumer is not the member that its shards were given to");
            return ALV_COMMIT_ABORTED;
        }
        list = producer_offsets(producer, offsets, count, owner);
    }
    return producer_outcome(producer, alv_kafka_epoch_commit(producer->epoch, list, group), err);
}

static alv_status producer_abort_within(kafka_producer *producer, int timeout_ms, alv_error *err)
{
    if (!producer->is_open) {
        return ALV_OK;
    }
    alv_status status = producer_fatal(producer, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka_ended ended = alv_kafka_epoch_abort(producer->epoch, timeout_ms);
    if (!ended.has_returned) {
        producer_give_up(producer, "abort", err);
        return ALV_RETRY;
    }
    if (ended.error == NULL) {
        producer->is_open = false;
        return ALV_OK;
    }
    producer_taint(producer);
    status = rd_kafka_error_is_fatal(ended.error)
                 ? producer_fatal_status(producer, rd_kafka_error_code(ended.error))
                 : ALV_RETRY;
    return producer_fail(producer, status, ended.error, err);
}

static alv_status producer_abort(alv_producer *base, alv_error *err)
{
    return producer_abort_within((kafka_producer *)base, ALV_TRANSACTION_TIMEOUT_MS, err);
}

static bool producer_tainted(const alv_producer *base)
{
    const kafka_producer *producer = (const kafka_producer *)base;
    return producer->epoch == NULL || atomic_load(&producer->epoch->client.indefinite);
}

/* ---- open, renew, close ---------------------------------------------------------------------- */

static void producer_drop(kafka_producer *producer)
{
    alv_kafka_epoch_close(producer->epoch);
    producer->epoch = NULL;
    producer->is_open = false;
}

static alv_status producer_init(kafka_producer *producer, alv_error *err)
{
    alv_kafka_ended ended = alv_kafka_epoch_init(producer->epoch);
    if (!ended.has_returned) {
        return alv_fail(err, ALV_RETRY, "init of %s hangs", producer->transactional_id);
    }
    if (ended.error == NULL) {
        /* Retries until here belong to no transaction, and nothing older can follow any more. */
        atomic_store(&producer->epoch->client.indefinite, false);
        return ALV_OK;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(ended.error);
    bool is_final = code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
                    code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
                    code == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT ||
                    code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
    return producer_fail(producer, is_final ? ALV_FATAL : ALV_RETRY, ended.error, err);
}

static alv_status producer_renew(alv_producer *base, alv_error *err)
{
    kafka_producer *producer = (kafka_producer *)base;
    producer_drop(producer);
    alv_status status = alv_kafka_epoch_open(producer->log, producer->transactional_id,
                                             producer->lane, &producer->epoch, err);
    if (status == ALV_OK) {
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
    if (producer->epoch != NULL) {
        rd_kafka_poll(producer_rk(producer), 0);
    }
}

/* What is left open is ended by the next producer of this name, or by the coordinator. */
static void producer_close(alv_producer *base)
{
    kafka_producer *producer = (kafka_producer *)base;
    (void)producer_abort_within(producer, CLOSE_ABORT_MS, NULL);
    producer_drop(producer);
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
    producer->lane = lane;
    const alv_settings *settings = producer->log->settings;
    producer->transactional_id =
        alv_format("%s-%s-%d", settings->application_id, settings->node_id, lane);
    alv_status status = producer_renew(&producer->base, err);
    if (status != ALV_OK) {
        producer_close(&producer->base);
        return status;
    }
    *out = &producer->base;
    return ALV_OK;
}
