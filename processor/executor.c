#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"
#include "base/utf8.h"
#include "processor/executor_internal.h"
#include "processor/outbox.h"
#include "processor/text.h"
#include "statestore/codec.h"

/* ---- the entity -------------------------------------------------------------------------------- */

/* Decodes a stored state. It was checked before it was published; what is unreadable now was written
 * by somebody else, and only this entity's commands suffer for it. */
static alv_reason executor_decode_state(execution *run, alv_error *err)
{
    alv_executor *executor = run->executor;
    json_t *state = NULL;
    if (alv_codec_decode(alv_bytes_view(&executor->scratch), &state, err) != ALV_OK) {
        return ALV_REASON_STATE_UNREADABLE;
    }
    run->entity->state = state;
    alv_cache_set_cost(executor->cache, run->entity, alv_codec_memory(executor->scratch.size));
    return alv_executor_read_version(run, err);
}

/* The entity was not in the cache: checks its key, makes room for it and reads what is committed. */
static alv_status executor_load(execution *run, alv_reason *out_reason, alv_error *err)
{
    alv_executor *executor = run->executor;
    const alv_behavior *behavior = NULL;
    size_t id_at = 0;
    *out_reason =
        alv_command_check_key(executor->options.registry, run->record->key, run->shard->number,
                              executor->options.shard_count, &behavior, &id_at, err);
    bool is_suspect = alv_quarantine_is_suspect(&run->shard->quarantine, run->record->key);
    if (*out_reason == ALV_REASON_NONE && is_suspect) {
        *out_reason = alv_executor_check_quarantine(run, err);
    }
    if (*out_reason != ALV_REASON_NONE) {
        return ALV_OK;
    }
    bool found = false;
    alv_store *store = executor->options.store;
    alv_status status = store->ops->get(store, run->shard->number, ALV_STORE_STATE,
                                        run->record->key, &found, &executor->scratch, err);
    if (status != ALV_OK) {
        run->shard->failed = true;
        return ALV_RETRY;
    }
    run->entity = alv_cache_insert(executor->cache, run->record->key, run->shard->number);
    run->entity->behavior = behavior;
    run->entity->id_at = (uint32_t)id_at;
    run->entity->is_suspect = is_suspect;
    run->entity->state_version = behavior->state_version;
    if (found) {
        *out_reason = executor_decode_state(run, err);
        if (*out_reason != ALV_REASON_NONE) {
            alv_cache_remove(executor->cache, run->entity);
            run->entity = NULL;
        }
    }
    return ALV_OK;
}

/* The entity was put away earlier in this transaction. */
static alv_reason executor_take_back(execution *run, alv_error *err)
{
    alv_bytes *scratch = &run->executor->scratch;
    alv_view encoded = alv_overlay_away(&run->shard->overlay, run->entity);
    alv_bytes_set(scratch, encoded.data, encoded.size);
    run->entity->is_away = false;
    return executor_decode_state(run, err);
}

/* Keeping the state would not pay: it stays until the commit in its encoded form only. */
static void executor_put_away(const execution *run)
{
    alv_cache *cache = run->executor->cache;
    alv_entity *entity = run->entity;
    if (entity == NULL || entity->ledger != NULL || entity->is_suspect ||
        !alv_cache_is_passing(cache, entity)) {
        return;
    }
    if (!entity->dirty) {
        alv_cache_let_go(cache, entity);
    } else if (alv_overlay_put_away(&run->shard->overlay, entity)) {
        alv_cache_set_cost(cache, entity, 0);
    }
}

alv_status alv_executor_find(execution *run, alv_reason *out_reason, alv_error *err)
{
    *out_reason = ALV_REASON_NONE;
    if (run->record->key.data != NULL) {
        run->entity = alv_cache_find(run->executor->cache, run->record->key);
    }
    if (run->entity == NULL) {
        return executor_load(run, out_reason, err);
    }
    if (run->entity->is_away && !ALV_PLANTED(STAY_AWAY)) {
        *out_reason = executor_take_back(run, err);
    }
    if (*out_reason == ALV_REASON_NONE && run->entity->is_suspect) {
        *out_reason = alv_executor_check_quarantine(run, err);
    }
    return ALV_OK;
}

/* ---- what goes out ----------------------------------------------------------------------------- */

/* Who emitted the command and wants to know the outcome is told that it failed; the dead letter says so,
 * because nobody may execute the command after that. One of a quarantined entity only waits: its outcome comes
 * when it is put back and executed. */
