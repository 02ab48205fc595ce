/* Goal:   views tell absent from empty, and buffers grow without losing a byte.
 * Method: direct calls, with sizes around the first allocation and many appends in a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

static void view__tells_absent_from_empty(void **state)
{
    (void)state;
    assert_true(alv_view_equal(ALV_VIEW_NONE, ALV_VIEW_NONE));
    assert_false(alv_view_equal(ALV_VIEW_NONE, ALV_VIEW("")));
    assert_false(alv_view_equal(ALV_VIEW(""), ALV_VIEW_NONE));
    assert_true(alv_view_equal(ALV_VIEW(""), ALV_VIEW("")));
    assert_null(alv_view_of(NULL).data);
    assert_non_null(alv_view_of("").data);
}

static void view__compares_length_and_content(void **state)
{
    (void)state;
    assert_true(alv_view_equal(ALV_VIEW("a\0b"), (alv_view){"a\0b", 3}));
    assert_false(alv_view_equal(ALV_VIEW("a\0b"), ALV_VIEW("a\0c")));
    assert_false(alv_view_equal(ALV_VIEW("ab"), ALV_VIEW("abc")));
}

static void view__starts_with_a_prefix(void **state)
{
    (void)state;
    assert_true(alv_view_starts_with(ALV_VIEW("transfer/1"), ALV_VIEW("transfer/")));
    assert_true(alv_view_starts_with(ALV_VIEW("x"), ALV_VIEW("")));
    assert_false(alv_view_starts_with(ALV_VIEW("trans"), ALV_VIEW("transfer")));
    assert_false(alv_view_starts_with(ALV_VIEW_NONE, ALV_VIEW("")));
    assert_false(alv_view_starts_with(ALV_VIEW("x"), ALV_VIEW_NONE));
}

static void bytes__grow_and_keep_their_content(void **state)
{
    (void)state;
    alv_bytes bytes = ALV_BYTES_EMPTY;
    for (int i = 0; i < 1000; i++)
        alv_bytes_printf(&bytes, "%03d", i);
    assert_int_equal(bytes.size, 3000);
    for (int i = 0; i < 1000; i++) {
        char expected[16];
        (void)snprintf(expected, sizeof expected, "%03d", i);
        assert_memory_equal(bytes.data + 3 * i, expected, 3);
    }
    alv_bytes_done(&bytes);
    assert_null(bytes.data);
    alv_bytes_done(&bytes);
    alv_bytes_done(NULL);
}

static void bytes__take_any_byte(void **state)
{
    (void)state;
    alv_bytes bytes = ALV_BYTES_EMPTY;
    alv_bytes_append(&bytes, "a\0b", 3);
    alv_bytes_append(&bytes, NULL, 0);
    alv_bytes_append_text(&bytes, "");
    alv_bytes_append_text(&bytes, "c");
    assert_true(alv_view_equal(alv_bytes_view(&bytes), ALV_VIEW("a\0bc")));
    alv_bytes_done(&bytes);
}

static void bytes__set_replaces_and_clear_keeps_the_memory(void **state)
{
    (void)state;
    alv_bytes bytes = ALV_BYTES_EMPTY;
    alv_bytes_set(&bytes, "first", 5);
    alv_bytes_set(&bytes, "2", 1);
    assert_true(alv_view_equal(alv_bytes_view(&bytes), ALV_VIEW("2")));
    size_t capacity = bytes.capacity;
    alv_bytes_clear(&bytes);
    assert_int_equal(bytes.size, 0);
    assert_int_equal(bytes.capacity, capacity);
    alv_bytes_done(&bytes);
}

static void bytes__are_never_absent(void **state)
{
    (void)state;
    alv_bytes bytes = ALV_BYTES_EMPTY;
    assert_true(alv_view_equal(alv_bytes_view(&bytes), ALV_VIEW("")));
    alv_bytes_printf(&bytes, "%s", "");
    assert_true(alv_view_equal(alv_bytes_view(&bytes), ALV_VIEW("")));
    alv_bytes_done(&bytes);
}

static void bytes__reserve_is_at_least_what_was_asked(void **state)
{
    (void)state;
    alv_bytes bytes = ALV_BYTES_EMPTY;
    alv_bytes_reserve(&bytes, 100000);
    assert_true(bytes.capacity >= 100000);
    char *data = bytes.data;
    memset(bytes.data, 'x', 100000);
    bytes.size = 99999;
    alv_bytes_append(&bytes, "y", 1);
    assert_ptr_equal(bytes.data, data);
    alv_bytes_done(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view__tells_absent_from_empty),
        cmocka_unit_test(view__compares_length_and_content),
        cmocka_unit_test(view__starts_with_a_prefix),
        cmocka_unit_test(bytes__grow_and_keep_their_content),
        cmocka_unit_test(bytes__take_any_byte),
        cmocka_unit_test(bytes__set_replaces_and_clear_keeps_the_memory),
        cmocka_unit_test(bytes__are_never_absent),
        cmocka_unit_test(bytes__reserve_is_at_least_what_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
