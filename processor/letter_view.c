#include "processor/letter_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "processor/text.h"
#include "topics/schema.h"

#define LETTER_TEXT_BYTES 2048

alv_view alv_letter_header(const alv_log_port *log, const alv_record *record, const char *name)
{
    alv_header headers[ALV_HEADERS_MAX + 16];
    size_t capacity = sizeof headers / sizeof headers[0];
    size_t count = log->ops->headers(record, headers, capacity);
    alv_view found = ALV_VIEW_NONE;
    for (size_t i = 0; i < count && i < capacity; i++) {
        found = strcmp(headers[i].name, name) == 0 ? headers[i].value : found; /* the last counts */
    }
    return found;
}

static char *letter_text(alv_view view)
{
    char text[LETTER_TEXT_BYTES];
    (void)alv_text_copy(view.data != NULL ? view : ALV_VIEW(""), text, sizeof text);
    return alv_strdup(text);
}

static int64_t letter_number(alv_view view)
{
    char text[24] = "";
    (void)alv_text_copy(view.data != NULL ? view : ALV_VIEW(""), text, sizeof text);
    return strtoll(text, NULL, 10);
}

static char *letter_header_text(const alv_log_port *log, const alv_record *record, const char *name)
{
    return letter_text(alv_letter_header(log, record, name));
}

alv_letter_view alv_letter_view_of(const alv_log_port *log, const alv_record *record)
{
    char *topic = letter_header_text(log, record, ALV_HEADER_TOPIC);
    char *partition = letter_header_text(log, record, ALV_HEADER_PARTITION);
    char *offset = letter_header_text(log, record, ALV_HEADER_OFFSET);
    alv_letter_view view = {
        .shard = record->shard,
        .offset = record->offset,
        .at_ms = record->timestamp_ms,
        .origin_offset = strtoll(offset, NULL, 10),
        .answered = alv_letter_header(log, record, ALV_HEADER_ANSWERED).data != NULL,
        .has_key = record->key.data != NULL && record->key.size > 0,
        .key = letter_text(record->key),
        .reason = letter_header_text(log, record, ALV_HEADER_REASON),
        .detail = letter_header_text(log, record, ALV_HEADER_DETAIL),
        .action = letter_header_text(log, record, ALV_HEADER_ACTION),
        .origin = alv_format("%s/%s/%s", topic, partition, offset),
    };
    alv_free(topic);
    alv_free(partition);
    alv_free(offset);
    return view;
}

void alv_letter_view_done(alv_letter_view *view)
{
    alv_free(view->key);
    alv_free(view->reason);
    alv_free(view->detail);
    alv_free(view->action);
    alv_free(view->origin);
}

bool alv_letter_is_mark(const alv_log_port *log, const alv_record *record, int64_t *out_offset)
{
    alv_view retried = alv_letter_header(log, record, ALV_HEADER_RETRIED);
    *out_offset = letter_number(retried);
    return retried.data != NULL;
}
