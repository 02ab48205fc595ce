/* transfer.c — money from one user to another: a saga of steps that are undone when one of them fails.
 *
 * The key is `transfer/<id>`. A transfer is an entity of its own that sends commands to two others and
 * hears from them how they ended:
 *
 *              start              deduct: accepted        add: accepted
 *     (none) --------> deducting -----------------> adding -------------> completed
 *                       |      \                       |
 *              rejected |       \ accepted, but        | rejected
 *                       |        \ after the deadline  |
 *                       v         v                    v     accepted
 *                     failed     refunding <-----------+ --------------> refunded
 *                                 |    ^
 *                        rejected +----+ tried again, later and later; after the last time: failed
 *
 * Why the sum of all balances is the same before and after: each step is a command emitted in the
 * transaction that changes the status, so it is sent once; it carries the idempotency key `<key>/<step>`, so
 * it is executed once; and its answer always comes, because Kafka holds the command until it is executed,
 * and one that cannot be executed is answered as rejected. So nobody ever has to guess what became of a
 * step, and a deadline never guesses either: what was deducted when the time had run out is refunded; what
 * was sent to be added cannot be called back, so the transfer then ends late, as its answer says.
 *
 * The state, `history` oldest first:
 *
 *     {"from": "m1:u7", "to": "m1:u8", "amount": 5, "status": "completed", "deadline": "...", "attempts": 0,
 *      "history": [{"at": "2026-01-02T03:04:05.678Z", "event": "started"}, ...]}
 *
 *     command                             reply
 *     start from to amount [timeoutMs]    {"event": "transfer_started", "status": "deducting"}
 *     get_transfer                        {"state": {...}}, or null without a transfer
 *
 * `from` and `to` are keys of users, amount a whole number > 0, timeoutMs 1 ms to 30 days [60000]. The other
 * commands of the table are answers and timers; they count from the users of the transfer only. When a
 * transfer ends it publishes {"event": "transfer_<status>", "transfer", "from", "to", "amount"}.
 *
 * The file is meant to be copied for sagas of your own: docs/behaviors.md goes through it.
 */
#include "behaviors/transfer.h"

#include <stdio.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS 60000
#define TIMEOUT_MAX_MS (30LL * 24 * 3600 * 1000)

/* A refund is refused only when the balance would not fit or the user is broken: somebody has to act, and
 * has this long: about 10 days. */
#define REFUNDS_MAX 20
#define REFUND_WAIT_FIRST_MS 1000
#define REFUND_WAIT_MAX_MS (24LL * 3600 * 1000)

#define KEY_BYTES_MAX 512 /* of an entity */

#define DEADLINE "deadline"
#define REFUND "refund"

/* ---- the state ------------------------------------------------------------------------------- */

static const char *transfer_text(const json_t *state, const char *member)
{
    const char *text = json_string_value(json_object_get(state, member));
    return text == NULL ? "" : text;
}

static bool transfer_is(const json_t *state, const char *status)
{
    return strcmp(transfer_text(state, "status"), status) == 0;
}

static json_t *transfer_time(int64_t time_ms)
{
    char text[ALV_TIMESTAMP_BYTES];
    return alv_timestamp_format(time_ms, text) ? json_string(text) : json_null();
}

/* A record's time may be anything; adding to it must not overflow. */
static int64_t transfer_later(int64_t now_ms, int64_t wait_ms)
{
    return now_ms > INT64_MAX - wait_ms ? INT64_MAX : now_ms + wait_ms;
}

/* A line in the history. `error` may be NULL. */
static void transfer_note(const json_t *state, int64_t now_ms, const char *event, const char *error,
                          alv_effects *effects)
{
    json_t *line = json_pack("{s:o, s:s}", "at", transfer_time(now_ms), "event", event);
    if (error != NULL) {
        json_object_set_new(line, "error", json_string(error));
    }
    json_t *history = json_array();
    json_array_extend(history, json_object_get(state, "history"));
    json_array_append_new(history, line);
    alv_set(effects, "history", history);
}

static void transfer_set_status(const char *status, alv_effects *effects)
{
    alv_set(effects, "status", json_string(status));
}

/* The end: nothing is pending any more, and whoever listens learns of it. */
static void transfer_end(const json_t *state, const alv_command *command, const char *status,
                         alv_effects *effects)
{
    transfer_set_status(status, effects);
    alv_timer_cancel(effects, DEADLINE);
    alv_timer_cancel(effects, REFUND);
    char event[32];
    (void)snprintf(event, sizeof event, "transfer_%s", status);
    alv_publish(effects, json_pack("{s:s, s:s, s:O?, s:O?, s:O?}", "event", event, "transfer",
                                   command->id, "from", json_object_get(state, "from"), "to",
                                   json_object_get(state, "to"), "amount",
                                   json_object_get(state, "amount")));
}

