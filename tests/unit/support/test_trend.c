/* Goal:   whoever says after an hour that memory is flat is right: slow growth is seen among ups and downs, and wild
 *         samples are not taken for growth.
 * Method: series whose slope is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/trend.h"

#define SAMPLES 360 /* an hour, every 10 s */

static const alv_trend_slack slack = {.value = 4, .share = 0.05};

static alv_trend_point points[SAMPLES * 20];

/* 100 with a saw of 20 on it, and `per_hour` more with time. */
static void fill(size_t count, double per_hour)
{
    for (size_t i = 0; i < count; i++) {
        double at_s = (double)i * 10;
        points[i] =
            (alv_trend_point){at_s, 100 + (double)(i % 30) / 29 * 20 + per_hour * at_s / 3600};
    }
}

static const char *verdict(size_t count)
{
    alv_trend trend = alv_trend_of(points, count);
    return alv_trend_verdict(&trend, &slack);
}

static void trend__sees_slow_growth_under_a_saw(void **state)
{
    (void)state;
    fill(SAMPLES, 12);
    alv_trend trend = alv_trend_of(points, SAMPLES);
    assert_true(trend.per_hour > 10 && trend.per_hour < 14);
    assert_string_equal(alv_trend_verdict(&trend, &slack), "grows by 12 an hour");
    assert_true(trend.first < trend.middle && trend.middle < trend.last);
}

static void trend__calls_a_saw_flat(void **state)
{
    (void)state;
    fill(SAMPLES, 0);
    assert_string_equal(verdict(SAMPLES), "flat");
}

static void trend__does_not_mind_wild_samples_and_gaps(void **state)
{
    (void)state;
    fill(SAMPLES, 0);
    for (size_t i = 0; i < SAMPLES; i += 3) {
        points[i].value = NAN;
    }
    points[SAMPLES - 1].value = points[SAMPLES - 2].value = points[SAMPLES - 40].value = 5000;
    assert_string_equal(verdict(SAMPLES), "flat");
}

static void trend__does_not_count_what_fills_up_at_first(void **state)
{
    (void)state;
    fill(SAMPLES, 0);
    for (size_t i = 0; i < SAMPLES / 2; i++) {
        points[i].value *= (double)i / (SAMPLES / 2);
    }
    assert_string_equal(verdict(SAMPLES), "flat");
}

static void trend__sees_what_falls(void **state)
{
    (void)state;
    fill(SAMPLES, -30);
    assert_memory_equal(verdict(SAMPLES), "falls by ", strlen("falls by "));
}

static void trend__takes_a_day_of_samples(void **state)
{
    (void)state;
    fill(SAMPLES * 20, 12);
    assert_memory_equal(verdict(SAMPLES * 20), "grows by 12", strlen("grows by 12"));
}

static void trend__does_not_judge_a_few_minutes(void **state)
{
    (void)state;
    fill(30, 1000);
    assert_string_equal(verdict(30), "too short to tell");
    alv_trend none = alv_trend_of(points, 0);
    assert_true(isnan(none.last) && isnan(none.per_hour));
    assert_string_equal(alv_trend_verdict(&none, &slack), "too short to tell");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trend__sees_slow_growth_under_a_saw),
        cmocka_unit_test(trend__calls_a_saw_flat),
        cmocka_unit_test(trend__does_not_mind_wild_samples_and_gaps),
        cmocka_unit_test(trend__does_not_count_what_fills_up_at_first),
        cmocka_unit_test(trend__sees_what_falls),
        cmocka_unit_test(trend__takes_a_day_of_samples),
        cmocka_unit_test(trend__does_not_judge_a_few_minutes),
    };
    return cmocka_run_group_tests_name("trend", tests, NULL, NULL);
}
