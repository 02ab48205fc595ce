/* Goal:   a store is brought to the end of its changelog from where it is, never from the start without
 *         need (I6), never handed out before the end (I2), and a standby is promoted without reading
 *         anything twice.
 * Method: the real replicator and restorer over the simulated log and the memory store, turn by turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/logger.h"
#include "changelog/replicator.h"
#include "tests/support/faulty_store.h"
#include "tests/support/sim_log.h"
#include "topics/schema.h"

#define SHARDS 6 /* more than are loaded in bulk at once */
#define NOW_MS 1700000000000
#define HOUR_MS (3600 * 1000)

typedef struct fixture {
    alv_config *config;
    alv_manual_clock clock;
    alv_sim_log *log;
    alv_store *memory;
    alv_faulty_store *faults; /* around it */
    alv_store *store;         /* the same */
    int64_t bulk_records_min; /* of replicators that are started */
    alv_replicator *replicator;

    /* The last answer. */
    int answers;
    uint64_t ticket;
    alv_status status;
    alv_restore restore;

    alv_replica replica[SHARDS]; /* as reported last */
    alv_restore progress[SHARDS];
} fixture;

static void on_progress(void *payload, const alv_replica_view *view)
{
    fixture *f = payload;
    f->replica[view->restore->shard] = view->replica;
    f->progress[view->restore->shard] = *view->restore;
}

static void on_done(void *payload, int32_t shard, uint64_t ticket, alv_status status,
                    const alv_restore *restore, const alv_error *error)
{
    fixture *f = payload;
    assert_int_equal(shard, restore->shard);
    assert_true(status == ALV_OK || error != NULL);
    f->answers++;
    f->ticket = ticket;
    f->status = status;
    f->restore = *restore;
}

static void start_replicator(fixture *f)
{
    const alv_replicator_options options = {.log = alv_sim_log_port(f->log),
                                            .store = f->store,
                                            .clock = &f->clock.clock,
                                            .settings = alv_config_settings(f->config),
                                            .shard_count = SHARDS,
                                            .bulk_records_min = f->bulk_records_min,
                                            .progress = on_progress,
                                            .payload = f};
    assert_int_equal(alv_replicator_new(&options, &f->replicator, NULL), ALV_OK);
}

static int setup(void **state)
{
    static fixture f;
    memset(&f, 0, sizeof f);
    alv_log_set_level(ALV_LOG_ERROR);
    f.config = alv_config_new();
    assert_int_equal(alv_config_set(f.config, "node.id=a", NULL), ALV_OK);
    assert_int_equal(alv_config_finish(f.config, NULL), ALV_OK);
    alv_manual_clock_init(&f.clock, NOW_MS);
    f.log = alv_sim_log_new(SHARDS);
    f.memory = alv_store_memory_new();
    f.faults = alv_faulty_store_new(f.memory);
    f.store = &f.faults->base;
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        f.replica[shard] = ALV_REPLICA_NONE;
    }
    start_replicator(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    alv_replicator_free(f->replicator);
    f->store->ops->close(f->store);
    alv_sim_log_free(f->log);
    alv_config_free(f->config);
    return 0;
}

static void turns(fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        alv_replicator_turn(f->replicator, 0);
        alv_manual_clock_advance(&f->clock, 1);
    }
}

/* From here on restores of so many records are loaded in bulk. */
static void load_in_bulk(fixture *f, int64_t records_min)
{
    alv_replicator_free(f->replicator);
    f->bulk_records_min = records_min;
    start_replicator(f);
}

static void log_states_of(fixture *f, int32_t shard, int from, int to)
{
    for (int i = from; i < to; i++) {
        char key[32];
        char value[32];
        (void)snprintf(key, sizeof key, "m:%d", i % 10);
        (void)snprintf(value, sizeof value, "{\"n\":%d}", i);
        (void)alv_sim_log_append(f->log, ALV_TOPIC_CHANGELOG, shard, key, value, NULL, 0);
    }
}

static void log_states(fixture *f, int from, int to)
{
    log_states_of(f, 0, from, to);
}

static void log_position(fixture *f, int64_t next)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_schema_write_position(next, NOW_MS, &value);
    alv_bytes_append(&value, "", 1);
    (void)alv_sim_log_append(f->log, ALV_TOPIC_LEDGER, 0, ALV_POSITION_KEY, value.data, NULL, 0);
    alv_bytes_done(&value);
}

