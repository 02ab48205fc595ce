/* Goal:   the checkpointer copies every followed shard's last states, moves positions only with
 *         them, keeps what could not be written, gives up what another writer took, and holds no
 *         more than its limits.
 * Method: turn by turn over a log and a durable store made of arrays, with a clock that stands
 *         still until it is moved; the store can be told to fail. One test runs the thread. */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/logger.h"
#include "changelog/checkpointer.h"

#define SHARDS 4
#define POLL_MAX 10000
#define CHAINS 65536
#define NOW_MS INT64_C(1800000000000)
#define INTERVAL_MS 1000
#define RETENTION_MS (24 * 3600 * 1000)

/* ---- a changelog made of arrays -------------------------------------------------------------- */

typedef struct fake_record {
    char key[64];
    char *state; /* NULL = tombstone */
    int64_t offset;
    int64_t at_ms;
} fake_record;

typedef struct fake_shard {
    fake_record *records;
    size_t count;
    int64_t start;
    int64_t end;
    int64_t at; /* of the reader, -1 = not assigned */
} fake_shard;

/* The copy of a key that a poll hands out; it is spoilt when the shard is unassigned. */
typedef struct fake_delivery {
    int32_t shard;
    char key[64];
} fake_delivery;

typedef struct fake_log {
    alv_log_port log;
    alv_reader reader;
    fake_shard shards[SHARDS];
    fake_delivery *delivered; /* of the last poll */
    bool paused;
    bool away;
    bool reject;
    int polls;
    int closed;
} fake_log;

static fake_log *log_of(const alv_reader *reader)
{
    return (fake_log *)((char *)(uintptr_t)reader - offsetof(fake_log, reader));
}

static alv_status fake_assign(alv_reader *reader, alv_topic topic, int32_t shard, int64_t offset,
                              alv_error *err)
{
    (void)err;
    assert_int_equal(topic, ALV_TOPIC_CHANGELOG);
    log_of(reader)->shards[shard].at = offset;
    return ALV_OK;
}

static void fake_unassign(alv_reader *reader, alv_topic topic, int32_t shard)
{
    (void)topic;
    fake_log *log = log_of(reader);
    log->shards[shard].at = -1;
    for (size_t i = 0; i < POLL_MAX; i++)
        if (log->delivered[i].shard == shard)
            memset(log->delivered[i].key, '!', sizeof log->delivered[i].key - 1);
}

static void fake_pause_all(alv_reader *reader, bool paused)
{
    log_of(reader)->paused = paused;
}

static void fake_poll_shard(fake_log *log, int32_t number, alv_batch *out)
{
    fake_shard *shard = &log->shards[number];
    for (size_t i = 0; i < shard->count && out->count < out->capacity; i++) {
        const fake_record *record = &shard->records[i];
        if (record->offset < shard->at)
            continue;
        fake_delivery *delivery = &log->delivered[out->count];
        delivery->shard = number;
        memcpy(delivery->key, record->key, sizeof delivery->key);
        out->records[out->count++] = (alv_record){
            .topic = ALV_TOPIC_CHANGELOG,
            .shard = number,
            .offset = record->offset,
            .timestamp_ms = record->at_ms,
            .key = alv_view_of(delivery->key),
            .value = alv_view_of(record->state),
        };
        shard->at = record->offset + 1;
    }
    if (out->count < out->capacity)
        shard->at = shard->end; /* control records */
}

static alv_status fake_poll(alv_reader *reader, int timeout_ms, alv_batch *out, alv_error *err)
{
    (void)timeout_ms;
    fake_log *log = log_of(reader);
    log->polls++;
    if (log->away)
        return alv_fail(err, ALV_RETRY, "no broker");
    if (log->reject) {
        log->reject = false;
        return alv_fail(err, ALV_REJECT, "offset out of range");
    }
    assert_in_range(out->capacity, 1, POLL_MAX);
    out->count = 0;
    for (int32_t i = 0; i < SHARDS && !log->paused; i++)
        if (log->shards[i].at >= 0)
            fake_poll_shard(log, i, out);
    return ALV_OK;
}

static void fake_wake(alv_reader *reader)
{
    (void)reader;
}

static int64_t fake_position(const alv_reader *reader, alv_topic topic, int32_t shard)
{
    (void)topic;
    return log_of(reader)->shards[shard].at;
}

