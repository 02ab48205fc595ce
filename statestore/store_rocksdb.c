/* store_rocksdb.c — reads and writes of the RocksDB store.
 *
 * A column family holds a shard's entries under kind byte + key, and its position under
 * ALV_ROCKSDB_POSITION_KEY. Data and position are one batch in one column family, and RocksDB
 * flushes memtables whole and in order: after any crash a shard is as some earlier apply left it
 * (I2).
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/store_directory_internal.h"
#include "statestore/store_internal.h"
#include "statestore/store_rocksdb_internal.h"

/* A batch that has grown beyond this is not kept for the next apply. */
#define BATCH_KEEP_BYTES (4 << 20)

/* How RocksDB calls a flush of a column family that is gone. */
#define DROPPED "Column family dropped"

/* kind + key in one piece, on the stack unless it is longer than keys of entities are. */
typedef struct entry_key {
    const char *data;
    size_t size;
    char *heap;
    char stack[1 + ALV_KEY_BYTES_MAX];
} entry_key;

static void entry_key_init(entry_key *entry, alv_store_kind kind, alv_view key)
{
    entry->size = 1 + key.size;
    entry->heap = entry->size > sizeof entry->stack ? alv_alloc(entry->size) : NULL;
    char *data = entry->heap != NULL ? entry->heap : entry->stack;
    data[0] = (char)kind;
    if (key.size > 0) {
        memcpy(data + 1, key.data, key.size);
    }
    entry->data = data;
}

static void entry_key_done(entry_key *entry)
{
    alv_free(entry->heap);
}

static alv_status shard_not_open(int32_t shard, alv_error *err)
{
    return alv_fail(err, ALV_RETRY, "shard %d is not open", (int)shard);
}

/* A reference to a shard that is open, for a read; NULL with the reason in `err`. */
static alv_rocksdb_shard *shard_for_read(alv_rocksdb *rocks, int32_t number)
{
    alv_rocksdb_thread_prepare();
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
    alv_position ignored;
    if (shard != NULL && !alv_rocksdb_shard_position(shard, &ignored)) {
        alv_rocksdb_shard_unref(shard);
        return NULL;
    }
    return shard;
}

/* A writer that nobody uses, or a new one: as many are made as threads write at once. */
static alv_rocksdb_writer *writer_take(alv_rocksdb *rocks)
{
    ALV_ASSERT(pthread_mutex_lock(&rocks->writers_lock) == 0);
    alv_rocksdb_writer *writer = NULL;
    if (rocks->writer_count > 0) {
        writer = rocks->writers[--rocks->writer_count];
    }
    ALV_ASSERT(pthread_mutex_unlock(&rocks->writers_lock) == 0);
    if (writer == NULL) {
        writer = alv_alloc(sizeof *writer);
        writer->batch = rocksdb_writebatch_create();
    }
    return writer;
}

static void writer_free(alv_rocksdb_writer *writer)
{
    rocksdb_writebatch_destroy(writer->batch);
    alv_bytes_done(&writer->key);
    alv_free(writer);
}

static void writer_give(alv_rocksdb *rocks, alv_rocksdb_writer *writer)
{
    size_t size = 0;
    (void)rocksdb_writebatch_data(writer->batch, &size);
    rocksdb_writebatch_clear(writer->batch);
    bool keep = false;
    ALV_ASSERT(pthread_mutex_lock(&rocks->writers_lock) == 0);
    if (size <= BATCH_KEEP_BYTES && rocks->writer_count < ALV_ROCKSDB_WRITERS_MAX) {
        rocks->writers[rocks->writer_count++] = writer;
        keep = true;
    }
    ALV_ASSERT(pthread_mutex_unlock(&rocks->writers_lock) == 0);
    if (!keep) {
        writer_free(writer);
    }
}

static void writer_add(alv_rocksdb_writer *writer, rocksdb_column_family_handle_t *family,
                       const alv_store_write *write)
{
    char kind = (char)write->kind;
    alv_bytes_set(&writer->key, &kind, 1);
    alv_bytes_append(&writer->key, write->key.data, write->key.size);
    if (write->value.data == NULL) {
        rocksdb_writebatch_delete_cf(writer->batch, family, writer->key.data, writer->key.size);
    } else {
        rocksdb_writebatch_put_cf(writer->batch, family, writer->key.data, writer->key.size,
                                  write->value.data, write->value.size);
    }
}

static void writer_add_position(alv_rocksdb_writer *writer, rocksdb_column_family_handle_t *family,
                                const alv_position *position)
{
    char encoded[ALV_POSITION_BYTES];
    alv_position_encode(position, encoded);
    rocksdb_writebatch_put_cf(writer->batch, family, ALV_ROCKSDB_POSITION_KEY,
                              strlen(ALV_ROCKSDB_POSITION_KEY), encoded, sizeof encoded);
}

