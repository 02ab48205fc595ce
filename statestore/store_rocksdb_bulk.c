/* store_rocksdb_bulk.c — loads: who fills which buffer, and the threads that turn them into files.
 *
 * The shard's owner appends to a buffer of its own, without a lock. A full one is queued; a few threads,
 * shared by all loads, sort and write them: one at a time per shard, so that a shard's pieces are
 * installed in their order. Whoever feeds the loads asks bulk_wait now and then, which is what keeps
 * the number of buffers, and that of files not merged yet, within their limits.
 *
 *   bulk_apply -> filling --full--> queue -> writing -> installed: the shard's position moves
 *                    ^                          |
 *                    +------- free buffers <----+
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "statestore/store_directory_internal.h"
#include "statestore/store_rocksdb_bulk_internal.h"

/* One writes while the other sorts; more would take the cores from whoever reads the log. */
#define BULK_THREADS 2
/* Each load fills one, each thread writes one. */
#define BULK_BUFFERS_MAX (ALV_STORE_BULK_SHARDS_MAX + BULK_THREADS)
/* Larger files make fewer to merge, but sorting walks memory that is in no cache. */
#define BULK_BUFFER_BYTES_MAX ((size_t)32 << 20)
/* RocksDB slows writers of all shards down when one has 20 files at level 0: with so many, no more is
 * taken in until some were merged; what is in buffers still comes on top. */
#define BULK_LEVEL0_FILES_MAX 12
static_assert(BULK_LEVEL0_FILES_MAX + BULK_BUFFERS_MAX < 20, "below RocksDB's level0_slowdown");
/* How often that is looked at while somebody waits. */
#define BULK_LOOK_MS 20

struct alv_rocksdb_load {
    alv_rocksdb_load *next;   /* of all; under the lock */
    alv_rocksdb_shard *shard; /* a reference */
    alv_bulk_buffer *filling; /* NULL = none yet */
    atomic_bool cancelled;    /* what is not installed is not wanted */

    /* Under the lock. */
    size_t pending; /* buffers in the queue or being written */
    bool writing;   /* one of them is being written */
    alv_error error;
};

struct alv_rocksdb_bulk {
    alv_rocksdb *rocks;
    rocksdb_options_t *options; /* of the files */
    char *folder;
    size_t buffer_bytes;
    size_t cache_bytes; /* of the block cache while nothing is loaded */
    pthread_mutex_t lock;
    pthread_cond_t work;     /* the queue has grown, or a shard may write again */
    pthread_cond_t progress; /* a buffer is free, or a load has less pending */
    pthread_t threads[BULK_THREADS];
    int thread_count;
    bool stop;
    alv_rocksdb_load *loads;
    int load_count;
    uint64_t file_count;
    alv_bulk_buffer *free;
    size_t buffer_count;    /* that exist, free or not */
    alv_bulk_buffer *queue; /* oldest first */
};

static void bulk_lock(alv_rocksdb_bulk *bulk)
{
    ALV_ASSERT(pthread_mutex_lock(&bulk->lock) == 0);
}

static void bulk_unlock(alv_rocksdb_bulk *bulk)
{
    ALV_ASSERT(pthread_mutex_unlock(&bulk->lock) == 0);
}

/* ---- buffers: all with the lock held ------------------------------------------------------------- */

/* Back to the free ones. One that grew is not kept, nor one too many, nor any while nothing is loaded. */
static void bulk_give_back(alv_rocksdb_bulk *bulk, alv_bulk_buffer *buffer)
{
    if (bulk->load_count == 0 || bulk->buffer_count > BULK_BUFFERS_MAX ||
        buffer->size > bulk->buffer_bytes) {
        alv_bulk_buffer_free(buffer);
        bulk->buffer_count--;
    } else {
        buffer->next = bulk->free;
        bulk->free = buffer;
    }
    ALV_ASSERT(pthread_cond_broadcast(&bulk->progress) == 0);
}

static alv_bulk_buffer *bulk_take(alv_rocksdb_bulk *bulk)
{
    alv_bulk_buffer *buffer = bulk->free;
    if (buffer == NULL) {
        bulk->buffer_count++;
        return alv_bulk_buffer_new(bulk->buffer_bytes);
    }
    bulk->free = buffer->next;
    return buffer;
}

static void bulk_queue(alv_rocksdb_bulk *bulk, alv_rocksdb_load *load)
{
    alv_bulk_buffer *buffer = load->filling;
    alv_bulk_buffer **last = &bulk->queue;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    buffer->next = NULL;
    buffer->load = load;
    *last = buffer;
    load->filling = NULL;
    load->pending++;
    ALV_ASSERT(pthread_cond_signal(&bulk->work) == 0);
}

