/* checkpointer.h — the thread that copies committed changes into the durable store.
 *
 * Why:    PostgreSQL may be slow or gone without slowing commands (I9). The checkpointer reads the
 *         changelog by itself, coalesces by key and writes in its own time; what it has not written
 *         waits in Kafka. It follows ownership: a shard is checkpointed by the node that executes
 *         it (docs/decisions/0001), and its resume offset lives in PostgreSQL with the rows.
 * Thread: its own. start/stop: main. follow/unfollow: lanes. status, position: any.
 * Owns:   its reader and its durable store.
 * Limits: ALV_CHECKPOINT_ROWS_MAX rows or ALV_CHECKPOINT_BYTES_MAX bytes held; then it stops
 *         reading.
 *
 * Lanes never wait for it: follow and unfollow set a word per shard and wake the thread. An inbox
 * would fill while PostgreSQL hangs, and then the lanes would wait with it.
 *
 * A shard that it follows is in one of these states:
 *
 *   OFF --follow--> LOCATING --position known--> READING --unfollow--> LEAVING --written--> OFF
 *                    |    ^                        |                      |
 *                    |    +-- fenced, offset gone -+      fenced: rows dropped, OFF
 *                    +--> STUCK: the stored position lies past the end of the changelog, which was
 *                         thus deleted and made anew; nothing is written, and each minute it is
 *                         looked at again
 *
 * A clean stop of the node waits for a moment until all that is committed is written (keep, catch_up), so that
 * PostgreSQL is up to date then, if it is there.
 *
 * Rows of a shard that is no longer followed are written, at once: they are committed changes, and
 * the next owner then starts behind them. If that owner was quicker, one of the two is fenced: it
 * drops its rows and reads the position again, and nothing is lost, for the changelog has them all.
 */
#ifndef ALV_CHANGELOG_CHECKPOINTER_H
#define ALV_CHANGELOG_CHECKPOINTER_H

#include "base/clock.h"
#include "base/config.h"
#include "changelog/durable_store.h"
#include "topics/log_port.h"

typedef struct alv_checkpointer alv_checkpointer;

typedef struct alv_checkpointer_options {
    alv_log_port *log;            /* borrowed */
    const alv_clock *clock;       /* borrowed */
    const alv_settings *settings; /* borrowed */
    alv_durable_store *durable;   /* taken, also when alv_checkpointer_new fails */
    int32_t shard_count;
} alv_checkpointer_options;

alv_status alv_checkpointer_new(const alv_checkpointer_options *options, alv_checkpointer **out,
                                alv_error *err);

/* One turn of its loop: follow and unfollow, writing when due, reading, waiting up to
 * `timeout_ms` when there is nothing to do. Called by its thread, or by a test or the simulator
 * without one. False once alv_checkpointer_stop was called and the last rows are written (or
 * could not be). */
bool alv_checkpointer_turn(alv_checkpointer *checkpointer, int timeout_ms);

/* Starts the thread that calls turn. */
void alv_checkpointer_start(alv_checkpointer *checkpointer);

/* Begin and end checkpointing a shard; the last call counts. Any thread; never blocks. */
void alv_checkpointer_follow(alv_checkpointer *checkpointer, int32_t shard);
void alv_checkpointer_unfollow(alv_checkpointer *checkpointer, int32_t shard);

/* A clean stop begins: shards that are unfollowed from now on are kept, so that what their lanes commit last
 * is read as well. Any thread; never blocks. */
void alv_checkpointer_keep(alv_checkpointer *checkpointer);

/* After keep, when no lane commits any more: waits up to `timeout_ms` until what the changelogs of its shards
 * hold now is written. False when it is not: PostgreSQL is away, or time is up. A shard that another node has
 * begun to write is left to it. The thread must run. */
bool alv_checkpointer_catch_up(alv_checkpointer *checkpointer, int timeout_ms);

typedef struct alv_checkpointer_status {
    bool connected;       /* the last try succeeded; false before the first */
    int64_t rows_written; /* since the start */
    int64_t rows_pending; /* read, not yet written */
    int64_t rows_refused; /* since the start: PostgreSQL would not take them, see durable_store.h */
    int64_t failures;     /* tries since the start that failed */
    int64_t shards_stuck; /* now: see STUCK above; an operator must act */
} alv_checkpointer_status;

alv_checkpointer_status alv_checkpointer_status_get(const alv_checkpointer *checkpointer);

/* Up to where a followed shard is known to be in the durable store; ALV_OFFSET_NONE while that
 * is not known. Any thread. */
int64_t alv_checkpointer_position(const alv_checkpointer *checkpointer, int32_t shard);

/* Writes what it holds (one try; none when the last try failed), stops the thread if there is
 * one and frees everything; nobody may follow or unfollow any more. Blocks while PostgreSQL
 * does. NULL is fine. */
void alv_checkpointer_stop(alv_checkpointer *checkpointer);

#endif
