#include "tests/support/group_member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/wait.h"

static void member_assigned(void *payload, const int32_t *shards, size_t count)
{
    alv_group_member *member = payload;
    for (size_t i = 0; i < count; i++) {
        assert_false(member->owned[shards[i]]);
        member->owned[shards[i]] = true;
        if (member->start_in_listener)
            assert_int_equal(member->consumer->ops->start(member->consumer, shards[i], 0, NULL),
                             ALV_OK);
    }
}

static void member_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    alv_group_member *member = payload;
    member->revocations++;
    member->was_lost = lost;
    if (member->on_revoke != NULL)
        member->on_revoke(member);
    for (size_t i = 0; i < count; i++) {
        assert_true(member->owned[shards[i]]);
        member->owned[shards[i]] = false;
    }
}

void alv_group_member_join(alv_group_member *member, alv_topic_app *app, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_rebalance_listener listener = {member_assigned, member_revoked, member};
    alv_batch_init(&member->batch, 500);
    if (app->log->ops->open_consumer(app->log, lane, &listener, &member->consumer, &err) != ALV_OK)
        fail_msg("open consumer: %s", err.text);
}

void alv_group_member_leave(alv_group_member *member)
{
    member->consumer->ops->close(member->consumer, false);
    alv_batch_done(&member->batch);
}

int alv_group_member_owned(const alv_group_member *member)
{
    int count = 0;
    for (int shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++)
        count += member->owned[shard];
    return count;
}

/* Checks that the records of a batch are the next ones of their shards, none left out. */
static void member_check(alv_group_member *member)
{
    for (size_t i = 0; i < member->batch.count; i++) {
        const alv_record *record = &member->batch.records[i];
        char value[16] = "";
        assert_true(record->value.size < sizeof(value));
        memcpy(value, record->value.data, record->value.size);
        assert_true(member->owned[record->shard]);
        assert_int_equal(record->topic, ALV_TOPIC_COMMANDS);
        if (atoll(value) != member->next[record->shard])
            fail_msg("shard %d: %s came, %lld was next", (int)record->shard, value,
                     (long long)member->next[record->shard]);
        assert_true(record->offset >= member->after[record->shard]);
        member->next[record->shard]++;
        member->after[record->shard] = record->offset + 1;
    }
}

size_t alv_group_member_poll(alv_group_member *member, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        member->consumer->ops->poll(member->consumer, timeout_ms, &member->batch, &err);
    if (status != ALV_OK && status != ALV_RETRY)
        fail_msg("poll: %s", err.text);
    member_check(member);
    return member->batch.count;
}

void alv_group_member_settle_all(alv_group_member *members, int count, const int *wanted)
{
    int64_t deadline = alv_wait_deadline(ALV_TOPIC_APP_WAIT_MS);
    bool settled = false;
    while (!settled) {
        settled = true;
        for (int i = 0; i < count; i++) {
            alv_group_member_poll(&members[i], 20);
            settled = settled && alv_group_member_owned(&members[i]) == wanted[i];
        }
        if (alv_wait_expired(deadline))
            fail_msg("the group does not settle");
    }
}

void alv_group_member_settle(alv_group_member *member)
{
    alv_group_member_settle_all(member, 1, (const int[]){ALV_TOPIC_APP_SHARDS});
}

void alv_group_member_start(alv_group_member *member, int32_t shard, int64_t offset)
{
    alv_error err = ALV_ERROR_NONE;
    if (member->consumer->ops->start(member->consumer, shard, offset, &err) != ALV_OK)
        fail_msg("start: %s", err.text);
}

void alv_group_member_start_all(alv_group_member *member)
{
    for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++) {
        member->next[shard] = 0;
        member->after[shard] = 0;
        alv_group_member_start(member, shard, 0);
    }
}

/* Polls until each shard in `mask` has delivered up to value `count`. */
void alv_group_member_read(alv_group_member *member, unsigned mask, int64_t count)
{
    int64_t deadline = alv_wait_deadline(ALV_TOPIC_APP_WAIT_MS);
    bool done = false;
    while (!done) {
        alv_group_member_poll(member, 50);
        done = true;
        for (int shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++)
            done = done && ((mask >> shard & 1) == 0 || member->next[shard] >= count);
        if (alv_wait_expired(deadline))
            fail_msg("only %lld %lld %lld %lld came", (long long)member->next[0],
                     (long long)member->next[1], (long long)member->next[2],
                     (long long)member->next[3]);
    }
}

/* Polls for a while in which nothing must come. */
void alv_group_member_expect_silence(alv_group_member *member, int for_ms)
{
    int64_t until = alv_wait_deadline(for_ms);
    while (!alv_wait_expired(until))
        assert_int_equal(alv_group_member_poll(member, 20), 0);
}

int64_t alv_group_member_committed(alv_group_member *member, int32_t shard)
{
    alv_shard_offset items[] = {{3 - shard, 0}, {shard, 0}}; /* not in order */
    alv_error err = ALV_ERROR_NONE;
    if (member->consumer->ops->committed(member->consumer, items, 2, &err) != ALV_OK)
        fail_msg("committed: %s", err.text);
    return items[1].offset;
}
