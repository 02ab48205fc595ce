/* kafka_consumer.c — a member of the consumer group on the command topic. What it has been given, and what the
 * lane wants of that, is in the table of kafka_assignment_internal.h.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_assignment_internal.h"
#include "topics/kafka_membership_internal.h"

/* How long close may take when the brokers are away. */
#define CLOSE_UNSUBSCRIBE_MS 2500
#define CLOSE_MS 4500
/* A poll that still has seeks to carry out waits no longer than this. */
#define SEEK_RETRY_MS 2
/* How often the member id is looked at. */
#define MEMBER_CHECK_MS 100

typedef struct kafka_consumer {
    alv_consumer base;
    const alv_kafka *log;
    alv_kafka_client client;
    alv_rebalance_listener listener;
    rd_kafka_queue_t *queue;
    alv_kafka_hold *holds;
    alv_kafka_assignment assignment;
    alv_kafka_membership membership;
    int64_t member_checked_ms;
    alv_error notice; /* for the next poll: what came between messages */
} kafka_consumer;

static int64_t consumer_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static const char *consumer_topic(const kafka_consumer *consumer)
{
    return consumer->log->names[ALV_TOPIC_COMMANDS];
}

/* ---- rebalance ------------------------------------------------------------------------------- */

static int32_t *consumer_numbers(const rd_kafka_topic_partition_list_t *partitions)
{
    int32_t *numbers = alv_alloc_array((size_t)partitions->cnt + 1, sizeof(*numbers));
    for (int i = 0; i < partitions->cnt; i++) {
        numbers[i] = partitions->elems[i].partition;
    }
    return numbers;
}

/* All shards are lost and given anew: their owner has to find out where they stand by now (I3). */
static void consumer_give_anew(kafka_consumer *consumer)
{
    size_t count = 0;
    int32_t *numbers = alv_kafka_assignment_list(&consumer->assignment, &count);
    if (count > 0) {
        consumer->listener.revoked(consumer->listener.payload, numbers, count, true);
        for (size_t i = 0; i < count; i++) {
            alv_kafka_assignment_renew(&consumer->assignment, numbers[i]);
        }
        consumer->listener.assigned(consumer->listener.payload, numbers, count);
    }
    alv_free(numbers);
}

static void consumer_look_at_member(kafka_consumer *consumer)
{
    if (alv_kafka_membership_changed(&consumer->membership, consumer->client.rk)) {
        consumer_give_anew(consumer);
    }
}

static void consumer_on_assign(kafka_consumer *consumer,
                               rd_kafka_topic_partition_list_t *partitions)
{
    consumer_look_at_member(consumer);
    alv_kafka_assignment_add(&consumer->assignment, partitions, &consumer->notice);
    int32_t *numbers = consumer_numbers(partitions);
    consumer->listener.assigned(consumer->listener.payload, numbers, (size_t)partitions->cnt);
    alv_free(numbers);
}

/* incremental_unassign comes last: it lets the next owner go ahead. */
static void consumer_on_revoke(kafka_consumer *consumer,
                               rd_kafka_topic_partition_list_t *partitions)
{
    bool lost = rd_kafka_assignment_lost(consumer->client.rk) != 0;
    if (!lost) {
        consumer_look_at_member(consumer);
    }
    int32_t *numbers = consumer_numbers(partitions);
    consumer->listener.revoked(consumer->listener.payload, numbers, (size_t)partitions->cnt, lost);
    for (int i = 0; i < partitions->cnt; i++) {
        alv_kafka_assignment_remove(&consumer->assignment, numbers[i]);
    }
    alv_free(numbers);
    alv_kafka_assignment_check(rd_kafka_incremental_unassign(consumer->client.rk, partitions),
                               "incremental unassign", &consumer->notice);
}

static void consumer_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                                  rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    kafka_consumer *consumer = ((alv_kafka_client *)opaque)->owner;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        consumer_on_assign(consumer, partitions);
    } else {
        consumer_on_revoke(consumer, partitions);
    }
    rd_kafka_yield(rk); /* poll returns, so that the lane can act on it */
}

/* What librdkafka will not announce any more: it is fenced, broken or about to go. */
static void consumer_lose_all(kafka_consumer *consumer)
{
    size_t count = 0;
    int32_t *numbers = alv_kafka_assignment_list(&consumer->assignment, &count);
    if (count > 0) {
        consumer->listener.revoked(consumer->listener.payload, numbers, count, true);
    }
    for (size_t i = 0; i < count; i++) {
        alv_kafka_assignment_remove(&consumer->assignment, numbers[i]);
    }
    alv_free(numbers);
}

/* ---- poll ------------------------------------------------------------------------------------ */

static alv_status consumer_fatal(kafka_consumer *consumer, alv_error *err)
{
    char text[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(consumer->client.rk, text, sizeof(text));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_OK;
    }
    consumer_lose_all(consumer);
    alv_status status =
        code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || code == RD_KAFKA_RESP_ERR__FENCED
            ? ALV_FENCED
            : ALV_FATAL;
    return alv_kafka_fail(err, status, code, "%s: %s", consumer->client.name, text);
}

