/* executor_handle.c — runs a handler and lets what it asked for take hold, unless it rejected. */
#include <string.h>

#include "base/utf8.h"
#include "processor/executor_internal.h"
#include "statestore/codec.h"

/* Around all that calls code of a behavior, which may not return. */
static void executor_enter_handler(const execution *run)
{
    const alv_executor_options *options = &run->executor->options;
    if (options->crash_mark != NULL) {
        alv_crash_mark_enter_handler(options->crash_mark, options->lane);
    }
}

static void executor_leave_handler(const execution *run)
{
    const alv_executor_options *options = &run->executor->options;
    if (options->crash_mark != NULL) {
        alv_crash_mark_leave_handler(options->crash_mark, options->lane);
    }
}

/* Calls `init` for an entity that is new. */
static void executor_apply(execution *run, json_t **state)
{
    alv_entity *entity = run->entity;
    executor_enter_handler(run);
    alv_effects_apply(run->executor->effects, entity->behavior, entity->key,
                      entity->key + entity->id_at, state);
    executor_leave_handler(run);
}

/* Careful mode: the effects are tried on a copy first. */
static alv_reason executor_apply_carefully(execution *run, alv_error *err)
{
    json_t *copy = json_deep_copy(run->entity->state);
    executor_apply(run, &copy);
    size_t size = copy == NULL ? 0 : alv_codec_size(copy);
    size += run->entity->state_version > 1 ? ALV_CODEC_VERSION_BYTES : 0;
    if (size > ALV_STATE_BYTES_MAX) {
        json_decref(copy);
        (void)alv_fail(err, ALV_REJECT, "the state would have %zu bytes, at most %d are allowed",
                       size, ALV_STATE_BYTES_MAX);
        return ALV_REASON_STATE_TOO_LARGE;
    }
    json_decref(run->entity->state);
    run->entity->state = copy;
    return ALV_REASON_NONE;
}

/* An outcome must find a command of this behavior when it comes back. */
static void executor_check_outputs(execution *run)
{
    alv_effects *effects = run->executor->effects;
    for (size_t i = 0; i < alv_effects_output_count(effects); i++) {
        alv_view on_reply = alv_effects_output(effects, i).on_reply;
        if (on_reply.data != NULL &&
            alv_registry_row(run->entity->behavior, on_reply.data) == NULL) {
            alv_reject(effects, "no command of this behavior takes the reply: %s", on_reply.data);
        }
    }
}

/* NUL-terminated for the handler; NULL when the header is not there or nothing an entity could write. */
static const char *executor_header_text(alv_view value, size_t size_max, char *out)
{
    if (value.data == NULL || value.size == 0 || value.size > size_max ||
        !alv_utf8_valid(value.data, value.size)) {
        return NULL;
    }
    memcpy(out, value.data, value.size);
    out[value.size] = '\0';
    return out;
}

/* What the handler looked up is recorded with the transaction. */
static void executor_note_tables(const execution *run)
{
    alv_table_pin *pin = run->executor->options.pin;
    if (pin != NULL && pin->read != 0) {
        run->shard->tables.read |= pin->read;
        pin->read = 0;
    }
}

static void executor_call_handler(execution *run)
{
    alv_executor *executor = run->executor;
    const alv_entity *entity = run->entity;
    char from[ALV_KEY_BYTES_MAX + 1];
    char idempotency_key[ALV_IDEMPOTENCY_KEY_BYTES_MAX + 1];
    const alv_command command = {
        .timer = run->timer,
        .due_ms = run->due_ms,
        .name = run->decoded.row->name,
        .key = entity->key,
        .id = entity->key + entity->id_at,
        .body = run->decoded.body,
        .from = executor_header_text(run->from, ALV_KEY_BYTES_MAX, from),
        .idempotency_key = executor_header_text(run->idempotency_key, ALV_IDEMPOTENCY_KEY_BYTES_MAX,
                                                idempotency_key)};
    bool reply_wanted = run->correlation_id.data != NULL || run->on_reply.data != NULL ||
                        run->idempotency_key.data != NULL;
    alv_effects_begin(executor->effects, reply_wanted);
    executor_enter_handler(run);
    run->decoded.row->handler(entity->state, &command, run->record->timestamp_ms,
                              executor->effects);
    executor_leave_handler(run);
    executor_note_tables(run);
    executor_check_outputs(run);
}

/* Timers, deletions and changes of what expires change the ledger, which is read for their sake. */
static alv_status executor_prepare_ledger(execution *run, alv_reason *out_reason, alv_error *err)
{
    alv_effects *effects = run->executor->effects;
    const alv_behavior *behavior = run->entity->behavior;
    bool exists = run->entity->state != NULL;
    bool changes_timers =
        alv_effects_has_timers(effects) || (alv_effects_deletes(effects) && exists);
    bool touches = behavior->expire_after_ms > 0 && alv_effects_changes(effects, exists);
    if (!changes_timers && !touches) {
        return ALV_OK;
    }
    alv_status status = alv_executor_read_ledger(run, out_reason, err);
    if (status == ALV_OK && *out_reason == ALV_REASON_NONE) {
        if (changes_timers) {
            alv_executor_check_timers(run);
        }
        run->changes_timers = changes_timers;
        run->touches = touches;
    }
    return status;
}

/* The state as the handler wants it. */
static alv_reason executor_change_state(execution *run, alv_error *err)
{
    alv_executor *executor = run->executor;
    alv_entity *entity = run->entity;
    if (!alv_effects_changes(executor->effects, entity->state != NULL)) {
        return ALV_REASON_NONE;
    }
    if (executor->careful) {
        alv_reason reason = executor_apply_carefully(run, err);
        if (reason != ALV_REASON_NONE) {
            return reason;
        }
    } else {
        executor_apply(run, &entity->state);
    }
    alv_overlay_note(&run->shard->overlay, entity);
    return ALV_REASON_NONE;
}

alv_status alv_executor_handle(execution *run, alv_reason *out_reason, alv_error *err)
{
    alv_executor *executor = run->executor;
    if (run->entity->is_outdated) {
        executor_enter_handler(run);
        *out_reason = alv_executor_migrate(run, err);
        executor_leave_handler(run);
        if (*out_reason != ALV_REASON_NONE) {
            return ALV_OK;
        }
    }
    executor_call_handler(run);
    const char *failure = alv_effects_failure(executor->effects);
    if (failure != NULL) {
        (void)alv_fail(err, ALV_REJECT, "%s", failure);
        *out_reason = ALV_REASON_FAILED;
        return ALV_OK;
    }
    executor->counters.commands++;
    alv_status status = executor_prepare_ledger(run, out_reason, err);
    if (status != ALV_OK || *out_reason != ALV_REASON_NONE) {
        return status;
    }
    run->accepted = alv_effects_rejection(executor->effects) == NULL;
    executor->counters.rejected += !run->accepted;
    if (run->accepted) {
        *out_reason = executor_change_state(run, err);
        if (*out_reason != ALV_REASON_NONE) {
            return ALV_OK;
        }
        if (run->changes_timers) {
            alv_executor_change_timers(run);
        }
        if (run->touches) {
            alv_executor_touch(run);
        }
    }
    run->reply = alv_effects_reply(executor->effects);
    if (run->idempotency_key.data != NULL) {
        alv_executor_remember(run);
    }
    return ALV_OK;
}
