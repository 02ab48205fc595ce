/* A library whose commands take as long as they are told to. */
#include <alluvium/behavior.h>

static void slow_work(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)now_ms;
    volatile unsigned long work = 1;
    for (json_int_t left = json_integer_value(json_object_get(command->body, "rounds")); left > 0;
         left--) {
        work = work * 6364136223846793005UL + 1;
    }
    alv_set(effects, "count",
            json_integer(json_integer_value(json_object_get(state, "count")) + 1));
}

static const alv_command_row slow_commands[] = {
    {.name = "work", .handler = slow_work, .fields = {ALV_REQUIRED("rounds", ALV_FIELD_INTEGER)}},
};

static const alv_behavior slow = {
    ALV_BEHAVIOR_HEAD,
    .type = "slow",
    .commands = slow_commands,
    .command_count = sizeof slow_commands / sizeof slow_commands[0],
};

static const alv_behavior *const behaviors[] = {&slow};

const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "slow", .version = "1",
                                               .behaviors = behaviors, .behavior_count = 1};
