/* ledger.c — two short lists: answers, oldest first, and timers, earliest first.
 *
 * Both are small (limits in the header), so they are arrays that are searched from one end to the other.
 */
#include "statestore/ledger_internal.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

/* Quotes, names of members, times: what an entry takes besides its texts, at most. */
#define ENTRY_BYTES 128

static_assert(ALV_LEDGER_ANSWERS_BYTES_MAX + ALV_LEDGER_TIMERS_BYTES_MAX + 1024 <
                  ALV_STATE_BYTES_MAX,
              "a ledger fits into a record");

alv_ledger *alv_ledger_new(void)
{
    alv_ledger *ledger = alv_alloc(sizeof *ledger);
    ledger->expiry = ALV_EXPIRY_NEVER;
    ledger->forget_due_ms = ALV_DUE_NEVER;
    return ledger;
}

static void answer_done(ledger_answer *answer)
{
    alv_free(answer->key);
    alv_free(answer->reply);
}

static void timer_done(ledger_timer *timer)
{
    alv_free(timer->name);
    alv_free(timer->command);
}

void alv_ledger_free(alv_ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    for (size_t i = 0; i < ledger->answer_count; i++) {
        answer_done(&ledger->answers[i]);
    }
    for (size_t i = 0; i < ledger->timer_count; i++) {
        timer_done(&ledger->timers[i]);
    }
    alv_free(ledger->answers);
    alv_free(ledger->timers);
    alv_free(ledger);
}

size_t alv_ledger_memory(const alv_ledger *ledger)
{
    return sizeof *ledger + ledger->answer_capacity * sizeof(ledger_answer) +
           ledger->timer_capacity * sizeof(ledger_timer) + ledger->answer_bytes +
           ledger->timer_bytes;
}

/* Of a text between quotes: a control character takes six bytes. */
static size_t text_bytes(const char *text, size_t size)
{
    size_t bytes = size;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        bytes += byte < 0x20 ? 5 : byte == '"' || byte == '\\';
    }
    return bytes;
}

/* ---- answers --------------------------------------------------------------------------------- */

static size_t answer_bytes(const ledger_answer *answer)
{
    return ENTRY_BYTES + text_bytes(answer->key, answer->key_size) + answer->reply_size;
}

static bool answer_is_old(const ledger_answer *answer, int64_t at_ms,
                          const alv_answer_policy *policy)
{
    return at_ms > answer->at_ms && at_ms - answer->at_ms > policy->retention_ms;
}

bool alv_ledger_find_answer(const alv_ledger *ledger, alv_view key, int64_t at_ms,
                            const alv_answer_policy *policy, alv_answer *out)
{
    for (size_t i = ledger->answer_count; i > 0; i--) { /* retries come soon: newest first */
        const ledger_answer *answer = &ledger->answers[i - 1];
        if (answer->key_size == key.size && memcmp(answer->key, key.data, key.size) == 0 &&
            !answer_is_old(answer, at_ms, policy)) {
            *out = (alv_answer){.at_ms = answer->at_ms,
                                .accepted = answer->accepted,
                                .reply = {answer->reply, answer->reply_size}};
            return true;
        }
    }
    return false;
}

static void ledger_drop_answer(alv_ledger *ledger, size_t index)
{
    ledger_answer *answer = &ledger->answers[index];
    ALV_ASSERT(ledger->answer_bytes >= answer_bytes(answer));
    ledger->answer_bytes -= answer_bytes(answer);
    answer_done(answer);
    ledger->answer_count--;
    memmove(answer, answer + 1, (ledger->answer_count - index) * sizeof *answer);
}

static void ledger_append_answer(alv_ledger *ledger, const ledger_answer *answer)
{
    if (ledger->answer_count == ledger->answer_capacity) {
        ledger->answer_capacity = ledger->answer_capacity == 0 ? 4 : ledger->answer_capacity * 2;
        ledger->answers =
            alv_realloc(ledger->answers, ledger->answer_capacity * sizeof *ledger->answers);
    }
    ledger->answers[ledger->answer_count++] = *answer;
    ledger->answer_bytes += answer_bytes(answer);
}

void alv_ledger_add_answer(alv_ledger *ledger, alv_view key, const alv_answer *answer,
                           const alv_answer_policy *policy)
{
    ALV_ASSERT(key.size > 0 && key.size <= ALV_IDEMPOTENCY_KEY_BYTES_MAX && policy->count_max > 0);
    ALV_ASSERT(answer->reply.size <= ALV_LEDGER_REPLY_BYTES_MAX);
    for (size_t i = 0; i < ledger->answer_count;) {
        if (answer_is_old(&ledger->answers[i], answer->at_ms, policy)) {
            ledger_drop_answer(ledger, i);
        } else {
            i++;
        }
    }
    const ledger_answer added = {.key = alv_strndup(key.data, key.size),
                                 .key_size = key.size,
                                 .reply = answer->reply.data == NULL
                                              ? NULL
                                              : alv_strndup(answer->reply.data, answer->reply.size),
                                 .reply_size = answer->reply.size,
                                 .at_ms = answer->at_ms,
                                 .accepted = answer->accepted};
    ledger_append_answer(ledger, &added);
    while (ledger->answer_count > policy->count_max ||
           (ledger->answer_bytes > ALV_LEDGER_ANSWERS_BYTES_MAX && ledger->answer_count > 1)) {
        ledger_drop_answer(ledger, 0);
    }
}

/* ---- timers ---------------------------------------------------------------------------------- */