/* The oldest buffer whose shard is not being written. */
static alv_bulk_buffer *bulk_next(alv_rocksdb_bulk *bulk)
{
    for (alv_bulk_buffer **at = &bulk->queue; *at != NULL; at = &(*at)->next) {
        alv_bulk_buffer *buffer = *at;
        if (!buffer->load->writing) {
            *at = buffer->next;
            return buffer;
        }
    }
    return NULL;
}

/* ---- the threads --------------------------------------------------------------------------------- */

static alv_status bulk_install(alv_rocksdb_bulk *bulk, alv_bulk_buffer *buffer, uint64_t number,
                               alv_error *err)
{
    alv_rocksdb_load *load = buffer->load;
    bool done = false;
    alv_bulk_buffer_sort(buffer);
    char *path = alv_format("%s/%llu.sst", bulk->folder, (unsigned long long)number);
    alv_status status = alv_bulk_file_install(bulk->rocks, bulk->options, load->shard, buffer, path,
                                              &load->cancelled, &done, err);
    alv_free(path);
    if (done) {
        alv_rocksdb_shard_set_position(load->shard, &buffer->position);
    }
    return status;
}

/* Lock held; let go of while the file is written. After a failure the load's other buffers are not written:
 * a later piece must not be installed above a gap. */
static void bulk_write(alv_rocksdb_bulk *bulk, alv_bulk_buffer *buffer)
{
    alv_rocksdb_load *load = buffer->load;
    alv_error err = ALV_ERROR_NONE;
    if (load->error.status == ALV_OK && !atomic_load(&load->cancelled)) {
        uint64_t number = ++bulk->file_count;
        load->writing = true;
        bulk_unlock(bulk);
        (void)bulk_install(bulk, buffer, number, &err);
        bulk_lock(bulk);
        load->writing = false;
    }
    if (err.status != ALV_OK) {
        load->error = err;
    }
    load->pending--;
    bulk_give_back(bulk, buffer);
    ALV_ASSERT(pthread_cond_broadcast(&bulk->work) == 0);
}

static void *bulk_main(void *argument)
{
    alv_rocksdb_bulk *bulk = argument;
    alv_rocksdb_thread_prepare();
    bulk_lock(bulk);
    while (!bulk->stop) {
        alv_bulk_buffer *buffer = bulk_next(bulk);
        if (buffer != NULL) {
            bulk_write(bulk, buffer);
        } else {
            ALV_ASSERT(pthread_cond_wait(&bulk->work, &bulk->lock) == 0);
        }
    }
    bulk_unlock(bulk);
    return NULL;
}

/* ---- the owner's side ---------------------------------------------------------------------------- */

/* The shard with a reference, for one call of its owner. */
static alv_rocksdb_shard *bulk_enter(alv_rocksdb *rocks, int32_t number)
{
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
    ALV_ASSERT(shard != NULL);
    ALV_ASSERT(!atomic_exchange(&shard->writing, true));
    return shard;
}

static void bulk_leave(alv_rocksdb_shard *shard)
{
    atomic_store(&shard->writing, false);
    alv_rocksdb_shard_unref(shard);
}

/* The first load: while there is one, its buffers are taken from the block cache's share of the memory.
 * Lock held. */
static void bulk_first(alv_rocksdb_bulk *bulk)
{
    rocksdb_cache_set_capacity(bulk->rocks->cache,
                               bulk->cache_bytes - BULK_BUFFERS_MAX * bulk->buffer_bytes);
    while (bulk->thread_count < BULK_THREADS) {
        int failed = pthread_create(&bulk->threads[bulk->thread_count++], NULL, bulk_main, bulk);
        ALV_ASSERT(failed == 0);
    }
}

/* The last one has ended. Lock held. */
static void bulk_last(alv_rocksdb_bulk *bulk)
{
    while (bulk->free != NULL) {
        alv_bulk_buffer *buffer = bulk->free;
        bulk->free = buffer->next;
        alv_bulk_buffer_free(buffer);
        bulk->buffer_count--;
    }
    rocksdb_cache_set_capacity(bulk->rocks->cache, bulk->cache_bytes);
}

