/* Goal:   a paused shard executes nothing and loses nothing; what was wished is still true after a crash, and
 *         holds for that shard alone (I1, I2).
 * Method: the real lane over the simulated log, one fault at a time; add_balance of 1 makes a lost or doubled
 *         command visible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/sim_world.h"
#include "topics/schema.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"
#define TURNS 600

static alv_sim_world world;
static int32_t shard;         /* of "m:1" */
static const char *other_key; /* of the other shard */

/* How wishes ended. */
static int done_count;
static int failed_count;

static void note_done(void *payload, alv_status status)
{
    (void)payload;
    done_count += status == ALV_OK;
    failed_count += status != ALV_OK;
}

static int open_world(void **state)
{
    (void)state;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    done_count = 0;
    failed_count = 0;
    shard = alv_sim_world_send(&world, "m:1", ADD);
    other_key = alv_sim_world_send(&world, "m:2", ADD) != shard ? "m:2" : "m:3";
    (void)alv_sim_world_send(&world, other_key, ADD);
    alv_sim_world_run(&world, TURNS);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

static void wish(bool paused)
{
    assert_true(alv_lane_set_paused(world.lane, shard, paused, note_done, NULL));
}

static void send(const char *key, int count)
{
    for (int i = 0; i < count; i++)
        (void)alv_sim_world_send(&world, key, ADD);
}

static bool is_shown_paused(int32_t number)
{
    return alv_directory_view(world.directory, number).is_paused;
}

static bool is_recorded(void)
{
    return alv_sim_log_last(world.log, ALV_TOPIC_LEDGER, shard, ALV_PAUSED_KEY, NULL) != NULL;
}

static void expect_balance(const char *key, int64_t balance)
{
    assert_int_equal(alv_sim_world_stored_balance(&world, key), balance);
    assert_int_equal(alv_sim_world_logged_balance(&world, key), balance);
}

static void pause__stops_one_shard_and_resume_loses_nothing(void **state)
{
    (void)state;
    int64_t before = alv_sim_world_stored_balance(&world, other_key);
    wish(true);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count, 1);
    assert_true(is_shown_paused(shard));
    assert_false(is_shown_paused(1 - shard));
    assert_true(is_recorded());
    send("m:1", 10);
    send(other_key, 10);
    alv_sim_world_run(&world, TURNS);
    expect_balance("m:1", 1);
    expect_balance(other_key, before + 10);
    wish(false);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count, 2);
    assert_false(is_shown_paused(shard));
    assert_false(is_recorded());
    expect_balance("m:1", 11);
}

/* Commands that were polled and not executed, and those in the open transaction. */
static void pause__in_the_middle_of_work_loses_nothing(void **state)
{
    (void)state;
    send("m:1", 200);
    for (int i = 0; i < 40; i++) {
        wish(i % 2 == 0);
        alv_sim_world_run(&world, 3);
        send("m:1", 5);
    }
    wish(false);
    alv_sim_world_run(&world, 2 * TURNS);
    expect_balance("m:1", 1 + 200 + 40 * 5);
    assert_int_equal(done_count + failed_count, 41);
}

static void pause__survives_a_crash(void **state)
{
    (void)state;
    wish(true);
    alv_sim_world_run(&world, TURNS);
    send("m:1", 5);
    for (size_t applies = 0; applies < 3; applies++) {
        alv_sim_world_crash(&world, applies);
        alv_sim_world_activate(&world);
        alv_sim_world_run(&world, TURNS);
        assert_true(is_shown_paused(shard));
        expect_balance("m:1", 1);
    }
    wish(false);
    alv_sim_world_run(&world, TURNS);
    expect_balance("m:1", 6);
    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, TURNS);
    assert_false(is_shown_paused(shard));
    expect_balance("m:1", 6);
}

