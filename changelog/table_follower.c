#include "changelog/table_follower.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/logger.h"

#define FOLLOWER_POLL_RECORDS_MAX 10000

/* One table as it is being read. */
typedef struct followed_table {
    alv_table copy;                            /* `offsets`: up to where it has been read */
    int64_t targets[ALV_TABLE_PARTITIONS_MAX]; /* what it must have before it is published */
    alv_table_progress progress;
} followed_table;

struct alv_table_follower {
    alv_table_follower_options options;
    alv_reader *reader;
    followed_table *tables;
    size_t count;
    bool is_planned; /* the reader has all partitions */
    bool is_current; /* every table has its targets: what comes now is published */
    bool has_news;   /* something was read that is not published */
    bool was_ready;
    bool is_full; /* the budget is used up: nothing more is read */
    alv_backoff backoff;
    alv_status poll_status; /* of the last poll: trouble is said when it changes */
    alv_batch batch;
    atomic_bool stop;
    bool started;
    pthread_t thread;
};

/* ---- plan -------------------------------------------------------------------------------------- */

static void follower_unassign_all(alv_table_follower *follower)
{
    for (size_t i = 0; i < follower->count; i++) {
        for (int32_t k = 0; k < follower->tables[i].copy.partition_count; k++) {
            follower->reader->ops->unassign(follower->reader, ALV_TOPIC_OF_TABLE(i), k);
        }
    }
}

/* From the first record on, to the end as it is now: the high watermark, as for a restore (restorer.h). */
static alv_status follower_plan_partition(alv_table_follower *follower, size_t table,
                                          int32_t partition, alv_error *err)
{
    const alv_reader_ops *ops = follower->reader->ops;
    followed_table *followed = &follower->tables[table];
    int64_t start = 0;
    int64_t end = 0;
    alv_status status =
        ops->range(follower->reader, ALV_TOPIC_OF_TABLE(table), partition, &start, &end, err);
    if (status == ALV_OK && end < followed->targets[partition]) {
        status = alv_fail(err, ALV_RETRY,
                          "its topic was cut off: partition %" PRId32 " ends at %" PRId64
                          ", and %" PRId64 " was read; a topic made anew is taken at a restart",
                          partition, end, followed->targets[partition]);
    }
    if (status == ALV_OK) {
        status = ops->assign(follower->reader, ALV_TOPIC_OF_TABLE(table), partition, start, err);
    }
    followed->copy.offsets[partition] = start;
    if (status == ALV_OK) {
        followed->targets[partition] = end;
        followed->progress.to_read += end - start;
    }
    return status;
}

static alv_status follower_plan_table(alv_table_follower *follower, size_t table, alv_error *err)
{
    followed_table *followed = &follower->tables[table];
    alv_table_map_done(&followed->copy.rows);
    followed->progress.read = 0;
    followed->progress.to_read = 0;
    followed->progress.unreadable = 0;
    alv_status status = ALV_OK;
    for (int32_t k = 0; status == ALV_OK && k < followed->copy.partition_count; k++) {
        status = follower_plan_partition(follower, table, k, err);
    }
    return status;
}

/* What was published must be reached again before anything else is. */
static void follower_keep_targets(alv_table_follower *follower)
{
    alv_tables_view *view = alv_tables_take(follower->options.tables);
    for (size_t i = 0; view != NULL && i < follower->count; i++) {
        memcpy(follower->tables[i].targets, view->items[i].offsets, sizeof view->items[i].offsets);
    }
    alv_tables_release(view);
}

