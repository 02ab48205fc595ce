#include "api/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/exchange_internal.h"
#include "api/http_tls_internal.h"
#include "api/url.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

/* What a browser may do with an answer that is no page: show it. */
#define EXCHANGE_POLICY "default-src 'none'; frame-ancestors 'none'"

alv_exchange *alv_exchange_new(struct MHD_Connection *connection, const char *method,
                               const char *path)
{
    alv_exchange *exchange = alv_alloc(sizeof *exchange);
    exchange->connection = connection;
    exchange->method = method;
    exchange->path = path;
    exchange->began_us = alv_monotonic_us(alv_clock_system());
    return exchange;
}

const char *alv_exchange_method(const alv_exchange *exchange)
{
    return exchange->method;
}

const char *alv_exchange_path(const alv_exchange *exchange)
{
    return exchange->path;
}

const char *alv_exchange_header(const alv_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

alv_status alv_exchange_query(const alv_exchange *exchange, const char *name, size_t size_max,
                              bool *out_found, alv_bytes *out, alv_error *err)
{
    const char *value =
        MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, name);
    alv_bytes_clear(out);
    *out_found = value != NULL;
    if (value == NULL || value[0] == '\0') {
        return ALV_OK;
    }
    alv_error why = ALV_ERROR_NONE;
    if (alv_url_decode(alv_view_of(value), size_max, out, &why) != ALV_OK) {
        return alv_fail(err, ALV_REJECT, "the parameter %s cannot be used: %s", name, why.text);
    }
    return ALV_OK;
}

bool alv_exchange_is_certified(const alv_exchange *exchange)
{
    return alv_http_tls_is_certified(exchange->connection);
}

void alv_exchange_set_route(alv_exchange *exchange, int route)
{
    exchange->route = route + 1;
}

bool alv_exchange_has_body(const alv_exchange *exchange)
{
    return alv_exchange_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH) != NULL ||
           alv_exchange_header(exchange, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
}

bool alv_exchange_expects_body(const alv_exchange *exchange)
{
    const char *length = alv_exchange_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length != NULL && strcmp(length, "0") != 0) {
        return true;
    }
    return alv_exchange_header(exchange, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
}

size_t alv_exchange_body_length(const alv_exchange *exchange)
{
    const char *length = alv_exchange_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length == NULL) {
        return SIZE_MAX;
    }
    return (size_t)strtoull(length, NULL, 10); /* the library has checked that it is a number */
}

void alv_exchange_take_body(alv_exchange *exchange, alv_bytes *out)
{
    *out = exchange->body;
    exchange->body = ALV_BYTES_EMPTY;
}

void alv_exchange_set_application(alv_exchange *exchange, const char *application)
{
    exchange->application = application;
}

void alv_exchange_defer(alv_exchange *exchange)
{
    ALV_ASSERT(!exchange->deferred);
    ALV_ASSERT(!exchange->answered);
    exchange->deferred = true;
    MHD_suspend_connection(exchange->connection);
}

/* Resuming comes last: from then on the server's thread may send the answer and free the exchange.
 * The library's lock, taken by suspend, resume and its own loop, orders our writes before its
 * reads. */
void alv_exchange_answer(alv_exchange *exchange, alv_answer *answer)
{
    ALV_ASSERT(answer->status != 0);
    ALV_ASSERT(!exchange->answered);
    exchange->answer = *answer;
    *answer = ALV_ANSWER_NONE;
    exchange->answered = true;
    if (exchange->deferred) {
        MHD_resume_connection(exchange->connection);
    }
}

static void exchange_add_header(struct MHD_Response *response, const char *name, const char *value)
{
    enum MHD_Result added = MHD_add_response_header(response, name, value);
    ALV_ASSERT(added == MHD_YES); /* refused only for a line break in it */
}

static void exchange_add_headers(struct MHD_Response *response, const alv_exchange *exchange)
{
    const alv_answer *answer = &exchange->answer;
    if (exchange->application != NULL) {
        exchange_add_header(response, ALV_EXCHANGE_APPLICATION, exchange->application);
    }
    exchange_add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    exchange_add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    exchange_add_header(response, "X-Content-Type-Options", "nosniff");
    exchange_add_header(response, "Referrer-Policy", "no-referrer");
    exchange_add_header(response, "Content-Security-Policy",
                        answer->policy != NULL ? answer->policy : EXCHANGE_POLICY);
    if (answer->status == 401) {
        exchange_add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                            "Bearer realm=\"alluvium\"");
    }
    if (answer->allow[0] != '\0') {
        exchange_add_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
    }
    if (answer->retry_after_s > 0) {
        char seconds[16];
        (void)snprintf(seconds, sizeof seconds, "%d", answer->retry_after_s);
        exchange_add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (answer->position.commands > 0 || answer->position.changelog > 0) {
        char position[48];
        (void)snprintf(position, sizeof position, "%" PRId64 " %" PRId64, answer->position.commands,
                       answer->position.changelog);
        exchange_add_header(response, ALV_EXCHANGE_POSITION, position);
    }
    if (answer->close) {
        exchange_add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
}

static struct MHD_Response *exchange_make_response(alv_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(
        answer->body.size, answer->body.data, alv_free);
    if (response != NULL) {
        answer->body = ALV_BYTES_EMPTY; /* the response's now */
    }
    return response;
}

static struct MHD_Response *exchange_make_stream(alv_exchange *exchange)
{
    alv_http_stream *stream = exchange->stream;
    exchange->streams = true;
    exchange->answer.status = 200;
    (void)snprintf(exchange->answer.content_type, sizeof exchange->answer.content_type, "%s",
                   alv_http_stream_content_type(stream));
    struct MHD_Response *response = alv_http_stream_response(stream, exchange->connection);
    if (response != NULL) {
        exchange->stream = NULL; /* the response's now */
    }
    return response;
}

enum MHD_Result alv_exchange_send(alv_exchange *exchange)
{
    ALV_ASSERT(exchange->answered);
    alv_answer *answer = &exchange->answer;
    struct MHD_Response *response =
        exchange->stream != NULL ? exchange_make_stream(exchange) : exchange_make_response(answer);
    if (response == NULL) {
        return MHD_NO;
    }
    exchange_add_headers(response, exchange);
    enum MHD_Result queued =
        MHD_queue_response(exchange->connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

void alv_exchange_free(alv_exchange *exchange)
{
    if (exchange == NULL) {
        return;
    }
    if (exchange->stream != NULL) {
        alv_http_stream_abandon(exchange->stream); /* the connection broke before it was sent */
    }
    alv_answer_done(&exchange->answer);
    alv_bytes_done(&exchange->body);
    alv_free(exchange);
}
