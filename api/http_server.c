#include "api/http_server.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/exchange_internal.h"
#include "api/http_connections.h"
#include "api/http_limits.h"
#include "api/http_tls_internal.h"
#include "api/listener.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/inbox.h"
#include "base/logger.h"

struct alv_http_server {
    struct MHD_Daemon *daemon;
    const alv_http_security *security;
    int socket; /* the library's once started; then -1 */
    char address[ALV_LISTENER_ADDRESS_BYTES];
    alv_http_connections *connections;
    alv_http_service service;
    size_t bodies_bytes; /* of all exchanges; server's thread, here and below */
    size_t answers_bytes;
    atomic_bool refusing;   /* set once, by main */
    atomic_int in_progress; /* exchanges that are not complete */
    alv_http_meter meter;
    alv_inbox *idle; /* main waits here for the last of them */
};

/* What the idle inbox carries; it says all by being there. */
static char server_is_idle;

/* The library reports what clients do wrong, so this is never more than a debug line. */
static void server_log(void *payload, const char *format, va_list arguments)
{
    (void)payload;
    char text[256];
    (void)vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    alv_log(ALV_LOG_DEBUG, "http-library", "msg=\"%s\"", text);
}

/* Paths come as they were sent: routes.c decodes keys, once and with checks. */
static size_t server_keep_escapes(void *payload, struct MHD_Connection *connection, char *text)
{
    (void)payload;
    (void)connection;
    return strlen(text);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static enum MHD_Result server_refuse_body(alv_exchange *exchange, int status)
{
    alv_answer answer = ALV_ANSWER_NONE;
    if (status == 413) {
        alv_answer_set_problem(&answer, 413, "the body may have at most %zu bytes",
                               exchange->body_bytes_max);
    } else {
        alv_answer_set_problem(&answer, status, "this node has too many requests to read");
    }
    alv_exchange_answer(exchange, &answer);
    return alv_exchange_send(exchange);
}

/* At the head of a request with a body. An answer that is sent now makes the library close the
 * connection afterwards, because the body is not read. */
static enum MHD_Result server_begin_body(alv_http_server *server, alv_exchange *exchange)
{
    exchange->body_bytes_max = server->service.body_max(server->service.payload, exchange);
    if (exchange->body_bytes_max == 0) {
        return alv_exchange_send(exchange);
    }
    size_t length = alv_exchange_body_length(exchange);
    if (length != SIZE_MAX && length > exchange->body_bytes_max) {
        return server_refuse_body(exchange, 413);
    }
    return MHD_YES;
}

/* Keeps what has come, or drops it when it is too much: the library sends an answer only before a
 * body or behind it. */
static void server_take_body(alv_http_server *server, alv_exchange *exchange, const char *data,
                             size_t size)
{
    if (exchange->body_refused != 0) {
        return;
    }
    if (size > exchange->body_bytes_max - exchange->body.size) {
        exchange->body_refused = 413;
    } else if (size > ALV_HTTP_BODIES_BYTES_MAX - server->bodies_bytes) {
        exchange->body_refused = 503;
    } else {
        alv_bytes_append(&exchange->body, data, size);
        server->bodies_bytes += size;
        exchange->body_counted += size;
        return;
    }
    alv_bytes_done(&exchange->body);
}

/* ---- connections ----------------------------------------------------------------------------- */

static alv_http_connection *server_connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    ALV_ASSERT(info != NULL && info->socket_context != NULL);
    return info->socket_context;
}

/* A connection has begun, or its socket is about to be closed. */
static void server_connection(void *payload, struct MHD_Connection *connection, void **context,
                              enum MHD_ConnectionNotificationCode code)
{
    alv_http_server *server = payload;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = alv_http_connections_open(server->connections, info->connect_fd);
    } else {
        alv_http_connections_close(server->connections, *context);
        *context = NULL;
    }
}

static void server_set_phase(const alv_exchange *exchange, alv_http_phase phase)
{
    alv_http_connection_set_phase(server_connection_of(exchange->connection), phase);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* For this connection there is nothing more. */
static void server_refuse(alv_exchange *exchange, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503, "%s", why);
    answer.close = true;
    alv_exchange_answer(exchange, &answer);
}

