#include "tests/support/store_contract.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/support/wait.h"

static alv_store *store_of(void **state)
{
    return ((store_contract *)*state)->store;
}

alv_position store_position_at(int64_t offset)
{
    return (alv_position){offset, offset, offset, 1000};
}

alv_position store_open_shard(alv_store *store, int32_t shard)
{
    alv_position position;
    alv_error err = ALV_ERROR_NONE;
    if (store->ops->open_shard(store, shard, &position, &err) != ALV_OK)
        fail_msg("open_shard: %s", err.text);
    return position;
}

static void apply(alv_store *store, int32_t shard, const alv_store_write *writes, size_t count,
                  int64_t offset)
{
    alv_position position = store_position_at(offset);
    alv_error err = ALV_ERROR_NONE;
    if (store->ops->apply(store, shard, writes, count, &position, &err) != ALV_OK)
        fail_msg("apply: %s", err.text);
}

void store_put(alv_store *store, int32_t shard, const char *key, const char *value, int64_t offset)
{
    alv_store_write write = {ALV_STORE_STATE, alv_view_of(key), alv_view_of(value)};
    apply(store, shard, &write, 1, offset);
}

void store_expect_kind(alv_store *store, int32_t shard, alv_store_kind kind, alv_view key,
                       alv_view value)
{
    bool found = value.data == NULL;
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&out, "left over");
    assert_int_equal(ALV_OK, store->ops->get(store, shard, kind, key, &found, &out, NULL));
    assert_int_equal(value.data != NULL, found);
    assert_int_equal(value.size, out.size);
    if (value.size > 0)
        assert_memory_equal(value.data, out.data, value.size);
    alv_bytes_done(&out);
}

void store_expect(alv_store *store, int32_t shard, const char *key, const char *value)
{
    store_expect_kind(store, shard, ALV_STORE_STATE, alv_view_of(key), alv_view_of(value));
}

void store_expect_position(alv_store *store, int32_t shard, int64_t offset)
{
    alv_position position = {-1, -1, -1, -1};
    assert_int_equal(ALV_OK, store->ops->position(store, shard, &position, NULL));
    assert_int_equal(offset, position.commands);
    assert_int_equal(offset, position.changelog);
    assert_int_equal(offset, position.ledger);
}

static bool count_visit(void *payload, alv_view key, alv_view value)
{
    (void)key;
    (void)value;
    ++*(size_t *)payload;
    return true;
}

size_t store_count(alv_store *store, int32_t shard, alv_store_kind kind)
{
    size_t count = 0;
    assert_int_equal(ALV_OK, store->ops->scan(store, shard, kind, ALV_VIEW_NONE, ALV_VIEW_NONE,
                                              count_visit, &count, NULL));
    return count;
}

/* ---- single writes ----------------------------------------------------------------------------
 * */

void store_contract__new_shard_starts_at_zero(void **state)
{
    alv_store *store = store_of(state);
    alv_position position = store_open_shard(store, 0);
    assert_int_equal(0, position.commands);
    assert_int_equal(0, position.changelog);
    assert_int_equal(0, position.ledger);
    assert_int_equal(0, position.at_ms);
    store_expect_position(store, 0, 0);
    assert_int_equal(0, store_count(store, 0, ALV_STORE_STATE));
    store_expect(store, 0, "nobody", NULL);
    store_open_shard(store, ALV_SHARDS_MAX - 1);
}

void store_contract__get_gives_what_was_applied(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 3);
    store_open_shard(store, 4);
    store_put(store, 3, "a", "1", 1);
    store_expect(store, 3, "a", "1");
    store_expect(store, 4, "a", NULL);
    store_put(store, 3, "a", "two", 2);
    store_expect(store, 3, "a", "two");
    store_put(store, 3, "a", NULL, 3);
    store_expect(store, 3, "a", NULL);
    store_put(store, 3, "a", NULL, 4);
    assert_int_equal(0, store_count(store, 3, ALV_STORE_STATE));
}

