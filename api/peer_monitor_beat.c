/* peer_monitor_beat.c — speaks to the nodes that listen here. */
#include "base/alloc.h"

#include "api/peer_monitor_internal.h"

/* Beats per peer.timeout.ms, so that a late one or two do not make a suspect; and a bound for long
 * time-outs, because a client that has gone is noticed only by writing to it. */
#define BEATS_PER_TIMEOUT 4
#define BEAT_INTERVAL_MAX_MS 10000

static void beat_drop(alv_peer_monitor *monitor, size_t index)
{
    alv_http_stream_end(monitor->streams[index]);
    monitor->streams[index] = monitor->streams[--monitor->stream_count];
}

static void beat_say(alv_peer_monitor *monitor, alv_view line)
{
    for (size_t i = monitor->stream_count; i-- > 0;) {
        if (!alv_http_stream_write(monitor->streams[i], line)) {
            beat_drop(monitor, i);
        }
    }
}

/* One that comes while there is no room is ended without a greeting, and comes again later. */
static void beat_greet(alv_peer_monitor *monitor, alv_http_stream *stream)
{
    if (monitor->stream_count == ALV_PEER_STREAMS_MAX) {
        alv_http_stream_end(stream);
        return;
    }
    alv_bytes hello = ALV_BYTES_EMPTY;
    alv_bytes_printf(&hello, "hello %s %s\n", monitor->options.node_id, monitor->options.boot);
    (void)alv_http_stream_write(stream, alv_bytes_view(&hello)); /* gone: the next beat tells */
    (void)alv_http_stream_write(stream, alv_bytes_view(&monitor->beat));
    alv_bytes_done(&hello);
    monitor->streams[monitor->stream_count++] = stream;
}

/* The line that says what this node thinks now; true when that is news. */
static bool beat_compose(alv_peer_monitor *monitor)
{
    alv_peer_view *peers = alv_alloc_array(ALV_PEER_NODES_MAX, sizeof *peers);
    size_t count = alv_peer_verdict_list(monitor->verdict, peers, ALV_PEER_NODES_MAX);
    alv_bytes line = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&line, "beat");
    for (size_t i = 0; i < count; i++) {
        if (peers[i].state == ALV_PEER_SUSPECTED || peers[i].state == ALV_PEER_DEAD) {
            alv_bytes_printf(&line, " %s", peers[i].node_id);
        }
    }
    alv_bytes_append_text(&line, "\n");
    bool is_news = !alv_view_equal(alv_bytes_view(&line), alv_bytes_view(&monitor->beat));
    alv_bytes_done(&monitor->beat);
    monitor->beat = line;
    alv_free(peers);
    return is_news;
}

static int64_t beat_interval_ms(const alv_peer_monitor *monitor)
{
    int64_t interval_ms = monitor->options.timeout_ms / BEATS_PER_TIMEOUT;
    return interval_ms < BEAT_INTERVAL_MAX_MS ? interval_ms : BEAT_INTERVAL_MAX_MS;
}

void alv_peer_beat_turn(alv_peer_monitor *monitor)
{
    int64_t now_ms = alv_peer_monitor_now_ms(monitor);
    if (beat_compose(monitor) || now_ms >= monitor->beat_at_ms) {
        beat_say(monitor, alv_bytes_view(&monitor->beat));
        monitor->beat_at_ms = now_ms + beat_interval_ms(monitor);
    }
    alv_http_stream *stream;
    while ((stream = alv_inbox_take(monitor->listeners)) != NULL) {
        beat_greet(monitor, stream);
    }
}

void alv_peer_beat_close(alv_peer_monitor *monitor)
{
    alv_http_stream *stream;
    beat_say(monitor, ALV_VIEW("bye\n"));
    while (monitor->stream_count > 0) {
        beat_drop(monitor, monitor->stream_count - 1);
    }
    while ((stream = alv_inbox_take(monitor->listeners)) != NULL) {
        alv_http_stream_end(stream);
    }
}
