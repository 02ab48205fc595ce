#include "statestore/overlay.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "statestore/codec.h"

/* An idle shard keeps no more than this of a large transaction's memory. */
#define OVERLAY_KEEP_BYTES (1024 * 1024)

void alv_overlay_init(alv_overlay *overlay)
{
    *overlay = (alv_overlay){.encoded = ALV_BYTES_EMPTY};
}

void alv_overlay_note(alv_overlay *overlay, alv_entity *entity)
{
    if (entity->dirty) {
        return;
    }
    if (overlay->count == overlay->capacity) {
        overlay->capacity = overlay->capacity == 0 ? 64 : overlay->capacity * 2;
        overlay->entities =
            alv_realloc(overlay->entities, overlay->capacity * sizeof *overlay->entities);
        overlay->writes = alv_realloc(overlay->writes, overlay->capacity * sizeof *overlay->writes);
    }
    overlay->entities[overlay->count++] = entity;
    entity->dirty = true;
}

/* `writes` gets sizes first and pointers afterwards: the buffer moves while it grows. */
alv_status alv_overlay_encode(alv_overlay *overlay, alv_error *err)
{
    alv_bytes_clear(&overlay->encoded);
    for (size_t i = 0; i < overlay->count; i++) {
        const alv_entity *entity = overlay->entities[i];
        ALV_ASSERT(entity->dirty);
        size_t begin = overlay->encoded.size;
        if (entity->state != NULL) {
            alv_codec_encode(entity->state, &overlay->encoded);
        }
        size_t size = overlay->encoded.size - begin;
        if (size > ALV_STATE_BYTES_MAX) {
            return alv_fail(err, ALV_REJECT, "state of %s has %zu bytes, at most %d are allowed",
                            entity->key, size, ALV_STATE_BYTES_MAX);
        }
        overlay->writes[i] = (alv_store_write){
            .kind = ALV_STORE_STATE, .key = {entity->key, entity->key_size}, .value = {NULL, size}};
    }
    const char *data = overlay->encoded.data;
    for (size_t i = 0; i < overlay->count; i++) {
        if (overlay->entities[i]->state != NULL) {
            overlay->writes[i].value.data = data;
            data += overlay->writes[i].value.size;
        }
    }
    return ALV_OK;
}

/* Empty again, without holding on to the memory of an unusually large transaction. */
static void overlay_reset(alv_overlay *overlay)
{
    overlay->count = 0;
    alv_bytes_clear(&overlay->encoded);
    if (overlay->encoded.capacity > OVERLAY_KEEP_BYTES) {
        alv_bytes_done(&overlay->encoded);
    }
}

void alv_overlay_finish(alv_overlay *overlay, alv_cache *cache)
{
    for (size_t i = 0; i < overlay->count; i++) {
        alv_entity *entity = overlay->entities[i];
        entity->dirty = false;
        if (entity->state == NULL) {
            alv_cache_remove(cache, entity);
        } else {
            alv_cache_set_cost(cache, entity, alv_codec_memory(overlay->writes[i].value.size));
        }
    }
    overlay_reset(overlay);
}

void alv_overlay_drop(alv_overlay *overlay, alv_cache *cache)
{
    for (size_t i = 0; i < overlay->count; i++) {
        overlay->entities[i]->dirty = false;
        alv_cache_remove(cache, overlay->entities[i]);
    }
    overlay_reset(overlay);
}

void alv_overlay_done(alv_overlay *overlay)
{
    ALV_ASSERT(overlay->count == 0);
    alv_free(overlay->entities);
    alv_free(overlay->writes);
    alv_bytes_done(&overlay->encoded);
    alv_overlay_init(overlay);
}
