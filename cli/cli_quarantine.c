/* cli_quarantine.c — `alluvium quarantine list|release`: entities that were set aside because they kept failing. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_get.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_dead_letters_internal.h"
#include "include/alluvium/behavior.h"

#define QUARANTINE_TIMEOUT_MS 15000 /* above what a node takes to answer a command */
#define QUARANTINE_PAGE 500
#define QUARANTINE_WAIT_MS 20000 /* until the owner has executed a release that was written */
#define QUARANTINE_LOOK_MS 100

typedef struct quarantine_options {
    alv_cli_options common;
    const char *verb;
    const char *key;
    const char *node;
    const char *prefix;
    bool retry;
} quarantine_options;

/* A node to ask. */
typedef struct quarantine_run {
    const quarantine_options *options;
    alv_config *config;
    const char *address;
    alv_http_security security;
} quarantine_run;

enum {
    QUARANTINE_OPTION_PREFIX = 256,
    QUARANTINE_OPTION_RETRY
};

static const struct argp_option quarantine_argp_options[] = {
    {"node", 'n', "HOST:PORT", 0, "Ask this node instead of the one the configuration names", 0},
    {"prefix", QUARANTINE_OPTION_PREFIX, "PREFIX", 0,
     "list: only entities whose key begins with it", 0},
    {"retry", QUARANTINE_OPTION_RETRY, NULL, 0,
     "release: also put the commands that failed and waited back, in their order", 0},
    {0},
};

static void quarantine_take_word(quarantine_options *options, char *word, struct argp_state *state)
{
    static const char *const verbs[] = {"list", "release"};
    if (options->verb != NULL && options->key == NULL) {
        options->key = word;
        return;
    }
    for (size_t i = 0; i < 2 && options->verb == NULL; i++) {
        options->verb = strcmp(word, verbs[i]) == 0 ? verbs[i] : NULL;
    }
    if (options->verb == NULL) {
        const char *nearest = alv_nearest(word, verbs, 2);
        argp_error(state, "cannot \"%s\" a quarantine; did you mean \"%s\"?", word,
                   nearest != NULL ? nearest : "list");
    } else if (options->key != NULL) {
        argp_error(state, "one key at a time");
    }
}

static void quarantine_check(const quarantine_options *options, struct argp_state *state)
{
    if (options->verb == NULL) {
        argp_error(state, "say list or release");
    } else if (strcmp(options->verb, "list") == 0 && (options->key != NULL || options->retry)) {
        argp_error(state, "list takes no key, and --retry goes with release");
    } else if (strcmp(options->verb, "release") == 0 &&
               (options->key == NULL || options->prefix != NULL)) {
        argp_error(state, "release takes one key, and no --prefix");
    }
}

