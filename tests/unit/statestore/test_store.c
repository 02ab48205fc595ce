/* Goal:   a stored position is believed only when it is exactly what was written.
 * Method: encode and decode; every single flipped bit, every other size and another version must be
 *         refused; one encoding is frozen byte by byte, because it is on disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmocka.h>

#include "statestore/store_internal.h"

static const alv_position sample = {0x0102030405060708, 300, 70000, 1767225600123};

static void position__survives_encoding(void **state)
{
    (void)state;
    static const alv_position positions[] = {
        {0, 0, 0, 0},
        {1, 2, 3, 4},
        {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
        {0, 0, 0, -1}, /* a clock before 1970 is odd, not damage */
    };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        char encoded[ALV_POSITION_BYTES];
        alv_position decoded = {-7, -7, -7, -7};
        alv_position_encode(&positions[i], encoded);
        assert_int_equal(ALV_OK,
                         alv_position_decode((alv_view){encoded, sizeof encoded}, &decoded, NULL));
        assert_memory_equal(&positions[i], &decoded, sizeof decoded);
    }
}

static void position__encoding_is_frozen(void **state)
{
    (void)state;
    static const unsigned char frozen[ALV_POSITION_BYTES] = {
        1,    0,    0,    0,                   /* version */
        8,    7,    6,    5,    4,    3, 2, 1, /* commands */
        0x2c, 1,    0,    0,    0,    0, 0, 0, /* changelog */
        0x70, 0x11, 1,    0,    0,    0, 0, 0, /* ledger */
        0x7b, 0xa8, 0xda, 0x76, 0x9b, 1, 0, 0, /* at_ms */
        0x55, 0xc2, 0x82, 0xee,                /* checksum */
    };
    char encoded[ALV_POSITION_BYTES];
    alv_position_encode(&sample, encoded);
    assert_memory_equal(frozen, encoded, sizeof encoded);
}

static void position__any_flipped_bit_is_refused(void **state)
{
    (void)state;
    char encoded[ALV_POSITION_BYTES];
    alv_position_encode(&sample, encoded);
    for (size_t bit = 0; bit < 8 * sizeof encoded; bit++) {
        alv_position decoded = {-7, -7, -7, -7};
        alv_error err = ALV_ERROR_NONE;
        encoded[bit / 8] = (char)(encoded[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(ALV_REJECT,
                         alv_position_decode((alv_view){encoded, sizeof encoded}, &decoded, &err));
        assert_int_equal(-7, decoded.commands);
        assert_true(err.text[0] != '\0');
        encoded[bit / 8] = (char)(encoded[bit / 8] ^ (1 << bit % 8));
    }
}

static void position__other_sizes_are_refused(void **state)
{
    (void)state;
    char encoded[ALV_POSITION_BYTES + 1] = {0};
    alv_position decoded;
    alv_position_encode(&sample, encoded);
    for (size_t size = 0; size <= sizeof encoded; size++)
        assert_int_equal(size == ALV_POSITION_BYTES ? ALV_OK : ALV_REJECT,
                         alv_position_decode((alv_view){encoded, size}, &decoded, NULL));
    assert_int_equal(ALV_REJECT, alv_position_decode(ALV_VIEW_NONE, &decoded, NULL));
}

/* Nothing here writes one; whoever made it has gone to the trouble of its checksum. */
static void position__a_negative_offset_is_refused_whatever_its_checksum(void **state)
{
    (void)state;
    for (size_t at = 4; at <= 20; at += 8) { /* commands, changelog, ledger */
        char encoded[ALV_POSITION_BYTES];
        alv_position decoded = {-7, -7, -7, -7};
        alv_error err = ALV_ERROR_NONE;
        alv_position_encode(&sample, encoded);
        memset(encoded + at, 0xff, 8);
        uint32_t checksum = (uint32_t)XXH3_64bits(encoded, sizeof encoded - 4);
        for (size_t i = 0; i < 4; i++)
            encoded[sizeof encoded - 4 + i] = (char)(unsigned char)(checksum >> (8 * i));
        assert_int_equal(ALV_REJECT,
                         alv_position_decode((alv_view){encoded, sizeof encoded}, &decoded, &err));
        assert_string_equal(err.text, "stored position has a negative offset");
        assert_int_equal(-7, decoded.commands);
    }
}

static void position__covers_compares_each_offset(void **state)
{
    (void)state;
    alv_position base = {5, 5, 5, 5};
    alv_position others[] = {{4, 9, 9, 9}, {9, 4, 9, 9}, {9, 9, 4, 9}};
    alv_position clock_back = {5, 5, 6, 1};
    assert_true(alv_position_covers(&base, &base));
    assert_true(alv_position_covers(&clock_back, &base));
    for (int i = 0; i < 3; i++)
        assert_false(alv_position_covers(&others[i], &base));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(position__survives_encoding),
        cmocka_unit_test(position__encoding_is_frozen),
        cmocka_unit_test(position__any_flipped_bit_is_refused),
        cmocka_unit_test(position__other_sizes_are_refused),
        cmocka_unit_test(position__a_negative_offset_is_refused_whatever_its_checksum),
        cmocka_unit_test(position__covers_compares_each_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
