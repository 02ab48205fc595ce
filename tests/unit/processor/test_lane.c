/* Goal:   whatever happens to a transaction, every command takes effect exactly once (I1), the store
 *         never runs ahead of the log (I2), an uncertain commit is resolved and never guessed (I10),
 *         and no shard starts before what was consumed (I11).
 * Method: the real lane, executor, transaction, replicator and `user` behavior over the simulated log
 *         and the memory store, in one thread, one fault at a time. Counters (add_balance of 1) make a
 *         lost or doubled effect visible.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/support/sim_world.h"
#include "topics/schema.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"

static void send_adds(alv_sim_world *world, const char *key, int count)
{
    for (int i = 0; i < count; i++) {
        (void)alv_sim_world_send(world, key, ADD);
    }
}

/* Log, store and the number of commands agree, and nothing is left to do. */
static void assert_settled(alv_sim_world *world, const char *key, int64_t balance)
{
    alv_sim_world_run(world, 400);
    assert_int_equal(alv_sim_world_logged_balance(world, key), balance);
    assert_int_equal(alv_sim_world_stored_balance(world, key), balance);
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        int64_t end = alv_sim_log_end(world->log, ALV_TOPIC_COMMANDS, shard);
        if (end > 0) {
            assert_int_equal(alv_sim_log_committed(world->log, shard), end);
        }
    }
}

static void lane__executes_commands_once(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 10);
    send_adds(&world, "m:2", 3);
    assert_settled(&world, "m:1", 10);
    assert_settled(&world, "m:2", 3);
    alv_sim_world_done(&world);
}

static void lane__writes_a_changed_entity_once_per_transaction(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 50);
    assert_settled(&world, "m:1", 50);
    size_t count = 0;
    int32_t shard = alv_sim_world_send(&world, "m:1", "{\"type\":\"get_user_state\"}");
    (void)alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard, "m:1", &count);
    assert_int_equal(count, 1);
    alv_sim_world_done(&world);
}

static void lane__keeps_effects_out_of_the_store_until_the_commit(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 5);
    alv_sim_world_run(&world, 1); /* polled and executed; the next, empty poll commits */
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), -1);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), -1);
    assert_settled(&world, "m:1", 5);
    alv_sim_world_done(&world);
}

/* A cache for a handful of entities: most are put away after their command, some are used again in the same
 * transaction, some are only read. */
static void lane__executes_commands_of_more_entities_than_fit(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, (const char *[]){"cache.memory.bytes=8192", NULL});
    alv_sim_world_activate(&world);
    char key[16];
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 200; i++) {
            (void)snprintf(key, sizeof key, "m:%d", i);
            (void)alv_sim_world_send(&world, key, ADD);
            (void)snprintf(key, sizeof key, "m:%d", i / 2);
            (void)alv_sim_world_send(&world, key, "{\"type\":\"get_user_state\"}");
        }
        send_adds(&world, "m:0", 2);
        if (round == 2) {
            alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
        }
        for (int i = 1; i < 200; i += 33) {
            (void)snprintf(key, sizeof key, "m:%d", i);
            assert_settled(&world, key, round);
        }
        assert_settled(&world, "m:0", 3 * round);
    }
    alv_sim_world_done(&world);
}

/* The first commit after `fault` fails or seems to; nothing is lost and nothing is doubled. */
static void check_fault(alv_sim_fault fault)
{
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 4);
    assert_settled(&world, "m:1", 4);
    alv_sim_log_fail_next(world.log, fault);
    send_adds(&world, "m:1", 3);
    (void)alv_sim_world_send(&world, "m:2", ADD);
    assert_settled(&world, "m:1", 7);
    assert_settled(&world, "m:2", 1);
    alv_sim_world_done(&world);
}

static void lane__replays_an_aborted_transaction(void **state)
{
    (void)state;
    check_fault(ALV_SIM_COMMIT_ABORTED);
}

/* Two failures in a row let the lane wait; the rest of the batch is in a new transaction by then, which must not
 * be left open while the shard that was rewound still delivers. */
