/* sim_client.h — the log port of one node, over the simulated broker: what librdkafka is in a real one.
 *
 * Why:    the code under test sees the port and nothing else. Every call that would wait for a broker asks
 *         the network what becomes of it, and meanwhile anything else may happen.
 * Thread: one.
 * Owns:   its handles belong to whoever opened them. The node must close all before it frees the client.
 *
 * A node that is dead goes on until it comes back from the call it is in, like a ghost: every call fails and
 * does nothing. So its objects can be freed the usual way, and nobody notices.
 */
#ifndef ALV_TESTS_SIM_CLIENT_H
#define ALV_TESTS_SIM_CLIENT_H

#include "tests/sim/sim_broker.h"

/* What is asked of the network. */
typedef enum sim_call {
    SIM_CALL_POLL,
    SIM_CALL_ASK, /* offsets, ranges, members: nothing changes */
    SIM_CALL_PRODUCE,
    SIM_CALL_OFFSETS, /* TxnOffsetCommit */
    SIM_CALL_END,     /* EndTxn */
    SIM_CALL_INIT,    /* InitProducerId */
    SIM_CALL_DURABLE, /* PostgreSQL */
} sim_call;

typedef enum sim_fate {
    SIM_FATE_DONE,
    SIM_FATE_LOST,       /* the request never arrives */
    SIM_FATE_UNANSWERED, /* carried out, but the answer never comes */
    SIM_FATE_LATE,       /* SIM_CALL_END alone: arrives when nobody waits for it any more */
    SIM_FATE_DEAD,       /* the node died in this call */
} sim_fate;

typedef struct sim_client sim_client;

typedef struct sim_client_options {
    sim_broker *broker; /* borrowed */
    sim_random *random; /* borrowed */
    int node;
    bool (*is_dead)(void *payload, int node);

    /* What becomes of a call; other things happen inside. */
    sim_fate (*call)(void *payload, int node, sim_call call);
    void *payload;
} sim_client_options;

sim_client *sim_client_new(const sim_client_options *options);
void sim_client_free(sim_client *client);
alv_log_port *sim_client_port(sim_client *client);

/* What librdkafka's own thread does for the consumers: heartbeats, joining, rebalances up to the point where
 * the application must hear of them. `is_cut`: the brokers cannot be reached. */
void sim_client_beat(sim_client *client, bool is_cut);

#endif
