/* clock.h — the port to time.
 *
 * Why:    time is an argument everywhere else. Only clock.c asks the operating system, so that
 *         tests and the simulator decide what time it is.
 * Thread: any; a manual clock may be read while another thread advances it.
 * Fails:  never.
 */
#ifndef ALV_BASE_CLOCK_H
#define ALV_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

typedef struct alv_clock alv_clock;

struct alv_clock {
    int64_t (*now_ms)(const alv_clock *clock);       /* wall clock, ms since the Unix epoch */
    int64_t (*monotonic_us)(const alv_clock *clock); /* for durations; never goes back */
};

/* The operating system's clock; a static object. */
const alv_clock *alv_clock_system(void);

/* A clock that stands still until it is moved (both readings move together). */
typedef struct alv_manual_clock {
    alv_clock clock;         /* pass &manual->clock where a clock is wanted */
    _Atomic int64_t time_us; /* since the epoch */
} alv_manual_clock;

void alv_manual_clock_init(alv_manual_clock *manual, int64_t now_ms);
void alv_manual_clock_advance(alv_manual_clock *manual, int64_t by_ms);

#define ALV_CLOCK_TEXT_BYTES 25 /* with the NUL */

/* Writes `time_ms` as ISO 8601 in UTC, 2026-11-21T10:00:00.123Z, and returns `out`. Empty for a
 * time outside the years 1000 to 9999. */
const char *alv_clock_format(int64_t time_ms, char out[ALV_CLOCK_TEXT_BYTES]);

static inline int64_t alv_now_ms(const alv_clock *clock)
{
    return clock->now_ms(clock);
}

static inline int64_t alv_monotonic_us(const alv_clock *clock)
{
    return clock->monotonic_us(clock);
}

/* The moment `timeout_ms` from now on the monotonic clock, for pthread_cond_timedwait on a condition
 * made with CLOCK_MONOTONIC. */
struct timespec alv_clock_deadline(int timeout_ms);

#endif
