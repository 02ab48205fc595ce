/* Goal:   nothing that is counted gets lost or lands in the wrong bucket, from any number of threads.
 * Method: each bound from both sides; threads that count at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metric.h"

static uint64_t bucket_of(int64_t duration_us)
{
    alv_histogram histogram = {0};
    alv_histogram_observe(&histogram, duration_us, 1);
    uint64_t bucket = 0;
    while (alv_counter_get(&histogram.buckets[bucket]) == 0)
        bucket++;
    return bucket;
}

static void histogram__a_bound_belongs_to_its_bucket(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALV_HISTOGRAM_BOUNDS; i++) {
        assert_int_equal(bucket_of(alv_histogram_bounds_us[i]), i);
        assert_int_equal(bucket_of(alv_histogram_bounds_us[i] + 1), i + 1);
        assert_true(i == 0 || alv_histogram_bounds_us[i - 1] < alv_histogram_bounds_us[i]);
    }
    assert_int_equal(bucket_of(0), 0);
    assert_int_equal(bucket_of(INT64_MAX), ALV_HISTOGRAM_BOUNDS);
}

static void histogram__a_negative_duration_is_none(void **state)
{
    (void)state;
    alv_histogram histogram = {0};
    alv_histogram_observe(&histogram, -5000000, 3);
    assert_int_equal(alv_counter_get(&histogram.buckets[0]), 3);
    assert_int_equal(alv_counter_get(&histogram.sum_us), 0);
}

static void histogram__sums_what_it_counts(void **state)
{
    (void)state;
    alv_histogram histogram = {0};
    alv_histogram_observe(&histogram, 1000, 4);
    alv_histogram_observe(&histogram, 70000000, 1);
    assert_int_equal(alv_histogram_count(&histogram), 5);
    assert_int_equal(alv_counter_get(&histogram.sum_us), 70004000);
}

static void *count_many(void *payload)
{
    for (int i = 0; i < 100000; i++)
        alv_histogram_observe(payload, i, 1);
    return NULL;
}

static void histogram__threads_count_at_once(void **state)
{
    (void)state;
    alv_histogram histogram = {0};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, &histogram), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(alv_histogram_count(&histogram), 400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__a_bound_belongs_to_its_bucket),
        cmocka_unit_test(histogram__a_negative_duration_is_none),
        cmocka_unit_test(histogram__sums_what_it_counts),
        cmocka_unit_test(histogram__threads_count_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
