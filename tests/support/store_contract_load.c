/* store_contract_load.c — the part of the contract that is about bulk loads. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/support/store_contract.h"
#include "tests/support/wait.h"

enum {
    CALLS = 120,
    PER_CALL = 40,
    VALUE_BYTES = 300, /* 120 calls are several files of a store with 8 MiB */
    END_TIMEOUT_MS = 30000
};

static alv_store *store_of(void **state)
{
    return ((store_contract *)*state)->store;
}

static void load_begin(alv_store *store, int32_t shard)
{
    alv_error err = ALV_ERROR_NONE;
    if (store->ops->bulk_begin(store, shard, &err) != ALV_OK)
        fail_msg("bulk_begin: %s", err.text);
}

void store_load(alv_store *store, int32_t shard, const alv_store_write *writes, size_t count,
                int64_t offset)
{
    alv_position position = store_position_at(offset);
    alv_error err = ALV_ERROR_NONE;
    assert_true(store->ops->bulk_wait(store, END_TIMEOUT_MS));
    if (store->ops->bulk_apply(store, shard, writes, count, &position, &err) != ALV_OK)
        fail_msg("bulk_apply: %s", err.text);
}

typedef struct load_end {
    alv_store *store;
    int32_t shard;
    alv_status status;
    alv_error err;
} load_end;

static bool load_has_ended(void *payload)
{
    load_end *self = payload;
    bool done = false;
    alv_error_clear(&self->err);
    self->status = self->store->ops->bulk_end(self->store, self->shard, true, &done, &self->err);
    return done || self->status != ALV_OK;
}

alv_status store_load_finish(alv_store *store, int32_t shard, alv_error *err)
{
    load_end self = {.store = store, .shard = shard};
    assert_true(alv_wait_until(load_has_ended, &self, END_TIMEOUT_MS));
    *err = self.err;
    return self.status;
}

void store_load_end(alv_store *store, int32_t shard)
{
    alv_error err = ALV_ERROR_NONE;
    if (store_load_finish(store, shard, &err) != ALV_OK)
        fail_msg("bulk_end: %s", err.text);
}

static void load_drop(alv_store *store, int32_t shard)
{
    bool done = false;
    assert_int_equal(ALV_OK, store->ops->bulk_end(store, shard, false, &done, NULL));
    assert_true(done);
}

/* Call n, from 1 on, adds the keys n * PER_CALL ... in an order of its own, and ends at position n. The
 * value says which call it was. */
static void load_call(alv_store *store, int32_t shard, int call)
{
    static char keys[PER_CALL][32];
    static char values[PER_CALL][VALUE_BYTES];
    alv_store_write writes[PER_CALL];
    for (int i = 0; i < PER_CALL; i++) {
        int number = call * PER_CALL + (i * 7) % PER_CALL;
        int size = snprintf(keys[i], sizeof keys[i], "user/%d", number);
        memset(values[i], 'a' + call % 26, VALUE_BYTES);
        writes[i] =
            (alv_store_write){ALV_STORE_STATE, {keys[i], (size_t)size}, {values[i], VALUE_BYTES}};
    }
    store_load(store, shard, writes, PER_CALL, call);
}

static bool check_value(void *payload, alv_view key, alv_view value)
{
    size_t *seen = payload;
    char name[32] = {0};
    int number = 0;
    memcpy(name, key.data, key.size < sizeof name - 1 ? key.size : sizeof name - 1);
    assert_int_equal(1, sscanf(name, "user/%d", &number));
    assert_int_equal(VALUE_BYTES, value.size);
    assert_int_equal('a' + number / PER_CALL % 26, value.data[0]);
    assert_int_equal('a' + number / PER_CALL % 26, value.data[VALUE_BYTES - 1]);
    ++*seen;
    return true;
}

/* The shard is as its position says: all of the calls up to there and nothing else (I2). */
static int64_t expect_calls(alv_store *store, int32_t shard)
{
    alv_position position;
    size_t seen = 0;
    assert_int_equal(ALV_OK, store->ops->position(store, shard, &position, NULL));
    assert_int_equal(ALV_OK, store->ops->scan(store, shard, ALV_STORE_STATE, ALV_VIEW_NONE,
                                              ALV_VIEW_NONE, check_value, &seen, NULL));
    assert_int_equal(position.changelog * PER_CALL, seen);
    assert_int_equal(position.changelog, position.commands);
    assert_int_equal(position.changelog, position.ledger);
    return position.changelog;
}

void store_contract__load_is_complete_when_it_ends(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    load_begin(store, 0);
    for (int call = 1; call <= CALLS; call++) {
        load_call(store, 0, call);
    }
    store_load_end(store, 0);
    assert_int_equal(CALLS, expect_calls(store, 0));
    /* The usual way works again, above what was loaded. */
    store_put(store, 0, "user/40", "changed", CALLS + 1);
    store_expect(store, 0, "user/40", "changed");
    store_put(store, 0, "user/40", NULL, CALLS + 2);
    store_expect(store, 0, "user/40", NULL);
}

