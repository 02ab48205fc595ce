/* fake_sender.h — a log that only takes records, and does with them what a test wants.
 *
 * Why:    commands over HTTP are tested up to the record and from the reply on, without Kafka, and with
 *         brokers that refuse, hang or never say.
 * Thread: the sender's calls: its owner's. The rest: the test's; one lock inside.
 * Owns:   copies of the records.
 */
#ifndef ALV_TESTS_SUPPORT_FAKE_SENDER_H
#define ALV_TESTS_SUPPORT_FAKE_SENDER_H

#include "topics/log_port.h"

typedef struct alv_fake_sender alv_fake_sender;

typedef struct alv_fake_record {
    int32_t shard;
    int64_t offset;
    char key[64];
    char value[256];
    char reply_to[64]; /* headers; empty = none */
    char correlation_id[80];
    char idempotency_key[64];
    char release[8];
} alv_fake_record;

alv_fake_sender *alv_fake_sender_new(void);
void alv_fake_sender_free(alv_fake_sender *fake);
alv_log_port *alv_fake_sender_log(alv_fake_sender *fake);

/* What is told of records from now on; ALV_OK at first. `silent`: nothing is. */
void alv_fake_sender_answer(alv_fake_sender *fake, alv_status status, bool silent);

/* Waits for the next record and takes it out; fails the test when none comes. */
alv_fake_record alv_fake_sender_take(alv_fake_sender *fake);

/* How many records there have been. */
int alv_fake_sender_count(alv_fake_sender *fake);

#endif
