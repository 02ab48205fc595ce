/* chaos_load_transfers.c — transfers among users: what nobody sends happens too, and the money tells of all of
 * it.
 *
 * Why:    commands that nodes send each other and deadlines come in no order that a model could know; but
 *         what a transfer did follows from how it ended, so what each user has follows from how all ended.
 * How:    first every user is given an opening balance, and the vault as much as fits, so that it can
 *         receive nothing. Then each step starts a transfer: some cannot be paid, some go to the vault and
 *         must be refunded, some have a deadline that has passed at once or will pass while something is
 *         down. Each start has an idempotency key. Some are sent again, at once or later, and ask for
 *         something else then; some are refused the first time, and what is asked for later under that key
 *         must not happen either. Some steps are deposits instead, with keys of their own; a deposit that
 *         counted twice would be money from nowhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "tests/support/chaos_load_kind.h"
#include "tests/support/user_model.h"
#include "tests/support/wire.h"

#define TRANSFERS_OPENING 200
#define TRANSFERS_AMOUNT_MAX 100
#define TRANSFERS_TIMEOUT_MS 60000 /* of those that are given time */
#define TRANSFERS_TIMEOUT_SHORT_MS 4000
#define TRANSFERS_KEY_BYTES 48
#define TRANSFERS_VALUE_BYTES 200

/* So many of the last steps may be repeated: few enough that no user has heard so many other keys
 * meanwhile that this one is forgotten (idempotency.keys.max). */
#define TRANSFERS_REPEATABLE 64

#define VAULT_KEY "bank:vault"

/* A transfer as it was asked for. */
typedef struct transfer {
    int from;
    int to; /* the number of users = the vault */
    int amount;
    bool is_refused; /* it was asked for something that is refused */
} transfer;

/* What was sent with an idempotency key. */
typedef struct transfers_sent {
    bool is_deposit;
    int number; /* of the transfer, or of the deposit */
    int user;   /* of the deposit */
} transfers_sent;

typedef struct load_transfers {
    alv_chaos_load *load;
    int users;
    uint64_t random;
    bool is_opened;   /* the opening balances are sent */
    int openings_due; /* and so many of them not in the log yet */
    transfer *transfers;
    int count;
    int room;
    int deposits;
    int64_t *deposited;                          /* per user */
    transfers_sent recent[TRANSFERS_REPEATABLE]; /* a ring */
    int64_t recent_count;
} load_transfers;

static int transfers_dice(load_transfers *transfers, int sides)
{
    return (int)(alv_user_model_random(&transfers->random) % (uint64_t)sides);
}

static const char *transfers_user_key(const load_transfers *transfers, int user,
                                      char out[TRANSFERS_KEY_BYTES])
{
    (void)snprintf(out, TRANSFERS_KEY_BYTES, user < transfers->users ? "bank:user-%d" : VAULT_KEY,
                   user);
    return out;
}

