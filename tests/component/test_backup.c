/* Goal:   a backup that is taken while a store works holds, of every shard, exactly what the store held at
 *         the position written beside it (I2); it can be put back more than once; what is no backup, or
 *         does not belong where it is to go, is refused with the reason and leaves everything as it was.
 * Method: a RocksDB store whose only entry of a shard says what the position must be; another thread writes
 *         without a pause while checkpoints are taken. Files of backups are damaged by hand. */
#include "tests/support/store_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "statestore/backup.h"
#include "statestore/store_checkpoint.h"
#include "tests/support/scratch.h"
#include "tests/support/store_files.h"

#define MEMORY_BYTES (8 << 20)
#define SHARDS 3

/* A store in <directory>/state, and places beside it. */
typedef struct place {
    char *directory;
    char *state;
    char *checkpoint;
    char *backup;
    char *restored;
    alv_store *store;
} place;

static alv_store *must_open(const char *directory)
{
    alv_store_options options = {directory, "test", MEMORY_BYTES};
    alv_store *store = NULL;
    alv_error err = ALV_ERROR_NONE;
    if (alv_store_rocksdb_open(&options, &store, &err) != ALV_OK)
        fail_msg("open: %s", err.text);
    return store;
}

static int setup(void **state)
{
    place *it = alv_alloc(sizeof *it);
    it->directory = alv_scratch_make();
    it->state = alv_format("%s/state", it->directory);
    it->checkpoint = alv_format("%s/state/checkpoint", it->directory);
    it->backup = alv_format("%s/backup", it->directory);
    it->restored = alv_format("%s/restored", it->directory);
    it->store = must_open(it->state);
    assert_int_equal(ALV_OK, alv_store_rocksdb_bind(it->store, "topic-1", NULL));
    for (int32_t shard = 0; shard < SHARDS; shard++)
        store_open_shard(it->store, shard);
    *state = it;
    return 0;
}

static int teardown(void **state)
{
    place *it = *state;
    if (it->store != NULL)
        it->store->ops->close(it->store);
    alv_scratch_remove(it->directory);
    alv_free(it->state);
    alv_free(it->checkpoint);
    alv_free(it->backup);
    alv_free(it->restored);
    alv_free(it);
    return 0;
}

/* The entry "n" of a shard is its position. */
static void write_number(alv_store *store, int32_t shard, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    store_put(store, shard, "n", text, number);
}

static void expect_number(alv_store *store, int32_t shard, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    assert_int_equal(number, store_open_shard(store, shard).changelog);
    store_expect(store, shard, "n", text);
}

static alv_status try_backup(const place *it, const char *directory, alv_backup *out,
                             alv_error *err)
{
    const alv_backup_source source = {.checkpoint = it->checkpoint,
                                      .state_dir = it->state,
                                      .application_id = "test",
                                      .node_id = "node-1",
                                      .taken_at_ms = 5};
    alv_status status = alv_store_checkpoint_make(it->store, it->checkpoint, err);
    if (status == ALV_OK)
        status = alv_backup_write(&source, directory, NULL, NULL, out, err);
    assert_int_equal(ALV_OK, alv_store_checkpoint_remove(it->checkpoint, NULL));
    return status;
}

static alv_backup must_backup(const place *it, const char *directory)
{
    alv_backup backup = ALV_BACKUP_NONE;
    alv_error err = ALV_ERROR_NONE;
    if (try_backup(it, directory, &backup, &err) != ALV_OK)
        fail_msg("backup: %s", err.text);
    return backup;
}

static alv_status try_restore(const char *directory, const char *application, const char *state_dir,
                              alv_error *err)
{
    alv_backup backup = ALV_BACKUP_NONE;
    alv_status status = alv_backup_read(directory, &backup, err);
    if (status == ALV_OK)
        status = alv_backup_restore(&backup, directory, application, state_dir, NULL, NULL, err);
    alv_backup_done(&backup);
    return status;
}

static void must_restore(const place *it, const char *state_dir)
{
    alv_error err = ALV_ERROR_NONE;
    if (try_restore(it->backup, "test", state_dir, &err) != ALV_OK)
        fail_msg("restore: %s", err.text);
}

