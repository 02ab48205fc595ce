/* sse_parser.h — takes a stream of Server-Sent Events apart, in whatever pieces it comes.
 *
 * Why:    the command line follows a watch; the rules are those of the HTML standard, section 9.2.6.
 * Thread: one.
 * Owns:   its buffers. What a listener is given is valid during the call.
 * Limits: ALV_SSE_LINE_BYTES_MAX per line and per event; a stream beyond it is no stream of ours.
 */
#ifndef ALV_API_SSE_PARSER_H
#define ALV_API_SSE_PARSER_H

#include "base/bytes.h"

#define ALV_SSE_LINE_BYTES_MAX (16 * 1024 * 1024)

typedef struct alv_sse_event {
    alv_view type; /* empty when none is given */
    alv_view data;
    alv_view id; /* the last one that came, with this event or an earlier one */
} alv_sse_event;

/* False: no more events. */
typedef bool (*alv_sse_listener)(void *payload, const alv_sse_event *event);

typedef struct alv_sse_parser {
    alv_sse_listener listener;
    void *payload;
    alv_bytes line;
    alv_bytes data;
    alv_bytes type;
    alv_bytes id;      /* that counts: an event with it, or an empty one, was whole */
    alv_bytes next_id; /* of the event that is being read */
    bool has_data;
    bool after_cr; /* a line feed now belongs to the line before */
} alv_sse_parser;

void alv_sse_parser_init(alv_sse_parser *parser, alv_sse_listener listener, void *payload);
void alv_sse_parser_done(alv_sse_parser *parser);

/* A new connection: drops what was not whole. The id stays. */
void alv_sse_parser_restart(alv_sse_parser *parser);

/* False when the listener has had enough, or a line is too long. */
bool alv_sse_parser_feed(alv_sse_parser *parser, alv_view text);

#endif
