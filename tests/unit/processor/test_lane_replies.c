/* Goal:   a node that waits for a command hears of it once, after the commit and never before (I1, I4, I7),
 *         whatever happens to the transaction; who waits on the replies topic still gets it there.
 * Method: as test_lane.c. The world keeps what the lane hands on and counts what comes before log and
 *         store have it.
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

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"

static alv_sim_world world;

static int open_world(void **state)
{
    (void)state;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

static void expect_reply(size_t index, alv_result_kind kind, const char *id, const char *text)
{
    assert_true(index < world.replies.count);
    alv_result reply = alv_reply_box_get(&world.replies, index);
    assert_int_equal(reply.kind, kind);
    assert_true(alv_view_equal(reply.id, alv_view_of(id)));
    assert_true(alv_view_equal(reply.node, ALV_VIEW("node-b")));
    if (!alv_view_equal(reply.text, alv_view_of(text)))
        fail_msg("%.*s instead of %s", (int)reply.text.size, reply.text.data, text);
}

static void replies__come_after_the_commit(void **state)
{
    (void)state;
    int32_t shard = alv_sim_world_send_waiting(&world, "m:1", ADD, "c-1");
    (void)alv_sim_world_send(&world, "m:1", ADD);
    (void)alv_sim_world_send_waiting(&world, "m:1", ADD, "c-2");
    alv_sim_world_run(&world, 1); /* executed, not committed */
    assert_int_equal(world.replies.count, 0);
    alv_sim_world_run(&world, 10);
    assert_int_equal(world.replies.count, 2);
    assert_int_equal(world.replies_early, 0);
    expect_reply(0, ALV_RESULT_DONE, "c-1", "{\"event\":\"balance_added\",\"balance\":1}");
    expect_reply(1, ALV_RESULT_DONE, "c-2", "{\"event\":\"balance_added\",\"balance\":3}");
    alv_result reply = alv_reply_box_get(&world.replies, 1);
    assert_int_equal(reply.shard, shard);
    assert_int_equal(reply.offset, 2);
    assert_int_equal(reply.position.commands, 3);
    assert_int_equal(reply.position.changelog, 1);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_REPLIES, shard), 0);
}

static void replies__tell_rejections_and_dead_letters(void **state)
{
    (void)state;
    (void)alv_sim_world_send_waiting(&world, "m:1", "{\"type\":\"deduct_balance\",\"amount\":1}",
                                     "c-1");
    (void)alv_sim_world_send_waiting(&world, "m:1", "{\"type\":\"fly\"}", "c-2");
    alv_sim_world_run(&world, 10);
    assert_int_equal(world.replies.count, 2);
    assert_int_equal(world.replies_early, 0);
    expect_reply(0, ALV_RESULT_REJECTED, "c-1", "insufficient balance");
    expect_reply(1, ALV_RESULT_DEAD, "c-2", "behavior \"user\" has no command \"fly\"");
    assert_int_equal(alv_reply_box_get(&world.replies, 1).reason, ALV_REASON_UNKNOWN_TYPE);
}

/* The command runs again after the fault; whoever waits hears once, of what counts. */
static void check_fault(alv_sim_fault fault)
{
    (void)alv_sim_world_send(&world, "m:1", ADD);
    alv_sim_world_run(&world, 10);
    alv_sim_log_fail_next(world.log, fault);
    (void)alv_sim_world_send_waiting(&world, "m:1", ADD, "c-1");
    alv_sim_world_run(&world, 400);
    assert_int_equal(world.replies.count, 1);
    assert_int_equal(world.replies_early, 0);
    expect_reply(0, ALV_RESULT_DONE, "c-1", "{\"event\":\"balance_added\",\"balance\":2}");
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 2);
}

static void replies__once_after_an_aborted_commit(void **state)
{
    (void)state;
    check_fault(ALV_SIM_COMMIT_ABORTED);
}

static void replies__once_after_a_failed_produce(void **state)
{
    (void)state;
    check_fault(ALV_SIM_PRODUCE_ABORT);
}

static void replies__once_after_a_lost_answer(void **state)
{
    (void)state;
    check_fault(ALV_SIM_COMMIT_LOST_ANSWER);
}

static void replies__once_after_a_lost_request(void **state)
{
    (void)state;
    check_fault(ALV_SIM_COMMIT_LOST_REQUEST);
}

