#include "base/backoff.h"

#include "base/limits.h"

void alv_backoff_init(alv_backoff *backoff, uint64_t seed)
{
    *backoff = (alv_backoff){.random = seed};
}

/* SplitMix64: any seed will do, 0 included. */
static uint64_t backoff_random(alv_backoff *backoff)
{
    backoff->random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = backoff->random;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* Doubles with each failure in a row, up to the longest wait. */
static int64_t backoff_step_ms(unsigned failures)
{
    int64_t step_ms = ALV_BACKOFF_FIRST_MS;
    for (unsigned i = 1; i < failures && step_ms < ALV_BACKOFF_MAX_MS; i++) {
        step_ms *= 2;
    }
    return step_ms < ALV_BACKOFF_MAX_MS ? step_ms : ALV_BACKOFF_MAX_MS;
}

int64_t alv_backoff_failed(alv_backoff *backoff, int64_t now_ms)
{
    if (backoff->failures < UINT32_MAX) {
        backoff->failures++;
    }
    int64_t step_ms = backoff_step_ms(backoff->failures);
    int64_t half_ms = step_ms / 2;
    uint64_t choices = (uint64_t)(step_ms - half_ms) + 1;
    backoff->next_try_at_ms = now_ms + half_ms + (int64_t)(backoff_random(backoff) % choices);
    return backoff->next_try_at_ms;
}

void alv_backoff_succeeded(alv_backoff *backoff)
{
    backoff->failures = 0;
    backoff->next_try_at_ms = 0;
}

bool alv_backoff_due(const alv_backoff *backoff, int64_t now_ms)
{
    int64_t left_ms = backoff->next_try_at_ms - now_ms;
    return left_ms <= 0 || left_ms > ALV_BACKOFF_MAX_MS; /* the second: the clock was set back */
}
