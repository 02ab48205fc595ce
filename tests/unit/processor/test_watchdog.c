/* Goal:   a handler that does not return is noticed, once it has taken as long as it may, and nothing else is taken
 *         for one: commands that wait for the store, quick ones, a process that was stopped in a handler.
 * Method: marks are set by hand, time is moved by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/logger.h"
#include "processor/watchdog.h"
#include "tests/support/scratch.h"

#define TIMEOUT_MS 1000
#define LOOK_MS 50
#define LANES 2

static struct {
    char *directory;
    alv_crash_mark *mark;
    alv_manual_clock clock;
    alv_watchdog *watchdog;
    int stuck[LANES]; /* how often each lane was */
} stage;

static void note_stuck(void *payload, int32_t lane)
{
    (void)payload;
    stage.stuck[lane]++;
}

static void watch(int64_t timeout_ms)
{
    const alv_watchdog_options options = {.mark = stage.mark,
                                          .clock = &stage.clock.clock,
                                          .lane_count = LANES,
                                          .timeout_ms = timeout_ms,
                                          .stuck = note_stuck};
    alv_watchdog_free(stage.watchdog);
    stage.watchdog = alv_watchdog_new(&options);
}

static int setup(void **state)
{
    (void)state;
    alv_log_set_level(ALV_LOG_ERROR);
    stage.directory = alv_scratch_make();
    assert_int_equal(alv_crash_mark_open(stage.directory, &stage.mark, NULL), ALV_OK);
    alv_manual_clock_init(&stage.clock, 1700000000000);
    stage.watchdog = NULL;
    watch(TIMEOUT_MS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    alv_watchdog_free(stage.watchdog);
    alv_crash_mark_close(stage.mark);
    alv_scratch_remove(stage.directory);
    stage.stuck[0] = stage.stuck[1] = 0;
    return 0;
}

static void enter(int32_t lane, int64_t offset)
{
    alv_crash_mark_set(stage.mark, lane, 3, offset);
    alv_crash_mark_enter_handler(stage.mark, lane);
}

static void leave(int32_t lane)
{
    alv_crash_mark_leave_handler(stage.mark, lane);
    alv_crash_mark_clear(stage.mark, lane);
}

static void look_for(int64_t time_ms)
{
    for (int64_t passed_ms = 0; passed_ms < time_ms; passed_ms += LOOK_MS) {
        alv_manual_clock_advance(&stage.clock, LOOK_MS);
        alv_watchdog_look(stage.watchdog);
    }
}

static void watchdog__notices_a_handler_that_does_not_return(void **state)
{
    (void)state;
    enter(1, 42);
    look_for(TIMEOUT_MS); /* seen for one look less: when it began is not known */
    assert_int_equal(stage.stuck[1], 0);
    look_for(LOOK_MS);
    assert_int_equal(stage.stuck[1], 1);
    assert_int_equal(stage.stuck[0], 0);
}

static void watchdog__lets_a_command_wait_for_the_store(void **state)
{
    (void)state;
    alv_crash_mark_set(stage.mark, 0, 3, 42);
    look_for(10 * TIMEOUT_MS);
    assert_int_equal(stage.stuck[0], 0);
}

static void watchdog__begins_anew_with_each_call(void **state)
{
    (void)state;
    for (int64_t offset = 0; offset < 10; offset++) {
        enter(0, offset);
        look_for(TIMEOUT_MS);
        if (offset % 2 == 0) {
            leave(0);
            look_for(LOOK_MS);
        }
    }
    for (int i = 0; i < 10; i++) { /* the same again and again */
        enter(0, 100);
        look_for(TIMEOUT_MS);
        leave(0);
        look_for(LOOK_MS);
    }
    assert_int_equal(stage.stuck[0], 0);
}

static void watchdog__counts_no_time_in_which_the_process_stood_still(void **state)
{
    (void)state;
    enter(0, 42);
    look_for(LOOK_MS);
    for (int64_t seen_ms = 0; seen_ms + ALV_WATCHDOG_LOOK_MS < TIMEOUT_MS;
         seen_ms += ALV_WATCHDOG_LOOK_MS) {
        alv_manual_clock_advance(&stage.clock, 100 * TIMEOUT_MS);
        alv_watchdog_look(stage.watchdog);
    }
    assert_int_equal(stage.stuck[0], 0);
    look_for(2 * ALV_WATCHDOG_LOOK_MS);
    assert_int_equal(stage.stuck[0], 1);
}

static void watchdog__can_be_turned_off(void **state)
{
    (void)state;
    watch(0);
    enter(0, 42);
    look_for(100 * TIMEOUT_MS);
    assert_int_equal(stage.stuck[0], 0);
}

/* The process before died in a handler; this one is in none. */
static void watchdog__knows_nothing_of_a_former_process(void **state)
{
    (void)state;
    alv_crash_mark *again = NULL;
    enter(0, 42);
    assert_int_equal(alv_crash_mark_open(stage.directory, &again, NULL), ALV_OK);
    assert_false(alv_crash_mark_hand(again, 0).is_in_handler);
    alv_crash_mark_close(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STAGED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        STAGED(watchdog__notices_a_handler_that_does_not_return),
        STAGED(watchdog__lets_a_command_wait_for_the_store),
        STAGED(watchdog__begins_anew_with_each_call),
        STAGED(watchdog__counts_no_time_in_which_the_process_stood_still),
        STAGED(watchdog__can_be_turned_off),
        STAGED(watchdog__knows_nothing_of_a_former_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
