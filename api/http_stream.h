/* http_stream.h — an answer that does not end by itself: text goes out as it is written.
 *
 * Why:    peers and watchers listen over connections that stay open; who writes knows nothing of
 *         the HTTP library, which is met here, in exchange.c and in http_server.c only.
 * Thread: write, share, waiting, end: any, one at a time. The server's thread sends.
 * Owns:   what was written and not yet sent. A stream is shared by its holder and the connection,
 *         and goes with the later of the two.
 * Limits: what the holder says; a client that is further behind is cut off, at once: its connection
 *         does not wait for a time-out.
 *
 * A connection that has nothing to send is suspended, and then notices neither a time-out nor that
 * its client has gone: who holds a stream writes something every now and then, and ends it before
 * the server stops.
 */
#ifndef ALV_API_HTTP_STREAM_H
#define ALV_API_HTTP_STREAM_H

#include "api/exchange.h"
#include "api/http_block.h"

typedef struct alv_http_stream alv_http_stream;

/* The media type of Server-Sent Events. */
#define ALV_HTTP_STREAM_EVENTS "text/event-stream"

/* A stream that nobody listens to yet, with room for `bytes_max` that are not sent; the caller ends
 * it. A text that is larger fits while nothing else waits. */
alv_http_stream *alv_http_stream_new(size_t bytes_max);

/* Answers `exchange` with 200 and what is written to `stream`, from the beginning; the media type
 * is static. Once per stream, within the handler or, when the exchange was deferred, on the thread
 * that holds it, which must not touch the exchange afterwards. The stream may be in other hands
 * already. */
void alv_http_stream_attach(alv_http_stream *stream, alv_exchange *exchange,
                            const char *content_type);

/* Sends a copy of `text` soon. False when the client is gone or too far behind.
 * @thread any @blocks no */
bool alv_http_stream_write(alv_http_stream *stream, alv_view text);

/* The same without a copy; the caller keeps its reference. @thread any @blocks no */
bool alv_http_stream_share(alv_http_stream *stream, alv_http_block *block);

/* Bytes that wait to be sent. @thread any @blocks no */
size_t alv_http_stream_waiting(alv_http_stream *stream);

/* Whether somebody still listens, as far as is known; and whether it was too far behind.
 * @thread any @blocks no */
bool alv_http_stream_listening(alv_http_stream *stream);
bool alv_http_stream_was_cut(alv_http_stream *stream);

/* Nobody listens any more, as if the client were too far behind. @thread any @blocks no */
void alv_http_stream_cut(alv_http_stream *stream);

/* Ends the answer once everything is sent. The stream is not the caller's any more. NULL is fine. */
void alv_http_stream_end(alv_http_stream *stream);

#endif
