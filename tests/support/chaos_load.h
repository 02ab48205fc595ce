/* chaos_load.h — commands at a steady rate, and the truth about what they do.
 *
 * Why:    the truth is worked out from what was sent, by other means than the product's.
 * How:    an idempotent producer keeps the order of what it sends through all outages of the brokers. What
 *         is sent, and what must come of it, is a matter of the kind of load: chaos_load_users.c and
 *         chaos_load_transfers.c say which. Every command has its number, as "n".
 * Thread: one of its own; functions are called from main unless it says otherwise.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_LOAD_H
#define ALV_TESTS_SUPPORT_CHAOS_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/support/chaos_counters.h"
#include "tests/support/cluster.h"

typedef struct alv_chaos_load alv_chaos_load;
typedef struct alv_chaos_load_kind alv_chaos_load_kind;

/* Commands of all kinds to users: the model takes each in the order in which it is produced. */
extern const alv_chaos_load_kind alv_chaos_load_users;

/* Transfers among users: sagas, timers and idempotency keys. */
extern const alv_chaos_load_kind alv_chaos_load_transfers;

/* By its name, "users" or "transfers"; NULL: there is none. */
const alv_chaos_load_kind *alv_chaos_load_find(const char *name);

typedef struct alv_chaos_load_options {
    const alv_chaos_load_kind *kind;
    const char *brokers; /* copied, as the topic */
    const char *topic;
    uint64_t seed; /* not 0 */
    int users;
} alv_chaos_load_options;

/* Starts with nothing to do. NULL: librdkafka refused, stderr says why. */
alv_chaos_load *alv_chaos_load_start(const alv_chaos_load_options *options);

/* Steps per second from now on, one or a few commands each. Any thread. */
void alv_chaos_load_set_rate(alv_chaos_load *load, int rate);

/* Sets the rate to 0 and waits until all commands are acknowledged; false: not within `timeout_ms`. */
bool alv_chaos_load_settle(alv_chaos_load *load, int timeout_ms);

/* What went wrong, or NULL. Any thread. */
const char *alv_chaos_load_failure(const alv_chaos_load *load);

void alv_chaos_load_stop(alv_chaos_load *load);

/* Commands produced. Any thread. */
int64_t alv_chaos_load_sent(const alv_chaos_load *load);

/* What readers may ask for at any time; borrowed, NULL = nothing. */
alv_chaos_counters *alv_chaos_load_counters(const alv_chaos_load *load);

/* ---- the truth, complete after a settle ------------------------------------------------------ */

/* Whether there are no commands and no effects but those of the commands produced. */
bool alv_chaos_load_is_alone(const alv_chaos_load *load);

/* How much is still under way by {key: state} of the changelog. */
size_t alv_chaos_load_pending(const alv_chaos_load *load, json_t *changelog);

/* The keys of all entities that may exist, in an array. A new reference. */
json_t *alv_chaos_load_keys(const alv_chaos_load *load);

/* {key: state} of the entities that must exist. What no model can know, such as the times of commands that
 * nodes send, is taken over from `changelog`. A new reference. */
json_t *alv_chaos_load_states(const alv_chaos_load *load, json_t *changelog);

/* The numbers of the commands that must become dead letters, as {"n": 1}. A new reference. */
json_t *alv_chaos_load_dead_letters(const alv_chaos_load *load);

/* Whatever else must hold when nothing is pending; fails the running cmocka test. */
void alv_chaos_load_check(const alv_chaos_load *load, const alv_cluster *cluster,
                          json_t *changelog);

#endif
