/* trend.h — whether a series of samples stays where it is.
 *
 * Why:    memory that grows by a byte per command is nothing in a minute and a crash in a month; seen in an
 *         hour it must be told from what goes up and down.
 * How:    the slope is that between the medians of the third and of the last quarter of the samples: what goes up
 *         and down and some wild samples do not move it, and the first half is for whatever fills up.
 * Thread: any.
 */
#ifndef ALV_TESTS_SUPPORT_TREND_H
#define ALV_TESTS_SUPPORT_TREND_H

#include <stddef.h>

typedef struct alv_trend_point {
    double at_s;
    double value; /* NAN: not known at that time */
} alv_trend_point;

/* Means of the first, the middle and the last tenth of the samples, and the slope. NAN without samples. */
typedef struct alv_trend {
    double first;
    double middle;
    double last;
    double per_hour;
    double span_s; /* between the middles of the two quarters */
    size_t count;  /* of known samples */
} alv_trend;

/* What still counts as flat: the larger one of the two. */
typedef struct alv_trend_slack {
    double value; /* per hour */
    double share; /* of the middle, per hour */
} alv_trend_slack;

/* `points` in the order of time. */
alv_trend alv_trend_of(const alv_trend_point *points, size_t count);

/* In words: "flat", "grows by 12.5 an hour", "falls by ...", or that there is too little to tell. Valid
 * until the next call. */
const char *alv_trend_verdict(const alv_trend *trend, const alv_trend_slack *slack);

#endif
