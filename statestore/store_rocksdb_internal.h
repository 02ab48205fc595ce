/* store_rocksdb_internal.h — the RocksDB store inside: handles, table of shards, errors.
 *
 * Why:    rocksdb/c.h is opened here and in store_rocksdb*.c only; everyone else sees store.h.
 * Locks:  `change` (making and dropping column families; held across disk writes) before `table`
 *         (the pointers; held for a few instructions) before a shard's `position_lock` and
 *         `writers_lock`. None is held while a visit or any other code of a caller runs. The loads'
 *         own lock is in store_rocksdb_bulk.c, and is a leaf as well.
 */
#ifndef ALV_STATESTORE_STORE_ROCKSDB_INTERNAL_H
#define ALV_STATESTORE_STORE_ROCKSDB_INTERNAL_H

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "statestore/store.h"

typedef struct alv_rocksdb_load alv_rocksdb_load;
typedef struct alv_rocksdb_bulk alv_rocksdb_bulk;

/* A shard's column family. Counted, not locked: whoever reads holds a reference, and a wipe puts
 * another object in its place at once; RocksDB keeps dropped data until the last handle is gone. */
typedef struct alv_rocksdb_shard {
    int32_t number;
    atomic_int references;
    atomic_bool writing; /* to notice two owners */
    rocksdb_column_family_handle_t *family;
    pthread_mutex_t position_lock; /* for the two below */
    alv_position position;         /* as of the last apply */
    bool open;                     /* `position` is known */
    alv_rocksdb_load *load;        /* the owner thread's; NULL = it is not being loaded */
} alv_rocksdb_shard;

/* What an apply needs and is worth keeping for the next one. */
typedef struct alv_rocksdb_writer {
    rocksdb_writebatch_t *batch;
    alv_bytes key;
} alv_rocksdb_writer;

/* Lanes, the replicator, and some more. */
#define ALV_ROCKSDB_WRITERS_MAX (ALV_LANES_MAX + 4)

typedef struct alv_rocksdb {
    alv_store store; /* first: the port's handle is the store */
    char *directory; /* state.dir, for messages */
    int lock;        /* -1: read_only */
    bool read_only;  /* a checkpoint */
    rocksdb_t *db;
    rocksdb_options_t *options; /* also of column families made later */
    bool compress;              /* RocksDB has LZ4 */
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *read_options;
    pthread_mutex_t change;
    pthread_rwlock_t table;
    alv_rocksdb_shard *shards[ALV_SHARDS_MAX];
    atomic_bool damaged[ALV_SHARDS_MAX]; /* something of it could not be read: until it is wiped */
    atomic_bool refuses; /* RocksDB takes no more writes, the first to notice says why in */
    alv_error refusal;
    atomic_bool refusal_ready; /* it has said so */
    pthread_mutex_t writers_lock;
    alv_rocksdb_writer *writers[ALV_ROCKSDB_WRITERS_MAX]; /* not in use at the moment */
    size_t writer_count;
    alv_rocksdb_bulk *bulk; /* NULL until the database is open */
} alv_rocksdb;

/* The reserved key of a shard's position: no kind of entry begins with this byte. */
#define ALV_ROCKSDB_POSITION_KEY "p"
static_assert(ALV_STORE_STATE != 'p' && ALV_STORE_LEDGER != 'p' && ALV_STORE_TIMER != 'p',
              "the position's key is its own");

/* store_rocksdb_options.c */

/* Memory budget, compaction, compression; `compress` false for a RocksDB built without LZ4. The
 * caller destroys both; *out_cache is referred to by the options. */
rocksdb_options_t *alv_rocksdb_options_new(int64_t memory_bytes, bool compress,
                                           rocksdb_cache_t **out_cache);

/* Turns off RocksDB's counters for the calling thread: they cost a tenth of a put. Cheap to repeat.
 * */
void alv_rocksdb_thread_prepare(void);

/* store_rocksdb_error.c */

/* Frees RocksDB's text and returns what it means (ALV_OK for NULL), with `doing` ("write") and the
 * shard (-1: none) in `err`. */
alv_status alv_rocksdb_check(char *text, const char *doing, int32_t shard, alv_error *err);

/* Whether RocksDB goes on by itself after this error of a write (NULL = none), once its cause is gone. */
bool alv_rocksdb_error_passes(const char *text);

/* store_rocksdb_shards.c */

