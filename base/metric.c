#include "base/metric.h"

const int64_t alv_histogram_bounds_us[ALV_HISTOGRAM_BOUNDS] = {
    100,    250,    500,     1000,    2500,    5000,     10000,    25000,    50000,   100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 20000000, 30000000, 60000000};

/* Half of what is observed lies in the lower buckets, so looking from below is as good as halving. */
static int histogram_bucket(int64_t duration_us)
{
    int bucket = 0;
    while (bucket < ALV_HISTOGRAM_BOUNDS && duration_us > alv_histogram_bounds_us[bucket]) {
        bucket++;
    }
    return bucket;
}

void alv_histogram_observe(alv_histogram *histogram, int64_t duration_us, uint64_t count)
{
    if (duration_us < 0) {
        duration_us = 0;
    }
    alv_counter_add(&histogram->buckets[histogram_bucket(duration_us)], count);
    alv_counter_add(&histogram->sum_us, (uint64_t)duration_us * count);
}

uint64_t alv_histogram_count(const alv_histogram *histogram)
{
    uint64_t count = 0;
    for (int bucket = 0; bucket <= ALV_HISTOGRAM_BOUNDS; bucket++) {
        count += alv_counter_get(&histogram->buckets[bucket]);
    }
    return count;
}
