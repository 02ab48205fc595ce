/* kafka_targets.c — producing a record: topic handles, the shard, headers. */
#include <stdint.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"
#include "topics/partitioner.h"

static rd_kafka_topic_t *targets_open(alv_kafka_targets *targets, const alv_kafka *log,
                                      rd_kafka_t *rk, alv_topic topic)
{
    if (targets->topics[topic] == NULL) {
        rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(rk);
        rd_kafka_topic_conf_set_opaque(conf, (void *)(uintptr_t)topic);
        targets->topics[topic] = rd_kafka_topic_new(rk, log->names[topic], conf);
        ALV_ASSERT(targets->topics[topic] != NULL);
    }
    return targets->topics[topic];
}

static rd_kafka_resp_err_t targets_ask_shards(alv_kafka_targets *targets, rd_kafka_t *rk,
                                              alv_topic topic)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(rk, 0, targets->topics[topic], &metadata, ALV_KAFKA_CALL_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return code;
    }
    if (metadata->topic_cnt != 1) {
        code = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    } else if (metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = metadata->topics[0].err;
    } else if (metadata->topics[0].partition_cnt <= 0) {
        code = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
    } else {
        targets->shards[topic] = metadata->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    return code;
}

/* A record without a key is left to librdkafka, which spreads such records. */
static rd_kafka_resp_err_t targets_shard(alv_kafka_targets *targets, const alv_kafka *log,
                                         rd_kafka_t *rk, const alv_produce *record, int32_t *out)
{
    *out = record->shard;
    if (record->shard >= 0) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    *out = RD_KAFKA_PARTITION_UA;
    if (record->key.data == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (record->topic == ALV_TOPIC_COMMANDS && log->shards > 0) {
        *out = alv_partitioner_shard(record->key, log->shards);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (targets->shards[record->topic] == 0) {
        rd_kafka_resp_err_t code = targets_ask_shards(targets, rk, record->topic);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return code;
        }
    }
    *out = alv_partitioner_shard(record->key, targets->shards[record->topic]);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_headers_t *targets_headers(const alv_produce *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        (void)rd_kafka_header_add(headers, record->headers[i].name, -1,
                                  record->headers[i].value.data,
                                  (ssize_t)record->headers[i].value.size);
    }
    return headers;
}

/* The call that takes headers and a time; it costs about twice the plain one. librdkafka's structs
 * are not const, but it copies what they point to. */
static rd_kafka_resp_err_t targets_produce_full(rd_kafka_t *rk, rd_kafka_topic_t *topic,
                                                int32_t shard, const alv_produce *record,
                                                void *message_opaque)
{
    rd_kafka_headers_t *headers = targets_headers(record);
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = shard},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)record->value.data, record->value.size}},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)record->key.data, record->key.size}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = message_opaque},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(rk, parts, sizeof(parts) / sizeof(parts[0]));
    if (error == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    rd_kafka_headers_destroy(headers); /* taken only on success */
    return code;
}

rd_kafka_resp_err_t alv_kafka_targets_produce(alv_kafka_targets *targets, const alv_kafka *log,
                                              rd_kafka_t *rk, const alv_produce *record,
                                              void *message_opaque)
{
    ALV_ASSERT(record->topic < ALV_TOPICS_MAX);
    rd_kafka_topic_t *topic = targets_open(targets, log, rk, record->topic);
    int32_t shard;
    rd_kafka_resp_err_t code = targets_shard(targets, log, rk, record, &shard);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return code;
    }
    if (record->header_count > 0 || record->timestamp_ms != 0) {
        return targets_produce_full(rk, topic, shard, record, message_opaque);
    }
    if (rd_kafka_produce(topic, shard, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)record->value.data,
                         record->value.size, record->key.data, record->key.size,
                         message_opaque) == 0) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return rd_kafka_last_error();
}

alv_topic alv_kafka_targets_topic(const rd_kafka_message_t *message)
{
    return (alv_topic)(uintptr_t)rd_kafka_topic_opaque(message->rkt);
}

void alv_kafka_targets_done(alv_kafka_targets *targets)
{
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        if (targets->topics[topic] != NULL) {
            rd_kafka_topic_destroy(targets->topics[topic]);
        }
    }
    *targets = (alv_kafka_targets){0};
}
