/* lane.h — one thread that executes commands: a member of the consumer group, a transactional producer
 * and the shards assigned to it.
 *
 * Why:    a shard belongs to exactly one lane at a time, so executing its commands needs no lock.
 * Thread: its own. new, start, stop: main. joined, wake: any.
 * Owns:   its consumer, its transaction (with the producer), its executor (with the entity cache), its
 *         shards.
 *
 * The loop, one turn:
 *   1. take the time
 *   2. inbox: shards that the replicator has restored become active
 *   3. mend: open what is not open yet, resolve an uncertain transaction, restart failed shards
 *   4. start: tell the consumer from where to deliver shards that are new or were rewound
 *   5. poll: rebalances happen inside; now and then without the shards that are behind (lane_way.c)
 *   6. execute what was polled, committing when the transaction is full or old
 *   7. timers that are due fire, in the same transaction
 *   8. commit when the input is drained: low latency when there is little to do, large transactions
 *      when there is much; not before commit.interval.min.ms have passed
 *   9. passivate idle entities, from time to time
 *   10. show what the cache holds and how far the commands reach, every second
 */
#ifndef ALV_PROCESSOR_LANE_H
#define ALV_PROCESSOR_LANE_H

#include "base/clock.h"
#include "base/config.h"
#include "changelog/checkpointer.h"
#include "changelog/replicator.h"
#include "processor/crash_mark.h"
#include "processor/directory.h"
#include "processor/meter.h"
#include "processor/registry.h"
#include "processor/reply_box.h"
#include "statestore/store.h"
#include "statestore/tables.h"
#include "topics/log_port.h"

typedef struct alv_lane alv_lane;

typedef struct alv_lane_options {
    int32_t number; /* within the node, from 0 */
    int32_t shard_count;
    const alv_settings *settings; /* all borrowed */
    const alv_registry *registry;
    const alv_clock *clock;
    alv_log_port *log;
    alv_store *store;
    alv_directory *directory;
    alv_replicator *replicator;
    alv_checkpointer *checkpointer; /* NULL = no checkpoints */
    alv_crash_mark *crash_mark;     /* NULL = crashes are not counted */
    alv_meter *meter;
    alv_tables *tables; /* global tables, restored; NULL = there are none */

    /* Replies of commands that are committed and stored, for nodes that wait (I7); whoever is told takes
     * the content of the box, else it is cleared. On the lane's thread; must not block. NULL = nobody. */
    void (*replied)(void *payload, alv_reply_box *box);

    /* On the lane's thread; must not block. */
    void (*assignment_changed)(void *payload);
    void (*ended)(void *payload,
                  const alv_error *error); /* the last call; NULL = it was asked to */
    void *payload;
} alv_lane_options;

alv_lane *alv_lane_new(const alv_lane_options *options);

/* One turn of the loop; waits in poll for at most `timeout_ms` when there is nothing to do. Called by
 * its thread, or by a test or the simulator without one. ALV_OK: go on; ALV_FATAL: the lane cannot. */
alv_status alv_lane_turn(alv_lane *lane, int timeout_ms, alv_error *err);

void alv_lane_start(alv_lane *lane);

/* Whether the group has given it an assignment (maybe an empty one). Any thread. */
bool alv_lane_has_joined(const alv_lane *lane);

/* Told once how a wish ended: ALV_OK: recorded, and in effect; ALV_RETRY: the shard is not this lane's any
 * more, or another wish came. On the lane's thread; must not block. */
typedef void (*alv_lane_pause_done)(void *payload, alv_status status);

/* Stops or goes on with the commands of a shard that is ACTIVE here; see lane_pause.c. False, and nobody is
 * told: too many wishes wait, or the lane has ended. Any thread. */
bool alv_lane_set_paused(alv_lane *lane, int32_t shard, bool paused, alv_lane_pause_done done,
                         void *payload);

/* Asks the thread to drain: finish the open transaction, leave the group, or with `stay` keep the seat, and close.
 * A lane that ends by itself leaves. Any thread; returns at once. */
void alv_lane_request_stop(alv_lane *lane, bool stay);

/* Ends the process as if the lane's thread had crashed in the command that it has in hand. Returns before that. The
 * lane must have been started. @thread main */
void alv_lane_crash(alv_lane *lane);

/* Waits for the end of the thread, closes what is open and frees. NULL is fine. */
void alv_lane_free(alv_lane *lane);

#endif
