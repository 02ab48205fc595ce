/* desk_reply.c — from the result of a command to the answer of the request that brought it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/desk_internal.h"
#include "base/assert.h"
#include "base/logger.h"
#include "topics/schema.h"

/* ---- the answer ------------------------------------------------------------------------------ */

static void reply_write_place(const alv_result *result, alv_bytes *out)
{
    alv_bytes_printf(out,
                     "\"shard\":%" PRId32 ",\"offset\":%" PRId64
                     ",\"position\":{\"commands\":%" PRId64 ",\"changelog\":%" PRId64 "}",
                     result->shard, result->offset, result->position.commands,
                     result->position.changelog);
}

static void reply_set_done(const alv_result *result, alv_answer *answer)
{
    alv_answer_begin_json(answer, 200);
    alv_bytes_append_text(&answer->body, "{");
    reply_write_place(result, &answer->body);
    alv_bytes_append_text(&answer->body, ",\"reply\":");
    alv_bytes_append_text(&answer->body, result->text.size == 0 ? "null" : "");
    alv_bytes_append(&answer->body, result->text.data, result->text.size);
    alv_bytes_append_text(&answer->body, "}");
}

static json_t *reply_members(const alv_result *result)
{
    return json_pack("{s:i, s:I, s:{s:I, s:I}}", "shard", (int)result->shard, "offset",
                     (json_int_t)result->offset, "position", "commands",
                     (json_int_t)result->position.commands, "changelog",
                     (json_int_t)result->position.changelog);
}

static void reply_set_rejected(const alv_result *result, alv_answer *answer)
{
    json_t *members = reply_members(result);
    json_t *text = json_stringn(result->text.data, result->text.size);
    (void)json_object_set_new(members, "error", text != NULL ? text : json_string(""));
    alv_answer_set_problem_with(answer, 422, members, "the command was rejected: %.*s",
                                (int)result->text.size, result->text.data);
}

/* Checked here before it was sent, so that these are rare: another version of the behavior there, a state
 * that is full, a node that was crashed. */
static int reply_dead_status(alv_reason reason)
{
    switch (reason) {
    case ALV_REASON_CRASHED_NODE:
    case ALV_REASON_STATE_UNREADABLE:
    case ALV_REASON_FAILED:
    case ALV_REASON_STATE_VERSION:
        return 500;
    case ALV_REASON_QUARANTINED:
        return 409;
    case ALV_REASON_STATE_TOO_LARGE:
        return 422;
    default:
        return 400;
    }
}

static void reply_set_dead(const alv_result *result, alv_answer *answer)
{
    json_t *members = reply_members(result);
    (void)json_object_set_new(members, "reason", json_string(alv_reason_code(result->reason)));
    (void)json_object_set_new(members, "action", json_string(alv_reason_action(result->reason)));
    alv_answer_set_problem_with(answer, reply_dead_status(result->reason), members,
                                "the command is in the dead letters: %.*s", (int)result->text.size,
                                result->text.data);
}

/* For whoever waits under the result's id; nobody does when it has come before or too late. Whoever is told
 * finds the effect in every later read through this node (I4). */
static void reply_settle(alv_desk *desk, const alv_result *result)
{
    uint64_t ticket = 0;
    alv_desk_entry entry;
    if (!alv_desk_waiting_find(desk->waiting, result->id, &ticket) ||
        !alv_desk_waiting_take(desk->waiting, ticket, &entry)) {
        return;
    }
    alv_desk_share_replied(desk->share, entry.shard);
    alv_answer answer = ALV_ANSWER_NONE;
    switch (result->kind) {
    case ALV_RESULT_DONE:
        reply_set_done(result, &answer);
        break;
    case ALV_RESULT_REJECTED:
        reply_set_rejected(result, &answer);
        break;
    case ALV_RESULT_DEAD:
        reply_set_dead(result, &answer);
        break;
    }
    if (result->shard == entry.shard) {
        answer.position =
            (alv_read_position){result->position.commands, result->position.changelog};
        alv_read_floor_raise(desk->options.floor, result->shard, answer.position);
    }
    alv_desk_answer(desk, entry.shard, entry.exchange, &answer);
}

/* ---- from a lane of this node ---------------------------------------------------------------- */

void alv_desk_deliver(alv_desk *desk, const alv_reply_box *box)
{
    desk_parcel *parcels = NULL;
    alv_view here = alv_view_of(desk->options.node_id);
    for (size_t i = 0; i < box->count; i++) {
        alv_result result = alv_reply_box_get(box, i);
        if (alv_view_equal(result.node, here)) {
            reply_settle(desk, &result);
        } else {
            alv_desk_pack(desk, &parcels, &result);
        }
    }
    alv_desk_send_parcels(desk, parcels);
}

