/* lane_end.c — how a transaction of a lane ends, and what the lane does about it. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/logger.h"
#include "base/plant.h"
#include "processor/lane_internal.h"

void alv_lane_finished(void *payload, const alv_shard *shard, int64_t commands)
{
    alv_lane *lane = payload;
    lane->shard_failed = lane->shard_failed || shard->failed;
    alv_directory_set_position(lane->options.directory, shard->number, &shard->position);
    alv_directory_set_quarantined(lane->options.directory, shard->number,
                                  (int64_t)shard->quarantine.held);
    alv_directory_add_commands(lane->options.directory, shard->number, commands);
}

/* After a transaction ended in any way: rewound shards are to be started, failed ones restored. */
static void lane_after_end(alv_lane *lane)
{
    lane->starts_due = 0;
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        const alv_shard *shard = lane->shards[number];
        lane->starts_due += shard != NULL && alv_shard_may_start(shard);
        lane->shard_failed = lane->shard_failed || (shard != NULL && shard->failed);
    }
}

/* The commands are committed: now, and not before, those who wait may know (I1, I4, I7). Shards are all
 * still here: what leaves takes its replies along, see alv_rebalance_revoked. */
static void lane_reply(alv_lane *lane)
{
    alv_reply_box *box = alv_executor_replies(lane->executor);
    if (box->count == 0) {
        return;
    }
    for (size_t i = 0; i < box->count; i++) {
        const alv_shard *shard = lane->shards[alv_reply_box_get(box, i).shard];
        ALV_ASSERT(shard != NULL && !shard->touched);
        alv_reply_box_set_position(box, i, &shard->reached);
    }
    if (lane->options.replied != NULL) {
        lane->options.replied(lane->options.payload, box);
    }
    alv_reply_box_clear(box);
}

void alv_lane_rollback(alv_lane *lane)
{
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_OPEN) {
        alv_transaction_rollback(lane->transaction);
        alv_lane_meter_dropped(&lane->meter, alv_executor_counters_get(lane->executor));
    }
    alv_reply_box_clear(alv_executor_replies(lane->executor));
    lane_after_end(lane);
}

/* The reaction to the end of a transaction; one that failed is tried again, at once the first time. */
alv_status alv_lane_react(alv_lane *lane, alv_status status, const alv_error *error)
{
    const alv_executor_counters *counters = alv_executor_counters_get(lane->executor);
    if (status == ALV_OK) {
        alv_lane_meter_committed(&lane->meter, counters, alv_now_ms(lane->options.clock));
        alv_executor_set_careful(lane->executor, false);
        alv_backoff_succeeded(&lane->retrying);
        lane_reply(lane);
        return ALV_OK;
    }
    if (alv_transaction_state_get(lane->transaction) != ALV_TRANSACTION_UNCERTAIN) {
        alv_reply_box_clear(alv_executor_replies(lane->executor));
    }
    lane_after_end(lane);
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_IDLE) {
        alv_lane_meter_dropped(&lane->meter, counters); /* else: it may still turn out committed */
    }
    if (status == ALV_FATAL) {
        return ALV_FATAL;
    }
    if (status == ALV_REJECT) {
        alv_executor_set_careful(lane->executor, true);
    }
    bool first = lane->retrying.failures == 0;
    alv_backoff_failed(&lane->retrying, lane->now_ms);
    if (first) {
        lane->retrying.next_try_at_ms = 0;
    }
    alv_log_error(ALV_LOG_WARN, "transaction-not-committed", error, "reaction=%s failures=%u",
                  alv_status_name(status), lane->retrying.failures);
    return ALV_OK;
}

/* Hands an error on to a caller who decides by its status alone. */
alv_status alv_lane_fail(alv_error *err, alv_status status, const alv_error *why)
{
    return status == ALV_OK ? ALV_OK
                            : alv_fail_from(err, status, why->source, why->code, "%s", why->text);
}

alv_status alv_lane_commit(alv_lane *lane, alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    if (ALV_PLANTED(REPLY_EARLY)) {
        lane->options.replied(lane->options.payload, alv_executor_replies(lane->executor));
    }
    alv_status status = alv_transaction_commit(lane->transaction, lane->consumer, &why);
    return alv_lane_fail(err, alv_lane_react(lane, status, &why), &why);
}

alv_status alv_lane_resolve(alv_lane *lane, alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_transaction_resolve(lane->transaction, lane->consumer, &why);
    if (status == ALV_RETRY) {
        return alv_lane_fail(err, ALV_RETRY, &why);
    }
    alv_log(ALV_LOG_INFO, "transaction-resolved", "committed=%d", status == ALV_OK);
    return alv_lane_fail(err, alv_lane_react(lane, status, &why), &why);
}
