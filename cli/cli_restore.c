/* cli_restore.c — `alluvium restore`: puts a backup into an empty state.dir. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_progress.h"
#include "statestore/backup.h"

typedef struct restore_options {
    alv_cli_options common;
    const char *directory;
} restore_options;

static error_t restore_parse(int key, char *argument, struct argp_state *state)
{
    restore_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one directory at a time");
        }
        options->directory = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "from where? Give the directory of a backup");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp restore_argp = {
    .parser = restore_parse,
    .args_doc = "DIR",
    .doc =
        "Puts the backup in DIR into state.dir, which must be empty or absent.\v"
        "The node that starts on it goes on from the backup's positions and reads what came after "
        "them from the changelog. Any node of the application may take it. The backup stays as it "
        "is.\n"
        "A shard that has changed since, and whose backup is older than tombstone.retention.ms, "
        "may miss deletions: the node restores it whole from the changelog.",
    .children = alv_cli_argp_children,
};

static void restore_progress(void *payload, int64_t bytes_done, int64_t bytes_total)
{
    double fraction = bytes_total > 0 ? (double)bytes_done / (double)bytes_total : 1;
    alv_cli_progress_update(payload, (uint64_t)bytes_done, fraction);
}

/* Shards that a node continues only when nothing was written to them since (changelog/restorer.c). */
static size_t restore_count_old(const alv_backup *backup, const alv_settings *settings)
{
    int64_t now_ms = alv_now_ms(alv_clock_system());
    size_t count = 0;
    for (size_t i = 0; i < backup->shard_count; i++) {
        const alv_backup_shard *shard = &backup->shards[i];
        bool has_data = shard->position.changelog > 0 || shard->position.ledger > 0;
        count += shard->is_readable && has_data &&
                 now_ms - shard->position.at_ms > settings->tombstone_retention_ms;
    }
    return count;
}

static void restore_print(const restore_options *options, const alv_settings *settings,
                          const alv_backup *backup)
{
    char taken[ALV_CLOCK_TEXT_BYTES];
    size_t old = restore_count_old(backup, settings);
    if (options->common.json) {
        json_t *report =
            json_pack("{s:s, s:I, s:s, s:I, s:I}", "stateDir", settings->state_dir, "shards",
                      (json_int_t)backup->shard_count, "node", backup->node_id, "takenAt",
                      (json_int_t)backup->taken_at_ms, "old", (json_int_t)old);
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(report);
        return;
    }
    printf("%zu shards of %s as of %s are in %s now; start the node\n", backup->shard_count,
           backup->node_id, alv_clock_format(backup->taken_at_ms, taken), settings->state_dir);
    if (old > 0) {
        printf(
            "%zu of them are older than tombstone.retention.ms: those that have changed since are "
            "restored whole from the changelog\n",
            old);
    }
}

static alv_status restore_do(const restore_options *options, const alv_settings *settings,
                             const alv_backup *backup, alv_error *err)
{
    alv_cli_progress progress;
    alv_cli_progress_init(&progress, "bytes copied");
    alv_status status = alv_backup_restore(backup, options->directory, settings->application_id,
                                           settings->state_dir, restore_progress, &progress, err);
    alv_cli_progress_done(&progress);
    return status;
}

static int restore_run(const restore_options *options, const alv_settings *settings)
{
    alv_error err = ALV_ERROR_NONE;
    alv_backup backup = ALV_BACKUP_NONE;
    int status = ALV_EXIT_DONE;
    if (alv_backup_read(options->directory, &backup, &err) != ALV_OK) {
        status = alv_cli_fail_error(&options->common, &err, NULL);
    } else if (restore_do(options, settings, &backup, &err) != ALV_OK) {
        status = alv_cli_fail_error(&options->common, &err,
                                    "state.dir is as before, or can be restored to again");
    } else {
        restore_print(options, settings, &backup);
    }
    alv_backup_done(&backup);
    return status;
}

int alv_cli_restore_run(int argc, char **argv)
{
    restore_options options = {.directory = NULL};
    alv_cli_parse(&restore_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        alv_log_set_level(ALV_LOG_ERROR);
        status =
            alv_cli_finish(&options.common, restore_run(&options, alv_config_settings(config)));
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
