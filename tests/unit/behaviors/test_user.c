/* Goal:   the user behavior does what its table says, to the letter of the JSON, for any history.
 * Method: each command goes the way of a real one: JSON text -> decode -> handler -> effects ->
 *         state. First row by row and at the edges, then thousands of random histories against a
 *         model in plain C that shares no code with it. The seed is printed; ALV_SEED repeats a
 *         run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "behaviors/builtin.h"
#include "processor/command.h"
#include "processor/effects.h"

#define NOW_MS 1767323045678
#define NOW "2026-01-02T03:04:05.678Z"
#define NEW_USER                                                            \
    "{\"mallId\":\"m1\",\"userId\":\"u7\",\"nickname\":null,\"balance\":0," \
    "\"lastLogin\":null,\"lastCartUsedTime\":null,\"recentProducts\":[],"   \
    "\"marketingOptIn\":false,\"lastEventTime\":null}"

/* ---- one command ----------------------------------------------------------------------------- */

typedef struct bench {
    alv_registry *registry;
    const alv_behavior *behavior;
    alv_effects *effects;
} bench;

static int setup(void **state)
{
    static bench the_bench;
    the_bench.registry = alv_registry_new();
    the_bench.effects = alv_effects_new();
    assert_int_equal(alv_builtin_register(the_bench.registry, NULL), ALV_OK);
    size_t id_at;
    the_bench.behavior = alv_registry_find(the_bench.registry, ALV_VIEW("user/x"), &id_at);
    assert_non_null(the_bench.behavior);
    *state = &the_bench;
    return 0;
}

static int teardown(void **state)
{
    bench *at = *state;
    alv_effects_free(at->effects);
    alv_registry_free(at->registry);
    return 0;
}

static char *text_of(const json_t *value)
{
    if (value == NULL)
        return NULL;
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(text);
    return text;
}

static void assert_text(const char *what, const json_t *value, const char *expected)
{
    char *text = text_of(value);
    if ((text == NULL) != (expected == NULL) || (text != NULL && strcmp(text, expected) != 0))
        fail_msg("%s: %s\nexpected: %s", what, text ? text : "none", expected ? expected : "none");
    free(text); /* jansson's */
}

/* Runs a command on *entity, which takes its effects; the reply is borrowed from the effects. */
static json_t *run(bench *at, json_t **entity, const char *id, const char *command, int64_t now_ms)
{
    char key[200];
    (void)snprintf(key, sizeof key, "user/%s", id);
    assert_true(at->behavior->accepts(id));

    alv_error err = ALV_ERROR_NONE;
    alv_decoded decoded;
    if (alv_command_decode(at->behavior, alv_view_of(command), &decoded, &err) != ALV_REASON_NONE)
        fail_msg("%s: %s", command, err.text);
    const alv_command given = {
        .name = decoded.row->name, .key = key, .id = id, .body = decoded.body};
    char *before = text_of(*entity);
    alv_effects_begin(at->effects, true);
    decoded.row->handler(*entity, &given, now_ms, at->effects);
    assert_text("state after the handler", *entity, before); /* it changes nothing itself */
    free(before);
    if (alv_effects_changes(at->effects, *entity != NULL))
        alv_effects_apply(at->effects, at->behavior, key, id, entity);
    alv_decoded_done(&decoded);
    return alv_effects_reply(at->effects);
}

static void assert_run(void **state, const char *before, const char *command, const char *after,
                       const char *reply)
{
    bench *at = *state;
    json_t *entity = before == NULL ? NULL : json_loads(before, 0, NULL);
    assert_true(before == NULL || entity != NULL);
    json_t *got = run(at, &entity, "m1:u7", command, NOW_MS);
    assert_text("state", entity, after);
    assert_text("reply", got, reply);
    json_decref(entity);
}

static void assert_bad_field(void **state, const char *command, const char *detail)
{
    bench *at = *state;
    alv_error err = ALV_ERROR_NONE;
    alv_decoded decoded;
    assert_int_equal(alv_command_decode(at->behavior, alv_view_of(command), &decoded, &err),
                     ALV_REASON_BAD_FIELD);
    assert_string_equal(err.text, detail);
}

/* ---- row by row ------------------------------------------------------------------------------ */

