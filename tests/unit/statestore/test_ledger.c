/* Goal:   what a ledger remembers comes back from its record as it was, within its limits, and the index of
 *         timers sees when the earliest is due without reading the rest.
 * Method: fill, encode, decode, compare; every broken record is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "statestore/ledger.h"
#include "statestore/store.h"

static const alv_answer_policy few = {.count_max = 3, .retention_ms = 1000};
static const alv_answer_policy many = {.count_max = 1000, .retention_ms = INT64_MAX};

static void answer(alv_ledger *ledger, const char *key, int64_t at_ms, bool accepted,
                   const char *reply, const alv_answer_policy *policy)
{
    const alv_answer added = {.at_ms = at_ms, .accepted = accepted, .reply = alv_view_of(reply)};
    alv_ledger_add_answer(ledger, alv_view_of(key), &added, policy);
}

static bool set(alv_ledger *ledger, const char *name, int64_t due_ms, const char *command)
{
    const alv_timer timer = {.name = name, .due_ms = due_ms, .command = alv_view_of(command)};
    return alv_ledger_set_timer(ledger, &timer);
}

static void assert_encoded(const alv_ledger *ledger, const char *expected)
{
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_ledger_encode(ledger, &out);
    alv_bytes_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    alv_bytes_done(&out);
}

/* The same from its record. Takes it. */
static alv_ledger *again(alv_ledger *ledger)
{
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_ledger *read = NULL;
    alv_ledger_encode(ledger, &out);
    assert_int_equal(alv_ledger_decode(alv_bytes_view(&out), &read, NULL), ALV_OK);
    assert_int_equal(alv_ledger_peek_due(alv_bytes_view(&out)), alv_ledger_due(ledger));
    alv_bytes_done(&out);
    alv_ledger_free(ledger);
    return read;
}

static void assert_answer(const alv_ledger *ledger, const char *key, int64_t at_ms,
                          const char *reply)
{
    alv_answer found;
    assert_true(alv_ledger_find_answer(ledger, alv_view_of(key), at_ms, &few, &found));
    assert_true(alv_view_equal(found.reply, alv_view_of(reply)));
}

static bool is_known(const alv_ledger *ledger, const char *key, int64_t at_ms)
{
    alv_answer found;
    return alv_ledger_find_answer(ledger, alv_view_of(key), at_ms, &few, &found);
}

static void ledger__writes_what_it_reads(void **state)
{
    (void)state;
    alv_ledger *ledger = alv_ledger_new();
    assert_encoded(ledger, "");
    answer(ledger, "a", 5, true, "{\"x\":[1,\"\\u00e9\"]}", &many);
    answer(ledger, "b\"\\\n\x01", 6, false, NULL, &many);
    assert_encoded(ledger, "{\"answers\":[{\"key\":\"a\",\"at\":5,\"accepted\":true,\"reply\":"
                           "{\"x\":[1,\"\\u00e9\"]}},{\"key\":\"b\\\"\\\\\\u000a\\u0001\",\"at\":6,"
                           "\"accepted\":false}]}");
    assert_true(set(ledger, "late", 900, "{\"type\":\"l\"}"));
    assert_true(set(ledger, "soon", -3, "{\"type\":\"s\"}"));
    ledger = again(ledger);
    assert_encoded(ledger,
                   "{\"due\":-3,\"timers\":[{\"name\":\"soon\",\"due\":-3,\"command\":"
                   "{\"type\":\"s\"}},{\"name\":\"late\",\"due\":900,\"command\":"
                   "{\"type\":\"l\"}}],\"answers\":[{\"key\":\"a\",\"at\":5,\"accepted\":true,"
                   "\"reply\":{\"x\":[1,\"é\"]}},{\"key\":\"b\\\"\\\\\\u000a\\u0001\","
                   "\"at\":6,\"accepted\":false}]}");
    assert_answer(ledger, "a", 5, "{\"x\":[1,\"é\"]}");
    assert_answer(ledger, "b\"\\\n\x01", 5, NULL);
    assert_true(alv_ledger_cancel_timers(ledger));
    assert_false(alv_ledger_cancel_timers(ledger));
    assert_int_equal(alv_ledger_due(ledger), ALV_DUE_NEVER);
    alv_ledger_free(ledger);
}

static void ledger__keeps_the_last_answers_for_a_time(void **state)
{
    (void)state;
    alv_ledger *ledger = alv_ledger_new();
    char key[8];
    for (int i = 0; i < 5; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        answer(ledger, key, 100 + i, true, "{}", &few);
    }
    assert_false(is_known(ledger, "k1", 104));
    assert_true(is_known(ledger, "k2", 104));
    assert_true(is_known(ledger, "k2", 102 + 1000));
    assert_false(is_known(ledger, "k2", 103 + 1000)); /* too old now */
    assert_true(is_known(ledger, "k2", -5000));       /* clocks of producers differ */
    answer(ledger, "k5", 103 + 1000, true, NULL, &few);
    assert_encoded(ledger,
                   "{\"answers\":[{\"key\":\"k3\",\"at\":103,\"accepted\":true,\"reply\":{}},"
                   "{\"key\":\"k4\",\"at\":104,\"accepted\":true,\"reply\":{}},"
                   "{\"key\":\"k5\",\"at\":1103,\"accepted\":true}]}");
    alv_ledger_free(ledger);
}

