/* cli_status.c — `alluvium status`: nodes, shards, lags and progress of the whole cluster. */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "api/http_get.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_status_internal.h"

#define STATUS_TIMEOUT_MS 10000
#define STATUS_INTERVAL_S 2
#define STATUS_INTERVAL_MAX_S 3600

typedef struct status_options {
    alv_cli_options common;
    const char *node;
    bool watch;
    bool all;
    double interval_s;
    long count; /* with watch; 0 = for ever */
} status_options;

enum {
    STATUS_OPTION_INTERVAL = 256,
    STATUS_OPTION_COUNT
};

static const struct argp_option status_argp_options[] = {
    {"node", 'n', "HOST:PORT", 0, "Ask this node instead of the one the configuration names", 0},
    {"all", 'a', NULL, 0, "Show all shards, not only those that are not active", 0},
    {"watch", 'w', NULL, 0, "Show it again and again, in place on a terminal", 0},
    {"interval", STATUS_OPTION_INTERVAL, "SECONDS", 0, "Time between two looks [2]", 0},
    {"count", STATUS_OPTION_COUNT, "N", 0, "End after so many looks", 0},
    {0},
};

static error_t status_parse(int key, char *argument, struct argp_state *state)
{
    status_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case 'a':
        options->all = true;
        return 0;
    case 'w':
        options->watch = true;
        return 0;
    case STATUS_OPTION_INTERVAL:
        options->interval_s = alv_cli_number(state, NULL, argument, 0.1, STATUS_INTERVAL_MAX_S);
        return 0;
    case STATUS_OPTION_COUNT:
        options->count = (long)alv_cli_number(state, NULL, argument, 1, 1e9);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\": status takes no arguments", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp status_argp = {
    .options = status_argp_options,
    .parser = status_parse,
    .doc = "Shows the nodes of the cluster, and the shards that are not as they should be.\v"
           "LAG counts commands in Kafka that are not consumed yet; a standby's number is how many "
           "records of the changelog it is behind its owner. Any node tells about all of them; "
           "what a node does not answer is shown as \"-\" or unknown. With --json the answers of "
           "GET /v1/cluster and GET /v1/shards are printed, as {\"cluster\":...,\"shards\":...}.",
    .children = alv_cli_argp_children,
};

/* ---- asking ---------------------------------------------------------------------------------- */

/* The answer as JSON; NULL when there is none, which has then been said. */
static json_t *status_ask(const status_options *options, const alv_http_security *security,
                          const char *address, const char *path)
{
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    int http_status = 0;
    json_t *answer = NULL;
    if (alv_http_get(security, address, path, STATUS_TIMEOUT_MS, &http_status, &body, &err) !=
        ALV_OK) {
        (void)alv_cli_fail_error(&options->common, &err, "--node HOST:PORT names another node");
    } else {
        answer = json_loadb(body.size > 0 ? body.data : "", body.size, 0, NULL);
        if (http_status != 200 || answer == NULL) {
            const char *detail = json_string_value(json_object_get(answer, "detail"));
            (void)alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL,
                               "%s answers GET %s with HTTP status %d: %s", address, path,
                               http_status, detail != NULL ? detail : "no reason given");
            json_decref(answer);
            answer = NULL;
        }
    }
    alv_bytes_done(&body);
    return answer;
}

/* ---- showing --------------------------------------------------------------------------------- */

static void status_show_json(json_t *cluster, json_t *shards, bool one_line)
{
    json_t *both = json_pack("{s:O, s:O}", "cluster", cluster, "shards", shards);
    json_dumpf(both, stdout, one_line ? JSON_COMPACT : JSON_INDENT(2));
    putchar('\n');
    json_decref(both);
}

/* In place: the cursor goes home, each line ends with an erase, and the rest is erased at the end, so that
 * nothing flickers. */
static void status_show_text(const status_options *options, const json_t *cluster,
                             const json_t *shards)
{
    bool in_place = options->watch && isatty(STDOUT_FILENO) == 1;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_cli_status_print(cluster, shards, options->all, &text);
    if (in_place) {
        (void)fputs("\033[H", stdout);
    }
    for (size_t i = 0; i < text.size; i++) {
        if (in_place && text.data[i] == '\n') {
            (void)fputs("\033[K", stdout);
        }
        putchar(text.data[i]);
    }
    if (in_place) {
        (void)fputs("\033[J", stdout);
    }
    alv_bytes_done(&text);
}

static int status_look(const status_options *options, const alv_http_security *security,
                       const char *address)
{
    json_t *cluster = status_ask(options, security, address, "/v1/cluster");
    json_t *shards = cluster != NULL ? status_ask(options, security, address, "/v1/shards") : NULL;
    int status = shards != NULL ? ALV_EXIT_DONE : ALV_EXIT_FAILED;
    if (shards != NULL && options->common.json) {
        status_show_json(cluster, shards, options->watch);
    } else if (shards != NULL) {
        status_show_text(options, cluster, shards);
    }
    (void)fflush(stdout);
    json_decref(cluster);
    json_decref(shards);
    return status;
}

/* A node that does not answer for once does not end a watch: it is why somebody watches. */
static int status_watch(const status_options *options, const alv_http_security *security,
                        const char *address)
{
    int status = ALV_EXIT_DONE;
    if (isatty(STDOUT_FILENO) == 1 && !options->common.json) {
        (void)fputs("\033[2J", stdout);
    }
    for (long look = 1; options->count == 0 || look <= options->count; look++) {
        status = status_look(options, security, address);
        if (look != options->count) {
            (void)poll(NULL, 0, (int)(options->interval_s * 1000));
        }
    }
    return status;
}

static int status_run(const status_options *options, const alv_config *config)
{
    const char *address = alv_cli_node_address(&options->common, options->node, config);
    if (address == NULL) {
        return ALV_EXIT_USAGE;
    }
    alv_http_security security;
    alv_http_security_init_client(alv_config_settings(config), &security);
    int status = options->watch ? status_watch(options, &security, address)
                                : status_look(options, &security, address);
    return alv_cli_finish(&options->common, status);
}

int alv_cli_status_run(int argc, char **argv)
{
    status_options options = {.interval_s = STATUS_INTERVAL_S};
    alv_cli_parse(&status_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        status = status_run(&options, config);
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