static void assert_stored_in(fixture *f, int32_t shard, const char *key, const char *expected)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    bool found = false;
    assert_int_equal(f->store->ops->get(f->store, shard, ALV_STORE_STATE, alv_view_of(key), &found,
                                        &value, NULL),
                     ALV_OK);
    assert_int_equal(found, expected != NULL);
    if (expected != NULL) {
        assert_int_equal(value.size, strlen(expected));
        assert_memory_equal(value.data, expected, value.size);
    }
    alv_bytes_done(&value);
}

static void assert_stored(fixture *f, const char *key, const char *expected)
{
    assert_stored_in(f, 0, key, expected);
}

static int64_t stored_changelog(fixture *f, int32_t shard)
{
    alv_position position = {0};
    assert_int_equal(f->store->ops->position(f->store, shard, &position, NULL), ALV_OK);
    return position.changelog;
}

/* The value of the last state that log_states up to `to` wrote to m:9; `to` is a multiple of 10. */
static const char *last_of(int64_t to)
{
    static char value[32];
    (void)snprintf(value, sizeof value, "{\"n\":%d}", (int)to - 1);
    return value;
}

/* What lane tests do by themselves: the store falls back, and everything starts anew. */
static void crash(fixture *f)
{
    alv_replicator_free(f->replicator);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        alv_store_memory_crash(f->memory, shard, 1000);
    }
    start_replicator(f);
}

static void set_standby(fixture *f, bool wanted)
{
    const bool standbys[SHARDS] = {wanted};
    alv_replicator_set_standbys(f->replicator, standbys);
}

static void restore(fixture *f, uint64_t ticket)
{
    alv_replicator_restore(f->replicator, 0, ticket, on_done, f);
}

/* ---- restores ------------------------------------------------------------------------------------ */

static void restore__ends_at_the_end_of_the_changelog(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 25);
    (void)alv_sim_log_append(f->log, ALV_TOPIC_CHANGELOG, 0, "m:3", NULL, NULL, 0);
    log_position(f, 17);
    restore(f, 5);
    turns(f, 5);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->ticket, 5);
    assert_int_equal(f->status, ALV_OK);
    assert_int_equal(f->restore.records, 27);
    assert_int_equal(f->restore.position.changelog, 26);
    assert_int_equal(f->restore.position.commands, 17);
    assert_false(f->restore.first_start);
    assert_stored(f, "m:4", "{\"n\":24}");
    assert_stored(f, "m:3", NULL);
}

static void restore__of_an_empty_log_is_a_first_start(void **state)
{
    fixture *f = *state;
    restore(f, 1);
    turns(f, 2);
    assert_int_equal(f->answers, 1);
    assert_true(f->restore.first_start);
    assert_int_equal(f->restore.position.commands, 0);
}

static void restore__goes_on_at_the_larger_of_group_and_ledger(void **state)
{
    fixture *f = *state;
    log_position(f, 17);
    alv_sim_log_set_committed(f->log, 0, 30);
    restore(f, 1);
    turns(f, 3);
    assert_int_equal(f->restore.position.commands, 30);
    alv_replicator_release(f->replicator, 0);
    log_position(f, 40);
    restore(f, 2);
    turns(f, 3);
    assert_int_equal(f->restore.position.commands, 40);
}

static void restore__reads_the_tail_only(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 100);
    restore(f, 1);
    turns(f, 5);
    alv_replicator_release(f->replicator, 0);
    log_states(f, 100, 103);
    restore(f, 2);
    turns(f, 5);
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->restore.records, 3);
    assert_stored(f, "m:2", "{\"n\":102}");
}

/* Tombstones older than that may be gone from the changelog: what they deleted would live on. */
static void restore__starts_over_when_the_store_is_older_than_tombstones(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    restore(f, 1);
    turns(f, 5);
    alv_replicator_release(f->replicator, 0);
    alv_manual_clock_advance(&f->clock, 25 * (int64_t)HOUR_MS);
    log_states(f, 10, 11);
    restore(f, 2);
    turns(f, 5);
    assert_int_equal(f->status, ALV_OK);
    assert_int_equal(f->restore.records, 11);
}

