/* chaos_load_users.c — commands of all kinds to users, and a model that takes each of them.
 *
 * Why:    the truth is known before anything goes wrong: the model takes each command in the order in
 *         which it is produced, which per user is the order of execution.
 * How:    the first third of the users are counters (chaos_counters.h). The others get commands of all
 *         kinds. A quarter of the adds carry an idempotency key; some of these are sent again, at once or
 *         much later, and must not count. Some commands are of an unknown type and must become dead
 *         letters, each once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/chaos_load_kind.h"
#include "tests/support/user_model.h"

#define USERS_BAD_ONE_IN 300
#define USERS_KEY_BYTES 32

typedef struct load_users {
    alv_chaos_load *load;
    int count;
    uint64_t random;
    int64_t time_ms; /* of the next command: each has its own */
    alv_user_model *models;
    json_t *dead_letters;
    alv_chaos_counters *counters;
    int64_t *keyed; /* per counter: the last add with an idempotency key; -1 = none yet */
} load_users;

/* ---- commands -------------------------------------------------------------------------------- */

static int64_t users_dice(load_users *users, int64_t sides)
{
    return (int64_t)(alv_user_model_random(&users->random) % (uint64_t)sides);
}

static bool users_is_counter(const load_users *users, int user)
{
    return user < alv_chaos_counters_count(users->counters);
}

/* A command for a counter; whether it is an add. */
static bool users_counter_step(load_users *users, int user, int64_t number, alv_user_command *out)
{
    alv_user_model *model = &users->models[user];
    int64_t dice = users_dice(users, 100);
    const char *name = "add_balance";
    char fields[64] = ",\"amount\":1";
    if (dice < 10) {
        name = "update_profile";
        model->nickname = (int)(number % INT32_MAX) + 1;
        (void)snprintf(fields, sizeof(fields), ",\"nickname\":\"nick-%d\"", model->nickname);
    } else if (dice < 15) {
        name = "set_marketing_opt_in";
        model->opt_in = dice % 2 == 0;
        (void)snprintf(fields, sizeof(fields), ",\"optIn\":%s", model->opt_in ? "true" : "false");
    } else {
        model->balance++;
        alv_chaos_counters_note_produced(users->counters, user);
    }
    model->exists = true;
    model->last_event_ms = users->time_ms;
    alv_user_model_key(model, out->key, sizeof(out->key));
    out->timestamp_ms = users->time_ms;
    (void)snprintf(out->value, sizeof(out->value), "{\"type\":\"%s\"%s}", name, fields);
    return dice >= 15;
}

static void users_bad_step(load_users *users, int user, int64_t number, alv_user_command *out)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    json_object_set_new(users->dead_letters, text, json_integer(1));
    alv_user_model_key(&users->models[user], out->key, sizeof(out->key));
    out->timestamp_ms = users->time_ms;
    (void)snprintf(out->value, sizeof(out->value), "{\"type\":\"make_coffee\"}");
}

/* Sends a command; `key` NULL: without an idempotency key; `counter` -1: no add to a counter. */
static void users_send(load_users *users, const alv_user_command *command, int counter,
                       const char *key)
{
    const alv_chaos_command sent = {.key = command->key,
                                    .value = command->value,
                                    .idempotency_key = key,
                                    .timestamp_ms = command->timestamp_ms,
                                    .tag = counter + 1};
    alv_chaos_load_send(users->load, &sent);
}

/* The idempotency key of a command, by its number. */
static const char *users_key(int64_t number, char out[USERS_KEY_BYTES])
{
    (void)snprintf(out, USERS_KEY_BYTES, "key-%" PRId64, number);
    return out;
}

/* An add that was sent before with an idempotency key, once more: it must change nothing, so the model does
 * not hear of it. */
static void users_repeat(load_users *users, int user)
{
    char key[USERS_KEY_BYTES];
    alv_user_command command;
    alv_user_model_key(&users->models[user], command.key, sizeof(command.key));
    command.timestamp_ms = users->time_ms;
    (void)snprintf(command.value, sizeof(command.value), "{\"type\":\"add_balance\",\"amount\":1}");
    users_send(users, &command, -1, users_key(users->keyed[user], key));
}

