/* Goal:   all nodes of a cluster can be restarted one after the other under load, for a new version or a new
 *         setting, without a lost or doubled effect; with shutdown=stay without moving a shard either.
 * Method: three nodes, commands at a steady rate, readers all the time; each node gets SIGTERM, must end with
 *         0, is started again and ready before the next one's turn. Then all views of every user are
 *         compared with a model (tests/support/chaos.h). Sessions are long enough for a slow machine:
 *         shards that move do so because a node left, and not because it was away for too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/chaos.h"

#define NODES 3
#define LANES 4 /* two of the first node, one of each other */
#define SHARDS 12
#define ROLLS_MAX 3

static alv_chaos *chaos;

static int64_t count_active(void)
{
    return alv_chaos_count(chaos, "event=shard-state", "state=active");
}

static int64_t count_lost(void)
{
    return alv_chaos_count(chaos, "event=assignment-lost", "") +
           alv_chaos_count(chaos, "event=evicted", "");
}

/* Every shard is given up by its own node and taken again by it: nobody else is asked. The first roll may
 * still meet the group as it spreads the shards over members that have just come. */
static void restart__with_stay_moves_no_shard(void **state)
{
    (void)state;
    int64_t activated = 0;
    for (int roll = 0; roll < ROLLS_MAX && activated != SHARDS; roll++) {
        int64_t before = count_active();
        alv_chaos_roll(chaos, "stay");
        activated = count_active() - before;
    }
    assert_int_equal(activated, SHARDS);
    assert_int_equal(count_lost(), 0);
}

static void restart__with_leave_hands_every_shard_over(void **state)
{
    (void)state;
    alv_chaos_roll(chaos, "leave"); /* they stay, and leave the next time */
    int64_t before = count_active();
    alv_chaos_roll(chaos, "leave");
    assert_true(count_active() - before >= SHARDS); /* each moved at least once */
    assert_int_equal(count_lost(), 0);
}

static void nodes__stop_cleanly(void **state)
{
    (void)state;
    alv_chaos_finish(chaos);
}

static int start(void **state)
{
    (void)state;
    const alv_chaos_options options = {.seed = 1,
                                       .nodes = NODES,
                                       .lanes = LANES - NODES + 1,
                                       .brokers = 1,
                                       .users = 1500,
                                       .rate = 500,
                                       .session_ms = 45000,
                                       .shutdown = "stay"};
    chaos = alv_chaos_open(&options);
    return 0;
}

static int end(void **state)
{
    (void)state;
    alv_chaos_close(chaos);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restart__with_stay_moves_no_shard),
        cmocka_unit_test(restart__with_leave_hands_every_shard_over),
        cmocka_unit_test(nodes__stop_cleanly),
    };
    return cmocka_run_group_tests_name("rolling_restart", tests, start, end);
}
