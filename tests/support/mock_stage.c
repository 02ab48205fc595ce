#include "tests/support/mock_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/wait.h"
#include "topics/kafka_internal.h"

#define JOIN_MS 20000

static void config_add(alv_config *config, const char *key, const char *value)
{
    char *assignment = alv_format("%s=%s", key, value);
    assert_int_equal(alv_config_set(config, assignment, NULL), ALV_OK);
    alv_free(assignment);
}

alv_mock_stage alv_mock_stage_new(int brokers)
{
    char text[256];
    alv_mock_stage stage = {0};
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
    if (stage.log->ops->open_producer(stage.log, 0, &stage.producer, &err) != ALV_OK) {
        fail_msg("open producer: %s", err.text);
    }
    return stage;
}

void alv_mock_stage_done(alv_mock_stage *stage)
{
    stage->producer->ops->close(stage->producer);
    stage->log->ops->close(stage->log);
    alv_config_free(stage->config);
    rd_kafka_mock_cluster_destroy(stage->cluster);
    rd_kafka_destroy(stage->rk);
}

/* ---- the group --------------------------------------------------------------------------------- */

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

/* The offsets of a consumer that is no member yet are refused before anybody is asked. */
static bool is_member(void *payload)
{
    alv_batch batch;
    alv_consumer *consumer = payload;
    alv_batch_init(&batch, 10);
    (void)consumer->ops->poll(consumer, 20, &batch, NULL);
    alv_batch_done(&batch);
    rd_kafka_consumer_group_metadata_t *group = alv_kafka_consumer_group(consumer);
    if (group != NULL) {
        rd_kafka_consumer_group_metadata_destroy(group);
    }
    return group != NULL;
}

alv_consumer *alv_mock_stage_join(alv_mock_stage *stage)
{
    static const alv_rebalance_listener silent = {no_call, no_revoke, NULL};
    alv_consumer *consumer = NULL;
    assert_int_equal(stage->log->ops->open_consumer(stage->log, 0, &silent, &consumer, NULL),
                     ALV_OK);
    assert_true(alv_wait_until(is_member, consumer, JOIN_MS));
    return consumer;
}

/* ---- transactions ------------------------------------------------------------------------------ */

void alv_mock_stage_write(alv_mock_stage *stage)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_produce record = {
        .topic = ALV_TOPIC_CHANGELOG, .key = ALV_VIEW("k"), .value = ALV_VIEW("v")};
    if (stage->producer->ops->begin(stage->producer, &err) != ALV_OK) {
        fail_msg("begin: %s", err.text);
    }
    if (stage->producer->ops->produce(stage->producer, &record, &err) != ALV_OK) {
        fail_msg("produce: %s", err.text);
    }
}

void alv_mock_stage_expect_renewal(alv_mock_stage *stage)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_producer_ops *ops = stage->producer->ops;
    assert_true(ops->tainted(stage->producer));
    assert_int_not_equal(ops->begin(stage->producer, NULL), ALV_OK);
    if (ops->renew(stage->producer, &err) != ALV_OK) {
        fail_msg("renew: %s", err.text);
    }
    assert_false(ops->tainted(stage->producer));
    alv_mock_stage_write(stage);
    assert_int_equal(ops->commit(stage->producer, NULL, NULL, 0, "n1-0", &err), ALV_COMMIT_DONE);
}