static void expect_refused(const char *directory, const char *application, const char *state_dir,
                           const char *why)
{
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_REJECT, try_restore(directory, application, state_dir, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", err.text, why);
}

/* ---- what a backup holds --------------------------------------------------------------------- */

static void backup__comes_back_with_data_and_positions(void **state)
{
    place *it = *state;
    for (int32_t shard = 0; shard < SHARDS; shard++)
        write_number(it->store, shard, 10 + shard);
    alv_backup backup = must_backup(it, it->backup);
    assert_int_equal(SHARDS, backup.shard_count);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_true(backup.shards[shard].is_readable);
        assert_int_equal(10 + shard, backup.shards[shard].position.changelog);
        write_number(it->store, shard, 100); /* is not in it */
    }
    alv_backup_done(&backup);

    must_restore(it, it->restored);
    alv_store *store = must_open(it->restored);
    for (int32_t shard = 0; shard < SHARDS; shard++)
        expect_number(store, shard, 10 + shard);
    store->ops->close(store);
}

/* What a restored node writes does not reach the backup, although they share files. */
static void backup__can_be_restored_again(void **state)
{
    place *it = *state;
    write_number(it->store, 0, 10);
    alv_backup backup = must_backup(it, it->backup);
    alv_backup_done(&backup);
    for (int round = 0; round < 3; round++) {
        char *state_dir = alv_format("%s-%d", it->restored, round);
        must_restore(it, state_dir);
        alv_store *store = must_open(state_dir);
        expect_number(store, 0, 10);
        for (int64_t number = 11; number < 200; number++) {
            write_number(store, 0, number);
            if (number % 50 == 0)
                assert_int_equal(ALV_OK, store->ops->flush(store, NULL));
        }
        assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 0, NULL));
        store->ops->close(store);
        alv_free(state_dir);
    }
}

/* Damage does not spread: the others are in the backup, and a node restores that one from the changelog. */
static void backup__names_a_shard_that_was_damaged(void **state)
{
    place *it = *state;
    for (int32_t shard = 0; shard < SHARDS; shard++)
        write_number(it->store, shard, 10 + shard);
    assert_int_equal(ALV_OK, it->store->ops->flush(it->store, NULL));
    write_number(it->store, 1, 20);
    assert_int_equal(ALV_OK, it->store->ops->flush(it->store, NULL));
    char *table = alv_store_newest_table(it->state); /* of shard 1 alone */
    int file = open(table, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(4, pwrite(file, "\xde\xad\xbe\xef", 4, 8)); /* in the first data block */
    assert_int_equal(0, close(file));
    alv_free(table);

    alv_backup written = must_backup(it, it->backup);
    alv_backup read = ALV_BACKUP_NONE;
    assert_int_equal(ALV_OK, alv_backup_read(it->backup, &read, NULL));
    assert_int_equal(SHARDS, read.shard_count);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_int_equal(shard, read.shards[shard].shard);
        assert_int_equal(shard != 1, read.shards[shard].is_readable);
        assert_int_equal(shard != 1, written.shards[shard].is_readable);
    }
    alv_backup_done(&written);
    alv_backup_done(&read);

    must_restore(it, it->restored);
    alv_store *store = must_open(it->restored);
    alv_position position;
    expect_number(store, 0, 10);
    expect_number(store, 2, 12);
    assert_int_equal(ALV_REJECT, store->ops->open_shard(store, 1, &position, NULL));
    assert_int_equal(ALV_OK, store->ops->wipe_shard(store, 1, NULL));
    write_number(store, 1, 30);
    expect_number(store, 1, 30);
    store->ops->close(store);
}

static void backup__remembers_which_changelog_it_is_a_copy_of(void **state)
{
    place *it = *state;
    alv_backup backup = must_backup(it, it->backup);
    alv_backup_done(&backup);
    must_restore(it, it->restored);
    alv_store *store = must_open(it->restored);
    assert_int_equal(ALV_OK, alv_store_rocksdb_bind(store, "topic-1", NULL));
    assert_int_equal(ALV_REJECT, alv_store_rocksdb_bind(store, "topic-2", NULL));
    store->ops->close(store);
}

/* Where no hard links can be made, files are copied. */
static void backup__reaches_another_file_system(void **state)
{
    place *it = *state;
    struct stat here;
    struct stat there;
    char away[] = "/dev/shm/alluvium-backup-XXXXXX";
    if (mkdtemp(away) == NULL) {
        print_message("skipped: /dev/shm cannot be written to\n");
        skip();
    }
    assert_int_equal(0, stat(it->directory, &here));
    assert_int_equal(0, stat(away, &there));
    if (here.st_dev == there.st_dev) {
        (void)rmdir(away);
        print_message("skipped: /dev/shm is the file system of the test's folder\n");
        skip();
    }
    write_number(it->store, 1, 77);
    alv_backup backup = must_backup(it, away);
    assert_true(backup.bytes > 0);
    alv_backup_done(&backup);
    alv_free(it->backup);
    it->backup = alv_strdup(away);
    must_restore(it, it->restored);
    alv_store *store = must_open(it->restored);
    expect_number(store, 1, 77);
    store->ops->close(store);
    alv_scratch_remove(alv_strdup(away));
}

