#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_admin_internal.h"

/* The answer itself says when the time is up; this is for a handle that says nothing at all. */
#define ADMIN_ANSWER_MS (ALV_KAFKA_CALL_MS + 1000)
#define ADMIN_TURN_MS 50
/* A broker that does not let the client in may be the only one that does not: others get this long. */
#define ADMIN_REFUSED_MS 2000

static int64_t admin_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

alv_status alv_kafka_admin_open(alv_kafka_admin *admin, const alv_config *config, const char *name,
                                alv_error *err)
{
    *admin = (alv_kafka_admin){.config = config, .settings = alv_config_settings(config)};
    alv_kafka_client_init(&admin->client, config, name, admin);
    rd_kafka_conf_t *conf = NULL;
    alv_status status = alv_kafka_conf_new(config, ALV_KAFKA_ADMIN, &admin->client, &conf, err);
    if (status == ALV_OK) {
        status = alv_kafka_client_open(&admin->client, ALV_KAFKA_ADMIN, conf, err);
    }
    if (status == ALV_OK) {
        admin->queue = rd_kafka_queue_new(admin->client.rk);
    }
    return status;
}

void alv_kafka_admin_close(alv_kafka_admin *admin)
{
    if (admin->queue != NULL) {
        rd_kafka_queue_destroy(admin->queue);
    }
    alv_kafka_client_close(&admin->client);
}

rd_kafka_AdminOptions_t *alv_kafka_admin_options(const alv_kafka_admin *admin,
                                                 rd_kafka_admin_op_t op)
{
    char text[256];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->client.rk, op);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ALV_KAFKA_CALL_MS, text,
                                                    sizeof(text)); /* the value is in range */
    return options;
}

alv_status alv_kafka_admin_status(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_DELETION_DISABLED:
    case RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP:
    case RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC:
        return ALV_REJECT;
    default:
        return ALV_RETRY;
    }
}

/* NULL when none came. Ends early when the client is refused and nobody else answers. */
static rd_kafka_event_t *admin_wait(alv_kafka_admin *admin)
{
    int64_t deadline_ms = admin_now_ms() + ADMIN_ANSWER_MS;
    rd_kafka_event_t *event = NULL;
    while (event == NULL && admin_now_ms() < deadline_ms) {
        event = rd_kafka_queue_poll(admin->queue, ADMIN_TURN_MS);
        (void)rd_kafka_poll(admin->client.rk, 0); /* runs the error callback */
        const alv_error *refusal = alv_kafka_refusal(&admin->client);
        int64_t patience_ms = admin_now_ms() + ADMIN_REFUSED_MS;
        if (refusal != NULL && refusal->status == ALV_REJECT && patience_ms < deadline_ms) {
            deadline_ms = patience_ms;
        }
    }
    return event;
}

/* What there is to say when nobody answered. */
static alv_status admin_unanswered(const alv_kafka_admin *admin, const char *what, alv_error *err)
{
    const alv_error *refusal = alv_kafka_refusal(&admin->client);
    if (refusal != NULL) {
        return alv_kafka_fail(err, refusal->status, refusal->code, "%s: %s", what, refusal->text);
    }
    return alv_fail(err, ALV_RETRY, "%s: no broker answers", what);
}

alv_status alv_kafka_admin_answer(alv_kafka_admin *admin, const char *what, rd_kafka_event_t **out,
                                  alv_error *err)
{
    rd_kafka_event_t *event = admin_wait(admin);
    if (event == NULL) {
        return admin_unanswered(admin, what, err);
    }
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        bool is_silence =
            code == RD_KAFKA_RESP_ERR__TIMED_OUT && alv_kafka_refusal(&admin->client) != NULL;
        alv_status status = is_silence
                                ? admin_unanswered(admin, what, err)
                                : alv_kafka_fail(err, alv_kafka_admin_status(code), code, "%s: %s",
                                                 what, rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        return status;
    }
    *out = event;
    return ALV_OK;
}