/* From half of what answers may take on, whoever does not take his soon is cut off. */
static void server_press(const alv_http_server *server)
{
    alv_http_connections_press(server->connections,
                               server->answers_bytes > ALV_HTTP_ANSWERS_BYTES_MAX / 2);
}

/* Hands the answer to the library and counts what it holds until it is taken. */
static enum MHD_Result server_send(alv_http_server *server, alv_exchange *exchange)
{
    exchange->answer_counted = exchange->answer.body.size;
    server->answers_bytes += exchange->answer_counted;
    server_press(server);
    return alv_exchange_send(exchange);
}

/* Why the request is not served now; NULL when it is. */
static const char *server_objection(const alv_http_server *server, const alv_exchange *exchange)
{
    const alv_http_service *service = &server->service;
    const char *why = NULL;
    if (alv_http_connection_is_surplus(server_connection_of(exchange->connection))) {
        why = "this node has too many connections";
    } else if (server->answers_bytes > ALV_HTTP_ANSWERS_BYTES_MAX) {
        why = "this node has too many answers that are not taken";
    }
    bool vital =
        why != NULL && service->is_vital != NULL && service->is_vital(service->payload, exchange);
    return vital ? NULL : why;
}

/* The request is whole. Once deferred, the exchange may already be in the hands of another thread
 * when the handler returns; it is freed on this thread, so `deferred` can still be read. */
static enum MHD_Result server_handle(alv_http_server *server, alv_exchange *exchange)
{
    const char *why = server_objection(server, exchange);
    if (atomic_load(&server->refusing)) {
        server_refuse(exchange, "this node is stopping");
    } else if (why != NULL) {
        server_refuse(exchange, why);
    } else if (exchange->body_refused != 0) {
        return server_refuse_body(exchange, exchange->body_refused);
    } else {
        server->service.handle(server->service.payload, exchange);
    }
    if (exchange->deferred) {
        return MHD_YES;
    }
    exchange->answer.close |=
        alv_http_connection_is_surplus(server_connection_of(exchange->connection));
    return server_send(server, exchange);
}

/* Called by the library at the head of a request, for each piece of its body, when it is whole, and after
 * a deferred exchange was answered. */
static enum MHD_Result server_access(void *payload, struct MHD_Connection *connection,
                                     const char *url, const char *method, const char *version,
                                     const char *upload, size_t *upload_size, void **slot)
{
    (void)version;
    alv_http_server *server = payload;
    alv_exchange *exchange = *slot;
    if (exchange == NULL) {
        exchange = alv_exchange_new(connection, method, url);
        *slot = exchange;
        atomic_fetch_add(&server->in_progress, 1);
        server_set_phase(exchange, ALV_HTTP_BODY);
        return alv_exchange_expects_body(exchange) ? server_begin_body(server, exchange) : MHD_YES;
    }
    if (*upload_size != 0) {
        server_take_body(server, exchange, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    server_set_phase(exchange, ALV_HTTP_WORKING);
    bool resumed = exchange->deferred;
    enum MHD_Result result =
        resumed ? server_send(server, exchange) : server_handle(server, exchange);
    bool waits = exchange->deferred && !resumed;
    if (!waits && !exchange->streams) {
        server_set_phase(exchange, ALV_HTTP_SENDING);
    }
    return result;
}

/* One whose client left before there was an answer is not counted. */
static void server_meter(alv_http_server *server, const alv_exchange *exchange)
{
    int64_t took_us = alv_monotonic_us(alv_clock_system()) - exchange->began_us;
    if (exchange->answer.status != 0) {
        alv_http_meter_count(&server->meter, exchange->route, exchange->answer.status,
                             exchange->streams ? -1 : took_us);
    }
}

/* The answer is out, or its connection is gone. */
static void server_completed(void *payload, struct MHD_Connection *connection, void **slot,
                             enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    alv_http_server *server = payload;
    if (*slot == NULL) {
        return; /* it was refused by the library before we heard of it */
    }
    const alv_exchange *exchange = *slot;
    server->bodies_bytes -= exchange->body_counted;
    server->answers_bytes -= exchange->answer_counted;
    server_press(server);
    server_meter(server, exchange);
    server_set_phase(*slot, ALV_HTTP_IDLE);
    alv_exchange_free(*slot);
    *slot = NULL;
    if (atomic_fetch_sub(&server->in_progress, 1) == 1 && atomic_load(&server->refusing)) {
        (void)alv_inbox_try_post(server->idle, &server_is_idle); /* full: it has been told */
    }
}

/* Everything is said explicitly; the library's defaults differ between versions. */
static struct MHD_Daemon *server_open_daemon(alv_http_server *server, unsigned limit)
{
    struct MHD_OptionItem tls[ALV_HTTP_TLS_OPTIONS];
    unsigned flag = alv_http_tls_options(server->security, tls);
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | flag, 0,
        NULL, NULL, server_access, server,
        /* first, so that it also hears of the others */
        MHD_OPTION_EXTERNAL_LOGGER, server_log, NULL, /* */
        MHD_OPTION_LISTEN_SOCKET, server->socket,     /* */
        MHD_OPTION_CONNECTION_LIMIT, limit + alv_http_connections_surplus(limit),
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ALV_HTTP_IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)ALV_HTTP_CONNECTION_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1,                                                /* */
        MHD_OPTION_UNESCAPE_CALLBACK, server_keep_escapes, NULL,                        /* */
        MHD_OPTION_NOTIFY_COMPLETED, server_completed, server,                          /* */
        MHD_OPTION_NOTIFY_CONNECTION, server_connection, server, MHD_OPTION_ARRAY, tls, /* */
        MHD_OPTION_END);
}

