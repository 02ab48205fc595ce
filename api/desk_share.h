/* desk_share.h — how many commands may be under way at the reply desk: in all, and of one shard.
 *
 * Why:    commands of a shard that is behind wait for long, those of the others for milliseconds. Without a
 *         share, the one shard's would soon have all the places there are, and all others be refused because
 *         of it. A shard may have as many as are free besides: one that is behind gets up to a half, two
 *         of them a third each, and there are always as many left for the rest; shards that are alike
 *         use nearly all.
 *         Nor is it any use to write ever more commands to a shard whose last ones had no reply in time: a
 *         few find out when it answers again, the others are refused while nothing has been written.
 * Thread: enter: the server's. late, replied: the desk's. leave and the rest: any.
 * Owns:   heap object.
 * Limits: ALV_HTTP_COMMANDS_MAX, ALV_HTTP_COMMANDS_LATE_MAX.
 */
#ifndef ALV_API_DESK_SHARE_H
#define ALV_API_DESK_SHARE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alv_desk_share alv_desk_share;

typedef enum alv_desk_entrance {
    ALV_DESK_ENTERED,    /* and leaves later */
    ALV_DESK_FULL,       /* too many of all shards */
    ALV_DESK_SHARD_FULL, /* too many of this shard */
    ALV_DESK_SHARD_LATE, /* this shard does not reply in time */
} alv_desk_entrance;

alv_desk_share *alv_desk_share_new(int32_t shard_count);
void alv_desk_share_free(alv_desk_share *share); /* NULL is fine */

/* A command comes. `waits`: for its reply, as opposed to one that is answered once it is written. */
alv_desk_entrance alv_desk_share_enter(alv_desk_share *share, int32_t shard, bool waits);

/* One that has entered is answered. */
void alv_desk_share_leave(alv_desk_share *share, int32_t shard);

/* A command that was written had no reply in time; a reply came to one that waited. */
void alv_desk_share_late(alv_desk_share *share, int32_t shard);
void alv_desk_share_replied(alv_desk_share *share, int32_t shard);

/* Commands that have entered and not left. */
int alv_desk_share_under_way(const alv_desk_share *share);

#endif
