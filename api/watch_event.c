#include "api/watch_event.h"

#include <string.h>

#include "api/answer.h"
#include "base/clock.h"

/* Whether a JSON string of it is the text between quotes. */
static bool event_is_plain(alv_view text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
            return false;
        }
    }
    return true;
}

static void event_append_string(alv_view text, alv_bytes *out)
{
    if (event_is_plain(text)) {
        alv_bytes_append(out, "\"", 1);
        alv_bytes_append(out, text.data, text.size);
        alv_bytes_append(out, "\"", 1);
        return;
    }
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_append_string(&answer, text);
    alv_bytes_append(out, answer.body.data, answer.body.size);
    alv_answer_done(&answer);
}

/* A line break would end the line. JSON has none within its strings, and between them a blank is as
 * good; what else somebody wrote into the changelog must not become events of its own. */
static void event_append_line(alv_view text, alv_bytes *out)
{
    size_t begin = out->size;
    alv_bytes_append(out, text.data, text.size);
    for (size_t i = begin; i < out->size; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r') {
            out->data[i] = ' ';
        }
    }
}

void alv_watch_event_change(const alv_record *record, alv_view type, alv_bytes *out)
{
    char at[ALV_CLOCK_TEXT_BYTES];
    alv_bytes_reserve(out, out->size + record->value.size + record->key.size + 256);
    alv_bytes_append_text(out, "data: {\"key\":");
    event_append_string(record->key, out);
    alv_bytes_append_text(out, ",\"type\":");
    event_append_string(type, out);
    alv_bytes_printf(out,
                     ",\"shard\":%d,\"offset\":%lld,\"at\":\"%s\",\"state\":", (int)record->shard,
                     (long long)record->offset, alv_clock_format(record->timestamp_ms, at));
    event_append_line(record->value.data != NULL ? record->value : ALV_VIEW("null"), out);
    alv_bytes_append_text(out, "}\n");
}

void alv_watch_event_comment(const char *text, alv_bytes *out)
{
    alv_bytes_append_text(out, ": ");
    event_append_line(alv_view_of(text), out);
    alv_bytes_append_text(out, "\n");
}

void alv_watch_event_reset(const char *reason, alv_bytes *out)
{
    alv_bytes_append_text(out, "event: reset\ndata: {\"reason\":");
    event_append_string(alv_view_of(reason), out);
    alv_bytes_append_text(out, "}\n\n");
}
