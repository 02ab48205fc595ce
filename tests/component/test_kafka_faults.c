/* Goal:   what the producer says about the end of a transaction is true when answers are errors,
 *         are lost or never come: DONE and ABORTED only when that is certain, and no further
 *         transaction in an epoch in which anything indefinite happened (I10). Calls end when the
 *         brokers are away.
 * Method: librdkafka's mock cluster in this process, which can be told to answer the next requests
 *         of a kind with an error, to drop the connection instead, or to be down. It proves what
 *         our side says and does; that brokers isolate transactions is shown in test_kafka_log.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/logger.h"
#include "tests/support/wait.h"
#include "topics/kafka.h"
#include "topics/kafka_internal.h"

/* Numbers of requests in Kafka's protocol. */
enum {
    PRODUCE = 0,
    INIT_PRODUCER_ID = 22,
    ADD_OFFSETS = 25,
    END_TXN = 26,
    TXN_OFFSET_COMMIT = 28,
};

#define WAIT_MS 20000

typedef struct test_stage {
    rd_kafka_t *rk; /* carries the mock cluster */
    rd_kafka_mock_cluster_t *cluster;
    alv_config *config;
    alv_log_port *log;
    alv_producer *producer;
} test_stage;

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static void config_add(alv_config *config, const char *key, const char *value)
{
    char *assignment = alv_format("%s=%s", key, value);
    assert_int_equal(alv_config_set(config, assignment, NULL), ALV_OK);
    alv_free(assignment);
}

static void no_call(void *payload, const int32_t *shards, size_t count)
{
    (void)payload;
    (void)shards;
    (void)count;
}

static void no_revoke(void *payload, const int32_t *shards, size_t count, bool lost)
{
    (void)lost;
    no_call(payload, shards, count);
}

static const alv_rebalance_listener silent = {no_call, no_revoke, NULL};

/* Broker 1 leads everything and coordinates; others are only there. */
static test_stage stage_new(int brokers)
{
    char text[256];
    test_stage stage = {0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "client.id", "MOCK", text, sizeof(text));
    stage.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    stage.cluster = rd_kafka_mock_cluster_new(stage.rk, brokers);
    rd_kafka_mock_group_initial_rebalance_delay_ms(stage.cluster, 0);
    static const char *const topics[] = {"mock.commands", "mock.changelog"};
    for (int i = 0; i < 2; i++) {
        rd_kafka_mock_topic_create(stage.cluster, topics[i], 1, brokers);
        rd_kafka_mock_partition_set_leader(stage.cluster, topics[i], 0, 1);
    }
    rd_kafka_mock_coordinator_set(stage.cluster, "transaction", "mock-n1-0", 1);
    rd_kafka_mock_coordinator_set(stage.cluster, "group", "mock", 1);

    stage.config = alv_config_new();
    config_add(stage.config, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(stage.cluster));
    config_add(stage.config, "application.id", "mock");
    config_add(stage.config, "node.id", "n1");
    assert_int_equal(alv_config_finish(stage.config, NULL), ALV_OK);
    assert_int_equal(alv_kafka_open(stage.config, &stage.log, NULL), ALV_OK);
    alv_error err = ALV_ERROR_NONE;
    if (stage.log->ops->open_producer(stage.log, 0, &stage.producer, &err) != ALV_OK)
        fail_msg("open producer: %s", err.text);
    return stage;
}

static void stage_done(test_stage *stage)
{
    stage->producer->ops->close(stage->producer);
    stage->log->ops->close(stage->log);
    alv_config_free(stage->config);
    rd_kafka_mock_cluster_destroy(stage->cluster);
    rd_kafka_destroy(stage->rk);
}

static void begin_and_produce(test_stage *stage)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_produce record = {
        .topic = ALV_TOPIC_CHANGELOG, .key = ALV_VIEW("k"), .value = ALV_VIEW("v")};
    if (stage->producer->ops->begin(stage->producer, &err) != ALV_OK)
        fail_msg("begin: %s", err.text);
    if (stage->producer->ops->produce(stage->producer, &record, &err) != ALV_OK)
        fail_msg("produce: %s", err.text);
}

static void expect_commit(test_stage *stage, alv_commit_outcome outcome, alv_status status)
{
    alv_error err = ALV_ERROR_NONE;
    alv_commit_outcome found =
        stage->producer->ops->commit(stage->producer, NULL, NULL, 0, "n1-0", &err);
    if (found != outcome || err.status != status)
        fail_msg("outcome %d, %s: %s", found, alv_status_name(err.status), err.text);
}

static bool tainted(const test_stage *stage)
{
    return stage->producer->ops->tainted(stage->producer);
}

/* The producer refuses the epoch, is renewed, and goes on. */
static void expect_renewal(test_stage *stage)
{
    alv_error err = ALV_ERROR_NONE;
    assert_true(tainted(stage));
    assert_int_not_equal(stage->producer->ops->begin(stage->producer, NULL), ALV_OK);
    if (stage->producer->ops->renew(stage->producer, &err) != ALV_OK)
        fail_msg("renew: %s", err.text);
    assert_false(tainted(stage));
    begin_and_produce(stage);
    expect_commit(stage, ALV_COMMIT_DONE, ALV_OK);
}

static void commit__is_clean_without_faults(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    for (int i = 0; i < 3; i++) {
        begin_and_produce(&stage);
        expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
        assert_false(tainted(&stage));
    }
    stage_done(&stage);
}

