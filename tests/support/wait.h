/* wait.h — waits for a condition with a deadline, the only way in which tests wait.
 *
 * Why:    a fixed pause is too long on a fast machine and too short on a slow one.
 * Thread: any.
 */
#ifndef ALV_TESTS_SUPPORT_WAIT_H
#define ALV_TESTS_SUPPORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

typedef bool (*alv_wait_condition)(void *payload);

/* Asks again and again, with a short pause; false when it did not hold within `timeout_ms`. */
bool alv_wait_until(alv_wait_condition condition, void *payload, int timeout_ms);

/* A point in time, `timeout_ms` from now, for loops that ask several things. */
int64_t alv_wait_deadline(int timeout_ms);
bool alv_wait_expired(int64_t deadline);

#endif
