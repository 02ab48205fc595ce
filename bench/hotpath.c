/* hotpath.c — what each step of a command costs in our own code, on one thread and without a broker.
 *
 * Goal:   the section "Single steps" of docs/performance.md, reproducible with one command; and a program for
 *         a profiler or callgrind to look at, in which a step is alone.
 * Method: the real code over a log that takes everything at once and keeps nothing. The commands are those of
 *         tests/support/user_model.h: of all kinds, some of them rejected. Time is CPU time of this thread;
 *         allocations are counted by standing in for malloc, in this thread only (RocksDB has others). All that
 *         is measured happens inside hotpath_measured, so that --toggle-collect=hotpath_measured counts it
 *         and nothing else: see bench/instructions.
 */
#include <inttypes.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config.h"
#include "base/logger.h"
#include "behaviors/builtin.h"
#include "processor/command.h"
#include "processor/effects.h"
#include "processor/executor.h"
#include "processor/transaction.h"
#include "statestore/codec.h"
#include "statestore/overlay.h"
#include "tests/support/bench.h"
#include "tests/support/null_log.h"
#include "tests/support/scratch.h"
#include "tests/support/user_model.h"
#include "topics/partitioner.h"

#define SHARDS 16
#define START_MS INT64_C(1700000000000)
#define COMMANDS_PER_TRANSACTION 8000 /* about 50 ms of a lane that is busy */
#define WRITES_PER_BATCH 500          /* of one shard in such a transaction */
#define STORE_BYTES (INT64_C(256) * 1024 * 1024)
#define CACHE_PLENTY "cache.memory.bytes=4GiB"
#define CACHE_LITTLE "cache.memory.bytes=1MiB" /* next to nothing is found */

static const char help[] =
    "usage: hotpath [--only NAME,...] [--ops N] [--users N] [--list] [--json]\n"
    "CPU time, allocations and memory of the steps of a command, per operation. Every step is done\n"
    "N times (200000), over as many users (100000).\n";

/* ---- what the allocator does ------------------------------------------------------------------- */

/* glibc's own, under the names that its documentation gives to those who replace malloc. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

/* Ours are visible to the libraries too. */
#define STAND_IN __attribute__((visibility("default")))

typedef struct allocations {
    int64_t calls;
    int64_t bytes; /* in use, with what the allocator adds to each piece */
} allocations;

static _Thread_local allocations allocated;

static int64_t piece_bytes(void *memory)
{
    return memory == NULL ? 0 : (int64_t)(malloc_usable_size(memory) + sizeof(size_t));
}

STAND_IN void *malloc(size_t size)
{
    void *memory = __libc_malloc(size);
    allocated.calls++;
    allocated.bytes += piece_bytes(memory);
    return memory;
}

STAND_IN void *calloc(size_t count, size_t size)
{
    void *memory = __libc_calloc(count, size);
    allocated.calls++;
    allocated.bytes += piece_bytes(memory);
    return memory;
}

STAND_IN void *realloc(void *memory, size_t size)
{
    allocated.calls++;
    allocated.bytes -= piece_bytes(memory);
    void *moved = __libc_realloc(memory, size);
    allocated.bytes += piece_bytes(moved);
    return moved;
}

STAND_IN void free(void *memory)
{
    allocated.bytes -= piece_bytes(memory);
    __libc_free(memory);
}

/* ---- what the steps share ------------------------------------------------------------------------ */

static struct {
    size_t ops;
    size_t users;
    alv_registry *registry;
    alv_user_command *commands; /* `ops` of them */
    alv_user_command *first;    /* one per user, so that he exists */
    json_t **states;            /* of each user after all commands; NULL = deleted */
    alv_config *config;
    alv_meter *meter;
    alv_effects *effects;
    alv_cache *cache;
    char *directory;
    alv_store *store;
    alv_executor *executor;
    alv_transaction *transaction;
    alv_shard *shards[SHARDS];
    alv_decoded *decoded;
    alv_overlay overlay;
    alv_bytes bytes;
    size_t checksum; /* so that no result is unused */
} bench;

static void must(alv_status status, const alv_error *err)
{
    if (status != ALV_OK) {
        fprintf(stderr, "hotpath: %s\n", err->text);
        exit(1);
    }
}

static alv_view key_of(const alv_user_command *command)
{
    return alv_view_of(command->key);
}

