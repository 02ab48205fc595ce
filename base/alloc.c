#include "base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* fprintf to the unbuffered stderr allocates nothing. */
static _Noreturn void alloc_failed(size_t count, size_t size)
{
    fprintf(stderr, "alluvium: out of memory: %zu x %zu bytes\n", count, size);
    abort();
}

void *alv_alloc(size_t size)
{
    return alv_alloc_array(1, size);
}

void *alv_alloc_array(size_t count, size_t size)
{
    void *memory = count == 0 || size == 0 ? calloc(1, 1) : calloc(count, size);
    if (memory == NULL) {
        alloc_failed(count, size);
    }
    return memory;
}

void *alv_realloc(void *memory, size_t size)
{
    void *moved = realloc(memory, size == 0 ? 1 : size);
    if (moved == NULL) {
        alloc_failed(1, size);
    }
    return moved;
}

char *alv_strdup(const char *text)
{
    return alv_strndup(text, strlen(text));
}

char *alv_strndup(const char *data, size_t length)
{
    ALV_ASSERT(length < SIZE_MAX);
    char *copy = alv_alloc(length + 1);
    if (length > 0) {
        memcpy(copy, data, length);
    }
    return copy;
}

char *alv_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ALV_ASSERT(length >= 0);
    char *text = alv_alloc((size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, again); /* measured above */
    va_end(again);
    return text;
}

void alv_free(void *memory)
{
    free(memory);
}