static const char *transfers_key(int number, char out[TRANSFERS_KEY_BYTES])
{
    (void)snprintf(out, TRANSFERS_KEY_BYTES, "transfer/%d", number);
    return out;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* `tag` as in alv_chaos_command. */
static void transfers_add(load_transfers *transfers, int user, int64_t amount,
                          const char *idempotency_key, int tag)
{
    char key[TRANSFERS_KEY_BYTES];
    char value[TRANSFERS_VALUE_BYTES];
    (void)snprintf(value, sizeof(value), "{\"type\":\"add_balance\",\"amount\":%" PRId64 "}",
                   amount);
    const alv_chaos_command command = {.key = transfers_user_key(transfers, user, key),
                                       .value = value,
                                       .idempotency_key = idempotency_key,
                                       .tag = tag};
    alv_chaos_load_send(transfers->load, &command);
}

/* The vault must be full before anybody sends something to it. */
static void transfers_open_accounts(load_transfers *transfers)
{
    transfers->openings_due = transfers->users + 1;
    for (int user = 0; user < transfers->users; user++) {
        transfers_add(transfers, user, TRANSFERS_OPENING, "opening", 1);
        transfers->deposited[user] = TRANSFERS_OPENING;
    }
    transfers_add(transfers, transfers->users, INT64_MAX, "opening", 1);
    transfers->is_opened = true;
}

static void transfers_send_deposit(load_transfers *transfers, int number, int user, int amount)
{
    char idempotency_key[TRANSFERS_KEY_BYTES];
    (void)snprintf(idempotency_key, sizeof(idempotency_key), "deposit-%d", number);
    transfers_add(transfers, user, amount, idempotency_key, 0);
}

static void transfers_send_start(load_transfers *transfers, int number, const transfer *asked,
                                 int timeout_ms)
{
    char key[TRANSFERS_KEY_BYTES];
    char from[TRANSFERS_KEY_BYTES];
    char to[TRANSFERS_KEY_BYTES];
    char value[TRANSFERS_VALUE_BYTES];
    (void)snprintf(value, sizeof(value),
                   "{\"type\":\"start\",\"from\":\"%s\",\"to\":\"%s\",\"amount\":%d,"
                   "\"timeoutMs\":%d}",
                   transfers_user_key(transfers, asked->from, from),
                   transfers_user_key(transfers, asked->to, to), asked->amount, timeout_ms);
    const alv_chaos_command command = {
        .key = transfers_key(number, key), .value = value, .idempotency_key = "start"};
    alv_chaos_load_send(transfers->load, &command);
}

/* Half of them among a tenth of the users. */
static int transfers_pick_user(load_transfers *transfers)
{
    int user = transfers_dice(transfers, transfers->users);
    return transfers_dice(transfers, 2) == 0 ? user / 10 * 10 : user;
}

static transfer transfers_make(load_transfers *transfers)
{
    transfer made = {.from = transfers_pick_user(transfers),
                     .to = transfers_pick_user(transfers),
                     .amount = transfers_dice(transfers, TRANSFERS_AMOUNT_MAX) + 1};
    if (transfers_dice(transfers, 10) == 0) {
        made.to = transfers->users;
    } else if (transfers_dice(transfers, 20) == 0) {
        made.to = made.from;
    }
    made.is_refused = made.from == made.to;
    return made;
}

static int transfers_pick_timeout(load_transfers *transfers)
{
    switch (transfers_dice(transfers, 6)) {
    case 0:
        return 1;
    case 1:
        return transfers_dice(transfers, TRANSFERS_TIMEOUT_SHORT_MS) + 1;
    default:
        return TRANSFERS_TIMEOUT_MS;
    }
}

static transfers_sent transfers_start(load_transfers *transfers)
{
    transfer made = transfers_make(transfers);
    int number = transfers->count++;
    if (number == transfers->room) {
        transfers->room = transfers->room == 0 ? 1024 : transfers->room * 2;
        transfer *grown = alv_alloc_array((size_t)transfers->room, sizeof(*grown));
        if (number > 0) {
            memcpy(grown, transfers->transfers, (size_t)number * sizeof(*grown));
        }
        alv_free(transfers->transfers);
        transfers->transfers = grown;
    }
    transfers->transfers[number] = made;
    transfers_send_start(transfers, number, &made, transfers_pick_timeout(transfers));
    return (transfers_sent){.number = number};
}

static transfers_sent transfers_deposit(load_transfers *transfers)
{
    int user = transfers_pick_user(transfers);
    int amount = transfers_dice(transfers, TRANSFERS_AMOUNT_MAX) + 1;
    int number = transfers->deposits++;
    transfers->deposited[user] += amount;
    transfers_send_deposit(transfers, number, user, amount);
    return (transfers_sent){.is_deposit = true, .number = number, .user = user};
}

/* The key counts, not what is asked for under it: whatever that does would be seen. */
static void transfers_repeat(load_transfers *transfers, const transfers_sent *sent)
{
    if (sent->is_deposit) {
        transfers_send_deposit(transfers, sent->number, sent->user, 1);
    } else {
        int from = transfers_dice(transfers, transfers->users);
        const transfer asked = {.from = from, .to = (from + 1) % transfers->users, .amount = 1};
        transfers_send_start(transfers, sent->number, &asked, TRANSFERS_TIMEOUT_MS);
    }
}

static void transfers_step(void *self)
{
    load_transfers *transfers = self;
    if (!transfers->is_opened) {
        transfers_open_accounts(transfers);
    }
    if (transfers->openings_due > 0) {
        return;
    }
    transfers_sent sent = transfers_dice(transfers, 5) == 0 ? transfers_deposit(transfers)
                                                            : transfers_start(transfers);
    transfers->recent[transfers->recent_count++ % TRANSFERS_REPEATABLE] = sent;
    if (transfers_dice(transfers, 4) == 0) {
        transfers_repeat(transfers, &sent);
    }
    if (transfers_dice(transfers, 8) == 0) {
        int64_t known = transfers->recent_count < TRANSFERS_REPEATABLE ? transfers->recent_count
                                                                       : TRANSFERS_REPEATABLE;
        transfers_repeat(transfers, &transfers->recent[transfers_dice(transfers, (int)known)]);
    }
}

static void transfers_acknowledged(void *self, int tag, int64_t offset)
{
    (void)tag;
    (void)offset;
    load_transfers *transfers = self;
    transfers->openings_due--;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void *transfers_open(alv_chaos_load *load, const alv_chaos_load_options *options)
{
    load_transfers *transfers = alv_alloc(sizeof(*transfers));
    memset(transfers, 0, sizeof(*transfers));
    transfers->load = load;
    transfers->users = options->users;
    transfers->random = options->seed;
    transfers->deposited = alv_alloc_array((size_t)transfers->users, sizeof(*transfers->deposited));
    memset(transfers->deposited, 0, (size_t)transfers->users * sizeof(*transfers->deposited));
    return transfers;
}

static void transfers_close(void *self)
{
    load_transfers *transfers = self;
    alv_free(transfers->deposited);
    alv_free(transfers->transfers);
    alv_free(transfers);
}

/* ---- how transfers ended --------------------------------------------------------------------- */

/* NULL in a status: there is no such transfer. */
static const char *transfers_status(json_t *changelog, int number)
{
    char key[TRANSFERS_KEY_BYTES];
    const json_t *state = json_object_get(changelog, transfers_key(number, key));
    return json_string_value(json_object_get(state, "status"));
}

static bool transfers_is_ended(const char *status)
{
    return status != NULL && (strcmp(status, "completed") == 0 || strcmp(status, "refunded") == 0 ||
                              strcmp(status, "failed") == 0);
}

static size_t transfers_pending(void *self, json_t *changelog)
{
    const load_transfers *transfers = self;
    size_t pending = 0;
    for (int i = 0; i < transfers->count; i++) {
        pending += !transfers->transfers[i].is_refused &&
                   !transfers_is_ended(transfers_status(changelog, i));
    }
    return pending;
}

/* ---- the truth ------------------------------------------------------------------------------- */

static json_t *transfers_keys(void *self)
{
    const load_transfers *transfers = self;
    json_t *keys = json_array();
    char key[TRANSFERS_KEY_BYTES];
    for (int i = 0; i <= transfers->users; i++) {
        json_array_append_new(keys, json_string(transfers_user_key(transfers, i, key)));
    }
    for (int i = 0; i < transfers->count; i++) {
        json_array_append_new(keys, json_string(transfers_key(i, key)));
    }
    return keys;
}

/* What a user must have. Only a completed transfer has moved anything. */
static json_int_t *transfers_balances(const load_transfers *transfers, json_t *changelog)
{
    json_int_t *balances = alv_alloc_array((size_t)transfers->users + 1, sizeof(*balances));
    for (int i = 0; i < transfers->users; i++) {
        balances[i] = transfers->deposited[i];
    }
    balances[transfers->users] = INT64_MAX; /* nothing can ever be added */
    for (int i = 0; i < transfers->count; i++) {
        const transfer *asked = &transfers->transfers[i];
        const char *status = transfers_status(changelog, i);
        if (status != NULL && strcmp(status, "completed") == 0 && asked->to < transfers->users) {
            balances[asked->from] -= asked->amount;
            balances[asked->to] += asked->amount;
        }
    }
    return balances;
}

/* The state under `key` as the changelog has it, or an empty one, in `states` and to be corrected there. */
static json_t *transfers_take_over(json_t *states, json_t *changelog, const char *key)
{
    json_t *there = json_object_get(changelog, key);
    json_t *state = there != NULL ? json_copy(there) : json_object();
    json_object_set_new(states, key, state);
    return state;
}

static json_t *transfers_states(void *self, json_t *changelog)
{
    const load_transfers *transfers = self;
    json_t *states = json_object();
    char key[TRANSFERS_KEY_BYTES];
    json_int_t *balances = transfers_balances(transfers, changelog);
    for (int i = 0; transfers->is_opened && i <= transfers->users; i++) {
        json_t *user =
            transfers_take_over(states, changelog, transfers_user_key(transfers, i, key));
        json_object_set_new(user, "balance", json_integer(balances[i]));
    }
    alv_free(balances);
    for (int i = 0; i < transfers->count; i++) {
        const transfer *asked = &transfers->transfers[i];
        if (!asked->is_refused) {
            json_t *state = transfers_take_over(states, changelog, transfers_key(i, key));
            transfers_user_key(transfers, asked->from, key);
            json_object_set_new(state, "from", json_string(key));
            transfers_user_key(transfers, asked->to, key);
            json_object_set_new(state, "to", json_string(key));
            json_object_set_new(state, "amount", json_integer(asked->amount));
            json_object_set_new(state, "attempts", json_integer(0)); /* a refund is never refused */
        }
    }
    return states;
}

static json_t *transfers_dead_letters(void *self)
{
    (void)self;
    return json_object();
}

/* ---- checks ---------------------------------------------------------------------------------- */

static void transfers_check_sum(const load_transfers *transfers, json_t *changelog)
{
    json_int_t deposited = 0;
    json_int_t sum = 0;
    char key[TRANSFERS_KEY_BYTES];
    for (int i = 0; i < transfers->users; i++) {
        const json_t *user = json_object_get(changelog, transfers_user_key(transfers, i, key));
        sum += json_integer_value(json_object_get(user, "balance"));
        deposited += transfers->deposited[i];
    }
    if (sum != deposited) {
        fail_msg("%" JSON_INTEGER_FORMAT " was put in, %" JSON_INTEGER_FORMAT " is there",
                 deposited, sum);
    }
}

/* The steps of a history as "started,deducted,added"; how often the deadline passed is counted apart,
 * because it may pass between any two of them. */
static char *transfers_steps(const json_t *state, int *out_expired)
{
    alv_bytes steps = ALV_BYTES_EMPTY;
    size_t index;
    json_t *line;
    *out_expired = 0;
    json_array_foreach(json_object_get(state, "history"), index, line)
    {
        const char *event = json_string_value(json_object_get(line, "event"));
        if (event != NULL && strcmp(event, "expired") == 0) {
            (*out_expired)++;
        } else {
            alv_bytes_printf(&steps, "%s%s", steps.size > 0 ? "," : "", event);
        }
    }
    char *text = alv_strndup(steps.data, steps.size);
    alv_bytes_done(&steps);
    return text;
}

/* Whether a transfer that ended so has gone one of the ways there are, each step once. */
static bool transfers_is_way(bool is_to_vault, const char *status, const char *steps, int expired)
{
    if (expired > 1) {
        return false;
    }
    if (strcmp(status, "completed") == 0) {
        return !is_to_vault && strcmp(steps, "started,deducted,added") == 0;
    }
    if (strcmp(status, "failed") == 0) {
        return strcmp(steps, "started,deduct_rejected") == 0;
    }
    return (expired == 1 && strcmp(steps, "started,deducted,refunded") == 0) ||
           (is_to_vault && strcmp(steps, "started,deducted,add_rejected,refunded") == 0);
}

static void transfers_check_histories(const load_transfers *transfers, json_t *changelog)
{
    int ends[3] = {0};
    int expirations = 0;
    int refused = 0;
    char key[TRANSFERS_KEY_BYTES];
    for (int i = 0; i < transfers->count; i++) {
        const transfer *asked = &transfers->transfers[i];
        refused += asked->is_refused;
        if (asked->is_refused) {
            continue; /* that there is none, all views have said */
        }
        const char *status = transfers_status(changelog, i);
        int expired = 0;
        char *steps = transfers_steps(json_object_get(changelog, transfers_key(i, key)), &expired);
        if (!transfers_is_way(asked->to == transfers->users, status, steps, expired)) {
            fail_msg("%s is %s after %s, expired %d times", key, status, steps, expired);
        }
        alv_free(steps);
        ends[0] += strcmp(status, "completed") == 0;
        ends[1] += strcmp(status, "refunded") == 0;
        ends[2] += strcmp(status, "failed") == 0;
        expirations += expired;
    }
    print_message("transfers: completed %d, refunded %d, failed %d; expired on the way %d; refused "
                  "%d\n",
                  ends[0], ends[1], ends[2], expirations, refused);
    assert_true(ends[0] > 0 && ends[1] > 0 && ends[2] > 0 && expirations > 0 && refused > 0);
}

/* Takes the end of a transfer off the list of those that are expected. */
static void transfers_visit_event(void *payload, const alv_wire_message *message)
{
    json_t *expected = payload;
    char *key = alv_strndup(message->key.data, message->key.size);
    json_t *body = json_loadb(message->value.data, message->value.size, 0, NULL);
    const char *event = json_string_value(json_object_get(body, "event"));
    const char *due = json_string_value(json_object_get(expected, key));
    if (event == NULL || due == NULL || strcmp(event, due) != 0) {
        fail_msg("%s published %.*s, which is not due, or not again", key, (int)message->value.size,
                 (const char *)message->value.data);
    }
    json_object_del(expected, key);
    json_decref(body);
    alv_free(key);
}

/* Each transfer has said once how it ended. */
static void transfers_check_events(const load_transfers *transfers, const alv_cluster *cluster,
                                   json_t *changelog)
{
    json_t *expected = json_object();
    char key[TRANSFERS_KEY_BYTES];
    for (int i = 0; i < transfers->count; i++) {
        if (!transfers->transfers[i].is_refused) {
            json_object_set_new(expected, transfers_key(i, key),
                                json_sprintf("transfer_%s", transfers_status(changelog, i)));
        }
    }
    alv_wire_read(cluster->brokers, alv_cluster_topic(cluster, "events"), transfers_visit_event,
                  expected);
    if (json_object_size(expected) > 0) {
        fail_msg("%zu transfers have not said how they ended, among them %s",
                 json_object_size(expected), json_object_iter_key(json_object_iter(expected)));
    }
    json_decref(expected);
}

/* The deadline of a transfer that has ended is gone. */
static void transfers_check_timers(const alv_cluster *cluster)
{
    json_t *ledgers = alv_wire_last_values(cluster->brokers, alv_cluster_topic(cluster, "ledger"));
    const char *key;
    json_t *ledger;
    json_object_foreach(ledgers, key, ledger)
    {
        if (json_object_get(ledger, "timers") != NULL) {
            fail_msg("%s still has a timer", key);
        }
    }
    json_decref(ledgers);
}

static void transfers_check(void *self, const alv_cluster *cluster, json_t *changelog)
{
    const load_transfers *transfers = self;
    transfers_check_sum(transfers, changelog);
    transfers_check_histories(transfers, changelog);
    transfers_check_events(transfers, cluster, changelog);
    transfers_check_timers(cluster);
}

const alv_chaos_load_kind alv_chaos_load_transfers = {
    .name = "transfers",
    .users = 300,
    .rate = 100,
    .open = transfers_open,
    .close = transfers_close,
    .step = transfers_step,
    .acknowledged = transfers_acknowledged,
    .pending = transfers_pending,
    .keys = transfers_keys,
    .states = transfers_states,
    .dead_letters = transfers_dead_letters,
    .check = transfers_check,
};
