/* kafka_nudge.h — lets the group assign its shards anew.
 *
 * Why:    the group assigns when members come and go, and a member's own client cannot ask for it. But a shard may
 *         be left over: a lane is told to give it back, dies, and comes back to its seat before its session
 *         ends. The coordinator gives a static member what it had, without a rebalance (KIP-345), and nobody is
 *         told of the shard until the next one.
 *         Here somebody comes and goes: a member that has subscribed to the changelog, so that it is given no
 *         shard of commands and none moves because of it.
 * Thread: any that may block; not a lane.
 * Owns:   nothing after the call. The member fetches nothing.
 * Fails:  ALV_RETRY: not done within ALV_NUDGE_MS; ALV_REJECT, ALV_FATAL: settings, permissions.
 */
#ifndef ALV_TOPICS_KAFKA_NUDGE_H
#define ALV_TOPICS_KAFKA_NUDGE_H

#include <stdatomic.h>

#include "base/config.h"
#include "base/status.h"

/* The group waits for every member that has not joined again yet. */
#define ALV_NUDGE_MS 15000

/* Joins, waits for an assignment, leaves. Gives up soon after *stop has become true (ALV_RETRY). */
alv_status alv_kafka_nudge(const alv_config *config, const atomic_bool *stop, alv_error *err);

#endif
