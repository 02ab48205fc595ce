/* Goal:   patterns match what glob.h says, whatever they are made of, in bounded time.
 * Method: tables of patterns and texts; patterns that are none; the pattern that is slow for matchers
 *         with recursion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/glob.h"

typedef struct glob_case {
    const char *pattern;
    const char *text;
    bool matches;
} glob_case;

static const glob_case cases[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"user/1", "user/1", true},
    {"user/1", "user/12", false},
    {"*", "", true},
    {"*", "a/b/c", true},
    {"mall-1:*", "mall-1:ada", true},
    {"mall-1:*", "mall-1:", true},
    {"mall-1:*", "mall-11:ada", false},
    {"*:ada", "mall-1:ada", true},
    {"*:ada", "mall-1:adam", false},
    {"*a*b*", "xaxbx", true},
    {"*a*b*", "xbxax", false},
    {"a*a", "a", false},
    {"a*a", "aa", true},
    {"**a**", "bab", true},
    {"a?c", "abc", true},
    {"a?c", "ac", false},
    {"a?c",
     "a\xc3\xbc"
     "c",
     true}, /* one character of two bytes */
    {"??", "\xf0\x9f\x98\x80", false},
    {"?", "\xf0\x9f\x98\x80", true},
    {"[a-c]x", "bx", true},
    {"[a-c]x", "dx", false},
    {"[!a-c]x", "dx", true},
    {"[!a-c]x", "ax", false},
    {"[]]", "]", true},
    {"[!]]", "]", false},
    {"[a-]", "-", true},
    {"[-a]", "-", true},
    {"[a\\]b]", "]", true},
    {"[\xc3\xa4-\xc3\xbc]", "\xc3\xb6", true}, /* ä-ü has ö */
    {"[\xc3\xa4-\xc3\xbc]", "z", false},
    {"\\*", "*", true},
    {"\\*", "a", false},
    {"\\\\", "\\", true},
    {"a\\?", "a?", true},
    {"*[0-9]", "user/7", true},
    {"*[0-9]", "user/x", false},
    {"a]", "a]", true},
    {"?", "\xff", true}, /* not UTF-8: a byte is a character */
};

static void match__is_as_the_header_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        alv_view pattern = alv_view_of(cases[i].pattern);
        assert_int_equal(alv_glob_check(pattern, NULL), ALV_OK);
        if (alv_glob_match(pattern, alv_view_of(cases[i].text)) != cases[i].matches) {
            fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].text);
        }
    }
}

static void match__takes_bounded_time(void **state)
{
    (void)state;
    char text[512];
    memset(text, 'a', sizeof text);
    alv_view pattern = ALV_VIEW("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");
    assert_int_equal(alv_glob_check(pattern, NULL), ALV_OK);
    assert_false(alv_glob_match(pattern, (alv_view){text, sizeof text}));
}

static void check__refuses_what_is_no_pattern(void **state)
{
    (void)state;
    static const char *const bad[] = {"[", "a[b", "[!", "[]", "[!]", "[a\\", "a\\", "\xff", "[\\]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        alv_error err = ALV_ERROR_NONE;
        if (alv_glob_check(alv_view_of(bad[i]), &err) != ALV_REJECT || err.text[0] == '\0') {
            fail_msg("\"%s\" is taken", bad[i]);
        }
    }
}

static void literal__ends_at_the_first_wildcard(void **state)
{
    (void)state;
    assert_int_equal(alv_glob_literal(ALV_VIEW("mall-1:*")), 7);
    assert_int_equal(alv_glob_literal(ALV_VIEW("?a")), 0);
    assert_int_equal(alv_glob_literal(ALV_VIEW("ab[c]")), 2);
    assert_int_equal(alv_glob_literal(ALV_VIEW("ab\\*")), 2);
    assert_int_equal(alv_glob_literal(ALV_VIEW("abc")), 3);
    assert_int_equal(alv_glob_literal(ALV_VIEW("a\0b*")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match__is_as_the_header_says),
        cmocka_unit_test(match__takes_bounded_time),
        cmocka_unit_test(check__refuses_what_is_no_pattern),
        cmocka_unit_test(literal__ends_at_the_first_wildcard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
