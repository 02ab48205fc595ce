/* alluvium/behavior_test.h — tests of a behavior without a broker: given a state, when a command, then effects.
 *
 *     static void greets(alv_test *test)
 *     {
 *         alv_test_given(test, ALV_JSON({"count": 1}));
 *         alv_test_when(test, ALV_JSON({"type": "greet", "name": "Eve"}));
 *         alv_test_expect_state(test, ALV_JSON({"count": 2}));
 *         alv_test_expect_reply(test, ALV_JSON({"count": 2}));
 *         alv_test_expect_nothing_more(test);
 *     }
 *
 *     static const alv_test_case tests[] = {{"greets", &greeter, "greeter/1", greets}};
 *     int main(void) { return alv_test_run(tests, 1) > 0; }
 *
 * Commands go the way they go in a node, through the same code: they are checked, executed, and their effects
 * committed, with a log and a store in memory. So what is a dead letter there is one here, limits hold, and what a
 * later command finds is what was encoded and read back.
 *
 * Link a test program with `pkg-config --libs alluvium-test`; tests that stand in a library (alv_behavior_library)
 * need no linking: the program that runs them has these functions too.
 *
 * Thread: a test belongs to one thread; several threads may have one each.
 * Values: "steals" and "borrowed" as in alluvium/behavior.h. A NULL where JSON is wanted, unless it has a meaning,
 *         and text that is no JSON fail the expectation or become what a client would have sent: a dead letter.
 * Fails:  an expectation that does not hold is reported with file, line and what differs, and the test goes on.
 *         Where reports go: alv_test_on_failure.
 */
#ifndef ALLUVIUM_BEHAVIOR_TEST_H
#define ALLUVIUM_BEHAVIOR_TEST_H

#include <alluvium/behavior.h>