/* A state with one value in the place that matters and the rest as in an old user's. */
#define USER(nickname, balance, login, cart, products, opt_in, event)                     \
    "{\"mallId\":\"m1\",\"userId\":\"u7\",\"nickname\":" nickname ",\"balance\":" balance \
    ",\"lastLogin\":" login ",\"lastCartUsedTime\":" cart ",\"recentProducts\":" products \
    ",\"marketingOptIn\":" opt_in ",\"lastEventTime\":" event "}"
#define OLD "\"2020-01-01T00:00:00.000Z\""
#define T "\"" NOW "\""
#define OLD_USER USER("\"Kim\"", "100", OLD, OLD, "[\"p1\"]", "true", OLD)

static void user__login(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"login\"}",
               USER("\"Kim\"", "100", T, OLD, "[\"p1\"]", "true", T), "{\"event\":\"login\"}");
    assert_run(state, NULL, "{\"type\":\"login\"}", USER("null", "0", T, "null", "[]", "false", T),
               "{\"event\":\"login\"}");
}

static void user__use_cart(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"use_cart\"}",
               USER("\"Kim\"", "100", OLD, T, "[\"p1\"]", "true", T), "{\"event\":\"cart_used\"}");
    assert_run(state, NULL, "{\"type\":\"use_cart\"}",
               USER("null", "0", "null", T, "[]", "false", T), "{\"event\":\"cart_used\"}");
}

static void user__view_product(void **state)
{
    static const struct {
        const char *before, *viewed, *after;
    } cases[] = {
        {"[]", "p1", "[\"p1\"]"},
        {"[\"p1\"]", "p2", "[\"p2\",\"p1\"]"},
        {"[\"p2\",\"p1\"]", "p3", "[\"p3\",\"p2\",\"p1\"]"},
        {"[\"p3\",\"p2\",\"p1\"]", "p4", "[\"p4\",\"p3\",\"p2\"]"},
        {"[\"p3\",\"p2\",\"p1\"]", "p1", "[\"p1\",\"p3\",\"p2\"]"},
        {"[\"p3\",\"p2\",\"p1\"]", "p2", "[\"p2\",\"p3\",\"p1\"]"},
        {"[\"p3\",\"p2\",\"p1\"]", "p3", "[\"p3\",\"p2\",\"p1\"]"},
        {"[\"p1\"]", "", "[\"\",\"p1\"]"},
        {"[\"a\",\"b\",\"c\",\"d\",\"e\"]", "b", "[\"b\",\"a\",\"c\"]"}, /* written by others */
        {"null", "p1", "[\"p1\"]"},
        {"[7,\"7\"]", "7", "[\"7\",7]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const char form[] = USER("null", "0", "null", "null", "%s", "false", "%s");
        char before[400], command[100], after[400];
        (void)snprintf(before, sizeof before, form, cases[i].before, "null");
        (void)snprintf(command, sizeof command, "{\"type\":\"view_product\",\"productId\":\"%s\"}",
                       cases[i].viewed);
        (void)snprintf(after, sizeof after, form, cases[i].after, T);
        assert_run(state, before, command, after, "{\"event\":\"product_viewed\"}");
    }
    assert_run(state, NULL, "{\"type\":\"view_product\",\"productId\":\"\xea\xb0\x80\\n\"}",
               USER("null", "0", "null", "null", "[\"\xea\xb0\x80\\n\"]", "false", T),
               "{\"event\":\"product_viewed\"}");
    assert_bad_field(state, "{\"type\":\"view_product\",\"productId\":7}",
                     "field \"productId\" must be a string, is 7");
}

static void user__set_marketing_opt_in(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"set_marketing_opt_in\",\"optIn\":false}",
               USER("\"Kim\"", "100", OLD, OLD, "[\"p1\"]", "false", T),
               "{\"event\":\"marketing_opt_in_set\"}");
    assert_run(state, NULL, "{\"type\":\"set_marketing_opt_in\",\"optIn\":true}",
               USER("null", "0", "null", "null", "[]", "true", T),
               "{\"event\":\"marketing_opt_in_set\"}");
    assert_bad_field(state, "{\"type\":\"set_marketing_opt_in\",\"optIn\":\"yes\"}",
                     "field \"optIn\" must be true or false, is \"yes\"");
}