static int64_t fake_last_end(const alv_reader *reader, alv_topic topic, int32_t shard)
{
    (void)reader;
    (void)topic;
    (void)shard;
    return ALV_OFFSET_NONE;
}

static alv_status fake_range(alv_reader *reader, alv_topic topic, int32_t shard, int64_t *out_start,
                             int64_t *out_end, alv_error *err)
{
    (void)topic;
    fake_log *log = log_of(reader);
    if (log->away)
        return alv_fail(err, ALV_RETRY, "no broker");
    *out_start = log->shards[shard].start;
    *out_end = log->shards[shard].end;
    return ALV_OK;
}

static void fake_close(alv_reader *reader)
{
    log_of(reader)->closed++;
}

static alv_status fake_open_reader(alv_log_port *log, const char *name, alv_reader **out,
                                   alv_error *err)
{
    (void)err;
    assert_string_equal(name, "checkpointer");
    *out = &((fake_log *)log)->reader;
    return ALV_OK;
}

static const alv_reader_ops fake_reader_ops = {
    .assign = fake_assign,
    .unassign = fake_unassign,
    .pause_all = fake_pause_all,
    .poll = fake_poll,
    .wake = fake_wake,
    .position = fake_position,
    .last_end = fake_last_end,
    .range = fake_range,
    .close = fake_close,
};
static const alv_log_ops fake_log_ops = {.open_reader = fake_open_reader};

/* ---- a durable store made of an array -------------------------------------------------------- */

typedef struct stored_row {
    char key[64];
    char type[32];
    char state[64];
    int32_t shard;
    int64_t offset;
    bool gone;   /* deleted; the place stays */
    size_t next; /* in its chain, index + 1 */
} stored_row;

typedef struct fake_durable {
    alv_durable_store store;
    alv_status fail; /* what every call answers, ALV_OK = works */
    char fail_text[64];
    bool lose_answer; /* the next write is done, but says ALV_RETRY */
    const char *refuse_state;
    int64_t positions[SHARDS];
    stored_row *rows;
    size_t used;
    size_t count;          /* without those that are gone */
    size_t chains[CHAINS]; /* by the key's hash, index + 1 */
    size_t writes;
    size_t calls;
    size_t rows_in_last_write;
    int closed;
} fake_durable;

static alv_status durable_position(alv_durable_store *store, int32_t shard, int64_t *out,
                                   alv_error *err)
{
    fake_durable *durable = (fake_durable *)store;
    durable->calls++;
    if (durable->fail != ALV_OK)
        return alv_fail(err, durable->fail, "%s", durable->fail_text);
    *out = durable->positions[shard];
    return ALV_OK;
}

/* Grows an array of `count` items by doubling, before one is added. */
static void *grown(void *items, size_t count, size_t size)
{
    bool full = count == 0 || (count >= 64 && (count & (count - 1)) == 0);
    return full ? alv_realloc(items, (count < 64 ? 64 : 2 * count) * size) : items;
}

static size_t *durable_chain(fake_durable *durable, alv_view key)
{
    uint32_t hash = 2166136261; /* FNV-1a */
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 16777619;
    return &durable->chains[hash % CHAINS];
}

static stored_row *durable_find(fake_durable *durable, alv_view key)
{
    for (size_t at = *durable_chain(durable, key); at != 0; at = durable->rows[at - 1].next)
        if (!durable->rows[at - 1].gone &&
            alv_view_equal(alv_view_of(durable->rows[at - 1].key), key))
            return &durable->rows[at - 1];
    return NULL;
}

static stored_row *durable_add(fake_durable *durable, alv_view key)
{
    size_t *chain = durable_chain(durable, key);
    durable->rows = grown(durable->rows, durable->used, sizeof *durable->rows);
    stored_row *row = &durable->rows[durable->used++];
    *row = (stored_row){.next = *chain};
    (void)snprintf(row->key, sizeof row->key, "%.*s", (int)key.size, key.data);
    *chain = durable->used;
    durable->count++;
    return row;
}