/* ---- the steps ------------------------------------------------------------------------------- */

/* Tells a user to move the amount. `step` names it in its idempotency key; the answer comes back as command
 * `on_reply`. */
static void transfer_step(const char *user, const char *type, json_int_t amount, const char *step,
                          const char *on_reply, const alv_command *command, alv_effects *effects)
{
    char key[ALV_NAME_BYTES_MAX + 600];
    (void)snprintf(key, sizeof key, "%s/%s", command->key, step);
    alv_emit(
        effects, user,
        json_pack("{s:s, s:I, s:s}", "type", type, "amount", amount, "transferId", command->id),
        key, on_reply);
}

/* A refund that was refused is tried again under another name, because the answer to the first is known. */
static void transfer_refund(const json_t *state, const alv_command *command, alv_effects *effects)
{
    char step[32] = "refund";
    json_int_t attempts = json_integer_value(json_object_get(state, "attempts"));
    if (attempts > 0) {
        (void)snprintf(step, sizeof step, "refund-%lld", (long long)attempts);
    }
    transfer_set_status("refunding", effects);
    transfer_step(transfer_text(state, "from"), "refund_balance",
                  json_integer_value(json_object_get(state, "amount")), step, "refunded", command,
                  effects);
}

/* Answers count from the user who was asked, and from nobody else. */
static bool transfer_is_from(const json_t *state, const char *member, const alv_command *command,
                             alv_effects *effects)
{
    if (command->from == NULL || strcmp(command->from, transfer_text(state, member)) != 0) {
        alv_reject(effects, "an answer of somebody who was not asked");
        return false;
    }
    return true;
}

/* Nothing can be sent to any other; that must be known before there is something to undo. */
static bool transfer_is_key(const char *key)
{
    size_t size = strlen(key);
    return size > 0 && size <= KEY_BYTES_MAX;
}

static bool transfer_accepted(const alv_command *command)
{
    return json_is_true(json_object_get(command->body, "accepted"));
}

static const char *transfer_error(const alv_command *command)
{
    return transfer_text(command->body, "error");
}

/* ---- handlers -------------------------------------------------------------------------------- */

static void transfer_start(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    const char *from = transfer_text(command->body, "from");
    const char *to = transfer_text(command->body, "to");
    json_int_t amount = json_integer_value(json_object_get(command->body, "amount"));
    const json_t *timeout = json_object_get(command->body, "timeoutMs");
    json_int_t timeout_ms =
        json_is_integer(timeout) ? json_integer_value(timeout) : TIMEOUT_DEFAULT_MS;
    if (state != NULL) {
        alv_reject(effects, "this transfer was started before");
    } else if (!transfer_is_key(from) || !transfer_is_key(to)) {
        alv_reject(effects, "from and to are keys of 1 to %d bytes", KEY_BYTES_MAX);
    } else if (strcmp(from, to) == 0) {
        alv_reject(effects, "from and to are the same");
    } else if (timeout_ms > TIMEOUT_MAX_MS) {
        alv_reject(effects, "timeoutMs is more than %lld", TIMEOUT_MAX_MS);
    }
    alv_set(effects, "from", json_string(from));
    alv_set(effects, "to", json_string(to));
    alv_set(effects, "amount", json_integer(amount));
    transfer_set_status("deducting", effects);
    alv_set(effects, "deadline", transfer_time(transfer_later(now_ms, timeout_ms)));
    alv_set(effects, "attempts", json_integer(0));
    transfer_note(NULL, now_ms, "started", NULL, effects);
    transfer_step(from, "deduct_balance", amount, "deduct", "deducted", command, effects);
    alv_timer_set(effects, DEADLINE, transfer_later(now_ms, timeout_ms),
                  json_pack("{s:s}", "type", "expire"));
    alv_reply(effects, "{s:s, s:s}", "event", "transfer_started", "status", "deducting");
}

/* Once the deadline has passed the amount goes back; the same when the transfer has failed meanwhile, which
 * no answer of ours makes, but money must never be left over. */
