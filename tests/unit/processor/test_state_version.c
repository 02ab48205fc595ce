/* Goal:   states that an older behavior wrote are brought up to date when their entity gets a command, in memory at
 *         first and in the log with the next change; those of a newer one are left alone; nobody else is stopped.
 * Method: a behavior of version 3 over the simulated log, whose changelog has states of all versions before the lane
 *         comes; what the changelog has afterwards is compared to the byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "include/alluvium/behavior_test.h"
#include "statestore/codec.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

/* ---- a behavior that has changed twice ----------------------------------------------------------- */

static int migrations;

/* 1: {"name"}; 2: {"first"}; 3: {"names": [...]} */
static bool person_migrate(uint32_t from, json_t *state)
{
    migrations++;
    if (from == 1) {
        json_object_set(state, "first", json_object_get(state, "name"));
        json_object_del(state, "name");
    }
    const char *first = json_string_value(json_object_get(state, "first"));
    if (first == NULL || strcmp(first, "nobody") == 0) {
        json_object_clear(state); /* what is done by halves must not stay */
        return false;
    }
    json_object_set_new(state, "names", json_pack("[s]", first));
    json_object_del(state, "first");
    json_object_set_new(state, ALV_CODEC_VERSION, json_integer(77)); /* not for it to say */
    return true;
}

static void person_add(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)now_ms;
    json_t *names = json_array();
    json_array_extend(names, json_object_get(state, "names"));
    json_array_append(names, json_object_get(command->body, "name"));
    alv_set(effects, "names", names);
}

static void person_look(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_reply(effects, "{s:O?}", "state", (json_t *)(uintptr_t)state);
}

static void person_replace(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_replace(effects, json_incref(json_object_get(command->body, "state")));
}

static void person_set(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_set(effects, json_string_value(json_object_get(command->body, "member")), json_true());
}

static void person_delete(const json_t *state, const alv_command *command, int64_t now_ms,
                          alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_delete(effects);
}

static void person_wait(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)command;
    alv_timer_set(effects, "t", now_ms + 1000, json_pack("{s:s, s:s}", "type", "add", "name", "t"));
}

/* A state of so many bytes when it is encoded, with its version. */
static void person_fill(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    json_int_t size = json_integer_value(json_object_get(command->body, "bytes"));
    size_t around = strlen("{\"$version\":3,\"t\":\"\"}");
    char *text = alv_alloc((size_t)size);
    memset(text, 'x', (size_t)size - around);
    alv_set(effects, "t", json_string(text));
    alv_free(text);
}

static const alv_command_row person_commands[] = {
    {"fill", person_fill, {ALV_REQUIRED("bytes", ALV_FIELD_POSITIVE)}},
    {"add", person_add, {ALV_REQUIRED("name", ALV_FIELD_TEXT)}},
    {.name = "look", .handler = person_look},
    {"replace", person_replace, {ALV_REQUIRED("state", ALV_FIELD_OBJECT)}},
    {"set", person_set, {ALV_REQUIRED("member", ALV_FIELD_TEXT)}},
    {.name = "delete", .handler = person_delete},
    {.name = "wait", .handler = person_wait},
};

static const alv_behavior person = {
    ALV_BEHAVIOR_HEAD,
    .type = "person",
    .commands = person_commands,
    .command_count = sizeof person_commands / sizeof person_commands[0],
    .state_version = 3,
    .migrate = person_migrate};

/* ---- the world ----------------------------------------------------------------------------------- */

static int32_t shard_of(const char *key)
{
    return alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
}

static void put(alv_sim_world *world, const char *key, const char *state)
{
    (void)alv_sim_log_append(world->log, ALV_TOPIC_CHANGELOG, shard_of(key), key, state, NULL, 0);
}

static void assert_logged(alv_sim_world *world, const char *key, const char *state)
{
    const char *last = alv_sim_log_last(world->log, ALV_TOPIC_CHANGELOG, shard_of(key), key, NULL);
    if (state == NULL) {
        assert_null(last);
    } else {
        assert_string_equal(last, state);
    }
}

static void assert_buried(alv_sim_world *world, const char *key, size_t count)
{
    size_t letters = 0;
    (void)alv_sim_log_last(world->log, ALV_TOPIC_DEAD_LETTERS, shard_of(key), key, &letters);
    assert_int_equal(letters, count);
}

