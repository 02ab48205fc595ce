/* Goal:   what is written is what jansson writes, byte for byte, and what jansson cannot write is refused and
 *         leaves nothing behind.
 * Method: values at the border of what is written here, then random ones, each written both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_writer.h"
#include "tests/support/random_json.h"

/* Takes the value. */
static void assert_same(json_t *value)
{
    char *expected = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&out, "before");
    assert_int_equal(alv_json_write(value, &out), expected != NULL);
    alv_bytes_append(&out, "", 1);
    assert_memory_equal(out.data, "before", 6);
    assert_string_equal(out.data + 6, expected != NULL ? expected : "");
    alv_bytes_done(&out);
    free(expected);
    json_decref(value);
}

static void write__agrees_with_jansson_at_the_borders(void **state)
{
    (void)state;
    assert_same(json_object());
    assert_same(json_array());
    assert_same(json_null());
    assert_same(json_real(1.0));
    assert_same(json_integer(INT64_MIN));
    assert_same(json_integer(INT64_MAX));
    assert_same(json_integer(0));
    assert_same(json_string(""));
    assert_same(json_stringn("a\0b", 3));
    assert_same(json_pack("{s:[i,f,s,n,b], s:{}}", "a", 1, 0.1, "x", 1, "b"));
    for (int c = 1; c < 128; c++)
        assert_same(json_stringn((char[]){(char)c, 'x', (char)c}, 3));
    char long_text[3000];
    memset(long_text, '"', sizeof long_text);
    assert_same(json_stringn(long_text, sizeof long_text));
}

static void write__refuses_what_jansson_refuses(void **state)
{
    (void)state;
    assert_same(json_stringn_nocheck("a\xff", 2));
    json_t *object = json_object();
    assert_int_equal(json_object_set_new_nocheck(object, "\xc3", json_true()), 0);
    assert_same(object);
    json_t *inner = json_array();
    json_t *outer = json_pack("[s,o]", "x", inner);
    assert_int_equal(json_array_append(inner, outer), 0); /* contains itself */
    json_incref(outer);
    assert_same(outer);
    assert_int_equal(json_array_clear(inner), 0);
    json_decref(outer);
    alv_bytes out = ALV_BYTES_EMPTY;
    assert_false(alv_json_write(NULL, &out));
    alv_bytes_done(&out);
}

static void write__takes_nesting_of_any_depth(void **state)
{
    (void)state;
    for (int depth = 120; depth < 140; depth++) {
        json_t *value = json_integer(1);
        for (int i = 0; i < depth; i++)
            value = i % 2 == 0 ? json_pack("[o]", value) : json_pack("{s:o}", "a", value);
        assert_same(value);
    }
}

static void write__agrees_with_jansson_about_random_values(void **state)
{
    (void)state;
    unsigned seed = 20261126;
    for (int i = 0; i < 5000; i++)
        assert_same(alv_random_json(&seed, 4));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(write__agrees_with_jansson_at_the_borders),
        cmocka_unit_test(write__refuses_what_jansson_refuses),
        cmocka_unit_test(write__takes_nesting_of_any_depth),
        cmocka_unit_test(write__agrees_with_jansson_about_random_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