static void transfer_deducted(const json_t *state, const alv_command *command, int64_t now_ms,
                              alv_effects *effects)
{
    bool is_waiting = transfer_is(state, "deducting");
    if (!transfer_is_from(state, "from", command, effects) ||
        !(is_waiting || transfer_is(state, "failed"))) {
        return; /* a repeated answer */
    }
    if (!transfer_accepted(command)) {
        if (is_waiting) {
            transfer_note(state, now_ms, "deduct_rejected", transfer_error(command), effects);
            transfer_end(state, command, "failed", effects);
        }
        return;
    }
    transfer_note(state, now_ms, "deducted", NULL, effects);
    if (!is_waiting || json_is_true(json_object_get(state, "expired"))) {
        transfer_refund(state, command, effects);
        return;
    }
    transfer_set_status("adding", effects);
    transfer_step(transfer_text(state, "to"), "add_balance",
                  json_integer_value(json_object_get(state, "amount")), "add", "added", command,
                  effects);
}

static void transfer_added(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    if (!transfer_is_from(state, "to", command, effects) || !transfer_is(state, "adding")) {
        return;
    }
    if (transfer_accepted(command)) {
        transfer_note(state, now_ms, "added", NULL, effects);
        transfer_end(state, command, "completed", effects);
    } else {
        transfer_note(state, now_ms, "add_rejected", transfer_error(command), effects);
        transfer_refund(state, command, effects);
    }
}

static void transfer_refunded(const json_t *state, const alv_command *command, int64_t now_ms,
                              alv_effects *effects)
{
    if (!transfer_is_from(state, "from", command, effects) || !transfer_is(state, "refunding")) {
        return;
    }
    if (transfer_accepted(command)) {
        transfer_note(state, now_ms, "refunded", NULL, effects);
        transfer_end(state, command, "refunded", effects);
        return;
    }
    json_int_t attempts = json_integer_value(json_object_get(state, "attempts")) + 1;
    transfer_note(state, now_ms, "refund_rejected", transfer_error(command), effects);
    alv_set(effects, "attempts", json_integer(attempts));
    if (attempts >= REFUNDS_MAX) {
        transfer_end(state, command, "failed", effects);
        return;
    }
    int64_t wait_ms = (int64_t)REFUND_WAIT_FIRST_MS << attempts;
    wait_ms = wait_ms < REFUND_WAIT_MAX_MS ? wait_ms : REFUND_WAIT_MAX_MS;
    alv_timer_set(effects, REFUND, transfer_later(now_ms, wait_ms),
                  json_pack("{s:s}", "type", "refund_again"));
}

/* Timers come from the transfer itself, never from outside. */
static bool transfer_is_timer(const alv_command *command, alv_effects *effects)
{
    if (command->timer == NULL) {
        alv_reject(effects, "only a timer may say so");
    }
    return command->timer != NULL;
}

static void transfer_expire(const json_t *state, const alv_command *command, int64_t now_ms,
                            alv_effects *effects)
{
    bool is_open = transfer_is(state, "deducting") || transfer_is(state, "adding");
    if (transfer_is_timer(command, effects) && is_open) {
        transfer_note(state, now_ms, "expired", NULL, effects);
        alv_set(effects, "expired", json_true());
    }
}

static void transfer_refund_again(const json_t *state, const alv_command *command, int64_t now_ms,
                                  alv_effects *effects)
{
    (void)now_ms;
    if (transfer_is_timer(command, effects) && transfer_is(state, "refunding")) {
        transfer_refund(state, command, effects);
    }
}

static void transfer_get(const json_t *state, const alv_command *command, int64_t now_ms,
                         alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_reply(effects, "{s:O?}", "state", state);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define FROM ALV_REQUIRED("from", ALV_FIELD_TEXT)
#define TO ALV_REQUIRED("to", ALV_FIELD_TEXT)
#define AMOUNT ALV_REQUIRED("amount", ALV_FIELD_POSITIVE)
#define TIMEOUT ALV_OPTIONAL("timeoutMs", ALV_FIELD_POSITIVE)
#define ACCEPTED ALV_REQUIRED("accepted", ALV_FIELD_BOOLEAN)

/* clang-format off */
static const alv_command_row transfer_commands[] = {
    /* command        handler                 fields */
    {"start",         transfer_start,         {FROM, TO, AMOUNT, TIMEOUT}},
    {"get_transfer",  transfer_get,           {{0}}},
    {"deducted",      transfer_deducted,      {ACCEPTED}},
    {"added",         transfer_added,         {ACCEPTED}},
    {"refunded",      transfer_refunded,      {ACCEPTED}},
    {"expire",        transfer_expire,        {{0}}},
    {"refund_again",  transfer_refund_again,  {{0}}},
};
/* clang-format on */

static bool transfer_accepts(const char *id)
{
    return id[0] != '\0';
}

const alv_behavior alv_transfer_behavior = {
    ALV_BEHAVIOR_HEAD,
    .type = "transfer",
    .commands = transfer_commands,
    .command_count = sizeof transfer_commands / sizeof transfer_commands[0],
    .accepts = transfer_accepts,
};
