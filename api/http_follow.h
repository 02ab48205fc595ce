/* http_follow.h — reads one event stream of a node, blocking, for the command line.
 *
 * Why:    libcurl is met in api/ only; which node to ask next is for the caller to say.
 * Thread: one.
 * Fails:  ALV_RETRY: nobody answers, the stream ended or was silent for too long, or
 *         the node said 503: ask another one. ALV_REJECT: the request is wrong, or what answers is no
 *         node. ALV_OK: the listener had enough, or `stop` was set.
 */
#ifndef ALV_API_HTTP_FOLLOW_H
#define ALV_API_HTTP_FOLLOW_H

#include <signal.h>

#include "api/http_security.h"
#include "api/sse_parser.h"
#include "base/status.h"

/* Nodes send something every 10 s. */
#define ALV_HTTP_FOLLOW_SILENT_MS 25000

typedef struct alv_http_follow {
    const alv_http_security *security;
    const char *address;    /* host:port */
    const char *path;       /* begins with "/" */
    int silent_ms;          /* ALV_HTTP_FOLLOW_SILENT_MS */
    alv_sse_parser *parser; /* restarted; its id, if there is one, is where the stream goes on */
    void (*opened)(void *payload); /* the node has answered with a stream; may be NULL */
    void *payload;
    const volatile sig_atomic_t *stop; /* looked at several times a second */
} alv_http_follow;

/* Until one of the above. */
alv_status alv_http_follow_run(const alv_http_follow *options, alv_error *err);

#endif