static void durable_apply(fake_durable *durable, alv_checkpoint_row *row)
{
    stored_row *found = durable_find(durable, row->key);
    if (row->state.data == NULL) {
        if (found != NULL) {
            found->gone = true;
            durable->count--;
        }
        return;
    }
    if (durable->refuse_state != NULL &&
        alv_view_equal(row->state, alv_view_of(durable->refuse_state))) {
        row->outcome = ALV_ROW_SKIPPED;
        return;
    }
    if (found == NULL)
        found = durable_add(durable, row->key);
    (void)snprintf(found->type, sizeof found->type, "%.*s", (int)row->type.size, row->type.data);
    (void)snprintf(found->state, sizeof found->state, "%.*s", (int)row->state.size,
                   row->state.data);
    found->shard = row->shard;
    found->offset = row->changelog_offset;
}

static bool durable_mark_fenced(const fake_durable *durable, alv_checkpoint_position *positions,
                                size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        positions[i].fenced = durable->positions[positions[i].shard] != positions[i].expected;
        any |= positions[i].fenced;
    }
    return any;
}

static alv_status durable_write(alv_durable_store *store, alv_checkpoint_row *rows,
                                size_t row_count, alv_checkpoint_position *positions,
                                size_t position_count, alv_error *err)
{
    fake_durable *durable = (fake_durable *)store;
    durable->calls++;
    if (durable->fail != ALV_OK)
        return alv_fail(err, durable->fail, "%s", durable->fail_text);
    if (durable_mark_fenced(durable, positions, position_count))
        return alv_fail(err, ALV_FENCED, "another position");
    durable->writes++;
    durable->rows_in_last_write = row_count;
    for (size_t i = 0; i < row_count; i++) {
        rows[i].outcome = ALV_ROW_STORED;
        durable_apply(durable, &rows[i]);
        if (rows[i].outcome != ALV_ROW_STORED)
            (void)alv_fail(err, ALV_REJECT, "refused by the fake");
    }
    for (size_t i = 0; i < position_count; i++)
        durable->positions[positions[i].shard] = positions[i].changelog_offset;
    if (durable->lose_answer) {
        durable->lose_answer = false;
        return alv_fail(err, ALV_RETRY, "connection lost");
    }
    return ALV_OK;
}

static void durable_close(alv_durable_store *store)
{
    ((fake_durable *)store)->closed++;
}

static const alv_durable_store_ops fake_durable_ops = {durable_position, durable_write,
                                                       durable_close};

/* ---- fixture --------------------------------------------------------------------------------- */

typedef struct fixture {
    fake_log log;
    fake_durable durable;
    alv_manual_clock clock;
    alv_settings settings;
    alv_checkpointer *checkpointer;
} fixture;

static int set_up(void **state)
{
    alv_log_set_level(ALV_LOG_ERROR); /* what is provoked here warns a lot */
    fixture *f = alv_alloc(sizeof *f);
    f->log.log.ops = &fake_log_ops;
    f->log.reader.ops = &fake_reader_ops;
    f->log.delivered = alv_alloc_array(POLL_MAX, sizeof *f->log.delivered);
    for (size_t i = 0; i < SHARDS; i++)
        f->log.shards[i].at = -1;
    f->durable.store.ops = &fake_durable_ops;
    (void)snprintf(f->durable.fail_text, sizeof f->durable.fail_text, "away");
    alv_manual_clock_init(&f->clock, NOW_MS);
    f->settings.postgres_interval_ms = INTERVAL_MS;
    f->settings.tombstone_retention_ms = RETENTION_MS;
    f->settings.behavior_default = "user";
    alv_checkpointer_options options = {.log = &f->log.log,
                                        .clock = &f->clock.clock,
                                        .settings = &f->settings,
                                        .durable = &f->durable.store,
                                        .shard_count = SHARDS};
    assert_int_equal(alv_checkpointer_new(&options, &f->checkpointer, NULL), ALV_OK);
    *state = f;
    return 0;
}

static void stop(fixture *f)
{
    alv_checkpointer_stop(f->checkpointer);
    f->checkpointer = NULL;
    assert_int_equal(f->log.closed, 1);
    assert_int_equal(f->durable.closed, 1);
}

static int tear_down(void **state)
{
    fixture *f = *state;
    if (f->checkpointer != NULL)
        stop(f);
    for (size_t i = 0; i < SHARDS; i++) {
        for (size_t r = 0; r < f->log.shards[i].count; r++)
            alv_free(f->log.shards[i].records[r].state);
        alv_free(f->log.shards[i].records);
    }
    alv_free(f->log.delivered);
    alv_free(f->durable.rows);
    alv_free(f);
    return 0;
}

