#include "base/properties.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

#define PROPERTIES_FILE_BYTES_MAX (1024 * 1024)

typedef struct properties_reader {
    const char *name; /* of the file */
    const char *at;
    const char *end;
    int line;          /* of `at`, 1-based */
    int item_line;     /* where the item in hand begins */
    alv_bytes item;    /* the item in hand: a line joined with those that continue it */
    alv_bytes decoded; /* a key or value without its escapes */
} properties_reader;

static bool properties_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool properties_is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static void reader_skip_blanks(properties_reader *reader)
{
    while (reader->at < reader->end && properties_is_blank(*reader->at)) {
        reader->at++;
    }
}

/* Moves past "\n", "\r" or "\r\n". */
static void reader_skip_line_end(properties_reader *reader)
{
    if (reader->at == reader->end) {
        return;
    }
    bool pair = *reader->at == '\r' && reader->at + 1 < reader->end && reader->at[1] == '\n';
    reader->at += pair ? 2 : 1;
    reader->line++;
}

static alv_view reader_take_line(properties_reader *reader)
{
    reader_skip_blanks(reader);
    const char *start = reader->at;
    while (reader->at < reader->end && !properties_is_line_end(*reader->at)) {
        reader->at++;
    }
    alv_view line = {start, (size_t)(reader->at - start)};
    reader_skip_line_end(reader);
    return line;
}

/* A line goes on when it ends with an odd number of backslashes: pairs of them are escapes. */
static bool properties_continues(alv_view line)
{
    size_t backslashes = 0;
    while (backslashes < line.size && line.data[line.size - 1 - backslashes] == '\\') {
        backslashes++;
    }
    return backslashes % 2 == 1;
}

/* Puts the next line that is neither blank nor a comment, and those that continue it, into
 * reader->item. False at the end of the text. */
static bool reader_next_item(properties_reader *reader)
{
    while (reader->at < reader->end) {
        reader->item_line = reader->line;
        alv_bytes_clear(&reader->item);
        alv_view line = reader_take_line(reader);
        if (line.size == 0 || line.data[0] == '#' || line.data[0] == '!') {
            continue;
        }
        while (properties_continues(line)) {
            alv_bytes_append(&reader->item, line.data, line.size - 1);
            line = reader_take_line(reader); /* empty at the end of the text */
        }
        alv_bytes_append(&reader->item, line.data, line.size);
        if (reader->item.size > 0) {
            return true;
        }
    }
    return false;
}

/* Length of the key part: up to the first separator without a backslash in front. */
static size_t properties_key_size(alv_view item)
{
    size_t at = 0;
    while (at < item.size) {
        char c = item.data[at];
        if (c == '=' || c == ':' || properties_is_blank(c)) {
            break;
        }
        at += c == '\\' && at + 1 < item.size ? 2 : 1;
    }
    return at;
}

/* Where the value starts: after blanks, at most one '=' or ':', and blanks. */
static size_t properties_value_start(alv_view item, size_t key_size)
{
    size_t at = key_size;
    while (at < item.size && properties_is_blank(item.data[at])) {
        at++;
    }
    if (at < item.size && (item.data[at] == '=' || item.data[at] == ':')) {
        at++;
    }
    while (at < item.size && properties_is_blank(item.data[at])) {
        at++;
    }
    return at;
}

/* The 16 bits of "XXXX" behind "\u"; -1 when there are no four hexadecimal digits. */
static int32_t properties_code_unit(alv_view text, size_t at)
{
    int32_t unit = 0;
    if (text.size - at < 4) {
        return -1;
    }
    for (size_t i = at; i < at + 4; i++) {
        char c = text.data[i];
        int32_t digit;
        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = c - 'A' + 10;
        } else {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Decodes the \uXXXX whose digits start at `at`; code points above U+FFFF are written as two of
 * them, a surrogate pair. Returns the number of bytes read, 0 when the escape is broken. A NUL is
 * broken as well: it would cut the text. */
static size_t reader_decode_unicode(properties_reader *reader, alv_view text, size_t at)
{
    size_t read = 4;
    int32_t unit = properties_code_unit(text, at);
    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return 0;
    }
    uint32_t code_point = (uint32_t)unit;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (text.size - at < 10 || text.data[at + 4] != '\\' || text.data[at + 5] != 'u') {
            return 0;
        }
        int32_t low = properties_code_unit(text, at + 6);
        if (low < 0xdc00 || low > 0xdfff) {
            return 0;
        }
        code_point = 0x10000u + (((uint32_t)unit - 0xd800u) << 10) + ((uint32_t)low - 0xdc00u);
        read = 10;
    }
    char encoded[ALV_UTF8_BYTES_MAX];
    alv_bytes_append(&reader->decoded, encoded, alv_utf8_encode(code_point, encoded));
    return read;
}

/* What "\c" stands for; any other character stands for itself, as in Java. */
static char properties_escaped(char c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    default:
        return c;
    }
}

/* Fills reader->decoded with `text` without its escapes. */
static alv_status reader_decode(properties_reader *reader, alv_view text, alv_error *err)
{
    alv_bytes_clear(&reader->decoded);
    for (size_t at = 0; at < text.size; at++) {
        char c = text.data[at];
        if (c == '\\') {
            if (++at == text.size) {
                break;
            }
            if (text.data[at] == 'u') {
                size_t read = reader_decode_unicode(reader, text, at + 1);
                if (read == 0) {
                    return alv_fail(
                        err, ALV_REJECT,
                        "%s:%d: broken \\u escape: four hexadecimal digits that make up "
                        "a character are needed",
                        reader->name, reader->item_line);
                }
                at += read;
                continue;
            }
            c = properties_escaped(text.data[at]);
        }
        alv_bytes_append(&reader->decoded, &c, 1);
    }
    return ALV_OK;
}

