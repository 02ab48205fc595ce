/* store_memory.c — a store that is easy to believe: sorted arrays, an undo journal and one mutex.
 *
 * It is what the RocksDB store is compared with, so nothing here is clever. A crash undoes whole
 * applies from the end, which is exactly what losing an unflushed memtable does to a column family.
 * A load keeps a few applies back and then makes them, durable at once, as a table file is.
 */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "statestore/store.h"

typedef struct memory_entry {
    alv_store_kind kind;
    alv_bytes key;
    alv_bytes value;
} memory_entry;

/* What an entry was before a write: `existed` false means that undoing deletes it. */
typedef struct memory_undo {
    alv_store_kind kind;
    alv_bytes key;
    alv_bytes value;
    bool existed;
} memory_undo;

/* One apply, as the journal remembers it. */
typedef struct memory_apply {
    alv_position before;
    memory_undo *undos; /* in the order of the writes */
    size_t undo_count;
} memory_apply;

/* An apply of a load that is not made yet. */
typedef struct memory_piece {
    alv_position position;
    memory_entry *writes; /* `deleted` says which have no value */
    bool *deleted;
    size_t count;
} memory_piece;

#define MEMORY_PIECES_MAX 8

typedef struct memory_shard {
    memory_entry **entries; /* by kind, then key */
    size_t entry_count;
    size_t entry_capacity;
    memory_apply *journal; /* applies since the last flush, oldest first */
    size_t journal_count;
    size_t journal_capacity;
    alv_position position;
    bool open;
    bool loading;
    memory_piece pieces[MEMORY_PIECES_MAX];
    size_t piece_count;
} memory_shard;

typedef struct memory_store {
    alv_store store;      /* first: the port's handle is the store */
    pthread_mutex_t lock; /* leaf; never held while a visit runs */
    memory_shard *shards[ALV_SHARDS_MAX];
} memory_store;

static memory_store *memory_lock(alv_store *store)
{
    memory_store *memory = (memory_store *)store;
    ALV_ASSERT(pthread_mutex_lock(&memory->lock) == 0);
    return memory;
}

static void memory_unlock(memory_store *memory)
{
    ALV_ASSERT(pthread_mutex_unlock(&memory->lock) == 0);
}

/* The shard, NULL when it is not open. */
static memory_shard *memory_shard_of(memory_store *memory, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < ALV_SHARDS_MAX);
    memory_shard *found = memory->shards[shard];
    return found != NULL && found->open ? found : NULL;
}

static alv_status memory_not_open(int32_t shard, alv_error *err)
{
    return alv_fail(err, ALV_RETRY, "shard %d is not open", (int)shard);
}

