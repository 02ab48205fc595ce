/* Goal:   an entity that has not changed for as long as its behavior says is deleted, once, and never earlier,
 *         whatever dies in between; answers that nobody can ask for any more leave the ledger by themselves.
 * Method: a behavior that expires over the simulated log and the memory store, with time in the test's hand;
 *         faults, crashes and lost stores; at last a model and random commands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/support/sim_world.h"
#include "tests/support/user_model.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define AFTER_MS INT64_C(80000)
#define LATEST_MS (AFTER_MS + AFTER_MS / 8)
#define NOTE "note/1"

/* ---- a behavior that expires -------------------------------------------------------------------- */

static void note_write(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_set(effects, "text", json_incref(json_object_get(command->body, "text")));
    alv_reply(effects, "{s:s}", "event", "written");
}

static void note_read(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_reply(effects, "{s:O?}", "state", state);
}

static void note_remove(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_delete(effects);
}

/* {"at":MS}: writes "rung" then. */
static void note_remind(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_timer_set(effects, "t", json_integer_value(json_object_get(command->body, "at")),
                  json_pack("{s:s, s:s}", "type", "write", "text", "rung"));
}

static void note_fail(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_fatal(effects, "told to");
}

static const alv_command_row note_rows[] = {
    {"write", note_write, {ALV_REQUIRED("text", ALV_FIELD_TEXT)}},
    {"read", note_read, {{0}}},
    {"remove", note_remove, {{0}}},
    {"remind", note_remind, {{0}}},
    {"fail", note_fail, {{0}}},
};

static alv_behavior note_behavior;

/* ---- the world ---------------------------------------------------------------------------------- */

static alv_sim_world world;

static int open_world(void **state)
{
    (void)state;
    static const char *const assignments[] = {"idempotency.retention.ms=40000", NULL};
    note_behavior = (alv_behavior){ALV_BEHAVIOR_HEAD, .type = "note", .commands = note_rows,
                                   .command_count = sizeof note_rows / sizeof note_rows[0],
                                   .expire_after_ms = AFTER_MS};
    alv_sim_world_init_with(&world, assignments, &note_behavior, NULL);
    alv_sim_world_activate(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

static int32_t shard_of(const char *key)
{
    return alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
}

static void settle(void)
{
    alv_sim_world_run(&world, 300);
}

static void pass(int64_t ms)
{
    alv_sim_world_pass(&world, ms);
    settle();
}

static void write_note(const char *key, const char *text)
{
    char command[64];
    (void)snprintf(command, sizeof command, "{\"type\":\"write\",\"text\":\"%s\"}", text);
    (void)alv_sim_world_send(&world, key, command);
}

static const char *logged(const char *key)
{
    return alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of(key), key, NULL);
}

static const char *ledger_of(const char *key, size_t *out_count)
{
    return alv_sim_log_last(world.log, ALV_TOPIC_LEDGER, shard_of(key), key, out_count);
}

/* Log and store say the same. */
static bool exists(const char *key)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    bool found = false;
    assert_int_equal(world.store->ops->get(world.store, shard_of(key), ALV_STORE_STATE,
                                           alv_view_of(key), &found, &value, NULL),
                     ALV_OK);
    alv_bytes_done(&value);
    assert_int_equal(found, logged(key) != NULL);
    return found;
}

static bool count_entry(void *payload, alv_view key, alv_view value)
{
    (void)key;
    (void)value;
    ++*(size_t *)payload;
    return true;
}

static size_t index_entries(void)
{
    size_t count = 0;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        assert_int_equal(world.store->ops->scan(world.store, shard, ALV_STORE_TIMER, ALV_VIEW_NONE,
                                                ALV_VIEW_NONE, count_entry, &count, NULL),
                         ALV_OK);
    }
    return count;
}

/* ---- entities ------------------------------------------------------------------------------------ */

static void entity__expires_when_it_has_not_changed(void **state)
{
    (void)state;
    write_note(NOTE, "a");
    settle();
    alv_sim_world_pass(&world, AFTER_MS - 1000);
    settle();
    assert_true(exists(NOTE));
    pass(LATEST_MS - AFTER_MS + 1000);
    assert_false(exists(NOTE));
    size_t records = 0;
    (void)alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of(NOTE), NOTE, &records);
    assert_int_equal(records, 2);
    assert_null(ledger_of(NOTE, NULL));
    assert_int_equal(index_entries(), 0);
    assert_int_equal(alv_counter_get(&world.meter->expired), 1);
    write_note(NOTE, "b"); /* begins anew */
    settle();
    assert_string_equal(logged(NOTE), "{\"text\":\"b\"}");
    pass(LATEST_MS);
    assert_false(exists(NOTE));
}

static void entity__lives_while_it_changes(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        write_note(NOTE, i % 2 == 0 ? "a" : "b");
        pass(AFTER_MS / 2 + i * 100);
        assert_true(exists(NOTE));
    }
    for (int i = 0; i < 5; i++) { /* which does not count */
        (void)alv_sim_world_send(&world, NOTE, "{\"type\":\"read\"}");
        pass(LATEST_MS / 5);
    }
    assert_false(exists(NOTE));
}