/* ---- from and for other nodes ---------------------------------------------------------------- */

static const char *const reply_kinds[] = {
    [ALV_RESULT_DONE] = "done",
    [ALV_RESULT_REJECTED] = "rejected",
    [ALV_RESULT_DEAD] = "dead",
};
#define REPLY_KINDS (sizeof reply_kinds / sizeof reply_kinds[0])

static void reply_write_text(alv_view text, alv_bytes *out)
{
    json_t *value = json_stringn(text.data, text.size);
    char *dumped = json_dumps(value != NULL ? value : json_null(), JSON_ENCODE_ANY);
    ALV_ASSERT(dumped != NULL);
    alv_bytes_append_text(out, dumped);
    free(dumped);
    json_decref(value);
}

void alv_desk_write_result(const alv_result *result, alv_bytes *out)
{
    alv_bytes_append_text(out, "{\"id\":");
    reply_write_text(result->id, out);
    alv_bytes_printf(out, ",\"kind\":\"%s\",\"reason\":\"%s\",", reply_kinds[result->kind],
                     alv_reason_code(result->reason));
    reply_write_place(result, out);
    if (result->kind != ALV_RESULT_DONE) {
        alv_bytes_append_text(out, ",\"text\":");
        reply_write_text(result->text, out);
    } else if (result->text.size > 0) {
        alv_bytes_append_text(out, ",\"reply\":");
        alv_bytes_append(out, result->text.data, result->text.size);
    }
    alv_bytes_append_text(out, "}");
}

/* Names, because the other node may be of another version. */
static bool reply_read_kind(const char *kind, const char *reason, alv_result *out)
{
    size_t k = 0;
    size_t r = 0;
    while (k < REPLY_KINDS && strcmp(reply_kinds[k], kind) != 0) {
        k++;
    }
    while (r < ALV_REASON_COUNT && strcmp(alv_reason_code((alv_reason)r), reason) != 0) {
        r++;
    }
    out->kind = (alv_result_kind)k;
    out->reason = r < ALV_REASON_COUNT ? (alv_reason)r : ALV_REASON_NONE;
    return k < REPLY_KINDS;
}

static int reply_append(const char *data, size_t size, void *out)
{
    alv_bytes_append(out, data, size);
    return 0;
}

static void reply_read_text(const json_t *item, alv_result_kind kind, alv_bytes *out)
{
    const json_t *reply = json_object_get(item, "reply");
    const char *text = json_string_value(json_object_get(item, "text"));
    alv_bytes_clear(out);
    if (kind != ALV_RESULT_DONE) {
        alv_bytes_append_text(out, text != NULL ? text : "");
    } else if (reply != NULL) {
        (void)json_dump_callback(reply, reply_append, out,
                                 JSON_COMPACT | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
    }
}

/* The text of an result goes into `scratch` and is borrowed from there. */
static bool reply_read(json_t *item, alv_bytes *scratch, alv_result *out)
{
    const char *id = NULL;
    const char *kind = NULL;
    const char *reason = NULL;
    int shard = 0;
    json_int_t offset = 0;
    json_int_t commands = 0;
    json_int_t changelog = 0;
    *out = (alv_result){.kind = ALV_RESULT_DONE};
    if (json_unpack(item, "{s:s, s:s, s:s, s:i, s:I, s:{s:I, s:I}}", "id", &id, "kind", &kind,
                    "reason", &reason, "shard", &shard, "offset", &offset, "position", "commands",
                    &commands, "changelog", &changelog) != 0 ||
        !reply_read_kind(kind, reason, out)) {
        return false;
    }
    reply_read_text(item, out->kind, scratch);
    out->shard = shard;
    out->offset = offset;
    out->position = (alv_position){.commands = commands, .changelog = changelog};
    out->id = alv_view_of(id);
    out->text = alv_bytes_view(scratch);
    return true;
}

/* What is no reply, or for nobody, is passed over: it comes from a peer, or from somebody who guesses. */
void alv_desk_deliver_text(alv_desk *desk, alv_view text)
{
    json_t *list = json_loadb(text.data, text.size, 0, NULL);
    size_t index = 0;
    json_t *item = NULL;
    json_array_foreach(list, index, item)
    {
        alv_result result;
        if (reply_read(item, &desk->scratch, &result)) {
            reply_settle(desk, &result);
        }
    }
    if (list == NULL) {
        alv_log(ALV_LOG_DEBUG, "replies-unreadable", "bytes=%zu", text.size);
    }
    json_decref(list);
}
