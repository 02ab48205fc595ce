/* takeover.h — takes a dead node's shards away from it, so that the group gives them to others.
 *
 * Why:    the group believes in a member until its session times out, which is much longer than a
 *         peer needs to know better. Who is dead, the caller says (api/peer_monitor.h); who acts
 *         and when, is decided here.
 * Thread: its own, named takeover; it blocks in Kafka. new, start, stop: main. dead, cleared: any.
 * Owns:   its handle to the group; config and clock are borrowed.
 * Fails:  everything is tried again, with backoff, while the dead node's lanes are members.
 * Limits: ALV_EVICT_MS per try.
 *
 * Who acts: of the nodes in the group that are not held for dead, the one with the smallest id, at
 * once; the next one when the dead lanes are still members ALV_TAKEOVER_TURN_MS later (the first
 * may be dead itself, or not know), and so on. Two that act at the same time do no harm: a seat is
 * taken from whoever holds it, and leaving twice is the same as leaving once. A verdict that is
 * taken back ends it; a lane that was evicted by mistake is fenced, drops its transaction and
 * joins again.
 *
 * Own seats: a node that starts with fewer lanes than before finds the seats of the others still
 * taken, by nobody. It evicts them before anything else.
 */
#ifndef ALV_PROCESSOR_TAKEOVER_H
#define ALV_PROCESSOR_TAKEOVER_H

#include "base/clock.h"
#include "base/config.h"
#include "topics/kafka.h"
#include "topics/kafka_evict.h"

/* How much longer each further node waits. An eviction takes about half a second. */
#define ALV_TAKEOVER_TURN_MS 2000

typedef struct alv_takeover alv_takeover;

typedef struct alv_takeover_options {
    const alv_config *config;
    const alv_clock *clock;

    /* What is asked of Kafka; NULL = Kafka itself. As alv_group_view_members, alv_kafka_evict. */
    alv_status (*members)(void *payload, alv_members *out, alv_error *err);
    alv_status (*evict)(void *payload, const alv_seat *seats, size_t count, alv_evicted *out,
                        alv_error *err);
    void *payload;
} alv_takeover_options;

/* One without a thread; looks for own seats first. ALV_REJECT: a kafka.* setting; ALV_FATAL. */
alv_status alv_takeover_new(const alv_takeover_options *options, alv_takeover **out,
                            alv_error *err);

/* One turn of its loop: hears what is said, acts when something is due, and waits up to `timeout_ms` for either.
 * Called by its thread, or by the simulator without one. */
void alv_takeover_turn(alv_takeover *takeover, int timeout_ms);

/* The same as new, and starts the thread that calls turn. */
alv_status alv_takeover_start(const alv_takeover_options *options, alv_takeover **out,
                              alv_error *err);

/* A node is dead. @thread any @blocks no */
void alv_takeover_dead(alv_takeover *takeover, const char *node_id);

/* It is not, or is no member any more. @thread any @blocks no */
void alv_takeover_cleared(alv_takeover *takeover, const char *node_id);

/* Ends the thread, within ALV_EVICT_MS, and frees everything. NULL is fine. */
void alv_takeover_stop(alv_takeover *takeover);

#endif
