/* fault.h — places at which a test lets the process die or stand still.
 *
 * Why:    a kill at a random moment seldom falls between two steps that belong together. Here the
 *         moments that matter have names, and a test chooses one: ALLUVIUM_FAULT=after-send:17:kill ends the
 *         process with SIGKILL when it gets there for the 17th time, whichever thread that is.
 * Thread: arm: main, before there are others; reach: any.
 * Limits: one place per process, once. Costs a comparison of two numbers where nothing is armed.
 */
#ifndef ALV_BASE_FAULT_H
#define ALV_BASE_FAULT_H

#include "base/status.h"

/* In the order of a transaction's life; see processor/transaction.h for its steps. */
typedef enum alv_fault {
    ALV_FAULT_NONE,
    ALV_FAULT_BEFORE_PREPARE, /* commands were executed, little is written */
    ALV_FAULT_AFTER_PREPARE,  /* all is written and acknowledged */
    ALV_FAULT_BEFORE_SEND,    /* the same, one step on */
    ALV_FAULT_BEFORE_END,     /* the offsets are sent, EndTxn is not */
    ALV_FAULT_AFTER_SEND,     /* committed in Kafka; the lane does not know it yet */
    ALV_FAULT_BEFORE_FINISH,  /* committed; the store knows nothing of it */
    ALV_FAULT_IN_FINISH,      /* one shard's store knows */
    ALV_FAULT_AFTER_FINISH,   /* all do */
    ALV_FAULT_IN_REVOKE,      /* shards are finished, and not yet given back */
    ALV_FAULT_IN_RESTORE,     /* part of a shard was restored */
    ALV_FAULT_AFTER_RESTORE,  /* a shard was restored, and is not active yet */
    ALV_FAULT_COUNT,          /* not a place */
} alv_fault;

/* "PLACE", "PLACE:TIMES" or "PLACE:TIMES:ACTION"; the action is kill [default] or stop (SIGSTOP). NULL: nothing.
 * ALV_REJECT. */
alv_status alv_fault_arm(const char *text, alv_error *err);

/* "after-send", and so on. */
const char *alv_fault_name(alv_fault fault);

extern alv_fault alv_fault_armed; /* written by arm alone */
void alv_fault_strike(void);      /* counts, and acts when it is time */

static inline void alv_fault_reach(alv_fault fault)
{
    if (__builtin_expect(alv_fault_armed == fault, 0)) {
        alv_fault_strike();
    }
}

#endif
