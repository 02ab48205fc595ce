#include "tests/support/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/wait.h"

#define WIRE_TIMEOUT_MS 30000
#define WIRE_RETRY_MS 20

static rd_kafka_conf_t *wire_conf(const char *brokers, const char *const *settings)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof(text)), 0);
    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    for (; settings != NULL && settings[0] != NULL; settings += 2) {
        if (rd_kafka_conf_set(conf, settings[0], settings[1], text, sizeof(text)) != 0) {
            fail_msg("librdkafka: %s", text);
        }
    }
    return conf;
}

static rd_kafka_t *wire_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof(text));
    if (client == NULL) {
        fail_msg("librdkafka: %s", text);
    }
    return client;
}

/* ---- sending --------------------------------------------------------------------------------- */

struct alv_wire {
    rd_kafka_t *client;
    int64_t failed;
    char failure[256];
};

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    alv_wire *wire = opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && wire->failed++ == 0) {
        (void)snprintf(wire->failure, sizeof(wire->failure), "%s", rd_kafka_err2str(message->err));
    }
}

alv_wire *alv_wire_open(const char *brokers)
{
    static const char *const settings[] = {
        "partitioner", "murmur2_random", "enable.idempotence", "true", "linger.ms", "5", NULL};
    alv_wire *wire = alv_alloc(sizeof(*wire));
    rd_kafka_conf_t *conf = wire_conf(brokers, settings);
    rd_kafka_conf_set_opaque(conf, wire);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    wire->client = wire_client(RD_KAFKA_PRODUCER, conf);
    return wire;
}

static rd_kafka_headers_t *wire_headers(const alv_wire_record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        const alv_wire_header *header = &record->headers[i];
        (void)rd_kafka_header_add(headers, header->name, -1, header->value, -1);
    }
    return headers;
}

static rd_kafka_resp_err_t wire_produce(alv_wire *wire, const alv_wire_record *record)
{
    rd_kafka_headers_t *headers = wire_headers(record);
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = record->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)record->key.data, record->key.size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)record->value.data, record->value.size}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(wire->client, fields, sizeof(fields) / sizeof(fields[0]));
    if (error == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    rd_kafka_headers_destroy(headers);
    return code;
}

void alv_wire_send(alv_wire *wire, const alv_wire_record *record)
{
    rd_kafka_resp_err_t error = wire_produce(wire, record);
    while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        (void)rd_kafka_poll(wire->client, 100);
        error = wire_produce(wire, record);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("cannot send to %s: %s", record->topic, rd_kafka_err2str(error));
    }
    (void)rd_kafka_poll(wire->client, 0);
}

