/* Goal: percentiles of many times are right to within 1/128, from one microsecond to minutes.
 *
 * Method: times whose order is known, over the whole range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "cli/cli_bench_latency.h"

static void latency__none_is_zero(void **state)
{
    (void)state;
    alv_cli_bench_latency *latency = alv_alloc(sizeof *latency);
    assert_int_equal(alv_cli_bench_latency_at(latency, 0.5), 0);
    assert_int_equal(alv_cli_bench_latency_at(latency, 1), 0);
    alv_free(latency);
}

static void latency__small_times_are_exact(void **state)
{
    (void)state;
    alv_cli_bench_latency *latency = alv_alloc(sizeof *latency);
    for (int64_t us = 1; us <= 100; us++) {
        alv_cli_bench_latency_add(latency, us);
    }
    assert_int_equal(alv_cli_bench_latency_at(latency, 0.5), 50);
    assert_int_equal(alv_cli_bench_latency_at(latency, 0.99), 99);
    assert_int_equal(alv_cli_bench_latency_at(latency, 0.999), 100);
    assert_int_equal(alv_cli_bench_latency_at(latency, 1), 100);
    alv_free(latency);
}

/* The second of three, so that no maximum covers up for it. */
static void latency__every_time_is_close(void **state)
{
    (void)state;
    for (int64_t us = 1; us < ALV_CLI_BENCH_LATENCY_MAX_US; us += us / 50 + 1) {
        alv_cli_bench_latency *latency = alv_alloc(sizeof *latency);
        alv_cli_bench_latency_add(latency, 0);
        alv_cli_bench_latency_add(latency, us);
        alv_cli_bench_latency_add(latency, INT64_MAX);
        int64_t found = alv_cli_bench_latency_at(latency, 0.5);
        assert_true(found >= us);
        assert_true(found <= us + us / ALV_CLI_BENCH_LATENCY_STEPS);
        assert_int_equal(alv_cli_bench_latency_at(latency, 1), ALV_CLI_BENCH_LATENCY_MAX_US);
        alv_free(latency);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency__none_is_zero),
        cmocka_unit_test(latency__small_times_are_exact),
        cmocka_unit_test(latency__every_time_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