/* Appends a record and the control record of its transaction. */
static void append(fixture *f, int32_t number, const char *key, const char *value)
{
    fake_shard *shard = &f->log.shards[number];
    shard->records = grown(shard->records, shard->count, sizeof *shard->records);
    fake_record *record = &shard->records[shard->count++];
    *record = (fake_record){.offset = shard->end, .at_ms = alv_now_ms(&f->clock.clock)};
    (void)snprintf(record->key, sizeof record->key, "%s", key);
    record->state = value != NULL ? alv_strdup(value) : NULL;
    shard->end += 2;
}

static void turn(fixture *f)
{
    assert_true(alv_checkpointer_turn(f->checkpointer, 0));
}

static void pass(fixture *f, int64_t ms)
{
    alv_manual_clock_advance(&f->clock, ms);
    turn(f);
}

/* Reads what there is and lets the interval pass. */
static void checkpoint(fixture *f)
{
    turn(f);
    pass(f, INTERVAL_MS);
}

static const stored_row *row(fixture *f, const char *key)
{
    return durable_find(&f->durable, alv_view_of(key));
}

static void assert_state(fixture *f, const char *key, const char *expected)
{
    assert_non_null(row(f, key));
    assert_string_equal(row(f, key)->state, expected);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void checkpointer__writes_the_last_state_of_each_entity_once(void **state)
{
    fixture *f = *state;
    append(f, 1, "m:1", "1");
    append(f, 1, "m:2", "1");
    append(f, 1, "m:1", "2");
    append(f, 1, "transfer/9", "3");
    alv_checkpointer_follow(f->checkpointer, 1);
    checkpoint(f);
    assert_int_equal(f->durable.writes, 1);
    assert_int_equal(f->durable.rows_in_last_write, 3);
    assert_state(f, "m:1", "2");
    assert_int_equal(row(f, "m:1")->offset, 4);
    assert_int_equal(row(f, "m:1")->shard, 1);
    assert_string_equal(row(f, "m:1")->type, "user");
    assert_string_equal(row(f, "transfer/9")->type, "transfer");
    assert_int_equal(f->durable.positions[1], 8);
    assert_int_equal(alv_checkpointer_position(f->checkpointer, 1), 8);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_written, 3);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_pending, 0);
}

static void checkpointer__deletes_rows_of_tombstones(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 0, "b", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    checkpoint(f);
    append(f, 0, "a", NULL);
    append(f, 0, "c", "1");
    append(f, 0, "c", NULL);
    checkpoint(f);
    assert_null(row(f, "a"));
    assert_null(row(f, "c"));
    assert_state(f, "b", "1");
}

static void checkpointer__waits_for_the_interval_since_the_first_change(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    pass(f, INTERVAL_MS / 2);
    append(f, 0, "a", "2");
    pass(f, INTERVAL_MS / 2 - 1);
    assert_int_equal(f->durable.writes, 0);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_pending, 1);
    pass(f, 1);
    assert_int_equal(f->durable.writes, 1);
    assert_state(f, "a", "2");
}

static void checkpointer__reads_only_what_it_follows(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 1, "b", "1");
    alv_checkpointer_follow(f->checkpointer, 1);
    checkpoint(f);
    assert_null(row(f, "a"));
    assert_state(f, "b", "1");
    assert_int_equal(alv_checkpointer_position(f->checkpointer, 0), ALV_OFFSET_NONE);
}

static void checkpointer__resumes_at_the_stored_position(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 0, "b", "1");
    f->durable.positions[0] = 2;
    alv_checkpointer_follow(f->checkpointer, 0);
    checkpoint(f);
    assert_null(row(f, "a"));
    assert_state(f, "b", "1");
    assert_int_equal(f->durable.positions[0], 4);
}

static void checkpointer__writes_a_position_that_moved_without_rows(void **state)
{
    fixture *f = *state;
    alv_checkpointer_follow(f->checkpointer, 0);
    f->log.shards[0].end = 7; /* aborted records, say */
    checkpoint(f);
    assert_int_equal(f->durable.positions[0], 7);
    assert_int_equal(f->durable.rows_in_last_write, 0);
    checkpoint(f);
    checkpoint(f);
    assert_int_equal(f->durable.writes, 1); /* and then is quiet */
}