static void lane__commits_what_it_has_before_it_waits(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, (const char *const[]){"commit.commands.max=2", NULL});
    alv_sim_world_activate(&world);
    assert_int_equal(alv_sim_world_send(&world, "m:2", ADD), 0);
    send_adds(&world, "m:2", 1);
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
    alv_sim_world_run(&world, 1);
    assert_int_equal(alv_sim_world_send(&world, "m:1", ADD), 1);
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
    alv_sim_world_run(&world, 1);
    send_adds(&world, "m:2", 1);
    alv_sim_world_run(&world, 1);
    alv_sim_world_pass(&world, ALV_BACKOFF_MAX_MS);
    assert_settled(&world, "m:2", 3);
    assert_settled(&world, "m:1", 1);
    alv_sim_world_done(&world);
}

static void lane__replays_after_a_failed_produce(void **state)
{
    (void)state;
    check_fault(ALV_SIM_PRODUCE_ABORT);
}

static void lane__waits_when_no_transaction_can_begin(void **state)
{
    (void)state;
    check_fault(ALV_SIM_BEGIN_RETRY);
}

static void lane__finishes_a_commit_whose_answer_was_lost(void **state)
{
    (void)state;
    check_fault(ALV_SIM_COMMIT_LOST_ANSWER);
}

static void lane__replays_a_commit_whose_request_was_lost(void **state)
{
    (void)state;
    check_fault(ALV_SIM_COMMIT_LOST_REQUEST);
}

static void lane__renews_the_producer_before_reusing_a_doubtful_epoch(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 1);
    int epochs = alv_sim_log_epochs(world.log);
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 2);
    assert_int_equal(alv_sim_log_epochs(world.log), epochs);
    alv_sim_log_taint(world.log); /* the simulated producer asserts that nobody begins on it */
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 3);
    assert_int_equal(alv_sim_log_epochs(world.log), epochs + 1);
    alv_sim_world_done(&world);
}

static void lane__finishes_its_transaction_before_a_shard_is_revoked(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    int32_t shard = alv_sim_world_send(&world, "m:1", ADD);
    alv_sim_world_run(&world, 1);
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_world_run(&world, 1);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), 1);
    assert_int_equal(alv_sim_log_committed(world.log, shard), 1);
    assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_UNASSIGNED);
    alv_sim_log_assign(world.log, 0, shard);
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 2);
    alv_sim_world_done(&world);
}

static void lane__commits_nothing_for_a_lost_shard(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    int32_t shard = alv_sim_world_send(&world, "m:1", ADD);
    alv_sim_world_run(&world, 1);
    alv_sim_log_revoke(world.log, 0, shard, true);
    alv_sim_world_run(&world, 2);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), -1);
    assert_int_equal(alv_sim_log_committed(world.log, shard), ALV_OFFSET_NONE);
    alv_sim_log_assign(world.log, 0, shard);
    assert_settled(&world, "m:1", 1);
    alv_sim_world_done(&world);
}

/* A crash loses the last writes of the store: they come back from the changelog, and only they. */
static void lane__restores_the_tail_after_a_crash(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    for (int i = 1; i <= 20; i++) {
        send_adds(&world, "m:1", 1);
        assert_settled(&world, "m:1", i);
    }
    send_adds(&world, "m:1", 1);
    alv_sim_world_run(&world, 1); /* executed, not committed */
    alv_sim_world_crash(&world, 5);
    alv_sim_world_activate(&world);
    int64_t restored = 0;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        restored += alv_directory_view(world.directory, shard).restored_records;
    }
    assert_int_equal(restored, 10); /* five transactions: a state and a position record each */
    assert_settled(&world, "m:1", 21);
    alv_sim_world_done(&world);
}

/* I11: the ledger remembers what was consumed when the group has forgotten it. */
static void lane__starts_at_the_ledger_when_group_offsets_expired(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 5);
    assert_settled(&world, "m:1", 5);
    alv_sim_world_crash(&world, 1000);
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        alv_sim_log_set_committed(world.log, shard, ALV_OFFSET_NONE);
    }
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 6);
    alv_sim_world_done(&world);
}

