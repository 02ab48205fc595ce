#include "base/bytes.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define BYTES_CAPACITY_FIRST 64

alv_view alv_view_of(const char *text)
{
    return text == NULL ? ALV_VIEW_NONE : (alv_view){text, strlen(text)};
}

bool alv_view_equal(alv_view left, alv_view right)
{
    if (left.data == NULL || right.data == NULL) {
        return left.data == right.data;
    }
    return left.size == right.size &&
           (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

bool alv_view_starts_with(alv_view view, alv_view prefix)
{
    if (view.data == NULL || prefix.data == NULL || view.size < prefix.size) {
        return false;
    }
    return prefix.size == 0 || memcmp(view.data, prefix.data, prefix.size) == 0;
}

void alv_bytes_reserve(alv_bytes *bytes, size_t capacity)
{
    if (capacity <= bytes->capacity) {
        return;
    }
    size_t grown = bytes->capacity <= SIZE_MAX / 2 ? bytes->capacity * 2 : capacity;
    if (grown < BYTES_CAPACITY_FIRST) {
        grown = BYTES_CAPACITY_FIRST;
    }
    if (grown < capacity) {
        grown = capacity;
    }
    bytes->data = alv_realloc(bytes->data, grown);
    bytes->capacity = grown;
}

/* A source inside the buffer would be left behind when the buffer moves. */
static bool bytes_hold(const alv_bytes *bytes, const void *data)
{
    uintptr_t from = (uintptr_t)bytes->data;
    uintptr_t at = (uintptr_t)data;
    return bytes->data != NULL && at >= from && at - from < bytes->capacity;
}

void alv_bytes_append(alv_bytes *bytes, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    ALV_ASSERT(data != NULL && !bytes_hold(bytes, data));
    ALV_ASSERT(size <= SIZE_MAX - bytes->size);
    alv_bytes_reserve(bytes, bytes->size + size);
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void alv_bytes_append_text(alv_bytes *bytes, const char *text)
{
    alv_bytes_append(bytes, text, strlen(text));
}

void alv_bytes_printf(alv_bytes *bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ALV_ASSERT(length >= 0);
    size_t room = (size_t)length + 1; /* vsnprintf ends with a NUL, which is not counted in */
    alv_bytes_reserve(bytes, bytes->size + room);
    (void)vsnprintf(bytes->data + bytes->size, room, format, again);
    va_end(again);
    bytes->size += (size_t)length;
}

void alv_bytes_set(alv_bytes *bytes, const void *data, size_t size)
{
    bytes->size = 0;
    alv_bytes_append(bytes, data, size);
}

void alv_bytes_clear(alv_bytes *bytes)
{
    bytes->size = 0;
}

alv_view alv_bytes_view(const alv_bytes *bytes)
{
    return (alv_view){bytes->data == NULL ? "" : bytes->data, bytes->size};
}

void alv_bytes_done(alv_bytes *bytes)
{
    if (bytes == NULL) {
        return;
    }
    alv_free(bytes->data);
    *bytes = ALV_BYTES_EMPTY;
}
