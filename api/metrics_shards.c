/* metrics_shards.c — shards and their checkpoints, for the page of metrics. */
#include <stdio.h>

#include "api/metrics_internal.h"
#include "base/alloc.h"
#include "topics/record.h"

#define COUNTER ALV_METRIC_COUNTER
#define GAUGE ALV_METRIC_GAUGE

/* What a family says of a shard; false: nothing. */
typedef bool (*shards_value)(const alv_shard_view *view, double *out);

static bool shards_is_here(const alv_shard_view *view)
{
    return view->state != ALV_SHARD_UNASSIGNED || view->is_standby;
}

static void shards_family(const alv_api *api, alv_exposition *page, alv_metric_kind kind,
                          const char *name, const char *help, shards_value value)
{
    const alv_directory *directory = api->options.directory;
    alv_exposition_family(page, kind, name, help);
    for (int32_t shard = 0; shard < alv_directory_shard_count(directory); shard++) {
        alv_shard_view view = alv_directory_view(directory, shard);
        double number = 0;
        if (shards_is_here(&view) && value(&view, &number)) {
            char label[16];
            (void)snprintf(label, sizeof label, "%d", (int)shard);
            alv_exposition_value(page, ALV_LABELS({"shard", label}), number);
        }
    }
}

/* ---- what is told ---------------------------------------------------------------------------- */

static bool shards_commands(const alv_shard_view *view, double *out)
{
    *out = (double)view->commands_done;
    return true;
}

static bool shards_lag(const alv_shard_view *view, double *out)
{
    int64_t lag = view->commands_end - view->position.commands;
    *out = lag > 0 ? (double)lag : 0; /* the position is newer than the end that was seen */
    return view->state == ALV_SHARD_ACTIVE && view->commands_end != ALV_OFFSET_NONE;
}

static bool shards_is_paused(const alv_shard_view *view, double *out)
{
    *out = view->is_paused;
    return view->state == ALV_SHARD_ACTIVE;
}

static bool shards_quarantined(const alv_shard_view *view, double *out)
{
    *out = (double)view->quarantined;
    return view->state == ALV_SHARD_ACTIVE;
}

static bool shards_is_hot(const alv_shard_view *view, double *out)
{
    *out = view->is_hot;
    return view->is_standby;
}

static bool shards_restored(const alv_shard_view *view, double *out)
{
    *out = (double)view->restored_records;
    return true;
}

static bool shards_restore_target(const alv_shard_view *view, double *out)
{
    *out = (double)view->restore_target;
    return true;
}

static bool shards_restored_bytes(const alv_shard_view *view, double *out)
{
    *out = (double)view->restored_bytes;
    return true;
}

static bool shards_restore_eta(const alv_shard_view *view, double *out)
{
    *out = (double)view->restore_eta_ms / 1000;
    return alv_shard_view_is_behind(view) && view->restore_eta_ms >= 0;
}

static bool shards_standby_lag(const alv_shard_view *view, double *out)
{
    *out = (double)alv_shard_view_lag(view);
    return view->is_standby;
}

