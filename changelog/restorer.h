/* restorer.h — one shard's way to the end of its changelog: what there is to read, and applying it.
 *
 * Why:    the rules that keep a restore safe, apart from the thread that runs many of them
 *         (replicator.h). The order of the steps is what matters (I2, I3):
 *           1. the group's committed offset, stable: it waits for a former owner's transaction to end.
 *              From here on nobody else can commit for this shard: the generation has moved on.
 *           2. the high watermark of changelog and ledger, asked after 1, so that it lies behind
 *              everything the offset of 1 stands for. Not the last stable offset: a transaction whose
 *              commit is decided may not have its marker in the changelog yet (KAFKA-10167).
 *           3. reading on from the store's own position (I6: local state is never thrown away while
 *              valid) until the read_committed position has reached 2.
 *           4. the shard goes on at the larger of 1 and the ledger's position record (I11).
 * Thread: the one that owns the shard's store at the time; the reader's owner.
 * Owns:   nothing.
 */
#ifndef ALV_CHANGELOG_RESTORER_H
#define ALV_CHANGELOG_RESTORER_H

#include "base/config.h"
#include "statestore/store.h"
#include "topics/log_port.h"

/* What the log holds of a shard: ranges are first offset and exclusive end. */
typedef struct alv_survey {
    int64_t committed; /* ALV_OFFSET_NONE: the group has none */
    int64_t commands_start, commands_end;
    int64_t changelog_start, changelog_end;
    int64_t ledger_start, ledger_end;
} alv_survey;

/* Steps 1 and 2, for a shard that is to be executed here. ALV_RETRY. Blocks: up to half a second for 1,
 * up to ALV_KAFKA_CALL_MS for 2. */
alv_status alv_restorer_survey(alv_reader *reader, int32_t shard, alv_survey *out, alv_error *err);

/* Step 2 alone, for a replica that follows another node's shard: `committed` is not asked for. */
alv_status alv_restorer_survey_replica(alv_reader *reader, int32_t shard, alv_survey *out,
                                       alv_error *err);

typedef struct alv_restore {
    int32_t shard;
    alv_position position;  /* of the store; `commands` is where the shard must go on (I11) */
    bool first_start;       /* neither group nor ledger know the shard: nothing was ever consumed */
    int64_t commands_start; /* the command topic's first offset of the shard, */
    int64_t commands_end;   /* and its end */
    int64_t changelog_target;
    int64_t ledger_target;
    int64_t records;        /* applied so far */
    int64_t records_target; /* there were at the begin; an upper bound: logs have gaps */
    int64_t bytes;          /* keys and values of `records` */
    int64_t
        changelog_end; /* the last high watermark seen; its distance to the position is the lag */
    bool bulk;         /* the store is being loaded in bulk */
} alv_restore;

/* Makes the shard's section of the store if there is none and decides where to read on; data that
 * cannot be continued is wiped, which is logged. ALV_RETRY: disk full or the like; ALV_FATAL: the store
 * is ahead of the log, a person must decide. */
alv_status alv_restorer_plan(alv_store *store, const alv_settings *settings, int32_t shard,
                             const alv_survey *survey, int64_t now_ms, alv_restore *out,
                             alv_error *err);

/* A replica that has been following is to be executed here: it reads on from where it is, up to the
 * survey's end. ALV_FATAL as for plan. */
alv_status alv_restorer_promote(alv_restore *restore, const alv_survey *survey, alv_error *err);

/* From here on apply goes through the store's bulk path, and reads of the store lag behind `position`.
 * ALV_RETRY as apply. At most ALV_STORE_BULK_SHARDS_MAX at once. */
alv_status alv_restorer_bulk_begin(alv_restore *restore, alv_store *store, alv_error *err);

/* All that was applied is to be in the store. *out_done says whether it is; until then nothing is to be
 * applied, and this is to be called again. After a failure `restore` must be planned again. */
alv_status alv_restorer_bulk_end(alv_restore *restore, alv_store *store, bool *out_done,
                                 alv_error *err);

/* Gives up what is not in the store yet; `restore` must be planned again. Nothing to do when it is not
 * loaded in bulk. Any thread that may write the shard. */
void alv_restorer_bulk_drop(alv_restore *restore, alv_store *store);

/* Records of changelog or ledger that one apply takes at most. */
#define ALV_RESTORE_RECORDS_MAX 1000

/* Applies records of the shard (changelog and ledger, in their order) in one write with the position
 * behind them, or hands them to the bulk load. After a failure `restore` must be planned again. ALV_RETRY, ALV_REJECT (corrupt store),
 * ALV_FATAL (the ledger holds something that is not ours; RocksDB writes no more). */
alv_status alv_restorer_apply(alv_restore *restore, alv_store *store, const alv_record *records,
                              size_t count, int64_t now_ms, alv_error *err);

/* The reader has come this far, control records included. */
void alv_restorer_advance(alv_restore *restore, int64_t changelog, int64_t ledger);

/* The high watermark of the changelog, as somebody heard of it (ALV_OFFSET_NONE: not at all). */
void alv_restorer_note_end(alv_restore *restore, int64_t changelog_end);

/* Whether everything that was there at the begin has been applied. */
bool alv_restorer_is_complete(const alv_restore *restore);

/* How much of it has been applied, in thousandths; 1000 when there was nothing to do. */
int64_t alv_restorer_share(const alv_restore *restore);

/* Records between the position and the last known end of the changelog. */
int64_t alv_restorer_lag(const alv_restore *restore);

/* Stores the position once more: control records moved it past the last data. Not while a bulk load is
 * under way. */
alv_status alv_restorer_finish(alv_restore *restore, alv_store *store, int64_t now_ms,
                               alv_error *err);

#endif
