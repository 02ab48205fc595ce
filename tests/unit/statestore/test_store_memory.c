/* Goal:   the memory store keeps the contract of all stores, and falls back as a crash makes it.
 * Method: the shared contract; then crashes at known places, and random ones compared with a past
 *         that is computed again. */
#include "tests/support/store_contract.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

static int setup(void **state)
{
    store_contract *fixture = alv_alloc(sizeof *fixture);
    fixture->store = alv_store_memory_new();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    store_contract *fixture = *state;
    fixture->store->ops->close(fixture->store);
    alv_free(fixture);
    return 0;
}

static void crash__takes_back_whole_applies(void **state)
{
    alv_store *store = ((store_contract *)*state)->store;
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    store_put(store, 0, "a", "1", 1);
    store_put(store, 0, "a", "", 2);
    store_put(store, 0, "a", NULL, 3);
    store_put(store, 0, "b", "1", 4);
    store_put(store, 1, "a", "1", 9);

    alv_store_memory_crash(store, 0, 0);
    store_expect_position(store, 0, 4);
    alv_store_memory_crash(store, 0, 2);
    store_expect_position(store, 0, 2);
    store_expect(store, 0, "a", "");
    store_expect(store, 0, "b", NULL);
    alv_store_memory_crash(store, 0, 1);
    store_expect(store, 0, "a", "1");
    store_put(store, 0, "a", "again", 2);
    store_expect(store, 0, "a", "again");
    alv_store_memory_crash(store, 0, 99);
    store_expect_position(store, 0, 0);
    assert_int_equal(0, store_count(store, 0, ALV_STORE_STATE));
    store_expect_position(store, 1, 9);
    store_expect(store, 1, "a", "1");
}

static void crash__undoes_a_batch_backwards(void **state)
{
    alv_store *store = ((store_contract *)*state)->store;
    store_open_shard(store, 0);
    store_put(store, 0, "a", "old", 1);
    alv_store_write writes[] = {
        {ALV_STORE_STATE, ALV_VIEW("a"), ALV_VIEW("1")},
        {ALV_STORE_STATE, ALV_VIEW("a"), ALV_VIEW_NONE},
        {ALV_STORE_STATE, ALV_VIEW("a"), ALV_VIEW("2")},
        {ALV_STORE_LEDGER, ALV_VIEW("a"), ALV_VIEW("l")},
    };
    alv_position position = {2, 2, 2, 2};
    assert_int_equal(ALV_OK, store->ops->apply(store, 0, writes, 4, &position, NULL));
    store_expect(store, 0, "a", "2");
    alv_store_memory_crash(store, 0, 1);
    store_expect(store, 0, "a", "old");
    assert_int_equal(0, store_count(store, 0, ALV_STORE_LEDGER));
}

static void crash__keeps_what_was_flushed(void **state)
{
    alv_store *store = ((store_contract *)*state)->store;
    store_open_shard(store, 0);
    store_put(store, 0, "a", "1", 1);
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    store_put(store, 0, "a", "2", 2);
    alv_store_memory_crash(store, 0, 99);
    store_expect(store, 0, "a", "1");
    store_expect_position(store, 0, 1);
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
    alv_store_memory_crash(store, 0, 99);
    store_expect(store, 0, "a", NULL);
}

/* After n applies the store was in state n; a crash by k must give state n - k. What state n is,
 * follows from n alone: apply n sets key n % 7 to n, and deletes key n * 3 % 7. */
static void crash__gives_an_earlier_state_exactly(void **state)
{
    alv_store *store = ((store_contract *)*state)->store;
    unsigned seed = 7;
    int64_t at = 0;
    store_open_shard(store, 0);
    for (int round = 0; round < 300; round++) {
        for (int applies = rand_r(&seed) % 12; applies > 0; applies--) {
            char keys[2][16];
            char value[16];
            at++;
            (void)snprintf(keys[0], sizeof keys[0], "%d", (int)(at % 7));
            (void)snprintf(keys[1], sizeof keys[1], "%d", (int)(at * 3 % 7));
            (void)snprintf(value, sizeof value, "%d", (int)at);
            alv_store_write writes[] = {
                {ALV_STORE_STATE, alv_view_of(keys[0]), alv_view_of(value)},
                {ALV_STORE_STATE, alv_view_of(keys[1]), ALV_VIEW_NONE},
            };
            alv_position position = {at, at, at, 0};
            assert_int_equal(ALV_OK, store->ops->apply(store, 0, writes, 2, &position, NULL));
        }
        int back = rand_r(&seed) % 8;
        at = back < at ? at - back : 0;
        alv_store_memory_crash(store, 0, (size_t)back);

        int values[7] = {0};
        for (int i = 1; i <= at; i++) {
            values[i % 7] = i;
            values[i * 3 % 7] = 0;
        }
        store_expect_position(store, 0, at);
        for (int key = 0; key < 7; key++) {
            char name[16];
            char value[16];
            (void)snprintf(name, sizeof name, "%d", key);
            (void)snprintf(value, sizeof value, "%d", values[key]);
            store_expect(store, 0, name, values[key] == 0 ? NULL : value);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_CONTRACT_TESTS(setup, teardown),
        cmocka_unit_test_setup_teardown(crash__takes_back_whole_applies, setup, teardown),
        cmocka_unit_test_setup_teardown(crash__undoes_a_batch_backwards, setup, teardown),
        cmocka_unit_test_setup_teardown(crash__keeps_what_was_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(crash__gives_an_earlier_state_exactly, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
