#include "api/peer_monitor.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"

#include "api/peer_monitor_internal.h"

int64_t alv_peer_monitor_now_ms(const alv_peer_monitor *monitor)
{
    return alv_monotonic_us(monitor->options.clock) / 1000;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static alv_log_level monitor_level(alv_peer_state from, alv_peer_state to)
{
    if (to == ALV_PEER_SUSPECTED || to == ALV_PEER_DEAD) {
        return ALV_LOG_WARN;
    }
    return from == ALV_PEER_SUSPECTED || from == ALV_PEER_DEAD || from == to ? ALV_LOG_INFO
                                                                             : ALV_LOG_DEBUG;
}

/* Called within the verdict's functions. */
static void monitor_changed(void *payload, const alv_peer_view *peer, alv_peer_state from)
{
    alv_peer_monitor *monitor = payload;
    const alv_peer_monitor_options *options = &monitor->options;
    alv_log(monitor_level(from, peer->state), "peer-state", "node=%s address=%s from=%s to=%s%s",
            peer->node_id, peer->address, alv_peer_state_name(from),
            alv_peer_state_name(peer->state), from == peer->state ? " msg=\"restarted\"" : "");
    options->changed(options->payload, peer, from);
}

/* ---- members --------------------------------------------------------------------------------- */

static bool monitor_has(const alv_peer_view *members, size_t count, const char *node_id)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].node_id, node_id) == 0) {
            return true;
        }
    }
    return false;
}

/* The group's members are lanes; the nodes they belong to, without this one. Nodes past the limit
 * are not watched, and count neither for nor against a majority. */
static size_t monitor_nodes_of(const alv_peer_monitor *monitor, const alv_peer *lanes, size_t count,
                               alv_peer_view out[ALV_PEER_NODES_MAX])
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < ALV_PEER_NODES_MAX; i++) {
        const alv_peer *lane = &lanes[i];
        if (strcmp(lane->node_id, monitor->options.node_id) == 0 ||
            monitor_has(out, found, lane->node_id)) {
            continue;
        }
        alv_peer_view *node = &out[found++];
        (void)snprintf(node->node_id, sizeof node->node_id, "%s", lane->node_id);
        (void)snprintf(node->address, sizeof node->address, "%s", lane->address);
    }
    return found;
}