static void shards_states(const alv_api *api, alv_exposition *page)
{
    const alv_directory *directory = api->options.directory;
    alv_exposition_family(page, GAUGE, "alluvium_shards", "Shards of this node, by state.");
    for (int state = ALV_SHARD_UNASSIGNED + 1; state <= ALV_SHARD_STOPPED; state++) {
        const char *name = alv_shard_state_name((alv_shard_state)state);
        alv_exposition_count(page, ALV_LABELS({"state", name}),
                             (uint64_t)alv_directory_count(directory, (alv_shard_state)state));
    }
    alv_exposition_family(page, GAUGE, "alluvium_shard_state",
                          "1 for the state that a shard is in on this node.");
    for (int32_t shard = 0; shard < alv_directory_shard_count(directory); shard++) {
        alv_shard_view view = alv_directory_view(directory, shard);
        if (shards_is_here(&view)) {
            char label[16];
            (void)snprintf(label, sizeof label, "%d", (int)shard);
            const char *name =
                view.state == ALV_SHARD_UNASSIGNED ? "standby" : alv_shard_state_name(view.state);
            alv_exposition_count(page, ALV_LABELS({"shard", label}, {"state", name}), 1);
        }
    }
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void shards_checkpoint_lag(const alv_api *api, alv_exposition *page,
                                  const int64_t *positions)
{
    const alv_directory *directory = api->options.directory;
    alv_exposition_family(page, GAUGE, "alluvium_checkpoint_lag_records",
                          "Changelog offsets that PostgreSQL is behind, by shard.");
    for (int32_t shard = 0; shard < alv_directory_shard_count(directory); shard++) {
        alv_shard_view view = alv_directory_view(directory, shard);
        if (view.state != ALV_SHARD_ACTIVE || positions[shard] == ALV_OFFSET_NONE) {
            continue;
        }
        int64_t lag = view.position.changelog - positions[shard];
        char label[16];
        (void)snprintf(label, sizeof label, "%d", (int)shard);
        alv_exposition_count(page, ALV_LABELS({"shard", label}), lag > 0 ? (uint64_t)lag : 0);
    }
}

static void shards_checkpoints(const alv_api *api, alv_exposition *page)
{
    alv_checkpointer_status status = {.connected = false};
    size_t count = (size_t)alv_directory_shard_count(api->options.directory);
    int64_t *positions = alv_alloc_array(count, sizeof *positions);
    if (api->options.checkpoints != NULL &&
        api->options.checkpoints(api->options.checkpoints_payload, &status, positions)) {
        alv_exposition_one(page, GAUGE, "alluvium_checkpoint_connected",
                           "1 when PostgreSQL took the last write, 0 while it is left in peace "
                           "after a failure.",
                           status.connected);
        alv_exposition_one(page, COUNTER, "alluvium_checkpoint_rows_written_total",
                           "Rows written to PostgreSQL.", (double)status.rows_written);
        alv_exposition_one(page, COUNTER, "alluvium_checkpoint_rows_refused_total",
                           "Rows that PostgreSQL would not take as they are.",
                           (double)status.rows_refused);
        alv_exposition_one(page, COUNTER, "alluvium_checkpoint_failures_total",
                           "Writes to PostgreSQL that failed.", (double)status.failures);
        alv_exposition_one(page, GAUGE, "alluvium_checkpoint_rows_pending",
                           "Rows read and not yet written.", (double)status.rows_pending);
        alv_exposition_one(page, GAUGE, "alluvium_checkpoint_shards_stuck",
                           "Shards whose checkpoints do not belong to this changelog.",
                           (double)status.shards_stuck);
        shards_checkpoint_lag(api, page, positions);
    }
    alv_free(positions);
}

void alv_metrics_write_shards(const alv_api *api, alv_exposition *page)
{
    shards_states(api, page);
    shards_family(api, page, COUNTER, "alluvium_shard_commands_total",
                  "Commands consumed by committed transactions, by shard.", shards_commands);
    shards_family(api, page, GAUGE, "alluvium_shard_lag_records",
                  "Offsets of the command topic that are not consumed yet, as last seen.",
                  shards_lag);
    shards_family(api, page, GAUGE, "alluvium_shard_paused",
                  "1 while the commands of a shard wait until somebody resumes it.",
                  shards_is_paused);
    shards_family(api, page, GAUGE, "alluvium_shard_quarantined_entities",
                  "Entities whose commands wait in the dead letters until somebody releases them.",
                  shards_quarantined);
    shards_family(api, page, GAUGE, "alluvium_shard_standby_hot",
                  "Of a replica kept here: 1 when it follows the end of the changelog.",
                  shards_is_hot);
    shards_family(api, page, GAUGE, "alluvium_shard_standby_lag_records",
                  "Of a replica kept here: changelog offsets behind the end that was last seen.",
                  shards_standby_lag);
    shards_family(api, page, GAUGE, "alluvium_shard_restored_records",
                  "Records read by the restore under way, or the last one.", shards_restored);
    shards_family(api, page, GAUGE, "alluvium_shard_restore_target_records",
                  "Records that restore had to read, at most.", shards_restore_target);
    shards_family(api, page, GAUGE, "alluvium_shard_restored_bytes",
                  "Keys and values of the records restored.", shards_restored_bytes);
    shards_family(api, page, GAUGE, "alluvium_shard_restore_eta_seconds",
                  "Until the restore under way is complete, at its pace so far.",
                  shards_restore_eta);
    shards_checkpoints(api, page);
}
