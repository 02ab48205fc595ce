#include "base/limits.h"
#include "topics/kafka_admin_internal.h"

/* The answer itself says when the time is up; this is for a handle that says nothing at all. */
#define ADMIN_ANSWER_MS (ALV_KAFKA_CALL_MS + 1000)

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
    case RD_KAFKA_RESP_ERR_TOPIC_DELETION_DISABLED:
    case RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP:
    case RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC:
        return ALV_REJECT;
    default:
        return ALV_RETRY;
    }
}

alv_status alv_kafka_admin_answer(alv_kafka_admin *admin, const char *what, rd_kafka_event_t **out,
                                  alv_error *err)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, ADMIN_ANSWER_MS);
    if (event == NULL) {
        return alv_fail(err, ALV_RETRY, "%s: no broker answers", what);
    }
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        alv_status status = alv_kafka_fail(err, alv_kafka_admin_status(code), code, "%s: %s", what,
                                           rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        return status;
    }
    *out = event;
    return ALV_OK;
}