static void user__update_profile(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"update_profile\",\"nickname\":\"Lee \\\"L\\\"\"}",
               USER("\"Lee \\\"L\\\"\"", "100", OLD, OLD, "[\"p1\"]", "true", T),
               "{\"event\":\"profile_updated\"}");
    assert_run(state, NULL, "{\"type\":\"update_profile\",\"nickname\":\"\"}",
               USER("\"\"", "0", "null", "null", "[]", "false", T),
               "{\"event\":\"profile_updated\"}");
    assert_bad_field(state, "{\"type\":\"update_profile\",\"nickname\":null}",
                     "field \"nickname\" must be a string, is null");
    assert_bad_field(state, "{\"type\":\"update_profile\"}",
                     "field \"nickname\" must be a string, is missing");
}

static void user__add_balance(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"add_balance\",\"amount\":7,\"transferId\":\"t1\"}",
               USER("\"Kim\"", "107", OLD, OLD, "[\"p1\"]", "true", T),
               "{\"event\":\"balance_added\",\"balance\":107}");
    assert_run(state, NULL, "{\"type\":\"add_balance\",\"amount\":9223372036854775807}",
               USER("null", "9223372036854775807", "null", "null", "[]", "false", T),
               "{\"event\":\"balance_added\",\"balance\":9223372036854775807}");
}

static void user__refund_balance(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"refund_balance\",\"amount\":1,\"transferId\":null}",
               USER("\"Kim\"", "101", OLD, OLD, "[\"p1\"]", "true", T),
               "{\"event\":\"balance_refunded\",\"balance\":101}");
    assert_run(state, NULL, "{\"type\":\"refund_balance\",\"amount\":5}",
               USER("null", "5", "null", "null", "[]", "false", T),
               "{\"event\":\"balance_refunded\",\"balance\":5}");
}

static void user__deduct_balance(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"deduct_balance\",\"amount\":99}",
               USER("\"Kim\"", "1", OLD, OLD, "[\"p1\"]", "true", T),
               "{\"event\":\"balance_deducted\",\"balance\":1}");
    assert_run(state, OLD_USER, "{\"type\":\"deduct_balance\",\"amount\":100}",
               USER("\"Kim\"", "0", OLD, OLD, "[\"p1\"]", "true", T),
               "{\"event\":\"balance_deducted\",\"balance\":0}");
}

static void user__never_owes(void **state)
{
    const char *reply = "{\"error\":\"insufficient balance\"}";
    assert_run(state, OLD_USER, "{\"type\":\"deduct_balance\",\"amount\":101}", OLD_USER, reply);
    assert_run(state, OLD_USER, "{\"type\":\"deduct_balance\",\"amount\":9223372036854775807}",
               OLD_USER, reply);
    assert_run(state, NULL, "{\"type\":\"deduct_balance\",\"amount\":1}", NULL, reply);
    const char *owing = USER("null", "-9223372036854775808", OLD, OLD, "[]", "true", OLD);
    assert_run(state, owing, "{\"type\":\"deduct_balance\",\"amount\":1}", owing, reply);
}

static void user__cannot_have_more_than_the_largest_number(void **state)
{
    static const char *const names[] = {"add_balance", "refund_balance"};
    const char *full = USER("null", "9223372036854775806", OLD, OLD, "[]", "true", OLD);
    for (size_t i = 0; i < 2; i++) {
        char command[100];
        (void)snprintf(command, sizeof command, "{\"type\":\"%s\",\"amount\":2}", names[i]);
        assert_run(state, full, command, full, "{\"error\":\"balance too large\"}");
    }
}

static void user__takes_whole_amounts_above_0_only(void **state)
{
    static const char *const names[] = {"add_balance", "deduct_balance", "refund_balance"};
    static const char *const amounts[] = {"0", "-1", "1.5", "\"1\"", "null", "true"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof amounts / sizeof amounts[0]; k++) {
            char command[100], detail[100];
            (void)snprintf(command, sizeof command, "{\"type\":\"%s\",\"amount\":%s}", names[i],
                           amounts[k]);
            (void)snprintf(detail, sizeof detail,
                           "field \"amount\" must be a whole number > 0, is %s", amounts[k]);
            assert_bad_field(state, command, detail);
        }
    }
    assert_bad_field(state, "{\"type\":\"add_balance\",\"amount\":1,\"transferId\":1}",
                     "field \"transferId\" must be a string, is 1");
}

static void user__with_a_broken_balance_keeps_it(void **state)
{
    const char *broken = USER("null", "12.5", OLD, OLD, "[]", "true", OLD);
    const char *reply = "{\"error\":\"the stored balance is not a whole number\"}";
    assert_run(state, broken, "{\"type\":\"add_balance\",\"amount\":1}", broken, reply);
    assert_run(state, broken, "{\"type\":\"refund_balance\",\"amount\":1}", broken, reply);
    assert_run(state, broken, "{\"type\":\"deduct_balance\",\"amount\":1}", broken, reply);
}

