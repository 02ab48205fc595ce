/* cli_get.c — `alluvium get`: asks a node over HTTP for the state of an entity. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_get.h"
#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_progress.h"

#define GET_TIMEOUT_MS 15000 /* above what a node takes to ask another one */
#define GET_PAGE 500L        /* entities asked for at a time */

typedef struct get_options {
    alv_cli_options common;
    const char *key;
    const char *node;
    const char *prefix; /* a list instead of one key */
    const char *consistency;
    long limit; /* of a list; 0 = all */
} get_options;

enum {
    GET_OPTION_CONSISTENCY = 256,
    GET_OPTION_PREFIX,
    GET_OPTION_LIMIT
};

static const struct argp_option get_argp_options[] = {
    {"node", 'n', "HOST:PORT", 0, "Ask this node instead of the one the configuration names", 0},
    {"consistency", GET_OPTION_CONSISTENCY, "owner|any", 0,
     "any: a hot standby of the node may answer, which may be a little behind", 0},
    {"prefix", GET_OPTION_PREFIX, "PREFIX", 0,
     "List all entities whose key begins with it (empty: all), in key order", 0},
    {"limit", GET_OPTION_LIMIT, "N", 0, "--prefix: the first N only", 0},
    {0},
};

static void get_take_limit(get_options *options, const char *text, struct argp_state *state)
{
    char *end = NULL;
    options->limit = strtol(text, &end, 10);
    if (end == text || *end != '\0' || options->limit < 1) {
        argp_error(state, "--limit is a number above 0");
    }
}

static void get_check(const get_options *options, struct argp_state *state)
{
    if ((options->key != NULL) == (options->prefix != NULL)) {
        argp_error(state, options->key == NULL ? "whose state? Give a key, or --prefix"
                                               : "a key or --prefix, not both");
    } else if (options->key != NULL && options->limit > 0) {
        argp_error(state, "--limit goes with --prefix");
    } else if (options->consistency != NULL &&
               (options->prefix != NULL || (strcmp(options->consistency, "any") != 0 &&
                                            strcmp(options->consistency, "owner") != 0))) {
        argp_error(state, "--consistency is owner or any, of one key");
    }
}

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
    case GET_OPTION_CONSISTENCY:
        options->consistency = argument;
        return 0;
    case GET_OPTION_PREFIX:
        options->prefix = argument;
        return 0;
    case GET_OPTION_LIMIT:
        get_take_limit(options, argument, state);
        return 0;
    case ARGP_KEY_END:
        get_check(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp get_argp = {
    .options = get_argp_options,
    .parser = get_parse,
    .args_doc = "KEY\n--prefix PREFIX",
    .doc =
        "Prints the committed state of an entity, or of all whose key begins with a prefix.\v"
        "Any node answers for any entity. With --json the whole answer is printed, as the node "
        "gave it: shard, position and where it comes from. A list has one line per entity: key, tab, "
        "state; with --json an object.",
    .children = alv_cli_argp_children,
};

static int print_answer(const get_options *options, const alv_bytes *body)
{
    if (options->common.json) {
        (void)fwrite(body->data, 1, body->size, stdout);
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
    if (http_status == 404 && options->key != NULL) {
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
    if (options->consistency != NULL) {
        alv_bytes_printf(&path, "?consistency=%s", options->consistency);
    }
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

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_print(const get_options *options, json_t *entity)
{
    if (options->common.json) {
        (void)json_dumpf(entity, stdout, JSON_COMPACT);
    } else {
        printf("%s\t", json_string_value(json_object_get(entity, "key")));
        (void)json_dumpf(json_object_get(entity, "state"), stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    putchar('\n');
}

static void list_write_path(const get_options *options, const char *cursor, long left,
                            alv_bytes *path)
{
    long limit = options->limit > 0 && left < GET_PAGE ? left : GET_PAGE;
    alv_bytes_clear(path);
    alv_bytes_append_text(path, "/v1/entities?prefix=");
    alv_http_get_escape(alv_view_of(options->prefix), path);
    alv_bytes_printf(path, "&limit=%ld", limit);
    if (cursor != NULL) {
        alv_bytes_printf(path, "&cursor=%s", cursor);
    }
    alv_bytes_append(path, "", 1);
}

/* Prints a page; the cursor of the next one, NULL at the end. The caller frees it. */
static char *list_take_page(const get_options *options, const alv_bytes *body, uint64_t *count)
{
    json_t *answer = json_loadb(body->size == 0 ? "" : body->data, body->size, 0, NULL);
    size_t index = 0;
    json_t *entity = NULL;
    json_array_foreach(json_object_get(answer, "entities"), index, entity)
    {
        list_print(options, entity);
        ++*count;
    }
    const char *cursor = json_string_value(json_object_get(answer, "cursor"));
    char *copy = cursor != NULL ? alv_strdup(cursor) : NULL;
    json_decref(answer);
    return copy;
}

static int list_from(const get_options *options, const alv_settings *settings, const char *address)
{
    alv_http_security security;
    alv_http_security_init_client(settings, &security);
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_cli_progress progress;
    alv_cli_progress_init(&progress, "entities");
    char *cursor = NULL;
    uint64_t count = 0;
    int status = ALV_EXIT_DONE;
    do {
        alv_error err = ALV_ERROR_NONE;
        int http_status = 0;
        list_write_path(options, cursor, options->limit - (long)count, &path);
        alv_free(cursor);
        cursor = NULL;
        if (alv_http_get(&security, address, path.data, GET_TIMEOUT_MS, &http_status, &body,
                         &err) != ALV_OK) {
            status = alv_cli_fail_error(&options->common, &err, NULL);
        } else if (http_status == 200) {
            cursor = list_take_page(options, &body, &count);
            alv_cli_progress_update(&progress, count, -1);
        } else {
            status = fail_http(options, http_status, &body);
        }
    } while (cursor != NULL && (options->limit == 0 || (long)count < options->limit));
    alv_cli_progress_done(&progress);
    alv_free(cursor);
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
        const char *address = alv_cli_node_address(&options.common, options.node, config);
        if (address != NULL) {
            const alv_settings *settings = alv_config_settings(config);
            status = options.prefix != NULL ? list_from(&options, settings, address)
                                            : get_from(&options, settings, address);
            status = alv_cli_finish(&options.common, status);
        }
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
