/* sim_run_internal.h — a run inside: sim_run.c (the steps), sim_load.c (clients), sim_trouble.c (what goes
 * wrong).
 */
#ifndef ALV_TESTS_SIM_RUN_INTERNAL_H
#define ALV_TESTS_SIM_RUN_INTERNAL_H

#include "tests/sim/sim_node.h"
#include "tests/sim/sim_run.h"

#define RUN_RECENT 16
#define RUN_SETTINGS_MAX 20

/* A command that kills whoever executes it. */
#define RUN_POISONS_MAX 2
typedef struct run_poison {
    int64_t id;
    int32_t shard;
    int64_t offset;
} run_poison;

/* A command with an idempotency key, which may be sent again. */
typedef struct run_sent {
    int cell;
    char value[160];
    char key[32];
    bool is_release;    /* of its quarantine; no command */
    run_poison *poison; /* NULL = it is none */
} run_sent;

/* How often what goes wrong, per thousand steps or calls; 0 = never in this run. */
typedef struct run_troubles {
    int64_t crash;
    int64_t stop;
    int64_t freeze;
    int64_t cut;
    int64_t think;       /* somebody is held for dead for no reason */
    int64_t split;       /* of the network between nodes */
    int64_t power;       /* of crashes: the host is gone as well */
    int64_t evict;       /* somebody dead or frozen, by hand */
    int64_t evict_false; /* somebody alive */
    int64_t clock;
    int64_t disk;
    int64_t postgres;
    int64_t expire; /* the group's offsets */
    int64_t compact;
    int64_t lose_end;  /* of calls: EndTxn */
    int64_t lose_call; /* of calls: all others */
    int64_t yield;     /* of calls: others run inside */
    int64_t deep;      /* applies that a crash may undo */
    int64_t poison;    /* of commands: they kill */
    int64_t spoil;     /* of deaths: something happens to the crash mark */
    int64_t pause;     /* somebody wishes that a shard is paused, or goes on */
} run_troubles;

typedef struct sim_simulation {
    uint64_t seed;
    sim_random random;
    int64_t now_ms;
    sim_broker broker;
    sim_model *model;
    sim_postgres postgres;
    sim_network network;
    sim_marks *marks;
    sim_turn turn;
    sim_monitor_counts monitor_counts;
    const char *settings[RUN_SETTINGS_MAX]; /* NULL-terminated */
    sim_node_options node_options;
    sim_node nodes[SIM_NODES_MAX];
    int node_count;
    alv_registry *registry;
    run_troubles troubles;
    bool is_ending; /* nothing goes wrong any more */
    int depth;      /* calls inside of which steps happen */
    int64_t postgres_back_ms;
    int64_t commands_left;
    int64_t last_id;
    run_sent recent[RUN_RECENT];
    run_poison poisons[RUN_POISONS_MAX];
    int poison_count;
    int recent_count;
    sim_stats stats;
} sim_simulation;

/* ---- sim_run.c */

/* A little time passes, and somebody does something. */
void sim_run_step(sim_simulation *run);

/* Steps until then, or until one too many is inside of the other. */
void sim_run_until(sim_simulation *run, int64_t until_ms);

/* ---- sim_load.c: a client sends a command. */
void sim_load_send(sim_simulation *run);

/* Where the poison with this id is. */
const run_poison *sim_load_poison(const sim_simulation *run, int64_t id);

/* ---- sim_drill.c: with nothing else wrong a node dies, and its shards are free at once. */
void sim_drill_run(sim_simulation *run);

/* ---- sim_trouble.c */

/* Which troubles this run has. */
void sim_trouble_choose(sim_simulation *run);

/* The node may think something of another one. */
void sim_trouble_think(sim_simulation *run, sim_node *node);

/* Maybe something goes wrong. */
void sim_trouble_step(sim_simulation *run);

/* A handler kills the node whose turn it is. */
void sim_trouble_poison(void *payload, int64_t id, bool crashes);

/* Asks for every shard that is paused to go on. */
void sim_trouble_resume_all(sim_simulation *run);

/* What has lasted long enough is mended; with `all`, everything is. */
void sim_trouble_mend(sim_simulation *run, bool all);

/* What becomes of a call; see sim_client_options. */
sim_fate sim_trouble_call(void *payload, int node, sim_call call);

#endif