static void checkpointer__keeps_rows_and_backs_off_while_the_store_is_away(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    f->durable.fail = ALV_RETRY;
    pass(f, INTERVAL_MS);
    alv_checkpointer_status status = alv_checkpointer_status_get(f->checkpointer);
    assert_false(status.connected);
    assert_int_equal(status.failures, 1);
    assert_int_equal(status.rows_pending, 1);
    size_t calls = f->durable.calls;
    turn(f); /* not yet again */
    assert_int_equal(f->durable.calls, calls);
    append(f, 0, "a", "2"); /* still reads */
    for (int i = 0; i < 100; i++)
        pass(f, 100);
    size_t tries = f->durable.calls - calls;
    assert_in_range(tries, 4, 12); /* 10 s, each wait up to twice the last */
    f->durable.fail = ALV_OK;
    pass(f, ALV_BACKOFF_MAX_MS);
    assert_state(f, "a", "2");
    status = alv_checkpointer_status_get(f->checkpointer);
    assert_true(status.connected);
    assert_int_equal(status.rows_pending, 0);
    assert_int_equal(status.rows_written, 1);
}

static void checkpointer__asks_again_for_a_position_it_could_not_get(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 0, "b", "1");
    f->durable.positions[0] = 2;
    f->durable.fail = ALV_RETRY;
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    assert_int_equal(f->log.shards[0].at, -1); /* not read before it is known from where */
    assert_int_equal(alv_checkpointer_position(f->checkpointer, 0), ALV_OFFSET_NONE);
    f->durable.fail = ALV_OK;
    pass(f, ALV_BACKOFF_MAX_MS);
    checkpoint(f);
    assert_null(row(f, "a"));
    assert_state(f, "b", "1");
}

static void checkpointer__drops_fenced_shards_and_writes_the_others(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 1, "b", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    alv_checkpointer_follow(f->checkpointer, 1);
    turn(f);
    append(f, 0, "c", "1");
    turn(f);
    f->durable.positions[0] = 2; /* somebody else wrote "a" */
    pass(f, INTERVAL_MS);
    assert_int_equal(f->durable.writes, 0);
    turn(f);
    assert_state(f, "b", "1");
    assert_null(row(f, "a"));
    assert_null(row(f, "c"));
    checkpoint(f); /* read again, from where the other one was */
    assert_state(f, "c", "1");
    assert_null(row(f, "a"));
    assert_int_equal(f->durable.positions[0], 4);
    assert_true(alv_checkpointer_status_get(f->checkpointer).connected);
}

static void checkpointer__recovers_when_the_answer_to_a_write_was_lost(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    f->durable.lose_answer = true;
    pass(f, INTERVAL_MS);
    append(f, 0, "b", "1");
    for (int i = 0; i < 10; i++)
        pass(f, INTERVAL_MS);
    assert_state(f, "a", "1");
    assert_state(f, "b", "1");
    assert_int_equal(f->durable.positions[0], 4);
}

static void checkpointer__writes_at_once_what_a_shard_that_left_had_changed(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    alv_checkpointer_unfollow(f->checkpointer, 0);
    append(f, 0, "b", "1");
    turn(f);
    assert_state(f, "a", "1");
    assert_null(row(f, "b"));
    assert_int_equal(f->durable.positions[0], 2);
    assert_int_equal(f->log.shards[0].at, -1);
    assert_int_equal(alv_checkpointer_position(f->checkpointer, 0), ALV_OFFSET_NONE);
    checkpoint(f);
    assert_null(row(f, "b"));
}

static void checkpointer__forgets_a_shard_that_left_and_is_fenced(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    f->durable.positions[0] = 2;
    alv_checkpointer_unfollow(f->checkpointer, 0);
    turn(f);
    turn(f);
    assert_null(row(f, "a"));
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_pending, 0);
}

static void checkpointer__asks_again_for_a_shard_that_left_and_came_back(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 0, "b", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    alv_checkpointer_unfollow(f->checkpointer, 0);
    alv_checkpointer_follow(f->checkpointer, 0);
    f->durable.positions[0] = 2; /* written by the owner in between */
    checkpoint(f);
    assert_int_equal(f->durable.writes, 1); /* not fenced */
    assert_null(row(f, "a"));
    assert_state(f, "b", "1");
}

