#include "tests/sim/sim_trace.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRACE_LINES 120
#define TRACE_LINE_BYTES 240

static struct {
    uint64_t seed;
    const int64_t *now_ms; /* NULL = no run */
    bool loud;
    bool is_armed; /* SIGABRT prints the trace */
    void (*clean_up)(void);
    int count; /* lines so far */
    char lines[TRACE_LINES][TRACE_LINE_BYTES];
} trace;

static void trace_clean_up(void)
{
    if (trace.clean_up != NULL) {
        trace.clean_up();
    }
}

static void trace_print_end(void)
{
    int first = trace.count > TRACE_LINES ? trace.count - TRACE_LINES : 0;
    if (!trace.loud) {
        fprintf(stderr, "sim: the last %d of %d lines:\n", trace.count - first, trace.count);
        for (int i = first; i < trace.count; i++) {
            fprintf(stderr, "  %s\n", trace.lines[i % TRACE_LINES]);
        }
    }
    fprintf(stderr,
            "sim: seed %" PRIu64
            " failed; again, with all lines: build/tests/sim/sim --seed %" PRIu64 " --trace\n",
            trace.seed, trace.seed);
    (void)fflush(stderr);
}

/* An assertion of the product is broken: the process is about to end anyway. */
static void trace_aborted(int number)
{
    (void)number;
    if (trace.now_ms != NULL) {
        trace_print_end();
        trace_clean_up();
    }
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGABRT);
}

void sim_trace_begin(uint64_t seed, const int64_t *now_ms)
{
    trace.seed = seed;
    trace.now_ms = now_ms;
    trace.count = 0;
    if (!trace.is_armed) {
        trace.is_armed = true;
        (void)signal(SIGABRT, trace_aborted);
    }
}

void sim_trace_end(void)
{
    trace.now_ms = NULL;
}

void sim_trace_at_failure(void (*clean_up)(void))
{
    trace.clean_up = clean_up;
}

void sim_trace_set_loud(bool loud)
{
    trace.loud = loud;
}

static void trace_add(const char *format, va_list arguments)
{
    char *line = trace.lines[trace.count++ % TRACE_LINES];
    int64_t now_ms = trace.now_ms == NULL ? 0 : *trace.now_ms;
    int size = snprintf(line, TRACE_LINE_BYTES, "%8" PRId64 " ", now_ms);
    (void)vsnprintf(line + size, TRACE_LINE_BYTES - (size_t)size, format, arguments);
    if (trace.loud) {
        fprintf(stderr, "%s\n", line);
    }
}

void sim_trace(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    trace_add(format, arguments);
    va_end(arguments);
}

void sim_fail(const char *invariant, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char why[1024];
    (void)vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    trace_print_end();
    fprintf(stderr, "sim: %s does not hold: %s\n", invariant, why);
    (void)fflush(stderr);
    trace_clean_up();
    _exit(SIM_EXIT_FAILED);
}
