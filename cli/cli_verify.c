/* cli_verify.c — `alluvium verify`: store and PostgreSQL hold what the changelog says (I2, I5). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/cli_verify_internal.h"
#include "topics/kafka.h"

#define VERIFY_LIMIT_DEFAULT 20
#define VERIFY_LIMIT_MAX 1000000

/* ---- options --------------------------------------------------------------------------------- */

typedef struct verify_options {
    alv_cli_options common;
    alv_cli_shards shards;
    size_t limit;
} verify_options;

static const struct argp_option verify_argp_options[] = {
    {"shards", 's', "LIST", 0, "Only these, such as 3 or 0,4-7", 0},
    {"limit", 'l', "N", 0, "Name at most N differences; 20 unless given", 0},
    {0},
};

static void verify_set_limit(verify_options *options, const char *argument,
                             struct argp_state *state)
{
    char *end = NULL;
    long limit = strtol(argument, &end, 10);
    if (end == argument || *end != '\0' || limit < 0 || limit > VERIFY_LIMIT_MAX) {
        argp_error(state, "--limit takes a number from 0 to %d, not \"%s\"", VERIFY_LIMIT_MAX,
                   argument);
        return;
    }
    options->limit = (size_t)limit;
}

static error_t verify_parse(int key, char *argument, struct argp_state *state)
{
    verify_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 's':
        if (!alv_cli_shards_add(&options->shards, argument)) {
            argp_error(state, "\"%s\" is no list of shards; write 3 or 0,4-7", argument);
        }
        return 0;
    case 'l':
        verify_set_limit(options, argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp verify_argp = {
    .options = verify_argp_options,
    .parser = verify_parse,
    .doc =
        "Compares the local store and the rows in PostgreSQL with the changelog.\v"
        "Each is compared at its own position: to be behind is not to be wrong. A running "
        "node is asked for a checkpoint of its store, and goes on working: run the command on its "
        "machine, as the same user.\n"
        "STORE and POSTGRES are the numbers of states that are as they must be, or say why nothing "
        "was compared: none (there is nothing), in-use (by a node that cannot be asked), old (a node restores it), "
        "corrupt (the same), ahead (the changelog ends before it).\n"
        "Exit status: 0 no differences, 1 differences or nothing to compare, 2 wrong usage.",
    .children = alv_cli_argp_children,
};

/* ---- what is compared ------------------------------------------------------------------------ */

/* A node that cannot be asked leaves PostgreSQL to be compared. */
static int sources_open_state(verify_sources *sources, const verify_options *options)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_cli_state_open(&sources->state, sources->settings, false, &err);
    if (status == ALV_RETRY) {
        sources->store_in_use = true;
        (void)alv_cli_fail_error(&options->common, &err, "its store is not compared");
        return ALV_EXIT_DONE;
    }
    return status == ALV_OK ? ALV_EXIT_DONE : alv_cli_fail_error(&options->common, &err, NULL);
}

static void sources_close(verify_sources *sources)
{
    alv_cli_state_close(&sources->state);
    if (sources->durable != NULL) {
        sources->durable->ops->close(sources->durable);
    }
    if (sources->reader != NULL) {
        sources->reader->ops->close(sources->reader);
    }
}

/* ---- the report ------------------------------------------------------------------------------ */

static void report_add_findings(verify_report *report, int32_t shard, const alv_verifier *verifier)
{
    size_t count = 0;
    const alv_verify_difference *differences = alv_verifier_differences(verifier, &count);
    for (size_t i = 0; i < count && report->finding_count < report->finding_limit; i++) {
        size_t size = (report->finding_count + 1) * sizeof(*report->findings);
        report->findings = alv_realloc(report->findings, size);
        verify_finding *finding = &report->findings[report->finding_count++];
        *finding = (verify_finding){
            .key = alv_strndup(differences[i].key.data, differences[i].key.size),
            .shard = shard,
            .difference = differences[i],
        };
        finding->difference.key = ALV_VIEW_NONE;
        alv_utf8_repair(finding->key);
    }
}

static void report_done(verify_report *report)
{
    for (size_t i = 0; i < report->finding_count; i++) {
        alv_free(report->findings[i].key);
    }
    alv_free(report->findings);
    alv_free(report->shards);
}

static int report_print(const verify_report *report, const verify_options *options)
{
    if (options->common.json) {
        alv_cli_verify_print_json(report);
    } else {
        alv_cli_verify_print(report);
    }
    if (alv_cli_verify_differences(report) > 0) {
        return ALV_EXIT_FAILED;
    }
    if (!alv_cli_verify_compared(report)) {
        return alv_cli_fail(&options->common, ALV_EXIT_FAILED,
                            "set state.dir or postgres.url, or look on another machine",
                            "there is nothing to compare the changelog with");
    }
    return ALV_EXIT_DONE;
}

/* ---- run ------------------------------------------------------------------------------------- */

static int verify_shards(verify_sources *sources, const verify_options *options,
                         int32_t shard_count, verify_report *report)
{
    alv_cli_progress_init(&sources->progress, "records read");
    report->shards = alv_alloc_array((size_t)shard_count, sizeof(*report->shards));
    for (int32_t shard = 0; shard < shard_count; shard++) {
        if (!alv_cli_shards_has(&options->shards, shard)) {
            continue;
        }
        alv_error err = ALV_ERROR_NONE;
        alv_verifier *verifier = NULL;
        sources->fraction = (double)shard / shard_count;
        if (alv_cli_verify_shard(sources, shard, &report->shards[report->shard_count], &verifier,
                                 &err) != ALV_OK) {
            alv_cli_progress_done(&sources->progress);
            return alv_cli_fail_error(&options->common, &err, NULL);
        }
        report->shard_count++;
        report_add_findings(report, shard, verifier);
        alv_verifier_free(verifier);
    }
    alv_cli_progress_done(&sources->progress);
    return ALV_EXIT_DONE;
}

static int verify_with(verify_sources *sources, const verify_options *options, int32_t shard_count)
{
    verify_report report = {.finding_limit = options->limit};
    int status = sources_open_state(sources, options);
    if (status == ALV_EXIT_DONE) {
        if (sources->settings->postgres_url != NULL) {
            sources->durable = alv_durable_postgres_new(sources->settings);
        }
        status = verify_shards(sources, options, shard_count, &report);
    }
    if (status == ALV_EXIT_DONE && !alv_cli_state_holds(&sources->state)) {
        status = alv_cli_fail(&options->common, ALV_EXIT_FAILED, "run it again",
                              "the node stopped while its state was compared");
    }
    if (status == ALV_EXIT_DONE) {
        status = report_print(&report, options);
    }
    report_done(&report);
    return status;
}

/* The number of shards, or 0 when the changelog is not there, which has then been said. */
static int32_t verify_shard_count(const verify_options *options, const alv_config *config)
{
    alv_topic_info topics[ALV_TOPICS_MAX];
    memset(topics, 0, sizeof(topics));
    alv_error err = ALV_ERROR_NONE;
    if (alv_kafka_describe_topics(config, ALV_ACCESS_OPERATOR, topics, &err) != ALV_OK) {
        (void)alv_cli_fail_error(&options->common, &err, NULL);
        return 0;
    }
    const alv_topic_info *changelog = &topics[ALV_TOPIC_CHANGELOG];
    if (!changelog->exists) {
        (void)alv_cli_fail(&options->common, ALV_EXIT_FAILED,
                           "`alluvium rebuild --help` tells how to make it anew",
                           "there is no topic %s", changelog->name);
        return 0;
    }
    return changelog->shards;
}

static int verify_run(const verify_options *options, const alv_config *config)
{
    verify_sources sources = {.settings = alv_config_settings(config)};
    alv_error err = ALV_ERROR_NONE;
    int32_t shard_count = verify_shard_count(options, config);
    if (shard_count == 0) {
        return ALV_EXIT_FAILED;
    }
    if (alv_cli_shards_last(&options->shards) >= shard_count) {
        return alv_cli_fail(&options->common, ALV_EXIT_USAGE, NULL,
                            "there is no shard %" PRId32 ": there are %" PRId32 ", from 0 on",
                            alv_cli_shards_last(&options->shards), shard_count);
    }
    alv_log_port *log = NULL;
    int status = ALV_EXIT_FAILED;
    if (alv_kafka_open(config, &log, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    if (log->ops->open_reader(log, "verify", &sources.reader, &err) == ALV_OK) {
        status = verify_with(&sources, options, shard_count);
    } else {
        (void)alv_cli_fail_error(&options->common, &err, NULL);
    }
    sources_close(&sources);
    log->ops->close(log);
    return status;
}

int alv_cli_verify_run(int argc, char **argv)
{
    verify_options options = {.limit = VERIFY_LIMIT_DEFAULT};
    alv_cli_parse(&verify_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        alv_log_set_level(
            ALV_LOG_ERROR); /* RocksDB's and librdkafka's chat is not for this reader */
        status = alv_cli_finish(&options.common, verify_run(&options, config));
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
