/* Goal:   the lanes of a dead node are taken out of the group long before its session ends: its shards move in one
 *         rebalance, its open transactions are aborted.
 * Method: tests/support/evict_stage.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/evict_stage.h"

static const alv_seat both_lanes[] = {{"n2", 0, NULL}, {"n2", 1, NULL}};

static void evict__moves_shards_in_one_rebalance_and_ends_transactions(void **state)
{
    (void)state;
    char app[64];
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_member survivor;
    alv_evict_doomed doomed;
    alv_evict_watch watch;
    alv_evict_run eviction;
    alv_evict_member_join(&survivor, &node, 0);
    alv_evict_member_wait(&survivor, ALV_EVICT_SHARDS);
    alv_evict_doomed_start(&doomed, app, "n2", "2", "4");
    alv_evict_doomed_wait(&doomed, &survivor);
    alv_evict_member_wait(&survivor, 2);
    alv_evict_watch_open(&watch, &node, ALV_EVICT_SHARDS);
    assert_int_equal(alv_evict_watch_open_shards(&watch), 4);
    assert_false(alv_evict_watch_is_past(&watch));
    int arrivals = survivor.arrivals;

    alv_evict_doomed_kill(&doomed);
    alv_evict_run_start(&eviction, &node, both_lanes, 2);
    alv_evict_run_expect_takeover(&eviction, &survivor, ALV_EVICT_SHARDS, &watch);
    alv_evict_expect_quiet(&survivor, arrivals + 1);
    alv_evict_watch_close(&watch);
    alv_evict_member_close(&survivor, false);
    alv_evict_node_close(&node);
}

/* Whoever did not hear that it is done may do it again: the seats are new then, and leave at once. */
static void evict__may_be_done_again(void **state)
{
    (void)state;
    char app[64];
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_member survivor;
    alv_evict_run eviction;
    alv_evict_member_join(&survivor, &node, 0);
    alv_evict_member_wait(&survivor, ALV_EVICT_SHARDS);
    alv_evict_run_start(&eviction, &node, both_lanes, 2);
    while (!atomic_load(&eviction.is_over)) {
        alv_evict_member_poll(&survivor, 5);
    }
    alv_evict_run_join(&eviction, ALV_OK);
    alv_evict_member_wait(&survivor, ALV_EVICT_SHARDS);
    print_message("evicted nobody in %lld ms\n", (long long)eviction.took_ms);
    alv_evict_member_close(&survivor, false);
    alv_evict_node_close(&node);
}

/* The member that joined first leads the group, and computes the assignment for all. */
static void evict__works_for_the_leader_of_the_group(void **state)
{
    (void)state;
    char app[64];
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_member survivor;
    alv_evict_doomed doomed;
    alv_evict_watch watch;
    alv_evict_run eviction;
    alv_group_view *view = NULL;
    alv_members members = {0};
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    alv_evict_doomed_start(&doomed, app, "n2", "2", "4");
    assert_int_equal(alv_group_view_open(node.config, &view, NULL), ALV_OK);
    while (members.count < 2 && alv_evict_now_ms() < deadline) {
        alv_members_done(&members);
        (void)alv_group_view_members(view, 5000, &members, NULL);
    }
    assert_int_equal(members.count, 2);
    alv_members_done(&members);
    alv_group_view_close(view);

    alv_evict_member_join(&survivor, &node, 0);
    alv_evict_doomed_wait(&doomed, &survivor);
    alv_evict_member_wait(&survivor, 2);
    alv_evict_watch_open(&watch, &node, ALV_EVICT_SHARDS);
    int arrivals = survivor.arrivals;
    alv_evict_doomed_kill(&doomed);
    alv_evict_run_start(&eviction, &node, both_lanes, 2);
    alv_evict_run_expect_takeover(&eviction, &survivor, ALV_EVICT_SHARDS, &watch);
    alv_evict_expect_quiet(&survivor, arrivals + 1);
    alv_evict_watch_close(&watch);
    alv_evict_member_close(&survivor, false);
    alv_evict_node_close(&node);
}

static void evict__takes_two_nodes_that_died_together(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat seats[] = {{"n2", 0, NULL}, {"n3", 0, NULL}};
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_member survivor;
    alv_evict_doomed doomed[2];
    alv_evict_watch watch;
    alv_evict_run eviction;
    alv_evict_member_join(&survivor, &node, 0);
    alv_evict_doomed_start(&doomed[0], app, "n2", "1", "2");
    alv_evict_doomed_start(&doomed[1], app, "n3", "1", "2");
    alv_evict_doomed_wait(&doomed[0], &survivor);
    alv_evict_doomed_wait(&doomed[1], &survivor);
    alv_evict_member_wait(&survivor, 2);
    alv_evict_watch_open(&watch, &node, ALV_EVICT_SHARDS);
    assert_int_equal(alv_evict_watch_open_shards(&watch), 4);
    int arrivals = survivor.arrivals;

    alv_evict_doomed_kill(&doomed[0]);
    alv_evict_doomed_kill(&doomed[1]);
    alv_evict_run_start(&eviction, &node, seats, 2);
    alv_evict_run_expect_takeover(&eviction, &survivor, ALV_EVICT_SHARDS, &watch);
    alv_evict_expect_quiet(&survivor, arrivals + 1);
    alv_evict_watch_close(&watch);
    alv_evict_member_close(&survivor, false);
    alv_evict_node_close(&node);
}

static void evict__takes_lanes_without_shards(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat seats[] = {{"n2", 0, NULL}, {"n2", 1, NULL}, {"n2", 2, NULL}};
    alv_evict_node node = alv_evict_app_new(app, "2");
    alv_evict_member survivor;
    alv_evict_doomed doomed;
    alv_evict_watch watch;
    alv_evict_run eviction;
    alv_evict_member_join(&survivor, &node, 0);
    alv_evict_member_wait(&survivor, 2);
    alv_evict_doomed_start(&doomed, app, "n2", "3", "1");
    alv_evict_doomed_wait(&doomed, &survivor);
    alv_evict_watch_open(&watch, &node, 2);
    assert_int_equal(alv_evict_watch_open_shards(&watch), 1);

    alv_evict_doomed_kill(&doomed);
    alv_evict_run_start(&eviction, &node, seats, 3);
    alv_evict_run_expect_takeover(&eviction, &survivor, 2, &watch);
    alv_evict_watch_close(&watch);
    alv_evict_member_close(&survivor, false);
    alv_evict_node_close(&node);
}

int main(int argc, char **argv)
{
    if (!alv_evict_start(argc, argv)) {
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evict__moves_shards_in_one_rebalance_and_ends_transactions),
        cmocka_unit_test(evict__may_be_done_again),
        cmocka_unit_test(evict__works_for_the_leader_of_the_group),
        cmocka_unit_test(evict__takes_two_nodes_that_died_together),
        cmocka_unit_test(evict__takes_lanes_without_shards),
    };
    return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
