/* kafka_members.c — who is a member of the group, as its coordinator knows it.
 *
 * The question is asked with rd_kafka_list_groups, the older call, although DescribeConsumerGroups has a
 * nicer answer: librdkafka 2.15.1 aborts the process (assertion in rd_kafka_enq_once_del_source_return)
 * when the coordinator goes away under that one; its issue 4605, reproduced by cluster/outages. The price
 * is a ListGroups to every broker, and reading the assignment's bytes here: they are Kafka's
 * ConsumerProtocolAssignment, big-endian: version int16, then topics (int32 count) of a name (int16
 * length) and partitions (int32 count, int32 each).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

struct alv_group_view {
    const alv_settings *settings;
    alv_kafka_client client;
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
    *out = view;
    return ALV_OK;
}

void alv_group_view_close(alv_group_view *view)
{
    if (view == NULL) {
        return;
    }
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

/* ---- the assignment ------------------------------------------------------------------------------ */

/* What is left to read; `failed` once something did not fit. */
typedef struct members_bytes {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
} members_bytes;

static int32_t members_read_int(members_bytes *bytes, size_t size)
{
    uint32_t value = 0;
    if (bytes->failed || (size_t)(bytes->end - bytes->at) < size) {
        bytes->failed = true;
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | *bytes->at++;
    }
    return size == 2 ? (int16_t)value : (int32_t)value;
}

static alv_view members_read_text(members_bytes *bytes)
{
    int32_t size = members_read_int(bytes, 2);
    if (bytes->failed || size < 0 || bytes->end - bytes->at < size) {
        bytes->failed = true;
        return ALV_VIEW_NONE;
    }
    alv_view text = {(const char *)bytes->at, (size_t)size};
    bytes->at += size;
    return text;
}

static void members_read_partitions(members_bytes *bytes, bool wanted, alv_member *member)
{
    int32_t count = members_read_int(bytes, 4);
    for (int32_t i = 0; i < count && !bytes->failed; i++) {
        int32_t partition = members_read_int(bytes, 4);
        if (wanted && !bytes->failed && member->shard_count < ALV_SHARDS_MAX) {
            member->shards[member->shard_count++] = partition;
        }
    }
}

/* Before a member has synchronised its assignment is empty. */
static void members_read_assignment(const alv_group_view *view, const void *data, int size,
                                    alv_member *member)
{
    members_bytes bytes = {.at = data, .end = (const unsigned char *)data + size};
    size_t shards_max = (size_t)size / 4; /* a partition takes four bytes */
    member->shards = alv_alloc_array(shards_max + 1, sizeof(*member->shards));
    if (size == 0) {
        return;
    }
    (void)members_read_int(&bytes, 2); /* version: later ones only append */
    int32_t topics = members_read_int(&bytes, 4);
    for (int32_t i = 0; i < topics && !bytes.failed; i++) {
        alv_view topic = members_read_text(&bytes);
        members_read_partitions(&bytes, alv_view_equal(topic, alv_view_of(view->topic)), member);
    }
}

/* ---- asking -------------------------------------------------------------------------------------- */

static void members_note(const alv_group_view *view, const struct rd_kafka_group_info *group,
                         alv_members *out)
{
    out->items = alv_alloc_array((size_t)group->member_cnt + 1, sizeof(*out->items));
    for (int i = 0; i < group->member_cnt; i++) {
        const struct rd_kafka_group_member_info *info = &group->members[i];
        alv_member *member = &out->items[out->count];
        memset(member, 0, sizeof(*member));
        if (info->client_id == NULL || !members_parse(info->client_id, member)) {
            continue;
        }
        snprintf(member->member_id, sizeof(member->member_id), "%s",
                 info->member_id != NULL ? info->member_id : "");
        members_read_assignment(view, info->member_assignment, info->member_assignment_size,
                                member);
        out->count++;
    }
}

static alv_status members_read(const alv_group_view *view, const struct rd_kafka_group_list *list,
                               alv_members *out, alv_error *err)
{
    if (list->group_cnt == 0) {
        return ALV_OK; /* nobody has joined yet */
    }
    const struct rd_kafka_group_info *group = &list->groups[0];
    if (group->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return alv_kafka_fail(err, ALV_RETRY, group->err, "describe group %s: %s",
                              view->settings->application_id, rd_kafka_err2str(group->err));
    }
    members_note(view, group, out);
    return ALV_OK;
}

/* A broker that does not answer leaves a partial answer; it is good when it has the group in it. */
alv_status alv_group_view_members(alv_group_view *view, int timeout_ms, alv_members *out,
                                  alv_error *err)
{
    const struct rd_kafka_group_list *list = NULL;
    *out = (alv_members){0};
    (void)rd_kafka_poll(view->client.rk, 0); /* runs the error callback, so that none pile up */
    rd_kafka_resp_err_t code =
        rd_kafka_list_groups(view->client.rk, view->settings->application_id, &list, timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__PARTIAL) {
        return alv_kafka_fail(err, ALV_RETRY, code, "describe group %s: %s",
                              view->settings->application_id, rd_kafka_err2str(code));
    }
    alv_status status = members_read(view, list, out, err);
    rd_kafka_group_list_destroy(list);
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
