/* orphans.h — finds shards that the group has given to nobody, and lets it assign anew.
 *
 * Why:    how a shard can be left over stands in topics/kafka_nudge.h. Its commands would wait until some node
 *         starts or stops.
 * Thread: its own, named orphans, asleep unless there is something to do; it blocks in Kafka. start, stop: main.
 *         see: one, that never stops to tell.
 * Owns:   its thread; config and clock are borrowed.
 * Fails:  a nudge that fails is tried again like one that did not help: later, with growing pauses.
 *
 * Limits: without an HTTP API nobody asks who is in the group, and nothing is found.
 *
 * What counts: the group tells assignments (it does not while it rebalances), some shard is in none of them, and
 * this has been so in every picture for ALV_ORPHANS_AFTER_MS. A hand-over looks the same while it lasts, so a
 * nudge may come in vain; it moves nothing. The node with the smallest id acts, the next one when that has
 * not helped, and so on.
 */
#ifndef ALV_PROCESSOR_ORPHANS_H
#define ALV_PROCESSOR_ORPHANS_H

#include "base/clock.h"
#include "base/config.h"
#include "topics/kafka.h"

/* Longer than a hand-over takes. */
#define ALV_ORPHANS_AFTER_MS 5000
/* How much longer each further node waits; more than a nudge takes. */
#define ALV_ORPHANS_TURN_MS 20000
/* Between nudges that do not help: the first pause is ALV_ORPHANS_AFTER_MS, each further one twice as long. */
#define ALV_ORPHANS_PAUSE_MAX_MS 300000

typedef struct alv_orphans alv_orphans;

typedef struct alv_orphans_options {
    const alv_config *config; /* borrowed */
    const alv_clock *clock;   /* borrowed */

    /* As alv_kafka_nudge; NULL = that. */
    alv_status (*nudge)(void *payload, alv_error *err);
    void *payload;
} alv_orphans_options;

/* ALV_FATAL: no thread. */
alv_status alv_orphans_start(const alv_orphans_options *options, alv_orphans **out, alv_error *err);

/* The group as it is now, every second or so. NULL is fine, nothing happens then. @blocks no */
void alv_orphans_see(alv_orphans *orphans, const alv_members *members);

/* Ends the thread, within two seconds or so, and frees. Nobody tells any more. NULL is fine. */
void alv_orphans_stop(alv_orphans *orphans);

#endif
