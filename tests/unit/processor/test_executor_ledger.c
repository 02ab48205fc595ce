/* Goal:   what an entity remembers fits into its ledger, and a ledger that cannot be read costs its entity only.
 * Method: a behavior that replies with as much as it is told to and sets timers, over the simulated log; ledgers
 *         are spoilt by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "statestore/ledger.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define BELL "bell/1"
#define OTHER "bell/2"

/* ---- a behavior ------------------------------------------------------------------------------ */

static void bell_strike(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    int64_t count = json_integer_value(json_object_get(state, "count"));
    alv_set(effects, "count", json_integer(count + 1));
}

/* {"letters":N}: replies with as many. */
static void bell_tell(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    size_t size = (size_t)json_integer_value(json_object_get(command->body, "letters"));
    char *text = alv_alloc(size + 1);
    memset(text, 'y', size);
    alv_set(effects, "told", json_true());
    alv_reply(effects, "{s:s}", "x", text);
    alv_free(text);
}

/* {"at":MS}: strikes then. */
static void bell_wait(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_timer_set(effects, "strike", json_integer_value(json_object_get(command->body, "at")),
                  json_pack("{s:s}", "type", "strike"));
}

static const alv_command_row bell_rows[] = {
    {.name = "strike", .handler = bell_strike},
    {.name = "tell", .handler = bell_tell},
    {.name = "wait", .handler = bell_wait},
};
static const alv_behavior bell_behavior = {ALV_BEHAVIOR_HEAD, .type = "bell", .commands = bell_rows,
                                           .command_count = 3};

/* ---- the world ------------------------------------------------------------------------------- */

static alv_sim_world world;
static int32_t shard; /* of BELL */

static int open_world(void **state)
{
    (void)state;
    alv_sim_world_init_with(&world, NULL, &bell_behavior, NULL);
    alv_sim_world_activate(&world);
    shard = alv_partitioner_shard(ALV_VIEW(BELL), ALV_SIM_SHARDS);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

static void send_keyed(const char *command)
{
    const alv_header headers[] = {{ALV_HEADER_IDEMPOTENCY_KEY, ALV_VIEW("once")},
                                  {ALV_HEADER_CORRELATION_ID, ALV_VIEW("caller")},
                                  {ALV_HEADER_REPLY_TO, ALV_VIEW("x")}};
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard, BELL, command, headers, 3);
    alv_sim_world_run(&world, 100);
}

/* The last reply to send_keyed; NULL when there is none. */
static const char *last_reply(size_t *out_count)
{
    int32_t partition = alv_partitioner_shard(ALV_VIEW("caller"), ALV_SIM_SHARDS);
    return alv_sim_log_last(world.log, ALV_TOPIC_REPLIES, partition, "caller", out_count);
}

static int64_t strikes(const char *key)
{
    int64_t count = alv_sim_world_logged(&world, key, "count");
    return count < 0 ? 0 : count;
}

static void set_timer(const char *key, int64_t in_ms)
{
    char command[80];
    (void)snprintf(command, sizeof command, "{\"type\":\"wait\",\"at\":%" PRId64 "}",
                   alv_now_ms(&world.clock.clock) + in_ms);
    (void)alv_sim_world_send(&world, key, command);
    alv_sim_world_run(&world, 100);
}

/* ---- replies --------------------------------------------------------------------------------- */

/* Who asks first gets all of it; who asks again is told that it was too large to be kept. */
static void ledger__keeps_a_note_of_a_reply_that_is_too_large(void **state)
{
    (void)state;
    char command[64];
    size_t count = 0;
    (void)snprintf(command, sizeof command, "{\"type\":\"tell\",\"letters\":%d}",
                   ALV_LEDGER_REPLY_BYTES_MAX);
    send_keyed(command);
    assert_true(strlen(last_reply(NULL)) > ALV_LEDGER_REPLY_BYTES_MAX);
    send_keyed(command);
    assert_string_equal(last_reply(&count), "{\"note\":\"the reply was too large to be kept\"}");
    assert_int_equal(count, 2);
}

