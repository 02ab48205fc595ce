/* Goal:   a consumer that the group gave up while it was joining, and took in again as a new member, gives up
 *         the shards it was given before, although librdkafka does not say that they are lost; until it has,
 *         nothing is committed in its name (I3).
 * Method: librdkafka's mock cluster answers one JoinGroup with UNKNOWN_MEMBER_ID; a second member makes the
 *         first one join again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/logger.h"
#include "tests/support/mock_stage.h"
#include "tests/support/wait.h"

#define WAIT_MS 60000

static const alv_shard_offset offsets[] = {{0, 1}};

typedef struct member_stage {
    alv_mock_stage mock;
    alv_consumer *first;
    alv_consumer *second;
    int given; /* shards that the first has, by what its listener heard */
    bool lost;
} member_stage;

static void on_assigned(void *payload, const int32_t *shards, size_t count)
{
    (void)shards;
    ((member_stage *)payload)->given += (int)count;
}

static void on_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    (void)shards;
    member_stage *stage = payload;
    stage->given -= (int)count;
    stage->lost = stage->lost || lost;
}

static void ignore_assigned(void *payload, const int32_t *shards, size_t count)
{
    (void)payload;
    (void)shards;
    (void)count;
}

static void ignore_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    (void)lost;
    ignore_assigned(payload, shards, count);
}

static alv_status poll_once(alv_consumer *consumer)
{
    alv_batch batch;
    alv_batch_init(&batch, 10);
    alv_status status = consumer->ops->poll(consumer, 20, &batch, NULL);
    alv_batch_done(&batch);
    return status;
}

static bool first_has_a_shard(void *payload)
{
    member_stage *stage = payload;
    (void)poll_once(stage->first);
    return stage->given == 1;
}

static alv_consumer *open_consumer(member_stage *stage, int lane, alv_rebalance_listener listener)
{
    alv_log_port *log = stage->mock.log;
    alv_consumer *consumer = NULL;
    assert_int_equal(log->ops->open_consumer(log, lane, &listener, &consumer, NULL), ALV_OK);
    return consumer;
}

static int open_stage(void **state)
{
    static member_stage stage;
    stage = (member_stage){.mock = alv_mock_stage_new(1)};
    stage.first =
        open_consumer(&stage, 0, (alv_rebalance_listener){on_assigned, on_revoked, &stage});
    *state = &stage;
    return alv_wait_until(first_has_a_shard, &stage, WAIT_MS) ? 0 : -1;
}

static int close_stage(void **state)
{
    member_stage *stage = *state;
    stage->second->ops->close(stage->second, true);
    stage->first->ops->close(stage->first, true);
    alv_mock_stage_done(&stage->mock);
    return 0;
}

static alv_commit_outcome commit(member_stage *stage)
{
    alv_producer *producer = stage->mock.producer;
    alv_mock_stage_write(&stage->mock);
    alv_commit_outcome outcome =
        producer->ops->commit(producer, stage->first, offsets, 1, "n1-0", NULL);
    if (outcome == ALV_COMMIT_ABORTED) {
        assert_int_equal(producer->ops->abort(producer, NULL), ALV_OK);
    }
    return outcome;
}

/* Without a poll of the first one: its lane is busy with a batch. */
static bool commit_is_refused(void *payload)
{
    member_stage *stage = payload;
    (void)poll_once(stage->second);
    return commit(stage) == ALV_COMMIT_ABORTED;
}

/* As long as its listener has not heard of the loss, the new member speaks for nobody. */
static bool first_has_lost(void *payload)
{
    member_stage *stage = payload;
    (void)poll_once(stage->second);
    assert_int_equal(commit(stage), ALV_COMMIT_ABORTED);
    (void)poll_once(stage->first);
    return stage->lost;
}

static void commits__in_the_name_of_a_former_membership_are_refused(void **state)
{
    member_stage *stage = *state;
    assert_int_equal(commit(stage), ALV_COMMIT_DONE);
    /* The first JoinGroup is the second consumer's; it makes the first one join again. */
    rd_kafka_mock_push_request_errors(stage->mock.cluster, ALV_MOCK_JOIN_GROUP, 2,
                                      RD_KAFKA_RESP_ERR_NO_ERROR,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    stage->second =
        open_consumer(stage, 1, (alv_rebalance_listener){ignore_assigned, ignore_revoked, NULL});
    assert_true(alv_wait_until(commit_is_refused, stage, WAIT_MS));
    assert_true(alv_wait_until(first_has_lost, stage, WAIT_MS));
    assert_true(alv_wait_until(first_has_a_shard, stage, WAIT_MS)); /* given anew */
}

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commits__in_the_name_of_a_former_membership_are_refused,
                                        open_stage, close_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
