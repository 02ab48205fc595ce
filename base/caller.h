/* caller.h — a thread that makes calls for another one, which does not wait for ever.
 *
 * Why:    some library calls take a time-out and do not keep it, and a thread that is inside of one
 *         cannot be got out again. Whoever must not hang lets a caller make the call and leaves it behind
 *         when the time is up, with everything that the call still uses.
 * Thread: new, run, wait and end: one owner. Calls run on the caller's own thread; the owner sees what
 *         they wrote once run or wait has returned true.
 * Owns:   its thread. The payload of a call that was left behind belongs to that call until `last`.
 * Limits: one call at a time. Handing one over costs two switches of threads, 10 to 20 us.
 */
#ifndef ALV_BASE_CALLER_H
#define ALV_BASE_CALLER_H

#include <stdbool.h>

typedef struct alv_caller alv_caller;

typedef void (*alv_call)(void *payload);

/* Starts the thread; `name` is its name in logs and debuggers, 15 characters at most. */
alv_caller *alv_caller_new(const char *name);

/* Has `call` run and waits for it. True: it has returned. False: it has not within `timeout_ms`; wait
 * longer or end. */
bool alv_caller_run(alv_caller *caller, alv_call call, void *payload, int timeout_ms);

/* Waits on for a call that run did not see return. */
bool alv_caller_wait(alv_caller *caller, int timeout_ms);

/* Takes the caller. `last` runs on its thread when the call that is running, if any, has returned; then the
 * thread ends. True: all that has happened within `timeout_ms`; false: it will, if ever it can. */
bool alv_caller_end(alv_caller *caller, alv_call last, void *payload, int timeout_ms);

/* Callers of this process that have been ended and were left behind, and are not over yet. Any thread. */
int alv_callers_left(void);

#endif