/* The longest that is kept comes back whole, also to another owner. */
static void ledger__keeps_the_longest_reply_that_fits(void **state)
{
    (void)state;
    char command[64];
    size_t count = 0;
    (void)snprintf(command, sizeof command, "{\"type\":\"tell\",\"letters\":%d}",
                   ALV_LEDGER_REPLY_BYTES_MAX - (int)strlen("{\"x\":\"\"}"));
    for (size_t i = 1; i < 4; i++) {
        send_keyed(command);
        assert_int_equal(strlen(last_reply(&count)), ALV_LEDGER_REPLY_BYTES_MAX);
        assert_int_equal(count, i);
        alv_sim_world_crash(&world, 0);
        alv_sim_world_activate(&world);
    }
}

/* A node that waits is told so instead of getting a text that fits into no answer. */
static void replies__to_a_node_are_bounded(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof command, "{\"type\":\"tell\",\"letters\":%d}",
                   ALV_STATE_BYTES_MAX);
    (void)alv_sim_world_send_waiting(&world, BELL, command, "c1");
    alv_sim_world_run(&world, 100);
    assert_int_equal(world.replies.count, 1);
    alv_result reply = alv_reply_box_get(&world.replies, 0);
    assert_int_equal(reply.kind, ALV_RESULT_DONE);
    assert_true(alv_view_equal(reply.text, ALV_VIEW("{\"note\":\"the reply is too large\"}")));
}

static void replies__are_not_made_up(void **state)
{
    (void)state;
    send_keyed("{\"type\":\"strike\"}");
    send_keyed("{\"type\":\"strike\"}");
    assert_null(last_reply(NULL));
    assert_int_equal(strikes(BELL), 1);
}

/* ---- ledgers that cannot be read ------------------------------------------------------------- */

/* The index still has its timer. The entity is quarantined; timers of others fire. */
static void ledger__that_is_unreadable_sets_its_entity_aside(void **state)
{
    (void)state;
    set_timer(OTHER, 5000);
    (void)alv_sim_log_append(world.log, ALV_TOPIC_LEDGER, shard, BELL,
                             "{\"due\":1700000000001,\"timers\":7}", NULL, 0);
    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_directory_view(world.directory, shard).quarantined, 1);
    alv_sim_world_pass(&world, 5000);
    alv_sim_world_run(&world, 100);
    assert_int_equal(strikes(OTHER), 1);
    assert_int_equal(strikes(BELL), 0);
    send_keyed("{\"type\":\"strike\"}");
    assert_int_equal(strikes(BELL), 0);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 0) +
                         alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 1),
                     1);
}

/* With a cache that is empty, so that state and ledger must be read. */
static void timer__fires_once_when_a_read_fails(void **state)
{
    (void)state;
    alv_io_faults io;
    alv_io_faults_arm(&io, ALV_IO_FAULTS_OFF, 0);
    world.faults->io = &io;
    for (int64_t at = 0; at < 20; at++) {
        set_timer(BELL, 60000);
        alv_sim_world_crash(&world, 0);
        alv_sim_world_activate(&world);
        alv_sim_world_run(&world, 20);
        alv_sim_world_pass(&world, 60000);
        alv_io_faults_arm(&io, at, 0);
        alv_sim_world_run(&world, 100);
        alv_io_faults_disarm(&io);
        for (int turn = 0; turn < 100 && strikes(BELL) <= at; turn++) {
            alv_sim_world_pass(&world, 100); /* as long as whatever failed is tried again */
            alv_sim_world_run(&world, 10);
        }
        assert_int_equal(strikes(BELL), at + 1);
    }
    world.faults->io = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(ledger__keeps_a_note_of_a_reply_that_is_too_large),
        TEST(ledger__keeps_the_longest_reply_that_fits),
        TEST(replies__to_a_node_are_bounded),
        TEST(replies__are_not_made_up),
        TEST(ledger__that_is_unreadable_sets_its_entity_aside),
        TEST(timer__fires_once_when_a_read_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
