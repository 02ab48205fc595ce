/* Goal:   a timer fires once: not before it is due, in its entity's order, whatever dies in between; what is
 *         replaced, cancelled or deleted does not fire.
 * Method: a behavior that sets timers as it is told and writes down what rings, over the simulated log and
 *         the memory store, with time in the test's hand; faults, crashes and lost stores; at last a model
 *         and random commands.
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
#include "processor/timers.h"
#include "tests/support/sim_world.h"
#include "tests/support/user_model.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define START_MS INT64_C(1700000000000)
#define ALARM "alarm/1"

/* ---- a behavior with timers ------------------------------------------------------------------- */

static json_t *member(const alv_command *command, const char *field)
{
    return json_object_get(command->body, field);
}

static void alarm_set(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)now_ms;
    alv_set(effects, "sets", json_integer(json_integer_value(json_object_get(state, "sets")) + 1));
    alv_timer_set(effects, json_string_value(member(command, "name")),
                  json_integer_value(member(command, "at")),
                  json_incref(member(command, "command")));
}

static void alarm_cancel(const json_t *state, const alv_command *command, int64_t now_ms,
                         alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_timer_cancel(effects, json_string_value(member(command, "name")));
}

static void alarm_ring(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    json_t *rings = json_array();
    json_array_extend(rings, json_object_get(state, "rings"));
    json_t *id = member(command, "id");
    json_array_append_new(rings, id == NULL ? json_null() : json_incref(id));
    alv_set(effects, "rings", rings);
    alv_set(effects, "last",
            json_pack("{s:s?, s:I, s:I}", "timer", command->timer, "due",
                      (json_int_t)command->due_ms, "now", (json_int_t)now_ms));
    if (json_is_true(member(command, "again"))) {
        alv_timer_set(effects, command->timer, command->due_ms + 1000,
                      json_incref((json_t *)(uintptr_t)command->body));
    }
    if (json_is_true(member(command, "reject"))) {
        alv_reject(effects, "told to");
    }
}

static void alarm_note(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    alarm_ring(state, command, now_ms, effects);
}

static void alarm_delete(const json_t *state, const alv_command *command, int64_t now_ms,
                         alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_delete(effects);
}

static const alv_command_row alarm_rows[] = {
    {"set", alarm_set, {ALV_REQUIRED("at", ALV_FIELD_INTEGER)}},
    {"cancel", alarm_cancel, {{0}}},
    {"ring", alarm_ring, {{0}}},
    {"note", alarm_note, {{0}}},
    {"delete", alarm_delete, {{0}}},
};

static const alv_behavior alarm_behavior = {ALV_BEHAVIOR_HEAD, .type = "alarm",
                                            .commands = alarm_rows, .command_count = 5};

/* ---- the world -------------------------------------------------------------------------------- */

static void open_world(alv_sim_world *world)
{
    alv_sim_world_init_with(world, NULL, &alarm_behavior, NULL);
    alv_sim_world_activate(world);
}

static void set_timer(alv_sim_world *world, const char *key, const char *name, int64_t at_ms,
                      const char *command)
{
    char *text = alv_format("{\"type\":\"set\",\"name\":\"%s\",\"at\":%" PRId64 ",\"command\":%s}",
                            name, at_ms, command);
    (void)alv_sim_world_send(world, key, text);
    alv_free(text);
}

static void set_ring(alv_sim_world *world, const char *name, int64_t at_ms, int id)
{
    char command[64];
    (void)snprintf(command, sizeof command, "{\"type\":\"ring\",\"id\":%d}", id);
    set_timer(world, ALARM, name, at_ms, command);
}

static void cancel_timer(alv_sim_world *world, const char *name)
{
    char command[64];
    (void)snprintf(command, sizeof command, "{\"type\":\"cancel\",\"name\":\"%s\"}", name);
    (void)alv_sim_world_send(world, ALARM, command);
}

static json_t *state_of(alv_sim_world *world, const char *key)
{
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    const char *text = alv_sim_log_last(world->log, ALV_TOPIC_CHANGELOG, shard, key, NULL);
    return text == NULL ? NULL : json_loads(text, 0, NULL);
}

static void assert_member(alv_sim_world *world, const char *field, const char *expected)
{
    json_t *state = state_of(world, ALARM);
    json_t *value = json_object_get(state, field);
    char *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_string_equal(text == NULL ? "none" : text, expected);
    free(text);
    json_decref(state);
}

