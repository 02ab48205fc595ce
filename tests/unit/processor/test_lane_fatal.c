/* Goal:   what is broken for good ends the lane, which says why; what it had not committed has no effect, and
 *         another lane does it, once (I1). What is broken while a shard is handed over keeps no shard back.
 * Method: the real lane over the simulated log, in one thread; the log says that a consumer or a producer is of
 *         no use any more, at a moment that the test chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/logger.h"
#include "tests/support/log_capture.h"
#include "tests/support/sim_world.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"

static int32_t send_adds(alv_sim_world *world, int count)
{
    int32_t shard = 0;
    for (int i = 0; i < count; i++) {
        shard = alv_sim_world_send(world, "m:1", ADD);
    }
    return shard;
}

/* One turn, which ends the lane. */
static void assert_ends(alv_sim_world *world, const char *why)
{
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_sim_world_turn(world, &err), ALV_FATAL);
    if (strstr(err.text, why) == NULL) {
        fail_msg("expected \"%s\" in: %s", why, err.text);
    }
    assert_int_equal(err.status, ALV_FATAL);
}

/* All commands took effect once, in log and store. */
static void assert_balance(alv_sim_world *world, int64_t balance)
{
    alv_sim_world_run(world, 400);
    assert_int_equal(alv_sim_world_logged_balance(world, "m:1"), balance);
    assert_int_equal(alv_sim_world_stored_balance(world, "m:1"), balance);
}

/* Nothing of what the lane did counts; a new one does it. */
static void assert_done_by_the_next(alv_sim_world *world, int32_t shard, int64_t balance)
{
    assert_int_equal(alv_sim_world_logged_balance(world, "m:1"), -1);
    assert_int_equal(alv_sim_world_stored_balance(world, "m:1"), -1);
    assert_int_equal(alv_sim_log_committed(world->log, shard), ALV_OFFSET_NONE);
    alv_sim_world_restart(world);
    alv_sim_world_activate(world);
    assert_balance(world, balance);
}

static void open_world(alv_sim_world *world, const char *const *assignments)
{
    alv_sim_world_init(world, assignments);
    alv_sim_world_activate(world);
}

/* ---- the producer ---------------------------------------------------------------------------- */

static void lane__ends_when_a_commit_says_that_the_producer_is_broken(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, NULL);
    int32_t shard = send_adds(&world, 3);
    alv_sim_world_run(&world, 1); /* executed; the next, empty poll commits */
    alv_sim_log_fail_next(world.log, ALV_SIM_FLUSH_FATAL);
    assert_ends(&world, "the producer is broken for good");
    assert_done_by_the_next(&world, shard, 3);
    alv_sim_world_done(&world);
}

/* The batch is larger than a transaction: its first commit ends the lane, its rest is not executed. */
static void lane__ends_in_the_middle_of_a_batch(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, (const char *[]){"commit.commands.max=2", NULL});
    int32_t shard = send_adds(&world, 7);
    alv_sim_log_fail_next(world.log, ALV_SIM_FLUSH_FATAL);
    assert_ends(&world, "the producer is broken for good");
    assert_int_equal(alv_sim_log_end(world.log, ALV_TOPIC_CHANGELOG, shard), 2); /* and a marker */
    assert_done_by_the_next(&world, shard, 7);
    alv_sim_world_done(&world);
}

/* How the transaction ended is to be found out, and nobody may ask any more. */
static void lane__ends_when_it_may_not_find_out_how_a_commit_ended(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, NULL);
    send_adds(&world, 3);
    alv_sim_world_run(&world, 1);
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_ANSWER);
    alv_sim_world_run(&world, 1);
    alv_sim_log_fail_next(world.log, ALV_SIM_RENEW_FATAL);
    assert_ends(&world, "the transactional id is not allowed any more");
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), 3); /* it was carried out */
    alv_sim_world_restart(&world);
    alv_sim_world_activate(&world);
    assert_balance(&world, 3);
    alv_sim_world_done(&world);
}

