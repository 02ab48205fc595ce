/* cli_get.c — `alluvium get`: asks a node over HTTP for the state of an entity. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/http_get.h"
#include "cli/cli.h"
#include "cli/cli_common.h"

#define GET_TIMEOUT_MS 10000 /* above what a node takes to ask another one */

typedef struct get_options {
    alv_cli_options common;
    const char *key;
    const char *node;
} get_options;

static const struct argp_option get_argp_options[] = {
    {"node", 'n', "HOST:PORT", 0, "Ask this node instead of the one the configuration names", 0},
    {0},
};

static error_t get_parse(int key, char *argument, struct argp_state *state)
{
    get_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one key at a time");
        }
        options->key = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "whose state? Give a key");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp get_argp = {
    .options = get_argp_options,
    .parser = get_parse,
    .args_doc = "KEY",
    .doc = "Prints the committed state of an entity.\v"
           "Any node answers for any entity. With --json the whole answer is printed, as the node "
           "gave it: shard, position and where it comes from.",
    .children = alv_cli_argp_children,
};

/* The address to ask: given, or of the node that this configuration describes; NULL when it has none. */
static const char *get_address(const get_options *options, const alv_config *config)
{
    if (options->node != NULL) {
        return options->node;
    }
    const alv_settings *settings = alv_config_settings(config);
    if (strcmp(settings->http_listen, "none") == 0) {
        return NULL;
    }
    return settings->http_advertise != NULL ? settings->http_advertise : settings->http_listen;
}

static int print_answer(const get_options *options, const alv_bytes *body)
{
    if (options->common.json) {
        fwrite(body->data, 1, body->size, stdout);
        putchar('\n');
        return ALV_EXIT_DONE;
    }
    json_t *answer = json_loadb(body->size == 0 ? "" : body->data, body->size, 0, NULL);
    json_t *state = json_object_get(answer, "state");
    int status = ALV_EXIT_DONE;
    if (state != NULL) {
        json_dumpf(state, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        putchar('\n');
    } else {
        status = alv_cli_fail(&options->common, ALV_EXIT_FAILED, "is that an Alluvium node?",
                              "the answer has no state");
    }
    json_decref(answer);
    return status;
}

/* What a refusal says about itself (application/problem+json), or else its HTTP status. */
static int fail_http(const get_options *options, int http_status, const alv_bytes *body)
{
    json_t *problem = json_loadb(body->size == 0 ? "" : body->data, body->size, 0, NULL);
    const char *text = json_string_value(json_object_get(problem, "detail"));
    if (text == NULL) {
        text = json_string_value(json_object_get(problem, "title"));
    }
    const char *next_step = http_status == 503 ? "try again in a moment" : NULL;
    int status;
    if (http_status == 404) {
        status = alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL, "no such entity: %s",
                              options->key);
    } else {
        status = alv_cli_fail(&options->common, ALV_EXIT_FAILED, next_step, "HTTP status %d: %s",
                              http_status, text != NULL ? text : "no reason given");
    }
    json_decref(problem);
    return status;
}

static int get_from(const get_options *options, const alv_settings *settings, const char *address)
{
    alv_http_security security;
    alv_http_security_init_client(settings, &security);
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&path, "/v1/entities/");
    alv_http_get_escape(alv_view_of(options->key), &path);
    alv_bytes_append(&path, "", 1); /* the NUL */
    alv_error err = ALV_ERROR_NONE;
    int http_status = 0;
    int status;
    if (alv_http_get(&security, address, path.data, GET_TIMEOUT_MS, &http_status, &body, &err) !=
        ALV_OK) {
        status = alv_cli_fail_error(&options->common, &err,
                                    options->node == NULL ? "--node HOST:PORT names another node"
                                                          : NULL);
    } else if (http_status == 200) {
        status = print_answer(options, &body);
    } else {
        status = fail_http(options, http_status, &body);
    }
    alv_bytes_done(&path);
    alv_bytes_done(&body);
    return status;
}

int alv_cli_get_run(int argc, char **argv)
{
    get_options options = {0};
    alv_cli_parse(&get_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        const char *address = get_address(&options, config);
        if (address == NULL) {
            status = alv_cli_fail(&options.common, ALV_EXIT_USAGE, "--node HOST:PORT names another",
                                  "http.listen=none: this node has no HTTP API to ask");
        } else {
            status = alv_cli_finish(&options.common,
                                    get_from(&options, alv_config_settings(config), address));
        }
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
