/* workload.h — a command topic full of work, and what must have come of it in the end.
 *
 * Why:    speed counts only with the right result. The commands are made by the model of a user, which
 *         applies them to itself; whoever has executed the topic must have its states, all of them.
 * How:    first every user in a shuffled order, until he exists; then users at random, with all
 *         commands of the behavior, some of which are rejected or delete.
 * Thread: one.
 * Owns:   heap object, about 120 bytes per user.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_WORKLOAD_H
#define ALV_TESTS_SUPPORT_WORKLOAD_H

#include <stdint.h>

typedef struct alv_workload alv_workload;

typedef struct alv_workload_options {
    const char *brokers;
    const char *topics; /* commands go to "<topics>.commands", which must exist and be empty */
    int users;
    int commands; /* more when there are so many users */
    uint64_t seed;
} alv_workload_options;

/* Fills the topic; returns when the broker has everything. */
alv_workload *alv_workload_fill(const alv_workload_options *options);

int64_t alv_workload_commands(const alv_workload *workload);

/* So many of them were sent until every user was there. */
int64_t alv_workload_commands_first(const alv_workload *workload);

/* How many users have another state in that changelog than they must have. Says the first on stderr. */
int alv_workload_count_wrong(const alv_workload *workload, const char *changelog);

void alv_workload_free(alv_workload *workload);

#endif
