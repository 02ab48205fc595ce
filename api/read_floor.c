#include "api/read_floor.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"

typedef struct floor_row {
    _Atomic int64_t commands;
    _Atomic int64_t changelog;
} floor_row;

struct alv_read_floor {
    int32_t shard_count;
    floor_row rows[];
};

alv_read_floor *alv_read_floor_new(int32_t shard_count)
{
    alv_read_floor *floor = alv_alloc(sizeof *floor + (size_t)shard_count * sizeof floor->rows[0]);
    floor->shard_count = shard_count;
    return floor;
}

void alv_read_floor_free(alv_read_floor *floor)
{
    alv_free(floor);
}

alv_read_position alv_read_floor_get(const alv_read_floor *floor, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < floor->shard_count);
    const floor_row *row = &floor->rows[shard];
    return (alv_read_position){atomic_load(&row->commands), atomic_load(&row->changelog)};
}

static void floor_raise(_Atomic int64_t *number, int64_t shown)
{
    int64_t before = atomic_load(number);
    while (shown > before && !atomic_compare_exchange_weak(number, &before, shown)) {
    }
}

void alv_read_floor_raise(alv_read_floor *floor, int32_t shard, alv_read_position shown)
{
    ALV_ASSERT(shard >= 0 && shard < floor->shard_count);
    floor_raise(&floor->rows[shard].commands, shown.commands);
    floor_raise(&floor->rows[shard].changelog, shown.changelog);
}

bool alv_read_floor_owner_passes(alv_read_position asked, alv_read_position owner)
{
    return owner.commands >= asked.commands;
}

bool alv_read_floor_standby_passes(alv_read_position asked, alv_read_position standby)
{
    return standby.changelog >= asked.changelog && standby.commands >= asked.commands;
}