#ifdef __cplusplus
extern "C" {
#endif

/* JSON as it is written, a new reference: ALV_JSON({"items": [1, 2], "open": true}). */
#define ALV_JSON(...) alv_test_json(#__VA_ARGS__)
ALV_PUBLIC json_t *alv_test_json(const char *text);

/* ---- a test ---------------------------------------------------------------------------------- */

/* One entity, which does not exist yet, at ALV_TEST_START_MS. `key` is its whole key. */
#define ALV_TEST_START_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
ALV_PUBLIC alv_test *alv_test_new(const alv_behavior *behavior, const char *key);

/* The number of expectations that did not hold. NULL is fine. */
ALV_PUBLIC int alv_test_free(alv_test *test);

/* Where reports go instead of stderr. `text` is borrowed, its lines after the first are indented. It may leave by
 * longjmp, as cmocka's fail does: the test can still be freed, and leaks nothing. */
typedef void (*alv_test_failed)(void *payload, const char *file, int line, const char *text);
ALV_PUBLIC void alv_test_on_failure(alv_test *test, alv_test_failed failed, void *payload);

/* Runs tests, each with an entity of its own, and prints to stdout how each went. The number of those that
 * failed. */
ALV_PUBLIC int alv_test_run(const alv_test_case *tests, size_t count);

/* ---- given ----------------------------------------------------------------------------------- */

/* The entity has this state, as if earlier commands had left it. Steals; NULL = it does not exist. Its timers stay. */
ALV_PUBLIC void alv_test_given(alv_test *test, json_t *state);

/* A global table that the behavior names has this row (steals; NULL = it has none), for the commands that follow.
 * False: the behavior does not name this table, and its lookups there are rejected. */
ALV_PUBLIC bool alv_test_given_row(alv_test *test, const char *table, const char *key,
                                   json_t *value);

/* The same, of an earlier version of the behavior (or a later one, which no handler is given). */
ALV_PUBLIC void alv_test_given_version(alv_test *test, uint32_t version, json_t *state);

/* The time of the commands that follow. */
ALV_PUBLIC void alv_test_at(alv_test *test, int64_t now_ms);

/* ---- when ------------------------------------------------------------------------------------ */

/* A command from outside; somebody waits for its reply. Steals. Each `when` forgets what the last one sent. */
ALV_PUBLIC void alv_test_when(alv_test *test, json_t *command);

/* The same, emitted by the entity `from` (NULL = from outside), with an idempotency key (NULL = none). */
ALV_PUBLIC void alv_test_when_from(alv_test *test, const char *from, const char *idempotency_key,
                                   json_t *command);

/* The time moves on to when the timer is due, unless it has passed, and all that is due by then fires, in its
 * order. A failure when no timer of that name is pending. */
#define alv_test_run_timer(test, name) alv_test_run_timer_at(__FILE__, __LINE__, test, name)
ALV_PUBLIC bool alv_test_run_timer_at(const char *file, int line, alv_test *test, const char *name);

/* The entity `key`, to which a command was emitted whose outcome this entity asked for, accepted it with this reply
 * (steals; NULL = none), or refused it. The oldest such command that was not answered yet is; a failure when there
 * is none. */
#define alv_test_on_reply(test, key, reply) \
    alv_test_on_reply_at(__FILE__, __LINE__, test, key, reply)
ALV_PUBLIC bool alv_test_on_reply_at(const char *file, int line, alv_test *test, const char *key,
                                     json_t *reply);
#define alv_test_on_refusal(test, key, error) \
    alv_test_on_refusal_at(__FILE__, __LINE__, test, key, error)
ALV_PUBLIC bool alv_test_on_refusal_at(const char *file, int line, alv_test *test, const char *key,
                                       const char *error);

/* ---- then: all are true when the expectation holds ------------------------------------------- */

/* The whole state. Steals; NULL = the entity does not exist. */
#define alv_test_expect_state(test, expected) \
    alv_test_expect_state_at(__FILE__, __LINE__, test, expected)
ALV_PUBLIC bool alv_test_expect_state_at(const char *file, int line, alv_test *test,
                                         json_t *expected);

/* The command was accepted, with this reply. Steals; NULL = it gave none. */
#define alv_test_expect_reply(test, expected) \
    alv_test_expect_reply_at(__FILE__, __LINE__, test, expected)
ALV_PUBLIC bool alv_test_expect_reply_at(const char *file, int line, alv_test *test,
                                         json_t *expected);

/* The handler rejected it, with exactly this text. */
#define alv_test_expect_rejected(test, text) \
    alv_test_expect_rejected_at(__FILE__, __LINE__, test, text)
ALV_PUBLIC bool alv_test_expect_rejected_at(const char *file, int line, alv_test *test,
                                            const char *text);

/* It became a dead letter, for this reason: "bad-field", "unknown-type", "state-too-large", ... */
#define alv_test_expect_dead_letter(test, reason) \
    alv_test_expect_dead_letter_at(__FILE__, __LINE__, test, reason)
ALV_PUBLIC bool alv_test_expect_dead_letter_at(const char *file, int line, alv_test *test,
                                               const char *reason);

/* The next command that it emitted, with the arguments of alv_emit. Steals `command`. */
#define alv_test_expect_emitted(test, key, command, idempotency_key, on_reply) \
    alv_test_expect_emitted_at(__FILE__, __LINE__, test, key, command, idempotency_key, on_reply)
ALV_PUBLIC bool alv_test_expect_emitted_at(const char *file, int line, alv_test *test,
                                           const char *key, json_t *command,
                                           const char *idempotency_key, const char *on_reply);

/* The next event that it published. Steals. */
#define alv_test_expect_published(test, event) \
    alv_test_expect_published_at(__FILE__, __LINE__, test, event)
ALV_PUBLIC bool alv_test_expect_published_at(const char *file, int line, alv_test *test,
                                             json_t *event);

/* A timer that is pending now, with the arguments of alv_timer_set. Steals `command`. */
#define alv_test_expect_timer(test, name, due_ms, command) \
    alv_test_expect_timer_at(__FILE__, __LINE__, test, name, due_ms, command)
ALV_PUBLIC bool alv_test_expect_timer_at(const char *file, int line, alv_test *test,
                                         const char *name, int64_t due_ms, json_t *command);

/* No timer of this name is pending; of any name, with NULL. */
#define alv_test_expect_no_timer(test, name) \
    alv_test_expect_no_timer_at(__FILE__, __LINE__, test, name)
ALV_PUBLIC bool alv_test_expect_no_timer_at(const char *file, int line, alv_test *test,
                                            const char *name);

/* The last `when` deleted the entity. */
#define alv_test_expect_deleted(test) alv_test_expect_deleted_at(__FILE__, __LINE__, test)
ALV_PUBLIC bool alv_test_expect_deleted_at(const char *file, int line, alv_test *test);

/* The last `when` emitted and published nothing beyond what was expected of it, and was not rejected or a dead letter
 * unless that was expected. */
#define alv_test_expect_nothing_more(test) alv_test_expect_nothing_more_at(__FILE__, __LINE__, test)
ALV_PUBLIC bool alv_test_expect_nothing_more_at(const char *file, int line, alv_test *test);

/* ---- for expectations of one's own; borrowed until the next `given` or `when` ------------------ */

ALV_PUBLIC const json_t *alv_test_state(const alv_test *test); /* NULL = it does not exist */
ALV_PUBLIC const json_t *alv_test_reply(const alv_test *test); /* NULL = none */
ALV_PUBLIC int64_t alv_test_now(const alv_test *test);

#ifdef __cplusplus
}
#endif

#endif
