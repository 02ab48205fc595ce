#include "statestore/overlay.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/plant.h"
#include "statestore/codec.h"

/* An idle shard keeps no more than this of a large transaction's memory. */
#define OVERLAY_KEEP_BYTES (1024 * 1024)

void alv_overlay_init(alv_overlay *overlay)
{
    *overlay = (alv_overlay){.encoded = ALV_BYTES_EMPTY};
}

/* In the list of changed entities, from its first change on. */
static alv_overlay_item *overlay_list(alv_overlay *overlay, alv_entity *entity)
{
    if (!entity->dirty) {
        if (overlay->count == overlay->capacity) {
            overlay->capacity = overlay->capacity == 0 ? 64 : overlay->capacity * 2;
            overlay->items =
                alv_realloc(overlay->items, overlay->capacity * sizeof *overlay->items);
        }
        entity->overlay_at = overlay->count++;
        overlay->items[entity->overlay_at] =
            (alv_overlay_item){.entity = entity, .state_at = ALV_OVERLAY_STALE};
        entity->dirty = true;
    }
    return &overlay->items[entity->overlay_at];
}

static void overlay_encode_state(alv_overlay *overlay, alv_overlay_item *item)
{
    const alv_entity *entity = item->entity;
    item->state_at = overlay->encoded.size;
    if (entity->state != NULL && entity->state_version > 1) {
        alv_codec_encode_version(entity->state, entity->state_version, &overlay->encoded);
    } else if (entity->state != NULL) {
        alv_codec_encode(entity->state, &overlay->encoded);
    }
    item->state_size = overlay->encoded.size - item->state_at;
}

void alv_overlay_note(alv_overlay *overlay, alv_entity *entity)
{
    alv_overlay_item *item = overlay_list(overlay, entity);
    item->state_at = ALV_OVERLAY_STALE;
    if (!entity->state_changed && alv_cache_is_new(entity)) {
        overlay_encode_state(overlay, item);
    }
    entity->state_changed = true;
}

bool alv_overlay_put_away(alv_overlay *overlay, alv_entity *entity)
{
    if (!entity->state_changed || entity->state == NULL ||
        overlay->items[entity->overlay_at].state_at == ALV_OVERLAY_STALE) {
        return false;
    }
    json_decref(entity->state);
    entity->state = NULL;
    entity->is_away = true;
    return true;
}

alv_view alv_overlay_away(const alv_overlay *overlay, const alv_entity *entity)
{
    ALV_ASSERT(entity->is_away && entity->dirty);
    const alv_overlay_item *item = &overlay->items[entity->overlay_at];
    return (alv_view){overlay->encoded.data + item->state_at, item->state_size};
}

void alv_overlay_note_ledger(alv_overlay *overlay, alv_entity *entity)
{
    ALV_ASSERT(entity->ledger != NULL);
    (void)overlay_list(overlay, entity);
    overlay->ledger_count += !entity->ledger_changed;
    entity->ledger_changed = true;
}

void alv_overlay_note_stale(alv_overlay *overlay, int64_t due_ms, alv_view entity_key)
{
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_store_timer_key(due_ms, entity_key, &key);
    alv_bytes_append(&overlay->stale, &key.size, sizeof key.size);
    alv_bytes_append(&overlay->stale, key.data, key.size);
    overlay->stale_count++;
    alv_bytes_done(&key);
}

/* ---- encode ------------------------------------------------------------------------------------- */

/* Adds a write whose bytes are in `encoded` from `at` on; the pointer to them is filled in at the end, because
 * the buffer moves while it grows. `key` absent: the bytes are the key; else they are the value, and none
 * are a deletion. */
static void overlay_add(alv_overlay *overlay, alv_store_kind kind, alv_view key, alv_view value,
                        size_t at)
{
    ALV_ASSERT(overlay->write_count < overlay->write_capacity);
    overlay->places[overlay->write_count] = at;
    overlay->writes[overlay->write_count++] =
        (alv_store_write){.kind = kind, .key = key, .value = value};
}

static alv_status overlay_add_state(alv_overlay *overlay, alv_overlay_item *item, alv_error *err)
{
    const alv_entity *entity = item->entity;
    if (item->state_at == ALV_OVERLAY_STALE) {
        overlay_encode_state(overlay, item);
    }
    if (item->state_size > ALV_STATE_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "state of %s has %zu bytes, at most %d are allowed",
                        entity->key, item->state_size, ALV_STATE_BYTES_MAX);
    }
    overlay_add(overlay, ALV_STORE_STATE, (alv_view){entity->key, entity->key_size},
                (alv_view){NULL, item->state_size}, item->state_at);
    return ALV_OK;
}

/* An entry of the index of timers, put or deleted. */
static void overlay_encode_index(alv_overlay *overlay, const alv_entity *entity, int64_t due_ms,
                                 bool put)
{
    size_t begin = overlay->encoded.size;
    alv_store_timer_key(due_ms, (alv_view){entity->key, entity->key_size}, &overlay->encoded);
    overlay_add(overlay, ALV_STORE_TIMER, (alv_view){NULL, overlay->encoded.size - begin},
                put ? ALV_VIEW("") : ALV_VIEW_NONE, begin);
}

