/* store_contract.h — what every store must do, as tests that run over any of them.
 *
 * Why:    the simulator and most tests use the memory store, production uses RocksDB. What both are
 *         held to is written once.
 * Thread: the test's; the checks about threads start their own.
 */
#ifndef ALV_TESTS_SUPPORT_STORE_CONTRACT_H
#define ALV_TESTS_SUPPORT_STORE_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "statestore/store.h"

/* What the setup of a test file puts into *state: an empty store, no shard open. */
typedef struct store_contract {
    alv_store *store;
    void *payload; /* the test file's own */
} store_contract;

void store_contract__new_shard_starts_at_zero(void **state);
void store_contract__get_gives_what_was_applied(void **state);
void store_contract__writes_of_a_batch_apply_in_order(void **state);
void store_contract__kinds_are_separate(void **state);
void store_contract__empty_value_is_not_absent(void **state);
void store_contract__long_keys_and_values_fit(void **state);
void store_contract__position_follows_apply(void **state);
void store_contract__position_going_back_aborts(void **state);
void store_contract__apply_to_closed_shard_aborts(void **state);
void store_contract__reads_of_closed_shard_ask_to_retry(void **state);
void store_contract__scan_visits_prefix_in_order(void **state);
void store_contract__scan_goes_on_after_a_key(void **state);
void store_contract__scan_is_a_snapshot(void **state);
void store_contract__wipe_empties_one_shard(void **state);
void store_contract__flush_changes_nothing_visible(void **state);
void store_contract__load_is_complete_when_it_ends(void **state);
void store_contract__load_replaces_and_deletes_what_is_there(void **state);
void store_contract__load_that_is_dropped_leaves_a_prefix(void **state);
void store_contract__loads_of_several_shards_go_on_at_once(void **state);
void store_contract__load_goes_on_after_another(void **state);
void store_contract__apply_during_a_load_aborts(void **state);
void store_contract__random_operations_match_a_model(void **state);
void store_contract__threads_read_while_others_write(void **state);

#define STORE_CONTRACT_TEST(name, setup, teardown) \
    cmocka_unit_test_setup_teardown(store_contract__##name, setup, teardown)

/* The rows for a file's table of tests. */
#define STORE_CONTRACT_TESTS(setup, teardown)                                          \
    STORE_CONTRACT_TEST(new_shard_starts_at_zero, setup, teardown),                    \
        STORE_CONTRACT_TEST(get_gives_what_was_applied, setup, teardown),              \
        STORE_CONTRACT_TEST(writes_of_a_batch_apply_in_order, setup, teardown),        \
        STORE_CONTRACT_TEST(kinds_are_separate, setup, teardown),                      \
        STORE_CONTRACT_TEST(empty_value_is_not_absent, setup, teardown),               \
        STORE_CONTRACT_TEST(long_keys_and_values_fit, setup, teardown),                \
        STORE_CONTRACT_TEST(position_follows_apply, setup, teardown),                  \
        STORE_CONTRACT_TEST(position_going_back_aborts, setup, teardown),              \
        STORE_CONTRACT_TEST(apply_to_closed_shard_aborts, setup, teardown),            \
        STORE_CONTRACT_TEST(reads_of_closed_shard_ask_to_retry, setup, teardown),      \
        STORE_CONTRACT_TEST(scan_visits_prefix_in_order, setup, teardown),             \
        STORE_CONTRACT_TEST(scan_goes_on_after_a_key, setup, teardown),                \
        STORE_CONTRACT_TEST(scan_is_a_snapshot, setup, teardown),                      \
        STORE_CONTRACT_TEST(wipe_empties_one_shard, setup, teardown),                  \
        STORE_CONTRACT_TEST(flush_changes_nothing_visible, setup, teardown),           \
        STORE_CONTRACT_TEST(load_is_complete_when_it_ends, setup, teardown),           \
        STORE_CONTRACT_TEST(load_replaces_and_deletes_what_is_there, setup, teardown), \
        STORE_CONTRACT_TEST(load_that_is_dropped_leaves_a_prefix, setup, teardown),    \
        STORE_CONTRACT_TEST(loads_of_several_shards_go_on_at_once, setup, teardown),   \
        STORE_CONTRACT_TEST(load_goes_on_after_another, setup, teardown),              \
        STORE_CONTRACT_TEST(apply_during_a_load_aborts, setup, teardown),              \
        STORE_CONTRACT_TEST(random_operations_match_a_model, setup, teardown),         \
        STORE_CONTRACT_TEST(threads_read_while_others_write, setup, teardown)

/* ---- short forms, for the test files too ------------------------------------------------------
 * */

/* Opens a shard; fails the test when that fails. */
alv_position store_open_shard(alv_store *store, int32_t shard);

/* One state entry (`value` NULL: deleted) and a position whose three offsets are `offset`. */
void store_put(alv_store *store, int32_t shard, const char *key, const char *value, int64_t offset);

/* A position whose three offsets are `offset`. */
alv_position store_position_at(int64_t offset);

/* Writes as part of a bulk load, in one call, with that position; and the load's end, waited for. */
void store_load(alv_store *store, int32_t shard, const alv_store_write *writes, size_t count,
                int64_t offset);
void store_load_end(alv_store *store, int32_t shard);

/* The end of a load, waited for, that may fail; how it ended. */
alv_status store_load_finish(alv_store *store, int32_t shard, alv_error *err);

/* Runs `body` in a child and expects it to abort: a broken invariant, not an error. */
void store_expect_abort(void (*body)(alv_store *store), alv_store *store);

/* Asserts the value of an entry; `value` without data: there is none. */
void store_expect_kind(alv_store *store, int32_t shard, alv_store_kind kind, alv_view key,
                       alv_view value);

/* Asserts the value of a state entry (NULL: there is none). */
void store_expect(alv_store *store, int32_t shard, const char *key, const char *value);

/* Asserts that the three offsets are `offset`. */
void store_expect_position(alv_store *store, int32_t shard, int64_t offset);

/* How many entries of a kind there are. */
size_t store_count(alv_store *store, int32_t shard, alv_store_kind kind);

#endif