/* Takes `family`. The shard is not open yet. */
alv_rocksdb_shard *alv_rocksdb_shard_new(int32_t number, rocksdb_column_family_handle_t *family);

/* The shard with a reference, NULL when it has no column family. */
alv_rocksdb_shard *alv_rocksdb_shard_ref(alv_rocksdb *rocks, int32_t number);

/* The last reference destroys the handle. NULL is fine. */
void alv_rocksdb_shard_unref(alv_rocksdb_shard *shard);

/* As of the last apply; false when the shard is not open. */
bool alv_rocksdb_shard_position(alv_rocksdb_shard *shard, alv_position *out);
void alv_rocksdb_shard_set_position(alv_rocksdb_shard *shard, const alv_position *position);

/* The name of a shard's column family, and back; -1 when it is not one. */
#define ALV_ROCKSDB_FAMILY_NAME_BYTES 24
void alv_rocksdb_family_name(int32_t shard, char out[ALV_ROCKSDB_FAMILY_NAME_BYTES]);
int32_t alv_rocksdb_family_shard(const char *name);

/* Two functions of the port. */
alv_status alv_rocksdb_open_shard(alv_store *store, int32_t shard, alv_position *out,
                                  alv_error *err);
alv_status alv_rocksdb_wipe_shard(alv_store *store, int32_t shard, alv_error *err);

/* store_rocksdb_stats.c: a function of the port. */
void alv_rocksdb_stats(alv_store *store, alv_store_stats *out);

/* store_rocksdb_bulk.c */

/* What loads need, for a database that is open; `memory_bytes` is the whole store's budget. Removes what
 * a crash left of unfinished files. Threads and buffers are made at the first load. */
alv_rocksdb_bulk *alv_rocksdb_bulk_new(alv_rocksdb *rocks, int64_t memory_bytes);

/* No load is under way any more. NULL is fine. */
void alv_rocksdb_bulk_free(alv_rocksdb_bulk *bulk);

/* Four functions of the port. */
alv_status alv_rocksdb_bulk_begin(alv_store *store, int32_t number, alv_error *err);
alv_status alv_rocksdb_bulk_apply(alv_store *store, int32_t number, const alv_store_write *writes,
                                  size_t count, const alv_position *position, alv_error *err);
bool alv_rocksdb_bulk_wait(alv_store *store, int timeout_ms);
alv_status alv_rocksdb_bulk_end(alv_store *store, int32_t number, bool keep, bool *out_done,
                                alv_error *err);

/* store_rocksdb_open.c */

/* Opens the database with every column family as rocks->options say; ALV_REJECT: it is damaged. */
alv_status alv_rocksdb_database_open(alv_rocksdb *rocks, const char *path, alv_error *err);
void alv_rocksdb_database_close(alv_rocksdb *rocks);

/* store_rocksdb_damage.c */

/* Notes that a read of the shard ended with `status`: ALV_REJECT makes it a damaged one, which open_shard and
 * apply refuse until it is wiped. Returns `status`. */
alv_status alv_rocksdb_note_read(alv_rocksdb *rocks, int32_t shard, alv_status status);

bool alv_rocksdb_is_damaged(alv_rocksdb *rocks, int32_t shard, alv_error *err);

/* As alv_rocksdb_check, for a call that writes into the database. What RocksDB does not get over by itself, it
 * answers every write of any shard with until it is opened anew: damage that a compaction has met, of which word is
 * left for the next start, which salvages; or a disk that has failed, if only once. ALV_FATAL then. */
alv_status alv_rocksdb_check_write(alv_rocksdb *rocks, char *text, const char *doing, int32_t shard,
                                   alv_error *err);

/* The same for a file that RocksDB was to take over: a disk that fails then need not end writing, so it is asked. */
alv_status alv_rocksdb_check_ingest(alv_rocksdb *rocks, char *text, int32_t shard, alv_error *err);
bool alv_rocksdb_is_writable(alv_store *store, alv_error *err);

/* Whether the last start left word, or `status` of opening says so itself. */
bool alv_rocksdb_must_salvage(const alv_rocksdb *rocks, alv_status status);

/* Opens the database without its checks, reads every shard whole, drops those that cannot be read (they are
 * damaged ones then) and closes it, so that it can be opened as usual. */
alv_status alv_rocksdb_salvage(alv_rocksdb *rocks, const char *path, alv_error *err);

/* store_rocksdb.c */
extern const alv_store_ops alv_rocksdb_ops;

#endif
