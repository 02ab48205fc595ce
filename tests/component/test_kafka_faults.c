/* Goal:   what the producer says about the end of a transaction is true when answers are errors,
 *         are lost or never come: DONE and ABORTED only when that is certain, and no further
 *         transaction in an epoch in which anything indefinite happened (I10). Calls end when the
 *         brokers are away.
 * Method: librdkafka's mock cluster in this process (tests/support/mock_stage.h). Calls that ignore their
 *         time-out are the subject of test_kafka_hang.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/logger.h"
#include "tests/support/mock_stage.h"

#define WAIT_MS 20000
#define LEADER_TRIES 20

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static void expect_commit(alv_mock_stage *stage, alv_commit_outcome outcome, alv_status status)
{
    alv_error err = ALV_ERROR_NONE;
    alv_commit_outcome found =
        stage->producer->ops->commit(stage->producer, NULL, NULL, 0, "n1-0", &err);
    if (found != outcome || err.status != status)
        fail_msg("outcome %d, %s: %s", found, alv_status_name(err.status), err.text);
}

static bool tainted(const alv_mock_stage *stage)
{
    return stage->producer->ops->tainted(stage->producer);
}

static void commit__is_clean_without_faults(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    for (int i = 0; i < 3; i++) {
        alv_mock_stage_write(&stage);
        expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
        assert_false(tainted(&stage));
    }
    alv_mock_stage_done(&stage);
}

/* librdkafka repeats EndTxn and succeeds; the first one may still be on its way to the broker. */
static void commit__after_a_lost_answer_is_done_and_taints(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_mock_stage_write(&stage);
    rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_END_TXN, 1,
                                      RD_KAFKA_RESP_ERR__TRANSPORT);
    expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    alv_mock_stage_expect_renewal(&stage);
    alv_mock_stage_done(&stage);
}

static void abort__after_a_lost_answer_taints(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_mock_stage_write(&stage);
    assert_int_equal(stage.producer->ops->flush(stage.producer, NULL), ALV_OK);
    rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_END_TXN, 1,
                                      RD_KAFKA_RESP_ERR__TRANSPORT);
    assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
    alv_mock_stage_expect_renewal(&stage);
    alv_mock_stage_done(&stage);
}

static void commit__after_a_lost_produce_answer_taints(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR__TRANSPORT);
    alv_mock_stage_write(&stage);
    expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    alv_mock_stage_expect_renewal(&stage);
    alv_mock_stage_done(&stage);
}

static void commit__that_the_coordinator_refuses_is_unknown(void **state)
{
    (void)state;
    static const rd_kafka_resp_err_t codes[] = {
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    };
    alv_mock_stage stage = alv_mock_stage_new(1);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        alv_mock_stage_write(&stage);
        rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_END_TXN, 1, codes[i]);
        expect_commit(&stage, ALV_COMMIT_UNKNOWN, ALV_RETRY);
        alv_mock_stage_expect_renewal(&stage);
    }
    alv_mock_stage_done(&stage);
}

/* Definite answers that only ask for patience. */
static void commit__is_done_after_passing_refusals(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_mock_stage_write(&stage);
    rd_kafka_mock_push_request_errors(
        stage.cluster, ALV_MOCK_END_TXN, 3, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    alv_mock_stage_done(&stage);
}

static void commit__with_refused_offsets_is_aborted(void **state)
{
    (void)state;
    static const struct {
        rd_kafka_resp_err_t code;
        alv_status status;
    } cases[] = {
        {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, ALV_ABORT},
        {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, ALV_ABORT},
        {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, ALV_ABORT},
        {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, ALV_FENCED},
    };
    const alv_shard_offset offsets[] = {{0, 1}};
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_consumer *consumer = alv_mock_stage_join(&stage);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        alv_error err = ALV_ERROR_NONE;
        alv_mock_stage_write(&stage);
        rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_TXN_OFFSET_COMMIT, 1,
                                          cases[i].code);
        assert_int_equal(
            stage.producer->ops->commit(stage.producer, consumer, offsets, 1, "n1-0", &err),
            ALV_COMMIT_ABORTED);
        assert_int_equal(err.status, cases[i].status);
        if (cases[i].status == ALV_FENCED) {
            assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_FENCED);
            alv_mock_stage_expect_renewal(&stage);
            continue;
        }
        assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
        assert_false(tainted(&stage)); /* a definite answer: the producer is still good */
        alv_mock_stage_write(&stage);
        expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    }
    consumer->ops->close(consumer, false);
    alv_mock_stage_done(&stage);
}