static alv_status executor_answer_failure(execution *run, alv_reason reason, const alv_error *why,
                                          alv_error *err)
{
    if (run->on_reply.data == NULL || run->answered.data != NULL ||
        reason == ALV_REASON_QUARANTINED) {
        return ALV_OK;
    }
    if (run->header_count == ALV_HEADERS_MAX) {
        run->header_count--; /* whoever wrote so many can spare one */
    }
    run->headers[run->header_count++] = (alv_header){ALV_HEADER_ANSWERED, ALV_VIEW("1")};
    json_t *reply =
        json_pack("{s:o}", "error", json_sprintf("%s: %s", alv_reason_code(reason), why->text));
    const alv_outcome outcome = {.from = run->record->key,
                                 .to = run->from,
                                 .on_reply = run->on_reply,
                                 .idempotency_key = run->idempotency_key,
                                 .accepted = false,
                                 .reply = reply};
    alv_status status = alv_outbox_answer(run->producer, &outcome, err);
    json_decref(reply);
    return status;
}

static alv_status executor_bury(execution *run, alv_reason reason, const alv_error *why,
                                alv_error *err)
{
    alv_executor *executor = run->executor;
    alv_status answered = executor_answer_failure(run, reason, why, err);
    if (answered != ALV_OK) {
        return answered;
    }
    const alv_produce *letter =
        alv_dead_letter_build(executor->dead_letter, run->record, run->headers, run->header_count,
                              executor->commands_topic, reason, why->text);
    executor->counters.buried[reason]++;
    alv_executor_reply_dead(run, reason, why);
    if (ALV_PLANTED(LOSE_DEAD_LETTER)) {
        return ALV_OK;
    }
    alv_status status = run->producer->ops->produce(run->producer, letter, err);
    if (status == ALV_REJECT) {
        alv_error_clear(err);
        letter = alv_dead_letter_shorten(executor->dead_letter);
        status = run->producer->ops->produce(run->producer, letter, err);
    }
    return status;
}

/* Where the value of a header goes; NULL when it is none of ours. */
static alv_view *executor_header(execution *run, const char *name)
{
    static const struct {
        const char *name;
        size_t at;
    } known[] = {
        {ALV_HEADER_CORRELATION_ID, offsetof(execution, correlation_id)},
        {ALV_HEADER_REPLY_TO, offsetof(execution, reply_to)},
        {ALV_HEADER_IDEMPOTENCY_KEY, offsetof(execution, idempotency_key)},
        {ALV_HEADER_FROM, offsetof(execution, from)},
        {ALV_HEADER_ON_REPLY, offsetof(execution, on_reply)},
        {ALV_HEADER_ANSWERED, offsetof(execution, answered)},
        {ALV_HEADER_RELEASE, offsetof(execution, release)},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0) {
            return (alv_view *)(void *)((char *)run + known[i].at);
        }
    }
    return NULL;
}

/* Who set correlation-id and reply-to waits for a reply, under the correlation id. */
static void executor_read_headers(execution *run)
{
    alv_log_port *log = run->executor->options.log;
    run->header_count = log->ops->headers(run->record, run->headers, ALV_HEADERS_MAX);
    for (size_t i = 0; i < run->header_count; i++) {
        alv_view *value = executor_header(run, run->headers[i].name);
        if (value != NULL) {
            *value = run->headers[i].value;
        }
    }
    if (run->reply_to.data == NULL || run->correlation_id.size > ALV_KEY_BYTES_MAX) {
        run->correlation_id = ALV_VIEW_NONE;
    }
    alv_executor_find_waiting_node(run);
}

/* What the command sends out, now that it is known to have taken hold (or to be rejected). One that was
 * executed before sends its answer once more, and nothing else. */
static alv_status executor_send(execution *run, alv_error *err)
{
    alv_status status = ALV_OK;
    if (!run->is_repeated && alv_effects_output_count(run->executor->effects) > 0) {
        status = alv_outbox_send(run->producer, run->shard->number, run->record->key,
                                 run->executor->effects, err);
    }
    if (status == ALV_OK && run->on_reply.data != NULL) {
        const alv_outcome outcome = {.from = run->record->key,
                                     .to = run->from,
                                     .on_reply = run->on_reply,
                                     .idempotency_key = run->idempotency_key,
                                     .accepted = run->accepted,
                                     .reply = run->reply};
        status = alv_outbox_answer(run->producer, &outcome, err);
    }
    return status == ALV_OK ? alv_executor_reply(run, err) : status;
}

