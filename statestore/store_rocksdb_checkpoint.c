/* store_rocksdb_checkpoint.c — making, opening and removing a checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/store_checkpoint.h"
#include "statestore/store_rocksdb_internal.h"

/* With 0, RocksDB flushes every memtable first: with the write-ahead log off, what is in memory would not
 * be in the checkpoint otherwise. */
#define FLUSH_ALWAYS 0

alv_status alv_store_checkpoint_make(alv_store *store, const char *path, alv_error *err)
{
    ALV_ASSERT(store->ops == &alv_rocksdb_ops);
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_status status = store->ops->flush(store, err); /* most of the work, without the lock */
    if (status != ALV_OK) {
        return status;
    }
    char *text = NULL;
    ALV_ASSERT(pthread_mutex_lock(&rocks->change) == 0); /* no column family goes meanwhile */
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &text);
    if (text == NULL) {
        rocksdb_checkpoint_create(checkpoint, path, FLUSH_ALWAYS, &text);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    ALV_ASSERT(pthread_mutex_unlock(&rocks->change) == 0);
    return alv_rocksdb_check(text, "checkpoint", -1, err);
}

size_t alv_store_checkpoint_shards(const alv_store *store, int32_t out[ALV_SHARDS_MAX])
{
    ALV_ASSERT(store->ops == &alv_rocksdb_ops);
    alv_rocksdb *rocks = (alv_rocksdb *)(uintptr_t)store;
    size_t count = 0;
    for (int32_t number = 0; number < ALV_SHARDS_MAX; number++) {
        alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
        if (shard != NULL) {
            out[count++] = number;
            alv_rocksdb_shard_unref(shard);
        }
    }
    return count;
}

/* RocksDB's temporary directory of a checkpoint that was cut short is beside it, under this name. */
#define UNFINISHED ".tmp"

/* A checkpoint has no directories in it. */
static alv_status directory_remove(const char *path, alv_error *err)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return errno == ENOENT ? ALV_OK
                               : alv_fail_from(err, ALV_RETRY, "errno", errno, "cannot read %s: %s",
                                               path, strerror(errno));
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0); /* rmdir says so when it failed */
        }
    }
    (void)closedir(directory); /* read-only */
    if (rmdir(path) != 0) {
        return alv_fail_from(err, ALV_RETRY, "errno", errno, "cannot remove %s: %s", path,
                             strerror(errno));
    }
    return ALV_OK;
}

alv_status alv_store_checkpoint_remove(const char *path, alv_error *err)
{
    char *unfinished = alv_format("%s" UNFINISHED, path);
    alv_status status = directory_remove(unfinished, err);
    alv_free(unfinished);
    return status == ALV_OK ? directory_remove(path, err) : status;
}
