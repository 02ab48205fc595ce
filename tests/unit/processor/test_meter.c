/* Goal:   what a lane did is counted once, when it is certain: not when a transaction is rolled back, not
 *         twice when its commands run again, and still when the answer of a commit was lost.
 * Method: the real lane over the simulated log, one fault at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "processor/lane_meter.h"
#include "tests/support/sim_world.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"
#define TOO_MUCH "{\"type\":\"deduct_balance\",\"amount\":1000}"

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

static void send(const char *command, int count)
{
    for (int i = 0; i < count; i++)
        (void)alv_sim_world_send(&world, "m:1", command);
}

static void assert_commands(uint64_t count)
{
    assert_int_equal(alv_counter_get(&world.meter->commands), count);
    assert_int_equal(alv_histogram_count(&world.meter->latency), count);
}

static void meter__commands_rejections_and_dead_letters(void **state)
{
    (void)state;
    send(ADD, 10);
    send(TOO_MUCH, 3);
    send("{\"type\":\"fly\"}", 2);
    alv_sim_world_run(&world, 400);
    assert_int_equal(alv_counter_get(&world.meter->commands), 13);
    assert_int_equal(alv_counter_get(&world.meter->rejected), 3);
    assert_int_equal(alv_counter_get(&world.meter->dead_letters[ALV_REASON_UNKNOWN_TYPE]), 2);
    assert_int_equal(alv_counter_get(&world.meter->dead_letters[ALV_REASON_NOT_JSON]), 0);
    assert_int_equal(alv_histogram_count(&world.meter->latency), 15);
    assert_true(alv_counter_get(&world.meter->commits) > 0);
    assert_int_equal(alv_counter_get(&world.meter->aborts), 0);
    assert_int_equal(alv_histogram_count(&world.meter->prepare),
                     alv_counter_get(&world.meter->commits));
    assert_int_equal(alv_histogram_count(&world.meter->finish),
                     alv_counter_get(&world.meter->commits));
}

static void meter__what_runs_again_counts_once(void **state)
{
    (void)state;
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
    send(ADD, 20);
    alv_sim_world_run(&world, 400);
    assert_commands(20);
    assert_int_equal(alv_counter_get(&world.meter->aborts), 1);
}

static void meter__what_fails_half_way_counts_once(void **state)
{
    (void)state;
    alv_sim_log_fail_next(world.log, ALV_SIM_PRODUCE_ABORT);
    send(ADD, 20);
    alv_sim_world_run(&world, 400);
    assert_commands(20);
    assert_int_equal(alv_counter_get(&world.meter->aborts), 1);
}

static void meter__a_lost_answer_counts_when_it_is_resolved(void **state)
{
    (void)state;
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_ANSWER);
    send(ADD, 20);
    alv_sim_world_run(&world, 400);
    assert_commands(20);
    assert_int_equal(alv_counter_get(&world.meter->uncertain), 1);
    assert_int_equal(alv_counter_get(&world.meter->renewals), 1);
}

static void meter__a_lost_request_counts_when_it_runs_again(void **state)
{
    (void)state;
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_REQUEST);
    send(ADD, 20);
    alv_sim_world_run(&world, 400);
    assert_commands(20);
    assert_int_equal(alv_counter_get(&world.meter->uncertain), 1);
}

static void meter__latency_is_from_the_record_to_the_commit(void **state)
{
    (void)state;
    alv_lane_meter lane;
    alv_meter *meter = alv_meter_new();
    alv_executor_counters counters = {.commands = 3};
    alv_lane_meter_init(&lane, meter, 0);
    alv_lane_meter_note(&lane, 1000);
    alv_lane_meter_note(&lane, 1000);
    alv_lane_meter_note(&lane, 1040);
    alv_lane_meter_committed(&lane, &counters, 1060);
    assert_int_equal(alv_histogram_count(&meter->latency), 3);
    assert_int_equal(alv_counter_get(&meter->latency.sum_us), 2 * 60000 + 20000);
    assert_int_equal(alv_counter_get(&meter->commands), 3);
    alv_lane_meter_done(&lane);
    alv_meter_free(meter);
}

static void meter__the_cache_and_the_end_of_the_commands_are_shown(void **state)
{
    (void)state;
    send(ADD, 5);
    alv_sim_world_run(&world, 1200); /* a millisecond each: once around the publishing interval */
    const alv_meter_cache *cache = &world.meter->caches[0];
    assert_int_equal(alv_counter_get(&cache->entities), 1);
    assert_int_equal(alv_counter_get(&cache->misses), 1);
    assert_int_equal(alv_counter_get(&cache->hits), 4);
    int32_t shard = alv_sim_world_send(&world, "m:1", ADD);
    alv_sim_world_run(&world, 1200);
    alv_shard_view view = alv_directory_view(world.directory, shard);
    assert_int_equal(view.commands_end, alv_sim_log_end(world.log, ALV_TOPIC_COMMANDS, shard));
    assert_int_equal(view.commands_end, view.position.commands);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(meter__commands_rejections_and_dead_letters, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(meter__what_runs_again_counts_once, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(meter__what_fails_half_way_counts_once, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(meter__a_lost_answer_counts_when_it_is_resolved, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(meter__a_lost_request_counts_when_it_runs_again, open_world,
                                        close_world),
        cmocka_unit_test(meter__latency_is_from_the_record_to_the_commit),
        cmocka_unit_test_setup_teardown(meter__the_cache_and_the_end_of_the_commands_are_shown,
                                        open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
