/* user_model.h — what a user's state must be, computed by other means than the product's.
 *
 * Why:    a test that asks the behavior what is right finds nothing wrong with it. The model is a plain
 *         struct; it makes random commands and applies them to itself.
 * Thread: one.
 */
#ifndef ALV_TESTS_SUPPORT_USER_MODEL_H
#define ALV_TESTS_SUPPORT_USER_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define ALV_USER_MODEL_RECENT 3

typedef struct alv_user_model {
    char mall[16];
    char user[16];
    bool exists;
    bool opt_in;
    int64_t balance;
    int64_t last_login_ms; /* 0 = never, here and below */
    int64_t last_cart_ms;
    int64_t last_event_ms;
    int nickname;                      /* 0 = none, else "nick-N" */
    int recent[ALV_USER_MODEL_RECENT]; /* 0 = none, else "product-N" */
} alv_user_model;

typedef struct alv_user_command {
    char key[40];
    char value[256];
    int64_t timestamp_ms; /* of the record */
} alv_user_command;

/* xorshift64*: the next number; `random` must not be 0 and is the seed at first. */
uint64_t alv_user_model_random(uint64_t *random);

void alv_user_model_init(alv_user_model *model, unsigned number);

/* "<mall>:<user>" */
void alv_user_model_key(const alv_user_model *model, char *out, size_t size);

/* Makes a random command at `time_ms` and applies it to the model; all commands of the behavior occur,
 * some are rejected (and change nothing), one in a hundred deletes the user. */
void alv_user_model_step(alv_user_model *model, uint64_t *random, int64_t time_ms,
                         alv_user_command *out);

/* The state as JSON, NULL when the user does not exist. A new reference. */
json_t *alv_user_model_json(const alv_user_model *model);

#endif
