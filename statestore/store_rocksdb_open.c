/* store_rocksdb_open.c — opening the RocksDB store: directory first, then every column family. */
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/store_checkpoint.h"
#include "statestore/store_directory_internal.h"
#include "statestore/store_rocksdb_internal.h"

/* Opening writes a log and a manifest, well below 1 MiB. On a full disk RocksDB
 * may abort the process instead of failing (see its log in store_rocksdb_options.c). */
#define FREE_BYTES_MIN (16 << 20)

/* RocksDB begins an OPTIONS file at every open and for every family that is made or dropped, cannot write it (see
 * the log in store_rocksdb_options.c), and leaves what it has: some 200 bytes. */
#define OPTIONS_LEFT ".dbtmp"

static alv_status disk_check(const char *directory, alv_error *err)
{
    struct statvfs disk;
    if (statvfs(directory, &disk) != 0) {
        return ALV_OK; /* not known: let RocksDB find out */
    }
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (available >= FREE_BYTES_MIN) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_RETRY,
                    "state.dir %s: its disk has %llu KiB left, and %d are needed to start; free "
                    "some space",
                    directory, (unsigned long long)(available / 1024), FREE_BYTES_MIN / 1024);
}

/* RocksDB must be given all column families that exist. */
typedef struct family_list {
    char **names;
    size_t count;
} family_list;

static void family_list_done(family_list *list)
{
    if (list->names != NULL) {
        rocksdb_list_column_families_destroy(list->names, list->count);
    }
}

static bool database_exists(const char *path)
{
    char *current = alv_format("%s/CURRENT", path);
    bool exists = access(current, F_OK) == 0;
    alv_free(current);
    return exists;
}

/* The caller is done with the list whatever comes of it: RocksDB makes one also when it fails. */
static alv_status family_list_read(const char *path, const rocksdb_options_t *options,
                                   family_list *out, alv_error *err)
{
    char *text = NULL;
    out->names = rocksdb_list_column_families(options, path, &out->count, &text);
    return alv_rocksdb_check(text, "list column families", -1, err);
}

/* Keeps the handles of shards. The default family is empty and needs none. */
static void shards_adopt(alv_rocksdb *rocks, const char *const *names,
                         rocksdb_column_family_handle_t **families, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t shard = alv_rocksdb_family_shard(names[i]);
        if (shard < 0) {
            rocksdb_column_family_handle_destroy(families[i]);
            continue;
        }
        ALV_ASSERT(rocks->shards[shard] == NULL);
        rocks->shards[shard] = alv_rocksdb_shard_new(shard, families[i]);
    }
}

static alv_status database_open_families(alv_rocksdb *rocks, const char *path,
                                         const char *const *names, size_t count, alv_error *err)
{
    const rocksdb_options_t **options = alv_alloc_array(count, sizeof *options);
    rocksdb_column_family_handle_t **families = alv_alloc_array(count, sizeof *families);
    for (size_t i = 0; i < count; i++) {
        options[i] = rocks->options;
    }
    char *text = NULL;
    rocksdb_t *db = rocks->read_only
                        ? rocksdb_open_for_read_only_column_families(
                              rocks->options, path, (int)count, names, options, families, 0, &text)
                        : rocksdb_open_column_families(rocks->options, path, (int)count, names,
                                                       options, families, &text);
    alv_status status = alv_rocksdb_check(text, "open", -1, err);
    if (status == ALV_OK) {
        rocks->db = db;
        shards_adopt(rocks, names, families, count);
    }
    alv_free(families);
    alv_free(options);
    return status;
}

alv_status alv_rocksdb_database_open(alv_rocksdb *rocks, const char *path, alv_error *err)
{
    static const char *const first[] = {"default"};
    if (!rocks->read_only) {
        alv_store_directory_sweep(path, OPTIONS_LEFT);
    }
    if (!rocks->read_only && !database_exists(path)) {
        return database_open_families(rocks, path, first, 1, err);
    }
    family_list list = {0};
    alv_status status = family_list_read(path, rocks->options, &list, err);
    if (status == ALV_OK) {
        status =
            database_open_families(rocks, path, (const char *const *)list.names, list.count, err);
    }
    family_list_done(&list);
    return status;
}

void alv_rocksdb_database_close(alv_rocksdb *rocks)
{
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        alv_rocksdb_shard_unref(rocks->shards[i]);
        rocks->shards[i] = NULL;
    }
    rocksdb_close(rocks->db);
    rocks->db = NULL;
}