static void restore__keeps_an_old_store_that_has_missed_nothing(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    restore(f, 1);
    turns(f, 5);
    alv_replicator_release(f->replicator, 0);
    alv_manual_clock_advance(&f->clock, 25 * (int64_t)HOUR_MS);
    restore(f, 2);
    turns(f, 5);
    assert_int_equal(f->restore.records, 0);
}

static void restore__refuses_a_store_that_is_ahead_of_the_log(void **state)
{
    fixture *f = *state;
    alv_position ahead = {.changelog = 1000, .at_ms = NOW_MS};
    alv_position none;
    assert_int_equal(f->store->ops->open_shard(f->store, 0, &none, NULL), ALV_OK);
    assert_int_equal(f->store->ops->apply(f->store, 0, NULL, 0, &ahead, NULL), ALV_OK);
    restore(f, 1);
    turns(f, 5);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, ALV_FATAL);
}

static void restore__refuses_a_ledger_that_holds_something_else(void **state)
{
    fixture *f = *state;
    (void)alv_sim_log_append(f->log, ALV_TOPIC_LEDGER, 0, ALV_POSITION_KEY, "17", NULL, 0);
    restore(f, 1);
    turns(f, 5);
    assert_int_equal(f->status, ALV_FATAL);
}

static void restore__that_is_released_does_not_answer(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    restore(f, 1);
    alv_replicator_release(f->replicator, 0);
    turns(f, 5);
    assert_int_equal(f->answers, 0);
    restore(f, 2);
    turns(f, 5);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->ticket, 2);
}

/* A shard may leave and come back between two looks of the replicator at its table. */
static void restore__of_a_shard_that_was_let_go_of_a_moment_ago(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    set_standby(f, true);
    turns(f, 5);
    alv_replicator_release(f->replicator, 0);
    log_states(f, 10, 12);
    restore(f, 1);
    turns(f, 5);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, ALV_OK);
    assert_stored(f, "m:1", "{\"n\":11}");
}

static void restore__counts_records_and_bytes(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10); /* "m:0" and {"n":0}: 3 + 7 bytes */
    restore(f, 1);
    turns(f, 5);
    assert_int_equal(f->progress[0].records, 10);
    assert_int_equal(f->progress[0].records_target, 10);
    assert_int_equal(f->progress[0].bytes, 100);
    assert_int_equal(alv_restorer_share(&f->progress[0]), 1000);
}

/* The log has lost what the store would have to read next: it starts over with what is there. */
static void restore__starts_over_when_the_changelog_was_truncated(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    restore(f, 1);
    turns(f, 5);
    alv_replicator_release(f->replicator, 0);
    log_states(f, 10, 38);
    alv_sim_log_truncate(f->log, ALV_TOPIC_CHANGELOG, 0, 30);
    restore(f, 2);
    turns(f, 5);
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->status, ALV_OK);
    assert_int_equal(f->restore.records, 8);
    assert_stored(f, "m:7", "{\"n\":37}");
    assert_stored(f, "m:9", NULL);
    assert_int_equal(stored_changelog(f, 0), 38);
}

/* ---- restores in bulk ---------------------------------------------------------------------------- */

#define MANY 25000 /* records: three polls */

static void bulk__is_complete_when_answered(void **state)
{
    fixture *f = *state;
    load_in_bulk(f, 100);
    log_states(f, 0, MANY);
    (void)alv_sim_log_append(f->log, ALV_TOPIC_CHANGELOG, 0, "m:3", NULL, NULL, 0);
    log_position(f, 24);
    restore(f, 7);
    turns(f, 1);
    assert_true(f->progress[0].bulk);
    assert_int_equal(f->answers, 0);
    turns(f, 6);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, ALV_OK);
    assert_int_equal(f->restore.records, MANY + 2);
    assert_int_equal(f->restore.position.commands, 24);
    assert_int_equal(stored_changelog(f, 0), MANY + 1);
    assert_stored(f, "m:9", last_of(MANY));
    assert_stored(f, "m:3", NULL);
    /* The lane may write now. */
    alv_position next = f->restore.position;
    assert_int_equal(f->store->ops->apply(f->store, 0, NULL, 0, &next, NULL), ALV_OK);
}

