#include "base/utf8.h"

#include <string.h>

#include "base/assert.h"

/* Number of bytes that a lead byte announces, and the range of the second byte, which is where
 * overlong forms, surrogates and too large code points are told apart (Unicode, table 3-7). */
static size_t utf8_lead(unsigned char lead, unsigned char *out_low, unsigned char *out_high)
{
    *out_low = 0x80;
    *out_high = 0xbf;
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0) {
            *out_low = 0xa0;
        }
        if (lead == 0xed) {
            *out_high = 0x9f;
        }
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0) {
            *out_low = 0x90;
        }
        if (lead == 0xf4) {
            *out_high = 0x8f;
        }
        return 4;
    }
    return 0;
}

/* How many of the bytes that the lead byte announces are there and right; `out_length` is what it
 * announces, 0 for a byte that cannot lead. */
static size_t utf8_match(const char *data, size_t size, size_t *out_length)
{
    unsigned char low;
    unsigned char high;
    *out_length = utf8_lead((unsigned char)data[0], &low, &high);
    size_t good = *out_length > 0 ? 1 : 0;
    while (good < *out_length && good < size) {
        unsigned char c = (unsigned char)data[good];
        if (c < low || c > high) {
            break;
        }
        low = 0x80;
        high = 0xbf;
        good++;
    }
    return good;
}

size_t alv_utf8_sequence(const char *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t length;
    size_t good = utf8_match(data, size, &length);
    return good == length ? length : 0;
}

/* How many bytes from the begin are ASCII, in steps of eight: an estimate from below. */
static size_t utf8_ascii(const char *data, size_t size)
{
    size_t at = 0;
    uint64_t eight;
    for (; at + sizeof eight <= size; at += sizeof eight) {
        memcpy(&eight, data + at, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    return at;
}

bool alv_utf8_valid(const char *data, size_t size)
{
    size_t at = utf8_ascii(data, size);
    while (at < size) {
        if ((unsigned char)data[at] < 0x80) {
            at++;
            continue;
        }
        size_t length = alv_utf8_sequence(data + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

void alv_utf8_repair(char *text)
{
    size_t size = strlen(text);
    size_t at = 0;
    while (at < size) {
        size_t length;
        size_t good = utf8_match(text + at, size - at, &length);
        if (length > 0 && good == length) {
            at += length;
        } else if (length > 0 && at + good == size) {
            text[at] = '\0'; /* cut off */
            return;
        } else {
            text[at++] = '?';
        }
    }
}

size_t alv_utf8_encode(uint32_t code_point, char out[ALV_UTF8_BYTES_MAX])
{
    ALV_ASSERT(code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff));
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(leads[length] | code_point);
    return length;
}
