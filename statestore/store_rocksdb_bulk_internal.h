/* store_rocksdb_bulk_internal.h — a piece of a load: collected in memory, then a table file of RocksDB.
 *
 * Why:    a restore writes millions of entries that nobody reads yet. Through the memtable each costs a
 *         walk through a skip list in cold memory, and is written to a file later anyway. Here entries
 *         are appended to a buffer, sorted once, written to a table file and handed to RocksDB whole.
 * Thread: a buffer belongs to the shard's owner while it is filled, then to the thread that writes it.
 * Owns:   a buffer its memory, which goes back to the system when it is freed.
 * Fails:  write: as alv_rocksdb_check says.
 * Limits: a buffer stays below 4 GiB.
 */
#ifndef ALV_STATESTORE_STORE_ROCKSDB_BULK_INTERNAL_H
#define ALV_STATESTORE_STORE_ROCKSDB_BULK_INTERNAL_H

#include "statestore/store_rocksdb_internal.h"

/* Where an entry lies, with the first bytes of its key in which keys of the buffer differ: nearly all
 * comparisons end here, without a look at the key itself. */
typedef struct alv_bulk_entry {
    uint64_t first; /* big-endian bytes as numbers */
    uint64_t second;
    uint32_t at; /* in `memory`: grows with the order in which entries were added */
} alv_bulk_entry;

/* The key spaces in the order of their bytes, each sorted by itself; the position's key lies behind the
 * first. */
enum {
    ALV_BULK_LEDGER,
    ALV_BULK_STATE,
    ALV_BULK_TIMER,
    ALV_BULK_KINDS
};
static_assert(ALV_STORE_LEDGER < 'p' && 'p' < ALV_STORE_STATE && ALV_STORE_STATE < ALV_STORE_TIMER,
              "the order of keys in a file");

typedef struct alv_bulk_buffer {
    struct alv_bulk_buffer *next; /* in a queue */
    alv_rocksdb_load *load;       /* whose entries these are */
    char *memory;
    size_t size;
    size_t used;
    alv_bulk_entry *entries[ALV_BULK_KINDS];
    size_t count[ALV_BULK_KINDS];
    size_t capacity[ALV_BULK_KINDS];
    alv_position position; /* behind the last call that is in here */
} alv_bulk_buffer;

alv_bulk_buffer *alv_bulk_buffer_new(size_t size);
void alv_bulk_buffer_free(alv_bulk_buffer *buffer);

/* Empties it, and makes it larger when `needed` bytes would not fit. */
void alv_bulk_buffer_clear(alv_bulk_buffer *buffer, size_t needed);

/* Whether so much more fits. */
bool alv_bulk_buffer_fits(const alv_bulk_buffer *buffer, size_t needed);

/* What these writes take up, with the list of entries. */
size_t alv_bulk_buffer_needs(const alv_store_write *writes, size_t count);

/* Appends them; they fit. */
void alv_bulk_buffer_add(alv_bulk_buffer *buffer, const alv_store_write *writes, size_t count);

/* Sorts by key; of several entries of a key only the one that was added last stays. */
void alv_bulk_buffer_sort(alv_bulk_buffer *buffer);

/* An entry's key, with its kind in front, and value (data NULL: deleted). */
void alv_bulk_buffer_read(const alv_bulk_buffer *buffer, const alv_bulk_entry *entry,
                          alv_view *out_key, alv_view *out_value);

/* Writes a sorted buffer to the table file `path` and installs that in `family`: data and position at
 * once, durable (I2). Looks at `cancelled` now and then: nothing was installed, and *out_done false, when
 * it became true. Removes the file unless RocksDB took it. */
alv_status alv_bulk_file_install(alv_rocksdb *rocks, const rocksdb_options_t *options,
                                 const alv_rocksdb_shard *shard, const alv_bulk_buffer *buffer,
                                 const char *path, const atomic_bool *cancelled, bool *out_done,
                                 alv_error *err);

/* store_rocksdb_options.c: how table files of loads are written. The caller destroys it. */
rocksdb_options_t *alv_rocksdb_options_for_bulk(const rocksdb_options_t *options, bool compress);

#endif
