/* sim_run.h — one simulated run: a cluster, its clients, and everything that may go wrong, by one seed.
 *
 * Why:    thousands of schedules a minute find what no cluster of processes would meet in a year; and each of
 *         them can be run again.
 * How:    the seed chooses a cluster (nodes, lanes, shards) and which troubles there are and how often. Then,
 *         step by step, time goes on a little and chance says who does something: a client sends a command, a
 *         thread of a node takes a turn, a node dies, is frozen or cut off. Whatever waits for somebody else
 *         lets such steps happen inside of it. In the end all troubles are mended, and everything must be done
 *         within a while: commands executed, timers fired, PostgreSQL complete.
 * Thread: one.
 * Fails:  sim_fail.
 */
#ifndef ALV_TESTS_SIM_RUN_H
#define ALV_TESTS_SIM_RUN_H

#include <stdint.h>

/* Sums over runs. */
typedef struct sim_stats {
    int64_t runs;
    int64_t steps;
    int64_t simulated_ms;
    int64_t commands; /* sent by clients */
    int64_t executions;
    int64_t timers;
    int64_t repeated;
    int64_t expired;
    int64_t quarantined;
    int64_t released;
    int64_t looked;
    int64_t pauses;  /* recorded, of shards */
    int64_t ticks;   /* commands that the job of the cluster has sent */
    int64_t awaited; /* looks at a shard that waited for a node's copy of the table */
    int64_t transactions;
    int64_t aborts;
    int64_t no_answers; /* to an EndTxn */
    int64_t late_hits;
    int64_t crashes;
    int64_t crashes_inside; /* of these, in the middle of a turn */
    int64_t stops;
    int64_t freezes;
    int64_t cuts;
    int64_t poisoned;       /* commands that kill, given up */
    int64_t poison_crashes; /* of nodes, by them */
    int64_t poison_deaths;
    int64_t chance_deaths; /* in hand at deaths of other reasons */
    int64_t damaged_marks;
    int64_t splits; /* of the network between nodes */
    int64_t suspicions;
    int64_t proofs;
    int64_t convictions; /* by a majority */
    int64_t wrong_convictions;
    int64_t revived;
    int64_t goodbyes;
    int64_t noticed_restarts;
    int64_t drills;   /* deaths with nothing else wrong */
    int64_t drill_ms; /* until their seats were free, in all */
    int64_t takeovers;
    int64_t evictions;
    int64_t false_evictions;
    int64_t clock_jumps;
    int64_t full_disks;
    int64_t postgres_outages;
    int64_t checkpoints;
    int64_t checkpoints_fenced;
    int64_t rebalances;
    int64_t expired_offsets;
} sim_stats;

/* Runs a seed and adds what happened to *stats. */
void sim_run(uint64_t seed, sim_stats *stats);

/* Writes the sums for people, one line each. */
void sim_stats_print(const sim_stats *stats, double seconds);

#endif
