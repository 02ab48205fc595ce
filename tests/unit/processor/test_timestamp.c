/* Goal:   times read as ISO 8601, for every day that the notation has, and nothing else is written.
 * Method: the C library as the judge, day by day from year 0 to 9999 and at random moments; edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "include/alluvium/behavior.h"

#define FIRST_MS (-62167219200000)
#define LAST_MS 253402300799999
#define DAY_MS 86400000

static void assert_as_the_library(int64_t time_ms)
{
    int64_t ms = ((time_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((time_ms - ms) / 1000);
    struct tm tm;
    assert_non_null(gmtime_r(&seconds, &tm));
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                   tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                   (int)ms);
    char text[ALV_TIMESTAMP_BYTES];
    if (!alv_timestamp_format(time_ms, text) || strcmp(text, expected) != 0)
        fail_msg("%lld: %s, expected %s", (long long)time_ms, text, expected);
}

static void assert_written(int64_t time_ms, const char *expected)
{
    char text[ALV_TIMESTAMP_BYTES];
    assert_true(alv_timestamp_format(time_ms, text));
    assert_string_equal(text, expected);
}

static void timestamp__reads_as_iso_8601(void **unused)
{
    (void)unused;
    assert_written(0, "1970-01-01T00:00:00.000Z");
    assert_written(-1, "1969-12-31T23:59:59.999Z");
    assert_written(1767323045678, "2026-01-02T03:04:05.678Z");
    assert_written(951782400000, "2000-02-29T00:00:00.000Z");
    assert_written(FIRST_MS, "0000-01-01T00:00:00.000Z");
    assert_written(LAST_MS, "9999-12-31T23:59:59.999Z");
}

static void timestamp__refuses_what_it_cannot_express(void **unused)
{
    (void)unused;
    const int64_t beyond[] = {FIRST_MS - 1, LAST_MS + 1, INT64_MIN, INT64_MIN + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        char text[ALV_TIMESTAMP_BYTES] = "x";
        assert_false(alv_timestamp_format(beyond[i], text));
        assert_string_equal(text, "");
    }
}

static void timestamp__agrees_with_the_library_on_every_seventh_day(void **unused)
{
    (void)unused;
    for (int64_t day_ms = FIRST_MS; day_ms < LAST_MS; day_ms += 7 * (int64_t)DAY_MS)
        assert_as_the_library(day_ms);
    for (int64_t year = 1890; year < 2110; year++) { /* every day, first and last ms */
        int64_t start_ms = (year - 1970) * 365 * DAY_MS;
        for (int64_t day = 0; day < 366; day++) {
            assert_as_the_library(start_ms + day * DAY_MS);
            assert_as_the_library(start_ms + day * DAY_MS - 1);
        }
    }
}

static void timestamp__agrees_with_the_library_at_random(void **unused)
{
    (void)unused;
    uint64_t random = 20260102;
    for (int i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        assert_as_the_library(FIRST_MS + (int64_t)((random >> 1) % (uint64_t)(LAST_MS - FIRST_MS)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamp__reads_as_iso_8601),
        cmocka_unit_test(timestamp__refuses_what_it_cannot_express),
        cmocka_unit_test(timestamp__agrees_with_the_library_on_every_seventh_day),
        cmocka_unit_test(timestamp__agrees_with_the_library_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
