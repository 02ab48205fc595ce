/* read_floor.h — how new each shard's state was when this node last showed it.
 *
 * Why:    reads never go backwards on one connection (I4), and who was told that a command is done sees
 *         its effect. An answer may come from a former owner that does not know that it is one, or from
 *         a standby; whatever is older than what was shown before is not shown.
 * Thread: any; two atomic numbers per shard.
 * Owns:   its table.
 *
 * An owner's state and its position are one write, so owners are compared by the commands that are done. A
 * standby takes changelog and ledger from two topics, one of which may be ahead for a moment: it is good
 * when its changelog reaches what an owner had. Its changelog offset is no measure for an owner, because it
 * counts the marks of transactions behind the last change and the owner's does not. So of a standby's answer
 * only the commands are kept: between that and a former owner, a change whose ledger record the standby had not
 * seen yet may be shown and then not.
 */
#ifndef ALV_API_READ_FLOOR_H
#define ALV_API_READ_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alv_read_floor alv_read_floor;

/* Up to where a state is complete, or must be; 0 = nothing. */
typedef struct alv_read_position {
    int64_t commands;
    int64_t changelog;
} alv_read_position;

alv_read_floor *alv_read_floor_new(int32_t shard_count);
void alv_read_floor_free(alv_read_floor *floor);

/* What a request that begins now must not be answered below. Requests that run side by side may see one
 * change in either order; on one connection they follow each other. */
alv_read_position alv_read_floor_get(const alv_read_floor *floor, int32_t shard);

/* State that is complete up to there is being shown. `changelog` 0: by a standby. */
void alv_read_floor_raise(alv_read_floor *floor, int32_t shard, alv_read_position shown);

/* Whether what an owner, or a standby, has is as new as the request asks for. */
bool alv_read_floor_owner_passes(alv_read_position asked, alv_read_position owner);
bool alv_read_floor_standby_passes(alv_read_position asked, alv_read_position standby);

#endif