static void lane__stops_a_shard_whose_command_topic_was_recreated(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_log_set_committed(world.log, 0, 1000);
    alv_sim_log_assign(world.log, 0, 0);
    alv_sim_log_assign(world.log, 0, 1);
    alv_sim_world_run(&world, 20);
    assert_int_equal(alv_directory_view(world.directory, 0).state, ALV_SHARD_STOPPED);
    assert_int_equal(alv_directory_view(world.directory, 1).state, ALV_SHARD_ACTIVE);
    alv_sim_world_done(&world);
}

/* The group gives a shard to this lane while another lane of the node still has it: nothing happens to
 * the shard, nor to its store, until that lane has let go. */
static void lane__waits_until_another_lane_has_let_go(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    assert_true(alv_directory_claim(world.directory, 0, 7));
    alv_directory_set_state(world.directory, 0, 7, ALV_SHARD_RESTORING);
    alv_directory_set_state(world.directory, 0, 7, ALV_SHARD_ACTIVE);
    alv_sim_log_assign(world.log, 0, 0);
    alv_sim_log_assign(world.log, 0, 1);
    alv_sim_world_run(&world, 20);
    assert_int_equal(alv_directory_view(world.directory, 0).lane, 7);
    assert_int_equal(alv_directory_view(world.directory, 1).state, ALV_SHARD_ACTIVE);
    alv_directory_set_state(world.directory, 0, 7, ALV_SHARD_UNASSIGNED);
    alv_sim_world_run(&world, 20);
    assert_int_equal(alv_directory_view(world.directory, 0).state, ALV_SHARD_ACTIVE);
    assert_int_equal(alv_directory_view(world.directory, 0).lane, 0);
    alv_sim_world_done(&world);
}

/* A shard that is revoked before it could be claimed leaves no trace. */
static void lane__gives_up_a_shard_it_never_got(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    assert_true(alv_directory_claim(world.directory, 0, 7));
    alv_directory_set_state(world.directory, 0, 7, ALV_SHARD_RESTORING);
    alv_sim_log_assign(world.log, 0, 0);
    alv_sim_world_run(&world, 3);
    alv_sim_log_revoke(world.log, 0, 0, false);
    alv_sim_world_run(&world, 3);
    assert_int_equal(alv_directory_view(world.directory, 0).lane, 7);
    assert_int_equal(alv_directory_view(world.directory, 0).state, ALV_SHARD_RESTORING);
    alv_sim_world_done(&world);
}

/* A lane that hangs does not hear that its shards are another's: what it has is an old truth (I4). */
static void lane__is_not_asked_while_it_hangs(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    const alv_clock *clock = &world.clock.clock;
    assert_true(alv_directory_is_current(world.directory, 0, alv_monotonic_us(clock)));
    alv_manual_clock_advance(&world.clock, ALV_LANE_SILENT_MS);
    assert_false(alv_directory_is_current(world.directory, 0, alv_monotonic_us(clock)));
    alv_sim_world_run(&world, 1);
    assert_true(alv_directory_is_current(world.directory, 0, alv_monotonic_us(clock)));
    alv_sim_world_done(&world);
}

/* A lane that was fenced, or whose session ended, joins again as if it had just started; one that is
 * fenced again and again gives up, since two processes fight for its seat. */
static void lane__joins_again_when_it_was_fenced(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 2);
    assert_settled(&world, "m:1", 2);
    send_adds(&world, "m:1", 1);
    alv_sim_world_run(&world, 1); /* executed, not committed */
    alv_sim_log_fail_next(world.log, ALV_SIM_CONSUMER_FENCED);
    alv_sim_world_run(&world, 3);
    assert_int_equal(alv_directory_count(world.directory, ALV_SHARD_ACTIVE), 0);
    alv_sim_world_activate(&world);
    assert_settled(&world, "m:1", 3);
    alv_status status = ALV_OK;
    alv_error err = ALV_ERROR_NONE;
    int fences = 0;
    for (; status == ALV_OK && fences < 100; fences++) {
        alv_sim_log_fail_next(world.log, ALV_SIM_CONSUMER_FENCED);
        status = alv_lane_turn(world.lane, 0, &err);
    }
    assert_int_equal(status, ALV_FATAL);
    assert_in_range(fences, 2, 20);
    assert_non_null(strstr(err.text, "node.id of its own"));
    alv_sim_log_fail_next(world.log, ALV_SIM_NONE);
    alv_sim_world_done(&world);
}

