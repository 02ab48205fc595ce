/* store_rocksdb_stats.c — RocksDB's properties, for metrics, and its version. */
#include "statestore/store_rocksdb_internal.h"

/* 0 when RocksDB does not know the property. */
static uint64_t stats_of_family(const alv_rocksdb *rocks, const alv_rocksdb_shard *shard,
                                const char *property)
{
    uint64_t value = 0;
    (void)rocksdb_property_int_cf(rocks->db, shard->family, property, &value);
    return value;
}

static uint64_t stats_of_all(const alv_rocksdb *rocks, const char *property)
{
    uint64_t value = 0;
    (void)rocksdb_property_int(rocks->db, property, &value);
    return value;
}

static void stats_add_shard(const alv_rocksdb *rocks, const alv_rocksdb_shard *shard,
                            alv_store_stats *out)
{
    out->memtable_bytes += stats_of_family(rocks, shard, "rocksdb.size-all-mem-tables");
    out->file_bytes += stats_of_family(rocks, shard, "rocksdb.total-sst-files-size");
    out->pending_compaction_bytes +=
        stats_of_family(rocks, shard, "rocksdb.estimate-pending-compaction-bytes");
    out->keys += stats_of_family(rocks, shard, "rocksdb.estimate-num-keys");
}

void alv_rocksdb_stats(alv_store *store, alv_store_stats *out)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    *out = (alv_store_stats){
        .block_cache_bytes = rocksdb_cache_get_usage(rocks->cache),
        .flushes_running = stats_of_all(rocks, "rocksdb.num-running-flushes"),
        .compactions_running = stats_of_all(rocks, "rocksdb.num-running-compactions"),
    };
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, i);
        if (shard != NULL) {
            stats_add_shard(rocks, shard, out);
            alv_rocksdb_shard_unref(shard);
        }
    }
}

/* rocksdb/c.h cannot tell; the build looked into rocksdb/version.h, which is C++. */
const char *alv_store_rocksdb_version(void)
{
    return ALV_ROCKSDB_VERSION;
}