static void append_many(fixture *f, int32_t shard, const char *prefix, int count)
{
    char key[32];
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "%s%d", prefix, i);
        append(f, shard, key, "1");
    }
}

static void checkpointer__stops_reading_at_its_limit(void **state)
{
    fixture *f = *state;
    int count = ALV_CHECKPOINT_ROWS_MAX + 5000;
    append_many(f, 0, "k", count);
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    f->durable.fail = ALV_RETRY;
    for (int i = 0; i < 20; i++)
        turn(f);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_pending,
                     ALV_CHECKPOINT_ROWS_MAX);
    assert_true(f->log.paused);
    int polls = f->log.polls;
    pass(f, 1);
    assert_int_equal(f->log.polls, polls);
    f->durable.fail = ALV_OK;
    pass(f, ALV_BACKOFF_MAX_MS); /* full: written without waiting for the interval */
    assert_int_equal(f->durable.rows_in_last_write, ALV_CHECKPOINT_ROWS_MAX);
    assert_int_equal(f->durable.positions[0], 2 * ALV_CHECKPOINT_ROWS_MAX - 1);
    assert_false(f->log.paused);
    for (int i = 0; i < 5; i++)
        turn(f);
    pass(f, INTERVAL_MS);
    assert_int_equal(f->durable.count, count);
    assert_int_equal(f->durable.positions[0], 2 * count);
}

static void checkpointer__stops_reading_at_its_limit_of_bytes(void **state)
{
    fixture *f = *state;
    char *big = alv_alloc(ALV_STATE_BYTES_MAX + 1);
    memset(big, '1', ALV_STATE_BYTES_MAX);
    char key[16];
    for (int i = 0; i < 80; i++) {
        (void)snprintf(key, sizeof key, "big%d", i);
        append(f, 0, key, big);
    }
    alv_free(big);
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    int64_t pending = alv_checkpointer_status_get(f->checkpointer).rows_pending;
    assert_in_range(pending, 60, ALV_CHECKPOINT_BYTES_MAX / ALV_STATE_BYTES_MAX + 1);
    turn(f);
    assert_int_equal(f->durable.rows_in_last_write, pending);
    pass(f, INTERVAL_MS);
    assert_int_equal(f->durable.count, 80);
}

/* Held rows are at their limit in the middle of a batch, and the rest of it goes with its shard. */
static void checkpointer__skips_polled_records_of_a_shard_that_left(void **state)
{
    fixture *f = *state;
    append_many(f, 0, "k", ALV_CHECKPOINT_ROWS_MAX - 100);
    append_many(f, 1, "l", 300);
    alv_checkpointer_follow(f->checkpointer, 0);
    alv_checkpointer_follow(f->checkpointer, 1);
    turn(f);
    f->durable.fail = ALV_RETRY;
    for (int i = 0; i < 10; i++)
        turn(f);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_pending,
                     ALV_CHECKPOINT_ROWS_MAX);
    alv_checkpointer_unfollow(f->checkpointer, 1);
    alv_checkpointer_follow(f->checkpointer, 1); /* both, and the new begin, in one turn */
    f->durable.fail = ALV_OK;
    pass(f, ALV_BACKOFF_MAX_MS);
    checkpoint(f);
    assert_int_equal(f->durable.count, ALV_CHECKPOINT_ROWS_MAX + 200);
    for (size_t i = 0; i < f->durable.used; i++)
        assert_int_not_equal(f->durable.rows[i].key[0], '!');
}

static void checkpointer__does_not_write_over_a_recreated_changelog(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "old offsets, newer state?");
    append(f, 1, "b", "1");
    f->durable.positions[0] = 1000;
    alv_checkpointer_follow(f->checkpointer, 0);
    alv_checkpointer_follow(f->checkpointer, 1);
    checkpoint(f);
    assert_int_equal(f->durable.positions[0], 1000);
    assert_null(row(f, "a"));
    assert_state(f, "b", "1");
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).shards_stuck, 1);
    f->durable.positions[0] = 0; /* the operator did what the log said */
    pass(f, 60 * 1000);
    checkpoint(f);
    assert_non_null(row(f, "a"));
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).shards_stuck, 0);
}

static void checkpointer__begins_at_the_start_of_a_log_that_moved(void **state)
{
    fixture *f = *state;
    f->log.shards[0].start = f->log.shards[0].end = 100;
    append(f, 0, "a", "1");
    f->durable.positions[0] = 50;
    alv_checkpointer_follow(f->checkpointer, 0);
    checkpoint(f);
    assert_state(f, "a", "1");
    assert_int_equal(f->durable.positions[0], 102);
}

