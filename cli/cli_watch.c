/* cli_watch.c — `alluvium watch`: prints changes as they come, from whichever node is there.
 *
 * A stream that breaks goes on at another node of the cluster, with the id of the last change that was
 * printed: none is left out and none comes twice. The first node tells who the others are.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_follow.h"
#include "api/http_get.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cli_common.h"

#define WATCH_LEARN_TIMEOUT_MS 1000
#define WATCH_WAIT_SLICE_MS 100
#define WATCH_NODES_MAX 128

/* ---- options --------------------------------------------------------------------------------- */

typedef struct watch_options {
    alv_cli_options common;
    const char *node;
    const char *key;
    const char *prefix;
    const char *pattern;
    const char *last_event_id;
    int64_t count; /* 0 = no end */
} watch_options;

enum {
    WATCH_OPTION_PREFIX = 256,
    WATCH_OPTION_PATTERN,
    WATCH_OPTION_LAST_EVENT_ID
};

static const struct argp_option watch_argp_options[] = {
    {"prefix", WATCH_OPTION_PREFIX, "TEXT", 0, "All entities whose key begins with TEXT", 0},
    {"pattern", WATCH_OPTION_PATTERN, "GLOB", 0,
     "All whose key matches: * any run of characters, ? one, [a-z] one of these", 0},
    {"count", 'C', "N", 0, "End after N changes", 0},
    {"last-event-id", WATCH_OPTION_LAST_EVENT_ID, "ID", 0,
     "Go on behind the event with this id (see --json) instead of now", 0},
    {"node", 'n', "HOST:PORT", 0, "Ask this node first instead of the one the configuration names",
     0},
    {0},
};

static void watch_read_count(watch_options *options, const char *argument, struct argp_state *state)
{
    char *end = NULL;
    errno = 0;
    options->count = strtoll(argument, &end, 10);
    if (errno != 0 || *end != '\0' || options->count <= 0) {
        argp_error(state, "--count takes a number from 1 on, not \"%s\"", argument);
    }
}

static error_t watch_parse(int key, char *argument, struct argp_state *state)
{
    watch_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case WATCH_OPTION_PREFIX:
        options->prefix = argument;
        return 0;
    case WATCH_OPTION_PATTERN:
        options->pattern = argument;
        return 0;
    case WATCH_OPTION_LAST_EVENT_ID:
        options->last_event_id = argument;
        return 0;
    case 'C':
        watch_read_count(options, argument, state);
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one key; several are watched with --prefix or --pattern");
        }
        options->key = argument;
        return 0;
    case ARGP_KEY_END:
        if ((options->key != NULL) + (options->prefix != NULL) + (options->pattern != NULL) > 1) {
            argp_error(state, "KEY, --prefix and --pattern exclude each other");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp watch_argp = {
    .options = watch_argp_options,
    .parser = watch_parse,
    .args_doc = "[KEY]",
    .doc =
        "Prints committed changes as they come, until Ctrl-C.\v"
        "Without KEY, --prefix or --pattern all entities are watched. Each change is a line: its "
        "time, the key, the new state or \"deleted\". With --json a line is an object with id, key, "
        "type, shard, offset, at and state (null: deleted).\n\n"
        "Any node serves any entity. When the connection breaks, the watch goes on at another node "
        "of the cluster, without loss or repetition.",
    .children = alv_cli_argp_children,
};

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct watch_run {
    const watch_options *options;
    alv_http_security security;
    const char *first;                /* the address that was given */
    char *path;                       /* of the request */
    char *addresses[WATCH_NODES_MAX]; /* of the cluster, as far as it is known */
    size_t address_count;
    size_t current;
    size_t failed; /* nodes that failed since a stream was open */
    bool opened;   /* there was one */
    int64_t changes;
    alv_sse_parser parser;
    alv_backoff backoff;
} watch_run;

static volatile sig_atomic_t watch_stop;

static void on_stop_signal(int signal)
{
    (void)signal;
    watch_stop = 1;
}

static void watch_catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop_signal};
    (void)sigemptyset(&stop.sa_mask);
    int failed = sigaction(SIGTERM, &stop, NULL) | sigaction(SIGINT, &stop, NULL);
    ALV_ASSERT(failed == 0);
}

