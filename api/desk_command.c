/* desk_command.c — from a request with a command to a record of the command topic. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "api/desk_internal.h"
#include "api/http_limits.h"
#include "api/url.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "processor/command.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define COMMAND_REPLY_TO_BYTES 300

/* ---- the request, on the server's thread ----------------------------------------------------- */

/* Whether a list of preferences ("respond-async, wait=10") has that one. */
static bool command_prefers(const char *prefer, const char *wanted)
{
    size_t size = strlen(wanted);
    for (const char *at = prefer; at != NULL && *at != '\0';) {
        at += strspn(at, " \t,");
        if (strncasecmp(at, wanted, size) == 0 && strchr(" \t,;", at[size]) != NULL) {
            return true;
        }
        at = strchr(at, ',');
    }
    return false;
}

/* The key as it is, or in quotes, as a structured header has it. */
static alv_status command_read_idempotency_key(const alv_exchange *exchange, alv_bytes *out,
                                               alv_error *err)
{
    const char *text = alv_exchange_header(exchange, "Idempotency-Key");
    if (text == NULL) {
        return ALV_OK;
    }
    alv_view key = alv_view_of(text);
    if (key.size >= 2 && key.data[0] == '"' && key.data[key.size - 1] == '"') {
        key = (alv_view){key.data + 1, key.size - 2};
    }
    if (key.size == 0 || key.size > ALV_IDEMPOTENCY_KEY_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "Idempotency-Key must have 1 to %d characters",
                        ALV_IDEMPOTENCY_KEY_BYTES_MAX);
    }
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] < ' ' || key.data[i] > '~') {
            return alv_fail(err, ALV_REJECT, "Idempotency-Key must be printable ASCII");
        }
    }
    alv_bytes_set(out, key.data, key.size);
    return ALV_OK;
}

static alv_status command_read(const alv_exchange *exchange, alv_view encoded_key,
                               int32_t shard_count, desk_command *command, alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    if (alv_url_decode(encoded_key, ALV_KEY_BYTES_MAX, &command->key, &why) != ALV_OK) {
        return alv_fail(err, ALV_REJECT, "the key in the path cannot be used: %s", why.text);
    }
    command->shard = alv_partitioner_shard(alv_bytes_view(&command->key), shard_count);
    command->is_async = command_prefers(alv_exchange_header(exchange, "Prefer"), "respond-async");
    return command_read_idempotency_key(exchange, &command->idempotency_key, err);
}

static void command_done(desk_command *command)
{
    alv_bytes_done(&command->key);
    alv_bytes_done(&command->body);
    alv_bytes_done(&command->idempotency_key);
}

/* Refuses before anything is kept. */
static void command_refuse_now(alv_exchange *exchange, int status, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, status, "%s", why);
    alv_exchange_answer(exchange, &answer);
}

/* Has a place for it, or refuses it. */
static bool command_enter(const alv_desk *desk, const desk_command *command)
{
    alv_answer answer = ALV_ANSWER_NONE;
    int shard = (int)command->shard;
    switch (alv_desk_share_enter(desk->share, command->shard, !command->is_async)) {
    case ALV_DESK_ENTERED:
        return true;
    case ALV_DESK_FULL:
        alv_answer_set_problem(&answer, 429, "too many commands are under way; nothing was sent");
        break;
    case ALV_DESK_SHARD_FULL:
        alv_answer_set_problem(
            &answer, 429, "too many commands of shard %d are under way; nothing was sent", shard);
        break;
    case ALV_DESK_SHARD_LATE:
        alv_answer_set_problem(&answer, 503,
                               "shard %d does not execute commands within %d s now; nothing was "
                               "sent",
                               shard, ALV_HTTP_COMMAND_WAIT_MS / 1000);
        break;
    }
    alv_exchange_answer(command->exchange, &answer);
    return false;
}

static void command_accept(alv_desk *desk, alv_exchange *exchange, desk_command *command)
{
    desk_message *message = alv_alloc(sizeof *message);
    message->kind = DESK_COMMAND;
    if (!command->is_release) {
        alv_exchange_take_body(exchange, &command->body);
    }
    message->command = *command;
    message->command.exchange = exchange;
    alv_exchange_defer(exchange);
    if (!alv_inbox_try_post(desk->inbox, message)) {
        alv_answer answer = ALV_ANSWER_NONE;
        alv_answer_set_problem(&answer, 503, "this node is stopping; nothing was sent");
        command_done(&message->command);
        alv_free(message);
        alv_desk_answer(desk, command->shard, exchange, &answer);
    }
}

