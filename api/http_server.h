/* http_server.h — listens, reads requests, sends answers.
 *
 * Why:    the HTTP library (libmicrohttpd) is met here and in exchange.c only. It parses HTTP/1.0
 *         and 1.1 and answers by itself, with a short HTML page, what is not HTTP at all (400, 414,
 *         431, 505). Everything else comes to one service.
 * Thread: open, start, refuse, stop: main. The service runs on the server's one thread: it must not
 *         block.
 * Owns:   its socket, its thread and the exchanges.
 * Fails:  ALV_REJECT: the address cannot be used, `err` says why.
 * Limits: connections and their time, see http_connections.h;
 *         ALV_HTTP_ANSWERS_BYTES_MAX of answers that are not taken yet: from then on requests are refused, and
 *         from half of it on whoever does not take his within a look is cut off;
 *         ALV_HTTP_IDLE_TIMEOUT_S without a byte; ALV_HTTP_CONNECTION_BYTES for a request's head;
 *         for a body what the service allows it, ALV_HTTP_BODIES_BYTES_MAX for all that are held. A body
 *         that is announced as too large is refused before it is read; of one that turns out too
 *         large nothing more is kept.
 */
#ifndef ALV_API_HTTP_SERVER_H
#define ALV_API_HTTP_SERVER_H

#include "api/exchange.h"
#include "api/http_connections.h"
#include "api/http_meter.h"
#include "api/http_security.h"

typedef struct alv_http_server alv_http_server;

/* What the server calls, on its thread. */
typedef struct alv_http_service {
    /* The head of a request is there and announces a body: how many bytes of it may come. 0: it was
     * refused; then the exchange has been answered. */
    size_t (*body_max)(void *payload, alv_exchange *exchange);

    /* The request is whole: answers or defers `exchange` before it returns. */
    void (*handle)(void *payload, alv_exchange *exchange);

    /* Whether a request is served also when others are refused because there is too much of everything: those by
     * which people and supervisors see what is going on. It must be answered at once. NULL = none is. */
    bool (*is_vital)(void *payload, const alv_exchange *exchange);
    void *payload;
    const alv_http_patience *patience; /* NULL = the usual one */
    unsigned connections_max;          /* 0 = as many as alv_http_connections_limit says */
} alv_http_service;

/* Binds `address`, "host:port" or "[v6]:port"; port 0 = one that is free. Connections wait in the
 * kernel's queue until the server starts. `security` is borrowed. */
alv_status alv_http_server_open(const char *address, const alv_http_security *security,
                                alv_http_server **out, alv_error *err);

/* Serves from now on; what the service needs must be there. At most once. ALV_FATAL. */
alv_status alv_http_server_start(alv_http_server *server, const alv_http_service *service,
                                 alv_error *err);

/* The address as it is bound, "host:port". Borrowed, valid until stop. @thread any */
const char *alv_http_server_address(const alv_http_server *server);

/* What was asked and answered so far. Borrowed, valid until stop. @thread any */
const alv_http_meter *alv_http_server_meter(const alv_http_server *server);

/* Requests that are not answered completely, streams included. @thread any */
int alv_http_server_in_flight(const alv_http_server *server);

/* From now on the service is not called any more: requests get 503 and their connection is
 * closed. */
void alv_http_server_refuse(alv_http_server *server);

/* Sends the answers that are there (at most ALV_HTTP_DRAIN_MS), closes all connections and frees
 * the server. Every deferred exchange must have been answered. NULL is fine. */
void alv_http_server_stop(alv_http_server *server);

#endif
