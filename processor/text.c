#include "processor/text.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

static void text_replace_nul(char *text, size_t length)
{
    for (char *nul; (nul = memchr(text, '\0', length)) != NULL;) {
        *nul = ' ';
    }
}

/* The set below space, DEL, and the second set, U+0080 to U+009F, which terminals obey as well. */
static void text_replace_controls(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)text[0];
        unsigned char next = (unsigned char)text[1];
        if (byte < 0x20 || byte == 0x7f) {
            text[0] = ' ';
        } else if (byte == 0xc2 && next < 0xa0) {
            text[0] = ' ';
            text[1] = ' ';
        }
    }
}

size_t alv_text_copy(alv_view text, char *out, size_t size)
{
    ALV_ASSERT(size > 0);
    size_t length = text.size < size ? text.size : size - 1;
    if (length > 0) {
        memcpy(out, text.data, length);
    }
    out[length] = '\0';
    text_replace_nul(out, length);
    alv_utf8_repair(out); /* also takes away a sequence that the cut left open */
    text_replace_controls(out);
    return strlen(out);
}

size_t alv_text_vprintf(char *out, size_t size, const char *format, va_list arguments)
{
    char raw[1024]; /* vsnprintf cuts anywhere, alv_text_copy between characters */
    int wanted = vsnprintf(raw, sizeof raw, format, arguments);
    size_t length = wanted < 0 ? 0 : strlen(raw);
    return alv_text_copy((alv_view){raw, length}, out, size);
}

alv_quoted alv_text_quote(alv_view text)
{
    static const char more[] = "...";
    alv_quoted quoted;
    const size_t room = sizeof quoted.text - sizeof "\"\"" - (sizeof more - 1);
    char *end = quoted.text;

    *end++ = '"';
    end += alv_text_copy(text, end, room + 1);
    if (text.size > room) {
        memcpy(end, more, sizeof more - 1);
        end += sizeof more - 1;
    }
    *end++ = '"';
    *end = '\0';
    ALV_ASSERT(end < quoted.text + sizeof quoted.text);
    return quoted;
}
