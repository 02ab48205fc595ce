/* kafka_assignment_internal.h — the shards of a member of the group: what the lane wants of each, and what librdkafka
 * has been told.
 *
 * Why:    wishes are carried out together at the begin of the next poll: an abort that starts thirty shards
 *         again costs one call, and a shard that librdkafka is not ready for yet (its fetcher starts in the
 *         background) is simply tried again.
 * Thread: the consumer's.
 * Owns:   the table; the handle and the topic's name are borrowed.
 *
 *   assigned ---> paused in librdkafka, nothing handed out
 *   start    ---> `seek_due`; at the next poll: seek, then resume
 *   pause    ---> nothing handed out at once; at the next poll: paused in librdkafka
 *
 * What is handed out passes the table: the shard is started, no seek is due, and the offset is not below
 * `next`. librdkafka discards by version what was queued before a seek or a pause. `next` is there for what
 * the version does not cover: while a rebalance pauses a partition on another thread, messages just taken
 * can be fetched a second time.
 */
#ifndef ALV_TOPICS_KAFKA_ASSIGNMENT_INTERNAL_H
#define ALV_TOPICS_KAFKA_ASSIGNMENT_INTERNAL_H

#include "topics/kafka_internal.h"

typedef struct alv_kafka_assigned {
    bool assigned;
    bool started;  /* wanted */
    bool seek_due; /* wanted, not yet done */
    bool running;  /* told librdkafka: not paused */
    bool broken;   /* its fetcher stopped on an error: assign it anew */
    int seek_refusals;
    int64_t next; /* nothing below is handed out */
} alv_kafka_assigned;

/* Zeroed, with handle and topic set, it is empty. */
typedef struct alv_kafka_assignment {
    rd_kafka_t *rk;
    const char *topic;
    alv_kafka_assigned *shards; /* by number */
    int32_t shard_count;
    bool dirty; /* some wish is not carried out yet */
} alv_kafka_assignment;

void alv_kafka_assignment_done(alv_kafka_assignment *assignment);

/* A rebalance call that librdkafka refuses leaves the group in a state nobody knows: *notice (the first of
 * them) says ALV_FATAL then. Takes `error`, which may be NULL. */
void alv_kafka_assignment_check(rd_kafka_error_t *error, const char *what, alv_error *notice);

/* Inside the rebalance callback: takes these partitions, silent until they are started. */
void alv_kafka_assignment_add(alv_kafka_assignment *assignment,
                              rd_kafka_topic_partition_list_t *partitions, alv_error *notice);

/* The shard is not ours any more. One that is unknown is fine. */
void alv_kafka_assignment_remove(alv_kafka_assignment *assignment, int32_t number);

/* The shard is as if it had just been given. */
void alv_kafka_assignment_renew(alv_kafka_assignment *assignment, int32_t number);

/* The shards that are assigned, *out_count of them; the caller's. */
int32_t *alv_kafka_assignment_list(const alv_kafka_assignment *assignment, size_t *out_count);

bool alv_kafka_assignment_is_any(const alv_kafka_assignment *assignment);

/* Wishes for the next poll: to deliver from `offset` on; to deliver nothing. ALV_RETRY: not assigned. */
alv_status alv_kafka_assignment_start(alv_kafka_assignment *assignment, int32_t number,
                                      int64_t offset, alv_error *err);
alv_status alv_kafka_assignment_pause(alv_kafka_assignment *assignment, int32_t number,
                                      alv_error *err);

/* The shard's fetcher has stopped because its offset is out of range: it is silent until it is started again.
 * False: that was about an offset from before the last wish. */
bool alv_kafka_assignment_stopped(alv_kafka_assignment *assignment, int32_t number);

/* Whether a record may be handed out, and if so remembers that it was. */
bool alv_kafka_assignment_takes(alv_kafka_assignment *assignment, int32_t number, int64_t offset);

/* Carries out wishes; what librdkafka is not ready for stays `dirty`. */
void alv_kafka_assignment_apply(alv_kafka_assignment *assignment, alv_error *notice);

#endif