static void command_take(alv_desk *desk, alv_exchange *exchange, alv_view encoded_key,
                         bool is_release)
{
    desk_command command = {.exchange = exchange, .is_release = is_release};
    alv_error err = ALV_ERROR_NONE;
    if (command_read(exchange, encoded_key, desk->options.shard_count, &command, &err) != ALV_OK) {
        command_refuse_now(exchange, 400, err.text);
    } else if (desk->sender == NULL || atomic_load(&desk->draining)) {
        command_refuse_now(exchange, 503, "this node takes no commands now; nothing was sent");
    } else if (command_enter(desk, &command)) {
        command_accept(desk, exchange, &command);
        return; /* the bytes went along */
    }
    command_done(&command);
}

void alv_desk_command(alv_desk *desk, alv_exchange *exchange, alv_view encoded_key)
{
    command_take(desk, exchange, encoded_key, false);
}

void alv_desk_release(alv_desk *desk, alv_exchange *exchange, alv_view encoded_key)
{
    command_take(desk, exchange, encoded_key, true);
}

/* ---- the record, on the desk's thread -------------------------------------------------------- */

static int command_reason_status(alv_reason reason)
{
    switch (reason) {
    case ALV_REASON_UNKNOWN_ENTITY_TYPE:
        return 404;
    case ALV_REASON_TOO_LARGE:
        return 413;
    default:
        return 400;
    }
}

/* By the same code as a lane: what passes here is executed there. */
static alv_reason command_check(const alv_desk *desk, const desk_command *command, alv_error *err)
{
    const alv_behavior *behavior = NULL;
    size_t id_at = 0;
    alv_reason reason =
        alv_command_check_key(desk->options.registry, alv_bytes_view(&command->key), command->shard,
                              desk->options.shard_count, &behavior, &id_at, err);
    alv_decoded decoded = {.body = NULL};
    if (reason == ALV_REASON_NONE && !command->is_release) {
        reason = alv_command_decode(behavior, alv_bytes_view(&command->body), &decoded, err);
    }
    if (reason == ALV_REASON_NONE) {
        alv_decoded_done(&decoded);
    }
    return reason;
}

/* What comes back with the acknowledgement. */
typedef struct command_ticket {
    alv_desk *desk;
    uint64_t ticket;
} command_ticket;

static void command_answer_written(alv_desk *desk, const alv_desk_entry *entry, int64_t offset)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_begin_json(&answer, 202);
    alv_bytes_printf(&answer.body, "{\"shard\":%" PRId32 ",\"offset\":%" PRId64 "}", entry->shard,
                     offset);
    alv_desk_answer(desk, entry->shard, entry->exchange, &answer);
}

static void command_answer_unwritten(alv_desk *desk, const alv_desk_entry *entry, alv_status status,
                                     const char *error_text)
{
    alv_answer answer = ALV_ANSWER_NONE;
    if (status == ALV_REJECT) {
        alv_answer_set_problem(&answer, 413, "Kafka does not take the command: %s", error_text);
    } else if (status == ALV_RETRY) {
        alv_answer_set_problem(&answer, 503, "the command was not written to Kafka: %s",
                               error_text);
    } else {
        alv_desk_give_up(desk, entry, false);
        return;
    }
    alv_desk_answer(desk, entry->shard, entry->exchange, &answer);
}

static void command_sent(void *payload, alv_status status, int32_t shard, int64_t offset,
                         const char *error_text)
{
    (void)shard;
    command_ticket *ticket = payload;
    alv_desk *desk = ticket->desk;
    alv_desk_entry *entry = alv_desk_waiting_get(desk->waiting, ticket->ticket);
    if (entry != NULL && status == ALV_OK && !entry->is_async) {
        entry->offset = offset;
    } else if (entry != NULL) {
        alv_desk_entry taken;
        (void)alv_desk_waiting_take(desk->waiting, ticket->ticket, &taken); /* it is there */
        if (status == ALV_OK) {
            command_answer_written(desk, &taken, offset);
        } else {
            command_answer_unwritten(desk, &taken, status, error_text);
        }
    }
    alv_free(ticket);
}

