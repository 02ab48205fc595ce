/* test_expect.c — alluvium/behavior_test.h: what is expected, and the report when it is otherwise.
 *
 * Every expectation first releases what it took and then reports, because a report may leave by longjmp.
 */
#include <string.h>

#include "testkit/difference.h"
#include "testkit/test_internal.h"

/* ---- reports ----------------------------------------------------------------------------------- */

/* "state of cart/1 after {"type":"add"}"; `what` may be followed by a name. */
static void expect_title(alv_test *test, const char *what, const char *name)
{
    alv_bytes_clear(&test->report);
    alv_bytes_printf(&test->report, "%s%s%s of %s", what, name == NULL ? "" : " ",
                     name == NULL ? "" : name, test->stage.key);
    if (test->when.size > 0) {
        alv_bytes_append_text(&test->report, " after ");
        alv_bytes_append(&test->report, test->when.data, test->when.size);
    }
}

/* Compares and releases `expected`. The title is in the report. */
static bool expect_equal(alv_test *test, const char *file, int line, json_t *expected,
                         const json_t *actual)
{
    bool differs = alv_difference(expected, actual, &test->report);
    json_decref(expected);
    return differs ? alv_test_fail(test, file, line) : true;
}

static bool expect_that(alv_test *test, const char *file, int line, bool holds, const char *text)
{
    if (holds) {
        return true;
    }
    alv_bytes_printf(&test->report, "\n    %s", text);
    return alv_test_fail(test, file, line);
}

/* ---- the entity -------------------------------------------------------------------------------- */

bool alv_test_expect_state_at(const char *file, int line, alv_test *test, json_t *expected)
{
    expect_title(test, "state", NULL);
    return expect_equal(test, file, line, expected, test->stage.state);
}

bool alv_test_expect_deleted_at(const char *file, int line, alv_test *test)
{
    expect_title(test, "deletion", NULL);
    return expect_that(test, file, line, test->stage.state == NULL && test->stage.recorder.deleted,
                       "expected, but it was not deleted");
}

bool alv_test_expect_timer_at(const char *file, int line, alv_test *test, const char *name,
                              int64_t due_ms, json_t *command)
{
    expect_title(test, "timer", name);
    json_t *expected = json_pack("{s:s, s:I, s:o}", "name", name, "due", (json_int_t)due_ms,
                                 "command", command != NULL ? command : json_null());
    return expect_equal(test, file, line, expected, alv_stage_timer(&test->stage, name));
}

bool alv_test_expect_no_timer_at(const char *file, int line, alv_test *test, const char *name)
{
    expect_title(test, "timer", name);
    const json_t *timer =
        name != NULL ? alv_stage_timer(&test->stage, name) : json_array_get(test->stage.timers, 0);
    return expect_equal(test, file, line, NULL, timer);
}

/* ---- what came of the command ------------------------------------------------------------------ */

bool alv_test_expect_reply_at(const char *file, int line, alv_test *test, json_t *expected)
{
    expect_title(test, "reply", NULL);
    if (test->stage.outcome.kind != ALV_RESULT_DONE) {
        alv_bytes_append_text(&test->report, "\n    expected ");
        alv_difference_show(expected, &test->report);
        json_decref(expected);
        return alv_test_fail(test, file, line);
    }
    return expect_equal(test, file, line, expected, test->stage.outcome.reply);
}

/* `text` says why it was not executed: in which words, or as what. */
static bool expect_refusal(alv_test *test, const char *file, int line, alv_result_kind kind,
                           const char *text, const char *actual)
{
    test->refusal_seen = test->refusal_seen || test->stage.outcome.kind == kind;
    if (test->stage.outcome.kind == kind && text != NULL && strcmp(actual, text) == 0) {
        return true;
    }
    alv_bytes_printf(&test->report, "\n    expected \"%s\"%s", text != NULL ? text : "?",
                     test->stage.outcome.kind == ALV_RESULT_DONE ? ", but it was accepted" : "");
    return alv_test_fail(test, file, line);
}

bool alv_test_expect_rejected_at(const char *file, int line, alv_test *test, const char *text)
{
    expect_title(test, "rejection", NULL);
    return expect_refusal(test, file, line, ALV_RESULT_REJECTED, text, test->stage.outcome.text);
}

bool alv_test_expect_dead_letter_at(const char *file, int line, alv_test *test, const char *reason)
{
    expect_title(test, "dead letter", NULL);
    return expect_refusal(test, file, line, ALV_RESULT_DEAD, reason,
                          alv_reason_code(test->stage.outcome.reason));
}

/* ---- what it sent ------------------------------------------------------------------------------ */

bool alv_test_expect_emitted_at(const char *file, int line, alv_test *test, const char *key,
                                json_t *command, const char *idempotency_key, const char *on_reply)
{
    expect_title(test, "emitted command", NULL);
    json_t *expected = json_pack("{s:s, s:o, s:s?, s:s?}", "key", key, "command",
                                 command != NULL ? command : json_null(), "idempotencyKey",
                                 idempotency_key, "onReply", on_reply);
    const json_t *actual = json_array_get(test->stage.recorder.emitted, test->emitted_seen++);
    return expect_equal(test, file, line, expected, actual);
}

bool alv_test_expect_published_at(const char *file, int line, alv_test *test, json_t *event)
{
    expect_title(test, "published event", NULL);
    const json_t *actual = json_array_get(test->stage.recorder.published, test->published_seen++);
    return expect_equal(test, file, line, event != NULL ? event : json_null(), actual);
}

/* A line for each of a list that was not expected. */
static void expect_none_after(alv_test *test, const json_t *list, size_t seen, const char *what)
{
    for (size_t i = seen; i < json_array_size(list); i++) {
        alv_bytes_printf(&test->report, "\n    not expected: %s ", what);
        alv_difference_show(json_array_get(list, i), &test->report);
    }
}

bool alv_test_expect_nothing_more_at(const char *file, int line, alv_test *test)
{
    expect_title(test, "nothing more", NULL);
    size_t title_size = test->report.size;
    const alv_recorder *recorder = &test->stage.recorder;
    expect_none_after(test, recorder->emitted, test->emitted_seen, "emitted");
    expect_none_after(test, recorder->published, test->published_seen, "published");
    expect_none_after(test, recorder->letters, test->refusal_seen ? SIZE_MAX : 0, "dead letter");
    if (test->stage.outcome.kind == ALV_RESULT_REJECTED && !test->refusal_seen) {
        alv_bytes_append_text(&test->report, "\n    not expected: a rejection");
    }
    return test->report.size == title_size ? true : alv_test_fail(test, file, line);
}

/* ---- for expectations of one's own ------------------------------------------------------------- */

const json_t *alv_test_state(const alv_test *test)
{
    return test->stage.state;
}

const json_t *alv_test_reply(const alv_test *test)
{
    return test->stage.outcome.reply;
}

int64_t alv_test_now(const alv_test *test)
{
    return alv_now_ms(&test->stage.clock.clock);
}
