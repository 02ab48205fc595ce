/* Goal:   an eviction of somebody who lives does no harm: he is fenced and notices, and ends it when he takes his
 *         seat back; without brokers it gives up; fencing alone leaves the seat.
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

/* The eviction was a mistake: the member must find out, commit nothing, and be able to come back. */
static void evict__is_noticed_by_a_member_that_lives(void **state)
{
    (void)state;
    char app[64];
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_node other = alv_evict_node_open(app, "n2");
    alv_evict_member survivor;
    alv_evict_member living;
    alv_evict_watch watch;
    alv_evict_run eviction;
    alv_evict_member_join(&survivor, &node, 0);
    alv_evict_member_join(&living, &other, 0);
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while ((survivor.owned != 3 || living.owned != 3) && alv_evict_now_ms() < deadline) {
        alv_evict_member_poll(&survivor, 10);
        alv_evict_member_poll(&living, 10);
    }
    int32_t shard = 0;
    while (!living.owns[shard]) {
        shard++;
    }
    alv_evict_member_begin(&living, &other, 0);
    alv_evict_watch_open(&watch, &node, ALV_EVICT_SHARDS);

    alv_evict_run_start(&eviction, &node, both_lanes, 1);
    deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while (!living.was_fenced && !living.was_lost && alv_evict_now_ms() < deadline) {
        alv_evict_member_poll(&living, 5);
        alv_evict_member_poll(&survivor, 5);
    }
    print_message("noticed after %lld ms: %s\n",
                  (long long)(alv_evict_now_ms() - eviction.begun_at_ms),
                  living.was_fenced ? "fenced" : "lost");
    assert_true(living.was_lost);
    /* Not a member any more: refused before anything is sent, or by the coordinator. */
    alv_status refused = alv_evict_member_commit(&living, shard);
    assert_true(refused == ALV_ABORT || refused == ALV_FENCED);
    if (living.was_fenced) {
        alv_evict_member_close(&living, true);
        alv_evict_run_expect_takeover(&eviction, &survivor, ALV_EVICT_SHARDS, &watch);
        alv_evict_member_join(&living, &other, 0);
    } else {
        alv_evict_run_join(&eviction, ALV_OK);
    }
    deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while ((survivor.owned != 3 || living.owned != 3) && alv_evict_now_ms() < deadline) {
        alv_evict_member_poll(&survivor, 10);
        alv_evict_member_poll(&living, 10);
    }
    assert_int_equal(survivor.owned, 3);
    assert_int_equal(living.owned, 3);
    alv_evict_watch_close(&watch);
    alv_evict_member_close(&living, false);
    alv_evict_member_close(&survivor, false);
    alv_evict_node_close(&other);
    alv_evict_node_close(&node);
}

/* A seat can be held for long when the group is kept in a rebalance by a dead member that nobody has
 * evicted (n2). Meanwhile the owner of the seat (n3) comes back. */
