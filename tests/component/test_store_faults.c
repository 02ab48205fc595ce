/* Goal:   what a disk or somebody else does to the RocksDB store while it works ends as store.h says: a reason, a
 *         shard that is as some earlier call left it (I2), and a store that goes on when the cause is gone.
 * Method: a limit on the size of files stands for the full disk, which only root could make; files are damaged,
 *         put and taken away by hand.
 */
#include "tests/support/store_contract.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/support/scratch.h"
#include "tests/support/store_files.h"
#include "tests/support/wait.h"

#define MEMORY_BYTES (8 << 20) /* 349,525 for each buffer of a load */
#define VALUE_BYTES 1000

static alv_store *store;
static char *directory;

static alv_status try_open(alv_error *err)
{
    alv_store_options options = {directory, "test", MEMORY_BYTES};
    return alv_store_rocksdb_open(&options, &store, err);
}

static void must_open(void)
{
    alv_error err = ALV_ERROR_NONE;
    if (try_open(&err) != ALV_OK)
        fail_msg("open: %s", err.text);
}

static void close_store(void)
{
    if (store != NULL)
        store->ops->close(store);
    store = NULL;
}

static void reopen(void)
{
    close_store();
    must_open();
}

static int setup(void **state)
{
    (void)state;
    directory = alv_scratch_make();
    must_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_store();
    alv_scratch_remove(directory);
    return 0;
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* ---- a disk that takes no more --------------------------------------------------------------- */

static struct rlimit limit_before;

/* No file of this process can grow beyond `bytes`. */
static void limit_files(rlim_t bytes)
{
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &limit_before));
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit small = {bytes, limit_before.rlim_max};
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
}

static void lift_limit(void)
{
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit_before));
}

/* Entry `number` of a load, with the position behind it. */
static alv_status load_one(int64_t number, alv_error *err)
{
    static char value[VALUE_BYTES];
    char key[32];
    memset(value, 'v', sizeof value);
    size_t size = (size_t)snprintf(key, sizeof key, "%08lld", (long long)number);
    const alv_store_write write = {ALV_STORE_STATE, {key, size}, {value, sizeof value}};
    const alv_position position = {number, number, number, 0};
    return store->ops->bulk_apply(store, 0, &write, 1, &position, err);
}

static void begin_load(void)
{
    assert_int_equal(ALV_OK, store->ops->bulk_begin(store, 0, NULL));
}

typedef struct load_end {
    alv_status status;
    alv_error err;
} load_end;

static load_end end_load(void)
{
    load_end end = {0};
    end.status = store_load_finish(store, 0, &end.err);
    return end;
}

/* Entries 1 to its position, and nothing else. */
static void assert_prefix(int64_t last)
{
    alv_position position;
    assert_int_equal(ALV_OK, store->ops->position(store, 0, &position, NULL));
    assert_in_range(position.changelog, 0, last);
    assert_int_equal(position.changelog, store_count(store, 0, ALV_STORE_STATE));
}

static void load__that_the_disk_refuses_leaves_a_prefix(void **state)
{
    (void)state;
    int64_t number = 0;
    alv_error err = ALV_ERROR_NONE;
    store_open_shard(store, 0);
    begin_load();
    limit_files(100 << 10); /* a file of a full buffer does not fit */
    alv_status status = ALV_OK;
    while (status == ALV_OK && number < 1000000)
        status = load_one(++number, &err);
    lift_limit();
    assert_int_equal(ALV_FATAL, status); /* the limit is no full disk to RocksDB */
    assert_contains(err.text, "shard 0: IO error");
    assert_prefix(number);

    reopen();
    alv_position position = store_open_shard(store, 0);
    assert_prefix(number);
    begin_load();
    for (number = position.changelog + 1; number <= position.changelog + 2000; number++)
        assert_int_equal(ALV_OK, load_one(number, NULL));
    assert_int_equal(ALV_OK, end_load().status);
    assert_prefix(number - 1);
    assert_int_equal(number - 1, store_count(store, 0, ALV_STORE_STATE));
}

