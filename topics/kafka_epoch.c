#include "topics/kafka_epoch_internal.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/logger.h"

/* Calling init_transactions again makes librdkafka ask the coordinator at once; by itself it pauses 500 ms
 * while the coordinator is still ending the last transaction. */
#define INIT_SLICE_MS 10
/* What a call may take beyond the time-out it was given, before it counts as hanging. */
#define EPOCH_GRACE_MS 500

static int64_t epoch_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

void alv_kafka_epoch_taint(alv_kafka_epoch *epoch)
{
    atomic_store(&epoch->client.indefinite, true);
}

/* ---- what was written ------------------------------------------------------------------------ */

static void written_note(alv_kafka_written *written, int32_t shard, int64_t offset)
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

/* Runs inside poll, flush, commit or abort. */
static void epoch_on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    alv_kafka_epoch *epoch = ((alv_kafka_client *)opaque)->owner;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        written_note(&epoch->written[alv_kafka_targets_topic(message)], message->partition,
                     message->offset);
        return;
    }
    epoch->failed++;
    epoch->failed_code = message->err;
    epoch->failed_topic = alv_kafka_targets_topic(message);
    /* Also after a definite refusal: librdkafka then drains and bumps epochs in the background, and
     * a purge that comes late can hit the next transaction. Purged in the queue: never sent. */
    if (message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE) {
        alv_kafka_epoch_taint(epoch);
    }
}

void alv_kafka_epoch_reset(alv_kafka_epoch *epoch)
{
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        alv_kafka_written *written = &epoch->written[topic];
        for (int32_t i = 0; i < written->shard_count; i++) {
            written->ends[i] = ALV_OFFSET_NONE;
        }
        written->is_incomplete = false;
    }
    epoch->failed = 0;
}

/* ---- calls: on the epoch's thread ------------------------------------------------------------- */

/* With identical arguments until the time is up, as librdkafka asks. */
static rd_kafka_error_t *call_send_offsets(alv_kafka_epoch *epoch)
{
    const alv_kafka_epoch_call *call = &epoch->call;
    int64_t deadline_ms = epoch_now_ms() + ALV_OFFSETS_CALL_MS;
    for (;;) {
        int64_t left_ms = deadline_ms - epoch_now_ms();
        rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(
            epoch->client.rk, call->offsets, call->group, left_ms > 0 ? (int)left_ms : 0);
        if (error == NULL || !rd_kafka_error_is_retriable(error) || left_ms <= 0) {
            return error;
        }
        rd_kafka_error_destroy(error);
        rd_kafka_poll(epoch->client.rk, 1);
    }
}

/* init, commit and abort go on in the background when their time is up, and are resumed by calling them
 * again, every `slice_ms` at the latest. NULL when done, else the last error. */
static rd_kafka_error_t *call_end(alv_kafka_epoch *epoch)
{
    const alv_kafka_epoch_call *call = &epoch->call;
    int64_t deadline_ms = epoch_now_ms() + call->timeout_ms;
    for (;;) {
        int64_t left_ms = deadline_ms - epoch_now_ms();
        int64_t wait_ms = left_ms < call->slice_ms ? left_ms : call->slice_ms;
        rd_kafka_error_t *error = call->end(epoch->client.rk, wait_ms > 0 ? (int)wait_ms : 0);
        if (error == NULL || !rd_kafka_error_is_retriable(error)) {
            return error;
        }
        alv_kafka_epoch_taint(epoch);
        if (left_ms <= 0) {
            return error;
        }
        rd_kafka_error_destroy(error);
        rd_kafka_poll(epoch->client.rk, 1);
    }
}

static void epoch_call(void *payload)
{
    alv_kafka_epoch *epoch = payload;
    alv_kafka_epoch_call *call = &epoch->call;
    call->error = call->offsets != NULL ? call_send_offsets(epoch) : NULL;
    int step = ALV_KAFKA_STEP_OFFSETS;
    if (call->error == NULL &&
        atomic_compare_exchange_strong(&call->step, &step, ALV_KAFKA_STEP_END)) {
        if (call->offsets != NULL) {
            alv_fault_reach(ALV_FAULT_BEFORE_END);
        }
        call->error = call_end(epoch);
    }
    if (call->offsets != NULL) {
        rd_kafka_topic_partition_list_destroy(call->offsets);
        rd_kafka_consumer_group_metadata_destroy(call->group);
        call->offsets = NULL;
        call->group = NULL;
    }
}

/* ---- calls: on the lane's thread -------------------------------------------------------------- */

/* Whether the call has returned; one that hangs before EndTxn is kept from sending it. */
static bool epoch_wait(alv_kafka_epoch *epoch)
{
    alv_kafka_epoch_call *call = &epoch->call;
    int first_ms = call->offsets != NULL ? ALV_OFFSETS_CALL_MS : call->timeout_ms;
    if (alv_caller_run(epoch->caller, epoch_call, epoch, first_ms + EPOCH_GRACE_MS)) {
        return true;
    }
    int step = ALV_KAFKA_STEP_OFFSETS;
    if (atomic_compare_exchange_strong(&call->step, &step, ALV_KAFKA_STEP_GIVEN_UP)) {
        return false;
    }
    return alv_caller_wait(epoch->caller, call->timeout_ms + EPOCH_GRACE_MS);
}

