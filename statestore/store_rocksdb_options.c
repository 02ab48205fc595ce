/* store_rocksdb_options.c — RocksDB set up for many small shards, point reads and point writes.
 *
 * The load: every command reads one state of about 300 bytes (unless the entity cache has it) and
 * writes it back; keys come in no order; scans are rare. All shards share one memory budget, so
 * that more shards do not mean more memory.
 */
#include <sys/resource.h>

#include "base/assert.h"
#include "statestore/store_rocksdb_bulk_internal.h"

#define LEVELS 7                          /* RocksDB's default, needed to name each */
#define WRITE_BUFFER_BYTES_MAX (16 << 20) /* beyond, the skip list walks cold memory: slower puts */
#define WRITE_BUFFER_BYTES_MIN (64 << 10) /* RocksDB's own minimum */
#define MEMTABLE_BLOOM_RATIO 0.005
#define ARENA_BLOCK_BYTES_MAX (256 << 10) /* what the first write costs an idle shard */
#define BLOOM_BITS_PER_KEY 10             /* 1 % of the gets that find nothing read a block */
#define BLOCK_BYTES 4096                  /* a get of 300 bytes reads and decompresses one block */
#define BACKGROUND_JOBS 2                 /* one flush, one compaction: lanes want the cores */
#define OPEN_FILES_MIN 256
#define OPEN_FILES_MAX 16384

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Half of what the process may open; the rest is for Kafka, HTTP and peers. Unlimited would fail at
 * the usual limit of 1024 with a few hundred files per hundred shards. */
static int open_files_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 2 * OPEN_FILES_MAX) {
        return OPEN_FILES_MAX;
    }
    return (int)clamp((int64_t)limit.rlim_cur / 2, OPEN_FILES_MIN, OPEN_FILES_MAX);
}

/* Half of the budget is for what was written and is not in a file yet, across all shards: when it
 * is used up, RocksDB flushes the shard that has waited longest. A large half makes for few, large
 * flushes, and WAL-less state that is hot is mostly read from here. */
static void options_set_memtables(rocksdb_options_t *options, int64_t budget)
{
    int64_t buffer = clamp(budget / 8, WRITE_BUFFER_BYTES_MIN, WRITE_BUFFER_BYTES_MAX);
    rocksdb_options_set_db_write_buffer_size(options, (size_t)budget);
    rocksdb_options_set_write_buffer_size(options, (size_t)buffer);
    rocksdb_options_set_arena_block_size(options,
                                         (size_t)clamp(buffer / 16, 4096, ARENA_BLOCK_BYTES_MAX));
    /* A key that is not in a memtable, as most are not when the state is much larger, is found missing by a
     * look at one line of memory instead of a search through the whole skip list. */
    rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, MEMTABLE_BLOOM_RATIO);
    /* Writers go on while two full ones are being flushed. */
    rocksdb_options_set_max_write_buffer_number(options, 4);
}

/* The other half is the block cache. Indexes and filters live in it too, with priority: outside
 * they would grow with the state and not with the budget. */
static void options_set_tables(rocksdb_options_t *options, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(tables, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(tables, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(tables, 1);
    rocksdb_block_based_options_set_block_size(tables, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(tables, 5);
    rocksdb_block_based_options_set_filter_policy(
        tables, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    /* Point reads: a small hash inside each block instead of a binary search. */
    rocksdb_block_based_options_set_data_block_index_type(
        tables, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    rocksdb_options_set_block_based_table_factory(options, tables);
    rocksdb_block_based_options_destroy(tables); /* the factory has a copy */
}

/* Levels, not universal compaction: universal rewrites less, but merging a shard whole needs as
 * much free disk again, and an operator with a full disk is worse off than one with a busier core.
 * Shards are small and have one or two levels, so that the difference is about 4 % of CPU per put
 * (8 M random puts over 2 M keys with 128 MiB). L0 is rewritten soon: not worth compressing. */
static void options_set_compaction(rocksdb_options_t *options, bool compress)
{
    int levels[LEVELS] = {rocksdb_no_compression};
    for (int i = 1; i < LEVELS; i++) {
        levels[i] = compress ? rocksdb_lz4_compression : rocksdb_no_compression;
    }
    rocksdb_options_set_num_levels(options, LEVELS);
    rocksdb_options_set_compaction_style(options, rocksdb_level_compaction);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression_per_level(options, levels, LEVELS);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20); /* no burst at the end of a file */
    rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1); /* files die in the background */
}

/* What I2 rests on, said explicitly although most of it is the default: a column family's memtables
 * reach the disk in order, each with whole batches. unordered_write would break that. atomic_flush
 * is not needed, because nothing spans two shards, and up to RocksDB 8.1 it loses data when a
 * single family is flushed with the WAL off. */
static void options_set_safety(rocksdb_options_t *options)
{
    rocksdb_options_set_unordered_write(options, 0);
    rocksdb_options_set_atomic_flush(options, 0);
    rocksdb_options_set_paranoid_checks(options, 1);
}

/* RocksDB's LOG file stays empty: in a library that was built with assertions, as Debian's is, the log's
 * writer aborts the process at the second message after a full disk has refused one, even when there is
 * room again by then. A new column family alone is a hundred of them, whatever the level of the log may
 * be that has a name. What goes wrong comes back as an error anyway. No statistics thread.
 *
 * A level without a name has one more effect: RocksDB cannot write its OPTIONS file, and does without one. Nobody
 * reads it here, since each open names all options; written anew with each family that is made or dropped, all
 * families in it, it took 6.5 s of CPU to make 256 shards, which takes 0.15 s now. */
static void options_set_log(rocksdb_options_t *options)
{
    enum {
        LEVEL_NOTHING = 6
    }; /* InfoLogLevel::NUM_INFO_LOG_LEVELS; rocksdb/c.h has no name for it */
    rocksdb_options_set_info_log_level(options, LEVEL_NOTHING);
    rocksdb_options_set_keep_log_file_num(options, 3);
    rocksdb_options_set_max_log_file_size(options, 1 << 20);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

rocksdb_options_t *alv_rocksdb_options_new(int64_t memory_bytes, bool compress,
                                           rocksdb_cache_t **out_cache)
{
    ALV_ASSERT(memory_bytes > 0);
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru((size_t)(memory_bytes / 2));
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_max_open_files(options, open_files_max());
    options_set_memtables(options, memory_bytes / 2);
    options_set_tables(options, cache);
    options_set_compaction(options, compress);
    options_set_safety(options);
    options_set_log(options);
    *out_cache = cache;
    return options;
}

/* Files of a load are compressed, unlike those of level 0 otherwise: it costs 0.1 us per entry, and a load
 * that writes a third of the bytes does not wait for the disk, to which each file is synced. Many are the
 * shard's last level at once. */
rocksdb_options_t *alv_rocksdb_options_for_bulk(const rocksdb_options_t *options, bool compress)
{
    rocksdb_options_t *copy = rocksdb_options_create_copy((rocksdb_options_t *)options);
    rocksdb_options_set_compression_per_level(copy, NULL, 0); /* its last one would count */
    rocksdb_options_set_compression(copy,
                                    compress ? rocksdb_lz4_compression : rocksdb_no_compression);
    return copy;
}

void alv_rocksdb_thread_prepare(void)
{
    static _Thread_local bool prepared;
    if (prepared) {
        return;
    }
    /* Not 0, "uninitialized", which a RocksDB built with assertions refuses; both stop the
     * counting. */
    rocksdb_set_perf_level(rocksdb_disable);
    prepared = true;
}
