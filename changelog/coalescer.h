/* coalescer.h — the last change of each entity since the last checkpoint.
 *
 * Why:    an entity that changed a hundred times between two checkpoints is one row, and a
 *         statement of PostgreSQL must not meet the same key twice.
 * Thread: one at a time (the checkpointer).
 * Owns:   copies of what is put into it.
 * Limits: none of its own: the owner looks at count and bytes before it puts more.
 */
#ifndef ALV_CHANGELOG_COALESCER_H
#define ALV_CHANGELOG_COALESCER_H

#include "changelog/durable_store.h"

typedef struct alv_coalescer alv_coalescer;

alv_coalescer *alv_coalescer_new(void);

/* Copies a row (its `type` is borrowed for as long as it is inside, unless it is a part of the
 * key). A row of the same key is replaced when it is older. */
void alv_coalescer_put(alv_coalescer *coalescer, const alv_checkpoint_row *row);

/* All rows, in no order; valid until the next put, drop or clear. */
alv_checkpoint_row *alv_coalescer_rows(alv_coalescer *coalescer);

size_t alv_coalescer_count(const alv_coalescer *coalescer);

/* Memory held by the rows. */
size_t alv_coalescer_bytes(const alv_coalescer *coalescer);

/* Forgets the rows of one shard. */
void alv_coalescer_drop(alv_coalescer *coalescer, int32_t shard);

void alv_coalescer_clear(alv_coalescer *coalescer);

/* NULL is fine. */
void alv_coalescer_free(alv_coalescer *coalescer);

#endif
