/* kafka_guard.h — users and rights of a broker that asks for them (dev/stack --secured).
 *
 * Why:    what a program may do without is found by taking it away, one right at a time.
 * Thread: one.
 * Owns:   the session belongs to the caller, who closes it.
 * Fails:  what the broker refuses fails the running cmocka test. A change is in force when the call returns.
 */
#ifndef ALV_TESTS_SUPPORT_KAFKA_GUARD_H
#define ALV_TESTS_SUPPORT_KAFKA_GUARD_H

#include "topics/access.h"

typedef struct alv_kafka_guard alv_kafka_guard;

/* Over brokers at which an anonymous client may do everything. */
alv_kafka_guard *alv_kafka_guard_open(const char *brokers);
void alv_kafka_guard_close(alv_kafka_guard *guard);

/* Makes a user for SCRAM-SHA-256 and -512. */
void alv_kafka_guard_add_user(alv_kafka_guard *guard, const char *user, const char *password);

/* `principal` as Kafka names it: "User:x". */
void alv_kafka_guard_allow(alv_kafka_guard *guard, const char *principal, const alv_access *right);
void alv_kafka_guard_forbid(alv_kafka_guard *guard, const char *principal, const alv_access *right);

/* All that a role needs in an application. */
void alv_kafka_guard_allow_role(alv_kafka_guard *guard, const char *principal, alv_access_role role,
                                const alv_settings *settings);

#endif
