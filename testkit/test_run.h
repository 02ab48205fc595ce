/* test_run.h — runs a table of tests and tells somebody how each went.
 *
 * Why:    `alluvium behavior check` reports in its own form what alv_test_run prints.
 * Thread: one.
 */
#ifndef ALV_TESTKIT_TEST_RUN_H
#define ALV_TESTKIT_TEST_RUN_H

#include "include/alluvium/behavior_test.h"

/* How a test went: `report` has a line (and indented ones) for each expectation that did not hold; empty when it
 * passed. */
typedef void (*alv_test_told)(void *payload, const alv_test_case *test, const char *report);

/* The number of tests that failed. */
size_t alv_test_run_each(const alv_test_case *tests, size_t count, alv_test_told told,
                         void *payload);

#endif
