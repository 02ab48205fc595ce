/* test.c — alluvium/behavior_test.h: a test, what is given and what happens. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "processor/outbox.h"
#include "statestore/codec.h"
#include "testkit/difference.h"
#include "testkit/test_internal.h"
#include "topics/schema.h"

json_t *alv_test_json(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    return value != NULL ? value : json_sprintf("no JSON (%s): %s", error.text, text);
}

/* ---- life -------------------------------------------------------------------------------------- */

static void test_print_failure(void *payload, const char *file, int line, const char *text)
{
    (void)payload;
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
}

alv_test *alv_test_new(const alv_behavior *behavior, const char *key)
{
    alv_test *test = alv_alloc(sizeof *test);
    alv_error err = ALV_ERROR_NONE;
    if (alv_stage_init(&test->stage, behavior, key, ALV_TEST_START_MS, &err) != ALV_OK) {
        (void)snprintf(test->refused, sizeof test->refused, "%s", err.text);
    }
    test->asked = json_array();
    test->failed = test_print_failure;
    return test;
}

int alv_test_free(alv_test *test)
{
    if (test == NULL) {
        return 0;
    }
    int failures = test->failures;
    alv_stage_done(&test->stage);
    json_decref(test->asked);
    alv_bytes_done(&test->when);
    alv_bytes_done(&test->report);
    alv_free(test);
    return failures;
}

void alv_test_on_failure(alv_test *test, alv_test_failed failed, void *payload)
{
    test->failed = failed;
    test->payload = payload;
}

bool alv_test_fail(alv_test *test, const char *file, int line)
{
    const alv_stage_outcome *outcome = &test->stage.outcome;
    if (test->refused[0] != '\0') {
        alv_bytes_printf(&test->report, "\n    (the behavior is not taken: %s)", test->refused);
    } else if (outcome->kind == ALV_RESULT_REJECTED) {
        alv_bytes_printf(&test->report, "\n    (it was rejected: %s)", outcome->text);
    } else if (outcome->kind == ALV_RESULT_DEAD) {
        alv_bytes_printf(&test->report, "\n    (it is a dead letter, %s: %s)",
                         alv_reason_code(outcome->reason), outcome->text);
    }
    alv_bytes_append(&test->report, "", 1); /* the NUL */
    test->failures++;
    test->failed(test->payload, file, line, test->report.data);
    return false;
}

/* ---- given ------------------------------------------------------------------------------------- */

/* As a client would have written it; a NULL is what json_pack gives for a mistake. */
static void test_encode(const json_t *value, alv_bytes *out)
{
    size_t size = value == NULL ? 0 : json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    alv_bytes_clear(out);
    alv_bytes_reserve(out, size + 1);
    if (size > 0) {
        out->size = json_dumpb(value, out->data, size, JSON_COMPACT | JSON_ENCODE_ANY);
    }
}

void alv_test_given_version(alv_test *test, uint32_t version, json_t *state)
{
    alv_bytes encoded = ALV_BYTES_EMPTY;
    if (json_is_object(state) && version > 1) {
        alv_codec_encode_version(state, version, &encoded);
    } else {
        test_encode(state, &encoded);
    }
    alv_stage_put(&test->stage, state == NULL ? ALV_VIEW_NONE : alv_bytes_view(&encoded));
    alv_bytes_done(&encoded);
    json_decref(state);
}

bool alv_test_given_row(alv_test *test, const char *table, const char *key, json_t *value)
{
    return alv_stage_put_row(&test->stage, table, key, value);
}

void alv_test_given(alv_test *test, json_t *state)
{
    alv_test_given_version(test, test->stage.state_version, state);
}

void alv_test_at(alv_test *test, int64_t now_ms)
{
    alv_manual_clock_init(&test->stage.clock, now_ms); /* records may be older than those before */
}

/* ---- when -------------------------------------------------------------------------------------- */

static void test_begin(alv_test *test)
{
    alv_stage_clear(&test->stage);
    alv_bytes_clear(&test->when);
    test->emitted_seen = 0;
    test->published_seen = 0;
    test->refusal_seen = false;
}

/* Whose outcomes are to come. */
static void test_end(alv_test *test)
{
    size_t index;
    json_t *emitted;
    json_array_foreach(test->stage.recorder.emitted, index, emitted)
    {
        if (json_is_string(json_object_get(emitted, "onReply"))) {
            json_array_append(test->asked, emitted);
        }
    }
}

static void test_add_header(alv_header *headers, size_t *count, const char *name, const char *text)
{
    if (text != NULL) {
        headers[(*count)++] = (alv_header){name, alv_view_of(text)};
    }
}