/* All tables or none, so that what is published is always of one step. */
static void follower_plan(alv_table_follower *follower)
{
    int64_t now_ms = alv_now_ms(follower->options.clock);
    if (follower->is_planned || follower->is_full || !alv_backoff_due(&follower->backoff, now_ms)) {
        return;
    }
    alv_status status = ALV_OK;
    follower_unassign_all(follower);
    follower_keep_targets(follower);
    for (size_t i = 0; status == ALV_OK && i < follower->count; i++) {
        alv_error err = ALV_ERROR_NONE;
        status = follower_plan_table(follower, i, &err);
        followed_table *followed = &follower->tables[i];
        (void)snprintf(followed->progress.problem, sizeof followed->progress.problem, "%.*s",
                       (int)sizeof followed->progress.problem - 1,
                       status == ALV_OK ? "" : err.text);
        if (status != ALV_OK) {
            alv_log_error(follower->backoff.failures == 0 ? ALV_LOG_WARN : ALV_LOG_DEBUG,
                          "table-waits", &err, "table=%s",
                          alv_tables_list(follower->options.tables)->items[i].name);
        }
    }
    if (status != ALV_OK) {
        alv_backoff_failed(&follower->backoff, now_ms);
        return;
    }
    alv_backoff_succeeded(&follower->backoff);
    follower->is_planned = true;
    follower->is_current = false;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void follower_apply(alv_table_follower *follower, const alv_record *record)
{
    size_t table = (size_t)record->topic - ALV_TOPIC_COUNT;
    ALV_ASSERT(table < follower->count);
    followed_table *followed = &follower->tables[table];
    followed->progress.read++;
    if (record->key.data == NULL) {
        return; /* a compacted topic takes no such record */
    }
    json_t *value = NULL;
    if (record->value.data != NULL) {
        value = json_loadb(record->value.data, record->value.size, JSON_DECODE_ANY, NULL);
        followed->progress.unreadable += value == NULL;
    }
    if (value != NULL) {
        alv_table_map_put(&followed->copy.rows, record->key, value, record->value.size);
    } else {
        alv_table_map_remove(&followed->copy.rows, record->key);
    }
}

/* An offset fell out of a topic while it was read, or librdkafka lost its place. */
static void follower_read_again(alv_table_follower *follower, const alv_error *why)
{
    alv_log_error(ALV_LOG_WARN, "tables-again", why, "tables=%zu", follower->count);
    follower_unassign_all(follower);
    follower->is_planned = false;
}

static void follower_poll(alv_table_follower *follower, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    alv_reader *reader = follower->reader;
    alv_status status = reader->ops->poll(reader, timeout_ms, &follower->batch, &err);
    if (status != ALV_OK && status != ALV_REJECT) {
        alv_log_error(follower->poll_status == status ? ALV_LOG_DEBUG : ALV_LOG_WARN,
                      "tables-reader", &err, "reaction=%s", alv_status_name(status));
    }
    follower->poll_status = status;
    for (size_t i = 0; i < follower->batch.count; i++) {
        follower_apply(follower, &follower->batch.records[i]);
    }
    alv_batch_clear(&follower->batch);
    if (status == ALV_REJECT) {
        follower_read_again(follower, &err);
    }
}

/* Takes over the positions as the reader sees them, control records included. Whether the table has its
 * targets. */
static bool follower_advance(alv_table_follower *follower, size_t table)
{
    const alv_reader *reader = follower->reader;
    followed_table *followed = &follower->tables[table];
    bool has_targets = true;
    followed->progress.lag = 0;
    for (int32_t k = 0; k < followed->copy.partition_count; k++) {
        int64_t position = reader->ops->position(reader, ALV_TOPIC_OF_TABLE(table), k);
        int64_t end = reader->ops->last_end(reader, ALV_TOPIC_OF_TABLE(table), k);
        if (position > followed->copy.offsets[k]) {
            followed->copy.offsets[k] = position;
            follower->has_news = true;
        }
        end = end > followed->targets[k] ? end : followed->targets[k];
        followed->progress.lag += end > position ? end - position : 0;
        has_targets = has_targets && position >= followed->targets[k];
    }
    return has_targets;
}

static int64_t follower_bytes(const alv_table_follower *follower)
{
    size_t bytes = 0;
    for (size_t i = 0; i < follower->count; i++) {
        bytes += follower->tables[i].copy.rows.bytes;
    }
    return (int64_t)bytes;
}

/* Reading on would take memory that nobody granted. The last view stays: an old version is a version, and
 * the lag shows how old. */
static void follower_check_budget(alv_table_follower *follower)
{
    int64_t budget = follower->options.settings->global_tables_memory_bytes;
    int64_t bytes = follower_bytes(follower);
    if (bytes <= budget || follower->is_full) {
        return;
    }
    follower->is_full = true;
    follower->is_planned = false;
    follower_unassign_all(follower);
    alv_log(ALV_LOG_ERROR, "tables-full",
            "bytes=%" PRId64 " budget=%" PRId64
            " msg=\"give global.tables.memory.bytes more and restart\"",
            bytes, budget);
    for (size_t i = 0; i < follower->count; i++) {
        (void)snprintf(follower->tables[i].progress.problem,
                       sizeof follower->tables[i].progress.problem,
                       "the tables need more than global.tables.memory.bytes=%" PRId64, budget);
    }
}

/* ---- publishing -------------------------------------------------------------------------------- */

static void follower_publish(alv_table_follower *follower)
{
    alv_table items[ALV_TABLES_MAX];
    for (size_t i = 0; i < follower->count; i++) {
        items[i] = follower->tables[i].copy;
    }
    alv_tables_publish(follower->options.tables, items);
    follower->has_news = false;
}

static void follower_show(alv_table_follower *follower)
{
    char why[256] = "";
    for (size_t i = 0; i < follower->count; i++) {
        followed_table *followed = &follower->tables[i];
        followed->progress.is_restored = followed->progress.is_restored || follower->is_current;
        followed->progress.rows = (int64_t)followed->copy.rows.count;
        followed->progress.bytes = (int64_t)followed->copy.rows.bytes;
        alv_tables_set_progress(follower->options.tables, i, &followed->progress);
    }
    bool ready = alv_tables_ready(follower->options.tables, why, sizeof why);
    if (ready == follower->was_ready) {
        return;
    }
    follower->was_ready = ready;
    if (ready) {
        alv_log(ALV_LOG_INFO, "tables-restored", "tables=%zu bytes=%" PRId64, follower->count,
                follower_bytes(follower));
    }
    if (follower->options.changed != NULL) {
        follower->options.changed(follower->options.payload);
    }
}

void alv_table_follower_turn(alv_table_follower *follower, int timeout_ms)
{
    follower_plan(follower);
    follower_poll(follower, timeout_ms);
    if (follower->is_planned) {
        bool all = true;
        for (size_t i = 0; i < follower->count; i++) {
            all = follower_advance(follower, i) && all;
        }
        follower_check_budget(follower);
        follower->is_current = follower->is_planned && (follower->is_current || all);
        if (follower->is_current && follower->has_news) {
            follower_publish(follower);
        }
    }
    follower_show(follower);
}

static void *follower_main(void *argument)
{
    alv_table_follower *follower = argument;
    alv_log_set_thread("tables");
    while (!atomic_load(&follower->stop)) {
        alv_table_follower_turn(follower, ALV_LANE_IDLE_POLL_MS);
    }
    return NULL;
}

/* ---- life -------------------------------------------------------------------------------------- */

alv_status alv_table_follower_new(const alv_table_follower_options *options,
                                  alv_table_follower **out, alv_error *err)
{
    alv_reader *reader = NULL;
    alv_status status = options->log->ops->open_reader(options->log, "tables", &reader, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_table_follower *follower = alv_alloc(sizeof *follower);
    uint64_t seed = (uint64_t)alv_monotonic_us(options->clock);
    follower->options = *options;
    follower->options.sources = NULL; /* what counts of them is in the copies */
    follower->reader = reader;
    follower->count = alv_tables_list(options->tables)->count;
    follower->tables = alv_alloc_array(follower->count, sizeof *follower->tables);
    follower->has_news = true; /* also tables without a record are published */
    for (size_t i = 0; i < follower->count; i++) {
        alv_table *copy = &follower->tables[i].copy;
        const alv_table_source *source = &options->sources[i];
        ALV_ASSERT(source->partition_count > 0 &&
                   source->partition_count <= ALV_TABLE_PARTITIONS_MAX);
        copy->partition_count = source->partition_count;
        (void)snprintf(copy->topic_id, sizeof copy->topic_id, "%s", source->topic_id);
        alv_table_map_init(&copy->rows, seed + i);
    }
    alv_backoff_init(&follower->backoff, seed);
    alv_batch_init(&follower->batch, FOLLOWER_POLL_RECORDS_MAX);
    *out = follower;
    return ALV_OK;
}

void alv_table_follower_start(alv_table_follower *follower)
{
    ALV_ASSERT(!follower->started);
    int failed = pthread_create(&follower->thread, NULL, follower_main, follower);
    ALV_ASSERT(failed == 0);
    follower->started = true;
}

void alv_table_follower_stop(alv_table_follower *follower)
{
    if (!follower->started) {
        return;
    }
    atomic_store(&follower->stop, true);
    follower->reader->ops->wake(follower->reader);
    pthread_join(follower->thread, NULL);
    follower->started = false;
}

void alv_table_follower_free(alv_table_follower *follower)
{
    if (follower == NULL) {
        return;
    }
    alv_table_follower_stop(follower);
    for (size_t i = 0; i < follower->count; i++) {
        alv_table_map_done(&follower->tables[i].copy.rows);
    }
    alv_batch_done(&follower->batch);
    follower->reader->ops->close(follower->reader);
    alv_free(follower->tables);
    alv_free(follower);
}
