/* cli_rebuild_rows.c — PostgreSQL's rows become the changelog's records, shard by shard.
 *
 * A plain idempotent producer is enough: nobody reads the topic meanwhile, and what an interrupted run has
 * left is wiped by the next. The rows stay the only copy of the state until all records of a shard are
 * acknowledged; then they are given the offsets of these records, for otherwise no later change would ever
 * be newer than they are.
 *
 * The records get the time of now, not that of the row: times that jump back and forth by days make a broker
 * begin a new segment with almost every batch.
 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "cli/cli_progress.h"
#include "cli/cli_rebuild_internal.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define ROWS_FLUSH_TIMEOUT_MS (2 * ALV_MESSAGE_TIMEOUT_MS)

typedef struct rows_work rows_work;

/* A row on its way; the payload of its delivery report, so it never moves. */
typedef struct rows_place {
    rows_work *work;
    int64_t offset;
    size_t key_size;
    char key[];
} rows_place;

/* One shard. */
struct rows_work {
    rebuild_plan *plan;
    alv_sender *sender;
    alv_cli_progress *progress;
    int32_t shard;
    rows_place **places;
    size_t count;
    size_t capacity;
    int64_t end;       /* one past the largest offset */
    alv_error failure; /* the first */
};

static void rows_on_sent(void *payload, alv_status status, int32_t shard, int64_t offset,
                         const char *error_text)
{
    rows_place *place = payload;
    rows_work *work = place->work;
    if (status != ALV_OK || offset == ALV_OFFSET_NONE) {
        (void)alv_fail(&work->failure, status == ALV_OK ? ALV_RETRY : status,
                       "a row of shard %" PRId32 " was not written: %s", work->shard,
                       error_text != NULL ? error_text : "the broker did not say where");
        return;
    }
    ALV_ASSERT(shard == work->shard);
    place->offset = offset;
    work->end = offset + 1 > work->end ? offset + 1 : work->end;
    work->plan->written++;
}

static rows_place *rows_add_place(rows_work *work, alv_view key)
{
    if (work->count == work->capacity) {
        work->capacity = work->capacity > 0 ? work->capacity * 2 : 1024;
        work->places = alv_realloc(work->places, work->capacity * sizeof(*work->places));
    }
    rows_place *place = alv_alloc(sizeof(*place) + key.size);
    place->work = work;
    place->offset = ALV_OFFSET_NONE;
    place->key_size = key.size;
    memcpy(place->key, key.data, key.size);
    work->places[work->count++] = place;
    return place;
}

static bool rows_send(void *payload, const alv_checkpoint_row *row)
{
    rows_work *work = payload;
    if (row->state.data == NULL) {
        return true; /* --accept-loss */
    }
    if (alv_partitioner_shard(row->key, work->plan->shard_count) != row->shard) {
        (void)alv_fail(&work->failure, ALV_REJECT,
                       "a row of shard %" PRId32 " belongs to another shard: %.*s", row->shard,
                       row->key.size > 80 ? 80 : (int)row->key.size, row->key.data);
        return false;
    }
    const alv_produce record = {
        .topic = ALV_TOPIC_CHANGELOG, .shard = row->shard, .key = row->key, .value = row->state};
    if (work->sender->ops->send(work->sender, &record, rows_on_sent, rows_add_place(work, row->key),
                                &work->failure) != ALV_OK) {
        return false;
    }
    work->sender->ops->serve(work->sender, 0);
    int64_t rows = alv_cli_rebuild_rows(work->plan);
    alv_cli_progress_update(work->progress, work->plan->written,
                            (double)work->plan->written / (double)rows);
    return work->failure.status == ALV_OK;
}

static alv_status rows_renumber(const rows_work *work, int64_t position, alv_error *err)
{
    alv_durable_place *places = alv_alloc_array(work->count + 1, sizeof(*places));
    for (size_t i = 0; i < work->count; i++) {
        const rows_place *place = work->places[i];
        ALV_ASSERT(place->offset != ALV_OFFSET_NONE);
        places[i] = (alv_durable_place){.key = {place->key, place->key_size},
                                        .changelog_offset = place->offset};
    }
    alv_status status = alv_durable_rows_renumber(work->plan->durable, work->shard, position,
                                                  places, work->count, work->end, err);
    alv_free(places);
    return status;
}

