/* Goal:   every number that we write is read back, and nothing that we would not write.
 * Method: the edges of the range and a table of near misses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>

#include "base/decimal.h"

static void take__reads_what_was_written(void **state)
{
    (void)state;
    static const int64_t numbers[] = {
        0, 1, -1, 7, 10, -10, 123456789, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        alv_bytes text = ALV_BYTES_EMPTY;
        int64_t read = 5;
        alv_bytes_printf(&text, "%" PRId64 ",", numbers[i]);
        alv_view rest = alv_bytes_view(&text);
        assert_true(alv_decimal_take(&rest, &read));
        assert_true(read == numbers[i]);
        assert_true(alv_view_equal(rest, ALV_VIEW(",")));
        alv_bytes_done(&text);
    }
}

static void take__refuses_what_nobody_writes(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "-",
                                        "+1",
                                        " 1",
                                        "007",
                                        "-01",
                                        "-0",
                                        "x",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t read = 5;
        alv_view rest = alv_view_of(texts[i]);
        if (alv_decimal_take(&rest, &read)) {
            fail_msg("\"%s\" was taken", texts[i]);
        }
        assert_true(read == 5);
        assert_true(alv_view_equal(rest, alv_view_of(texts[i])));
    }
}

static void take__ends_where_the_text_ends(void **state)
{
    (void)state;
    int64_t read = 5;
    alv_view rest = {"123", 2};
    assert_true(alv_decimal_take(&rest, &read));
    assert_int_equal(read, 12);
    assert_int_equal(rest.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__reads_what_was_written),
        cmocka_unit_test(take__refuses_what_nobody_writes),
        cmocka_unit_test(take__ends_where_the_text_ends),
    };
    return cmocka_run_group_tests_name("decimal", tests, NULL, NULL);
}