/* librdkafka repeats EndTxn and succeeds; the first one may still be on its way to the broker. */
static void commit__after_a_lost_answer_is_done_and_taints(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    begin_and_produce(&stage);
    rd_kafka_mock_push_request_errors(stage.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    expect_renewal(&stage);
    stage_done(&stage);
}

static void abort__after_a_lost_answer_taints(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    begin_and_produce(&stage);
    assert_int_equal(stage.producer->ops->flush(stage.producer, NULL), ALV_OK);
    rd_kafka_mock_push_request_errors(stage.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
    expect_renewal(&stage);
    stage_done(&stage);
}

static void commit__after_a_lost_produce_answer_taints(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    rd_kafka_mock_push_request_errors(stage.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    begin_and_produce(&stage);
    expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    expect_renewal(&stage);
    stage_done(&stage);
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
    test_stage stage = stage_new(1);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        begin_and_produce(&stage);
        rd_kafka_mock_push_request_errors(stage.cluster, END_TXN, 1, codes[i]);
        expect_commit(&stage, ALV_COMMIT_UNKNOWN, ALV_RETRY);
        expect_renewal(&stage);
    }
    stage_done(&stage);
}

/* Definite answers that only ask for patience. */
static void commit__is_done_after_passing_refusals(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    begin_and_produce(&stage);
    rd_kafka_mock_push_request_errors(
        stage.cluster, END_TXN, 3, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    stage_done(&stage);
}

/* A consumer that is no member yet is not asked to the coordinator at all. */
static bool is_member(void *payload)
{
    alv_batch batch;
    alv_consumer *consumer = payload;
    alv_batch_init(&batch, 10);
    (void)consumer->ops->poll(consumer, 20, &batch, NULL);
    alv_batch_done(&batch);
    char *id = rd_kafka_memberid(alv_kafka_consumer_handle(consumer));
    bool joined = id != NULL && *id != '\0';
    if (id != NULL) {
        rd_kafka_mem_free(NULL, id);
    }
    return joined;
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
    test_stage stage = stage_new(1);
    alv_consumer *consumer = NULL;
    assert_int_equal(stage.log->ops->open_consumer(stage.log, 0, &silent, &consumer, NULL), ALV_OK);
    assert_true(alv_wait_until(is_member, consumer, 20000));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        alv_error err = ALV_ERROR_NONE;
        begin_and_produce(&stage);
        rd_kafka_mock_push_request_errors(stage.cluster, TXN_OFFSET_COMMIT, 1, cases[i].code);
        assert_int_equal(
            stage.producer->ops->commit(stage.producer, consumer, offsets, 1, "n1-0", &err),
            ALV_COMMIT_ABORTED);
        assert_int_equal(err.status, cases[i].status);
        if (cases[i].status == ALV_FENCED) {
            assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_FENCED);
            expect_renewal(&stage);
            continue;
        }
        assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
        assert_false(tainted(&stage)); /* a definite answer: the producer is still good */
        begin_and_produce(&stage);
        expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
    }
    consumer->ops->close(consumer, false);
    stage_done(&stage);
}

static void flush__fails_when_a_record_is_refused(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    alv_error err = ALV_ERROR_NONE;
    rd_kafka_mock_push_request_errors(stage.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    begin_and_produce(&stage);
    assert_int_equal(stage.producer->ops->flush(stage.producer, &err), ALV_ABORT);
    expect_commit(&stage, ALV_COMMIT_ABORTED, ALV_ABORT);
    assert_int_equal(stage.producer->ops->abort(stage.producer, NULL), ALV_OK);
    expect_renewal(&stage);
    stage_done(&stage);
}

/* A broker that is down for days must not cost a renewal per transaction. */
static void producer__is_not_tainted_by_a_broker_that_is_down(void **state)
{
    (void)state;
    test_stage stage = stage_new(2);
    rd_kafka_mock_broker_set_down(stage.cluster, 2);
    /* The first producer may have been connected to it and sees that connection go. */
    assert_int_equal(stage.producer->ops->renew(stage.producer, NULL), ALV_OK);
    for (int64_t until = now_ms() + 3000; now_ms() < until;) {
        begin_and_produce(&stage);
        expect_commit(&stage, ALV_COMMIT_DONE, ALV_OK);
        assert_false(tainted(&stage));
    }
    stage_done(&stage);
}

static void commit__without_any_answer_is_unknown_in_bounded_time(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    begin_and_produce(&stage);
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
    expect_renewal(&stage);
    stage_done(&stage);
}

static void consumer__says_that_brokers_are_away_and_closes_in_time(void **state)
{
    (void)state;
    test_stage stage = stage_new(1);
    alv_consumer *consumer = NULL;
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    alv_batch_init(&batch, 10);
    assert_int_equal(stage.log->ops->open_consumer(stage.log, 0, &silent, &consumer, NULL), ALV_OK);
    for (int64_t until = now_ms() + 1500; now_ms() < until;) /* joins */
        assert_int_equal(consumer->ops->poll(consumer, 50, &batch, NULL), ALV_OK);
    rd_kafka_mock_broker_set_down(stage.cluster, 1);
    for (int64_t deadline = now_ms() + WAIT_MS; status == ALV_OK && now_ms() < deadline;)
        status = consumer->ops->poll(consumer, 50, &batch, &err);
    assert_int_equal(status, ALV_RETRY);
    int64_t before = now_ms();
    consumer->ops->close(consumer, false);
    assert_in_range(now_ms() - before, 0, 5500);
    alv_batch_done(&batch);
    rd_kafka_mock_broker_set_up(stage.cluster, 1);
    stage_done(&stage);
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
    };
    return cmocka_run_group_tests_name("kafka_faults", tests, NULL, NULL);
}
