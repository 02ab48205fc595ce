/* fencer.h — ends transactions that dead lanes left open on shards that are being restored here.
 *
 * Why:    nobody evicted the former owner (failover.evict=false, no HTTP, a partition of the network), so its
 *         session timed out, its shards came here, and its open transaction still holds up the restore, for
 *         as long again. An eviction fences by itself; this is for all other cases.
 * Thread: its own, named fencer; it blocks in Kafka. new, start, stop: main. members_known: any.
 * Owns:   its handles to Kafka, opened when a shard waits; config, clock and directory are borrowed.
 * Fails:  what does not work is tried again while shards wait; the transaction time-out remains.
 * Limits: ALV_EVICT_MS per lane that is fenced.
 *
 * Whose transaction it is: the offsets committed last name their lane. They are of the last transaction that
 * was *committed*; the open one may be of a later owner, whose first it was. So the lane that the group said
 * had the shard last is a candidate as well. When neither is known, or both are alive, the broker ends the
 * transaction when its time is up.
 *
 * A lane that is a member of the group is never fenced: the group is asked again right before. One that
 * joins in the same moment would lose its transaction and go on (I3 holds in any case: fencing is what a
 * zombie deserves, and a live lane survives).
 */
#ifndef ALV_PROCESSOR_FENCER_H
#define ALV_PROCESSOR_FENCER_H

#include "base/clock.h"
#include "base/config.h"
#include "processor/directory.h"
#include "topics/kafka.h"
#include "topics/kafka_evict.h"
#include "topics/kafka_owners.h"

/* A restore that takes longer than this is looked at, and again after that. Reading a tail takes less. */
#define ALV_FENCER_PATIENCE_MS 500
#define ALV_FENCER_AGAIN_MS 1000

typedef struct alv_fencer alv_fencer;

typedef struct alv_fencer_options {
    const alv_config *config;
    const alv_clock *clock;
    const alv_directory *directory;

    /* What is asked of Kafka; NULL = Kafka itself. As alv_kafka_owners_ask, alv_group_view_members,
     * alv_kafka_fence. */
    alv_status (*owners)(void *payload, alv_owner *items, size_t count, alv_error *err);
    alv_status (*members)(void *payload, alv_members *out, alv_error *err);
    alv_status (*fence)(void *payload, const alv_seat *seat, alv_error *err);
    void *payload;
} alv_fencer_options;

/* One without a thread. */
alv_fencer *alv_fencer_new(const alv_fencer_options *options);

/* One look: restores that take too long, and who is in their way. Called by its thread, or by the simulator without
 * one. */
void alv_fencer_turn(alv_fencer *fencer);

/* The same as new, and starts the thread that calls turn. ALV_REJECT: a kafka.* setting; ALV_FATAL. */
alv_status alv_fencer_start(const alv_fencer_options *options, alv_fencer **out, alv_error *err);

/* Who is a member now, and has what. @thread any @blocks no */
void alv_fencer_members_known(alv_fencer *fencer, const alv_members *members);

/* Ends the thread, within ALV_EVICT_MS, and frees everything. NULL is fine. */
void alv_fencer_stop(alv_fencer *fencer);

#endif