alv_status alv_rocksdb_bulk_begin(alv_store *store, int32_t number, alv_error *err)
{
    alv_rocksdb_bulk *bulk = ((alv_rocksdb *)store)->bulk;
    alv_rocksdb_shard *shard = bulk_enter(bulk->rocks, number);
    alv_position ignored;
    ALV_ASSERT(shard->load == NULL);
    ALV_ASSERT(alv_rocksdb_shard_position(shard, &ignored));
    alv_status status = ALV_OK;
    if (mkdir(bulk->folder, 0700) != 0 && errno != EEXIST) {
        status = alv_fail_from(err, ALV_RETRY, "errno", errno, "cannot make %s: %s", bulk->folder,
                               strerror(errno));
    } else {
        shard->load = alv_alloc(sizeof *shard->load);
        shard->load->shard = alv_rocksdb_shard_ref(bulk->rocks, number);
        bulk_lock(bulk);
        ALV_ASSERT(bulk->load_count < ALV_STORE_BULK_SHARDS_MAX);
        shard->load->next = bulk->loads;
        bulk->loads = shard->load;
        if (bulk->load_count++ == 0) {
            bulk_first(bulk);
        }
        bulk_unlock(bulk);
    }
    bulk_leave(shard);
    return status;
}

/* Lock held. */
static void bulk_unlink(alv_rocksdb_bulk *bulk, alv_rocksdb_load *load)
{
    alv_rocksdb_load **at = &bulk->loads;
    while (*at != load) {
        at = &(*at)->next;
    }
    *at = load->next;
    bulk->load_count--;
}

/* Nothing of it is pending. Lock held; returns what went wrong. */
static alv_status bulk_close(alv_rocksdb_bulk *bulk, alv_rocksdb_shard *shard, alv_error *err)
{
    alv_rocksdb_load *load = shard->load;
    ALV_ASSERT(load->pending == 0);
    alv_status status = load->error.status;
    if (status != ALV_OK) {
        (void)alv_fail_from(err, status, load->error.source, load->error.code, "%s",
                            load->error.text);
    }
    bulk_unlink(bulk, load);
    if (load->filling != NULL) {
        bulk_give_back(bulk, load->filling);
    }
    if (bulk->load_count == 0) {
        bulk_last(bulk);
    }
    shard->load = NULL;
    alv_rocksdb_shard_unref(load->shard);
    alv_free(load);
    return status;
}

/* Lock held. The threads pass over what is cancelled, and give up the file that they are at. */
static alv_status bulk_drop(alv_rocksdb_bulk *bulk, alv_rocksdb_shard *shard, alv_error *err)
{
    alv_rocksdb_load *load = shard->load;
    atomic_store(&load->cancelled, true);
    while (load->pending > 0) {
        ALV_ASSERT(pthread_cond_wait(&bulk->progress, &bulk->lock) == 0);
    }
    return bulk_close(bulk, shard, err);
}

/* A buffer in which these writes fit whole: a call is never parted, because a file ends with the position
 * of a call. */
static void bulk_make_room(alv_rocksdb_bulk *bulk, alv_rocksdb_load *load, size_t needed)
{
    alv_bulk_buffer *buffer = load->filling;
    if (buffer != NULL && alv_bulk_buffer_fits(buffer, needed)) {
        return;
    }
    bulk_lock(bulk);
    if (buffer != NULL) {
        bulk_queue(bulk, load);
    }
    load->filling = bulk_take(bulk);
    bulk_unlock(bulk);
    alv_bulk_buffer_clear(load->filling, needed);
}

/* What the threads have met, or that all is well. */
static alv_status bulk_status(alv_rocksdb_bulk *bulk, const alv_rocksdb_load *load)
{
    bulk_lock(bulk);
    alv_status status = load->error.status;
    bulk_unlock(bulk);
    return status;
}

alv_status alv_rocksdb_bulk_apply(alv_store *store, int32_t number, const alv_store_write *writes,
                                  size_t count, const alv_position *position, alv_error *err)
{
    alv_rocksdb_bulk *bulk = ((alv_rocksdb *)store)->bulk;
    alv_rocksdb_shard *shard = bulk_enter(bulk->rocks, number);
    alv_rocksdb_load *load = shard->load;
    ALV_ASSERT(load != NULL);
    bulk_make_room(bulk, load, alv_bulk_buffer_needs(writes, count));
    alv_status status = bulk_status(bulk, load);
    if (status != ALV_OK) {
        bulk_lock(bulk);
        (void)bulk_drop(bulk, shard, err);
        bulk_unlock(bulk);
    } else {
        ALV_ASSERT(load->filling->used == 0 ||
                   alv_position_covers(position, &load->filling->position));
        alv_bulk_buffer_add(load->filling, writes, count);
        load->filling->position = *position;
    }
    bulk_leave(shard);
    return status;
}

