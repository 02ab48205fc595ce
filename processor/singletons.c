#include "processor/singletons.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/plant.h"
#include "processor/executor_internal.h"
#include "processor/outbox.h"

/* Begins with a byte that no UTF-8 text contains, as ALV_POSITION_KEY does. */
#define SINGLETON_KEY \
    "\xff"            \
    "singleton/"
#define SINGLETON_TIMER "next"

bool alv_singletons_is_key(alv_view key)
{
    return alv_view_starts_with(key, ALV_VIEW(SINGLETON_KEY));
}

bool alv_singletons_exist(const alv_registry *registry)
{
    const alv_behavior *behavior = NULL;
    for (size_t i = 0; (behavior = alv_registry_at(registry, i)) != NULL; i++) {
        if (behavior->singleton_count > 0) {
            return true;
        }
    }
    return false;
}

/* ---- their place in the ledger ------------------------------------------------------------------- */

/* The entry of a key in the cache, with its ledger; it has no state and no behavior. */
static alv_status singletons_find(execution *run, alv_error *err)
{
    alv_cache *cache = run->executor->cache;
    run->entity = alv_cache_find(cache, run->record->key);
    if (run->entity == NULL) {
        run->entity = alv_cache_insert(cache, run->record->key, run->shard->number);
    }
    alv_cache_touch(cache, run->entity, run->now_ms);
    alv_reason reason = ALV_REASON_NONE;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_executor_read_ledger(run, &reason, &why);
    if (status == ALV_OK && reason != ALV_REASON_NONE) {
        status = ALV_OK; /* something else wrote it: begun anew */
        run->entity->ledger = alv_ledger_new();
    }
    return status == ALV_OK ? ALV_OK
                            : alv_fail_from(err, status, why.source, why.code, "%s", why.text);
}

static void singletons_set(execution *run, int64_t due_ms)
{
    const alv_timer timer = {.name = SINGLETON_TIMER, .due_ms = due_ms, .command = ALV_VIEW("{}")};
    bool fits = alv_ledger_set_timer(run->entity->ledger, &timer);
    ALV_ASSERT(fits);
    alv_overlay_note_ledger(&run->shard->overlay, run->entity);
}

static alv_status singletons_begin_one(execution *run, alv_error *err)
{
    alv_status status = singletons_find(run, err);
    if (status == ALV_OK && alv_ledger_due(run->entity->ledger) == ALV_DUE_NEVER) {
        singletons_set(run, run->now_ms);
    }
    return status;
}

alv_status alv_singletons_begin(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                                int64_t now_ms, alv_error *err)
{
    ALV_ASSERT(shard->number == 0 && shard->touched);
    const alv_registry *registry = executor->options.registry;
    const alv_behavior *behavior = NULL;
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_status status = ALV_OK;
    for (size_t i = 0; (behavior = alv_registry_at(registry, i)) != NULL; i++) {
        for (size_t j = 0; status == ALV_OK && j < behavior->singleton_count; j++) {
            alv_bytes_clear(&key);
            alv_bytes_append_text(&key, SINGLETON_KEY);
            alv_bytes_append_text(&key, behavior->type);
            alv_bytes_append(&key, "/", 1);
            alv_bytes_append_text(&key, behavior->singletons[j].id);
            const alv_record record = {.topic = ALV_TOPIC_COMMANDS,
                                       .shard = shard->number,
                                       .offset = ALV_OFFSET_NONE,
                                       .key = alv_bytes_view(&key)};
            execution run;
            alv_execution_init(&run, executor, shard, producer, &record, now_ms);
            status = singletons_begin_one(&run, err);
        }
    }
    alv_bytes_done(&key);
    return status;
}

/* ---- firing -------------------------------------------------------------------------------------- */

/* The job of a key `<prefix><type>/<id>`, NULL when no behavior has it any more. */
static const alv_singleton *singletons_of(const alv_registry *registry, alv_view entity_key)
{
    size_t id_at = 0;
    const alv_behavior *behavior = alv_registry_find(registry, entity_key, &id_at);
    alv_view id = {entity_key.data + id_at, entity_key.size - id_at};
    for (size_t i = 0; behavior != NULL && i < behavior->singleton_count; i++) {
        if (alv_view_equal(alv_view_of(behavior->singletons[i].id), id)) {
            return &behavior->singletons[i];
        }
    }
    return NULL;
}

static alv_status singletons_send(execution *run, const alv_singleton *singleton,
                                  alv_view entity_key, int64_t due_ms, alv_error *err)
{
    json_t *body = json_pack("{s:s, s:I}", "type", singleton->command, "due", (json_int_t)due_ms);
    ALV_ASSERT(body != NULL);
    alv_status status = alv_outbox_command(run->producer, entity_key, body, err);
    json_decref(body);
    return status;
}

/* The first time after now among those that are whole intervals from `due_ms`. */
static int64_t singletons_next(int64_t due_ms, int64_t every_ms, int64_t now_ms)
{
    if (due_ms > now_ms || now_ms - due_ms < every_ms) {
        return due_ms + every_ms;
    }
    return now_ms + every_ms - (now_ms - due_ms) % every_ms;
}

alv_status alv_singletons_fire(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                               const alv_due *due, int64_t until_ms, int64_t now_ms, alv_error *err)
{
    ALV_ASSERT(shard->touched && alv_singletons_is_key(due->key));
    const alv_record record = {.topic = ALV_TOPIC_COMMANDS,
                               .shard = shard->number,
                               .offset = ALV_OFFSET_NONE,
                               .key = due->key};
    execution run;
    alv_execution_init(&run, executor, shard, producer, &record, now_ms);
    alv_status status = singletons_find(&run, err);
    if (status != ALV_OK) {
        return status;
    }
    if (due->due_ms != run.entity->indexed_due_ms) {
        alv_overlay_note_stale(&shard->overlay, due->due_ms, due->key);
    }
    int64_t due_ms = alv_ledger_due(run.entity->ledger);
    if (due_ms > until_ms) {
        return ALV_OK;
    }
    size_t prefix = sizeof SINGLETON_KEY - 1;
    alv_view entity_key = {due->key.data + prefix, due->key.size - prefix};
    const alv_singleton *singleton = singletons_of(executor->options.registry, entity_key);
    if (singleton == NULL) {
        (void)alv_ledger_cancel_timers(run.entity->ledger);
        alv_overlay_note_ledger(&shard->overlay, run.entity);
        return ALV_OK;
    }
    if (!ALV_PLANTED(JOB_STAYS)) {
        singletons_set(&run, singletons_next(due_ms, singleton->every_ms, now_ms));
    }
    return singletons_send(&run, singleton, entity_key, due_ms, err);
}
