#include "tests/support/chaos_load.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "tests/support/chaos_load_kind.h"
#include "tests/support/wait.h"

#define LOAD_TICK_MS 10
#define LOAD_FLUSH_TIMEOUT_MS 5000

struct alv_chaos_load {
    const alv_chaos_load_kind *kind;
    void *self; /* of the kind */
    rd_kafka_t *client;
    char *topic;
    pthread_t thread;
    _Atomic int rate;
    _Atomic bool stopping;
    _Atomic bool is_idle; /* nothing is produced, the truth stands still */
    _Atomic int64_t sent;
    _Atomic int64_t acknowledged;
    pthread_mutex_t lock; /* failure */
    char failure[256];
    _Atomic bool failed;
};

const alv_chaos_load_kind *alv_chaos_load_find(const char *name)
{
    static const alv_chaos_load_kind *const kinds[] = {&alv_chaos_load_users,
                                                       &alv_chaos_load_transfers};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

static void load_fail(alv_chaos_load *load, const char *what, rd_kafka_resp_err_t error)
{
    (void)pthread_mutex_lock(&load->lock);
    if (!load->failed) {
        (void)snprintf(load->failure, sizeof(load->failure), "producer: %s: %s", what,
                       rd_kafka_err2str(error));
        load->failed = true;
    }
    (void)pthread_mutex_unlock(&load->lock);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    alv_chaos_load *load = opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        load_fail(load, "a command was not taken", message->err);
        return;
    }
    if (message->_private != NULL) {
        load->kind->acknowledged(load->self, (int)(uintptr_t)message->_private, message->offset);
    }
    load->acknowledged++;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* `key` NULL: without an idempotency key. */
static rd_kafka_headers_t *load_headers(const char *key)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    if (key != NULL) {
        (void)rd_kafka_header_add(headers, "idempotency-key", -1, key, -1);
    }
    return headers;
}

static rd_kafka_resp_err_t load_produce(alv_chaos_load *load, const alv_chaos_command *command,
                                        const char *value)
{
    rd_kafka_headers_t *headers = load_headers(command->idempotency_key);
    rd_kafka_error_t *error = rd_kafka_produceva(
        load->client,
        (const rd_kafka_vu_t[]){
            {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = load->topic},
            {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = command->timestamp_ms},
            {.vtype = RD_KAFKA_VTYPE_KEY,
             .u.mem = {(void *)(uintptr_t)command->key, strlen(command->key)}},
            {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value, strlen(value)}},
            {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
            {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)command->tag},
            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        },
        7);
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    if (error != NULL) {
        rd_kafka_headers_destroy(headers); /* taken only on success */
    }
    rd_kafka_error_destroy(error);
    return code;
}

void alv_chaos_load_send(alv_chaos_load *load, const alv_chaos_command *command)
{
    char value[320];
    int size =
        snprintf(value, sizeof(value), "{\"n\":%" PRId64 ",%s", load->sent++, command->value + 1);
    ALV_ASSERT(size > 0 && size < (int)sizeof(value));
    rd_kafka_resp_err_t code = load_produce(load, command, value);
    while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !load->stopping) {
        (void)rd_kafka_poll(load->client, 100);
        code = load_produce(load, command, value);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        load_fail(load, "a command cannot be produced", code);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *load_main(void *payload)
{
    alv_chaos_load *load = payload;
    int64_t before_us = alv_monotonic_us(alv_clock_system());
    int64_t owed = 0; /* steps, in millionths */
    while (!load->stopping) {
        int64_t now_us = alv_monotonic_us(alv_clock_system());
        int rate = load->rate;
        int64_t passed_us = now_us - before_us < 1000000 ? now_us - before_us : 1000000;
        owed = rate == 0 ? 0 : owed + passed_us * rate;
        before_us = now_us;
        load->is_idle = rate == 0;
        for (; owed >= 1000000 && !load->stopping; owed -= 1000000) {
            load->kind->step(load->self);
        }
        (void)rd_kafka_poll(load->client, LOAD_TICK_MS);
    }
    return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static rd_kafka_t *load_client(alv_chaos_load *load, const char *brokers)
{
    /* The queue must take what comes while the brokers are away for long. */
    const char *const settings[][2] = {
        {"bootstrap.servers", brokers},
        {"partitioner", "murmur2_random"},
        {"enable.idempotence", "true"},
        {"linger.ms", "5"},
        {"message.timeout.ms", "600000"},
        {"queue.buffering.max.messages", "1000000"},
        {"log_level", "2"},
        {"reconnect.backoff.max.ms", "1000"},
    };
    char text[256] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        rd_kafka_conf_res_t result =
            rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text));
        ALV_ASSERT(result == RD_KAFKA_CONF_OK);
    }
    rd_kafka_conf_set_opaque(conf, load);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (client == NULL) {
        fprintf(stderr, "librdkafka: %s\n", text);
        rd_kafka_conf_destroy(conf);
    }
    return client;
}

