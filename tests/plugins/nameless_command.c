/* A library with a behavior whose second command has no name. */
#include <alluvium/behavior.h>

static void do_nothing(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)effects;
}

static const alv_command_row commands[] = {{.name = "wait", .handler = do_nothing},
                                           {.handler = do_nothing}};
static const alv_behavior idle = {ALV_BEHAVIOR_HEAD, .type = "idle", .commands = commands,
                                  .command_count = 2};
static const alv_behavior *const behaviors[] = {&idle};

const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "x", .version = "1",
                                               .behaviors = behaviors, .behavior_count = 1};
