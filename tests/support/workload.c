#include "tests/support/workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/user_model.h"
#include "tests/support/wire.h"

/* A prime, and no number of users is a multiple of it: steps of this length meet everybody once. */
#define WORKLOAD_STEP 2147483647
#define WORKLOAD_AGE_MS 3600000 /* commands are from the last hour: retention must not take them */
#define WORKLOAD_TELL_MAX 3
#define WORKLOAD_USER ":user-" /* a key is mall-N:user-N */

struct alv_workload {
    char *brokers;
    int users;
    int64_t commands;
    int64_t commands_first;
    alv_user_model *models;
};

/* ---- filling --------------------------------------------------------------------------------- */

typedef struct workload_sender {
    alv_wire *wire;
    char *topic;
    uint64_t random;
    int64_t time_ms;
} workload_sender;

static void workload_send(alv_workload *workload, workload_sender *sender, int64_t user)
{
    alv_user_command command;
    alv_user_model_step(&workload->models[user], &sender->random, sender->time_ms, &command);
    const alv_wire_record record = {.topic = sender->topic,
                                    .partition = -1,
                                    .timestamp_ms = command.timestamp_ms,
                                    .key = alv_view_of(command.key),
                                    .value = alv_view_of(command.value)};
    alv_wire_send(sender->wire, &record);
    workload->commands++;
    sender->time_ms += workload->commands % 10 == 0;
}

static void workload_send_all(alv_workload *workload, workload_sender *sender, int64_t commands)
{
    for (int64_t i = 0; i < workload->users; i++) {
        int64_t user = i * WORKLOAD_STEP % workload->users;
        while (!workload->models[user].exists) {
            workload_send(workload, sender, user);
        }
    }
    workload->commands_first = workload->commands;
    while (workload->commands < commands) {
        uint64_t number = alv_user_model_random(&sender->random);
        workload_send(workload, sender, (int64_t)(number % (uint64_t)workload->users));
    }
}

alv_workload *alv_workload_fill(const alv_workload_options *options)
{
    alv_workload *workload = alv_alloc(sizeof(*workload));
    workload->brokers = alv_strdup(options->brokers);
    workload->users = options->users;
    workload->models = alv_alloc_array((size_t)options->users, sizeof(*workload->models));
    for (int user = 0; user < options->users; user++) {
        alv_user_model_init(&workload->models[user], (unsigned)user);
    }
    workload_sender sender = {
        .wire = alv_wire_open(options->brokers),
        .topic = alv_format("%s.commands", options->topics),
        .random = options->seed,
        .time_ms = alv_now_ms(alv_clock_system()) - WORKLOAD_AGE_MS,
    };
    workload_send_all(workload, &sender, options->commands);
    alv_wire_flush(sender.wire);
    alv_wire_close(sender.wire);
    alv_free(sender.topic);
    return workload;
}

int64_t alv_workload_commands(const alv_workload *workload)
{
    return workload->commands;
}

int64_t alv_workload_commands_first(const alv_workload *workload)
{
    return workload->commands_first;
}

void alv_workload_free(alv_workload *workload)
{
    alv_free(workload->brokers);
    alv_free(workload->models);
    alv_free(workload);
}

/* ---- checking -------------------------------------------------------------------------------- */

/* The changelog is read twice: where the last record of each user is, then these alone as JSON. */
typedef struct workload_check {
    const alv_workload *workload;
    int64_t *last; /* by user: the offset of the last record, -1 = none */
    int wrong;
} workload_check;

/* The user of a key, -1 when it is none of ours. */
static int64_t check_user(const workload_check *check, alv_view key)
{
    char expected[64];
    char text[64];
    if (key.size >= sizeof(text)) {
        return -1;
    }
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    const char *mark = strstr(text, WORKLOAD_USER);
    int64_t user = mark != NULL ? strtoll(mark + strlen(WORKLOAD_USER), NULL, 10) : -1;
    if (user < 0 || user >= check->workload->users) {
        return -1;
    }
    alv_user_model_key(&check->workload->models[user], expected, sizeof(expected));
    return strcmp(expected, text) == 0 ? user : -1;
}

static void check_tell(workload_check *check, const alv_user_model *model, alv_view actual)
{
    if (check->wrong++ >= WORKLOAD_TELL_MAX) {
        return;
    }
    json_t *state = alv_user_model_json(model);
    char *expected = state != NULL ? json_dumps(state, JSON_COMPACT) : NULL;
    fprintf(stderr, "wrong: %s:%s is %.*s, must be %s\n", model->mall, model->user,
            (int)actual.size, actual.data != NULL ? (const char *)actual.data : "",
            expected != NULL ? expected : "deleted");
    free(expected);
    json_decref(state);
}

static void check_find_last(void *payload, const alv_wire_message *message)
{
    workload_check *check = payload;
    int64_t user = check_user(check, message->key);
    if (user < 0) {
        fail_msg("the changelog has the key %.*s, which no command asked for",
                 (int)message->key.size, message->key.data);
    }
    check->last[user] = message->offset;
}

static void check_state(void *payload, const alv_wire_message *message)
{
    workload_check *check = payload;
    int64_t user = check_user(check, message->key);
    if (user < 0 || check->last[user] != message->offset) {
        return;
    }
    const alv_user_model *model = &check->workload->models[user];
    json_t *expected = alv_user_model_json(model);
    json_t *actual = message->value.data != NULL
                         ? json_loadb(message->value.data, message->value.size, 0, NULL)
                         : NULL;
    bool right = message->value.data == NULL ? expected == NULL : json_equal(actual, expected);
    if (!right) {
        check_tell(check, model, message->value);
    }
    json_decref(expected);
    json_decref(actual);
}

int alv_workload_count_wrong(const alv_workload *workload, const char *changelog)
{
    workload_check check = {
        .workload = workload,
        .last = alv_alloc_array((size_t)workload->users, sizeof(int64_t)),
    };
    for (int user = 0; user < workload->users; user++) {
        check.last[user] = -1;
    }
    alv_wire_read(workload->brokers, changelog, check_find_last, &check);
    alv_wire_read(workload->brokers, changelog, check_state, &check);
    for (int user = 0; user < workload->users; user++) {
        if (check.last[user] < 0 && workload->models[user].exists) {
            check_tell(&check, &workload->models[user], ALV_VIEW_NONE);
        }
    }
    alv_free(check.last);
    return check.wrong;
}
