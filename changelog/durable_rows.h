/* durable_rows.h — what the operator's tools ask of PostgreSQL: verify reads the rows, rebuild makes them
 * belong to a new changelog.
 *
 * Why:    the checkpointer needs three calls (durable_store.h), and the less a thread that runs day and
 *         night can do, the better. These are for a person who waits, while no node runs (but for scan
 *         and survey, which change nothing).
 * Thread: one; calls block while PostgreSQL works.
 * Owns:   the store is from alv_durable_postgres_new.
 * Fails:  as durable_store.h says.
 */
#ifndef ALV_CHANGELOG_DURABLE_ROWS_H
#define ALV_CHANGELOG_DURABLE_ROWS_H

#include "changelog/durable_store.h"

/* What there is of a shard. */
typedef struct alv_durable_shard {
    int32_t shard;
    int64_t rows;
    int64_t rows_without_state; /* of those: the state is only in the changelog */
    int64_t position;           /* of the checkpoint; 0 when none is stored */
} alv_durable_shard;

/* All shards of the application that have rows or a position, in their order, as of one moment. *out is
 * freed with alv_free. */
alv_status alv_durable_rows_survey(alv_durable_store *store, alv_durable_shard **out,
                                   size_t *out_count, alv_error *err);

/* Called for each row; `state` without data: PostgreSQL has none. Valid during the call. False ends the
 * scan. */
typedef bool (*alv_durable_visit)(void *payload, const alv_checkpoint_row *row);

/* Visits the rows of a shard, in no order, and tells the position that belongs to them: both as of one
 * moment. */
alv_status alv_durable_rows_scan(alv_durable_store *store, int32_t shard, alv_durable_visit visit,
                                 void *payload, int64_t *out_position, alv_error *err);

/* A row's place in a new changelog. Borrowed view. */
typedef struct alv_durable_place {
    alv_view key;
    int64_t changelog_offset;
} alv_durable_place;

/* Gives the rows of a shard their places in a new changelog, deletes its rows that have no state, and
 * moves its position from `expected` to `position`: all of it or nothing. ALV_FENCED: another position is
 * stored, so the rows may have changed as well. */
alv_status alv_durable_rows_renumber(alv_durable_store *store, int32_t shard, int64_t expected,
                                     const alv_durable_place *places, size_t count,
                                     int64_t position, alv_error *err);

/* Deletes all rows and positions of the application. */
alv_status alv_durable_rows_clear(alv_durable_store *store, alv_error *err);

#endif
