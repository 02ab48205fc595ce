/* Goal:   the RocksDB store keeps the contract of all stores, and what only a store on disk can get
 *         wrong: reopening, the directory's lock and stamp, damage, a full disk.
 * Method: the shared contract over a fresh directory; then one directory opened again and again,
 *         with files changed in between. */
#include "tests/support/store_contract.h"

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

#define MEMORY_BYTES (8 << 20)

static alv_status try_open(const char *directory, const char *application, alv_store **out,
                           alv_error *err)
{
    alv_store_options options = {directory, application, MEMORY_BYTES};
    return alv_store_rocksdb_open(&options, out, err);
}

static alv_store *must_open(const char *directory)
{
    alv_store *store = NULL;
    alv_error err = ALV_ERROR_NONE;
    if (try_open(directory, "test", &store, &err) != ALV_OK)
        fail_msg("open: %s", err.text);
    return store;
}

static int setup(void **state)
{
    store_contract *fixture = alv_alloc(sizeof *fixture);
    fixture->payload = alv_scratch_make();
    fixture->store = must_open(fixture->payload);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    store_contract *fixture = *state;
    if (fixture->store != NULL)
        fixture->store->ops->close(fixture->store);
    alv_scratch_remove(fixture->payload);
    alv_free(fixture);
    return 0;
}

static void reopen(store_contract *fixture)
{
    fixture->store->ops->close(fixture->store);
    fixture->store = must_open(fixture->payload);
}

/* Closes the store and leaves it closed for teardown. */
static void close_store(store_contract *fixture)
{
    fixture->store->ops->close(fixture->store);
    fixture->store = NULL;
}

static void store__keeps_data_and_positions_when_reopened(void **state)
{
    store_contract *fixture = *state;
    for (int32_t shard = 0; shard < 20; shard++) {
        store_open_shard(fixture->store, shard);
        store_put(fixture->store, shard, "a", "1", 100 + shard);
        store_put(fixture->store, shard, "b", NULL, 200 + shard);
    }
    for (int round = 0; round < 2; round++) {
        reopen(fixture);
        for (int32_t shard = 0; shard < 20; shard++) {
            alv_position position = store_open_shard(fixture->store, shard);
            assert_int_equal(200 + shard, position.commands);
            assert_int_equal(200 + shard, position.changelog);
            assert_int_equal(200 + shard, position.ledger);
            assert_int_equal(1000, position.at_ms);
            store_expect(fixture->store, shard, "a", "1");
        }
    }
}

static void store__forgets_a_wiped_shard_for_good(void **state)
{
    store_contract *fixture = *state;
    store_open_shard(fixture->store, 0);
    store_put(fixture->store, 0, "a", "1", 7);
    assert_int_equal(ALV_OK, fixture->store->ops->flush(fixture->store, NULL));
    assert_int_equal(ALV_OK, fixture->store->ops->wipe_shard(fixture->store, 0, NULL));
    reopen(fixture);
    assert_int_equal(0, store_open_shard(fixture->store, 0).commands);
    store_expect(fixture->store, 0, "a", NULL);
}

