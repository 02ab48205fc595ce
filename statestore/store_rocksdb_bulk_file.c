/* store_rocksdb_bulk_file.c — a sorted buffer becomes a table file, and the file part of a shard.
 *
 * A file holds the position that belongs to its entries, under the same reserved key as ever. RocksDB
 * takes a file whole, by one write to its manifest that is synced, and gives it a place above all that
 * the shard already has: the newest value of a key, a deletion and the position are found here first.
 * What the shard has in memory is flushed before (the position's key overlaps), so nothing older can
 * come back above it after a crash. That is I2 with files for batches.
 */
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "statestore/store_internal.h"
#include "statestore/store_rocksdb_bulk_internal.h"

/* The entries after the one being written are on their way into the cache. */
#define FILE_PREFETCH 6
/* Between two looks at `cancelled`: about a millisecond. */
#define FILE_CANCEL_EVERY 2048

static alv_status file_add_entry(rocksdb_sstfilewriter_t *writer, alv_view key, alv_view value,
                                 int32_t shard, alv_error *err)
{
    char *text = NULL;
    if (value.data == NULL) {
        rocksdb_sstfilewriter_delete(writer, key.data, key.size, &text);
    } else {
        rocksdb_sstfilewriter_put(writer, key.data, key.size, value.data, value.size, &text);
    }
    return alv_rocksdb_check(text, "write a file of", shard, err);
}

static alv_status file_add_kind(rocksdb_sstfilewriter_t *writer, const alv_bulk_buffer *buffer,
                                int kind, int32_t shard, const atomic_bool *cancelled,
                                alv_error *err)
{
    alv_status status = ALV_OK;
    size_t count = buffer->count[kind];
    const alv_bulk_entry *entries = buffer->entries[kind];
    for (size_t i = 0; i < count && status == ALV_OK; i++) {
        if (i + FILE_PREFETCH < count) {
            const char *ahead = buffer->memory + entries[i + FILE_PREFETCH].at;
            __builtin_prefetch(ahead);
            __builtin_prefetch(ahead + 64);
            __builtin_prefetch(ahead + 128);
        }
        if (i % FILE_CANCEL_EVERY == 0 && atomic_load(cancelled)) {
            break;
        }
        alv_view key;
        alv_view value;
        alv_bulk_buffer_read(buffer, &entries[i], &key, &value);
        status = file_add_entry(writer, key, value, shard, err);
    }
    return status;
}

static alv_status file_add_position(rocksdb_sstfilewriter_t *writer, const alv_position *position,
                                    int32_t shard, alv_error *err)
{
    char encoded[ALV_POSITION_BYTES];
    alv_position_encode(position, encoded);
    return file_add_entry(writer, ALV_VIEW(ALV_ROCKSDB_POSITION_KEY),
                          (alv_view){encoded, sizeof encoded}, shard, err);
}

static alv_status file_write(const rocksdb_options_t *options, const alv_bulk_buffer *buffer,
                             const char *path, int32_t shard, const atomic_bool *cancelled,
                             alv_error *err)
{
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(env, options);
    char *text = NULL;
    rocksdb_sstfilewriter_open(writer, path, &text);
    alv_status status = alv_rocksdb_check(text, "make a file of", shard, err);
    if (status == ALV_OK) {
        status = file_add_kind(writer, buffer, ALV_BULK_LEDGER, shard, cancelled, err);
    }
    if (status == ALV_OK) {
        status = file_add_position(writer, &buffer->position, shard, err);
    }
    if (status == ALV_OK) {
        status = file_add_kind(writer, buffer, ALV_BULK_STATE, shard, cancelled, err);
    }
    if (status == ALV_OK) {
        status = file_add_kind(writer, buffer, ALV_BULK_TIMER, shard, cancelled, err);
    }
    if (status == ALV_OK && !atomic_load(cancelled)) {
        text = NULL;
        rocksdb_sstfilewriter_finish(writer, &text); /* synced */
        status = alv_rocksdb_check(text, "finish a file of", shard, err);
    }
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(env);
    return status;
}

static alv_status file_ingest(alv_rocksdb *rocks, const alv_rocksdb_shard *shard, const char *path,
                              alv_error *err)
{
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1); /* no copy */
    rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(options, 1);
    char *text = NULL;
    rocksdb_ingest_external_file_cf(rocks->db, shard->family, &path, 1, options, &text);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return alv_rocksdb_check_ingest(rocks, text, shard->number, err);
}

/* A folder that somebody removed says nothing of the shard; the next load makes it anew. */
static alv_status file_not_damaged(alv_status status, alv_error *err)
{
    if (status == ALV_REJECT) {
        status = err->status = ALV_RETRY;
    }
    return status;
}

alv_status alv_bulk_file_install(alv_rocksdb *rocks, const rocksdb_options_t *options,
                                 const alv_rocksdb_shard *shard, const alv_bulk_buffer *buffer,
                                 const char *path, const atomic_bool *cancelled, bool *out_done,
                                 alv_error *err)
{
    *out_done = false;
    alv_status status =
        file_not_damaged(file_write(options, buffer, path, shard->number, cancelled, err), err);
    if (status == ALV_OK && !atomic_load(cancelled)) {
        status = file_ingest(rocks, shard, path, err);
        *out_done = status == ALV_OK;
    }
    (void)unlink(path); /* there only when something went wrong */
    return status;
}