static void monitor_look_at_members(alv_peer_monitor *monitor)
{
    int64_t now_ms = alv_peer_monitor_now_ms(monitor);
    if (now_ms < monitor->members_at_ms) {
        return;
    }
    monitor->members_at_ms = now_ms + ALV_PEER_MEMBERS_LOOK_MS;
    size_t capacity = alv_peers_list(monitor->options.peers, NULL, 0);
    alv_peer *lanes = alv_alloc_array(capacity, sizeof *lanes);
    size_t count = alv_peers_list(monitor->options.peers, lanes, capacity);
    alv_peer_view *members = alv_alloc_array(ALV_PEER_NODES_MAX, sizeof *members);
    size_t found = monitor_nodes_of(monitor, lanes, count < capacity ? count : capacity, members);
    alv_peer_verdict_set_members(monitor->verdict, members, found);
    alv_peer_links_set_members(monitor, members, found);
    alv_free(members);
    alv_free(lanes);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void monitor_show(alv_peer_monitor *monitor)
{
    int failed = pthread_mutex_lock(&monitor->lock);
    ALV_ASSERT(failed == 0);
    monitor->shown_count =
        alv_peer_verdict_list(monitor->verdict, monitor->shown, ALV_PEER_NODES_MAX);
    failed = pthread_mutex_unlock(&monitor->lock);
    ALV_ASSERT(failed == 0);
}

static void monitor_wait(alv_peer_monitor *monitor)
{
    int64_t beat_at_ms = monitor->saying.beat_at_ms;
    int64_t due_ms = monitor->members_at_ms < beat_at_ms ? monitor->members_at_ms : beat_at_ms;
    due_ms = alv_peer_links_due_ms(monitor, due_ms);
    int64_t left_ms = due_ms - alv_peer_monitor_now_ms(monitor);
    CURLMcode code = curl_multi_poll(monitor->multi, NULL, 0, left_ms > 0 ? (int)left_ms : 0, NULL);
    ALV_ASSERT(code == CURLM_OK);
}

/* One turn: 1. who is a member; 2. hear; 3. what follows from silence; 4. speak; 5. show; 6. wait.
 * Hearing comes before judging, so that a node that was itself held up does not take what waits in
 * its sockets for silence. */
static void *monitor_run(void *payload)
{
    alv_peer_monitor *monitor = payload;
    alv_log_set_thread("peer-monitor");
    while (!atomic_load(&monitor->stopping)) {
        monitor_look_at_members(monitor);
        alv_peer_links_turn(monitor);
        alv_peer_verdict_tick(monitor->verdict, alv_peer_monitor_now_ms(monitor));
        alv_peer_beat_turn(monitor);
        monitor_show(monitor);
        monitor_wait(monitor);
    }
    alv_peer_beat_close(monitor);
    alv_peer_links_close(monitor);
    return NULL;
}

static void monitor_wake(void *payload)
{
    alv_peer_monitor *monitor = payload;
    (void)curl_multi_wakeup(monitor->multi); /* fails only when a wake-up is pending already */
}

/* ---- public ---------------------------------------------------------------------------------- */

static void monitor_free_listener(void *message)
{
    alv_http_stream_end(message);
}

alv_status alv_peer_monitor_start(const alv_peer_monitor_options *options, alv_peer_monitor **out,
                                  alv_error *err)
{
    alv_peer_monitor *monitor = alv_alloc(sizeof *monitor);
    monitor->options = *options;
    monitor->verdict = alv_peer_verdict_new(options->timeout_ms, monitor_changed, monitor);
    monitor->shown = alv_alloc_array(ALV_PEER_NODES_MAX, sizeof *monitor->shown);
    monitor->multi = curl_multi_init();
    ALV_ASSERT(monitor->multi != NULL);
    char *application =
        alv_format("%s: %s", ALV_EXCHANGE_APPLICATION, options->security->settings->application_id);
    monitor->headers = curl_slist_append(NULL, application);
    alv_free(application);
    monitor->listeners = alv_inbox_new(ALV_PEER_STREAMS_MAX, monitor_free_listener);
    alv_inbox_set_wake(monitor->listeners, monitor_wake, monitor);
    int failed = pthread_mutex_init(&monitor->lock, NULL);
    ALV_ASSERT(failed == 0);
    int code = pthread_create(&monitor->thread, NULL, monitor_run, monitor);
    monitor->started = code == 0;
    if (code != 0) {
        alv_peer_monitor_free(monitor);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = monitor;
    return ALV_OK;
}

/* Refused only when the node stops or too many have come; then the answer is empty. */
void alv_peer_monitor_serve(alv_peer_monitor *monitor, alv_exchange *exchange)
{
    alv_http_stream *stream = alv_http_stream_new(ALV_HTTP_STREAM_BYTES_MAX);
    alv_http_stream_attach(stream, exchange, "text/plain; charset=utf-8");
    if (!alv_inbox_try_post(monitor->listeners, stream)) {
        alv_http_stream_end(stream);
    }
}

size_t alv_peer_monitor_list(alv_peer_monitor *monitor, alv_peer_view *out, size_t capacity)
{
    int failed = pthread_mutex_lock(&monitor->lock);
    ALV_ASSERT(failed == 0);
    size_t count =
        monitor->shown_count < ALV_PEER_NODES_MAX ? monitor->shown_count : ALV_PEER_NODES_MAX;
    for (size_t i = 0; i < count && i < capacity; i++) {
        out[i] = monitor->shown[i];
    }
    failed = pthread_mutex_unlock(&monitor->lock);
    ALV_ASSERT(failed == 0);
    return count;
}

void alv_peer_monitor_stop(alv_peer_monitor *monitor)
{
    if (!monitor->started) {
        return;
    }
    alv_inbox_close(monitor->listeners); /* first: who comes later is refused */
    atomic_store(&monitor->stopping, true);
    monitor_wake(monitor);
    int failed = pthread_join(monitor->thread, NULL);
    ALV_ASSERT(failed == 0);
    monitor->started = false;
}

void alv_peer_monitor_free(alv_peer_monitor *monitor)
{
    if (monitor == NULL) {
        return;
    }
    alv_peer_monitor_stop(monitor);
    alv_peer_verdict_free(monitor->verdict);
    (void)curl_multi_cleanup(monitor->multi); /* no handle is in it any more */
    curl_slist_free_all(monitor->headers);
    (void)pthread_mutex_destroy(&monitor->lock); /* nobody holds it */
    alv_inbox_free(monitor->listeners);
    alv_peer_saying_done(&monitor->saying);
    alv_free(monitor->shown);
    alv_free(monitor);
}