static void user__get_user_state(void **state)
{
    assert_run(state, OLD_USER, "{\"type\":\"get_user_state\"}", OLD_USER,
               "{\"state\":" OLD_USER "}");
    assert_run(state, NULL, "{\"type\":\"get_user_state\"}", NULL, "{\"state\":null}");
    bench *at = *state;
    assert_false(alv_effects_changes(at->effects, true));
}

static void user__delete_user(void **state)
{
    bench *at = *state;
    assert_run(state, OLD_USER, "{\"type\":\"delete_user\"}", NULL, "{\"event\":\"deleted\"}");
    assert_true(alv_effects_changes(at->effects, true));
    assert_run(state, NULL, "{\"type\":\"delete_user\"}", NULL, "{\"event\":\"deleted\"}");
    assert_false(alv_effects_changes(at->effects, false)); /* no tombstone */
}

static void user__keeps_members_it_does_not_know(void **state)
{
    assert_run(state, "{\"balance\":1,\"vip\":{\"since\":2020}}",
               "{\"type\":\"add_balance\",\"amount\":1}",
               "{\"balance\":2,\"vip\":{\"since\":2020},\"lastEventTime\":" T "}",
               "{\"event\":\"balance_added\",\"balance\":2}");
}

/* ---- times and ids --------------------------------------------------------------------------- */

static void user__takes_the_time_of_the_command(void **state)
{
    assert_run(state, NULL, "{\"type\":\"login\",\"time\":0}",
               USER("null", "0", "\"1970-01-01T00:00:00.000Z\"", "null", "[]", "false",
                    "\"1970-01-01T00:00:00.000Z\""),
               "{\"event\":\"login\"}");
    assert_run(state, NULL, "{\"type\":\"login\",\"time\":null}",
               USER("null", "0", T, "null", "[]", "false", T), "{\"event\":\"login\"}");
    assert_bad_field(state, "{\"type\":\"login\",\"time\":\"2026-01-02\"}",
                     "field \"time\" must be a whole number, is \"2026-01-02\"");
}

static void user__rejects_times_that_have_no_text(void **state)
{
    static const char *const commands[] = {
        "\"login\"",
        "\"use_cart\"",
        "\"view_product\",\"productId\":\"p\"",
        "\"set_marketing_opt_in\",\"optIn\":true",
        "\"update_profile\",\"nickname\":\"n\"",
        "\"add_balance\",\"amount\":1",
        "\"deduct_balance\",\"amount\":1",
        "\"refund_balance\",\"amount\":1",
    };
    static const char *const times[] = {"253402300800000", "-62167219200001", "9223372036854775807",
                                        "-9223372036854775808"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        for (size_t k = 0; k < 4; k++) {
            char command[200], reply[200];
            (void)snprintf(command, sizeof command, "{\"type\":%s,\"time\":%s}", commands[i],
                           times[k]);
            (void)snprintf(reply, sizeof reply,
                           "{\"error\":\"time %s is outside the years 0 to 9999\"}", times[k]);
            assert_run(state, OLD_USER, command, OLD_USER, reply);
        }
    }
    bench *at = *state;
    json_t *entity = NULL;
    (void)run(at, &entity, "m1:u7", "{\"type\":\"login\"}", INT64_MIN);
    assert_null(entity);
    assert_non_null(alv_effects_rejection(at->effects));
}

