#include "api/url.h"

#include "base/utf8.h"

static int url_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* The byte of the escape at `at`, which is a '%'; -1 when it is broken. */
static int url_escape(alv_view encoded, size_t at)
{
    if (encoded.size - at < 3) {
        return -1;
    }
    int high = url_hex_digit(encoded.data[at + 1]);
    int low = url_hex_digit(encoded.data[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static alv_status url_decode_bytes(alv_view encoded, size_t size_max, alv_bytes *out,
                                   alv_error *err)
{
    alv_bytes_reserve(out, encoded.size < size_max ? encoded.size : size_max);
    for (size_t at = 0; at < encoded.size; at++) {
        int byte = (unsigned char)encoded.data[at];
        if (byte == '%') {
            byte = url_escape(encoded, at);
            if (byte < 0) {
                return alv_fail(err, ALV_REJECT, "broken percent escape at byte %zu", at);
            }
            at += 2;
        }
        if (byte == 0) {
            return alv_fail(err, ALV_REJECT, "NUL byte at byte %zu", at);
        }
        if (out->size == size_max) {
            return alv_fail(err, ALV_REJECT, "longer than %zu bytes", size_max);
        }
        char c = (char)byte;
        alv_bytes_append(out, &c, 1);
    }
    return ALV_OK;
}

alv_status alv_url_decode(alv_view encoded, size_t size_max, alv_bytes *out, alv_error *err)
{
    alv_bytes_clear(out);
    alv_status status = url_decode_bytes(encoded, size_max, out, err);
    if (status != ALV_OK) {
        return status;
    }
    if (out->size == 0) {
        return alv_fail(err, ALV_REJECT, "empty");
    }
    if (!alv_utf8_valid(out->data, out->size)) {
        return alv_fail(err, ALV_REJECT, "not UTF-8");
    }
    return ALV_OK;
}

static bool url_is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void alv_url_encode(alv_view text, alv_bytes *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t at = 0; at < text.size; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
        if (url_is_unreserved(text.data[at])) {
            alv_bytes_append(out, &text.data[at], 1);
        } else {
            alv_bytes_append(out, escape, sizeof escape);
        }
    }
}
