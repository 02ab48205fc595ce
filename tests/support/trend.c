#include "tests/support/trend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

#define TREND_SAMPLES_MIN 20
#define TREND_SPAN_MIN_S 120 /* below that, an hour is too far away */
#define TREND_HOUR_S 3600.0

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double trend_mean(const alv_trend_point *points, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++) {
        sum += points[i].value;
    }
    return to > from ? sum / (double)(to - from) : NAN;
}

static double trend_median(const alv_trend_point *points, size_t from, size_t to)
{
    size_t count = to - from;
    double *values = alv_alloc_array(count + 1, sizeof(*values));
    for (size_t i = 0; i < count; i++) {
        values[i] = points[from + i].value;
    }
    qsort(values, count, sizeof(*values), compare_numbers);
    double median = count > 0 ? (values[(count - 1) / 2] + values[count / 2]) / 2 : NAN;
    alv_free(values);
    return median;
}

/* From the third quarter to the last one. */
static void trend_take_slope(alv_trend *trend, const alv_trend_point *points)
{
    size_t half = trend->count / 2;
    size_t rest = half + (trend->count - half) / 2;
    double before = trend_median(points, half, rest);
    double after = trend_median(points, rest, trend->count);
    size_t middle_before = (half + rest) / 2;
    size_t middle_after = (rest + trend->count) / 2;
    trend->span_s = points[middle_after].at_s - points[middle_before].at_s;
    trend->per_hour = trend->span_s > 0 ? (after - before) / trend->span_s * TREND_HOUR_S : NAN;
}

alv_trend alv_trend_of(const alv_trend_point *points, size_t count)
{
    alv_trend_point *known = alv_alloc_array(count + 1, sizeof(*known));
    alv_trend trend = {.first = NAN, .middle = NAN, .last = NAN, .per_hour = NAN};
    for (size_t i = 0; i < count; i++) {
        if (!isnan(points[i].value)) {
            known[trend.count++] = points[i];
        }
    }
    if (trend.count > 0) {
        size_t all = trend.count;
        size_t tenth = (all + 9) / 10;
        size_t half = all / 2;
        size_t middle = half - tenth / 2;
        trend.first = trend_mean(known, 0, tenth);
        trend.middle = trend_mean(known, middle, middle + tenth);
        trend.last = trend_mean(known, all - tenth, all);
        trend_take_slope(&trend, known);
    }
    alv_free(known);
    return trend;
}

const char *alv_trend_verdict(const alv_trend *trend, const alv_trend_slack *slack)
{
    static char text[64];
    if (trend->count < TREND_SAMPLES_MIN || trend->span_s < TREND_SPAN_MIN_S) {
        return "too short to tell";
    }
    if (fabs(trend->per_hour) <= fmax(slack->value, slack->share * fabs(trend->middle))) {
        return "flat";
    }
    (void)snprintf(text, sizeof(text), "%s by %.*f an hour",
                   trend->per_hour > 0 ? "grows" : "falls", fabs(trend->per_hour) < 10 ? 1 : 0,
                   fabs(trend->per_hour));
    return text;
}
