/* table_follower.h — the thread that copies the topics of the global tables, and keeps the copies current.
 *
 * Why:    a handler may do no I/O, so what it looks up must be here before it runs. One thread and one
 *         reader serve all tables of the node.
 * Thread: its own. new, start, stop: main.
 * Owns:   its reader, and the rows that it works on; what it publishes is shared (statestore/tables.h).
 *
 *     plan ---> reading to the end that was seen ---> following: each poll with news is published
 *      ^          |                                      |
 *      +-- brokers away, a topic changed under it -------+
 *
 * Nothing is published before every table has what was in its topic at the plan: in between, copies of a
 * compacted topic are of no version at all, because what was superseded is gone. For the same reason a
 * topic that must be read again (an offset fell out of it) is read again whole, while the last view stays.
 *
 * The copies are in memory, decoded, and read anew at every start: tables are for reference data (prices, limits,
 * flags), of which a million rows take a few seconds and some hundred MB. A copy in RocksDB would start sooner, and
 * make every lookup of every handler a read and a decode, and need versions and wiping of its own.
 *
 * A value that is not JSON removes the row of its key and is counted: what the row had before may be gone from
 * the topic at the next start, so nothing else would be the same on all nodes.
 */
#ifndef ALV_CHANGELOG_TABLE_FOLLOWER_H
#define ALV_CHANGELOG_TABLE_FOLLOWER_H

#include "base/clock.h"
#include "base/config.h"
#include "statestore/tables.h"
#include "topics/log_port.h"

typedef struct alv_table_follower alv_table_follower;

/* A table's topic, as it was found. */
typedef struct alv_table_source {
    char topic_id[ALV_TABLE_TOPIC_ID_BYTES];
    int32_t partition_count;
} alv_table_source;

typedef struct alv_table_follower_options {
    alv_log_port *log;               /* borrowed */
    const alv_clock *clock;          /* borrowed */
    const alv_settings *settings;    /* borrowed */
    alv_tables *tables;              /* borrowed: where it publishes */
    const alv_table_source *sources; /* one per table; borrowed during new */

    /* Called on its thread when tables become ready or are no longer. May be NULL. */
    void (*changed)(void *payload);
    void *payload;
} alv_table_follower_options;

/* ALV_FATAL, ALV_RETRY when the reader cannot be opened. */
alv_status alv_table_follower_new(const alv_table_follower_options *options,
                                  alv_table_follower **out, alv_error *err);

/* One turn of its loop: plans if that is due, polls, applies, publishes. Waits up to `timeout_ms` when there
 * is nothing to do. Called by its thread, or by a test without one. */
void alv_table_follower_turn(alv_table_follower *follower, int timeout_ms);

void alv_table_follower_start(alv_table_follower *follower);

/* Ends the thread: nothing more is published. */
void alv_table_follower_stop(alv_table_follower *follower);

/* Stops if that was not done, and frees. NULL is fine. */
void alv_table_follower_free(alv_table_follower *follower);

#endif
