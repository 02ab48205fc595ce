/* chaos_load.h — commands at a steady rate, and the truth about what they do.
 *
 * Why:    the truth is known before anything goes wrong: the model takes each command in the order in
 *         which it is produced, which per user is the order of execution. An idempotent producer keeps
 *         that order through all outages of the brokers.
 * How:    the first third of the users are counters: their balance only ever grows, by 1 at a time, so a
 *         reader can judge a balance while everything is in motion: the adds before the position that an
 *         answer names must be in it, and no more than were produced can be. The others get commands of
 *         all kinds. A quarter of the adds carry an idempotency
 *         key; some of these are sent again, at once or much later, and must not count. Some commands
 *         are of an unknown type and must become dead letters, each once.
 *         Every command has its number, as "n".
 * Thread: one of its own; functions are called from main unless it says otherwise.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_LOAD_H
#define ALV_TESTS_SUPPORT_CHAOS_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Users whose number is a multiple of this get half of the commands. */
#define ALV_CHAOS_LOAD_HOT 10

typedef struct alv_chaos_load alv_chaos_load;

typedef struct alv_chaos_load_options {
    const char *brokers; /* copied, as the topic */
    const char *topic;
    uint64_t seed; /* not 0 */
    int users;
} alv_chaos_load_options;

/* Starts with nothing to do. NULL: librdkafka refused, stderr says why. */
alv_chaos_load *alv_chaos_load_start(const alv_chaos_load_options *options);

/* Commands per second from now on. Any thread. */
void alv_chaos_load_set_rate(alv_chaos_load *load, int rate);

/* Sets the rate to 0 and waits until all commands are acknowledged; false: not within `timeout_ms`. */
bool alv_chaos_load_settle(alv_chaos_load *load, int timeout_ms);

/* What went wrong, or NULL. Any thread. */
const char *alv_chaos_load_failure(const alv_chaos_load *load);

void alv_chaos_load_stop(alv_chaos_load *load);

/* ---- the truth, complete after a settle ------------------------------------------------------ */

/* Commands produced. Any thread. */
int64_t alv_chaos_load_sent(const alv_chaos_load *load);

/* "mall:user" of a user. */
void alv_chaos_load_key(const alv_chaos_load *load, int user, char *out, size_t size);

/* {key: state} of the users that exist. A new reference. */
json_t *alv_chaos_load_states(const alv_chaos_load *load);

/* The numbers of the commands that must become dead letters, as {"n": 1}. A new reference. */
json_t *alv_chaos_load_dead_letters(const alv_chaos_load *load);

/* ---- for readers: any thread, any time ------------------------------------------------------- */

/* How many users, from the first on, are counters. */
int alv_chaos_load_counters(const alv_chaos_load *load);

/* Adds to a counter that were produced, acknowledged or not. */
int64_t alv_chaos_load_produced(const alv_chaos_load *load, int user);

/* Adds to a counter that are acknowledged at an offset below `offset`. */
int64_t alv_chaos_load_adds_below(alv_chaos_load *load, int user, int64_t offset);

#endif
