/* Which shards a lane has and in which state they are: the moves of the picture in directory.h. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/logger.h"
#include "base/plant.h"
#include "processor/lane_internal.h"

static void rebalance_set_state(alv_lane *lane, const alv_shard *shard, alv_shard_state state)
{
    alv_directory_set_state(lane->options.directory, shard->number, lane->options.number, state);
    alv_log(ALV_LOG_INFO, "shard-state", "shard=%" PRId32 " state=%s next=%" PRId64, shard->number,
            alv_shard_state_name(state), shard->next_offset);
}

/* On the replicator's thread: the answer goes to the lane's inbox, and wakes it. */
static void rebalance_answer(void *payload, int32_t shard, uint64_t ticket, alv_status status,
                             const alv_restore *restore, const alv_error *error)
{
    alv_lane *lane = payload;
    lane_message *message = alv_alloc(sizeof *message);
    message->shard = shard;
    message->ticket = ticket;
    message->status = status;
    message->restore = *restore;
    if (error != NULL) {
        message->error = *error;
    }
    (void)alv_inbox_post(lane->inbox,
                         message); /* refused after close only: nobody waits any more */
}

/* ---- towards active ------------------------------------------------------------------------------ */

/* Asks the replicator; its answer to an earlier question is stale from now on. */
static void rebalance_again(alv_lane *lane, alv_shard *shard)
{
    shard->ticket = ++lane->last_ticket;
    alv_replicator_restore(lane->options.replicator, shard->number, shard->ticket, rebalance_answer,
                           lane);
}

static void rebalance_restore(alv_lane *lane, alv_shard *shard)
{
    rebalance_set_state(lane, shard, ALV_SHARD_RESTORING);
    rebalance_again(lane, shard);
}

/* A shard that another lane of this node has not let go of yet waits; its turn comes within a heartbeat,
 * when that lane is told that it lost the shard. */
void alv_rebalance_claim_due(alv_lane *lane)
{
    if (!lane->claims_due) {
        return;
    }
    lane->claims_due = false;
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (shard == NULL || shard->claimed) {
            continue;
        }
        shard->claimed = alv_directory_claim(lane->options.directory, number, lane->options.number);
        if (shard->claimed) {
            rebalance_restore(lane, shard);
        } else {
            lane->claims_due = true;
        }
    }
}

/* The group gives out all partitions that the command topic has. Those that were added to it since the shards were
 * numbered are no shards: their keys belong to others, which have the states. */
static bool rebalance_is_shard(const alv_lane *lane, int32_t number)
{
    return number >= 0 && number < lane->options.shard_count;
}

void alv_rebalance_assigned(void *payload, const int32_t *shards, size_t count)
{
    alv_lane *lane = payload;
    atomic_store(&lane->joined, true);
    for (size_t i = 0; i < count && !lane->closing; i++) {
        if (!rebalance_is_shard(lane, shards[i])) {
            alv_log(ALV_LOG_ERROR, "partition-added",
                    "partition=%" PRId32 " shards=%" PRId32
                    " msg=\"commands in it are not executed; run `alluvium topics check`\"",
                    shards[i], lane->options.shard_count);
            continue;
        }
        ALV_ASSERT(lane->shards[shards[i]] == NULL);
        lane->shards[shards[i]] = alv_shard_new(shards[i]);
        lane->claims_due = true;
    }
    alv_rebalance_claim_due(lane);
    lane->options.assignment_changed(lane->options.payload);
}

static void rebalance_stop(alv_lane *lane, alv_shard *shard, const alv_error *why)
{
    alv_log_error(ALV_LOG_ERROR, "shard-stopped", why,
                  "shard=%" PRId32 " msg=\"this shard %s, the others go on\"", shard->number,
                  shard->awaits_tables ? "waits for a global table" : "stays stopped");
    rebalance_set_state(lane, shard, ALV_SHARD_STOPPED);
}

/* ALV_FATAL: commands between what was consumed and what the topic still holds are gone (retention).
 * ALV_RETRY: more was consumed than the topic holds. That is so when the topic was recreated; but also
 * when this process was paused after it had asked for the end, and others went on meanwhile. */