static void overlay_encode_ledger(alv_overlay *overlay, const alv_entity *entity)
{
    size_t begin = overlay->encoded.size;
    alv_ledger_encode(entity->ledger, &overlay->encoded);
    overlay_add(overlay, ALV_STORE_LEDGER, (alv_view){entity->key, entity->key_size},
                (alv_view){NULL, overlay->encoded.size - begin}, begin);
    int64_t due_ms = alv_ledger_due(entity->ledger);
    if (due_ms != entity->indexed_due_ms && entity->indexed_due_ms != ALV_DUE_NEVER) {
        overlay_encode_index(overlay, entity, entity->indexed_due_ms, false);
    }
    if (due_ms != entity->indexed_due_ms && due_ms != ALV_DUE_NEVER) {
        overlay_encode_index(overlay, entity, due_ms, true);
    }
    overlay->due_ms = due_ms < overlay->due_ms ? due_ms : overlay->due_ms;
}

static void overlay_reserve_writes(alv_overlay *overlay, size_t needed)
{
    if (needed > overlay->write_capacity) {
        overlay->write_capacity =
            needed < 2 * overlay->write_capacity ? 2 * overlay->write_capacity : needed;
        overlay->writes =
            alv_realloc(overlay->writes, overlay->write_capacity * sizeof *overlay->writes);
        overlay->places =
            alv_realloc(overlay->places, overlay->write_capacity * sizeof *overlay->places);
    }
}

/* The buffer does not move any more: says where each write's bytes are. */
static void overlay_place(alv_overlay *overlay)
{
    for (size_t i = 0; i < overlay->write_count; i++) {
        alv_store_write *write = &overlay->writes[i];
        alv_view *bytes = write->kind == ALV_STORE_TIMER ? &write->key : &write->value;
        if (bytes->size > 0) {
            ALV_ASSERT(overlay->places[i] + bytes->size <= overlay->encoded.size);
            bytes->data = overlay->encoded.data + overlay->places[i];
        }
    }
}

/* First of all, because an entry that is put anew must stay. */
static void overlay_encode_stale(alv_overlay *overlay)
{
    const char *at = overlay->stale.data;
    for (size_t i = 0; i < overlay->stale_count; i++) {
        size_t size = 0;
        memcpy(&size, at, sizeof size);
        overlay_add(overlay, ALV_STORE_TIMER, (alv_view){NULL, size}, ALV_VIEW_NONE,
                    overlay->encoded.size);
        alv_bytes_append(&overlay->encoded, at + sizeof size, size);
        at += sizeof size + size;
    }
}

alv_status alv_overlay_encode(alv_overlay *overlay, alv_error *err)
{
    /* One per changed state; per changed ledger itself, an entry of the index that goes and one that comes. */
    overlay_reserve_writes(overlay,
                           overlay->count + 3 * overlay->ledger_count + overlay->stale_count);
    overlay->write_count = 0;
    overlay->due_ms = ALV_DUE_NEVER;
    overlay_encode_stale(overlay);
    for (size_t i = 0; i < overlay->count; i++) {
        const alv_entity *entity = overlay->items[i].entity;
        ALV_ASSERT(entity->dirty && entity->overlay_at == i);
        if (entity->state_changed) {
            alv_status status = overlay_add_state(overlay, &overlay->items[i], err);
            if (status != ALV_OK) {
                return status;
            }
        }
        if (entity->ledger_changed) {
            overlay_encode_ledger(overlay, entity);
        }
    }
    overlay_place(overlay);
    return ALV_OK;
}

void alv_overlay_add_write(alv_overlay *overlay, const alv_store_write *write)
{
    overlay_reserve_writes(overlay, overlay->write_count + 1);
    overlay->writes[overlay->write_count++] = *write;
}

/* ---- finish, drop ------------------------------------------------------------------------------- */

/* Empty again, without holding on to the memory of an unusually large transaction. */
static void overlay_reset(alv_overlay *overlay)
{
    overlay->count = 0;
    overlay->ledger_count = 0;
    overlay->stale_count = 0;
    alv_bytes_clear(&overlay->stale);
    overlay->write_count = 0;
    alv_bytes_clear(&overlay->encoded);
    if (overlay->encoded.capacity > OVERLAY_KEEP_BYTES) {
        alv_bytes_done(&overlay->encoded);
    }
}

static void overlay_clean(alv_entity *entity)
{
    entity->dirty = false;
    entity->state_changed = false;
    entity->ledger_changed = false;
}

void alv_overlay_finish(alv_overlay *overlay, alv_cache *cache)
{
    for (size_t i = 0; i < overlay->count; i++) {
        alv_entity *entity = overlay->items[i].entity;
        if (entity->state_changed) {
            alv_cache_set_cost(cache, entity, alv_codec_memory(overlay->items[i].state_size));
        }
        if (entity->ledger_changed) {
            entity->indexed_due_ms = alv_ledger_due(entity->ledger);
            alv_cache_set_ledger_cost(cache, entity, alv_ledger_memory(entity->ledger));
        }
        overlay_clean(entity);
        if (entity->is_away) {
            alv_cache_let_go(cache, entity);
        } else if (entity->state == NULL) {
            alv_cache_remove(cache, entity);
        }
    }
    overlay_reset(overlay);
}

void alv_overlay_drop(alv_overlay *overlay, alv_cache *cache)
{
    for (size_t i = 0; i < overlay->count; i++) {
        overlay_clean(overlay->items[i].entity);
        if (!ALV_PLANTED(KEEP_ABORTED)) {
            alv_cache_remove(cache, overlay->items[i].entity);
        }
    }
    overlay_reset(overlay);
}

void alv_overlay_done(alv_overlay *overlay)
{
    ALV_ASSERT(overlay->count == 0);
    alv_free(overlay->items);
    alv_free(overlay->writes);
    alv_free(overlay->places);
    alv_bytes_done(&overlay->encoded);
    alv_bytes_done(&overlay->stale);
    alv_overlay_init(overlay);
}