static size_t timer_bytes(const ledger_timer *timer)
{
    return ENTRY_BYTES + text_bytes(timer->name, strlen(timer->name)) + timer->command_size;
}

int64_t alv_ledger_timer_due(const alv_ledger *ledger)
{
    return ledger->timer_count == 0 ? ALV_DUE_NEVER : ledger->timers[0].due_ms;
}

bool alv_ledger_first_timer(const alv_ledger *ledger, alv_timer *out)
{
    if (ledger->timer_count == 0) {
        return false;
    }
    const ledger_timer *timer = &ledger->timers[0];
    *out = (alv_timer){.name = timer->name,
                       .due_ms = timer->due_ms,
                       .command = {timer->command, timer->command_size}};
    return true;
}

static void ledger_drop_timer(alv_ledger *ledger, size_t index)
{
    ledger_timer *timer = &ledger->timers[index];
    ALV_ASSERT(ledger->timer_bytes >= timer_bytes(timer));
    ledger->timer_bytes -= timer_bytes(timer);
    timer_done(timer);
    ledger->timer_count--;
    memmove(timer, timer + 1, (ledger->timer_count - index) * sizeof *timer);
}

static size_t ledger_find_timer(const alv_ledger *ledger, const char *name)
{
    size_t index = 0;
    while (index < ledger->timer_count && strcmp(ledger->timers[index].name, name) != 0) {
        index++;
    }
    return index;
}

static void ledger_insert_timer(alv_ledger *ledger, const ledger_timer *timer)
{
    if (ledger->timer_count == ledger->timer_capacity) {
        ledger->timer_capacity = ledger->timer_capacity == 0 ? 2 : ledger->timer_capacity * 2;
        ledger->timers =
            alv_realloc(ledger->timers, ledger->timer_capacity * sizeof *ledger->timers);
    }
    size_t at = ledger->timer_count;
    while (at > 0 && ledger->timers[at - 1].due_ms > timer->due_ms) {
        ledger->timers[at] = ledger->timers[at - 1];
        at--;
    }
    ledger->timers[at] = *timer;
    ledger->timer_count++;
    ledger->timer_bytes += timer_bytes(timer);
}

bool alv_ledger_set_timer(alv_ledger *ledger, const alv_timer *timer)
{
    size_t before = ledger_find_timer(ledger, timer->name);
    bool replaces = before < ledger->timer_count;
    ledger_timer added = {.name = alv_strdup(timer->name),
                          .command = alv_strndup(timer->command.data, timer->command.size),
                          .command_size = timer->command.size,
                          .due_ms = timer->due_ms};
    size_t bytes = ledger->timer_bytes + timer_bytes(&added) -
                   (replaces ? timer_bytes(&ledger->timers[before]) : 0);
    if (bytes > ALV_LEDGER_TIMERS_BYTES_MAX ||
        (!replaces && ledger->timer_count == ALV_LEDGER_TIMERS_MAX)) {
        timer_done(&added);
        return false;
    }
    if (replaces) {
        ledger_drop_timer(ledger, before);
    }
    ledger_insert_timer(ledger, &added);
    return true;
}

alv_ledger *alv_ledger_dup_timers(const alv_ledger *ledger)
{
    alv_ledger *copy = alv_ledger_new();
    for (size_t i = 0; i < ledger->timer_count; i++) {
        const ledger_timer *timer = &ledger->timers[i];
        const alv_timer same = {.name = timer->name,
                                .due_ms = timer->due_ms,
                                .command = {timer->command, timer->command_size}};
        bool fits = alv_ledger_set_timer(copy, &same);
        ALV_ASSERT(fits);
    }
    return copy;
}

bool alv_ledger_cancel_timer(alv_ledger *ledger, const char *name)
{
    size_t index = ledger_find_timer(ledger, name);
    if (index == ledger->timer_count) {
        return false;
    }
    ledger_drop_timer(ledger, index);
    return true;
}

bool alv_ledger_cancel_timers(alv_ledger *ledger)
{
    bool any = ledger->timer_count > 0;
    while (ledger->timer_count > 0) {
        ledger_drop_timer(ledger, ledger->timer_count - 1);
    }
    return any;
}

/* ---- chores ---------------------------------------------------------------------------------- */

int64_t alv_ledger_due(const alv_ledger *ledger)
{
    int64_t due_ms = alv_ledger_timer_due(ledger);
    due_ms = ledger->expiry.due_ms < due_ms ? ledger->expiry.due_ms : due_ms;
    return ledger->forget_due_ms < due_ms ? ledger->forget_due_ms : due_ms;
}

alv_expiry alv_ledger_expiry(const alv_ledger *ledger)
{
    return ledger->expiry;
}

bool alv_ledger_set_expiry(alv_ledger *ledger, alv_expiry expiry)
{
    bool changes =
        expiry.due_ms != ledger->expiry.due_ms || expiry.touched_ms != ledger->expiry.touched_ms;
    ledger->expiry = expiry;
    return changes;
}

int64_t alv_ledger_forget_due(const alv_ledger *ledger)
{
    return ledger->forget_due_ms;
}

void alv_ledger_set_forget_due(alv_ledger *ledger, int64_t due_ms)
{
    ALV_ASSERT(ledger->answer_count > 0);
    ledger->forget_due_ms = due_ms;
}

void alv_ledger_forget_answers(alv_ledger *ledger)
{
    while (ledger->answer_count > 0) {
        ledger_drop_answer(ledger, ledger->answer_count - 1);
    }
    ledger->forget_due_ms = ALV_DUE_NEVER;
}
