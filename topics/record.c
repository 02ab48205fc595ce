/* record.c — the batch: an array of records that is used again and again. */
#include "topics/record.h"

#include "base/alloc.h"
#include "base/assert.h"

void alv_batch_init(alv_batch *batch, size_t capacity)
{
    ALV_ASSERT(capacity > 0);
    *batch = (alv_batch){
        .records = alv_alloc_array(capacity, sizeof(alv_record)),
        .capacity = capacity,
    };
}

void alv_batch_clear(alv_batch *batch)
{
    if (batch->clear != NULL) {
        batch->clear(batch);
    }
    batch->clear = NULL;
    batch->handles = NULL;
    batch->count = 0;
}

void alv_batch_done(alv_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    alv_batch_clear(batch);
    alv_free(batch->records);
    *batch = (alv_batch){0};
}