/* Many flushes and compactions under a budget far smaller than the data. */
static void store__holds_more_than_its_memory(void **state)
{
    store_contract *fixture = *state;
    enum {
        KEYS = 60000,
        BATCH = 500,
        VALUE_BYTES = 300
    };
    static char keys[BATCH][24];
    static char values[BATCH][VALUE_BYTES];
    static alv_store_write writes[BATCH];
    store_open_shard(fixture->store, 0);
    for (int round = 0; round < 2; round++) {
        for (int from = 0; from < KEYS; from += BATCH) {
            for (int i = 0; i < BATCH; i++) {
                int size = snprintf(keys[i], sizeof keys[i], "user/%d", (from + i) * 7919 % KEYS);
                memset(values[i], 'a' + round, sizeof values[i]);
                writes[i] = (alv_store_write){
                    ALV_STORE_STATE, {keys[i], (size_t)size}, {values[i], sizeof values[i]}};
            }
            int64_t at = (int64_t)round * KEYS + from + BATCH;
            alv_position position = {at, at, at, 0};
            assert_int_equal(ALV_OK, fixture->store->ops->apply(fixture->store, 0, writes, BATCH,
                                                                &position, NULL));
        }
    }
    assert_int_equal(KEYS, store_count(fixture->store, 0, ALV_STORE_STATE));
    alv_bytes value = ALV_BYTES_EMPTY;
    for (int i = 0; i < KEYS; i += 97) {
        bool found = false;
        int size = snprintf(keys[0], sizeof keys[0], "user/%d", i);
        assert_int_equal(ALV_OK, fixture->store->ops->get(fixture->store, 0, ALV_STORE_STATE,
                                                          (alv_view){keys[0], (size_t)size}, &found,
                                                          &value, NULL));
        assert_true(found);
        assert_int_equal(VALUE_BYTES, value.size);
        assert_int_equal('b', value.data[0]);
        assert_int_equal('b', value.data[VALUE_BYTES - 1]);
    }
    alv_bytes_done(&value);
}

/* ---- the directory ----------------------------------------------------------------------------
 * */

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char *path = alv_format("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(0, fclose(file));
    alv_free(path);
}

static void expect_refused(const char *directory, const char *application, const char *why,
                           const char *next)
{
    alv_store *store = NULL;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_REJECT, try_open(directory, application, &store, &err));
    assert_null(store);
    assert_contains(err.text, why);
    assert_contains(err.text, next);
}

static void directory__is_made_private_and_stamped(void **state)
{
    store_contract *fixture = *state;
    char *inner = alv_format("%s/inner", (char *)fixture->payload);
    alv_store *store = must_open(inner);
    struct stat status;
    assert_int_equal(0, stat(inner, &status));
    assert_int_equal(0700, status.st_mode & 0777);
    char *path = alv_format("%s/VERSION", inner);
    char text[100] = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    assert_string_equal("alluvium-state 1\napplication=test\n", text);
    assert_int_equal(0, fclose(file));
    store->ops->close(store);
    alv_free(path);
    alv_free(inner);
}

static void directory__in_use_is_refused_by_name(void **state)
{
    store_contract *fixture = *state;
    char *holder = alv_format("in use by process %ld on ", (long)getpid());
    expect_refused(fixture->payload, "test", holder, "stop that process");
    expect_refused(fixture->payload, "test", "application test;", "state.dir of its own");
    alv_free(holder);
    /* The refusal took nothing away from the holder. */
    store_open_shard(fixture->store, 0);
    store_put(fixture->store, 0, "a", "1", 1);
    reopen(fixture);
}

static void directory__without_parent_is_refused(void **state)
{
    store_contract *fixture = *state;
    char *path = alv_format("%s/no/such", (char *)fixture->payload);
    expect_refused(path, "test", "parent directory does not exist", "mount");
    alv_free(path);
}

static void directory__that_is_a_file_is_refused(void **state)
{
    store_contract *fixture = *state;
    write_file(fixture->payload, "file", "x");
    char *path = alv_format("%s/file", (char *)fixture->payload);
    expect_refused(path, "test", "cannot open", "Not a directory");
    alv_free(path);
}

static void stamp__of_another_application_is_refused(void **state)
{
    store_contract *fixture = *state;
    close_store(fixture);
    expect_refused(fixture->payload, "other", "belongs to application.id=test, not other",
                   "state.dir of its own");
    expect_refused(fixture->payload, "tes", "not tes;", "correct application.id");
    fixture->store = must_open(fixture->payload);
}