void store_contract__writes_of_a_batch_apply_in_order(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    alv_store_write writes[] = {
        {ALV_STORE_STATE, ALV_VIEW("x"), ALV_VIEW("1")},
        {ALV_STORE_STATE, ALV_VIEW("y"), ALV_VIEW("1")},
        {ALV_STORE_STATE, ALV_VIEW("x"), ALV_VIEW("2")},
        {ALV_STORE_STATE, ALV_VIEW("y"), ALV_VIEW_NONE},
        {ALV_STORE_STATE, ALV_VIEW("z"), ALV_VIEW_NONE},
        {ALV_STORE_STATE, ALV_VIEW("z"), ALV_VIEW("3")},
    };
    apply(store, 0, writes, 6, 6);
    store_expect(store, 0, "x", "2");
    store_expect(store, 0, "y", NULL);
    store_expect(store, 0, "z", "3");
}

void store_contract__kinds_are_separate(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    alv_store_write writes[] = {
        {ALV_STORE_STATE, ALV_VIEW("k"), ALV_VIEW("state")},
        {ALV_STORE_LEDGER, ALV_VIEW("k"), ALV_VIEW("ledger")},
        {ALV_STORE_LEDGER, ALV_VIEW("only"), ALV_VIEW("ledger")},
    };
    apply(store, 0, writes, 3, 1);
    store_expect(store, 0, "k", "state");
    store_expect(store, 0, "only", NULL);
    store_expect_kind(store, 0, ALV_STORE_LEDGER, ALV_VIEW("k"), ALV_VIEW("ledger"));
    assert_int_equal(1, store_count(store, 0, ALV_STORE_STATE));
    assert_int_equal(2, store_count(store, 0, ALV_STORE_LEDGER));
    store_put(store, 0, "k", NULL, 2);
    store_expect_kind(store, 0, ALV_STORE_LEDGER, ALV_VIEW("k"), ALV_VIEW("ledger"));
}

void store_contract__empty_value_is_not_absent(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    store_put(store, 0, "k", "", 1);
    store_expect(store, 0, "k", "");
    assert_int_equal(1, store_count(store, 0, ALV_STORE_STATE));
}

void store_contract__long_keys_and_values_fit(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    size_t key_sizes[] = {ALV_KEY_BYTES_MAX - 1, ALV_KEY_BYTES_MAX, ALV_KEY_BYTES_MAX + 1, 5000};
    char *key = alv_alloc(5000);
    char *value = alv_alloc(ALV_STATE_BYTES_MAX);
    memset(key, 'k', 5000);
    memset(value, 'v', ALV_STATE_BYTES_MAX);
    alv_view value_view = {value, ALV_STATE_BYTES_MAX};
    for (int i = 0; i < 4; i++) {
        alv_view key_view = {key, key_sizes[i]};
        alv_store_write write = {ALV_STORE_STATE, key_view, value_view};
        apply(store, 0, &write, 1, i);
        store_expect_kind(store, 0, ALV_STORE_STATE, key_view, value_view);
    }
    assert_int_equal(4, store_count(store, 0, ALV_STORE_STATE));
    alv_free(key);
    alv_free(value);
}

/* ---- positions --------------------------------------------------------------------------------
 * */

void store_contract__position_follows_apply(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    store_put(store, 0, "a", "1", 7);
    store_expect_position(store, 0, 7);
    store_expect_position(store, 1, 0);
    /* Without writes; the same offsets again; parts that move alone; a clock that was set back. */
    alv_position position = {8, 7, 7, 900};
    assert_int_equal(ALV_OK, store->ops->apply(store, 0, NULL, 0, &position, NULL));
    position = (alv_position){8, 7, 7, 5};
    assert_int_equal(ALV_OK, store->ops->apply(store, 0, NULL, 0, &position, NULL));
    position = store_open_shard(store, 0);
    assert_int_equal(8, position.commands);
    assert_int_equal(7, position.changelog);
    assert_int_equal(7, position.ledger);
    assert_int_equal(5, position.at_ms);
}

void store_expect_abort(void (*body)(alv_store *store), alv_store *store)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        (void)!freopen("/dev/null", "w", stderr);
        body(store);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGABRT, WTERMSIG(status));
}

static void apply_commands_back(alv_store *store)
{
    alv_position position = {4, 9, 9, 1000};
    (void)store->ops->apply(store, 0, NULL, 0, &position, NULL);
}

static void apply_changelog_back(alv_store *store)
{
    alv_position position = {9, 4, 9, 1000};
    (void)store->ops->apply(store, 0, NULL, 0, &position, NULL);
}