/* The exchange is in the table of those who wait; whatever happens, it is answered from there. */
static void command_send(alv_desk *desk, const desk_command *command, const alv_desk_entry *entry)
{
    char id[ALV_DESK_ID_BYTES];
    char reply_to[COMMAND_REPLY_TO_BYTES];
    uint64_t ticket_number = 0;
    alv_desk_waiting_add(desk->waiting, entry, id, &ticket_number);
    (void)snprintf(reply_to, sizeof reply_to, ALV_REPLY_TO_NODE "%s", desk->options.node_id);
    alv_header headers[4];
    size_t count = 0;
    if (!entry->is_async) {
        headers[count++] = (alv_header){ALV_HEADER_REPLY_TO, alv_view_of(reply_to)};
        headers[count++] = (alv_header){ALV_HEADER_CORRELATION_ID, alv_view_of(id)};
    }
    if (command->idempotency_key.size > 0) {
        headers[count++] =
            (alv_header){ALV_HEADER_IDEMPOTENCY_KEY, alv_bytes_view(&command->idempotency_key)};
    }
    if (command->is_release) {
        headers[count++] = (alv_header){ALV_HEADER_RELEASE, ALV_VIEW("1")};
    }
    const alv_produce record = {.topic = ALV_TOPIC_COMMANDS,
                                .shard = entry->shard,
                                .key = alv_bytes_view(&command->key),
                                .value = command->is_release ? ALV_VIEW_NONE
                                                             : alv_bytes_view(&command->body),
                                .headers = headers,
                                .header_count = count};
    command_ticket *ticket = alv_alloc(sizeof *ticket);
    *ticket = (command_ticket){.desk = desk, .ticket = ticket_number};
    alv_error err = ALV_ERROR_NONE;
    alv_status status = desk->sender->ops->send(desk->sender, &record, command_sent, ticket, &err);
    if (status != ALV_OK) {
        command_sent(ticket, status, entry->shard, ALV_OFFSET_NONE, err.text);
    }
}

void alv_desk_produce(alv_desk *desk, desk_command *command)
{
    alv_error err = ALV_ERROR_NONE;
    alv_reason reason = command_check(desk, command, &err);
    if (reason == ALV_REASON_NONE) {
        const alv_desk_entry entry = {.exchange = command->exchange,
                                      .shard = command->shard,
                                      .offset = ALV_OFFSET_NONE,
                                      .deadline_us =
                                          alv_desk_now_us(desk) + ALV_HTTP_COMMAND_WAIT_MS * 1000,
                                      .is_async = command->is_async,
                                      .has_key = command->idempotency_key.size > 0};
        command_send(desk, command, &entry);
    } else {
        alv_answer answer = ALV_ANSWER_NONE;
        alv_answer_set_problem_with(&answer, command_reason_status(reason),
                                    json_pack("{s:s}", "reason", alv_reason_code(reason)), "%s",
                                    err.text);
        alv_desk_answer(desk, command->shard, command->exchange, &answer);
    }
    command_done(command);
}

/* ---- no reply -------------------------------------------------------------------------------- */

void alv_desk_give_up(alv_desk *desk, const alv_desk_entry *entry, bool stopping)
{
    json_t *members = json_pack("{s:i}", "shard", (int)entry->shard);
    if (entry->offset != ALV_OFFSET_NONE) {
        (void)json_object_set_new(members, "offset", json_integer(entry->offset));
    }
    const char *what = entry->offset == ALV_OFFSET_NONE
                           ? "the command may have been written"
                           : "the command was written and may have been executed";
    const char *next =
        entry->has_key
            ? "send it again with the same Idempotency-Key, which executes it at most once"
            : "it had no Idempotency-Key: look at the entity before you send it again";
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem_with(&answer, 504, members, "the outcome is unknown: %s, but %s; %s",
                                what, stopping ? "this node is stopping" : "no reply came in time",
                                next);
    alv_desk_answer(desk, entry->shard, entry->exchange, &answer);
}
