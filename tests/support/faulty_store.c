#include "tests/support/faulty_store.h"

#include "base/alloc.h"

/* Whether it is this call's turn among all. */
static bool faulty_is_hit(alv_store *base, const char *name, alv_status *out, alv_error *err)
{
    alv_faulty_store *store = (alv_faulty_store *)base;
    if (!alv_io_faults_hit(store->io, name)) {
        return false;
    }
    *out = alv_fail(err, store->io->flavour == 1 ? ALV_REJECT : ALV_RETRY,
                    "%s fails, as the test wants it", name);
    return true;
}

static bool faulty_fails(alv_store *base, alv_store_call call, alv_status *out, alv_error *err)
{
    static const char *const names[ALV_STORE_CALL_COUNT] = {
        [ALV_STORE_OPEN_SHARD] = "store.open_shard",
        [ALV_STORE_APPLY] = "store.apply",
        [ALV_STORE_BULK_APPLY] = "store.bulk_apply",
        [ALV_STORE_BULK_END] = "store.bulk_end",
        [ALV_STORE_GET] = "store.get",
    };
    alv_faulty_store *store = (alv_faulty_store *)base;
    if (faulty_is_hit(base, names[call], out, err)) {
        return true;
    }
    if (store->failures[call] == 0) {
        return false;
    }
    store->failures[call]--;
    *out = alv_fail(err, store->status, "the test wants it so");
    return true;
}

static alv_store *faulty_inner(alv_store *base)
{
    return ((alv_faulty_store *)base)->inner;
}

static alv_status faulty_open_shard(alv_store *base, int32_t shard, alv_position *out,
                                    alv_error *err)
{
    alv_status status = ALV_OK;
    if (faulty_fails(base, ALV_STORE_OPEN_SHARD, &status, err)) {
        return status;
    }
    return faulty_inner(base)->ops->open_shard(faulty_inner(base), shard, out, err);
}

static alv_status faulty_wipe_shard(alv_store *base, int32_t shard, alv_error *err)
{
    alv_status status = ALV_OK;
    if (faulty_is_hit(base, "store.wipe_shard", &status, err)) {
        return status;
    }
    ((alv_faulty_store *)base)->wipes++;
    alv_position position;
    (void)faulty_inner(base)->ops->open_shard(faulty_inner(base), shard, &position, NULL);
    return faulty_inner(base)->ops->wipe_shard(faulty_inner(base), shard, err);
}

static alv_status faulty_apply(alv_store *base, int32_t shard, const alv_store_write *writes,
                               size_t count, const alv_position *position, alv_error *err)
{
    alv_status status = ALV_OK;
    if (faulty_fails(base, ALV_STORE_APPLY, &status, err)) {
        return status;
    }
    return faulty_inner(base)->ops->apply(faulty_inner(base), shard, writes, count, position, err);
}

static alv_status faulty_bulk_begin(alv_store *base, int32_t shard, alv_error *err)
{
    alv_status status = ALV_OK;
    if (faulty_is_hit(base, "store.bulk_begin", &status, err)) {
        return status;
    }
    return faulty_inner(base)->ops->bulk_begin(faulty_inner(base), shard, err);
}

/* A load that fails is over. */
static alv_status faulty_bulk_apply(alv_store *base, int32_t shard, const alv_store_write *writes,
                                    size_t count, const alv_position *position, alv_error *err)
{
    alv_status status = ALV_OK;
    alv_store *inner = faulty_inner(base);
    if (faulty_fails(base, ALV_STORE_BULK_APPLY, &status, err)) {
        bool done = false;
        (void)inner->ops->bulk_end(inner, shard, false, &done, NULL);
        return status;
    }
    return inner->ops->bulk_apply(inner, shard, writes, count, position, err);
}

static bool faulty_bulk_wait(alv_store *base, int timeout_ms)
{
    return faulty_inner(base)->ops->bulk_wait(faulty_inner(base), timeout_ms);
}

static alv_status faulty_bulk_end(alv_store *base, int32_t shard, bool keep, bool *out_done,
                                  alv_error *err)
{
    alv_status status = ALV_OK;
    alv_store *inner = faulty_inner(base);
    if (keep && faulty_fails(base, ALV_STORE_BULK_END, &status, err)) {
        (void)inner->ops->bulk_end(inner, shard, false, out_done, NULL);
        return status;
    }
    return inner->ops->bulk_end(inner, shard, keep, out_done, err);
}

static alv_status faulty_get(alv_store *base, int32_t shard, alv_store_kind kind, alv_view key,
                             bool *out_found, alv_bytes *out, alv_error *err)
{
    alv_status status = ALV_OK;
    ((alv_faulty_store *)base)->gets++;
    if (faulty_fails(base, ALV_STORE_GET, &status, err)) {
        return status;
    }
    return faulty_inner(base)->ops->get(faulty_inner(base), shard, kind, key, out_found, out, err);
}

static alv_status faulty_position(alv_store *base, int32_t shard, alv_position *out, alv_error *err)
{
    return faulty_inner(base)->ops->position(faulty_inner(base), shard, out, err);
}

static alv_status faulty_scan(alv_store *base, int32_t shard, alv_store_kind kind, alv_view prefix,
                              alv_view after, alv_store_visit visit, void *payload, alv_error *err)
{
    alv_status status = ALV_OK;
    if (faulty_is_hit(base, "store.scan", &status, err)) {
        return status;
    }
    return faulty_inner(base)->ops->scan(faulty_inner(base), shard, kind, prefix, after, visit,
                                         payload, err);
}

static alv_status faulty_flush(alv_store *base, alv_error *err)
{
    alv_status status = ALV_OK;
    if (faulty_is_hit(base, "store.flush", &status, err)) {
        return status;
    }
    return faulty_inner(base)->ops->flush(faulty_inner(base), err);
}

static bool faulty_is_writable(alv_store *base, alv_error *err)
{
    return faulty_inner(base)->ops->is_writable(faulty_inner(base), err);
}

static void faulty_stats(alv_store *base, alv_store_stats *out)
{
    faulty_inner(base)->ops->stats(faulty_inner(base), out);
}

static void faulty_close(alv_store *base)
{
    faulty_inner(base)->ops->close(faulty_inner(base));
    alv_free(base);
}

static const alv_store_ops faulty_ops = {
    .open_shard = faulty_open_shard,
    .wipe_shard = faulty_wipe_shard,
    .apply = faulty_apply,
    .bulk_begin = faulty_bulk_begin,
    .bulk_apply = faulty_bulk_apply,
    .bulk_wait = faulty_bulk_wait,
    .bulk_end = faulty_bulk_end,
    .get = faulty_get,
    .position = faulty_position,
    .scan = faulty_scan,
    .flush = faulty_flush,
    .is_writable = faulty_is_writable,
    .stats = faulty_stats,
    .close = faulty_close,
};

alv_faulty_store *alv_faulty_store_new(alv_store *inner)
{
    alv_faulty_store *store = alv_alloc(sizeof *store);
    store->base.ops = &faulty_ops;
    store->inner = inner;
    return store;
}

void alv_faulty_store_fail(alv_faulty_store *store, alv_store_call call, int count,
                           alv_status status)
{
    store->failures[call] = count;
    store->status = status;
}