static int key_compare(alv_view left, alv_view right)
{
    size_t shared = left.size < right.size ? left.size : right.size;
    int order = shared == 0 ? 0 : memcmp(left.data, right.data, shared);
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static int entry_compare(const memory_entry *entry, alv_store_kind kind, alv_view key)
{
    if (entry->kind != kind) {
        return entry->kind < kind ? -1 : 1;
    }
    return key_compare(alv_bytes_view(&entry->key), key);
}

/* Index of the first entry that is not before (kind, key). */
static size_t entry_lower_bound(const memory_shard *shard, alv_store_kind kind, alv_view key)
{
    size_t low = 0;
    size_t high = shard->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry_compare(shard->entries[middle], kind, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static memory_entry *entry_find(const memory_shard *shard, alv_store_kind kind, alv_view key)
{
    size_t at = entry_lower_bound(shard, kind, key);
    if (at == shard->entry_count || entry_compare(shard->entries[at], kind, key) != 0) {
        return NULL;
    }
    return shard->entries[at];
}

static void entry_free(memory_entry *entry)
{
    alv_bytes_done(&entry->key);
    alv_bytes_done(&entry->value);
    alv_free(entry);
}

/* Gives an entry its value, or deletes it when `value` is absent. */
static void entry_put(memory_shard *shard, alv_store_kind kind, alv_view key, alv_view value)
{
    size_t at = entry_lower_bound(shard, kind, key);
    bool exists = at < shard->entry_count && entry_compare(shard->entries[at], kind, key) == 0;
    if (shard->entry_count == shard->entry_capacity) {
        shard->entry_capacity = 2 * shard->entry_capacity + 16;
        shard->entries =
            alv_realloc(shard->entries, shard->entry_capacity * sizeof *shard->entries);
    }
    memory_entry **place = shard->entries + at;
    if (value.data != NULL && !exists) {
        memmove(place + 1, place, (shard->entry_count - at) * sizeof *place);
        *place = alv_alloc(sizeof **place);
        (*place)->kind = kind;
        alv_bytes_set(&(*place)->key, key.data, key.size);
        shard->entry_count++;
    }
    if (value.data != NULL) {
        alv_bytes_set(&(*place)->value, value.data, value.size);
    } else if (exists) {
        entry_free(*place);
        shard->entry_count--;
        memmove(place, place + 1, (shard->entry_count - at) * sizeof *place);
    }
}

static memory_undo undo_of(const memory_shard *shard, const alv_store_write *write)
{
    memory_undo undo = {.kind = write->kind};
    alv_bytes_set(&undo.key, write->key.data, write->key.size);
    const memory_entry *entry = entry_find(shard, write->kind, write->key);
    if (entry != NULL) {
        undo.existed = true;
        alv_bytes_set(&undo.value, entry->value.data, entry->value.size);
    }
    return undo;
}

static void apply_free(memory_apply *apply)
{
    for (size_t i = 0; i < apply->undo_count; i++) {
        alv_bytes_done(&apply->undos[i].key);
        alv_bytes_done(&apply->undos[i].value);
    }
    alv_free(apply->undos);
}

/* What was applied so far cannot be lost any more. */
static void journal_forget(memory_shard *shard)
{
    for (size_t i = 0; i < shard->journal_count; i++) {
        apply_free(&shard->journal[i]);
    }
    shard->journal_count = 0;
}

static memory_apply *journal_add(memory_shard *shard, size_t write_count)
{
    if (shard->journal_count == shard->journal_capacity) {
        shard->journal_capacity = 2 * shard->journal_capacity + 16;
        shard->journal =
            alv_realloc(shard->journal, shard->journal_capacity * sizeof *shard->journal);
    }
    memory_apply *apply = &shard->journal[shard->journal_count++];
    apply->before = shard->position;
    apply->undos = alv_alloc_array(write_count, sizeof *apply->undos);
    apply->undo_count = write_count;
    return apply;
}

/* Takes the last apply back, its writes in reverse order. */
static void journal_undo(memory_shard *shard)
{
    ALV_ASSERT(shard->journal_count > 0);
    memory_apply *apply = &shard->journal[--shard->journal_count];
    for (size_t i = apply->undo_count; i-- > 0;) {
        const memory_undo *undo = &apply->undos[i];
        entry_put(shard, undo->kind, alv_bytes_view(&undo->key),
                  undo->existed ? alv_bytes_view(&undo->value) : ALV_VIEW_NONE);
    }
    shard->position = apply->before;
    apply_free(apply);
}

static void piece_free(memory_piece *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        alv_bytes_done(&piece->writes[i].key);
        alv_bytes_done(&piece->writes[i].value);
    }
    alv_free(piece->writes);
    alv_free(piece->deleted);
}

static void pieces_drop(memory_shard *shard)
{
    for (size_t i = 0; i < shard->piece_count; i++) {
        piece_free(&shard->pieces[i]);
    }
    shard->piece_count = 0;
}

static void pieces_install(memory_shard *shard)
{
    for (size_t i = 0; i < shard->piece_count; i++) {
        const memory_piece *piece = &shard->pieces[i];
        for (size_t j = 0; j < piece->count; j++) {
            const memory_entry *write = &piece->writes[j];
            entry_put(shard, write->kind, alv_bytes_view(&write->key),
                      piece->deleted[j] ? ALV_VIEW_NONE : alv_bytes_view(&write->value));
        }
        shard->position = piece->position;
    }
    pieces_drop(shard);
    journal_forget(shard);
}

static void shard_clear(memory_shard *shard)
{
    for (size_t i = 0; i < shard->entry_count; i++) {
        entry_free(shard->entries[i]);
    }
    shard->entry_count = 0;
    journal_forget(shard);
    pieces_drop(shard);
    shard->loading = false;
    shard->position = ALV_POSITION_START;
}

static memory_shard *shard_ensure(memory_store *memory, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < ALV_SHARDS_MAX);
    if (memory->shards[shard] == NULL) {
        memory->shards[shard] = alv_alloc(sizeof *memory->shards[shard]);
    }
    memory->shards[shard]->open = true;
    return memory->shards[shard];
}

static alv_status memory_open_shard(alv_store *store, int32_t shard, alv_position *out,
                                    alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    *out = shard_ensure(memory, shard)->position;
    memory_unlock(memory);
    return ALV_OK;
}

static alv_status memory_wipe_shard(alv_store *store, int32_t shard, alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    ALV_ASSERT(!shard_ensure(memory, shard)->loading);
    shard_clear(shard_ensure(memory, shard));
    memory_unlock(memory);
    return ALV_OK;
}

static alv_status memory_apply_writes(alv_store *store, int32_t shard,
                                      const alv_store_write *writes, size_t count,
                                      const alv_position *position, alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    memory_shard *target = memory_shard_of(memory, shard);
    ALV_ASSERT(target != NULL);
    ALV_ASSERT(!target->loading);
    ALV_ASSERT(alv_position_covers(position, &target->position));
    memory_apply *apply = journal_add(target, count);
    for (size_t i = 0; i < count; i++) {
        apply->undos[i] = undo_of(target, &writes[i]);
        entry_put(target, writes[i].kind, writes[i].key, writes[i].value);
    }
    target->position = *position;
    memory_unlock(memory);
    return ALV_OK;
}

/* ---- loads --------------------------------------------------------------------------------------- */

static alv_status memory_bulk_begin(alv_store *store, int32_t shard, alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    memory_shard *target = memory_shard_of(memory, shard);
    ALV_ASSERT(target != NULL);
    ALV_ASSERT(!target->loading);
    target->loading = true;
    int loading = 0;
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        loading += memory->shards[i] != NULL && memory->shards[i]->loading;
    }
    ALV_ASSERT(loading <= ALV_STORE_BULK_SHARDS_MAX);
    memory_unlock(memory);
    return ALV_OK;
}

