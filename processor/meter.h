/* meter.h — what the lanes of a node count, readable while they work.
 *
 * Why:    operators see from these numbers whether commands are executed, how long they take and what
 *         goes wrong. A command costs one comparison and one addition in the lane's own memory; atomics
 *         are touched once per transaction.
 * Thread: lanes add (lane_meter.h), any thread reads.
 * Owns:   the node owns the meter.
 * Source of truth for: the counters of /metrics that begin with alluvium_commands, alluvium_transaction
 *         and alluvium_cache.
 *
 * Commands, rejections and dead letters count when their transaction is committed, each once: what was
 * rolled back and run again is not counted twice.
 */
#ifndef ALV_PROCESSOR_METER_H
#define ALV_PROCESSOR_METER_H

#include "base/limits.h"
#include "base/metric.h"
#include "processor/command.h"

/* What a lane's cache holds, copied now and then. */
typedef struct alv_meter_cache {
    alv_counter entities; /* this and the next: as they are */
    alv_counter bytes;
    alv_counter hits; /* from here: totals */
    alv_counter misses;
    alv_counter admissions;
    alv_counter evictions;
    alv_counter passivations;
} alv_meter_cache;

typedef struct alv_meter {
    alv_counter commands; /* executed and committed, rejected ones included */
    alv_counter rejected;
    alv_counter repeated; /* answered as before: their idempotency key was known */
    alv_counter timers;   /* fired; they count as commands too */
    alv_counter dead_letters[ALV_REASON_COUNT];
    alv_counter quarantined; /* entities that were, since the start */
    alv_counter released;
    alv_counter expired; /* entities, deleted because they had not changed for long */
    alv_counter commits;
    alv_counter aborts;    /* transactions that were rolled back */
    alv_counter uncertain; /* commits whose answer never came */
    alv_counter renewals;  /* producers replaced before their next transaction (I10) */
    alv_counter rejoins;   /* consumers replaced after they lost their seat */

    alv_histogram latency; /* from a command's record time to its commit */
    alv_histogram prepare; /* the three steps of a commit that was done */
    alv_histogram send;
    alv_histogram finish;

    alv_meter_cache caches[ALV_LANES_MAX]; /* by lane */
} alv_meter;

/* Never NULL. */
alv_meter *alv_meter_new(void);
void alv_meter_free(alv_meter *meter);

#endif