static void ledger__stays_small_enough_for_a_record(void **state)
{
    (void)state;
    alv_ledger *ledger = alv_ledger_new();
    char key[ALV_IDEMPOTENCY_KEY_BYTES_MAX + 1];
    char *reply = alv_alloc(ALV_LEDGER_REPLY_BYTES_MAX + 1);
    memset(reply, 'x', ALV_LEDGER_REPLY_BYTES_MAX);
    memcpy(reply, "{\"r\":\"", 6);
    memcpy(reply + ALV_LEDGER_REPLY_BYTES_MAX - 2, "\"}", 2);
    for (int i = 0; i < 500; i++) {
        memset(key, 1, sizeof key); /* the worst: each byte is written as six */
        key[sizeof key - 1] = '\0';
        (void)memcpy(key, &i, 1);
        key[0] = (char)('a' + i % 26);
        key[1] = (char)('a' + i / 26);
        answer(ledger, key, i, true, reply, &many);
    }
    for (int i = 0; i < ALV_LEDGER_TIMERS_MAX; i++) {
        (void)snprintf(key, sizeof key, "t%d", i);
        reply[ALV_LEDGER_TIMERS_BYTES_MAX / ALV_LEDGER_TIMERS_MAX - 256] = '\0';
        assert_true(set(ledger, key, i, "{}"));
    }
    assert_false(set(ledger, "one more", 0, "{}"));
    assert_true(set(ledger, "t5", 1, "{\"other\":true}"));
    assert_true(alv_ledger_cancel_timer(ledger, "t5"));
    assert_false(alv_ledger_cancel_timer(ledger, "t5"));
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_ledger_encode(ledger, &out);
    assert_true(out.size < ALV_STATE_BYTES_MAX);
    assert_true(out.size > ALV_LEDGER_ANSWERS_BYTES_MAX / 2);
    alv_bytes_done(&out);

    char *large = alv_alloc(ALV_LEDGER_TIMERS_BYTES_MAX + 16);
    memset(large, ' ', ALV_LEDGER_TIMERS_BYTES_MAX + 15);
    assert_false(set(ledger, "t6", 1, large));
    alv_free(large);
    alv_free(reply);
    alv_ledger_free(ledger);
}

static void ledger__gives_the_earliest_timer_first(void **state)
{
    (void)state;
    alv_ledger *ledger = alv_ledger_new();
    assert_true(set(ledger, "c", 30, "{}"));
    assert_true(set(ledger, "a", 10, "{}"));
    assert_true(set(ledger, "b", 10, "{}"));
    assert_true(set(ledger, "c", 5, "{}"));
    assert_true(set(ledger, "a", 10, "{\"again\":1}")); /* behind b now */
    const char *expected[] = {"c", "b", "a"};
    for (size_t i = 0; i < 3; i++) {
        alv_timer timer;
        assert_true(alv_ledger_first_timer(ledger, &timer));
        assert_string_equal(timer.name, expected[i]);
        assert_int_equal(alv_ledger_due(ledger), timer.due_ms);
        assert_true(alv_ledger_cancel_timer(ledger, expected[i]));
    }
    alv_timer timer;
    assert_false(alv_ledger_first_timer(ledger, &timer));
    alv_ledger_free(ledger);
}

static void ledger__knows_what_is_to_be_done(void **state)
{
    (void)state;
    alv_ledger *ledger = alv_ledger_new();
    assert_int_equal(alv_ledger_due(ledger), ALV_DUE_NEVER);
    assert_true(alv_ledger_set_expiry(ledger, (alv_expiry){900, 100}));
    assert_false(alv_ledger_set_expiry(ledger, (alv_expiry){900, 100}));
    assert_encoded(ledger, "{\"due\":900,\"expires\":900,\"touched\":100}");
    answer(ledger, "k", 1, true, "{}", &few);
    alv_ledger_set_forget_due(ledger, 800);
    assert_true(set(ledger, "t", 700, "{}"));
    ledger = again(ledger);
    assert_encoded(ledger, "{\"due\":700,\"expires\":900,\"touched\":100,\"forget\":800,"
                           "\"timers\":[{\"name\":\"t\",\"due\":700,\"command\":{}}],"
                           "\"answers\":[{\"key\":\"k\",\"at\":1,\"accepted\":true,"
                           "\"reply\":{}}]}");
    assert_int_equal(alv_ledger_timer_due(ledger), 700);
    assert_true(alv_ledger_cancel_timers(ledger));
    assert_int_equal(alv_ledger_due(ledger), 800);
    alv_ledger_forget_answers(ledger);
    assert_int_equal(alv_ledger_due(ledger), 900);
    ledger = again(ledger);
    assert_int_equal(alv_ledger_expiry(ledger).touched_ms, 100);
    assert_true(alv_ledger_set_expiry(ledger, ALV_EXPIRY_NEVER));
    assert_encoded(ledger, "");
    alv_ledger_free(ledger);
}