static void open_world(alv_sim_world *world)
{
    migrations = 0;
    alv_sim_world_init_with(world, NULL, &person, NULL);
}

static void send(alv_sim_world *world, const char *key, const char *command)
{
    (void)alv_sim_world_send(world, key, command);
    alv_sim_world_run(world, 3);
}

/* ---- migrating ----------------------------------------------------------------------------------- */

static void migrate__runs_at_the_first_command_and_is_stored_with_the_next_change(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    put(&world, "person/1", "{\"name\":\"ada\"}");
    put(&world, "person/2", "{\"$version\":2,\"first\":\"bob\"}");
    put(&world, "person/3",
        "{\"names\":[\"eve\"],\"$version\":3}"); /* as PostgreSQL would order it */
    alv_sim_world_activate(&world);
    assert_int_equal(migrations, 0);

    (void)alv_sim_world_send_waiting(&world, "person/1", "{\"type\":\"look\"}", "a");
    alv_sim_world_run(&world, 3);
    assert_int_equal(migrations, 1);
    assert_int_equal(world.replies.count, 1);
    alv_view text = alv_reply_box_get(&world.replies, 0).text;
    assert_true(alv_view_equal(text, ALV_VIEW("{\"state\":{\"names\":[\"ada\"]}}")));
    assert_logged(&world, "person/1", "{\"name\":\"ada\"}");

    send(&world, "person/1", "{\"type\":\"add\",\"name\":\"lovelace\"}");
    send(&world, "person/2", "{\"type\":\"add\",\"name\":\"ross\"}");
    send(&world, "person/3", "{\"type\":\"add\",\"name\":\"moss\"}");
    assert_int_equal(migrations, 2);
    assert_logged(&world, "person/1", "{\"$version\":3,\"names\":[\"ada\",\"lovelace\"]}");
    assert_logged(&world, "person/2", "{\"$version\":3,\"names\":[\"bob\",\"ross\"]}");
    assert_logged(&world, "person/3", "{\"$version\":3,\"names\":[\"eve\",\"moss\"]}");

    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    send(&world, "person/1", "{\"type\":\"add\",\"name\":\"again\"}");
    assert_int_equal(migrations, 2);
    assert_logged(&world, "person/1",
                  "{\"$version\":3,\"names\":[\"ada\",\"lovelace\",\"again\"]}");
    alv_sim_world_done(&world);
}

static void migrate__a_new_entity_is_of_the_present_version(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    put(&world, "person/1", "{\"name\":\"ada\"}");
    alv_sim_world_activate(&world);
    send(&world, "person/2", "{\"type\":\"add\",\"name\":\"bob\"}");
    assert_logged(&world, "person/2", "{\"$version\":3,\"names\":[\"bob\"]}");
    send(&world, "person/2", "{\"type\":\"replace\",\"state\":{}}");
    assert_logged(&world, "person/2", "{\"$version\":3}");
    send(&world, "person/1", "{\"type\":\"delete\"}");
    assert_logged(&world, "person/1", NULL);
    send(&world, "person/1", "{\"type\":\"add\",\"name\":\"eve\"}");
    assert_logged(&world, "person/1", "{\"$version\":3,\"names\":[\"eve\"]}");
    send(&world, "user/m:1",
         "{\"type\":\"add_balance\",\"amount\":5}"); /* of version 1: shows none */
    assert_null(strstr(
        alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of("user/m:1"), "user/m:1", NULL),
        ALV_CODEC_VERSION));
    alv_sim_world_done(&world);
}

static void migrate__a_timer_finds_the_migrated_state(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    alv_sim_world_activate(&world);
    send(&world, "person/1", "{\"type\":\"wait\"}");
    put(&world, "person/1", "{\"name\":\"ada\"}"); /* the timer's entity, as it was left long ago */
    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    alv_sim_world_pass(&world, 2000);
    alv_sim_world_run(&world, 5);
    assert_logged(&world, "person/1", "{\"$version\":3,\"names\":[\"ada\",\"t\"]}");
    alv_sim_world_done(&world);
}

/* ---- what cannot be migrated --------------------------------------------------------------------- */