static void checkpointer__finds_its_place_again_when_the_log_says_it_is_gone(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    append(f, 1, "b", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    alv_checkpointer_follow(f->checkpointer, 1);
    checkpoint(f);
    f->log.shards[0].start = f->log.shards[0].end = 100;
    append(f, 0, "c", "1");
    f->log.shards[0].at = -1; /* whatever the reader does with it */
    f->log.reject = true;
    checkpoint(f);
    checkpoint(f);
    assert_state(f, "c", "1");
    assert_int_equal(f->durable.positions[0], 102);
    assert_int_equal(f->durable.positions[1], 2);
}

static void checkpointer__survives_a_log_that_is_away(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    f->log.away = true;
    alv_checkpointer_follow(f->checkpointer, 0);
    for (int i = 0; i < 50; i++)
        pass(f, 10);
    assert_int_equal(f->log.shards[0].at, -1);
    f->log.away = false;
    pass(f, ALV_BACKOFF_MAX_MS);
    checkpoint(f);
    assert_state(f, "a", "1");
    f->log.away = true;
    int polls = f->log.polls;
    for (int i = 0; i < 50; i++)
        pass(f, 10);
    assert_in_range(f->log.polls - polls, 1, 6);
}

static void checkpointer__counts_rows_that_the_store_refuses(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "bad");
    append(f, 0, "b", "1");
    f->durable.refuse_state = "bad";
    alv_checkpointer_follow(f->checkpointer, 0);
    checkpoint(f);
    assert_state(f, "b", "1");
    assert_int_equal(f->durable.positions[0], 4);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_refused, 1);
    assert_int_equal(alv_checkpointer_status_get(f->checkpointer).rows_written, 1);
}

static void checkpointer__gives_up_a_store_that_can_never_work(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    f->durable.fail = ALV_FATAL;
    alv_checkpointer_follow(f->checkpointer, 0);
    for (int i = 0; i < 10; i++)
        pass(f, ALV_BACKOFF_MAX_MS);
    assert_int_equal(f->durable.calls, 1);
    assert_false(alv_checkpointer_status_get(f->checkpointer).connected);
}

static void checkpointer__writes_what_it_holds_when_it_stops(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    assert_int_equal(f->durable.writes, 0);
    stop(f);
    assert_state(f, "a", "1");
}

static void checkpointer__stops_without_a_try_while_the_store_is_away(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    f->durable.fail = ALV_RETRY;
    pass(f, INTERVAL_MS);
    size_t calls = f->durable.calls;
    stop(f);
    assert_int_equal(f->durable.calls, calls);
}

/* A clean stop: what lanes committed last is not read yet when they let go. */
static void checkpointer__catches_up_before_a_clean_stop(void **state)
{
    fixture *f = *state;
    f->settings.postgres_interval_ms = 3600 * 1000;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    alv_checkpointer_follow(f->checkpointer, 2); /* nothing was written there */
    turn(f);
    append(f, 0, "a", "2");
    append(f, 0, "b", "1");
    alv_checkpointer_keep(f->checkpointer);
    alv_checkpointer_unfollow(f->checkpointer, 0);
    alv_checkpointer_unfollow(f->checkpointer, 2);
    alv_checkpointer_start(f->checkpointer);
    assert_true(alv_checkpointer_catch_up(f->checkpointer, 60000));
    assert_int_equal(alv_checkpointer_position(f->checkpointer, 0), f->log.shards[0].end);
    stop(f);
    assert_state(f, "a", "2");
    assert_state(f, "b", "1");
}

static void checkpointer__does_not_wait_for_a_store_that_is_away(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    f->durable.fail = ALV_RETRY;
    turn(f);
    alv_checkpointer_keep(f->checkpointer);
    alv_checkpointer_start(f->checkpointer);
    assert_false(alv_checkpointer_catch_up(f->checkpointer, 60000));
    stop(f);
}