static void load_free(alv_chaos_load *load)
{
    load->kind->close(load->self);
    (void)pthread_mutex_destroy(&load->lock);
    alv_free(load->topic);
    alv_free(load);
}

alv_chaos_load *alv_chaos_load_start(const alv_chaos_load_options *options)
{
    alv_chaos_load *load = alv_alloc(sizeof(*load));
    memset(load, 0, sizeof(*load));
    load->kind = options->kind;
    load->topic = alv_strdup(options->topic);
    load->self = load->kind->open(load, options);
    ALV_ASSERT(pthread_mutex_init(&load->lock, NULL) == 0);
    load->client = load_client(load, options->brokers);
    if (load->client == NULL) {
        load_free(load);
        return NULL;
    }
    ALV_ASSERT(pthread_create(&load->thread, NULL, load_main, load) == 0);
    return load;
}

void alv_chaos_load_stop(alv_chaos_load *load)
{
    if (load == NULL) {
        return;
    }
    load->stopping = true;
    (void)pthread_join(load->thread, NULL);
    (void)rd_kafka_purge(load->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    (void)rd_kafka_flush(load->client, LOAD_FLUSH_TIMEOUT_MS);
    rd_kafka_destroy(load->client);
    load_free(load);
}

/* ---- for main -------------------------------------------------------------------------------- */

void alv_chaos_load_set_rate(alv_chaos_load *load, int rate)
{
    load->rate = rate;
    load->is_idle = false;
}

static bool load_is_settled(void *payload)
{
    alv_chaos_load *load = payload;
    return load->failed || (load->is_idle && load->acknowledged == load->sent);
}

bool alv_chaos_load_settle(alv_chaos_load *load, int timeout_ms)
{
    alv_chaos_load_set_rate(load, 0);
    return alv_wait_until(load_is_settled, load, timeout_ms);
}

const char *alv_chaos_load_failure(const alv_chaos_load *load)
{
    return load->failed ? load->failure : NULL;
}

int64_t alv_chaos_load_sent(const alv_chaos_load *load)
{
    return load->sent;
}

alv_chaos_counters *alv_chaos_load_counters(const alv_chaos_load *load)
{
    return load->kind->counters != NULL ? load->kind->counters(load->self) : NULL;
}

bool alv_chaos_load_is_alone(const alv_chaos_load *load)
{
    return load->kind->is_alone;
}

size_t alv_chaos_load_pending(const alv_chaos_load *load, json_t *changelog)
{
    return load->kind->pending != NULL ? load->kind->pending(load->self, changelog) : 0;
}

json_t *alv_chaos_load_keys(const alv_chaos_load *load)
{
    return load->kind->keys(load->self);
}

json_t *alv_chaos_load_states(const alv_chaos_load *load, json_t *changelog)
{
    return load->kind->states(load->self, changelog);
}

json_t *alv_chaos_load_dead_letters(const alv_chaos_load *load)
{
    return load->kind->dead_letters(load->self);
}

void alv_chaos_load_check(const alv_chaos_load *load, const alv_cluster *cluster, json_t *changelog)
{
    if (load->kind->check != NULL) {
        load->kind->check(load->self, cluster, changelog);
    }
}