/* An error that came in the place of a message. */
static void consumer_note(kafka_consumer *consumer, const rd_kafka_message_t *message)
{
    int32_t number = message->partition;
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET &&
        !alv_kafka_assignment_stopped(&consumer->assignment, number)) {
        return;
    }
    if (consumer->notice.status != ALV_OK || message->err == RD_KAFKA_RESP_ERR__FATAL) {
        return;
    }
    const alv_kafka_need need =
        alv_kafka_need_to_read(consumer->log->config, message->err, consumer_topic(consumer));
    if (number >= 0) {
        (void)alv_kafka_fail_needing(&consumer->notice, ALV_RETRY, message->err, need,
                                     "%s shard %d: %s", consumer_topic(consumer), (int)number,
                                     rd_kafka_message_errstr(message));
    } else {
        (void)alv_kafka_fail_needing(&consumer->notice, ALV_RETRY, message->err, need, "%s",
                                     rd_kafka_message_errstr(message));
    }
}

static void consumer_deliver(kafka_consumer *consumer, alv_kafka_hold *hold)
{
    for (size_t i = 0; i < hold->count; i++) {
        const rd_kafka_message_t *message = hold->messages[i];
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            consumer_note(consumer, message);
            alv_kafka_hold_drop(hold, i);
        } else if (alv_kafka_assignment_takes(&consumer->assignment, message->partition,
                                              message->offset)) {
            alv_kafka_hold_keep(hold, i, ALV_TOPIC_COMMANDS);
        } else {
            alv_kafka_hold_drop(hold, i);
        }
    }
}

static alv_status consumer_poll(alv_consumer *base, int timeout_ms, alv_batch *out, alv_error *err)
{
    kafka_consumer *consumer = (kafka_consumer *)base;
    alv_batch_clear(out);
    if (consumer_now_ms() - consumer->member_checked_ms >= MEMBER_CHECK_MS) {
        consumer->member_checked_ms = consumer_now_ms();
        consumer_look_at_member(consumer);
    }
    alv_kafka_assignment_apply(&consumer->assignment, &consumer->notice);
    if (consumer->assignment.dirty && timeout_ms > SEEK_RETRY_MS) {
        timeout_ms = SEEK_RETRY_MS;
    }
    consumer_deliver(consumer,
                     alv_kafka_hold_fill(&consumer->holds, consumer->queue, timeout_ms, out));

    alv_status status = consumer_fatal(consumer, err);
    if (status != ALV_OK) {
        alv_batch_clear(out);
        return status;
    }
    if (out->count > 0) {
        return ALV_OK; /* trouble can wait for the next poll */
    }
    if (consumer->notice.status != ALV_OK) {
        alv_error notice = consumer->notice;
        alv_error_clear(&consumer->notice);
        return alv_kafka_fail(err, notice.status, notice.code, "%s", notice.text);
    }
    return alv_kafka_client_trouble(&consumer->client, err);
}

static void consumer_wake(alv_consumer *base)
{
    rd_kafka_queue_yield(((kafka_consumer *)base)->queue);
}

static alv_status consumer_start(alv_consumer *base, int32_t number, int64_t offset, alv_error *err)
{
    return alv_kafka_assignment_start(&((kafka_consumer *)base)->assignment, number, offset, err);
}

static alv_status consumer_pause(alv_consumer *base, int32_t number, alv_error *err)
{
    return alv_kafka_assignment_pause(&((kafka_consumer *)base)->assignment, number, err);
}

/* ---- questions ------------------------------------------------------------------------------- */

static alv_status consumer_committed(alv_consumer *base, alv_shard_offset *items, size_t count,
                                     alv_error *err)
{
    kafka_consumer *consumer = (kafka_consumer *)base;
    return alv_kafka_committed(consumer->client.rk, consumer_topic(consumer), items, count,
                               ALV_KAFKA_CALL_MS, err);
}

static alv_status consumer_range(alv_consumer *base, int32_t shard, int64_t *out_start,
                                 int64_t *out_end, alv_error *err)
{
    kafka_consumer *consumer = (kafka_consumer *)base;
    return alv_kafka_range(consumer->client.rk, consumer_topic(consumer), shard, out_start, out_end,
                           err);
}

/* From the last answer to a fetch. */
static int64_t consumer_end(const alv_consumer *base, int32_t shard)
{
    const kafka_consumer *consumer = (const kafka_consumer *)base;
    int64_t start = 0;
    int64_t end = 0;
    rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(
        consumer->client.rk, consumer_topic(consumer), shard, &start, &end);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0 ? end : ALV_OFFSET_NONE;
}

/* ---- open, close ----------------------------------------------------------------------------- */

/* Runs callbacks; records that come meanwhile are of no use any more. */
static void consumer_serve(rd_kafka_queue_t *queue, int timeout_ms)
{
    rd_kafka_message_t *message = rd_kafka_consume_queue(queue, timeout_ms);
    if (message != NULL) {
        rd_kafka_message_destroy(message);
    }
}

