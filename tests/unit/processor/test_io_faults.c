/* Goal:   whichever call to log or store fails, and however: the lane goes on, or ends with a reason; shards
 *         are in a state that directory.h knows; and when the fault has passed, everything is as if there had
 *         been none, each command executed once (I1, I2, I10, I11).
 * Method: a scenario is played again and again, and its n-th call through a port fails, n = 0, 1, 2, ..., until it
 *         is over before that; all of this for each way in which calls fail (faulty_log.h). A lane that ended is
 *         started anew over what its store had. In the end balances, sagas, dead letters and replies are compared
 *         with those of a play without faults, and once more after the store has lost all it had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "statestore/codec.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

/* Turns until everything must be done, and with nothing new until it is. Time flies in between, for backoffs. */
#define TURNS_MAX 2000
#define TURNS_QUIET 4
#define TURN_MS 2000

/* More calls than any scenario makes. */
#define CALLS_MAX 5000

typedef struct fault_stage {
    alv_sim_world world;
    alv_io_faults faults;
    int64_t fail_at; /* ALV_IO_FAULTS_OFF = a play without faults */
    int flavour;
    bool wanted[ALV_SIM_SHARDS]; /* by the group: the lane has it, or will */
    int given[ALV_SIM_SHARDS];   /* how often it was given to the lane, heard of or not */
    int restarts;
    int stops; /* shards that stopped, so that a person had to start the node anew */
} fault_stage;

/* What is compared. */
typedef struct fault_outcome {
    char text[1024];
    size_t size;
} fault_outcome;

typedef void (*fault_play)(fault_stage *stage);

/* ---- the stage ------------------------------------------------------------------------------- */

static void stage_init(fault_stage *stage, int64_t fail_at, int flavour)
{
    static const char *const settings[] = {"passivate.after.ms=1000", "passivate.check.ms=1000",
                                           NULL};
    memset(stage, 0, sizeof *stage);
    stage->faults.at = ALV_IO_FAULTS_OFF;
    stage->fail_at = fail_at;
    stage->flavour = flavour;
    alv_sim_world_init_faulty(&stage->world, settings, &stage->faults);
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        stage->wanted[shard] = true;
    }
}

/* From here on calls are counted, and one of them fails. */
static void stage_arm(fault_stage *stage)
{
    alv_io_faults_arm(&stage->faults, stage->fail_at, stage->flavour);
}

/* Whoever joins is given what the group wants it to have. */
static void stage_assign(fault_stage *stage)
{
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        const alv_faulty_log *log = stage->world.faulty_log;
        bool all_heard = alv_faulty_log_assignments(log, shard) == stage->given[shard];
        if (stage->wanted[shard] && all_heard && !alv_faulty_log_is_assigned(log, shard)) {
            alv_sim_log_assign(stage->world.log, 0, shard);
            stage->given[shard]++;
        }
    }
}

static bool stage_has_stopped_shard(const fault_stage *stage)
{
    return alv_directory_count(stage->world.directory, ALV_SHARD_STOPPED) > 0;
}

static void stage_start_anew(fault_stage *stage)
{
    alv_sim_world_crash(&stage->world, 0);
    stage->restarts++;
}

static void stage_turn(fault_stage *stage)
{
    alv_error err = ALV_ERROR_NONE;
    stage_assign(stage);
    alv_status status = alv_sim_world_turn(&stage->world, &err);
    if (status != ALV_OK) {
        assert_int_equal(status, ALV_FATAL);
        assert_true(strlen(err.text) > 0);
        assert_non_null(stage->faults.call);
    }
    bool stopped = stage_has_stopped_shard(stage);
    stage->stops += stopped;
    if (status != ALV_OK || stopped) {
        stage_start_anew(stage);
    }
}

static void stage_turns(fault_stage *stage, int count)
{
    for (int i = 0; i < count; i++) {
        stage_turn(stage);
    }
}

/* What changes as long as something happens. */
static int64_t stage_progress(const fault_stage *stage)
{
    int64_t sum = 0;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
            sum += alv_sim_log_end(stage->world.log, (alv_topic)topic, shard);
        }
        sum += alv_sim_log_committed(stage->world.log, shard);
    }
    return sum;
}

/* Until all shards are active and nothing happens any more. */
static void stage_settle(fault_stage *stage)
{
    int quiet = 0;
    int64_t before = 0;
    for (int turn = 0; turn < TURNS_MAX && quiet < TURNS_QUIET; turn++) {
        stage_turn(stage);
        alv_sim_world_pass(&stage->world, TURN_MS);
        int64_t now = stage_progress(stage);
        int32_t active = alv_directory_count(stage->world.directory, ALV_SHARD_ACTIVE);
        quiet = now == before && active == ALV_SIM_SHARDS ? quiet + 1 : 0;
        before = now;
    }
    if (quiet < TURNS_QUIET) {
        fail_msg("after %s failed (flavour %d) it comes to no end",
                 stage->faults.call != NULL ? stage->faults.call : "nothing", stage->flavour);
    }
}

