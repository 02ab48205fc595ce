/* executor_timers.c — timers: what handlers ask for goes into the ledger, what is due is executed, and so are the
 * chores that executor_chores.c put there.
 *
 * A timer that fires is executed by the lane that owns the entity, in the transaction that takes it out of
 * the ledger: once, and in the entity's order, because nothing lies between. Sending it through the command
 * topic first would leave a time in which it is no longer pending and not yet executed, and a command that
 * cancels or replaces it in that time would come too late.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "base/assert.h"
#include "base/logger.h"
#include "base/plant.h"
#include "processor/executor_internal.h"
#include "processor/singletons.h"
#include "processor/text.h"

/* ---- what handlers ask for ----------------------------------------------------------------------- */

static bool timers_change(alv_ledger *ledger, const alv_output *output, bool *out_changed)
{
    if (output->kind == ALV_OUTPUT_TIMER_CANCEL) {
        *out_changed = alv_ledger_cancel_timer(ledger, output->key.data) || *out_changed;
        return true;
    }
    if (output->kind != ALV_OUTPUT_TIMER_SET) {
        return true;
    }
    const alv_timer timer = {
        .name = output->key.data, .due_ms = output->due_ms, .command = output->value};
    *out_changed = true;
    return alv_ledger_set_timer(ledger, &timer);
}

static bool timers_change_all(alv_ledger *ledger, const alv_effects *effects, bool *out_changed)
{
    size_t count = alv_effects_output_count(effects);
    bool fits = true;
    for (size_t i = 0; fits && i < count; i++) {
        alv_output output = alv_effects_output(effects, i);
        fits = timers_change(ledger, &output, out_changed);
    }
    return fits;
}

/* Tried on a copy, while the command can still be rejected. */
void alv_executor_check_timers(execution *run)
{
    alv_effects *effects = run->executor->effects;
    alv_ledger *copy = alv_ledger_dup_timers(run->entity->ledger);
    bool changed = false;
    if (!timers_change_all(copy, effects, &changed)) {
        alv_reject(effects, "more than %d pending timers, or %d bytes of them",
                   ALV_LEDGER_TIMERS_MAX, ALV_LEDGER_TIMERS_BYTES_MAX);
    }
    alv_ledger_free(copy);
}

void alv_executor_change_timers(execution *run)
{
    alv_entity *entity = run->entity;
    bool changed = false;
    if (entity->state == NULL && alv_effects_deletes(run->executor->effects)) {
        changed = alv_ledger_cancel_timers(entity->ledger); /* they go with the entity */
        changed = alv_ledger_set_expiry(entity->ledger, ALV_EXPIRY_NEVER) || changed;
    }
    bool fits = timers_change_all(entity->ledger, run->executor->effects, &changed);
    ALV_ASSERT(fits);
    if (changed) {
        alv_overlay_note_ledger(&run->shard->overlay, entity);
    }
}

/* ---- what is due --------------------------------------------------------------------------------- */

/* In the place of an offset in crash marks: no offset is that large. */
static int64_t timers_mark(const alv_timer *timer, alv_view key)
{
    uint64_t hash = XXH3_64bits(key.data, key.size);
    hash = XXH3_64bits_withSeed(timer->name, strlen(timer->name), hash ^ (uint64_t)timer->due_ms);
    return (int64_t)(hash >> 2 | UINT64_C(1) << 62);
}

/* Executes the earliest timer; it has left the ledger before its handler runs, which may set it again. */
static alv_status timers_fire_first(execution *run, alv_error *err)
{
    alv_executor *executor = run->executor;
    alv_entity *entity = run->entity;
    alv_timer timer;
    bool any = alv_ledger_first_timer(entity->ledger, &timer);
    ALV_ASSERT(any);
    run->mark = timers_mark(&timer, run->record->key);
    run->due_ms = timer.due_ms;

    alv_bytes_clear(&executor->timer_text); /* name, NUL, command */
    alv_bytes_append(&executor->timer_text, timer.name, strlen(timer.name) + 1);
    alv_bytes_append(&executor->timer_text, timer.command.data, timer.command.size);
    run->timer = executor->timer_text.data;
    size_t name_size = strlen(run->timer);
    run->headers[0] = (alv_header){ALV_HEADER_TIMER, {run->timer, name_size}};
    run->header_count = 1;

    alv_record record = *run->record;
    record.value = (alv_view){run->timer + name_size + 1, timer.command.size};
    run->record = &record;
    if (!ALV_PLANTED(RING_TWICE)) {
        (void)alv_ledger_cancel_timer(entity->ledger, run->timer);
    }
    alv_overlay_note_ledger(&run->shard->overlay, entity);
    executor->counters.timers++;
    return alv_executor_carry_out(run, err);
}