static void flush__fails_when_a_record_is_refused(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_error err = ALV_ERROR_NONE;
    rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    alv_mock_stage_write(&stage);
    assert_int_equal(stage.producer->ops->flush(stage.producer, &err), ALV_ABORT);
    expect_commit(&stage, ALV_COMMIT_ABORTED, ALV_ABORT);
    assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
    alv_mock_stage_expect_renewal(&stage);
    alv_mock_stage_done(&stage);
}

/* A broker that is down for days must not cost a renewal per transaction. */
static void producer__is_not_tainted_by_a_broker_that_is_down(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(2);
    rd_kafka_mock_broker_set_down(stage.cluster, 2);
    /* The first producer may have been connected to it and sees that connection go. */
    assert_int_equal(stage.producer->ops->renew(stage.producer, NULL), ALV_OK);
    for (int64_t until = now_ms() + 3000; now_ms() < until;) {
        alv_mock_stage_write(&stage);
        expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
        assert_false(tainted(&stage));
    }
    alv_mock_stage_done(&stage);
}

static void commit__without_any_answer_is_unknown_in_bounded_time(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_mock_stage_write(&stage);
    assert_int_equal(stage.producer->ops->flush(stage.producer, NULL), ALV_OK);
    rd_kafka_mock_broker_set_down(stage.cluster, 1);
    int64_t before = now_ms();
    expect_commit(&stage, ALV_COMMIT_UNKNOWN, ALV_RETRY);
    assert_in_range(now_ms() - before, 0, ALV_TRANSACTION_TIMEOUT_MS + 2000);
    assert_true(tainted(&stage));

    before = now_ms();
    assert_int_equal(stage.producer->ops->renew(stage.producer, NULL), ALV_RETRY);
    assert_in_range(now_ms() - before, 0, ALV_KAFKA_CALL_MS + 2000);
    assert_true(tainted(&stage));
    assert_int_equal(stage.producer->ops->begin(stage.producer, NULL), ALV_RETRY);
    assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
    rd_kafka_mock_broker_set_up(stage.cluster, 1);
    alv_mock_stage_expect_renewal(&stage);
    alv_mock_stage_done(&stage);
}

static void consumer__says_that_brokers_are_away_and_closes_in_time(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    alv_batch_init(&batch, 10);
    alv_consumer *consumer = alv_mock_stage_join(&stage);
    rd_kafka_mock_broker_set_down(stage.cluster, 1);
    for (int64_t deadline = now_ms() + WAIT_MS; status == ALV_OK && now_ms() < deadline;)
        status = consumer->ops->poll(consumer, 50, &batch, &err);
    assert_int_equal(status, ALV_RETRY);
    int64_t before = now_ms();
    consumer->ops->close(consumer, false);
    assert_in_range(now_ms() - before, 0, 5500);
    alv_batch_done(&batch);
    rd_kafka_mock_broker_set_up(stage.cluster, 1);
    alv_mock_stage_done(&stage);
}

/* What was once said of a partition without a leader is not believed for minutes: a shard that is taken over
 * while a broker goes would wait that long to be restored. */
