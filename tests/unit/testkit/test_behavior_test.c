/* Goal:   a test of a behavior passes when the behavior does what is expected, and says what differs when not; what
 *         happens in it is what happens in a node.
 * Method: the built-in behaviors and a small one with every effect, tested with the kit; reports are caught.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "behaviors/transfer.h"
#include "behaviors/user.h"
#include "include/alluvium/behavior_test.h"
#include "testkit/test_run.h"

/* ---- a behavior with every effect ---------------------------------------------------------------- */

static void box_put(const json_t *state, const alv_command *command, int64_t now_ms,
                    alv_effects *effects)
{
    (void)now_ms;
    (void)state;
    alv_set(effects, "content", json_incref(json_object_get(command->body, "content")));
    alv_reply(effects, "{s:s}", "from", command->from != NULL ? command->from : "outside");
}

static void box_lend(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    const char *to = json_string_value(json_object_get(command->body, "to"));
    if (state == NULL) {
        alv_reject(effects, "there is no box %s", command->id);
        return;
    }
    alv_emit(effects, to, json_pack("{s:s}", "type", "take"), "lend-1", "lent");
    alv_emit(effects, to, json_pack("{s:s}", "type", "thank"), NULL, NULL);
    alv_publish(effects, json_pack("{s:s}", "event", "lent"));
    alv_timer_set(effects, "remind", now_ms + 1000, json_pack("{s:s}", "type", "remind"));
    alv_timer_set(effects, "late", now_ms + 5000, json_pack("{s:s}", "type", "refuse"));
}

static void box_lent(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_set(effects, "outcome", json_incref((json_t *)(uintptr_t)command->body));
}

static void box_remind(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    alv_set(effects, "reminded", json_integer(now_ms));
    alv_set(effects, "due", json_integer(command->due_ms));
    alv_timer_cancel(effects, "late");
}

static void box_refuse(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_reject(effects, "never");
}

static void box_grow(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    static char text[1000001];
    memset(text, 'x', sizeof text - 1);
    alv_set(effects, "text", json_string(text));
    alv_publish(effects, json_pack("{s:s}", "event", "grown"));
}

static void box_drop(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_delete(effects);
}

static const alv_command_row box_commands[] = {
    {"put", box_put, {ALV_REQUIRED("content", ALV_FIELD_TEXT)}},
    {"lend", box_lend, {ALV_REQUIRED("to", ALV_FIELD_TEXT)}},
    {.name = "lent", .handler = box_lent},
    {.name = "remind", .handler = box_remind},
    {.name = "refuse", .handler = box_refuse},
    {.name = "grow", .handler = box_grow},
    {.name = "drop", .handler = box_drop},
};

static const alv_behavior box = {ALV_BEHAVIOR_HEAD, .type = "box", .commands = box_commands,
                                 .command_count = sizeof box_commands / sizeof box_commands[0]};

/* ---- catching reports ---------------------------------------------------------------------------- */

typedef struct caught {
    alv_test *test;
    char text[2000]; /* of the last report */
    int line;
    int count;
} caught;

static void catch_report(void *payload, const char *file, int line, const char *text)
{
    caught *at = payload;
    assert_non_null(strstr(file, "test_behavior_test.c"));
    at->line = line;
    at->count++;
    (void)snprintf(at->text, sizeof at->text, "%s", text);
}

static void open_test(caught *at, const alv_behavior *behavior, const char *key)
{
    memset(at, 0, sizeof *at);
    at->test = alv_test_new(behavior, key);
    alv_test_on_failure(at->test, catch_report, at);
}

static void close_test(caught *at, int failures)
{
    if (at->count != failures) {
        fail_msg("%d failures, expected %d; the last: %s", at->count, failures, at->text);
    }
    assert_int_equal(alv_test_free(at->test), failures);
}

/* ---- what holds ---------------------------------------------------------------------------------- */

