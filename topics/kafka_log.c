/* kafka_log.c — the log over real brokers: opens handles, and what all of them need. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

/* Reports of purged records are there at once; this only bounds a surprise. */
#define PURGE_MS 500

/* A broker that is there answers at once, and the next attempt asks again. */
#define METADATA_MS 2000

/* ---- client ---------------------------------------------------------------------------------- */

void alv_kafka_client_init(alv_kafka_client *client, const alv_config *config, const char *suffix,
                           void *owner)
{
    const alv_settings *settings = alv_config_settings(config);
    const char *address = settings->http_advertise != NULL ? settings->http_advertise : "none";
    *client = (alv_kafka_client){.owner = owner};
    snprintf(client->name, sizeof(client->name), "%s@%s/%s", settings->node_id, address, suffix);
}

alv_status alv_kafka_client_open(alv_kafka_client *client, alv_kafka_kind kind,
                                 rd_kafka_conf_t *conf, alv_error *err)
{
    char text[256];
    bool consumes = (kind & (ALV_KAFKA_CONSUMER | ALV_KAFKA_READER | ALV_KAFKA_PROBE)) != 0;
    ALV_ASSERT(client->rk == NULL);
    atomic_store(&client->indefinite, false);
    atomic_store(&client->forbidden, -1);
    alv_error_clear(&client->trouble);
    rd_kafka_conf_set_opaque(conf, client);
    client->rk =
        rd_kafka_new(consumes ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (client->rk != NULL) {
        return ALV_OK;
    }
    int code = (int)rd_kafka_last_error();
    rd_kafka_conf_destroy(conf); /* rd_kafka_new takes it only when it succeeds */
    return alv_kafka_fail(err, ALV_FATAL, code, "%s: %s", client->name, text);
}

void alv_kafka_client_close(alv_kafka_client *client)
{
    if (client->rk == NULL) {
        return;
    }
    if (rd_kafka_type(client->rk) == RD_KAFKA_PRODUCER) {
        (void)rd_kafka_purge(client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        (void)rd_kafka_flush(client->rk, PURGE_MS); /* runs the reports of what was purged */
    }
    rd_kafka_destroy_flags(client->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    client->rk = NULL;
    alv_kafka_stats_remove(client); /* last: destroying may still deliver some */
}

alv_status alv_kafka_client_trouble(alv_kafka_client *client, alv_error *err)
{
    if (client->trouble.status == ALV_OK) {
        return ALV_OK;
    }
    alv_error trouble = client->trouble;
    alv_error_clear(&client->trouble);
    return alv_kafka_fail(err, trouble.status, trouble.code, "%s", trouble.text);
}

bool alv_kafka_is_definite(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE: /* never left this process */
        return true;
    case RD_KAFKA_RESP_ERR_UNKNOWN:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
        return false;
    default:
        return code > 0; /* negative codes are librdkafka's own */
    }
}

/* ---- where a shard begins and ends --------------------------------------------------------------- */

/* Whether nobody was asked, because the leader is not known. */
static bool kafka_lacks_leader(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

void alv_kafka_refresh(rd_kafka_t *rk, const char *topic, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = topic != NULL ? rd_kafka_topic_new(rk, topic, NULL) : NULL;
    if (rd_kafka_metadata(rk, 0, handle, &metadata, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(metadata);
    }
    if (handle != NULL) {
        rd_kafka_topic_destroy(handle);
    }
}

/* librdkafka takes what it once heard for lasting: with a partition that had no leader then, or one on a broker
 * that is gone, it does not ask again before topic.metadata.refresh.interval.ms (five minutes) is over, unless
 * the handle also reads or writes that topic (rd_kafka_topic_partition_list_get_leaders: "a permanent error").
 * So it is made to ask. */
static void kafka_refresh_leaders(rd_kafka_t *rk, const char *topic)
{
    alv_kafka_refresh(rk, topic, METADATA_MS);
}

static rd_kafka_resp_err_t kafka_query_range(rd_kafka_t *rk, const char *topic, int32_t shard,
                                             int64_t *start, int64_t *end)
{
    return rd_kafka_query_watermark_offsets(rk, topic, shard, start, end, ALV_KAFKA_CALL_MS);
}

alv_status alv_kafka_range(rd_kafka_t *rk, const char *topic, int32_t shard, int64_t *out_start,
                           int64_t *out_end, alv_error *err)
{
    int64_t start = 0;
    int64_t end = 0;
    rd_kafka_resp_err_t code = kafka_query_range(rk, topic, shard, &start, &end);
    if (kafka_lacks_leader(code)) {
        kafka_refresh_leaders(rk, topic);
        code = kafka_query_range(rk, topic, shard, &start, &end);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        const alv_kafka_need need = {ALV_ACCESS_DESCRIBE, ALV_ACCESS_TOPIC, topic};
        return alv_kafka_fail_needing(err, ALV_RETRY, code, need, "offsets of %s shard %d: %s",
                                      topic, (int)shard,
                                      alv_kafka_reason(rd_kafka_opaque(rk), code));
    }
    *out_start = start;
    *out_end = end;
    return ALV_OK;
}

/* The request for offsets by time takes -1 for the end; one request per leader, all at once, where
 * rd_kafka_query_watermark_offsets asks for one shard after the other. */
alv_status alv_kafka_ends(rd_kafka_t *rk, const char *topic, alv_shard_offset *items, size_t count,
                          int timeout_ms, alv_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(list, topic, items[i].shard)->offset =
            RD_KAFKA_OFFSET_END;
    }
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, list, timeout_ms);
    for (size_t i = 0; i < count && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(list, topic, items[i].shard);
        ALV_ASSERT(found != NULL);
        code = found->err;
        items[i].offset = found->offset;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR && found->offset < 0) {
            code = RD_KAFKA_RESP_ERR__NO_OFFSET;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (kafka_lacks_leader(code)) {
        kafka_refresh_leaders(rk, topic); /* for the next attempt */
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        const alv_kafka_need need = {ALV_ACCESS_DESCRIBE, ALV_ACCESS_TOPIC, topic};
        return alv_kafka_fail_needing(err, ALV_RETRY, code, need, "ends of %s: %s", topic,
                                      alv_kafka_reason(rd_kafka_opaque(rk), code));
    }
    return ALV_OK;
}

/* ---- committed offsets ---------------------------------------------------------------------------- */

alv_status alv_kafka_committed(rd_kafka_t *rk, const char *topic, alv_shard_offset *items,
                               size_t count, int timeout_ms, alv_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        (void)rd_kafka_topic_partition_list_add(list, topic, items[i].shard);
    }

    alv_status status = ALV_OK;
    rd_kafka_resp_err_t code = rd_kafka_committed(rk, list, timeout_ms);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        code = list->elems[i].err;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        char group[ALV_TOPIC_NAME_BYTES] = "";
        size_t size = sizeof(group);
        (void)rd_kafka_conf_get(rd_kafka_conf(rk), "group.id", group, &size); /* it has one */
        const alv_kafka_need need = {ALV_ACCESS_DESCRIBE, ALV_ACCESS_GROUP, group};
        status = alv_kafka_fail_needing(err, ALV_RETRY, code, need, "committed offsets of %s: %s",
                                        topic, alv_kafka_reason(rd_kafka_opaque(rk), code));
    }
    for (size_t i = 0; i < count && status == ALV_OK; i++) {
        /* the list may have been put in another order */
        const rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(list, topic, items[i].shard);
        ALV_ASSERT(found != NULL);
        items[i].offset = found->offset >= 0 ? found->offset : ALV_OFFSET_NONE;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

/* ---- log ------------------------------------------------------------------------------------- */

static void kafka_close(alv_log_port *log)
{
    alv_free(log);
}

static const alv_log_ops kafka_ops = {
    .open_consumer = alv_kafka_consumer_open,
    .open_producer = alv_kafka_producer_open,
    .open_reader = alv_kafka_reader_open,
    .open_sender = alv_kafka_sender_open,
    .headers = alv_kafka_headers,
    .close = kafka_close,
};

/* A wrong kafka.* should be said at the start, and not by the first handle that meets it. */
static alv_status kafka_check_settings(const alv_config *config, alv_error *err)
{
    alv_kafka_client client;
    rd_kafka_conf_t *conf = NULL;
    alv_kafka_client_init(&client, config, "check", NULL);
    alv_status status = alv_kafka_conf_new(config, ALV_KAFKA_ADMIN, &client, &conf, err);
    if (status == ALV_OK) {
        rd_kafka_conf_destroy(conf);
    }
    return status;
}

alv_status alv_kafka_open(const alv_config *config, alv_log_port **out, alv_error *err)
{
    alv_status status = kafka_check_settings(config, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka *log = alv_alloc(sizeof(*log));
    log->base.ops = &kafka_ops;
    log->config = config;
    log->settings = alv_config_settings(config);
    log->shards = alv_config_is_set(config, "shards") ? (int32_t)log->settings->shards : 0;
    int count = (int)alv_schema_topic_count(log->settings);
    for (int topic = 0; topic < count; topic++) {
        alv_schema_topic_name(log->settings, (alv_topic)topic, log->names[topic],
                              sizeof(log->names[topic]));
    }
    *out = &log->base;
    return ALV_OK;
}

void alv_kafka_set_shards(alv_log_port *log, int32_t shards)
{
    ((alv_kafka *)log)->shards = shards;
}

const char *alv_kafka_library_version(void)
{
    return rd_kafka_version_str();
}
