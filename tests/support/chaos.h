/* chaos.h — nodes at work while everything around them fails, and the proof that nothing came of it.
 *
 * Why:    tests of single failures show what somebody thought of. Here a seed decides what is killed,
 *         stopped, frozen and cut, and when; only the outcome is checked, and it is always the same: every
 *         command took effect once, and all views of every user agree (I1, I2, I4, I5).
 * How:    a stack and nodes of its own. chaos_schedule decides what happens, chaos_load produces and knows
 *         the truth, chaos_reader reads meanwhile, tcp_proxy is one node's bad network.
 * Thread: one; the same that runs the tests.
 * Fails:  the running cmocka test. On the way out it prints seed and schedule and keeps the logs of nodes
 *         and servers in a folder below /tmp.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_H
#define ALV_TESTS_SUPPORT_CHAOS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/chaos_load.h"

#define ALV_CHAOS_NODES_MAX 3

typedef struct alv_chaos alv_chaos;

typedef struct alv_chaos_options {
    uint64_t seed; /* of the load; not 0 */
    int nodes;     /* 2 to ALV_CHAOS_NODES_MAX; one more comes and goes */
    int lanes;     /* of the first node; the others have one each */
    int brokers;
    const alv_chaos_load_kind *load; /* NULL = alv_chaos_load_users */
    int users;                       /* 0 = as many as the load usually has, as the rate */
    int rate;                        /* steps of the load per second */
    int session_ms; /* session.timeout.ms of the nodes; 0 = 6000, the least that brokers allow */
    const char *shutdown; /* of the nodes; NULL = leave */
    bool
        supervise; /* restart nodes that end by themselves with an error, as a service manager does */
    bool keep_logs; /* also when all goes well */
} alv_chaos_options;

/* Starts servers and nodes; returns when all nodes are ready. */
alv_chaos *alv_chaos_open(const alv_chaos_options *options);

/* `duration_ms` of what `seed` has in store, then rest, then every check. */
void alv_chaos_run(alv_chaos *chaos, uint64_t seed, int64_t duration_ms);

/* Stops and starts node after node under load, each ready before the next one's turn, then rest, then every
 * check. They are started with `shutdown`. */
void alv_chaos_roll(alv_chaos *chaos, const char *shutdown);

/* Lines of all logs of all nodes that have both texts. */
int64_t alv_chaos_count(alv_chaos *chaos, const char *text, const char *also);

/* Prints what `seed` has in store. */
void alv_chaos_list(const alv_chaos_options *options, uint64_t seed, int64_t duration_ms);

/* Stops the nodes, which must end with 0, compares what they leave on their disks with the changelog, and
 * prints what was counted. */
void alv_chaos_finish(alv_chaos *chaos);

/* Ends everything; NULL is fine. After a failure it prints how to repeat it, and where the logs are. */
void alv_chaos_close(alv_chaos *chaos);

#endif
