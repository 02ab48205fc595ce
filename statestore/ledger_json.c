/* ledger_json.c — the record of a ledger: written by hand, because commands and replies are texts already,
 * read by jansson.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "base/json_reader.h"
#include "base/limits.h"
#include "statestore/codec.h"
#include "statestore/ledger_internal.h"

#define DUE_BEGIN "{\"due\":"

/* ---- writing --------------------------------------------------------------------------------- */

/* UTF-8 text as a JSON string. What needs no escape is appended in one piece. */
static void json_put_string(alv_bytes *out, const char *data, size_t size)
{
    size_t plain = 0; /* where the piece begins */
    alv_bytes_append(out, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        alv_bytes_append(out, data + plain, i - plain);
        if (byte < 0x20) {
            alv_bytes_printf(out, "\\u%04x", (unsigned)byte);
        } else {
            alv_bytes_printf(out, "\\%c", byte);
        }
        plain = i + 1;
    }
    alv_bytes_append(out, data + plain, size - plain);
    alv_bytes_append(out, "\"", 1);
}

static void json_put_timer(alv_bytes *out, const ledger_timer *timer)
{
    alv_bytes_append_text(out, "{\"name\":");
    json_put_string(out, timer->name, strlen(timer->name));
    alv_bytes_printf(out, ",\"due\":%" PRId64 ",\"command\":", timer->due_ms);
    alv_bytes_append(out, timer->command, timer->command_size);
    alv_bytes_append(out, "}", 1);
}

static void json_put_answer(alv_bytes *out, const ledger_answer *answer)
{
    alv_bytes_append_text(out, "{\"key\":");
    json_put_string(out, answer->key, answer->key_size);
    alv_bytes_printf(out, ",\"at\":%" PRId64 ",\"accepted\":%s", answer->at_ms,
                     answer->accepted ? "true" : "false");
    if (answer->reply != NULL) {
        alv_bytes_append_text(out, ",\"reply\":");
        alv_bytes_append(out, answer->reply, answer->reply_size);
    }
    alv_bytes_append(out, "}", 1);
}

/* Begins a member of the record that starts at `begin`. */
static void json_put_name(alv_bytes *out, size_t begin, const char *name)
{
    alv_bytes_printf(out, "%s\"%s\":", out->size == begin ? "{" : ",", name);
}

static void json_put_number(alv_bytes *out, size_t begin, const char *name, int64_t number)
{
    json_put_name(out, begin, name);
    alv_bytes_printf(out, "%" PRId64, number);
}

/* "due" is the first, see DUE_BEGIN. */
static void json_put_chores(alv_bytes *out, size_t begin, const alv_ledger *ledger)
{
    int64_t due_ms = alv_ledger_due(ledger);
    if (due_ms != ALV_DUE_NEVER) {
        json_put_number(out, begin, "due", due_ms);
    }
    if (ledger->expiry.due_ms != ALV_DUE_NEVER) {
        json_put_number(out, begin, "expires", ledger->expiry.due_ms);
        json_put_number(out, begin, "touched", ledger->expiry.touched_ms);
    }
    if (ledger->forget_due_ms != ALV_DUE_NEVER) {
        json_put_number(out, begin, "forget", ledger->forget_due_ms);
    }
}

void alv_ledger_encode(const alv_ledger *ledger, alv_bytes *out)
{
    size_t begin = out->size;
    json_put_chores(out, begin, ledger);
    if (ledger->timer_count > 0) {
        json_put_name(out, begin, "timers");
        for (size_t i = 0; i < ledger->timer_count; i++) {
            alv_bytes_append(out, i == 0 ? "[" : ",", 1);
            json_put_timer(out, &ledger->timers[i]);
        }
        alv_bytes_append(out, "]", 1);
    }
    if (ledger->answer_count > 0) {
        json_put_name(out, begin, "answers");
        for (size_t i = 0; i < ledger->answer_count; i++) {
            alv_bytes_append(out, i == 0 ? "[" : ",", 1);
            json_put_answer(out, &ledger->answers[i]);
        }
        alv_bytes_append(out, "]", 1);
    }
    if (out->size > begin) {
        alv_bytes_append(out, "}", 1);
    }
    ALV_ASSERT(out->size - begin <= ALV_STATE_BYTES_MAX);
}

/* ---- reading --------------------------------------------------------------------------------- */

