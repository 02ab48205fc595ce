/* Goal:   a stream of events reads the same in whatever pieces it comes.
 * Method: the first byte says how large the pieces are; the events of the whole and of the pieces are written
 *         down and compared.
 */
#include "api/sse_parser.h"
#include "base/assert.h"
#include "tests/support/fuzz_target.h"

static bool fuzz_note(void *payload, const alv_sse_event *event)
{
    alv_bytes *notes = payload;
    const alv_view parts[] = {event->type, event->data, event->id};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        ALV_ASSERT(parts[i].data != NULL);
        alv_bytes_append(notes, parts[i].data, parts[i].size);
        alv_bytes_append(notes, "|", 1);
    }
    return true;
}

static void fuzz_read(alv_view text, size_t piece, alv_bytes *notes)
{
    alv_sse_parser parser;
    alv_sse_parser_init(&parser, fuzz_note, notes);
    for (size_t at = 0; at < text.size; at += piece) {
        size_t left = text.size - at;
        alv_view part = {text.data + at, left < piece ? left : piece};
        ALV_ASSERT(alv_sse_parser_feed(&parser, part));
    }
    alv_sse_parser_restart(&parser); /* what is not whole is forgotten */
    ALV_ASSERT(alv_sse_parser_feed(&parser, ALV_VIEW("data: last\n\n")));
    alv_sse_parser_done(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view text = alv_fuzz_view(data, size);
    size_t piece = alv_fuzz_byte(&text) % 16 + 1;
    alv_bytes whole = ALV_BYTES_EMPTY;
    alv_bytes pieces = ALV_BYTES_EMPTY;
    fuzz_read(text, text.size + 1, &whole);
    fuzz_read(text, piece, &pieces);
    ALV_ASSERT(alv_view_equal(alv_bytes_view(&whole), alv_bytes_view(&pieces)));
    alv_bytes_done(&pieces);
    alv_bytes_done(&whole);
    return 0;
}