static void test__the_guide_s_first_example_passes(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &alv_user_behavior, "mall-1:ada");
    alv_test_expect_state(at.test, NULL);
    alv_test_when(at.test, ALV_JSON({"type": "add_balance", "amount": 7}));
    alv_test_expect_reply(at.test, ALV_JSON({"event": "balance_added", "balance": 7}));
    alv_test_when(at.test, ALV_JSON({"type": "deduct_balance", "amount": 8}));
    assert_null(alv_test_reply(at.test));
    assert_int_equal(json_integer_value(json_object_get(alv_test_state(at.test), "balance")), 7);
    close_test(&at, 0);
}

static void test__every_effect_can_be_expected(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &box, "box/1");
    alv_test_when(at.test, ALV_JSON({"type": "lend", "to": "user/1"}));
    alv_test_expect_rejected(at.test, "there is no box 1");
    alv_test_expect_nothing_more(at.test);

    alv_test_given(at.test, ALV_JSON({"content": "book"}));
    alv_test_at(at.test, 10000);
    alv_test_when(at.test, ALV_JSON({"type": "lend", "to": "user/1"}));
    alv_test_expect_state(at.test, ALV_JSON({"content": "book"}));
    alv_test_expect_reply(at.test, NULL);
    alv_test_expect_emitted(at.test, "user/1", ALV_JSON({"type": "take"}), "lend-1", "lent");
    alv_test_expect_emitted(at.test, "user/1", ALV_JSON({"type": "thank"}), NULL, NULL);
    alv_test_expect_published(at.test, ALV_JSON({"event": "lent"}));
    alv_test_expect_timer(at.test, "remind", 11000, ALV_JSON({"type": "remind"}));
    alv_test_expect_timer(at.test, "late", 15000, ALV_JSON({"type": "refuse"}));
    alv_test_expect_nothing_more(at.test);

    alv_test_run_timer(at.test, "remind");
    assert_int_equal(alv_test_now(at.test), 11000);
    alv_test_expect_state(at.test, ALV_JSON({"content": "book", "reminded": 11000, "due": 11000}));
    alv_test_expect_no_timer(at.test, NULL);

    alv_test_on_reply(at.test, "user/1", ALV_JSON({"ok": true}));
    alv_test_expect_state(at.test,
                          ALV_JSON({
                              "content": "book",
                              "reminded": 11000,
                              "due": 11000,
                              "outcome": {
                                  "type": "lent",
                                  "from": "user/1",
                                  "idempotencyKey": "lend-1",
                                  "accepted": true,
                                  "reply": {"ok": true}
                              }
                          }));

    alv_test_when(at.test, ALV_JSON({"type": "drop"}));
    alv_test_expect_deleted(at.test);
    alv_test_expect_state(at.test, NULL);
    close_test(&at, 0);
}

static void test__refusals_and_senders_reach_the_handler(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &box, "box/1");
    alv_test_given(at.test, ALV_JSON({}));
    alv_test_when(at.test, ALV_JSON({"type": "lend", "to": "user/1"}));
    alv_test_on_refusal(at.test, "user/1", "no");
    alv_test_expect_state(at.test, ALV_JSON({
                              "outcome": {
                                  "type": "lent",
                                  "from": "user/1",
                                  "idempotencyKey": "lend-1",
                                  "accepted": false,
                                  "error": "no"
                              }
                          }));

    alv_test_when_from(at.test, "user/2", "once", ALV_JSON({"type": "put", "content": "a"}));
    alv_test_expect_reply(at.test, ALV_JSON({"from": "user/2"}));
    alv_test_when_from(at.test, "user/3", "once", ALV_JSON({"type": "put", "content": "b"}));
    alv_test_expect_reply(at.test, ALV_JSON({"from": "user/2"})); /* answered as the first time */
    assert_string_equal(json_string_value(json_object_get(alv_test_state(at.test), "content")),
                        "a");
    close_test(&at, 0);
}

