/* A library with a type that the program has itself. */
#include <alluvium/behavior.h>

static void touch(const json_t *state, const alv_command *command, int64_t now_ms,
                  alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)effects;
}

static const alv_command_row rows[] = {{.name = "touch", .handler = touch}};
static const alv_behavior user = {ALV_BEHAVIOR_HEAD, .type = "user", .commands = rows,
                                  .command_count = 1};
static const alv_behavior *const behaviors[] = {&user};
const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "users", .version = "1",
                                               .behaviors = behaviors, .behavior_count = 1};
