/* A library as an author writes it: one entity type that counts, with a job. */
#include <alluvium/behavior_test.h>
#include <stdlib.h>

static void tally_add(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)now_ms;
    json_int_t count = json_integer_value(json_object_get(state, "count")) +
                       json_integer_value(json_object_get(command->body, "by"));
    alv_set(effects, "count", json_integer(count));
    alv_reply(effects, "{s:I}", "count", count);
}

static void tally_clear(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_set(effects, "count", json_integer(0));
}

static const alv_command_row tally_commands[] = {
    {"add",
     tally_add,
     {ALV_REQUIRED("by", ALV_FIELD_POSITIVE), ALV_OPTIONAL("why", ALV_FIELD_TEXT)}},
    {.name = "clear", .handler = tally_clear},
};

static const alv_singleton tally_jobs[] = {
    {.id = "all", .command = "clear", .every_ms = 86400000},
};

static const alv_behavior tally = {
    ALV_BEHAVIOR_HEAD,  .type = "tally",          .commands = tally_commands,
    .command_count = 2, .singletons = tally_jobs, .singleton_count = 1,
};

static void tally_adds(alv_test *test)
{
    alv_test_given(test, ALV_JSON({"count": 1}));
    alv_test_when(test, ALV_JSON({"type": "add", "by": 2}));
    alv_test_expect_state(test, ALV_JSON({"count": 3}));
    alv_test_expect_nothing_more(test);
}

/* What it has found wrong with itself on this machine; the test of the test. */
static void tally_is_right(alv_test *test)
{
    alv_test_when(
        test, json_pack("{s:s, s:i}", "type", "add", "by", getenv("TALLY_WRONG") == NULL ? 2 : 3));
    alv_test_expect_state(test, ALV_JSON({"count": 2}));
}

static const alv_test_case tally_tests[] = {
    {"adds", &tally, "tally/1", tally_adds},
    {"is right", &tally, "tally/1", tally_is_right},
};

static const alv_behavior *const tally_behaviors[] = {&tally};
const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,    .name = "tally",      .version = "1.2.3", .behaviors = tally_behaviors,
    .behavior_count = 1, .tests = tally_tests, .test_count = 2,
};
