#include "tests/support/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define PROBE_TICK_US 1000 /* commands of a rate above 1,000/s are sent several at a time */
#define PROBE_TIMEOUT_MS 30000
#define PROBE_POLL_MS 100
#define PROBE_KEY_START "bench:"
#define PROBE_KEY PROBE_KEY_START "%d"
#define PROBE_NICKNAME "\"nickname\":\""

struct alv_probe {
    alv_probe_options options;
    char *brokers;
    char *commands; /* topics */
    char *changelog;
    int64_t capacity;
    int64_t *sent_us;         /* by number; written before sent_count counts it */
    _Atomic int64_t *seen_us; /* by number; 0 = not yet */
    _Atomic int64_t sent_count;
    int64_t *next;             /* by user: the first number that is not seen. The reader's */
    _Atomic int32_t *shard_of; /* by user; -1 = not known yet */
    rd_kafka_t *producer;
    rd_kafka_t *consumer;
    pthread_t sender;
    pthread_t reader;
    atomic_bool sending;
    atomic_bool reading;
};

/* ---- clients --------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("a command was not delivered: %s", rd_kafka_err2str(message->err));
    }
}

static rd_kafka_t *probe_client(const alv_probe *probe, rd_kafka_type_t type,
                                const char *const *settings)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", probe->brokers, NULL, 0);
    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    for (; settings[0] != NULL; settings += 2) {
        if (rd_kafka_conf_set(conf, settings[0], settings[1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
            fail_msg("librdkafka: %s", text);
        }
    }
    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof(text));
    if (client == NULL) {
        fail_msg("librdkafka: %s", text);
    }
    return client;
}

static rd_kafka_t *probe_producer(const alv_probe *probe)
{
    static const char *const settings[] = {"enable.idempotence",
                                           "true",
                                           "partitioner",
                                           "murmur2_random",
                                           "linger.ms",
                                           "0",
                                           "message.timeout.ms", /* brokers may be away for long */
                                           "600000",
                                           NULL};
    return probe_client(probe, RD_KAFKA_PRODUCER, settings);
}

/* The broker answers a waiting fetch as soon as a transaction ends; the short wait is for the case
 * in which it does not. */
static rd_kafka_t *probe_consumer(const alv_probe *probe)
{
    static const char *const settings[] = {"group.id",
                                           "probe",
                                           "isolation.level",
                                           "read_committed",
                                           "enable.auto.commit",
                                           "false",
                                           "auto.offset.reset",
                                           "error",
                                           "fetch.wait.max.ms",
                                           "10",
                                           NULL};
    rd_kafka_t *consumer = probe_client(probe, RD_KAFKA_CONSUMER, settings);
    assert_int_equal(rd_kafka_poll_set_consumer(consumer), RD_KAFKA_RESP_ERR_NO_ERROR);
    return consumer;
}

static int probe_partition_count(const alv_probe *probe)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(probe->consumer, probe->changelog, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(probe->consumer, 0, topic, &metadata, PROBE_TIMEOUT_MS);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topics[0].partition_cnt == 0) {
        fail_msg("no metadata of %s: %s", probe->changelog, rd_kafka_err2str(error));
    }
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    assert_true(count <= ALV_PROBE_SHARDS_MAX);
    return count;
}