alv_status alv_http_server_open(const char *address, const alv_http_security *security,
                                alv_http_server **out, alv_error *err)
{
    alv_http_server *server = alv_alloc(sizeof *server);
    server->security = security;
    alv_status status = alv_listener_open(address, &server->socket, server->address, err);
    if (status != ALV_OK) {
        alv_free(server);
        return status;
    }
    server->idle = alv_inbox_new(1, NULL);
    *out = server;
    return ALV_OK;
}

/* The library takes the socket, and closes it also when it fails. */
alv_status alv_http_server_start(alv_http_server *server, const alv_http_service *service,
                                 alv_error *err)
{
    ALV_ASSERT(server->daemon == NULL);
    server->service = *service;
    unsigned limit =
        service->connections_max != 0 ? service->connections_max : alv_http_connections_limit();
    const alv_http_patience *patience =
        service->patience != NULL ? service->patience : &alv_http_patience_usual;
    alv_status status = alv_http_connections_start(limit, patience, &server->connections, err);
    if (status != ALV_OK) {
        return status;
    }
    server->daemon = server_open_daemon(server, limit);
    server->socket = -1;
    if (server->daemon == NULL) {
        return alv_fail_from(err, ALV_FATAL, "libmicrohttpd", 0,
                             "the HTTP server on %s does not start", server->address);
    }
    return ALV_OK;
}

const char *alv_http_server_address(const alv_http_server *server)
{
    return server->address;
}

const alv_http_meter *alv_http_server_meter(const alv_http_server *server)
{
    return &server->meter;
}

int alv_http_server_in_flight(const alv_http_server *server)
{
    return atomic_load(&server->in_progress);
}

void alv_http_server_refuse(alv_http_server *server)
{
    atomic_store(&server->refusing, true);
}

/* The library's own way to stop accepting first, MHD_quiesce_daemon, is not used: called from
 * another thread it can abort the process (0.9.75: both sides remove the socket from the epoll
 * set). The socket stays open to the end instead, and what comes in gets 503. */
void alv_http_server_stop(alv_http_server *server)
{
    if (server == NULL) {
        return;
    }
    alv_http_server_refuse(server);
    if (atomic_load(&server->in_progress) > 0) {
        (void)alv_inbox_wait(server->idle, ALV_HTTP_DRAIN_MS); /* late: those are cut off */
    }
    if (server->connections != NULL) {
        alv_http_connections_stop(server->connections);
    }
    MHD_stop_daemon(server->daemon); /* closes the socket */
    alv_http_connections_free(server->connections);
    alv_inbox_free(server->idle);
    alv_free(server);
}