static void test__what_a_node_would_bury_is_a_dead_letter(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &box, "box/1");
    alv_test_when(at.test, ALV_JSON({"type": "put"}));
    alv_test_expect_dead_letter(at.test, "bad-field");
    alv_test_expect_nothing_more(at.test);
    alv_test_when(at.test, ALV_JSON({"type": "burn"}));
    alv_test_expect_dead_letter(at.test, "unknown-type");
    alv_test_when(at.test, ALV_JSON(7));
    alv_test_expect_dead_letter(at.test, "not-an-object");
    alv_test_when(at.test, alv_test_json("{\"type\": "));
    alv_test_expect_dead_letter(at.test, "not-an-object");
    alv_test_when(at.test, NULL);
    alv_test_expect_dead_letter(at.test, "not-json");

    alv_test_given(at.test, ALV_JSON({"content": "book"}));
    alv_test_when(at.test, ALV_JSON({"type": "grow"})); /* found at the commit, and run again */
    alv_test_expect_dead_letter(at.test, "state-too-large");
    alv_test_expect_state(at.test, ALV_JSON({"content": "book"}));
    alv_test_expect_nothing_more(at.test);
    alv_test_when(at.test, ALV_JSON({"type": "put", "content": "pen"}));
    alv_test_expect_reply(at.test, ALV_JSON({"from": "outside"}));

    alv_test_given(at.test, ALV_JSON([]));
    alv_test_when(at.test, ALV_JSON({"type": "put", "content": "pen"}));
    alv_test_expect_dead_letter(at.test, "state-unreadable");
    close_test(&at, 0);
}

static void test__a_timer_that_is_refused_says_so(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &box, "box/1");
    alv_test_given(at.test, ALV_JSON({}));
    alv_test_when(at.test, ALV_JSON({"type": "lend", "to": "user/1"}));
    alv_test_given(at.test, NULL);
    alv_test_run_timer(at.test, "late"); /* "remind" is due before, and cancels it */
    alv_test_expect_no_timer(at.test, NULL);
    alv_test_when(at.test, ALV_JSON({"type": "lend", "to": "user/1"}));
    alv_test_at(at.test, ALV_TEST_START_MS + 100000);
    alv_test_run_timer(at.test, "remind"); /* its time has passed */
    alv_test_expect_no_timer(at.test, "remind");
    close_test(&at, 0);
}

/* A transfer between two users, by the table of the guide. */
static void test__a_saga_is_tested_step_by_step(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &alv_transfer_behavior, "transfer/1");
    alv_test_when(at.test, ALV_JSON({"type": "start", "from": "m:a", "to": "m:b", "amount": 5}));
    alv_test_on_reply(at.test, "m:a", ALV_JSON({"event": "balance_deducted", "balance": 1}));
    alv_test_on_refusal(at.test, "m:b", "gone");
    alv_test_on_reply(at.test, "m:a", ALV_JSON({"event": "balance_refunded", "balance": 6}));
    assert_string_equal(json_string_value(json_object_get(alv_test_state(at.test), "status")),
                        "refunded");
    close_test(&at, 0);
}

/* ---- what does not hold -------------------------------------------------------------------------- */

static void assert_report(const caught *at, const char *text)
{
    if (strcmp(at->text, text) != 0) {
        fail_msg("reported:\n%s\nexpected:\n%s", at->text, text);
    }
}

static void report__says_what_differs_and_where(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &box, "box/1");
    alv_test_given(at.test, ALV_JSON({"a": {"b": [1, 2, 3], "c": "x"}, "d": null}));
    json_t *expected = ALV_JSON({"a": {"b": [1, 5], "e": true}, "d": 0});
    assert_false(alv_test_expect_state(at.test, expected));
    assert_int_equal(at.line, __LINE__ - 1);
    assert_report(&at, "state of box/1\n"
                       "    a.b[1]: expected 5, is 2\n"
                       "    a.b[2]: expected nothing, is 3\n"
                       "    a.e: expected true, is nothing\n"
                       "    a.c: expected nothing, is \"x\"\n"
                       "    d: expected 0, is null");
    alv_test_when(at.test, ALV_JSON({"type": "put", "content": 1}));
    assert_false(alv_test_expect_reply(at.test, ALV_JSON({"from": "outside"})));
    assert_report(&at,
                  "reply of box/1 after {\"type\":\"put\",\"content\":1}\n"
                  "    expected {\"from\":\"outside\"}\n"
                  "    (it is a dead letter, bad-field: field \"content\" must be a string, is 1)");
    assert_false(alv_test_expect_nothing_more(at.test));
    assert_non_null(strstr(at.text, "not expected: dead letter {\"reason\":\"bad-field\""));
    close_test(&at, 3);
}

