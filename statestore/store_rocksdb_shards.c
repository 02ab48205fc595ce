/* store_rocksdb_shards.c — the table of shards: one column family each, made, opened and wiped. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/store_internal.h"
#include "statestore/store_rocksdb_internal.h"

#define FAMILY_PREFIX "shard-"

void alv_rocksdb_family_name(int32_t shard, char out[ALV_ROCKSDB_FAMILY_NAME_BYTES])
{
    (void)snprintf(out, ALV_ROCKSDB_FAMILY_NAME_BYTES, FAMILY_PREFIX "%d", (int)shard);
}

int32_t alv_rocksdb_family_shard(const char *name)
{
    size_t prefix = strlen(FAMILY_PREFIX);
    if (strncmp(name, FAMILY_PREFIX, prefix) != 0) {
        return -1;
    }
    long shard = strtol(name + prefix, NULL, 10);
    if (shard < 0 || shard >= ALV_SHARDS_MAX) {
        return -1;
    }
    /* "shard-07", "shard-7x": not a name that we give. */
    char canonical[ALV_ROCKSDB_FAMILY_NAME_BYTES];
    alv_rocksdb_family_name((int32_t)shard, canonical);
    return strcmp(name, canonical) == 0 ? (int32_t)shard : -1;
}

alv_rocksdb_shard *alv_rocksdb_shard_new(int32_t number, rocksdb_column_family_handle_t *family)
{
    ALV_ASSERT(family != NULL);
    alv_rocksdb_shard *shard = alv_alloc(sizeof *shard);
    shard->number = number;
    shard->family = family;
    atomic_init(&shard->references, 1);
    ALV_ASSERT(pthread_mutex_init(&shard->position_lock, NULL) == 0);
    return shard;
}

alv_rocksdb_shard *alv_rocksdb_shard_ref(alv_rocksdb *rocks, int32_t number)
{
    ALV_ASSERT(number >= 0 && number < ALV_SHARDS_MAX);
    ALV_ASSERT(pthread_rwlock_rdlock(&rocks->table) == 0);
    alv_rocksdb_shard *shard = rocks->shards[number];
    if (shard != NULL) {
        atomic_fetch_add_explicit(&shard->references, 1, memory_order_relaxed);
    }
    ALV_ASSERT(pthread_rwlock_unlock(&rocks->table) == 0);
    return shard;
}

void alv_rocksdb_shard_unref(alv_rocksdb_shard *shard)
{
    if (shard == NULL) {
        return;
    }
    int before = atomic_fetch_sub_explicit(&shard->references, 1, memory_order_acq_rel);
    ALV_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    rocksdb_column_family_handle_destroy(shard->family);
    ALV_ASSERT(pthread_mutex_destroy(&shard->position_lock) == 0);
    alv_free(shard);
}

bool alv_rocksdb_shard_position(alv_rocksdb_shard *shard, alv_position *out)
{
    ALV_ASSERT(pthread_mutex_lock(&shard->position_lock) == 0);
    bool open = shard->open;
    if (open) {
        *out = shard->position;
    }
    ALV_ASSERT(pthread_mutex_unlock(&shard->position_lock) == 0);
    return open;
}

void alv_rocksdb_shard_set_position(alv_rocksdb_shard *shard, const alv_position *position)
{
    ALV_ASSERT(pthread_mutex_lock(&shard->position_lock) == 0);
    ALV_ASSERT(!shard->open || alv_position_covers(position, &shard->position));
    shard->position = *position;
    shard->open = true;
    ALV_ASSERT(pthread_mutex_unlock(&shard->position_lock) == 0);
}

/* Puts `shard` (taken; NULL: none) in the table and lets go of what was there. `change` is held. */
static void table_replace(alv_rocksdb *rocks, int32_t number, alv_rocksdb_shard *shard)
{
    ALV_ASSERT(pthread_rwlock_wrlock(&rocks->table) == 0);
    alv_rocksdb_shard *old = rocks->shards[number];
    rocks->shards[number] = shard;
    ALV_ASSERT(pthread_rwlock_unlock(&rocks->table) == 0);
    alv_rocksdb_shard_unref(old);
}

/* Makes an empty column family and puts it in the table, open: there is no moment in which a wiped
 * shard cannot be read. `change` is held. */
