/* store_checkpoint.h — the RocksDB store as it was at one moment, made while it works.
 *
 * Why:    a backup and a comparison need something that stands still. RocksDB's files never change, so a
 *         checkpoint is hard links to them and a small manifest: it costs a flush and no copy. Each shard in
 *         it is as some apply left it, data and position together (I2).
 * Thread: any; one at a time for a path. Making waits for the disk, and holds up the opening and wiping of
 *         shards for as long as it takes to flush what was written during the flush before.
 * Owns:   the store that open gives belongs to the caller, who closes it. The checkpoint is files.
 * Fails:  ALV_RETRY disk full or similar; ALV_REJECT damaged; ALV_FATAL what RocksDB does not explain.
 */
#ifndef ALV_STATESTORE_STORE_CHECKPOINT_H
#define ALV_STATESTORE_STORE_CHECKPOINT_H

#include "base/limits.h"
#include "statestore/store.h"

/* Makes the directory `path`, which must not be there, with the state of all shards. It must be on the
 * store's file system for hard links; elsewhere everything is copied. */
alv_status alv_store_checkpoint_make(alv_store *store, const char *path, alv_error *err);

/* Opens a checkpoint for reading: open_shard gives ALV_POSITION_START for a shard that is not in it; apply
 * and wipe must not be called. Changes nothing in `path`. */
alv_status alv_store_checkpoint_open(const char *path, alv_store **out, alv_error *err);

/* The shards that the store has a section of, in their order; the number of them. */
size_t alv_store_checkpoint_shards(const alv_store *store, int32_t out[ALV_SHARDS_MAX]);

/* Removes a checkpoint, or what is left of one. A path that is not there is ALV_OK. ALV_RETRY. */
alv_status alv_store_checkpoint_remove(const char *path, alv_error *err);

#endif