static void user__has_a_mall_and_an_id(void **state)
{
    bench *at = *state;
    static const char *const refused[] = {"", ":", "m", "m:", ":u", "::", ":u:x"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(at->behavior->accepts(refused[i]));

    static const struct {
        const char *id, *mall, *user;
    } accepted[] = {
        {"m:u", "m", "u"},
        {"m:u:v", "m", "u:v"},
        {"m::", "m", ":"},
        {"m:a/b", "m", "a/b"},
        {"\xea\xb0\x80:\xc3\xa9", "\xea\xb0\x80", "\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        json_t *entity = NULL;
        (void)run(at, &entity, accepted[i].id, "{\"type\":\"login\"}", NOW_MS);
        assert_string_equal(json_string_value(json_object_get(entity, "mallId")), accepted[i].mall);
        assert_string_equal(json_string_value(json_object_get(entity, "userId")), accepted[i].user);
        json_decref(entity);
    }
}

static void user__starts_as_documented(void **state)
{
    bench *at = *state;
    json_t *first = at->behavior->init("user/m1:u7", "m1:u7");
    assert_text("first state", first, NEW_USER);
    json_decref(first);
}

static void user__is_registered_once(void **state)
{
    bench *at = *state;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_builtin_register(at->registry, &err), ALV_REJECT);
    assert_string_equal(err.text,
                        "there are two behaviors for type \"user\", the other built in: change "
                        "the type, or load one of them only");
}

/* ---- random histories against a model -------------------------------------------------------- */

typedef struct model {
    bool exists;
    char nickname[16]; /* "" = null */
    int64_t balance;
    char login[32], cart[32], event[32]; /* "" = null */
    int products[3];                     /* newest first */
    int product_count;
    bool opt_in;
} model;

static uint64_t seed;
static uint64_t random_state;

static uint64_t random_below(uint64_t bound)
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
}

static void model_time(int64_t time_ms, char out[32])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    char text[24];
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    (void)snprintf(out, 32, "%s.%03dZ", text, (int)(time_ms % 1000));
}

static const char *model_quoted(const char *text, char out[40])
{
    (void)snprintf(out, 40, text[0] == '\0' ? "null" : "\"%s\"", text);
    return out;
}

static void model_write(const model *user, char *out, size_t size)
{
    char nickname[40], login[40], cart[40], event[40], products[64] = "";
    for (int i = 0; i < user->product_count; i++)
        (void)snprintf(products + strlen(products), sizeof products - strlen(products), "%s\"p%d\"",
                       i > 0 ? "," : "", user->products[i]);
    (void)snprintf(out, size,
                   "{\"mallId\":\"m1\",\"userId\":\"u7\",\"nickname\":%s,\"balance\":%" PRId64
                   ",\"lastLogin\":%s,\"lastCartUsedTime\":%s,\"recentProducts\":[%s],"
                   "\"marketingOptIn\":%s,\"lastEventTime\":%s}",
                   model_quoted(user->nickname, nickname), user->balance,
                   model_quoted(user->login, login), model_quoted(user->cart, cart), products,
                   user->opt_in ? "true" : "false", model_quoted(user->event, event));
}

static void model_view(model *user, int product)
{
    int kept[3] = {product, 0, 0};
    int count = 1;
    for (int i = 0; i < user->product_count && count < 3; i++) {
        if (user->products[i] != product)
            kept[count++] = user->products[i];
    }
    memcpy(user->products, kept, sizeof kept);
    user->product_count = count;
}

/* What is under way: the command's text, and what the model says about reply and state. */
typedef struct step {
    char command[256];
    char reply[600];
    int64_t now_ms;
} step;

static int64_t random_amount(void)
{
    switch (random_below(8)) {
    case 0:
        return INT64_MAX - (int64_t)random_below(3);
    case 1:
        return INT64_MAX / 2 + (int64_t)random_below(1000);
    default:
        return 1 + (int64_t)random_below(200);
    }
}

static bool model_money(model *user, step *out, const char *verb, const char *past, int sign,
                        const char *time)
{
    int64_t amount = random_amount();
    (void)snprintf(out->command, sizeof out->command,
                   "{\"type\":\"%s_balance\",\"amount\":%" PRId64 "%s}", verb, amount, time);
    int64_t balance;
    if (__builtin_add_overflow(user->balance, sign * amount, &balance) || balance < 0) {
        (void)snprintf(out->reply, sizeof out->reply, "{\"error\":\"%s\"}",
                       sign > 0 ? "balance too large" : "insufficient balance");
        return false;
    }
    user->balance = balance;
    (void)snprintf(out->reply, sizeof out->reply,
                   "{\"event\":\"balance_%s\",\"balance\":%" PRId64 "}", past, balance);
    return true;
}

/* Makes up a command with no more fields than `extra` (",..." or "") and its reply. */
static void model_say(step *out, const char *type, const char *extra, const char *time,
                      const char *event)
{
    (void)snprintf(out->command, sizeof out->command, "{\"type\":\"%s\"%s%s}", type, extra, time);
    (void)snprintf(out->reply, sizeof out->reply, "{\"event\":\"%s\"}", event);
}

