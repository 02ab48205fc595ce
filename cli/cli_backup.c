/* cli_backup.c — `alluvium backup`: copies the state of this configuration's node to a directory. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_progress.h"
#include "cli/cli_state.h"
#include "statestore/backup.h"

typedef struct backup_options {
    alv_cli_options common;
    const char *directory;
} backup_options;

static error_t backup_parse(int key, char *argument, struct argp_state *state)
{
    backup_options *options = state->input;
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
        argp_error(state, "where to? Give a directory");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp backup_argp = {
    .parser = backup_parse,
    .args_doc = "DIR",
    .doc =
        "Copies the state in state.dir to DIR, which must be empty or absent.\v"
        "While a node uses state.dir it makes a checkpoint for this, and goes on working; run the "
        "command on the same machine, as the same user. Each shard is copied with the position "
        "that it is complete to. On the file system of state.dir the backup is hard links and "
        "takes no space at first; on another one it survives the loss of the disk.\n"
        "`alluvium restore DIR` puts it back.",
    .children = alv_cli_argp_children,
};

static void backup_progress(void *payload, int64_t bytes_done, int64_t bytes_total)
{
    double fraction = bytes_total > 0 ? (double)bytes_done / (double)bytes_total : 1;
    alv_cli_progress_update(payload, (uint64_t)bytes_done, fraction);
}

static void backup_print_shards(const alv_backup *backup)
{
    printf("%-6s %12s %12s %12s  %s\n", "SHARD", "COMMANDS", "CHANGELOG", "LEDGER", "WRITTEN");
    for (size_t i = 0; i < backup->shard_count; i++) {
        const alv_backup_shard *shard = &backup->shards[i];
        const alv_position *at = &shard->position;
        char written[ALV_CLOCK_TEXT_BYTES];
        if (!shard->is_readable) {
            printf("%-6" PRId32 " damaged in state.dir as well: a node restores it\n",
                   shard->shard);
            continue;
        }
        printf("%-6" PRId32 " %12" PRId64 " %12" PRId64 " %12" PRId64 "  %s\n", shard->shard,
               at->commands, at->changelog, at->ledger,
               at->at_ms > 0 ? alv_clock_format(at->at_ms, written) : "never");
    }
}

static void backup_print(const backup_options *options, const alv_backup *backup)
{
    if (options->common.json) {
        json_t *report = alv_backup_json(backup);
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(report);
        return;
    }
    backup_print_shards(backup);
    printf("%zu shards of %s in %s: %zu files, %" PRId64 " bytes\n", backup->shard_count,
           backup->node_id, options->directory, backup->file_count, backup->bytes);
}

static alv_status backup_write(const backup_options *options, const alv_settings *settings,
                               const alv_cli_state *state, alv_backup *out, alv_error *err)
{
    const alv_backup_source source = {
        .checkpoint = state->checkpoint,
        .state_dir = settings->state_dir,
        .application_id = settings->application_id,
        .node_id = state->node_id,
        .taken_at_ms = alv_now_ms(alv_clock_system()),
    };
    alv_cli_progress progress;
    alv_cli_progress_init(&progress, "bytes copied");
    alv_status status =
        alv_backup_write(&source, options->directory, backup_progress, &progress, out, err);
    alv_cli_progress_done(&progress);
    if (status != ALV_OK && !alv_cli_state_holds(state)) {
        alv_error_clear(err);
        return alv_fail(err, ALV_RETRY, "the node stopped while its state was copied");
    }
    return status;
}

static int backup_run(const backup_options *options, const alv_settings *settings)
{
    alv_error err = ALV_ERROR_NONE;
    alv_backup backup = ALV_BACKUP_NONE;
    alv_cli_state state;
    if (alv_cli_state_open(&state, settings, true, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    int status = ALV_EXIT_FAILED;
    if (state.source == ALV_CLI_STATE_NONE) {
        status = alv_cli_fail(&options->common, ALV_EXIT_FAILED,
                              "-c FILE or -X state.dir=DIR names the node's",
                              "there is no state in %s", settings->state_dir);
    } else if (backup_write(options, settings, &state, &backup, &err) != ALV_OK) {
        (void)alv_cli_fail_error(&options->common, &err,
                                 "what was written so far is no backup; remove it");
    } else {
        backup_print(options, &backup);
        status = ALV_EXIT_DONE;
    }
    alv_backup_done(&backup);
    alv_cli_state_close(&state);
    return status;
}

int alv_cli_backup_run(int argc, char **argv)
{
    backup_options options = {.directory = NULL};
    alv_cli_parse(&backup_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        alv_log_set_level(ALV_LOG_ERROR); /* RocksDB's chat is not for this reader */
        status = alv_cli_finish(&options.common, backup_run(&options, alv_config_settings(config)));
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
