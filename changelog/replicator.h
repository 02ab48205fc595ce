/* replicator.h — the thread that brings stores to the end of their changelog.
 *
 * Why:    a lane must not read thousands of records before it answers the next command; restoring all
 *         shards of a node over one reader also costs fewer connections and batches better. The rules
 *         of a restore are in restorer.h.
 * Thread: its own. new, start, stop: main. restore, cancel: lanes.
 * Owns:   its reader. It writes the store of a shard only between restore and the answer (or cancel).
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

/* Called at the begin, every few seconds and at the end of a restore, on the replicator's thread. */
typedef void (*alv_restore_progress)(void *payload, const alv_restore *restore);

typedef struct alv_replicator_options {
    alv_log_port *log;            /* borrowed */
    alv_store *store;             /* borrowed */
    const alv_clock *clock;       /* borrowed */
    const alv_settings *settings; /* borrowed */
    int32_t shard_count;
    alv_restore_progress progress; /* may be NULL */
    void *payload;                 /* for progress */
} alv_replicator_options;

/* ALV_FATAL, ALV_RETRY when the reader cannot be opened. */
alv_status alv_replicator_new(const alv_replicator_options *options, alv_replicator **out,
                              alv_error *err);

/* One turn of its loop: new requests, one poll, applying it, answers. Waits up to `timeout_ms` when
 * there is nothing to do. Called by its thread, or by a test or the simulator without one. */
void alv_replicator_turn(alv_replicator *replicator, int timeout_ms);

/* Starts the thread that calls turn. */
void alv_replicator_start(alv_replicator *replicator);

/* Restores a shard, making its section of the store when there is none, and answers through `done` with
 * the `ticket` given here. What passes (brokers away, disk full) is tried again for ever, with backoff;
 * data that cannot be trusted is wiped and restored whole. Any thread. */
void alv_replicator_restore(alv_replicator *replicator, int32_t shard, uint64_t ticket,
                            alv_restore_done done, void *payload);

/* Ends a restore that is not wanted any more. When it returns, the replicator has let go of the
 * shard's store; an answer that was under way may still come and is told apart by its ticket. Blocks
 * for one write to the store at most. Any thread. */
void alv_replicator_cancel(alv_replicator *replicator, int32_t shard);

/* Stops the thread and frees everything. NULL is fine. */
void alv_replicator_stop(alv_replicator *replicator);

#endif