static void stage_revoke(fault_stage *stage, int32_t shard, bool lost)
{
    stage->wanted[shard] = false;
    if (alv_faulty_log_is_assigned(stage->world.faulty_log, shard)) {
        alv_sim_log_revoke(stage->world.log, 0, shard, lost);
    }
}

/* ---- commands -------------------------------------------------------------------------------- */

static void send(fault_stage *stage, const char *key, const char *command)
{
    (void)alv_sim_world_send(&stage->world, key, command);
}

/* With an idempotency key and somebody who waits at the replies topic. */
static void send_with_headers(fault_stage *stage, const char *key, const char *command)
{
    const alv_header headers[] = {
        {ALV_HEADER_IDEMPOTENCY_KEY, ALV_VIEW("k1")},
        {ALV_HEADER_REPLY_TO, ALV_VIEW("a client")},
        {ALV_HEADER_CORRELATION_ID, ALV_VIEW("c1")},
    };
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    (void)alv_sim_log_append(stage->world.log, ALV_TOPIC_COMMANDS, shard, key, command, headers, 3);
}

/* Something of everything: changes, a repetition, a rejection, a dead letter, a deletion, a saga with a timer,
 * one that waits for its reply at a node. */
static void send_some(fault_stage *stage)
{
    send(stage, "m:1", "{\"type\":\"add_balance\",\"amount\":100}");
    send(stage, "m:2", "{\"type\":\"add_balance\",\"amount\":10}");
    send_with_headers(stage, "m:2", "{\"type\":\"add_balance\",\"amount\":7}");
    send_with_headers(stage, "m:2", "{\"type\":\"add_balance\",\"amount\":7}");
    send(stage, "m:2", "{\"type\":\"deduct_balance\",\"amount\":100000}");
    send(stage, "m:3", "{\"type\":\"fly\"}");
    send(stage, "m:4", "{\"type\":\"add_balance\",\"amount\":1}");
    send(stage, "m:4", "{\"type\":\"delete_user\"}");
    send(stage, "transfer/t1",
         "{\"type\":\"start\",\"from\":\"m:1\",\"to\":\"m:2\",\"amount\":30}");
    (void)alv_sim_world_send_waiting(&stage->world, "m:1",
                                     "{\"type\":\"add_balance\",\"amount\":1}", "w1");
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static void outcome_add(fault_outcome *outcome, const char *name, int64_t value)
{
    int size = snprintf(outcome->text + outcome->size, sizeof outcome->text - outcome->size,
                        "%s=%" PRId64 " ", name, value);
    assert_true(size > 0 && (size_t)size < sizeof outcome->text - outcome->size);
    outcome->size += (size_t)size;
}

/* Of a saga: its status by the store, as a number that is the same for the same text. */
static int64_t saga_status(alv_sim_world *world, const char *key)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    bool found = false;
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    assert_int_equal(world->memory->ops->get(world->memory, shard, ALV_STORE_STATE,
                                             alv_view_of(key), &found, &value, NULL),
                     ALV_OK);
    json_t *state = NULL;
    int64_t sum = found ? 0 : -1;
    if (found) {
        assert_int_equal(alv_codec_decode(alv_bytes_view(&value), &state, NULL), ALV_OK);
        const char *status = json_string_value(json_object_get(state, "status"));
        for (; status != NULL && *status != '\0'; status++) {
            sum = sum * 31 + *status;
        }
    }
    json_decref(state);
    alv_bytes_done(&value);
    return sum;
}

static void outcome_take(fault_stage *stage, fault_outcome *out)
{
    static const char *const users[] = {"m:1", "m:2", "m:3", "m:4"};
    alv_sim_world *world = &stage->world;
    *out = (fault_outcome){.size = 0};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        int64_t logged = alv_sim_world_logged_balance(world, users[i]);
        assert_int_equal(alv_sim_world_stored_balance(world, users[i]), logged);
        outcome_add(out, users[i], logged);
    }
    outcome_add(out, "transfer/t1", saga_status(world, "transfer/t1"));
    static const alv_topic topics[] = {ALV_TOPIC_COMMANDS, ALV_TOPIC_DEAD_LETTERS,
                                       ALV_TOPIC_REPLIES, ALV_TOPIC_EVENTS};
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        size_t count = 0;
        for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
            count += alv_sim_log_count(world->log, topics[i], shard);
        }
        outcome_add(out, alv_schema_suffix(topics[i]), (int64_t)count);
    }
}

/* Nobody is told too early (I4). When only the store failed, after the commit, replies do leave: what they tell
 * is certain, and whoever asks for the state after them waits until the shard is restored. */
