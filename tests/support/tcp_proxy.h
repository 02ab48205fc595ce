/* tcp_proxy.h — a bad network between a node and a broker.
 *
 * Why:    killed processes are the kind failures: both sides learn of them. Here bytes come late, out of
 *         order between connections, after their sender is dead, or never.
 * How:    bytes wait in a queue per direction, each piece with the time at which it may go on. The order
 *         within a connection never changes: that is what TCP promises.
 * Thread: one of its own; all functions: any.
 * Owns:   its sockets. What a client sent before it died is still delivered, as a network would.
 */
#ifndef ALV_TESTS_SUPPORT_TCP_PROXY_H
#define ALV_TESTS_SUPPORT_TCP_PROXY_H

#include <stdint.h>

typedef struct alv_tcp_proxy alv_tcp_proxy;

typedef enum alv_disturbance {
    ALV_DISTURB_DELAY,    /* from now on every piece takes up to `ms` */
    ALV_DISTURB_CUT,      /* all connections end now */
    ALV_DISTURB_FREEZE,   /* nothing moves for `ms` */
    ALV_DISTURB_HOLD_ONE, /* the same for one connection; the others go on */
    ALV_DISTURB_LATE_COMMIT, /* the next EndTxn arrives `ms` later, even if its sender is gone by then */
    ALV_DISTURB_LOSE_ANSWER, /* the next EndTxn arrives, its answer does not */
    ALV_DISTURB_CALM,        /* no more delay, nothing is held, nothing is expected */
} alv_disturbance;

/* Listens on 127.0.0.1:`port` for connections to 127.0.0.1:`target_port`. NULL: the port is taken. */
alv_tcp_proxy *alv_tcp_proxy_start(int port, int target_port);

void alv_tcp_proxy_disturb(alv_tcp_proxy *proxy, alv_disturbance disturbance, int64_t ms);

/* How many EndTxn were delivered late or lost their answer. */
int64_t alv_tcp_proxy_commits_hit(alv_tcp_proxy *proxy);

/* NULL is fine. */
void alv_tcp_proxy_stop(alv_tcp_proxy *proxy);

#endif
