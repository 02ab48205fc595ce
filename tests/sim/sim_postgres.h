/* sim_postgres.h — PostgreSQL as the checkpointers of all nodes see it: rows and positions behind the port.
 *
 * Why:    two checkpointers write the same shard for a while when it moves, answers to commits are lost, the
 *         server is slow or gone. What is stored is compared with the changelog after every write (I5).
 * Thread: one.
 * Owns:   its rows; states are borrowed from the log, which keeps them.
 */
#ifndef ALV_TESTS_SIM_POSTGRES_H
#define ALV_TESTS_SIM_POSTGRES_H

#include "changelog/durable_store.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_client.h"

typedef struct sim_row {
    bool exists;
    int64_t offset;
    alv_bytes state;
} sim_row;

typedef struct sim_postgres {
    sim_broker *broker; /* borrowed */
    bool is_away;
    sim_row rows[SIM_CELLS];
    int64_t positions[SIM_SHARDS_MAX];
    int64_t writes;
    int64_t fenced;

    /* As in sim_client_options. */
    sim_fate (*call)(void *payload, int node, sim_call call);
    void *payload;
} sim_postgres;

void sim_postgres_init(sim_postgres *postgres, sim_broker *broker);
void sim_postgres_done(sim_postgres *postgres);

/* A node's connection; it belongs to the node's checkpointer. */
alv_durable_store *sim_postgres_connect(sim_postgres *postgres, int node);

/* Whether the rows of the shard are the state of its changelog by now. */
bool sim_postgres_is_complete(const sim_postgres *postgres, int32_t shard);

#endif