static void assert_rings(alv_sim_world *world, const char *expected)
{
    alv_sim_world_run(world, 300);
    assert_member(world, "rings", expected);
}

static bool count_entry(void *payload, alv_view key, alv_view value)
{
    (void)key;
    (void)value;
    ++*(int *)payload;
    return true;
}

/* Entries of the index of timers, in both shards. */
static int index_entries(alv_sim_world *world)
{
    int count = 0;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        alv_status status =
            world->store->ops->scan(world->store, shard, ALV_STORE_TIMER, ALV_VIEW(""),
                                    ALV_VIEW(""), count_entry, &count, NULL);
        assert_int_equal(status, ALV_OK);
    }
    return count;
}

/* Nothing is left of any timer. */
static void assert_nothing_pending(alv_sim_world *world)
{
    int32_t shard = alv_partitioner_shard(ALV_VIEW(ALARM), ALV_SIM_SHARDS);
    assert_null(alv_sim_log_last(world->log, ALV_TOPIC_LEDGER, shard, ALARM, NULL));
    assert_int_equal(index_entries(world), 0);
}

/* ---- firing ----------------------------------------------------------------------------------- */

static void timer__fires_once_when_it_is_due(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "t", START_MS + 10000, 7);
    assert_rings(&world, "none");
    assert_int_equal(index_entries(&world), 1);
    alv_sim_world_pass(&world, 9000);
    assert_rings(&world, "none");
    alv_sim_world_pass(&world, 5000);
    assert_rings(&world, "[7]");
    json_t *alarm = state_of(&world, ALARM);
    const json_t *last = json_object_get(alarm, "last");
    assert_string_equal(json_string_value(json_object_get(last, "timer")), "t");
    assert_int_equal(json_integer_value(json_object_get(last, "due")), START_MS + 10000);
    assert_in_range(json_integer_value(json_object_get(last, "now")), START_MS + 14000,
                    START_MS + 16000);
    json_decref(alarm);
    assert_nothing_pending(&world);
    alv_sim_world_pass(&world, 100000);
    assert_rings(&world, "[7]");
    alv_sim_world_done(&world);
}

static void timer__is_replaced_and_cancelled(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "a", START_MS + 10000, 1);
    set_ring(&world, "b", START_MS + 10000, 2);
    set_ring(&world, "a", START_MS + 20000, 3); /* within one transaction */
    alv_sim_world_run(&world, 50);
    set_ring(&world, "b", START_MS + 30000, 4); /* in another one */
    set_ring(&world, "c", START_MS + 30000, 5);
    alv_sim_world_run(&world, 50);
    cancel_timer(&world, "c");
    cancel_timer(&world, "never set");
    alv_sim_world_pass(&world, 15000);
    assert_rings(&world, "none");
    alv_sim_world_pass(&world, 10000);
    assert_rings(&world, "[3]");
    alv_sim_world_pass(&world, 10000);
    assert_rings(&world, "[3,4]");
    assert_nothing_pending(&world);
    alv_sim_world_done(&world);
}

static void timer__fires_in_the_order_of_time(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "c", START_MS + 3000, 3);
    set_ring(&world, "a", START_MS + 1000, 1);
    set_ring(&world, "b", START_MS + 2000, 2);
    set_ring(&world, "past", START_MS - 5000, 0); /* due already: soon */
    assert_rings(&world, "[0]");
    alv_sim_world_pass(&world, 10000);
    assert_rings(&world, "[0,1,2,3]");
    alv_sim_world_done(&world);
}

static void timer__may_set_itself_again(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_timer(&world, ALARM, "t", START_MS + 1000, "{\"type\":\"ring\",\"id\":1,\"again\":true}");
    alv_sim_world_run(&world, 10);
    for (int i = 0; i < 3; i++) {
        alv_sim_world_pass(&world, 1000);
        alv_sim_world_run(&world, 10);
    }
    assert_member(&world, "rings", "[1,1,1]");
    alv_sim_world_done(&world);
}

static void timer__is_gone_when_its_handler_rejects(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_timer(&world, ALARM, "t", START_MS + 1000,
              "{\"type\":\"ring\",\"id\":1,\"again\":true,\"reject\":true}");
    alv_sim_world_pass(&world, 10000);
    assert_rings(&world, "none");
    assert_nothing_pending(&world);
    alv_sim_world_done(&world);
}