static void check_replies(const fault_stage *stage)
{
    if (stage->faults.call == NULL || strcmp(stage->faults.call, "store.apply") != 0) {
        assert_int_equal(stage->world.replies_early, 0);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* One play; whether the fault was met. `expected` is filled by the first one. */
static bool loop_once(fault_play scenario, int64_t fail_at, int flavour, fault_outcome *expected)
{
    fault_stage stage;
    fault_outcome got;
    stage_init(&stage, fail_at, flavour);
    scenario(&stage);
    stage_settle(&stage);
    bool met = stage.faults.call != NULL;
    alv_io_faults_disarm(&stage.faults);
    outcome_take(&stage, &got);
    if (fail_at == ALV_IO_FAULTS_OFF) {
        *expected = got;
    }
    alv_sim_world_crash(&stage.world, SIZE_MAX);
    stage_settle(&stage);
    fault_outcome again;
    outcome_take(&stage, &again);
    if (strcmp(got.text, expected->text) != 0 || strcmp(again.text, expected->text) != 0) {
        fail_msg("call %" PRId64
                 ", %s, failed (flavour %d):\n got      %s\n restored %s\n expected %s",
                 fail_at, met ? stage.faults.call : "none", flavour, got.text, again.text,
                 expected->text);
    }
    check_replies(&stage);
    alv_sim_world_done(&stage.world);
    return met;
}

static void loop(fault_play scenario)
{
    fault_outcome expected;
    (void)loop_once(scenario, ALV_IO_FAULTS_OFF, 0, &expected);
    for (int flavour = 0; flavour < ALV_FAULTY_LOG_FLAVOURS; flavour++) {
        int64_t fail_at = 0;
        while (loop_once(scenario, fail_at, flavour, &expected)) {
            fail_at++;
            assert_true(fail_at < CALLS_MAX);
        }
        assert_true(fail_at > 5); /* it was worth it */
    }
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void play_start(fault_stage *stage)
{
    send_some(stage);
    stage_arm(stage);
}

static void io_faults__of_a_start_cost_nothing(void **state)
{
    (void)state;
    loop(play_start);
}

static void play_commands(fault_stage *stage)
{
    stage_settle(stage);
    stage_arm(stage);
    send_some(stage);
}

static void io_faults__of_commands_and_commits_cost_nothing(void **state)
{
    (void)state;
    loop(play_commands);
}

/* All that the store had is lost: the shards are restored, in bulk. */
static void play_restore(fault_stage *stage)
{
    stage_settle(stage);
    send_some(stage);
    stage_settle(stage);
    alv_sim_world_crash(&stage->world, SIZE_MAX);
    stage_arm(stage);
}

static void io_faults__of_a_restore_cost_nothing(void **state)
{
    (void)state;
    loop(play_restore);
}

/* The last transaction's writes are lost. */
static void play_crash(fault_stage *stage)
{
    stage_settle(stage);
    send_some(stage);
    stage_turns(stage, 3);
    alv_sim_world_crash(&stage->world, 1);
    stage_arm(stage);
}

static void io_faults__after_a_crash_cost_nothing(void **state)
{
    (void)state;
    loop(play_crash);
}

/* A shard is taken away while a transaction is open, and comes back. */
static void play_hand_over(fault_stage *stage)
{
    stage_settle(stage);
    stage_arm(stage);
    send_some(stage);
    stage_turn(stage);
    stage_revoke(stage, 0, false);
    stage_turns(stage, 2);
    stage->wanted[0] = true;
}

static void io_faults__of_a_hand_over_cost_nothing(void **state)
{
    (void)state;
    loop(play_hand_over);
}

static void play_loss(fault_stage *stage)
{
    stage_settle(stage);
    stage_arm(stage);
    send_some(stage);
    stage_turn(stage);
    stage_revoke(stage, 1, true);
    stage_turns(stage, 2);
    stage->wanted[1] = true;
}

static void io_faults__of_a_lost_assignment_cost_nothing(void **state)
{
    (void)state;
    loop(play_loss);
}

/* Entities leave the memory, and are read again. */
static void play_passivation(fault_stage *stage)
{
    stage_settle(stage);
    send_some(stage);
    stage_settle(stage); /* which takes so long that all are idle */
    stage_arm(stage);
    send_some(stage);
    stage_turns(stage, 3);
    alv_sim_world_pass(&stage->world, 5000);
    stage_turns(stage, 2);
    send(stage, "m:1", "{\"type\":\"add_balance\",\"amount\":5}");
}

static void io_faults__of_passivated_entities_cost_nothing(void **state)
{
    (void)state;
    loop(play_passivation);
}

/* The process is told to stop while a transaction is open. */
static void play_stop(fault_stage *stage)
{
    stage_settle(stage);
    stage_arm(stage);
    send_some(stage);
    stage_turn(stage);
    alv_sim_world_restart(&stage->world);
}

static void io_faults__of_a_stop_cost_nothing(void **state)
{
    (void)state;
    loop(play_stop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(io_faults__of_a_start_cost_nothing),
        cmocka_unit_test(io_faults__of_commands_and_commits_cost_nothing),
        cmocka_unit_test(io_faults__of_a_restore_cost_nothing),
        cmocka_unit_test(io_faults__after_a_crash_cost_nothing),
        cmocka_unit_test(io_faults__of_a_hand_over_cost_nothing),
        cmocka_unit_test(io_faults__of_a_lost_assignment_cost_nothing),
        cmocka_unit_test(io_faults__of_passivated_entities_cost_nothing),
        cmocka_unit_test(io_faults__of_a_stop_cost_nothing),
    };
    return cmocka_run_group_tests_name("io_faults", tests, NULL, NULL);
}
