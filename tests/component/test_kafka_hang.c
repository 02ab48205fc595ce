/* Goal:   a call to Kafka that ignores its time-out does not hang the lane: it is left behind, the
 *         transaction counts as not committed exactly when that is certain (I10), and a new epoch goes on
 *         at once although the old call still hangs.
 * Method: librdkafka's mock cluster. rd_kafka_send_offsets_to_transaction waits without end for a group
 *         coordinator that is down (librdkafka issue 5456) while everything else can be reached, and when
 *         that one was in use before, it does not notice either that it is back (issue 5511): the broker
 *         is no longer in the metadata, so librdkafka retires its thread and waits for it all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <unistd.h>
#include <cmocka.h>

#include "base/caller.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/logger.h"
#include "tests/support/mock_stage.h"
#include "tests/support/wait.h"

#define WAIT_MS 30000
#define SHAKE_MS 1500
#define TRANSACTION_COORDINATOR 1
#define GROUP_COORDINATOR 2
#define OTHER_COORDINATOR 3

static const alv_shard_offset offsets[] = {{0, 1}};

typedef struct hang_stage {
    alv_mock_stage mock;
    alv_consumer *consumer;
    int64_t shaken_at_ms;
} hang_stage;

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* Broker 2 coordinates the group and nothing else. */
static int open_stage(void **state)
{
    static hang_stage stage;
    stage.mock = alv_mock_stage_new(3);
    rd_kafka_mock_coordinator_set(stage.mock.cluster, "group", "mock", GROUP_COORDINATOR);
    stage.consumer = alv_mock_stage_join(&stage.mock);
    *state = &stage;
    return 0;
}

static bool none_is_left(void *payload)
{
    (void)payload;
    return alv_callers_left() == 0;
}

/* What was left behind looks for its coordinator only when the connection of some other broker comes or
 * goes, and not more often than once a second. */
static bool none_is_left_when_shaken(void *payload)
{
    hang_stage *stage = payload;
    if (alv_callers_left() > 0 && now_ms() - stage->shaken_at_ms > SHAKE_MS) {
        stage->shaken_at_ms = now_ms();
        rd_kafka_mock_broker_set_down(stage->mock.cluster, TRANSACTION_COORDINATOR);
        rd_kafka_mock_broker_set_up(stage->mock.cluster, TRANSACTION_COORDINATOR);
    }
    return alv_callers_left() == 0;
}

static int close_stage(void **state)
{
    hang_stage *stage = *state;
    rd_kafka_mock_broker_set_up(stage->mock.cluster, GROUP_COORDINATOR);
    bool clean = alv_wait_until(none_is_left_when_shaken, stage, WAIT_MS);
    stage->consumer->ops->close(stage->consumer, true);
    alv_mock_stage_done(&stage->mock);
    return clean ? 0 : -1;
}

static alv_commit_outcome commit(hang_stage *stage, alv_error *err)
{
    alv_producer *producer = stage->mock.producer;
    return producer->ops->commit(producer, stage->consumer, offsets, 1, "n1-0", err);
}

static void commit__without_a_group_coordinator_is_aborted_in_time(void **state)
{
    hang_stage *stage = *state;
    alv_error err = ALV_ERROR_NONE;
    alv_mock_stage_write(&stage->mock);
    assert_int_equal(commit(stage, &err), ALV_COMMIT_DONE);

    alv_mock_stage_write(&stage->mock);
    rd_kafka_mock_broker_set_down(stage->mock.cluster, GROUP_COORDINATOR);
    int64_t before = now_ms();
    assert_int_equal(commit(stage, &err), ALV_COMMIT_ABORTED);
    assert_in_range(now_ms() - before, 0, ALV_LANE_SILENT_MS);
    assert_int_equal(err.status, ALV_RETRY);
    assert_int_equal(alv_callers_left(), 1);

    const alv_producer_ops *ops = stage->mock.producer->ops;
    assert_int_equal(ops->abort(stage->mock.producer, NULL), ALV_OK); /* nothing is open any more */
    assert_int_equal(ops->written_end(stage->mock.producer, ALV_TOPIC_CHANGELOG, 0),
                     ALV_OFFSET_NONE);
}

static void renewal__goes_on_while_the_old_call_hangs(void **state)
{
    hang_stage *stage = *state;
    alv_error err = ALV_ERROR_NONE;
    alv_mock_stage_write(&stage->mock);
    rd_kafka_mock_broker_set_down(stage->mock.cluster, GROUP_COORDINATOR);
    assert_int_equal(commit(stage, &err), ALV_COMMIT_ABORTED);
    alv_mock_stage_expect_renewal(&stage->mock);
    assert_int_equal(alv_callers_left(), 1);

    /* Once the group has a coordinator again, offsets are accepted: the new handle looks for it anew. */
    rd_kafka_mock_coordinator_set(stage->mock.cluster, "group", "mock", OTHER_COORDINATOR);
    alv_mock_stage_write(&stage->mock);
    alv_error_clear(&err);
    if (commit(stage, &err) != ALV_COMMIT_DONE) {
        fail_msg("commit: %s", err.text);
    }
}

static void close__does_not_wait_for_a_call_that_hangs(void **state)
{
    hang_stage *stage = *state;
    alv_producer *other = NULL;
    alv_error err = ALV_ERROR_NONE;
    alv_mock_stage_write(&stage->mock);
    rd_kafka_mock_broker_set_down(stage->mock.cluster, GROUP_COORDINATOR);
    assert_int_equal(commit(stage, &err), ALV_COMMIT_ABORTED);
    alv_log_port *log = stage->mock.log;
    assert_int_equal(log->ops->open_producer(log, 0, &other, &err), ALV_OK);
    int64_t before = now_ms();
    stage->mock.producer->ops->close(stage->mock.producer);
    assert_in_range(now_ms() - before, 0, ALV_EPOCH_CLOSE_MS);
    stage->mock.producer = other;
}

/* Each caller hangs until the write end of a pipe is closed. */
static void read_pipe(void *payload)
{
    char byte;
    (void)!read(*(int *)payload, &byte, 1);
}

static void nothing(void *payload)
{
    (void)payload;
}

static void renew__waits_when_too_many_calls_hang(void **state)
{
    hang_stage *stage = *state;
    alv_producer *producer = stage->mock.producer;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < ALV_CALLERS_LEFT_MAX; i++) {
        alv_caller *caller = alv_caller_new("hangs");
        assert_false(alv_caller_run(caller, read_pipe, &ends[0], 0));
        assert_false(alv_caller_end(caller, nothing, NULL, 0));
    }
    assert_int_equal(producer->ops->renew(producer, NULL), ALV_RETRY);
    assert_int_equal(close(ends[1]), 0);
    assert_true(alv_wait_until(none_is_left, NULL, WAIT_MS));
    assert_int_equal(close(ends[0]), 0);
    alv_mock_stage_expect_renewal(&stage->mock);
}

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit__without_a_group_coordinator_is_aborted_in_time,
                                        open_stage, close_stage),
        cmocka_unit_test_setup_teardown(renewal__goes_on_while_the_old_call_hangs, open_stage,
                                        close_stage),
        cmocka_unit_test_setup_teardown(close__does_not_wait_for_a_call_that_hangs, open_stage,
                                        close_stage),
        cmocka_unit_test_setup_teardown(renew__waits_when_too_many_calls_hang, open_stage,
                                        close_stage),
    };
    return cmocka_run_group_tests_name("kafka_hang", tests, NULL, NULL);
}
