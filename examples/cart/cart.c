/* cart.c — a shopping cart per user, as a library of its own: it knows the installed header and nothing else.
 *
 * Key:    cart/<mallId>:<userId>. The user of that id (the built-in behavior `user`) pays.
 * State:  {"status": "open" | "paying", "items": [{"sku", "quantity", "price"}], "orders": n}
 *
 *     add {sku, quantity, price}  more of an item; the price of the last time counts
 *     remove {sku}                all of an item
 *     checkout                    asks the user's balance for the total; `settled` brings the answer
 *     abandon                     sent by the timer, a day after the last change: the cart is emptied
 *
 * Events: order_placed {order, total, items}, cart_abandoned {items}
 */
#include "cart.h"

#include <stdio.h>
#include <string.h>

#define ITEMS_MAX 100
#define QUANTITY_MAX 1000
#define PRICE_MAX 1000000 /* with the two above, a total is far from any limit */
#define ABANDONED_AFTER_MS (INT64_C(24) * 3600 * 1000)

/* ---- looking at a state ------------------------------------------------------------------------ */

static const json_t *items_of(const json_t *state)
{
    return json_object_get(state, "items");
}

static json_int_t number_of(const json_t *object, const char *member)
{
    return json_integer_value(json_object_get(object, member));
}

static const char *text_of(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

static bool is_paying(const json_t *state)
{
    const char *status = text_of(state, "status");
    return status != NULL && strcmp(status, "paying") == 0;
}

static json_int_t total_of(const json_t *state)
{
    json_int_t total = 0;
    for (size_t i = 0; i < json_array_size(items_of(state)); i++) {
        const json_t *item = json_array_get(items_of(state), i);
        total += number_of(item, "quantity") * number_of(item, "price");
    }
    return total;
}

/* What is asked of the balance for this order, and so what its answer names. */
static void order_key(const json_t *state, const alv_command *command, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%" JSON_INTEGER_FORMAT, command->key,
                   number_of(state, "orders") + 1);
}

/* ---- changing it ------------------------------------------------------------------------------- */

/* A record may carry any time. */
static int64_t later(int64_t now_ms, int64_t by_ms)
{
    return now_ms > INT64_MAX - by_ms ? INT64_MAX : now_ms + by_ms;
}

/* The items without those of `sku`, a new list of borrowed items: what is in a state must not be changed. */
static json_t *items_without(const json_t *state, const char *sku, const json_t **out_found)
{
    json_t *items = json_array();
    *out_found = NULL;
    for (size_t i = 0; i < json_array_size(items_of(state)); i++) {
        json_t *item = json_array_get(items_of(state), i);
        if (strcmp(text_of(item, "sku"), sku) == 0) {
            *out_found = item;
        } else {
            json_array_append(items, item);
        }
    }
    return items;
}

/* Steals `items`. */
static void put_items(alv_effects *effects, int64_t now_ms, json_t *items)
{
    alv_timer_set(effects, "abandoned", later(now_ms, ABANDONED_AFTER_MS),
                  json_pack("{s:s}", "type", "abandon"));
    alv_reply(effects, "{s:I}", "items", (json_int_t)json_array_size(items));
    alv_set(effects, "items", items);
}

static void cart_add(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    const char *sku = text_of(command->body, "sku");
    const json_t *found = NULL;
    if (is_paying(state)) {
        alv_reject(effects, "the cart is being paid");
        return;
    }
    json_t *items = items_without(state, sku, &found);
    json_int_t quantity = number_of(found, "quantity") + number_of(command->body, "quantity");
    json_int_t price = number_of(command->body, "price");
    if (json_array_size(items) >= ITEMS_MAX || quantity > QUANTITY_MAX || price > PRICE_MAX) {
        alv_reject(effects, "at most %d items of %d pieces, %d each", ITEMS_MAX, QUANTITY_MAX,
                   PRICE_MAX);
        json_decref(items);
        return;
    }
    json_array_append_new(
        items, json_pack("{s:s, s:I, s:I}", "sku", sku, "quantity", quantity, "price", price));
    put_items(effects, now_ms, items);
}

static void cart_remove(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    const json_t *found = NULL;
    if (is_paying(state)) {
        alv_reject(effects, "the cart is being paid");
        return;
    }
    json_t *items = items_without(state, text_of(command->body, "sku"), &found);
    if (found == NULL) {
        alv_reject(effects, "there is none in the cart");
        json_decref(items);
        return;
    }
    put_items(effects, now_ms, items);
}