static void bulk__is_for_long_restores_only(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 1000);
    restore(f, 1);
    turns(f, 5);
    assert_int_equal(f->answers, 1);
    assert_false(f->progress[0].bulk);
}

/* A crash in the middle leaves what was installed, and that is where the next start goes on (I2, I6). */
static void bulk__goes_on_after_a_crash(void **state)
{
    fixture *f = *state;
    load_in_bulk(f, 100);
    log_states(f, 0, MANY);
    restore(f, 1);
    turns(f, 2);
    assert_int_equal(f->answers, 0);
    crash(f);
    int64_t kept = stored_changelog(f, 0);
    assert_in_range(kept, 1, MANY - 1);
    assert_stored(f, "m:9", last_of(kept));
    restore(f, 2);
    turns(f, 8);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->restore.records, MANY - kept);
    assert_stored(f, "m:9", last_of(MANY));
}

/* Revoked in the middle: from then on nobody writes the shard, and what is there is a prefix. */
static void bulk__that_is_released_leaves_a_prefix(void **state)
{
    fixture *f = *state;
    load_in_bulk(f, 100);
    log_states(f, 0, MANY);
    for (int moment = 1; moment < 5; moment++) {
        restore(f, (uint64_t)moment);
        turns(f, moment);
        alv_replicator_release(f->replicator, 0);
        int64_t kept = stored_changelog(f, 0);
        assert_stored(f, "m:9", last_of(kept));
        turns(f, 3);
        assert_int_equal(stored_changelog(f, 0), kept);
    }
    restore(f, 9);
    turns(f, 8);
    assert_int_equal(f->ticket, 9);
    assert_int_equal(f->status, ALV_OK);
    assert_stored(f, "m:9", last_of(MANY));
}

static void bulk__that_fails_is_tried_again(void **state)
{
    static const alv_store_call calls[] = {ALV_STORE_BULK_APPLY, ALV_STORE_BULK_END};
    fixture *f = *state;
    load_in_bulk(f, 100);
    log_states(f, 0, MANY);
    for (size_t i = 0; i < 2; i++) {
        alv_faulty_store_fail(f->faults, calls[i], 1, ALV_RETRY);
        restore(f, i + 1);
        turns(f, 5);
        assert_int_equal(f->answers, i);
        assert_int_equal(f->faults->failures[calls[i]], 0);
        alv_manual_clock_advance(&f->clock, 10000); /* its backoff */
        turns(f, 8);
        assert_int_equal(f->answers, i + 1);
        assert_int_equal(f->status, ALV_OK);
        assert_stored(f, "m:9", last_of(MANY));
        alv_replicator_release(f->replicator, 0);
        assert_int_equal(f->store->ops->wipe_shard(f->store, 0, NULL), ALV_OK);
    }
}

/* More shards than the store loads at once: the others wait, and short ones do not wait for them. */
static void bulk__of_many_shards_takes_turns(void **state)
{
    fixture *f = *state;
    load_in_bulk(f, 100);
    for (int32_t shard = 0; shard < SHARDS - 1; shard++) {
        log_states_of(f, shard, 0, MANY);
    }
    log_states_of(f, SHARDS - 1, 0, 20);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        alv_replicator_restore(f->replicator, shard, 1, on_done, f);
    }
    turns(f, 1);
    assert_false(f->progress[SHARDS - 2].bulk);
    turns(f, 10);
    assert_in_range(f->answers, 1, SHARDS - 1);
    turns(f, 60);
    assert_int_equal(f->answers, SHARDS);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_stored_in(f, shard, "m:9", last_of(shard == SHARDS - 1 ? 20 : MANY));
    }
}

/* ---- standbys ------------------------------------------------------------------------------------ */

static void standby__follows_the_changelog(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    set_standby(f, true);
    turns(f, 5);
    assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
    assert_int_equal(f->replica[1], ALV_REPLICA_NONE);
    assert_stored(f, "m:9", "{\"n\":9}");
    log_states(f, 10, 20);
    turns(f, 2);
    assert_stored(f, "m:9", "{\"n\":19}");
    assert_int_equal(f->answers, 0);
    set_standby(f, false);
    turns(f, 2);
    assert_int_equal(f->replica[0], ALV_REPLICA_NONE);
    log_states(f, 20, 30);
    turns(f, 2);
    assert_stored(f, "m:9", "{\"n\":19}");
}

