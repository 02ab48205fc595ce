/* user.c — a customer of a mall: balance, profile and what was last done.
 *
 * The key is `<mallId>:<userId>`, both not empty; the mall ends at the first ":". The state:
 *
 *     {"mallId": "m1", "userId": "u7", "nickname": null, "balance": 0, "lastLogin": null,
 *      "lastCartUsedTime": null, "recentProducts": [], "marketingOptIn": false,
 *      "lastEventTime": null}
 *
 * This is how a new user starts; any command that changes something makes one. Times are ISO 8601
 * UTC, from the command's `time` (ms since the epoch) if it has one, else from its record. Every
 * change also moves lastEventTime.
 *
 *     command                       changes           reply
 *     login                         lastLogin         {"event": "login"}
 *     use_cart                      lastCartUsedTime  {"event": "cart_used"}
 *     view_product productId        recentProducts    {"event": "product_viewed"}
 *     set_marketing_opt_in optIn    marketingOptIn    {"event": "marketing_opt_in_set"}
 *     update_profile nickname       nickname          {"event": "profile_updated"}
 *     add_balance amount            balance           {"event": "balance_added", "balance": n}
 *     deduct_balance amount         balance           {"event": "balance_deducted", "balance": n}
 *     refund_balance amount         balance           {"event": "balance_refunded", "balance": n}
 *     get_user_state                nothing           {"state": {...}}, or null without a user
 *     delete_user                   deletes the user  {"event": "deleted"}
 *
 * amount is a whole number > 0 and may come with a transferId; the balance stays between 0 and the
 * largest 64-bit number, what would leave that range is rejected.
 *
 * The file is meant to be copied for behaviors of your own: handlers first, the table after them,
 * the behavior last. It uses alluvium/behavior.h and nothing else of Alluvium.
 */
#include "behaviors/user.h"

#include <string.h>

#define RECENT_PRODUCTS_MAX 3

/* ---- times ----------------------------------------------------------------------------------- */

/* The time of a command as text. NULL when it has no such text; the command is then rejected. */
static json_t *user_time(const alv_command *command, int64_t now_ms, alv_effects *effects)
{
    const json_t *given = json_object_get(command->body, "time");
    int64_t time_ms = json_is_integer(given) ? json_integer_value(given) : now_ms;

    char text[ALV_TIMESTAMP_BYTES];
    if (!alv_timestamp_format(time_ms, text)) {
        alv_reject(effects, "time %lld is outside the years 0 to 9999", (long long)time_ms);
        return NULL;
    }
    return json_string(text);
}

static void user_touch(const alv_command *command, int64_t now_ms, alv_effects *effects)
{
    alv_set(effects, "lastEventTime", user_time(command, now_ms, effects));
}

/* ---- handlers -------------------------------------------------------------------------------- */

static void user_login(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    json_t *time = user_time(command, now_ms, effects);
    alv_set(effects, "lastLogin", json_incref(time));
    alv_set(effects, "lastEventTime", time);
    alv_reply(effects, "{s:s}", "event", "login");
}

static void user_use_cart(const json_t *state, const alv_command *command, int64_t now_ms,
                          alv_effects *effects)
{
    (void)state;
    json_t *time = user_time(command, now_ms, effects);
    alv_set(effects, "lastCartUsedTime", json_incref(time));
    alv_set(effects, "lastEventTime", time);
    alv_reply(effects, "{s:s}", "event", "cart_used");
}

/* The product moves to the front; the oldest falls out. A new array, because the state is not to be
 * changed in place; its items may be the old ones, because json_array_append takes references. */
static void user_view_product(const json_t *state, const alv_command *command, int64_t now_ms,
                              alv_effects *effects)
{
    json_t *viewed = json_object_get(command->body, "productId");
    json_t *recent = json_array();
    json_array_append(recent, viewed);

    size_t index;
    json_t *product;
    json_array_foreach(json_object_get(state, "recentProducts"), index, product)
    {
        if (json_array_size(recent) < RECENT_PRODUCTS_MAX && !json_equal(product, viewed)) {
            json_array_append(recent, product);
        }
    }
    alv_set(effects, "recentProducts", recent);
    user_touch(command, now_ms, effects);
    alv_reply(effects, "{s:s}", "event", "product_viewed");
}

static void user_set_marketing_opt_in(const json_t *state, const alv_command *command,
                                      int64_t now_ms, alv_effects *effects)
{
    (void)state;
    alv_set(effects, "marketingOptIn", json_incref(json_object_get(command->body, "optIn")));
    user_touch(command, now_ms, effects);
    alv_reply(effects, "{s:s}", "event", "marketing_opt_in_set");
}

static void user_update_profile(const json_t *state, const alv_command *command, int64_t now_ms,
                                alv_effects *effects)
{
    (void)state;
    alv_set(effects, "nickname", json_incref(json_object_get(command->body, "nickname")));
    user_touch(command, now_ms, effects);
    alv_reply(effects, "{s:s}", "event", "profile_updated");
}

