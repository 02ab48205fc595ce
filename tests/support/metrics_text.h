/* metrics_text.h — reads a page of metrics as Prometheus would, and finds what it would refuse.
 *
 * Why:    the writer's own rules cannot be checked by the writer.
 * Thread: any.
 * Owns:   nothing.
 * Fails:  check fails the running cmocka test with the line that is wrong.
 */
#ifndef ALV_TESTS_SUPPORT_METRICS_TEXT_H
#define ALV_TESTS_SUPPORT_METRICS_TEXT_H

#include <stdbool.h>

/* Names and labels are well formed; HELP and TYPE stand once before the samples of a family, which
 * stand together; no series twice; every value is a number; buckets only grow, and the last of them is
 * the count. */
void alv_metrics_text_check(const char *text);

/* The value of the series written just so, `name{label="value"}`; false when there is none. */
bool alv_metrics_text_find(const char *text, const char *series, double *out);

/* The sum over all series of a name, 0 without any. */
double alv_metrics_text_sum(const char *text, const char *name);

#endif
