#include "base/base64url.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void alv_base64url_encode(alv_view data, alv_bytes *out)
{
    alv_bytes_reserve(out, out->size + (data.size + 2) / 3 * 4);
    for (size_t i = 0; i < data.size; i += 3) {
        size_t left = data.size - i < 3 ? data.size - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++) {
            group = group << 8 | (k < left ? (unsigned char)data.data[i + k] : 0U);
        }
        char text[4];
        for (size_t k = 0; k < 4; k++) {
            text[k] = alphabet[group >> (18 - 6 * k) & 63];
        }
        alv_bytes_append(out, text, left + 1);
    }
}

static int base64url_value(char character)
{
    const char *found = character != '\0' ? strchr(alphabet, character) : NULL;
    return found != NULL ? (int)(found - alphabet) : -1;
}

/* 2 to 4 characters. */
static bool base64url_decode_group(const char *text, size_t size, alv_bytes *out)
{
    uint32_t group = 0;
    for (size_t k = 0; k < 4; k++) {
        int value = k < size ? base64url_value(text[k]) : 0;
        if (value < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)value;
    }
    uint32_t unused = size == 4 ? 0 : size == 3 ? 0xff : 0xffff;
    char bytes[3] = {(char)(group >> 16 & 0xff), (char)(group >> 8 & 0xff), (char)(group & 0xff)};
    alv_bytes_append(out, bytes, size - 1);
    return (group & unused) == 0;
}

bool alv_base64url_decode(alv_view text, alv_bytes *out)
{
    for (size_t i = 0; i < text.size; i += 4) {
        size_t left = text.size - i < 4 ? text.size - i : 4;
        if (left == 1 || !base64url_decode_group(text.data + i, left, out)) {
            return false;
        }
    }
    return true;
}
