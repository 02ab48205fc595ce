#include "api/read_floor.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"

struct alv_read_floor {
    int32_t shard_count;
    _Atomic int64_t offsets[];
};

alv_read_floor *alv_read_floor_new(int32_t shard_count)
{
    size_t size = (size_t)shard_count * sizeof(_Atomic int64_t);
    alv_read_floor *floor = alv_alloc(sizeof *floor + size);
    floor->shard_count = shard_count;
    return floor;
}

void alv_read_floor_free(alv_read_floor *floor)
{
    alv_free(floor);
}

int64_t alv_read_floor_get(const alv_read_floor *floor, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < floor->shard_count);
    return atomic_load(&floor->offsets[shard]);
}

void alv_read_floor_raise(alv_read_floor *floor, int32_t shard, int64_t changelog)
{
    ALV_ASSERT(shard >= 0 && shard < floor->shard_count);
    int64_t shown = atomic_load(&floor->offsets[shard]);
    while (changelog > shown &&
           !atomic_compare_exchange_weak(&floor->offsets[shard], &shown, changelog)) {
    }
}