/* The last piece is the one that fails. */
static void load__that_cannot_be_ended_is_over(void **state)
{
    (void)state;
    store_open_shard(store, 0);
    begin_load();
    for (int64_t number = 1; number <= 200; number++)
        assert_int_equal(ALV_OK, load_one(number, NULL));
    limit_files(100);
    load_end end = end_load();
    lift_limit();
    assert_int_equal(ALV_RETRY, end.status);
    assert_contains(end.err.text, "IO error");
    assert_int_equal(0, store_count(store, 0, ALV_STORE_STATE));
    store_put(store, 0, "a", "1", 1); /* written as usual again */
    store_expect(store, 0, "a", "1");
}

/* Somebody tidied up. The shard is as good as before, and is not to be wiped. */
static void load__whose_folder_is_removed_is_tried_again(void **state)
{
    (void)state;
    char *folder = alv_format("%s/loading", directory);
    store_open_shard(store, 0);
    begin_load();
    assert_int_equal(ALV_OK, load_one(1, NULL));
    assert_int_equal(0, rmdir(folder));
    assert_int_equal(ALV_RETRY, end_load().status);
    begin_load();
    assert_int_equal(ALV_OK, load_one(1, NULL));
    assert_int_equal(ALV_OK, end_load().status);
    store_expect_position(store, 0, 1);
    alv_free(folder);
}

static void wipe__that_the_disk_refuses_can_be_done_again(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    store_put(store, 0, "a", "1", 1);
    store_put(store, 1, "a", "1", 1);
    limit_files(1);
    alv_status status = store->ops->wipe_shard(store, 0, &err);
    lift_limit();
    assert_int_equal(ALV_RETRY, status);
    assert_contains(err.text, "wipe shard 0: IO error");
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
    assert_int_equal(0, store_open_shard(store, 0).changelog);
    store_put(store, 0, "a", "2", 1);
    store_put(store, 1, "a", "2", 2);
    reopen();
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    store_expect(store, 0, "a", "2");
    store_expect(store, 1, "a", "2");
}

/* ---- loads ----------------------------------------------------------------------------------- */

static void load__takes_a_call_that_is_larger_than_its_buffer(void **state)
{
    (void)state;
    enum {
        LARGE = 1000 * 1000
    };
    char *value = alv_alloc(LARGE);
    memset(value, 'x', LARGE);
    store_open_shard(store, 0);
    begin_load();
    for (int64_t number = 1; number <= 6; number++) {
        char key[2] = {(char)('0' + number), '\0'};
        const alv_store_write write = {ALV_STORE_STATE, alv_view_of(key),
                                       number % 2 == 0 ? (alv_view){value, LARGE} : ALV_VIEW("s")};
        const alv_position position = {number, number, number, 0};
        assert_int_equal(ALV_OK, store->ops->bulk_apply(store, 0, &write, 1, &position, NULL));
    }
    assert_int_equal(ALV_OK, end_load().status);
    store_expect_position(store, 0, 6);
    store_expect_kind(store, 0, ALV_STORE_STATE, ALV_VIEW("4"), (alv_view){value, LARGE});
    store_expect(store, 0, "5", "s");
    alv_free(value);
}

/* Keys are compared by their first bytes, by the next ones, and at last as a whole. */
static void load__sorts_keys_that_begin_alike(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "x",         "aaaaaaaabbbbbbbbcc", "aaaaaaaabbbbbbbbc",
        "aaaaaaaac", "aaaaaaaabbbbbbbb",   "aaaaaaaab",
        "aaaaaaaa",  "aaaaaaaabbbbbbbbcb", "aaaaaaaabbbbbbbd",
        "a",
    };
    enum {
        COUNT = sizeof keys / sizeof keys[0]
    };
    alv_store_write writes[2 * COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        writes[i] = (alv_store_write){ALV_STORE_STATE, alv_view_of(keys[i]), ALV_VIEW("old")};
        writes[COUNT + i] =
            (alv_store_write){ALV_STORE_STATE, alv_view_of(keys[i]), alv_view_of(keys[i])};
    }
    store_open_shard(store, 0);
    begin_load();
    store_load(store, 0, writes, sizeof writes / sizeof writes[0], 1);
    assert_int_equal(ALV_OK, end_load().status);
    assert_int_equal(COUNT, store_count(store, 0, ALV_STORE_STATE));
    for (size_t i = 0; i < COUNT; i++)
        store_expect(store, 0, keys[i], keys[i]);
}