/* From where the changelog ends now: nothing that is sent from now on is before that. */
static void probe_assign(const alv_probe *probe)
{
    int count = probe_partition_count(probe);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++) {
        int64_t low = 0;
        int64_t high = 0;
        rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
            probe->consumer, probe->changelog, i, &low, &high, PROBE_TIMEOUT_MS);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            fail_msg("no end of %s: %s", probe->changelog, rd_kafka_err2str(error));
        }
        rd_kafka_topic_partition_list_add(list, probe->changelog, i)->offset = high;
    }
    assert_int_equal(rd_kafka_assign(probe->consumer, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void probe_send(alv_probe *probe, int64_t number)
{
    char key[32];
    char value[96];
    (void)snprintf(key, sizeof(key), PROBE_KEY, (int)(number % probe->options.users));
    (void)snprintf(value, sizeof(value),
                   "{\"type\":\"update_profile\"," PROBE_NICKNAME "%" PRId64 "\"}", number);
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = probe->commands},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key, strlen(key)}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, strlen(value)}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
    };
    /* Counted before it is sent: its change may be seen before this thread gets to its next line. */
    probe->sent_us[number] = alv_monotonic_us(alv_clock_system());
    atomic_store_explicit(&probe->sent_count, number + 1, memory_order_release);
    rd_kafka_error_t *error =
        rd_kafka_produceva(probe->producer, fields, sizeof(fields) / sizeof(fields[0]));
    if (error != NULL) { /* a full queue too: the broker is no longer keeping up with the rate */
        fail_msg("cannot send: %s", rd_kafka_error_string(error));
    }
}

