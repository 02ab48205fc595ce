/* Goal:   a job of the cluster is sent once each time, whatever its record in the ledger holds and whichever read of
 *         it fails; one that no behavior has any more ends.
 * Method: the real lane over the simulated log and the memory store, with time in the test's hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/limits.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"

#define EVERY_MS 60000
#define JOB_KEY \
    "\xff"      \
    "singleton/alarm/report"
#define OLD_JOB_KEY \
    "\xff"          \
    "singleton/alarm/old"

static void alarm_note(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    int64_t count = json_integer_value(json_object_get(state, "count"));
    alv_set(effects, "count", json_integer(count + 1));
}

static const alv_command_row alarm_rows[] = {{.name = "note", .handler = alarm_note}};
static const alv_singleton jobs[] = {{"report", "note", EVERY_MS}};
static const alv_behavior alarm_behavior = {ALV_BEHAVIOR_HEAD,      .type = "alarm",
                                            .commands = alarm_rows, .command_count = 1,
                                            .singletons = jobs,     .singleton_count = 1};

static alv_sim_world world;

static int open_world(void **state)
{
    (void)state;
    alv_sim_world_init_with(&world, NULL, &alarm_behavior, NULL);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 100);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

/* How often the job was done. */
static int64_t count_reports(void)
{
    int64_t count = alv_sim_world_logged(&world, "alarm/report", "count");
    return count < 0 ? 0 : count;
}

static void move_to_another_node(void)
{
    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 100);
}

static void singleton__whose_record_is_unreadable_begins_anew(void **state)
{
    (void)state;
    static const char *const records[] = {"x",
                                          "{\"due\":5,\"timers\":7}"}; /* with an index entry */
    int64_t count = 1;
    assert_int_equal(count_reports(), count);
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        (void)alv_sim_log_append(world.log, ALV_TOPIC_LEDGER, 0, JOB_KEY, records[i], NULL, 0);
        move_to_another_node();
        assert_int_equal(count_reports(), ++count); /* at once, as the first time */
        alv_sim_world_pass(&world, EVERY_MS);
        alv_sim_world_run(&world, 100);
        assert_int_equal(count_reports(), ++count);
    }
}

static void singleton__that_no_behavior_has_any_more_ends(void **state)
{
    (void)state;
    (void)alv_sim_log_append(
        world.log, ALV_TOPIC_LEDGER, 0, OLD_JOB_KEY,
        "{\"due\":5,\"timers\":[{\"name\":\"next\",\"due\":5,\"command\":{}}]}", NULL, 0);
    move_to_another_node();
    assert_null(alv_sim_log_last(world.log, ALV_TOPIC_LEDGER, 0, OLD_JOB_KEY, NULL));
    int32_t shard = alv_partitioner_shard(ALV_VIEW("alarm/old"), ALV_SIM_SHARDS);
    assert_null(alv_sim_log_last(world.log, ALV_TOPIC_COMMANDS, shard, "alarm/old", NULL));
    alv_sim_world_pass(&world, EVERY_MS);
    alv_sim_world_run(&world, 100);
    assert_int_equal(count_reports(), 2); /* the other one goes on */
}

/* With a cache that is empty, so that the ledger must be read. */
static void singleton__is_sent_once_when_a_read_fails(void **state)
{
    (void)state;
    alv_io_faults io;
    alv_io_faults_arm(&io, ALV_IO_FAULTS_OFF, 0);
    world.faults->io = &io;
    for (int64_t at = 0; at < 30; at++) {
        alv_sim_world_crash(&world, 0);
        alv_sim_world_pass(&world, EVERY_MS);
        alv_io_faults_arm(&io, at, 0);
        for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++)
            alv_sim_log_assign(world.log, 0, shard);
        alv_sim_world_run(&world, 300);
        alv_io_faults_disarm(&io);
        for (int turn = 0; turn < 100 && count_reports() < at + 2; turn++) {
            alv_sim_world_pass(&world, 100); /* as long as whatever failed is tried again */
            alv_sim_world_run(&world, 10);
        }
        assert_int_equal(count_reports(), at + 2);
    }
    world.faults->io = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(singleton__whose_record_is_unreadable_begins_anew),
        TEST(singleton__that_no_behavior_has_any_more_ends),
        TEST(singleton__is_sent_once_when_a_read_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
