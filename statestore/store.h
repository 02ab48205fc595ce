/* store.h — the port to local state: one store per node, one section per shard.
 *
 * Why:    a shard's data and the position up to which it is complete are one write, so that no
 *         crash can part them (I2, I6). The RocksDB store (store_rocksdb.c) keeps a column family
 *         per shard with the write-ahead log off; the memory store (store_memory.c) serves tests
 *         and the simulator with the same crash rule: a shard falls back to an older, whole prefix.
 * Thread: open, close: main. Writes of a shard, open_shard and wipe_shard: the thread that owns it
 *         at the time (replicator while restoring, lane while active); two at once are a broken
 *         invariant and asserted. Reads and position: any thread, also while another writes, opens
 *         or wipes.
 * Owns:   the store belongs to the node. Views passed in are copied.
 * Fails:  ALV_RETRY disk full or similar, may pass, and any read of a shard that is not open;
 *         ALV_REJECT the shard's data is corrupt (wipe and restore it); ALV_FATAL the store as a
 *         whole cannot be used.
 * Limits: shards 0..ALV_SHARDS_MAX-1. Keys and values of any size; checking them is the caller's.
 *         Loads: see bulk_begin. One call of bulk_apply: below 4 GiB.
 */
#ifndef ALV_STATESTORE_STORE_H
#define ALV_STATESTORE_STORE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* The kinds of entry a shard holds; each kind is its own key space, ordered by key bytes. */
typedef enum alv_store_kind {
    ALV_STORE_STATE = 's',  /* entity key -> encoded state, as in the changelog */
    ALV_STORE_LEDGER = 'l', /* entity key -> ledger record, as in the ledger */

    /* due time (8 bytes, big-endian, sign bit flipped, so that key order is the order of time), then
     * entity key -> nothing: which entities have timers, by their earliest one. A hint and not a
     * record: the ledger says what is pending; an entry that it does not bear out means nothing. */
    ALV_STORE_TIMER = 't',
} alv_store_kind;

/* Appends the key of an index entry. */
void alv_store_timer_key(int64_t due_ms, alv_view entity_key, alv_bytes *out);

/* Takes it apart; false when it is not one. */
bool alv_store_timer_key_read(alv_view key, int64_t *out_due_ms, alv_view *out_entity_key);

/* Up to where a shard's data is complete; ends are exclusive, 0 = nothing yet. */
typedef struct alv_position {
    int64_t commands;  /* next command offset, from the ledger's position record */
    int64_t changelog; /* next changelog offset */
    int64_t ledger;    /* next ledger offset */
    int64_t at_ms; /* wall clock when it was stored, set by the caller; for the tombstone rule */
} alv_position;

#define ALV_POSITION_START ((alv_position){0, 0, 0, 0})

/* True when no offset of `later` is before that of `earlier`: a position only moves forward. at_ms
 * does not count: a wall clock may be set back, and that must not stop a node. */
bool alv_position_covers(const alv_position *later, const alv_position *earlier);

/* One write of a shard: changes, then `position`, all or nothing. */
typedef struct alv_store_write {
    alv_store_kind kind;
    alv_view key;
    alv_view value; /* data NULL = delete */
} alv_store_write;

/* So many shards may be loaded at once (bulk_begin): each has a buffer of its own, and larger buffers
 * make fewer files to merge later. */
#define ALV_STORE_BULK_SHARDS_MAX 4

/* Called for each entry of a scan; the views are valid during the call. False ends the scan. */
typedef bool (*alv_store_visit)(void *payload, alv_view key, alv_view value);

typedef struct alv_store alv_store;

/* How the store as a whole is doing. */
typedef struct alv_store_stats {
    uint64_t memtable_bytes;           /* written and not yet flushed */
    uint64_t block_cache_bytes;        /* in use */
    uint64_t file_bytes;               /* of all table files */
    uint64_t pending_compaction_bytes; /* an estimate of what compaction has to rewrite */
    uint64_t flushes_running;
    uint64_t compactions_running;
    uint64_t keys; /* an estimate */
} alv_store_stats;

