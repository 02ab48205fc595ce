/* durable_store.h — where checkpoints go: PostgreSQL, seen from the checkpointer.
 *
 * Why:    rows and the position they belong to are one transaction, and every statement is guarded
 *         by offset, so that a late or stale writer changes nothing (I5).
 * Thread: the checkpointer only; calls block while PostgreSQL works.
 * Owns:   the handle belongs to the checkpointer.
 * Fails:  ALV_RETRY: not reachable, a passing failure, or one that an operator can mend while the
 *         node runs (no permission, no such database); nothing was written unless the answer to the
 *         commit was lost, which the next write finds out (ALV_FENCED);
 *         ALV_FENCED: another position is stored than the writer believes, read it again;
 *         ALV_FATAL: postgres.url cannot be used at all; only another one helps.
 *         `err` says what to do and never holds a password.
 *
 * The tables are part of the contract with whoever reads them (design, section 5):
 *   entities(application text, key text, type text, shard int, state jsonb,
 *            changelog_offset bigint, updated_at timestamptz, primary key (application, key))
 *   positions(application text, shard int, changelog_offset bigint, updated_at timestamptz,
 *             primary key (application, shard))
 *
 * What PostgreSQL will never take must not stop a shard (I8). jsonb refuses the escape \u0000,
 * numbers and depths beyond its own limits, and what is not JSON at all; text refuses what is not
 * UTF-8. Such a state is stored as NULL: the row keeps its place, offset and time (I5), and says by
 * itself that the value is only in the changelog. When not even that row can be stored (the key
 * itself is refused) it is skipped. Both are told to the writer, row by row.
 *
 * Offsets are compared only with offsets of the same shard: a key always lives in one shard, and
 * the number of shards of an application never changes (design, section 10: a new application id).
 */
#ifndef ALV_CHANGELOG_DURABLE_STORE_H
#define ALV_CHANGELOG_DURABLE_STORE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/config.h"
#include "base/status.h"

typedef struct alv_durable_store alv_durable_store;

/* What became of a row; an answer of write. */
typedef enum alv_row_outcome {
    ALV_ROW_STORED,        /* written, or what is stored is as new already */
    ALV_ROW_WITHOUT_STATE, /* state refused: stored as NULL */
    ALV_ROW_SKIPPED,       /* refused altogether */
} alv_row_outcome;

/* The last change of an entity. Borrowed views. */
typedef struct alv_checkpoint_row {
    alv_view key;
    alv_view type;
    alv_view state; /* JSON; data NULL = the entity was deleted: the row goes */
    int32_t shard;
    int64_t changelog_offset;
    int64_t updated_at_ms;   /* time of the changelog record */
    alv_row_outcome outcome; /* out, with ALV_OK */
} alv_checkpoint_row;

/* Up to where a shard is checkpointed: exclusive end. `expected` is what the writer believes is
 * stored; another value there means another writer, and nothing is written (ALV_FENCED). */
typedef struct alv_checkpoint_position {
    int32_t shard;
    int64_t expected;
    int64_t changelog_offset;
    bool fenced; /* out, with ALV_FENCED: this is one of those that differ */
} alv_checkpoint_position;

typedef struct alv_durable_store_ops {
    /* The stored position of a shard, 0 when there is none yet. Connects and makes the tables when
     * needed. */
    alv_status (*position)(alv_durable_store *store, int32_t shard, int64_t *out, alv_error *err);

    /* Writes rows (keys distinct, any order; at most ALV_CHECKPOINT_ROWS_MAX) and positions in
     * one transaction. Fills `outcome` of each row; with ALV_OK and refused rows `err` says why
     * the first of them was. Blocks while PostgreSQL works, but not for ever. */
    alv_status (*write)(alv_durable_store *store, alv_checkpoint_row *rows, size_t row_count,
                        alv_checkpoint_position *positions, size_t position_count, alv_error *err);

    void (*close)(alv_durable_store *store);
} alv_durable_store_ops;

struct alv_durable_store {
    const alv_durable_store_ops *ops;
};

/* Prepares a store over postgres.url (required); reads `settings` only now. Connects at the
 * first call, reconnects by itself afterwards. */
alv_durable_store *alv_durable_postgres_new(const alv_settings *settings);

/* Version of libpq, "15.8". Static. */
const char *alv_durable_postgres_version(void);

#endif
