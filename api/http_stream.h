/* http_stream.h — an answer that does not end by itself: text goes out as it is written.
 *
 * Why:    peers listen to each other over connections that stay open; who writes knows nothing of
 *         the HTTP library, which is met here, in exchange.c and in http_server.c only.
 * Thread: write, end: any, one at a time. The server's thread sends.
 * Owns:   what was written and not yet sent. A stream is shared by its holder and the connection,
 *         and goes with the later of the two.
 * Limits: ALV_HTTP_STREAM_BYTES_MAX not yet sent; a client that is further behind is cut off.
 *
 * A connection that has nothing to send is suspended, and then notices neither a time-out nor that
 * its client has gone: who holds a stream writes something every now and then, and ends it before
 * the server stops.
 */
#ifndef ALV_API_HTTP_STREAM_H
#define ALV_API_HTTP_STREAM_H

#include "api/exchange.h"

typedef struct alv_http_stream alv_http_stream;

/* A stream that nobody listens to yet; the caller ends it. */
alv_http_stream *alv_http_stream_new(void);

/* Answers `exchange` with 200 and what is written to `stream`, from the beginning. Once per stream,
 * within the handler; the stream may be in other hands already.
 * @thread http */
void alv_http_stream_attach(alv_http_stream *stream, alv_exchange *exchange);

/* Sends `text` soon. False when the client is gone or too far behind.
 * @thread any @blocks no */
bool alv_http_stream_write(alv_http_stream *stream, alv_view text);

/* Ends the answer once everything is sent. The stream is not the caller's any more. NULL is fine. */
void alv_http_stream_end(alv_http_stream *stream);

#endif
