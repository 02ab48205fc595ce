#include "processor/dead_letter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "processor/text.h"

struct alv_dead_letter {
    alv_produce record;
    alv_header headers[ALV_HEADERS_MAX + ALV_DEAD_LETTER_HEADERS];
    size_t header_count;
    char detail[ALV_DEAD_LETTER_DETAIL_BYTES];
    char topic[ALV_TOPIC_NAME_BYTES];
    char partition[12];
    char offset[21];
    char timestamp[21];
};

static const char *const dead_letter_names[ALV_DEAD_LETTER_HEADERS] = {
    ALV_HEADER_REASON,    ALV_HEADER_DETAIL, ALV_HEADER_ACTION,    ALV_HEADER_TOPIC,
    ALV_HEADER_PARTITION, ALV_HEADER_OFFSET, ALV_HEADER_TIMESTAMP,
};

/* Names, codes and actions together take well below 512 bytes (the unit test adds them up). */
static_assert(ALV_DEAD_LETTER_DETAIL_BYTES + ALV_TOPIC_NAME_BYTES + 12 + 21 + 21 + 512 <
                  ALV_DEAD_LETTER_HEADER_BYTES_MAX,
              "what a dead letter adds is bounded");

alv_dead_letter *alv_dead_letter_new(void)
{
    return alv_alloc(sizeof(alv_dead_letter));
}

void alv_dead_letter_free(alv_dead_letter *letter)
{
    alv_free(letter);
}

static bool dead_letter_is_ours(const char *name)
{
    for (size_t i = 0; i < ALV_DEAD_LETTER_HEADERS; i++) {
        if (strcmp(dead_letter_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void dead_letter_add(alv_dead_letter *letter, const char *name, const char *value)
{
    ALV_ASSERT(letter->header_count < ALV_HEADERS_MAX + ALV_DEAD_LETTER_HEADERS);
    letter->headers[letter->header_count++] = (alv_header){name, alv_view_of(value)};
}

static void dead_letter_keep_headers(alv_dead_letter *letter, const alv_header *headers,
                                     size_t count)
{
    letter->header_count = 0;
    for (size_t i = 0; i < count && letter->header_count < ALV_HEADERS_MAX; i++) {
        if (!dead_letter_is_ours(headers[i].name)) {
            letter->headers[letter->header_count++] = headers[i];
        }
    }
}

static void dead_letter_add_headers(alv_dead_letter *letter, alv_reason reason)
{
    dead_letter_add(letter, ALV_HEADER_REASON, alv_reason_code(reason));
    dead_letter_add(letter, ALV_HEADER_DETAIL, letter->detail);
    dead_letter_add(letter, ALV_HEADER_ACTION, alv_reason_action(reason));
    dead_letter_add(letter, ALV_HEADER_TOPIC, letter->topic);
    dead_letter_add(letter, ALV_HEADER_PARTITION, letter->partition);
    dead_letter_add(letter, ALV_HEADER_OFFSET, letter->offset);
    dead_letter_add(letter, ALV_HEADER_TIMESTAMP, letter->timestamp);
}

const alv_produce *alv_dead_letter_build(alv_dead_letter *letter, const alv_record *record,
                                         const alv_header *headers, size_t header_count,
                                         const char *topic_name, alv_reason reason,
                                         const char *detail)
{
    ALV_ASSERT(reason > ALV_REASON_NONE && reason < ALV_REASON_COUNT);
    (void)alv_text_copy(alv_view_of(detail), letter->detail, sizeof letter->detail);
    (void)alv_text_copy(alv_view_of(topic_name), letter->topic, sizeof letter->topic);
    (void)snprintf(letter->partition, sizeof letter->partition, "%" PRId32, record->shard);
    (void)snprintf(letter->offset, sizeof letter->offset, "%" PRId64, record->offset);
    (void)snprintf(letter->timestamp, sizeof letter->timestamp, "%" PRId64, record->timestamp_ms);
    dead_letter_keep_headers(letter, headers, header_count);
    dead_letter_add_headers(letter, reason);

    letter->record = (alv_produce){
        .topic = ALV_TOPIC_DEAD_LETTERS,
        .shard = record->shard,
        .timestamp_ms = 0, /* now */
        .key = record->key,
        .value = record->value,
        .headers = letter->headers,
        .header_count = letter->header_count,
    };
    return &letter->record;
}

const alv_produce *alv_dead_letter_shorten(alv_dead_letter *letter)
{
    ALV_ASSERT(letter->header_count >= ALV_DEAD_LETTER_HEADERS); /* built */
    alv_header *ours = letter->headers + letter->header_count - ALV_DEAD_LETTER_HEADERS;
    memmove(letter->headers, ours, ALV_DEAD_LETTER_HEADERS * sizeof *ours);
    letter->header_count = ALV_DEAD_LETTER_HEADERS;

    char detail[ALV_DEAD_LETTER_DETAIL_BYTES + 128];
    (void)snprintf(detail, sizeof detail, "value of %zu bytes and headers left out: too large; %s",
                   letter->record.value.size, letter->detail);
    (void)alv_text_copy(alv_view_of(detail), letter->detail, sizeof letter->detail);
    ALV_ASSERT(strcmp(letter->headers[1].name, ALV_HEADER_DETAIL) == 0);
    letter->headers[1].value = alv_view_of(letter->detail);

    letter->record.value = ALV_VIEW_NONE;
    letter->record.header_count = letter->header_count;
    return &letter->record;
}
