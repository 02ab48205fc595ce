#include "base/json_writer.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"

#define WRITER_DEPTH_MAX 128
#define WRITER_ROOM_BYTES 512   /* made at once, so that most states need no more */
#define WRITER_INTEGER_BYTES 20 /* of the longest */
#define WRITER_ESCAPED_BYTES 6  /* the longest escape */

static bool writer_value(alv_bytes *out, const json_t *value, int depth);

static void writer_room(alv_bytes *out, size_t size)
{
    if (out->capacity - out->size < size) {
        alv_bytes_reserve(out, out->size + size);
    }
}

static void writer_char(alv_bytes *out, char c)
{
    writer_room(out, 1);
    out->data[out->size++] = c;
}

static void writer_literal(alv_bytes *out, alv_view text)
{
    writer_room(out, text.size);
    memcpy(out->data + out->size, text.data, text.size);
    out->size += text.size;
}

static void writer_integer(alv_bytes *out, int64_t value)
{
    char digits[WRITER_INTEGER_BYTES];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    writer_literal(out, (alv_view){digits + at, sizeof digits - at});
}

static bool writer_must_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* There is room for it. */
static void writer_escape(alv_bytes *out, unsigned char c)
{
    static const char short_forms[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    static const char hex[] = "0123456789ABCDEF";
    char *to = out->data + out->size;
    to[0] = '\\';
    char form = c < 0x20 ? short_forms[c] : (char)c;
    if (form != '\0') {
        to[1] = form;
        out->size += 2;
        return;
    }
    memcpy(to + 1, "u00", 3);
    to[4] = hex[c >> 4];
    to[5] = hex[c & 0xf];
    out->size += WRITER_ESCAPED_BYTES;
}

/* `text` up to the first byte that must be escaped; *all collects the bits of what it passes. */
static size_t writer_plain(const char *text, size_t size, unsigned char *all)
{
    size_t count = 0;
    while (count < size && !writer_must_escape((unsigned char)text[count])) {
        *all |= (unsigned char)text[count++];
    }
    return count;
}

static bool writer_text(alv_bytes *out, const char *text, size_t size)
{
    unsigned char all = 0;
    writer_room(out, size + 2);
    out->data[out->size++] = '"';
    for (size_t at = 0; at < size;) {
        size_t plain = writer_plain(text + at, size - at, &all);
        writer_literal(out, (alv_view){text + at, plain});
        at += plain;
        if (at < size) {
            writer_room(out, WRITER_ESCAPED_BYTES);
            writer_escape(out, (unsigned char)text[at++]);
        }
    }
    writer_char(out, '"');
    return all < 0x80 || alv_utf8_valid(text, size);
}

/* NOLINTBEGIN(misc-no-recursion): at most WRITER_DEPTH_MAX deep */

static bool writer_array(alv_bytes *out, const json_t *array, int depth)
{
    size_t count = json_array_size(array);
    writer_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            writer_char(out, ',');
        }
        if (!writer_value(out, json_array_get(array, i), depth)) {
            return false;
        }
    }
    writer_char(out, ']');
    return true;
}

static bool writer_object(alv_bytes *out, const json_t *value, int depth)
{
    json_t *object = (json_t *)value; /* for the iterator's sake; nothing changes it */
    bool first = true;
    writer_char(out, '{');
    for (void *member = json_object_iter(object); member != NULL;
         member = json_object_iter_next(object, member)) {
        const char *name = json_object_iter_key(member);
        if (!first) {
            writer_char(out, ',');
        }
        first = false;
        if (!writer_text(out, name, strlen(name))) {
            return false;
        }
        writer_char(out, ':');
        if (!writer_value(out, json_object_iter_value(member), depth)) {
            return false;
        }
    }
    writer_char(out, '}');
    return true;
}

/* False: this is for jansson. */
static bool writer_value(alv_bytes *out, const json_t *value, int depth)
{
    if (value == NULL || depth > WRITER_DEPTH_MAX) {
        return false;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return writer_object(out, value, depth + 1);
    case JSON_ARRAY:
        return writer_array(out, value, depth + 1);
    case JSON_STRING:
        return writer_text(out, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        writer_integer(out, json_integer_value(value));
        return true;
    case JSON_TRUE:
        writer_literal(out, ALV_VIEW("true"));
        return true;
    case JSON_FALSE:
        writer_literal(out, ALV_VIEW("false"));
        return true;
    case JSON_NULL:
        writer_literal(out, ALV_VIEW("null"));
        return true;
    case JSON_REAL:
        break;
    }
    return false;
}

/* NOLINTEND(misc-no-recursion) */

static bool writer_by_jansson(alv_bytes *out, const json_t *value)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t size = json_dumpb(value, NULL, 0, flags);
    if (size == 0) {
        return false;
    }
    writer_room(out, size);
    out->size += json_dumpb(value, out->data + out->size, size, flags);
    return true;
}

bool alv_json_write(const json_t *value, alv_bytes *out)
{
    size_t begin = out->size;
    writer_room(out, WRITER_ROOM_BYTES);
    if (writer_value(out, value, 0)) {
        return true;
    }
    out->size = begin;
    return writer_by_jansson(out, value);
}
