#include "api/watch.h"

#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/http_stream.h"
#include "base/glob.h"

/* The parameters by what they say. */
static const struct {
    const char *name;
    alv_watch_kind kind;
} watch_parameters[] = {
    {"key", ALV_WATCH_KEY}, {"prefix", ALV_WATCH_PREFIX}, {"pattern", ALV_WATCH_PATTERN}};

#define WATCH_PARAMETER_COUNT (sizeof watch_parameters / sizeof watch_parameters[0])

/* Exactly one of them. */
static alv_status watch_read_what(const alv_exchange *exchange, alv_watch_kind *out_kind,
                                  alv_bytes *out_text, alv_error *err)
{
    size_t given = 0;
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_status status = ALV_OK;
    for (size_t i = 0; i < WATCH_PARAMETER_COUNT && status == ALV_OK; i++) {
        bool found = false;
        status = alv_exchange_query(exchange, watch_parameters[i].name, ALV_KEY_BYTES_MAX, &found,
                                    &value, err);
        if (status == ALV_OK && found) {
            given++;
            *out_kind = watch_parameters[i].kind;
            alv_bytes_set(out_text, value.data, value.size);
        }
    }
    alv_bytes_done(&value);
    if (status == ALV_OK && given != 1) {
        return alv_fail(err, ALV_REJECT,
                        "what shall be watched? Give one of key=, prefix= (empty: everything) and "
                        "pattern=");
    }
    return status;
}

static alv_status watch_check_what(alv_watch_kind kind, alv_view text, alv_error *err)
{
    if (kind == ALV_WATCH_PATTERN) {
        return alv_glob_check(text, err);
    }
    if (kind == ALV_WATCH_KEY && text.size == 0) {
        return alv_fail(err, ALV_REJECT, "the key is empty");
    }
    return ALV_OK;
}

/* An empty id is none: that is what a client sends that has not seen any. */
static alv_status watch_read_id(const alv_exchange *exchange, alv_bytes *out, alv_error *err)
{
    bool found = false;
    alv_view header = alv_view_of(alv_exchange_header(exchange, "Last-Event-ID"));
    if (header.size > 0) {
        alv_bytes_set(out, header.data, header.size);
        return ALV_OK;
    }
    return alv_exchange_query(exchange, "last_event_id", ALV_HTTP_CONNECTION_BYTES, &found, out,
                              err);
}

static void watch_refuse(alv_exchange *exchange, const alv_error *err)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 400, "%s", err->text);
    alv_exchange_answer(exchange, &answer);
}

static void watch_answer_head(alv_exchange *exchange)
{
    alv_answer answer = ALV_ANSWER_NONE;
    answer.status = 200;
    (void)snprintf(answer.content_type, sizeof answer.content_type, ALV_HTTP_STREAM_EVENTS);
    alv_exchange_answer(exchange, &answer);
}

void alv_watch_answer(alv_watch_hub *hub, alv_exchange *exchange)
{
    alv_error err = ALV_ERROR_NONE;
    alv_watch_request request = {.kind = ALV_WATCH_KEY};
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes id = ALV_BYTES_EMPTY;
    alv_status status = watch_read_what(exchange, &request.kind, &text, &err);
    request.text = alv_bytes_view(&text);
    if (status == ALV_OK) {
        status = watch_check_what(request.kind, request.text, &err);
    }
    if (status == ALV_OK) {
        status = watch_read_id(exchange, &id, &err);
    }
    request.id = id.size > 0 ? alv_bytes_view(&id) : ALV_VIEW_NONE;
    if (status != ALV_OK) {
        watch_refuse(exchange, &err);
    } else if (strcmp(alv_exchange_method(exchange), "HEAD") == 0) {
        watch_answer_head(exchange);
    } else {
        alv_watch_hub_serve(hub, exchange, &request);
    }
    alv_bytes_done(&text);
    alv_bytes_done(&id);
}
