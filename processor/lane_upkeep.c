/* lane_upkeep.c — the last steps of a lane's loop: idle entities leave memory, and what others look at is
 * brought up to date.
 */
#include "base/logger.h"
#include "processor/lane_internal.h"

/* So many places of the cache are looked at per turn, about half of them taken, so that a turn stays
 * short. */
#define UPKEEP_PASSIVATE_LOOKS 10000

/* What changes all the time is shown to others this often. */
#define UPKEEP_PUBLISH_MS 1000

void alv_lane_passivate(alv_lane *lane)
{
    const alv_settings *settings = lane->options.settings;
    if (settings->passivate_after_ms == 0 || lane->now_ms < lane->passivate_at_ms) {
        return;
    }
    bool done = false;
    lane->passivated +=
        alv_cache_passivate(alv_executor_cache(lane->executor), lane->now_ms,
                            settings->passivate_after_ms, UPKEEP_PASSIVATE_LOOKS, &done);
    if (!done) {
        return; /* goes on in the next turn */
    }
    lane->passivate_at_ms = lane->now_ms + settings->passivate_check_ms;
    if (lane->passivated > 0) {
        alv_log(ALV_LOG_INFO, "passivated", "entities=%zu", lane->passivated);
    }
    lane->passivated = 0;
}

/* A shard that is silent fetches nothing, so what was seen of it last is no longer worth telling, unless it only
 * gives way for a moment. */
static void upkeep_show_end(const alv_lane *lane, const alv_shard *shard)
{
    int64_t end = ALV_OFFSET_NONE;
    if ((!shard->must_start || shard->gives_way) && lane->consumer != NULL) {
        end = lane->consumer->ops->end(lane->consumer, shard->number);
    }
    alv_directory_set_end(lane->options.directory, shard->number, end);
}

void alv_lane_publish(alv_lane *lane)
{
    if (lane->now_ms < lane->publish_at_ms) {
        return;
    }
    lane->publish_at_ms = lane->now_ms + UPKEEP_PUBLISH_MS;
    alv_cache_stats stats = alv_cache_stats_get(alv_executor_cache(lane->executor));
    alv_lane_meter_cache(&lane->meter, &stats);
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        const alv_shard *shard = lane->shards[number];
        if (shard != NULL && shard->active) {
            upkeep_show_end(lane, shard);
        }
    }
    alv_producer *producer = alv_transaction_producer(lane->transaction);
    if (producer != NULL) {
        producer->ops->serve(producer);
    }
}