static void ledger__refuses_what_it_did_not_write(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "[]",
        "{",
        "{\"timers\":7}",
        "{\"answers\":{\"key\":\"a\",\"at\":1,\"accepted\":true}}",
        "{\"timers\":[1]}",
        "{\"timers\":[{\"name\":\"a\",\"due\":1}]}",
        "{\"timers\":[{\"name\":\"a\",\"due\":\"1\",\"command\":{}}]}",
        "{\"answers\":[{\"key\":\"\",\"at\":1,\"accepted\":true}]}",
        "{\"answers\":[{\"key\":\"a\",\"at\":1,\"accepted\":1}]}",
        "{\"expires\":\"1\"}",
        "{\"answers\":[{\"key\":\"a\",\"at\":1,\"accepted\":true,\"reply\":1}]}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        alv_ledger *ledger = NULL;
        alv_error err = ALV_ERROR_NONE;
        assert_int_equal(alv_ledger_decode(alv_view_of(broken[i]), &ledger, &err), ALV_REJECT);
        assert_null(ledger);
        assert_non_null(strstr(err.text, "not a ledger record"));
    }
    assert_int_equal(alv_ledger_peek_due(ALV_VIEW_NONE), ALV_DUE_NEVER);
    assert_int_equal(alv_ledger_peek_due(ALV_VIEW("{\"due\":")), ALV_DUE_NEVER);
    assert_int_equal(alv_ledger_peek_due(ALV_VIEW("{\"due\":99999999999999999999")), ALV_DUE_NEVER);
    assert_int_equal(alv_ledger_peek_due(ALV_VIEW("{\"due\":12,\"")), 12);
    assert_true(alv_ledger_peek_due(ALV_VIEW("{\"due\":-9223372036854775808,\"")) == INT64_MIN);
}

/* An answer of the longest size comes back, one that is a byte longer was not written by us. */
static void ledger__refuses_an_answer_that_is_too_long(void **state)
{
    (void)state;
    for (int longer = 0; longer < 2; longer++) {
        size_t letters = ALV_LEDGER_REPLY_BYTES_MAX - strlen("{\"x\":\"\"}") + (size_t)longer;
        char *text = alv_alloc(letters + 1);
        memset(text, 'y', letters);
        char *encoded = alv_format("{\"answers\":[{\"key\":\"a\",\"at\":1,\"accepted\":true,"
                                   "\"reply\":{\"x\":\"%s\"}}]}",
                                   text);
        alv_ledger *ledger = NULL;
        assert_int_equal(alv_ledger_decode(alv_view_of(encoded), &ledger, NULL),
                         longer == 0 ? ALV_OK : ALV_REJECT);
        assert_int_equal(ledger != NULL, longer == 0);
        alv_ledger_free(ledger);
        alv_free(encoded);
        alv_free(text);
    }
}

/* The order of the keys is the order of time. */
static void index__is_ordered_by_time(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN,     -2,           -1, 0, 1, 255, 256,
                                    1700000000000, INT64_MAX - 1};
    alv_bytes before = ALV_BYTES_EMPTY;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        alv_bytes key = ALV_BYTES_EMPTY;
        alv_store_timer_key(times[i], ALV_VIEW("user/1"), &key);
        int64_t due = 0;
        alv_view entity;
        assert_true(alv_store_timer_key_read(alv_bytes_view(&key), &due, &entity));
        assert_int_equal(due, times[i]);
        assert_true(alv_view_equal(entity, ALV_VIEW("user/1")));
        assert_true(i == 0 || memcmp(before.data, key.data, 8) < 0);
        alv_bytes_done(&before);
        before = key;
    }
    alv_bytes_done(&before);
    int64_t due;
    alv_view entity;
    assert_false(alv_store_timer_key_read(ALV_VIEW("12345678"), &due, &entity));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ledger__writes_what_it_reads),
        cmocka_unit_test(ledger__keeps_the_last_answers_for_a_time),
        cmocka_unit_test(ledger__stays_small_enough_for_a_record),
        cmocka_unit_test(ledger__gives_the_earliest_timer_first),
        cmocka_unit_test(ledger__knows_what_is_to_be_done),
        cmocka_unit_test(ledger__refuses_what_it_did_not_write),
        cmocka_unit_test(ledger__refuses_an_answer_that_is_too_long),
        cmocka_unit_test(index__is_ordered_by_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
