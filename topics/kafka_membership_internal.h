/* kafka_membership_internal.h — as which member of the group a consumer was given its shards.
 *
 * Why:    a member that was evicted while it was joining gets UNKNOWN_MEMBER_ID for an answer, and librdkafka
 *         (2.15.1, rd_kafka_cgrp_handle_JoinGroup) then joins as a new member without saying that the shards
 *         are lost. It even claims them and may get them confirmed, although others have executed them
 *         meanwhile: its generation is right, and what the lane knows of the shards is old. So a membership
 *         is what has the same member id, and what was given to another one is lost (I3).
 *         Each look is a round trip to librdkafka's main thread, so a commit takes one: after the metadata. The
 *         coordinator gives every member that joins without an id a new one, so an id that was given up never
 *         comes back; if the id is the one of the shards after the metadata was taken, it was that when it was
 *         taken, and so was the generation beside it. What changes later is fenced by the broker, which knows
 *         member and generation by then.
 * Thread: the consumer's.
 * Owns:   the id.
 */
#ifndef ALV_TOPICS_KAFKA_MEMBERSHIP_INTERNAL_H
#define ALV_TOPICS_KAFKA_MEMBERSHIP_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct alv_kafka_membership {
    char *id; /* of the member to which the shards were given; NULL = it was none yet */
} alv_kafka_membership;

/* Subscribes `rk` to one topic, which makes it a member some time later. ALV_FATAL. */
alv_status alv_kafka_membership_seek(rd_kafka_t *rk, const char *topic, alv_error *err);

/* The answer, inside the rebalance callback, of a member that is there for the group alone: it takes nothing of what
 * it is given or loses. True when the group has assigned. */
bool alv_kafka_membership_decline(rd_kafka_t *rk, rd_kafka_resp_err_t code);

void alv_kafka_membership_done(alv_kafka_membership *membership);

/* Looks who `rk` is now. True when it has become another member than it was: what it was given before is
 * lost. To be called before shards are taken or handed back, and now and then. */
bool alv_kafka_membership_changed(alv_kafka_membership *membership, rd_kafka_t *rk);

/* Whether `rk` is a member of its group at all. */
bool alv_kafka_membership_is_any(rd_kafka_t *rk);

/* The group's metadata for a commit, to be destroyed by the caller; NULL when `rk` is not the member any
 * more to which its shards were given. */
rd_kafka_consumer_group_metadata_t *alv_kafka_membership_group(
    const alv_kafka_membership *membership, rd_kafka_t *rk);

#endif