void alv_test_when_from(alv_test *test, const char *from, const char *idempotency_key,
                        json_t *command)
{
    test_begin(test);
    alv_difference_show(command, &test->when);
    alv_header headers[ALV_STAGE_HEADERS_MAX];
    size_t count = 0;
    test_add_header(headers, &count, ALV_HEADER_FROM, from);
    test_add_header(headers, &count, ALV_HEADER_IDEMPOTENCY_KEY, idempotency_key);
    alv_bytes encoded = ALV_BYTES_EMPTY;
    test_encode(command, &encoded);
    alv_stage_execute(&test->stage, command == NULL ? ALV_VIEW_NONE : alv_bytes_view(&encoded),
                      headers, count);
    alv_bytes_done(&encoded);
    json_decref(command);
    test_end(test);
}

void alv_test_when(alv_test *test, json_t *command)
{
    alv_test_when_from(test, NULL, NULL, command);
}

bool alv_test_run_timer_at(const char *file, int line, alv_test *test, const char *name)
{
    const json_t *timer = alv_stage_timer(&test->stage, name);
    int64_t due_ms = json_integer_value(json_object_get(timer, "due"));
    test_begin(test);
    alv_bytes_printf(&test->when, "timer %s", name);
    if (timer == NULL) {
        alv_bytes_clear(&test->report);
        alv_bytes_printf(&test->report, "no timer \"%s\" is pending; there are ", name);
        alv_difference_show(test->stage.timers, &test->report);
        return alv_test_fail(test, file, line);
    }
    int64_t now_ms = alv_now_ms(&test->stage.clock.clock);
    alv_stage_fire(&test->stage, due_ms > now_ms ? due_ms : now_ms);
    test_end(test);
    return true;
}

/* ---- outcomes of emitted commands -------------------------------------------------------------- */

/* Takes the oldest command to `key` out of those whose outcome is to come; NULL = there is none. */
static json_t *test_take_asked(alv_test *test, const char *key)
{
    size_t index;
    json_t *asked;
    json_array_foreach(test->asked, index, asked)
    {
        if (strcmp(json_string_value(json_object_get(asked, "key")), key) == 0) {
            json_incref(asked);
            json_array_remove(test->asked, index);
            return asked;
        }
    }
    return NULL;
}

static alv_view test_view(const json_t *text)
{
    return json_is_string(text) ? (alv_view){json_string_value(text), json_string_length(text)}
                                : ALV_VIEW_NONE;
}

/* The command that brings the outcome, made by the code that makes it in a node. A new reference. */
static json_t *test_outcome(const alv_test *test, const json_t *asked, bool accepted,
                            const json_t *reply)
{
    alv_recorder recorder;
    alv_recorder_init(&recorder);
    const alv_outcome outcome = {.from = test_view(json_object_get(asked, "key")),
                                 .to = alv_view_of(test->stage.key),
                                 .on_reply = test_view(json_object_get(asked, "onReply")),
                                 .idempotency_key =
                                     test_view(json_object_get(asked, "idempotencyKey")),
                                 .accepted = accepted,
                                 .reply = reply};
    alv_status status = alv_outbox_answer(&recorder.producer, &outcome, NULL);
    json_t *sent = json_array_get(recorder.emitted, 0);
    json_t *command = status == ALV_OK ? json_incref(json_object_get(sent, "command")) : NULL;
    alv_recorder_done(&recorder);
    return command;
}

static bool test_answer(alv_test *test, const char *file, int line, const char *key, bool accepted,
                        json_t *reply)
{
    json_t *asked = test_take_asked(test, key);
    json_t *command = asked == NULL ? NULL : test_outcome(test, asked, accepted, reply);
    json_decref(reply);
    json_decref(asked);
    if (command == NULL) {
        test_begin(test);
        alv_bytes_clear(&test->report);
        alv_bytes_printf(&test->report, "no command to %s asked for its outcome; to come are ",
                         key);
        alv_difference_show(test->asked, &test->report);
        return alv_test_fail(test, file, line);
    }
    alv_test_when_from(test, key, NULL, command);
    return true;
}

bool alv_test_on_reply_at(const char *file, int line, alv_test *test, const char *key,
                          json_t *reply)
{
    return test_answer(test, file, line, key, true, reply);
}

bool alv_test_on_refusal_at(const char *file, int line, alv_test *test, const char *key,
                            const char *error)
{
    return test_answer(test, file, line, key, false, json_pack("{s:s}", "error", error));
}
