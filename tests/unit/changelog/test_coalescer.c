/* Goal:   the coalescer holds the last row of each key, whatever came when, and counts its memory.
 * Method: random puts and drops, compared with an array that is searched from end to end. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "changelog/coalescer.h"

#define KEYS 3000
#define SHARDS 4

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

static void put(alv_coalescer *coalescer, uint32_t key, int64_t offset)
{
    char key_text[32], state[32];
    (void)snprintf(key_text, sizeof key_text, "type/%u", key);
    (void)snprintf(state, sizeof state, "%lld", (long long)offset);
    alv_view view = alv_view_of(key_text);
    alv_coalescer_put(coalescer, &(alv_checkpoint_row){
                                     .key = view,
                                     .type = {view.data, 4},
                                     .state = offset % 5 == 0 ? ALV_VIEW_NONE : alv_view_of(state),
                                     .shard = (int32_t)(key % SHARDS),
                                     .changelog_offset = offset});
}

static void check_row(const alv_checkpoint_row *row, const int64_t *offsets)
{
    unsigned key = KEYS;
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", (int)row->key.size, row->key.data);
    assert_int_equal(sscanf(text, "type/%u", &key), 1);
    assert_true(key < KEYS);
    assert_int_equal(row->changelog_offset, offsets[key]);
    assert_ptr_equal(row->type.data, row->key.data); /* moved along with the key */
    assert_int_equal(row->type.size, 4);
    (void)snprintf(text, sizeof text, "%lld", (long long)offsets[key]);
    assert_true(
        alv_view_equal(row->state, offsets[key] % 5 == 0 ? ALV_VIEW_NONE : alv_view_of(text)));
}

static void check(alv_coalescer *coalescer, const int64_t *offsets)
{
    size_t expected = 0;
    for (size_t i = 0; i < KEYS; i++)
        expected += offsets[i] > 0;
    assert_int_equal(alv_coalescer_count(coalescer), expected);
    size_t bytes = 0;
    for (size_t i = 0; i < expected; i++) {
        const alv_checkpoint_row *row = &alv_coalescer_rows(coalescer)[i];
        check_row(row, offsets);
        bytes += sizeof *row + row->key.size + row->state.size;
    }
    assert_int_equal(alv_coalescer_bytes(coalescer), bytes);
}

static void coalescer__holds_the_last_row_of_each_key(void **state)
{
    (void)state;
    static int64_t offsets[KEYS]; /* 0 = none */
    uint32_t random = 42;
    alv_coalescer *coalescer = alv_coalescer_new();
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2000; i++) {
            uint32_t key = next_random(&random) % KEYS;
            int64_t offset = 1 + next_random(&random) % 100000; /* older ones too */
            put(coalescer, key, offset);
            if (offset > offsets[key])
                offsets[key] = offset;
        }
        check(coalescer, offsets);
        int32_t shard = (int32_t)(next_random(&random) % SHARDS);
        alv_coalescer_drop(coalescer, shard);
        for (size_t i = (size_t)shard; i < KEYS; i += SHARDS)
            offsets[i] = 0;
        check(coalescer, offsets);
    }
    alv_coalescer_clear(coalescer);
    memset(offsets, 0, sizeof offsets);
    check(coalescer, offsets);
    put(coalescer, 7, 3);
    offsets[7] = 3;
    check(coalescer, offsets);
    alv_coalescer_free(coalescer);
    alv_coalescer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coalescer__holds_the_last_row_of_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
