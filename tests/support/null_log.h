/* null_log.h — a log that takes everything at once and keeps nothing: what is left is the cost of ours.
 *
 * Why:    to count what executor, transaction and store cost per command, without a broker and without the
 *         work that a simulated log makes.
 * Thread: one.
 * Owns:   two static objects without memory of their own, so there is one of each per process.
 * Limits: a producer for ALV_SHARDS_MAX shards that never fails; of the port there is `headers` alone, and no
 *         record has any.
 */
#ifndef ALV_TESTS_SUPPORT_NULL_LOG_H
#define ALV_TESTS_SUPPORT_NULL_LOG_H

#include "topics/log_port.h"

alv_log_port *alv_null_log_port(void);

/* Closing it does nothing. */
alv_producer *alv_null_log_producer(void);

/* Records produced so far. */
int64_t alv_null_log_records(void);

#endif
