/* http_client.h — asks other nodes over HTTP, many at a time, on one thread.
 *
 * Why:    a request for an entity of another node is passed on to it without blocking the server's
 *         thread. Connections to peers stay open and are used again. libcurl is met here only.
 * Thread: start, stop, free: main. get: any. Replies run on the client's thread and must not block.
 * Owns:   its thread, its connections, what was asked and not yet answered.
 * Fails:  a peer that does not answer is ALV_RETRY in the reply; so is a stranger that answers in its place.
 * Limits: ALV_HTTP_FORWARDS_MAX requests at a time, ALV_HTTP_FORWARD_CONNECTIONS_MAX connections
 *         per peer; ALV_HTTP_CONNECT_TIMEOUT_MS to connect, the time-out given at the start in all;
 *         ALV_HTTP_ANSWER_BYTES_MAX per answer.
 *
 * A peer that cannot be reached is left alone for a while, ALV_BACKOFF_FIRST_MS to ALV_BACKOFF_MAX_MS:
 * until then whoever asks it gets ALV_RETRY at once, unless somebody says that it is back.
 */
#ifndef ALV_API_HTTP_CLIENT_H
#define ALV_API_HTTP_CLIENT_H

#include "api/answer.h"
#include "api/http_security.h"

typedef struct alv_http_client alv_http_client;

/* ALV_OK: the peer answered, whatever its status code (but see is_node below); the callee takes `answer`. ALV_RETRY: it did
 * not, `err` says why, and `answer` is empty. */
typedef void (*alv_http_reply)(void *payload, alv_status status, alv_answer *answer,
                               const alv_error *err);

/* `is_node`: requests say that a node passes them on, and for which application; what is not answered by a
 * node of it, or is refused for want of a certificate or token, counts as not answered. A request has `timeout_ms`
 * in all. `security` is borrowed. ALV_FATAL. */
alv_status alv_http_client_start(const alv_http_security *security, bool is_node, int timeout_ms,
                                 alv_http_client **out, alv_error *err);

/* Asks for http(s)://<address><path>; `path` is encoded already. The reply comes exactly once. False,
 * and no reply, when too many requests are under way or the client was stopped.
 * @thread any @blocks no */
bool alv_http_client_get(alv_http_client *client, const char *address, alv_view path,
                         alv_http_reply reply, void *payload);

/* The same with POST. Takes `body`, which is JSON, also when it returns false. `headers`
 * ("Name: value") are `header_count` further ones. @thread any @blocks no */
bool alv_http_client_post(alv_http_client *client, const char *address, alv_view path,
                          alv_bytes *body, const char *const *headers, size_t header_count,
                          alv_http_reply reply, void *payload);

/* Nobody at `address` will answer any more: what is asked of it and not answered gets ALV_RETRY
 * soon, instead of after the time-out. @thread any @blocks no */
void alv_http_client_give_up(alv_http_client *client, const char *address);

/* Somebody has heard of `address`: it may be asked again at once. @thread any @blocks no */
void alv_http_client_back(alv_http_client *client, const char *address);

/* Gives up what is under way (with ALV_RETRY) and ends the thread; later gets return false. */
void alv_http_client_stop(alv_http_client *client);

/* Stops if that was not done. NULL is fine. */
void alv_http_client_free(alv_http_client *client);

#endif
