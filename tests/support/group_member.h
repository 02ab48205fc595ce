/* group_member.h — a member of a test application's consumer group that checks what it is given.
 *
 * Why:    every test of the group wants the same of each record: that it is the next one of its shard, of
 *         those that alv_topic_app_fill made, and that the shard is the member's.
 * Thread: one.
 * Owns:   its consumer and batch, from join to leave.
 * Fails:  the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_GROUP_MEMBER_H
#define ALV_TESTS_SUPPORT_GROUP_MEMBER_H

#include "tests/support/topic_app.h"

typedef struct alv_group_member {
    alv_consumer *consumer;
    alv_batch batch;
    bool owned[ALV_TOPIC_APP_SHARDS];
    bool was_lost;
    int revocations;
    bool start_in_listener;
    void (*on_revoke)(struct alv_group_member *member);
    alv_producer *producer; /* for on_revoke, as the next */
    alv_commit_outcome outcome;
    int64_t next[ALV_TOPIC_APP_SHARDS];  /* what comes next, by value */
    int64_t after[ALV_TOPIC_APP_SHARDS]; /* offset after the last one seen */
} alv_group_member;

/* All fields zero, or those set that the test wants. */
void alv_group_member_join(alv_group_member *member, alv_topic_app *app, int lane);
void alv_group_member_leave(alv_group_member *member);

/* How many shards it has. */
int alv_group_member_owned(const alv_group_member *member);

/* One poll, checked; the number of records. */
size_t alv_group_member_poll(alv_group_member *member, int timeout_ms);

/* Polls until it has all shards, or each member of several has as many as wanted. */
void alv_group_member_settle(alv_group_member *member);
void alv_group_member_settle_all(alv_group_member *members, int count, const int *wanted);

void alv_group_member_start(alv_group_member *member, int32_t shard, int64_t offset);
void alv_group_member_start_all(alv_group_member *member); /* from the beginning */

/* Polls until each shard in `mask` has delivered up to value `count`. */
void alv_group_member_read(alv_group_member *member, unsigned mask, int64_t count);

/* Polls for a while in which nothing must come. */
void alv_group_member_expect_silence(alv_group_member *member, int for_ms);

/* The group's committed offset of a shard. */
int64_t alv_group_member_committed(alv_group_member *member, int32_t shard);

#endif