/* ---- one command ------------------------------------------------------------------------------- */

/* One that is not understood must not be ignored: the command could take effect twice. */
static bool executor_check_idempotency_key(alv_view key)
{
    return key.data == NULL ||
           (key.size > 0 && key.size <= ALV_IDEMPOTENCY_KEY_BYTES_MAX &&
            memchr(key.data, '\0', key.size) == NULL && alv_utf8_valid(key.data, key.size));
}

/* What the headers say against executing it. */
static alv_reason executor_check_headers(const execution *run, alv_error *err)
{
    if (run->answered.data != NULL) {
        (void)alv_fail(err, ALV_REJECT, "the entity that emitted it was told that it failed");
        return ALV_REASON_ALREADY_ANSWERED;
    }
    if (!executor_check_idempotency_key(run->idempotency_key)) {
        (void)alv_fail(err, ALV_REJECT, "the idempotency key %s has %zu bytes",
                       alv_text_quote(run->idempotency_key).text, run->idempotency_key.size);
        return ALV_REASON_BAD_IDEMPOTENCY_KEY;
    }
    return ALV_REASON_NONE;
}

/* A command that has killed the process again and again is not tried once more; any other is noted as being
 * in hand. */
static alv_reason executor_mark(const execution *run, alv_error *err)
{
    const alv_executor_options *options = &run->executor->options;
    if (options->crash_mark == NULL) {
        return ALV_REASON_NONE;
    }
    if (alv_crash_mark_is_poison(options->crash_mark, run->shard->number, run->mark)) {
        (void)alv_fail(err, ALV_REJECT,
                       "it crashed this process %d times, or was in hand each of the %d times that "
                       "it died",
                       ALV_CRASHES_MAX, ALV_DEATHS_MAX);
        return ALV_REASON_CRASHED_NODE;
    }
    if (!ALV_PLANTED(MARK_LATE)) {
        alv_crash_mark_set(options->crash_mark, options->lane, run->shard->number, run->mark);
    }
    return ALV_REASON_NONE;
}

static void executor_unmark(const execution *run)
{
    const alv_executor_options *options = &run->executor->options;
    if (options->crash_mark != NULL && !ALV_PLANTED(KEEP_MARK)) {
        alv_crash_mark_clear(options->crash_mark, options->lane);
    }
}

/* Finds the entity, and the answer if the command was executed before. On ALV_OK `out_reason` says whether it
 * must be buried. */
static alv_status executor_prepare(execution *run, alv_reason *out_reason, alv_error *err)
{
    executor_read_headers(run);
    if (run->release.data != NULL) {
        return alv_executor_release(run, out_reason, err);
    }
    *out_reason = executor_check_headers(run, err);
    if (*out_reason == ALV_REASON_NONE) {
        *out_reason = executor_mark(run, err);
    }
    if (*out_reason != ALV_REASON_NONE) {
        return ALV_OK;
    }
    alv_status status = alv_executor_find(run, out_reason, err);
    if (status != ALV_OK || *out_reason != ALV_REASON_NONE) {
        return status;
    }
    alv_cache_touch(run->executor->cache, run->entity, run->now_ms);
    if (run->idempotency_key.data != NULL) {
        status = alv_executor_read_ledger(run, out_reason, err);
        if (status == ALV_OK && *out_reason == ALV_REASON_NONE) {
            alv_executor_recall(run);
        }
    }
    return status;
}

static alv_status executor_execute(execution *run, alv_reason *out_reason, alv_error *err)
{
    *out_reason = alv_command_decode(run->entity->behavior, run->record->value, &run->decoded, err);
    return *out_reason == ALV_REASON_NONE ? alv_executor_handle(run, out_reason, err) : ALV_OK;
}

/* What came of it goes out; the execution is over. */
static alv_status executor_conclude(execution *run, alv_status status, alv_reason reason,
                                    const alv_error *why, alv_error *err)
{
    if (status != ALV_OK) {
        status = alv_fail_from(err, status, why->source, why->code, "%s", why->text);
    } else if (reason != ALV_REASON_NONE) {
        alv_executor_note_failure(run, reason, why);
        status = executor_bury(run, reason, why, err);
    } else {
        if (!run->is_repeated && run->entity->is_suspect) {
            alv_executor_note_success(run);
        }
        status = executor_send(run, err);
    }
    alv_decoded_done(&run->decoded);
    if (run->is_repeated) {
        json_decref(run->reply);
    }
    executor_unmark(run);
    return status;
}

