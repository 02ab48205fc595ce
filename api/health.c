#include "api/health.h"

#include "api/api_internal.h"

#define HEALTH_REASON_BYTES 512

void alv_health_answer_alive(alv_answer *out)
{
    alv_answer_begin_json(out, 200);
    alv_bytes_append_text(&out->body, "{\"status\":\"ok\"}");
}

void alv_health_answer_ready(const alv_api *api, alv_answer *out)
{
    char why[HEALTH_REASON_BYTES] = "";
    if (!api->options.ready(api->options.ready_payload, why, sizeof why)) {
        alv_answer_set_problem(out, 503, "%s", why);
        return;
    }
    alv_answer_begin_json(out, 200);
    alv_bytes_append_text(&out->body, "{\"ready\":true}");
}
