/* peer_monitor_internal.h — the monitor's two sides: links it listens to, streams it speaks on.
 *
 * Why:    each side is a file of its own; the thread and the verdicts are in peer_monitor.c.
 * Thread: the monitor's, except where it says so.
 * Owns:   see peer_monitor.h.
 */
#ifndef ALV_API_PEER_MONITOR_INTERNAL_H
#define ALV_API_PEER_MONITOR_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/http_limits.h"
#include "api/http_stream.h"
#include "api/peer_hearing.h"
#include "api/peer_monitor.h"
#include "api/peer_saying.h"
#include "base/inbox.h"

/* A connection to one node: waiting to be opened, or open. */
typedef struct peer_link {
    alv_peer_monitor *monitor;
    char address[ALV_PEER_ADDRESS_BYTES];
    char *url;
    CURL *easy; /* NULL while waiting */
    alv_peer_hearing hearing;
    int addresses_tried; /* by libcurl, in this attempt */
    bool all_loopback;   /* of these */
    bool wanted;         /* while members are compared */
} peer_link;

struct alv_peer_monitor {
    alv_peer_monitor_options options;
    pthread_t thread;
    bool started; /* and not yet joined; main only */
    atomic_bool stopping;

    alv_peer_verdict *verdict;
    int64_t members_at_ms; /* the next look at the group's picture */

    CURLM *multi;
    struct curl_slist *headers; /* of every link: whose node asks */
    peer_link **links;
    size_t link_count;

    alv_inbox *listeners; /* alv_http_stream, from the server's thread */
    alv_http_stream *streams[ALV_PEER_STREAMS_MAX];
    size_t stream_count;
    alv_peer_saying saying;

    pthread_mutex_t lock; /* leaf; guards `shown` */
    alv_peer_view *shown;
    size_t shown_count;
};

int64_t alv_peer_monitor_now_ms(const alv_peer_monitor *monitor);

/* ---- peer_monitor_links.c -------------------------------------------------------------------- */

/* Opens and closes links so that there is one to each member that has an address. */
void alv_peer_links_set_members(alv_peer_monitor *monitor, const alv_peer_view *members,
                                size_t count);

/* Opens what is due, hears what came, notices what ended. */
void alv_peer_links_turn(alv_peer_monitor *monitor);

/* When the next link is to be opened; `until_ms` when none is before. */
int64_t alv_peer_links_due_ms(const alv_peer_monitor *monitor, int64_t until_ms);

void alv_peer_links_close(alv_peer_monitor *monitor);

/* ---- peer_monitor_beat.c --------------------------------------------------------------------- */

/* Greets those who have come, and sends a beat when it is due or says something new. */
void alv_peer_beat_turn(alv_peer_monitor *monitor);

/* Says goodbye to all. */
void alv_peer_beat_close(alv_peer_monitor *monitor);

#endif