static void stamp__unknown_or_missing_is_refused(void **state)
{
    store_contract *fixture = *state;
    close_store(fixture);
    const char *move = "move the directory away";
    write_file(fixture->payload, "VERSION", "alluvium-state 2\napplication=test\n");
    expect_refused(fixture->payload, "test", "has format 2, this program knows 1", move);
    write_file(fixture->payload, "VERSION", "\x01\x02 rubbish");
    expect_refused(fixture->payload, "test", "format (unreadable)", move);
    write_file(fixture->payload, "VERSION", "");
    expect_refused(fixture->payload, "test", "format (unreadable)", move);
    write_file(fixture->payload, "VERSION", "alluvium-state 1\n");
    expect_refused(fixture->payload, "test", "application.id=(unreadable)", "state.dir");
    char *path = alv_format("%s/VERSION", (char *)fixture->payload);
    assert_int_equal(0, unlink(path));
    expect_refused(fixture->payload, "test", "without the file VERSION", move);
    alv_free(path);
    write_file(fixture->payload, "VERSION", "alluvium-state 1\napplication=test\n");
    fixture->store = must_open(fixture->payload);
}

/* Offsets of a topic that was deleted and made anew say nothing about the old one's data. */
static void stamp__of_another_changelog_is_refused(void **state)
{
    store_contract *fixture = *state;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_store_rocksdb_bind(fixture->store, "first-id", NULL), ALV_OK);
    assert_int_equal(alv_store_rocksdb_bind(fixture->store, "first-id", NULL), ALV_OK);
    reopen(fixture);
    assert_int_equal(alv_store_rocksdb_bind(fixture->store, "first-id", NULL), ALV_OK);
    assert_int_equal(alv_store_rocksdb_bind(fixture->store, "first", &err), ALV_REJECT);
    assert_non_null(strstr(err.text, "(id first-id, now first)"));
    assert_non_null(strstr(err.text, "move the directory away"));
}

/* ---- damage -----------------------------------------------------------------------------------
 * */

/* Fills shard 1 and flushes, then shard 0, so that the newest table is shard 0's alone. Closes. */
static char *fill_two_shards(store_contract *fixture)
{
    for (int32_t shard = 1; shard >= 0; shard--) {
        store_open_shard(fixture->store, shard);
        store_put(fixture->store, shard, "a", "value of a", 10);
        assert_int_equal(ALV_OK, fixture->store->ops->flush(fixture->store, NULL));
    }
    char *table = alv_store_newest_table(fixture->payload);
    close_store(fixture);
    return table;
}