static void report__says_what_was_sent_instead(void **state)
{
    (void)state;
    caught at;
    open_test(&at, &box, "box/1");
    alv_test_given(at.test, ALV_JSON({}));
    alv_test_when(at.test, ALV_JSON({"type": "lend", "to": "user/1"}));
    assert_false(alv_test_expect_nothing_more(at.test));
    assert_report(&at,
                  "nothing more of box/1 after {\"type\":\"lend\",\"to\":\"user/1\"}\n"
                  "    not expected: emitted {\"key\":\"user/1\",\"command\":{\"type\":\"take\"},"
                  "\"idempotencyKey\":\"lend-1\",\"onReply\":\"lent\"}\n"
                  "    not expected: emitted {\"key\":\"user/1\",\"command\":{\"type\":\"thank\"},"
                  "\"idempotencyKey\":null,\"onReply\":null}\n"
                  "    not expected: published {\"event\":\"lent\"}");
    assert_false(
        alv_test_expect_emitted(at.test, "user/2", ALV_JSON({"type": "take"}), "lend-1", NULL));
    assert_non_null(strstr(at.text, "\n    key: expected \"user/2\", is \"user/1\""));
    assert_non_null(strstr(at.text, "\n    onReply: expected null, is \"lent\""));
    assert_false(alv_test_expect_published(at.test, NULL));
    assert_false(alv_test_expect_published(at.test, ALV_JSON({"event": "lent"})));
    assert_non_null(strstr(at.text, "expected {\"event\":\"lent\"}, is nothing"));
    assert_false(alv_test_expect_timer(at.test, "late", 1, ALV_JSON({"type": "refuse"})));
    assert_non_null(strstr(at.text, "timer late of box/1"));
    assert_non_null(strstr(at.text, "due: expected 1, is 1767225605000"));
    assert_false(alv_test_expect_no_timer(at.test, NULL));
    assert_false(alv_test_expect_deleted(at.test));
    assert_non_null(strstr(at.text, "it was not deleted"));
    assert_false(alv_test_expect_rejected(at.test, "no"));
    assert_non_null(strstr(at.text, "expected \"no\", but it was accepted"));
    assert_false(alv_test_run_timer(at.test, "lates"));
    assert_non_null(
        strstr(at.text, "no timer \"lates\" is pending; there are [{\"name\":\"remind\""));
    assert_false(alv_test_on_reply(at.test, "user/9", NULL));
    assert_non_null(strstr(at.text, "no command to user/9 asked for its outcome; to come are [{"));
    close_test(&at, 10);
}

static void report__says_why_a_behavior_is_not_taken(void **state)
{
    (void)state;
    alv_behavior bad = box;
    bad.abi--;
    caught at;
    open_test(&at, &bad, "box/1");
    alv_test_when(at.test, ALV_JSON({"type": "put", "content": "a"}));
    assert_false(alv_test_expect_reply(at.test, NULL));
    assert_non_null(strstr(at.text, "(the behavior is not taken: a behavior was compiled against"));
    close_test(&at, 1);
}

static jmp_buf away;

static void leave(void *payload, const char *file, int line, const char *text)
{
    (void)payload;
    (void)file;
    (void)line;
    (void)text;
    longjmp(away, 1);
}

static void report__may_leave_the_test(void **state)
{
    (void)state;
    alv_test *test = alv_test_new(&box, "box/1");
    alv_test_on_failure(test, leave, NULL);
    if (setjmp(away) == 0) {
        alv_test_expect_state(test, ALV_JSON({"a": 1}));
        fail_msg("it did not leave");
    }
    assert_int_equal(alv_test_free(test), 1);
}