static void make_commands(void)
{
    uint64_t random = 88172645463325252;
    alv_user_model *models = alv_alloc_array(bench.users, sizeof *models);
    bench.first = alv_alloc_array(bench.users, sizeof *bench.first);
    for (size_t i = 0; i < bench.users; i++) {
        alv_user_model_init(&models[i], (unsigned)i);
        while (!models[i].exists) {
            alv_user_model_step(&models[i], &random, START_MS, &bench.first[i]);
        }
    }
    bench.commands = alv_alloc_array(bench.ops, sizeof *bench.commands);
    for (size_t i = 0; i < bench.ops; i++) {
        size_t user = (size_t)(alv_user_model_random(&random) % bench.users);
        int64_t time_ms = START_MS + (int64_t)(i / 150); /* as many per ms as one lane executes */
        alv_user_model_step(&models[user], &random, time_ms, &bench.commands[i]);
    }
    bench.states = alv_alloc_array(bench.users, sizeof(json_t *));
    for (size_t i = 0; i < bench.users; i++) {
        bench.states[i] = alv_user_model_json(&models[i]);
    }
    alv_free(models);
}

static void free_commands(void)
{
    for (size_t i = 0; i < bench.users; i++) {
        json_decref(bench.states[i]);
    }
    alv_free(bench.states);
    alv_free(bench.commands);
    alv_free(bench.first);
}

/* The state of a user who exists, from the i-th on. */
static json_t *some_state(size_t i)
{
    for (i %= bench.users; bench.states[i] == NULL; i = (i + 1) % bench.users) {
    }
    return bench.states[i];
}

static const alv_behavior *user_behavior(void)
{
    size_t id_at = 0;
    return alv_registry_find(bench.registry, ALV_VIEW("mall:user"), &id_at);
}

static void open_store(void)
{
    bench.directory = alv_scratch_make();
    const alv_store_options options = {
        .directory = bench.directory, .application_id = "bench", .memory_bytes = STORE_BYTES};
    alv_error err = ALV_ERROR_NONE;
    must(alv_store_rocksdb_open(&options, &bench.store, &err), &err);
    for (int32_t i = 0; i < SHARDS; i++) {
        alv_position position;
        must(bench.store->ops->open_shard(bench.store, i, &position, &err), &err);
    }
}

static void close_store(void)
{
    bench.store->ops->close(bench.store);
    alv_scratch_remove(bench.directory);
}

/* ---- decode, state, encode, apply, partitioner ---------------------------------------------------- */

static void decode_run(void)
{
    const alv_behavior *behavior = user_behavior();
    for (size_t i = 0; i < bench.ops; i++) {
        alv_decoded decoded;
        alv_reason reason =
            alv_command_decode(behavior, alv_view_of(bench.commands[i].value), &decoded, NULL);
        bench.checksum += reason == ALV_REASON_NONE;
        alv_decoded_done(&decoded);
    }
}

static void encode_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        alv_bytes_clear(&bench.bytes);
        alv_codec_encode(some_state(i), &bench.bytes);
        bench.checksum += bench.bytes.size;
    }
}

static void state_prepare(void)
{
    alv_codec_encode(some_state(0), &bench.bytes);
}

static void state_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        json_t *state = NULL;
        bench.checksum += alv_codec_decode(alv_bytes_view(&bench.bytes), &state, NULL) == ALV_OK;
        json_decref(state);
    }
}

static void bytes_clear(void)
{
    alv_bytes_done(&bench.bytes);
}

static void apply_prepare(void)
{
    bench.effects = alv_effects_new();
    bench.decoded = alv_alloc_array(bench.ops, sizeof *bench.decoded);
    for (size_t i = 0; i < bench.ops; i++) {
        alv_error err = ALV_ERROR_NONE;
        alv_reason reason = alv_command_decode(
            user_behavior(), alv_view_of(bench.commands[i].value), &bench.decoded[i], &err);
        ALV_ASSERT(reason == ALV_REASON_NONE);
    }
}

/* Every command on a state of its own, which all other users' states are like. */
static void apply_run(void)
{
    json_t *state = json_deep_copy(some_state(0));
    const alv_behavior *behavior = user_behavior();
    for (size_t i = 0; i < bench.ops; i++) {
        const alv_user_command *sent = &bench.commands[i];
        const alv_decoded *decoded = &bench.decoded[i];
        const alv_command command = {
            .name = decoded->row->name, .key = sent->key, .id = sent->key, .body = decoded->body};
        alv_effects_begin(bench.effects, false);
        decoded->row->handler(state, &command, sent->timestamp_ms, bench.effects);
        if (alv_effects_rejection(bench.effects) == NULL &&
            alv_effects_changes(bench.effects, state != NULL)) {
            alv_effects_apply(bench.effects, behavior, sent->key, sent->key, &state);
        }
    }
    json_decref(state);
}

