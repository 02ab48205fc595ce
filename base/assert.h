/* assert.h — what must hold, checked in every build.
 *
 * Why:    a broken invariant that goes on running writes wrong state and publishes it. Stopping
 *         loses nothing (I2, I6), so assertions stay on in release builds.
 * Thread: any.
 * Limits: only for what this program guarantees itself. Input from Kafka, PostgreSQL, HTTP, a file
 *         or a plugin is never asserted: it is rejected with a reason (ALV_REJECT).
 */
#ifndef ALV_BASE_ASSERT_H
#define ALV_BASE_ASSERT_H

#define ALV_ASSERT(condition) \
    ((condition) ? (void)0 : alv_assert_failed(#condition, __FILE__, __LINE__, __func__))

/* Prints the broken condition on stderr and aborts the process. */
_Noreturn void alv_assert_failed(const char *condition, const char *file, int line,
                                 const char *function);

#endif