static void pause__is_recorded_in_spite_of(alv_sim_fault fault)
{
    int64_t before = alv_sim_world_stored_balance(&world, other_key);
    alv_sim_log_fail_next(world.log, fault);
    wish(true);
    send(other_key, 2); /* the lane has work when it finds out */
    alv_sim_world_run(&world, 4 * TURNS);
    assert_int_equal(done_count, 1);
    assert_true(is_recorded());
    send("m:1", 3);
    alv_sim_world_run(&world, TURNS);
    expect_balance("m:1", 1);
    alv_sim_log_fail_next(world.log, fault);
    wish(false);
    send(other_key, 2);
    alv_sim_world_run(&world, 4 * TURNS);
    assert_int_equal(done_count, 2);
    assert_false(is_recorded());
    expect_balance("m:1", 4);
    expect_balance(other_key, before + 4);
}

static void pause__when_a_commit_is_refused(void **state)
{
    (void)state;
    pause__is_recorded_in_spite_of(ALV_SIM_COMMIT_ABORTED);
}

/* The offsets cannot tell whether it was carried out: it consumed nothing. */
static void pause__when_the_answer_is_lost(void **state)
{
    (void)state;
    pause__is_recorded_in_spite_of(ALV_SIM_COMMIT_LOST_ANSWER);
}

static void pause__when_the_request_is_lost(void **state)
{
    (void)state;
    pause__is_recorded_in_spite_of(ALV_SIM_COMMIT_LOST_REQUEST);
}

static void pause__when_brokers_are_away(void **state)
{
    (void)state;
    pause__is_recorded_in_spite_of(ALV_SIM_BEGIN_RETRY);
}

static void pause__of_a_shard_that_leaves_is_answered(void **state)
{
    (void)state;
    wish(true);
    alv_sim_log_revoke(world.log, 0, shard, true);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count + failed_count, 1);
    wish(true);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count + failed_count, 2); /* it is not here */
    assert_true(failed_count > 0);
}

/* The wish is recorded in the next turn of a lane that can; here no transaction can begin. */
static void pause__that_is_not_recorded_when_the_shard_leaves_is_answered(void **state)
{
    (void)state;
    alv_sim_log_fail_next(world.log, ALV_SIM_BEGIN_RETRY);
    wish(true);
    alv_sim_world_run(&world, 1);
    assert_int_equal(done_count + failed_count, 0);
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count, 0);
    assert_int_equal(failed_count, 1);
    assert_false(is_recorded());
}

/* Of wishes that come together the last one counts; who wished the others is told to ask again. */
static void pause__the_last_wish_counts(void **state)
{
    (void)state;
    wish(false);
    wish(true);
    wish(true);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count, 1);
    assert_int_equal(failed_count, 2);
    assert_true(is_shown_paused(shard));
    assert_true(is_recorded());
    wish(true);
    wish(false);
    send("m:1", 3);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count, 2);
    assert_int_equal(failed_count, 3);
    assert_false(is_shown_paused(shard));
    assert_false(is_recorded());
    expect_balance("m:1", 4);
}

static void pause__more_wishes_than_fit_are_refused(void **state)
{
    (void)state;
    int taken = 0;
    while (taken < 10000 && alv_lane_set_paused(world.lane, shard, true, note_done, NULL))
        taken++;
    assert_in_range(taken, 1, 9999);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(done_count, 1);
    assert_int_equal(failed_count, taken - 1); /* and nobody asks who was refused */
    wish(false);
    send("m:1", 1);
    alv_sim_world_run(&world, TURNS);
    expect_balance("m:1", 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(pause__stops_one_shard_and_resume_loses_nothing),
        TEST(pause__in_the_middle_of_work_loses_nothing),
        TEST(pause__survives_a_crash),
        TEST(pause__when_a_commit_is_refused),
        TEST(pause__when_the_answer_is_lost),
        TEST(pause__when_the_request_is_lost),
        TEST(pause__when_brokers_are_away),
        TEST(pause__of_a_shard_that_leaves_is_answered),
        TEST(pause__that_is_not_recorded_when_the_shard_leaves_is_answered),
        TEST(pause__the_last_wish_counts),
        TEST(pause__more_wishes_than_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