/* A crash left them: RocksDB knows nothing of them. */
static void load__leaves_nothing_behind_for_the_next_start(void **state)
{
    (void)state;
    char *folder = alv_format("%s/loading", directory);
    char *file = alv_format("%s/7.sst", folder);
    close_store();
    assert_true(mkdir(folder, 0700) == 0);
    int handle = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(handle >= 0);
    assert_int_equal(4, write(handle, "half", 4));
    assert_int_equal(0, close(handle));
    must_open();
    assert_int_equal(-1, access(file, F_OK));
    store_open_shard(store, 0);
    begin_load();
    assert_int_equal(ALV_OK, load_one(1, NULL));
    assert_int_equal(ALV_OK, end_load().status);
    alv_free(file);
    alv_free(folder);
}

/* ---- damage that a compaction meets ---------------------------------------------------------- */

/* Many entries in shard 1, in a table whose middle is damaged. Opens. */
static void damage_the_middle_of_shard_1(void)
{
    char key[32];
    char value[200];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    store_open_shard(store, 1);
    for (int i = 1; i <= 100; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        store_put(store, 1, key, value, i);
    }
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    char *table = alv_store_newest_table(directory);
    close_store();
    int file = open(table, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    off_t size = lseek(file, 0, SEEK_END);
    assert_int_equal(4, pwrite(file, "\xde\xad\xbe\xef", 4, size / 2));
    assert_int_equal(0, close(file));
    alv_free(table);
    must_open();
}

/* Flushes small pieces of shard 1 until RocksDB compacts and meets the damage; loads of shard 0 tell. */
static bool load_is_refused(void *payload)
{
    load_end *end = payload;
    alv_position position;
    assert_int_equal(ALV_OK, store->ops->position(store, 1, &position, NULL));
    position.changelog++;
    const alv_store_write write = {ALV_STORE_STATE, ALV_VIEW("000001"), ALV_VIEW("again")};
    if (store->ops->apply(store, 1, &write, 1, &position, NULL) == ALV_OK) {
        (void)store->ops->flush(store, NULL);
        return false;
    }
    assert_int_equal(ALV_OK, store->ops->position(store, 0, &position, NULL));
    char *mark = alv_format("%s/DAMAGED", directory);
    (void)unlink(mark); /* what the write of shard 1 left: the load has to say it by itself */
    begin_load();
    end->status = load_one(position.changelog + 1, &end->err);
    if (end->status == ALV_OK)
        *end = end_load();
    assert_int_not_equal(ALV_OK, end->status);
    assert_int_equal(0, access(mark, F_OK));
    alv_free(mark);
    return true;
}

/* To wipe shard 0 would help nobody: it would be loaded and refused again and again. */
static void load__of_a_store_that_writes_no_more_says_what_to_do(void **state)
{
    (void)state;
    load_end end = {0};
    damage_the_middle_of_shard_1();
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    assert_true(alv_wait_until(load_is_refused, &end, 60000));
    assert_int_equal(ALV_FATAL, end.status);
    assert_contains(end.err.text, "start the node again");
    alv_position position;
    reopen();
    assert_int_equal(ALV_REJECT, store->ops->open_shard(store, 1, &position, NULL));
    store_open_shard(store, 0);
}

/* ---- reads and writes ------------------------------------------------------------------------ */

/* A shard that is on the disk is not open by that. */
static void store__does_not_read_a_shard_that_was_not_opened(void **state)
{
    (void)state;
    store_open_shard(store, 0);
    store_put(store, 0, "a", "1", 1);
    reopen();
    bool found = false;
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(
        ALV_RETRY, store->ops->get(store, 0, ALV_STORE_STATE, ALV_VIEW("a"), &found, &value, &err));
    assert_contains(err.text, "shard 0 is not open");
    alv_bytes_done(&value);
    store_open_shard(store, 0);
    store_expect(store, 0, "a", "1");
}

static void store__takes_a_batch_of_many_megabytes(void **state)
{
    (void)state;
    enum {
        LARGE = 1000 * 1000,
        COUNT = 6
    };
    char *value = alv_alloc(LARGE);
    memset(value, 'x', LARGE);
    store_open_shard(store, 0);
    for (int64_t round = 1; round <= 2; round++) {
        alv_store_write writes[COUNT];
        static const char *const keys[COUNT] = {"a", "b", "c", "d", "e", "f"};
        for (int i = 0; i < COUNT; i++)
            writes[i] = (alv_store_write){ALV_STORE_STATE, alv_view_of(keys[i]), {value, LARGE}};
        const alv_position position = {round, round, round, 0};
        assert_int_equal(ALV_OK, store->ops->apply(store, 0, writes, COUNT, &position, NULL));
    }
    store_expect_kind(store, 0, ALV_STORE_STATE, ALV_VIEW("f"), (alv_view){value, LARGE});
    store_expect_position(store, 0, 2);
    alv_free(value);
}

static void store__says_how_it_is_doing(void **state)
{
    (void)state;
    alv_store_stats stats;
    char *value = alv_alloc(100001);
    memset(value, 'x', 100000);
    store_open_shard(store, 0);
    store_put(store, 0, "a", value, 1);
    store->ops->stats(store, &stats);
    assert_true(stats.memtable_bytes > 100000);
    assert_int_equal(1, store_count(store, 0, ALV_STORE_STATE));
    assert_true(stats.keys >= 1);
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    store->ops->stats(store, &stats);
    assert_true(stats.file_bytes > 0);
    assert_true(stats.memtable_bytes < 100000);
    assert_true(strlen(alv_store_rocksdb_version()) > 0);
    alv_free(value);
}

static int count_files(const char *suffix)
{
    int count = 0;
    char *path = alv_format("%s/rocksdb", directory);
    DIR *listing = opendir(path);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing))
        count += strstr(entry->d_name, suffix) != NULL;
    closedir(listing);
    alv_free(path);
    return count;
}