static void options_make(alv_rocksdb *rocks, int64_t memory_bytes, bool compress)
{
    if (rocks->options != NULL) {
        rocksdb_options_destroy(rocks->options);
        rocksdb_cache_destroy(rocks->cache);
    }
    rocks->options = alv_rocksdb_options_new(memory_bytes, compress, &rocks->cache);
    rocks->compress = compress;
}

/* The first try compresses; a RocksDB that was built without LZ4 says so when it opens, and then
 * goes without. */
static alv_status database_open_any(alv_rocksdb *rocks, const char *path, int64_t memory_bytes,
                                    alv_error *err)
{
    alv_error first = ALV_ERROR_NONE;
    options_make(rocks, memory_bytes, true);
    alv_status status = alv_rocksdb_database_open(rocks, path, &first);
    if (status == ALV_FATAL && strstr(first.text, "not linked") != NULL) {
        alv_error_clear(&first);
        options_make(rocks, memory_bytes, false);
        status = alv_rocksdb_database_open(rocks, path, &first);
    }
    if (alv_rocksdb_must_salvage(rocks, status)) {
        if (status == ALV_OK) {
            alv_rocksdb_database_close(rocks);
        }
        alv_error_clear(&first);
        status = alv_rocksdb_salvage(rocks, path, &first);
        status = status == ALV_OK ? alv_rocksdb_database_open(rocks, path, &first) : status;
    }
    if (status == ALV_OK) {
        return ALV_OK;
    }
    /* Reject would mean "wipe a shard", and no shard could be told. */
    const char *next = status == ALV_REJECT
                           ? "stop the node and move the directory away: a new one is restored "
                             "from the changelog"
                           : "free the disk or correct its permissions, then start again";
    return alv_fail_from(err, ALV_FATAL, first.source, first.code, "state.dir %s: %.250s; %s",
                         rocks->directory, first.text, next);
}

static alv_rocksdb *rocksdb_new(const char *directory, int lock)
{
    alv_rocksdb *rocks = alv_alloc(sizeof *rocks);
    rocks->store.ops = &alv_rocksdb_ops;
    rocks->directory = alv_strdup(directory);
    rocks->lock = lock;
    rocks->read_options = rocksdb_readoptions_create();
    rocks->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->write_options, 1); /* the changelog is the log */
    ALV_ASSERT(pthread_mutex_init(&rocks->change, NULL) == 0);
    ALV_ASSERT(pthread_rwlock_init(&rocks->table, NULL) == 0);
    ALV_ASSERT(pthread_mutex_init(&rocks->writers_lock, NULL) == 0);
    return rocks;
}

alv_status alv_store_rocksdb_open(const alv_store_options *options, alv_store **out, alv_error *err)
{
    int lock = -1;
    alv_status status =
        alv_store_directory_open(options->directory, options->application_id, &lock, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_rocksdb *rocks = rocksdb_new(options->directory, lock);
    char *path = alv_format("%s/rocksdb", options->directory);
    alv_rocksdb_thread_prepare();
    status = disk_check(options->directory, err);
    if (status == ALV_OK) {
        status = database_open_any(rocks, path, options->memory_bytes, err);
    }
    alv_free(path);
    if (status != ALV_OK) {
        rocks->store.ops->close(&rocks->store);
        return status;
    }
    rocks->bulk = alv_rocksdb_bulk_new(rocks, options->memory_bytes);
    *out = &rocks->store;
    return ALV_OK;
}

alv_status alv_store_rocksdb_bind(alv_store *store, const char *changelog_id, alv_error *err)
{
    ALV_ASSERT(store->ops == &alv_rocksdb_ops);
    return alv_store_directory_bind(((alv_rocksdb *)store)->directory, changelog_id, err);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* A comparison reads each block once. */
#define CHECKPOINT_MEMORY_BYTES (16 << 20)

alv_status alv_store_checkpoint_open(const char *path, alv_store **out, alv_error *err)
{
    alv_rocksdb *rocks = rocksdb_new(path, -1);
    rocks->read_only = true;
    alv_rocksdb_thread_prepare();
    options_make(rocks, CHECKPOINT_MEMORY_BYTES, true);
    alv_status status = alv_rocksdb_database_open(rocks, path, err);
    if (status != ALV_OK) {
        rocks->store.ops->close(&rocks->store);
        return status;
    }
    *out = &rocks->store;
    return ALV_OK;
}
