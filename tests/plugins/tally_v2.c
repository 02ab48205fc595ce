/* tally.c as its author changed it: the count has another name, and states of before are migrated. */
#include <alluvium/behavior.h>

static bool tally_migrate(uint32_t from, json_t *state)
{
    (void)from; /* there was one version before */
    json_t *count = json_object_get(state, "count");
    return json_object_set(state, "total", count != NULL ? count : json_null()) == 0 &&
           json_object_del(state, "count") == 0;
}

static void tally_add(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)now_ms;
    json_int_t total = json_integer_value(json_object_get(state, "total")) +
                       json_integer_value(json_object_get(command->body, "by"));
    alv_set(effects, "total", json_integer(total));
    alv_reply(effects, "{s:I}", "total", total);
}

static const alv_command_row tally_commands[] = {
    {"add", tally_add, {ALV_REQUIRED("by", ALV_FIELD_POSITIVE)}},
};

static const alv_behavior tally = {
    ALV_BEHAVIOR_HEAD,  .type = "tally",    .commands = tally_commands,
    .command_count = 1, .state_version = 2, .migrate = tally_migrate,
};

static const alv_behavior *const tally_behaviors[] = {&tally};
const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,    .name = "tally", .version = "2.0.0", .behaviors = tally_behaviors,
    .behavior_count = 1,
};
