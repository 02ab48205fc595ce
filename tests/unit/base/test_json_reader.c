/* Goal:   what is read is what jansson reads, member for member in the same order, and what jansson refuses is
 *         refused with jansson's words.
 * Method: texts that are at the border of what is read here, then random ones in several layouts, whole and with
 *         a byte changed, missing or added, each read both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/json_reader.h"
#include "tests/support/random_json.h"

static const size_t all_flags[] = {0, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, JSON_ALLOW_NUL};

static void assert_same_value(alv_view text, json_t *value, json_t *expected)
{
    char *left = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    char *right = json_dumps(expected, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!json_equal(value, expected) || (left == NULL) != (right == NULL) ||
        (left != NULL && strcmp(left, right) != 0))
        fail_msg("%.*s became %s and not %s", (int)text.size, text.data, left, right);
    free(left);
    free(right);
}

static void assert_same(alv_view text)
{
    for (size_t i = 0; i < sizeof all_flags / sizeof all_flags[0]; i++) {
        json_error_t why = {.text = ""};
        json_error_t expected_why = {.text = ""};
        json_t *value = alv_json_read(text, all_flags[i], &why);
        json_t *expected = json_loadb(text.data, text.size, all_flags[i], &expected_why);
        if ((value == NULL) != (expected == NULL))
            fail_msg("%.*s is read by one only, %s", (int)text.size, text.data,
                     value == NULL ? why.text : expected_why.text);
        if (value != NULL)
            assert_same_value(text, value, expected);
        else
            assert_string_equal(why.text, expected_why.text);
        json_decref(value);
        json_decref(expected);
    }
}

static void read__agrees_with_jansson_at_the_borders(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "{}",
        " { } ",
        "{}x",
        "{}{}",
        "[]",
        "[1,2]",
        "1",
        "\"a\"",
        "true",
        "null",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" : [ ] , \"b\":{ }}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":[1,]}",
        "{\"a\":[,]}",
        "{\"\":0}",
        "{\"a\":-}",
        "{\"a\":-0}",
        "{\"a\":00}",
        "{\"a\":01}",
        "{\"a\":-01}",
        "{\"a\":1.5}",
        "{\"a\":1e3}",
        "{\"a\":1E3}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":999999999999999999}",
        "{\"a\":-999999999999999999}",
        "{\"a\":1000000000000000000}",
        "{\"a\":9223372036854775807}",
        "{\"a\":-9223372036854775808}",
        "{\"a\":9223372036854775808}",
        "{\"a\":1234567890123456789012}",
        "{\"a\":truex}",
        "{\"a\":tru}",
        "{\"a\":nul",
        "{\"a\":\"b",
        "{\"a\":\"\\u0041\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\\"\"}",
        "{\"a\":\"\xc3\xa4\"}",
        "{\"a\":\"\xc3\"}",
        "{\"\xff\":1}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\x7f\"}",
        "{\"a\":\"\n\"}",
        "\xef\xbb\xbf{}",
        "{\"a\":1}\n\r\t ",
        "{\"a\" 1}",
        "{'a':1}",
        "{a:1}",
        "//\n{}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_same(alv_view_of(texts[i]));
    assert_same((alv_view){"{}\0", 3});
    assert_same((alv_view){"{\"a\":\"b\0c\"}", 11});
}

static void read__takes_names_and_nesting_of_any_size(void **state)
{
    (void)state;
    for (int size = 60; size < 70; size++) {
        alv_bytes text = ALV_BYTES_EMPTY;
        alv_bytes_printf(&text, "{\"%0*d\":1}", size, 7);
        assert_same(alv_bytes_view(&text));
        alv_bytes_done(&text);
    }
    for (int depth = 28; depth < 40; depth++) {
        alv_bytes text = ALV_BYTES_EMPTY;
        for (int i = 0; i < depth; i++)
            alv_bytes_append_text(&text, i % 2 == 0 ? "{\"a\":" : "[");
        alv_bytes_append_text(&text, "1");
        for (int i = depth - 1; i >= 0; i--)
            alv_bytes_append_text(&text, i % 2 == 0 ? "}" : "]");
        assert_same(alv_bytes_view(&text));
        alv_bytes_done(&text);
    }
}

static void read__says_what_jansson_says_of_an_absent_text(void **state)
{
    (void)state;
    json_error_t why = {.text = ""};
    assert_null(alv_json_read(ALV_VIEW_NONE, 0, &why));
    assert_true(why.text[0] != '\0');
    assert_null(alv_json_read(ALV_VIEW("{"), 0, NULL));
}

/* Changes, drops or adds a byte. Returns the new size; there is room for one more. */
static size_t damage(char *text, size_t size, unsigned *seed)
{
    static const char bytes[] = "{}[]\",:0-.e\\ \n\x01\x80\xc3ta";
    size_t at = size == 0 ? 0 : (size_t)rand_r(seed) % size;
    char byte = bytes[(size_t)rand_r(seed) % (sizeof bytes - 1)];
    switch (rand_r(seed) % 3) {
    case 0:
        memmove(text + at + 1, text + at, size - at);
        text[at] = byte;
        return size + 1;
    case 1:
        if (size > 0)
            memmove(text + at, text + at + 1, size - at - 1);
        return size > 0 ? size - 1 : 0;
    default:
        text[at] = byte;
        return size > 0 ? size : 1;
    }
}

static void read__agrees_with_jansson_about_random_texts(void **state)
{
    (void)state;
    static const size_t layouts[] = {JSON_COMPACT, 0, JSON_INDENT(2),
                                     JSON_COMPACT | JSON_ENSURE_ASCII};
    unsigned seed = 20261126;
    for (int i = 0; i < 3000; i++) {
        json_t *value = alv_random_json_object(&seed, 3);
        char *dumped = json_dumps(value, layouts[i % 4]);
        assert_non_null(dumped);
        size_t size = strlen(dumped);
        char *text = alv_alloc(size + 20);
        memcpy(text, dumped, size);
        assert_same((alv_view){text, size});
        for (int j = 0; j < 10; j++) {
            size = damage(text, size, &seed);
            assert_same((alv_view){text, size});
        }
        alv_free(text);
        free(dumped);
        json_decref(value);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__agrees_with_jansson_at_the_borders),
        cmocka_unit_test(read__takes_names_and_nesting_of_any_size),
        cmocka_unit_test(read__says_what_jansson_says_of_an_absent_text),
        cmocka_unit_test(read__agrees_with_jansson_about_random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
