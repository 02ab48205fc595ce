#include "testkit/stage.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/codec.h"
#include "topics/schema.h"

#define STAGE_SHARD 0
#define STAGE_NODE "test" /* who waits for replies */

/* A timer that sets itself for a time that has passed would never end. */
#define STAGE_TURNS_MAX 256

/* ---- life -------------------------------------------------------------------------------------- */

static void stage_finished(void *payload, const alv_shard *shard, int64_t commands)
{
    (void)payload;
    (void)commands;
    ALV_ASSERT(!shard->failed); /* memory does not fail */
}

static void stage_open_store(alv_stage *stage)
{
    stage->store = alv_store_memory_new();
    alv_position position;
    alv_status status = stage->store->ops->open_shard(stage->store, STAGE_SHARD, &position, NULL);
    ALV_ASSERT(status == ALV_OK);
}

static void stage_configure(alv_stage *stage)
{
    stage->config = alv_config_new();
    alv_status status = alv_config_set(stage->config, "node.id=" STAGE_NODE, NULL);
    if (status == ALV_OK) {
        status = alv_config_set(stage->config, "lanes=1", NULL);
    }
    if (status == ALV_OK) {
        status = alv_config_finish(stage->config, NULL);
    }
    ALV_ASSERT(status == ALV_OK);
}

static alv_status stage_register(alv_stage *stage, const alv_behavior *behavior, alv_error *err)
{
    stage->registry = alv_registry_new();
    alv_status status = alv_registry_add(stage->registry, behavior, err);
    return status == ALV_OK ? alv_registry_set_default(stage->registry, behavior->type, err)
                            : status;
}

/* Tables that the behavior names, all of them empty. Names that a configuration could not have are left out. */
static void stage_open_tables(alv_stage *stage, const alv_behavior *behavior)
{
    alv_bytes names = ALV_BYTES_EMPTY;
    alv_table_list list;
    for (size_t i = 0; behavior->tables != NULL && i < behavior->table_count; i++) {
        alv_bytes_printf(&names, "%s%s", i > 0 ? "," : "", behavior->tables[i]);
    }
    alv_bytes_append(&names, "", 1);
    if (alv_table_list_parse(names.data, &list, NULL) == ALV_OK && list.count > 0) {
        stage->tables = alv_tables_new(&list);
        for (size_t i = 0; i < list.count; i++) {
            stage->copies[i].partition_count = 1;
            alv_table_map_init(&stage->copies[i].rows, i);
        }
        alv_tables_publish(stage->tables, stage->copies);
    }
    stage->pin.tables = stage->tables;
    alv_bytes_done(&names);
}

static void stage_close_tables(alv_stage *stage)
{
    for (size_t i = 0; i < ALV_TABLES_MAX; i++) {
        alv_table_map_done(&stage->copies[i].rows);
    }
    alv_tables_free(stage->tables);
}

alv_status alv_stage_init(alv_stage *stage, const alv_behavior *behavior, const char *key,
                          int64_t now_ms, alv_error *err)
{
    memset(stage, 0, sizeof *stage);
    stage_configure(stage);
    alv_status status = stage_register(stage, behavior, err);
    stage_open_store(stage);
    if (status == ALV_OK) {
        stage_open_tables(stage, alv_registry_at(stage->registry, 0));
    }
    alv_manual_clock_init(&stage->clock, now_ms);
    alv_recorder_init(&stage->recorder);
    stage->meter = alv_meter_new();
    const alv_executor_options executor = {.settings = alv_config_settings(stage->config),
                                           .registry = stage->registry,
                                           .log = &stage->recorder.log,
                                           .store = stage->store,
                                           .pin = &stage->pin,
                                           .shard_count = 1};
    stage->executor = alv_executor_new(&executor);
    const alv_transaction_options transaction = {.store = stage->store,
                                                 .cache = alv_executor_cache(stage->executor),
                                                 .clock = &stage->clock.clock,
                                                 .meter = stage->meter,
                                                 .shard_count = 1,
                                                 .owner = STAGE_NODE,
                                                 .pin = &stage->pin,
                                                 .finished = stage_finished};
    stage->transaction = alv_transaction_new(&transaction);
    alv_transaction_set_producer(stage->transaction, &stage->recorder.producer);
    stage->shard = alv_shard_new(STAGE_SHARD);
    stage->state_version = alv_registry_state_version(behavior);
    stage->key = alv_strdup(key);
    stage->timers = json_array();
    return status;
}

