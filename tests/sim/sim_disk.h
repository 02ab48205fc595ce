/* sim_disk.h — a node's store and what may happen to it: crashes, a full disk, a damaged shard.
 *
 * Why:    the store of memory keeps the crash rule of the real one (store.h); here chance decides when it is
 *         broken and how much is lost, and everything that is written is looked at.
 * Thread: one.
 * Owns:   the store inside. It outlives the node's processes.
 */
#ifndef ALV_TESTS_SIM_DISK_H
#define ALV_TESTS_SIM_DISK_H

#include "tests/sim/sim_check.h"

typedef struct sim_disk {
    alv_store base;
    alv_store *inner;
    sim_broker *broker; /* borrowed, so the next */
    const sim_model *model;
    sim_random *random;
    int node;
    bool is_dead; /* the process that has it open is a ghost: nothing is written */
    bool is_full;
    uint32_t is_damaged; /* a bit per shard whose data cannot be trusted: wiping it is right */
    int64_t wipes;
    int64_t refused; /* writes, for want of room */
} sim_disk;

sim_disk *sim_disk_new(sim_broker *broker, const sim_model *model, sim_random *random, int node);
void sim_disk_free(sim_disk *disk);

/* The process has died: each shard falls back to an older state (I2 is checked), and it can be opened
 * again. `deep` is how many applies a shard may lose at most. */
void sim_disk_crash(sim_disk *disk, int64_t deep);

/* I2 for one shard. */
void sim_disk_check(sim_disk *disk, int32_t shard);

#endif
