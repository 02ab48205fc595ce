/* sim_trace.h — what happened in a run, for whoever must understand why it failed.
 *
 * Why:    a seed alone says nothing. The last lines before a failure mostly do; all of them are printed when
 *         the run is repeated with --trace.
 * Thread: one; the trace is the process's, like stderr.
 * Fails:  sim_fail ends the process.
 */
#ifndef ALV_TESTS_SIM_TRACE_H
#define ALV_TESTS_SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/* Exit status of a run in which something did not hold. A broken assertion ends with SIGABRT. */
#define SIM_EXIT_FAILED 3

/* A run begins; `now_ms` is read for each line and must outlive the run. */
void sim_trace_begin(uint64_t seed, const int64_t *now_ms);
void sim_trace_end(void);

/* Prints each line at once from now on. */
void sim_trace_set_loud(bool loud);

/* Is called before the process ends because something does not hold; NULL = nothing is. */
void sim_trace_at_failure(void (*clean_up)(void));

/* One line without its end. */
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `invariant` ("I2", or a word) does not hold: prints why, the last lines and how to repeat it, and ends the
 * process. */
_Noreturn void sim_fail(const char *invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