/* `headers` is left alone: clearing it would cost more than the command. */
void alv_execution_init(execution *run, alv_executor *executor, alv_shard *shard,
                        alv_producer *producer, const alv_record *record, int64_t now_ms)
{
    run->executor = executor;
    run->shard = shard;
    run->producer = producer;
    run->record = record;
    run->now_ms = now_ms;
    run->mark = record->offset;
    run->timer = NULL;
    run->due_ms = 0;
    run->entity = NULL;
    run->decoded = (alv_decoded){NULL, NULL};
    run->correlation_id = ALV_VIEW_NONE;
    run->reply_to = ALV_VIEW_NONE;
    run->waiting_node = ALV_VIEW_NONE;
    run->from = ALV_VIEW_NONE;
    run->on_reply = ALV_VIEW_NONE;
    run->idempotency_key = ALV_VIEW_NONE;
    run->answered = ALV_VIEW_NONE;
    run->release = ALV_VIEW_NONE;
    run->changes_timers = false;
    run->touches = false;
    run->is_repeated = false;
    run->accepted = false;
    run->reply = NULL;
    run->header_count = 0;
}

alv_status alv_executor_run(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                            const alv_record *record, int64_t now_ms, alv_error *err)
{
    ALV_ASSERT(shard->touched && record->shard == shard->number);
    execution run;
    alv_execution_init(&run, executor, shard, producer, record, now_ms);
    alv_reason reason = ALV_REASON_NONE;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = executor_prepare(&run, &reason, &why);
    if (status == ALV_OK && reason == ALV_REASON_NONE && !run.is_repeated) {
        status = executor_execute(&run, &reason, &why);
    }
    status = executor_conclude(&run, status, reason, &why, err);
    executor_put_away(&run);
    alv_cache_evict(executor->cache); /* last: it may take this entity, too */
    return status;
}

alv_status alv_executor_carry_out(execution *run, alv_error *err)
{
    ALV_ASSERT(run->entity != NULL);
    alv_status status = ALV_OK;
    alv_error why = ALV_ERROR_NONE;
    alv_reason reason = executor_mark(run, &why);
    if (reason == ALV_REASON_NONE) {
        status = executor_execute(run, &reason, &why);
    }
    status = executor_conclude(run, status, reason, &why, err);
    alv_cache_evict(run->executor->cache); /* not this entity: its ledger has changed */
    return status;
}

/* ---- life -------------------------------------------------------------------------------------- */

alv_executor *alv_executor_new(const alv_executor_options *options)
{
    alv_executor *executor = alv_alloc(sizeof *executor);
    executor->options = *options;
    executor->cache =
        alv_cache_new((size_t)(options->settings->cache_memory_bytes / options->settings->lanes));
    executor->effects = alv_effects_new();
    if (options->pin != NULL) {
        alv_effects_set_tables(executor->effects, alv_table_pin_lookup(options->pin));
    }
    executor->dead_letter = alv_dead_letter_new();
    alv_schema_name(options->settings->application_id, ALV_TOPIC_COMMANDS, executor->commands_topic,
                    sizeof executor->commands_topic);
    return executor;
}

void alv_executor_free(alv_executor *executor)
{
    if (executor == NULL) {
        return;
    }
    alv_cache_free(executor->cache);
    alv_effects_free(executor->effects);
    alv_dead_letter_free(executor->dead_letter);
    alv_reply_box_done(&executor->replies);
    alv_bytes_done(&executor->scratch);
    alv_bytes_done(&executor->timer_text);
    alv_free(executor);
}

alv_cache *alv_executor_cache(alv_executor *executor)
{
    return executor->cache;
}

alv_reply_box *alv_executor_replies(alv_executor *executor)
{
    return &executor->replies;
}

const alv_executor_counters *alv_executor_counters_get(const alv_executor *executor)
{
    return &executor->counters;
}

const char *alv_executor_rejection(const alv_executor *executor)
{
    return alv_effects_rejection(executor->effects);
}

void alv_executor_set_careful(alv_executor *executor, bool careful)
{
    executor->careful = careful;
}
