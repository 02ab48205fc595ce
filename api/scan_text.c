/* scan_text.c — what nodes tell each other of their shards' entities; the form is in scan.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/scan_internal.h"
#include "api/url.h"
#include "base/assert.h"

static const char scan_digits[] = "0123456789abcdef";

/* ---- the question ---------------------------------------------------------------------------- */

void alv_scan_write_path(const scan_part *part, alv_bytes *out)
{
    const scan_request *request = part->request;
    bool quarantine = request->list == ALV_SCAN_QUARANTINE;
    alv_bytes_append_text(out, quarantine ? "/v1/local/quarantine?shards="
                                          : "/v1/local/entities?shards=");
    for (int32_t first = 0; first < request->scan->shard_count; first += 4) {
        unsigned bits = 0;
        for (int32_t i = 0; i < 4 && first + i < request->scan->shard_count; i++) {
            bits |= part->shards[first + i] ? 1U << i : 0;
        }
        alv_bytes_append(out, &scan_digits[bits], 1);
    }
    alv_bytes_append_text(out, "&prefix=");
    alv_url_encode(alv_bytes_view(&request->prefix), out);
    alv_bytes_append_text(out, "&after=");
    alv_url_encode(alv_bytes_view(&request->after), out);
    alv_bytes_printf(out, "&limit=%zu", request->limit);
}

bool alv_scan_read_shards(alv_view text, unsigned char *shards, int32_t shard_count)
{
    if (text.size != ((size_t)shard_count + 3) / 4) {
        return false;
    }
    for (size_t at = 0; at < text.size; at++) {
        const char *digit = memchr(scan_digits, text.data[at], 16);
        if (digit == NULL) {
            return false;
        }
        for (size_t i = 0; i < 4 && 4 * at + i < (size_t)shard_count; i++) {
            bool asked = ((unsigned)(digit - scan_digits) >> i & 1U) != 0;
            shards[4 * at + i] = asked ? SCAN_TODO : SCAN_SKIP;
        }
    }
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

void alv_scan_write_answer(const scan_request *request, alv_answer *out)
{
    const alv_scan_page *page = &request->page;
    alv_answer_begin_json(out, 200);
    (void)snprintf(out->content_type, sizeof out->content_type, "application/octet-stream");
    alv_bytes_reserve(&out->body, page->bytes + page->count * 64 + 64);
    alv_bytes_printf(&out->body, "more %d\n", page->more);
    for (int32_t shard = 0; shard < request->scan->shard_count; shard++) {
        if (request->shards[shard] == SCAN_DONE) {
            const alv_read_position *position = &request->positions[shard];
            alv_bytes_printf(&out->body, "shard %d %" PRId64 " %" PRId64 "\n", (int)shard,
                             position->commands, position->changelog);
        }
    }
    for (size_t i = 0; i < page->count; i++) {
        alv_view key = alv_scan_page_key(page, i);
        alv_view text = alv_scan_page_text(page, i);
        alv_bytes_printf(&out->body, "%zu %zu ", key.size, text.size);
        alv_bytes_append(&out->body, key.data, key.size);
        alv_bytes_append(&out->body, text.data, text.size);
    }
}

/* Where reading is. */
typedef struct scan_cursor {
    const char *at;
    const char *end;
} scan_cursor;

static bool text_take_word(scan_cursor *cursor, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, word, size) != 0) {
        return false;
    }
    cursor->at += size;
    return true;
}

/* Digits, and the character behind them. */
static bool text_take_number(scan_cursor *cursor, char behind, int64_t *out)
{
    int64_t number = 0;
    const char *from = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        if (cursor->at - from == 18) {
            return false;
        }
        number = number * 10 + (*cursor->at++ - '0');
    }
    if (cursor->at == from || cursor->at == cursor->end || *cursor->at != behind) {
        return false;
    }
    cursor->at++;
    *out = number;
    return true;
}

static bool text_take_view(scan_cursor *cursor, int64_t size, alv_view *out)
{
    if (size > cursor->end - cursor->at) {
        return false;
    }
    *out = (alv_view){cursor->at, (size_t)size};
    cursor->at += size;
    return true;
}

/* All shards that were asked for, each new enough. */
static bool text_take_shards(scan_cursor *cursor, const scan_part *part)
{
    const scan_request *request = part->request;
    int32_t wanted = 0;
    for (int32_t shard = 0; shard < request->scan->shard_count; shard++) {
        wanted += part->shards[shard];
    }
    while (text_take_word(cursor, "shard ")) {
        int64_t shard = 0;
        alv_read_position position = {0, 0};
        if (!text_take_number(cursor, ' ', &shard) ||
            !text_take_number(cursor, ' ', &position.commands) ||
            !text_take_number(cursor, '\n', &position.changelog) ||
            shard >= request->scan->shard_count || !part->shards[shard] ||
            !alv_read_floor_owner_passes(request->floors[shard], position)) {
            return false;
        }
        request->positions[shard] = position;
        wanted--;
    }
    return wanted == 0;
}

/* Checks all entities before the first is taken: `page` NULL. */
static bool text_take_entities(scan_cursor cursor, alv_scan_page *page, alv_view *out_last)
{
    *out_last = ALV_VIEW_NONE;
    while (cursor.at < cursor.end) {
        int64_t key_size = 0;
        int64_t text_size = 0;
        alv_view key;
        alv_view text;
        if (!text_take_number(&cursor, ' ', &key_size) ||
            !text_take_number(&cursor, ' ', &text_size) ||
            !text_take_view(&cursor, key_size, &key) ||
            !text_take_view(&cursor, text_size, &text)) {
            return false;
        }
        *out_last = key;
        if (page != NULL && alv_scan_page_wants(page, key)) {
            alv_scan_page_put(page, key, text);
        }
    }
    return true;
}

bool alv_scan_read_answer(scan_part *part)
{
    alv_view body = alv_bytes_view(&part->answer.body);
    scan_cursor cursor = {body.data, body.data + body.size};
    alv_scan_page *page = &part->request->page;
    int64_t more = 0;
    alv_view last;
    if (!text_take_word(&cursor, "more ") || !text_take_number(&cursor, '\n', &more) ||
        !text_take_shards(&cursor, part) || !text_take_entities(cursor, NULL, &last) ||
        (more != 0 && last.data == NULL)) {
        return false;
    }
    (void)text_take_entities(cursor, page, &last); /* it was checked */
    if (more != 0) {
        alv_scan_page_cut(page, last);
    }
    return true;
}
