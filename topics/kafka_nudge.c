#include "topics/kafka_nudge.h"

#include "base/clock.h"
#include "topics/kafka_internal.h"
#include "topics/kafka_membership_internal.h"

#define NUDGE_TURN_MS 20
#define NUDGE_CLOSE_MS 2000

typedef struct nudge {
    const alv_config *config;
    const atomic_bool *stop;
    alv_kafka_client client;
    rd_kafka_queue_t *queue;
    bool is_assigned; /* the group has assigned, so that it has to everybody */
} nudge;

static int64_t nudge_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* The opaque is the alv_kafka_client. */
static void nudge_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                               rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    (void)partitions;
    nudge *self = ((alv_kafka_client *)opaque)->owner;
    self->is_assigned = alv_kafka_membership_decline(rk, code) || self->is_assigned;
}

static void nudge_serve(rd_kafka_queue_t *queue)
{
    rd_kafka_message_t *message = rd_kafka_consume_queue(queue, NUDGE_TURN_MS);
    if (message != NULL) {
        rd_kafka_message_destroy(message);
    }
}

static alv_status nudge_open(nudge *self, alv_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    alv_kafka_client_init(&self->client, self->config, "nudge", self);
    alv_status status =
        alv_kafka_conf_new(self->config, ALV_KAFKA_CONSUMER, &self->client, &conf, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka_conf_set(conf, "group.id", alv_config_settings(self->config)->application_id);
    rd_kafka_conf_set_rebalance_cb(conf, nudge_on_rebalance);
    status = alv_kafka_client_open(&self->client, ALV_KAFKA_CONSUMER, conf, err);
    if (status != ALV_OK) {
        return status;
    }
    (void)rd_kafka_poll_set_consumer(self->client.rk); /* fails without group.id only */
    self->queue = rd_kafka_queue_get_consumer(self->client.rk);
    return ALV_OK;
}

static alv_status nudge_join(nudge *self, alv_error *err)
{
    char topic[ALV_TOPIC_NAME_BYTES];
    alv_schema_name(alv_config_settings(self->config)->application_id, ALV_TOPIC_CHANGELOG, topic,
                    sizeof(topic));
    alv_status status = alv_kafka_membership_seek(self->client.rk, topic, err);
    if (status != ALV_OK) {
        return status;
    }
    int64_t deadline_ms = nudge_now_ms() + ALV_NUDGE_MS;
    while (!self->is_assigned && nudge_now_ms() < deadline_ms && !atomic_load(self->stop)) {
        nudge_serve(self->queue);
    }
    return self->is_assigned
               ? ALV_OK
               : alv_fail(err, ALV_RETRY, "the group has not assigned within %d ms", ALV_NUDGE_MS);
}

/* One without a seat of its own leaves when it is closed. */
static void nudge_leave(nudge *self)
{
    if (self->queue != NULL) {
        int64_t deadline_ms = nudge_now_ms() + NUDGE_CLOSE_MS;
        rd_kafka_queue_t *closing = rd_kafka_queue_new(self->client.rk);
        rd_kafka_error_t *error = rd_kafka_consumer_close_queue(self->client.rk, closing);
        if (error != NULL) {
            rd_kafka_error_destroy(error);
        } else {
            while (!rd_kafka_consumer_closed(self->client.rk) && nudge_now_ms() < deadline_ms) {
                nudge_serve(closing);
            }
        }
        rd_kafka_queue_destroy(closing);
        rd_kafka_queue_destroy(self->queue);
    }
    alv_kafka_client_close(&self->client);
}

alv_status alv_kafka_nudge(const alv_config *config, const atomic_bool *stop, alv_error *err)
{
    nudge self = {.config = config, .stop = stop};
    alv_status status = nudge_open(&self, err);
    if (status == ALV_OK) {
        status = nudge_join(&self, err);
    }
    nudge_leave(&self);
    return status;
}
