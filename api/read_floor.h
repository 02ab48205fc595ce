/* read_floor.h — how new each shard's state was when this node last showed it.
 *
 * Why:    reads never go backwards on one connection (I4), and who was told that a command is done sees
 *         its effect. An answer may come from a former owner that does not know that it is one, or from
 *         a standby; whatever is older than what was shown before is not shown.
 * Thread: any; one atomic number per shard.
 * Owns:   its table.
 *
 * The measure is the changelog offset up to which the state is complete: whoever has read so far has
 * every change below it.
 */
#ifndef ALV_API_READ_FLOOR_H
#define ALV_API_READ_FLOOR_H

#include <stdint.h>

typedef struct alv_read_floor alv_read_floor;

alv_read_floor *alv_read_floor_new(int32_t shard_count);
void alv_read_floor_free(alv_read_floor *floor);

/* What a request that begins now must not be answered below. Requests that run side by side may see one
 * change in either order; on one connection they follow each other. */
int64_t alv_read_floor_get(const alv_read_floor *floor, int32_t shard);

/* State that is complete up to `changelog` is being shown. */
void alv_read_floor_raise(alv_read_floor *floor, int32_t shard, int64_t changelog);

#endif