/* The group does not wait for what is broken here: the shard goes, without what was not committed. */
static void lane__hands_a_shard_over_when_its_last_commit_is_refused_for_good(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_log_capture capture;
    open_world(&world, NULL);
    int32_t shard = send_adds(&world, 3);
    alv_sim_world_run(&world, 1);
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_log_fail_next(world.log, ALV_SIM_FLUSH_FATAL);
    alv_log_set_level(ALV_LOG_WARN);
    alv_log_capture_begin(&capture);
    alv_sim_world_run(&world, 1);
    const char *said = alv_log_capture_end(&capture);
    alv_log_set_level(ALV_LOG_ERROR);
    assert_non_null(strstr(said, "event=commit-before-revoke"));
    assert_non_null(strstr(said, "the producer is broken for good"));
    alv_log_capture_done(&capture);
    assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_UNASSIGNED);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), -1);
    alv_sim_log_assign(world.log, 0, shard);
    assert_balance(&world, 3);
    alv_sim_world_done(&world);
}

/* The same while it is not known how the last commit ended, and nobody may ask: the next owner finds out. */
static void lane__hands_a_shard_over_when_it_may_not_find_out(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, NULL);
    int32_t shard = send_adds(&world, 3);
    alv_sim_world_run(&world, 1);
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_ANSWER);
    alv_sim_world_run(&world, 1);
    alv_sim_log_fail_next(world.log, ALV_SIM_RENEW_RETRY);
    alv_sim_world_run(&world, 1); /* from now on it waits before it asks again */
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_log_fail_next(world.log, ALV_SIM_RENEW_FATAL);
    alv_sim_world_run(&world, 1);
    assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_UNASSIGNED);
    assert_int_equal(alv_sim_world_logged_balance(&world, "m:1"), 3); /* it was carried out */
    alv_sim_log_assign(world.log, 0, shard);
    assert_balance(&world, 3);
    alv_sim_world_done(&world);
}

/* ---- the consumer ---------------------------------------------------------------------------- */

/* As often as a person would call bad luck it gets a new one; then the reason is the consumer's own. */
static void lane__ends_when_its_consumer_is_broken_six_times_in_a_minute(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, NULL);
    for (int times = 1; times <= 5; times++) {
        alv_sim_log_fail_next(world.log, ALV_SIM_CONSUMER_BROKEN);
        alv_sim_world_run(&world, 1);
    }
    alv_sim_log_fail_next(world.log, ALV_SIM_CONSUMER_BROKEN);
    assert_ends(&world, "the consumer is broken for good");
    alv_sim_world_done(&world);
}

/* Once a minute is an everyday thing, however many minutes there are. */
static void lane__gets_a_new_consumer_as_often_as_a_minute_has_passed(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, NULL);
    for (int times = 1; times <= 20; times++) {
        alv_sim_log_fail_next(world.log, ALV_SIM_CONSUMER_BROKEN);
        alv_sim_world_run(&world, 1);
        alv_sim_world_pass(&world, 60001);
    }
    send_adds(&world, 3);
    alv_sim_world_activate(&world);
    assert_balance(&world, 3);
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lane__ends_when_a_commit_says_that_the_producer_is_broken),
        cmocka_unit_test(lane__ends_in_the_middle_of_a_batch),
        cmocka_unit_test(lane__ends_when_it_may_not_find_out_how_a_commit_ended),
        cmocka_unit_test(lane__hands_a_shard_over_when_its_last_commit_is_refused_for_good),
        cmocka_unit_test(lane__hands_a_shard_over_when_it_may_not_find_out),
        cmocka_unit_test(lane__ends_when_its_consumer_is_broken_six_times_in_a_minute),
        cmocka_unit_test(lane__gets_a_new_consumer_as_often_as_a_minute_has_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