static memory_piece piece_copy(const alv_store_write *writes, size_t count,
                               const alv_position *position)
{
    memory_piece piece = {.position = *position, .count = count};
    piece.writes = alv_alloc_array(count, sizeof *piece.writes);
    piece.deleted = alv_alloc_array(count, sizeof *piece.deleted);
    for (size_t i = 0; i < count; i++) {
        piece.writes[i].kind = writes[i].kind;
        alv_bytes_set(&piece.writes[i].key, writes[i].key.data, writes[i].key.size);
        alv_bytes_set(&piece.writes[i].value, writes[i].value.data, writes[i].value.size);
        piece.deleted[i] = writes[i].value.data == NULL;
    }
    return piece;
}

static alv_status memory_bulk_apply(alv_store *store, int32_t shard, const alv_store_write *writes,
                                    size_t count, const alv_position *position, alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    memory_shard *target = memory_shard_of(memory, shard);
    ALV_ASSERT(target != NULL);
    ALV_ASSERT(target->loading);
    ALV_ASSERT(alv_position_covers(position, &target->position));
    if (target->piece_count == MEMORY_PIECES_MAX) {
        pieces_install(target);
    }
    target->pieces[target->piece_count++] = piece_copy(writes, count, position);
    memory_unlock(memory);
    return ALV_OK;
}

static bool memory_bulk_wait(alv_store *store, int timeout_ms)
{
    (void)store;
    (void)timeout_ms;
    return true;
}

/* Keeping takes two calls when there is something to be kept, as a store with threads does. */
static alv_status memory_bulk_end(alv_store *store, int32_t shard, bool keep, bool *out_done,
                                  alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    memory_shard *target = memory_shard_of(memory, shard);
    ALV_ASSERT(target != NULL);
    ALV_ASSERT(target->loading);
    *out_done = !keep || target->piece_count == 0;
    if (keep) {
        pieces_install(target);
    } else {
        pieces_drop(target);
    }
    target->loading = !*out_done;
    memory_unlock(memory);
    return ALV_OK;
}

static alv_status memory_get(alv_store *store, int32_t shard, alv_store_kind kind, alv_view key,
                             bool *out_found, alv_bytes *out, alv_error *err)
{
    alv_status status = ALV_OK;
    memory_store *memory = memory_lock(store);
    const memory_shard *source = memory_shard_of(memory, shard);
    if (source == NULL) {
        status = memory_not_open(shard, err);
    } else {
        const memory_entry *entry = entry_find(source, kind, key);
        *out_found = entry != NULL;
        alv_bytes_clear(out);
        if (entry != NULL) {
            alv_bytes_append(out, entry->value.data, entry->value.size);
        }
    }
    memory_unlock(memory);
    return status;
}

static alv_status memory_position(alv_store *store, int32_t shard, alv_position *out,
                                  alv_error *err)
{
    alv_status status = ALV_OK;
    memory_store *memory = memory_lock(store);
    const memory_shard *source = memory_shard_of(memory, shard);
    if (source == NULL) {
        status = memory_not_open(shard, err);
    } else {
        *out = source->position;
    }
    memory_unlock(memory);
    return status;
}

