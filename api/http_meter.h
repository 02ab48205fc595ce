/* http_meter.h — how many requests a route answered, how, and how long that took.
 *
 * Why:    a rate and a latency per route are the first things to look at when somebody complains.
 * Thread: count: the server's. Reads: any.
 * Owns:   the server owns the meter.
 * Limits: ALV_HTTP_METER_ROUTES routes, the one for unknown paths included.
 */
#ifndef ALV_API_HTTP_METER_H
#define ALV_API_HTTP_METER_H

#include "base/metric.h"

#define ALV_HTTP_METER_ROUTES 64
#define ALV_HTTP_METER_CLASSES 5 /* of status codes: 1xx to 5xx */

typedef struct alv_http_meter {
    alv_counter answers[ALV_HTTP_METER_ROUTES][ALV_HTTP_METER_CLASSES];
    alv_histogram took[ALV_HTTP_METER_ROUTES];
} alv_http_meter;

/* A request was answered with `status`; `took_us` < 0: the time says nothing (a stream). Route 0 stands
 * for paths that nobody knows. */
void alv_http_meter_count(alv_http_meter *meter, int route, int status, int64_t took_us);

#endif