static alv_status rocksdb_store_apply(alv_store *store, int32_t number,
                                      const alv_store_write *writes, size_t count,
                                      const alv_position *position, alv_error *err)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_thread_prepare();
    if (alv_rocksdb_is_damaged(rocks, number, err)) {
        return ALV_REJECT; /* so that its owner wipes and restores it, although this write would do */
    }
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
    ALV_ASSERT(shard != NULL);
    ALV_ASSERT(!atomic_exchange(&shard->writing, true));
    alv_position before;
    ALV_ASSERT(alv_rocksdb_shard_position(shard, &before));
    ALV_ASSERT(alv_position_covers(position, &before));
    ALV_ASSERT(shard->load == NULL);

    alv_rocksdb_writer *writer = writer_take(rocks);
    for (size_t i = 0; i < count; i++) {
        writer_add(writer, shard->family, &writes[i]);
    }
    writer_add_position(writer, shard->family, position);
    char *text = NULL;
    rocksdb_write(rocks->db, rocks->write_options, writer->batch, &text);
    writer_give(rocks, writer);

    alv_status status = alv_rocksdb_check_write(rocks, text, "write", number, err);
    if (status == ALV_OK) {
        alv_rocksdb_shard_set_position(shard, position);
    }
    atomic_store(&shard->writing, false);
    alv_rocksdb_shard_unref(shard);
    return status;
}

static alv_status rocksdb_store_get(alv_store *store, int32_t number, alv_store_kind kind,
                                    alv_view key, bool *out_found, alv_bytes *out, alv_error *err)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_shard *shard = shard_for_read(rocks, number);
    if (shard == NULL) {
        return shard_not_open(number, err);
    }
    entry_key entry;
    entry_key_init(&entry, kind, key);
    char *text = NULL;
    /* Pinned: RocksDB lends the block, so that the value is copied once and not twice. */
    rocksdb_pinnableslice_t *value = rocksdb_get_pinned_cf(
        rocks->db, rocks->read_options, shard->family, entry.data, entry.size, &text);
    entry_key_done(&entry);
    alv_status status =
        alv_rocksdb_note_read(rocks, number, alv_rocksdb_check(text, "read", number, err));
    if (status == ALV_OK) {
        alv_bytes_clear(out);
        *out_found = value != NULL;
    }
    if (value != NULL) {
        size_t size = 0;
        const char *data = rocksdb_pinnableslice_value(value, &size);
        alv_bytes_append(out, data, size);
        rocksdb_pinnableslice_destroy(value);
    }
    alv_rocksdb_shard_unref(shard);
    return status;
}

static alv_status rocksdb_store_position(alv_store *store, int32_t number, alv_position *out,
                                         alv_error *err)
{
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref((alv_rocksdb *)store, number);
    bool open = shard != NULL && alv_rocksdb_shard_position(shard, out);
    alv_rocksdb_shard_unref(shard);
    return open ? ALV_OK : shard_not_open(number, err);
}

/* The smallest key after all that begin with `prefix`: the last byte that can be raised is. There
 * is one, because kinds are ASCII. */
static size_t prefix_end(const entry_key *prefix, char *out)
{
    size_t size = prefix->size;
    memcpy(out, prefix->data, size);
    while (size > 0 && (unsigned char)out[size - 1] == 0xff) {
        size--;
    }
    ALV_ASSERT(size > 0);
    out[size - 1] = (char)((unsigned char)out[size - 1] + 1);
    return size;
}

/* An iterator over what begins with `prefix`. It reads as of now, whatever is written meanwhile. A
 * scan does not push out what gets have brought into the block cache. `upper` must outlive the
 * iterator. */
static rocksdb_iterator_t *scan_begin(alv_rocksdb *rocks, const alv_rocksdb_shard *shard,
                                      rocksdb_readoptions_t *options, const entry_key *prefix,
                                      char *upper)
{
    size_t upper_size = prefix_end(prefix, upper);
    rocksdb_readoptions_set_iterate_upper_bound(options, upper, upper_size);
    rocksdb_readoptions_set_fill_cache(options, 0);
    return rocksdb_create_iterator_cf(rocks->db, options, shard->family);
}

/* Where a scan begins: at the prefix, or behind `after` when that is further. */
static void scan_seek(rocksdb_iterator_t *iterator, const entry_key *prefix, alv_store_kind kind,
                      alv_view after)
{
    entry_key behind;
    entry_key_init(&behind, kind, after);
    size_t shared = behind.size < prefix->size ? behind.size : prefix->size;
    int order = memcmp(behind.data, prefix->data, shared);
    if (after.size > 0 && (order > 0 || (order == 0 && behind.size >= prefix->size))) {
        rocksdb_iter_seek(iterator, behind.data, behind.size);
        size_t size = 0;
        const char *found = rocksdb_iter_valid(iterator) ? rocksdb_iter_key(iterator, &size) : NULL;
        if (found != NULL && size == behind.size && memcmp(found, behind.data, size) == 0) {
            rocksdb_iter_next(iterator);
        }
    } else {
        rocksdb_iter_seek(iterator, prefix->data, prefix->size);
    }
    entry_key_done(&behind);
}

