/* Goal:   a disk that refuses what RocksDB writes ends as store.h says: full, the store goes on by itself when there
 *         is room; failed, if only once, it says that nothing can be written until it is opened anew. In both cases
 *         reads go on, and what is there afterwards is what some earlier write left (I2).
 * Method: this program's write() stands in for that of the C library, in RocksDB too, and fails for files whose name
 *         contains a text.
 */
#include "tests/support/store_contract.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define MEMORY_BYTES (8 << 20)
#define VALUE_BYTES 1000
#define ROOM_MS 60000 /* RocksDB looks every few seconds whether there is some */

/* ---- the disk -------------------------------------------------------------------------------- */

static _Atomic(const char *) failing; /* part of the names of the files that fail; NULL = none */
static atomic_int failure;            /* with this errno */
static atomic_int failures;           /* so far */

static bool is_failing(int file)
{
    char link[64];
    char path[4096];
    const char *part = atomic_load(&failing);
    if (part == NULL) {
        return false;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    return strstr(path, part) != NULL;
}

/* RocksDB finds this one, because the program comes before its libraries. */
__attribute__((visibility("default"))) ssize_t write(int file, const void *data, size_t size)
{
    if (is_failing(file)) {
        atomic_fetch_add(&failures, 1);
        errno = atomic_load(&failure);
        return -1;
    }
    return syscall(SYS_write, file, data, size);
}

static void disk_fails(const char *part, int code)
{
    atomic_store(&failures, 0);
    atomic_store(&failure, code);
    atomic_store(&failing, part);
}

static void disk_works(void)
{
    atomic_store(&failing, NULL);
    assert_true(atomic_load(&failures) > 0); /* or the test has shown nothing */
}

/* ---- the store ------------------------------------------------------------------------------- */

static alv_store *store;
static char *directory;

static void must_open(void)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_store_options options = {directory, "test", MEMORY_BYTES};
    if (alv_store_rocksdb_open(&options, &store, &err) != ALV_OK) {
        fail_msg("open: %s", err.text);
    }
}

static void reopen(void)
{
    store->ops->close(store);
    must_open();
}

static int setup(void **state)
{
    (void)state;
    directory = alv_scratch_make();
    must_open();
    store_open_shard(store, 0);
    store_open_shard(store, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store->ops->close(store);
    alv_scratch_remove(directory);
    return 0;
}

static alv_status put(int32_t shard, int64_t number, alv_error *err)
{
    static char value[VALUE_BYTES];
    char key[32];
    memset(value, 'v', sizeof value);
    size_t size = (size_t)snprintf(key, sizeof key, "%08lld", (long long)number);
    const alv_store_write write = {ALV_STORE_STATE, {key, size}, {value, sizeof value}};
    const alv_position position = {number, number, number, 0};
    return store->ops->apply(store, shard, &write, 1, &position, err);
}

/* Entries 1 to the shard's position, and nothing else; the position. */
static int64_t assert_prefix(int32_t shard, int64_t last)
{
    alv_position position = store_open_shard(store, shard);
    assert_in_range(position.changelog, 0, last);
    assert_int_equal(position.changelog, store_count(store, shard, ALV_STORE_STATE));
    return position.changelog;
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
    }
}

static void assert_says_what_to_do(const alv_error *err)
{
    assert_int_equal(ALV_FATAL, err->status);
    assert_contains(err->text, directory);
    assert_contains(err->text, "RocksDB writes no more, because the disk has failed");
    assert_contains(err->text, "start the node again");
}

/* Nothing of any shard is taken, although the disk works; all that was is still read. */
static void assert_ended(int64_t applied)
{
    alv_error err = ALV_ERROR_NONE;
    assert_false(store->ops->is_writable(store, &err));
    assert_says_what_to_do(&err);
    assert_false(store->ops->is_writable(store, NULL));
    alv_error_clear(&err);
    assert_int_equal(ALV_FATAL, put(0, applied + 1, &err));
    assert_says_what_to_do(&err);
    assert_int_equal(ALV_FATAL, put(1, 1, NULL));
    store_expect_position(store, 0, applied);
    assert_int_equal(applied, assert_prefix(0, applied));
}

static void assert_works_when_reopened(int64_t applied)
{
    reopen();
    assert_true(store->ops->is_writable(store, NULL));
    int64_t kept = assert_prefix(0, applied);
    assert_int_equal(ALV_OK, put(0, kept + 1, NULL));
    assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
    reopen();
    assert_int_equal(kept + 1, assert_prefix(0, kept + 1));
}

/* ---- failed ---------------------------------------------------------------------------------- */

