/* Goal:   a lane commits when its input is drained, unless it is told to wait for more.
 * Method: the real lane over the simulated log, in one thread, by a clock that the test moves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/sim_world.h"

static void send_adds(alv_sim_world *world, int count)
{
    for (int i = 0; i < count; i++) {
        (void)alv_sim_world_send(world, "m:1", "{\"type\":\"add_balance\",\"amount\":1}");
    }
}

static uint64_t commits_of(const alv_sim_world *world)
{
    return alv_histogram_count(&world->meter->send);
}

/* Whoever wants fewer transactions waits for them; a full one is committed all the same. */
static void lane__waits_for_more_commands_if_told_to(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(
        &world, (const char *[]){"commit.interval.min.ms=20", "commit.commands.max=5", NULL});
    alv_sim_world_activate(&world);
    uint64_t before = commits_of(&world);
    for (int i = 0; i < 4; i++) {
        send_adds(&world, 1);
        alv_sim_world_run(&world, 4); /* 1 ms each */
        assert_int_equal(commits_of(&world), before);
    }
    alv_sim_world_run(&world, 10);
    assert_int_equal(commits_of(&world), before + 1);
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 4);
    send_adds(&world, 5);
    alv_sim_world_run(&world, 2);
    assert_int_equal(commits_of(&world), before + 2);
    alv_sim_world_done(&world);
}

static void lane__commits_at_once_when_the_input_is_drained(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    for (uint64_t i = 1; i <= 4; i++) {
        uint64_t before = commits_of(&world);
        send_adds(&world, 1);
        alv_sim_world_run(&world, 2); /* polled and executed, polled in vain */
        assert_int_equal(commits_of(&world), before + 1);
    }
    alv_sim_world_done(&world);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lane__commits_at_once_when_the_input_is_drained),
        cmocka_unit_test(lane__waits_for_more_commands_if_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
