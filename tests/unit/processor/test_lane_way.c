/* Goal:   commands of a shard with little to do do not wait until those of a shard with a backlog are executed; no
 *         command is lost or executed twice because of it.
 * Method: the real lane over the simulated log, which delivers the first shard's records before those of the
 *         second; add_balance of 1 makes a lost or doubled command visible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/limits.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"
#define BACKLOG (8 * ALV_POLL_RECORDS_MAX)
#define TURNS 600

static alv_sim_world world;
static const char *hot;   /* of the shard that is delivered first */
static const char *other; /* of the other one */

static int open_world(void **state)
{
    (void)state;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    hot = alv_sim_world_user(0);
    other = alv_sim_world_user(1);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

static void send(const char *key, int count)
{
    for (int i = 0; i < count; i++)
        (void)alv_sim_world_send(&world, key, ADD);
}

static void expect_balance(const char *key, int64_t balance)
{
    assert_int_equal(alv_sim_world_stored_balance(&world, key), balance);
    assert_int_equal(alv_sim_world_logged_balance(&world, key), balance);
}

/* Runs until the user of the other shard has it, and at most as long as the backlog could take. */
static void run_until_other_has(int64_t balance)
{
    for (int turn = 0; turn < TURNS; turn++) {
        if (alv_sim_world_stored_balance(&world, other) >= balance)
            return;
        alv_sim_world_run(&world, 1);
    }
    fail_msg("it is not executed");
}

static void way__others_do_not_wait_for_a_backlog(void **state)
{
    (void)state;
    alv_sim_world_pass(&world, ALV_LANE_WAY_EVERY_MS); /* since it was looked last */
    send(hot, BACKLOG);
    send(other, 1);
    run_until_other_has(1);
    assert_true(alv_sim_world_stored_balance(&world, hot) < BACKLOG);
    alv_sim_world_run(&world, TURNS);
    expect_balance(hot, BACKLOG);
    expect_balance(other, 1);
}

/* It happens again and again, for as long as the backlog lasts. */
static void way__is_given_again(void **state)
{
    (void)state;
    for (int round = 1; round <= 3; round++) {
        int64_t sent = (int64_t)round * BACKLOG;
        send(hot, BACKLOG);
        send(other, 1);
        alv_sim_world_pass(&world, ALV_LANE_WAY_EVERY_MS);
        run_until_other_has(round);
        assert_true(alv_sim_world_stored_balance(&world, hot) < sent);
        alv_sim_world_run(&world, TURNS);
        expect_balance(hot, sent);
    }
}

/* Two shards that are both behind go on as ever. */
static void way__is_not_given_among_equals(void **state)
{
    (void)state;
    send(hot, BACKLOG);
    send(other, BACKLOG);
    alv_sim_world_run(&world,
                      BACKLOG / ALV_POLL_RECORDS_MAX); /* the hot one's records fill all polls */
    assert_true(alv_sim_world_stored_balance(&world, hot) > BACKLOG / 2);
    alv_sim_world_run(&world, TURNS);
    expect_balance(hot, BACKLOG);
    expect_balance(other, BACKLOG);
}

/* Transactions that fail before, while and after shards give way. */
static void way__failures_lose_nothing(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT,
                                           ALV_SIM_BEGIN_RETRY};
    int64_t sent = 0;
    for (int round = 0; round < 20; round++) {
        send(hot, 2 * ALV_POLL_RECORDS_MAX);
        send(other, 3);
        sent++;
        alv_sim_world_pass(&world, ALV_LANE_WAY_EVERY_MS);
        alv_sim_world_run(&world, round % 5);
        alv_sim_log_fail_next(world.log, faults[round % 5]);
        alv_sim_world_run(&world, 3 + round * 2);
    }
    alv_sim_world_run(&world, 10 * TURNS);
    expect_balance(hot, sent * 2 * ALV_POLL_RECORDS_MAX);
    expect_balance(other, sent * 3);
}

/* The shard goes while it gives way, and comes back. */
static void way__shard_that_moves_meanwhile(void **state)
{
    (void)state;
    for (int round = 1; round <= 6; round++) {
        send(hot, BACKLOG);
        send(other, 1);
        alv_sim_world_pass(&world, ALV_LANE_WAY_EVERY_MS);
        alv_sim_world_run(&world, round); /* it begins with the first or second turn */
        alv_sim_log_revoke(world.log, 0, 0, round % 2 == 0);
        alv_sim_world_run(&world, round);
        alv_sim_log_assign(world.log, 0, 0);
        alv_sim_world_run(&world, TURNS);
        expect_balance(hot, (int64_t)round * BACKLOG);
        expect_balance(other, round);
    }
}

/* ---- commands that take long ------------------------------------------------------------------ */

#define SLOW_MS 10
#define SLOW_BACKLOG 2000 /* fewer than a poll takes of commands that are quick */

static void slow_work(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_manual_clock_advance(&world.clock, SLOW_MS);
    alv_set(effects, "balance",
            json_integer(json_integer_value(json_object_get(state, "balance")) + 1));
}

static const alv_command_row slow_rows[] = {{.name = "work", .handler = slow_work}};
static const alv_behavior slow = {ALV_BEHAVIOR_HEAD, .type = "slow", .commands = slow_rows,
                                  .command_count = 1};

/* An entity of that type in the shard that is delivered first. */
static const char *slow_entity(void)
{
    static char key[32];
    for (int i = 0;; i++) {
        (void)snprintf(key, sizeof key, "slow/%d", i);
        if (alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS) == 0)
            return key;
    }
}

/* What counts is how long they take, not how many they are. */
static void way__others_do_not_wait_for_few_that_take_long(void **state)
{
    (void)state;
    alv_sim_world_init_with(&world, NULL, &slow, NULL);
    alv_sim_world_activate(&world);
    const char *entity = slow_entity();
    other = alv_sim_world_user(1);
    for (int i = 0; i < SLOW_BACKLOG; i++)
        (void)alv_sim_world_send(&world, entity, "{\"type\":\"work\"}");
    alv_sim_world_run(&world, 10); /* it takes fewer at a time now */
    send(other, 1);
    run_until_other_has(1);
    assert_true(alv_sim_world_stored_balance(&world, entity) < SLOW_BACKLOG / 2);
    alv_sim_world_run(&world, TURNS);
    expect_balance(entity, SLOW_BACKLOG);
    expect_balance(other, 1);
    alv_sim_world_done(&world);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(way__others_do_not_wait_for_a_backlog),
        WORLD_TEST(way__is_given_again),
        WORLD_TEST(way__is_not_given_among_equals),
        WORLD_TEST(way__failures_lose_nothing),
        WORLD_TEST(way__shard_that_moves_meanwhile),
        cmocka_unit_test(way__others_do_not_wait_for_few_that_take_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