static char *watch_make_path(const watch_options *options)
{
    const char *name = "prefix";
    const char *text = options->prefix != NULL ? options->prefix : "";
    if (options->key != NULL) {
        name = "key";
        text = options->key;
    } else if (options->pattern != NULL) {
        name = "pattern";
        text = options->pattern;
    }
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes_printf(&path, "/v1/watch?%s=", name);
    alv_http_get_escape(alv_view_of(text), &path);
    alv_bytes_append(&path, "", 1);
    return path.data;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* The event's data is an object already; the id goes in front. */
static void print_json(const alv_sse_event *event)
{
    printf("{\"id\":\"%.*s\"", (int)event->id.size, event->id.data);
    if (event->type.size > 0) {
        printf(",\"event\":\"%.*s\"", (int)event->type.size, event->type.data);
    }
    putchar(',');
    (void)fwrite(event->data.data + 1, 1, event->data.size - 1, stdout);
    putchar('\n');
}

static void print_line(const json_t *change)
{
    json_t *state = json_object_get(change, "state");
    const char *at = json_string_value(json_object_get(change, "at"));
    const char *key = json_string_value(json_object_get(change, "key"));
    printf("%s %s ", at != NULL ? at : "-", key != NULL ? key : "-");
    if (state == NULL || json_is_null(state)) {
        (void)fputs("deleted", stdout);
    } else {
        (void)json_dumpf(state, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
    }
    putchar('\n');
}

static void print_reset(const watch_run *run, const json_t *reset)
{
    const char *reason = json_string_value(json_object_get(reset, "reason"));
    (void)alv_cli_fail(&run->options->common, ALV_EXIT_DONE,
                       "look up the state of what you watch; the watch goes on from now",
                       "changes may be missing: %s", reason != NULL ? reason : "no reason given");
}

/* Flushed at once, because somebody waits for it. A stdout that takes nothing ends the watch. */
static bool watch_hear(void *payload, const alv_sse_event *event)
{
    watch_run *run = payload;
    bool is_change = event->type.size == 0;
    json_t *data = json_loadb(event->data.data, event->data.size, 0, NULL);
    if (!json_is_object(data)) {
        json_decref(data);
        return true; /* of a newer version, perhaps */
    }
    if (run->options->common.json) {
        print_json(event);
    } else if (is_change) {
        print_line(data);
    } else if (alv_view_equal(event->type, ALV_VIEW("reset"))) {
        print_reset(run, data);
    }
    json_decref(data);
    run->changes += is_change;
    return alv_cli_printed() && (run->options->count == 0 || run->changes < run->options->count);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void watch_forget_nodes(watch_run *run)
{
    for (size_t i = 0; i < run->address_count; i++) {
        alv_free(run->addresses[i]);
    }
    run->address_count = 0;
}

static void watch_add_node(watch_run *run, const char *address)
{
    bool known = address == NULL || address[0] == '\0' || run->address_count == WATCH_NODES_MAX;
    for (size_t i = 0; i < run->address_count && !known; i++) {
        known = strcmp(run->addresses[i], address) == 0;
    }
    if (!known) {
        run->addresses[run->address_count++] = alv_strdup(address);
    }
}

/* The node that serves us stays the current one, and comes first; then the others of the cluster, and
 * the address that was given, which may be that of a proxy. */
static void watch_learn_nodes(watch_run *run, const json_t *cluster)
{
    char *current = alv_strdup(run->addresses[run->current]);
    size_t i;
    json_t *node;
    watch_forget_nodes(run);
    watch_add_node(run, current);
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        watch_add_node(run, json_string_value(json_object_get(node, "address")));
    }
    watch_add_node(run, run->first);
    run->current = 0;
    alv_free(current);
}

/* The stream is there: now is the time to ask who could take over. */
static void watch_opened(void *payload)
{
    watch_run *run = payload;
    alv_bytes body = ALV_BYTES_EMPTY;
    int http_status = 0;
    run->opened = true;
    run->failed = 0;
    alv_backoff_succeeded(&run->backoff);
    if (alv_http_get(&run->security, run->addresses[run->current], "/v1/cluster",
                     WATCH_LEARN_TIMEOUT_MS, &http_status, &body, NULL) == ALV_OK &&
        http_status == 200) {
        json_t *cluster = json_loadb(body.data, body.size, 0, NULL);
        watch_learn_nodes(run, cluster);
        json_decref(cluster);
    }
    alv_bytes_done(&body);
}

/* ---- going on -------------------------------------------------------------------------------- */

static void watch_wait(watch_run *run)
{
    const alv_clock *clock = alv_clock_system();
    int64_t until_ms = alv_backoff_failed(&run->backoff, alv_now_ms(clock));
    while (!watch_stop && alv_now_ms(clock) < until_ms) {
        (void)poll(NULL, 0, WATCH_WAIT_SLICE_MS);
    }
}

/* The next node; once all have failed, after a while. False: none has ever answered. */
static bool watch_go_on(watch_run *run, const alv_error *err)
{
    run->failed++;
    if (!run->opened && run->failed >= run->address_count) {
        return false;
    }
    run->current = (run->current + 1) % run->address_count;
    if (run->failed % run->address_count == 0) {
        watch_wait(run);
    }
    if (!watch_stop) {
        fprintf(stderr, "%s: %s; going on at %s\n", run->options->common.name, err->text,
                run->addresses[run->current]);
    }
    return true;
}

static int watch_follow(watch_run *run)
{
    for (;;) {
        alv_error err = ALV_ERROR_NONE;
        char *address = alv_strdup(run->addresses[run->current]); /* the list may be renewed */
        const alv_http_follow follow = {.security = &run->security,
                                        .address = address,
                                        .silent_ms = ALV_HTTP_FOLLOW_SILENT_MS,
                                        .path = run->path,
                                        .parser = &run->parser,
                                        .opened = watch_opened,
                                        .payload = run,
                                        .stop = &watch_stop};
        alv_status status = alv_http_follow_run(&follow, &err);
        alv_free(address);
        if (status == ALV_OK) {
            return ALV_EXIT_DONE;
        }
        if (status != ALV_RETRY || !watch_go_on(run, &err)) {
            return alv_cli_fail_error(&run->options->common, &err,
                                      run->options->node == NULL && status == ALV_RETRY
                                          ? "--node HOST:PORT names another node"
                                          : NULL);
        }
    }
}

static int watch_run_all(const watch_options *options, const alv_settings *settings,
                         const char *address)
{
    watch_run run = {.options = options, .first = address, .path = watch_make_path(options)};
    alv_http_security_init_client(settings, &run.security);
    alv_sse_parser_init(&run.parser, watch_hear, &run);
    if (options->last_event_id != NULL) {
        alv_bytes_set(&run.parser.id, options->last_event_id, strlen(options->last_event_id));
    }
    alv_backoff_init(&run.backoff, (uint64_t)alv_monotonic_us(alv_clock_system()));
    watch_add_node(&run, address);
    watch_catch_signals();
    int status = watch_follow(&run);
    watch_forget_nodes(&run);
    alv_sse_parser_done(&run.parser);
    alv_free(run.path);
    return alv_cli_finish(&options->common, status);
}

int alv_cli_watch_run(int argc, char **argv)
{
    watch_options options = {0};
    alv_cli_parse(&watch_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        const char *address = alv_cli_node_address(&options.common, options.node, config);
        if (address != NULL) {
            status = watch_run_all(&options, alv_config_settings(config), address);
        }
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
