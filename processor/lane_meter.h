/* lane_meter.h — a lane's side of the meter: what its open transaction did, until it is certain.
 *
 * Why:    what is counted at once would have to be taken back when a transaction is rolled back.
 * Thread: the lane's.
 * Owns:   the record times of the open transaction; the meter is borrowed.
 * Limits: one pair of numbers per command of a transaction at most (commit.commands.max).
 */
#ifndef ALV_PROCESSOR_LANE_METER_H
#define ALV_PROCESSOR_LANE_METER_H

#include <stddef.h>

#include "processor/executor.h"
#include "processor/meter.h"
#include "statestore/cache.h"

/* Commands of the open transaction with one and the same record time. */
typedef struct alv_meter_run {
    int64_t at_ms;
    uint64_t count;
} alv_meter_run;

typedef struct alv_lane_meter {
    alv_meter *meter; /* borrowed */
    int32_t lane;
    alv_executor_counters counted; /* at the end of the last transaction */
    alv_meter_run *runs;           /* record times of the open transaction, those alike together */
    size_t run_count;
    size_t run_capacity;
} alv_lane_meter;

void alv_lane_meter_init(alv_lane_meter *lane, alv_meter *meter, int32_t number);
void alv_lane_meter_done(alv_lane_meter *lane);

/* A command with this record time is being executed. */
static inline void alv_lane_meter_note(alv_lane_meter *lane, int64_t record_at_ms);

/* The open transaction was committed, or will not be: what it did counts, or not. */
void alv_lane_meter_committed(alv_lane_meter *lane, const alv_executor_counters *now,
                              int64_t now_ms);
void alv_lane_meter_dropped(alv_lane_meter *lane, const alv_executor_counters *now);

void alv_lane_meter_cache(alv_lane_meter *lane, const alv_cache_stats *stats);

/* For alv_lane_meter_note: another time than the command before. */
void alv_lane_meter_add_run(alv_lane_meter *lane, int64_t record_at_ms);

static inline void alv_lane_meter_note(alv_lane_meter *lane, int64_t record_at_ms)
{
    if (lane->run_count > 0 && lane->runs[lane->run_count - 1].at_ms == record_at_ms) {
        lane->runs[lane->run_count - 1].count++;
    } else {
        alv_lane_meter_add_run(lane, record_at_ms);
    }
}

#endif
