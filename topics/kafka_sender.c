/* kafka_sender.c — a plain idempotent producer, for commands from the command line and HTTP. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

#define QUEUE_FULL_POLL_MS 20
/* What is still under way when the sender closes gets this long. */
#define CLOSE_FLUSH_MS 2000

typedef struct kafka_sender {
    alv_sender base;
    const alv_kafka *log;
    alv_kafka_client client;
    alv_kafka_targets targets;
    rd_kafka_queue_t *queue; /* where serve waits */
} kafka_sender;

/* Travels with a record and comes back in its delivery report. */
typedef struct sender_ticket {
    alv_sent sent;
    void *payload;
} sender_ticket;

static int64_t sender_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static alv_status sender_status(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return ALV_OK;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        return ALV_REJECT;
    default:
        return ALV_RETRY;
    }
}

/* What became of a record when the handle has failed for good: it was purged, and the reason is elsewhere. An
 * idempotent producer that may write to no topic at all is refused in the name of the cluster, before it has
 * named one. */
static rd_kafka_resp_err_t sender_reason(const kafka_sender *sender, rd_kafka_resp_err_t code)
{
    char text[256];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(sender->client.rk, text, sizeof(text));
    return fatal != RD_KAFKA_RESP_ERR_NO_ERROR ? fatal : code;
}

static alv_status sender_fail(alv_error *err, alv_status status, rd_kafka_resp_err_t code,
                              const char *topic, const char *reason)
{
    const alv_kafka_need need = {ALV_ACCESS_WRITE, ALV_ACCESS_TOPIC, topic};
    return alv_kafka_fail_needing(err, status, code, need, "send to %s: %s", topic, reason);
}

static void sender_on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    sender_ticket *ticket = message->_private;
    if (ticket == NULL) {
        return;
    }
    alv_status status = sender_status(message->err);
    if (status == ALV_RETRY &&
        rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {
        status = ALV_ABORT;
    }
    alv_error why = ALV_ERROR_NONE;
    if (status != ALV_OK) {
        const kafka_sender *sender = ((alv_kafka_client *)opaque)->owner;
        rd_kafka_resp_err_t code = sender_reason(sender, message->err);
        (void)sender_fail(&why, status, code, sender->log->names[alv_kafka_targets_topic(message)],
                          rd_kafka_err2str(code));
    }
    ticket->sent(ticket->payload, status, message->partition,
                 status == ALV_OK && message->offset >= 0 ? message->offset : ALV_OFFSET_NONE,
                 status == ALV_OK ? NULL : why.text);
    alv_free(ticket);
}

static sender_ticket *sender_ticket_new(alv_sent sent, void *payload)
{
    if (sent == NULL) {
        return NULL;
    }
    sender_ticket *ticket = alv_alloc(sizeof(*ticket));
    *ticket = (sender_ticket){.sent = sent, .payload = payload};
    return ticket;
}

static alv_status sender_send(alv_sender *base, const alv_produce *record, alv_sent sent,
                              void *payload, alv_error *err)
{
    kafka_sender *sender = (kafka_sender *)base;
    sender_ticket *ticket = sender_ticket_new(sent, payload);
    int64_t deadline_ms = sender_now_ms() + ALV_MESSAGE_TIMEOUT_MS;
    rd_kafka_resp_err_t code;
    for (;;) {
        code = alv_kafka_targets_produce(&sender->targets, sender->log, sender->client.rk, record,
                                         ticket);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || sender_now_ms() >= deadline_ms) {
            break;
        }
        rd_kafka_poll(sender->client.rk, QUEUE_FULL_POLL_MS);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_OK;
    }
    alv_free(ticket); /* no report will come */
    code = sender_reason(sender, code);
    return sender_fail(err, sender_status(code), code, sender->log->names[record->topic],
                       alv_kafka_reason(&sender->client, code));
}

static void sender_serve(alv_sender *base, int timeout_ms)
{
    rd_kafka_poll(((kafka_sender *)base)->client.rk, timeout_ms);
}

/* A yield that nobody waits for makes one later serve return early, which does no harm. */
static void sender_wake(alv_sender *base)
{
    rd_kafka_queue_yield(((kafka_sender *)base)->queue);
}

static alv_status sender_flush(alv_sender *base, int timeout_ms, alv_error *err)
{
    kafka_sender *sender = (kafka_sender *)base;
    rd_kafka_resp_err_t code = rd_kafka_flush(sender->client.rk, timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return alv_kafka_fail(err, ALV_RETRY, code, "%d records are not acknowledged yet",
                              rd_kafka_outq_len(sender->client.rk));
    }
    return ALV_OK;
}

/* Every ticket's callback has run when this returns: those of records that did not make it when the
 * client is closed. */
static void sender_close(alv_sender *base)
{
    kafka_sender *sender = (kafka_sender *)base;
    (void)rd_kafka_flush(sender->client.rk, CLOSE_FLUSH_MS);
    alv_kafka_targets_done(&sender->targets);
    rd_kafka_queue_destroy(sender->queue);
    alv_kafka_client_close(&sender->client);
    alv_free(sender);
}

static const alv_sender_ops sender_ops = {
    .send = sender_send,
    .serve = sender_serve,
    .wake = sender_wake,
    .flush = sender_flush,
    .close = sender_close,
};

alv_status alv_kafka_sender_open(alv_log_port *log, const char *name, alv_sender **out,
                                 alv_error *err)
{
    kafka_sender *sender = alv_alloc(sizeof(*sender));
    sender->base.ops = &sender_ops;
    sender->log = (const alv_kafka *)log;
    alv_kafka_client_init(&sender->client, sender->log->config, name, sender);
    rd_kafka_conf_t *conf = NULL;
    alv_status status =
        alv_kafka_conf_new(sender->log->config, ALV_KAFKA_SENDER, &sender->client, &conf, err);
    if (status == ALV_OK) {
        rd_kafka_conf_set_dr_msg_cb(conf, sender_on_delivery);
        status = alv_kafka_client_open(&sender->client, ALV_KAFKA_SENDER, conf, err);
    }
    if (status != ALV_OK) {
        alv_free(sender);
        return status;
    }
    sender->queue = rd_kafka_queue_get_main(sender->client.rk);
    *out = &sender->base;
    return ALV_OK;
}
