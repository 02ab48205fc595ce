#include "tests/support/padded_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/user_model.h"
#include "tests/support/wire.h"

#define PADDED_KEY "p:%08d"
#define PADDED_STEP 2147483647 /* a prime: steps of this length meet everybody once */
#define PADDED_SEED 20250101
#define PADDED_BALANCE "\"balance\":"

struct alv_padded_load {
    char *brokers;
    char *topic;
    alv_wire *wire;
    int users;
    int padding; /* bytes of a nickname */
    uint64_t random;
    int64_t sent;
    int32_t *balances;
};

alv_padded_load *alv_padded_load_open(const alv_padded_load_options *options)
{
    alv_padded_load *load = alv_alloc(sizeof(*load));
    assert_true(options->state_bytes >= ALV_PADDED_STATE_BYTES_MIN);
    *load = (alv_padded_load){
        .brokers = alv_strdup(options->brokers),
        .topic = alv_format("%s.commands", options->topics),
        .wire = alv_wire_open(options->brokers),
        .users = options->users,
        .padding = options->state_bytes - ALV_PADDED_STATE_BYTES_MIN + 1,
        .random = PADDED_SEED,
        .balances = alv_alloc_array((size_t)options->users, sizeof(int32_t)),
    };
    memset(load->balances, 0, (size_t)options->users * sizeof(int32_t));
    return load;
}

void alv_padded_load_close(alv_padded_load *load)
{
    alv_wire_close(load->wire);
    alv_free(load->brokers);
    alv_free(load->topic);
    alv_free(load->balances);
    alv_free(load);
}

int64_t alv_padded_load_sent(const alv_padded_load *load)
{
    return load->sent;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void padded_send(alv_padded_load *load, int user, const char *value)
{
    char key[32];
    (void)snprintf(key, sizeof(key), PADDED_KEY, user);
    const alv_wire_record record = {.topic = load->topic,
                                    .partition = -1,
                                    .key = alv_view_of(key),
                                    .value = alv_view_of(value)};
    alv_wire_send(load->wire, &record);
    load->sent++;
}

/* Letters that no compression makes much smaller. */
static void padded_fill(alv_padded_load *load, char *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t bits = 0;
    for (int i = 0; i < load->padding; i++, bits >>= 6) {
        bits = i % 10 == 0 ? alv_user_model_random(&load->random) : bits;
        out[i] = letters[bits & 63];
    }
}

void alv_padded_load_bring_up(alv_padded_load *load)
{
    static const char before[] = "{\"type\":\"update_profile\",\"nickname\":\"";
    size_t size = sizeof(before) - 1 + (size_t)load->padding;
    char *value = alv_alloc_array(size + sizeof("\"}"), 1);
    memcpy(value, before, sizeof(before));
    memcpy(value + size, "\"}", sizeof("\"}"));
    for (int64_t i = 0; i < load->users; i++) {
        padded_fill(load, value + sizeof(before) - 1);
        padded_send(load, (int)(i * PADDED_STEP % load->users), value);
    }
    alv_wire_flush(load->wire);
    alv_free(value);
}

void alv_padded_load_change(alv_padded_load *load, int64_t commands)
{
    for (int64_t i = 0; i < commands; i++) {
        int user = (int)(alv_user_model_random(&load->random) % (uint64_t)load->users);
        padded_send(load, user, "{\"type\":\"add_balance\",\"amount\":1}");
        load->balances[user]++;
    }
    alv_wire_flush(load->wire);
}

/* ---- checking -------------------------------------------------------------------------------- */

typedef struct padded_check {
    const alv_padded_load *load;
    int32_t
        *balances; /* by user, in the last state seen; -1 = none, or a padding of another size */
} padded_check;

static void check_visit(void *payload, const alv_wire_message *message)
{
    padded_check *check = payload;
    char text[16] = "";
    char *end = NULL;
    (void)snprintf(text, sizeof(text), "%.*s", (int)message->key.size, message->key.data);
    long user = strncmp(text, "p:", 2) == 0 ? strtol(text + 2, &end, 10) : -1;
    if (user < 0 || user >= check->load->users || *end != '\0') {
        fail_msg("the changelog has the key %s, which no command asked for", text);
    }
    alv_view state = message->value;
    const char *balance = state.data != NULL ? memmem(state.data, state.size, PADDED_BALANCE,
                                                      sizeof(PADDED_BALANCE) - 1)
                                             : NULL;
    bool whole = balance != NULL && (int)state.size > check->load->padding;
    check->balances[user] =
        whole ? (int32_t)strtol(balance + sizeof(PADDED_BALANCE) - 1, NULL, 10) : -1;
}

int alv_padded_load_count_wrong(const alv_padded_load *load, const char *changelog)
{
    int wrong = 0;
    padded_check check = {
        .load = load,
        .balances = alv_alloc_array((size_t)load->users, sizeof(int32_t)),
    };
    memset(check.balances, 0xff, (size_t)load->users * sizeof(int32_t));
    alv_wire_read(load->brokers, changelog, check_visit, &check);
    for (int user = 0; user < load->users; user++) {
        if (check.balances[user] != load->balances[user] && wrong++ == 0) {
            fprintf(stderr, "wrong: user " PADDED_KEY " has %d, must have %d\n", user,
                    (int)check.balances[user], (int)load->balances[user]);
        }
    }
    alv_free(check.balances);
    return wrong;
}
