/* kafka_refusal.c — brokers that do not let a client in, and requests that they do not allow.
 *
 * librdkafka tries a refused connection again for ever, and all that a caller sees is that nobody answers in
 * time. What the error callback said meanwhile is the reason, so it is kept here for a few seconds and told
 * instead.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "topics/kafka_internal.h"

/* Connections are tried again every second (reconnect.backoff.max.ms), so that a refusal that is older than
 * this has passed. */
#define REFUSAL_VALID_MS 10000

static int64_t refusal_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ---- not let in ------------------------------------------------------------------------------ */

/* One way to be refused. */
typedef struct refusal_kind {
    rd_kafka_resp_err_t code; /* NO_ERROR = any */
    const char *part;         /* of librdkafka's text; NULL = any */
    bool is_definite;         /* a broker that dies or starts does not look like this */
    const char *next_step;
} refusal_kind;

/* The first that fits. With TLS 1.3 a broker refuses a certificate after the client's side of the handshake
 * is done, so that it looks like a lost connection with an alert; one that speaks another protocol just hangs
 * up on the first request. */
static const refusal_kind refusal_kinds[] = {
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, NULL, true,
     "check kafka.sasl.mechanism, kafka.sasl.username and kafka.sasl.password"},
    {RD_KAFKA_RESP_ERR_NO_ERROR, "certificate verify failed", true,
     "check kafka.ssl.ca.location, and that the broker's certificate is for this name"},
    {RD_KAFKA_RESP_ERR_NO_ERROR, "SSL alert", true,
     "check kafka.ssl.certificate.location and kafka.ssl.key.location"},
    {RD_KAFKA_RESP_ERR_NO_ERROR, "SSL handshake failed", false,
     "check kafka.security.protocol and kafka.ssl.*"},
    {RD_KAFKA_RESP_ERR__TRANSPORT, "APIVERSION_QUERY", false,
     "check kafka.security.protocol, unless the broker is just stopping or starting"},
};

static const refusal_kind *refusal_find(rd_kafka_resp_err_t code, const char *reason)
{
    for (size_t i = 0; i < sizeof(refusal_kinds) / sizeof(refusal_kinds[0]); i++) {
        const refusal_kind *kind = &refusal_kinds[i];
        if ((kind->code == RD_KAFKA_RESP_ERR_NO_ERROR || kind->code == code) &&
            (kind->part == NULL || strstr(reason, kind->part) != NULL)) {
            return kind;
        }
    }
    return NULL;
}

bool alv_kafka_refusal_note(alv_kafka_client *client, rd_kafka_resp_err_t code, const char *reason)
{
    const refusal_kind *kind = refusal_find(code, reason);
    if (kind == NULL) {
        return false;
    }
    alv_error_clear(&client->refusal);
    (void)alv_kafka_fail(&client->refusal, kind->is_definite ? ALV_REJECT : ALV_RETRY, code,
                         "a broker does not let this client in: %s: %s", reason, kind->next_step);
    client->refused_at_ms = refusal_now_ms();
    return kind->is_definite;
}

const alv_error *alv_kafka_refusal(const alv_kafka_client *client)
{
    bool is_fresh = client->refusal.status != ALV_OK &&
                    refusal_now_ms() - client->refused_at_ms < REFUSAL_VALID_MS;
    return is_fresh ? &client->refusal : NULL;
}

const char *alv_kafka_reason(alv_kafka_client *client, rd_kafka_resp_err_t code)
{
    bool is_silence =
        code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE ||
        code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    if (is_silence && rd_kafka_type(client->rk) == RD_KAFKA_PRODUCER) {
        (void)rd_kafka_poll(client->rk, 0); /* runs the error callback; a consumer's own polls do */
    }
    const alv_error *refusal = is_silence ? alv_kafka_refusal(client) : NULL;
    return refusal != NULL ? refusal->text : rd_kafka_err2str(code);
}

/* ---- not allowed to -------------------------------------------------------------------------- */

bool alv_kafka_is_forbidden(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

alv_kafka_need alv_kafka_need_to_read(const alv_config *config, rd_kafka_resp_err_t code,
                                      const char *topic)
{
    if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        const char *group = alv_config_settings(config)->application_id;
        return (alv_kafka_need){ALV_ACCESS_READ, ALV_ACCESS_GROUP, group};
    }
    return (alv_kafka_need){ALV_ACCESS_READ, ALV_ACCESS_TOPIC, topic};
}

alv_status alv_kafka_needing(alv_error *err, alv_status status, rd_kafka_resp_err_t code,
                             alv_kafka_need need, const char *file, int line, const char *format,
                             ...)
{
    char text[ALV_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments); /* cut when it is longer */
    va_end(arguments);
    if (!alv_kafka_is_forbidden(code)) {
        return alv_error_set(err, status, "rdkafka", (int)code, file, line, "%s", text);
    }
    return alv_error_set(err, status, "rdkafka", (int)code, file, line,
                         "%s: this client's user needs %s on %s %s (`alluvium acls` prints all "
                         "that is needed)",
                         text, alv_access_operation_name(need.operation),
                         alv_access_kind_name(need.kind), need.name);
}
