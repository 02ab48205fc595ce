/* padded_load.h — users whose states have a size that is chosen, and commands that change little of them.
 *
 * Why:    what a command costs depends on how large the state is that it changes; everything else must stay
 *         the same when that is measured.
 * How:    first every user gets a nickname of random letters as long as is needed (`bring up`); then
 *         `add_balance` of 1 to users at random, which writes the whole state again. Who has how many is known.
 * Thread: one.
 * Owns:   heap object, 4 bytes per user.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_PADDED_LOAD_H
#define ALV_TESTS_SUPPORT_PADDED_LOAD_H

#include <stdint.h>

#define ALV_PADDED_STATE_BYTES_MIN 250

typedef struct alv_padded_load alv_padded_load;

typedef struct alv_padded_load_options {
    const char *brokers;
    const char *topics; /* prefix of the command topic, which must exist and be empty */
    int users;
    int state_bytes; /* of an encoded state, about; ALV_PADDED_STATE_BYTES_MIN or more */
} alv_padded_load_options;

/* Sends nothing yet. */
alv_padded_load *alv_padded_load_open(const alv_padded_load_options *options);

/* One command per user, in no order; returns when the broker has all of them. */
void alv_padded_load_bring_up(alv_padded_load *load);

/* So many commands, to users at random; returns when the broker has all of them. */
void alv_padded_load_change(alv_padded_load *load, int64_t commands);

/* Commands so far. */
int64_t alv_padded_load_sent(const alv_padded_load *load);

/* How many users do not have what was sent to them in that changelog. Says the first on stderr. */
int alv_padded_load_count_wrong(const alv_padded_load *load, const char *changelog);

void alv_padded_load_close(alv_padded_load *load);

#endif
