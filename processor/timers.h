/* timers.h — when to look for timers of a shard, and which entities have one that is due.
 *
 * Why:    the ledger of each entity says what is pending; asking all of them would take too long, and keeping
 *         them in memory too much. The store keeps an index ordered by time (ALV_STORE_TIMER), and here is
 *         what a lane remembers of it: a few numbers per shard, however many timers there are. Nothing of it
 *         needs to survive: a new owner starts from the index.
 * Order:  a timer fires in its entity's own order. Commands that were in the log before it was due come first:
 *         while the shard has a backlog (after a takeover, or when the lane cannot keep up), timers fire up to
 *         the time of the last command only; when the backlog is gone, up to now. Late, never early.
 * Thread: the lane that owns the shard.
 */
#ifndef ALV_PROCESSOR_TIMERS_H
#define ALV_PROCESSOR_TIMERS_H

#include "statestore/ledger.h"
#include "statestore/store.h"

/* Entities whose timers fire in one turn of a shard. */
#define ALV_TIMERS_ROUND_MAX 256

/* Without a command for so long, what was thought to be a backlog is none: offsets of control records are
 * never delivered. */
#define ALV_TIMERS_QUIET_MS 2000

typedef struct alv_timers {
    int64_t next_ms;   /* nothing is due before; ALV_DUE_NEVER = nothing is pending */
    int64_t floor_ms;  /* what the index has from before it was handled */
    alv_bytes cursor;  /* the last entry that the open transaction handled; empty = none */
    int64_t record_ms; /* the latest time of a command so far */
    bool is_behind;    /* there is a backlog */
    int64_t backlog_end;
    int64_t quiet_since_ms; /* no command came since; INT64_MAX = since the next look */
} alv_timers;

/* The shard becomes active; it has a backlog up to offset `backlog_end`. */
void alv_timers_start(alv_timers *timers, int64_t next_offset, int64_t backlog_end, int64_t now_ms);

/* A command was executed. */
static inline void alv_timers_pass(alv_timers *timers, int64_t record_ms)
{
    timers->record_ms = record_ms > timers->record_ms ? record_ms : timers->record_ms;
}

/* Commands of the shard were there, up to `next_offset` (exclusive). `more`: the lane could not take all that
 * was there. */
void alv_timers_see(alv_timers *timers, int64_t next_offset, bool more, int64_t now_ms);

/* The shard stood still and goes on: what came meanwhile is a backlog of unknown length. */
void alv_timers_resume(alv_timers *timers);

/* Timers fire that are due at this time or earlier. */
int64_t alv_timers_until(alv_timers *timers, int64_t now_ms);

/* An entry of the index. */
typedef struct alv_due {
    int64_t due_ms;
    alv_view key; /* of the entity; in `keys` of the list */
} alv_due;

typedef struct alv_due_list {
    alv_due items[ALV_TIMERS_ROUND_MAX];
    size_t count;
    alv_bytes keys;
} alv_due_list;

/* The next entries that are due at `until_ms`, earliest first; they count as handled in the open transaction.
 * Replaces what is in `out`. Fails as the store does. */
alv_status alv_timers_collect(alv_timers *timers, alv_store *store, int32_t shard, int64_t until_ms,
                              alv_due_list *out, alv_error *err);

/* The open transaction was committed; the earliest timer of the ledgers that it wrote is due at `due_ms`. */
void alv_timers_commit(alv_timers *timers, int64_t due_ms);

/* It was undone, and what it handled with it: commands from `committed_offset` up to `next_offset` come
 * again. */
void alv_timers_rewind(alv_timers *timers, int64_t committed_offset, int64_t next_offset);

void alv_timers_done(alv_timers *timers);

#endif