static void lane__buries_what_cannot_be_processed_and_goes_on(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    int32_t shard = alv_sim_world_send(&world, "m:1", "not json");
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 1);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, shard), 1);
    assert_string_equal(alv_sim_log_last(world.log, ALV_TOPIC_DEAD_LETTERS, shard, "m:1", NULL),
                        "not json");
    alv_sim_world_done(&world);
}

/* A state that would not fit is found when it is encoded: the transaction runs again in careful mode,
 * the one command becomes a dead letter, the commands around it take effect. */
static void lane__buries_a_command_that_makes_the_state_too_large(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    size_t size = ALV_COMMAND_BYTES_MAX - 100;
    char *filler = alv_alloc(size + 1);
    memset(filler, 'x', size);
    char *nickname = alv_format("{\"type\":\"update_profile\",\"nickname\":\"%s\"}", filler);
    filler[size / 2] = '\0';
    char *product = alv_format("{\"type\":\"view_product\",\"productId\":\"%s\"}", filler);
    send_adds(&world, "m:1", 1);
    int32_t shard = alv_sim_world_send(&world, "m:1", nickname);
    send_adds(&world, "m:1", 1);
    (void)alv_sim_world_send(&world, "m:1", product);
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 3);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, shard), 1);
    alv_free(filler);
    alv_free(nickname);
    alv_free(product);
    alv_sim_world_done(&world);
}

static void lane__replies_to_who_asked(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    const alv_header headers[] = {
        {.name = ALV_HEADER_CORRELATION_ID, .value = ALV_VIEW("c-1")},
        {.name = ALV_HEADER_REPLY_TO, .value = ALV_VIEW("me")},
    };
    int32_t shard = 0;
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, alv_sim_world_send(&world, "m:1", ADD),
                             "m:1", "{\"type\":\"deduct_balance\",\"amount\":5}", headers, 2);
    assert_settled(&world, "m:1", 1);
    const char *reply = NULL;
    for (shard = 0; shard < ALV_SIM_SHARDS && reply == NULL; shard++) {
        reply = alv_sim_log_last(world.log, ALV_TOPIC_REPLIES, shard, "c-1", NULL);
    }
    assert_string_equal(reply, "{\"error\":\"insufficient balance\"}");
    alv_sim_world_done(&world);
}

static void lane__deletes_with_a_tombstone(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 1);
    assert_settled(&world, "m:1", 1);
    (void)alv_sim_world_send(&world, "m:1", "{\"type\":\"delete_user\"}");
    alv_sim_world_run(&world, 10);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), -1);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), -1);
    send_adds(&world, "m:1", 2);
    assert_settled(&world, "m:1", 2);
    alv_sim_world_done(&world);
}

/* One transaction never holds more than commit.commands.max commands. */
static void lane__splits_a_large_batch(void **state)
{
    (void)state;
    const char *const assignments[] = {"commit.commands.max=10", NULL};
    alv_sim_world world;
    alv_sim_world_init(&world, assignments);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 35);
    assert_settled(&world, "m:1", 35);
    int32_t shard = alv_sim_world_send(&world, "m:1", "{\"type\":\"get_user_state\"}");
    size_t count = 0;
    (void)alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard, "m:1", &count);
    assert_int_equal(count, 4);
    alv_sim_world_done(&world);
}

/* The disk is full at the worst moment: Kafka has committed, the store has not. The shard is brought up
 * from the changelog as soon as there is room; nothing is lost and nothing is wiped. */
static void lane__restores_a_shard_whose_disk_was_full(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 2);
    assert_settled(&world, "m:1", 2);
    alv_faulty_store_fail(world.faults, ALV_STORE_APPLY, 4, ALV_RETRY);
    send_adds(&world, "m:1", 3);
    (void)alv_sim_world_send(&world, "m:2", ADD);
    alv_sim_world_run(&world, 5);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), 5);
    alv_manual_clock_advance(&world.clock, 60000);
    assert_settled(&world, "m:1", 5);
    assert_settled(&world, "m:2", 1);
    assert_int_equal(alv_directory_count(world.directory, ALV_SHARD_ACTIVE), ALV_SIM_SHARDS);
    assert_int_equal(world.faults->wipes, 0);
    alv_sim_world_done(&world);
}