/* Many changes cost the ledger one record, and one more after an eighth of the time. */
static void entity__costs_the_ledger_little(void **state)
{
    (void)state;
    size_t records = 0;
    for (int i = 0; i < 20; i++) {
        write_note(NOTE, i % 2 == 0 ? "a" : "b");
        alv_sim_world_run(&world, 100);
    }
    (void)ledger_of(NOTE, &records);
    assert_int_equal(records, 1);
    assert_int_equal(index_entries(), 1);
    pass(AFTER_MS / 8);
    write_note(NOTE, "c");
    settle();
    (void)ledger_of(NOTE, &records);
    assert_int_equal(records, 2);
    assert_int_equal(index_entries(), 1);
}

static void entity__takes_its_timers_along(void **state)
{
    (void)state;
    char command[64];
    write_note(NOTE, "a");
    (void)snprintf(command, sizeof command, "{\"type\":\"remind\",\"at\":%" PRId64 "}",
                   alv_now_ms(&world.clock.clock) + 2 * AFTER_MS);
    (void)alv_sim_world_send(&world, NOTE, command);
    settle();
    pass(LATEST_MS);
    assert_false(exists(NOTE));
    pass(2 * AFTER_MS);
    assert_false(exists(NOTE));
    assert_int_equal(index_entries(), 0);
}

/* A timer is a command: what it changes counts. */
static void entity__lives_by_its_timers(void **state)
{
    (void)state;
    char command[64];
    write_note(NOTE, "a");
    (void)snprintf(command, sizeof command, "{\"type\":\"remind\",\"at\":%" PRId64 "}",
                   alv_now_ms(&world.clock.clock) + AFTER_MS / 2);
    (void)alv_sim_world_send(&world, NOTE, command);
    settle();
    pass(AFTER_MS + AFTER_MS / 4); /* both are due: the timer comes first */
    assert_true(exists(NOTE));
    assert_string_equal(logged(NOTE), "{\"text\":\"rung\"}");
}

static void entity__that_is_deleted_leaves_nothing(void **state)
{
    (void)state;
    write_note(NOTE, "a");
    (void)alv_sim_world_send(&world, NOTE, "{\"type\":\"remove\"}");
    settle();
    assert_false(exists(NOTE));
    assert_null(ledger_of(NOTE, NULL));
    assert_int_equal(index_entries(), 0);
    pass(2 * AFTER_MS);
    assert_int_equal(alv_counter_get(&world.meter->expired), 0);
}

static void entity__expires_once_through_faults(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char key[16];
        size_t records = 0;
        (void)snprintf(key, sizeof key, "note/%zu", 10 + i);
        write_note(key, "a");
        settle();
        alv_sim_log_fail_next(world.log, faults[i]);
        alv_sim_world_pass(&world, LATEST_MS);
        alv_sim_world_run(&world, 1000);
        assert_false(exists(key));
        (void)alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of(key), key, &records);
        assert_int_equal(records, 2);
    }
}

static void entity__expires_after_a_crash_and_a_lost_store(void **state)
{
    (void)state;
    for (size_t applies = 0; applies < 200; applies += 50) { /* the last: nothing is left */
        write_note(NOTE, "a");
        settle();
        alv_sim_world_crash(&world, applies);
        alv_sim_world_activate(&world);
        pass(AFTER_MS - 2000);
        assert_true(exists(NOTE));
        alv_sim_world_crash(&world, applies);
        alv_sim_world_pass(&world, LATEST_MS);
        alv_sim_world_activate(&world);
        settle();
        assert_false(exists(NOTE));
        assert_int_equal(index_entries(), 0);
    }
}

/* Nobody was there; but a command that was in the log in time keeps the entity. */
static void entity__waits_for_the_backlog(void **state)
{
    (void)state;
    write_note(NOTE, "a");
    settle();
    alv_sim_world_crash(&world, 0);
    alv_sim_world_pass(&world, AFTER_MS / 2);
    for (int i = 0; i < 10; i++) {
        write_note("note/2", "x");
    }
    write_note(NOTE, "b");
    alv_sim_world_pass(&world, 2 * AFTER_MS);
    alv_sim_world_activate(&world);
    settle();
    assert_true(exists(NOTE));
    assert_int_equal(alv_counter_get(&world.meter->expired), 0);
}

/* Another version of the behavior: longer, and for ever. */
static void entity__follows_its_behavior(void **state)
{
    (void)state;
    write_note(NOTE, "a");
    write_note("note/2", "a");
    settle();
    note_behavior.expire_after_ms = 2 * AFTER_MS;
    pass(2 * AFTER_MS - 2000);
    assert_true(exists(NOTE));
    pass(2 * (LATEST_MS - AFTER_MS) + 2000);
    assert_false(exists(NOTE));
    write_note(NOTE, "b");
    settle();
    note_behavior.expire_after_ms = 0;
    pass(10 * AFTER_MS);
    assert_true(exists(NOTE));
    assert_null(ledger_of(NOTE, NULL));
    assert_int_equal(index_entries(), 0);
}

