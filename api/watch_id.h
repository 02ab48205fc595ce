/* watch_id.h — the id of an event of a watch: how far everything committed has been told.
 *
 * Why:    a client that lost its connection sends the last id it has seen to any node, and goes on
 *         without loss or repetition. So an id says by itself, for each shard that is watched, the
 *         changelog offset to go on from; no node has to remember its watchers.
 * Thread: any; pure.
 * Owns:   alv_watch_id borrows its offsets.
 * Fails:  ALV_REJECT: not an id of this changelog; `err` says why.
 *
 * Text: base64url of
 *     version    1 byte, 1
 *     changelog  4 bytes, a hash of the topic's id in Kafka: another application's, or a topic that
 *                was made anew, has other offsets
 *     as of      varint, seconds since the epoch: what was deleted before is known
 *     shards     varint, how many the application has
 *     shard + 1  varint, the only one that is watched; 0 = all
 *     offsets    varints, exclusive ends, one per watched shard
 *     checksum   4 bytes, FNV-1a of all before
 */
#ifndef ALV_API_WATCH_ID_H
#define ALV_API_WATCH_ID_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* All that stands in an id but the offsets. */
typedef struct alv_watch_id {
    uint32_t changelog; /* alv_watch_id_changelog */
    int64_t as_of_s;    /* seconds since the epoch */
    int32_t shard_count;
    int32_t shard;          /* the one that is watched; -1 = all */
    const int64_t *offsets; /* one, or shard_count */
} alv_watch_id;

/* What stands for the topic with this Kafka id. */
uint32_t alv_watch_id_changelog(const char *topic_id);

/* Appends the text. */
void alv_watch_id_encode(const alv_watch_id *id, alv_bytes *out);

/* Reads `text` for a watch of `wanted->shard` (-1 = all) of the changelog `wanted` describes; fills
 * `out_offsets` (one, or wanted->shard_count) and `out_as_of_s`. An id of all shards serves a watch
 * of one as well. */
alv_status alv_watch_id_decode(alv_view text, const alv_watch_id *wanted, int64_t *out_offsets,
                               int64_t *out_as_of_s, alv_error *err);

#endif
