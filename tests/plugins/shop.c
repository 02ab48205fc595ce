/* A library whose handlers look things up: an order costs what the global table `prices` says. */
#include <alluvium/behavior.h>

static void order_price(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    const char *what = json_string_value(json_object_get(command->body, "what"));
    const json_t *price = alv_table_get(effects, "prices", what);
    if (price == NULL) {
        alv_reject(effects, "%s has no price", what);
        return;
    }
    alv_set(effects, "price", json_incref((json_t *)price));
    alv_reply(effects, "{s:O}", "price", price);
}

static const alv_command_row order_commands[] = {
    {.name = "order", .handler = order_price, .fields = {ALV_REQUIRED("what", ALV_FIELD_TEXT)}},
};

static const char *const order_tables[] = {"prices"};

static const alv_behavior order = {
    ALV_BEHAVIOR_HEAD,  .type = "order",        .commands = order_commands,
    .command_count = 1, .tables = order_tables, .table_count = 1,
};

static const alv_behavior *const shop_behaviors[] = {&order};
const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,    .name = "shop", .version = "1.0.0", .behaviors = shop_behaviors,
    .behavior_count = 1,
};
