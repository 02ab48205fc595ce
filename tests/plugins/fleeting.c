/* A library whose entities do not live long. */
#include <alluvium/behavior.h>

static void fleeting_touch(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_set(effects, "touches",
            json_integer(json_integer_value(json_object_get(state, "touches")) + 1));
}

static const alv_command_row fleeting_commands[] = {
    {.name = "touch", .handler = fleeting_touch},
};

static const alv_behavior fleeting = {
    ALV_BEHAVIOR_HEAD,  .type = "fleeting",      .commands = fleeting_commands,
    .command_count = 1, .expire_after_ms = 3000,
};

static const alv_behavior *const fleeting_behaviors[] = {&fleeting};
const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,    .name = "fleeting", .version = "1", .behaviors = fleeting_behaviors,
    .behavior_count = 1,
};
