/* shard.h — one partition of the command topic, as the lane that executes it sees it.
 *
 * Why:    everything a lane knows of a shard between assignment and revocation. Its state (restoring,
 *         active, ...) is in the directory, which is the source of truth for others as well.
 * Thread: the lane that owns it.
 * Source of truth for: which command comes next (next_offset), and where the open transaction began
 *         (committed_offset).
 */
#ifndef ALV_PROCESSOR_SHARD_H
#define ALV_PROCESSOR_SHARD_H

#include "processor/quarantine.h"
#include "processor/table_record.h"
#include "processor/timers.h"
#include "statestore/overlay.h"
#include "statestore/store.h"

typedef struct alv_shard {
    int32_t number;
    uint64_t ticket; /* of the restore asked for last; answers with another one are stale */

    /* committed_offset <= next_offset; equal when no transaction touches the shard. */
    int64_t next_offset;      /* the next command to execute */
    int64_t committed_offset; /* the next command by what is certainly committed */

    alv_position position;     /* what the store has */
    alv_position reached;      /* what the last commit led to; the store has less when it failed */
    alv_overlay overlay;       /* what the open transaction changed */
    alv_timers timers;         /* when to look for timers that are due */
    alv_quarantine quarantine; /* entities that fail */
    int64_t commands;          /* executed in the open transaction */
    bool claimed;              /* its row in the directory, and so its store, are this lane's */
    bool was_ahead;            /* the last survey saw fewer commands than were consumed */
    bool active;               /* as in the directory: commands are executed */
    bool touched;              /* the open transaction consumed from it */
    bool must_start;           /* the consumer is to deliver from next_offset (again) */
    bool singletons_begun;     /* of shard 0: the jobs of the cluster are in its ledger */
    bool failed;               /* its store failed: to be restored before it goes on */
    bool paused;               /* nothing of it is executed until somebody resumes it */
    bool gives_way;            /* it has a backlog, and waits for the others (lane_way.c) */
    int64_t looked_offset;     /* next_offset when that was looked at last */

    alv_table_record tables;    /* versions of global tables that its handlers have seen (I12) */
    bool awaits_tables;         /* restored, but this node's copies do not cover them yet */
    int64_t await_tables_to_ms; /* after this it is shown as stopped; 0 when it is */

    struct alv_pause_wish *pause_wish;  /* to be recorded; NULL = none */
    const alv_store_write *extra_write; /* of the open transaction, besides entities; NULL = none */
} alv_shard;

alv_shard *alv_shard_new(int32_t number);

/* The overlay must be empty. NULL is fine. */
void alv_shard_free(alv_shard *shard);

/* Whether the consumer is to be told to deliver from it. */
bool alv_shard_may_start(const alv_shard *shard);

/* The record at `offset` has been executed in the open transaction. */
void alv_shard_consumed(alv_shard *shard, int64_t offset);

/* Everything the open transaction did to the shard is undone: its entities leave the cache, and the
 * consumer is to deliver from the last committed command again. */
void alv_shard_rewind(alv_shard *shard, alv_cache *cache);

#endif
