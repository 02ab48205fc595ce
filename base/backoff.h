/* backoff.h — how long to wait before the next try: exponential, with jitter.
 *
 * Why:    many nodes lose the same server at the same moment; without jitter they come back
 *         together. "Equal jitter": half of the step is certain, half is random.
 * Thread: one.
 */
#ifndef ALV_BASE_BACKOFF_H
#define ALV_BASE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alv_backoff {
    int64_t next_try_at_ms; /* 0 = not waiting */
    unsigned failures;      /* in a row */
    uint64_t random;        /* state of the jitter; seeded by _init */
} alv_backoff;

void alv_backoff_init(alv_backoff *backoff, uint64_t seed);

/* A try failed at `now_ms`: sets and returns the time of the next try. */
int64_t alv_backoff_failed(alv_backoff *backoff, int64_t now_ms);

/* A try succeeded: the next failure starts from the shortest wait again. */
void alv_backoff_succeeded(alv_backoff *backoff);

/* True when the next try may start. Nobody waits longer than ALV_BACKOFF_MAX_MS, also when `now_ms` is of a
 * clock that was set back meanwhile. */
bool alv_backoff_due(const alv_backoff *backoff, int64_t now_ms);

#endif
