/* Goal:   .properties text is read by the rules of java.util.Properties, and what is broken is
 *         refused with its place.
 * Method: small texts with the items expected from them; a temporary file for loading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/properties.h"

/* `expected` holds "key", "value" pairs and ends with NULL. */
static void check_items(const char *text, const char *const *expected)
{
    alv_error err = ALV_ERROR_NONE;
    alv_properties properties;
    alv_status status =
        alv_properties_parse(alv_view_of(text), "node.properties", &properties, &err);
    if (status != ALV_OK)
        fail_msg("refused: %s", err.text);
    size_t count = 0;
    for (; expected[2 * count] != NULL; count++) {
        assert_true(count < properties.count);
        assert_string_equal(properties.items[count].key, expected[2 * count]);
        assert_string_equal(properties.items[count].value, expected[2 * count + 1]);
    }
    assert_int_equal(properties.count, count);
    alv_properties_done(&properties);
}

#define CHECK_ITEMS(text, ...) check_items((text), (const char *const[]){__VA_ARGS__, NULL})

static void check_refused(alv_view text, const char *message)
{
    alv_error err = ALV_ERROR_NONE;
    alv_properties properties;
    assert_int_equal(alv_properties_parse(text, "f", &properties, &err), ALV_REJECT);
    assert_string_equal(err.text, message);
    assert_int_equal(properties.count, 0);
    assert_null(properties.items);
}

static void parse__takes_all_separators(void **state)
{
    (void)state;
    CHECK_ITEMS("a=1\nb:2\nc 3\nd\t4\ne = 5\nf : 6\n", "a", "1", "b", "2", "c", "3", "d", "4", "e",
                "5", "f", "6");
    CHECK_ITEMS("a==1\nb=:2\nc: =3\nd  =  = 4", "a", "=1", "b", ":2", "c", "=3", "d", "= 4");
    CHECK_ITEMS("url=postgresql://u:p@h/d?x=y", "url", "postgresql://u:p@h/d?x=y");
}

static void parse__takes_keys_without_a_value(void **state)
{
    (void)state;
    CHECK_ITEMS("a\nb=\nc:\nd  \n", "a", "", "b", "", "c", "", "d", "");
}

static void parse__keeps_blanks_after_a_value(void **state)
{
    (void)state;
    CHECK_ITEMS("  a =  1 2  \n\tb\f=\f3\t\n", "a", "1 2  ", "b", "3\t");
}

static void parse__skips_comments_and_blank_lines(void **state)
{
    (void)state;
    CHECK_ITEMS("# one\n\n   ! two\n \t \n#a=1\\\nb=2\nc=#3\n", "b", "2", "c", "#3");
}

static void parse__takes_all_line_ends(void **state)
{
    (void)state;
    CHECK_ITEMS("a=1\rb=2\r\nc=3\n\rd=4", "a", "1", "b", "2", "c", "3", "d", "4");
}

static void parse__joins_continued_lines(void **state)
{
    (void)state;
    CHECK_ITEMS("a=1,\\\n    2,\\\r\n\t3\nb=4", "a", "1,2,3", "b", "4");
    CHECK_ITEMS("a\\\n  b=1", "ab", "1");
    CHECK_ITEMS("a=1\\\n# no comment\nb=2", "a", "1# no comment", "b", "2");
    CHECK_ITEMS("a=1\\\n\nb=2", "a", "1", "b", "2");
    CHECK_ITEMS("a=c:\\\\\nb=2", "a", "c:\\", "b",
                "2"); /* an escaped backslash does not continue */
    CHECK_ITEMS("a=x\\\\\\\ny", "a", "x\\y");
    CHECK_ITEMS("a=1\\", "a", "1");
    CHECK_ITEMS("\\\n\\\na=1", "a", "1");
}

static void parse__decodes_escapes(void **state)
{
    (void)state;
    CHECK_ITEMS("a=\\t\\n\\r\\f\\\\", "a", "\t\n\r\f\\");
    CHECK_ITEMS("a=\\z\\\"\\ x", "a", "z\" x"); /* others stand for themselves */
    CHECK_ITEMS("a\\=b\\:c\\ d=1", "a=b:c d", "1");
    CHECK_ITEMS("\\#a=\\ 1", "#a", " 1");
    CHECK_ITEMS("a=\\u0041\\u00e4\\u20AC", "a", "A\xc3\xa4\xe2\x82\xac");
    CHECK_ITEMS("a=\\ud83d\\ude00!", "a", "\xf0\x9f\x98\x80!");
    CHECK_ITEMS("\\u006bey=\\u000a", "key", "\n");
}

