#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/logger.h"
#include "changelog/checkpointer_internal.h"

/* Positions asked for in one turn, so that a node that just started with many shards still reads
 * and writes those that are known. */
#define CHECKPOINTER_LOCATE_MAX 64

/* An operator may mend what a STUCK shard suffers from while we run. */
#define CHECKPOINTER_LOOK_AGAIN_MS 60000

#define CHECKPOINTER_SAY_REFUSED_EVERY_MS 10000

/* ---- follow and unfollow --------------------------------------------------------------------- */

/* Records of the shard that were polled and not taken yet are no longer valid. */
static void checkpointer_unassign(alv_checkpointer *checkpointer, int32_t shard)
{
    checkpointer->reader->ops->unassign(checkpointer->reader, ALV_TOPIC_CHANGELOG, shard);
    for (size_t i = checkpointer->batch_next; i < checkpointer->batch.count; i++) {
        if (checkpointer->batch.records[i].shard == shard) {
            checkpointer->batch.records[i].shard = -1;
        }
    }
}

void alv_checkpointer_drop(alv_checkpointer *checkpointer, int32_t shard)
{
    checkpointer_state state = checkpointer->shards[shard].state;
    if (state == CHECKPOINTER_READING) {
        checkpointer_unassign(checkpointer, shard);
    }
    if (state == CHECKPOINTER_READING || state == CHECKPOINTER_LEAVING) {
        alv_coalescer_drop(checkpointer->held, shard);
    }
}

/* Also for a shard that was followed before: it went and came back, and meanwhile somebody else may
 * have written it. */
static void checkpointer_begin_shard(alv_checkpointer *checkpointer, int32_t shard)
{
    alv_checkpointer_drop(checkpointer, shard);
    alv_checkpointer_set_state(checkpointer, shard, CHECKPOINTER_LOCATING);
}

/* What was read is written at once, so that the next owner most likely finds it there. */
static void checkpointer_end_shard(alv_checkpointer *checkpointer, int32_t shard)
{
    checkpointer_shard *it = &checkpointer->shards[shard];
    if (it->state == CHECKPOINTER_OFF || it->state == CHECKPOINTER_LEAVING) {
        return;
    }
    if (it->state != CHECKPOINTER_READING || it->read <= atomic_load(&it->position)) {
        alv_checkpointer_drop(checkpointer, shard);
        alv_checkpointer_set_state(checkpointer, shard, CHECKPOINTER_OFF);
        return;
    }
    checkpointer_unassign(checkpointer, shard);
    alv_checkpointer_set_state(checkpointer, shard, CHECKPOINTER_LEAVING);
    checkpointer->hurry = true;
}

void alv_checkpointer_take_changes(alv_checkpointer *checkpointer)
{
    uint64_t changes = atomic_load(&checkpointer->changes);
    if (changes == checkpointer->changes_seen || checkpointer->given_up) {
        return;
    }
    checkpointer->changes_seen = changes;
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        checkpointer_shard *it = &checkpointer->shards[i];
        uint64_t wanted = atomic_load(&it->wanted);
        if (wanted == it->seen) {
            continue;
        }
        it->seen = wanted;
        if (wanted % 2 == 1) {
            checkpointer_begin_shard(checkpointer, i);
        } else if (!atomic_load(&checkpointer->keeping)) {
            checkpointer_end_shard(checkpointer, i);
        }
    }
}

/* ---- where to begin -------------------------------------------------------------------------- */

/* Notes how a call of the log ended; each trouble is said once. */
static void checkpointer_note_log(alv_checkpointer *checkpointer, alv_status status,
                                  const alv_error *err)
{
    if (status == ALV_OK) {
        alv_backoff_succeeded(&checkpointer->log_backoff);
        checkpointer->log_trouble = false;
        return;
    }
    alv_backoff_failed(&checkpointer->log_backoff, alv_checkpointer_now_ms(checkpointer));
    if (!checkpointer->log_trouble) {
        alv_log_error(ALV_LOG_WARN, "changelog-away", err, "topic=changelog");
    }
    checkpointer->log_trouble = true;
}

