/* lane_pause.c — stop and go for single shards, on a lane's thread.
 *
 * What an operator wished stands in the ledger, under a reserved key, and so in the shard's store: it is still
 * true after a restart, and on another node. It is written in a transaction of its own kind: no command, only
 * this record and the position (I1, I3: a lane that lost the shard cannot commit it).
 *
 *   pause   at once: nothing of the shard is executed any more (an open transaction is committed as usual);
 *           then recorded, then answered
 *   resume  recorded, then the shard goes on, then answered
 *
 * A wish that cannot be recorded (brokers away, an answer lost) is tried again with every turn until it is, or
 * until the shard leaves the lane.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "base/plant.h"
#include "processor/lane_internal.h"
#include "topics/schema.h"

/* What a wish is recorded as; a tombstone when the shard is not paused. */
static const alv_store_write pause_records[] = {
    {.kind = ALV_STORE_LEDGER, .key = ALV_VIEW_LITERAL(ALV_PAUSED_KEY)},
    {.kind = ALV_STORE_LEDGER,
     .key = ALV_VIEW_LITERAL(ALV_PAUSED_KEY),
     .value = ALV_VIEW_LITERAL("{\"paused\":true}")},
};

/* ---- wishes ---------------------------------------------------------------------------------- */

bool alv_lane_set_paused(alv_lane *lane, int32_t shard, bool paused, alv_lane_pause_done done,
                         void *payload)
{
    alv_pause_wish *wish = alv_alloc(sizeof *wish);
    *wish = (alv_pause_wish){.shard = shard, .paused = paused, .done = done, .payload = payload};
    if (alv_inbox_try_post(lane->pauses, wish)) {
        return true;
    }
    alv_free(wish);
    return false;
}

/* The end of every wish. */
static void pause_answer(alv_pause_wish *wish, alv_status status)
{
    wish->done(wish->payload, status);
    alv_free(wish);
}

void alv_lane_pause_forget(alv_shard *shard)
{
    if (shard->pause_wish != NULL) {
        pause_answer(shard->pause_wish, ALV_RETRY);
        shard->pause_wish = NULL;
    }
}

static void pause_show(const alv_lane *lane, const alv_shard *shard)
{
    alv_directory_set_paused(lane->options.directory, shard->number, shard->paused);
    alv_log(ALV_LOG_INFO, "shard-paused", "shard=%" PRId32 " paused=%d", shard->number,
            shard->paused);
}

/* Nothing of the shard is executed from here on; what was polled of it will be delivered again. */
static void pause_silence(alv_lane *lane, alv_shard *shard)
{
    if (shard->paused) {
        return;
    }
    shard->paused = true;
    if (!shard->must_start) {
        (void)lane->consumer->ops->pause(lane->consumer, shard->number,
                                         NULL); /* else: what it delivers is dropped */
        shard->must_start = true;
    }
    pause_show(lane, shard);
}

static void pause_take(alv_lane *lane, alv_pause_wish *wish)
{
    ALV_ASSERT(wish->shard >= 0 && wish->shard < lane->options.shard_count);
    alv_shard *shard = lane->shards[wish->shard];
    if (shard == NULL || !shard->active || lane->consumer == NULL) {
        pause_answer(wish, ALV_RETRY);
        return;
    }
    alv_lane_pause_forget(shard); /* the last word counts */
    shard->pause_wish = wish;
    lane->pauses_due = true;
    if (wish->paused) {
        pause_silence(lane, shard);
    }
}

void alv_lane_pause_take_all(alv_lane *lane)
{
    alv_pause_wish *wish;
    while ((wish = alv_inbox_take(lane->pauses)) != NULL) {
        pause_take(lane, wish);
    }
}

/* ---- recording ------------------------------------------------------------------------------- */

static bool pause_is_ready(const alv_shard *shard)
{
    return shard != NULL && shard->pause_wish != NULL && shard->active;
}

/* Whether there is anything to record now; a shard that is being restored keeps its wish until it is
 * active again. */
static bool pause_any_ready(const alv_lane *lane)
{
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        if (pause_is_ready(lane->shards[number])) {
            return true;
        }
    }
    return false;
}

static void pause_touch_all(alv_lane *lane)
{
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (pause_is_ready(shard)) {
            alv_transaction_touch(lane->transaction, shard);
            shard->extra_write = &pause_records[shard->pause_wish->paused];
        }
    }
}

static void pause_recorded(alv_lane *lane, alv_shard *shard)
{
    alv_pause_wish *wish = shard->pause_wish;
    shard->pause_wish = NULL;
    if (shard->paused && !wish->paused) {
        shard->paused = false;
        alv_timers_resume(&shard->timers);
        lane->starts_due++;
        pause_show(lane, shard);
    }
    pause_answer(wish, ALV_OK);
}

/* Only a commit that is known to be done counts: one whose answer was lost is resolved by the offsets
 * consumed, and this transaction consumes nothing. So the wish stays and is recorded again. */
static void pause_finish(alv_lane *lane, bool committed)
{
    bool due = false;
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (shard == NULL || shard->pause_wish == NULL) {
            continue;
        }
        if (shard->extra_write != NULL && committed) {
            pause_recorded(lane, shard);
        }
        shard->extra_write = NULL;
        due = due || shard->pause_wish != NULL;
    }
    lane->pauses_due = due;
}

alv_status alv_lane_pause_record(alv_lane *lane, alv_error *err)
{
    if (!lane->pauses_due || !pause_any_ready(lane) ||
        alv_transaction_state_get(lane->transaction) != ALV_TRANSACTION_IDLE) {
        return ALV_OK;
    }
    alv_status status = alv_transaction_begin(lane->transaction, err);
    if (status != ALV_OK) {
        return status;
    }
    pause_touch_all(lane);
    status = alv_lane_commit(lane, err);
    bool committed = status == ALV_OK && lane->retrying.failures == 0 &&
                     alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_IDLE;
    pause_finish(lane, committed);
    if (status == ALV_OK &&
        alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_UNCERTAIN) {
        return alv_fail(err, ALV_RETRY, "whether a wish to pause was recorded is not known yet");
    }
    return status;
}

/* ---- when a shard becomes active ------------------------------------------------------------- */

alv_status alv_lane_pause_load(alv_lane *lane, alv_shard *shard, alv_error *err)
{
    alv_store *store = lane->options.store;
    alv_bytes value = ALV_BYTES_EMPTY;
    bool found = false;
    alv_status status = store->ops->get(store, shard->number, ALV_STORE_LEDGER,
                                        ALV_VIEW(ALV_PAUSED_KEY), &found, &value, err);
    alv_bytes_done(&value);
    if (status != ALV_OK) {
        return status;
    }
    bool wished = shard->pause_wish != NULL && shard->pause_wish->paused;
    shard->paused = (found && !ALV_PLANTED(FORGET_PAUSE)) || wished;
    if (shard->paused) {
        pause_show(lane, shard);
    }
    return ALV_OK;
}
