#include "tests/support/wait.h"

#include <poll.h>
#include <stddef.h>

#include "base/clock.h"

#define WAIT_PAUSE_MS 20

int64_t alv_wait_deadline(int timeout_ms)
{
    return alv_monotonic_us(alv_clock_system()) + (int64_t)timeout_ms * 1000;
}

bool alv_wait_expired(int64_t deadline)
{
    return alv_monotonic_us(alv_clock_system()) >= deadline;
}

bool alv_wait_until(alv_wait_condition condition, void *payload, int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    while (!condition(payload)) {
        if (alv_wait_expired(deadline)) {
            return false;
        }
        (void)poll(NULL, 0, WAIT_PAUSE_MS);
    }
    return true;
}