static const alv_property *properties_find(const alv_properties *properties, const char *key)
{
    for (size_t i = 0; i < properties->count; i++) {
        if (strcmp(properties->items[i].key, key) == 0) {
            return &properties->items[i];
        }
    }
    return NULL;
}

static alv_property *properties_add(alv_properties *properties)
{
    size_t count = properties->count;
    if ((count & (count - 1)) == 0) { /* 0 or a power of two: full */
        properties->items = alv_realloc(properties->items,
                                        (count == 0 ? 1 : count * 2) * sizeof *properties->items);
    }
    properties->items[count] = (alv_property){0};
    properties->count++;
    return &properties->items[count];
}

static alv_status reader_parse_item(properties_reader *reader, alv_properties *properties,
                                    alv_error *err)
{
    alv_view item = alv_bytes_view(&reader->item);
    size_t key_size = properties_key_size(item);
    size_t value_start = properties_value_start(item, key_size);
    alv_view key = {item.data, key_size};
    alv_view value = {item.data + value_start, item.size - value_start};

    if (key_size == 0) {
        return alv_fail(err, ALV_REJECT, "%s:%d: empty key", reader->name, reader->item_line);
    }
    alv_status status = reader_decode(reader, key, err);
    if (status != ALV_OK) {
        return status;
    }
    char *key_text = alv_strndup(reader->decoded.data, reader->decoded.size);
    const alv_property *before = properties_find(properties, key_text);
    if (before != NULL) {
        status = alv_fail(err, ALV_REJECT, "%s:%d: key '%s' is given twice (first in line %d)",
                          reader->name, reader->item_line, key_text, before->line);
    } else {
        status = reader_decode(reader, value, err);
    }
    if (status != ALV_OK) {
        alv_free(key_text);
        return status;
    }
    alv_property *property = properties_add(properties);
    property->key = key_text;
    property->value = alv_strndup(reader->decoded.data, reader->decoded.size);
    property->line = reader->item_line;
    return ALV_OK;
}

/* The first line that has a byte which is not UTF-8, or a NUL; 0 when all is well. */
static int properties_bad_line(alv_view text)
{
    int line = 1;
    for (size_t at = 0; at < text.size;) {
        size_t length = alv_utf8_sequence(text.data + at, text.size - at);
        if (length == 0 || text.data[at] == '\0') {
            return line;
        }
        bool pair = text.data[at] == '\r' && at + 1 < text.size && text.data[at + 1] == '\n';
        if (properties_is_line_end(text.data[at]) && !pair) {
            line++;
        }
        at += length;
    }
    return 0;
}

alv_status alv_properties_parse(alv_view text, const char *name, alv_properties *out,
                                alv_error *err)
{
    *out = (alv_properties){0};
    int bad_line = properties_bad_line(text);
    if (bad_line > 0) {
        return alv_fail(err, ALV_REJECT, "%s:%d: not UTF-8 text", name, bad_line);
    }
    if (alv_view_starts_with(text,
                             ALV_VIEW("\xef\xbb\xbf"))) { /* byte order mark of some editors */
        text = (alv_view){text.data + 3, text.size - 3};
    }

    properties_reader reader = {.name = name, .at = text.data, .line = 1};
    reader.end = text.size == 0 ? text.data : text.data + text.size;
    alv_properties parsed = {0};
    alv_status status = ALV_OK;
    while (status == ALV_OK && reader_next_item(&reader)) {
        status = reader_parse_item(&reader, &parsed, err);
    }
    alv_bytes_done(&reader.item);
    alv_bytes_done(&reader.decoded);
    if (status == ALV_OK) {
        *out = parsed;
    } else {
        alv_properties_done(&parsed);
    }
    return status;
}

/* Appends all of `file` to `content`, or one byte more than is allowed. */
static bool properties_read(FILE *file, alv_bytes *content)
{
    alv_bytes_reserve(content, PROPERTIES_FILE_BYTES_MAX + 1);
    content->size = fread(content->data, 1, PROPERTIES_FILE_BYTES_MAX + 1, file);
    return ferror(file) == 0;
}

alv_status alv_properties_load(const char *path, alv_properties *out, alv_error *err)
{
    *out = (alv_properties){0};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return alv_fail_from(err, ALV_REJECT, "errno", errno, "%s: %s", path, strerror(errno));
    }
    alv_bytes content = ALV_BYTES_EMPTY;
    alv_status status;
    if (!properties_read(file, &content)) {
        status = alv_fail_from(err, ALV_REJECT, "errno", errno, "%s: %s", path, strerror(errno));
    } else if (content.size > PROPERTIES_FILE_BYTES_MAX) {
        status =
            alv_fail(err, ALV_REJECT, "%s: larger than %d bytes", path, PROPERTIES_FILE_BYTES_MAX);
    } else {
        status = alv_properties_parse(alv_bytes_view(&content), path, out, err);
    }
    (void)fclose(file); /* only read from */
    alv_bytes_done(&content);
    return status;
}

void alv_properties_done(alv_properties *properties)
{
    if (properties == NULL) {
        return;
    }
    for (size_t i = 0; i < properties->count; i++) {
        alv_free(properties->items[i].key);
        alv_free(properties->items[i].value);
    }
    alv_free(properties->items);
    *properties = (alv_properties){0};
}
