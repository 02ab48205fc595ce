/* chaos_schedule.h — what is done to whom, and when: a function of the seed alone.
 *
 * Why:    a failure found by chance must be found again on purpose: the same seed does the same things at
 *         the same times. What it meets at that moment still differs from run to run.
 * How:    every action is a beginning and an end. One thing at a time is done to each target, so that
 *         any number of targets suffer at once without one undoing the other.
 * Thread: one. Pure.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_SCHEDULE_H
#define ALV_TESTS_SUPPORT_CHAOS_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"

/* `target` is a node or a broker, from 0; `ms` as said. */
typedef enum alv_chaos_act {
    ALV_CHAOS_KILL_NODE,     /* SIGKILL */
    ALV_CHAOS_STOP_NODE,     /* SIGTERM */
    ALV_CHAOS_PAUSE_NODE,    /* SIGSTOP, for ms */
    ALV_CHAOS_RESUME_NODE,   /* SIGCONT */
    ALV_CHAOS_ARM_KILL,      /* killed and started; dies at a place of base/fault.h, see ms */
    ALV_CHAOS_ARM_STOP,      /* the same; stands still there, as with SIGSTOP */
    ALV_CHAOS_START_NODE,    /* with the state it left */
    ALV_CHAOS_START_EMPTY,   /* with nothing: its disk is new */
    ALV_CHAOS_KILL_BROKER,   /* SIGKILL */
    ALV_CHAOS_STOP_BROKER,   /* SIGTERM */
    ALV_CHAOS_START_BROKER,  /**/
    ALV_CHAOS_STOP_POSTGRES, /**/
    ALV_CHAOS_START_POSTGRES,
    ALV_CHAOS_NET_DELAY,       /* the proxied node's bytes take up to ms */
    ALV_CHAOS_NET_CUT,         /* its connections end */
    ALV_CHAOS_NET_FREEZE,      /* nothing comes or goes for ms */
    ALV_CHAOS_NET_HOLD_ONE,    /* one connection for ms */
    ALV_CHAOS_NET_LATE_COMMIT, /* the next EndTxn comes ms later */
    ALV_CHAOS_NET_LOSE_ANSWER, /* the next EndTxn's answer does not come */
    ALV_CHAOS_NET_CALM,
    ALV_CHAOS_LOAD, /* ms is a rate, in percent of the usual one */
    ALV_CHAOS_ACTS, /* not an act */
} alv_chaos_act;

const char *alv_chaos_act_name(alv_chaos_act act);

/* `ms` of an ALV_CHAOS_ARM_...: a place, and the how-manieth time there. */
#define ALV_CHAOS_ARM(fault, times) ((int64_t)(fault)*1000 + (times))
#define ALV_CHAOS_ARM_PLACE(ms) ((alv_fault)((ms) / 1000))
#define ALV_CHAOS_ARM_TIMES(ms) ((int)((ms) % 1000))

typedef struct alv_chaos_event {
    int64_t at_ms; /* since the beginning of the run */
    alv_chaos_act act;
    int target;
    int64_t ms;
} alv_chaos_event;

typedef struct alv_chaos_plan {
    uint64_t seed;
    int64_t duration_ms;
    int nodes;       /* that run at the beginning and at the end */
    int brokers;     /* one more node, number `nodes`, comes and goes */
    int proxied;     /* the node behind the proxies */
    int64_t calm_ms; /* longer pauses between two beginnings, by so much */
} alv_chaos_plan;

/* The events in order of time; the caller frees them with alv_free. */
alv_chaos_event *alv_chaos_schedule(const alv_chaos_plan *plan, size_t *out_count);

void alv_chaos_event_print(const alv_chaos_event *event, FILE *out);

#endif
