/* test_internal.h — what the files of alluvium/behavior_test.h share: test.c (given, when), test_expect.c (then),
 * test_run.c (tables of tests).
 */
#ifndef ALV_TESTKIT_TEST_INTERNAL_H
#define ALV_TESTKIT_TEST_INTERNAL_H

#include "include/alluvium/behavior_test.h"
#include "testkit/stage.h"

struct alv_test {
    alv_stage stage;
    char refused
        [ALV_ERROR_TEXT_BYTES]; /* why the registry does not take the behavior; empty = it does */
    alv_bytes when;             /* the last `when`, for reports */
    json_t *asked;       /* emitted commands whose outcome is still to come, as in the recorder */
    size_t emitted_seen; /* of the last `when`, how many were expected */
    size_t published_seen;
    bool refusal_seen; /* that it was rejected, or a dead letter, was expected */
    int failures;
    alv_test_failed failed;
    void *payload;
    alv_bytes report;
};

/* An expectation did not hold: reports `report`, to which what came of the command is added. Returns false. May not
 * return, so everything else must have been released. */
bool alv_test_fail(alv_test *test, const char *file, int line);

#endif
