/* kafka_members.c — who is a member of the group, as its coordinator knows it.
 *
 * The question is asked with rd_kafka_list_groups, the older call, although DescribeConsumerGroups has a
 * nicer answer: librdkafka 2.15.1 aborts the process (assertion in rd_kafka_enq_once_del_source_return)
 * when the coordinator goes away under that one; its issue 4605, reproduced by cluster/outages. The price
 * is reading the assignment's bytes here: they are Kafka's ConsumerProtocolAssignment, big-endian: version
 * int16, then topics (int32 count) of a name (int16 length) and partitions (int32 count, int32 each). And
 * a ListGroups to every broker, of whose answers librdkafka makes one in a way that two rules here are for:
 *
 * - It waits for all brokers. When one that is away refuses the connection meanwhile, the whole call fails,
 *   although the coordinator has answered; when the time is up first, what was answered is given
 *   (RD_KAFKA_RESP_ERR__PARTIAL). So it is asked with short times, again and again (MEMBERS_SLICE_MS).
 * - An answer without the group does not say that it has no members: an error of one broker is forgotten
 *   when another answers after it, and while the group moves to another coordinator no broker has it. A
 *   group that had members a moment ago is not believed to be empty (MEMBERS_GONE_MS).
 *
 * It asks the brokers it knows. One that was away when the handle last heard of the cluster is not among them,
 * and a handle without topics hears of it every five minutes only: so it is made to ask after each failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

/* Brokers that are there answer within some ms; each further try gets twice the time. */
#define MEMBERS_SLICE_MS 250

/* How long no answer may have members before that is taken for the truth. Longer than a coordinator needs
 * to move; nobody who leaves is in a hurry to be forgotten by others. */
#define MEMBERS_GONE_MS 10000

struct alv_group_view {
    const alv_settings *settings;
    alv_kafka_client client;
    int64_t members_ms; /* monotonic: when the group last had members */
    bool had_members;
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

static int64_t members_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ALV_RETRY unless the group has been without members for long enough to believe it. */
static alv_status members_believe(alv_group_view *view, bool has_members, alv_error *err)
{
    int64_t now_ms = members_now_ms();
    if (has_members) {
        view->had_members = true;
        view->members_ms = now_ms;
    }
    if (!has_members && view->had_members && now_ms - view->members_ms < MEMBERS_GONE_MS) {
        return alv_fail(err, ALV_RETRY, "describe group %s: no broker has it at the moment",
                        view->settings->application_id);
    }
    return ALV_OK;
}

static alv_status members_read(alv_group_view *view, const struct rd_kafka_group_list *list,
                               alv_members *out, alv_error *err)
{
    const struct rd_kafka_group_info *group = list->group_cnt > 0 ? &list->groups[0] : NULL;
    if (group != NULL && group->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        const alv_kafka_need need = {ALV_ACCESS_DESCRIBE, ALV_ACCESS_GROUP,
                                     view->settings->application_id};
        return alv_kafka_fail_needing(err, ALV_RETRY, group->err, need, "describe group %s: %s",
                                      view->settings->application_id, rd_kafka_err2str(group->err));
    }
    alv_status status = members_believe(view, group != NULL && group->member_cnt > 0, err);
    if (status == ALV_OK && group != NULL) {
        members_note(view, group, out);
    }
    return status;
}

/* One try. */
static alv_status members_ask(alv_group_view *view, int timeout_ms, alv_members *out,
                              alv_error *err)
{
    const struct rd_kafka_group_list *list = NULL;
    (void)rd_kafka_poll(view->client.rk, 0); /* runs the error callback, so that none pile up */
    rd_kafka_resp_err_t code =
        rd_kafka_list_groups(view->client.rk, view->settings->application_id, &list, timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__PARTIAL) {
        return alv_kafka_fail(err, ALV_RETRY, code, "describe group %s: %s",
                              view->settings->application_id,
                              alv_kafka_reason(&view->client, code));
    }
    alv_status status = members_read(view, list, out, err);
    rd_kafka_group_list_destroy(list);
    return status;
}

alv_status alv_group_view_members(alv_group_view *view, int timeout_ms, alv_members *out,
                                  alv_error *err)
{
    alv_status status = ALV_RETRY;
    alv_error why = ALV_ERROR_NONE; /* of the last try: that of a former one must not stay */
    int64_t until_ms = members_now_ms() + timeout_ms;
    int64_t slice_ms = MEMBERS_SLICE_MS;
    *out = (alv_members){0};
    /* left_ms is never below 1: to librdkafka -1 is for ever. */
    for (int64_t left_ms = timeout_ms; left_ms > 0; left_ms = until_ms - members_now_ms()) {
        int64_t again_ms = members_now_ms() + MEMBERS_SLICE_MS;
        alv_error_clear(&why);
        status = members_ask(view, (int)(slice_ms < left_ms ? slice_ms : left_ms), out, &why);
        if (status == ALV_OK) {
            return ALV_OK;
        }
        alv_kafka_refresh(view->client.rk, NULL, MEMBERS_SLICE_MS);
        int64_t rest_ms = again_ms - members_now_ms();
        (void)rd_kafka_poll(view->client.rk, rest_ms > 0 ? (int)rest_ms : 0);
        slice_ms *= 2;
    }
    return alv_kafka_fail(err, status, why.code, "%s", why.text);
}

/* Whether a lane before the one at `index` is of the same node. */
static bool members_seen(const alv_members *members, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(members->items[i].node_id, members->items[index].node_id) == 0) {
            return true;
        }
    }
    return false;
}

int64_t alv_members_before(const alv_members *members, const char *node_id,
                           bool (*left_out)(const void *payload, const char *node_id),
                           const void *payload)
{
    int64_t count = 0;
    for (size_t i = 0; i < members->count; i++) {
        const char *other = members->items[i].node_id;
        if (strcmp(other, node_id) < 0 && !members_seen(members, i) &&
            (left_out == NULL || !left_out(payload, other))) {
            count++;
        }
    }
    return count;
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