static alv_status rebalance_check_gap(alv_lane *lane, const alv_shard *shard,
                                      const alv_restore *restore, int64_t *out_next, alv_error *err)
{
    int64_t next = restore->first_start ? restore->commands_start : restore->position.commands;
    *out_next = next;
    if (next > restore->commands_end) {
        return alv_fail(err, ALV_RETRY,
                        "command topic ends at %" PRId64 ", but %" PRId64
                        " was consumed: the topic was recreated or lost records; start under a new "
                        "application.id, or restore the topic",
                        restore->commands_end, next);
    }
    if (next >= restore->commands_start) {
        return ALV_OK;
    }
    if (strcmp(lane->options.settings->on_command_gap, "continue") == 0) {
        alv_log(ALV_LOG_WARN, "command-gap", "shard=%" PRId32 " from=%" PRId64 " to=%" PRId64,
                shard->number, next, restore->commands_start);
        *out_next = restore->commands_start;
        return ALV_OK;
    }
    return alv_fail(err, ALV_FATAL,
                    "commands %" PRId64 " to %" PRId64 " are no longer in the topic (retention); "
                    "set on.command.gap=continue to go on without them",
                    next, restore->commands_start - 1);
}

/* I12: the shard has seen newer global tables elsewhere than this node has so far. */
static void rebalance_await_tables(alv_lane *lane, alv_shard *shard, const alv_error *why)
{
    alv_log_error(ALV_LOG_WARN, "shard-awaits-table", why, "shard=%" PRId32, shard->number);
    shard->awaits_tables = true;
    shard->await_tables_to_ms = lane->now_ms + ALV_TABLES_WAIT_MS;
    lane->tables_due = true;
}

/* What was waited for has come: the restore is asked for again, since it is no longer fresh. */
static void rebalance_tables_came(alv_lane *lane, alv_shard *shard)
{
    shard->awaits_tables = false;
    if (shard->await_tables_to_ms == 0) {
        rebalance_restore(lane, shard);
    } else {
        rebalance_again(lane, shard);
    }
}

void alv_rebalance_tables_due(alv_lane *lane)
{
    if (!lane->tables_due) {
        return;
    }
    lane->tables_due = false;
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        alv_error why = ALV_ERROR_NONE;
        if (shard == NULL || !shard->awaits_tables) {
            continue;
        }
        if (alv_lane_tables_cover(lane, shard, &why)) {
            rebalance_tables_came(lane, shard);
            continue;
        }
        lane->tables_due = true;
        if (shard->await_tables_to_ms != 0 && lane->now_ms >= shard->await_tables_to_ms) {
            shard->await_tables_to_ms = 0;
            rebalance_stop(lane, shard, &why);
        }
    }
}

/* What the shard's own store says about how it may go on. Whether it may now; else what follows is under
 * way. */
static bool rebalance_load(alv_lane *lane, alv_shard *shard)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_lane_pause_load(lane, shard, &err);
    if (status == ALV_OK) {
        status = alv_quarantine_load(&shard->quarantine, lane->options.store, shard->number, &err);
    }
    if (status == ALV_OK) {
        status = alv_lane_tables_load(lane, shard, &err);
        if (status == ALV_REJECT) {
            rebalance_stop(lane, shard, &err);
            return false;
        }
    }
    if (status != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "ledger-unknown", &err, "shard=%" PRId32, shard->number);
        rebalance_again(lane, shard);
        return false;
    }
    if (!ALV_PLANTED(UNCOVERED) && !alv_lane_tables_cover(lane, shard, &err)) {
        rebalance_await_tables(lane, shard, &err);
        return false;
    }
    return true;
}

static void rebalance_activate(alv_lane *lane, alv_shard *shard, const alv_restore *restore)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t next = 0;
    alv_status status = rebalance_check_gap(lane, shard, restore, &next, &err);
    if (status == ALV_RETRY && !shard->was_ahead) {
        shard->was_ahead = true;
        rebalance_again(lane, shard);
        return;
    }
    if (status != ALV_OK) {
        rebalance_stop(lane, shard, &err);
        return;
    }
    if (!rebalance_load(lane, shard)) {
        return;
    }
    shard->was_ahead = false;
    shard->position = restore->position;
    shard->next_offset = next;
    shard->committed_offset = next;
    shard->singletons_begun = false;
    alv_timers_start(&shard->timers, next, restore->commands_end, lane->now_ms);
    shard->must_start = true;
    shard->active = true;
    lane->starts_due++; /* nothing follows from it while the shard is paused */
    alv_directory_set_position(lane->options.directory, shard->number, &shard->position);
    alv_directory_set_quarantined(lane->options.directory, shard->number,
                                  (int64_t)shard->quarantine.held);
    rebalance_set_state(lane, shard, ALV_SHARD_ACTIVE);
    if (lane->options.checkpointer != NULL) {
        alv_checkpointer_follow(lane->options.checkpointer, shard->number);
    }
}

