#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "base/plant.h"
#include "changelog/checkpointer_internal.h"

/* ---- how PostgreSQL does --------------------------------------------------------------------- */

static void checkpointer_note_success(alv_checkpointer *checkpointer)
{
    alv_backoff_succeeded(&checkpointer->durable_backoff);
    if (!atomic_exchange(&checkpointer->connected, true)) {
        alv_log(ALV_LOG_INFO, "postgres-connected", "failures=%" PRId64,
                atomic_load(&checkpointer->failures));
    }
    alv_free(checkpointer->durable_trouble);
    checkpointer->durable_trouble = NULL;
}

/* The log hears of it when it begins and when the reason changes ("refused" becomes "no
 * permission"), not at each try. */
static void checkpointer_note_failure(alv_checkpointer *checkpointer, const alv_error *err)
{
    atomic_store(&checkpointer->connected, false);
    atomic_fetch_add(&checkpointer->failures, 1);
    alv_backoff_failed(&checkpointer->durable_backoff, alv_checkpointer_now_ms(checkpointer));
    if (checkpointer->durable_trouble != NULL &&
        strcmp(checkpointer->durable_trouble, err->text) == 0) {
        return;
    }
    alv_log_error(ALV_LOG_WARN, "postgres-away", err, "rows_pending=%zu",
                  alv_coalescer_count(checkpointer->held));
    alv_free(checkpointer->durable_trouble);
    checkpointer->durable_trouble = alv_strdup(err->text);
}

/* Commands go on without checkpoints; the node says so and works (I9). */
static void checkpointer_give_up(alv_checkpointer *checkpointer, const alv_error *err)
{
    alv_log_error(ALV_LOG_ERROR, "postgres-given-up", err,
                  "msg=\"no checkpoints until the node is started with another postgres.url\"");
    atomic_store(&checkpointer->connected, false);
    atomic_fetch_add(&checkpointer->failures, 1);
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        if (checkpointer->shards[i].state == CHECKPOINTER_OFF) {
            continue;
        }
        alv_checkpointer_drop(checkpointer, i);
        alv_checkpointer_set_state(checkpointer, i, CHECKPOINTER_OFF);
    }
    checkpointer->dirty_since_ms = -1;
    checkpointer->given_up = true;
}

void alv_checkpointer_note_durable(alv_checkpointer *checkpointer, alv_status status,
                                   const alv_error *err)
{
    checkpointer->tried = true;
    if (status == ALV_OK || status == ALV_FENCED) {
        checkpointer_note_success(checkpointer);
    } else if (status == ALV_FATAL) {
        checkpointer_give_up(checkpointer, err);
    } else {
        checkpointer_note_failure(checkpointer, err);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

int64_t alv_checkpointer_write_due_ms(const alv_checkpointer *checkpointer)
{
    if (checkpointer->dirty_since_ms < 0) {
        return INT64_MAX;
    }
    int64_t due_ms = checkpointer->dirty_since_ms;
    if (!checkpointer->hurry && !alv_checkpointer_is_full(checkpointer)) {
        due_ms += checkpointer->options.settings->postgres_interval_ms;
    }
    int64_t try_ms = checkpointer->durable_backoff.next_try_at_ms;
    return due_ms > try_ms ? due_ms : try_ms;
}

/* Every shard that moved, whether rows came of it or not. */
static size_t checkpointer_collect_positions(alv_checkpointer *checkpointer)
{
    size_t count = 0;
    for (int32_t i = 0; i < checkpointer->options.shard_count; i++) {
        checkpointer_shard *it = &checkpointer->shards[i];
        int64_t stored = atomic_load(&it->position);
        if (stored == ALV_OFFSET_NONE || it->read <= stored) {
            continue;
        }
        checkpointer->positions[count++] =
            (alv_checkpoint_position){.shard = i, .expected = stored, .changelog_offset = it->read};
    }
    return count;
}

static void checkpointer_count_rows(alv_checkpointer *checkpointer, const alv_error *why)
{
    const alv_checkpoint_row *rows = alv_coalescer_rows(checkpointer->held);
    size_t count = alv_coalescer_count(checkpointer->held);
    int64_t stored = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].outcome != ALV_ROW_SKIPPED) {
            stored++;
        }
        if (rows[i].outcome != ALV_ROW_STORED) {
            alv_checkpointer_say_refused(checkpointer, rows[i].shard, rows[i].changelog_offset,
                                         why->text);
        }
    }
    atomic_fetch_add(&checkpointer->rows_written, stored);
}

static void checkpointer_written(alv_checkpointer *checkpointer, size_t position_count,
                                 const alv_error *why)
{
    checkpointer_count_rows(checkpointer, why);
    alv_coalescer_clear(checkpointer->held);
    for (size_t i = 0; i < position_count; i++) {
        const alv_checkpoint_position *position = &checkpointer->positions[i];
        checkpointer_shard *it = &checkpointer->shards[position->shard];
        ALV_ASSERT(it->read == position->changelog_offset);
        atomic_store(&it->position, position->changelog_offset);
        if (it->state == CHECKPOINTER_LEAVING) {
            alv_checkpointer_set_state(checkpointer, position->shard, CHECKPOINTER_OFF);
        }
    }
    checkpointer->dirty_since_ms = -1;
    checkpointer->hurry = false;
}

/* Somebody else wrote these shards: a new owner, or this node in a commit whose answer was lost.
 * What is held of them is read again from where PostgreSQL is; the others are tried again at
 * once. */
static void checkpointer_fenced(alv_checkpointer *checkpointer, size_t position_count)
{
    for (size_t i = 0; i < position_count; i++) {
        const alv_checkpoint_position *position = &checkpointer->positions[i];
        if (!position->fenced) {
            continue;
        }
        bool followed = checkpointer->shards[position->shard].state == CHECKPOINTER_READING &&
                        !atomic_load(&checkpointer->keeping);
        alv_log(ALV_LOG_WARN, "checkpoint-fenced",
                "shard=%" PRId32 " expected=%" PRId64 " followed=%s", position->shard,
                position->expected, followed ? "yes" : "no");
        alv_checkpointer_drop(checkpointer, position->shard);
        alv_checkpointer_set_state(checkpointer, position->shard,
                                   followed ? CHECKPOINTER_LOCATING : CHECKPOINTER_OFF);
    }
}

void alv_checkpointer_write(alv_checkpointer *checkpointer)
{
    alv_durable_store *durable = checkpointer->options.durable;
    size_t row_count = alv_coalescer_count(checkpointer->held);
    size_t position_count = checkpointer_collect_positions(checkpointer);
    ALV_ASSERT(row_count == 0 || position_count > 0);
    alv_status status = ALV_OK;
    alv_error err = ALV_ERROR_NONE;
    if (position_count > 0) {
        status = durable->ops->write(durable, alv_coalescer_rows(checkpointer->held),
                                     row_count - (ALV_PLANTED(CHECKPOINT_AHEAD) && row_count > 0),
                                     checkpointer->positions, position_count, &err);
        alv_checkpointer_note_durable(checkpointer, status, &err);
    }
    if (status == ALV_OK || (status == ALV_FENCED && ALV_PLANTED(CHECKPOINT_UNFENCED))) {
        checkpointer_written(checkpointer, position_count, &err);
    } else if (status == ALV_FENCED) {
        checkpointer_fenced(checkpointer, position_count);
    }
}
