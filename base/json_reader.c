#include "base/json_reader.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define READER_DEPTH_MAX 32
#define READER_NAME_BYTES_MAX 63
#define READER_DIGITS_MAX 18 /* always fit into 64 bits */

/* The text that is left. */
typedef struct json_reader {
    const char *at;
    const char *end;
} json_reader;

static json_t *reader_value(json_reader *reader, int depth);

static bool reader_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next character that is no space, NUL at the end; it is not taken. */
static char reader_peek(json_reader *reader)
{
    while (reader->at < reader->end && reader_is_space(*reader->at)) {
        reader->at++;
    }
    return reader->at < reader->end ? *reader->at : '\0';
}

static bool reader_take(json_reader *reader, char c)
{
    if (reader_peek(reader) != c) {
        return false;
    }
    reader->at++;
    return true;
}

/* Behind an opening quote: the content up to the closing one, which is taken. False unless it is plain. */
static bool reader_text(json_reader *reader, alv_view *out)
{
    const char *begin = reader->at;
    const char *at = begin;
    unsigned char all = 0;
    for (; at < reader->end && *at != '"'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == '\\') {
            return false;
        }
        all |= c;
    }
    *out = (alv_view){begin, (size_t)(at - begin)};
    if (at == reader->end || (all >= 0x80 && !alv_utf8_valid(out->data, out->size))) {
        return false;
    }
    reader->at = at + 1;
    return true;
}

static bool reader_at_digit(const json_reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static json_t *reader_integer(json_reader *reader)
{
    bool negative = *reader->at == '-';
    reader->at += negative;
    const char *begin = reader->at;
    int64_t value = 0;
    while (reader_at_digit(reader) && reader->at - begin < READER_DIGITS_MAX) {
        value = value * 10 + (*reader->at++ - '0');
    }
    ptrdiff_t digits = reader->at - begin;
    if (digits == 0 || reader_at_digit(reader) || (digits > 1 && *begin == '0')) {
        return NULL;
    }
    char next = reader->at < reader->end ? *reader->at : '\0';
    if (next == '.' || next == 'e' || next == 'E') {
        return NULL;
    }
    return json_integer(negative ? -value : value);
}

static json_t *reader_word(json_reader *reader, alv_view word, json_t *value)
{
    if ((size_t)(reader->end - reader->at) < word.size ||
        memcmp(reader->at, word.data, word.size) != 0) {
        return NULL;
    }
    reader->at += word.size;
    return value;
}

/* NOLINTBEGIN(misc-no-recursion): at most READER_DEPTH_MAX deep */

/* Behind the opening bracket. */
static bool reader_items(json_reader *reader, json_t *array, int depth)
{
    if (reader_take(reader, ']')) {
        return true;
    }
    do {
        json_t *item = reader_value(reader, depth);
        if (item == NULL || json_array_append_new(array, item) != 0) {
            return false;
        }
    } while (reader_take(reader, ','));
    return reader_take(reader, ']');
}

/* One member, put into the object unless the object has one of that name. */
static bool reader_member(json_reader *reader, json_t *object, int depth)
{
    alv_view text;
    char name[READER_NAME_BYTES_MAX + 1];
    if (!reader_take(reader, '"') || !reader_text(reader, &text) ||
        text.size > READER_NAME_BYTES_MAX || !reader_take(reader, ':')) {
        return false;
    }
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    json_t *value = reader_value(reader, depth);
    size_t before = json_object_size(object);
    return value != NULL && json_object_set_new_nocheck(object, name, value) == 0 &&
           json_object_size(object) > before;
}

static bool reader_members(json_reader *reader, json_t *object, int depth)
{
    if (reader_take(reader, '}')) {
        return true;
    }
    do {
        if (!reader_member(reader, object, depth)) {
            return false;
        }
    } while (reader_take(reader, ','));
    return reader_take(reader, '}');
}

/* Behind the opening bracket of either kind. */
static json_t *reader_container(json_reader *reader, json_t *container, int depth)
{
    bool good = depth < READER_DEPTH_MAX && container != NULL &&
                (json_is_object(container) ? reader_members(reader, container, depth + 1)
                                           : reader_items(reader, container, depth + 1));
    if (!good) {
        json_decref(container);
        return NULL;
    }
    return container;
}

/* A new reference; NULL: this is for jansson. */
static json_t *reader_value(json_reader *reader, int depth)
{
    alv_view text;
    switch (reader_peek(reader)) {
    case '{':
        reader->at++;
        return reader_container(reader, json_object(), depth);
    case '[':
        reader->at++;
        return reader_container(reader, json_array(), depth);
    case '"':
        reader->at++;
        return reader_text(reader, &text) ? json_stringn_nocheck(text.data, text.size) : NULL;
    case 't':
        return reader_word(reader, ALV_VIEW("true"), json_true());
    case 'f':
        return reader_word(reader, ALV_VIEW("false"), json_false());
    case 'n':
        return reader_word(reader, ALV_VIEW("null"), json_null());
    default:
        return reader->at < reader->end ? reader_integer(reader) : NULL;
    }
}

/* NOLINTEND(misc-no-recursion) */

json_t *alv_json_read(alv_view text, size_t flags, json_error_t *error)
{
    if (text.data == NULL) {
        text = ALV_VIEW("");
    }
    json_reader reader = {text.data, text.data + text.size};
    if (reader_peek(&reader) == '{') { /* what else may stand alone depends on the flags */
        json_t *value = reader_value(&reader, 0);
        if (value != NULL && reader_peek(&reader) == '\0' && reader.at == reader.end) {
            return value;
        }
        json_decref(value);
    }
    return json_loadb(text.data, text.size, flags, error);
}
