/* http_connections.h — the open connections of the server, and the end of those that take too long.
 *
 * Why:    the HTTP library ends a connection that is silent. One that says a byte now and then, to keep a
 *         place that others need, is never silent; so each request has a time to be whole in, and each
 *         answer a time to be taken in. More connections than there may be are told so instead of being
 *         left waiting.
 * Thread: start, stop: main. Its own looks at all connections and cuts off. open, close, phase: the
 *         server's.
 * Owns:   its list; sockets are borrowed from open to close.
 * Limits: ALV_HTTP_CONNECTIONS_MAX, less when the process may not open as many files; beyond that
 *         ALV_HTTP_SURPLUS_MAX that are only told so, or told how the node is.
 */
#ifndef ALV_API_HTTP_CONNECTIONS_H
#define ALV_API_HTTP_CONNECTIONS_H

#include "base/clock.h"
#include "base/status.h"

typedef struct alv_http_connections alv_http_connections;
typedef struct alv_http_connection alv_http_connection;

/* What a connection is doing. */
typedef enum alv_http_phase {
    ALV_HTTP_IDLE,    /* between requests, or the head of one is coming */
    ALV_HTTP_BODY,    /* a body is coming */
    ALV_HTTP_WORKING, /* the request is whole and not answered; or the answer is a stream */
    ALV_HTTP_SENDING, /* the answer goes out */
} alv_http_phase;

/* How long each may take, in ms; `look_ms` is how often it is looked. */
typedef struct alv_http_patience {
    int head_ms;
    int body_ms;
    int send_ms;
    int look_ms;
} alv_http_patience;

/* That of http_limits.h. */
extern const alv_http_patience alv_http_patience_usual;

/* How many connections there may be: raises the process's limit of open files as far as it may be. */
unsigned alv_http_connections_limit(void);

/* How many more are accepted, to be told so. */
unsigned alv_http_connections_surplus(unsigned limit);

/* ALV_FATAL. */
alv_status alv_http_connections_start(unsigned limit, const alv_http_patience *patience,
                                      alv_http_connections **out, alv_error *err);

/* A connection over `fd` has begun, and has ended: its socket is about to be closed. */
alv_http_connection *alv_http_connections_open(alv_http_connections *connections, int fd);
void alv_http_connections_close(alv_http_connections *connections, alv_http_connection *connection);

/* Room for one word that whoever serves the connection remembers; 0 at first. */
int *alv_http_connection_note(alv_http_connection *connection);

/* Whether it is one too many: it is to be told so and closed. */
bool alv_http_connection_is_surplus(const alv_http_connection *connection);

/* What it does from now on. */
void alv_http_connection_set_phase(alv_http_connection *connection, alv_http_phase phase);

/* Answers that are not taken have become too much: while `on`, one may take no longer than until the next look.
 * @thread any */
void alv_http_connections_press(alv_http_connections *connections, bool on);

/* Ends the thread; connections may still be closed afterwards. */
void alv_http_connections_stop(alv_http_connections *connections);

/* Stops if that was not done; all connections must have been closed. NULL is fine. */
void alv_http_connections_free(alv_http_connections *connections);

#endif
