#include "processor/directory.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "topics/record.h"

/* Each field is atomic by itself: a reader may see the state of one moment beside the counters of
 * another, which is good enough for status pages. Answers about entities take their position from the
 * store. */
typedef struct directory_row {
    _Atomic int state;
    _Atomic int32_t lane;
    _Atomic uint64_t moves;
    _Atomic bool is_elsewhere;
    _Atomic int64_t commands;
    _Atomic int64_t changelog;
    _Atomic int64_t ledger;
    _Atomic int64_t position_at_ms;
    _Atomic int64_t commands_end;
    _Atomic int64_t commands_done;
    _Atomic int64_t quarantined;
    _Atomic bool is_paused;
    _Atomic bool is_standby;
    _Atomic bool is_hot;
    _Atomic int64_t restored_records;
    _Atomic int64_t restore_target;
    _Atomic int64_t restored_bytes;
    _Atomic int64_t restore_eta_ms;
    _Atomic int64_t changelog_end;
} directory_row;

struct alv_directory {
    int32_t shard_count;
    directory_row *rows;
    _Atomic int64_t turned_us[ALV_LANES_MAX]; /* by lane; 0 = it has not said anything yet */
};

/* The picture in directory.h as a table: row = from, column = to. */
static const bool directory_moves[4][4] = {
    [ALV_SHARD_UNASSIGNED] = {[ALV_SHARD_RESTORING] = true},
    [ALV_SHARD_RESTORING] =
        {[ALV_SHARD_ACTIVE] = true, [ALV_SHARD_STOPPED] = true, [ALV_SHARD_UNASSIGNED] = true},
    [ALV_SHARD_ACTIVE] = {[ALV_SHARD_RESTORING] = true, [ALV_SHARD_UNASSIGNED] = true},
    [ALV_SHARD_STOPPED] = {[ALV_SHARD_RESTORING] = true, [ALV_SHARD_UNASSIGNED] = true},
};

const char *alv_shard_state_name(alv_shard_state state)
{
    static const char *const names[] = {
        [ALV_SHARD_UNASSIGNED] = "unassigned",
        [ALV_SHARD_RESTORING] = "restoring",
        [ALV_SHARD_ACTIVE] = "active",
        [ALV_SHARD_STOPPED] = "stopped",
    };
    return names[state];
}

alv_directory *alv_directory_new(int32_t shard_count)
{
    ALV_ASSERT(shard_count > 0);
    alv_directory *directory = alv_alloc(sizeof *directory);
    directory->shard_count = shard_count;
    directory->rows = alv_alloc_array((size_t)shard_count, sizeof *directory->rows);
    for (int32_t shard = 0; shard < shard_count; shard++) {
        atomic_init(&directory->rows[shard].lane, -1);
        atomic_init(&directory->rows[shard].commands_end, ALV_OFFSET_NONE);
    }
    return directory;
}

void alv_directory_free(alv_directory *directory)
{
    if (directory == NULL) {
        return;
    }
    alv_free(directory->rows);
    alv_free(directory);
}

int32_t alv_directory_shard_count(const alv_directory *directory)
{
    return directory->shard_count;
}

static directory_row *directory_at(const alv_directory *directory, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < directory->shard_count);
    return &directory->rows[shard];
}

alv_shard_view alv_directory_view(const alv_directory *directory, int32_t shard)
{
    directory_row *row = directory_at(directory, shard);
    return (alv_shard_view){
        .state = (alv_shard_state)atomic_load(&row->state),
        .lane = atomic_load(&row->lane),
        .position = {.commands = atomic_load(&row->commands),
                     .changelog = atomic_load(&row->changelog),
                     .ledger = atomic_load(&row->ledger),
                     .at_ms = atomic_load(&row->position_at_ms)},
        .commands_end = atomic_load(&row->commands_end),
        .commands_done = atomic_load(&row->commands_done),
        .quarantined = atomic_load(&row->quarantined),
        .is_paused = atomic_load(&row->is_paused),
        .is_standby = atomic_load(&row->is_standby),
        .is_hot = atomic_load(&row->is_hot),
        .restored_records = atomic_load(&row->restored_records),
        .restore_target = atomic_load(&row->restore_target),
        .restored_bytes = atomic_load(&row->restored_bytes),
        .restore_eta_ms = atomic_load(&row->restore_eta_ms),
        .changelog_end = atomic_load(&row->changelog_end),
    };
}

bool alv_shard_view_is_behind(const alv_shard_view *view)
{
    return view->state == ALV_SHARD_RESTORING || (view->is_standby && !view->is_hot);
}

int64_t alv_shard_view_lag(const alv_shard_view *view)
{
    int64_t lag = view->changelog_end - view->position.changelog;
    return view->is_standby && lag > 0 ? lag : 0;
}