void store_contract__load_replaces_and_deletes_what_is_there(void **state)
{
    alv_store *store = store_of(state);
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    store_open_shard(store, 0);
    for (int i = 0; i < 6; i++) {
        store_put(store, 0, keys[i], "old", 1 + i);
    }
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    store_put(store, 0, "b", "newer", 7); /* not in a file when the load begins */
    load_begin(store, 0);
    alv_store_write first[] = {
        {ALV_STORE_STATE, ALV_VIEW("b"), ALV_VIEW("loaded")},
        {ALV_STORE_STATE, ALV_VIEW("c"), ALV_VIEW_NONE},
        {ALV_STORE_TIMER, ALV_VIEW("a"), ALV_VIEW("")},
        {ALV_STORE_LEDGER, ALV_VIEW("a"), ALV_VIEW("ledger")},
        {ALV_STORE_STATE, ALV_VIEW("d"), ALV_VIEW("once")},
        {ALV_STORE_STATE, ALV_VIEW("d"), ALV_VIEW("twice")},
        {ALV_STORE_STATE, ALV_VIEW("e"), ALV_VIEW("gone again")},
        {ALV_STORE_STATE, ALV_VIEW("e"), ALV_VIEW_NONE},
        {ALV_STORE_STATE, ALV_VIEW(""), ALV_VIEW("no key")},
        {ALV_STORE_STATE, ALV_VIEW("empty"), ALV_VIEW("")},
        {ALV_STORE_STATE, ALV_VIEW("never"), ALV_VIEW_NONE},
    };
    store_load(store, 0, first, 11, 8);
    alv_store_write second[] = {
        {ALV_STORE_STATE, ALV_VIEW("b"), ALV_VIEW("last")},
        {ALV_STORE_STATE, ALV_VIEW("f"), ALV_VIEW_NONE},
        {ALV_STORE_STATE, ALV_VIEW("f"), ALV_VIEW("back")},
    };
    store_load(store, 0, second, 3, 9);
    store_load(store, 0, NULL, 0, 10); /* a position alone */
    store_load_end(store, 0);
    store_expect(store, 0, "a", "old");
    store_expect(store, 0, "b", "last");
    store_expect(store, 0, "c", NULL);
    store_expect(store, 0, "d", "twice");
    store_expect(store, 0, "e", NULL);
    store_expect(store, 0, "f", "back");
    store_expect(store, 0, "", "no key");
    store_expect(store, 0, "empty", "");
    store_expect_kind(store, 0, ALV_STORE_LEDGER, ALV_VIEW("a"), ALV_VIEW("ledger"));
    store_expect_kind(store, 0, ALV_STORE_TIMER, ALV_VIEW("a"), ALV_VIEW(""));
    assert_int_equal(6, store_count(store, 0, ALV_STORE_STATE));
    store_expect_position(store, 0, 10);
}

static bool load_has_installed(void *payload)
{
    const load_end *self = payload;
    alv_position position;
    assert_int_equal(ALV_OK, self->store->ops->position(self->store, self->shard, &position, NULL));
    return position.changelog > 0;
}

/* Dropped at different moments, from before the first piece to after several. */
void store_contract__load_that_is_dropped_leaves_a_prefix(void **state)
{
    alv_store *store = store_of(state);
    load_end self = {.store = store, .shard = 0};
    store_open_shard(store, 0);
    int64_t at = 0;
    for (int calls = 0; calls <= CALLS; calls += 20) {
        load_begin(store, 0);
        for (int64_t call = at + 1; call <= calls; call++) {
            load_call(store, 0, (int)call);
        }
        if (calls == CALLS) { /* too many for one piece */
            assert_true(alv_wait_until(load_has_installed, &self, END_TIMEOUT_MS));
        }
        load_drop(store, 0);
        int64_t kept = expect_calls(store, 0);
        assert_in_range(kept, at, calls);
        at = kept;
    }
    assert_true(at > 0);
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
    assert_int_equal(0, expect_calls(store, 0));
}

/* Also: reads at any time see a whole prefix, and other shards take writes. */
void store_contract__loads_of_several_shards_go_on_at_once(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 9);
    for (int32_t shard = 0; shard < ALV_STORE_BULK_SHARDS_MAX; shard++) {
        store_open_shard(store, shard);
        load_begin(store, shard);
    }
    for (int call = 1; call <= CALLS; call++) {
        for (int32_t shard = 0; shard < ALV_STORE_BULK_SHARDS_MAX; shard++) {
            load_call(store, shard, call);
        }
        store_put(store, 9, "other", "shard", call);
        store_expect(store, 9, "other", "shard");
    }
    load_drop(store, 1);
    for (int32_t shard = 0; shard < ALV_STORE_BULK_SHARDS_MAX; shard++) {
        if (shard == 1) {
            assert_in_range(expect_calls(store, shard), 0, CALLS);
        } else {
            store_load_end(store, shard);
            assert_int_equal(CALLS, expect_calls(store, shard));
        }
    }
}

void store_contract__load_goes_on_after_another(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    for (int call = 1; call <= CALLS; call++) {
        if (call % 20 == 1)
            load_begin(store, 0);
        load_call(store, 0, call);
        if (call % 20 == 0) {
            store_load_end(store, 0);
            assert_int_equal(call, expect_calls(store, 0));
        }
    }
}

static void apply_during_load(alv_store *store)
{
    alv_position position = store_position_at(1);
    (void)store->ops->apply(store, 0, NULL, 0, &position, NULL);
}

void store_contract__apply_during_a_load_aborts(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    load_begin(store, 0);
    store_expect_abort(apply_during_load, store);
    load_drop(store, 0);
}
