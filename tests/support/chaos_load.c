#include "tests/support/chaos_load.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "tests/support/user_model.h"
#include "tests/support/wait.h"

#define LOAD_TICK_MS 10
#define LOAD_BAD_ONE_IN 300
#define LOAD_FLUSH_TIMEOUT_MS 5000

/* The offsets of the adds to one counter, ascending. */
typedef struct add_list {
    int64_t *offsets;
    size_t count;
    size_t room;
} add_list;

struct alv_chaos_load {
    rd_kafka_t *client;
    char *topic;
    pthread_t thread;
    int users;
    int counters;
    uint64_t random;
    int64_t time_ms; /* of the next command: each has its own */
    alv_user_model *models;
    json_t *dead_letters;
    _Atomic int rate;
    _Atomic bool stopping;
    _Atomic bool is_idle; /* nothing is produced, the models stand still */
    _Atomic int64_t sent;
    _Atomic int64_t acknowledged;
    _Atomic int64_t *produced; /* per counter */
    pthread_mutex_t lock;      /* adds, failure */
    add_list *adds;            /* per counter */
    int64_t *keyed; /* per counter: the last add with an idempotency key; -1 = none yet */
    char failure[256];
    _Atomic bool failed;
};

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

static void load_note_add(alv_chaos_load *load, size_t user, int64_t offset)
{
    (void)pthread_mutex_lock(&load->lock);
    add_list *list = &load->adds[user];
    if (list->count == list->room) {
        list->room = list->room == 0 ? 16 : list->room * 2;
        int64_t *grown = alv_alloc_array(list->room, sizeof(*grown));
        if (list->count > 0) {
            memcpy(grown, list->offsets, list->count * sizeof(*grown));
        }
        alv_free(list->offsets);
        list->offsets = grown;
    }
    list->offsets[list->count++] = offset;
    (void)pthread_mutex_unlock(&load->lock);
}

/* The opaque of an add to a counter is its number plus one. */
static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    alv_chaos_load *load = opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        load_fail(load, "a command was not taken", message->err);
        return;
    }
    if (message->_private != NULL) {
        load_note_add(load, (size_t)(uintptr_t)message->_private - 1, message->offset);
    }
    load->acknowledged++;
}

/* ---- commands -------------------------------------------------------------------------------- */

static int64_t load_dice(alv_chaos_load *load, int64_t sides)
{
    return (int64_t)(alv_user_model_random(&load->random) % (uint64_t)sides);
}

/* A command for a counter; whether it is an add. */
static bool load_counter_step(alv_chaos_load *load, int user, int64_t number, alv_user_command *out)
{
    alv_user_model *model = &load->models[user];
    int64_t dice = load_dice(load, 100);
    const char *name = "add_balance";
    char fields[64] = ",\"amount\":1";
    if (dice < 10) {
        name = "update_profile";
        model->nickname = (int)(number % INT32_MAX) + 1;
        (void)snprintf(fields, sizeof(fields), ",\"nickname\":\"nick-%d\"", model->nickname);
    } else if (dice < 15) {
        name = "set_marketing_opt_in";
        model->opt_in = dice % 2 == 0;
        (void)snprintf(fields, sizeof(fields), ",\"optIn\":%s", model->opt_in ? "true" : "false");
    } else {
        model->balance++;
        load->produced[user]++;
    }
    model->exists = true;
    model->last_event_ms = load->time_ms;
    alv_user_model_key(model, out->key, sizeof(out->key));
    out->timestamp_ms = load->time_ms;
    (void)snprintf(out->value, sizeof(out->value), "{\"type\":\"%s\"%s}", name, fields);
    return dice >= 15;
}

/* The idempotency key of a command, by its number. */
#define LOAD_KEY_BYTES 32
static const char *load_key(int64_t number, char out[LOAD_KEY_BYTES])
{
    (void)snprintf(out, LOAD_KEY_BYTES, "key-%" PRId64, number);
    return out;
}

static void load_bad_step(alv_chaos_load *load, int user, int64_t number, alv_user_command *out)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    json_object_set_new(load->dead_letters, text, json_integer(1));
    alv_user_model_key(&load->models[user], out->key, sizeof(out->key));
    out->timestamp_ms = load->time_ms;
    (void)snprintf(out->value, sizeof(out->value), "{\"type\":\"make_coffee\"}");
}

/* `key` NULL: without an idempotency key. */
static rd_kafka_headers_t *load_headers(const char *key)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    if (key != NULL) {
        (void)rd_kafka_header_add(headers, "idempotency-key", -1, key, -1);
    }
    return headers;
}

static void load_produce(alv_chaos_load *load, const alv_user_command *command, int64_t number,
                         int counter, const char *key)
{
    char value[320];
    int size = snprintf(value, sizeof(value), "{\"n\":%" PRId64 ",%s", number, command->value + 1);
    rd_kafka_resp_err_t code;
    do {
        rd_kafka_headers_t *headers = load_headers(key);
        rd_kafka_error_t *error = rd_kafka_produceva(
            load->client,
            (const rd_kafka_vu_t[]){
                {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = load->topic},
                {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = command->timestamp_ms},
                {.vtype = RD_KAFKA_VTYPE_KEY,
                 .u.mem = {(void *)(uintptr_t)command->key, strlen(command->key)}},
                {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, (size_t)size}},
                {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
                {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)(counter + 1)},
                {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
            },
            7);
        code = rd_kafka_error_code(error);
        if (error != NULL) {
            rd_kafka_headers_destroy(headers); /* taken only on success */
        }
        rd_kafka_error_destroy(error);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            (void)rd_kafka_poll(load->client, 100);
        }
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !load->stopping);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        load_fail(load, "a command cannot be produced", code);
    }
}