/* Another node has the shard already: it is left to that one, and not waited for. */
static void checkpointer__leaves_a_shard_to_its_next_owner_while_it_stops(void **state)
{
    fixture *f = *state;
    append(f, 0, "a", "1");
    alv_checkpointer_follow(f->checkpointer, 0);
    turn(f);
    alv_checkpointer_keep(f->checkpointer);
    alv_checkpointer_unfollow(f->checkpointer, 0);
    f->durable.positions[0] = 2; /* the next owner was quicker */
    pass(f, INTERVAL_MS);
    append(f, 0, "b", "1");
    alv_checkpointer_start(f->checkpointer);
    assert_true(alv_checkpointer_catch_up(f->checkpointer, 60000));
    stop(f);
    assert_null(row(f, "a"));
    assert_null(row(f, "b"));
}

/* Lanes on other threads follow and unfollow while the thread works. */
static void *follow_and_unfollow(void *payload)
{
    alv_checkpointer *checkpointer = payload;
    for (int i = 0; i < 1000; i++) {
        alv_checkpointer_follow(checkpointer, i % SHARDS);
        (void)alv_checkpointer_status_get(checkpointer);
        alv_checkpointer_unfollow(checkpointer, (i + 1) % SHARDS);
    }
    for (int32_t i = 0; i < SHARDS; i++)
        alv_checkpointer_follow(checkpointer, i);
    return NULL;
}

static void checkpointer__works_on_its_own_thread(void **state)
{
    fixture *f = *state;
    f->settings.postgres_interval_ms = 1;
    for (int32_t i = 0; i < SHARDS; i++)
        append(f, i, (const char *[]){"a", "b", "c", "d"}[i], "1");
    alv_checkpointer_start(f->checkpointer);
    pthread_t lanes[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&lanes[i], NULL, follow_and_unfollow, f->checkpointer), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(lanes[i], NULL), 0);
    int64_t deadline_us = alv_monotonic_us(alv_clock_system()) + 10 * 1000000;
    int32_t done = 0;
    while (done < SHARDS && alv_monotonic_us(alv_clock_system()) < deadline_us) {
        alv_manual_clock_advance(&f->clock, 1);
        done = 0;
        for (int32_t i = 0; i < SHARDS; i++)
            done += alv_checkpointer_position(f->checkpointer, i) == 2;
    }
    assert_int_equal(done, SHARDS);
    stop(f);
    assert_int_equal(f->durable.count, SHARDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(checkpointer__writes_the_last_state_of_each_entity_once),
        TEST(checkpointer__deletes_rows_of_tombstones),
        TEST(checkpointer__waits_for_the_interval_since_the_first_change),
        TEST(checkpointer__reads_only_what_it_follows),
        TEST(checkpointer__resumes_at_the_stored_position),
        TEST(checkpointer__writes_a_position_that_moved_without_rows),
        TEST(checkpointer__keeps_rows_and_backs_off_while_the_store_is_away),
        TEST(checkpointer__asks_again_for_a_position_it_could_not_get),
        TEST(checkpointer__drops_fenced_shards_and_writes_the_others),
        TEST(checkpointer__recovers_when_the_answer_to_a_write_was_lost),
        TEST(checkpointer__writes_at_once_what_a_shard_that_left_had_changed),
        TEST(checkpointer__forgets_a_shard_that_left_and_is_fenced),
        TEST(checkpointer__asks_again_for_a_shard_that_left_and_came_back),
        TEST(checkpointer__stops_reading_at_its_limit),
        TEST(checkpointer__stops_reading_at_its_limit_of_bytes),
        TEST(checkpointer__skips_polled_records_of_a_shard_that_left),
        TEST(checkpointer__does_not_write_over_a_recreated_changelog),
        TEST(checkpointer__begins_at_the_start_of_a_log_that_moved),
        TEST(checkpointer__finds_its_place_again_when_the_log_says_it_is_gone),
        TEST(checkpointer__survives_a_log_that_is_away),
        TEST(checkpointer__counts_rows_that_the_store_refuses),
        TEST(checkpointer__gives_up_a_store_that_can_never_work),
        TEST(checkpointer__writes_what_it_holds_when_it_stops),
        TEST(checkpointer__stops_without_a_try_while_the_store_is_away),
        TEST(checkpointer__catches_up_before_a_clean_stop),
        TEST(checkpointer__does_not_wait_for_a_store_that_is_away),
        TEST(checkpointer__leaves_a_shard_to_its_next_owner_while_it_stops),
        TEST(checkpointer__works_on_its_own_thread),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
