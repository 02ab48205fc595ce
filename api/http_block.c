#include "api/http_block.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct alv_http_block {
    atomic_int references;
    atomic_size_t *total;
    size_t size;
    char text[];
};

alv_http_block *alv_http_block_new(alv_view text, atomic_size_t *total)
{
    alv_http_block *block = alv_alloc(sizeof *block + text.size);
    atomic_store(&block->references, 1);
    block->total = total;
    block->size = text.size;
    if (text.size > 0) {
        memcpy(block->text, text.data, text.size);
    }
    if (total != NULL) {
        atomic_fetch_add(total, text.size);
    }
    return block;
}

alv_http_block *alv_http_block_ref(alv_http_block *block)
{
    int before = atomic_fetch_add(&block->references, 1);
    ALV_ASSERT(before > 0);
    return block;
}

void alv_http_block_unref(alv_http_block *block)
{
    if (block == NULL || atomic_fetch_sub(&block->references, 1) > 1) {
        return;
    }
    if (block->total != NULL) {
        atomic_fetch_sub(block->total, block->size);
    }
    alv_free(block);
}

alv_view alv_http_block_text(const alv_http_block *block)
{
    return (alv_view){block->text, block->size};
}