static void replies__none_while_the_outcome_is_unknown(void **state)
{
    (void)state;
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_ANSWER);
    (void)alv_sim_world_send_waiting(&world, "m:1", ADD, "c-1");
    alv_sim_world_run(&world, 2);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), 1); /* and nobody here knows */
    assert_int_equal(world.replies.count, 0);
    alv_sim_log_fail_next(world.log, ALV_SIM_RENEW_RETRY);
    alv_sim_world_run(&world, 1);
    assert_int_equal(world.replies.count, 0);
    alv_sim_world_run(&world, 400);
    assert_int_equal(world.replies.count, 1);
    assert_int_equal(world.replies_early, 0);
}

/* A shard that is handed over takes its commands along finished; one that is lost takes them unanswered,
 * and the next owner answers when it runs them. */
static void replies__of_a_shard_that_leaves(void **state)
{
    (void)state;
    int32_t shard = alv_sim_world_send_waiting(&world, "m:1", ADD, "c-1");
    alv_sim_world_run(&world, 1);
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_world_run(&world, 1);
    assert_int_equal(world.replies.count, 1);
    alv_sim_log_assign(world.log, 0, shard);
    alv_sim_world_run(&world, 50);
    (void)alv_sim_world_send_waiting(&world, "m:1", ADD, "c-2");
    alv_sim_world_run(&world, 1);
    alv_sim_log_revoke(world.log, 0, shard, true);
    alv_sim_world_run(&world, 5);
    assert_int_equal(world.replies.count, 1);
    alv_sim_log_assign(world.log, 0, shard);
    alv_sim_world_run(&world, 50);
    assert_int_equal(world.replies.count, 2);
    assert_int_equal(world.replies_early, 0);
    expect_reply(1, ALV_RESULT_DONE, "c-2", "{\"event\":\"balance_added\",\"balance\":2}");
}

static void replies__of_a_failed_store_are_told_all_the_same(void **state)
{
    (void)state;
    alv_faulty_store_fail(world.faults, ALV_STORE_APPLY, 1, ALV_RETRY);
    (void)alv_sim_world_send_waiting(&world, "m:1", ADD, "c-1");
    alv_sim_world_run(&world, 3);
    assert_int_equal(world.replies.count, 1); /* it is committed: nothing can undo it (I7) */
    alv_result reply = alv_reply_box_get(&world.replies, 0);
    alv_sim_world_run(&world, 100);
    alv_position stored;
    assert_int_equal(world.store->ops->position(world.store, reply.shard, &stored, NULL), ALV_OK);
    assert_true(alv_position_covers(&stored, &reply.position));
    assert_int_equal(alv_sim_world_stored_balance(&world, "m:1"), 1);
}

/* A box is bounded: the lane commits when it has become large. */
static void replies__commit_a_transaction_that_holds_many(void **state)
{
    (void)state;
    static char text[400 * 1000];
    (void)memset(text, 'x', sizeof text - 1);
    char *command = alv_format("{\"type\":\"update_profile\",\"nickname\":\"%s\"}", text);
    (void)alv_sim_world_send(&world, "m:1", command);
    for (int i = 0; i < 100; i++)
        (void)alv_sim_world_send_waiting(&world, "m:1", "{\"type\":\"get_user_state\"}", "c");
    alv_sim_world_run(&world, 1);
    assert_in_range(world.replies.count, ALV_REPLY_BOX_BYTES_MAX / sizeof text, 99);
    alv_sim_world_run(&world, 10);
    assert_int_equal(world.replies.count, 100);
    assert_int_equal(world.replies_early, 0);
    alv_free(command);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(replies__come_after_the_commit),
        WORLD_TEST(replies__tell_rejections_and_dead_letters),
        WORLD_TEST(replies__once_after_an_aborted_commit),
        WORLD_TEST(replies__once_after_a_failed_produce),
        WORLD_TEST(replies__once_after_a_lost_answer),
        WORLD_TEST(replies__once_after_a_lost_request),
        WORLD_TEST(replies__none_while_the_outcome_is_unknown),
        WORLD_TEST(replies__of_a_shard_that_leaves),
        WORLD_TEST(replies__of_a_failed_store_are_told_all_the_same),
        WORLD_TEST(replies__commit_a_transaction_that_holds_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
