/* mock_stage.h — librdkafka's mock cluster with a log and a lane's producer on it.
 *
 * Why:    it answers the next requests of a kind with an error, drops connections instead of answering,
 *         and takes single brokers down: what a real broker cannot be asked to do. It proves what our side
 *         says and does; that brokers isolate transactions is shown with real ones.
 * Thread: one.
 * Owns:   everything in it.
 */
#ifndef ALV_TESTS_SUPPORT_MOCK_STAGE_H
#define ALV_TESTS_SUPPORT_MOCK_STAGE_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "topics/kafka.h"

/* Numbers of requests in Kafka's protocol. */
enum {
    ALV_MOCK_PRODUCE = 0,
    ALV_MOCK_JOIN_GROUP = 11,
    ALV_MOCK_HEARTBEAT = 12,
    ALV_MOCK_INIT_PRODUCER_ID = 22,
    ALV_MOCK_ADD_OFFSETS = 25,
    ALV_MOCK_END_TXN = 26,
    ALV_MOCK_TXN_OFFSET_COMMIT = 28,
};

typedef struct alv_mock_stage {
    rd_kafka_t *rk; /* carries the mock cluster */
    rd_kafka_mock_cluster_t *cluster;
    alv_config *config;
    alv_log_port *log;
    alv_producer *producer; /* of lane 0 */
} alv_mock_stage;

/* Application "mock", node "n1". Broker 1 leads everything, coordinates transactions and the group. */
alv_mock_stage alv_mock_stage_new(int brokers);
void alv_mock_stage_done(alv_mock_stage *stage);

/* A consumer of lane 0 that is a member of the group. */
alv_consumer *alv_mock_stage_join(alv_mock_stage *stage);

/* Begins a transaction and adds a record to it; fails the test when that fails. */
void alv_mock_stage_write(alv_mock_stage *stage);

/* The producer refuses its epoch, is renewed, and commits again. */
void alv_mock_stage_expect_renewal(alv_mock_stage *stage);

#endif
