#include "tests/support/user_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

uint64_t alv_user_model_random(uint64_t *random)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return *random * UINT64_C(2685821657736338717);
}

void alv_user_model_init(alv_user_model *model, unsigned number)
{
    *model = (alv_user_model){.exists = false};
    (void)snprintf(model->mall, sizeof(model->mall), "mall-%u", number % 7);
    (void)snprintf(model->user, sizeof(model->user), "user-%u", number);
}

void alv_user_model_key(const alv_user_model *model, char *out, size_t size)
{
    (void)snprintf(out, size, "%s:%s", model->mall, model->user);
}

/* A user who does not exist yet, or not any more, starts from nothing. */
static void model_touch(alv_user_model *model, int64_t time_ms)
{
    model->exists = true;
    model->last_event_ms = time_ms;
}

static void model_view(alv_user_model *model, int product)
{
    int recent[ALV_USER_MODEL_RECENT] = {product};
    int count = 1;
    for (int i = 0; i < ALV_USER_MODEL_RECENT; i++) {
        int before = model->recent[i];
        if (before != 0 && before != product && count < ALV_USER_MODEL_RECENT) {
            recent[count++] = before;
        }
    }
    memcpy(model->recent, recent, sizeof(recent));
}

static void model_forget(alv_user_model *model)
{
    alv_user_model empty = {.exists = false};
    memcpy(empty.mall, model->mall, sizeof(empty.mall));
    memcpy(empty.user, model->user, sizeof(empty.user));
    *model = empty;
}

/* The commands that move money. Returns the command's name. */
static const char *model_money(alv_user_model *model, unsigned dice, int64_t amount,
                               int64_t time_ms)
{
    if (dice < 45) {
        model->balance += amount;
        model_touch(model, time_ms);
        return dice < 40 ? "add_balance" : "refund_balance";
    }
    if (model->balance >= amount) {
        model->balance -= amount;
        model_touch(model, time_ms);
    }
    return "deduct_balance";
}

/* The others. Returns the name, and what is to stand in the command beside it. */
static const char *model_other(alv_user_model *model, unsigned dice, int number, int64_t time_ms,
                               char *fields, size_t size)
{
    if (dice == 99) {
        model_forget(model);
        return "delete_user";
    }
    if (dice >= 97) {
        return "get_user_state";
    }
    model_touch(model, time_ms);
    if (dice >= 92) {
        model->last_login_ms = time_ms;
        return "login";
    }
    if (dice >= 88) {
        model->last_cart_ms = time_ms;
        return "use_cart";
    }
    if (dice >= 84) {
        model->opt_in = number % 2 == 0;
        (void)snprintf(fields, size, ",\"optIn\":%s", model->opt_in ? "true" : "false");
        return "set_marketing_opt_in";
    }
    if (dice >= 80) {
        model->nickname = number;
        (void)snprintf(fields, size, ",\"nickname\":\"nick-%d\"", number);
        return "update_profile";
    }
    model_view(model, number);
    (void)snprintf(fields, size, ",\"productId\":\"product-%d\"", number);
    return "view_product";
}

void alv_user_model_step(alv_user_model *model, uint64_t *random, int64_t time_ms,
                         alv_user_command *out)
{
    unsigned dice = (unsigned)(alv_user_model_random(random) % 100);
    int number = (int)(alv_user_model_random(random) % 9) + 1;
    bool has_time = alv_user_model_random(random) % 4 != 0;
    char fields[64] = "";
    const char *name;
    if (dice < 65) {
        int64_t amount = number * 10;
        (void)snprintf(fields, sizeof(fields), ",\"amount\":%" PRId64 ",\"transferId\":\"t-%d\"",
                       amount, number);
        name = model_money(model, dice, amount, time_ms);
    } else {
        name = model_other(model, dice, number, time_ms, fields, sizeof(fields));
    }
    alv_user_model_key(model, out->key, sizeof(out->key));
    if (has_time) { /* then the record's time must not matter */
        out->timestamp_ms = time_ms - 777;
        (void)snprintf(out->value, sizeof(out->value), "{\"type\":\"%s\"%s,\"time\":%" PRId64 "}",
                       name, fields, time_ms);
    } else {
        out->timestamp_ms = time_ms;
        (void)snprintf(out->value, sizeof(out->value), "{\"type\":\"%s\"%s}", name, fields);
    }
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static json_t *time_to_json(int64_t time_ms)
{
    if (time_ms == 0) {
        return json_null();
    }
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc;
    char date[32];
    char text[48];
    ALV_ASSERT(gmtime_r(&seconds, &utc) != NULL);
    (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text, sizeof(text), "%s.%03dZ", date, (int)(time_ms % 1000));
    return json_string(text);
}

static json_t *numbered_to_json(const char *stem, int number)
{
    return number == 0 ? json_null() : json_sprintf("%s-%d", stem, number);
}

json_t *alv_user_model_json(const alv_user_model *model)
{
    if (!model->exists) {
        return NULL;
    }
    json_t *recent = json_array();
    for (int i = 0; i < ALV_USER_MODEL_RECENT && model->recent[i] != 0; i++) {
        json_array_append_new(recent, numbered_to_json("product", model->recent[i]));
    }
    json_t *state = json_object();
    json_object_set_new(state, "mallId", json_string(model->mall));
    json_object_set_new(state, "userId", json_string(model->user));
    json_object_set_new(state, "nickname", numbered_to_json("nick", model->nickname));
    json_object_set_new(state, "balance", json_integer(model->balance));
    json_object_set_new(state, "lastLogin", time_to_json(model->last_login_ms));
    json_object_set_new(state, "lastCartUsedTime", time_to_json(model->last_cart_ms));
    json_object_set_new(state, "recentProducts", recent);
    json_object_set_new(state, "marketingOptIn", json_boolean(model->opt_in));
    json_object_set_new(state, "lastEventTime", time_to_json(model->last_event_ms));
    return state;
}
