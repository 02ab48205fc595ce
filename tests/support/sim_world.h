/* sim_world.h — one lane with everything around it, in one thread, over the simulated log.
 *
 * Why:    the real lane, executor, transaction, replicator and `user` behavior run here step by step;
 *         the test decides what the log does and looks at log, store and directory afterwards.
 * Thread: one.
 */
#ifndef ALV_TESTS_SUPPORT_SIM_WORLD_H
#define ALV_TESTS_SUPPORT_SIM_WORLD_H

#include "processor/lane.h"
#include "tests/support/faulty_log.h"
#include "tests/support/faulty_store.h"
#include "tests/support/sim_log.h"

#define ALV_SIM_SHARDS 2

typedef struct alv_sim_world {
    alv_config *config;
    alv_manual_clock clock;
    alv_sim_log *log;
    alv_faulty_log *faulty_log; /* around it; NULL = nothing is */
    alv_log_port *port;         /* the log as the lane sees it */
    alv_store *memory;          /* what survives a crash */
    alv_faulty_store *faults;   /* around it */
    alv_store *store;           /* the same, as the lane sees it */
    alv_registry *registry;
    alv_directory *directory;
    alv_meter *meter; /* of the lane that runs; a new one after a crash */
    alv_tables *
        tables; /* of this life of the process, without a view at first; NULL without global.tables */
    alv_replicator *replicator;
    alv_crash_mark *crash_mark; /* borrowed */
    alv_lane *lane;
    int assignment_changes;
    alv_reply_box replies; /* all that the lane handed on, in order */
    int replies_early;     /* of these, before commit and store had what they tell (I4, I7) */
} alv_sim_world;

/* `assignments` ("key=value", NULL-terminated list, may be NULL) go into the configuration. */
void alv_sim_world_init(alv_sim_world *world, const char *const *assignments);

/* The same with one more behavior and a crash mark; both may be NULL, both are borrowed. */
void alv_sim_world_init_with(alv_sim_world *world, const char *const *assignments,
                             const alv_behavior *behavior, alv_crash_mark *crash_mark);

/* The same with log and store failing when `io` says so; borrowed. */
void alv_sim_world_init_faulty(alv_sim_world *world, const char *const *assignments,
                               alv_io_faults *io);
void alv_sim_world_done(alv_sim_world *world);

/* Lane and replicator take `turns` turns each, 1 ms apart; asserts that the lane goes on. */
void alv_sim_world_run(alv_sim_world *world, int turns);

/* One turn of each, 1 ms later; what the lane's turn says. */
alv_status alv_sim_world_turn(alv_sim_world *world, alv_error *err);

/* Time goes by and nobody does anything. */
void alv_sim_world_pass(alv_sim_world *world, int64_t ms);

/* Assigns both shards to the lane and runs until they are active. */
void alv_sim_world_activate(alv_sim_world *world);

/* The lane and its producer die without a word, the replicator too; log and store stay. A new lane
 * starts over them. The store falls back by `applies` applies per shard, as after a crash. */
void alv_sim_world_crash(alv_sim_world *world, size_t applies);

/* The lane stops as a process does that is told to, the replicator too; then new ones start. */
void alv_sim_world_restart(alv_sim_world *world);

/* Sends a command to the shard its key belongs to; the shard. */
int32_t alv_sim_world_send(alv_sim_world *world, const char *key, const char *command);

/* The same for a node that waits for the reply under `id`. */
int32_t alv_sim_world_send_waiting(alv_sim_world *world, const char *key, const char *command,
                                   const char *id);

/* A user of that shard, always the same. Static. */
const char *alv_sim_world_user(int32_t shard);

/* The "balance" of a user in the store (-1 = no such entity) and by the changelog's last record. */
int64_t alv_sim_world_stored_balance(alv_sim_world *world, const char *key);
int64_t alv_sim_world_logged_balance(alv_sim_world *world, const char *key);

/* Another member of an entity's state, by the changelog's last record; -1 = no such entity, or member. */
int64_t alv_sim_world_logged(const alv_sim_world *world, const char *key, const char *member);

#endif
