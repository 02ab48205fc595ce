/* Goal:   I1 to I11 hold whatever happens to nodes, brokers, PostgreSQL, disks and clocks (sim_run.h).
 * Method: a fixed set of simulated runs, which found something once or cover much, and as many fresh ones. A run
 *         that fails ends the process after it has said why and how to repeat it; ALLUVIUM_TEST_SEED=N makes the
 *         fresh ones begin with N.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/logger.h"
#include "tests/sim/sim_run.h"

#define FIXED_SEEDS 200
#define FRESH_SEEDS 200

static void schedules_run(uint64_t first, int count)
{
    sim_stats stats = {.runs = 0};
    for (int i = 0; i < count; i++) {
        sim_run(first + (uint64_t)i, &stats);
    }
    sim_stats_print(&stats, 0);
    assert_int_equal(stats.runs, count);
    assert_true(stats.executions > 100 * (int64_t)count);
    assert_true(stats.crashes > 0 && stats.freezes > 0 && stats.evictions > 0);
}

static void schedules__hold_for_a_fixed_set(void **state)
{
    (void)state;
    schedules_run(1, FIXED_SEEDS);
}

static void schedules__hold_for_fresh_seeds(void **state)
{
    (void)state;
    const char *wanted = getenv("ALLUVIUM_TEST_SEED");
    uint64_t first = wanted != NULL ? strtoull(wanted, NULL, 10)
                                    : (uint64_t)alv_now_ms(alv_clock_system()) * 1000;
    printf("seeds from %" PRIu64 " on\n", first);
    (void)fflush(stdout);
    schedules_run(first, FRESH_SEEDS);
}

int main(void)
{
    alv_log_set_level(ALV_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules__hold_for_a_fixed_set),
        cmocka_unit_test(schedules__hold_for_fresh_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