static alv_status family_make(alv_rocksdb *rocks, int32_t number, alv_error *err)
{
    char name[ALV_ROCKSDB_FAMILY_NAME_BYTES];
    alv_rocksdb_family_name(number, name);
    char *text = NULL;
    rocksdb_column_family_handle_t *family =
        rocksdb_create_column_family(rocks->db, rocks->options, name, &text);
    alv_status status = alv_rocksdb_check(text, "make", number, err);
    if (status != ALV_OK) {
        return status; /* the handle is not valid then */
    }
    alv_rocksdb_shard *shard = alv_rocksdb_shard_new(number, family);
    alv_rocksdb_shard_set_position(shard, &ALV_POSITION_START);
    table_replace(rocks, number, shard);
    return ALV_OK;
}

/* Reads the position that the last apply before the start left; none when nothing was flushed. */
static alv_status position_read(alv_rocksdb *rocks, alv_rocksdb_shard *shard, alv_position *out,
                                alv_error *err)
{
    char *text = NULL;
    rocksdb_pinnableslice_t *value =
        rocksdb_get_pinned_cf(rocks->db, rocks->read_options, shard->family,
                              ALV_ROCKSDB_POSITION_KEY, strlen(ALV_ROCKSDB_POSITION_KEY), &text);
    alv_status status = alv_rocksdb_check(text, "read position of", shard->number, err);
    if (status != ALV_OK) {
        return status;
    }
    if (value == NULL) {
        *out = ALV_POSITION_START;
        return ALV_OK;
    }
    alv_view encoded;
    encoded.data = rocksdb_pinnableslice_value(value, &encoded.size);
    status = alv_position_decode(encoded, out, err);
    rocksdb_pinnableslice_destroy(value);
    return status;
}

static alv_status shard_open(alv_rocksdb *rocks, int32_t number, alv_position *out, alv_error *err)
{
    if (alv_rocksdb_is_damaged(rocks, number, err)) {
        return ALV_REJECT;
    }
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
    if (shard == NULL && rocks->read_only) {
        *out = ALV_POSITION_START;
        return ALV_OK;
    }
    if (shard == NULL) {
        alv_status made = family_make(rocks, number, err);
        if (made == ALV_OK) {
            *out = ALV_POSITION_START;
        }
        return made;
    }
    alv_status status = ALV_OK;
    if (!alv_rocksdb_shard_position(shard, out)) {
        status = alv_rocksdb_note_read(rocks, number, position_read(rocks, shard, out, err));
        if (status == ALV_OK) {
            alv_rocksdb_shard_set_position(shard, out);
        }
    }
    alv_rocksdb_shard_unref(shard);
    return status;
}

alv_status alv_rocksdb_open_shard(alv_store *store, int32_t shard, alv_position *out,
                                  alv_error *err)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_thread_prepare();
    ALV_ASSERT(pthread_mutex_lock(&rocks->change) == 0);
    alv_status status = shard_open(rocks, shard, out, err);
    ALV_ASSERT(pthread_mutex_unlock(&rocks->change) == 0);
    return status;
}

/* Drops the family and makes a new one. A crash in between leaves none, which open_shard makes
 * good; so does a failure of the second step. */
static alv_status shard_wipe(alv_rocksdb *rocks, int32_t number, alv_error *err)
{
    alv_rocksdb_shard *shard = alv_rocksdb_shard_ref(rocks, number);
    if (shard != NULL) {
        ALV_ASSERT(!atomic_load(&shard->writing));
        ALV_ASSERT(shard->load == NULL);
        char *text = NULL;
        rocksdb_drop_column_family(rocks->db, shard->family, &text);
        alv_rocksdb_shard_unref(shard);
        alv_status dropped = alv_rocksdb_check(text, "wipe", number, err);
        if (dropped != ALV_OK) {
            return dropped;
        }
    }
    alv_status status = family_make(rocks, number, err);
    if (status != ALV_OK) {
        table_replace(rocks, number, NULL);
    } else {
        atomic_store(&rocks->damaged[number], false);
    }
    return status;
}

alv_status alv_rocksdb_wipe_shard(alv_store *store, int32_t shard, alv_error *err)
{
    alv_rocksdb *rocks = (alv_rocksdb *)store;
    alv_rocksdb_thread_prepare();
    ALV_ASSERT(pthread_mutex_lock(&rocks->change) == 0);
    alv_status status = shard_wipe(rocks, shard, err);
    ALV_ASSERT(pthread_mutex_unlock(&rocks->change) == 0);
    if (status != ALV_REJECT) {
        return status;
    }
    /* What cannot even be dropped is not cured by wiping it again. */
    if (err != NULL) {
        err->status = ALV_FATAL;
    }
    return ALV_FATAL;
}
