/* Goal:   waits double from the shortest to the longest, with half of each step left to chance.
 * Method: time is an argument; many seeds, each wait checked against its step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/backoff.h"
#include "base/limits.h"

#define NOW_MS 1000000

static int64_t step_ms(int failures)
{
    int64_t step = ALV_BACKOFF_FIRST_MS;
    for (int i = 1; i < failures; i++)
        step = step * 2 < ALV_BACKOFF_MAX_MS ? step * 2 : ALV_BACKOFF_MAX_MS;
    return step;
}

static void failed__waits_between_half_a_step_and_a_step(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        alv_backoff backoff;
        alv_backoff_init(&backoff, seed);
        for (int failures = 1; failures <= 12; failures++) {
            int64_t wait_ms = alv_backoff_failed(&backoff, NOW_MS) - NOW_MS;
            assert_true(wait_ms >= step_ms(failures) / 2);
            assert_true(wait_ms <= step_ms(failures));
        }
    }
}

static void failed__differs_between_seeds(void **state)
{
    (void)state;
    int64_t smallest = INT64_MAX;
    int64_t largest = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        alv_backoff backoff;
        alv_backoff_init(&backoff, seed);
        int64_t wait_ms = alv_backoff_failed(&backoff, NOW_MS) - NOW_MS;
        smallest = wait_ms < smallest ? wait_ms : smallest;
        largest = wait_ms > largest ? wait_ms : largest;
    }
    assert_int_equal(smallest, ALV_BACKOFF_FIRST_MS / 2);
    assert_int_equal(largest, ALV_BACKOFF_FIRST_MS);
}

static void failed__is_the_same_for_the_same_seed(void **state)
{
    (void)state;
    alv_backoff left;
    alv_backoff right;
    alv_backoff_init(&left, 42);
    alv_backoff_init(&right, 42);
    for (int i = 0; i < 20; i++)
        assert_int_equal(alv_backoff_failed(&left, NOW_MS), alv_backoff_failed(&right, NOW_MS));
}

static void due__is_true_from_the_time_of_the_next_try(void **state)
{
    (void)state;
    alv_backoff backoff;
    alv_backoff_init(&backoff, 7);
    assert_true(alv_backoff_due(&backoff, 0));
    int64_t at_ms = alv_backoff_failed(&backoff, NOW_MS);
    assert_int_equal(backoff.next_try_at_ms, at_ms);
    assert_false(alv_backoff_due(&backoff, NOW_MS));
    assert_false(alv_backoff_due(&backoff, at_ms - 1));
    assert_true(alv_backoff_due(&backoff, at_ms));
}

static void due__does_not_wait_for_a_clock_that_was_set_back(void **state)
{
    (void)state;
    alv_backoff backoff;
    alv_backoff_init(&backoff, 7);
    int64_t at_ms = alv_backoff_failed(&backoff, NOW_MS);
    assert_false(alv_backoff_due(&backoff, at_ms - ALV_BACKOFF_MAX_MS));
    assert_true(alv_backoff_due(&backoff, at_ms - ALV_BACKOFF_MAX_MS - 1));
    assert_true(alv_backoff_due(&backoff, NOW_MS - 3600 * 1000));
}

static void succeeded__starts_from_the_shortest_wait(void **state)
{
    (void)state;
    alv_backoff backoff;
    alv_backoff_init(&backoff, 7);
    for (int i = 0; i < 10; i++)
        (void)alv_backoff_failed(&backoff, NOW_MS);
    alv_backoff_succeeded(&backoff);
    assert_int_equal(backoff.next_try_at_ms, 0);
    assert_true(alv_backoff_due(&backoff, NOW_MS));
    assert_true(alv_backoff_failed(&backoff, NOW_MS) <= NOW_MS + ALV_BACKOFF_FIRST_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed__waits_between_half_a_step_and_a_step),
        cmocka_unit_test(failed__differs_between_seeds),
        cmocka_unit_test(failed__is_the_same_for_the_same_seed),
        cmocka_unit_test(due__is_true_from_the_time_of_the_next_try),
        cmocka_unit_test(due__does_not_wait_for_a_clock_that_was_set_back),
        cmocka_unit_test(succeeded__starts_from_the_shortest_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
