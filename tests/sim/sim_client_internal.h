/* sim_client_internal.h — the client inside: sim_client.c, sim_consumer.c, sim_producer.c, sim_reader.c. */
#ifndef ALV_TESTS_SIM_CLIENT_INTERNAL_H
#define ALV_TESTS_SIM_CLIENT_INTERNAL_H

#include "tests/sim/sim_client.h"

struct sim_client {
    alv_log_port port;
    sim_client_options options;
    struct sim_consumer *consumers[SIM_LANES_MAX]; /* by lane; NULL = none is open */
};

typedef enum sim_phase {
    SIM_PHASE_OUT, /* joins at the next beat, as a new member */
    SIM_PHASE_JOINING,
    SIM_PHASE_STEADY,
} sim_phase;

typedef struct sim_consumer {
    alv_consumer base;
    sim_client *client;
    int lane;
    alv_rebalance_listener listener;
    sim_phase phase;
    bool was_polled;
    int64_t member_id;
    int64_t generation;
    int64_t heard_ms; /* when the coordinator answered last */
    sim_shards assigned;

    /* What the application must hear of at its next poll. */
    sim_shards to_revoke;
    sim_shards to_assign;
    bool is_lost;     /* all of it, to others */
    bool is_fenced;   /* and the seat */
    bool is_serving;  /* it is hearing of it now */
    bool must_rejoin; /* something was given back */

    int64_t next[SIM_SHARDS_MAX]; /* ALV_OFFSET_NONE = silent */
    int64_t ends[SIM_SHARDS_MAX]; /* as last fetched */
} sim_consumer;

static inline bool sim_client_is_dead(const sim_client *client)
{
    return client->options.is_dead(client->options.payload, client->options.node);
}

static inline sim_fate sim_client_call(const sim_client *client, sim_call call)
{
    return client->options.call(client->options.payload, client->options.node, call);
}

/* ALV_RETRY with a word why. */
alv_status sim_client_away(alv_error *err);

alv_status sim_client_open_consumer(alv_log_port *port, int lane,
                                    const alv_rebalance_listener *listener, alv_consumer **out,
                                    alv_error *err);
alv_status sim_client_open_producer(alv_log_port *port, int lane, alv_producer **out,
                                    alv_error *err);
alv_status sim_client_open_reader(alv_log_port *port, const char *name, alv_reader **out,
                                  alv_error *err);

/* The stable committed offsets. ALV_RETRY. */
alv_status sim_client_committed(const sim_client *client, alv_shard_offset *items, size_t count,
                                alv_error *err);

/* See sim_client_beat. */
void sim_consumer_beat(sim_consumer *consumer, bool is_cut);

#endif