typedef struct writer {
    alv_store *store;
    atomic_bool stop;
} writer;

/* One shard is wiped and begun anew now and then, as a restore does. */
static void *writer_main(void *payload)
{
    writer *it = payload;
    int64_t numbers[SHARDS] = {0};
    for (int64_t turn = 0; !atomic_load(&it->stop); turn++) {
        int32_t shard = (int32_t)(turn % SHARDS);
        if (shard == 2 && turn % 3000 == 2) {
            assert_int_equal(ALV_OK, it->store->ops->wipe_shard(it->store, shard, NULL));
            numbers[shard] = 0;
        }
        write_number(it->store, shard, ++numbers[shard]);
    }
    return NULL;
}

static void backup__is_consistent_while_the_store_is_written_to(void **state)
{
    place *it = *state;
    writer writing = {.store = it->store};
    pthread_t thread;
    int64_t before = 0;
    assert_int_equal(0, pthread_create(&thread, NULL, writer_main, &writing));
    for (int round = 0; round < 15; round++) {
        char *directory = alv_format("%s-%d", it->backup, round);
        char *database = alv_format("%s/rocksdb", directory);
        alv_backup backup = must_backup(it, directory);
        alv_store *store = NULL;
        assert_int_equal(ALV_OK, alv_store_checkpoint_open(database, &store, NULL));
        for (size_t i = 0; i < backup.shard_count; i++) {
            const alv_backup_shard *shard = &backup.shards[i];
            assert_true(shard->is_readable);
            if (shard->position.changelog > 0)
                expect_number(store, shard->shard, shard->position.changelog);
        }
        assert_true(backup.shards[0].position.changelog >= before);
        before = backup.shards[0].position.changelog;
        store->ops->close(store);
        alv_backup_done(&backup);
        alv_free(database);
        alv_free(directory);
    }
    assert_true(before > 0);
    atomic_store(&writing.stop, true);
    assert_int_equal(0, pthread_join(thread, NULL));
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void write_file(const char *directory, const char *name, const char *text)
{
    char *path = alv_format("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(0, fclose(file));
    alv_free(path);
}

static void backup__is_not_written_over_something(void **state)
{
    place *it = *state;
    alv_backup backup = ALV_BACKUP_NONE;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(0, mkdir(it->backup, 0700));
    write_file(it->backup, "precious", "1");
    assert_int_equal(ALV_REJECT, try_backup(it, it->backup, &backup, &err));
    assert_non_null(strstr(err.text, "is not empty: it holds precious"));
    alv_backup_done(&backup);

    alv_error_clear(&err);
    char *inside = alv_format("%s/backup", it->state);
    assert_int_equal(ALV_REJECT, try_backup(it, inside, &backup, &err));
    assert_non_null(strstr(err.text, "lies within state.dir"));
    assert_int_equal(-1, access(inside, F_OK));
    alv_backup_done(&backup);
    alv_free(inside);
}

static void restore__refuses_what_is_no_whole_backup(void **state)
{
    place *it = *state;
    write_number(it->store, 0, 10);
    alv_backup backup = must_backup(it, it->backup);
    expect_refused(it->directory, "test", it->restored, "there is no backup in");
    expect_refused(it->backup, "other", it->restored, "belongs to application.id=test");

    char *manifest = alv_format("%s/backup.json", it->backup);
    char *kept = alv_format("%s/kept.json", it->backup);
    char *file = alv_format("%s/rocksdb/%s", it->backup, backup.files[0].name);
    alv_backup_done(&backup);

    assert_int_equal(0, rename(manifest, kept));
    expect_refused(it->backup, "test", it->restored, "there is no backup in");
    static const struct {
        const char *text;
        const char *why;
    } manifests[] = {
        {"{\"format\":", "backup.json"},
        {"{\"format\":\"tar\",\"version\":1}", "not a backup of Alluvium"},
        {"{\"format\":\"alluvium-backup\",\"version\":2,\"state\":\"1\"}", "a backup of version 2"},
        {"{\"format\":\"alluvium-backup\",\"version\":1,\"state\":\"9\"}", "state of format 9"},
        {"{\"format\":\"alluvium-backup\",\"version\":1,\"state\":\"1\",\"application\":\"test\"}",
         "changed or damaged"},
        {"{\"format\":\"alluvium-backup\",\"version\":1,\"state\":\"1\",\"application\":\"test\","
         "\"node\":\"n\",\"changelogId\":\"t\",\"takenAt\":1,\"shards\":[],"
         "\"files\":[{\"name\":\"../../x\",\"bytes\":1}]}",
         "changed or damaged"},
    };
    for (size_t i = 0; i < sizeof manifests / sizeof manifests[0]; i++) {
        write_file(it->backup, "backup.json", manifests[i].text);
        expect_refused(it->backup, "test", it->restored, manifests[i].why);
    }
    assert_int_equal(0, rename(kept, manifest));

    assert_int_equal(0, truncate(file, 1));
    expect_refused(it->backup, "test", it->restored, "is not whole");
    assert_int_equal(0, unlink(file));
    expect_refused(it->backup, "test", it->restored, "is not whole");
    assert_int_equal(-1, access(it->restored, F_OK)); /* nothing was begun */
    alv_free(file);
    alv_free(kept);
    alv_free(manifest);
}

static void restore__refuses_a_state_dir_that_holds_something(void **state)
{
    place *it = *state;
    alv_backup backup = must_backup(it, it->backup);
    alv_backup_done(&backup);
    expect_refused(it->backup, "test", it->state, "is in use by process");
    it->store->ops->close(it->store);
    it->store = NULL;
    expect_refused(it->backup, "test", it->state, "is not empty: it holds rocksdb");
    assert_int_equal(0, mkdir(it->restored, 0700));
    write_file(it->restored, "letter.txt", "dear");
    expect_refused(it->backup, "test", it->restored, "is not empty: it holds letter.txt");
    char *lock = alv_format("%s/lock", it->restored);
    assert_int_equal(-1, access(lock, F_OK)); /* it was not made ours either */
    alv_free(lock);
}

/* A restore that was cut short leaves a directory that a node may start on, and that a restore takes. */
static void restore__goes_on_after_it_was_cut_short(void **state)
{
    place *it = *state;
    write_number(it->store, 0, 10);
    alv_backup backup = must_backup(it, it->backup);
    alv_backup_done(&backup);
    alv_store *store = must_open(it->restored); /* lock and stamp */
    assert_int_equal(ALV_OK, alv_store_rocksdb_bind(store, "topic-1", NULL));
    store->ops->close(store);
    char *database = alv_format("%s/rocksdb", it->restored);
    char *half = alv_format("%s/rocksdb.restore", it->restored);
    assert_int_equal(ALV_OK, alv_store_checkpoint_remove(database, NULL));
    assert_int_equal(0, mkdir(half, 0700));
    write_file(half, "000001.sst", "half of it");
    must_restore(it, it->restored);
    store = must_open(it->restored);
    expect_number(store, 0, 10);
    store->ops->close(store);
    assert_int_equal(-1, access(half, F_OK));
    alv_free(half);
    alv_free(database);
}

/* ---- what goes wrong on the way -------------------------------------------------------------- */

/* Expects a backup of what is in `checkpoint` to be refused, and nothing to be left that looks like one. */
static void expect_no_backup(const place *it, const char *checkpoint, const char *state_dir,
                             const char *directory, const char *why)
{
    const alv_backup_source source = {.checkpoint = checkpoint,
                                      .state_dir = state_dir,
                                      .application_id = "test",
                                      .node_id = "node-1",
                                      .taken_at_ms = 5};
    alv_backup backup = ALV_BACKUP_NONE;
    alv_error err = ALV_ERROR_NONE;
    assert_int_not_equal(ALV_OK, alv_backup_write(&source, directory, NULL, NULL, &backup, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", err.text, why);
    alv_backup_done(&backup);
    expect_refused(directory, "test", it->restored, "there is no backup in");
}

static void backup__of_something_else_is_refused(void **state)
{
    place *it = *state;
    char *away = alv_format("%s/no/backup", it->directory);
    char *other = alv_format("%s/other", it->directory);
    char *inner = alv_format("%s/inner", it->checkpoint);
    expect_no_backup(it, it->checkpoint, it->state, away, "cannot make");
    expect_no_backup(it, it->checkpoint, it->state, it->backup, "cannot read");
    assert_int_equal(0, mkdir(it->checkpoint, 0700));
    write_file(it->checkpoint, "CURRENT", "x");
    expect_no_backup(it, it->checkpoint, it->state, it->backup, ""); /* RocksDB cannot open it */

    char *second = alv_format("%s-2", it->backup);
    assert_int_equal(0, mkdir(inner, 0700));
    expect_no_backup(it, it->checkpoint, it->state, second, "inner is no file of a database");
    alv_error err = ALV_ERROR_NONE;
    write_file(inner, "file", "x");
    assert_int_equal(ALV_RETRY, alv_store_checkpoint_remove(it->checkpoint, &err));
    assert_non_null(strstr(err.text, "cannot remove"));

    alv_store *store = must_open(other); /* no node has told its changelog */
    store->ops->close(store);
    expect_no_backup(it, it->checkpoint, other, second, "was never used by a node");
    alv_free(second);
    alv_free(inner);
    alv_free(other);
    alv_free(away);
}

/* A limit on the size of files stands for a full disk; where links can be made, only backup.json is written. */
static void backup__that_the_disk_refuses_is_none(void **state)
{
    place *it = *state;
    struct rlimit before;
    write_number(it->store, 0, 10);
    assert_int_equal(ALV_OK, alv_store_checkpoint_make(it->store, it->checkpoint, NULL));
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &before));
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit small = {1, before.rlim_max};
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
    const alv_backup_source source = {.checkpoint = it->checkpoint,
                                      .state_dir = it->state,
                                      .application_id = "test",
                                      .node_id = "node-1",
                                      .taken_at_ms = 5};
    alv_backup backup = ALV_BACKUP_NONE;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_backup_write(&source, it->backup, NULL, NULL, &backup, &err);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    alv_backup_done(&backup);
    assert_int_equal(ALV_REJECT, status);
    assert_non_null(strstr(err.text, "cannot write"));
    expect_refused(it->backup, "test", it->restored, "there is no backup in");
    assert_int_equal(ALV_OK, alv_store_checkpoint_remove(it->checkpoint, NULL));
    write_number(it->store, 0, 11); /* the node goes on */
}

/* A restore that the disk refuses may be run again. */
static void restore__that_the_disk_refuses_can_be_done_again(void **state)
{
    place *it = *state;
    struct rlimit before;
    alv_error err = ALV_ERROR_NONE;
    write_number(it->store, 0, 10);
    alv_backup backup = must_backup(it, it->backup);
    alv_backup_done(&backup);
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &before));
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit small = {100, before.rlim_max}; /* enough for the stamps */
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
    alv_status status = try_restore(it->backup, "test", it->restored, &err);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    assert_int_equal(ALV_REJECT, status);
    assert_non_null(strstr(err.text, "cannot write"));
    must_restore(it, it->restored);
    alv_store *store = must_open(it->restored);
    expect_number(store, 0, 10);
    store->ops->close(store);
}