/* Copies what a scan has to visit, so that `visit` runs without the lock: the snapshot. */
static memory_entry *scan_copy(const memory_shard *source, alv_store_kind kind, alv_view prefix,
                               alv_view after, size_t *out_count)
{
    size_t count = 0;
    memory_entry *copies = alv_alloc_array(source->entry_count, sizeof *copies);
    for (size_t i = entry_lower_bound(source, kind, prefix); i < source->entry_count; i++) {
        const memory_entry *entry = source->entries[i];
        alv_view key = alv_bytes_view(&entry->key);
        if (entry->kind != kind || (prefix.size > 0 && !alv_view_starts_with(key, prefix))) {
            break;
        }
        if (after.size > 0 && key_compare(key, after) <= 0) {
            continue;
        }
        alv_bytes_set(&copies[count].key, entry->key.data, entry->key.size);
        alv_bytes_set(&copies[count].value, entry->value.data, entry->value.size);
        count++;
    }
    *out_count = count;
    return copies;
}

static alv_status memory_scan(alv_store *store, int32_t shard, alv_store_kind kind, alv_view prefix,
                              alv_view after, alv_store_visit visit, void *payload, alv_error *err)
{
    memory_store *memory = memory_lock(store);
    const memory_shard *source = memory_shard_of(memory, shard);
    memory_entry *copies = NULL;
    size_t count = 0;
    if (source != NULL) {
        copies = scan_copy(source, kind, prefix, after, &count);
    }
    memory_unlock(memory);
    if (source == NULL) {
        return memory_not_open(shard, err);
    }
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        more = more &&
               visit(payload, alv_bytes_view(&copies[i].key), alv_bytes_view(&copies[i].value));
        alv_bytes_done(&copies[i].key);
        alv_bytes_done(&copies[i].value);
    }
    alv_free(copies);
    return ALV_OK;
}

static alv_status memory_flush(alv_store *store, alv_error *err)
{
    (void)err; /* cannot fail */
    memory_store *memory = memory_lock(store);
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        if (memory->shards[i] != NULL) {
            journal_forget(memory->shards[i]);
        }
    }
    memory_unlock(memory);
    return ALV_OK;
}

static bool memory_is_writable(alv_store *store, alv_error *err)
{
    (void)store;
    (void)err;
    return true;
}

static void memory_stats(alv_store *store, alv_store_stats *out)
{
    *out = (alv_store_stats){.keys = 0};
    memory_store *memory = memory_lock(store);
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        out->keys += memory->shards[i] != NULL ? memory->shards[i]->entry_count : 0;
    }
    memory_unlock(memory);
}

static void memory_close(alv_store *store)
{
    memory_store *memory = (memory_store *)store;
    for (int32_t i = 0; i < ALV_SHARDS_MAX; i++) {
        memory_shard *shard = memory->shards[i];
        if (shard == NULL) {
            continue;
        }
        shard_clear(shard);
        alv_free(shard->entries);
        alv_free(shard->journal);
        alv_free(shard);
    }
    ALV_ASSERT(pthread_mutex_destroy(&memory->lock) == 0);
    alv_free(memory);
}

static const alv_store_ops memory_ops = {
    .open_shard = memory_open_shard,
    .wipe_shard = memory_wipe_shard,
    .apply = memory_apply_writes,
    .bulk_begin = memory_bulk_begin,
    .bulk_apply = memory_bulk_apply,
    .bulk_wait = memory_bulk_wait,
    .bulk_end = memory_bulk_end,
    .get = memory_get,
    .position = memory_position,
    .scan = memory_scan,
    .flush = memory_flush,
    .is_writable = memory_is_writable,
    .stats = memory_stats,
    .close = memory_close,
};

alv_store *alv_store_memory_new(void)
{
    memory_store *memory = alv_alloc(sizeof *memory);
    memory->store.ops = &memory_ops;
    ALV_ASSERT(pthread_mutex_init(&memory->lock, NULL) == 0);
    return &memory->store;
}

void alv_store_memory_crash(alv_store *store, int32_t shard, size_t apply_count)
{
    ALV_ASSERT(store->ops == &memory_ops);
    memory_store *memory = memory_lock(store);
    memory_shard *target = memory_shard_of(memory, shard);
    if (target != NULL) {
        pieces_drop(target);
        target->loading = false;
    }
    while (target != NULL && apply_count-- > 0 && target->journal_count > 0) {
        journal_undo(target);
    }
    memory_unlock(memory);
}
