/* sim_monitor.h — one node's watch over the others: the real verdicts over simulated streams, and the judge of them.
 *
 * Why:    api/peer_monitor.c is a thread around a verdict (peer_verdict.h), what is heard (peer_hearing.h) and what
 *         is said (peer_saying.h). These three are the real ones here; the thread is a turn, and connections are
 *         sim_network.h. Each verdict is compared with what the network knows:
 *           - a proof needs a refusal by an address at which the node was heard, and its process is gone;
 *           - what was heard at one address says nothing of another;
 *           - a suspect was silent for the whole time-out, and nothing of it waits to be heard;
 *           - a conviction needs more than half of all members, by what each of them said last and was heard;
 *             so of two nodes neither convicts the other;
 *           - who is heard is alive; who said goodbye is not dead.
 * Thread: one.
 * Fails:  sim_fail.
 */
#ifndef ALV_TESTS_SIM_MONITOR_H
#define ALV_TESTS_SIM_MONITOR_H

#include "api/peer_verdict.h"
#include "tests/sim/sim_network.h"

typedef struct sim_monitor sim_monitor;

/* How often, since the beginning of the run, of all nodes. */
typedef struct sim_monitor_counts {
    int64_t suspicions;
    int64_t proofs;
    int64_t convictions;
    int64_t wrong;   /* of these, of a process that ran, frozen or not heard */
    int64_t revived; /* held for dead and heard again */
    int64_t goodbyes;
    int64_t restarts; /* noticed by the boot alone */
} sim_monitor_counts;

typedef struct sim_monitor_options {
    sim_network *network;
    int number;
    int64_t boot; /* of this process */
    int64_t timeout_ms;
    sim_monitor_counts *counts;

    /* A node is dead, or not any more. */
    void (*judged)(void *payload, int other, bool dead);
    void *payload;
} sim_monitor_options;

sim_monitor *sim_monitor_new(const sim_monitor_options *options);
void sim_monitor_free(sim_monitor *monitor);

/* Where the members of the group are, as this node was told last; 0 = the node is no member. */
void sim_monitor_set_members(sim_monitor *monitor, const int ports[SIM_NODES_MAX]);

/* Whether a turn has something to do. */
bool sim_monitor_is_due(const sim_monitor *monitor);

/* One turn of the thread of api/peer_monitor.c. */
void sim_monitor_turn(sim_monitor *monitor);

/* The process stops on purpose. */
void sim_monitor_say_goodbye(sim_monitor *monitor);

/* What it thinks of another; UNKNOWN of those that are no members. */
alv_peer_state sim_monitor_state(const sim_monitor *monitor, int other);

#endif