static void restore__refuses_numbers_that_make_no_sense(void **state)
{
    place *it = *state;
    static const char *const wrong[] = {
        "\"shards\":{},\"files\":[]",
        "\"shards\":[7],\"files\":[]",
        "\"shards\":[{\"shard\":-1,\"position\":null}],\"files\":[]",
        "\"shards\":[{\"shard\":0,\"position\":{}}],\"files\":[]",
        ("\"shards\":[{\"shard\":0,\"position\":{\"commands\":1,\"changelog\":-1,\"ledger\":1,"
         "\"at\":1}}],\"files\":[]"),
        "\"shards\":[{\"shard\":0,\"position\":null}],\"files\":{}",
        "\"shards\":[],\"files\":[{\"name\":\"a\",\"bytes\":-1}]",
    };
    assert_int_equal(0, mkdir(it->backup, 0700));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char *text = alv_format("{\"format\":\"alluvium-backup\",\"version\":1,\"state\":\"1\","
                                "\"application\":\"test\",\"node\":\"n\",\"changelogId\":\"t\","
                                "\"takenAt\":1,%s}",
                                wrong[i]);
        write_file(it->backup, "backup.json", text);
        expect_refused(it->backup, "test", it->restored, "changed or damaged");
        alv_free(text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(backup__comes_back_with_data_and_positions),
        TEST(backup__can_be_restored_again),
        TEST(backup__names_a_shard_that_was_damaged),
        TEST(backup__remembers_which_changelog_it_is_a_copy_of),
        TEST(backup__reaches_another_file_system),
        TEST(backup__is_consistent_while_the_store_is_written_to),
        TEST(backup__is_not_written_over_something),
        TEST(restore__refuses_what_is_no_whole_backup),
        TEST(restore__refuses_a_state_dir_that_holds_something),
        TEST(restore__goes_on_after_it_was_cut_short),
        TEST(backup__of_something_else_is_refused),
        TEST(backup__that_the_disk_refuses_is_none),
        TEST(restore__that_the_disk_refuses_can_be_done_again),
        TEST(restore__refuses_numbers_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
