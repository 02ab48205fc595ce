/* cli_bench.c — `alluvium bench`: what a running application takes, and whether it counts right meanwhile. */
#include <inttypes.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/cli_bench_internal.h"

#define BENCH_SECONDS 10
#define BENCH_USERS 1000
#define BENCH_IN_FLIGHT 64
#define BENCH_PATIENCE_MS 30000 /* afterwards; a shard may be on its way to another node */

enum {
    BENCH_OPTION_SECONDS = 256,
    BENCH_OPTION_RATE,
    BENCH_OPTION_USERS,
    BENCH_OPTION_IN_FLIGHT,
    BENCH_OPTION_NO_KEYS
};

static const struct argp_option bench_argp_options[] = {
    {"node", 'n', "HOST:PORT", 0, "Ask this node instead of the one the configuration names", 0},
    {"seconds", BENCH_OPTION_SECONDS, "N", 0, "Send for so long [10]", 0},
    {"rate", BENCH_OPTION_RATE, "N", 0,
     "Commands per second; 0: the next one as soon as one is answered [0]", 0},
    {"users", BENCH_OPTION_USERS, "N", 0, "Send to the users bench:1 to bench:N in turn [1000]", 0},
    {"in-flight", BENCH_OPTION_IN_FLIGHT, "N", 0, "At most so many commands under way [64]", 0},
    {"no-keys", BENCH_OPTION_NO_KEYS, NULL, 0,
     "Send without idempotency keys, which cost the node something", 0},
    {0},
};

static error_t bench_parse(int key, char *argument, struct argp_state *state)
{
    bench_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case BENCH_OPTION_SECONDS:
        options->seconds = alv_cli_number(state, "--seconds", argument, 0.1, 86400);
        return 0;
    case BENCH_OPTION_RATE:
        options->rate = alv_cli_number(state, "--rate", argument, 0, 1e6);
        return 0;
    case BENCH_OPTION_USERS:
        options->users = (uint64_t)alv_cli_number(state, "--users", argument, 1, 1e6);
        return 0;
    case BENCH_OPTION_IN_FLIGHT:
        options->in_flight =
            (size_t)alv_cli_number(state, "--in-flight", argument, 1, ALV_CLI_BENCH_IN_FLIGHT_MAX);
        return 0;
    case BENCH_OPTION_NO_KEYS:
        options->no_keys = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\": bench takes no arguments", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp bench_argp = {
    .options = bench_argp_options,
    .parser = bench_parse,
    .doc =
        "Loads a running application and tells how many commands it does and how long they take.\v"
        "Sends `add_balance` of 1 over HTTP and takes the time until the answer, which comes after "
        "the commit; with --rate from when the command was due. The users stay: use an "
        "application that is made for it.\n"
        "The balances are added up before and after: they must have grown by the number of "
        "commands that were done, plus at most those whose outcome is unknown (504, no answer), "
        "else the exit status is 1. So let no other bench run at the same time. Commands that "
        "are refused are counted by status and do not fail the run as long as some are done. "
        "Without idempotency keys (--no-keys) a command whose connection breaks may be sent twice.",
    .children = alv_cli_argp_children,
};

/* ---- the run --------------------------------------------------------------------------------- */

static int bench_verdict(const bench_options *options, const bench_result *result)
{
    if (!result->exact) {
        return alv_cli_fail(&options->common, ALV_EXIT_FAILED,
                            "was another bench at work, or the balances changed otherwise?",
                            "the balances have grown by %" PRIu64 ", not by %" PRIu64
                            " to %" PRIu64,
                            result->grown, result->done, result->done + result->unknown);
    }
    if (result->done == 0) {
        return alv_cli_fail(&options->common, ALV_EXIT_FAILED,
                            "`alluvium status` shows how the cluster is", "no command was done");
    }
    return ALV_EXIT_DONE;
}

static int bench_with(const bench_options *options, alv_cli_bench_pool *pool)
{
    uint64_t before = 0;
    uint64_t after = 0;
    alv_error err = ALV_ERROR_NONE;
    if (alv_cli_bench_balances(options, pool, 0, &before, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, "--node HOST:PORT names another node");
    }
    bench_result *result = alv_alloc(sizeof *result);
    alv_cli_bench_load(options, pool, result);
    alv_status status = alv_cli_bench_balances(options, pool, BENCH_PATIENCE_MS, &after, &err);
    int exit_status;
    if (status == ALV_OK) {
        result->grown = after - before;
        result->exact =
            result->grown >= result->done && result->grown <= result->done + result->unknown;
        alv_cli_bench_print(options, result);
        exit_status = bench_verdict(options, result);
    } else {
        exit_status = alv_cli_fail_error(&options->common, &err, NULL);
    }
    alv_free(result);
    return exit_status;
}

static int bench_run(const bench_options *options, const alv_config *config)
{
    const char *address = alv_cli_node_address(&options->common, options->node, config);
    if (address == NULL) {
        return ALV_EXIT_USAGE;
    }
    alv_http_security security;
    alv_cli_bench_pool *pool = NULL;
    alv_error err = ALV_ERROR_NONE;
    alv_http_security_init_client(alv_config_settings(config), &security);
    if (alv_cli_bench_pool_start(&security, address, options->in_flight, &pool, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    int status = bench_with(options, pool);
    alv_cli_bench_pool_free(pool);
    return alv_cli_finish(&options->common, status);
}

int alv_cli_bench_run(int argc, char **argv)
{
    bench_options options = {
        .seconds = BENCH_SECONDS, .users = BENCH_USERS, .in_flight = BENCH_IN_FLIGHT};
    alv_cli_parse(&bench_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        status = bench_run(&options, config);
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