/* The entity and its ledger; an index entry of an entity that cannot be read now stays, and is looked at again
 * by the next owner. The timers of one that is quarantined wait where they are until it is released. */
static alv_status timers_find(execution *run, bool *out_found, alv_error *err)
{
    alv_reason reason = ALV_REASON_NONE;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_executor_find(run, &reason, &why);
    if (ALV_PLANTED(RING_HELD) && reason == ALV_REASON_QUARANTINED && run->entity != NULL) {
        reason = ALV_REASON_NONE;
    }
    if (status == ALV_OK && reason == ALV_REASON_NONE) {
        alv_cache_touch(run->executor->cache, run->entity, run->now_ms);
        status = alv_executor_read_ledger(run, &reason, &why);
    }
    if (status != ALV_OK) {
        return alv_fail_from(err, status, why.source, why.code, "%s", why.text);
    }
    if (reason == ALV_REASON_STATE_UNREADABLE) {
        alv_executor_note_failure(run, reason, &why);
    }
    if (reason != ALV_REASON_NONE && reason != ALV_REASON_QUARANTINED) {
        alv_log_error(ALV_LOG_WARN, "timer-left", &why, "key=%s reason=%s",
                      alv_text_quote(run->record->key).text, alv_reason_code(reason));
    }
    *out_found = reason == ALV_REASON_NONE;
    return ALV_OK;
}

/* The entity is quarantined, maybe only since its last timer. */
static bool timers_are_held(const execution *run)
{
    return !ALV_PLANTED(RING_HELD) && run->entity->is_suspect &&
           alv_executor_check_quarantine(run, NULL) != ALV_REASON_NONE;
}

alv_status alv_executor_fire(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                             const alv_due *due, int64_t until_ms, int64_t now_ms, alv_error *err)
{
    ALV_ASSERT(shard->touched && due->due_ms <= until_ms);
    if (alv_singletons_is_key(due->key)) {
        return alv_singletons_fire(executor, shard, producer, due, until_ms, now_ms, err);
    }
    const alv_record record = {.topic = ALV_TOPIC_COMMANDS,
                               .shard = shard->number,
                               .offset = ALV_OFFSET_NONE,
                               .timestamp_ms = now_ms,
                               .key = due->key};
    execution run;
    alv_execution_init(&run, executor, shard, producer, &record, now_ms);
    bool found = false;
    alv_status status = timers_find(&run, &found, err);
    if (status != ALV_OK || !found) {
        return status;
    }
    alv_entity *entity = run.entity;
    if (due->due_ms != entity->indexed_due_ms) {
        alv_overlay_note_stale(&shard->overlay, due->due_ms, due->key);
    }
    /* At most as many as there may be pending: one that is set anew for now has its turn later. */
    for (int i = 0; i < ALV_LEDGER_TIMERS_MAX && alv_ledger_timer_due(entity->ledger) <= until_ms;
         i++) {
        alv_execution_init(&run, executor, shard, producer, &record, now_ms);
        run.entity = entity;
        if (timers_are_held(&run)) {
            return ALV_OK; /* by the one before */
        }
        status = timers_fire_first(&run, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    alv_execution_init(&run, executor, shard, producer, &record, now_ms);
    run.entity = entity;
    if (alv_ledger_timer_due(entity->ledger) > until_ms && !timers_are_held(&run)) {
        alv_executor_do_chores(&run, until_ms);
    }
    return ALV_OK;
}
