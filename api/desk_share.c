#include "api/desk_share.h"

#include <stdatomic.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"

typedef struct share_shard {
    atomic_int under_way;
    atomic_bool late;
} share_shard;

struct alv_desk_share {
    atomic_int under_way;
    int32_t shard_count;
    share_shard *shards;
};

alv_desk_share *alv_desk_share_new(int32_t shard_count)
{
    ALV_ASSERT(shard_count > 0);
    alv_desk_share *share = alv_alloc(sizeof *share);
    share->shard_count = shard_count;
    share->shards = alv_alloc_array((size_t)shard_count, sizeof *share->shards);
    return share;
}

void alv_desk_share_free(alv_desk_share *share)
{
    if (share == NULL) {
        return;
    }
    alv_free(share->shards);
    alv_free(share);
}

static share_shard *share_find(const alv_desk_share *share, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < share->shard_count);
    return &share->shards[shard];
}

/* Only one thread enters, so what was counted can become less meanwhile, not more. */
alv_desk_entrance alv_desk_share_enter(alv_desk_share *share, int32_t shard, bool waits)
{
    share_shard *one = share_find(share, shard);
    int own = atomic_load(&one->under_way);
    int free = ALV_HTTP_COMMANDS_MAX - atomic_load(&share->under_way);
    if (free <= 0) {
        return ALV_DESK_FULL;
    }
    if (own >= free) {
        return ALV_DESK_SHARD_FULL;
    }
    if (waits && own >= ALV_HTTP_COMMANDS_LATE_MAX && atomic_load(&one->late)) {
        return ALV_DESK_SHARD_LATE;
    }
    atomic_fetch_add(&one->under_way, 1);
    atomic_fetch_add(&share->under_way, 1);
    return ALV_DESK_ENTERED;
}

void alv_desk_share_leave(alv_desk_share *share, int32_t shard)
{
    int own = atomic_fetch_sub(&share_find(share, shard)->under_way, 1);
    int all = atomic_fetch_sub(&share->under_way, 1);
    ALV_ASSERT(own > 0 && all > 0);
}

void alv_desk_share_late(alv_desk_share *share, int32_t shard)
{
    atomic_store(&share_find(share, shard)->late, true);
}

void alv_desk_share_replied(alv_desk_share *share, int32_t shard)
{
    atomic_store(&share_find(share, shard)->late, false);
}

int alv_desk_share_under_way(const alv_desk_share *share)
{
    return atomic_load(&share->under_way);
}