static void apply_ledger_back(alv_store *store)
{
    alv_position position = {9, 9, 4, 1000};
    (void)store->ops->apply(store, 0, NULL, 0, &position, NULL);
}

void store_contract__position_going_back_aborts(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    store_put(store, 0, "a", "1", 5);
    store_expect_abort(apply_commands_back, store);
    store_expect_abort(apply_changelog_back, store);
    store_expect_abort(apply_ledger_back, store);
}

void store_contract__apply_to_closed_shard_aborts(void **state)
{
    store_expect_abort(apply_ledger_back, store_of(state));
}

void store_contract__reads_of_closed_shard_ask_to_retry(void **state)
{
    alv_store *store = store_of(state);
    bool found = false;
    size_t count = 0;
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_position position;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_RETRY, store->ops->position(store, 9, &position, &err));
    assert_string_equal("shard 9 is not open", err.text);
    assert_int_equal(ALV_RETRY,
                     store->ops->get(store, 9, ALV_STORE_STATE, ALV_VIEW("k"), &found, &out, NULL));
    assert_int_equal(ALV_RETRY, store->ops->scan(store, 9, ALV_STORE_STATE, ALV_VIEW_NONE,
                                                 ALV_VIEW_NONE, count_visit, &count, NULL));
    alv_bytes_done(&out);
}

/* ---- scans ------------------------------------------------------------------------------------
 * */

/* Collects the keys that a scan visits, each followed by a blank; stops after `limit`. */
typedef struct key_list {
    alv_bytes text;
    size_t count;
    size_t limit;
} key_list;

static bool list_visit(void *payload, alv_view key, alv_view value)
{
    key_list *list = payload;
    assert_true(value.data != NULL);
    alv_bytes_append(&list->text, key.data, key.size);
    alv_bytes_append_text(&list->text, " ");
    return ++list->count < list->limit;
}

static void expect_scan(alv_store *store, alv_view prefix, alv_view after, size_t limit,
                        const char *keys)
{
    key_list list = {.limit = limit};
    assert_int_equal(ALV_OK, store->ops->scan(store, 0, ALV_STORE_STATE, prefix, after, list_visit,
                                              &list, NULL));
    alv_bytes_append(&list.text, "", 1);
    assert_string_equal(keys, list.text.data);
    alv_bytes_done(&list.text);
}

static void fill_for_scan(alv_store *store)
{
    static const char *const keys[] = {"b",    "ab", "a",         "ac",    "abc",
                                       "\xff", "c",  "a\xff\xff", "a\xff", "\xff\xff"};
    store_open_shard(store, 0);
    for (int i = 0; i < 10; i++)
        store_put(store, 0, keys[i], "v", i);
    alv_store_write ledger[] = {
        {ALV_STORE_LEDGER, ALV_VIEW("ab"), ALV_VIEW("l")},
        {ALV_STORE_LEDGER, ALV_VIEW("zz"), ALV_VIEW("l")},
    };
    apply(store, 0, ledger, 2, 11);
}

void store_contract__scan_visits_prefix_in_order(void **state)
{
    alv_store *store = store_of(state);
    fill_for_scan(store);
    expect_scan(store, ALV_VIEW_NONE, ALV_VIEW_NONE, 99,
                "a ab abc ac a\xff a\xff\xff b c \xff \xff\xff ");
    expect_scan(store, ALV_VIEW(""), ALV_VIEW(""), 3, "a ab abc ");
    expect_scan(store, ALV_VIEW("ab"), ALV_VIEW_NONE, 99, "ab abc ");
    expect_scan(store, ALV_VIEW("a\xff"), ALV_VIEW_NONE, 99, "a\xff a\xff\xff ");
    expect_scan(store, ALV_VIEW("\xff"), ALV_VIEW_NONE, 99, "\xff \xff\xff ");
    expect_scan(store, ALV_VIEW("abcd"), ALV_VIEW_NONE, 99, "");
}

