/* Goal:   the key in a path is decoded as it was encoded, within its limit, and never to anything that is not
 *         text.
 * Method: the first byte is the limit, the rest is decoded as it is, and encoded and decoded.
 */
#include <string.h>

#include "api/http_get.h"
#include "api/url.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "tests/support/fuzz_target.h"

static bool fuzz_is_text(alv_view text)
{
    return text.size > 0 && alv_utf8_valid(text.data, text.size) &&
           memchr(text.data, '\0', text.size) == NULL;
}

/* What was encoded is decoded, if it may be. */
static void fuzz_encode(alv_view text)
{
    alv_bytes encoded = ALV_BYTES_EMPTY;
    alv_bytes escaped = ALV_BYTES_EMPTY;
    alv_bytes decoded = ALV_BYTES_EMPTY;
    alv_url_encode(text, &encoded);
    alv_http_get_escape(text, &escaped);
    ALV_ASSERT(alv_view_equal(alv_bytes_view(&encoded), alv_bytes_view(&escaped)));
    alv_status status = alv_url_decode(alv_bytes_view(&encoded), text.size, &decoded, NULL);
    ALV_ASSERT((status == ALV_OK) == fuzz_is_text(text));
    ALV_ASSERT(status != ALV_OK || alv_view_equal(alv_bytes_view(&decoded), text));
    alv_bytes_done(&decoded);
    alv_bytes_done(&escaped);
    alv_bytes_done(&encoded);
}

static void fuzz_decode(alv_view encoded, size_t size_max)
{
    alv_bytes decoded = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    if (alv_url_decode(encoded, size_max, &decoded, &err) == ALV_OK) {
        ALV_ASSERT(decoded.size <= size_max && fuzz_is_text(alv_bytes_view(&decoded)));
    } else {
        alv_fuzz_check_refusal(&err);
    }
    alv_bytes_done(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view input = alv_fuzz_view(data, size);
    size_t size_max = alv_fuzz_byte(&input);
    fuzz_decode(input, size_max);
    fuzz_encode(input);
    return 0;
}
