/* sim_node.h — one node: the real lanes, replicator, checkpointer, takeover and fencer over simulated ports.
 *
 * Why:    what runs in threads of its own in a real node takes turns here, and the scheduler says whose it is.
 *         A turn that waits for a broker or for PostgreSQL lets others run inside (`call`), also the other
 *         threads of the same node.
 * Thread: one.
 * Owns:   its objects, its disk, its configuration.
 *
 *   down --start--> up --stop (clean)--> down
 *                   up --kill--> dead (a ghost, until nobody is inside any more) --bury--> down
 */
#ifndef ALV_TESTS_SIM_NODE_H
#define ALV_TESTS_SIM_NODE_H

#include "processor/lane.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_marks.h"
#include "tests/sim/sim_monitor.h"
#include "tests/sim/sim_postgres.h"

/* Who can take a turn: the lanes from 0 on, and */
typedef enum sim_part {
    SIM_PART_REPLICATOR = SIM_LANES_MAX,
    SIM_PART_CHECKPOINTER,
    SIM_PART_TAKEOVER,
    SIM_PART_FENCER,
    SIM_PART_LOOK, /* asking who is a member, as api/peers.c does */
    SIM_PARTS,
} sim_part;

/* Whose turn it is, the innermost one. */
typedef struct sim_turn {
    int node; /* -1 = nobody's */
    int part; /* -1 = the node stops */
} sim_turn;

typedef struct sim_clock {
    alv_clock base;
    const int64_t *now_ms; /* borrowed: the simulated time */
    int64_t offset_ms;     /* of this node's wall clock */
} sim_clock;

typedef struct sim_node {
    int number;
    int lane_count;
    sim_clock clock;
    alv_config *config;
    sim_disk *disk;
    bool is_up;
    bool is_dead;
    bool is_stopping;        /* it has said goodbye, and is still up */
    bool is_busy[SIM_PARTS]; /* it is in a turn */
    int64_t start_at_ms;     /* down: when it starts again */
    int64_t paused_until_ms; /* 0 = it is not */
    int64_t cut_until_ms;    /* from the brokers */
    int64_t full_until_ms;   /* its disk */
    int64_t die_in_calls;    /* 0 = not */
    int64_t freeze_in_calls;
    bool loses_power;             /* when it dies: its host is gone with it */
    int64_t seen[SIM_SHARDS_MAX]; /* the last position a reader was shown, by commands (I4) */

    sim_client *client; /* from here on: while it is up or dead */
    alv_directory *directory;
    alv_meter *meter;
    alv_tables *tables;
    alv_replicator *replicator;
    alv_checkpointer *checkpointer;
    alv_lane *lanes[SIM_LANES_MAX];
    struct alv_takeover *takeover; /* these: sim_peers.c */
    struct alv_fencer *fencer;
    struct alv_rivals *rivals;
    sim_monitor *monitor;
    sim_nodes found_dead;   /* by its monitor */
    sim_nodes thought_dead; /* for no reason */
    bool standbys[SIM_SHARDS_MAX];
    sim_version table; /* its copy of the global table */
    int64_t evictions; /* of others, since the beginning */
    int64_t awaited;   /* looks at a shard that waited for `table`, the same */

    const struct sim_node_options *options;
} sim_node;

/* What all nodes have in common; borrowed. */
typedef struct sim_node_options {
    sim_broker *broker;
    sim_random *random;
    sim_postgres *postgres;
    sim_network *network;
    sim_marks *marks;
    sim_turn *turn;
    sim_monitor_counts *monitor_counts;
    const sim_model *model;
    const alv_registry *registry;
    const int64_t *now_ms;
    const char *const *settings; /* "key=value", NULL-terminated */
    bool (*is_dead)(void *payload, int node);
    sim_fate (*call)(void *payload, int node, sim_call call);
    void *payload;
} sim_node_options;

void sim_node_init(sim_node *node, int number, int lane_count, const sim_node_options *options);

/* Kills it if it is up. */
void sim_node_done(sim_node *node);

void sim_node_start(sim_node *node);

/* Drains, leaves the group, and is down. */
void sim_node_stop(sim_node *node);

/* It dies where it stands. */
void sim_node_kill(sim_node *node);

/* It executes a command that kills it, in the turn that is under way; `crashes`: by a fault of the lane's thread. */
void sim_node_poison(sim_node *node, int32_t shard, int64_t offset, bool crashes);

/* Whether its threads run that only watch: they wait for nobody. */
bool sim_node_is_watching(const sim_node *node);

/* Whether somebody is in a turn of it. */
bool sim_node_is_busy(const sim_node *node);

/* A dead node that nobody is inside of: frees everything; its disk falls back, and so many times of a thousand
 * something happens to its crash mark. */
void sim_node_bury(sim_node *node, int64_t deep, int64_t mark_loses_per_mille);

/* One turn; false when it cannot take one now. A lane that cannot go on takes the node down. */
bool sim_node_turn(sim_node *node, int part);

/* What its clock shows. */
int64_t sim_node_clock_ms(const sim_node *node);

/* Its copy of the global table goes on, up to `short_of` records before the end of each partition. */
void sim_node_follow_table(sim_node *node, int64_t short_of);

/* Asks every lane for a shard to stop or to go on; what they answer is nothing that could be relied on. */
void sim_node_set_paused(sim_node *node, int32_t shard, bool paused);

/* A reader looks at a shard, and I4 is checked. */
void sim_node_read(sim_node *node, int32_t shard);

#endif
