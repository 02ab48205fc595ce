/* Goal:   exactly the sequences of RFC 3629 are taken for UTF-8, and what is written can be read.
 * Method: the edges of each range one by one, then all code points there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

static void valid__knows_the_edges_of_each_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"\x7f", true},
        {"\x80", false},
        {"\xc1\xbf", false}, /* overlong */
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xe0\x9f\xbf", false}, /* overlong */
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false}, /* surrogate */
        {"\xee\x80\x80", true},
        {"\xf0\x8f\xbf\xbf", false}, /* overlong */
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"ab\xe2\x82", false}, /* cut off */
        {"\xc3(", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (alv_utf8_valid(cases[i].text, strlen(cases[i].text)) != cases[i].valid)
            fail_msg("case %zu", i);
    }
}

static void encode__is_read_back_for_all_code_points(void **state)
{
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        if (code_point >= 0xd800 && code_point <= 0xdfff)
            continue;
        char out[ALV_UTF8_BYTES_MAX];
        size_t length = alv_utf8_encode(code_point, out);
        if (alv_utf8_sequence(out, length) != length)
            fail_msg("U+%04X", code_point);
    }
    char euro[ALV_UTF8_BYTES_MAX];
    assert_int_equal(alv_utf8_encode(0x20ac, euro), 3);
    assert_memory_equal(euro, "\xe2\x82\xac", 3);
}

static void repair__replaces_bad_bytes_and_drops_what_is_cut_off(void **state)
{
    (void)state;
    char bad[] = "a\xffz";
    alv_utf8_repair(bad);
    assert_string_equal(bad, "a?z");
    char cut[] = "ab\xf0\x9f\x98";
    alv_utf8_repair(cut);
    assert_string_equal(cut, "ab");
    char good[] = "gr\xc3\xbc\xc3\x9f";
    alv_utf8_repair(good);
    assert_string_equal(good, "gr\xc3\xbc\xc3\x9f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid__knows_the_edges_of_each_range),
        cmocka_unit_test(encode__is_read_back_for_all_code_points),
        cmocka_unit_test(repair__replaces_bad_bytes_and_drops_what_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
