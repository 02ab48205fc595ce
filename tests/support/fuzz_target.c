#include "tests/support/fuzz_target.h"

#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

/* libFuzzer's data is NULL when it is empty, which in a view means absent. */
alv_view alv_fuzz_view(const uint8_t *data, size_t size)
{
    return size == 0 ? ALV_VIEW("") : (alv_view){(const char *)data, size};
}

alv_view alv_fuzz_field(alv_view *rest, char separator)
{
    const char *end = memchr(rest->data, separator, rest->size);
    size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
    size_t taken = size + (end != NULL);
    alv_view field = {rest->data, size};
    *rest = (alv_view){rest->data + taken, rest->size - taken};
    return field;
}

alv_view alv_fuzz_line(alv_view *rest)
{
    return alv_fuzz_field(rest, '\n');
}

unsigned alv_fuzz_byte(alv_view *rest)
{
    if (rest->size == 0) {
        return 0;
    }
    unsigned byte = (unsigned char)*rest->data;
    *rest = (alv_view){rest->data + 1, rest->size - 1};
    return byte;
}

void alv_fuzz_check_refusal(const alv_error *err)
{
    size_t size = strlen(err->text);
    ALV_ASSERT(err->status != ALV_OK);
    ALV_ASSERT(size > 0 && alv_utf8_valid(err->text, size));
    ALV_ASSERT(strpbrk(err->text, "\r\n") == NULL);
}
