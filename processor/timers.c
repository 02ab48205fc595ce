#include "processor/timers.h"

#include "base/plant.h"

/* A backlog whose end is not known. */
#define BACKLOG_UNKNOWN INT64_MAX

void alv_timers_start(alv_timers *timers, int64_t next_offset, int64_t backlog_end, int64_t now_ms)
{
    timers->next_ms = ALV_PLANTED(LOSE_TIMERS) ? ALV_DUE_NEVER : INT64_MIN;
    timers->floor_ms = INT64_MIN;
    alv_bytes_clear(&timers->cursor);
    timers->record_ms = INT64_MIN;
    timers->is_behind = next_offset < backlog_end;
    timers->backlog_end = backlog_end;
    timers->quiet_since_ms = now_ms;
}

void alv_timers_done(alv_timers *timers)
{
    alv_bytes_done(&timers->cursor);
}

/* ---- until when ---------------------------------------------------------------------------------- */

void alv_timers_see(alv_timers *timers, int64_t next_offset, bool more, int64_t now_ms)
{
    timers->quiet_since_ms = now_ms;
    if (more) {
        timers->is_behind = true;
        timers->backlog_end =
            next_offset > timers->backlog_end ? BACKLOG_UNKNOWN : timers->backlog_end;
    } else if (timers->backlog_end == BACKLOG_UNKNOWN || next_offset >= timers->backlog_end) {
        timers->is_behind = false;
        timers->backlog_end = next_offset;
    }
}

void alv_timers_resume(alv_timers *timers)
{
    timers->is_behind = true;
    timers->backlog_end = BACKLOG_UNKNOWN;
    timers->quiet_since_ms = INT64_MAX;
}

int64_t alv_timers_until(alv_timers *timers, int64_t now_ms)
{
    if (timers->quiet_since_ms == INT64_MAX) {
        timers->quiet_since_ms = now_ms;
    }
    if (timers->is_behind && now_ms - timers->quiet_since_ms >= ALV_TIMERS_QUIET_MS) {
        timers->is_behind = false;
    }
    now_ms += ALV_PLANTED(RING_EARLY) ? 500 : 0;
    return timers->is_behind && timers->record_ms < now_ms ? timers->record_ms : now_ms;
}

/* ---- the index ----------------------------------------------------------------------------------- */

typedef struct timers_scan {
    alv_timers *timers;
    int64_t until_ms;
    alv_due_list *out;
    size_t key_at[ALV_TIMERS_ROUND_MAX]; /* in out->keys, which moves while it grows */
} timers_scan;

static bool timers_visit(void *payload, alv_view key, alv_view value)
{
    timers_scan *scan = payload;
    alv_due due = {0};
    (void)value;
    if (!alv_store_timer_key_read(key, &due.due_ms, &due.key)) {
        return true;
    }
    if (due.due_ms > scan->until_ms || scan->out->count == ALV_TIMERS_ROUND_MAX) {
        scan->timers->next_ms = due.due_ms;
        return false;
    }
    scan->key_at[scan->out->count] = scan->out->keys.size;
    alv_bytes_append(&scan->out->keys, due.key.data, due.key.size);
    alv_bytes_append(&scan->out->keys, "", 1);
    scan->out->items[scan->out->count++] = due;
    alv_bytes_set(&scan->timers->cursor, key.data, key.size);
    return true;
}

alv_status alv_timers_collect(alv_timers *timers, alv_store *store, int32_t shard, int64_t until_ms,
                              alv_due_list *out, alv_error *err)
{
    timers_scan scan;
    scan.timers = timers;
    scan.until_ms = until_ms;
    scan.out = out;
    out->count = 0;
    alv_bytes_clear(&out->keys);
    int64_t next_before_ms = timers->next_ms;
    timers->next_ms = ALV_DUE_NEVER; /* unless the scan meets one that has to wait */
    alv_bytes after = ALV_BYTES_EMPTY;
    if (timers->cursor.size > 0) {
        alv_bytes_append(&after, timers->cursor.data, timers->cursor.size);
    } else {
        alv_store_timer_key(timers->floor_ms, ALV_VIEW(""), &after);
    }
    alv_status status = store->ops->scan(store, shard, ALV_STORE_TIMER, ALV_VIEW(""),
                                         alv_bytes_view(&after), timers_visit, &scan, err);
    alv_bytes_done(&after);
    if (status != ALV_OK) {
        timers->next_ms = next_before_ms;
        return status;
    }
    for (size_t i = 0; i < out->count; i++) {
        out->items[i].key.data = out->keys.data + scan.key_at[i];
    }
    return ALV_OK;
}

void alv_timers_commit(alv_timers *timers, int64_t due_ms)
{
    int64_t handled_ms = 0;
    alv_view key;
    if (alv_store_timer_key_read(alv_bytes_view(&timers->cursor), &handled_ms, &key)) {
        timers->floor_ms = handled_ms;
        alv_bytes_clear(&timers->cursor);
    }
    timers->floor_ms = due_ms < timers->floor_ms ? due_ms : timers->floor_ms;
    timers->next_ms = due_ms < timers->next_ms ? due_ms : timers->next_ms;
}

void alv_timers_rewind(alv_timers *timers, int64_t committed_offset, int64_t next_offset)
{
    if (timers->cursor.size > 0) {
        alv_bytes_clear(&timers->cursor);
        timers->next_ms = timers->floor_ms;
    }
    if (committed_offset < next_offset) {
        timers->is_behind = true;
        timers->backlog_end = next_offset > timers->backlog_end ? next_offset : timers->backlog_end;
        timers->quiet_since_ms = INT64_MAX;
    }
}