void alv_rebalance_restored(alv_lane *lane, const lane_message *message)
{
    alv_shard *shard = lane->shards[message->shard];
    if (shard == NULL || shard->ticket != message->ticket) {
        return; /* revoked meanwhile, or asked again */
    }
    alv_fault_reach(ALV_FAULT_AFTER_RESTORE);
    if (message->status == ALV_OK) {
        rebalance_activate(lane, shard, &message->restore);
    } else {
        rebalance_stop(lane, shard, &message->error);
    }
}

/* ---- away from active ----------------------------------------------------------------------------- */

static void rebalance_leave_active(alv_lane *lane, alv_shard *shard)
{
    if (!ALV_PLANTED(KEEP_CACHE)) {
        alv_cache_drop_shard(alv_executor_cache(lane->executor), shard->number);
    }
    if (lane->options.checkpointer != NULL) {
        alv_checkpointer_unfollow(lane->options.checkpointer, shard->number);
    }
}

static void rebalance_restart(alv_lane *lane, alv_shard *shard)
{
    alv_error err = ALV_ERROR_NONE;
    ALV_ASSERT(!shard->touched);
    rebalance_leave_active(lane, shard);
    if (lane->consumer->ops->pause(lane->consumer, shard->number, &err) != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "pause-failed", &err, "shard=%" PRId32, shard->number);
    }
    shard->failed = false;
    shard->active = false;
    shard->must_start = false;
    rebalance_restore(lane, shard);
}

void alv_rebalance_restart_failed(alv_lane *lane)
{
    if (!lane->shard_failed) {
        return;
    }
    lane->shard_failed = false;
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (shard != NULL && shard->failed) {
            rebalance_restart(lane, shard);
        }
    }
}

static void rebalance_release(alv_lane *lane, alv_shard *shard)
{
    if (shard->active) {
        alv_transaction_forget(lane->transaction, shard);
        alv_reply_box_drop_shard(alv_executor_replies(lane->executor), shard->number);
        rebalance_leave_active(lane, shard);
    }
    if (shard->claimed) {
        alv_replicator_release(lane->options.replicator, shard->number);
        rebalance_set_state(lane, shard, ALV_SHARD_UNASSIGNED);
    }
    alv_lane_pause_forget(shard);
    lane->shards[shard->number] = NULL;
    alv_shard_free(shard);
}

/* Shards that are still ours at this moment: the open transaction is finished first, so that the next
 * owner starts from its end. Shards that are lost: somebody else may already be committing (I3), what
 * is open is dropped. */
static void rebalance_finish_work(alv_lane *lane, bool lost)
{
    alv_error err = ALV_ERROR_NONE;
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_OPEN) {
        if (lost) {
            alv_lane_rollback(lane);
        } else if (alv_lane_commit(lane, &err) != ALV_OK) {
            alv_log_error(ALV_LOG_WARN, "commit-before-revoke", &err, "lost=%d", lost);
        }
    }
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_UNCERTAIN &&
        lane->consumer != NULL) {
        (void)alv_lane_resolve(lane, &err); /* one try: the next owner finds out anyway */
    }
}

void alv_rebalance_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    alv_lane *lane = payload;
    if (lost) {
        alv_log(ALV_LOG_WARN, "assignment-lost", "shards=%zu", count);
    }
    rebalance_finish_work(lane, lost);
    alv_fault_reach(ALV_FAULT_IN_REVOKE);
    for (size_t i = 0; i < count; i++) {
        if (rebalance_is_shard(lane, shards[i]) && lane->shards[shards[i]] != NULL) {
            rebalance_release(lane, lane->shards[shards[i]]);
        }
    }
    lane->options.assignment_changed(lane->options.payload);
}
