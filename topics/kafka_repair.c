#include "topics/kafka_repair.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

/* A deleted topic is gone at once for the controller and a little later for each broker. */
#define REPAIR_POLL_MS 50
#define REPAIR_PATIENCE_US (INT64_C(2) * ALV_KAFKA_CALL_MS * 1000)

typedef struct repair_admin {
    const alv_settings *settings;
    alv_kafka_client client;
    rd_kafka_queue_t *queue;
} repair_admin;

static alv_status repair_open(repair_admin *admin, const alv_config *config, alv_error *err)
{
    *admin = (repair_admin){.settings = alv_config_settings(config)};
    alv_kafka_client_init(&admin->client, config, "repair", admin);
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

static void repair_close(repair_admin *admin)
{
    if (admin->queue != NULL) {
        rd_kafka_queue_destroy(admin->queue);
    }
    alv_kafka_client_close(&admin->client);
}

static rd_kafka_AdminOptions_t *repair_options(const repair_admin *admin, rd_kafka_admin_op_t op)
{
    char text[256];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->client.rk, op);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ALV_KAFKA_CALL_MS, text,
                                                    sizeof(text)); /* the value is in range */
    return options;
}

/* What went wrong may pass, or a person must act. */
static alv_status repair_status(rd_kafka_resp_err_t code)
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

/* Waits for the answer to the call just made. The event is the caller's in any case, unless NULL. */
static alv_status repair_answer(repair_admin *admin, const char *what, rd_kafka_event_t **out,
                                alv_error *err)
{
    *out = rd_kafka_queue_poll(admin->queue, ALV_KAFKA_CALL_MS + 1000);
    if (*out == NULL) {
        return alv_fail(err, ALV_RETRY, "%s: no broker answers", what);
    }
    rd_kafka_resp_err_t code = rd_kafka_event_error(*out);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_OK;
    }
    return alv_kafka_fail(err, repair_status(code), code, "%s: %s", what,
                          rd_kafka_event_error_string(*out));
}

/* ---- topics ---------------------------------------------------------------------------------- */

/* Adds those that were there to *out_deleted. */
static alv_status repair_read_deleted(rd_kafka_event_t *event, size_t *out_deleted, alv_error *err)
{
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            (*out_deleted)++;
        } else if (code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            return alv_kafka_fail(err, repair_status(code), code, "delete topic %s: %s",
                                  rd_kafka_topic_result_name(results[i]),
                                  rd_kafka_topic_result_error_string(results[i]));
        }
    }
    return ALV_OK;
}

static alv_status repair_delete(repair_admin *admin, const alv_topic *topics, size_t count,
                                size_t *out_deleted, alv_error *err)
{
    rd_kafka_DeleteTopic_t *requests[ALV_TOPIC_COUNT];
    char name[ALV_TOPIC_NAME_BYTES];
    ALV_ASSERT(count <= ALV_TOPIC_COUNT);
    for (size_t i = 0; i < count; i++) {
        alv_schema_name(admin->settings->application_id, topics[i], name, sizeof(name));
        requests[i] = rd_kafka_DeleteTopic_new(name);
    }
    rd_kafka_AdminOptions_t *options = repair_options(admin, RD_KAFKA_ADMIN_OP_DELETETOPICS);
    rd_kafka_DeleteTopics(admin->client.rk, requests, count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_DeleteTopic_destroy_array(requests, count);

    rd_kafka_event_t *event = NULL;
    alv_status status = repair_answer(admin, "delete topics", &event, err);
    if (status == ALV_OK) {
        status = repair_read_deleted(event, out_deleted, err);
    }
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    return status;
}

/* A broker that has not heard of the deletion yet still shows the topic, and then nothing would be
 * created: so until as many were created as were deleted. */
static alv_status repair_create(repair_admin *admin, const alv_config *config, size_t deleted,
                                alv_error *err)
{
    int64_t deadline_us = alv_monotonic_us(alv_clock_system()) + REPAIR_PATIENCE_US;
    size_t created = 0;
    for (;;) {
        alv_error why = ALV_ERROR_NONE;
        size_t some = 0;
        alv_status status = alv_kafka_create_topics(config, &some, &why);
        created += status == ALV_OK ? some : 0;
        if (status == ALV_OK && created >= deleted) {
            return ALV_OK;
        }
        if (status == ALV_REJECT || alv_monotonic_us(alv_clock_system()) >= deadline_us) {
            return alv_fail(err, status == ALV_REJECT ? ALV_REJECT : ALV_RETRY,
                            "%zu topics were deleted, %zu created again: %s", deleted, created,
                            why.status != ALV_OK ? why.text : "brokers still show the old ones");
        }
        (void)rd_kafka_poll(admin->client.rk, REPAIR_POLL_MS);
    }
}

alv_status alv_kafka_recreate_topics(const alv_config *config, const alv_topic *topics,
                                     size_t count, alv_error *err)
{
    repair_admin admin;
    size_t deleted = 0;
    alv_status status = repair_open(&admin, config, err);
    if (status == ALV_OK) { /* what is missing for other reasons, so that it is not counted below */
        status = repair_create(&admin, config, 0, err);
    }
    if (status == ALV_OK && count > 0) {
        status = repair_delete(&admin, topics, count, &deleted, err);
    }
    if (status == ALV_OK && deleted > 0) {
        status = repair_create(&admin, config, deleted, err);
    }
    repair_close(&admin);
    return status;
}

/* ---- offsets of the group -------------------------------------------------------------------- */

static alv_status repair_read_partitions(const rd_kafka_topic_partition_list_t *partitions,
                                         alv_error *err)
{
    for (int i = 0; partitions != NULL && i < partitions->cnt; i++) {
        rd_kafka_resp_err_t code = partitions->elems[i].err;
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return alv_kafka_fail(err, repair_status(code), code,
                                  "forget the group's offset of shard %d: %s",
                                  (int)partitions->elems[i].partition, rd_kafka_err2str(code));
        }
    }
    return ALV_OK;
}

