/* Goal:   an alv_error keeps the first cause as one line of UTF-8, and NULL is accepted everywhere.
 * Method: fill errors with the texts other libraries produce and look at what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"

static void fail__fills_the_error_and_returns_the_status(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    int line = __LINE__ + 1;
    assert_int_equal(alv_fail(&err, ALV_RETRY, "broker %s is away", "b1"), ALV_RETRY);
    assert_int_equal(err.status, ALV_RETRY);
    assert_string_equal(err.source, "alluvium");
    assert_int_equal(err.code, 0);
    assert_string_equal(err.file, __FILE__);
    assert_int_equal(err.line, line);
    assert_string_equal(err.text, "broker b1 is away");
}

static void fail__keeps_the_first_cause(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail_from(&err, ALV_ABORT, "rdkafka", -185, "timed out");
    assert_int_equal(alv_fail(&err, ALV_FATAL, "clean-up failed"), ALV_FATAL);
    assert_int_equal(err.status, ALV_ABORT);
    assert_int_equal(err.code, -185);
    assert_string_equal(err.text, "timed out");
}

static void fail__without_an_error_returns_the_status(void **state)
{
    (void)state;
    assert_int_equal(alv_fail(NULL, ALV_FENCED, "%s", "unwanted"), ALV_FENCED);
    alv_error_clear(NULL);
}

static void clear__makes_room_for_the_next_cause(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail(&err, ALV_ABORT, "first");
    alv_error_clear(&err);
    assert_int_equal(err.status, ALV_OK);
    assert_string_equal(err.text, "");
    (void)alv_fail(&err, ALV_REJECT, "second");
    assert_string_equal(err.text, "second");
}

static void text__is_one_line(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail_from(&err, ALV_RETRY, "libpq", 7, "%s", "ERROR:  no table\nLINE 1: x\n\n");
    assert_string_equal(err.text, "ERROR:  no table LINE 1: x");
}

static void text__is_cut_between_characters(void **state)
{
    (void)state;
    char text[ALV_ERROR_TEXT_BYTES * 2];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[sizeof text - 2] = '\0';
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail(&err, ALV_REJECT, "%s", text);
    assert_int_equal(strlen(err.text), ALV_ERROR_TEXT_BYTES - 2);
    assert_true(alv_utf8_valid(err.text, strlen(err.text)));
}

static void text__is_utf8_whatever_came_in(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail(&err, ALV_REJECT, "key %s!", "a\xff\xc0\x80z\xed\xa0\x80.");
    assert_true(alv_utf8_valid(err.text, strlen(err.text)));
    assert_string_equal(err.text, "key a?"
                                  "?"
                                  "?z?"
                                  "?"
                                  "?.!");
}

static void name__is_known_for_each_status(void **state)
{
    (void)state;
    assert_string_equal(alv_status_name(ALV_OK), "ok");
    assert_string_equal(alv_status_name(ALV_RETRY), "retry");
    assert_string_equal(alv_status_name(ALV_REJECT), "reject");
    assert_string_equal(alv_status_name(ALV_ABORT), "abort");
    assert_string_equal(alv_status_name(ALV_FENCED), "fenced");
    assert_string_equal(alv_status_name(ALV_FATAL), "fatal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail__fills_the_error_and_returns_the_status),
        cmocka_unit_test(fail__keeps_the_first_cause),
        cmocka_unit_test(fail__without_an_error_returns_the_status),
        cmocka_unit_test(clear__makes_room_for_the_next_cause),
        cmocka_unit_test(text__is_one_line),
        cmocka_unit_test(text__is_cut_between_characters),
        cmocka_unit_test(text__is_utf8_whatever_came_in),
        cmocka_unit_test(name__is_known_for_each_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
