#include "changelog/restorer.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/logger.h"
#include "base/plant.h"
#include "statestore/ledger.h"
#include "topics/schema.h"

/* How long one wait for a stable offset may hold up the other restores. */
#define RESTORER_COMMITTED_TIMEOUT_MS 500

static int64_t restorer_max(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

/* ---- steps 1 and 2 --------------------------------------------------------------------------------- */

alv_status alv_restorer_survey(alv_reader *reader, int32_t shard, alv_survey *out, alv_error *err)
{
    alv_shard_offset committed = {.shard = shard, .offset = ALV_OFFSET_NONE};
    alv_status status =
        reader->ops->committed(reader, &committed, 1, RESTORER_COMMITTED_TIMEOUT_MS, err);
    if (status == ALV_OK) {
        status = alv_restorer_survey_replica(reader, shard, out, err);
    }
    out->committed = committed.offset;
    return status;
}

alv_status alv_restorer_survey_replica(alv_reader *reader, int32_t shard, alv_survey *out,
                                       alv_error *err)
{
    const alv_reader_ops *ops = reader->ops;
    out->committed = ALV_OFFSET_NONE;
    alv_status status = ops->range(reader, ALV_TOPIC_CHANGELOG, shard, &out->changelog_start,
                                   &out->changelog_end, err);
    alv_shard_offset stable = {.shard = shard};
    if (status == ALV_OK && ALV_PLANTED(SHORT_RESTORE) &&
        ops->ends(reader, ALV_TOPIC_CHANGELOG, &stable, 1, 0, err) == ALV_OK) {
        out->changelog_end = stable.offset;
    }
    if (status == ALV_OK) {
        status =
            ops->range(reader, ALV_TOPIC_LEDGER, shard, &out->ledger_start, &out->ledger_end, err);
    }
    if (status == ALV_OK) {
        status = ops->range(reader, ALV_TOPIC_COMMANDS, shard, &out->commands_start,
                            &out->commands_end, err);
    }
    return status;
}

/* ---- where to read on ------------------------------------------------------------------------------ */

/* Whether what the store holds can be continued from the changelog; if not, `why` says it. Tombstones
 * are kept for tombstone.retention.ms after compaction: a store that is older may miss deletions. */
static bool restorer_can_continue(const alv_position *position, const alv_settings *settings,
                                  const alv_survey *survey, int64_t now_ms, const char **why)
{
    if (position->changelog == 0 && position->ledger == 0) {
        return true;
    }
    if (ALV_PLANTED(ALWAYS_WIPE) || position->changelog < survey->changelog_start ||
        position->ledger < survey->ledger_start) {
        *why = "the changelog no longer reaches back to it";
        return false;
    }
    bool behind = position->changelog < survey->changelog_end;
    if (behind && now_ms - position->at_ms > settings->tombstone_retention_ms) {
        *why = "it is older than tombstone.retention.ms";
        return false;
    }
    return true;
}

static alv_status restorer_open(alv_store *store, const alv_settings *settings, int32_t shard,
                                const alv_survey *survey, int64_t now_ms, alv_position *out,
                                alv_error *err)
{
    const char *why = "its data cannot be trusted";
    alv_error problem = ALV_ERROR_NONE;
    alv_status status = store->ops->open_shard(store, shard, out, &problem);
    if (status == ALV_OK && restorer_can_continue(out, settings, survey, now_ms, &why)) {
        return ALV_OK;
    }
    if (status != ALV_OK && status != ALV_REJECT) {
        return alv_fail_from(err, status, problem.source, problem.code, "%s", problem.text);
    }
    alv_log_error(ALV_LOG_WARN, "shard-wiped", &problem,
                  "shard=%" PRId32 " why=\"%s\" msg=\"restoring all of it\"", shard, why);
    *out = ALV_POSITION_START;
    return store->ops->wipe_shard(store, shard, err);
}

/* The log ends before the store does: it was deleted, recreated or truncated. Nothing here can tell
 * which of the two is right. */
static alv_status restorer_refuse_ahead(int32_t shard, const alv_position *position,
                                        const alv_survey *survey, alv_error *err)
{
    return alv_fail(err, ALV_FATAL,
                    "local state of shard %" PRId32 " is ahead of the log (changelog %" PRId64
                    " of %" PRId64 ", ledger %" PRId64 " of %" PRId64
                    "): topics were recreated or lost records; restore the topics, or delete "
                    "state.dir to take what they hold now",
                    shard, position->changelog, survey->changelog_end, position->ledger,
                    survey->ledger_end);
}

alv_status alv_restorer_plan(alv_store *store, const alv_settings *settings, int32_t shard,
                             const alv_survey *survey, int64_t now_ms, alv_restore *out,
                             alv_error *err)
{
    alv_position position = ALV_POSITION_START;
    alv_status status = restorer_open(store, settings, shard, survey, now_ms, &position, err);
    if (status != ALV_OK) {
        return status;
    }
    position.changelog = restorer_max(position.changelog, survey->changelog_start);
    position.ledger = restorer_max(position.ledger, survey->ledger_start);
    *out = (alv_restore){.shard = shard, .position = position};
    return alv_restorer_promote(out, survey, err);
}

alv_status alv_restorer_promote(alv_restore *restore, const alv_survey *survey, alv_error *err)
{
    alv_position *position = &restore->position;
    if (position->changelog > survey->changelog_end || position->ledger > survey->ledger_end) {
        return restorer_refuse_ahead(restore->shard, position, survey, err);
    }
    restore->first_start = survey->committed == ALV_OFFSET_NONE && position->commands == 0;
    restore->commands_start = survey->commands_start;
    restore->commands_end = survey->commands_end;
    restore->changelog_target = survey->changelog_end;
    restore->ledger_target = survey->ledger_end;
    restore->changelog_end = survey->changelog_end;
    restore->records = 0;
    restore->bytes = 0;
    restore->records_target =
        survey->changelog_end - position->changelog + survey->ledger_end - position->ledger;
    position->commands = restorer_max(position->commands, survey->committed);
    return ALV_OK;
}

/* ---- in bulk ------------------------------------------------------------------------------------- */

alv_status alv_restorer_bulk_begin(alv_restore *restore, alv_store *store, alv_error *err)
{
    ALV_ASSERT(!restore->bulk);
    alv_status status = store->ops->bulk_begin(store, restore->shard, err);
    restore->bulk = status == ALV_OK;
    return status;
}

alv_status alv_restorer_bulk_end(alv_restore *restore, alv_store *store, bool *out_done,
                                 alv_error *err)
{
    ALV_ASSERT(restore->bulk);
    *out_done = false;
    alv_status status = store->ops->bulk_end(store, restore->shard, true, out_done, err);
    restore->bulk = status == ALV_OK && !*out_done;
    return status;
}

void alv_restorer_bulk_drop(alv_restore *restore, alv_store *store)
{
    bool done = false;
    if (restore->bulk) {
        (void)store->ops->bulk_end(store, restore->shard, false, &done, NULL); /* cannot fail */
        ALV_ASSERT(done);
        restore->bulk = false;
    }
}

/* ---- step 3 ---------------------------------------------------------------------------------------- */

/* The ledger's position record carries the consumed offset (I11); it is not an entry itself. */
static bool restorer_is_position(const alv_record *record)
{
    return record->topic == ALV_TOPIC_LEDGER &&
           alv_view_equal(record->key, ALV_VIEW(ALV_POSITION_KEY));
}

static alv_status restorer_take_position(alv_restore *restore, const alv_record *record,
                                         alv_error *err)
{
    int64_t commands = 0;
    int64_t at_ms = 0;
    if (record->value.data == NULL) {
        return ALV_OK;
    }
    if (alv_schema_read_position(record->value, &commands, &at_ms, NULL) != ALV_OK) {
        /* Going on without it could run old commands again. */
        return alv_fail(err, ALV_FATAL,
                        "the ledger of shard %" PRId32 " holds an unreadable position record at "
                        "offset %" PRId64 ": something else writes to this topic",
                        record->shard, record->offset);
    }
    if (!ALV_PLANTED(IGNORE_LEDGER)) {
        restore->position.commands = restorer_max(restore->position.commands, commands);
    }
    restore->first_start = false;
    return ALV_OK;
}

static void restorer_pass(alv_position *position, const alv_record *record)
{
    bool is_changelog = record->topic == ALV_TOPIC_CHANGELOG;
    ALV_ASSERT(is_changelog || record->topic == ALV_TOPIC_LEDGER);
    int64_t *offset = is_changelog ? &position->changelog : &position->ledger;
    ALV_ASSERT(record->offset >= *offset);
    *offset = record->offset + 1;
}

/* Room for what a batch of records becomes: each at most one write, an index entry that goes and one that
 * comes. */
typedef struct restorer_writes {
    alv_store_write items[3 * ALV_RESTORE_RECORDS_MAX];
    size_t count;
    alv_bytes index_keys; /* keys of index entries, back to back, */
    alv_bytes former;     /* scratch */
} restorer_writes;

/* An entry of the index of timers; `keys` moves while it grows, so the pointer is set at the end. */
static void restorer_add_index(restorer_writes *writes, int64_t due_ms, alv_view entity_key,
                               bool put)
{
    size_t begin = writes->index_keys.size;
    alv_store_timer_key(due_ms, entity_key, &writes->index_keys);
    writes->items[writes->count++] =
        (alv_store_write){.kind = ALV_STORE_TIMER,
                          .key = {NULL, writes->index_keys.size - begin},
                          .value = put ? ALV_VIEW("") : ALV_VIEW_NONE};
}

/* Where the index has the entity so far. A bulk load does not ask: the store is behind then, and a read per
 * record would cost more than all the rest. */
static alv_status restorer_due_before(const alv_restore *restore, alv_store *store,
                                      const alv_record *record, restorer_writes *writes,
                                      int64_t *out_due_ms, alv_error *err)
{
    bool found = false;
    alv_status status = ALV_OK;
    if (!restore->bulk) {
        status = store->ops->get(store, record->shard, ALV_STORE_LEDGER, record->key, &found,
                                 &writes->former, err);
    }
    *out_due_ms = found ? alv_ledger_peek_due(alv_bytes_view(&writes->former)) : ALV_DUE_NEVER;
    return status;
}

/* The index follows the ledger. An entry that is left over does no harm (it is a hint), so a record that comes
 * twice within a batch, or during a bulk load, need not be thought of. */
static alv_status restorer_index(const alv_restore *restore, alv_store *store,
                                 const alv_record *record, restorer_writes *writes, alv_error *err)
{
    int64_t before_ms = ALV_DUE_NEVER;
    alv_status status = restorer_due_before(restore, store, record, writes, &before_ms, err);
    if (status != ALV_OK) {
        return status;
    }
    int64_t due_ms = alv_ledger_peek_due(record->value);
    if (before_ms != due_ms && before_ms != ALV_DUE_NEVER) {
        restorer_add_index(writes, before_ms, record->key, false);
    }
    if (due_ms != ALV_DUE_NEVER && !ALV_PLANTED(NO_INDEX)) {
        restorer_add_index(writes, due_ms, record->key, true);
    }
    return ALV_OK;
}

static alv_status restorer_take(alv_restore *restore, alv_store *store, const alv_record *record,
                                restorer_writes *writes, alv_error *err)
{
    ALV_ASSERT(record->shard == restore->shard);
    restorer_pass(&restore->position, record);
    restore->bytes += (int64_t)(record->key.size + record->value.size);
    if (restorer_is_position(record)) {
        return restorer_take_position(restore, record, err);
    }
    if (record->key.data == NULL) {
        return ALV_OK;
    }
    bool is_changelog = record->topic == ALV_TOPIC_CHANGELOG;
    writes->items[writes->count++] =
        (alv_store_write){.kind = is_changelog ? ALV_STORE_STATE : ALV_STORE_LEDGER,
                          .key = record->key,
                          .value = record->value};
    return is_changelog ? ALV_OK : restorer_index(restore, store, record, writes, err);
}

static void restorer_place_index(restorer_writes *writes)
{
    const char *at = writes->index_keys.data;
    for (size_t i = 0; i < writes->count; i++) {
        if (writes->items[i].kind == ALV_STORE_TIMER) {
            writes->items[i].key.data = at;
            at += writes->items[i].key.size;
        }
    }
}

static alv_status restorer_write(alv_restore *restore, alv_store *store,
                                 const alv_store_write *writes, size_t count, alv_error *err)
{
    const alv_position *position = &restore->position;
    if (!restore->bulk) {
        return store->ops->apply(store, restore->shard, writes, count, position, err);
    }
    alv_status status = store->ops->bulk_apply(store, restore->shard, writes, count, position, err);
    restore->bulk = status == ALV_OK; /* a load that failed is over */
    return status;
}

alv_status alv_restorer_apply(alv_restore *restore, alv_store *store, const alv_record *records,
                              size_t count, int64_t now_ms, alv_error *err)
{
    restorer_writes writes;
    writes.count = 0;
    writes.index_keys = writes.former = ALV_BYTES_EMPTY;
    ALV_ASSERT(count <= ALV_RESTORE_RECORDS_MAX);
    alv_status status = ALV_OK;
    for (size_t i = 0; status == ALV_OK && i < count; i++) {
        status = restorer_take(restore, store, &records[i], &writes, err);
    }
    if (status == ALV_OK) {
        restorer_place_index(&writes);
        restore->records += (int64_t)count;
        restore->position.at_ms = now_ms;
        status = restorer_write(restore, store, writes.items, writes.count, err);
        alv_fault_reach(ALV_FAULT_IN_RESTORE);
    }
    alv_bytes_done(&writes.index_keys);
    alv_bytes_done(&writes.former);
    return status;
}

void alv_restorer_advance(alv_restore *restore, int64_t changelog, int64_t ledger)
{
    restore->position.changelog = restorer_max(restore->position.changelog, changelog);
    restore->position.ledger = restorer_max(restore->position.ledger, ledger);
}

void alv_restorer_note_end(alv_restore *restore, int64_t changelog_end)
{
    restore->changelog_end = restorer_max(restore->changelog_end, changelog_end);
}

int64_t alv_restorer_share(const alv_restore *restore)
{
    if (restore->records >= restore->records_target || alv_restorer_is_complete(restore)) {
        return 1000;
    }
    return restore->records * 1000 / restore->records_target;
}

int64_t alv_restorer_lag(const alv_restore *restore)
{
    return restorer_max(restore->changelog_end - restore->position.changelog, 0);
}

bool alv_restorer_is_complete(const alv_restore *restore)
{
    return restore->position.changelog >= restore->changelog_target &&
           restore->position.ledger >= restore->ledger_target;
}

alv_status alv_restorer_finish(alv_restore *restore, alv_store *store, int64_t now_ms,
                               alv_error *err)
{
    ALV_ASSERT(alv_restorer_is_complete(restore));
    ALV_ASSERT(!restore->bulk);
    restore->position.at_ms = now_ms;
    return store->ops->apply(store, restore->shard, NULL, 0, &restore->position, err);
}
