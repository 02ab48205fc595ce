/* Goal:   a key decodes exactly once, and what is not a key is refused with a reason.
 * Method: known pairs in both directions, every single byte there and back, and a list of bad
 *         input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/url.h"

#define KEY_BYTES_MAX 16

static void expect_decoded(const char *encoded, const char *expected)
{
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_url_decode(alv_view_of(encoded), KEY_BYTES_MAX, &key, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, ALV_OK);
    assert_int_equal(key.size, strlen(expected));
    assert_memory_equal(key.data, expected, key.size);
    alv_bytes_done(&key);
}

static void url__decodes_once(void **state)
{
    (void)state;
    expect_decoded("transfer%2F1", "transfer/1");
    expect_decoded("transfer%2f1", "transfer/1");
    expect_decoded("transfer/1", "transfer/1");
    expect_decoded("7:42", "7:42");
    expect_decoded("a%2541", "a%41");
    expect_decoded("a+b", "a+b");
    expect_decoded("%C3%BC", "\xc3\xbc");
    expect_decoded("..", "..");
    expect_decoded("0123456789%41%42%43%44%45%46", "0123456789ABCDEF");
}

static void expect_refused(const char *encoded, size_t size, const char *reason)
{
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    alv_view view = {encoded, size};
    assert_int_equal(alv_url_decode(view, KEY_BYTES_MAX, &key, &err), ALV_REJECT);
    assert_string_equal(err.text, reason);
    alv_bytes_done(&key);
}

static void url__refuses_what_is_not_a_key(void **state)
{
    (void)state;
    expect_refused("", 0, "empty");
    expect_refused("a%", 2, "broken percent escape at byte 1");
    expect_refused("a%4", 3, "broken percent escape at byte 1");
    expect_refused("%4gb", 4, "broken percent escape at byte 0");
    expect_refused("% 41", 4, "broken percent escape at byte 0");
    expect_refused("%-1x", 4, "broken percent escape at byte 0");
    expect_refused("ab%00", 5, "NUL byte at byte 4");
    expect_refused("a\0b", 3, "NUL byte at byte 1");
    expect_refused("%ff", 3, "not UTF-8");
    expect_refused("%c0%80", 6, "not UTF-8");
    expect_refused("%ed%a0%80", 9, "not UTF-8");
    expect_refused("\xc3", 1, "not UTF-8");
    expect_refused("0123456789abcdefg", 17, "longer than 16 bytes");
}

static void url__encodes_all_but_unreserved(void **state)
{
    (void)state;
    alv_bytes encoded = ALV_BYTES_EMPTY;
    alv_url_encode(ALV_VIEW("transfer/1?%#:\xc3\xbc \"-._~"), &encoded);
    static const char expected[] = "transfer%2F1%3F%25%23%3A%C3%BC%20%22-._~";
    assert_int_equal(encoded.size, strlen(expected));
    assert_memory_equal(encoded.data, expected, encoded.size);
    alv_bytes_done(&encoded);
}

static void url__every_ascii_byte_survives_the_round_trip(void **state)
{
    (void)state;
    for (int byte = 1; byte < 128; byte++) {
        char text = (char)byte;
        alv_bytes encoded = ALV_BYTES_EMPTY;
        alv_bytes decoded = ALV_BYTES_EMPTY;
        alv_url_encode((alv_view){&text, 1}, &encoded);
        alv_view view = alv_bytes_view(&encoded);
        assert_int_equal(alv_url_decode(view, KEY_BYTES_MAX, &decoded, NULL), ALV_OK);
        assert_int_equal(decoded.size, 1);
        assert_int_equal(decoded.data[0], byte);
        alv_bytes_done(&encoded);
        alv_bytes_done(&decoded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url__decodes_once),
        cmocka_unit_test(url__refuses_what_is_not_a_key),
        cmocka_unit_test(url__encodes_all_but_unreserved),
        cmocka_unit_test(url__every_ascii_byte_survives_the_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