static void check_failed_flush(const char *part)
{
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_OK, put(0, 1, NULL));
    disk_fails(part, EIO);
    assert_int_equal(ALV_FATAL, store->ops->flush(store, &err));
    disk_works();
    assert_says_what_to_do(&err);
    assert_ended(1);
    assert_works_when_reopened(1);
}

static void failed__at_a_table_ends_writing(void **state)
{
    (void)state;
    check_failed_flush(".sst");
}

static void failed__at_the_list_of_tables_ends_writing(void **state)
{
    (void)state;
    check_failed_flush("MANIFEST");
}

/* Nobody waits for what RocksDB writes when its memory is full: a later write is told. */
static void failed__in_the_background_ends_writing(void **state)
{
    (void)state;
    int64_t applied = 0;
    alv_error err = ALV_ERROR_NONE;
    disk_fails(".sst", EIO);
    while (applied < 100000 && put(0, applied + 1, &err) == ALV_OK) {
        applied++;
    }
    disk_works();
    assert_says_what_to_do(&err);
    assert_ended(applied);
    assert_works_when_reopened(applied);
}

/* RocksDB gets over this one: the load is begun anew. */
static void failed__while_a_load_is_installed_costs_the_load(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    const alv_position position = {1, 1, 1, 0};
    const alv_store_write write = {ALV_STORE_STATE, ALV_VIEW("1"), ALV_VIEW("1")};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ALV_OK, store->ops->bulk_begin(store, 0, NULL));
        assert_int_equal(ALV_OK, store->ops->bulk_apply(store, 0, &write, 1, &position, NULL));
        if (i == 0) {
            disk_fails("MANIFEST", EIO);
        }
        alv_status status = store_load_finish(store, 0, &err);
        if (i == 0) {
            disk_works();
        }
        assert_int_equal(i == 0 ? ALV_RETRY : ALV_OK, status);
        assert_true(store->ops->is_writable(store, NULL));
        assert_int_equal(i, assert_prefix(0, i));
    }
}

/* A store that restores all it has writes nothing else, and is told by the next piece. */
static void failed__before_a_load_ends_writing(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    const alv_position position = {1, 1, 1, 0};
    const alv_store_write write = {ALV_STORE_STATE, ALV_VIEW("1"), ALV_VIEW("1")};
    assert_int_equal(ALV_OK, put(1, 1, NULL));
    assert_int_equal(ALV_OK, store->ops->bulk_begin(store, 0, NULL));
    assert_int_equal(ALV_OK, store->ops->bulk_apply(store, 0, &write, 1, &position, NULL));
    disk_fails(".sst", EIO);
    assert_int_equal(ALV_FATAL, store->ops->flush(store, NULL));
    disk_works();
    assert_int_equal(ALV_FATAL, store_load_finish(store, 0, &err));
    assert_says_what_to_do(&err);
    reopen();
    assert_true(store->ops->is_writable(store, NULL));
    assert_prefix(0, 1);
    assert_prefix(1, 1);
}

/* ---- full ------------------------------------------------------------------------------------ */

static bool takes_the_second(void *payload)
{
    (void)payload;
    alv_status status = put(0, 2, NULL);
    assert_true(status == ALV_OK || status == ALV_RETRY);
    return status == ALV_OK;
}

static void check_full_flush(const char *part)
{
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_OK, put(0, 1, NULL));
    disk_fails(part, ENOSPC);
    assert_int_equal(ALV_RETRY, store->ops->flush(store, &err));
    assert_contains(err.text, "No space left");
    alv_error_clear(&err);
    assert_int_equal(ALV_RETRY, put(0, 2, &err));
    assert_contains(err.text, "No space left");
    assert_true(store->ops->is_writable(store, NULL));
    disk_works();
    assert_int_equal(1, assert_prefix(0, 1));
    assert_true(alv_wait_until(takes_the_second, NULL, ROOM_MS));
    assert_true(store->ops->is_writable(store, NULL));
    reopen(); /* right after it got over a full disk RocksDB's flushes may end early, so that some is missing at the end */
    assert_in_range(assert_prefix(0, 2), 1, 2);
}

static void full__at_a_table_goes_on_when_there_is_room(void **state)
{
    (void)state;
    check_full_flush(".sst");
}

static void full__at_the_list_of_tables_goes_on_when_there_is_room(void **state)
{
    (void)state;
    check_full_flush("MANIFEST");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        WITH_STORE(failed__at_a_table_ends_writing),
        WITH_STORE(failed__at_the_list_of_tables_ends_writing),
        WITH_STORE(failed__in_the_background_ends_writing),
        WITH_STORE(failed__while_a_load_is_installed_costs_the_load),
        WITH_STORE(failed__before_a_load_ends_writing),
        WITH_STORE(full__at_a_table_goes_on_when_there_is_room),
        WITH_STORE(full__at_the_list_of_tables_goes_on_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
