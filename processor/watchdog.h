/* watchdog.h — notices a handler that does not return, and ends the process as if it had crashed there.
 *
 * Why:    a handler in an endless loop, or one that waits for something, holds up its lane and every shard of it for
 *         ever, and each node that takes these shards over after it (I8). A crash is what the crash mark counts: the
 *         node is gone at once, others go on with its shards, and after ALV_CRASHES_MAX times the command goes to
 *         the dead letters.
 * Thread: main.
 * Owns:   what it has seen of each lane; the crash mark is borrowed.
 * Limits: sees only what takes longer than the time between two looks.
 *
 * Only time in which this process runs counts: a look that comes late (the process was stopped, the machine slept)
 * counts as one that came in time.
 */
#ifndef ALV_PROCESSOR_WATCHDOG_H
#define ALV_PROCESSOR_WATCHDOG_H

#include "base/clock.h"
#include "processor/crash_mark.h"

typedef struct alv_watchdog alv_watchdog;

typedef struct alv_watchdog_options {
    const alv_crash_mark *mark;
    const alv_clock *clock;
    int32_t lane_count;
    int64_t timeout_ms; /* handler.timeout.ms; 0 = a handler may take for ever */

    /* A handler of this lane has taken longer. Called once for each time that it is seen. */
    void (*stuck)(void *payload, int32_t lane);
    void *payload;
} alv_watchdog_options;

alv_watchdog *alv_watchdog_new(const alv_watchdog_options *options);
void alv_watchdog_free(alv_watchdog *watchdog);

/* To be called often: every ALV_WATCHDOG_LOOK_MS or sooner. Costs some loads per lane. */
#define ALV_WATCHDOG_LOOK_MS 100
void alv_watchdog_look(alv_watchdog *watchdog);

#endif