static void timer__becomes_a_dead_letter_when_nobody_knows_its_command(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_timer(&world, ALARM, "t", START_MS + 1000, "{\"type\":\"nonsense\"}");
    alv_sim_world_pass(&world, 10000);
    assert_rings(&world, "none");
    int32_t shard = alv_partitioner_shard(ALV_VIEW(ALARM), ALV_SIM_SHARDS);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, shard), 1);
    assert_string_equal(alv_sim_log_last(world.log, ALV_TOPIC_DEAD_LETTERS, shard, ALARM, NULL),
                        "{\"type\":\"nonsense\"}");
    assert_nothing_pending(&world);
    alv_sim_world_done(&world);
}

static void timer__goes_with_its_entity(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "t", START_MS + 10000, 1);
    alv_sim_world_run(&world, 50);
    (void)alv_sim_world_send(&world, ALARM, "{\"type\":\"delete\"}");
    alv_sim_world_run(&world, 50);
    assert_nothing_pending(&world);
    alv_sim_world_pass(&world, 20000);
    alv_sim_world_run(&world, 50);
    assert_null(state_of(&world, ALARM));
    alv_sim_world_done(&world);
}

static void timer__rejects_more_than_an_entity_may_have(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    char name[16];
    for (int i = 0; i < ALV_LEDGER_TIMERS_MAX + 3; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        set_ring(&world, name, START_MS + 10000, i);
    }
    set_ring(&world, "t5", START_MS + 20000, 5); /* one of them: that fits */
    alv_sim_world_run(&world, 50);
    char expected[16];
    (void)snprintf(expected, sizeof expected, "%d", ALV_LEDGER_TIMERS_MAX + 1);
    assert_member(&world, "sets", expected);
    alv_sim_world_done(&world);
}

/* ---- what dies in between --------------------------------------------------------------------- */

static void timer__fires_once_through_faults(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT,
                                           ALV_SIM_BEGIN_RETRY};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        for (int with_command = 0; with_command < 2; with_command++) {
            alv_sim_world world;
            open_world(&world);
            set_ring(&world, "t", START_MS + 10000, 1);
            alv_sim_world_run(&world, 50);
            alv_sim_world_pass(&world, 20000);
            alv_sim_log_fail_next(world.log, faults[i]);
            if (with_command) {
                (void)alv_sim_world_send(&world, ALARM, "{\"type\":\"note\",\"id\":0}");
            }
            alv_sim_world_run(&world, 2000);
            assert_rings(&world, with_command ? "[0,1]" : "[1]");
            assert_nothing_pending(&world);
            alv_sim_world_done(&world);
        }
    }
}

static void timer__survives_a_crash_and_a_lost_store(void **state)
{
    (void)state;
    for (size_t applies = 0; applies < 40; applies += 1 + applies / 2) {
        alv_sim_world world;
        open_world(&world);
        set_ring(&world, "a", START_MS + 10000, 1);
        alv_sim_world_run(&world, 50);
        set_ring(&world, "b", START_MS + 60000, 2);
        set_ring(&world, "a", START_MS + 20000, 3);
        alv_sim_world_run(&world, 50);
        set_ring(&world, "a", START_MS + 30000, 4);
        alv_sim_world_run(&world, 50);
        alv_sim_world_crash(&world, applies);
        alv_sim_world_pass(&world, 40000); /* nobody is there when it is due */
        alv_sim_world_activate(&world);
        assert_rings(&world, "[4]");
        alv_sim_world_pass(&world, 40000);
        assert_rings(&world, "[4,2]");
        assert_nothing_pending(&world);
        alv_sim_world_done(&world);
    }
}

static void timer__follows_its_shard(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "t", START_MS + 10000, 1);
    alv_sim_world_run(&world, 50);
    int32_t shard = alv_partitioner_shard(ALV_VIEW(ALARM), ALV_SIM_SHARDS);
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_world_run(&world, 10);
    alv_sim_world_pass(&world, 20000);
    alv_sim_world_run(&world, 50);
    assert_member(&world, "rings", "none"); /* not ours to fire */
    alv_sim_log_assign(world.log, 0, shard);
    assert_rings(&world, "[1]");
    alv_sim_world_done(&world);
}