static alv_status rows_write_shard(rows_work *work, alv_error *err)
{
    int64_t position = 0;
    alv_status status =
        alv_durable_rows_scan(work->plan->durable, work->shard, rows_send, work, &position, err);
    if (status == ALV_OK) {
        status = work->sender->ops->flush(work->sender, ROWS_FLUSH_TIMEOUT_MS, err);
    }
    if (status == ALV_OK && work->failure.status != ALV_OK) {
        status = alv_fail_from(err, work->failure.status, work->failure.source, work->failure.code,
                               "%s", work->failure.text);
    }
    return status == ALV_OK ? rows_renumber(work, position, err) : status;
}

/* The reports of a sender that is closed come before this, so that nothing points at the places. */
static void rows_work_done(rows_work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        alv_free(work->places[i]);
    }
    alv_free(work->places);
}

/* A sender per shard: closing it ends all deliveries, also after a failure. */
static alv_status rows_rebuild_shard(rebuild_plan *plan, int32_t shard, alv_cli_progress *progress,
                                     alv_error *err)
{
    rows_work work = {.plan = plan, .shard = shard, .progress = progress};
    alv_status status = plan->log->ops->open_sender(plan->log, "rebuild", &work.sender, err);
    if (status != ALV_OK) {
        return status;
    }
    status = rows_write_shard(&work, err);
    work.sender->ops->close(work.sender);
    rows_work_done(&work);
    return status;
}

/* ---- where to go on -------------------------------------------------------------------------- */

static void position_on_sent(void *payload, alv_status status, int32_t shard, int64_t offset,
                             const char *error_text)
{
    (void)offset;
    if (status != ALV_OK) {
        (void)alv_fail(payload, status, "the position of shard %" PRId32 " was not written: %s",
                       shard, error_text);
    }
}

static alv_status positions_send(const rebuild_plan *plan, alv_sender *sender, alv_error *failure)
{
    int64_t now_ms = alv_now_ms(alv_clock_system());
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_status status = ALV_OK;
    for (int32_t i = 0; status == ALV_OK && i < plan->shard_count; i++) {
        if (plan->shards[i].next_command == ALV_OFFSET_NONE) {
            continue;
        }
        alv_bytes_clear(&value);
        alv_schema_write_position(plan->shards[i].next_command, now_ms, &value);
        const alv_produce record = {.topic = ALV_TOPIC_LEDGER,
                                    .shard = i,
                                    .key = ALV_VIEW(ALV_POSITION_KEY),
                                    .value = alv_bytes_view(&value)};
        status = sender->ops->send(sender, &record, position_on_sent, failure, failure);
    }
    alv_bytes_done(&value);
    return status == ALV_OK ? sender->ops->flush(sender, ROWS_FLUSH_TIMEOUT_MS, failure) : status;
}

/* Before the rows: whatever happens then, no command runs twice. */
static alv_status positions_write(const rebuild_plan *plan, alv_error *err)
{
    alv_sender *sender = NULL;
    alv_error failure = ALV_ERROR_NONE;
    alv_status status = plan->log->ops->open_sender(plan->log, "rebuild", &sender, err);
    if (status != ALV_OK) {
        return status;
    }
    (void)positions_send(plan, sender, &failure); /* says why in `failure` */
    sender->ops->close(sender);
    return failure.status == ALV_OK ? ALV_OK
                                    : alv_fail_from(err, failure.status, failure.source,
                                                    failure.code, "%s", failure.text);
}

alv_status alv_cli_rebuild_write_rows(rebuild_plan *plan, alv_error *err)
{
    alv_cli_progress progress;
    alv_cli_progress_init(&progress, "rows written");
    alv_status status = positions_write(plan, err);
    for (int32_t i = 0; status == ALV_OK && i < plan->shard_count; i++) {
        if (plan->shards[i].rows.rows > 0 || plan->shards[i].rows.position > 0) {
            status = rows_rebuild_shard(plan, i, &progress, err);
        }
    }
    alv_cli_progress_done(&progress);
    return status;
}