/* Closing never sends LeaveGroup for a static member; unsubscribing does, once the shards have been
 * given up and unless the close has begun before. So the leaving is waited for: librdkafka forgets the
 * member id in the moment in which it sends LeaveGroup. */
static void consumer_leave(kafka_consumer *consumer)
{
    int64_t deadline_ms = consumer_now_ms() + CLOSE_UNSUBSCRIBE_MS;
    if (rd_kafka_unsubscribe(consumer->client.rk) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    while ((alv_kafka_assignment_is_any(&consumer->assignment) ||
            alv_kafka_membership_is_any(consumer->client.rk)) &&
           consumer_now_ms() < deadline_ms &&
           rd_kafka_fatal_error(consumer->client.rk, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        consumer_serve(consumer->queue, 5);
    }
}

/* As rd_kafka_consumer_close, but bounded: that one waits for a coordinator that may be away. */
static void consumer_shut(kafka_consumer *consumer)
{
    int64_t deadline_ms = consumer_now_ms() + CLOSE_MS - CLOSE_UNSUBSCRIBE_MS;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->client.rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(consumer->client.rk, queue);
    if (error != NULL) {
        rd_kafka_error_destroy(error); /* fatal: there is nothing to close */
    } else {
        while (!rd_kafka_consumer_closed(consumer->client.rk) && consumer_now_ms() < deadline_ms) {
            consumer_serve(queue, 20);
        }
    }
    rd_kafka_queue_destroy(queue);
}

static void consumer_close(alv_consumer *base, bool stay)
{
    kafka_consumer *consumer = (kafka_consumer *)base;
    alv_kafka_hold_clear_all(consumer->holds);
    if (!stay) {
        consumer_leave(consumer);
    }
    consumer_shut(consumer);
    consumer_lose_all(consumer);
    rd_kafka_queue_destroy(consumer->queue);
    alv_kafka_client_close(&consumer->client);
    alv_kafka_membership_done(&consumer->membership);
    alv_kafka_assignment_done(&consumer->assignment);
    alv_free(consumer);
}

static const alv_consumer_ops consumer_ops = {
    .poll = consumer_poll,
    .wake = consumer_wake,
    .start = consumer_start,
    .pause = consumer_pause,
    .committed = consumer_committed,
    .range = consumer_range,
    .end = consumer_end,
    .close = consumer_close,
};

static alv_status consumer_conf(kafka_consumer *consumer, int lane, rd_kafka_conf_t **out,
                                alv_error *err)
{
    const alv_settings *settings = consumer->log->settings;
    alv_status status =
        alv_kafka_conf_new(consumer->log->config, ALV_KAFKA_CONSUMER, &consumer->client, out, err);
    if (status != ALV_OK) {
        return status;
    }
    char *instance = alv_format("%s-%d", settings->node_id, lane);
    alv_kafka_conf_set(*out, "group.id", settings->application_id);
    alv_kafka_conf_set(*out, "group.instance.id", instance);
    alv_free(instance);
    rd_kafka_conf_set_rebalance_cb(*out, consumer_on_rebalance);
    alv_kafka_stats_configure(*out, consumer->log->config);
    return ALV_OK;
}

alv_status alv_kafka_consumer_open(alv_log_port *log, int lane,
                                   const alv_rebalance_listener *listener, alv_consumer **out,
                                   alv_error *err)
{
    kafka_consumer *consumer = alv_alloc(sizeof(*consumer));
    consumer->base.ops = &consumer_ops;
    consumer->log = (const alv_kafka *)log;
    consumer->listener = *listener;
    char *suffix = alv_format("%d", lane);
    alv_kafka_client_init(&consumer->client, consumer->log->config, suffix, consumer);
    alv_free(suffix);

    rd_kafka_conf_t *conf = NULL;
    alv_status status = consumer_conf(consumer, lane, &conf, err);
    if (status == ALV_OK) {
        status = alv_kafka_client_open(&consumer->client, ALV_KAFKA_CONSUMER, conf, err);
    }
    if (status != ALV_OK) {
        alv_free(consumer);
        return status;
    }
    consumer->assignment =
        (alv_kafka_assignment){.rk = consumer->client.rk, .topic = consumer_topic(consumer)};
    alv_kafka_stats_add(&consumer->client, "consumer");
    (void)rd_kafka_poll_set_consumer(consumer->client.rk); /* fails without group.id only */
    consumer->queue = rd_kafka_queue_get_consumer(consumer->client.rk);
    status = alv_kafka_membership_seek(consumer->client.rk, consumer_topic(consumer), err);
    if (status != ALV_OK) {
        consumer_close(&consumer->base, true);
        return status;
    }
    *out = &consumer->base;
    return ALV_OK;
}

rd_kafka_consumer_group_metadata_t *alv_kafka_consumer_group(alv_consumer *base)
{
    ALV_ASSERT(base->ops == &consumer_ops);
    const kafka_consumer *consumer = (const kafka_consumer *)base;
    return alv_kafka_membership_group(&consumer->membership, consumer->client.rk);
}
