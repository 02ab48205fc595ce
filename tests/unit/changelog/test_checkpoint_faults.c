/* Goal:   whichever call to the log or to PostgreSQL fails, and however: in the end the rows are those of the
 *         changelog, positions have only moved forward, and no row was overwritten by an older one (I5).
 * Method: the checkpointer over the simulated log and a durable store made of arrays. A scenario is played again
 *         and again, and its n-th call fails, n = 0, 1, 2, ..., until it is over before that; for each way in
 *         which calls fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/logger.h"
#include "changelog/checkpointer.h"
#include "tests/support/array_durable.h"
#include "tests/support/faulty_log.h"
#include "tests/support/sim_log.h"

#define SHARDS ALV_ARRAY_SHARDS
#define KEYS ALV_ARRAY_KEYS
#define ROUNDS 6
#define TURNS_MAX 2000
#define TURN_MS 500
#define CALLS_MAX 1000

/* How calls fail: array_durable.h, faulty_log.h. */
#define FLAVOURS 4

/* ---- the stage ------------------------------------------------------------------------------- */

typedef struct fault_stage {
    alv_config *config;
    alv_manual_clock clock;
    alv_sim_log *log;
    alv_faulty_log *faulty;
    alv_io_faults faults;
    alv_array_durable durable;
    alv_checkpointer *checkpointer;
    alv_array_row model[KEYS];
    int states; /* made so far; each is another */
} fault_stage;

static void stage_start(fault_stage *stage)
{
    const alv_checkpointer_options options = {.log = alv_faulty_log_port(stage->faulty),
                                              .clock = &stage->clock.clock,
                                              .settings = alv_config_settings(stage->config),
                                              .durable = &stage->durable.store,
                                              .shard_count = SHARDS};
    alv_error err = ALV_ERROR_NONE;
    if (alv_checkpointer_new(&options, &stage->checkpointer, &err) != ALV_OK) {
        assert_true(strlen(err.text) > 0); /* the node does not start, and is started again */
        assert_int_equal(alv_checkpointer_new(&options, &stage->checkpointer, NULL), ALV_OK);
    }
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        alv_checkpointer_follow(stage->checkpointer, shard);
    }
}

static void stage_init(fault_stage *stage, int64_t fail_at, int flavour)
{
    memset(stage, 0, sizeof *stage);
    stage->config = alv_config_new();
    assert_int_equal(alv_config_set(stage->config, "node.id=node-a", NULL), ALV_OK);
    assert_int_equal(alv_config_finish(stage->config, NULL), ALV_OK);
    alv_manual_clock_init(&stage->clock, 1700000000000);
    stage->log = alv_sim_log_new(SHARDS);
    alv_sim_log_set_time(stage->log, alv_now_ms(&stage->clock.clock));
    alv_io_faults_arm(&stage->faults, fail_at, flavour);
    stage->faulty = alv_faulty_log_new(alv_sim_log_port(stage->log), &stage->faults, SHARDS);
    alv_array_durable_init(&stage->durable, &stage->faults);
    stage_start(stage);
}

static void stage_done(fault_stage *stage)
{
    alv_checkpointer_stop(stage->checkpointer);
    alv_faulty_log_free(stage->faulty);
    alv_sim_log_free(stage->log);
    alv_config_free(stage->config);
}

static void stage_turns(fault_stage *stage, int count)
{
    for (int i = 0; i < count; i++) {
        assert_true(alv_checkpointer_turn(stage->checkpointer, 0));
        alv_manual_clock_advance(&stage->clock, TURN_MS);
    }
}

/* A change of a key, or its deletion. Keys live in one shard each. */
static void stage_change(fault_stage *stage, int number, bool deletes)
{
    char key[8];
    alv_array_row *row = &stage->model[number];
    (void)snprintf(key, sizeof key, "k%d", number);
    (void)snprintf(row->state, sizeof row->state, "{\"n\":%d}", stage->states++);
    row->is_there = !deletes;
    row->offset = alv_sim_log_append(stage->log, ALV_TOPIC_CHANGELOG, number % SHARDS, key,
                                     deletes ? NULL : row->state, NULL, 0);
}

/* Whether rows and positions are those of the changelog. */
static bool stage_is_complete(const fault_stage *stage)
{
    for (int i = 0; i < KEYS; i++) {
        const alv_array_row *stored = &stage->durable.rows[i];
        const alv_array_row *wanted = &stage->model[i];
        if (stored->is_there != wanted->is_there ||
            (wanted->is_there &&
             (strcmp(stored->state, wanted->state) != 0 || stored->offset != wanted->offset))) {
            return false;
        }
    }
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        if (stage->durable.positions[shard] !=
            alv_sim_log_end(stage->log, ALV_TOPIC_CHANGELOG, shard)) {
            return false;
        }
    }
    return true;
}

/* Changes, a hand-over of a shard to nobody and back, changes, a stop and a start. */
static void stage_play(fault_stage *stage)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < KEYS; i++) {
            stage_change(stage, i, (round + i) % 4 == 3);
        }
        stage_turns(stage, 3);
        if (round == 2) {
            alv_checkpointer_unfollow(stage->checkpointer, 0);
            stage_turns(stage, 3);
            alv_checkpointer_follow(stage->checkpointer, 0);
        }
        if (round == 4) {
            alv_checkpointer_stop(stage->checkpointer);
            stage_start(stage);
        }
    }
}

/* One play; whether the fault was met. */
static bool play(int64_t fail_at, int flavour)
{
    fault_stage stage;
    stage_init(&stage, fail_at, flavour);
    stage_play(&stage);
    for (int turn = 0; turn < TURNS_MAX && !stage_is_complete(&stage); turn++) {
        stage_turns(&stage, 1);
    }
    bool met = stage.faults.call != NULL;
    if (!stage_is_complete(&stage)) {
        fail_msg("call %" PRId64 ", %s, failed (flavour %d): PostgreSQL never has all", fail_at,
                 met ? stage.faults.call : "none", flavour);
    }
    stage_done(&stage);
    return met;
}

static void checkpoint_faults__leave_all_rows_and_positions(void **state)
{
    (void)state;
    alv_log_set_level(ALV_LOG_ERROR);
    assert_false(play(ALV_IO_FAULTS_OFF, 0));
    for (int flavour = 0; flavour < FLAVOURS; flavour++) {
        int64_t fail_at = 0;
        while (play(fail_at, flavour)) {
            fail_at++;
            assert_true(fail_at < CALLS_MAX);
        }
        assert_true(fail_at > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_faults__leave_all_rows_and_positions),
    };
    return cmocka_run_group_tests_name("checkpoint_faults", tests, NULL, NULL);
}
