/* metric.h — counters and histograms that one thread writes and any thread reads.
 *
 * Why:    what happens on the command path must be countable for the price of an addition: no lock,
 *         no allocation, no clock of its own. What is shown, under which name, is decided where the
 *         numbers are read (exposition.h).
 * Thread: add, observe: any. Reads: any; the parts of a histogram are read one after another, so they
 *         may be a few observations apart, but a count is always the sum of its buckets.
 * Owns:   nothing; both are plain memory, zero at first.
 * Limits: a histogram has ALV_HISTOGRAM_BOUNDS buckets of fixed bounds and one for what is above.
 */
#ifndef ALV_BASE_METRIC_H
#define ALV_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

/* Grows only. */
typedef struct alv_counter {
    _Atomic uint64_t value;
} alv_counter;

/* Relaxed: a counter orders nothing else. */
static inline void alv_counter_add(alv_counter *counter, uint64_t count)
{
    atomic_fetch_add_explicit(&counter->value, count, memory_order_relaxed);
}

/* The total is counted elsewhere, by one thread, and copied here. */
static inline void alv_counter_set(alv_counter *counter, uint64_t total)
{
    atomic_store_explicit(&counter->value, total, memory_order_relaxed);
}

static inline uint64_t alv_counter_get(const alv_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

#define ALV_HISTOGRAM_BOUNDS 19

/* Upper bounds of the buckets, inclusive, in microseconds: 100 us to 60 s, in steps of 2 to 2.5. */
extern const int64_t alv_histogram_bounds_us[ALV_HISTOGRAM_BOUNDS];

/* Durations. */
typedef struct alv_histogram {
    alv_counter buckets[ALV_HISTOGRAM_BOUNDS + 1]; /* not cumulated; the last: above all bounds */
    alv_counter sum_us;
} alv_histogram;

/* `count` durations of `duration_us` each; a negative one (clocks of two hosts) counts as 0. */
void alv_histogram_observe(alv_histogram *histogram, int64_t duration_us, uint64_t count);

/* How many were observed. */
uint64_t alv_histogram_count(const alv_histogram *histogram);

#endif