void store_contract__scan_goes_on_after_a_key(void **state)
{
    alv_store *store = store_of(state);
    fill_for_scan(store);
    expect_scan(store, ALV_VIEW_NONE, ALV_VIEW("ac"), 2, "a\xff a\xff\xff ");
    expect_scan(store, ALV_VIEW("a"), ALV_VIEW("abb"), 2, "abc ac ");
    expect_scan(store, ALV_VIEW("a"), ALV_VIEW("a"), 1, "ab ");
    expect_scan(store, ALV_VIEW("ab"), ALV_VIEW("a"), 99, "ab abc ");
    expect_scan(store, ALV_VIEW("ab"), ALV_VIEW("Z"), 99, "ab abc ");
    expect_scan(store, ALV_VIEW("ab"), ALV_VIEW("abc"), 99, "");
    expect_scan(store, ALV_VIEW("ab"), ALV_VIEW("c"), 99, "");
    expect_scan(store, ALV_VIEW_NONE, ALV_VIEW("\xff\xff"), 99, "");
}

typedef struct meddler {
    alv_store *store;
    key_list list;
} meddler;

/* Writes to the store from inside a scan of it: deletes what comes next, adds what would. */
static bool meddle_visit(void *payload, alv_view key, alv_view value)
{
    meddler *self = payload;
    if (self->list.count == 0) {
        store_put(self->store, 0, "c", NULL, 100);
        store_put(self->store, 0, "ba", "new", 101);
        assert_int_equal(ALV_OK, self->store->ops->wipe_shard(self->store, 0, NULL));
    }
    return list_visit(&self->list, key, value);
}

void store_contract__scan_is_a_snapshot(void **state)
{
    meddler self = {.store = store_of(state), .list = {.limit = 99}};
    fill_for_scan(self.store);
    assert_int_equal(ALV_OK, self.store->ops->scan(self.store, 0, ALV_STORE_STATE, ALV_VIEW_NONE,
                                                   ALV_VIEW("ac"), meddle_visit, &self, NULL));
    alv_bytes_append(&self.list.text, "", 1);
    assert_string_equal("a\xff a\xff\xff b c \xff \xff\xff ", self.list.text.data);
    assert_int_equal(0, store_count(self.store, 0, ALV_STORE_STATE));
    alv_bytes_done(&self.list.text);
}

/* ---- shards as a whole ------------------------------------------------------------------------
 * */

void store_contract__wipe_empties_one_shard(void **state)
{
    alv_store *store = store_of(state);
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    store_put(store, 0, "a", "1", 5);
    store_put(store, 1, "a", "1", 5);
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
    store_expect_position(store, 0, 0);
    store_expect(store, 0, "a", NULL);
    store_expect_position(store, 1, 5);
    store_expect(store, 1, "a", "1");
    store_put(store, 0, "b", "2", 1);
    store_expect(store, 0, "b", "2");
    store_expect_position(store, 0, 1);
    /* A shard that was never there. */
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 2, NULL));
    store_expect_position(store, 2, 0);
}

void store_contract__flush_changes_nothing_visible(void **state)
{
    alv_store *store = store_of(state);
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    store_open_shard(store, 0);
    store_put(store, 0, "a", "1", 5);
    store_put(store, 0, "b", "1", 6);
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    store_put(store, 0, "a", NULL, 7);
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    store_expect(store, 0, "a", NULL);
    store_expect(store, 0, "b", "1");
    store_expect_position(store, 0, 7);
}

/* ---- against a model --------------------------------------------------------------------------
 * */

enum {
    MODEL_SHARDS = 3,
    MODEL_KEYS = 48,
    MODEL_STEPS = 3000
};

/* The value of each key, 0 = none; two kinds. */
typedef struct model {
    int values[MODEL_SHARDS][2][MODEL_KEYS];
    int64_t offsets[MODEL_SHARDS];
    bool loading[MODEL_SHARDS];
} model;

static const alv_store_kind model_kinds[2] = {ALV_STORE_STATE, ALV_STORE_LEDGER};

static void model_check(const model *expected, alv_store *store)
{
    for (int shard = 0; shard < MODEL_SHARDS; shard++) {
        store_expect_position(store, shard, expected->offsets[shard]);
        for (int kind = 0; kind < 2; kind++) {
            size_t count = 0;
            for (int key = 0; key < MODEL_KEYS; key++) {
                char name[16];
                char value[16];
                int number = expected->values[shard][kind][key];
                (void)snprintf(name, sizeof name, "key-%d", key);
                (void)snprintf(value, sizeof value, "%d", number);
                store_expect_kind(store, shard, model_kinds[kind], alv_view_of(name),
                                  number == 0 ? ALV_VIEW_NONE : alv_view_of(value));
                count += number != 0;
            }
            assert_int_equal(count, store_count(store, shard, model_kinds[kind]));
        }
    }
}