/* The balance of a user who does not exist is 0. One that is no whole number was not written here;
 * counting on from a guess would make or destroy money, and no caller can do anything about it, so the
 * entity is given up until a person has looked at it. */
static json_int_t user_balance(const json_t *state, alv_effects *effects)
{
    const json_t *balance = json_object_get(state, "balance");
    if (balance != NULL && !json_is_integer(balance)) {
        alv_fatal(effects, "the stored balance is not a whole number");
    }
    return json_integer_value(balance);
}

static json_int_t user_amount(const alv_command *command)
{
    return json_integer_value(json_object_get(command->body, "amount")); /* > 0: see the table */
}

static void user_set_balance(const alv_command *command, int64_t now_ms, json_int_t balance,
                             const char *event, alv_effects *effects)
{
    alv_set(effects, "balance", json_integer(balance));
    user_touch(command, now_ms, effects);
    alv_reply(effects, "{s:s, s:I}", "event", event, "balance", balance);
}

/* Adding and refunding differ in what they are called. */
static void user_credit(const json_t *state, const alv_command *command, int64_t now_ms,
                        const char *event, alv_effects *effects)
{
    json_int_t balance = user_balance(state, effects);
    json_int_t amount = user_amount(command);
    if (balance > INT64_MAX - amount) {
        alv_reject(effects, "balance too large");
        return;
    }
    user_set_balance(command, now_ms, balance + amount, event, effects);
}

static void user_add_balance(const json_t *state, const alv_command *command, int64_t now_ms,
                             alv_effects *effects)
{
    user_credit(state, command, now_ms, "balance_added", effects);
}

static void user_refund_balance(const json_t *state, const alv_command *command, int64_t now_ms,
                                alv_effects *effects)
{
    user_credit(state, command, now_ms, "balance_refunded", effects);
}

static void user_deduct_balance(const json_t *state, const alv_command *command, int64_t now_ms,
                                alv_effects *effects)
{
    json_int_t balance = user_balance(state, effects);
    json_int_t amount = user_amount(command);
    if (balance < amount) {
        alv_reject(effects, "insufficient balance");
        return;
    }
    user_set_balance(command, now_ms, balance - amount, "balance_deducted", effects);
}

static void user_get_state(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_reply(effects, "{s:O?}", "state", state);
}

static void user_delete(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_delete(effects);
    alv_reply(effects, "{s:s}", "event", "deleted");
}

/* ---- the entity ------------------------------------------------------------------------------ */

static bool user_accepts(const char *id)
{
    const char *colon = strchr(id, ':');
    return colon != NULL && colon > id && colon[1] != '\0';
}

static json_t *user_init(const char *key, const char *id)
{
    (void)key;
    const char *colon = strchr(id, ':'); /* is there: user_accepts has seen the id */
    /* clang-format off */
    size_t mall_size = (size_t)(colon - id);
    return json_pack("{s:s%, s:s, s:n, s:i, s:n, s:n, s:[], s:b, s:n}",
                     "mallId", id, mall_size,
                     "userId", colon + 1,
                     "nickname",
                     "balance", 0,
                     "lastLogin",
                     "lastCartUsedTime",
                     "recentProducts",
                     "marketingOptIn", false,
                     "lastEventTime");
    /* clang-format on */
}

/* ---- the table ------------------------------------------------------------------------------- */

#define TIME ALV_OPTIONAL("time", ALV_FIELD_INTEGER)
#define AMOUNT ALV_REQUIRED("amount", ALV_FIELD_POSITIVE)
#define TRANSFER ALV_OPTIONAL("transferId", ALV_FIELD_TEXT)
#define PRODUCT ALV_REQUIRED("productId", ALV_FIELD_TEXT)
#define OPT_IN ALV_REQUIRED("optIn", ALV_FIELD_BOOLEAN)
#define NICKNAME ALV_REQUIRED("nickname", ALV_FIELD_TEXT)

/* clang-format off */
static const alv_command_row user_commands[] = {
    /* command               handler                    fields */
    {"login",                user_login,                {TIME}},
    {"use_cart",             user_use_cart,             {TIME}},
    {"view_product",         user_view_product,         {PRODUCT, TIME}},
    {"set_marketing_opt_in", user_set_marketing_opt_in, {OPT_IN, TIME}},
    {"update_profile",       user_update_profile,       {NICKNAME, TIME}},
    {"add_balance",          user_add_balance,          {AMOUNT, TRANSFER, TIME}},
    {"deduct_balance",       user_deduct_balance,       {AMOUNT, TRANSFER, TIME}},
    {"refund_balance",       user_refund_balance,       {AMOUNT, TRANSFER, TIME}},
    {"get_user_state",       user_get_state,            {TIME}},
    {"delete_user",          user_delete,               {TIME}},
};
/* clang-format on */

const alv_behavior alv_user_behavior = {
    ALV_BEHAVIOR_HEAD,         .type = "user",
    .commands = user_commands, .command_count = sizeof user_commands / sizeof user_commands[0],
    .init = user_init,         .accepts = user_accepts,
};