static void reader__asks_again_for_a_leader_that_was_missing(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    alv_reader *reader = NULL;
    alv_shard_offset end = {.shard = 0};
    int64_t first = -1;
    int64_t next = -1;
    rd_kafka_mock_partition_set_leader(stage.cluster, "mock.changelog", 0, -1);
    assert_int_equal(stage.log->ops->open_reader(stage.log, "reader", &reader, NULL), ALV_OK);
    assert_int_equal(reader->ops->range(reader, ALV_TOPIC_CHANGELOG, 0, &first, &next, NULL),
                     ALV_RETRY);
    assert_int_equal(reader->ops->ends(reader, ALV_TOPIC_CHANGELOG, &end, 1, 2000, NULL),
                     ALV_RETRY);
    rd_kafka_mock_partition_set_leader(stage.cluster, "mock.changelog", 0, 1);
    int tries = 1;
    while (reader->ops->range(reader, ALV_TOPIC_CHANGELOG, 0, &first, &next, NULL) != ALV_OK) {
        assert_true(++tries < LEADER_TRIES);
    }
    for (tries = 1;
         reader->ops->ends(reader, ALV_TOPIC_CHANGELOG, &end, 1, 2000, NULL) != ALV_OK;) {
        assert_true(++tries < LEADER_TRIES);
    }
    assert_int_equal(first, 0);
    assert_int_equal(next, 0);
    assert_int_equal(end.offset, 0);
    reader->ops->close(reader);
    alv_mock_stage_done(&stage);
}

typedef struct shard_story {
    int assigned;
    int lost;
} shard_story;

static void note_assigned(void *payload, const int32_t *shards, size_t count)
{
    (void)shards;
    ((shard_story *)payload)->assigned += (int)count;
}

static void note_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    (void)shards;
    ((shard_story *)payload)->lost += lost ? (int)count : 0;
}

/* It was thrown out while it was frozen, say, and hears of it when it wants to join the next round: to the group
 * it comes back as somebody else, and its shard, which others may have had meanwhile, is given to it
 * once more (I3). */
static void consumer__that_joins_as_another_member_loses_its_shards_first(void **state)
{
    (void)state;
    alv_mock_stage stage = alv_mock_stage_new(1);
    shard_story story = {0};
    const alv_rebalance_listener listener = {note_assigned, note_revoked, &story};
    alv_consumer *consumer = NULL;
    alv_batch batch;
    alv_batch_init(&batch, 10);
    assert_int_equal(stage.log->ops->open_consumer(stage.log, 0, &listener, &consumer, NULL),
                     ALV_OK);
    for (int64_t deadline = now_ms() + WAIT_MS; story.assigned == 0 && now_ms() < deadline;) {
        (void)consumer->ops->poll(consumer, 20, &batch, NULL);
    }
    assert_int_equal(story.assigned, 1);
    rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_JOIN_GROUP, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    rd_kafka_mock_push_request_errors(stage.cluster, ALV_MOCK_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
    for (int64_t deadline = now_ms() + WAIT_MS; story.assigned < 2 && now_ms() < deadline;) {
        (void)consumer->ops->poll(consumer, 20, &batch, NULL);
    }
    assert_int_equal(story.lost, 1);
    assert_int_equal(story.assigned, 2);
    alv_batch_done(&batch);
    consumer->ops->close(consumer, true);
    alv_mock_stage_done(&stage);
}

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit__is_clean_without_faults),
        cmocka_unit_test(commit__after_a_lost_answer_is_done_and_taints),
        cmocka_unit_test(abort__after_a_lost_answer_taints),
        cmocka_unit_test(commit__after_a_lost_produce_answer_taints),
        cmocka_unit_test(commit__that_the_coordinator_refuses_is_unknown),
        cmocka_unit_test(commit__is_done_after_passing_refusals),
        cmocka_unit_test(commit__with_refused_offsets_is_aborted),
        cmocka_unit_test(flush__fails_when_a_record_is_refused),
        cmocka_unit_test(producer__is_not_tainted_by_a_broker_that_is_down),
        cmocka_unit_test(commit__without_any_answer_is_unknown_in_bounded_time),
        cmocka_unit_test(consumer__says_that_brokers_are_away_and_closes_in_time),
        cmocka_unit_test(reader__asks_again_for_a_leader_that_was_missing),
        cmocka_unit_test(consumer__that_joins_as_another_member_loses_its_shards_first),
    };
    return cmocka_run_group_tests_name("kafka_faults", tests, NULL, NULL);
}