static void evict__ends_when_a_seat_is_taken_back(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat alive = {"n3", 0, NULL};
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_node others[2] = {alv_evict_node_open(app, "n3"), alv_evict_node_open(app, "n4")};
    alv_evict_member members[3]; /* n1, n3, n4 */
    alv_evict_doomed doomed;
    alv_evict_run eviction;
    alv_group_view *view = NULL;
    alv_evict_member_join(&members[0], &node, 0);
    alv_evict_doomed_start(&doomed, app, "n2", "1", "3");
    alv_evict_doomed_wait(&doomed, &members[0]);
    alv_evict_member_wait(&members[0], 3);
    alv_evict_doomed_kill(&doomed);

    /* The rebalance that does not end. */
    alv_evict_member_join(&members[1], &others[0], 0);
    assert_int_equal(alv_group_view_open(node.config, &view, NULL), ALV_OK);
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    size_t count = 0;
    while (count < 3 && alv_evict_now_ms() < deadline) {
        alv_members found = {0};
        alv_evict_member_poll(&members[0], 5);
        alv_evict_member_poll(&members[1], 5);
        if (alv_group_view_members(view, 5000, &found, NULL) == ALV_OK) {
            count = found.count;
        }
        alv_members_done(&found);
    }
    assert_int_equal(count, 3);

    alv_evict_run_start(&eviction, &node, &alive, 1);
    deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while (!members[1].was_fenced && alv_evict_now_ms() < deadline) {
        alv_evict_member_poll(&members[0], 5);
        alv_evict_member_poll(&members[1], 5);
    }
    assert_true(members[1].was_fenced);
    alv_evict_member_close(&members[1], true);
    alv_evict_member_join(&members[1], &others[0], 0);
    while (!atomic_load(&eviction.is_over)) {
        alv_evict_member_poll(&members[0], 5);
        alv_evict_member_poll(&members[1], 5);
    }
    alv_evict_run_join(&eviction, ALV_FENCED);
    print_message("%s (%lld ms)\n", eviction.err.text, (long long)eviction.took_ms);
    assert_int_equal(eviction.times[0].left_ms, -1);
    assert_true(eviction.took_ms < ALV_EVICT_MS);

    /* Evicting the dead one ends the rebalance. */
    alv_evict_run_start(&eviction, &node, both_lanes, 1);
    alv_evict_member_join(&members[2], &others[1], 0);
    deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    bool is_settled = false;
    while (!is_settled && alv_evict_now_ms() < deadline) {
        is_settled = true;
        for (int i = 0; i < 3; i++) {
            alv_evict_member_poll(&members[i], 5);
            is_settled = is_settled && members[i].owned == 2;
        }
    }
    assert_true(is_settled);
    alv_evict_run_join(&eviction, ALV_OK);
    print_message("settled after %lld ms\n",
                  (long long)(alv_evict_now_ms() - eviction.begun_at_ms));
    for (int i = 0; i < 3; i++) {
        alv_evict_member_close(&members[i], false);
    }
    alv_group_view_close(view);
    alv_evict_node_close(&others[1]);
    alv_evict_node_close(&others[0]);
    alv_evict_node_close(&node);
}

/* Waits until the group has so many lanes, while it waits for one that is dead. */
static void wait_for_lanes(alv_group_view *view, size_t count, alv_evict_member *member)
{
    size_t seen = 0;
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while (seen != count && alv_evict_now_ms() < deadline) {
        alv_members found = {0};
        alv_evict_member_poll(member, 5);
        if (alv_group_view_members(view, 5000, &found, NULL) == ALV_OK) {
            seen = found.count;
        }
        alv_members_done(&found);
    }
    assert_int_equal(seen, count);
}

/* The seat (n3) was free when it was taken, because somebody else had evicted it already, say. Its owner comes
 * and replaces whoever holds it. Others must see the owner and what it has. */
static void evict__of_a_free_seat_does_not_hide_its_owner(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat nobody = {"n3", 0, NULL};
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_node other = alv_evict_node_open(app, "n3");
    alv_evict_member members[2]; /* n1, n3 */
    alv_evict_doomed doomed;
    alv_evict_run eviction;
    alv_group_view *view = NULL;
    alv_evict_member_join(&members[0], &node, 0);
    alv_evict_doomed_start(&doomed, app, "n2", "1", "3");
    alv_evict_doomed_wait(&doomed, &members[0]);
    alv_evict_member_wait(&members[0], 3);
    alv_evict_doomed_kill(&doomed); /* the next rebalance waits for it */
    assert_int_equal(alv_group_view_open(node.config, &view, NULL), ALV_OK);

    alv_evict_run_start(&eviction, &node, &nobody, 1);
    wait_for_lanes(view, 3, &members[0]); /* the one in the seat is known as its owner would be */
    alv_evict_member_join(&members[1], &other, 0);
    while (!atomic_load(&eviction.is_over)) {
        alv_evict_member_poll(&members[0], 5);
        alv_evict_member_poll(&members[1], 5);
    }
    alv_evict_run_join(&eviction, ALV_FENCED);

    alv_evict_run_start(&eviction, &node, both_lanes, 1);
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while ((members[0].owned != 3 || members[1].owned != 3) && alv_evict_now_ms() < deadline) {
        alv_evict_member_poll(&members[0], 5);
        alv_evict_member_poll(&members[1], 5);
    }
    alv_evict_run_join(&eviction, ALV_OK);
    alv_members found = {0};
    assert_int_equal(alv_group_view_members(view, 5000, &found, NULL), ALV_OK);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.items[0].shard_count, 3);
    assert_int_equal(found.items[1].shard_count, 3);
    alv_members_done(&found);
    alv_group_view_close(view);
    alv_evict_member_close(&members[1], false);
    alv_evict_member_close(&members[0], false);
    alv_evict_node_close(&other);
    alv_evict_node_close(&node);
}

