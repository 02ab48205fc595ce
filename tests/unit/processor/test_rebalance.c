/* Goal:   a shard goes on at the command that follows the last one it has executed, or it does not go on: what is
 *         missing in between is never passed over silently (I1), and costs the other shards nothing.
 * Method: the real lane over the simulated log; the test removes commands as retention does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/sim_world.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"
#define TURNS 400

static alv_sim_world world;
static int32_t shard; /* of "m:1" */

static void send(const char *key, int count)
{
    for (int i = 0; i < count; i++)
        shard = alv_sim_world_send(&world, key, ADD);
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

/* Three commands of "m:1" are executed; five come while nobody is there, and the first `gone` of these are
 * removed. "m:2", of the other shard, has one. Then somebody gets both shards. */
static void lose_commands(const char *const *settings, int gone)
{
    alv_sim_world_init(&world, settings);
    alv_sim_world_activate(&world);
    send("m:1", 3);
    alv_sim_world_run(&world, TURNS);
    alv_sim_world_crash(&world, 0);
    send("m:2", 1);
    send("m:1", 5);
    alv_sim_log_truncate(world.log, ALV_TOPIC_COMMANDS, shard, 3 + gone);
    for (int32_t i = 0; i < ALV_SIM_SHARDS; i++)
        alv_sim_log_assign(world.log, 0, i);
    alv_sim_world_run(&world, TURNS);
}

static alv_shard_state state_of(int32_t number)
{
    return alv_directory_view(world.directory, number).state;
}

static void rebalance__stops_a_shard_whose_commands_are_gone(void **state)
{
    (void)state;
    lose_commands(NULL, 2);
    assert_int_equal(state_of(shard), ALV_SHARD_STOPPED);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 3);
    assert_int_equal(alv_sim_log_committed(world.log, shard), 3);
    assert_int_equal(world.faults->wipes, 0);
    assert_int_equal(state_of(1 - shard), ALV_SHARD_ACTIVE);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:2"), 1);
}

static void rebalance__goes_on_without_what_is_gone_when_it_is_told_to(void **state)
{
    (void)state;
    lose_commands((const char *const[]){"on.command.gap=continue", NULL}, 2);
    assert_int_equal(state_of(shard), ALV_SHARD_ACTIVE);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 3 + 3);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), 3 + 3);
    assert_int_equal(alv_sim_log_committed(world.log, shard), 8);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:2"), 1);
}

/* Nothing was executed since the gap: it is there again, and is passed over again. */
static void rebalance__goes_on_behind_a_gap_with_nothing_after_it(void **state)
{
    (void)state;
    lose_commands((const char *const[]){"on.command.gap=continue", NULL}, 5);
    assert_int_equal(state_of(shard), ALV_SHARD_ACTIVE);
    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    send("m:1", 1);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 4);
    assert_int_equal(alv_sim_log_committed(world.log, shard), 9);
}

/* What was executed before is no gap. */
static void rebalance__does_not_miss_what_it_has_executed(void **state)
{
    (void)state;
    lose_commands(NULL, 0);
    assert_int_equal(state_of(shard), ALV_SHARD_ACTIVE);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 3 + 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, close_world)
    const struct CMUnitTest tests[] = {
        TEST(rebalance__stops_a_shard_whose_commands_are_gone),
        TEST(rebalance__goes_on_without_what_is_gone_when_it_is_told_to),
        TEST(rebalance__goes_on_behind_a_gap_with_nothing_after_it),
        TEST(rebalance__does_not_miss_what_it_has_executed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
