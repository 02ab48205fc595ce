#include "tests/sim/sim_disk.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_trace.h"

static sim_disk *disk_of(alv_store *base)
{
    return (sim_disk *)base;
}

/* Why a write is not made, ALV_OK when it is. */
static alv_status disk_refuses(sim_disk *disk, alv_error *err)
{
    if (disk->is_dead) {
        return alv_fail(err, ALV_RETRY, "dead");
    }
    if (disk->is_full) {
        disk->refused++;
        return alv_fail(err, ALV_RETRY, "the disk is full");
    }
    return ALV_OK;
}

static alv_status disk_open_shard(alv_store *base, int32_t shard, alv_position *out, alv_error *err)
{
    sim_disk *disk = disk_of(base);
    if (disk->is_dead) {
        return alv_fail(err, ALV_RETRY, "dead");
    }
    if ((disk->is_damaged >> shard & 1) != 0) {
        return alv_fail(err, ALV_REJECT, "the shard is damaged");
    }
    return disk->inner->ops->open_shard(disk->inner, shard, out, err);
}

/* I6: only what cannot be trusted is thrown away. */
static alv_status disk_wipe_shard(alv_store *base, int32_t shard, alv_error *err)
{
    sim_disk *disk = disk_of(base);
    if (disk->is_dead) {
        return alv_fail(err, ALV_RETRY, "dead");
    }
    if ((disk->is_damaged >> shard & 1) == 0) {
        sim_fail("I6", "n%d shard %d: wiped, and nothing was wrong with it", disk->node,
                 (int)shard);
    }
    disk->is_damaged &= ~((uint32_t)1 << shard);
    disk->wipes++;
    sim_trace("n%d: shard %d is wiped", disk->node, (int)shard);
    alv_position position;
    (void)disk->inner->ops->open_shard(disk->inner, shard, &position, NULL);
    return disk->inner->ops->wipe_shard(disk->inner, shard, err);
}

static alv_position disk_position_now(const sim_disk *disk, int32_t shard)
{
    alv_position position = ALV_POSITION_START;
    alv_status status = disk->inner->ops->position(disk->inner, shard, &position, NULL);
    ALV_ASSERT(status == ALV_OK);
    return position;
}

static alv_status disk_apply(alv_store *base, int32_t shard, const alv_store_write *writes,
                             size_t count, const alv_position *position, alv_error *err)
{
    sim_disk *disk = disk_of(base);
    alv_status status = disk_refuses(disk, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_position before = disk_position_now(disk, shard);
    sim_check_applied(disk->broker, disk->model, disk->node, shard, &before, position);
    return disk->inner->ops->apply(disk->inner, shard, writes, count, position, err);
}

static alv_status disk_bulk_begin(alv_store *base, int32_t shard, alv_error *err)
{
    sim_disk *disk = disk_of(base);
    alv_status status = disk_refuses(disk, err);
    return status != ALV_OK ? status : disk->inner->ops->bulk_begin(disk->inner, shard, err);
}

/* A load that fails is over. */
static alv_status disk_end_load(sim_disk *disk, int32_t shard, alv_status status)
{
    bool done = false;
    (void)disk->inner->ops->bulk_end(disk->inner, shard, false, &done, NULL);
    ALV_ASSERT(done);
    return status;
}

static alv_status disk_bulk_apply(alv_store *base, int32_t shard, const alv_store_write *writes,
                                  size_t count, const alv_position *position, alv_error *err)
{
    sim_disk *disk = disk_of(base);
    alv_status status = disk_refuses(disk, err);
    if (status != ALV_OK) {
        return disk_end_load(disk, shard, status);
    }
    alv_position before = disk_position_now(disk, shard);
    sim_check_applied(disk->broker, disk->model, disk->node, shard, &before, position);
    return disk->inner->ops->bulk_apply(disk->inner, shard, writes, count, position, err);
}

static bool disk_bulk_wait(alv_store *base, int timeout_ms)
{
    return disk_of(base)->inner->ops->bulk_wait(disk_of(base)->inner, timeout_ms);
}

static alv_status disk_bulk_end(alv_store *base, int32_t shard, bool keep, bool *out_done,
                                alv_error *err)
{
    sim_disk *disk = disk_of(base);
    alv_status status = keep ? disk_refuses(disk, err) : ALV_OK;
    if (status != ALV_OK) {
        return disk_end_load(disk, shard, status);
    }
    return disk->inner->ops->bulk_end(disk->inner, shard, keep, out_done, err);
}

static alv_status disk_get(alv_store *base, int32_t shard, alv_store_kind kind, alv_view key,
                           bool *out_found, alv_bytes *out, alv_error *err)
{
    alv_store *inner = disk_of(base)->inner;
    return inner->ops->get(inner, shard, kind, key, out_found, out, err);
}

static alv_status disk_position(alv_store *base, int32_t shard, alv_position *out, alv_error *err)
{
    alv_store *inner = disk_of(base)->inner;
    return inner->ops->position(inner, shard, out, err);
}

static alv_status disk_scan(alv_store *base, int32_t shard, alv_store_kind kind, alv_view prefix,
                            alv_view after, alv_store_visit visit, void *payload, alv_error *err)
{
    alv_store *inner = disk_of(base)->inner;
    return inner->ops->scan(inner, shard, kind, prefix, after, visit, payload, err);
}

static alv_status disk_flush(alv_store *base, alv_error *err)
{
    sim_disk *disk = disk_of(base);
    alv_status status = disk_refuses(disk, err);
    return status != ALV_OK ? status : disk->inner->ops->flush(disk->inner, err);
}

static bool disk_is_writable(alv_store *base, alv_error *err)
{
    return disk_of(base)->inner->ops->is_writable(disk_of(base)->inner, err);
}

static void disk_stats(alv_store *base, alv_store_stats *out)
{
    disk_of(base)->inner->ops->stats(disk_of(base)->inner, out);
}

static void disk_close(alv_store *base)
{
    (void)base; /* it outlives the process */
}

static const alv_store_ops disk_ops = {
    .open_shard = disk_open_shard,
    .wipe_shard = disk_wipe_shard,
    .apply = disk_apply,
    .bulk_begin = disk_bulk_begin,
    .bulk_apply = disk_bulk_apply,
    .bulk_wait = disk_bulk_wait,
    .bulk_end = disk_bulk_end,
    .get = disk_get,
    .position = disk_position,
    .scan = disk_scan,
    .flush = disk_flush,
    .is_writable = disk_is_writable,
    .stats = disk_stats,
    .close = disk_close,
};

sim_disk *sim_disk_new(sim_broker *broker, const sim_model *model, sim_random *random, int node)
{
    sim_disk *disk = alv_alloc(sizeof *disk);
    disk->base.ops = &disk_ops;
    disk->inner = alv_store_memory_new();
    disk->broker = broker;
    disk->model = model;
    disk->random = random;
    disk->node = node;
    return disk;
}

void sim_disk_free(sim_disk *disk)
{
    disk->inner->ops->close(disk->inner);
    alv_free(disk);
}

void sim_disk_crash(sim_disk *disk, int64_t deep)
{
    for (int32_t shard = 0; shard < disk->broker->shard_count; shard++) {
        alv_store_memory_crash(disk->inner, shard,
                               (size_t)sim_random_between(disk->random, 0, deep));
        sim_disk_check(disk, shard);
    }
    disk->is_dead = false;
    disk->is_full = false;
}

void sim_disk_check(sim_disk *disk, int32_t shard)
{
    sim_check_store(disk->broker, disk->model, disk->inner, disk->node, shard);
}