static void probe_sleep_until(int64_t at_us)
{
    struct timespec at = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Keeps to the schedule: what a late wake-up left is sent at once. */
static void *probe_send_steadily(void *payload)
{
    alv_probe *probe = payload;
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int64_t number = 0;
    for (int64_t tick = 1; atomic_load(&probe->sending) && number < probe->capacity; tick++) {
        probe_sleep_until(begin_us + tick * PROBE_TICK_US);
        int64_t elapsed_us = alv_monotonic_us(alv_clock_system()) - begin_us;
        int64_t due = elapsed_us * probe->options.rate / 1000000;
        for (; number < due && number < probe->capacity; number++) {
            probe_send(probe, number);
        }
        (void)rd_kafka_poll(probe->producer, 0);
    }
    if (atomic_load(&probe->sending)) {
        fail_msg("it takes longer than the %d s there is room for", probe->options.seconds_max);
    }
    return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The running number in a state, -1 when there is none. */
static int64_t probe_number(const char *value, size_t size)
{
    const size_t mark = sizeof(PROBE_NICKNAME) - 1;
    const char *at = value != NULL ? memmem(value, size, PROBE_NICKNAME, mark) : NULL;
    if (at == NULL) {
        return -1;
    }
    int64_t number = 0;
    for (at += mark; at < value + size && *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (*at - '0');
    }
    return number;
}

/* Others may have users of their own in the same topics. */
static bool probe_is_own(const rd_kafka_message_t *message)
{
    const size_t size = sizeof(PROBE_KEY_START) - 1;
    return message->key_len > size && memcmp(message->key, PROBE_KEY_START, size) == 0;
}

static void probe_take(alv_probe *probe, const rd_kafka_message_t *message, int64_t now_us)
{
    if (!probe_is_own(message)) {
        return;
    }
    int64_t number = probe_number(message->payload, message->len);
    if (number < 0 || number >= atomic_load(&probe->sent_count)) {
        fail_msg("the changelog has a state that no command asked for");
    }
    int64_t user = number % probe->options.users;
    atomic_store(&probe->shard_of[user], message->partition);
    for (; probe->next[user] <= number; probe->next[user] += probe->options.users) {
        atomic_store(&probe->seen_us[probe->next[user]], now_us);
    }
}

static void *probe_read(void *payload)
{
    alv_probe *probe = payload;
    while (atomic_load(&probe->reading)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(probe->consumer, PROBE_POLL_MS);
        if (message == NULL) {
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            probe_take(probe, message, alv_monotonic_us(alv_clock_system()));
        } else {
            fprintf(stderr, "probe: %s\n", rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void probe_allocate(alv_probe *probe)
{
    size_t users = (size_t)probe->options.users;
    probe->capacity = (int64_t)probe->options.rate * probe->options.seconds_max;
    probe->sent_us = alv_alloc_array((size_t)probe->capacity, sizeof(*probe->sent_us));
    probe->seen_us = alv_alloc_array((size_t)probe->capacity, sizeof(*probe->seen_us));
    probe->next = alv_alloc_array(users, sizeof(*probe->next));
    probe->shard_of = alv_alloc_array(users, sizeof(*probe->shard_of));
    for (size_t user = 0; user < users; user++) {
        probe->next[user] = (int64_t)user;
        atomic_store(&probe->shard_of[user], -1);
    }
}

alv_probe *alv_probe_open(const alv_probe_options *options)
{
    alv_probe *probe = alv_alloc(sizeof(*probe));
    probe->options = *options;
    probe->brokers = alv_strdup(options->brokers);
    probe->commands = alv_format("%s.commands", options->application);
    probe->changelog = options->changelog != NULL
                           ? alv_strdup(options->changelog)
                           : alv_format("%s.changelog", options->application);
    probe_allocate(probe);
    probe->producer = probe_producer(probe);
    probe->consumer = probe_consumer(probe);
    probe_assign(probe);
    atomic_store(&probe->sending, true);
    atomic_store(&probe->reading, true);
    assert_int_equal(pthread_create(&probe->reader, NULL, probe_read, probe), 0);
    assert_int_equal(pthread_create(&probe->sender, NULL, probe_send_steadily, probe), 0);
    return probe;
}

void alv_probe_stop(alv_probe *probe)
{
    if (!atomic_exchange(&probe->sending, false)) {
        return;
    }
    (void)pthread_join(probe->sender, NULL);
    if (rd_kafka_flush(probe->producer, PROBE_TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("commands were not delivered within %d ms", PROBE_TIMEOUT_MS);
    }
}

void alv_probe_close(alv_probe *probe)
{
    alv_probe_stop(probe);
    atomic_store(&probe->reading, false);
    (void)pthread_join(probe->reader, NULL);
    (void)rd_kafka_consumer_close(probe->consumer);
    rd_kafka_destroy(probe->consumer);
    rd_kafka_destroy(probe->producer);
    alv_free(probe->brokers);
    alv_free(probe->commands);
    alv_free(probe->changelog);
    alv_free(probe->sent_us);
    alv_free(probe->seen_us);
    alv_free(probe->next);
    alv_free(probe->shard_of);
    alv_free(probe);
}

/* ---- what came out --------------------------------------------------------------------------- */

int64_t alv_probe_sent_us(const alv_probe *probe, int64_t number)
{
    return number < atomic_load(&probe->sent_count) ? probe->sent_us[number] : 0;
}

int64_t alv_probe_seen_us(const alv_probe *probe, int64_t number)
{
    return number < atomic_load(&probe->sent_count) ? atomic_load(&probe->seen_us[number]) : 0;
}

int64_t alv_probe_sent(const alv_probe *probe)
{
    return atomic_load_explicit(&probe->sent_count, memory_order_acquire);
}

/* Numbers are seen in order within a user only, so each is looked at. */
typedef struct probe_wait {
    const alv_probe *probe;
    int64_t from;
    int64_t to;
} probe_wait;

static bool probe_all_seen(void *payload)
{
    probe_wait *wait = payload;
    while (wait->from < wait->to && atomic_load(&wait->probe->seen_us[wait->from]) != 0) {
        wait->from++;
    }
    return wait->from == wait->to;
}

bool alv_probe_wait_seen(const alv_probe *probe, int timeout_ms)
{
    probe_wait wait = {.probe = probe, .to = alv_probe_sent(probe)};
    return alv_wait_until(probe_all_seen, &wait, timeout_ms);
}

/* Growing lists of waits, one of all commands and one of those of the slice. */
typedef struct probe_waits {
    int64_t *us;
    int64_t count;
} probe_waits;

static int compare_us(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* The smallest wait that at least `per_mille` of all do not exceed. */
static int64_t waits_percentile(const probe_waits *waits, int per_mille)
{
    if (waits->count == 0) {
        return 0;
    }
    int64_t rank = (waits->count * per_mille + 999) / 1000;
    return waits->us[rank > 0 ? rank - 1 : 0];
}

static void waits_sort(probe_waits *waits)
{
    if (waits->count > 0) {
        qsort(waits->us, (size_t)waits->count, sizeof(waits->us[0]), compare_us);
    }
}

static bool probe_is_meant(const alv_probe *probe, const alv_probe_range *range, int64_t number)
{
    int32_t shard = atomic_load(&probe->shard_of[number % probe->options.users]);
    int64_t sent_us = probe->sent_us[number];
    return sent_us >= range->from_us && (range->to_us == 0 || sent_us < range->to_us) &&
           (range->shards == NULL || (shard >= 0 && range->shards[shard]));
}

/* Ends a slice: whether its p99 is above the limit. */
static int64_t slice_end(probe_waits *slice, int64_t slow_us)
{
    waits_sort(slice);
    bool slow = waits_percentile(slice, 990) > slow_us;
    slice->count = 0;
    return slow ? ALV_PROBE_SLICE_MS : 0;
}

static void probe_collect(const alv_probe *probe, const alv_probe_range *range, int64_t slow_us,
                          probe_waits *all, probe_waits *slice, alv_probe_summary *out)
{
    int64_t now_us = alv_monotonic_us(alv_clock_system());
    int64_t sent = alv_probe_sent(probe);
    int64_t slice_us = 0; /* where the slice begins */
    for (int64_t number = 0; number < sent; number++) {
        if (!probe_is_meant(probe, range, number)) {
            continue;
        }
        int64_t sent_us = probe->sent_us[number];
        int64_t seen_us = atomic_load(&probe->seen_us[number]);
        if (sent_us - slice_us >= ALV_PROBE_SLICE_MS * 1000) {
            out->slow_ms += slice_end(slice, slow_us);
            slice_us = sent_us;
        }
        int64_t waited_us = (seen_us != 0 ? seen_us : now_us) - sent_us;
        all->us[all->count++] = waited_us;
        slice->us[slice->count++] = waited_us;
        out->waiting += seen_us == 0;
    }
    out->slow_ms += slice_end(slice, slow_us);
}

alv_probe_summary alv_probe_summarize(const alv_probe *probe, const alv_probe_range *range,
                                      int64_t slow_us)
{
    size_t room = (size_t)probe->capacity;
    probe_waits all = {.us = alv_alloc_array(room, sizeof(int64_t))};
    probe_waits slice = {.us = alv_alloc_array(room, sizeof(int64_t))};
    alv_probe_summary summary = {0};
    probe_collect(probe, range, slow_us, &all, &slice, &summary);
    waits_sort(&all);
    summary.count = all.count;
    summary.p50_us = waits_percentile(&all, 500);
    summary.p90_us = waits_percentile(&all, 900);
    summary.p99_us = waits_percentile(&all, 990);
    summary.p999_us = waits_percentile(&all, 999);
    summary.max_us = waits_percentile(&all, 1000);
    alv_free(all.us);
    alv_free(slice.us);
    return summary;
}

/* The last number that was sent to a user, -1 = none. */
static int64_t probe_last_number(const alv_probe *probe, int user)
{
    int64_t sent = alv_probe_sent(probe);
    int64_t users = probe->options.users;
    return user < sent ? (sent - 1 - user) / users * users + user : -1;
}

int alv_probe_count_lost(const alv_probe *probe)
{
    int lost = 0;
    json_t *states = alv_wire_last_values(probe->brokers, probe->changelog);
    for (int user = 0; user < probe->options.users; user++) {
        char key[32];
        char expected[32];
        int64_t last = probe_last_number(probe, user);
        (void)snprintf(key, sizeof(key), PROBE_KEY, user);
        (void)snprintf(expected, sizeof(expected), "%" PRId64, last);
        const json_t *nickname = json_object_get(json_object_get(states, key), "nickname");
        lost += last >= 0 &&
                (!json_is_string(nickname) || strcmp(json_string_value(nickname), expected) != 0);
    }
    json_decref(states);
    return lost;
}