static void scan_run(rocksdb_iterator_t *iterator, alv_store_visit visit, void *payload)
{
    for (bool more = true; more && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        alv_view key;
        alv_view value;
        key.data = rocksdb_iter_key(iterator, &key.size);
        value.data = rocksdb_iter_value(iterator, &value.size);
        ALV_ASSERT(key.size > 0);
        more = visit(payload, (alv_view){key.data + 1, key.size - 1}, value);
    }
}

static alv_status rocksdb_store_scan(alv_store *store, int32_t number, alv_store_kind kind,
                                     alv_view prefix, alv_view after, alv_store_visit visit,
                                     void *payload, alv_error *err)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_shard *shard = shard_for_read(rocks, number);
    if (shard == NULL) {
        return shard_not_open(number, err);
    }
    entry_key start;
    entry_key_init(&start, kind, prefix);
    char *upper = alv_alloc(start.size);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_iterator_t *iterator = scan_begin(rocks, shard, options, &start, upper);
    scan_seek(iterator, &start, kind, after);
    scan_run(iterator, visit, payload);

    char *text = NULL;
    rocksdb_iter_get_error(iterator, &text);
    alv_status status =
        alv_rocksdb_note_read(rocks, number, alv_rocksdb_check(text, "scan", number, err));
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    alv_free(upper);
    entry_key_done(&start);
    alv_rocksdb_shard_unref(shard);
    return status;
}

static alv_status shard_flush(alv_rocksdb *rocks, int32_t number,
                              const rocksdb_flushoptions_t *options, alv_error *err)
{
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
    if (shard == NULL) {
        return ALV_OK;
    }
    char *text = NULL;
    rocksdb_flush_cf(rocks->db, options, shard->family, &text); /* nothing to write costs nothing */
    alv_rocksdb_shard_unref(shard);
    if (text != NULL && strncmp(text, DROPPED, strlen(DROPPED)) == 0) {
        rocksdb_free(text); /* wiped meanwhile: there is nothing left to make durable */
        return ALV_OK;
    }
    return alv_rocksdb_check_write(rocks, text, "flush", number, err);
}

static alv_status rocksdb_store_flush(alv_store *store, alv_error *err)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_thread_prepare();
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    alv_status worst = ALV_OK;
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        alv_status status = shard_flush(rocks, i, options, err);
        worst = status > worst ? status : worst; /* alv_status grows with the severity */
    }
    rocksdb_flushoptions_destroy(options);
    return worst;
}

static void rocksdb_store_close(alv_store *store)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_bulk_free(rocks->bulk);
    if (rocks->db != NULL) {
        /* A failure leaves the store as a crash would, with nothing that is not in the changelog.
         * */
        if (!rocks->read_only) {
            (void)rocksdb_store_flush(store, NULL);
        }
        alv_rocksdb_database_close(rocks);
    }
    for (size_t i = 0; i < rocks->writer_count; i++) {
        writer_free(rocks->writers[i]);
    }
    rocksdb_readoptions_destroy(rocks->read_options);
    rocksdb_writeoptions_destroy(rocks->write_options);
    if (rocks->options != NULL) {
        rocksdb_options_destroy(rocks->options);
    }
    if (rocks->cache != NULL) {
        rocksdb_cache_destroy(rocks->cache);
    }
    ALV_ASSERT(pthread_mutex_destroy(&rocks->change) == 0);
    ALV_ASSERT(pthread_rwlock_destroy(&rocks->table) == 0);
    ALV_ASSERT(pthread_mutex_destroy(&rocks->writers_lock) == 0);
    if (!rocks->read_only) {
        alv_store_directory_close(rocks->lock);
    }
    alv_free(rocks->directory);
    alv_free(rocks);
}

const alv_store_ops alv_rocksdb_ops = {
    .open_shard = alv_rocksdb_open_shard,
    .wipe_shard = alv_rocksdb_wipe_shard,
    .apply = rocksdb_store_apply,
    .bulk_begin = alv_rocksdb_bulk_begin,
    .bulk_apply = alv_rocksdb_bulk_apply,
    .bulk_wait = alv_rocksdb_bulk_wait,
    .bulk_end = alv_rocksdb_bulk_end,
    .get = rocksdb_store_get,
    .position = rocksdb_store_position,
    .scan = rocksdb_store_scan,
    .flush = rocksdb_store_flush,
    .is_writable = alv_rocksdb_is_writable,
    .stats = alv_rocksdb_stats,
    .close = rocksdb_store_close,
};
