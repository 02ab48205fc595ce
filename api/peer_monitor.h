/* peer_monitor.h — watches the other nodes over open HTTP connections.
 *
 * Why:    a process that ends closes its connections at once, long before the group notices; so
 *         its shards need not wait for the session time-out (design, section 6).
 * Thread: its own, which also writes to those who listen here. start, stop, free: main. serve: the
 *         server's. list, boot: any.
 * Owns:   its connections; what is in the options is borrowed.
 * Limits: http_limits.h, ALV_PEER_*. A node that is heard less often than every peer.timeout.ms is
 *         suspected.
 *
 * Every node holds one GET /v1/peers/stream to every other node of the group and answers those that
 * come. The answer is text that never ends, one line each:
 *
 *     hello NODE BOOT    first of all: who speaks, and which start of its process this is
 *     beat [NODE...]     four times per peer.timeout.ms, and at once when the list changes: the
 *                        nodes that it holds for suspect or dead
 *     bye                last of all: it stops on purpose
 *
 * What follows from what is heard, and what does not, stands in peer_verdict.h. A stream that ends
 * is opened again at once, and one that is silent is opened anew, since a refusal would be a proof.
 */
#ifndef ALV_API_PEER_MONITOR_H
#define ALV_API_PEER_MONITOR_H

#include "api/exchange.h"
#include "api/http_security.h"
#include "api/peer_verdict.h"
#include "api/peers.h"
#include "base/clock.h"

typedef struct alv_peer_monitor alv_peer_monitor;

typedef struct alv_peer_monitor_options {
    const char *node_id; /* of this node */
    const char *boot;    /* names this start of its process; at most ALV_PEER_BOOT_BYTES */
    alv_peers *peers;    /* who is a member, and where */
    const alv_clock *clock;
    const alv_http_security *security;
    int64_t timeout_ms; /* peer.timeout.ms */

    alv_peer_changed changed; /* on the monitor's thread; must not block */
    void *payload;
} alv_peer_monitor_options;

/* ALV_FATAL. */
alv_status alv_peer_monitor_start(const alv_peer_monitor_options *options, alv_peer_monitor **out,
                                  alv_error *err);

/* Answers GET /v1/peers/stream. @thread http */
void alv_peer_monitor_serve(alv_peer_monitor *monitor, alv_exchange *exchange);

/* Copies up to `capacity` peers as they were at the last look; the number there are. */
size_t alv_peer_monitor_list(alv_peer_monitor *monitor, alv_peer_view *out, size_t capacity);

/* Says goodbye to all who listen and ends the thread. */
void alv_peer_monitor_stop(alv_peer_monitor *monitor);

/* Stops if that was not done; the server must have stopped. NULL is fine. */
void alv_peer_monitor_free(alv_peer_monitor *monitor);

#endif
