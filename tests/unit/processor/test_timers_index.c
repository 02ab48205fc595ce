/* Goal:   the index of timers is a hint: an entry that makes no sense costs nobody a timer.
 * Method: entries put into a store by hand, of lengths that no timer has, before, between and behind others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "processor/timers.h"

#define DUE_MS INT64_C(1700000000000)

static void put(alv_store *store, alv_view key)
{
    const alv_store_write write = {.kind = ALV_STORE_TIMER, .key = key, .value = ALV_VIEW("")};
    assert_int_equal(store->ops->apply(store, 0, &write, 1, &ALV_POSITION_START, NULL), ALV_OK);
}

static void put_timer(alv_store *store, int64_t due_ms, const char *entity)
{
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_store_timer_key(due_ms, alv_view_of(entity), &key);
    put(store, alv_bytes_view(&key));
    alv_bytes_done(&key);
}

/* The first `size` bytes of an entry: at most a due time, without anybody whose timer it is. */
static void put_short(alv_store *store, int64_t due_ms, size_t size)
{
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_store_timer_key(due_ms, ALV_VIEW("x"), &key);
    put(store, (alv_view){key.data, size});
    alv_bytes_done(&key);
}

static void timers__an_entry_that_is_too_short_is_passed_over(void **state)
{
    (void)state;
    alv_store *store = alv_store_memory_new();
    alv_timers timers;
    alv_position position;
    alv_due_list due;
    memset(&timers, 0, sizeof timers);
    memset(&due, 0, sizeof due);
    assert_int_equal(store->ops->open_shard(store, 0, &position, NULL), ALV_OK);
    put_timer(store, DUE_MS, "alarm/1");
    put_timer(store, DUE_MS + 2, "alarm/2");
    put_timer(store, DUE_MS + 9, "alarm/3");
    for (size_t size = 1; size <= 8; size++) {
        put_short(store, DUE_MS, size);
        put_short(store, DUE_MS + 1, size);
        put_short(store, INT64_MAX, size);
    }
    alv_timers_start(&timers, 0, 0, DUE_MS);
    assert_int_equal(alv_timers_collect(&timers, store, 0, DUE_MS + 5, &due, NULL), ALV_OK);
    assert_int_equal(due.count, 2);
    assert_string_equal(due.items[0].key.data, "alarm/1");
    assert_int_equal(due.items[0].due_ms, DUE_MS);
    assert_string_equal(due.items[1].key.data, "alarm/2");
    assert_int_equal(timers.next_ms, DUE_MS + 9);
    alv_bytes_done(&due.keys);
    alv_timers_done(&timers);
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers__an_entry_that_is_too_short_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
