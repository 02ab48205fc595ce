/* cli_dead_letters_read.c — from the topic of dead letters to rows. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "changelog/log_scan.h"
#include "cli/cli_dead_letters_internal.h"
#include "processor/command.h"
#include "topics/partitioner.h"

bool alv_cli_letter_parse(const char *id, int32_t *out_shard, int64_t *out_offset)
{
    char *end = NULL;
    long shard = strtol(id, &end, 10);
    if (end == id || *end != '/' || shard < 0 || shard >= ALV_SHARDS_MAX) {
        return false;
    }
    const char *from = end + 1;
    long long offset = strtoll(from, &end, 10);
    *out_shard = (int32_t)shard;
    *out_offset = offset;
    return end != from && *end == '\0' && offset >= 0;
}

void alv_cli_letters_done(letter_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        alv_letter_view_done(&rows->items[i]);
    }
    alv_free(rows->items);
    *rows = (letter_rows){.items = NULL};
}

/* ---- one shard ------------------------------------------------------------------------------- */

typedef struct letter_load {
    letter_run *run;
    letter_rows *rows;
    size_t begin; /* of this shard, in rows */
    size_t limit;
    bool newest;
} letter_load;

/* What a release puts back: commands that waited, and those that led to the quarantine. Timers are waiting where
 * they were, but for those that failed themselves, which are nobody's commands. */
static bool letter_is_released(const letter_options *options, const letter_row *row)
{
    bool waited = strcmp(row->reason, alv_reason_code(ALV_REASON_QUARANTINED)) == 0;
    bool failed = strcmp(row->reason, alv_reason_code(ALV_REASON_FAILED)) == 0 ||
                  strcmp(row->reason, alv_reason_code(ALV_REASON_STATE_UNREADABLE)) == 0;
    return (waited || (failed && !options->is_late)) && row->origin_offset >= options->origin_min;
}

static bool letter_is_chosen(const letter_run *run, const letter_row *row)
{
    const letter_options *options = run->options;
    if (options->releases && !letter_is_released(options, row)) {
        return false;
    }
    bool chosen = options->id_count == 0;
    for (size_t i = 0; i < options->id_count && !chosen; i++) {
        int32_t shard = 0;
        int64_t offset = 0;
        chosen = alv_cli_letter_parse(options->ids[i], &shard, &offset) && shard == row->shard &&
                 offset == row->offset;
    }
    return chosen && (options->reason == NULL || strcmp(options->reason, row->reason) == 0) &&
           (options->key == NULL || strcmp(options->key, row->key) == 0);
}

/* Makes room by forgetting the older half of what is above the limit. */
static void letter_forget_oldest(letter_load *load)
{
    letter_rows *rows = load->rows;
    size_t count = rows->count - load->begin;
    if (count < 2 * load->limit) {
        return;
    }
    size_t drop = count - load->limit;
    for (size_t i = 0; i < drop; i++) {
        alv_letter_view_done(&rows->items[load->begin + i]);
    }
    memmove(rows->items + load->begin, rows->items + load->begin + drop,
            load->limit * sizeof *rows->items);
    rows->count -= drop;
    rows->more = true;
}

static void letter_add(letter_load *load, letter_row *row)
{
    letter_rows *rows = load->rows;
    if (!load->newest && rows->count - load->begin == load->limit) {
        rows->more = true;
        alv_letter_view_done(row);
        return;
    }
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity == 0 ? 64 : 2 * rows->capacity;
        rows->items = alv_realloc(rows->items, rows->capacity * sizeof *rows->items);
    }
    rows->items[rows->count++] = *row;
    letter_forget_oldest(load);
}

/* Says of a row that was read before that it was retried. */
static void letter_mark(letter_load *load, int64_t offset, int64_t at_ms)
{
    for (size_t i = load->rows->count; i > load->begin; i--) {
        letter_row *row = &load->rows->items[i - 1];
        if (row->offset == offset) {
            row->retried_at_ms = at_ms;
        }
        if (row->offset <= offset) {
            return;
        }
    }
}

static void letter_take(void *payload, const alv_record *record)
{
    letter_load *load = payload;
    int64_t retried = 0;
    if (alv_letter_is_mark(load->run->log, record, &retried)) {
        letter_mark(load, retried, record->timestamp_ms);
        return;
    }
    letter_row row = alv_letter_view_of(load->run->log, record);
    if (letter_is_chosen(load->run, &row)) {
        letter_add(load, &row);
    } else {
        alv_letter_view_done(&row);
    }
    alv_cli_progress_update(&load->run->progress, (uint64_t)load->rows->count, -1);
}

alv_status alv_cli_letters_visit(letter_run *run, int32_t shard, int64_t start,
                                 void (*visit)(void *payload, const alv_record *record),
                                 void *payload, alv_error *err)
{
    int64_t first = 0;
    int64_t end = 0;
    alv_status status =
        run->reader->ops->range(run->reader, ALV_TOPIC_DEAD_LETTERS, shard, &first, &end, err);
    if (status != ALV_OK) {
        return status;
    }
    const alv_log_range range = {ALV_TOPIC_DEAD_LETTERS, shard, start > first ? start : first, end};
    return alv_log_scan(run->reader, &range, alv_clock_system(), visit, payload, err);
}

/* A shard that none of the ids is in need not be read. */
static bool letter_needs_shard(const letter_run *run, int32_t shard)
{
    const letter_options *options = run->options;
    if (options->releases &&
        alv_partitioner_shard(alv_view_of(options->key), run->shard_count) != shard) {
        return false;
    }
    bool needed = options->id_count == 0;
    for (size_t i = 0; i < options->id_count && !needed; i++) {
        int32_t named = 0;
        int64_t offset = 0;
        needed = alv_cli_letter_parse(options->ids[i], &named, &offset) && named == shard;
    }
    return needed && alv_cli_shards_has(&options->shards, shard);
}

alv_status alv_cli_letters_load(letter_run *run, bool newest, size_t limit, letter_rows *out,
                                alv_error *err)
{
    for (int32_t shard = 0; shard < run->shard_count; shard++) {
        if (!letter_needs_shard(run, shard)) {
            continue;
        }
        letter_load load = {
            .run = run, .rows = out, .begin = out->count, .limit = limit, .newest = newest};
        alv_status status = alv_cli_letters_visit(run, shard, -1, letter_take, &load, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    return ALV_OK;
}