/* A changelog that ends before our position was deleted and made anew. Its offsets say nothing
 * about the age of what is stored, so newer rows would stay and older ones come beside them. */
static void checkpointer_stick(alv_checkpointer *checkpointer, int32_t shard, int64_t stored,
                               int64_t end)
{
    checkpointer_shard *it = &checkpointer->shards[shard];
    if (it->state != CHECKPOINTER_STUCK) {
        alv_log(ALV_LOG_ERROR, "checkpoint-stuck",
                "shard=%" PRId32 " stored=%" PRId64 " end=%" PRId64
                " msg=\"the changelog ends before the position in PostgreSQL: it was deleted and "
                "made anew. If that was meant, delete the rows of this application and shard from "
                "the tables entities and positions; they are then written anew\"",
                shard, stored, end);
    }
    it->look_again_at_ms = alv_checkpointer_now_ms(checkpointer) + CHECKPOINTER_LOOK_AGAIN_MS;
    alv_checkpointer_set_state(checkpointer, shard, CHECKPOINTER_STUCK);
}

static alv_status checkpointer_begin_reading(alv_checkpointer *checkpointer, int32_t shard,
                                             int64_t stored, int64_t start, alv_error *err)
{
    alv_reader *reader = checkpointer->reader;
    int64_t from = stored > start ? stored : start;
    alv_status status = reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, shard, from, err);
    if (status != ALV_OK) {
        return status;
    }
    if (stored > 0 && stored < start) {
        alv_log(ALV_LOG_WARN, "checkpoint-gap",
                "shard=%" PRId32 " stored=%" PRId64 " start=%" PRId64
                " msg=\"the changelog begins after the position in PostgreSQL; deletions in "
                "between may be missing there: run alluvium verify\"",
                shard, stored, start);
    }
    checkpointer_shard *it = &checkpointer->shards[shard];
    alv_checkpointer_set_state(checkpointer, shard, CHECKPOINTER_READING);
    atomic_store(&it->position, stored);
    it->read = from;
    it->delivered = from;
    it->first_record = true;
    return ALV_OK;
}

/* False when the next shard need not be tried now either. */
static bool checkpointer_locate_shard(alv_checkpointer *checkpointer, int32_t shard)
{
    alv_durable_store *durable = checkpointer->options.durable;
    alv_reader *reader = checkpointer->reader;
    alv_error err = ALV_ERROR_NONE;
    int64_t stored = 0;
    int64_t start = 0;
    int64_t end = 0;
    alv_status status = durable->ops->position(durable, shard, &stored, &err);
    alv_checkpointer_note_durable(checkpointer, status, &err);
    if (status != ALV_OK) {
        return false;
    }
    status = reader->ops->range(reader, ALV_TOPIC_CHANGELOG, shard, &start, &end, &err);
    if (status == ALV_OK && stored > end) {
        checkpointer_stick(checkpointer, shard, stored, end);
    } else if (status == ALV_OK) {
        status = checkpointer_begin_reading(checkpointer, shard, stored, start, &err);
    }
    checkpointer_note_log(checkpointer, status, &err);
    return status == ALV_OK;
}

static bool checkpointer_wants_locating(const checkpointer_shard *it, int64_t now_ms)
{
    return it->state == CHECKPOINTER_LOCATING ||
           (it->state == CHECKPOINTER_STUCK && now_ms >= it->look_again_at_ms);
}

bool alv_checkpointer_locate(alv_checkpointer *checkpointer)
{
    int64_t now_ms = alv_checkpointer_now_ms(checkpointer);
    if (!alv_backoff_due(&checkpointer->durable_backoff, now_ms) ||
        !alv_backoff_due(&checkpointer->log_backoff, now_ms) || checkpointer->given_up) {
        return false;
    }
    int asked = 0;
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        if (!checkpointer_wants_locating(&checkpointer->shards[i], now_ms)) {
            continue;
        }
        if (asked++ == CHECKPOINTER_LOCATE_MAX) {
            return true;
        }
        if (!checkpointer_locate_shard(checkpointer, i)) {
            return false;
        }
    }
    return false;
}

/* ---- catching up ----------------------------------------------------------------------------- */

