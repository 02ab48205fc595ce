/* http_flood.h — more requests than a node can answer, over as many connections as it takes.
 *
 * Why:    overload comes from clients that do not wait for one another. Each connection asks, waits for its
 *         answer and asks again at once, whatever the answer was; one that the node closes is opened again.
 * Thread: start and stop: one. All connections are on a thread of its own; the callbacks run there.
 * Owns:   heap object.
 * Fails:  what does not work on a healthy machine fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_HTTP_FLOOD_H
#define ALV_TESTS_SUPPORT_HTTP_FLOOD_H

#include <stdint.h>

#include "base/bytes.h"

#define ALV_HTTP_FLOOD_STATUS_MAX 600

typedef struct alv_http_flood alv_http_flood;

typedef struct alv_http_flood_options {
    const char *address;
    int connections;
    int pause_ms; /* from an answer to the next request of the same connection */

    /* Appends request `number`, whole. */
    void (*write)(void *payload, int64_t number, alv_bytes *out);

    /* It was answered; status 0: the connection ended without an answer. May be NULL. */
    void (*answered)(void *payload, int64_t number, int status);
    void *payload;
} alv_http_flood_options;

typedef struct alv_http_flood_counts {
    int64_t sent;
    int64_t answered[ALV_HTTP_FLOOD_STATUS_MAX]; /* by status; 0: no answer */
    int64_t max_us[ALV_HTTP_FLOOD_STATUS_MAX];   /* the longest that one took */
} alv_http_flood_counts;

alv_http_flood *alv_http_flood_start(const alv_http_flood_options *options);

/* As of now. */
void alv_http_flood_look(alv_http_flood *flood, alv_http_flood_counts *out);

/* Sends no more, waits for the answers that are to come (a connection that says nothing for 20 s is given up)
 * and frees it. `out` may be NULL. */
void alv_http_flood_stop(alv_http_flood *flood, alv_http_flood_counts *out);

/* "200: 12, 429: 3410 (max 4 ms)". Valid until the next call. */
const char *alv_http_flood_text(const alv_http_flood_counts *counts);

#endif
