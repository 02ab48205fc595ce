/* lane_timers.c — step 7 of the loop: timers that are due fire.
 *
 * They are executed between commands, in the same transactions.
 */
#include "processor/lane_internal.h"
#include "processor/singletons.h"

static bool lane_can_fire(const alv_shard *shard)
{
    return shard != NULL && shard->active && !shard->must_start && !shard->failed;
}

/* What the batch says about the backlogs of its shards: only when it is full was there more to take. Shards
 * are in it in runs, so the last record of each run is enough. */
void alv_lane_timers_see_batch(alv_lane *lane)
{
    const alv_batch *batch = &lane->batch;
    bool more = batch->count == batch->capacity;
    for (size_t i = 0; i < batch->count; i++) {
        if (i + 1 < batch->count && batch->records[i + 1].shard == batch->records[i].shard) {
            continue;
        }
        alv_shard *shard = lane->shards[batch->records[i].shard];
        if (shard != NULL && shard->active) {
            alv_timers_see(&shard->timers, batch->records[i].offset + 1, more, lane->now_ms);
        }
    }
}

/* The shard is in a transaction, the open one or a new one. */
static alv_status lane_touch(alv_lane *lane, alv_shard *shard, alv_error *err)
{
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_IDLE) {
        alv_status status = alv_transaction_begin(lane->transaction, err);
        if (status != ALV_OK) {
            /* Not touched, so no rollback will do it: what was collected is still to be fired. */
            alv_timers_rewind(&shard->timers, shard->committed_offset, shard->next_offset);
            return status;
        }
    }
    alv_transaction_touch(lane->transaction, shard);
    return ALV_OK;
}

static alv_status lane_fire_entity(alv_lane *lane, alv_shard *shard, const alv_due *due,
                                   int64_t until_ms, alv_error *err)
{
    alv_status status = lane_touch(lane, shard, err);
    if (status != ALV_OK) {
        return status;
    }
    return alv_executor_fire(lane->executor, shard, alv_transaction_producer(lane->transaction),
                             due, until_ms, lane->now_ms, err);
}

/* Whoever has shard 0 sees to the jobs of the cluster. */
static alv_status lane_begin_singletons(alv_lane *lane, alv_shard *shard, alv_error *err)
{
    if (shard->number != 0 || shard->singletons_begun) {
        return ALV_OK;
    }
    alv_status status = ALV_OK;
    if (alv_singletons_exist(lane->options.registry)) {
        status = lane_touch(lane, shard, err);
        if (status == ALV_OK) {
            status = alv_singletons_begin(lane->executor, shard,
                                          alv_transaction_producer(lane->transaction), lane->now_ms,
                                          err);
        }
    }
    shard->singletons_begun = status == ALV_OK;
    return status;
}

static alv_status lane_fire_shard(alv_lane *lane, alv_shard *shard, alv_error *err)
{
    alv_status status = lane_begin_singletons(lane, shard, err);
    if (status != ALV_OK) {
        return status;
    }
    int64_t until_ms = alv_timers_until(&shard->timers, lane->now_ms);
    if (shard->timers.next_ms > until_ms) {
        return ALV_OK;
    }
    alv_due_list *list = &lane->due;
    status =
        alv_timers_collect(&shard->timers, lane->options.store, shard->number, until_ms, list, err);
    if (status != ALV_OK) {
        shard->failed = true; /* restored before it goes on */
        return ALV_RETRY;
    }
    for (size_t i = 0; status == ALV_OK && i < list->count; i++) {
        status = lane_fire_entity(lane, shard, &list->items[i], until_ms, err);
    }
    return status;
}

alv_status alv_lane_fire_timers(alv_lane *lane, alv_error *err)
{
    alv_status status = ALV_OK;
    for (int32_t i = 0; status == ALV_OK && i < lane->options.shard_count; i++) {
        alv_shard *shard = lane->shards[i];
        if (lane_can_fire(shard)) {
            status = lane_fire_shard(lane, shard, err);
        }
    }
    return status;
}

int64_t alv_lane_next_timer(const alv_lane *lane)
{
    int64_t next_ms = ALV_DUE_NEVER;
    for (int32_t i = 0; i < lane->options.shard_count; i++) {
        const alv_shard *shard = lane->shards[i];
        if (lane_can_fire(shard) && !shard->timers.is_behind && shard->timers.next_ms < next_ms) {
            next_ms = shard->timers.next_ms;
        }
    }
    return next_ms;
}