static void apply_clear(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        alv_decoded_done(&bench.decoded[i]);
    }
    alv_free(bench.decoded);
    alv_effects_free(bench.effects);
}

static void partitioner_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        bench.checksum += (size_t)alv_partitioner_shard(key_of(&bench.commands[i]), SHARDS);
    }
}

/* ---- cache, overlay -------------------------------------------------------------------------------- */

static alv_entity *cache_put(const alv_user_command *command, const json_t *state)
{
    alv_entity *entity = alv_cache_insert(bench.cache, key_of(command), 0);
    entity->state = json_deep_copy(state);
    alv_cache_set_cost(bench.cache, entity, alv_codec_memory(alv_codec_size(state)));
    return entity;
}

static void cache_fill(size_t budget_bytes)
{
    bench.cache = alv_cache_new(budget_bytes);
    for (size_t i = 0; i < bench.users; i++) {
        (void)cache_put(&bench.first[i], some_state(i));
        alv_cache_evict(bench.cache);
    }
}

static void cache_prepare(void)
{
    cache_fill(SIZE_MAX);
}

static void cache_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        alv_entity *entity = alv_cache_find(bench.cache, key_of(&bench.commands[i]));
        ALV_ASSERT(entity != NULL);
        alv_cache_touch(bench.cache, entity, START_MS);
    }
}

static void cache_clear(void)
{
    alv_cache_free(bench.cache);
}

/* Full, and nothing of what comes is there: each is admitted at the cost of others. */
static void evict_prepare(void)
{
    cache_fill(bench.users * 100);
}

static void evict_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        char key[64];
        int size = snprintf(key, sizeof key, "other:%zu", i);
        alv_view view = {key, (size_t)size};
        if (alv_cache_find(bench.cache, view) == NULL) {
            alv_entity *entity = alv_cache_insert(bench.cache, view, 0);
            alv_cache_touch(bench.cache, entity, START_MS);
            alv_cache_set_cost(bench.cache, entity, alv_codec_memory(300));
            alv_cache_evict(bench.cache);
        }
    }
}

/* What each user takes who stays in memory. */
static void entity_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        if (alv_cache_find(bench.cache, key_of(&bench.first[i % bench.users])) == NULL) {
            alv_entity *entity =
                alv_cache_insert(bench.cache, key_of(&bench.first[i % bench.users]), 0);
            must(alv_codec_decode(alv_bytes_view(&bench.bytes), &entity->state, NULL), NULL);
        }
    }
}

static void entity_prepare(void)
{
    bench.cache = alv_cache_new(SIZE_MAX);
    state_prepare();
    bench.ops = bench.users;
}

static void entity_clear(void)
{
    cache_clear();
    bytes_clear();
}

static void overlay_prepare(void)
{
    cache_fill(SIZE_MAX);
    alv_overlay_init(&bench.overlay);
}

/* Each entity changed once: noted, encoded, and clean again. */
static void overlay_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        alv_entity *entity = alv_cache_find(bench.cache, key_of(&bench.first[i % bench.users]));
        alv_overlay_note(&bench.overlay, entity);
        if (i % WRITES_PER_BATCH == 0 || i + 1 == bench.ops) {
            alv_error err = ALV_ERROR_NONE;
            must(alv_overlay_encode(&bench.overlay, &err), &err);
            alv_overlay_finish(&bench.overlay, bench.cache);
        }
    }
}

static void overlay_clear(void)
{
    alv_overlay_done(&bench.overlay);
    cache_clear();
}

/* ---- the store ------------------------------------------------------------------------------------- */

static void batch_prepare(void)
{
    open_store();
    state_prepare();
}

static void batch_run(void)
{
    alv_position position = ALV_POSITION_START;
    alv_store_write writes[WRITES_PER_BATCH];
    for (size_t i = 0; i < bench.ops;) {
        size_t count = 0;
        for (; count < WRITES_PER_BATCH && i < bench.ops; i++) {
            writes[count++] = (alv_store_write){.kind = ALV_STORE_STATE,
                                                .key = key_of(&bench.first[i % bench.users]),
                                                .value = alv_bytes_view(&bench.bytes)};
        }
        position.changelog += (int64_t)count;
        alv_error err = ALV_ERROR_NONE;
        must(bench.store->ops->apply(bench.store, 0, writes, count, &position, &err), &err);
    }
}

