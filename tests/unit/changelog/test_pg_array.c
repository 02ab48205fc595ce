/* Goal:   arrays have the bytes that PostgreSQL expects.
 * Method: golden bytes, as array_send of a PostgreSQL 15 server gave them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "changelog/pg_array.h"

#define assert_bytes(array, literal)                                            \
    do {                                                                        \
        assert_int_equal((array)->bytes.size, sizeof(literal) - 1);             \
        assert_memory_equal((array)->bytes.data, literal, sizeof(literal) - 1); \
    } while (0)

static void pg_array__encodes_numbers(void **state)
{
    (void)state;
    alv_pg_array array = ALV_PG_ARRAY_EMPTY;
    alv_pg_array_begin(&array, ALV_PG_INT4);
    alv_pg_array_add_int4(&array, 1);
    alv_pg_array_add_int4(&array, -2);
    alv_pg_array_finish(&array);
    assert_bytes(&array, "\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\2\0\0\0\1"
                         "\0\0\0\4\0\0\0\1\0\0\0\4\xff\xff\xff\xfe");
    alv_pg_array_begin(&array, ALV_PG_INT8); /* again, for another type */
    alv_pg_array_add_int8(&array, INT64_C(0x0102030405060708));
    alv_pg_array_finish(&array);
    assert_bytes(&array, "\0\0\0\1\0\0\0\0\0\0\0\x14\0\0\0\1\0\0\0\1"
                         "\0\0\0\10\1\2\3\4\5\6\7\10");
    alv_pg_array_done(&array);
}

static void pg_array__encodes_text_json_and_null(void **state)
{
    (void)state;
    alv_pg_array array = ALV_PG_ARRAY_EMPTY;
    alv_pg_array_begin(&array, ALV_PG_TEXT);
    alv_pg_array_add_text(&array, ALV_VIEW("a,\""));
    alv_pg_array_add_text(&array, ALV_VIEW(""));
    alv_pg_array_finish(&array);
    assert_bytes(&array, "\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\2\0\0\0\1"
                         "\0\0\0\3a,\"\0\0\0\0");
    alv_pg_array_begin(&array, ALV_PG_JSONB);
    alv_pg_array_add_jsonb(&array, ALV_VIEW("{}"));
    alv_pg_array_add_null(&array);
    alv_pg_array_finish(&array);
    assert_bytes(&array, "\0\0\0\1\0\0\0\1\0\0\x0e\xda\0\0\0\2\0\0\0\1"
                         "\0\0\0\3\1{}\xff\xff\xff\xff");
    alv_pg_array_done(&array);
}

/* 2000-01-01 is zero; times before 1970 and after 9999 are moved to the edge. */
static void pg_array__encodes_times(void **state)
{
    (void)state;
    alv_pg_array array = ALV_PG_ARRAY_EMPTY;
    alv_pg_array_begin(&array, ALV_PG_TIMESTAMPTZ);
    alv_pg_array_add_timestamptz(&array, INT64_C(946684800001));
    alv_pg_array_add_timestamptz(&array, INT64_MIN);
    alv_pg_array_add_timestamptz(&array, 0);
    alv_pg_array_add_timestamptz(&array, INT64_MAX);
    alv_pg_array_add_timestamptz(&array, INT64_C(253402300799999));
    alv_pg_array_finish(&array);
    const char *items = array.bytes.data + 20;
    assert_memory_equal(items, "\0\0\0\10\0\0\0\0\0\0\3\xe8", 12);
    assert_memory_equal(items + 12, items + 24, 12);
    assert_memory_equal(items + 36, items + 48, 12);
    alv_pg_array_done(&array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pg_array__encodes_numbers),
        cmocka_unit_test(pg_array__encodes_text_json_and_null),
        cmocka_unit_test(pg_array__encodes_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