/* RocksDB writes no OPTIONS file, which would be as long as all families together each time; what it begins of it
 * goes with the next start. */
static void store__makes_many_shards_without_a_file_that_lists_them_all(void **state)
{
    (void)state;
    for (int32_t shard = 0; shard < 64; shard++)
        store_open_shard(store, shard);
    reopen();
    assert_true(count_files(".dbtmp") <= 2); /* of this open alone */
    assert_int_equal(count_files("OPTIONS-") - count_files(".dbtmp"), 0);
    for (int32_t shard = 0; shard < 64; shard++)
        store_open_shard(store, shard);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define WITH_STORE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        WITH_STORE(load__that_the_disk_refuses_leaves_a_prefix),
        WITH_STORE(load__that_cannot_be_ended_is_over),
        WITH_STORE(load__whose_folder_is_removed_is_tried_again),
        WITH_STORE(wipe__that_the_disk_refuses_can_be_done_again),
        WITH_STORE(load__takes_a_call_that_is_larger_than_its_buffer),
        WITH_STORE(load__sorts_keys_that_begin_alike),
        WITH_STORE(load__leaves_nothing_behind_for_the_next_start),
        WITH_STORE(load__of_a_store_that_writes_no_more_says_what_to_do),
        WITH_STORE(store__does_not_read_a_shard_that_was_not_opened),
        WITH_STORE(store__takes_a_batch_of_many_megabytes),
        WITH_STORE(store__says_how_it_is_doing),
        WITH_STORE(store__makes_many_shards_without_a_file_that_lists_them_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
