/* executor_chores.c — what is done about an entity without a handler: one that has not changed for long expires,
 * answers that are too old for anybody are forgotten.
 *
 * When it is due stands in the ledger, and so in the index of timers (executor_timers.c), which is looked at
 * anyway. Writing the ledger with every change would cost more than all the rest, so it is written again only
 * when the time has moved on by an eighth; due is what was asked for and that eighth, so that nothing is done
 * too early.
 */
#include "base/assert.h"
#include "base/plant.h"
#include "processor/executor_internal.h"

static int64_t chores_slack(int64_t after_ms)
{
    return after_ms / 8;
}

static int64_t chores_due(int64_t now_ms, int64_t after_ms)
{
    return now_ms + after_ms + chores_slack(after_ms);
}

/* Whether `due_ms` stands in the ledger early enough, or much too late, because the setting has become smaller. */
static bool chores_must_move(int64_t due_ms, int64_t now_ms, int64_t after_ms)
{
    int64_t wanted_ms = chores_due(now_ms, after_ms);
    if (ALV_PLANTED(EXPIRE_STALE) && due_ms != ALV_DUE_NEVER) {
        return false;
    }
    return due_ms > wanted_ms || wanted_ms - due_ms >= chores_slack(after_ms);
}

void alv_executor_touch(const execution *run)
{
    alv_entity *entity = run->entity;
    const alv_behavior *behavior = entity->behavior;
    alv_expiry expiry = alv_ledger_expiry(entity->ledger);
    if (entity->state == NULL ||
        !chores_must_move(expiry.due_ms, run->now_ms, behavior->expire_after_ms)) {
        return;
    }
    expiry = (alv_expiry){.due_ms = chores_due(run->now_ms, behavior->expire_after_ms),
                          .touched_ms = run->now_ms};
    (void)alv_ledger_set_expiry(entity->ledger, expiry);
    alv_overlay_note_ledger(&run->shard->overlay, entity);
}

/* The ledger is written with the answer. */
void alv_executor_keep_answers(const execution *run)
{
    alv_ledger *ledger = run->entity->ledger;
    int64_t retention_ms = run->executor->options.settings->idempotency_retention_ms;
    if (chores_must_move(alv_ledger_forget_due(ledger), run->now_ms, retention_ms)) {
        alv_ledger_set_forget_due(ledger, chores_due(run->now_ms, retention_ms));
    }
}

/* Deletes the entity, unless its behavior has changed its mind meanwhile. */
static void chores_expire(const execution *run, int64_t until_ms)
{
    alv_entity *entity = run->entity;
    const alv_behavior *behavior = entity->behavior;
    alv_expiry expiry = alv_ledger_expiry(entity->ledger);
    int64_t due_ms = behavior->expire_after_ms == 0
                         ? ALV_DUE_NEVER
                         : chores_due(expiry.touched_ms, behavior->expire_after_ms);
    alv_overlay_note_ledger(&run->shard->overlay, entity);
    if (due_ms > until_ms) {
        expiry.due_ms = due_ms;
        (void)alv_ledger_set_expiry(entity->ledger,
                                    due_ms == ALV_DUE_NEVER ? ALV_EXPIRY_NEVER : expiry);
        return;
    }
    if (!ALV_PLANTED(EXPIRE_STATE_ALONE)) {
        (void)alv_ledger_cancel_timers(entity->ledger);
    }
    (void)alv_ledger_set_expiry(entity->ledger, ALV_EXPIRY_NEVER);
    if (entity->state != NULL) {
        json_decref(entity->state);
        entity->state = NULL;
        entity->state_version = behavior->state_version; /* of the next one */
        entity->is_outdated = false;
        alv_overlay_note(&run->shard->overlay, entity);
        run->executor->counters.expired++;
    }
}

void alv_executor_do_chores(const execution *run, int64_t until_ms)
{
    alv_entity *entity = run->entity;
    if (alv_ledger_forget_due(entity->ledger) <= until_ms) {
        alv_ledger_forget_answers(entity->ledger);
        alv_overlay_note_ledger(&run->shard->overlay, entity);
    }
    if (alv_ledger_expiry(entity->ledger).due_ms <= until_ms) {
        chores_expire(run, until_ms);
    }
}