static void version__what_cannot_be_read_costs_its_own_commands_only(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    const char *const states[] = {
        "{\"$version\":4,\"names\":[]}", "{\"$version\":0}",
        "{\"$version\":\"3\"}",          "{\"$version\":2.0}",
        "{\"$version\":null}",           "{\"name\":\"nobody\"}",
    };
    size_t count = sizeof states / sizeof states[0];
    char key[32];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "person/bad-%zu", i);
        put(&world, key, states[i]);
    }
    put(&world, "person/1", "{\"name\":\"ada\"}");
    alv_sim_world_activate(&world);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < count; i++) {
            (void)snprintf(key, sizeof key, "person/bad-%zu", i);
            send(&world, key, "{\"type\":\"add\",\"name\":\"x\"}");
            assert_buried(&world, key, round + 1);
            assert_logged(&world, key, states[i]);
        }
    }
    send(&world, "person/1", "{\"type\":\"add\",\"name\":\"x\"}");
    assert_logged(&world, "person/1", "{\"$version\":3,\"names\":[\"ada\",\"x\"]}");
    alv_sim_world_done(&world);
}

static void version__is_not_the_handler_s_to_set(void **state)
{
    (void)state;
    alv_test *test = alv_test_new(&person, "person/1");
    alv_test_when(test, ALV_JSON({"type": "set", "member": "$version"}));
    alv_test_expect_rejected(test, "no member of a state may be named $version");
    alv_test_when(test, ALV_JSON({"type": "replace", "state": {"$version": 9}}));
    alv_test_expect_rejected(test, "no member of a state may be named $version");
    alv_test_when(test, ALV_JSON({"type": "set", "member": "$versions"}));
    alv_test_expect_state(test, ALV_JSON({"$versions": true}));
    assert_int_equal(alv_test_free(test), 0);
}

static void version__the_test_kit_gives_old_states(void **state)
{
    (void)state;
    alv_test *test = alv_test_new(&person, "person/1");
    alv_test_given_version(test, 1, ALV_JSON({"name": "ada"}));
    alv_test_when(test, ALV_JSON({"type": "add", "name": "x"}));
    alv_test_expect_state(test, ALV_JSON({"names": ["ada", "x"]}));
    alv_test_given_version(test, 2, ALV_JSON({"first": "bob"}));
    alv_test_when(test, ALV_JSON({"type": "look"}));
    alv_test_expect_reply(test, ALV_JSON({"state": {"names": ["bob"]}}));
    alv_test_given_version(test, 4, ALV_JSON({"names": []}));
    alv_test_when(test, ALV_JSON({"type": "look"}));
    alv_test_expect_dead_letter(test, "state-version");
    alv_test_given(test, ALV_JSON({"names": ["eve"]}));
    alv_test_when(test, ALV_JSON({"type": "look"}));
    alv_test_expect_reply(test, ALV_JSON({"state": {"names": ["eve"]}}));
    assert_int_equal(alv_test_free(test), 0);
}

/* With the version it is one byte too large: a dead letter, and no transaction that is run again for ever. */
static void version__counts_when_a_state_is_too_large(void **state)
{
    (void)state;
    alv_test *test = alv_test_new(&person, "person/1");
    alv_test_when(test, json_pack("{s:s, s:i}", "type", "fill", "bytes", ALV_STATE_BYTES_MAX + 1));
    alv_test_expect_dead_letter(test, "state-too-large");
    alv_test_when(test, json_pack("{s:s, s:i}", "type", "fill", "bytes", ALV_STATE_BYTES_MAX));
    alv_test_expect_reply(test, NULL);
    assert_int_equal(alv_test_free(test), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrate__runs_at_the_first_command_and_is_stored_with_the_next_change),
        cmocka_unit_test(migrate__a_new_entity_is_of_the_present_version),
        cmocka_unit_test(migrate__a_timer_finds_the_migrated_state),
        cmocka_unit_test(version__what_cannot_be_read_costs_its_own_commands_only),
        cmocka_unit_test(version__is_not_the_handler_s_to_set),
        cmocka_unit_test(version__the_test_kit_gives_old_states),
        cmocka_unit_test(version__counts_when_a_state_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