static void standby__is_promoted_without_reading_twice(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 1000);
    set_standby(f, true);
    turns(f, 5);
    log_states(f, 1000, 1004);
    alv_sim_log_set_committed(f->log, 0, 55);
    restore(f, 9);
    turns(f, 5);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, ALV_OK);
    assert_int_equal(f->restore.records, 4);
    assert_int_equal(f->restore.position.commands, 55);
    assert_stored(f, "m:3", "{\"n\":1003}");
}

/* Promotion may come while it is still catching up, or with records already polled. */
static void standby__can_be_promoted_at_any_moment(void **state)
{
    fixture *f = *state;
    for (int moment = 0; moment < 4; moment++) {
        set_standby(f, true);
        turns(f, moment);
        log_states(f, moment * 10, moment * 10 + 10);
        restore(f, (uint64_t)moment + 1);
        turns(f, 6);
        assert_int_equal(f->answers, moment + 1);
        char expected[32];
        (void)snprintf(expected, sizeof expected, "{\"n\":%d}", moment * 10 + 9);
        assert_stored(f, "m:9", expected);
        alv_replicator_release(f->replicator, 0);
    }
}

/* The store of a shard that a lane has is never touched, whatever is wanted. */
static void standby__leaves_a_taken_shard_alone(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    restore(f, 1);
    turns(f, 5);
    set_standby(f, true);
    log_states(f, 10, 20);
    turns(f, 5);
    assert_stored(f, "m:9", "{\"n\":9}");
    alv_replicator_release(f->replicator, 0);
    turns(f, 5);
    assert_stored(f, "m:9", "{\"n\":19}");
    assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
}

static void standby__waits_for_restores(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    alv_sim_log_set_committed(f->log, 1, 0);
    alv_replicator_restore(f->replicator, 1, 3, on_done, f);
    set_standby(f, true);
    turns(f, 1);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->replica[0], ALV_REPLICA_NONE);
    turns(f, 5);
    assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
}

/* A restore that begins while a standby catches up has the reader to itself; the standby then goes on from
 * where its store is. */
static void standby__stands_aside_for_a_restore(void **state)
{
    fixture *f = *state;
    for (int bulk = 0; bulk < 2; bulk++) {
        load_in_bulk(f, bulk ? 100 : 0);
        log_states(f, 0, MANY);
        log_states_of(f, 1, 0, MANY);
        set_standby(f, true);
        turns(f, 1);
        assert_int_equal(f->replica[0], ALV_REPLICA_CATCHING_UP);
        alv_replicator_restore(f->replicator, 1, 3, on_done, f);
        turns(f, 1);
        int64_t kept = stored_changelog(f, 0);
        assert_true(kept > 0);
        turns(f, 2);
        assert_int_equal(f->answers, bulk);
        assert_int_equal(stored_changelog(f, 0), kept);
        turns(f, 3);
        assert_int_equal(f->answers, bulk + 1);
        turns(f, 8);
        assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
        assert_stored(f, "m:9", last_of(MANY));
        set_standby(f, false);
        turns(f, 1);
        alv_replicator_release(f->replicator, 1);
        assert_int_equal(f->store->ops->wipe_shard(f->store, 0, NULL), ALV_OK);
        assert_int_equal(f->store->ops->wipe_shard(f->store, 1, NULL), ALV_OK);
    }
}

static void standby__that_is_far_behind_is_loaded_in_bulk(void **state)
{
    fixture *f = *state;
    load_in_bulk(f, 100);
    log_states(f, 0, MANY);
    set_standby(f, true);
    turns(f, 1);
    assert_true(f->progress[0].bulk);
    turns(f, 8);
    assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
    assert_false(f->progress[0].bulk);
    log_states(f, MANY, MANY + 10);
    turns(f, 2);
    assert_stored(f, "m:9", last_of(MANY + 10));
}

/* At any moment of its load, and while that ends. Nothing that is in the store is read again. */
static void standby__is_promoted_while_it_is_loaded(void **state)
{
    fixture *f = *state;
    load_in_bulk(f, 100);
    for (int moment = 1; moment < 8; moment++) {
        log_states(f, (moment - 1) * MANY, moment * MANY);
        set_standby(f, true);
        turns(f, moment);
        int64_t kept = stored_changelog(f, 0);
        restore(f, (uint64_t)moment);
        set_standby(f, false);
        turns(f, 10);
        assert_int_equal(f->answers, moment);
        assert_int_equal(f->status, ALV_OK);
        assert_true(f->restore.records <= (int64_t)moment * MANY - kept);
        assert_stored(f, "m:9", last_of((int64_t)moment * MANY));
        alv_replicator_release(f->replicator, 0);
    }
}

