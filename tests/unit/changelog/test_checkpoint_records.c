/* Goal:   records that nobody of ours wrote, and those that come too late to be sure of, are said and cost no other
 *         row; and a clean stop waits for a log that is away, instead of taking it for one that is caught up with.
 * Method: the checkpointer turn by turn over the simulated log and a durable store made of arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/logger.h"
#include "changelog/checkpointer_internal.h"
#include "tests/support/array_durable.h"
#include "tests/support/faulty_log.h"
#include "tests/support/log_capture.h"
#include "tests/support/sim_log.h"

#define NOW_MS INT64_C(1800000000000)
#define INTERVAL_MS 1000
#define RETENTION_MS INT64_C(86400000)

typedef struct record_stage {
    alv_manual_clock clock;
    alv_settings settings;
    alv_io_faults faults;
    alv_sim_log *log;
    alv_faulty_log *faulty;
    alv_array_durable durable;
    alv_checkpointer *checkpointer;
    alv_log_capture capture;
} record_stage;

static int set_up(void **state)
{
    static record_stage s;
    memset(&s, 0, sizeof s);
    alv_log_set_level(ALV_LOG_ERROR);
    alv_manual_clock_init(&s.clock, NOW_MS);
    s.settings.postgres_interval_ms = INTERVAL_MS;
    s.settings.tombstone_retention_ms = RETENTION_MS;
    s.settings.behavior_default = "user";
    alv_io_faults_disarm(&s.faults);
    s.log = alv_sim_log_new(ALV_ARRAY_SHARDS);
    alv_sim_log_set_time(s.log, NOW_MS);
    s.faulty = alv_faulty_log_new(alv_sim_log_port(s.log), &s.faults, ALV_ARRAY_SHARDS);
    alv_array_durable_init(&s.durable, &s.faults);
    const alv_checkpointer_options options = {.log = alv_faulty_log_port(s.faulty),
                                              .clock = &s.clock.clock,
                                              .settings = &s.settings,
                                              .durable = &s.durable.store,
                                              .shard_count = ALV_ARRAY_SHARDS};
    assert_int_equal(alv_checkpointer_new(&options, &s.checkpointer, NULL), ALV_OK);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    record_stage *s = *state;
    alv_checkpointer_stop(s->checkpointer);
    alv_faulty_log_free(s->faulty);
    alv_sim_log_free(s->log);
    alv_log_capture_done(&s->capture);
    return 0;
}

static void append(record_stage *s, const char *key, const char *state)
{
    (void)alv_sim_log_append(s->log, ALV_TOPIC_CHANGELOG, 0, key, state, NULL, 0);
}

/* Reads what there is and lets the interval pass. */
static void checkpoint(record_stage *s)
{
    (void)alv_checkpointer_turn(s->checkpointer, 0);
    alv_manual_clock_advance(&s->clock, INTERVAL_MS);
    (void)alv_checkpointer_turn(s->checkpointer, 0);
}

/* The same; what was said meanwhile, until the end of the test. */
static const char *checkpoint_said(record_stage *s)
{
    alv_log_set_level(ALV_LOG_WARN);
    alv_log_capture_begin(&s->capture);
    checkpoint(s);
    const char *said = alv_log_capture_end(&s->capture);
    alv_log_set_level(ALV_LOG_ERROR);
    return said;
}

static void assert_said(const char *said, const char *text)
{
    if (strstr(said, text) == NULL) {
        fail_msg("expected \"%s\" in:\n%s", text, said);
    }
}

static void checkpoint_records__one_without_a_key_is_passed_over(void **state)
{
    record_stage *s = *state;
    append(s, "k0", "{\"n\":1}");
    (void)alv_sim_log_append_bytes(s->log, ALV_TOPIC_CHANGELOG, 0, ALV_VIEW_NONE, ALV_VIEW("{}"),
                                   NULL, 0);
    append(s, "k1", "{\"n\":2}");
    alv_checkpointer_follow(s->checkpointer, 0);
    assert_said(checkpoint_said(s),
                "event=checkpoint-refused shard=0 offset=1 total=1 msg=\"record without a key, not "
                "written by us\"");
    assert_int_equal(s->durable.positions[0], 3);
    assert_string_equal(s->durable.rows[0].state, "{\"n\":1}");
    assert_string_equal(s->durable.rows[1].state, "{\"n\":2}");
    assert_int_equal(alv_checkpointer_status_get(s->checkpointer).rows_refused, 1);
}

/* PostgreSQL was away for longer than the changelog remembers deletions: rows of what was deleted may stay. It is
 * said once, of the first record, and only if there is something that may have been missed. */
static void checkpoint_records__one_older_than_tombstones_are_kept_is_a_warning(void **state)
{
    record_stage *s = *state;
    alv_sim_log_set_time(s->log, NOW_MS - RETENTION_MS - 1);
    append(s, "k0", "{\"n\":1}");
    append(s, "k1", "{\"n\":2}");
    append(s, "k2", "{\"n\":3}");
    s->durable.positions[0] = 1; /* k0 is written already */
    alv_checkpointer_follow(s->checkpointer, 0);
    const char *said = checkpoint_said(s);
    assert_said(said, "event=checkpoint-late shard=0 age_ms=86400001 "
                      "tombstone_retention_ms=86400000");
    assert_said(said, "run alluvium verify");
    assert_null(strstr(strstr(said, "checkpoint-late") + 1, "checkpoint-late"));
    assert_int_equal(s->durable.positions[0], 3);
    assert_string_equal(s->durable.rows[2].state, "{\"n\":3}");
}

static void checkpoint_records__old_ones_of_an_empty_table_are_none(void **state)
{
    record_stage *s = *state;
    alv_sim_log_set_time(s->log, NOW_MS - 2 * RETENTION_MS);
    append(s, "k0", "{\"n\":1}");
    alv_checkpointer_follow(s->checkpointer, 0);
    assert_string_equal(checkpoint_said(s), "");
    assert_string_equal(s->durable.rows[0].state, "{\"n\":1}");
}

/* Where the changelog ends cannot be asked for: whoever waits goes on waiting. */
static void checkpoint_records__a_stop_waits_for_a_log_that_is_away(void **state)
{
    record_stage *s = *state;
    append(s, "k0", "{\"n\":1}");
    alv_checkpointer_follow(s->checkpointer, 0);
    checkpoint(s);
    for (int times = 0; times < 3; times++) {
        alv_io_faults_arm(&s->faults, 0, 0);
        assert_int_equal(alv_checkpointer_look_behind(s->checkpointer), CHECKPOINTER_CATCHING_UP);
        assert_string_equal(s->faults.call, "reader.range");
    }
    assert_int_equal(alv_checkpointer_look_behind(s->checkpointer), CHECKPOINTER_CAUGHT_UP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(checkpoint_records__one_without_a_key_is_passed_over),
        TEST(checkpoint_records__one_older_than_tombstones_are_kept_is_a_warning),
        TEST(checkpoint_records__old_ones_of_an_empty_table_are_none),
        TEST(checkpoint_records__a_stop_waits_for_a_log_that_is_away),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