int32_t alv_directory_count(const alv_directory *directory, alv_shard_state state)
{
    int32_t count = 0;
    for (int32_t shard = 0; shard < directory->shard_count; shard++) {
        count += atomic_load(&directory->rows[shard].state) == (int)state;
    }
    return count;
}

void alv_directory_lane_turned(alv_directory *directory, int32_t lane, int64_t now_us)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    atomic_store(&directory->turned_us[lane], now_us);
}

int64_t alv_directory_lane_silent_ms(const alv_directory *directory, int32_t lane, int64_t now_us)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    int64_t turned_us = atomic_load(&directory->turned_us[lane]);
    return turned_us == 0 ? 0 : (now_us - turned_us) / 1000;
}

bool alv_directory_is_current(const alv_directory *directory, int32_t shard, int64_t now_us)
{
    const directory_row *row = directory_at(directory, shard);
    int32_t lane = atomic_load(&row->lane);
    if (lane < 0 || lane >= ALV_LANES_MAX || atomic_load(&row->state) != ALV_SHARD_ACTIVE ||
        atomic_load(&row->is_elsewhere)) {
        return false;
    }
    return alv_directory_lane_silent_ms(directory, lane, now_us) < ALV_LANE_SILENT_MS;
}

bool alv_directory_claim(alv_directory *directory, int32_t shard, int32_t lane)
{
    ALV_ASSERT(lane >= 0);
    int32_t nobody = -1;
    return atomic_compare_exchange_strong(&directory_at(directory, shard)->lane, &nobody, lane);
}

void alv_directory_set_state(alv_directory *directory, int32_t shard, int32_t lane,
                             alv_shard_state state)
{
    directory_row *row = directory_at(directory, shard);
    ALV_ASSERT(directory_moves[atomic_load(&row->state)][state]);
    ALV_ASSERT(atomic_load(&row->lane) == lane);
    atomic_fetch_add(&row->moves, 1);
    atomic_store(&row->state, (int)state);
    atomic_store(&row->is_elsewhere, false);
    if (state != ALV_SHARD_ACTIVE) {
        atomic_store(&row->commands_end, ALV_OFFSET_NONE); /* nobody looks at it any more */
        atomic_store(&row->quarantined, 0);
        atomic_store(&row->is_paused, false); /* as far as this node knows */
    }
    if (state == ALV_SHARD_UNASSIGNED) {
        atomic_store(&row->lane, -1); /* last: from here on another lane may claim it */
    }
}

uint64_t alv_directory_moves(const alv_directory *directory, int32_t shard)
{
    return atomic_load(&directory_at(directory, shard)->moves);
}

void alv_directory_set_elsewhere(alv_directory *directory, int32_t shard, bool is_elsewhere)
{
    atomic_store(&directory_at(directory, shard)->is_elsewhere, is_elsewhere);
}

void alv_directory_set_position(alv_directory *directory, int32_t shard,
                                const alv_position *position)
{
    directory_row *row = directory_at(directory, shard);
    atomic_store(&row->commands, position->commands);
    atomic_store(&row->changelog, position->changelog);
    atomic_store(&row->ledger, position->ledger);
    atomic_store(&row->position_at_ms, position->at_ms);
}

void alv_directory_set_end(alv_directory *directory, int32_t shard, int64_t commands_end)
{
    atomic_store(&directory_at(directory, shard)->commands_end, commands_end);
}

void alv_directory_set_quarantined(alv_directory *directory, int32_t shard, int64_t count)
{
    atomic_store(&directory_at(directory, shard)->quarantined, count);
}

void alv_directory_set_paused(alv_directory *directory, int32_t shard, bool paused)
{
    atomic_store(&directory_at(directory, shard)->is_paused, paused);
}

void alv_directory_add_commands(alv_directory *directory, int32_t shard, int64_t count)
{
    atomic_fetch_add(&directory_at(directory, shard)->commands_done, count);
}

void alv_directory_set_restore(alv_directory *directory, int32_t shard,
                               const alv_restore_progress *progress)
{
    directory_row *row = directory_at(directory, shard);
    atomic_store(&row->restored_records, progress->records);
    atomic_store(&row->restore_target, progress->target);
    atomic_store(&row->restored_bytes, progress->bytes);
    atomic_store(&row->restore_eta_ms, progress->eta_ms);
    atomic_store(&row->changelog_end, progress->changelog_end);
}

void alv_directory_set_standby(alv_directory *directory, int32_t shard, bool is_standby,
                               bool is_hot)
{
    directory_row *row = directory_at(directory, shard);
    ALV_ASSERT(is_standby || !is_hot);
    atomic_store(&row->is_standby, is_standby);
    atomic_store(&row->is_hot, is_hot);
}
