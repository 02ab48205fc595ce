#include "topics/kafka_repair.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_admin_internal.h"

/* A deleted topic is gone at once for the controller and a little later for each broker. */
#define REPAIR_POLL_MS 50
#define REPAIR_PATIENCE_US (INT64_C(2) * ALV_KAFKA_CALL_MS * 1000)

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
            const char *name = rd_kafka_topic_result_name(results[i]);
            const alv_kafka_need need = {ALV_ACCESS_DELETE, ALV_ACCESS_TOPIC, name};
            return alv_kafka_fail_needing(err, alv_kafka_admin_status(code), code, need,
                                          "delete topic %s: %s", name,
                                          rd_kafka_topic_result_error_string(results[i]));
        }
    }
    return ALV_OK;
}

static alv_status repair_delete(alv_kafka_admin *admin, const alv_topic *topics, size_t count,
                                size_t *out_deleted, alv_error *err)
{
    rd_kafka_DeleteTopic_t *requests[ALV_TOPIC_COUNT];
    char name[ALV_TOPIC_NAME_BYTES];
    ALV_ASSERT(count <= ALV_TOPIC_COUNT);
    for (size_t i = 0; i < count; i++) {
        alv_schema_name(admin->settings->application_id, topics[i], name, sizeof(name));
        requests[i] = rd_kafka_DeleteTopic_new(name);
    }
    rd_kafka_AdminOptions_t *options =
        alv_kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_DELETETOPICS);
    rd_kafka_DeleteTopics(admin->client.rk, requests, count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_DeleteTopic_destroy_array(requests, count);

    rd_kafka_event_t *event = NULL;
    alv_status status = alv_kafka_admin_answer(admin, "delete topics", &event, err);
    if (status != ALV_OK) {
        return status;
    }
    status = repair_read_deleted(event, out_deleted, err);
    rd_kafka_event_destroy(event);
    return status;
}

/* A broker that has not heard of the deletion yet still shows the topic, and then nothing would be
 * created: so until as many were created as were deleted. */
static alv_status repair_create(alv_kafka_admin *admin, const alv_config *config, size_t deleted,
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
    alv_kafka_admin admin;
    size_t deleted = 0;
    alv_status status = alv_kafka_admin_open(&admin, config, "repair", err);
    if (status == ALV_OK) { /* what is missing for other reasons, so that it is not counted below */
        status = repair_create(&admin, config, 0, err);
    }
    if (status == ALV_OK && count > 0) {
        status = repair_delete(&admin, topics, count, &deleted, err);
    }
    if (status == ALV_OK && deleted > 0) {
        status = repair_create(&admin, config, deleted, err);
    }
    alv_kafka_admin_close(&admin);
    return status;
}

/* ---- offsets of the group -------------------------------------------------------------------- */

/* It takes Delete on the group, and Read on the topic of the offsets. */
static alv_status repair_not_forgotten(const alv_kafka_admin *admin, rd_kafka_resp_err_t code,
                                       const char *reason, alv_error *err)
{
    char topic[ALV_TOPIC_NAME_BYTES];
    const char *group = admin->settings->application_id;
    alv_kafka_need need = {ALV_ACCESS_DELETE, ALV_ACCESS_GROUP, group};
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        alv_schema_name(group, ALV_TOPIC_COMMANDS, topic, sizeof(topic));
        need = (alv_kafka_need){ALV_ACCESS_READ, ALV_ACCESS_TOPIC, topic};
    }
    return alv_kafka_fail_needing(err, alv_kafka_admin_status(code), code, need,
                                  "forget the offsets of group %s: %s", group, reason);
}

static alv_status repair_read_partitions(const alv_kafka_admin *admin,
                                         const rd_kafka_topic_partition_list_t *partitions,
                                         alv_error *err)
{
    for (int i = 0; partitions != NULL && i < partitions->cnt; i++) {
        rd_kafka_resp_err_t code = partitions->elems[i].err;
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return repair_not_forgotten(admin, code, rd_kafka_err2str(code), err);
        }
    }
    return ALV_OK;
}

static alv_status repair_read_forgotten(const alv_kafka_admin *admin, rd_kafka_event_t *event,
                                        alv_error *err)
{
    size_t count = 0;
    const rd_kafka_group_result_t **results = rd_kafka_DeleteConsumerGroupOffsets_result_groups(
        rd_kafka_event_DeleteConsumerGroupOffsets_result(event), &count);
    ALV_ASSERT(count == 1);
    const rd_kafka_error_t *error = rd_kafka_group_result_error(results[0]);
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return repair_not_forgotten(admin, code, rd_kafka_error_string(error), err);
    }
    return repair_read_partitions(admin, rd_kafka_group_result_partitions(results[0]), err);
}

static rd_kafka_DeleteConsumerGroupOffsets_t *repair_forget_request(const alv_kafka_admin *admin,
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

static alv_status repair_forget(alv_kafka_admin *admin, int32_t shard_count, alv_error *err)
{
    rd_kafka_DeleteConsumerGroupOffsets_t *request = repair_forget_request(admin, shard_count);
    rd_kafka_AdminOptions_t *options =
        alv_kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS);
    rd_kafka_DeleteConsumerGroupOffsets(admin->client.rk, &request, 1, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_DeleteConsumerGroupOffsets_destroy(request);

    rd_kafka_event_t *event = NULL;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_kafka_admin_answer(admin, "forget offsets", &event, &why);
    if (status != ALV_OK) {
        return repair_not_forgotten(admin, (rd_kafka_resp_err_t)why.code, why.text, err);
    }
    status = repair_read_forgotten(admin, event, err);
    rd_kafka_event_destroy(event);
    return status;
}

/* A group that does not exist has nothing to forget; librdkafka tells so as a failure of the call. */
alv_status alv_kafka_forget_offsets(const alv_config *config, int32_t shard_count, alv_error *err)
{
    alv_kafka_admin admin;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_kafka_admin_open(&admin, config, "repair", &why);
    if (status == ALV_OK) {
        status = repair_forget(&admin, shard_count, &why);
    }
    alv_kafka_admin_close(&admin);
    if (status == ALV_OK || why.code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        return ALV_OK;
    }
    return alv_kafka_fail(err, status, why.code, "%s", why.text);
}