typedef struct alv_store_ops {
    /* Makes the shard's section if it is missing and reads its position (ALV_POSITION_START when
     * new). Open already: gives the position. ALV_REJECT when the data cannot be trusted. */
    alv_status (*open_shard)(alv_store *store, int32_t shard, alv_position *out, alv_error *err);

    /* Throws the shard's data away, also of a shard that could not be opened; it is open and empty
     * afterwards. Reads under way end on the old data. */
    alv_status (*wipe_shard)(alv_store *store, int32_t shard, alv_error *err);

    /* Applies all writes, in order, and the position, atomically. Asserts that the shard is open
     * and that the position does not go back. On failure nothing was applied. */
    alv_status (*apply)(alv_store *store, int32_t shard, const alv_store_write *writes,
                        size_t count, const alv_position *position, alv_error *err);

    /* ---- loading a shard that is far behind ---- */

    /* From here to bulk_end the shard is written by bulk_apply alone. Reads go on, over what is
     * installed so far. The shard must be open. At most ALV_STORE_BULK_SHARDS_MAX shards at once. */
    alv_status (*bulk_begin)(alv_store *store, int32_t shard, alv_error *err);

    /* As apply, but readable, durable and part of `position` only later: what was handed over is
     * installed in large pieces, each of whole calls, in their order, with the position of its last
     * one (I2). So after a crash, or a bulk_end that does not keep, the shard is as some earlier
     * call left it. Does not wait: whoever feeds loads has to ask bulk_wait again after some
     * thousand records. After a failure the load is over, and what was installed stays. */
    alv_status (*bulk_apply)(alv_store *store, int32_t shard, const alv_store_write *writes,
                             size_t count, const alv_position *position, alv_error *err);

    /* Waits up to `timeout_ms` until there is room for more; whether there is. */
    bool (*bulk_wait)(alv_store *store, int timeout_ms);

    /* Ends the load. With `keep` all of it is installed: *out_done is false while that goes on in
     * the background, and then the call is to be made again. Without, what is not installed is
     * dropped, at once: waits for one piece at most. After a failure the load is over as well. */
    alv_status (*bulk_end)(alv_store *store, int32_t shard, bool keep, bool *out_done,
                           alv_error *err);

    /* Copies the value into `out` (cleared first); *out_found says whether there is one. */
    alv_status (*get)(alv_store *store, int32_t shard, alv_store_kind kind, alv_view key,
                      bool *out_found, alv_bytes *out, alv_error *err);

    /* The position of what can be read: as of the last apply, or of a load's last installed piece. */
    alv_status (*position)(alv_store *store, int32_t shard, alv_position *out, alv_error *err);

    /* Visits entries whose key starts with `prefix` and is greater than `after` (both may be
     * empty), in key order, over one consistent snapshot. `visit` may call the store. */
    alv_status (*scan)(alv_store *store, int32_t shard, alv_store_kind kind, alv_view prefix,
                       alv_view after, alv_store_visit visit, void *payload, alv_error *err);

    /* Makes everything applied so far durable; blocks for as long as the disk takes. Called on
     * clean stops and on a timer, so that the position of an idle shard does not age in memory. A
     * shard that fails does not keep the others from being flushed. */
    alv_status (*flush)(alv_store *store, alv_error *err);

    /* Whether it takes writes at all. False, and `err` (may be NULL) says why and what to do, once it has met damage
     * or a disk that fails: until it is opened anew, nothing of any shard can be written. Any thread. */
    bool (*is_writable)(alv_store *store, alv_error *err);

    /* Fills `out`; what the store does not know is 0. Takes locks inside the store for some
     * microseconds per shard. Any thread. */
    void (*stats)(alv_store *store, alv_store_stats *out);

    /* Flushes and frees. */
    void (*close)(alv_store *store);
} alv_store_ops;

struct alv_store {
    const alv_store_ops *ops;
};

typedef struct alv_store_options {
    const char *directory;      /* state.dir; its parent must exist */
    const char *application_id; /* whose state this is; a directory never changes hands */
    int64_t
        memory_bytes; /* state.memory.bytes: block cache, write and load buffers of all shards */
} alv_store_options;

/* Opens or makes the RocksDB store in `directory` (made with mode 0700), with one memory budget for
 * all shards, takes the directory's lock and checks its version stamp (application and format).
 * ALV_REJECT: locked by another process, not accessible, or the stamp is unknown or of another
 * application; ALV_RETRY: the disk is full; ALV_FATAL: damaged as a whole. `err` names the next
 * step. Blocks while RocksDB reads its manifest (milliseconds to seconds). */
alv_status alv_store_rocksdb_open(const alv_store_options *options, alv_store **out,
                                  alv_error *err);

/* Version of RocksDB that this program was built with. Static. */
const char *alv_store_rocksdb_version(void);

/* Says of which changelog topic (Kafka's topic id) the data is a copy; the first call for a directory is
 * remembered there. Positions are offsets of one topic: if it was deleted and made anew, they mean
 * nothing. ALV_REJECT: it is a copy of another one; `err` names the next step. */
alv_status alv_store_rocksdb_bind(alv_store *store, const char *changelog_id, alv_error *err);

/* An empty store in memory. */
alv_store *alv_store_memory_new(void);

/* Falls back as a crash may: the shard loses its last `apply_count` applies, but none from before
 * the last flush or wipe of it (all since then when there are fewer). A load of it is over, and what was
 * not installed is lost. */
void alv_store_memory_crash(alv_store *store, int32_t shard, size_t apply_count);

#endif
