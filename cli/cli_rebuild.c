/* cli_rebuild.c — `alluvium rebuild`: makes changelog and state anew when the changelog was lost. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "cli/cli.h"
#include "cli/cli_rebuild_internal.h"
#include "topics/kafka_repair.h"

enum {
    REBUILD_OPTION_FROM = 256,
    REBUILD_OPTION_YES,
    REBUILD_OPTION_WIPE,
    REBUILD_OPTION_ACCEPT_GAP,
    REBUILD_OPTION_ACCEPT_LOSS,
    REBUILD_OPTION_COMMANDS_FROM,
};

/* ---- options --------------------------------------------------------------------------------- */

static const struct argp_option rebuild_argp_options[] = {
    {"from", REBUILD_OPTION_FROM, "postgres|commands", 0, "Where the state comes from", 0},
    {"dry-run", 'n', NULL, 0, "Say what would be done", 0},
    {"yes", REBUILD_OPTION_YES, NULL, 0, "Do it", 0},
    {"wipe", REBUILD_OPTION_WIPE, NULL, 0, "Delete what changelog and ledger hold now", 0},
    {"commands-from", REBUILD_OPTION_COMMANDS_FROM, "committed|end", 0,
     "From postgres: go on behind what was consumed (unless given), or at the end of the commands",
     0},
    {"accept-loss", REBUILD_OPTION_ACCEPT_LOSS, NULL, 0,
     "From postgres: also when something is lost that is known: rows without a state, changes that a "
     "changelog has and PostgreSQL has not",
     0},
    {"accept-gap", REBUILD_OPTION_ACCEPT_GAP, NULL, 0,
     "From commands: also when the topic no longer has all of them", 0},
    {0},
};

/* True for `first`, false for `second`; anything else is wrong usage. */
static bool rebuild_choice(const char *argument, const char *first, const char *second,
                           struct argp_state *state)
{
    if (strcmp(argument, first) != 0 && strcmp(argument, second) != 0) {
        argp_error(state, "\"%s\": say %s or %s", argument, first, second);
    }
    return strcmp(argument, first) == 0;
}

static void rebuild_check(const rebuild_options *options, struct argp_state *state)
{
    if (options->from == REBUILD_FROM_NOTHING) {
        argp_error(state, "say --from postgres or --from commands");
    } else if (options->yes == options->dry_run) {
        argp_error(state, "say --dry-run to see what would be done, or --yes to do it");
    } else if (options->from == REBUILD_FROM_POSTGRES && options->accept_gap) {
        argp_error(state, "--accept-gap is for --from commands");
    } else if (options->from == REBUILD_FROM_COMMANDS &&
               (options->accept_loss || options->commands_from)) {
        argp_error(state, "--accept-loss and --commands-from are for --from postgres");
    }
}

