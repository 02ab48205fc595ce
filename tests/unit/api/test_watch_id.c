/* Goal:   an id gives back what went into it, and nothing that is not an id of this changelog passes.
 * Method: round trips; one character changed, cut or added at every place; ids of another topic,
 *         another number of shards, another shard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/watch_id.h"
#include "base/limits.h"

#define SHARDS 32
#define AS_OF 1764151200

static int64_t offsets[SHARDS];

static alv_watch_id id_of(int32_t shard)
{
    for (int i = 0; i < SHARDS; i++) {
        offsets[i] = (int64_t)1 << i;
    }
    offsets[0] = 0;
    offsets[1] = INT64_MAX;
    return (alv_watch_id){.changelog = alv_watch_id_changelog("topic"),
                          .as_of_s = AS_OF,
                          .shard_count = SHARDS,
                          .shard = shard,
                          .offsets = shard < 0 ? offsets : &offsets[shard]};
}

static alv_status decode(alv_view text, const alv_watch_id *wanted, int64_t *out)
{
    int64_t as_of_s = 0;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_watch_id_decode(text, wanted, out, &as_of_s, &err);
    assert_true(status == ALV_OK ? as_of_s == AS_OF : err.text[0] != '\0');
    return status;
}

static void id__of_all_shards_comes_back(void **state)
{
    (void)state;
    alv_watch_id id = id_of(-1);
    alv_bytes text = ALV_BYTES_EMPTY;
    int64_t out[SHARDS];
    alv_watch_id_encode(&id, &text);
    assert_int_equal(decode(alv_bytes_view(&text), &id, out), ALV_OK);
    assert_memory_equal(out, offsets, sizeof out);
    alv_bytes_done(&text);
}

static void id__of_one_shard_is_short(void **state)
{
    (void)state;
    alv_watch_id id = id_of(20);
    alv_bytes text = ALV_BYTES_EMPTY;
    int64_t out = -1;
    alv_watch_id_encode(&id, &text);
    assert_true(text.size <= 28);
    assert_int_equal(decode(alv_bytes_view(&text), &id, &out), ALV_OK);
    assert_int_equal(out, 1 << 20);
    alv_bytes_done(&text);
}

static void id__of_all_shards_serves_a_key(void **state)
{
    (void)state;
    alv_watch_id all = id_of(-1);
    alv_watch_id one = id_of(7);
    alv_bytes text = ALV_BYTES_EMPTY;
    int64_t out[SHARDS];
    alv_watch_id_encode(&all, &text);
    assert_int_equal(decode(alv_bytes_view(&text), &one, out), ALV_OK);
    assert_int_equal(out[0], 1 << 7);
    alv_bytes_clear(&text);
    alv_watch_id_encode(&one, &text);
    assert_int_equal(decode(alv_bytes_view(&text), &all, out), ALV_REJECT);
    one = id_of(8);
    assert_int_equal(decode(alv_bytes_view(&text), &one, out), ALV_REJECT);
    alv_bytes_done(&text);
}

static void id__of_something_else_is_refused(void **state)
{
    (void)state;
    alv_watch_id here = id_of(-1);
    alv_watch_id there = id_of(-1);
    alv_bytes text = ALV_BYTES_EMPTY;
    int64_t out[SHARDS];
    there.changelog = alv_watch_id_changelog("made anew");
    alv_watch_id_encode(&there, &text);
    assert_int_equal(decode(alv_bytes_view(&text), &here, out), ALV_REJECT);
    there = id_of(-1);
    there.shard_count = SHARDS - 1;
    alv_bytes_clear(&text);
    alv_watch_id_encode(&there, &text);
    assert_int_equal(decode(alv_bytes_view(&text), &here, out), ALV_REJECT);
    alv_bytes_done(&text);
}

static void id__that_is_damaged_is_refused(void **state)
{
    (void)state;
    alv_watch_id id = id_of(-1);
    alv_bytes text = ALV_BYTES_EMPTY;
    int64_t out[SHARDS];
    alv_watch_id_encode(&id, &text);
    for (size_t i = 0; i < text.size; i++) {
        char kept = text.data[i];
        text.data[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(decode(alv_bytes_view(&text), &id, out), ALV_REJECT);
        text.data[i] = kept;
        assert_int_equal(decode((alv_view){text.data, i}, &id, out), ALV_REJECT);
    }
    alv_bytes_append_text(&text, "AAAA");
    assert_int_equal(decode(alv_bytes_view(&text), &id, out), ALV_REJECT);
    assert_int_equal(decode(ALV_VIEW("17"), &id, out), ALV_REJECT);
    assert_int_equal(decode(ALV_VIEW("not an id"), &id, out), ALV_REJECT);
    alv_bytes_clear(&text);
    for (int i = 0; i < 100000; i++) {
        alv_bytes_append_text(&text, "A");
    }
    assert_int_equal(decode(alv_bytes_view(&text), &id, out), ALV_REJECT);
    alv_bytes_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id__of_all_shards_comes_back),
        cmocka_unit_test(id__of_one_shard_is_short),
        cmocka_unit_test(id__of_all_shards_serves_a_key),
        cmocka_unit_test(id__of_something_else_is_refused),
        cmocka_unit_test(id__that_is_damaged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