static void batch_clear(void)
{
    bytes_clear();
    close_store();
}

/* From files, as after a restore: what is in the memtable is found sooner. */
static void get_prepare(void)
{
    size_t ops = bench.ops;
    batch_prepare();
    bench.ops = bench.users;
    batch_run();
    bench.ops = ops;
    alv_error err = ALV_ERROR_NONE;
    must(bench.store->ops->flush(bench.store, &err), &err);
}

static void get_run(void)
{
    for (size_t i = 0; i < bench.ops; i++) {
        bool found = false;
        alv_error err = ALV_ERROR_NONE;
        must(bench.store->ops->get(bench.store, 0, ALV_STORE_STATE, key_of(&bench.commands[i]),
                                   &found, &bench.bytes, &err),
             &err);
        ALV_ASSERT(found);
    }
}

/* ---- the whole way ----------------------------------------------------------------------------------- */

static void lane_finished(void *payload, const alv_shard *shard, int64_t commands)
{
    (void)payload;
    ALV_ASSERT(!shard->failed);
    bench.checksum += (size_t)commands;
}

static void lane_open(const char *cache)
{
    bench.config = alv_config_new();
    alv_error err = ALV_ERROR_NONE;
    must(alv_config_set(bench.config, "lanes=1", &err), &err);
    must(alv_config_set(bench.config, cache, &err), &err);
    must(alv_config_finish(bench.config, &err), &err);
    open_store();
    bench.meter = alv_meter_new();
    const alv_executor_options executor = {.settings = alv_config_settings(bench.config),
                                           .registry = bench.registry,
                                           .log = alv_null_log_port(),
                                           .store = bench.store,
                                           .shard_count = SHARDS};
    bench.executor = alv_executor_new(&executor);
    const alv_transaction_options transaction = {.store = bench.store,
                                                 .cache = alv_executor_cache(bench.executor),
                                                 .clock = alv_clock_system(),
                                                 .meter = bench.meter,
                                                 .shard_count = SHARDS,
                                                 .owner = "bench-0",
                                                 .finished = lane_finished};
    bench.transaction = alv_transaction_new(&transaction);
    alv_transaction_set_producer(bench.transaction, alv_null_log_producer());
    for (int32_t i = 0; i < SHARDS; i++) {
        bench.shards[i] = alv_shard_new(i);
    }
}

static void lane_commit(void)
{
    alv_error err = ALV_ERROR_NONE;
    must(alv_transaction_commit(bench.transaction, NULL, &err), &err);
}

static void lane_execute(const alv_user_command *commands, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        alv_view key = key_of(&commands[i]);
        alv_shard *shard = bench.shards[alv_partitioner_shard(key, SHARDS)];
        const alv_record record = {.topic = ALV_TOPIC_COMMANDS,
                                   .shard = shard->number,
                                   .offset = shard->next_offset,
                                   .timestamp_ms = commands[i].timestamp_ms,
                                   .key = key,
                                   .value = alv_view_of(commands[i].value)};
        alv_error err = ALV_ERROR_NONE;
        if (alv_transaction_state_get(bench.transaction) == ALV_TRANSACTION_IDLE) {
            must(alv_transaction_begin(bench.transaction, &err), &err);
        }
        alv_transaction_touch(bench.transaction, shard);
        must(alv_executor_run(bench.executor, shard, alv_null_log_producer(), &record, START_MS,
                              &err),
             &err);
        alv_shard_consumed(shard, record.offset);
        if (alv_transaction_commands(bench.transaction) == COMMANDS_PER_TRANSACTION ||
            i + 1 == count) {
            lane_commit();
        }
    }
}

static void hot_prepare(void)
{
    lane_open(CACHE_PLENTY);
    lane_execute(bench.first, bench.users);
}

static void cold_prepare(void)
{
    lane_open(CACHE_LITTLE);
    lane_execute(bench.first, bench.users);
    alv_error err = ALV_ERROR_NONE;
    must(bench.store->ops->flush(bench.store, &err), &err);
}

static void lane_run(void)
{
    lane_execute(bench.commands, bench.ops);
}

static void lane_clear(void)
{
    alv_transaction_free(bench.transaction);
    alv_executor_free(bench.executor);
    for (int32_t i = 0; i < SHARDS; i++) {
        alv_shard_free(bench.shards[i]);
    }
    alv_meter_free(bench.meter);
    alv_config_free(bench.config);
    close_store();
}

/* ---- the program --------------------------------------------------------------------------------------- */

static void nothing(void)
{
}