alv_status alv_rocksdb_bulk_end(alv_store *store, int32_t number, bool keep, bool *out_done,
                                alv_error *err)
{
    alv_rocksdb_bulk *bulk = ((alv_rocksdb *)store)->bulk;
    alv_rocksdb_shard *shard = bulk_enter(bulk->rocks, number);
    alv_rocksdb_load *load = shard->load;
    alv_status status = ALV_OK;
    ALV_ASSERT(load != NULL);
    *out_done = true;
    bulk_lock(bulk);
    if (!keep) {
        (void)bulk_drop(bulk, shard, NULL); /* what went wrong does not matter any more */
    } else {
        if (load->filling != NULL) {
            bulk_queue(bulk, load);
        }
        if (load->pending > 0) {
            *out_done = false;
        } else {
            status = bulk_close(bulk, shard, err);
        }
    }
    bulk_unlock(bulk);
    bulk_leave(shard);
    return status;
}

/* ---- back-pressure ------------------------------------------------------------------------------- */

/* Whether more may be taken in. Lock held. */
static bool bulk_has_room(alv_rocksdb_bulk *bulk)
{
    if (bulk->free == NULL && bulk->buffer_count >= BULK_BUFFERS_MAX) {
        return false;
    }
    for (const alv_rocksdb_load *load = bulk->loads; load != NULL; load = load->next) {
        uint64_t files = 0;
        if (rocksdb_property_int_cf(bulk->rocks->db, load->shard->family,
                                    "rocksdb.num-files-at-level0", &files) == 0 &&
            files >= BULK_LEVEL0_FILES_MAX) {
            return false;
        }
    }
    return true;
}

bool alv_rocksdb_bulk_wait(alv_store *store, int timeout_ms)
{
    alv_rocksdb_bulk *bulk = ((alv_rocksdb *)store)->bulk;
    bulk_lock(bulk);
    bool room = bulk_has_room(bulk);
    for (int waited_ms = 0; !room && waited_ms < timeout_ms; waited_ms += BULK_LOOK_MS) {
        struct timespec until = alv_clock_deadline(BULK_LOOK_MS);
        (void)pthread_cond_timedwait(&bulk->progress, &bulk->lock, &until);
        room = bulk_has_room(bulk);
    }
    bulk_unlock(bulk);
    return room;
}

/* ---- life ---------------------------------------------------------------------------------------- */

/* A quarter of the budget, at most; the block cache, from which it is taken, has half of it. */
static size_t bulk_buffer_bytes(int64_t memory_bytes)
{
    size_t bytes = (size_t)memory_bytes / 4 / BULK_BUFFERS_MAX;
    bytes = bytes > BULK_BUFFER_BYTES_MAX ? BULK_BUFFER_BYTES_MAX : bytes;
    return bytes;
}

alv_rocksdb_bulk *alv_rocksdb_bulk_new(alv_rocksdb *rocks, int64_t memory_bytes)
{
    alv_rocksdb_bulk *bulk = alv_alloc(sizeof *bulk);
    bulk->rocks = rocks;
    bulk->options = alv_rocksdb_options_for_bulk(rocks->options, rocks->compress);
    bulk->folder = alv_format("%s/loading", rocks->directory);
    bulk->buffer_bytes = bulk_buffer_bytes(memory_bytes);
    bulk->cache_bytes = rocksdb_cache_get_capacity(rocks->cache);
    ALV_ASSERT(pthread_mutex_init(&bulk->lock, NULL) == 0);
    ALV_ASSERT(pthread_cond_init(&bulk->work, NULL) == 0);
    pthread_condattr_t monotonic;
    ALV_ASSERT(pthread_condattr_init(&monotonic) == 0);
    ALV_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    ALV_ASSERT(pthread_cond_init(&bulk->progress, &monotonic) == 0);
    ALV_ASSERT(pthread_condattr_destroy(&monotonic) == 0);
    /* What a crash left unfinished: RocksDB knows nothing of it. */
    alv_store_directory_sweep(bulk->folder, ".sst");
    return bulk;
}

void alv_rocksdb_bulk_free(alv_rocksdb_bulk *bulk)
{
    if (bulk == NULL) {
        return;
    }
    bulk_lock(bulk);
    ALV_ASSERT(bulk->load_count == 0);
    bulk->stop = true;
    ALV_ASSERT(pthread_cond_broadcast(&bulk->work) == 0);
    bulk_unlock(bulk);
    for (int i = 0; i < bulk->thread_count; i++) {
        ALV_ASSERT(pthread_join(bulk->threads[i], NULL) == 0);
    }
    ALV_ASSERT(pthread_mutex_destroy(&bulk->lock) == 0);
    ALV_ASSERT(pthread_cond_destroy(&bulk->work) == 0);
    ALV_ASSERT(pthread_cond_destroy(&bulk->progress) == 0);
    rocksdb_options_destroy(bulk->options);
    alv_free(bulk->folder);
    alv_free(bulk);
}