int64_t alv_ledger_peek_due(alv_view encoded)
{
    if (encoded.data == NULL || !alv_view_starts_with(encoded, ALV_VIEW(DUE_BEGIN))) {
        return ALV_DUE_NEVER;
    }
    alv_view rest = {encoded.data + sizeof DUE_BEGIN - 1, encoded.size - (sizeof DUE_BEGIN - 1)};
    int64_t due = ALV_DUE_NEVER;
    (void)alv_decimal_take(&rest, &due); /* not a time: never */
    return due;
}

static bool json_take_timer(alv_ledger *ledger, const json_t *item, alv_bytes *scratch)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const json_t *due = json_object_get(item, "due");
    const json_t *command = json_object_get(item, "command");
    if (name == NULL || !json_is_integer(due) || !json_is_object(command)) {
        return false;
    }
    alv_bytes_clear(scratch);
    alv_codec_encode(command, scratch);
    const alv_timer timer = {
        .name = name, .due_ms = json_integer_value(due), .command = alv_bytes_view(scratch)};
    return alv_ledger_set_timer(ledger, &timer);
}

static bool json_take_answer(alv_ledger *ledger, const json_t *item, alv_bytes *scratch)
{
    static const alv_answer_policy keep_all = {.count_max = SIZE_MAX, .retention_ms = INT64_MAX};
    const json_t *key = json_object_get(item, "key");
    const json_t *at = json_object_get(item, "at");
    const json_t *accepted = json_object_get(item, "accepted");
    const json_t *reply = json_object_get(item, "reply");
    size_t key_size = json_string_length(key);
    if (key_size == 0 || key_size > ALV_IDEMPOTENCY_KEY_BYTES_MAX || !json_is_integer(at) ||
        !json_is_boolean(accepted) || (reply != NULL && !json_is_object(reply))) {
        return false;
    }
    alv_bytes_clear(scratch);
    if (reply != NULL) {
        alv_codec_encode(reply, scratch);
    }
    const alv_answer answer = {.at_ms = json_integer_value(at),
                               .accepted = json_is_true(accepted),
                               .reply = reply != NULL ? alv_bytes_view(scratch) : ALV_VIEW_NONE};
    if (scratch->size > ALV_LEDGER_REPLY_BYTES_MAX) {
        return false;
    }
    alv_ledger_add_answer(ledger, (alv_view){json_string_value(key), key_size}, &answer, &keep_all);
    return true;
}

/* A time that is there must be a number; nothing is to be done at ALV_DUE_NEVER. */
static bool json_take_time(const json_t *record, const char *name, int64_t *out)
{
    const json_t *time = json_object_get(record, name);
    if (time != NULL) {
        *out = json_integer_value(time);
    }
    return time == NULL || json_is_integer(time);
}

static bool json_take_chores(alv_ledger *ledger, const json_t *record)
{
    alv_expiry *expiry = &ledger->expiry;
    bool good = json_take_time(record, "expires", &expiry->due_ms) &&
                json_take_time(record, "touched", &expiry->touched_ms) &&
                json_take_time(record, "forget", &ledger->forget_due_ms);
    if (expiry->due_ms == ALV_DUE_NEVER) {
        *expiry = ALV_EXPIRY_NEVER;
    }
    if (ledger->answer_count == 0) {
        ledger->forget_due_ms = ALV_DUE_NEVER;
    }
    return good;
}

static bool json_is_list(const json_t *list)
{
    return list == NULL || json_is_array(list);
}

static bool json_take_all(alv_ledger *ledger, const json_t *record)
{
    alv_bytes scratch = ALV_BYTES_EMPTY;
    const json_t *timers = json_object_get(record, "timers");
    const json_t *answers = json_object_get(record, "answers");
    bool good = json_is_object(record) && json_is_list(timers) && json_is_list(answers);
    size_t index;
    json_t *item;
    json_array_foreach(timers, index, item)
    {
        good = good && json_take_timer(ledger, item, &scratch);
    }
    json_array_foreach(answers, index, item)
    {
        good = good && json_take_answer(ledger, item, &scratch);
    }
    good = good && json_take_chores(ledger, record);
    alv_bytes_done(&scratch);
    return good;
}

alv_status alv_ledger_decode(alv_view encoded, alv_ledger **out, alv_error *err)
{
    json_error_t why;
    json_t *record = alv_json_read(encoded, JSON_ALLOW_NUL, &why);
    alv_ledger *ledger = alv_ledger_new();
    bool good = record != NULL && json_take_all(ledger, record);
    json_decref(record);
    if (!good) {
        alv_ledger_free(ledger);
        return alv_fail(err, ALV_REJECT, "not a ledger record: %.*s",
                        encoded.size > 80 ? 80 : (int)encoded.size, encoded.data);
    }
    *out = ledger;
    return ALV_OK;
}