static void evict__gives_up_when_brokers_are_away(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    alv_evicted times[2];
    alv_config *config = alv_evict_config("127.0.0.1:1", "evict-nobody", "n1", "6");
    int64_t begun_at_ms = alv_evict_now_ms();
    assert_int_equal(alv_kafka_evict(config, both_lanes, 2, times, &err), ALV_RETRY);
    int64_t took_ms = alv_evict_now_ms() - begun_at_ms;
    print_message("%s (%lld ms)\n", err.text, (long long)took_ms);
    assert_true(took_ms >= ALV_EVICT_MS && took_ms < ALV_EVICT_MS + 1500);
    assert_int_equal(times[1].seated_ms, -1);
    assert_int_equal(times[1].left_ms, -1);
    assert_int_equal(times[1].fenced_ms, -1);
    alv_config_free(config);
}

static void fence__ends_a_transaction_and_leaves_the_seat(void **state)
{
    (void)state;
    char app[64];
    alv_error err = ALV_ERROR_NONE;
    alv_evict_node node = alv_evict_app_new(app, "6");
    alv_evict_node other = alv_evict_node_open(app, "n2");
    alv_evict_member living;
    alv_evict_watch watch;
    alv_evict_member_join(&living, &other, 0);
    alv_evict_member_wait(&living, ALV_EVICT_SHARDS);
    alv_evict_member_begin(&living, &other, 0);
    alv_evict_watch_open(&watch, &node, ALV_EVICT_SHARDS);
    assert_int_equal(alv_evict_watch_open_shards(&watch), ALV_EVICT_SHARDS);
    int64_t begun_at_ms = alv_evict_now_ms();
    if (alv_kafka_fence(node.config, &both_lanes[0], &err) != ALV_OK) {
        fail_msg("fence: %s", err.text);
    }
    int64_t took_ms = alv_evict_now_ms() - begun_at_ms;
    while (!alv_evict_watch_is_past(&watch) &&
           alv_evict_now_ms() < begun_at_ms + ALV_EVICT_WAIT_MS) {
        alv_evict_member_poll(&living, 5);
    }
    print_message("fenced after %lld ms, transaction gone %lld ms\n", (long long)took_ms,
                  (long long)(alv_evict_now_ms() - begun_at_ms));
    assert_true(alv_evict_now_ms() < begun_at_ms + ALV_EVICT_FAILOVER_MS);
    assert_int_equal(watch.records, 0);

    assert_int_equal(alv_evict_member_commit(&living, 0), ALV_FENCED);
    alv_evict_expect_quiet(&living, living.arrivals);
    assert_int_equal(living.owned, ALV_EVICT_SHARDS);
    alv_evict_watch_close(&watch);
    alv_evict_member_close(&living, false);
    alv_evict_node_close(&other);
    alv_evict_node_close(&node);
}

int main(int argc, char **argv)
{
    if (!alv_evict_start(argc, argv)) {
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evict__is_noticed_by_a_member_that_lives),
        cmocka_unit_test(evict__ends_when_a_seat_is_taken_back),
        cmocka_unit_test(evict__of_a_free_seat_does_not_hide_its_owner),
        cmocka_unit_test(evict__gives_up_when_brokers_are_away),
        cmocka_unit_test(fence__ends_a_transaction_and_leaves_the_seat),
    };
    return cmocka_run_group_tests_name("evict_alive", tests, NULL, NULL);
}