void alv_wire_flush(alv_wire *wire)
{
    assert_int_equal(rd_kafka_flush(wire->client, WIRE_TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    if (wire->failed > 0) {
        fail_msg("%d records were not taken: %s", (int)wire->failed, wire->failure);
    }
}

void alv_wire_close(alv_wire *wire)
{
    if (wire != NULL) {
        rd_kafka_destroy(wire->client);
        alv_free(wire);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static rd_kafka_t *wire_consumer_of(const char *brokers, const char *group, const char *isolation)
{
    const char *const settings[] = {"group.id",
                                    group,
                                    "isolation.level",
                                    isolation,
                                    "enable.auto.commit",
                                    "false",
                                    "enable.partition.eof",
                                    "true",
                                    "auto.offset.reset",
                                    "error",
                                    "fetch.wait.max.ms",
                                    "10",
                                    NULL};
    rd_kafka_t *client = wire_client(RD_KAFKA_CONSUMER, wire_conf(brokers, settings));
    assert_int_equal(rd_kafka_poll_set_consumer(client), RD_KAFKA_RESP_ERR_NO_ERROR);
    return client;
}

static rd_kafka_t *wire_consumer(const char *brokers, const char *group)
{
    return wire_consumer_of(brokers, group, "read_committed");
}

/* To one that reads committed records only, a topic ends where the first open transaction begins. One that
 * is committed stays open until its marker has come, which may be after the marker of the offsets that were
 * committed with it: whoever has seen these must ask for the real end. */
static rd_kafka_t *wire_end_asker(const char *brokers)
{
    return wire_consumer_of(brokers, "wire-reader", "read_uncommitted");
}

/* All partitions of a topic; fails the test when there is no such topic. */
static rd_kafka_topic_partition_list_t *wire_partitions(rd_kafka_t *client, const char *topic)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &metadata, WIRE_TIMEOUT_MS);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topics[0].partition_cnt == 0) {
        fail_msg("no metadata of %s: %s", topic, rd_kafka_err2str(error));
    }
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(list, topic, i);
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return list;
}

typedef struct wire_ends {
    rd_kafka_t *client;
    const rd_kafka_topic_partition_t *partition;
    int64_t *low;
    int64_t *high;
    rd_kafka_resp_err_t error;
} wire_ends;

static bool wire_ends_known(void *payload)
{
    wire_ends *ends = payload;
    ends->error =
        rd_kafka_query_watermark_offsets(ends->client, ends->partition->topic,
                                         ends->partition->partition, ends->low, ends->high, 1000);
    return ends->error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Asks until there is an answer: a broker that has just come back takes partitions over meanwhile, and who
 * was asked then says that it is not their leader. */
static void wire_watermarks(rd_kafka_t *client, const rd_kafka_topic_partition_t *partition,
                            int64_t *out_low, int64_t *out_high)
{
    wire_ends ends = {client, partition, out_low, out_high, RD_KAFKA_RESP_ERR_NO_ERROR};
    if (!alv_wait_until(wire_ends_known, &ends, WIRE_TIMEOUT_MS)) {
        fail_msg("no watermarks of %s: %s", partition->topic, rd_kafka_err2str(ends.error));
    }
}

alv_view alv_wire_message_header(const alv_wire_message *message, const char *name)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t size = 0;
    if (rd_kafka_message_headers(message->handle, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_VIEW_NONE;
    }
    return (alv_view){value, size};
}

static void wire_visit(const rd_kafka_message_t *message, alv_wire_visit visit, void *payload)
{
    alv_wire_message view = {
        .partition = message->partition,
        .offset = message->offset,
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .handle = message,
    };
    visit(payload, &view);
}

/* Sets each partition to its beginning and remembers its end in `ends`; how many have anything. */
static int wire_prepare_read(rd_kafka_t *asker, rd_kafka_topic_partition_list_t *list,
                             int64_t *ends)
{
    int open_count = 0;
    for (int i = 0; i < list->cnt; i++) {
        int64_t low = 0;
        wire_watermarks(asker, &list->elems[i], &low, &ends[i]);
        list->elems[i].offset = low;
        open_count += ends[i] > low;
        if (ends[i] == low) {
            ends[i] = INT64_MAX; /* nothing to wait for */
        }
    }
    return open_count;
}

void alv_wire_read(const char *brokers, const char *topic, alv_wire_visit visit, void *payload)
{
    rd_kafka_t *client = wire_consumer(brokers, "wire-reader");
    rd_kafka_topic_partition_list_t *list = wire_partitions(client, topic);
    int64_t *ends = alv_alloc_array((size_t)list->cnt, sizeof(*ends));
    rd_kafka_t *asker = wire_end_asker(brokers);
    int open_count = wire_prepare_read(asker, list, ends);
    rd_kafka_destroy(asker);
    assert_int_equal(rd_kafka_assign(client, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    int64_t deadline = alv_wait_deadline(WIRE_TIMEOUT_MS);
    while (open_count > 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 100);
        if (message == NULL) {
            if (alv_wait_expired(deadline)) {
                fail_msg("%s: nothing more for %d ms, but not its end", topic, WIRE_TIMEOUT_MS);
            }
            continue;
        }
        deadline = alv_wait_deadline(WIRE_TIMEOUT_MS);
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            wire_visit(message, visit, payload);
        } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            /* The offset counts control records; below the end, a transaction is still open. */
            if (message->offset >= ends[message->partition]) {
                ends[message->partition] = INT64_MAX;
                open_count--;
            }
        }
        rd_kafka_message_destroy(message);
    }
    alv_free(ends);
    rd_kafka_topic_partition_list_destroy(list);
    (void)rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

static void keep_last_value(void *payload, const alv_wire_message *message)
{
    json_t *values = payload;
    char *key = alv_strndup(message->key.data, message->key.size);
    if (message->value.data == NULL) {
        (void)json_object_del(values, key);
    } else {
        json_t *value = json_loadb(message->value.data, message->value.size, JSON_DECODE_ANY, NULL);
        if (value == NULL) {
            fail_msg("the value of %s is not JSON", key);
        }
        json_object_set_new(values, key, value);
    }
    alv_free(key);
}

json_t *alv_wire_last_values(const char *brokers, const char *topic)
{
    json_t *values = json_object();
    alv_wire_read(brokers, topic, keep_last_value, values);
    return values;
}

/* ---- group and topics ------------------------------------------------------------------------ */

int64_t alv_wire_committed(const char *brokers, const char *group, const char *topic)
{
    rd_kafka_t *client = wire_consumer(brokers, group);
    rd_kafka_topic_partition_list_t *list = wire_partitions(client, topic);
    int64_t sum = 0;
    rd_kafka_resp_err_t error = rd_kafka_committed(client, list, WIRE_TIMEOUT_MS);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("no committed offsets of %s: %s", group, rd_kafka_err2str(error));
    }
    for (int i = 0; i < list->cnt; i++) {
        sum += list->elems[i].offset > 0 ? list->elems[i].offset : 0;
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
    return sum;
}

int64_t alv_wire_end(const char *brokers, const char *topic)
{
    rd_kafka_t *client = wire_end_asker(brokers);
    rd_kafka_topic_partition_list_t *list = wire_partitions(client, topic);
    int64_t sum = 0;
    for (int i = 0; i < list->cnt; i++) {
        int64_t low = 0;
        int64_t high = 0;
        wire_watermarks(client, &list->elems[i], &low, &high);
        sum += high;
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
    return sum;
}

/* Waits for the result of an admin call and returns it; the caller destroys it. */
static rd_kafka_event_t *wire_admin_result(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WIRE_TIMEOUT_MS);
    if (event == NULL) {
        fail_msg("the broker does not answer an admin call");
    }
    return event;
}

void alv_wire_create_topic(const char *brokers, const char *topic, int partitions,
                           const char *cleanup_policy)
{
    rd_kafka_t *client = wire_client(RD_KAFKA_PRODUCER, wire_conf(brokers, NULL));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *topics[1] = {rd_kafka_NewTopic_new(topic, partitions, -1, NULL, 0)};
    (void)rd_kafka_NewTopic_set_config(topics[0], "cleanup.policy", cleanup_policy);
    rd_kafka_CreateTopics(client, topics, 1, NULL, queue);
    rd_kafka_event_t *event = wire_admin_result(queue);
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    assert_int_equal(count, 1);
    if (rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("cannot create %s: %s", topic, rd_kafka_topic_result_error_string(results[0]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topics[0]);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
}

void alv_wire_add_partitions(const char *brokers, const char *topic, int partitions)
{
    char text[256] = "";
    rd_kafka_t *client = wire_client(RD_KAFKA_PRODUCER, wire_conf(brokers, NULL));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewPartitions_t *wanted[1] = {
        rd_kafka_NewPartitions_new(topic, (size_t)partitions, text, sizeof text)};
    rd_kafka_CreatePartitions(client, wanted, 1, NULL, queue);
    rd_kafka_event_t *event = wire_admin_result(queue);
    size_t count = 0;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(event), &count);
    assert_int_equal(count, 1);
    if (rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("%s: no partitions: %s", topic, rd_kafka_topic_result_error_string(results[0]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_NewPartitions_destroy(wanted[0]);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
}

static rd_kafka_resp_err_t wire_try_delete_group(rd_kafka_t *client, const char *group)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteGroup_t *groups[1] = {rd_kafka_DeleteGroup_new(group)};
    rd_kafka_DeleteGroups(client, groups, 1, NULL, queue);
    rd_kafka_event_t *event = wire_admin_result(queue);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    size_t count = 0;
    const rd_kafka_group_result_t **results =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count == 1) {
        code = rd_kafka_error_code(rd_kafka_group_result_error(results[0]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteGroup_destroy(groups[0]);
    rd_kafka_queue_destroy(queue);
    return code;
}

/* A broker that has just made its topic of offsets is not a group's coordinator at once. */
void alv_wire_delete_group(const char *brokers, const char *group)
{
    rd_kafka_t *client = wire_client(RD_KAFKA_PRODUCER, wire_conf(brokers, NULL));
    int64_t deadline = alv_wait_deadline(WIRE_TIMEOUT_MS);
    rd_kafka_resp_err_t code;
    while ((code = wire_try_delete_group(client, group)) != RD_KAFKA_RESP_ERR_NO_ERROR &&
           code != RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        if (alv_wait_expired(deadline)) {
            fail_msg("cannot delete the group %s: %s", group, rd_kafka_err2str(code));
        }
        (void)poll(NULL, 0, WIRE_RETRY_MS);
    }
    rd_kafka_destroy(client);
}

#define WIRE_DELETE_MAX 16

void alv_wire_delete_topics(const char *brokers, const char *prefix)
{
    rd_kafka_t *client = wire_client(RD_KAFKA_PRODUCER, wire_conf(brokers, NULL));
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_DeleteTopic_t *topics[WIRE_DELETE_MAX];
    size_t count = 0;
    if (rd_kafka_metadata(client, 1, NULL, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int i = 0; i < metadata->topic_cnt && count < WIRE_DELETE_MAX; i++) {
            if (strncmp(metadata->topics[i].topic, prefix, strlen(prefix)) == 0) {
                topics[count++] = rd_kafka_DeleteTopic_new(metadata->topics[i].topic);
            }
        }
        rd_kafka_metadata_destroy(metadata);
    }
    if (count > 0) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
        rd_kafka_DeleteTopics(client, topics, count, NULL, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 5000);
        if (event != NULL) {
            rd_kafka_event_destroy(event);
        }
        rd_kafka_DeleteTopic_destroy_array(topics, count);
        rd_kafka_queue_destroy(queue);
    }
    rd_kafka_destroy(client);
}