static alv_kafka_ended epoch_run(alv_kafka_epoch *epoch)
{
    alv_kafka_ended ended = {.has_returned = epoch_wait(epoch)};
    ended.may_have_ended = atomic_load(&epoch->call.step) == ALV_KAFKA_STEP_END;
    if (ended.has_returned) {
        ended.error = epoch->call.error;
        epoch->call.error = NULL;
    } else {
        epoch->hangs = true;
    }
    return ended;
}

alv_kafka_ended alv_kafka_epoch_init(alv_kafka_epoch *epoch)
{
    epoch->call = (alv_kafka_epoch_call){.end = rd_kafka_init_transactions,
                                         .slice_ms = INIT_SLICE_MS,
                                         .timeout_ms = ALV_KAFKA_CALL_MS};
    return epoch_run(epoch);
}

alv_kafka_ended alv_kafka_epoch_commit(alv_kafka_epoch *epoch,
                                       rd_kafka_topic_partition_list_t *offsets,
                                       rd_kafka_consumer_group_metadata_t *group)
{
    epoch->call = (alv_kafka_epoch_call){.offsets = offsets,
                                         .group = group,
                                         .end = rd_kafka_commit_transaction,
                                         .slice_ms = ALV_TRANSACTION_TIMEOUT_MS,
                                         .timeout_ms = ALV_TRANSACTION_TIMEOUT_MS};
    return epoch_run(epoch);
}

alv_kafka_ended alv_kafka_epoch_abort(alv_kafka_epoch *epoch, int timeout_ms)
{
    epoch->call = (alv_kafka_epoch_call){
        .end = rd_kafka_abort_transaction, .slice_ms = timeout_ms, .timeout_ms = timeout_ms};
    return epoch_run(epoch);
}

/* ---- open, close ----------------------------------------------------------------------------- */

static alv_status epoch_open_client(alv_kafka_epoch *epoch, const alv_kafka *log,
                                    const char *transactional_id, alv_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    alv_status status =
        alv_kafka_conf_new(log->config, ALV_KAFKA_PRODUCER, &epoch->client, &conf, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka_conf_set(conf, "transactional.id", transactional_id);
    rd_kafka_conf_set_dr_msg_cb(conf, epoch_on_delivery);
    alv_kafka_stats_configure(conf, log->config);
    status = alv_kafka_client_open(&epoch->client, ALV_KAFKA_PRODUCER, conf, err);
    if (status == ALV_OK) {
        alv_kafka_stats_add(&epoch->client, "producer");
    }
    return status;
}

alv_status alv_kafka_epoch_open(const alv_kafka *log, const char *transactional_id, int lane,
                                alv_kafka_epoch **out, alv_error *err)
{
    int left = alv_callers_left();
    if (left >= ALV_CALLERS_LEFT_MAX) {
        return alv_fail(err, ALV_RETRY, "%d calls to Kafka hang; waiting for one to return", left);
    }
    alv_kafka_epoch *epoch = alv_alloc(sizeof(*epoch));
    char suffix[16];
    (void)snprintf(suffix, sizeof(suffix), "%d", lane);
    alv_kafka_client_init(&epoch->client, log->config, suffix, epoch);
    alv_status status = epoch_open_client(epoch, log, transactional_id, err);
    if (status != ALV_OK) {
        alv_free(epoch);
        return status;
    }
    char name[16];
    (void)snprintf(name, sizeof(name), "producer-%d", lane);
    epoch->caller = alv_caller_new(name);
    *out = epoch;
    return ALV_OK;
}

/* On the epoch's thread, the last thing that runs there. */
static void epoch_free(void *payload)
{
    alv_kafka_epoch *epoch = payload;
    if (epoch->call.error != NULL) {
        rd_kafka_error_destroy(epoch->call.error);
    }
    alv_kafka_targets_done(&epoch->targets);
    alv_kafka_client_close(&epoch->client);
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        alv_free(epoch->written[topic].ends);
    }
    alv_free(epoch);
}

void alv_kafka_epoch_close(alv_kafka_epoch *epoch)
{
    if (epoch == NULL) {
        return;
    }
    char name[ALV_KAFKA_CLIENT_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%s", epoch->client.name);
    alv_kafka_stats_remove(&epoch->client); /* the next epoch of the lane has them */
    int wait_ms = epoch->hangs ? 0 : ALV_EPOCH_CLOSE_MS;
    if (!alv_caller_end(epoch->caller, epoch_free, epoch, wait_ms)) {
        alv_log(ALV_LOG_WARN, "producer-left-behind", "client=%s left=%d", name,
                alv_callers_left());
    }
}