static void model_get(const model *user, step *out)
{
    char text[500] = "null";
    if (user->exists)
        model_write(user, text, sizeof text);
    (void)snprintf(out->command, sizeof out->command, "{\"type\":\"get_user_state\"}");
    (void)snprintf(out->reply, sizeof out->reply, "{\"state\":%s}", text);
}

/* Invents the next command and lets the model live through it. */
static step model_step(model *user)
{
    step out = {.now_ms = (int64_t)random_below(4102444800000)};
    int64_t time_ms = out.now_ms;
    char time[40] = "", extra[64] = "", now[32];
    if (random_below(2) == 0) {
        time_ms = (int64_t)random_below(253402300800000);
        (void)snprintf(time, sizeof time, ",\"time\":%" PRId64, time_ms);
    }
    model_time(time_ms, now);

    bool changed = true;
    switch (random_below(20)) {
    case 0:
    case 1:
        model_say(&out, "login", "", time, "login");
        memcpy(user->login, now, sizeof now);
        break;
    case 2:
    case 3:
        model_say(&out, "use_cart", "", time, "cart_used");
        memcpy(user->cart, now, sizeof now);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        model_view(user, (int)random_below(6));
        (void)snprintf(extra, sizeof extra, ",\"productId\":\"p%d\"", user->products[0]);
        model_say(&out, "view_product", extra, time, "product_viewed");
        break;
    case 8:
        user->opt_in = random_below(2) == 0;
        (void)snprintf(extra, sizeof extra, ",\"optIn\":%s", user->opt_in ? "true" : "false");
        model_say(&out, "set_marketing_opt_in", extra, time, "marketing_opt_in_set");
        break;
    case 9:
        (void)snprintf(user->nickname, sizeof user->nickname, "n%d", (int)random_below(1000));
        (void)snprintf(extra, sizeof extra, ",\"nickname\":\"%s\"", user->nickname);
        model_say(&out, "update_profile", extra, time, "profile_updated");
        break;
    case 10:
        model_get(user, &out);
        changed = false;
        break;
    case 11:
        model_say(&out, "delete_user", "", time, "deleted");
        memset(user, 0, sizeof *user);
        changed = false;
        break;
    case 12:
    case 13:
    case 14:
        changed = model_money(user, &out, "add", "added", 1, time);
        break;
    case 15:
        changed = model_money(user, &out, "refund", "refunded", 1, time);
        break;
    default:
        changed = model_money(user, &out, "deduct", "deducted", -1, time);
        break;
    }
    if (changed) {
        user->exists = true;
        memcpy(user->event, now, sizeof now);
    }
    return out;
}

static void user__agrees_with_a_model_over_random_histories(void **state)
{
    bench *at = *state;
    print_message("seed %" PRIu64 " (repeat with ALV_SEED)\n", seed);
    random_state = seed;
    size_t ends_with_a_user = 0;
    for (int history = 0; history < 4000; history++) {
        model user = {0};
        json_t *entity = NULL;
        uint64_t length = 1 + random_below(40);
        for (uint64_t i = 0; i < length; i++) {
            step next = model_step(&user);
            json_t *reply = run(at, &entity, "m1:u7", next.command, next.now_ms);
            assert_text(next.command, reply, next.reply);
            assert_int_equal(entity != NULL, user.exists);
        }
        char expected[500];
        model_write(&user, expected, sizeof expected);
        assert_text("end of a history", entity, user.exists ? expected : NULL);
        ends_with_a_user += user.exists;
        json_decref(entity);
    }
    assert_true(ends_with_a_user > 2000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const char *given = getenv("ALV_SEED");
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 10)
                         : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    const struct CMUnitTest tests[] = {
        TEST(user__login),
        TEST(user__use_cart),
        TEST(user__view_product),
        TEST(user__set_marketing_opt_in),
        TEST(user__update_profile),
        TEST(user__add_balance),
        TEST(user__refund_balance),
        TEST(user__deduct_balance),
        TEST(user__never_owes),
        TEST(user__cannot_have_more_than_the_largest_number),
        TEST(user__takes_whole_amounts_above_0_only),
        TEST(user__with_a_broken_balance_keeps_it),
        TEST(user__get_user_state),
        TEST(user__delete_user),
        TEST(user__keeps_members_it_does_not_know),
        TEST(user__takes_the_time_of_the_command),
        TEST(user__rejects_times_that_have_no_text),
        TEST(user__has_a_mall_and_an_id),
        TEST(user__starts_as_documented),
        TEST(user__is_registered_once),
        TEST(user__agrees_with_a_model_over_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