static const struct step {
    const char *name;
    const char *what;
    void (*prepare)(void);
    void (*run)(void);
    void (*clear)(void);
} steps[] = {
    {"decode", "decode and check a command", nothing, decode_run, nothing},
    {"apply", "handler and its effects", apply_prepare, apply_run, apply_clear},
    {"encode", "encode a state", nothing, encode_run, bytes_clear},
    {"state", "decode a state", state_prepare, state_run, bytes_clear},
    {"partitioner", "the shard of a key", nothing, partitioner_run, nothing},
    {"cache", "find an entity and touch it", cache_prepare, cache_run, cache_clear},
    {"evict", "insert into a full cache", evict_prepare, evict_run, cache_clear},
    {"entity", "insert and decode; its memory", entity_prepare, entity_run, entity_clear},
    {"overlay", "note, encode, finish", overlay_prepare, overlay_run, overlay_clear},
    {"store-batch", "a write of a RocksDB batch", batch_prepare, batch_run, batch_clear},
    {"store-get", "a read from RocksDB's files", get_prepare, get_run, batch_clear},
    {"transaction", "a command, all of it, cached", hot_prepare, lane_run, lane_clear},
    {"transaction-cold", "the same, read from RocksDB", cold_prepare, lane_run, lane_clear},
};

#define STEP_COUNT (sizeof steps / sizeof steps[0])

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Not inlined, and called for what is measured alone: callgrind goes by the name. */
__attribute__((noinline)) static void hotpath_measured(const struct step *step)
{
    step->run();
}

static void print_step(const struct step *step, int64_t ns, const allocations *used, bool json)
{
    double ops = (double)bench.ops;
    if (json) {
        printf("{\"name\":\"%s\",\"ops\":%zu,\"ns\":%.1f,\"allocations\":%.2f,\"bytes\":%.1f}\n",
               step->name, bench.ops, (double)ns / ops, (double)used->calls / ops,
               (double)used->bytes / ops);
    } else {
        printf("%-17s %-31s %8.0f %12.2f %12.1f\n", step->name, step->what, (double)ns / ops,
               (double)used->calls / ops, (double)used->bytes / ops);
    }
    (void)fflush(stdout);
}

static void run_step(const struct step *step, bool json)
{
    size_t ops = bench.ops;
    step->prepare();
    allocations before = allocated;
    int64_t began_ns = cpu_ns();
    hotpath_measured(step);
    int64_t ns = cpu_ns() - began_ns;
    const allocations used = {allocated.calls - before.calls, allocated.bytes - before.bytes};
    print_step(step, ns, &used, json);
    step->clear();
    bench.ops = ops;
}

/* Whether `name` is in the list, which is separated by commas; NULL holds all. */
static bool is_wanted(const char *only, const char *name)
{
    size_t size = strlen(name);
    while (only != NULL) {
        size_t word = strcspn(only, ",");
        if (word == size && memcmp(only, name, size) == 0) {
            return true;
        }
        if (only[word] == '\0') {
            return false;
        }
        only += word + 1;
    }
    return true;
}

static void list_steps(void)
{
    for (size_t i = 0; i < STEP_COUNT; i++) {
        puts(steps[i].name);
    }
}

int main(int argc, char **argv)
{
    int ops = 200000;
    int users = 100000;
    int list = 0;
    const char *only = NULL;
    bool json = false;
    const alv_bench_option options[] = {
        {"--ops", &ops, 1, NULL, NULL},   {"--users", &users, 1, NULL, NULL},
        {"--only", NULL, 0, NULL, &only}, {"--list", &list, 0, NULL, NULL},
        {NULL, NULL, 0, NULL, NULL},
    };
    alv_bench_parse(argc, argv, options, help, &json);
    if (list != 0) {
        list_steps();
        return 0;
    }
    alv_log_set_level(ALV_LOG_WARN);
    bench.ops = (size_t)ops;
    bench.users = (size_t)users;
    bench.registry = alv_registry_new();
    alv_error err = ALV_ERROR_NONE;
    must(alv_builtin_register(bench.registry, &err), &err);
    must(alv_registry_set_default(bench.registry, "user", &err), &err);
    make_commands();
    if (!json) {
        printf("%-17s %-31s %8s %12s %12s\n", "per operation", "", "ns", "allocations",
               "bytes kept");
    }
    for (size_t i = 0; i < STEP_COUNT; i++) {
        if (is_wanted(only, steps[i].name)) {
            run_step(&steps[i], json);
        }
    }
    free_commands();
    alv_registry_free(bench.registry);
    return 0;
}
