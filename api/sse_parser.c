#include "api/sse_parser.h"

#include <string.h>

#include "base/assert.h"

void alv_sse_parser_init(alv_sse_parser *parser, alv_sse_listener listener, void *payload)
{
    ALV_ASSERT(listener != NULL);
    *parser = (alv_sse_parser){.listener = listener, .payload = payload};
}

void alv_sse_parser_done(alv_sse_parser *parser)
{
    alv_bytes_done(&parser->line);
    alv_bytes_done(&parser->data);
    alv_bytes_done(&parser->type);
    alv_bytes_done(&parser->id);
    alv_bytes_done(&parser->next_id);
}

static void sse_begin_event(alv_sse_parser *parser)
{
    alv_bytes_clear(&parser->data);
    alv_bytes_clear(&parser->type);
    parser->has_data = false;
}

void alv_sse_parser_restart(alv_sse_parser *parser)
{
    sse_begin_event(parser);
    alv_bytes_clear(&parser->line);
    alv_bytes_set(&parser->next_id, parser->id.data, parser->id.size);
    parser->after_cr = false;
}

/* An empty line ends an event; one without data only takes its id along. */
static bool sse_end_event(alv_sse_parser *parser)
{
    bool more = true;
    alv_bytes_set(&parser->id, parser->next_id.data, parser->next_id.size);
    if (parser->has_data) {
        const alv_sse_event event = {.type = alv_bytes_view(&parser->type),
                                     .data = alv_bytes_view(&parser->data),
                                     .id = alv_bytes_view(&parser->id)};
        more = parser->listener(parser->payload, &event);
    }
    sse_begin_event(parser);
    return more;
}

static void sse_take_field(alv_sse_parser *parser, alv_view name, alv_view value)
{
    if (alv_view_equal(name, ALV_VIEW("data"))) {
        if (parser->has_data) {
            alv_bytes_append(&parser->data, "\n", 1);
        }
        alv_bytes_append(&parser->data, value.data, value.size);
        parser->has_data = true;
    } else if (alv_view_equal(name, ALV_VIEW("event"))) {
        alv_bytes_set(&parser->type, value.data, value.size);
    } else if (alv_view_equal(name, ALV_VIEW("id")) &&
               memchr(value.data, '\0', value.size) == NULL) {
        alv_bytes_set(&parser->next_id, value.data, value.size);
    }
}

/* "name: value", "name:value", "name"; a comment begins with the colon. */
static bool sse_take_line(alv_sse_parser *parser)
{
    alv_view line = alv_bytes_view(&parser->line);
    if (line.size == 0) {
        return sse_end_event(parser);
    }
    const char *colon = memchr(line.data, ':', line.size);
    size_t size = colon != NULL ? (size_t)(colon - line.data) : line.size;
    size_t skip = size + (colon != NULL);
    skip += skip < line.size && line.data[skip] == ' ';
    if (size > 0) {
        sse_take_field(parser, (alv_view){line.data, size},
                       (alv_view){line.data + skip, line.size - skip});
    }
    return parser->data.size <= ALV_SSE_LINE_BYTES_MAX;
}

/* Up to the next end of a line, which is CR, LF or both. */
static size_t sse_line_size(alv_view text)
{
    size_t size = 0;
    while (size < text.size && text.data[size] != '\n' && text.data[size] != '\r') {
        size++;
    }
    return size;
}

bool alv_sse_parser_feed(alv_sse_parser *parser, alv_view text)
{
    while (text.size > 0) {
        if (parser->after_cr && text.data[0] == '\n') {
            text = (alv_view){text.data + 1, text.size - 1};
        }
        parser->after_cr = false;
        size_t size = sse_line_size(text);
        alv_bytes_append(&parser->line, text.data, size);
        if (parser->line.size > ALV_SSE_LINE_BYTES_MAX) {
            return false;
        }
        if (size == text.size) {
            return true;
        }
        parser->after_cr = text.data[size] == '\r';
        text = (alv_view){text.data + size + 1, text.size - size - 1};
        bool more = sse_take_line(parser);
        alv_bytes_clear(&parser->line);
        if (!more) {
            return false;
        }
    }
    return true;
}
