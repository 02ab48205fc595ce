/* Goal:   the system's clock runs, the manual one stands still until it is moved, times read well.
 * Method: direct calls; known instants for the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"

static void system__runs_forward_in_this_century(void **state)
{
    (void)state;
    const alv_clock *clock = alv_clock_system();
    assert_true(alv_now_ms(clock) > INT64_C(1700000000000));
    int64_t first_us = alv_monotonic_us(clock);
    while (alv_monotonic_us(clock) == first_us)
        continue;
    assert_true(alv_monotonic_us(clock) > first_us);
}

static void manual__moves_only_when_told(void **state)
{
    (void)state;
    alv_manual_clock manual;
    alv_manual_clock_init(&manual, 1234567);
    assert_int_equal(alv_now_ms(&manual.clock), 1234567);
    assert_int_equal(alv_now_ms(&manual.clock), 1234567);
    int64_t before_us = alv_monotonic_us(&manual.clock);
    alv_manual_clock_advance(&manual, 500);
    assert_int_equal(alv_now_ms(&manual.clock), 1235067);
    assert_int_equal(alv_monotonic_us(&manual.clock) - before_us, 500000);
}

static void format__writes_iso_8601_in_utc(void **state)
{
    (void)state;
    static const struct {
        int64_t time_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {INT64_C(951782400007), "2000-02-29T00:00:00.007Z"},
        {INT64_C(1795255200123), "2026-11-21T10:00:00.123Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
        {INT64_C(253402300800000), ""}, /* the year 10000 */
        {INT64_MAX, ""},
        {INT64_MIN, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[ALV_CLOCK_TEXT_BYTES];
        assert_ptr_equal(alv_clock_format(cases[i].time_ms, text), text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system__runs_forward_in_this_century),
        cmocka_unit_test(manual__moves_only_when_told),
        cmocka_unit_test(format__writes_iso_8601_in_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
