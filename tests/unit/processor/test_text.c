/* Goal:   whatever bytes come in, one line of bounded UTF-8 goes out.
 * Method: cases by hand, and every cut of a text that has sequences of all lengths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "processor/text.h"

static void assert_copied(alv_view text, size_t size, const char *expected)
{
    char out[64];
    memset(out, 'Z', sizeof out);
    assert_int_equal(alv_text_copy(text, out, size), strlen(expected));
    assert_string_equal(out, expected);
    assert_int_equal(out[size], 'Z'); /* nothing beyond */
}

static void text__is_copied_as_one_clean_line(void **unused)
{
    (void)unused;
    assert_copied(ALV_VIEW("plain"), 32, "plain");
    assert_copied(ALV_VIEW(""), 32, "");
    assert_copied(ALV_VIEW_NONE, 32, "");
    assert_copied(ALV_VIEW("a\nb\tc\x1b[31m\x7f."), 32, "a b c [31m .");
    assert_copied(ALV_VIEW("a\0b"), 32, "a b");
    assert_copied(ALV_VIEW("a\xc2\x9b"
                           "b\xc2\xa0"),
                  32, "a  b\xc2\xa0"); /* U+009B starts commands */
    assert_copied(ALV_VIEW("a\xff"
                           "b\xc0\xaf"),
                  32, "a?b??");
    assert_copied(ALV_VIEW("12345"), 6, "12345");
    assert_copied(ALV_VIEW("12345"), 5, "1234");
    assert_copied(ALV_VIEW("12345"), 1, "");
}

static void text__is_cut_between_characters(void **unused)
{
    (void)unused;
    alv_view text = ALV_VIEW("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    for (size_t size = 1; size <= text.size + 1; size++) {
        char out[16];
        size_t length = alv_text_copy(text, out, size);
        assert_true(length < size && size - length <= 4);
        assert_true(alv_utf8_valid(out, length));
        assert_memory_equal(out, text.data, length);
    }
}

static size_t print(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static size_t print(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t length = alv_text_vprintf(out, size, format, arguments);
    va_end(arguments);
    return length;
}

static void text__is_formatted_within_bounds(void **unused)
{
    (void)unused;
    char out[16];
    assert_int_equal(print(out, sizeof out, "%d\n%s", 7, "x"), 3);
    assert_string_equal(out, "7 x");

    char longer[3000];
    memset(longer, '\xe9', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(print(out, sizeof out, "%s", longer), 14); /* the last may have gone on */
    assert_string_equal(out, "??????????????");
}

static void text__is_quoted_and_shortened(void **unused)
{
    (void)unused;
    assert_string_equal(alv_text_quote(ALV_VIEW("abc")).text, "\"abc\"");
    assert_string_equal(alv_text_quote(ALV_VIEW("")).text, "\"\"");
    assert_string_equal(alv_text_quote(ALV_VIEW("a\nb")).text, "\"a b\"");
    for (size_t size = 60; size < 90; size++) {
        char longer[100];
        memset(longer, 'x', sizeof longer);
        alv_quoted quoted = alv_text_quote((alv_view){longer, size});
        const bool whole = size <= 74;
        assert_int_equal(strlen(quoted.text), whole ? size + 2 : 79);
        assert_int_equal(strcmp(quoted.text + strlen(quoted.text) - 4, "...\"") == 0, !whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__is_copied_as_one_clean_line),
        cmocka_unit_test(text__is_cut_between_characters),
        cmocka_unit_test(text__is_formatted_within_bounds),
        cmocka_unit_test(text__is_quoted_and_shortened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