/* The amount is asked for in the transaction that says so, and once: the key names the order. */
static void cart_checkout(const json_t *state, const alv_command *command, int64_t now_ms,
                          alv_effects *effects)
{
    (void)now_ms;
    char key[600];
    if (is_paying(state) || total_of(state) == 0) {
        alv_reject(effects, is_paying(state) ? "the cart is being paid" : "the cart is empty");
        return;
    }
    order_key(state, command, key, sizeof key);
    alv_emit(effects, command->id,
             json_pack("{s:s, s:I}", "type", "deduct_balance", "amount", total_of(state)), key,
             "settled");
    alv_set(effects, "status", json_string("paying"));
    alv_timer_cancel(effects, "abandoned");
    alv_reply(effects, "{s:I}", "total", total_of(state));
}

/* Anybody who may write commands could write one of this name: it must be the answer that is waited for. */
static bool is_expected(const json_t *state, const alv_command *command)
{
    char key[600];
    order_key(state, command, key, sizeof key);
    const char *named = text_of(command->body, "idempotencyKey");
    return is_paying(state) && command->from != NULL && strcmp(command->from, command->id) == 0 &&
           named != NULL && strcmp(named, key) == 0;
}

static void cart_settled(const json_t *state, const alv_command *command, int64_t now_ms,
                         alv_effects *effects)
{
    if (!is_expected(state, command)) {
        return;
    }
    alv_set(effects, "status", json_string("open"));
    if (!json_is_true(json_object_get(command->body, "accepted"))) {
        alv_timer_set(effects, "abandoned", later(now_ms, ABANDONED_AFTER_MS),
                      json_pack("{s:s}", "type", "abandon"));
        return; /* the items stay; the customer may charge the balance and try again */
    }
    json_int_t order = number_of(state, "orders") + 1;
    alv_publish(effects, json_pack("{s:s, s:I, s:I, s:O}", "event", "order_placed", "order", order,
                                   "total", total_of(state), "items", items_of(state)));
    alv_set(effects, "orders", json_integer(order));
    alv_set(effects, "items", json_array());
}

static void cart_abandon(const json_t *state, const alv_command *command, int64_t now_ms,
                         alv_effects *effects)
{
    (void)now_ms;
    if (command->timer == NULL || json_array_size(items_of(state)) == 0) {
        return; /* it is for the timer to say */
    }
    alv_publish(effects,
                json_pack("{s:s, s:O}", "event", "cart_abandoned", "items", items_of(state)));
    alv_set(effects, "items", json_array());
}

/* ---- the table --------------------------------------------------------------------------------- */

static json_t *cart_init(const char *key, const char *id)
{
    (void)key;
    (void)id;
    return json_pack("{s:s, s:[], s:i}", "status", "open", "items", "orders", 0);
}

static bool cart_accepts(const char *id)
{
    const char *colon = strchr(id, ':');
    return colon != NULL && colon != id && colon[1] != '\0' && strchr(id, '/') == NULL;
}

/* Version 1 had a list of pieces, ["tea", "tea"], and {"prices": {"tea": 5}}. */
static bool cart_migrate(uint32_t from, json_t *state)
{
    (void)from; /* there was one version before */
    json_t *counts = json_object();
    size_t index;
    json_t *piece;
    json_array_foreach(json_object_get(state, "items"), index, piece)
    {
        const char *sku = json_string_value(piece);
        json_object_set_new(counts, sku, json_integer(number_of(counts, sku) + 1));
    }
    json_t *items = json_array();
    const char *sku;
    json_t *count;
    json_object_foreach(counts, sku, count)
    {
        json_int_t price = number_of(json_object_get(state, "prices"), sku);
        json_array_append_new(
            items, json_pack("{s:s, s:O, s:I}", "sku", sku, "quantity", count, "price", price));
    }
    json_decref(counts);
    json_object_del(state, "prices");
    return json_object_set_new(state, "items", items) == 0;
}

static const alv_command_row cart_commands[] = {
    {"add",
     cart_add,
     {ALV_REQUIRED("sku", ALV_FIELD_TEXT), ALV_REQUIRED("quantity", ALV_FIELD_POSITIVE),
      ALV_REQUIRED("price", ALV_FIELD_POSITIVE)}},
    {"remove", cart_remove, {ALV_REQUIRED("sku", ALV_FIELD_TEXT)}},
    {.name = "checkout", .handler = cart_checkout},
    {.name = "settled", .handler = cart_settled},
    {.name = "abandon", .handler = cart_abandon},
};

const alv_behavior cart_behavior = {
    ALV_BEHAVIOR_HEAD,         .type = "cart",
    .commands = cart_commands, .command_count = sizeof cart_commands / sizeof cart_commands[0],
    .init = cart_init,         .accepts = cart_accepts,
    .state_version = 2,        .migrate = cart_migrate,
};

static const alv_behavior *const behaviors[] = {&cart_behavior};

const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,    .name = "cart",      .version = "2.0.0",       .behaviors = behaviors,
    .behavior_count = 1, .tests = cart_tests, .test_count = CART_TESTS,
};
