/* Goal:   bytes survive the way through text; what is no encoding is refused.
 * Method: RFC 4648's vectors with its URL alphabet; every length; broken texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64url.h"

static void encode__is_rfc_4648(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        alv_bytes text = ALV_BYTES_EMPTY;
        alv_bytes back = ALV_BYTES_EMPTY;
        alv_base64url_encode(alv_view_of(vectors[i][0]), &text);
        assert_true(alv_view_equal(alv_bytes_view(&text), alv_view_of(vectors[i][1])));
        assert_true(alv_base64url_decode(alv_bytes_view(&text), &back));
        assert_true(alv_view_equal(alv_bytes_view(&back), alv_view_of(vectors[i][0])));
        alv_bytes_done(&text);
        alv_bytes_done(&back);
    }
}

static void decode__refuses_what_is_no_encoding(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",  "Zm9vY", "Zg==", "Zm+v", "Zm/v",
                                      "Zh", "Zm9",   " Zg",  "Z\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        alv_bytes out = ALV_BYTES_EMPTY;
        if (alv_base64url_decode(alv_view_of(bad[i]), &out)) {
            fail_msg("\"%s\" is taken", bad[i]);
        }
        alv_bytes_done(&out);
    }
    alv_bytes out = ALV_BYTES_EMPTY;
    assert_false(alv_base64url_decode(ALV_VIEW("Zg\0v"), &out));
    alv_bytes_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode__is_rfc_4648),
        cmocka_unit_test(decode__refuses_what_is_no_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