static void model_apply(model *expected, alv_store *store, int shard, unsigned *seed)
{
    alv_store_write writes[8];
    char keys[8][16];
    char values[8][16];
    size_t count = (size_t)rand_r(seed) % 9;
    for (size_t i = 0; i < count; i++) {
        int kind = rand_r(seed) % 2;
        int key = rand_r(seed) % MODEL_KEYS;
        int value = rand_r(seed) % 4 == 0 ? 0 : 1 + rand_r(seed) % 1000;
        (void)snprintf(keys[i], sizeof keys[i], "key-%d", key);
        (void)snprintf(values[i], sizeof values[i], "%d", value);
        writes[i] = (alv_store_write){model_kinds[kind], alv_view_of(keys[i]),
                                      value == 0 ? ALV_VIEW_NONE : alv_view_of(values[i])};
        expected->values[shard][kind][key] = value;
    }
    expected->offsets[shard] += rand_r(seed) % 3;
    if (expected->loading[shard])
        store_load(store, shard, writes, count, expected->offsets[shard]);
    else
        apply(store, shard, writes, count, expected->offsets[shard]);
}

static void model_begin_load(model *expected, alv_store *store, int shard)
{
    if (!expected->loading[shard])
        assert_int_equal(ALV_OK, store->ops->bulk_begin(store, shard, NULL));
    expected->loading[shard] = true;
}

static void model_end_load(model *expected, alv_store *store, int shard)
{
    if (expected->loading[shard])
        store_load_end(store, shard);
    expected->loading[shard] = false;
}

void store_contract__random_operations_match_a_model(void **state)
{
    alv_store *store = store_of(state);
    model *expected = alv_alloc(sizeof *expected);
    unsigned seed = 20260501;
    for (int shard = 0; shard < MODEL_SHARDS; shard++)
        store_open_shard(store, shard);
    for (int step = 1; step <= MODEL_STEPS; step++) {
        int shard = rand_r(&seed) % MODEL_SHARDS;
        int what = rand_r(&seed) % 300;
        if (what == 0) {
            model_end_load(expected, store, shard);
            assert_int_equal(ALV_OK, store->ops->wipe_shard(store, shard, NULL));
            memset(expected->values[shard], 0, sizeof expected->values[shard]);
            expected->offsets[shard] = 0;
        } else if (what == 1) {
            assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
        } else if (what <= 4) {
            model_begin_load(expected, store, shard);
        } else if (what <= 10) {
            model_end_load(expected, store, shard);
        } else {
            model_apply(expected, store, shard, &seed);
        }
        if (step % 250 == 0) {
            for (shard = 0; shard < MODEL_SHARDS; shard++)
                model_end_load(expected, store, shard);
            model_check(expected, store);
        }
    }
    alv_free(expected);
}

/* ---- threads ----------------------------------------------------------------------------------
 * */

enum {
    THREAD_KEYS = 10,
    THREAD_APPLIES = 400,
    THREAD_WIPES = 15
};

/* Two writers own a shard each; a third thread opens, fills and wipes another; readers read them
 * all.
 * cmocka's asserts belong to the main thread, so threads count what is wrong. */
typedef struct store_crowd {
    alv_store *store;
    atomic_bool over;
    atomic_int wrong;
    atomic_int scans;
} store_crowd;

typedef struct crowd_member {
    store_crowd *crowd;
    int32_t shard;
} crowd_member;

/* Every apply sets all keys to one and the same number. */
static void crowd_apply(store_crowd *crowd, int32_t shard, int64_t number)
{
    alv_store_write writes[THREAD_KEYS];
    char keys[THREAD_KEYS][16];
    char value[32];
    (void)snprintf(value, sizeof value, "%lld", (long long)number);
    for (int i = 0; i < THREAD_KEYS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%d", i);
        writes[i] = (alv_store_write){ALV_STORE_STATE, alv_view_of(keys[i]), alv_view_of(value)};
    }
    alv_position position = store_position_at(number);
    if (crowd->store->ops->apply(crowd->store, shard, writes, THREAD_KEYS, &position, NULL) !=
        ALV_OK)
        crowd->wrong++;
}

