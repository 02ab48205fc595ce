/* faulty_store.h — a store that fails when the test says so, around one that does not.
 *
 * Why:    a full disk and a corrupt file cannot be ordered for a chosen call.
 * Thread: as the store inside.
 * Owns:   the store inside; closing it closes both.
 */
#ifndef ALV_TESTS_SUPPORT_FAULTY_STORE_H
#define ALV_TESTS_SUPPORT_FAULTY_STORE_H

#include "statestore/store.h"
#include "tests/support/io_faults.h"

typedef enum alv_store_call {
    ALV_STORE_OPEN_SHARD,
    ALV_STORE_APPLY,
    ALV_STORE_BULK_APPLY,
    ALV_STORE_BULK_END, /* with keep */
    ALV_STORE_GET,
    ALV_STORE_CALL_COUNT, /* not a call */
} alv_store_call;

typedef struct alv_faulty_store {
    alv_store base;
    alv_store *inner;
    int failures[ALV_STORE_CALL_COUNT]; /* how many of the next calls fail */
    alv_status status;                  /* with what */
    int wipes;                          /* how often a shard was wiped */
    int gets;                           /* how often something was read */
    alv_io_faults *
        io; /* fails one of all calls; borrowed, may be NULL. Flavour 1: ALV_REJECT; others ALV_RETRY */
} alv_faulty_store;

/* Takes `inner`. */
alv_faulty_store *alv_faulty_store_new(alv_store *inner);

/* The next `count` calls of that kind fail with `status`. */
void alv_faulty_store_fail(alv_faulty_store *store, alv_store_call call, int count,
                           alv_status status);

#endif