static void users_step(void *self)
{
    load_users *users = self;
    /* Half of the commands go to a tenth of the users: hot and cold entities, of both kinds. */
    int user = (int)users_dice(users, users->count);
    user =
        users_dice(users, 2) == 0 ? user / ALV_CHAOS_COUNTERS_HOT * ALV_CHAOS_COUNTERS_HOT : user;
    int64_t number = alv_chaos_load_sent(users->load);
    alv_user_command command;
    bool is_add = false;
    if (users_dice(users, USERS_BAD_ONE_IN) == 0) {
        users_bad_step(users, user, number, &command);
    } else if (users_is_counter(users, user)) {
        is_add = users_counter_step(users, user, number, &command);
    } else {
        alv_user_model_step(&users->models[user], &users->random, users->time_ms, &command);
    }
    users->time_ms++;
    char key[USERS_KEY_BYTES];
    bool is_keyed = is_add && users_dice(users, 4) == 0;
    users_send(users, &command, is_add ? user : -1, is_keyed ? users_key(number, key) : NULL);
    if (is_keyed) {
        users->keyed[user] = number;
    }
    /* At once, or when much has happened since; it is among the last keys of this user in any case. */
    if (users_is_counter(users, user) && users->keyed[user] >= 0 &&
        users_dice(users, is_keyed ? 2 : 20) == 0) {
        users_repeat(users, user);
    }
}

static void users_acknowledged(void *self, int tag, int64_t offset)
{
    load_users *users = self;
    alv_chaos_counters_note_offset(users->counters, tag - 1, offset);
}

/* ---- open and close -------------------------------------------------------------------------- */

static void *users_open(alv_chaos_load *load, const alv_chaos_load_options *options)
{
    load_users *users = alv_alloc(sizeof(*users));
    users->load = load;
    users->count = options->users;
    users->random = options->seed;
    /* An hour ago, so that retention is far and no time lies in the future. */
    users->time_ms = alv_now_ms(alv_clock_system()) - 60 * 60 * 1000;
    users->models = alv_alloc_array((size_t)users->count, sizeof(*users->models));
    for (int i = 0; i < users->count; i++) {
        alv_user_model_init(&users->models[i], (unsigned)i);
    }
    int counters = users->count / 3;
    users->counters = alv_chaos_counters_new(counters);
    users->keyed = alv_alloc_array((size_t)counters, sizeof(*users->keyed));
    for (int i = 0; i < counters; i++) {
        users->keyed[i] = -1;
    }
    users->dead_letters = json_object();
    return users;
}

static void users_close(void *self)
{
    load_users *users = self;
    json_decref(users->dead_letters);
    alv_chaos_counters_free(users->counters);
    alv_free(users->keyed);
    alv_free(users->models);
    alv_free(users);
}

/* ---- the truth ------------------------------------------------------------------------------- */

static json_t *users_keys(void *self)
{
    const load_users *users = self;
    json_t *keys = json_array();
    char key[64];
    for (int i = 0; i < users->count; i++) {
        alv_user_model_key(&users->models[i], key, sizeof(key));
        json_array_append_new(keys, json_string(key));
    }
    return keys;
}

static json_t *users_states(void *self, json_t *changelog)
{
    (void)changelog;
    const load_users *users = self;
    json_t *states = json_object();
    char key[64];
    for (int i = 0; i < users->count; i++) {
        json_t *state = alv_user_model_json(&users->models[i]);
        if (state != NULL) {
            alv_user_model_key(&users->models[i], key, sizeof(key));
            json_object_set_new(states, key, state);
        }
    }
    return states;
}

static json_t *users_dead_letters(void *self)
{
    const load_users *users = self;
    return json_copy(users->dead_letters);
}

static alv_chaos_counters *users_counters(void *self)
{
    const load_users *users = self;
    return users->counters;
}

const alv_chaos_load_kind alv_chaos_load_users = {
    .name = "users",
    .users = 3000,
    .rate = 800,
    .is_alone = true,
    .open = users_open,
    .close = users_close,
    .step = users_step,
    .acknowledged = users_acknowledged,
    .keys = users_keys,
    .states = users_states,
    .dead_letters = users_dead_letters,
    .counters = users_counters,
};