/* While it is quarantined it does not expire, and a release counts as a change. */
static void entity__does_not_expire_in_quarantine(void **state)
{
    (void)state;
    const alv_header release[] = {{ALV_HEADER_RELEASE, ALV_VIEW("1")}};
    write_note(NOTE, "a");
    for (int i = 0; i < 3; i++) {
        (void)alv_sim_world_send(&world, NOTE, "{\"type\":\"fail\"}");
    }
    settle();
    pass(3 * AFTER_MS);
    assert_true(exists(NOTE));
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard_of(NOTE), NOTE, NULL, release, 1);
    settle();
    pass(AFTER_MS - 2000);
    assert_true(exists(NOTE));
    pass(LATEST_MS - AFTER_MS + 2000);
    assert_false(exists(NOTE));
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void write_once(const char *key, const char *idempotency_key)
{
    const alv_header headers[] = {{ALV_HEADER_IDEMPOTENCY_KEY, alv_view_of(idempotency_key)}};
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard_of(key), key,
                             "{\"type\":\"login\"}", headers, 1);
}

/* The retention here is 40 s. */
static void answers__leave_by_themselves(void **state)
{
    (void)state;
    write_once("m:1", "k1");
    settle();
    pass(30000);
    write_once("m:1", "k2");
    write_once("m:1", "k1"); /* again */
    settle();
    pass(35000);
    assert_non_null(ledger_of("m:1", NULL));
    assert_int_equal(alv_counter_get(&world.meter->repeated), 1);
    write_once("m:1", "k2");
    settle();
    assert_int_equal(alv_counter_get(&world.meter->repeated), 2);
    pass(15000);
    assert_null(ledger_of("m:1", NULL));
    assert_int_equal(index_entries(), 0);
    assert_non_null(logged("m:1"));
    write_once("m:1", "k1"); /* too late: executed */
    settle();
    assert_int_equal(alv_counter_get(&world.meter->repeated), 2);
}

/* ---- a model ------------------------------------------------------------------------------------- */

#define MODEL_NOTES 3
#define MODEL_LATE_MS 3000 /* retries of a transaction, a backlog that is none */

static void model_check(const int64_t *changed_ms)
{
    int64_t now_ms = alv_now_ms(&world.clock.clock);
    for (int i = 0; i < MODEL_NOTES; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "note/%d", i);
        if (changed_ms[i] == 0 || now_ms > changed_ms[i] + LATEST_MS + 2 * MODEL_LATE_MS) {
            assert_false(exists(key));
        } else if (now_ms < changed_ms[i] + AFTER_MS) {
            assert_true(exists(key));
        }
    }
}

static void entity__agrees_with_a_model(void **state)
{
    (void)state;
    uint64_t random = 20261126;
    int64_t changed_ms[MODEL_NOTES] = {0};
    for (int step = 0; step < 500; step++) {
        int note = (int)(alv_user_model_random(&random) % MODEL_NOTES);
        char key[16];
        (void)snprintf(key, sizeof key, "note/%d", note);
        uint64_t what = alv_user_model_random(&random) % 8;
        if (what == 0) {
            (void)alv_sim_world_send(&world, key, "{\"type\":\"remove\"}");
            changed_ms[note] = 0;
        } else if (what == 1) {
            (void)alv_sim_world_send(&world, key, "{\"type\":\"read\"}");
        } else if (what < 5) {
            write_note(key, what % 2 == 0 ? "a" : "b");
            changed_ms[note] = alv_now_ms(&world.clock.clock);
        }
        uint64_t fault = alv_user_model_random(&random) % 16;
        if (fault == 0) {
            alv_sim_world_crash(&world, (size_t)(alv_user_model_random(&random) % 20));
            alv_sim_world_activate(&world);
        } else if (fault < 5) {
            alv_sim_log_fail_next(world.log, (alv_sim_fault)((int)fault + ALV_SIM_NONE));
        }
        alv_sim_world_run(&world, MODEL_LATE_MS);
        model_check(changed_ms);
        alv_sim_world_pass(&world, (int64_t)(alv_user_model_random(&random) % (AFTER_MS / 2)));
        alv_sim_world_run(&world, MODEL_LATE_MS);
        model_check(changed_ms);
    }
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(entity__expires_when_it_has_not_changed),
        WITH_WORLD(entity__lives_while_it_changes),
        WITH_WORLD(entity__costs_the_ledger_little),
        WITH_WORLD(entity__takes_its_timers_along),
        WITH_WORLD(entity__lives_by_its_timers),
        WITH_WORLD(entity__that_is_deleted_leaves_nothing),
        WITH_WORLD(entity__expires_once_through_faults),
        WITH_WORLD(entity__expires_after_a_crash_and_a_lost_store),
        WITH_WORLD(entity__waits_for_the_backlog),
        WITH_WORLD(entity__follows_its_behavior),
        WITH_WORLD(entity__does_not_expire_in_quarantine),
        WITH_WORLD(answers__leave_by_themselves),
        WITH_WORLD(entity__agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
