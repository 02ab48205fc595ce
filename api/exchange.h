/* exchange.h — one HTTP request and the answer it gets.
 *
 * Why:    a handler answers at once or later, from another thread, without knowing the HTTP
 *         library.
 * Thread: the server's until alv_exchange_defer; then that of whoever holds it, one at a time,
 *         until alv_exchange_answer, which gives it back.
 * Owns:   itself; it is gone some time after the answer.
 *
 *   OPEN --answer--> ANSWERED              within the handler
 *   OPEN --defer---> DEFERRED --answer--> ANSWERED   on any thread
 *
 * A deferred exchange counts against the connection limit, does not time out and does not notice
 * that its client has gone: whoever holds one answers it within a bounded time, and before the
 * server stops.
 */
#ifndef ALV_API_EXCHANGE_H
#define ALV_API_EXCHANGE_H

#include "api/answer.h"

/* A header of answers that show state: the offsets of commands and changelog up to which it is complete, the
 * latter 0 when a standby has answered. */
#define ALV_EXCHANGE_POSITION "Alluvium-Position"

/* Of requests between nodes: this one was passed on, and is never passed on again. */
#define ALV_EXCHANGE_FORWARDED "Alluvium-Forwarded"

/* Of requests between nodes and of their answers: the sender's application.id. */
#define ALV_EXCHANGE_APPLICATION "Alluvium-Application"

typedef struct alv_exchange alv_exchange;

/* "GET", "HEAD", ... Borrowed. */
const char *alv_exchange_method(const alv_exchange *exchange);

/* The path as it came, not decoded, without the query. Borrowed. */
const char *alv_exchange_path(const alv_exchange *exchange);

/* The value of a request header, NULL when it is absent. Borrowed. Only within the handler.
 * @thread http */
const char *alv_exchange_header(const alv_exchange *exchange, const char *name);

/* The query parameter `name`, decoded, into `out` (cleared first); *out_found says whether there is
 * one. ALV_REJECT: it cannot be decoded, or has more than `size_max` bytes. An empty one is found and
 * empty. Only within the handler.
 * @thread http */
alv_status alv_exchange_query(const alv_exchange *exchange, const char *name, size_t size_max,
                              bool *out_found, alv_bytes *out, alv_error *err);

/* Whether the request said that it has a body, maybe an empty one. Only within the handler.
 * @thread http */
bool alv_exchange_has_body(const alv_exchange *exchange);

/* Moves the body, which is whole when the handler is called, into `out`. @thread http */
void alv_exchange_take_body(alv_exchange *exchange, alv_bytes *out);

/* Whether the client has shown a certificate that http.tls.client.ca trusts. @thread http */
bool alv_exchange_is_certified(const alv_exchange *exchange);

/* Which route it took, for the metrics: its number in the table of routes, from 0. @thread http */
void alv_exchange_set_route(alv_exchange *exchange, int route);

/* The answer will say whose node this is. `application` is borrowed until it is sent. @thread http */
void alv_exchange_set_application(alv_exchange *exchange, const char *application);

/* Says that the answer comes later. Call it before another thread can see the exchange, and do not
 * touch the exchange afterwards in the handler.
 * @thread http */
void alv_exchange_defer(alv_exchange *exchange);

/* Takes `answer`; exactly once. A deferred exchange must not be touched afterwards.
 * @thread any @blocks no */
void alv_exchange_answer(alv_exchange *exchange, alv_answer *answer);

#endif