/* ---- tables -------------------------------------------------------------------------------------- */

static void table_good(alv_test *test)
{
    alv_test_when(test, ALV_JSON({"type": "put", "content": "a"}));
    alv_test_expect_state(test, ALV_JSON({"content": "a"}));
}

static void table_bad(alv_test *test)
{
    alv_test_expect_state(test, ALV_JSON({}));
}

static void table_told(void *payload, const alv_test_case *test, const char *report)
{
    alv_bytes_printf(payload, "%s:%s;", test->name, report[0] == '\0' ? "ok" : "not");
}

static void table__each_test_has_an_entity_of_its_own(void **state)
{
    (void)state;
    const alv_test_case tests[] = {{"good", &box, "box/1", table_good},
                                   {"bad", &box, "box/1", table_bad},
                                   {"again", &box, "box/1", table_good}};
    alv_bytes told = ALV_BYTES_EMPTY;
    assert_int_equal(alv_test_run_each(tests, 3, table_told, &told), 1);
    alv_bytes_append(&told, "", 1);
    assert_string_equal(told.data, "good:ok;bad:not;again:ok;");
    alv_bytes_done(&told);
    assert_int_equal(alv_test_run(tests, 1), 0);
}

/* ---- global tables ------------------------------------------------------------------------------- */

static void till_price(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    const char *what = json_string_value(json_object_get(command->body, "what"));
    const json_t *price = alv_table_get(effects, "prices", what);
    if (price == NULL) {
        alv_reject(effects, "%s has no price", what);
        return;
    }
    alv_set(effects, "price", json_incref((json_t *)(uintptr_t)price));
}

static const alv_command_row till_rows[] = {
    {.name = "price", .handler = till_price, .fields = {ALV_REQUIRED("what", ALV_FIELD_TEXT)}},
};
static const char *const till_tables[] = {"limits", "prices"};
static const alv_behavior till = {ALV_BEHAVIOR_HEAD,  .type = "till",        .commands = till_rows,
                                  .command_count = 1, .tables = till_tables, .table_count = 2};

static void test__rows_of_global_tables_are_given(void **state)
{
    (void)state;
    alv_test *test = alv_test_new(&till, "till/1");
    alv_test_when(test, ALV_JSON({"type": "price", "what": "tea"}));
    alv_test_expect_rejected(test, "tea has no price");
    assert_true(alv_test_given_row(test, "prices", "tea", ALV_JSON({"cents": 3})));
    alv_test_when(test, ALV_JSON({"type": "price", "what": "tea"}));
    alv_test_expect_state(test, ALV_JSON({"price": {"cents": 3}}));
    assert_true(alv_test_given_row(test, "prices", "tea", NULL));
    alv_test_when(test, ALV_JSON({"type": "price", "what": "tea"}));
    alv_test_expect_rejected(test, "tea has no price");
    assert_false(alv_test_given_row(test, "costs", "tea", ALV_JSON(1)));
    assert_int_equal(alv_test_free(test), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test__the_guide_s_first_example_passes),
        cmocka_unit_test(test__every_effect_can_be_expected),
        cmocka_unit_test(test__refusals_and_senders_reach_the_handler),
        cmocka_unit_test(test__what_a_node_would_bury_is_a_dead_letter),
        cmocka_unit_test(test__a_timer_that_is_refused_says_so),
        cmocka_unit_test(test__a_saga_is_tested_step_by_step),
        cmocka_unit_test(report__says_what_differs_and_where),
        cmocka_unit_test(report__says_what_was_sent_instead),
        cmocka_unit_test(report__says_why_a_behavior_is_not_taken),
        cmocka_unit_test(report__may_leave_the_test),
        cmocka_unit_test(test__rows_of_global_tables_are_given),
        cmocka_unit_test(table__each_test_has_an_entity_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
