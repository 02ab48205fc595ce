/* kafka_admin_internal.h — one admin session with Kafka: a handle, the queue its answers come to, what a refusal
 * means.
 *
 * Why:    looking after topics (kafka_topics.c) and repairing what a person decided on (kafka_repair.c) ask
 *         in the same way and differ in the questions.
 * Thread: one; each answer is waited for, up to a little more than ALV_KAFKA_CALL_MS.
 * Owns:   the caller's struct.
 */
#ifndef ALV_TOPICS_KAFKA_ADMIN_INTERNAL_H
#define ALV_TOPICS_KAFKA_ADMIN_INTERNAL_H

#include "topics/kafka_internal.h"

typedef struct alv_kafka_admin {
    const alv_config *config;
    const alv_settings *settings;
    alv_kafka_client client; /* its address is known to librdkafka: the struct must not move */
    rd_kafka_queue_t *queue;
} alv_kafka_admin;

/* `name` appears in client.id. To be closed in any case. */
alv_status alv_kafka_admin_open(alv_kafka_admin *admin, const alv_config *config, const char *name,
                                alv_error *err);
void alv_kafka_admin_close(alv_kafka_admin *admin);

/* For one call; the caller destroys it. */
rd_kafka_AdminOptions_t *alv_kafka_admin_options(const alv_kafka_admin *admin,
                                                 rd_kafka_admin_op_t op);

/* Waits for the answer to the call just made. With ALV_OK *out is an event for the caller to destroy. `what`
 * begins the message. */
alv_status alv_kafka_admin_answer(alv_kafka_admin *admin, const char *what, rd_kafka_event_t **out,
                                  alv_error *err);

/* What a broker's refusal means: ALV_REJECT when a person must act, ALV_RETRY when it may pass. */
alv_status alv_kafka_admin_status(rd_kafka_resp_err_t code);

#endif
