#include "base/clock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

static int64_t clock_read_us(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);
    ALV_ASSERT(failed == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t clock_system_now_ms(const alv_clock *clock)
{
    (void)clock;
    return clock_read_us(CLOCK_REALTIME) / 1000;
}

static int64_t clock_system_monotonic_us(const alv_clock *clock)
{
    (void)clock;
    return clock_read_us(CLOCK_MONOTONIC);
}

const alv_clock *alv_clock_system(void)
{
    static const alv_clock system = {clock_system_now_ms, clock_system_monotonic_us};
    return &system;
}

/* `clock` is the first member of its alv_manual_clock. */
static int64_t clock_manual_monotonic_us(const alv_clock *clock)
{
    const alv_manual_clock *manual = (const alv_manual_clock *)(const void *)clock;
    return atomic_load(&manual->time_us);
}

static int64_t clock_manual_now_ms(const alv_clock *clock)
{
    return clock_manual_monotonic_us(clock) / 1000;
}

void alv_manual_clock_init(alv_manual_clock *manual, int64_t now_ms)
{
    _Static_assert(offsetof(alv_manual_clock, clock) == 0, "a manual clock is a clock");
    manual->clock = (alv_clock){clock_manual_now_ms, clock_manual_monotonic_us};
    atomic_init(&manual->time_us, now_ms * 1000);
}

void alv_manual_clock_advance(alv_manual_clock *manual, int64_t by_ms)
{
    ALV_ASSERT(by_ms >= 0);
    (void)atomic_fetch_add(&manual->time_us, by_ms * 1000);
}

const char *alv_clock_format(int64_t time_ms, char out[ALV_CLOCK_TEXT_BYTES])
{
    const size_t seconds_bytes = sizeof "2026-11-21T10:00:00";
    time_t seconds = (time_t)(time_ms / 1000);
    int64_t ms = time_ms % 1000;
    if (ms < 0) { /* before 1970 */
        ms += 1000;
        seconds--;
    }
    struct tm utc;
    out[0] = '\0';
    if (gmtime_r(&seconds, &utc) == NULL || utc.tm_year < 1000 - 1900 ||
        utc.tm_year > 9999 - 1900) {
        return out;
    }
    size_t length = strftime(out, seconds_bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    ALV_ASSERT(length == seconds_bytes - 1);
    (void)snprintf(out + length, ALV_CLOCK_TEXT_BYTES - length, ".%03dZ", (int)ms);
    return out;
}

struct timespec alv_clock_deadline(int timeout_ms)
{
    struct timespec deadline;
    int failed = clock_gettime(CLOCK_MONOTONIC, &deadline);
    ALV_ASSERT(failed == 0);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    return deadline;
}