static void parse__takes_utf8_and_a_byte_order_mark(void **state)
{
    (void)state;
    CHECK_ITEMS("\xef\xbb\xbfgr\xc3\xbc\xc3\x9f"
                "e=\xe2\x82\xac",
                "gr\xc3\xbc\xc3\x9f"
                "e",
                "\xe2\x82\xac");
}

static void parse__counts_lines(void **state)
{
    (void)state;
    alv_properties properties;
    alv_view text = ALV_VIEW("# one\n\na=1\\\r\n  2\r\nb=3\rc=4");
    assert_int_equal(alv_properties_parse(text, "f", &properties, NULL), ALV_OK);
    assert_int_equal(properties.count, 3);
    assert_int_equal(properties.items[0].line, 3);
    assert_int_equal(properties.items[1].line, 5);
    assert_int_equal(properties.items[2].line, 6);
    alv_properties_done(&properties);
}

static void parse__takes_nothing(void **state)
{
    (void)state;
    alv_properties properties;
    assert_int_equal(alv_properties_parse(ALV_VIEW_NONE, "f", &properties, NULL), ALV_OK);
    assert_int_equal(properties.count, 0);
    assert_int_equal(alv_properties_parse(ALV_VIEW("\n#\n\\"), "f", &properties, NULL), ALV_OK);
    assert_int_equal(properties.count, 0);
    alv_properties_done(&properties);
    alv_properties_done(NULL);
}

static void parse__refuses_broken_escapes(void **state)
{
    (void)state;
    static const char *const values[] = {
        "\\u", "\\u12", "\\u12g4", "\\u0000", "\\ude00", "\\ud83d", "\\ud83dx", "\\ud83d\\u0041",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "a=1\nb=%s\n", values[i]);
        check_refused(alv_view_of(text),
                      "f:2: broken \\u escape: four hexadecimal digits that make "
                      "up a character are needed");
    }
    check_refused(ALV_VIEW("\\u12=1"),
                  "f:1: broken \\u escape: four hexadecimal digits that make up "
                  "a character are needed");
}

static void parse__refuses_empty_keys(void **state)
{
    (void)state;
    check_refused(ALV_VIEW("a=1\n\n =2"), "f:3: empty key");
    check_refused(ALV_VIEW(":"), "f:1: empty key");
}

static void parse__refuses_keys_given_twice(void **state)
{
    (void)state;
    check_refused(ALV_VIEW("a=1\nb=2\n\\u0061 = 3"),
                  "f:3: key 'a' is given twice (first in line 1)");
}

static void parse__refuses_what_is_not_text(void **state)
{
    (void)state;
    check_refused(ALV_VIEW("a=1\r\nb=\xff"), "f:2: not UTF-8 text");
    check_refused(ALV_VIEW("a=1\n\nb=\0"
                           "2"),
                  "f:3: not UTF-8 text");
}

static void load__reads_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/alluvium-properties-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        (void)fprintf(file, "key.%d=%d\n", i, i * i);
    assert_int_equal(fclose(file), 0);

    alv_properties properties;
    assert_int_equal(alv_properties_load(path, &properties, NULL), ALV_OK);
    assert_int_equal(properties.count, 1000);
    assert_string_equal(properties.items[999].value, "998001");
    alv_properties_done(&properties);

    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(truncate(path, 1024 * 1024 + 1), 0);
    assert_int_equal(alv_properties_load(path, &properties, &err), ALV_REJECT);
    assert_non_null(strstr(err.text, "larger than 1048576 bytes"));
    (void)unlink(path);
}

static void load__says_what_cannot_be_read(void **state)
{
    (void)state;
    alv_properties properties;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_properties_load("/nowhere/at.all", &properties, &err), ALV_REJECT);
    assert_string_equal(err.text, "/nowhere/at.all: No such file or directory");
    alv_error_clear(&err);
    assert_int_equal(alv_properties_load("/tmp", &properties, &err), ALV_REJECT);
    assert_string_equal(err.text, "/tmp: Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_all_separators),
        cmocka_unit_test(parse__takes_keys_without_a_value),
        cmocka_unit_test(parse__keeps_blanks_after_a_value),
        cmocka_unit_test(parse__skips_comments_and_blank_lines),
        cmocka_unit_test(parse__takes_all_line_ends),
        cmocka_unit_test(parse__joins_continued_lines),
        cmocka_unit_test(parse__decodes_escapes),
        cmocka_unit_test(parse__takes_utf8_and_a_byte_order_mark),
        cmocka_unit_test(parse__counts_lines),
        cmocka_unit_test(parse__takes_nothing),
        cmocka_unit_test(parse__refuses_broken_escapes),
        cmocka_unit_test(parse__refuses_empty_keys),
        cmocka_unit_test(parse__refuses_keys_given_twice),
        cmocka_unit_test(parse__refuses_what_is_not_text),
        cmocka_unit_test(load__reads_a_file),
        cmocka_unit_test(load__says_what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
