#include "processor/lane_meter.h"

#include "base/alloc.h"
#include "base/assert.h"

void alv_lane_meter_init(alv_lane_meter *lane, alv_meter *meter, int32_t number)
{
    ALV_ASSERT(number >= 0 && number < ALV_LANES_MAX);
    *lane = (alv_lane_meter){.meter = meter, .lane = number};
}

void alv_lane_meter_done(alv_lane_meter *lane)
{
    alv_free(lane->runs);
    lane->runs = NULL;
}

void alv_lane_meter_add_run(alv_lane_meter *lane, int64_t record_at_ms)
{
    if (lane->run_count == lane->run_capacity) {
        lane->run_capacity = lane->run_capacity == 0 ? 256 : 2 * lane->run_capacity;
        lane->runs = alv_realloc(lane->runs, lane->run_capacity * sizeof *lane->runs);
    }
    lane->runs[lane->run_count++] = (alv_meter_run){.at_ms = record_at_ms, .count = 1};
}

static void meter_count(alv_counter *counter, int64_t now, int64_t before)
{
    ALV_ASSERT(now >= before);
    if (now > before) {
        alv_counter_add(counter, (uint64_t)(now - before));
    }
}

void alv_lane_meter_committed(alv_lane_meter *lane, const alv_executor_counters *now,
                              int64_t now_ms)
{
    alv_meter *meter = lane->meter;
    const alv_executor_counters *before = &lane->counted;
    meter_count(&meter->commands, now->commands, before->commands);
    meter_count(&meter->rejected, now->rejected, before->rejected);
    meter_count(&meter->repeated, now->repeated, before->repeated);
    meter_count(&meter->timers, now->timers, before->timers);
    meter_count(&meter->quarantined, now->quarantined, before->quarantined);
    meter_count(&meter->released, now->released, before->released);
    meter_count(&meter->expired, now->expired, before->expired);
    for (int reason = 0; reason < ALV_REASON_COUNT; reason++) {
        meter_count(&meter->dead_letters[reason], now->buried[reason], before->buried[reason]);
    }
    for (size_t i = 0; i < lane->run_count; i++) {
        alv_histogram_observe(&meter->latency, (now_ms - lane->runs[i].at_ms) * 1000,
                              lane->runs[i].count);
    }
    alv_counter_add(&meter->commits, 1);
    alv_lane_meter_dropped(lane, now);
}

void alv_lane_meter_dropped(alv_lane_meter *lane, const alv_executor_counters *now)
{
    lane->counted = *now;
    lane->run_count = 0;
}

void alv_lane_meter_cache(alv_lane_meter *lane, const alv_cache_stats *stats)
{
    alv_meter_cache *cache = &lane->meter->caches[lane->lane];
    alv_counter_set(&cache->entities, stats->entities);
    alv_counter_set(&cache->bytes, stats->bytes);
    alv_counter_set(&cache->hits, stats->hits);
    alv_counter_set(&cache->misses, stats->misses);
    alv_counter_set(&cache->admissions, stats->admissions);
    alv_counter_set(&cache->evictions, stats->evictions);
    alv_counter_set(&cache->passivations, stats->passivations);
}
