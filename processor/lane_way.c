/* lane_way.c — shards that are behind give way to those that are not.
 *
 * What a lane has fetched waits in one queue, up to 50,000 records (kafka_conf.c). While some shards are flooded,
 * a command of another one waits until all that came before it is executed: a quarter of a second when a
 * command takes 5 us, ten seconds when it takes 200. So every ALV_LANE_WAY_EVERY_MS the shards with a backlog are
 * paused, which drops what was fetched of them, until the others have nothing left; then they go on from where
 * they were. It costs them some hundredths of their time, and fetching again what was dropped.
 */
#include "base/limits.h"
#include "processor/lane_internal.h"

/* What the consumer knows of a shard. */
typedef enum way_need {
    WAY_NONE,    /* nothing to do, or it does not run */
    WAY_CURRENT, /* there is something to do, and not much */
    WAY_BEHIND,  /* more than the lane executes in one turn, which are few when they take long */
} way_need;

static way_need way_look(const alv_lane *lane, const alv_shard *shard)
{
    if (shard == NULL || !shard->active || shard->must_start || shard->failed || shard->paused) {
        return WAY_NONE;
    }
    int64_t end = lane->consumer->ops->end(lane->consumer, shard->number);
    if (end != ALV_OFFSET_NONE && end - shard->next_offset > (int64_t)lane->batch_max) {
        return WAY_BEHIND;
    }
    bool waits = end != ALV_OFFSET_NONE && end > shard->next_offset;
    return waits || shard->next_offset != shard->looked_offset ? WAY_CURRENT : WAY_NONE;
}

bool alv_lane_way_wanted(alv_lane *lane)
{
    if (lane->giving_way || lane->now_ms < lane->way_at_ms || lane->consumer == NULL) {
        return lane->way_wanted;
    }
    bool found[WAY_BEHIND + 1] = {false};
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        found[way_look(lane, shard)] = true;
        if (shard != NULL) {
            shard->looked_offset = shard->next_offset;
        }
    }
    lane->way_wanted = found[WAY_CURRENT] && found[WAY_BEHIND];
    lane->way_at_ms = lane->now_ms + ALV_LANE_WAY_EVERY_MS;
    return lane->way_wanted;
}

/* A shard that cannot be paused is delivered, and dropped, until it goes on. */
static void way_begin(alv_lane *lane)
{
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (way_look(lane, shard) == WAY_BEHIND) {
            (void)lane->consumer->ops->pause(lane->consumer, number, NULL);
            shard->must_start = true;
            shard->gives_way = true;
        }
    }
    lane->way_wanted = false;
    lane->giving_way = true;
    lane->way_since_ms = lane->now_ms;
}

static void way_end(alv_lane *lane)
{
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (shard != NULL && shard->gives_way) {
            alv_timers_resume(&shard->timers);
            shard->gives_way = false;
            lane->starts_due++;
        }
    }
    lane->giving_way = false;
    lane->way_at_ms = lane->now_ms + ALV_LANE_WAY_EVERY_MS;
}

void alv_lane_way(alv_lane *lane)
{
    int64_t passed_ms = lane->now_ms - lane->way_since_ms;
    if (lane->giving_way) {
        if ((lane->drained && passed_ms >= ALV_LANE_WAY_LEAST_MS) ||
            passed_ms >= ALV_LANE_WAY_MOST_MS) {
            way_end(lane);
        }
    } else if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_IDLE &&
               alv_lane_way_wanted(lane)) {
        way_begin(lane);
    }
}