/* An add that was sent before with an idempotency key, once more: it must change nothing, so the model does
 * not hear of it. */
static void load_repeat(alv_chaos_load *load, int user)
{
    char key[LOAD_KEY_BYTES];
    alv_user_command command;
    alv_user_model_key(&load->models[user], command.key, sizeof(command.key));
    command.timestamp_ms = load->time_ms;
    (void)snprintf(command.value, sizeof(command.value), "{\"type\":\"add_balance\",\"amount\":1}");
    load_produce(load, &command, load->sent++, -1, load_key(load->keyed[user], key));
}

static void load_step(alv_chaos_load *load)
{
    /* Half of the commands go to a tenth of the users: hot and cold entities, of both kinds. */
    int user = (int)load_dice(load, load->users);
    user = load_dice(load, 2) == 0 ? user / ALV_CHAOS_LOAD_HOT * ALV_CHAOS_LOAD_HOT : user;
    int64_t number = load->sent++;
    alv_user_command command;
    bool is_add = false;
    if (load_dice(load, LOAD_BAD_ONE_IN) == 0) {
        load_bad_step(load, user, number, &command);
    } else if (user < load->counters) {
        is_add = load_counter_step(load, user, number, &command);
    } else {
        alv_user_model_step(&load->models[user], &load->random, load->time_ms, &command);
    }
    load->time_ms++;
    char key[LOAD_KEY_BYTES];
    bool is_keyed = is_add && load_dice(load, 4) == 0;
    load_produce(load, &command, number, is_add ? user : -1,
                 is_keyed ? load_key(number, key) : NULL);
    if (is_keyed) {
        load->keyed[user] = number;
    }
    /* At once, or when much has happened since; it is among the last keys of this user in any case. */
    if (user < load->counters && load->keyed[user] >= 0 &&
        load_dice(load, is_keyed ? 2 : 20) == 0) {
        load_repeat(load, user);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *load_main(void *payload)
{
    alv_chaos_load *load = payload;
    int64_t before_us = alv_monotonic_us(alv_clock_system());
    int64_t owed = 0; /* commands, in millionths */
    while (!load->stopping) {
        int64_t now_us = alv_monotonic_us(alv_clock_system());
        int rate = load->rate;
        int64_t passed_us = now_us - before_us < 1000000 ? now_us - before_us : 1000000;
        owed = rate == 0 ? 0 : owed + passed_us * rate;
        before_us = now_us;
        load->is_idle = rate == 0;
        for (; owed >= 1000000 && !load->stopping; owed -= 1000000) {
            load_step(load);
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
    for (int i = 0; i < load->counters; i++) {
        alv_free(load->adds[i].offsets);
    }
    (void)pthread_mutex_destroy(&load->lock);
    json_decref(load->dead_letters);
    alv_free(load->adds);
    alv_free((void *)load->produced);
    alv_free(load->keyed);
    alv_free(load->models);
    alv_free(load->topic);
    alv_free(load);
}

alv_chaos_load *alv_chaos_load_start(const alv_chaos_load_options *options)
{
    alv_chaos_load *load = alv_alloc(sizeof(*load));
    memset(load, 0, sizeof(*load));
    load->topic = alv_strdup(options->topic);
    load->users = options->users;
    load->counters = options->users / 3;
    load->random = options->seed;
    /* An hour ago, so that retention is far and no time lies in the future. */
    load->time_ms = alv_now_ms(alv_clock_system()) - 60 * 60 * 1000;
    load->models = alv_alloc_array((size_t)load->users, sizeof(*load->models));
    load->produced = alv_alloc_array((size_t)load->counters, sizeof(*load->produced));
    load->adds = alv_alloc_array((size_t)load->counters, sizeof(*load->adds));
    load->keyed = alv_alloc_array((size_t)load->counters, sizeof(*load->keyed));
    for (int i = 0; i < load->users; i++) {
        alv_user_model_init(&load->models[i], (unsigned)i);
    }
    for (int i = 0; i < load->counters; i++) {
        load->produced[i] = 0;
        load->keyed[i] = -1;
        load->adds[i] = (add_list){.offsets = NULL};
    }
    load->dead_letters = json_object();
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

void alv_chaos_load_key(const alv_chaos_load *load, int user, char *out, size_t size)
{
    alv_user_model_key(&load->models[user], out, size);
}

json_t *alv_chaos_load_states(const alv_chaos_load *load)
{
    json_t *states = json_object();
    char key[64];
    for (int i = 0; i < load->users; i++) {
        json_t *state = alv_user_model_json(&load->models[i]);
        if (state != NULL) {
            alv_user_model_key(&load->models[i], key, sizeof(key));
            json_object_set_new(states, key, state);
        }
    }
    return states;
}

json_t *alv_chaos_load_dead_letters(const alv_chaos_load *load)
{
    return json_copy(load->dead_letters);
}

/* ---- for readers ----------------------------------------------------------------------------- */

int alv_chaos_load_counters(const alv_chaos_load *load)
{
    return load->counters;
}

int64_t alv_chaos_load_produced(const alv_chaos_load *load, int user)
{
    return load->produced[user];
}

int64_t alv_chaos_load_adds_below(alv_chaos_load *load, int user, int64_t offset)
{
    (void)pthread_mutex_lock(&load->lock);
    const add_list *list = &load->adds[user];
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->offsets[middle] < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (void)pthread_mutex_unlock(&load->lock);
    return (int64_t)low;
}