static void *crowd_write(void *payload)
{
    const crowd_member *self = payload;
    for (int64_t number = 1; number <= THREAD_APPLIES; number++)
        crowd_apply(self->crowd, self->shard, number);
    return NULL;
}

static void *crowd_wipe(void *payload)
{
    const crowd_member *self = payload;
    alv_store *store = self->crowd->store;
    for (int32_t i = 0; i < THREAD_WIPES; i++) {
        alv_position position;
        crowd_apply(self->crowd, self->shard, 1);
        if (store->ops->wipe_shard(store, self->shard, NULL) != ALV_OK ||
            store->ops->open_shard(store, 100 + i, &position, NULL) != ALV_OK ||
            store->ops->flush(store, NULL) != ALV_OK)
            self->crowd->wrong++;
    }
    return NULL;
}

typedef struct crowd_scan {
    char first[32];
    int count;
    bool equal;
} crowd_scan;

static bool crowd_visit(void *payload, alv_view key, alv_view value)
{
    crowd_scan *scan = payload;
    (void)key;
    if (scan->count++ == 0 && value.size < sizeof scan->first)
        memcpy(scan->first, value.data, value.size);
    if (strlen(scan->first) != value.size || memcmp(scan->first, value.data, value.size) != 0)
        scan->equal = false;
    return true;
}

/* A scan sees whole applies only, a value read after a position is not older than it, and the
 * position does not go back. */
static void crowd_look(store_crowd *crowd, int32_t shard, bool wiped, int64_t *seen)
{
    alv_store *store = crowd->store;
    alv_position position;
    crowd_scan scan = {.equal = true};
    bool found = false;
    alv_bytes value = ALV_BYTES_EMPTY;
    if (store->ops->position(store, shard, &position, NULL) != ALV_OK ||
        store->ops->scan(store, shard, ALV_STORE_STATE, ALV_VIEW_NONE, ALV_VIEW_NONE, crowd_visit,
                         &scan, NULL) != ALV_OK ||
        store->ops->get(store, shard, ALV_STORE_STATE, ALV_VIEW("k0"), &found, &value, NULL) !=
            ALV_OK)
        crowd->wrong++;
    else if (!scan.equal || (scan.count != 0 && scan.count != THREAD_KEYS))
        crowd->wrong++;
    else if (!wiped && (position.changelog < *seen ||
                        (scan.count > 0 && strtoll(scan.first, NULL, 10) < position.changelog)))
        crowd->wrong++;
    *seen = position.changelog;
    crowd->scans++;
    alv_bytes_done(&value);
}

static void *crowd_read(void *payload)
{
    const crowd_member *self = payload;
    int64_t seen[3] = {0, 0, 0};
    while (!self->crowd->over)
        for (int32_t shard = 0; shard < 3; shard++)
            crowd_look(self->crowd, shard, shard == 2, &seen[shard]);
    return NULL;
}

static bool crowd_has_looked(void *payload)
{
    return ((const store_crowd *)payload)->scans > 0;
}

void store_contract__threads_read_while_others_write(void **state)
{
    store_crowd crowd = {.store = store_of(state)};
    crowd_member members[5] = {{&crowd, 0}, {&crowd, 1}, {&crowd, 2}, {&crowd, -1}, {&crowd, -1}};
    void *(*const bodies[5])(void *) = {crowd_write, crowd_write, crowd_wipe, crowd_read,
                                        crowd_read};
    pthread_t threads[5];
    for (int32_t shard = 0; shard < 3; shard++)
        store_open_shard(crowd.store, shard);
    for (int i = 4; i >= 0;
         i--) { /* readers first: a busy machine may let the writers end before */
        assert_int_equal(0, pthread_create(&threads[i], NULL, bodies[i], &members[i]));
        assert_true(i > 3 || alv_wait_until(crowd_has_looked, &crowd, 60000));
    }
    for (int i = 0; i < 5; i++) {
        if (i == 3)
            crowd.over = true; /* the three writers are done */
        assert_int_equal(0, pthread_join(threads[i], NULL));
    }
    assert_int_equal(0, crowd.wrong);
    assert_true(crowd.scans > 0);
    store_expect_position(crowd.store, 0, THREAD_APPLIES);
    store_expect_position(crowd.store, 2, 0);
    assert_int_equal(THREAD_KEYS, store_count(crowd.store, 1, ALV_STORE_STATE));
}