static error_t rebuild_parse(int key, char *argument, struct argp_state *state)
{
    rebuild_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case REBUILD_OPTION_FROM:
        options->from = rebuild_choice(argument, "postgres", "commands", state)
                            ? REBUILD_FROM_POSTGRES
                            : REBUILD_FROM_COMMANDS;
        return 0;
    case 'n':
        options->dry_run = true;
        return 0;
    case REBUILD_OPTION_YES:
        options->yes = true;
        return 0;
    case REBUILD_OPTION_WIPE:
        options->wipe = true;
        return 0;
    case REBUILD_OPTION_COMMANDS_FROM:
        options->commands_from = true;
        options->commands_end = rebuild_choice(argument, "end", "committed", state);
        return 0;
    case REBUILD_OPTION_ACCEPT_LOSS:
        options->accept_loss = true;
        return 0;
    case REBUILD_OPTION_ACCEPT_GAP:
        options->accept_gap = true;
        return 0;
    case ARGP_KEY_END:
        rebuild_check(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp rebuild_argp = {
    .options = rebuild_argp_options,
    .parser = rebuild_parse,
    .doc =
        "Makes the changelog anew when it was lost. All nodes must be stopped.\v"
        "From postgres: every row becomes a record of the changelog. What was changed after the last "
        "checkpoint (postgres.interval.ms, longer if PostgreSQL was away) is lost: those commands were "
        "consumed and do not run again, because to run a command twice counts twice. Nodes go on behind "
        "what was consumed; when nobody knows that any more, --commands-from end skips what is in the "
        "command topic.\n"
        "\n"
        "From commands: nodes run all commands again, from the first one, on empty state. Right only while "
        "the command topic still has all of them. Rows in PostgreSQL are deleted and written anew; replies, "
        "events and dead letters are written a second time.\n"
        "\n"
        "Afterwards every node needs an empty state.dir: what it holds belongs to the old changelog. A "
        "rebuild that was interrupted must be run again, with --wipe, before a node starts.",
    .children = alv_cli_argp_children,
};

/* ---- carrying it out ------------------------------------------------------------------------- */

/* From postgres the ledger stays, unless it says that commands were consumed which no longer are. */
static size_t rebuild_topics_to_wipe(const rebuild_plan *plan, alv_topic out[ALV_TOPIC_COUNT])
{
    const rebuild_options *options = plan->options;
    size_t count = 0;
    if (!options->wipe || alv_cli_rebuild_records(plan) == 0) {
        return 0;
    }
    out[count++] = ALV_TOPIC_CHANGELOG;
    if (options->from == REBUILD_FROM_COMMANDS || options->commands_end) {
        out[count++] = ALV_TOPIC_LEDGER;
    }
    return count;
}

/* In this order a node that is started after an interruption loses nothing that is not lost already: as long
 * as the ledger is there, it goes on where it was. */
static alv_status rebuild_carry_out(rebuild_plan *plan, alv_error *err)
{
    const rebuild_options *options = plan->options;
    alv_topic topics[ALV_TOPIC_COUNT];
    size_t count = rebuild_topics_to_wipe(plan, topics);
    alv_status status = ALV_OK;
    if (options->from == REBUILD_FROM_COMMANDS || options->commands_end) {
        status = alv_kafka_forget_offsets(plan->config, plan->shard_count, err);
    }
    if (status == ALV_OK && options->from == REBUILD_FROM_COMMANDS && plan->durable != NULL) {
        status = alv_durable_rows_clear(plan->durable, err);
    }
    if (status == ALV_OK) {
        status = alv_kafka_recreate_topics(plan->config, topics, count, err);
    }
    if (status == ALV_OK && options->from == REBUILD_FROM_POSTGRES) {
        status = alv_cli_rebuild_write_rows(plan, err);
    }
    return status;
}

static int rebuild_report(const rebuild_plan *plan, bool done)
{
    if (plan->options->common.json) {
        alv_cli_rebuild_print_json(plan, done);
        return ALV_EXIT_DONE;
    }
    if (!done) {
        alv_cli_rebuild_print(plan);
        puts("nothing was done; --yes instead of --dry-run does it");
    } else if (plan->options->from == REBUILD_FROM_POSTGRES) {
        printf("%" PRIu64 " rows are in the changelog now; start the nodes, each with an empty "
               "state.dir\n",
               plan->written);
    } else {
        printf("start the nodes, each with an empty state.dir: they run %" PRId64 " commands\n",
               alv_cli_rebuild_replays(plan));
    }
    return ALV_EXIT_DONE;
}

static int rebuild_with(rebuild_plan *plan)
{
    const rebuild_options *options = plan->options;
    alv_error err = ALV_ERROR_NONE;
    if (alv_cli_rebuild_plan(plan, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, "nothing was done");
    }
    if (options->dry_run) {
        return rebuild_report(plan, false);
    }
    if (!options->common.json) {
        alv_cli_rebuild_print(plan);
    }
    if (rebuild_carry_out(plan, &err) != ALV_OK) {
        return alv_cli_fail_error(
            &options->common, &err,
            "half of it may be done: run it again, with --wipe, before a node starts");
    }
    return rebuild_report(plan, true);
}

static void rebuild_close(rebuild_plan *plan)
{
    if (plan->durable != NULL) {
        plan->durable->ops->close(plan->durable);
    }
    if (plan->reader != NULL) {
        plan->reader->ops->close(plan->reader);
    }
    if (plan->log != NULL) {
        plan->log->ops->close(plan->log);
    }
    alv_free(plan->shards);
}

static int rebuild_run(const rebuild_options *options, const alv_config *config)
{
    alv_error err = ALV_ERROR_NONE;
    rebuild_plan plan = {
        .options = options, .config = config, .settings = alv_config_settings(config)};
    if (plan.settings->postgres_url != NULL) {
        plan.durable = alv_durable_postgres_new(plan.settings);
    } else if (options->from == REBUILD_FROM_POSTGRES) {
        return alv_cli_fail(&options->common, ALV_EXIT_USAGE, NULL, "postgres.url is not set");
    }
    int status = ALV_EXIT_FAILED;
    if (alv_kafka_open(config, &plan.log, &err) != ALV_OK ||
        plan.log->ops->open_reader(plan.log, "rebuild", &plan.reader, &err) != ALV_OK) {
        (void)alv_cli_fail_error(&options->common, &err, NULL);
    } else {
        status = rebuild_with(&plan);
    }
    rebuild_close(&plan);
    return status;
}

int alv_cli_rebuild_run(int argc, char **argv)
{
    rebuild_options options = {0};
    alv_cli_parse(&rebuild_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        alv_log_set_level(ALV_LOG_ERROR); /* librdkafka's chat is not for this reader */
        status = alv_cli_finish(&options.common, rebuild_run(&options, config));
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