/* Commands that were there before the timer was due come first, also when both had to wait: here behind more
 * than one poll brings. */
static void timer__waits_for_the_backlog(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "t", START_MS + 10000, 99);
    alv_sim_world_run(&world, 50);
    alv_sim_world_crash(&world, 0);
    int32_t shard = alv_partitioner_shard(ALV_VIEW(ALARM), ALV_SIM_SHARDS);
    for (int i = 0; i < ALV_POLL_RECORDS_MAX + 100; i++) {
        (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard, "nobody/1", "{}", NULL, 0);
    }
    (void)alv_sim_world_send(&world, ALARM, "{\"type\":\"note\",\"id\":1}");
    alv_sim_world_pass(&world, 20000);
    (void)alv_sim_world_send(&world, ALARM, "{\"type\":\"note\",\"id\":2}"); /* after it was due */
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 300);
    assert_member(&world, "rings", "[1,2,99]");
    alv_sim_world_done(&world);
}

/* Offsets at the end of a log that are never delivered, as those of markers, are no backlog for long. */
static void timer__does_not_wait_for_markers(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    set_ring(&world, "t", START_MS + 10000, 99);
    alv_sim_world_run(&world, 50);
    int32_t shard = alv_partitioner_shard(ALV_VIEW(ALARM), ALV_SIM_SHARDS);
    alv_sim_log_append_marker(world.log, ALV_TOPIC_COMMANDS, shard);
    alv_sim_world_crash(&world, 0);
    alv_sim_world_pass(&world, 20000);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 100);
    assert_member(&world, "rings", "none"); /* might still come */
    alv_sim_world_run(&world, ALV_TIMERS_QUIET_MS);
    assert_member(&world, "rings", "[99]");
    alv_sim_world_done(&world);
}

/* ---- many ------------------------------------------------------------------------------------- */

static void timer__fires_any_number_of_them(void **state)
{
    (void)state;
    enum {
        COUNT = 3 * ALV_TIMERS_ROUND_MAX + 17
    };
    alv_sim_world world;
    open_world(&world);
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "alarm/%d", i);
        set_timer(&world, key, "t", START_MS + 10000 + i % 7, "{\"type\":\"ring\",\"id\":1}");
    }
    alv_sim_world_run(&world, 50);
    assert_int_equal(index_entries(&world), COUNT);
    alv_sim_world_pass(&world, 20000);
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
    alv_sim_world_run(&world, 500);
    assert_int_equal(index_entries(&world), 0);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "alarm/%d", i);
        json_t *alarm = state_of(&world, key);
        assert_int_equal(json_array_size(json_object_get(alarm, "rings")), 1);
        json_decref(alarm);
    }
    alv_sim_world_done(&world);
}

/* ---- jobs of the cluster ---------------------------------------------------------------------- */

static const alv_singleton daily[] = {{"report", "note", 60000}};
static const alv_behavior with_daily = {ALV_BEHAVIOR_HEAD,      .type = "alarm",
                                        .commands = alarm_rows, .command_count = 5,
                                        .singletons = daily,    .singleton_count = 1};

static size_t count_reports(alv_sim_world *world)
{
    json_t *report = state_of(world, "alarm/report");
    size_t count = json_array_size(json_object_get(report, "rings"));
    json_decref(report);
    return count;
}

static void singleton__is_sent_once_each_time(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init_with(&world, NULL, &with_daily, NULL);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 100);
    assert_int_equal(count_reports(&world), 1); /* at once, the first time */
    for (int i = 2; i < 10; i++) {
        alv_sim_world_pass(&world, 60000);
        if (i % 2 == 0) {
            alv_sim_log_fail_next(world.log,
                                  i % 4 == 0 ? ALV_SIM_COMMIT_ABORTED : ALV_SIM_COMMIT_LOST_ANSWER);
        } else {
            alv_sim_world_run(&world, 1);
            alv_sim_world_crash(&world, (size_t)i);
            alv_sim_world_activate(&world);
        }
        alv_sim_world_run(&world, 700);
        assert_int_equal(count_reports(&world), i);
    }
    alv_sim_world_crash(&world, 0);
    alv_sim_world_pass(&world, 5 * 60000); /* missed: sent once */
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 500);
    assert_int_equal(count_reports(&world), 10);
    alv_sim_world_done(&world);
}

/* ---- a model ---------------------------------------------------------------------------------- */

