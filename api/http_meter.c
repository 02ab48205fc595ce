#include "api/http_meter.h"

#include "base/assert.h"

void alv_http_meter_count(alv_http_meter *meter, int route, int status, int64_t took_us)
{
    ALV_ASSERT(route >= 0 && route < ALV_HTTP_METER_ROUTES);
    ALV_ASSERT(status >= 100 && status < 100 * (ALV_HTTP_METER_CLASSES + 1));
    alv_counter_add(&meter->answers[route][status / 100 - 1], 1);
    if (took_us >= 0) {
        alv_histogram_observe(&meter->took[route], took_us, 1);
    }
}
