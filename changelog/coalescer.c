/* Rows lie side by side, as the durable store wants them; an open-addressing table (linear
 * probing, at most half full) finds the row of a key. Rows go only all together or shard by
 * shard, and then the table is built anew, so it needs no deletion. */
#include "changelog/coalescer.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/assert.h"

#define COALESCER_SLOTS_FIRST 1024
#define COALESCER_SLOT_FREE UINT32_MAX

struct alv_coalescer {
    alv_checkpoint_row *rows; /* key.data is the start of the block that holds key and state */
    uint64_t *hashes;         /* of the rows' keys */
    size_t count;
    size_t bytes;
    uint32_t *slots;   /* index of a row, or COALESCER_SLOT_FREE */
    size_t slot_count; /* a power of two; rows and hashes have half as many places */
};

static void coalescer_size(alv_coalescer *coalescer, size_t slot_count)
{
    coalescer->slot_count = slot_count;
    coalescer->slots = alv_realloc(coalescer->slots, slot_count * sizeof *coalescer->slots);
    size_t places = slot_count / 2;
    coalescer->rows = alv_realloc(coalescer->rows, places * sizeof *coalescer->rows);
    coalescer->hashes = alv_realloc(coalescer->hashes, places * sizeof *coalescer->hashes);
}

static void coalescer_free_slots(alv_coalescer *coalescer)
{
    for (size_t i = 0; i < coalescer->slot_count; i++) {
        coalescer->slots[i] = COALESCER_SLOT_FREE;
    }
}

/* The slot that points at the row of `key`, or the free one where it belongs. */
static uint32_t *coalescer_slot(const alv_coalescer *coalescer, alv_view key, uint64_t hash)
{
    size_t mask = coalescer->slot_count - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &coalescer->slots[i];
        if (*slot == COALESCER_SLOT_FREE) {
            return slot;
        }
        if (coalescer->hashes[*slot] == hash && alv_view_equal(coalescer->rows[*slot].key, key)) {
            return slot;
        }
    }
}

static void coalescer_index(alv_coalescer *coalescer)
{
    coalescer_free_slots(coalescer);
    for (size_t i = 0; i < coalescer->count; i++) {
        *coalescer_slot(coalescer, coalescer->rows[i].key, coalescer->hashes[i]) = (uint32_t)i;
    }
}

alv_coalescer *alv_coalescer_new(void)
{
    alv_coalescer *coalescer = alv_alloc(sizeof *coalescer);
    coalescer_size(coalescer, COALESCER_SLOTS_FIRST);
    coalescer_free_slots(coalescer);
    return coalescer;
}

static size_t row_bytes(const alv_checkpoint_row *row)
{
    return sizeof *row + row->key.size + row->state.size;
}

/* A copy whose key and state lie in one new block; a type that is a part of the key moves along. */
static alv_checkpoint_row row_dup(const alv_checkpoint_row *row)
{
    alv_checkpoint_row copy = *row;
    char *block = alv_alloc(row->key.size + row->state.size);
    memcpy(block, row->key.data, row->key.size);
    copy.key.data = block;
    uintptr_t type_at = (uintptr_t)row->type.data - (uintptr_t)row->key.data;
    if (type_at < row->key.size) { /* wraps round when it lies before */
        copy.type.data = block + type_at;
    }
    if (row->state.data != NULL) {
        copy.state.data = block + row->key.size;
        memcpy(block + row->key.size, row->state.data, row->state.size);
    }
    return copy;
}

static void row_free(alv_checkpoint_row *row)
{
    alv_free((void *)(uintptr_t)row->key.data); /* made by row_dup, so not really const */
}

static void coalescer_replace(alv_coalescer *coalescer, alv_checkpoint_row *old,
                              const alv_checkpoint_row *row)
{
    /* Two shards never share a key; if a foreign writer makes it so, the later record counts. */
    if (old->shard == row->shard && old->changelog_offset >= row->changelog_offset) {
        return;
    }
    coalescer->bytes += row_bytes(row) - row_bytes(old);
    row_free(old);
    *old = row_dup(row);
}

void alv_coalescer_put(alv_coalescer *coalescer, const alv_checkpoint_row *row)
{
    ALV_ASSERT(row->key.data != NULL);
    uint64_t hash = XXH3_64bits(row->key.data, row->key.size);
    uint32_t *slot = coalescer_slot(coalescer, row->key, hash);
    if (*slot != COALESCER_SLOT_FREE) {
        coalescer_replace(coalescer, &coalescer->rows[*slot], row);
        return;
    }
    *slot = (uint32_t)coalescer->count;
    coalescer->rows[coalescer->count] = row_dup(row);
    coalescer->hashes[coalescer->count] = hash;
    coalescer->count++;
    coalescer->bytes += row_bytes(row);
    if (coalescer->count == coalescer->slot_count / 2) {
        coalescer_size(coalescer, coalescer->slot_count * 2);
        coalescer_index(coalescer);
    }
}

alv_checkpoint_row *alv_coalescer_rows(alv_coalescer *coalescer)
{
    return coalescer->rows;
}

size_t alv_coalescer_count(const alv_coalescer *coalescer)
{
    return coalescer->count;
}

size_t alv_coalescer_bytes(const alv_coalescer *coalescer)
{
    return coalescer->bytes;
}

void alv_coalescer_drop(alv_coalescer *coalescer, int32_t shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < coalescer->count; i++) {
        alv_checkpoint_row *row = &coalescer->rows[i];
        if (row->shard == shard) {
            coalescer->bytes -= row_bytes(row);
            row_free(row);
            continue;
        }
        coalescer->rows[kept] = *row;
        coalescer->hashes[kept] = coalescer->hashes[i];
        kept++;
    }
    if (kept == coalescer->count) {
        return;
    }
    coalescer->count = kept;
    coalescer_index(coalescer);
}

void alv_coalescer_clear(alv_coalescer *coalescer)
{
    for (size_t i = 0; i < coalescer->count; i++) {
        row_free(&coalescer->rows[i]);
    }
    coalescer->count = 0;
    coalescer->bytes = 0;
    coalescer_free_slots(coalescer);
}

void alv_coalescer_free(alv_coalescer *coalescer)
{
    if (coalescer == NULL) {
        return;
    }
    alv_coalescer_clear(coalescer);
    alv_free(coalescer->rows);
    alv_free(coalescer->hashes);
    alv_free(coalescer->slots);
    alv_free(coalescer);
}
