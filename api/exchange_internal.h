/* exchange_internal.h — the side of an exchange that the server sees.
 *
 * Why:    what the HTTP library asks for (response objects, suspending) stays in http_server.c and
 *         exchange.c.
 * Thread: http.
 * Owns:   the server makes an exchange when a request begins and frees it when it is complete.
 */
#ifndef ALV_API_EXCHANGE_INTERNAL_H
#define ALV_API_EXCHANGE_INTERNAL_H

#include <microhttpd.h>

#include "api/exchange.h"
#include "api/http_stream.h"

struct alv_exchange {
    struct MHD_Connection *connection;
    const char *method; /* the library's, as long as the request */
    const char *path;
    alv_bytes body;          /* what has come of it */
    size_t body_bytes_max;   /* what may come */
    size_t body_counted;     /* of the server's budget for bodies */
    size_t answer_counted;   /* of its budget for answers */
    int body_refused;        /* the HTTP status it ends with, once the rest was dropped; else 0 */
    int64_t began_us;        /* monotonic */
    int route;               /* for the meter; 0 = none so far */
    const char *application; /* the answer says so; NULL = it does not */
    bool streams;            /* the answer ends when the client or the node does */
    bool deferred;           /* written by the server's thread only, so it may always read it */
    bool answered;           /* written by whoever answers; the server reads it once resumed */
    alv_answer answer;       /* once answered, until it is sent */
    alv_http_stream *stream; /* the answer instead, with a reference for the response; else NULL */
};

/* The response that carries what is written; takes over one reference, unless it is NULL (out of
 * memory). */
struct MHD_Response *alv_http_stream_response(alv_http_stream *stream,
                                              struct MHD_Connection *connection);

/* As it was attached. */
const char *alv_http_stream_content_type(const alv_http_stream *stream);

/* There will be no response: takes over its reference. */
void alv_http_stream_abandon(alv_http_stream *stream);

alv_exchange *alv_exchange_new(struct MHD_Connection *connection, const char *method,
                               const char *path);

/* Whether the request says that a body of at least one byte follows. */
bool alv_exchange_expects_body(const alv_exchange *exchange);

/* How long it says that body is; SIZE_MAX when it does not say, or too much to count. */
size_t alv_exchange_body_length(const alv_exchange *exchange);

/* Hands the answer to the library, which takes its body. */
enum MHD_Result alv_exchange_send(alv_exchange *exchange);

void alv_exchange_free(alv_exchange *exchange);

#endif
