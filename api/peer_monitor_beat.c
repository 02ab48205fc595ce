/* peer_monitor_beat.c — speaks to the nodes that listen here. */
#include "api/peer_monitor_internal.h"

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
    alv_peer_saying_greet(&monitor->saying, monitor->options.node_id, monitor->options.boot,
                          &hello);
    (void)alv_http_stream_write(stream, alv_bytes_view(&hello)); /* gone: the next beat tells */
    alv_bytes_done(&hello);
    monitor->streams[monitor->stream_count++] = stream;
}

void alv_peer_beat_turn(alv_peer_monitor *monitor)
{
    int64_t now_ms = alv_peer_monitor_now_ms(monitor);
    if (alv_peer_saying_turn(&monitor->saying, monitor->verdict, monitor->options.timeout_ms,
                             now_ms)) {
        beat_say(monitor, alv_bytes_view(&monitor->saying.beat));
    }
    alv_http_stream *stream;
    while ((stream = alv_inbox_take(monitor->listeners)) != NULL) {
        beat_greet(monitor, stream);
    }
}

void alv_peer_beat_close(alv_peer_monitor *monitor)
{
    alv_http_stream *stream;
    beat_say(monitor, ALV_PEER_BYE);
    while (monitor->stream_count > 0) {
        beat_drop(monitor, monitor->stream_count - 1);
    }
    while ((stream = alv_inbox_take(monitor->listeners)) != NULL) {
        alv_http_stream_end(stream);
    }
}