/* Whether all is written that the shard's changelog held when it was first asked. */
static bool checkpointer_is_behind(alv_checkpointer *checkpointer, int32_t shard)
{
    checkpointer_shard *it = &checkpointer->shards[shard];
    alv_reader *reader = checkpointer->reader;
    if (it->state == CHECKPOINTER_LOCATING) {
        return true;
    }
    if (it->state != CHECKPOINTER_READING) {
        return it->state == CHECKPOINTER_LEAVING;
    }
    int64_t start = 0;
    if (it->last_end == ALV_OFFSET_NONE &&
        reader->ops->range(reader, ALV_TOPIC_CHANGELOG, shard, &start, &it->last_end, NULL) !=
            ALV_OK) {
        it->last_end = ALV_OFFSET_NONE; /* asked for again in the next turn */
        return true;
    }
    return atomic_load(&it->position) < it->last_end;
}

checkpointer_caught_up alv_checkpointer_look_behind(alv_checkpointer *checkpointer)
{
    bool away = checkpointer->tried && !atomic_load(&checkpointer->connected);
    bool behind = false;
    for (int32_t i = 0; i < checkpointer->options.shard_count && !away; i++) {
        behind = checkpointer_is_behind(checkpointer, i) || behind;
    }
    checkpointer->hurry = true;
    return away || checkpointer->given_up ? CHECKPOINTER_CANNOT
           : behind                       ? CHECKPOINTER_CATCHING_UP
                                          : CHECKPOINTER_CAUGHT_UP;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool checkpointer_reads_any(const alv_checkpointer *checkpointer)
{
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        if (checkpointer->shards[i].state == CHECKPOINTER_READING) {
            return true;
        }
    }
    return false;
}

bool alv_checkpointer_wants_poll(const alv_checkpointer *checkpointer)
{
    return checkpointer->batch_next == checkpointer->batch.count &&
           !alv_checkpointer_is_full(checkpointer) &&
           alv_backoff_due(&checkpointer->log_backoff, alv_checkpointer_now_ms(checkpointer)) &&
           checkpointer_reads_any(checkpointer);
}

/* The reader does not say which of its shards lost its place in the log, so all are looked at. */
static alv_status checkpointer_find_lost(alv_checkpointer *checkpointer, alv_error *err)
{
    alv_reader *reader = checkpointer->reader;
    bool found = false;
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        if (checkpointer->shards[i].state != CHECKPOINTER_READING) {
            continue;
        }
        int64_t start = 0;
        int64_t end = 0;
        alv_status status = reader->ops->range(reader, ALV_TOPIC_CHANGELOG, i, &start, &end, NULL);
        int64_t at = checkpointer->shards[i].read;
        if (status != ALV_OK || (at >= start && at <= end)) {
            continue;
        }
        alv_log_error(ALV_LOG_WARN, "checkpoint-lost-place", err,
                      "shard=%" PRId32 " at=%" PRId64 " start=%" PRId64 " end=%" PRId64, i, at,
                      start, end);
        checkpointer_begin_shard(checkpointer, i);
        found = true;
    }
    return found ? ALV_OK : ALV_RETRY;
}

void alv_checkpointer_poll(alv_checkpointer *checkpointer, int timeout_ms)
{
    alv_reader *reader = checkpointer->reader;
    alv_error err = ALV_ERROR_NONE;
    alv_batch_clear(&checkpointer->batch);
    checkpointer->batch_next = 0;
    alv_status status = reader->ops->poll(reader, timeout_ms, &checkpointer->batch, &err);
    if (status == ALV_REJECT) {
        status = checkpointer_find_lost(checkpointer, &err);
    }
    checkpointer_note_log(checkpointer, status, &err);
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        checkpointer_shard *it = &checkpointer->shards[i];
        if (it->state == CHECKPOINTER_READING) {
            it->delivered = reader->ops->position(reader, ALV_TOPIC_CHANGELOG, i);
        }
    }
}

/* The part of the key before "/"; a key without it belongs to the default type. */
static alv_view checkpointer_type(const alv_checkpointer *checkpointer, alv_view key)
{
    const char *slash = key.size > 0 ? memchr(key.data, '/', key.size) : NULL;
    if (slash == NULL || slash == key.data) {
        return checkpointer->default_type;
    }
    return (alv_view){key.data, (size_t)(slash - key.data)};
}