/* A read that finds damage: the open transaction does not count, the shard is wiped and restored, the
 * other one goes on. */
static void lane__wipes_and_restores_a_corrupt_shard(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_adds(&world, "m:1", 2);
    send_adds(&world, "m:2", 4);
    assert_settled(&world, "m:1", 2);
    assert_settled(&world, "m:2", 4);
    alv_sim_world_crash(&world, 0); /* an empty cache, so that the next command must read */
    alv_sim_world_activate(&world);
    alv_faulty_store_fail(world.faults, ALV_STORE_GET, 1, ALV_REJECT);
    send_adds(&world, "m:1", 3);
    alv_sim_world_run(&world, 1);
    alv_faulty_store_fail(world.faults, ALV_STORE_OPEN_SHARD, 1, ALV_REJECT);
    alv_manual_clock_advance(&world.clock, 60000);
    assert_settled(&world, "m:1", 5);
    assert_settled(&world, "m:2", 4);
    assert_int_equal(world.faults->wipes, 1);
    alv_sim_world_done(&world);
}

static void lane__keeps_working_when_entities_are_passivated(void **state)
{
    (void)state;
    const char *const assignments[] = {"passivate.after.ms=10", "passivate.check.ms=10", NULL};
    alv_sim_world world;
    alv_sim_world_init(&world, assignments);
    alv_sim_world_activate(&world);
    for (int i = 1; i <= 5; i++) {
        send_adds(&world, "m:1", 1);
        assert_settled(&world, "m:1", i); /* runs long enough to passivate */
    }
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lane__executes_commands_once),
        cmocka_unit_test(lane__writes_a_changed_entity_once_per_transaction),
        cmocka_unit_test(lane__executes_commands_of_more_entities_than_fit),
        cmocka_unit_test(lane__keeps_effects_out_of_the_store_until_the_commit),
        cmocka_unit_test(lane__replays_an_aborted_transaction),
        cmocka_unit_test(lane__commits_what_it_has_before_it_waits),
        cmocka_unit_test(lane__replays_after_a_failed_produce),
        cmocka_unit_test(lane__waits_when_no_transaction_can_begin),
        cmocka_unit_test(lane__finishes_a_commit_whose_answer_was_lost),
        cmocka_unit_test(lane__replays_a_commit_whose_request_was_lost),
        cmocka_unit_test(lane__renews_the_producer_before_reusing_a_doubtful_epoch),
        cmocka_unit_test(lane__finishes_its_transaction_before_a_shard_is_revoked),
        cmocka_unit_test(lane__commits_nothing_for_a_lost_shard),
        cmocka_unit_test(lane__restores_the_tail_after_a_crash),
        cmocka_unit_test(lane__starts_at_the_ledger_when_group_offsets_expired),
        cmocka_unit_test(lane__stops_a_shard_whose_command_topic_was_recreated),
        cmocka_unit_test(lane__waits_until_another_lane_has_let_go),
        cmocka_unit_test(lane__gives_up_a_shard_it_never_got),
        cmocka_unit_test(lane__is_not_asked_while_it_hangs),
        cmocka_unit_test(lane__joins_again_when_it_was_fenced),
        cmocka_unit_test(lane__buries_what_cannot_be_processed_and_goes_on),
        cmocka_unit_test(lane__buries_a_command_that_makes_the_state_too_large),
        cmocka_unit_test(lane__replies_to_who_asked),
        cmocka_unit_test(lane__deletes_with_a_tombstone),
        cmocka_unit_test(lane__splits_a_large_batch),
        cmocka_unit_test(lane__restores_a_shard_whose_disk_was_full),
        cmocka_unit_test(lane__wipes_and_restores_a_corrupt_shard),
        cmocka_unit_test(lane__keeps_working_when_entities_are_passivated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