static void damage__of_one_shard_is_found_and_wiped(void **state)
{
    store_contract *fixture = *state;
    char *table = fill_two_shards(fixture);
    int file = open(table, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(4, pwrite(file, "\xde\xad\xbe\xef", 4, 8)); /* in the first data block */
    assert_int_equal(0, close(file));
    alv_free(table);

    fixture->store = must_open(fixture->payload);
    alv_position position;
    alv_error err = ALV_ERROR_NONE;
    alv_store *store = fixture->store;
    assert_int_equal(ALV_REJECT, store->ops->open_shard(store, 0, &position, &err));
    assert_contains(err.text, "read position of shard 0: Corruption");
    assert_string_equal("rocksdb", err.source);
    assert_int_equal(ALV_RETRY, store->ops->position(store, 0, &position, NULL));
    assert_int_equal(10, store_open_shard(store, 1).changelog);
    store_expect(store, 1, "a", "value of a");

    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
    store_expect_position(store, 0, 0);
    store_put(store, 0, "a", "restored", 10);
    reopen(fixture);
    assert_int_equal(10, store_open_shard(fixture->store, 0).changelog);
    store_expect(fixture->store, 0, "a", "restored");
}

/* RocksDB refuses to open without one of its files: what can be read is kept. */
static void damage__a_missing_table_costs_its_shard(void **state)
{
    store_contract *fixture = *state;
    char *table = fill_two_shards(fixture);
    assert_int_equal(0, unlink(table));
    alv_free(table);
    alv_position position;
    alv_error err = ALV_ERROR_NONE;
    fixture->store = must_open(fixture->payload);
    assert_int_equal(ALV_REJECT,
                     fixture->store->ops->open_shard(fixture->store, 0, &position, &err));
    assert_contains(err.text, "a part of shard 0 cannot be read");
    assert_int_equal(10, store_open_shard(fixture->store, 1).changelog);
    store_expect(fixture->store, 1, "a", "value of a");
    assert_int_equal(ALV_OK, fixture->store->ops->wipe_shard(fixture->store, 0, NULL));
    store_put(fixture->store, 0, "a", "restored", 10);
    reopen(fixture);
    assert_int_equal(10, store_open_shard(fixture->store, 0).changelog);
    assert_int_equal(10, store_open_shard(fixture->store, 1).changelog);
}

static void damage__a_table_of_another_length_costs_its_shard(void **state)
{
    store_contract *fixture = *state;
    for (int round = 0; round < 2; round++) { /* longer, shorter */
        char *table = fill_two_shards(fixture);
        struct stat about;
        assert_int_equal(0, stat(table, &about));
        assert_int_equal(0, truncate(table, round == 0 ? about.st_size + 1 : about.st_size / 2));
        alv_free(table);
        alv_position position;
        fixture->store = must_open(fixture->payload);
        assert_int_equal(ALV_REJECT,
                         fixture->store->ops->open_shard(fixture->store, 0, &position, NULL));
        assert_int_equal(10, store_open_shard(fixture->store, 1).changelog);
        assert_int_equal(ALV_OK, fixture->store->ops->wipe_shard(fixture->store, 0, NULL));
        assert_int_equal(ALV_OK, fixture->store->ops->wipe_shard(fixture->store, 1, NULL));
    }
}

/* Shard 1 has one entry, shard 0 many, in a table whose middle is damaged. Opens. */
static void damage_the_middle_of_shard_0(store_contract *fixture)
{
    char key[32];
    char value[200];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    store_open_shard(fixture->store, 1);
    store_put(fixture->store, 1, "a", "value of a", 10);
    assert_int_equal(ALV_OK, fixture->store->ops->flush(fixture->store, NULL));
    store_open_shard(fixture->store, 0);
    /* In one piece: what is flushed by itself meanwhile would be in other tables. */
    for (int i = 1; i <= 100; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        store_put(fixture->store, 0, key, value, i);
    }
    assert_int_equal(ALV_OK, fixture->store->ops->flush(fixture->store, NULL));
    char *table = alv_store_newest_table(fixture->payload);
    close_store(fixture);
    int file = open(table, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    off_t size = lseek(file, 0, SEEK_END);
    assert_true(size > 12000);
    assert_int_equal(4, pwrite(file, "\xde\xad\xbe\xef", 4, size / 2));
    assert_int_equal(0, close(file));
    alv_free(table);
    fixture->store = must_open(fixture->payload);
}

static bool count_visit(void *payload, alv_view key, alv_view value)
{
    (void)key;
    (void)value;
    (*(int *)payload)++;
    return true;
}

/* What opening does not see, a read does: from then on the shard asks to be wiped, whatever else of it could
 * still be read. */
static void damage__that_a_read_meets_is_refused_until_wiped(void **state)
{
    store_contract *fixture = *state;
    damage_the_middle_of_shard_0(fixture);
    alv_store *store = fixture->store;
    alv_position position;
    int count = 0;
    assert_int_equal(100, store_open_shard(store, 0).changelog);
    assert_int_equal(10, store_open_shard(store, 1).changelog);
    store_put(store, 0, "z", "1", 101);
    assert_int_equal(ALV_REJECT, store->ops->scan(store, 0, ALV_STORE_STATE, ALV_VIEW_NONE,
                                                  ALV_VIEW_NONE, count_visit, &count, NULL));
    assert_true(count < 100);
    position = (alv_position){102, 102, 102, 0};
    assert_int_equal(ALV_REJECT, store->ops->apply(store, 0, NULL, 0, &position, NULL));
    assert_int_equal(ALV_REJECT, store->ops->open_shard(store, 0, &position, NULL));
    store_put(store, 1, "a", "goes on", 11);
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
    assert_int_equal(0, store_open_shard(store, 0).changelog);
    store_put(store, 0, "a", "restored", 1);
    store_expect(store, 1, "a", "goes on");
}

/* Writes and flushes until RocksDB compacts, which then meets the damage. */
static bool has_stopped_writing(void *payload)
{
    store_contract *fixture = payload;
    alv_store *store = fixture->store;
    alv_position position;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_OK, store->ops->position(store, 0, &position, NULL));
    position.changelog++;
    const alv_store_write write = {ALV_STORE_STATE, ALV_VIEW("000001"), ALV_VIEW("again")};
    alv_status status = store->ops->apply(store, 0, &write, 1, &position, &err);
    if (status == ALV_OK) {
        (void)store->ops->flush(store, NULL);
        return false;
    }
    assert_int_equal(ALV_FATAL, status);
    assert_contains(err.text, "start the node again");
    return true;
}

/* RocksDB writes nothing more then, of any shard; the next start looks for the one that is damaged. */
static void damage__that_a_compaction_meets_is_found_at_the_next_start(void **state)
{
    store_contract *fixture = *state;
    damage_the_middle_of_shard_0(fixture);
    store_open_shard(fixture->store, 0);
    store_open_shard(fixture->store, 1);
    assert_true(alv_wait_until(has_stopped_writing, fixture, 60000));
    alv_position position = {11, 11, 11, 0};
    assert_int_equal(ALV_FATAL,
                     fixture->store->ops->apply(fixture->store, 1, NULL, 0, &position, NULL));
    store_expect(fixture->store, 1, "a", "value of a"); /* reads go on */
    reopen(fixture);
    assert_int_equal(ALV_REJECT,
                     fixture->store->ops->open_shard(fixture->store, 0, &position, NULL));
    assert_int_equal(10, store_open_shard(fixture->store, 1).changelog);
    store_put(fixture->store, 1, "a", "goes on", 11);
    assert_int_equal(ALV_OK, fixture->store->ops->wipe_shard(fixture->store, 0, NULL));
    store_put(fixture->store, 0, "a", "restored", 1);
    reopen(fixture); /* as usual: nothing is remembered */
    assert_int_equal(1, store_open_shard(fixture->store, 0).changelog);
    assert_int_equal(11, store_open_shard(fixture->store, 1).changelog);
}

static void damage__of_the_whole_says_what_to_do(void **state)
{
    store_contract *fixture = *state;
    alv_free(fill_two_shards(fixture));
    char *database = alv_format("%s/rocksdb", (char *)fixture->payload);
    write_file(database, "CURRENT", "MANIFEST-999999\n");
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_FATAL, try_open(fixture->payload, "test", &fixture->store, &err));
    assert_contains(err.text, "move the directory away");
    /* It let go of the lock: following the advice works without ending the process. */
    char *away = alv_format("%s/away", (char *)fixture->payload);
    assert_int_equal(0, rename(database, away));
    fixture->store = must_open(fixture->payload);
    assert_int_equal(0, store_open_shard(fixture->store, 0).changelog);
    alv_free(away);
    alv_free(database);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_CONTRACT_TESTS(setup, teardown),
#define WITH_STORE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        WITH_STORE(store__keeps_data_and_positions_when_reopened),
        WITH_STORE(store__forgets_a_wiped_shard_for_good),
        WITH_STORE(store__holds_more_than_its_memory),
        WITH_STORE(directory__is_made_private_and_stamped),
        WITH_STORE(directory__in_use_is_refused_by_name),
        WITH_STORE(directory__without_parent_is_refused),
        WITH_STORE(directory__that_is_a_file_is_refused),
        WITH_STORE(stamp__of_another_application_is_refused),
        WITH_STORE(stamp__unknown_or_missing_is_refused),
        WITH_STORE(stamp__of_another_changelog_is_refused),
        WITH_STORE(damage__of_one_shard_is_found_and_wiped),
        WITH_STORE(damage__a_missing_table_costs_its_shard),
        WITH_STORE(damage__a_table_of_another_length_costs_its_shard),
        WITH_STORE(damage__that_a_read_meets_is_refused_until_wiped),
        WITH_STORE(damage__that_a_compaction_meets_is_found_at_the_next_start),
        WITH_STORE(damage__of_the_whole_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
