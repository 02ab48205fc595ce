/* executor_quarantine.c — entities that fail: counted, set aside, released.
 *
 * Everything here is off the usual path: it is entered for commands that became dead letters, for entities that
 * have failed before, and for releases.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/logger.h"
#include "base/plant.h"
#include "processor/executor_internal.h"
#include "processor/text.h"

alv_reason alv_executor_check_quarantine(const execution *run, alv_error *err)
{
    const alv_quarantine_entry *entry =
        alv_quarantine_find(&run->shard->quarantine, run->record->key);
    if (entry == NULL || entry->since_ms == 0) {
        return ALV_REASON_NONE;
    }
    (void)alv_fail(err, ALV_REJECT,
                   "the entity is quarantined after %" PRId64 " failures; the last: %s: %s",
                   entry->failures, alv_reason_code(entry->reason), entry->detail);
    return ALV_REASON_QUARANTINED;
}

/* ---- failures -------------------------------------------------------------------------------- */

/* What nobody who sends commands can do anything about. */
static bool quarantine_is_technical(alv_reason reason)
{
    return reason == ALV_REASON_FAILED || reason == ALV_REASON_STATE_UNREADABLE ||
           reason == ALV_REASON_CRASHED_NODE;
}

/* A command that crashed the node is buried before anything of it was looked at. */
static bool quarantine_is_entity(const execution *run)
{
    const alv_executor_options *options = &run->executor->options;
    const alv_behavior *behavior = NULL;
    size_t id_at = 0;
    return run->entity != NULL ||
           alv_command_check_key(options->registry, run->record->key, run->shard->number,
                                 options->shard_count, &behavior, &id_at, NULL) == ALV_REASON_NONE;
}

/* A timer has no offset: the commands after it are those from the next one on. */
static int64_t quarantine_offset(const execution *run)
{
    return run->record->offset != ALV_OFFSET_NONE ? run->record->offset : run->shard->next_offset;
}

static void quarantine_begin(const execution *run, alv_quarantine_entry *entry)
{
    entry->since_ms = run->now_ms;
    run->executor->counters.quarantined++;
    alv_log(ALV_LOG_WARN, "entity-quarantined",
            "key=%s shard=%" PRId32 " failures=%" PRId64 " reason=%s detail=%s",
            alv_text_quote(run->record->key).text, run->shard->number, entry->failures,
            alv_reason_code(entry->reason), alv_text_quote(alv_view_of(entry->detail)).text);
}

static void quarantine_count(const execution *run, alv_reason reason, const alv_error *why)
{
    alv_quarantine_entry *entry = alv_quarantine_change(&run->shard->quarantine, run->record->key);
    if (entry == NULL) {
        alv_log(ALV_LOG_WARN, "quarantine-full", "shard=%" PRId32 " key=%s", run->shard->number,
                alv_text_quote(run->record->key).text);
        return;
    }
    if (entry->failures == 0) {
        entry->offset = quarantine_offset(run);
    }
    entry->failures++;
    entry->reason = reason;
    (void)alv_text_copy(alv_view_of(why->text), entry->detail, sizeof entry->detail);
    bool hopeless = reason == ALV_REASON_STATE_UNREADABLE;
    int64_t limit = run->executor->options.settings->quarantine_after_failures;
    if (entry->since_ms == 0 && (hopeless || entry->failures >= limit)) {
        quarantine_begin(run, entry);
    }
}

void alv_executor_note_failure(const execution *run, alv_reason reason, const alv_error *why)
{
    if (reason == ALV_REASON_QUARANTINED) {
        alv_quarantine_entry *entry =
            alv_quarantine_change(&run->shard->quarantine, run->record->key);
        ALV_ASSERT(entry != NULL); /* it is there */
        entry->waiting++;
        return;
    }
    if (run->executor->options.settings->quarantine_after_failures == 0 ||
        !quarantine_is_technical(reason) || !quarantine_is_entity(run)) {
        return;
    }
    quarantine_count(run, reason, why);
    alv_entity *entity =
        run->entity != NULL ? run->entity : alv_cache_find(run->executor->cache, run->record->key);
    if (entity != NULL) {
        entity->is_suspect = true;
    }
}

void alv_executor_note_success(const execution *run)
{
    alv_quarantine_remove(&run->shard->quarantine, run->record->key);
}

/* ---- release --------------------------------------------------------------------------------- */

/* Timers that were due meanwhile were passed over in the index. The ledger is written again, and the lane looks at
 * its timers anew. A release counts as a change: what has waited for long must not expire at once. */
static alv_status release_timers(execution *run, alv_error *err)
{
    alv_reason reason = ALV_REASON_NONE;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_executor_find(run, &reason, &why);
    if (status == ALV_OK && reason == ALV_REASON_NONE) {
        alv_cache_touch(run->executor->cache, run->entity, run->now_ms);
        status = alv_executor_read_ledger(run, &reason, &why);
    }
    if (status != ALV_OK) {
        return alv_fail_from(err, status, why.source, why.code, "%s", why.text);
    }
    if (reason != ALV_REASON_NONE) {
        return ALV_OK; /* unreadable: the next command tells */
    }
    const alv_behavior *behavior = run->entity->behavior;
    if (behavior->expire_after_ms > 0) {
        alv_executor_touch(run);
    }
    if (alv_ledger_due(run->entity->ledger) != ALV_DUE_NEVER && !ALV_PLANTED(RELEASE_ALONE)) {
        alv_overlay_note_ledger(&run->shard->overlay, run->entity);
    }
    return ALV_OK;
}

alv_status alv_executor_release(execution *run, alv_reason *out_reason, alv_error *err)
{
    const alv_executor_options *options = &run->executor->options;
    const alv_behavior *behavior = NULL;
    size_t id_at = 0;
    *out_reason = alv_command_check_key(options->registry, run->record->key, run->shard->number,
                                        options->shard_count, &behavior, &id_at, err);
    if (*out_reason != ALV_REASON_NONE) {
        return ALV_OK;
    }
    const alv_quarantine_entry *entry =
        alv_quarantine_find(&run->shard->quarantine, run->record->key);
    bool held = entry != NULL && entry->since_ms != 0;
    json_int_t waiting = held ? entry->waiting : 0;
    run->is_repeated = true; /* only this answer goes out, no effects */
    run->accepted = true;
    run->reply = json_pack("{s:b, s:I}", "released", (int)held, "waiting", waiting);
    if (!held) {
        return ALV_OK;
    }
    alv_quarantine_remove(&run->shard->quarantine, run->record->key);
    run->executor->counters.released++;
    alv_log(ALV_LOG_INFO, "entity-released", "key=%s shard=%" PRId32 " waiting=%lld",
            alv_text_quote(run->record->key).text, run->shard->number, (long long)waiting);
    return release_timers(run, err);
}