#define MODEL_NAMES 5

typedef struct timer_model {
    int64_t due_ms[MODEL_NAMES]; /* 0 = not set */
    int id[MODEL_NAMES];
    char rings[8192];
} timer_model;

/* Those due at `now_ms` ring, earliest first. */
static void model_pass(timer_model *model, int64_t now_ms)
{
    for (;;) {
        int first = -1;
        for (int i = 0; i < MODEL_NAMES; i++) {
            bool is_due = model->due_ms[i] != 0 && model->due_ms[i] <= now_ms;
            if (is_due && (first < 0 || model->due_ms[i] < model->due_ms[first])) {
                first = i;
            }
        }
        if (first < 0) {
            return;
        }
        size_t size = strlen(model->rings);
        (void)snprintf(model->rings + size, sizeof model->rings - size, "%s%d", size > 1 ? "," : "",
                       model->id[first]);
        model->due_ms[first] = 0;
    }
}

static void model_step(alv_sim_world *world, timer_model *model, uint64_t *random, int id)
{
    int name = (int)(alv_user_model_random(random) % MODEL_NAMES);
    char text[4] = {(char)('a' + name), '\0'};
    if (alv_user_model_random(random) % 4 == 0) {
        cancel_timer(world, text);
        model->due_ms[name] = 0;
        return;
    }
    /* Whole tens of seconds and a number of its own: no two are due at once. */
    int64_t due_ms = (alv_now_ms(&world->clock.clock) / 10000 + 1 +
                      (int64_t)(alv_user_model_random(random) % 20)) *
                         10000 +
                     id % 1000;
    set_ring(world, text, due_ms, id);
    model->due_ms[name] = due_ms;
    model->id[name] = id;
}

static void timer__agrees_with_a_model(void **state)
{
    (void)state;
    uint64_t random = 20261126;
    timer_model *model = alv_alloc(sizeof *model);
    model->rings[0] = '[';
    alv_sim_world world;
    open_world(&world);
    for (int step = 0; step < 600; step++) {
        model_step(&world, model, &random, step);
        uint64_t fault = alv_user_model_random(&random) % 12;
        if (fault == 0) {
            alv_sim_world_crash(&world, (size_t)(alv_user_model_random(&random) % 20));
            alv_sim_world_activate(&world);
        } else if (fault < 4) {
            alv_sim_log_fail_next(world.log, (alv_sim_fault)((int)fault + ALV_SIM_NONE));
        }
        alv_sim_world_run(&world, 1500); /* 1.5 s: everything has settled */
        if (alv_user_model_random(&random) % 3 == 0) {
            alv_sim_world_pass(&world, 30000 - alv_now_ms(&world.clock.clock) % 10000 + 2000);
            model_pass(model, alv_now_ms(&world.clock.clock));
            alv_sim_world_run(&world, 300);
        } else if (alv_now_ms(&world.clock.clock) % 10000 > 5000) {
            alv_sim_world_pass(&world, 12000 - alv_now_ms(&world.clock.clock) % 10000);
            model_pass(model, alv_now_ms(&world.clock.clock));
            alv_sim_world_run(&world, 300);
        }
    }
    strcat(model->rings, "]"); /* NOLINT: far from full */
    assert_rings(&world, model->rings);
    alv_free(model);
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer__fires_once_when_it_is_due),
        cmocka_unit_test(timer__is_replaced_and_cancelled),
        cmocka_unit_test(timer__fires_in_the_order_of_time),
        cmocka_unit_test(timer__may_set_itself_again),
        cmocka_unit_test(timer__is_gone_when_its_handler_rejects),
        cmocka_unit_test(timer__becomes_a_dead_letter_when_nobody_knows_its_command),
        cmocka_unit_test(timer__goes_with_its_entity),
        cmocka_unit_test(timer__rejects_more_than_an_entity_may_have),
        cmocka_unit_test(timer__fires_once_through_faults),
        cmocka_unit_test(timer__survives_a_crash_and_a_lost_store),
        cmocka_unit_test(timer__follows_its_shard),
        cmocka_unit_test(timer__waits_for_the_backlog),
        cmocka_unit_test(timer__does_not_wait_for_markers),
        cmocka_unit_test(timer__fires_any_number_of_them),
        cmocka_unit_test(singleton__is_sent_once_each_time),
        cmocka_unit_test(timer__agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
