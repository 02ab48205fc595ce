/* kafka_stats.c — what librdkafka counts: kept as it comes, read only when somebody asks.
 *
 * librdkafka writes its statistics as JSON on a thread of its own, every statistics.interval.ms, and hands
 * them over inside the next poll of the handle. Parsing them there would hold up a lane for a millisecond
 * and more, for nothing while nobody looks; so the text is kept, and parsed by whoever asks. Only handles
 * that are polled all the time have statistics: elsewhere they would pile up.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "topics/kafka_internal.h"

/* The default of statistics.interval.ms; monitoring systems ask a few times a minute. */
#define STATS_INTERVAL_MS "5000"

/* A leaf; guards the list and what its members have. */
static pthread_mutex_t stats_lock = PTHREAD_MUTEX_INITIALIZER;
static alv_kafka_client *stats_clients;

/* ---- the handles ----------------------------------------------------------------------------- */

/* On the thread that polls. The text is ours when the result is 1; nobody asks for those of a handle that is
 * not in the list. */
static int stats_take(rd_kafka_t *rk, char *json, size_t size, void *opaque)
{
    (void)rk;
    (void)size;
    alv_kafka_client *client = opaque;
    pthread_mutex_lock(&stats_lock);
    bool is_listed = client->stats_kind != NULL;
    char *last = is_listed ? client->stats : NULL;
    if (is_listed) {
        client->stats = json;
    }
    pthread_mutex_unlock(&stats_lock);
    if (last != NULL) {
        rd_kafka_mem_free(NULL, last);
    }
    return is_listed ? 1 : 0;
}

void alv_kafka_stats_configure(rd_kafka_conf_t *conf, const alv_config *config)
{
    size_t count = 0;
    const alv_property *items = alv_config_kafka(config, &count);
    const char *interval = STATS_INTERVAL_MS;
    for (size_t i = 0; i < count; i++) {
        interval = strcmp(items[i].key, "statistics.interval.ms") == 0 ? items[i].value : interval;
    }
    alv_kafka_conf_set(conf, "statistics.interval.ms", interval); /* it was checked before */
    rd_kafka_conf_set_stats_cb(conf, stats_take);
}

void alv_kafka_stats_add(alv_kafka_client *client, const char *kind)
{
    ALV_ASSERT(client->stats_kind == NULL && client->stats == NULL);
    pthread_mutex_lock(&stats_lock);
    client->stats_kind = kind;
    client->stats_next = stats_clients;
    stats_clients = client;
    pthread_mutex_unlock(&stats_lock);
}

void alv_kafka_stats_remove(alv_kafka_client *client)
{
    if (client->stats_kind == NULL) {
        return;
    }
    pthread_mutex_lock(&stats_lock);
    alv_kafka_client **link = &stats_clients;
    while (*link != client) {
        ALV_ASSERT(*link != NULL);
        link = &(*link)->stats_next;
    }
    *link = client->stats_next;
    char *last = client->stats;
    client->stats = NULL;
    client->stats_kind = NULL;
    pthread_mutex_unlock(&stats_lock);
    if (last != NULL) {
        rd_kafka_mem_free(NULL, last);
    }
}

/* ---- reading them ---------------------------------------------------------------------------- */

/* A copy of one handle's text. */
typedef struct stats_text {
    const char *kind;
    char lane[16];
    char *json;
} stats_text;

/* What stands behind the last "/" of client.id. */
static void stats_copy(const alv_kafka_client *client, stats_text *out)
{
    const char *slash = strrchr(client->name, '/');
    out->kind = client->stats_kind;
    (void)snprintf(out->lane, sizeof out->lane, "%.15s", slash != NULL ? slash + 1 : client->name);
    out->json = alv_strdup(client->stats);
}

static stats_text *stats_copy_all(size_t *out_count)
{
    size_t count = 0;
    pthread_mutex_lock(&stats_lock);
    for (const alv_kafka_client *client = stats_clients; client != NULL;
         client = client->stats_next) {
        count += client->stats != NULL;
    }
    stats_text *texts = alv_alloc_array(count, sizeof *texts);
    size_t copied = 0;
    for (const alv_kafka_client *client = stats_clients; client != NULL;
         client = client->stats_next) {
        if (client->stats != NULL) {
            stats_copy(client, &texts[copied++]);
        }
    }
    pthread_mutex_unlock(&stats_lock);
    *out_count = count;
    return texts;
}

static double stats_number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

/* Brokers that were not asked in the last interval have no round trips; the slowest of the others
 * is told. */
static void stats_read_brokers(json_t *brokers, alv_kafka_stats *out)
{
    const char *name;
    json_t *broker;
    json_object_foreach(brokers, name, broker)
    {
        const json_t *rtt = json_object_get(broker, "rtt");
        double p50 = stats_number(rtt, "p50") / 1e6;
        double p99 = stats_number(rtt, "p99") / 1e6;
        out->rtt_p50_s = p50 > out->rtt_p50_s ? p50 : out->rtt_p50_s;
        out->rtt_p99_s = p99 > out->rtt_p99_s ? p99 : out->rtt_p99_s;
        out->disconnects += stats_number(broker, "disconnects");
        out->timeouts += stats_number(broker, "req_timeouts");
        out->in_flight += stats_number(broker, "waitresp_cnt");
    }
}

static void stats_read_fetch_queue(json_t *topics, alv_kafka_stats *out)
{
    const char *name;
    json_t *topic;
    json_object_foreach(topics, name, topic)
    {
        const char *number;
        json_t *partition;
        json_object_foreach(json_object_get(topic, "partitions"), number, partition)
        {
            out->queue_messages += stats_number(partition, "fetchq_cnt");
            out->queue_bytes += stats_number(partition, "fetchq_size");
        }
    }
}

static bool stats_read(const stats_text *text, alv_kafka_stats *out)
{
    json_t *root = json_loads(text->json, 0, NULL);
    if (root == NULL) {
        return false;
    }
    *out = (alv_kafka_stats){
        .kind = text->kind,
        .sent_bytes = stats_number(root, "tx_bytes"),
        .received_bytes = stats_number(root, "rx_bytes"),
        .requests = stats_number(root, "tx"),
        .queue_messages = stats_number(root, "msg_cnt"),
        .queue_bytes = stats_number(root, "msg_size"),
    };
    (void)snprintf(out->lane, sizeof out->lane, "%s", text->lane);
    stats_read_brokers(json_object_get(root, "brokers"), out);
    stats_read_fetch_queue(json_object_get(root, "topics"), out);
    json_decref(root);
    return true;
}

size_t alv_kafka_stats_list(alv_kafka_stats **out)
{
    size_t count = 0;
    size_t read = 0;
    stats_text *texts = stats_copy_all(&count);
    *out = alv_alloc_array(count, sizeof **out);
    for (size_t i = 0; i < count; i++) {
        read += stats_read(&texts[i], &(*out)[read]);
        alv_free(texts[i].json);
    }
    alv_free(texts);
    return read;
}