/* Tombstones go from a compacted topic after their retention: who has not read it for longer may
 * have missed some. */
static void checkpointer_check_age(alv_checkpointer *checkpointer, const alv_record *record)
{
    checkpointer_shard *it = &checkpointer->shards[record->shard];
    int64_t retention_ms = checkpointer->options.settings->tombstone_retention_ms;
    int64_t age_ms = alv_now_ms(checkpointer->options.clock) - record->timestamp_ms;
    bool check = it->first_record && atomic_load(&it->position) > 0;
    it->first_record = false;
    if (check && retention_ms > 0 && age_ms > retention_ms) {
        alv_log(ALV_LOG_WARN, "checkpoint-late",
                "shard=%" PRId32 " age_ms=%" PRId64 " tombstone_retention_ms=%" PRId64
                " msg=\"rows of entities that were deleted since then may still be in PostgreSQL: "
                "run alluvium verify\"",
                record->shard, age_ms, retention_ms);
    }
}

void alv_checkpointer_say_refused(alv_checkpointer *checkpointer, int32_t shard, int64_t offset,
                                  const char *why)
{
    int64_t total = atomic_fetch_add(&checkpointer->rows_refused, 1) + 1;
    int64_t now_ms = alv_checkpointer_now_ms(checkpointer);
    if (total > 1 &&
        now_ms - checkpointer->refused_said_at_ms < CHECKPOINTER_SAY_REFUSED_EVERY_MS) {
        return;
    }
    checkpointer->refused_said_at_ms = now_ms;
    alv_log(ALV_LOG_WARN, "checkpoint-refused",
            "shard=%" PRId32 " offset=%" PRId64 " total=%" PRId64 " msg=\"%s\"", shard, offset,
            total, why);
}

static void checkpointer_take_record(alv_checkpointer *checkpointer, const alv_record *record)
{
    if (record->topic != ALV_TOPIC_CHANGELOG || record->shard < 0 ||
        record->shard >= checkpointer->options.shard_count) {
        return;
    }
    checkpointer_shard *it = &checkpointer->shards[record->shard];
    if (it->state != CHECKPOINTER_READING || record->offset < it->read) {
        return;
    }
    it->read = record->offset + 1;
    checkpointer_check_age(checkpointer, record);
    if (record->key.data == NULL) {
        alv_checkpointer_say_refused(checkpointer, record->shard, record->offset,
                                     "record without a key, not written by us");
        return;
    }
    alv_coalescer_put(checkpointer->held, &(alv_checkpoint_row){
                                              .key = record->key,
                                              .type = checkpointer_type(checkpointer, record->key),
                                              .state = record->value,
                                              .shard = record->shard,
                                              .changelog_offset = record->offset,
                                              .updated_at_ms = record->timestamp_ms,
                                          });
}

/* Control records move a position as well, but only once everything before them was taken. */
static bool checkpointer_advance(alv_checkpointer *checkpointer)
{
    bool dirty = false;
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        checkpointer_shard *it = &checkpointer->shards[i];
        if (it->state != CHECKPOINTER_READING) {
            continue;
        }
        if (checkpointer->batch_next == checkpointer->batch.count && it->delivered > it->read) {
            it->read = it->delivered;
        }
        dirty |= it->read > atomic_load(&it->position);
    }
    return dirty;
}

void alv_checkpointer_take_batch(alv_checkpointer *checkpointer)
{
    alv_batch *batch = &checkpointer->batch;
    while (checkpointer->batch_next < batch->count && !alv_checkpointer_is_full(checkpointer)) {
        checkpointer_take_record(checkpointer, &batch->records[checkpointer->batch_next++]);
    }
    if (checkpointer_advance(checkpointer) && checkpointer->dirty_since_ms < 0) {
        checkpointer->dirty_since_ms = alv_checkpointer_now_ms(checkpointer);
    }
    if (checkpointer->batch_next == batch->count && batch->count > 0) {
        alv_batch_clear(batch);
        checkpointer->batch_next = 0;
    }
}
