/* chaos_reader.h — clients that read counters over HTTP, all the time, from all nodes.
 *
 * Why:    at the end every view agrees; in between, an answer must already be true: committed state only
 *         (I4), nothing older than the position beside it, and later answers not older than earlier ones.
 * How:    one thread per node asks for random counters; what an answer may say is worked out from what
 *         was produced (chaos_counters.h). No answer and 503 are no lies. A node that was stopped or cut off
 *         may answer from the past until it learns that others have taken over; that is counted apart.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_READER_H
#define ALV_TESTS_SUPPORT_CHAOS_READER_H

#include "tests/support/chaos_counters.h"

typedef struct alv_chaos_reader alv_chaos_reader;

typedef struct alv_chaos_reader_counts {
    int64_t answers; /* 200 and 404 */
    int64_t refused; /* 503 */
    int64_t silent;  /* no answer */
    int64_t stale;   /* older than an earlier one, while that was allowed */
} alv_chaos_reader_counts;

/* `addresses` of `count` nodes; all borrowed. Without `counters` (NULL) nobody asks. */
alv_chaos_reader *alv_chaos_reader_start(alv_chaos_counters *counters, const char *const *addresses,
                                         int count);

/* From now on for `ms`, somebody may believe to own what others have. */
void alv_chaos_reader_allow_stale(alv_chaos_reader *reader, int64_t ms);

/* The first wrong answer, or NULL. */
const char *alv_chaos_reader_failure(const alv_chaos_reader *reader);

alv_chaos_reader_counts alv_chaos_reader_counted(const alv_chaos_reader *reader);

/* NULL is fine. Takes as long as the slowest request. */
void alv_chaos_reader_stop(alv_chaos_reader *reader);

#endif