static error_t quarantine_parse(int key, char *argument, struct argp_state *state)
{
    quarantine_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case QUARANTINE_OPTION_PREFIX:
        options->prefix = argument;
        return 0;
    case QUARANTINE_OPTION_RETRY:
        options->retry = true;
        return 0;
    case ARGP_KEY_ARG:
        quarantine_take_word(options, argument, state);
        return 0;
    case ARGP_KEY_END:
        quarantine_check(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp quarantine_argp = {
    .options = quarantine_argp_options,
    .parser = quarantine_parse,
    .args_doc = "list\nrelease KEY",
    .doc =
        "Entities that were set aside because they kept failing for a technical reason.\v"
        "list     shows them, why, since when, and how many of their commands wait in the dead "
        "letters\n"
        "release  lets commands be executed again; those that wait stay in the dead letters, or, "
        "with --retry, are put back with it in one transaction, before anything that comes later\n"
        "Any node can be asked. Find out and mend what is wrong first: an entity that fails again "
        "is quarantined again.",
    .children = alv_cli_argp_children,
};

/* ---- asking ---------------------------------------------------------------------------------- */

/* What a node answers with status 200; NULL when it does not, which has then been said. */
static json_t *quarantine_read(const quarantine_run *run, alv_status status, int http_status,
                               const alv_bytes *body, const alv_error *err)
{
    const alv_cli_options *common = &run->options->common;
    if (status != ALV_OK) {
        (void)alv_cli_fail_error(common, err, "--node HOST:PORT names another node");
        return NULL;
    }
    json_t *answer = json_loadb(body->size == 0 ? "" : body->data, body->size, 0, NULL);
    if (http_status == 200 && answer != NULL) {
        return answer;
    }
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    (void)alv_cli_fail(common, ALV_EXIT_FAILED, http_status == 503 ? "try again in a moment" : NULL,
                       "HTTP status %d: %s", http_status,
                       detail != NULL ? detail : "no reason given");
    json_decref(answer);
    return NULL;
}

static json_t *quarantine_page(const quarantine_run *run, const char *prefix, int limit,
                               const char *cursor)
{
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    int http_status = 0;
    alv_bytes_append_text(&path, "/v1/quarantine?prefix=");
    alv_http_get_escape(alv_view_of(prefix), &path);
    alv_bytes_printf(&path, "&limit=%d%s%s", limit, cursor != NULL ? "&cursor=" : "",
                     cursor != NULL ? cursor : "");
    alv_bytes_append(&path, "", 1);
    alv_status status = alv_http_get(&run->security, run->address, path.data, QUARANTINE_TIMEOUT_MS,
                                     &http_status, &body, &err);
    json_t *page = quarantine_read(run, status, http_status, &body, &err);
    alv_bytes_done(&path);
    alv_bytes_done(&body);
    return page;
}

/* ---- list ------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *item, const char *name)
{
    const char *text = json_string_value(json_object_get(item, name));
    return text != NULL ? text : "";
}

static json_int_t number_of(const json_t *item, const char *name)
{
    return json_integer_value(json_object_get(item, name));
}

static void list_print(const quarantine_run *run, const json_t *entity)
{
    if (run->options->common.json) {
        (void)json_dumpf(entity, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    char since[ALV_TIMESTAMP_BYTES];
    const json_t *why = json_object_get(entity, "quarantine");
    (void)alv_timestamp_format(number_of(why, "since"), since); /* empty when it is no time */
    printf("%-24s  %s  %" JSON_INTEGER_FORMAT " wait  %s: %s\n", text_of(entity, "key"), since,
           number_of(why, "waiting"), text_of(why, "reason"), text_of(why, "detail"));
}

static int quarantine_list(const quarantine_run *run)
{
    const char *prefix = run->options->prefix != NULL ? run->options->prefix : "";
    char *cursor = NULL;
    size_t count = 0;
    do {
        json_t *page = quarantine_page(run, prefix, QUARANTINE_PAGE, cursor);
        alv_free(cursor);
        if (page == NULL) {
            return ALV_EXIT_FAILED;
        }
        size_t index = 0;
        json_t *entity = NULL;
        json_array_foreach(json_object_get(page, "quarantined"), index, entity)
        {
            list_print(run, entity);
            count++;
        }
        const char *next = json_string_value(json_object_get(page, "cursor"));
        cursor = next != NULL ? alv_strdup(next) : NULL;
        json_decref(page);
    } while (cursor != NULL);
    if (count == 0 && !run->options->common.json) {
        printf("no entity is quarantined\n");
    }
    return ALV_EXIT_DONE;
}

/* ---- release --------------------------------------------------------------------------------- */

static void release_print(const quarantine_run *run, json_int_t waiting, uint64_t retried)
{
    if (run->options->common.json) {
        json_t *answer = json_pack("{s:s, s:b, s:I, s:I}", "key", run->options->key, "released", 1,
                                   "waiting", waiting, "retried", (json_int_t)retried);
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        json_decref(answer);
        putchar('\n');
    } else if (run->options->retry) {
        printf("released, %" PRIu64 " put back\n", retried);
    } else {
        printf("released; %" JSON_INTEGER_FORMAT " of its commands are in the dead letters%s\n",
               waiting, waiting > 0 ? ": `alluvium dead-letters retry` puts them back" : "");
    }
}

static int release_refuse(const quarantine_run *run)
{
    return alv_cli_fail(&run->options->common, ALV_EXIT_FAILED,
                        "`alluvium quarantine list` shows which entities are",
                        "%s is not quarantined", run->options->key);
}

/* Over HTTP: the answer comes when it is committed. */
static int release_plainly(const quarantine_run *run)
{
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    int http_status = 0;
    alv_bytes_append_text(&path, "/v1/quarantine/");
    alv_http_get_escape(alv_view_of(run->options->key), &path);
    alv_bytes_append_text(&path, "/release");
    alv_bytes_append(&path, "", 1);
    alv_status status = alv_http_post(&run->security, run->address, path.data, ALV_VIEW(""), NULL,
                                      QUARANTINE_TIMEOUT_MS, &http_status, &body, &err);
    json_t *answer = quarantine_read(run, status, http_status, &body, &err);
    const json_t *reply = json_object_get(answer, "reply");
    int result = ALV_EXIT_FAILED;
    if (answer != NULL && json_is_true(json_object_get(reply, "released"))) {
        release_print(run, number_of(reply, "waiting"), 0);
        result = ALV_EXIT_DONE;
    } else if (answer != NULL) {
        result = release_refuse(run);
    }
    json_decref(answer);
    alv_bytes_done(&path);
    alv_bytes_done(&body);
    return result;
}

/* What is known of the entity: false when nothing could be learnt. *out_why is NULL when it is not quarantined, else
 * the caller's. */
static bool release_look(const quarantine_run *run, json_t **out_why)
{
    json_t *page = quarantine_page(run, run->options->key, 1, NULL);
    const json_t *first = json_array_get(json_object_get(page, "quarantined"), 0);
    bool is_it = strcmp(text_of(first, "key"), run->options->key) == 0;
    *out_why = is_it ? json_incref(json_object_get(first, "quarantine")) : NULL;
    json_decref(page);
    return page != NULL;
}

/* Until the owner has executed the release. It may have failed again meanwhile, which is another quarantine. */
static int release_wait(const quarantine_run *run, json_int_t since)
{
    const alv_clock *clock = alv_clock_system();
    int64_t deadline_us = alv_monotonic_us(clock) + (int64_t)QUARANTINE_WAIT_MS * 1000;
    json_t *why = NULL;
    while (release_look(run, &why) && why != NULL && number_of(why, "since") == since &&
           alv_monotonic_us(clock) < deadline_us) {
        json_decref(why);
        why = NULL;
        (void)poll(NULL, 0, QUARANTINE_LOOK_MS);
    }
    int status = ALV_EXIT_DONE;
    if (why != NULL && number_of(why, "since") == since) {
        status = alv_cli_fail(&run->options->common, ALV_EXIT_FAILED,
                              "it will be, in its turn; `alluvium status` tells what is wrong",
                              "the release is written, but not executed yet");
    } else if (why != NULL) {
        status = alv_cli_fail(&run->options->common, ALV_EXIT_FAILED,
                              "mend that; what waits is still in the dead letters, in its order",
                              "%s was released and has failed again: %s: %s", run->options->key,
                              text_of(why, "reason"), text_of(why, "detail"));
    }
    json_decref(why);
    return status;
}

/* The release and the commands go into the command topic in one transaction. Commands that arrived between the
 * look at the dead letters and that transaction are in the dead letters as well: they are put back behind. */
static int release_with_commands(const quarantine_run *run)
{
    json_t *why = NULL;
    if (!release_look(run, &why)) {
        return ALV_EXIT_FAILED;
    }
    if (why == NULL) {
        return release_refuse(run);
    }
    static letter_options letters; /* the choice of shards is large */
    letters = (letter_options){.common = run->options->common,
                               .verb = "retry",
                               .key = run->options->key,
                               .all = true,
                               .releases = true,
                               .origin_min = number_of(why, "offset")};
    uint64_t retried = 0;
    uint64_t late = 0;
    int status = alv_cli_letters_run(&letters, run->config, &retried);
    if (status == ALV_EXIT_DONE) {
        status = release_wait(run, number_of(why, "since"));
    }
    if (status == ALV_EXIT_DONE) {
        letters.is_late = true;
        status = alv_cli_letters_run(&letters, run->config, &late);
    }
    if (status == ALV_EXIT_DONE) {
        release_print(run, number_of(why, "waiting"), retried + late);
    }
    json_decref(why);
    return status;
}

/* ---- the subcommand -------------------------------------------------------------------------- */

static int quarantine_with(const quarantine_options *options, alv_config *config)
{
    quarantine_run run = {.options = options,
                          .config = config,
                          .address = alv_cli_node_address(&options->common, options->node, config)};
    if (run.address == NULL) {
        return ALV_EXIT_USAGE;
    }
    alv_http_security_init_client(alv_config_settings(config), &run.security);
    if (strcmp(options->verb, "list") == 0) {
        return quarantine_list(&run);
    }
    return options->retry ? release_with_commands(&run) : release_plainly(&run);
}

int alv_cli_quarantine_run(int argc, char **argv)
{
    quarantine_options options = {.verb = NULL};
    alv_cli_parse(&quarantine_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        status = alv_cli_finish(&options.common, quarantine_with(&options, config));
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
