/* kafka_members.c — who is a member of the group, as its coordinator knows it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

struct alv_group_view {
    const alv_settings *settings;
    alv_kafka_client client;
    rd_kafka_queue_t *queue;
    char topic[ALV_TOPIC_NAME_BYTES]; /* the command topic */
};

alv_status alv_group_view_open(const alv_config *config, alv_group_view **out, alv_error *err)
{
    alv_group_view *view = alv_alloc(sizeof(*view));
    view->settings = alv_config_settings(config);
    alv_schema_name(view->settings->application_id, ALV_TOPIC_COMMANDS, view->topic,
                    sizeof(view->topic));
    alv_kafka_client_init(&view->client, config, "members", view);
    rd_kafka_conf_t *conf = NULL;
    alv_status status = alv_kafka_conf_new(config, ALV_KAFKA_ADMIN, &view->client, &conf, err);
    if (status == ALV_OK) {
        status = alv_kafka_client_open(&view->client, ALV_KAFKA_ADMIN, conf, err);
    }
    if (status != ALV_OK) {
        alv_free(view);
        return status;
    }
    view->queue = rd_kafka_queue_new(view->client.rk);
    *out = view;
    return ALV_OK;
}

void alv_group_view_close(alv_group_view *view)
{
    if (view == NULL) {
        return;
    }
    rd_kafka_queue_destroy(view->queue);
    alv_kafka_client_close(&view->client);
    alv_free(view);
}

/* ---- client.id ------------------------------------------------------------------------------- */

/* Copies [from, to) when it fits and is not empty. */
static bool members_copy(const char *from, const char *to, char *out, size_t size)
{
    size_t length = (size_t)(to - from);
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return true;
}

/* `<node.id>@<host:port>/<lane>`, read from the right: a node's id may contain anything. */
static bool members_parse(const char *client_id, alv_member *out)
{
    const char *slash = strrchr(client_id, '/');
    if (slash == NULL || slash[1] < '0' || slash[1] > '9') {
        return false;
    }
    char *end = NULL;
    long lane = strtol(slash + 1, &end, 10);
    if (*end != '\0' || lane >= ALV_LANES_MAX) {
        return false;
    }
    const char *at = slash;
    while (at > client_id && *at != '@') {
        at--;
    }
    if (*at != '@' || !members_copy(client_id, at, out->node_id, sizeof(out->node_id)) ||
        !members_copy(at + 1, slash, out->address, sizeof(out->address))) {
        return false;
    }
    out->lane = (int32_t)lane;
    return true;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void members_note_shards(const alv_group_view *view,
                                const rd_kafka_MemberDescription_t *description, alv_member *member)
{
    const rd_kafka_MemberAssignment_t *assignment =
        rd_kafka_MemberDescription_assignment(description);
    const rd_kafka_topic_partition_list_t *partitions =
        assignment != NULL ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
    int count = partitions != NULL ? partitions->cnt : 0;
    member->shards = alv_alloc_array((size_t)count + 1, sizeof(*member->shards));
    for (int i = 0; i < count; i++) {
        if (strcmp(partitions->elems[i].topic, view->topic) == 0) {
            member->shards[member->shard_count++] = partitions->elems[i].partition;
        }
    }
}

static void members_note(const alv_group_view *view,
                         const rd_kafka_ConsumerGroupDescription_t *group, alv_members *out)
{
    size_t count = rd_kafka_ConsumerGroupDescription_member_count(group);
    out->items = alv_alloc_array(count + 1, sizeof(*out->items));
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_MemberDescription_t *description =
            rd_kafka_ConsumerGroupDescription_member(group, i);
        const char *client_id = rd_kafka_MemberDescription_client_id(description);
        const char *member_id = rd_kafka_MemberDescription_consumer_id(description);
        alv_member *member = &out->items[out->count];
        memset(member, 0, sizeof(*member));
        if (client_id == NULL || !members_parse(client_id, member)) {
            continue;
        }
        snprintf(member->member_id, sizeof(member->member_id), "%s",
                 member_id != NULL ? member_id : "");
        members_note_shards(view, description, member);
        out->count++;
    }
}

static alv_status members_read(const alv_group_view *view, rd_kafka_event_t *event,
                               alv_members *out, alv_error *err)
{
    size_t count = 0;
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return alv_kafka_fail(err, ALV_RETRY, code, "describe group %s: %s",
                              view->settings->application_id, rd_kafka_event_error_string(event));
    }
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    if (count != 1) {
        return alv_fail(err, ALV_RETRY, "describe group: %zu answers", count);
    }
    const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(groups[0]);
    if (error != NULL && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        return ALV_OK; /* nobody has joined yet */
    }
    if (error != NULL) {
        return alv_kafka_fail(err, ALV_RETRY, rd_kafka_error_code(error), "describe group %s: %s",
                              view->settings->application_id, rd_kafka_error_string(error));
    }
    members_note(view, groups[0], out);
    return ALV_OK;
}

static void members_ask(alv_group_view *view, int timeout_ms)
{
    char text[256];
    const char *group = view->settings->application_id;
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(view->client.rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text));
    rd_kafka_DescribeConsumerGroups(view->client.rk, &group, 1, options, view->queue);
    rd_kafka_AdminOptions_destroy(options);
}

/* The answer comes within the time-out, with an error if need be, so that none is left in the queue
 * for the next question. */
alv_status alv_group_view_members(alv_group_view *view, int timeout_ms, alv_members *out,
                                  alv_error *err)
{
    *out = (alv_members){0};
    (void)rd_kafka_poll(view->client.rk, 0); /* runs the error callback, so that none pile up */
    members_ask(view, timeout_ms);
    rd_kafka_event_t *event = rd_kafka_queue_poll(view->queue, timeout_ms + 1000);
    if (event == NULL) {
        return alv_fail(err, ALV_RETRY, "describe group: no broker answers");
    }
    alv_status status = members_read(view, event, out, err);
    rd_kafka_event_destroy(event);
    return status;
}

void alv_members_done(alv_members *members)
{
    if (members == NULL) {
        return;
    }
    for (size_t i = 0; i < members->count; i++) {
        alv_free(members->items[i].shards);
    }
    alv_free(members->items);
    *members = (alv_members){0};
}