static void stage_clear_outcome(alv_stage *stage)
{
    json_decref(stage->outcome.reply);
    alv_free(stage->outcome.text);
    stage->outcome = (alv_stage_outcome){.kind = ALV_RESULT_DONE};
}

void alv_stage_done(alv_stage *stage)
{
    alv_transaction_free(stage->transaction);
    alv_executor_free(stage->executor);
    stage_close_tables(stage);
    alv_shard_free(stage->shard);
    alv_meter_free(stage->meter);
    alv_recorder_done(&stage->recorder);
    stage->store->ops->close(stage->store);
    alv_registry_free(stage->registry);
    alv_config_free(stage->config);
    stage_clear_outcome(stage);
    json_decref(stage->state);
    json_decref(stage->timers);
    alv_free(stage->key);
}

void alv_stage_clear(alv_stage *stage)
{
    alv_recorder_clear(&stage->recorder);
    stage_clear_outcome(stage);
}

/* ---- what is committed ------------------------------------------------------------------------- */

/* What the store has, decoded; NULL when it has nothing. A new reference. */
static json_t *stage_get(const alv_stage *stage, alv_store_kind kind)
{
    alv_bytes encoded = ALV_BYTES_EMPTY;
    bool found = false;
    alv_status status = stage->store->ops->get(stage->store, STAGE_SHARD, kind,
                                               alv_view_of(stage->key), &found, &encoded, NULL);
    ALV_ASSERT(status == ALV_OK);
    json_t *value = NULL;
    if (found) {
        value = json_loadb(encoded.data, encoded.size, JSON_ALLOW_NUL, NULL);
        ALV_ASSERT(value != NULL);
    }
    alv_bytes_done(&encoded);
    return value;
}

static void stage_refresh(alv_stage *stage)
{
    json_decref(stage->state);
    stage->state = stage_get(stage, ALV_STORE_STATE);
    if (stage->state != NULL) {
        (void)json_object_del(stage->state, ALV_CODEC_VERSION);
    }
    json_decref(stage->timers);
    json_t *ledger = stage_get(stage, ALV_STORE_LEDGER);
    stage->timers = json_incref(json_object_get(ledger, "timers"));
    if (stage->timers == NULL) {
        stage->timers = json_array();
    }
    json_decref(ledger);
}

void alv_stage_put(alv_stage *stage, alv_view encoded)
{
    const alv_store_write write = {
        .kind = ALV_STORE_STATE, .key = alv_view_of(stage->key), .value = encoded};
    alv_status status = stage->store->ops->apply(stage->store, STAGE_SHARD, &write, 1,
                                                 &stage->shard->position, NULL);
    ALV_ASSERT(status == ALV_OK);
    alv_cache_drop_shard(alv_executor_cache(stage->executor), STAGE_SHARD);
    stage_refresh(stage);
}

bool alv_stage_put_row(alv_stage *stage, const char *table, const char *key, json_t *value)
{
    size_t number = ALV_TABLE_NONE;
    if (stage->tables != NULL) {
        number = alv_table_list_find(alv_tables_list(stage->tables), table);
    }
    if (number == ALV_TABLE_NONE) {
        json_decref(value);
        return false;
    }
    alv_table *copy = &stage->copies[number];
    if (value != NULL) {
        alv_table_map_put(&copy->rows, alv_view_of(key), value,
                          0); /* nobody looks at the estimate */
    } else {
        alv_table_map_remove(&copy->rows, alv_view_of(key));
    }
    copy->offsets[0]++;
    alv_tables_publish(stage->tables, stage->copies);
    return true;
}

/* ---- transactions ------------------------------------------------------------------------------ */

static void stage_begin(alv_stage *stage)
{
    alv_status status = alv_transaction_begin(stage->transaction, NULL);
    ALV_ASSERT(status == ALV_OK);
    alv_transaction_touch(stage->transaction, stage->shard);
}

/* False: it was rolled back because the state is too large, and is to be run again carefully, as a lane does. */
static bool stage_commit(alv_stage *stage)
{
    alv_status status = alv_transaction_commit(stage->transaction, NULL, NULL);
    ALV_ASSERT(status == ALV_OK || status == ALV_REJECT);
    alv_executor_set_careful(stage->executor, status == ALV_REJECT);
    if (status == ALV_OK) {
        stage_refresh(stage);
    } else {
        alv_reply_box_clear(alv_executor_replies(stage->executor));
    }
    return status == ALV_OK;
}

/* ---- commands ---------------------------------------------------------------------------------- */