static alv_status repair_read_forgotten(rd_kafka_event_t *event, alv_error *err)
{
    size_t count = 0;
    const rd_kafka_group_result_t **results = rd_kafka_DeleteConsumerGroupOffsets_result_groups(
        rd_kafka_event_DeleteConsumerGroupOffsets_result(event), &count);
    ALV_ASSERT(count == 1);
    const rd_kafka_error_t *error = rd_kafka_group_result_error(results[0]);
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return alv_kafka_fail(err, repair_status(code), code, "forget offsets of group %s: %s",
                              rd_kafka_group_result_name(results[0]), rd_kafka_error_string(error));
    }
    return repair_read_partitions(rd_kafka_group_result_partitions(results[0]), err);
}

static rd_kafka_DeleteConsumerGroupOffsets_t *repair_forget_request(const repair_admin *admin,
                                                                    int32_t shard_count)
{
    char name[ALV_TOPIC_NAME_BYTES];
    alv_schema_name(admin->settings->application_id, ALV_TOPIC_COMMANDS, name, sizeof(name));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(shard_count);
    rd_kafka_topic_partition_list_add_range(list, name, 0, shard_count - 1);
    rd_kafka_DeleteConsumerGroupOffsets_t *request =
        rd_kafka_DeleteConsumerGroupOffsets_new(admin->settings->application_id, list);
    rd_kafka_topic_partition_list_destroy(list);
    return request;
}

static alv_status repair_forget(repair_admin *admin, int32_t shard_count, alv_error *err)
{
    rd_kafka_DeleteConsumerGroupOffsets_t *request = repair_forget_request(admin, shard_count);
    rd_kafka_AdminOptions_t *options =
        repair_options(admin, RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS);
    rd_kafka_DeleteConsumerGroupOffsets(admin->client.rk, &request, 1, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_DeleteConsumerGroupOffsets_destroy(request);

    rd_kafka_event_t *event = NULL;
    alv_status status = repair_answer(admin, "forget the group's offsets", &event, err);
    if (status == ALV_OK) {
        status = repair_read_forgotten(event, err);
    }
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    return status;
}

/* A group that does not exist has nothing to forget; librdkafka tells so as a failure of the call. */
alv_status alv_kafka_forget_offsets(const alv_config *config, int32_t shard_count, alv_error *err)
{
    repair_admin admin;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = repair_open(&admin, config, &why);
    if (status == ALV_OK) {
        status = repair_forget(&admin, shard_count, &why);
    }
    repair_close(&admin);
    if (status == ALV_OK || why.code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        return ALV_OK;
    }
    return alv_kafka_fail(err, status, why.code, "%s", why.text);
}