static void standby__says_how_far_behind_it_is(void **state)
{
    fixture *f = *state;
    log_states(f, 0, MANY);
    set_standby(f, true);
    turns(f, 1);
    alv_manual_clock_advance(&f->clock, 300);
    turns(f, 1);
    assert_int_equal(alv_restorer_lag(&f->progress[0]), MANY - 20000);
    turns(f, 5);
    alv_manual_clock_advance(&f->clock, 300);
    turns(f, 1);
    assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
    assert_int_equal(alv_restorer_lag(&f->progress[0]), 0);
}

/* While it follows, the log loses what it would have read next. */
static void standby__starts_over_when_the_changelog_was_truncated(void **state)
{
    fixture *f = *state;
    for (int bulk = 0; bulk < 2; bulk++) {
        load_in_bulk(f, bulk ? 100 : 0);
        int64_t at = alv_sim_log_end(f->log, ALV_TOPIC_CHANGELOG, 0);
        log_states(f, (int)at, (int)at + MANY);
        set_standby(f, true);
        turns(f, 1); /* it is in the middle */
        alv_sim_log_truncate(f->log, ALV_TOPIC_CHANGELOG, 0, at + MANY - 5);
        turns(f, 2);
        assert_int_not_equal(f->replica[0], ALV_REPLICA_HOT);
        alv_manual_clock_advance(&f->clock, 10000); /* its backoff */
        turns(f, 6);
        assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
        assert_stored(f, "m:9", last_of(at + MANY));
        assert_stored(f, "m:0", NULL); /* it came before what is left */
        set_standby(f, false);
        turns(f, 1);
    }
}

/* Deletions may be gone from the changelog by then. */
static void standby__starts_over_when_it_is_older_than_tombstones(void **state)
{
    fixture *f = *state;
    log_states(f, 0, 10);
    set_standby(f, true);
    turns(f, 5);
    set_standby(f, false);
    turns(f, 1);
    alv_manual_clock_advance(&f->clock, 25 * (int64_t)HOUR_MS);
    log_states(f, 10, 11);
    set_standby(f, true);
    turns(f, 5);
    assert_int_equal(f->replica[0], ALV_REPLICA_HOT);
    assert_int_equal(f->progress[0].records, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(restore__ends_at_the_end_of_the_changelog, setup, teardown),
        cmocka_unit_test_setup_teardown(restore__of_an_empty_log_is_a_first_start, setup, teardown),
        cmocka_unit_test_setup_teardown(restore__goes_on_at_the_larger_of_group_and_ledger, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(restore__reads_the_tail_only, setup, teardown),
        cmocka_unit_test_setup_teardown(
            restore__starts_over_when_the_store_is_older_than_tombstones, setup, teardown),
        cmocka_unit_test_setup_teardown(restore__keeps_an_old_store_that_has_missed_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(restore__refuses_a_store_that_is_ahead_of_the_log, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(restore__refuses_a_ledger_that_holds_something_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(restore__that_is_released_does_not_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(restore__of_a_shard_that_was_let_go_of_a_moment_ago, setup,
                                        teardown),

        cmocka_unit_test_setup_teardown(restore__counts_records_and_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(restore__starts_over_when_the_changelog_was_truncated,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(bulk__is_complete_when_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk__is_for_long_restores_only, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk__goes_on_after_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk__that_is_released_leaves_a_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk__that_fails_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk__of_many_shards_takes_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__follows_the_changelog, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__is_promoted_without_reading_twice, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(standby__can_be_promoted_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__leaves_a_taken_shard_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__waits_for_restores, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__stands_aside_for_a_restore, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__that_is_far_behind_is_loaded_in_bulk, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(standby__is_promoted_while_it_is_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__says_how_far_behind_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(standby__starts_over_when_the_changelog_was_truncated,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(standby__starts_over_when_it_is_older_than_tombstones,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
