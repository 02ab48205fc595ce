/* http_block.h — text that goes to many clients and is kept once.
 *
 * Why:    an event has a thousand watchers; each stream holds a reference instead of a copy.
 * Thread: any.
 * Owns:   its text, until the last reference is given back.
 * Limits: `total` counts the bytes of all blocks that were made with it and still live.
 */
#ifndef ALV_API_HTTP_BLOCK_H
#define ALV_API_HTTP_BLOCK_H

#include <stdatomic.h>

#include "base/bytes.h"

typedef struct alv_http_block alv_http_block;

/* A copy of `text`, with one reference. `total` (may be NULL) must outlive the block. */
alv_http_block *alv_http_block_new(alv_view text, atomic_size_t *total);

alv_http_block *alv_http_block_ref(alv_http_block *block);

/* NULL is fine. */
void alv_http_block_unref(alv_http_block *block);

/* Valid as long as a reference is held. */
alv_view alv_http_block_text(const alv_http_block *block);

#endif
