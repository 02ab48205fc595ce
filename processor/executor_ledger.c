/* executor_ledger.c — commands that may come twice: the first outcome is kept with the entity and answered
 * again.
 *
 * The ledger is read when a command asks for it, once as long as the entity stays in the cache: commands
 * without an idempotency key pay nothing, and an entity that has no ledger costs a look into RocksDB's bloom
 * filter.
 */
#include <string.h>

#include "base/assert.h"
#include "base/json_reader.h"
#include "base/plant.h"
#include "processor/executor_internal.h"
#include "statestore/codec.h"

alv_status alv_executor_read_ledger(execution *run, alv_reason *out_reason, alv_error *err)
{
    alv_executor *executor = run->executor;
    alv_entity *entity = run->entity;
    if (entity->ledger != NULL) {
        return ALV_OK;
    }
    bool found = false;
    alv_store *store = executor->options.store;
    alv_status status = store->ops->get(store, run->shard->number, ALV_STORE_LEDGER,
                                        run->record->key, &found, &executor->scratch, err);
    if (status != ALV_OK) {
        run->shard->failed = true;
        return ALV_RETRY;
    }
    entity->indexed_due_ms = ALV_DUE_NEVER;
    if (!found) {
        entity->ledger = alv_ledger_new();
        return ALV_OK;
    }
    alv_view encoded = alv_bytes_view(&executor->scratch);
    if (alv_ledger_decode(encoded, &entity->ledger, err) != ALV_OK) {
        *out_reason = ALV_REASON_STATE_UNREADABLE;
        return ALV_OK;
    }
    entity->indexed_due_ms = alv_ledger_peek_due(encoded);
    alv_cache_set_ledger_cost(executor->cache, entity, alv_ledger_memory(entity->ledger));
    return ALV_OK;
}

static alv_answer_policy ledger_policy(const execution *run)
{
    const alv_settings *settings = run->executor->options.settings;
    return (alv_answer_policy){.count_max = (size_t)settings->idempotency_keys_max,
                               .retention_ms = settings->idempotency_retention_ms};
}

void alv_executor_recall(execution *run)
{
    ALV_ASSERT(run->entity->ledger != NULL);
    alv_answer answer;
    alv_answer_policy policy = ledger_policy(run);
    if (ALV_PLANTED(FORGET_ANSWERS) ||
        !alv_ledger_find_answer(run->entity->ledger, run->idempotency_key,
                                run->record->timestamp_ms, &policy, &answer)) {
        return;
    }
    run->is_repeated = true;
    run->accepted = answer.accepted;
    run->reply =
        answer.reply.data == NULL ? NULL : alv_json_read(answer.reply, JSON_ALLOW_NUL, NULL);
    run->executor->counters.repeated++;
}

void alv_executor_remember(execution *run)
{
    alv_entity *entity = run->entity;
    ALV_ASSERT(entity->ledger != NULL && !run->is_repeated);
    alv_bytes *scratch = &run->executor->scratch;
    alv_bytes_clear(scratch);
    alv_answer answer = {
        .at_ms = run->record->timestamp_ms, .accepted = run->accepted, .reply = ALV_VIEW_NONE};
    if (run->reply != NULL) {
        alv_codec_encode(run->reply, scratch);
        answer.reply = scratch->size <= ALV_LEDGER_REPLY_BYTES_MAX
                           ? alv_bytes_view(scratch)
                           : ALV_VIEW("{\"note\":\"the reply was too large to be kept\"}");
    }
    alv_answer_policy policy = ledger_policy(run);
    alv_ledger_add_answer(entity->ledger, run->idempotency_key, &answer, &policy);
    alv_executor_keep_answers(run);
    alv_overlay_note_ledger(&run->shard->overlay, entity);
}