static void stage_take_reply(alv_stage *stage)
{
    alv_reply_box *box = alv_executor_replies(stage->executor);
    ALV_ASSERT(box->count == 1);
    alv_result result = alv_reply_box_get(box, 0);
    stage->outcome.kind = result.kind;
    stage->outcome.reason = result.reason;
    if (result.kind != ALV_RESULT_DONE) {
        stage->outcome.text = alv_strndup(result.text.data, result.text.size);
    } else if (result.text.size > 0) {
        stage->outcome.reply =
            json_loadb(result.text.data, result.text.size, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    }
    alv_reply_box_clear(box);
}

void alv_stage_execute(alv_stage *stage, alv_view command, const alv_header *headers, size_t count)
{
    ALV_ASSERT(count <= ALV_STAGE_HEADERS_MAX);
    alv_header all[ALV_STAGE_HEADERS_MAX + 2] = {
        {ALV_HEADER_REPLY_TO, ALV_VIEW(ALV_REPLY_TO_NODE STAGE_NODE)},
        {ALV_HEADER_CORRELATION_ID, ALV_VIEW("1")}};
    for (size_t i = 0; i < count; i++) {
        all[2 + i] = headers[i];
    }
    const alv_recorder_headers handle = {.items = all, .count = 2 + count};
    bool committed = false;
    while (!committed) {
        const alv_record record = {.topic = ALV_TOPIC_COMMANDS,
                                   .shard = STAGE_SHARD,
                                   .offset = stage->shard->next_offset,
                                   .timestamp_ms = alv_now_ms(&stage->clock.clock),
                                   .key = alv_view_of(stage->key),
                                   .value = command,
                                   .handle = &handle};
        stage_begin(stage);
        alv_status status =
            alv_executor_run(stage->executor, stage->shard, &stage->recorder.producer, &record,
                             record.timestamp_ms, NULL);
        ALV_ASSERT(status == ALV_OK);
        alv_shard_consumed(stage->shard, record.offset);
        committed = stage_commit(stage);
    }
    stage_take_reply(stage);
}

/* ---- timers ------------------------------------------------------------------------------------ */

static int64_t stage_due(const json_t *timer)
{
    return json_integer_value(json_object_get(timer, "due"));
}

const json_t *alv_stage_timer(const alv_stage *stage, const char *name)
{
    size_t index;
    json_t *timer;
    json_array_foreach(stage->timers, index, timer)
    {
        if (strcmp(json_string_value(json_object_get(timer, "name")), name) == 0) {
            return timer;
        }
    }
    return NULL;
}

static int64_t stage_earliest(const alv_stage *stage)
{
    int64_t earliest = ALV_DUE_NEVER;
    size_t index;
    json_t *timer;
    json_array_foreach(stage->timers, index, timer)
    {
        earliest = stage_due(timer) < earliest ? stage_due(timer) : earliest;
    }
    return earliest;
}

static void stage_move_clock(alv_stage *stage, int64_t to_ms)
{
    int64_t now_ms = alv_now_ms(&stage->clock.clock);
    if (to_ms > now_ms) {
        alv_manual_clock_advance(&stage->clock, to_ms - now_ms);
    }
}

/* Nobody waits for a timer, so its refusal is asked for. */
static void stage_fire_due(alv_stage *stage, int64_t due_ms)
{
    const alv_due due = {.due_ms = due_ms, .key = alv_view_of(stage->key)};
    int64_t rejected = alv_executor_counters_get(stage->executor)->rejected;
    bool committed = false;
    while (!committed) {
        int64_t now_ms = alv_now_ms(&stage->clock.clock);
        stage_begin(stage);
        alv_status status = alv_executor_fire(
            stage->executor, stage->shard, &stage->recorder.producer, &due, now_ms, now_ms, NULL);
        ALV_ASSERT(status == ALV_OK);
        committed = stage_commit(stage);
    }
    const char *text = alv_executor_rejection(stage->executor);
    if (text != NULL && alv_executor_counters_get(stage->executor)->rejected > rejected) {
        stage_clear_outcome(stage);
        stage->outcome.kind = ALV_RESULT_REJECTED;
        stage->outcome.text = alv_strdup(text);
    }
}

void alv_stage_fire(alv_stage *stage, int64_t until_ms)
{
    for (int turn = 0; turn < STAGE_TURNS_MAX; turn++) {
        int64_t due_ms = stage_earliest(stage);
        if (due_ms > until_ms) {
            break;
        }
        stage_move_clock(stage, due_ms);
        stage_fire_due(stage, due_ms);
    }
    stage_move_clock(stage, until_ms);
}
