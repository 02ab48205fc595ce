/* replicator.h — the thread that brings stores to the end of their changelog, and keeps them there.
 *
 * Why:    a lane must not read thousands of records before it answers the next command; restoring all
 *         shards of a node over one reader also costs fewer connections and batches better. The same
 *         thread follows the shards of other nodes whose hot replica this node keeps (standbys), so that
 *         a promotion has next to nothing left to read. The rules of a restore are in restorer.h.
 *         Restores come first: while there is one, no standby that is not at the end is read.
 * Thread: its own. new, start, stop: main. restore, release: lanes. set_standbys: any.
 * Owns:   its reader. Whose store section it is, at any time, is decided here: a lane's between restore
 *         and release, the replicator's until it has answered and while the shard is a standby.
 *
 *               set_standbys                     restore
 *     nobody's -------------> standby (following) -----> restore (reading) --answer--> the lane's
 *        |  ^                        |                      ^                              |
 *        |  +------ no longer -------+                      |                              |
 *        |  +----------------------------------- release ---|------------------------------+
 *        +---------------------- restore -------------------+
 */
#ifndef ALV_CHANGELOG_REPLICATOR_H
#define ALV_CHANGELOG_REPLICATOR_H

#include "base/clock.h"
#include "base/config.h"
#include "changelog/restorer.h"
#include "statestore/store.h"
#include "topics/log_port.h"

typedef struct alv_replicator alv_replicator;

/* How a restore ended: ALV_OK with `restore`, or a status that asks for a person, with `error`. Called
 * on the replicator's thread; arguments are valid during the call. */
typedef void (*alv_restore_done)(void *payload, int32_t shard, uint64_t ticket, alv_status status,
                                 const alv_restore *restore, const alv_error *error);

/* What a replica is doing. */
typedef enum alv_replica {
    ALV_REPLICA_RESTORING, /* for a lane of this node */
    ALV_REPLICA_CATCHING_UP,
    ALV_REPLICA_HOT,  /* has been at the end of the changelog, and follows */
    ALV_REPLICA_NONE, /* no longer followed, or handed to a lane */
} alv_replica;

/* How far it is. */
typedef struct alv_replica_view {
    alv_replica replica;
    const alv_restore *restore;
    int64_t took_ms; /* since it is read */
    bool waits;      /* it is not read at the moment: others come first, or the brokers are away */
} alv_replica_view;

/* Called at every change and a few times a second in between, on the replicator's thread. */
typedef void (*alv_replica_progress)(void *payload, const alv_replica_view *view);

typedef struct alv_replicator_options {
    alv_log_port *log;            /* borrowed */
    alv_store *store;             /* borrowed */
    const alv_clock *clock;       /* borrowed */
    const alv_settings *settings; /* borrowed */
    int32_t shard_count;
    int64_t bulk_records_min; /* to read in a shard for it to be loaded in bulk; 0 = the usual */
    alv_replica_progress progress; /* may be NULL */
    void *payload;                 /* for progress */
} alv_replicator_options;

/* ALV_FATAL, ALV_RETRY when the reader cannot be opened. */
alv_status alv_replicator_new(const alv_replicator_options *options, alv_replicator **out,
                              alv_error *err);

/* One turn of its loop: new jobs, one poll, applying it, answers. Waits up to `timeout_ms` when there is
 * nothing to do. Called by its thread, or by a test or the simulator without one. */
void alv_replicator_turn(alv_replicator *replicator, int timeout_ms);

/* Starts the thread that calls turn. */
void alv_replicator_start(alv_replicator *replicator);

/* A lane takes the shard: restores it, making its section of the store when there is none, and answers
 * through `done` with the `ticket` given here. A standby goes on from where it is. What passes (brokers
 * away, disk full) is tried again for ever, with backoff; data that cannot be trusted is wiped and
 * restored whole. May be called again by the lane that has the shard, to restore it anew. Any thread. */
void alv_replicator_restore(alv_replicator *replicator, int32_t shard, uint64_t ticket,
                            alv_restore_done done, void *payload);

/* The lane gives the shard back, restored or not. When it returns, the replicator has let go of the
 * shard's store for the lane's sake; an answer that was under way may still come and is told apart by
 * its ticket. Blocks for one write to the store at most. Any thread. */
void alv_replicator_release(alv_replicator *replicator, int32_t shard);

/* Which shards to follow from now on, by number; shards that a lane has are left out until they are
 * released. Copies `wanted`. Any thread. */
void alv_replicator_set_standbys(alv_replicator *replicator, const bool *wanted);

/* Ends the thread: no store is written any more. The rest may still be called, without effect. */
void alv_replicator_stop(alv_replicator *replicator);

/* Stops if that was not done, and frees everything. NULL is fine. */
void alv_replicator_free(alv_replicator *replicator);

#endif
