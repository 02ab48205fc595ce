/* cli_node.c — `alluvium node`: one node, from its first log line to its exit status. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "api/control.h"
#include "api/twin.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/logger.h"
#include "behaviors/builtin.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "processor/library.h"
#include "processor/node.h"
#include "processor/orphans.h"
#include "processor/readdress.h"
#include "processor/takeover.h"

/* ---- options --------------------------------------------------------------------------------- */

typedef struct node_options {
    alv_cli_options common;
    bool print_config;
    bool help_config;
} node_options;

enum {
    NODE_OPTION_PRINT_CONFIG = 256,
    NODE_OPTION_HELP_CONFIG
};

static const struct argp_option node_argp_options[] = {
    {"print-config", NODE_OPTION_PRINT_CONFIG, NULL, 0,
     "Print every setting, its value and where that came from, and exit", 0},
    {"help-config", NODE_OPTION_HELP_CONFIG, NULL, 0,
     "Print every setting, its default and what it means, and exit", 0},
    {0},
};

static error_t node_parse(int key, char *argument, struct argp_state *state)
{
    node_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case NODE_OPTION_PRINT_CONFIG:
        options->print_config = true;
        return 0;
    case NODE_OPTION_HELP_CONFIG:
        options->help_config = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\": a setting is given with -X KEY=VALUE", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp node_argp = {
    .options = node_argp_options,
    .parser = node_parse,
    .doc = "Runs a node until it is told to stop (SIGTERM, SIGINT).\v"
           "A stop drains what is under way, commits it and hands the shards to the other nodes; a "
           "second signal ends the process at once, which loses nothing either.",
    .children = alv_cli_argp_children,
};

/* ---- signals --------------------------------------------------------------------------------- */

static volatile sig_atomic_t node_signals;

static void on_stop_signal(int signal)
{
    (void)signal;
    int saved_errno = errno;
    if (node_signals++ > 0) {
        _exit(ALV_EXIT_FAILED);
    }
    alv_node_request_stop();
    errno = saved_errno;
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&stop.sa_mask);
    (void)sigemptyset(&ignore.sa_mask);
    int failed = sigaction(SIGTERM, &stop, NULL) | sigaction(SIGINT, &stop, NULL) |
                 sigaction(SIGPIPE, &ignore, NULL);
    ALV_ASSERT(failed == 0);
}

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct node_run {
    const alv_cli_options *common;
    alv_config *config;
    const alv_settings *settings;
    alv_registry *registry;
    alv_library *libraries; /* with behaviors that the registry has */
    alv_node *node;
    alv_api *api;
    alv_takeover *takeover; /* NULL without failover.evict */
    alv_orphans *orphans;
    alv_control *control; /* NULL when state.dir takes no socket */

    /* Keeps the HTTP server from asking a node that is being taken apart. */
    pthread_mutex_t lock;
    bool stopping;
} node_run;

static bool run_is_ready(void *payload, char *why, size_t size)
{
    node_run *run = payload;
    bool ready = false;
    pthread_mutex_lock(&run->lock);
    if (run->stopping) {
        (void)snprintf(why, size, "the node is stopping");
    } else {
        ready = alv_node_ready(run->node, why, size);
    }
    pthread_mutex_unlock(&run->lock);
    return ready;
}

static bool run_set_paused(void *payload, int32_t shard, bool paused,
                           void (*done)(void *payload, alv_status status), void *done_payload)
{
    node_run *run = payload;
    pthread_mutex_lock(&run->lock);
    bool taken =
        !run->stopping && alv_node_set_paused(run->node, shard, paused, done, done_payload);
    pthread_mutex_unlock(&run->lock);
    return taken;
}

/* The lock is held throughout, because a stop frees the checkpointer. */
static bool run_checkpoints(void *payload, alv_checkpointer_status *out_status,
                            int64_t *out_positions)
{
    node_run *run = payload;
    pthread_mutex_lock(&run->lock);
    bool known = !run->stopping && alv_node_checkpoints(run->node, out_status, out_positions);
    pthread_mutex_unlock(&run->lock);
    return known;
}

/* On lane threads, which run only while the API does. */
static void run_assignment_changed(void *payload)
{
    node_run *run = payload;
    if (run->api != NULL) {
        alv_api_peers_changed(run->api);
    }
}

/* On lane threads, as above. Without an API nobody waits here; another node may. */
static void run_replied(void *payload, alv_reply_box *box)
{
    node_run *run = payload;
    if (run->api != NULL) {
        alv_api_replied(run->api, box);
    }
}

static void run_log_start(const node_run *run)
{
    const alv_settings *settings = run->settings;
    alv_log(ALV_LOG_INFO, "start", "version=%s node=%s application=%s kafka=%s state_dir=%s",
            ALV_VERSION, settings->node_id, settings->application_id, settings->bootstrap_servers,
            settings->state_dir);
}

static void run_warn_of_exposed(const node_run *run)
{
    const char *key = alv_config_exposed(run->config);
    if (key != NULL) {
        alv_log(ALV_LOG_WARN, "secret-exposed",
                "setting=%s msg=\"everybody on this host can see what -X says: write "
                "${file:PATH} or ${env:NAME} there\"",
                key);
    }
}

static alv_status run_make_registry(node_run *run, alv_error *err)
{
    run->registry = alv_registry_new();
    alv_status status = alv_builtin_register(run->registry, err);
    if (status == ALV_OK) {
        status = alv_library_load(run->settings->behavior_libraries, run->registry, &run->libraries,
                                  err);
    }
    for (const alv_library *one = run->libraries; one != NULL; one = one->next) {
        alv_log(ALV_LOG_INFO, "library", "path=%s name=\"%s\" version=\"%s\" behaviors=%zu",
                one->path, one->table.name, one->table.version, one->table.behavior_count);
    }
    if (status == ALV_OK) {
        status = alv_registry_set_default(run->registry, run->settings->behavior_default, err);
    }
    return status;
}

static alv_status run_open_node(node_run *run, alv_error *err)
{
    const alv_node_options options = {
        .config = run->config,
        .registry = run->registry,
        .clock = alv_clock_system(),
        .assignment_changed = run_assignment_changed,
        .replied = run_replied,
        .payload = run,
    };
    return alv_node_open(&options, &run->node, err);
}

/* The lanes tell the group the address that is bound here; with port 0 it is known only now. */
static alv_status run_advertise(node_run *run, alv_error *err)
{
    const char *bound = alv_api_advertise(run->api);
    if (run->settings->http_advertise != NULL &&
        strcmp(run->settings->http_advertise, bound) == 0) {
        return ALV_OK;
    }
    char *assignment = alv_format("http.advertise=%s", bound);
    alv_status status = alv_config_set(run->config, assignment, err);
    alv_free(assignment);
    return status;
}

static void run_node_dead(void *payload, const char *node_id)
{
    node_run *run = payload;
    alv_takeover_dead(run->takeover, node_id);
}

static void run_node_cleared(void *payload, const char *node_id)
{
    node_run *run = payload;
    alv_takeover_cleared(run->takeover, node_id);
}

static alv_status run_start_takeover(node_run *run, alv_error *err)
{
    if (!run->settings->failover_evict) {
        return ALV_OK;
    }
    const alv_takeover_options options = {.config = run->config, .clock = alv_clock_system()};
    return alv_takeover_start(&options, &run->takeover, err);
}

static alv_status run_start_orphans(node_run *run, alv_error *err)
{
    const alv_orphans_options options = {.config = run->config, .clock = alv_clock_system()};
    return alv_orphans_start(&options, &run->orphans, err);
}

/* On the API's thread that asks the group. */
static void run_members_known(void *payload, const alv_members *members)
{
    node_run *run = payload;
    alv_node_members_known(run->node, members);
    alv_orphans_see(run->orphans, members);
}

/* Who has this node's seats: another process that runs, which is refused, or what an earlier one left. */
static alv_status run_find_former(node_run *run, alv_error *err)
{
    alv_members members;
    alv_status status = alv_twin_check(run->api, &members, err);
    if (status == ALV_OK) {
        alv_readdress(run->config, &members);
    }
    alv_members_done(&members);
    return status;
}

static alv_status run_start_api(node_run *run, alv_error *err)
{
    if (strcmp(run->settings->http_listen, "none") == 0) {
        if (run->settings->failover_evict) {
            alv_log(ALV_LOG_WARN, "failover-slow",
                    "msg=\"http.listen=none: nodes cannot hear each other, so a dead one is "
                    "noticed only when its session times out\"");
        }
        return ALV_OK;
    }
    const alv_api_options options = {
        .settings = run->settings,
        .config = run->config,
        .store = alv_node_store(run->node),
        .directory = alv_node_directory(run->node),
        .registry = run->registry,
        .clock = alv_clock_system(),
        .tables = alv_node_global_tables(run->node),
        .ready = run_is_ready,
        .ready_payload = run,
        .meter = alv_node_meter(run->node),
        .set_paused = run_set_paused,
        .set_paused_payload = run,
        .checkpoints = run_checkpoints,
        .checkpoints_payload = run,
        .node_dead = run_node_dead,
        .node_cleared = run_node_cleared,
        .node_payload = run,
        .members_known = run_members_known,
        .members_known_payload = run,
    };
    alv_status status = alv_api_start(&options, &run->api, err);
    if (status == ALV_OK) {
        status = run_advertise(run, err);
    }
    return status == ALV_OK ? run_find_former(run, err) : status;
}

/* A node works without; only backup and verify cannot ask it. */
static void run_start_control(node_run *run)
{
    const alv_control_options options = {.state_dir = run->settings->state_dir,
                                         .node_id = run->settings->node_id,
                                         .store = alv_node_store(run->node)};
    alv_error err = ALV_ERROR_NONE;
    if (alv_control_start(&options, &run->control, &err) != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "control-off", &err,
                      "msg=\"backup and verify need the node to be stopped\"");
    }
}

/* Runs until the stop and stops. The API stays until the lanes have left, so that requests for their
 * shards are answered to the last. */
static alv_status run_serve(node_run *run, alv_error *err)
{
    alv_status status = alv_node_start(run->node, err);
    if (status != ALV_OK) {
        return status;
    }
    if (run->api != NULL) {
        alv_api_open_watch(run->api, alv_node_log(run->node), alv_node_changelog_id(run->node));
    }
    status = alv_node_wait(run->node, err);

    pthread_mutex_lock(&run->lock);
    run->stopping = true;
    pthread_mutex_unlock(&run->lock);

    alv_log(ALV_LOG_INFO, "stopping", "node=%s", run->settings->node_id);
    alv_error stop_err = ALV_ERROR_NONE;
    if (alv_node_stop(run->node, &stop_err) != ALV_OK) {
        /* Threads that did not end are still at work: nothing may be freed under them. */
        (void)alv_cli_fail_error(run->common, &stop_err,
                                 "stopped at once instead; the state on disk is good");
        _exit(ALV_EXIT_FAILED);
    }
    return status;
}

static int run_all(node_run *run)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = run_make_registry(run, &err);
    status = status == ALV_OK ? run_open_node(run, &err) : status;
    if (status == ALV_OK) {
        run_start_control(run);
    }
    status = status == ALV_OK ? run_start_takeover(run, &err) : status;
    status = status == ALV_OK ? run_start_orphans(run, &err) : status;
    status = status == ALV_OK ? run_start_api(run, &err) : status;
    status = status == ALV_OK ? run_serve(run, &err) : status;
    alv_api_stop(run->api);
    alv_takeover_stop(run->takeover);
    alv_orphans_stop(run->orphans);
    alv_control_stop(run->control);
    alv_node_close(run->node);
    alv_registry_free(run->registry);
    alv_library_close(run->libraries);
    if (status != ALV_OK && !(status == ALV_RETRY && node_signals > 0)) {
        return alv_cli_fail_error(run->common, &err, NULL);
    }
    alv_log(ALV_LOG_INFO, "stopped", "node=%s", run->settings->node_id);
    return ALV_EXIT_DONE;
}

/* ---- the subcommand -------------------------------------------------------------------------- */

static alv_log_level log_level(const char *name)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int level = ALV_LOG_ERROR; level < ALV_LOG_DEBUG; level++) {
        if (strcmp(name, names[level]) == 0) {
            return (alv_log_level)level;
        }
    }
    return ALV_LOG_DEBUG;
}

static int run_node(const alv_cli_options *common, alv_config *config)
{
    node_run run = {
        .common = common,
        .config = config,
        .settings = alv_config_settings(config),
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    alv_log_set_level(log_level(run.settings->log_level));
    alv_log_set_thread("main");
    catch_signals();
    run_log_start(&run);
    run_warn_of_exposed(&run);
    const char *fault = getenv("ALLUVIUM_FAULT"); /* of tests: see base/fault.h */
    alv_error err = ALV_ERROR_NONE;
    if (alv_fault_arm(fault, &err) != ALV_OK) {
        return alv_cli_fail_error(common, &err, "unset ALLUVIUM_FAULT");
    }
    if (fault != NULL) {
        alv_log(ALV_LOG_WARN, "fault-armed", "place=%s msg=\"this process will end there\"", fault);
    }
    int status = run_all(&run);
    (void)pthread_mutex_destroy(&run.lock);
    return status;
}

static int print_and_finish(const alv_cli_options *options, alv_bytes *text)
{
    (void)fwrite(text->data, 1, text->size, stdout);
    if (text->size > 0 && text->data[text->size - 1] != '\n') {
        putchar('\n');
    }
    alv_bytes_done(text);
    return alv_cli_finish(options, ALV_EXIT_DONE);
}

static int print_config(const alv_cli_options *options, const alv_config *config)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_config_print(config, options->json, &text);
    return print_and_finish(options, &text);
}

static int print_help_config(const alv_cli_options *options)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_config_describe(&text);
    return print_and_finish(options, &text);
}

int alv_cli_node_run(int argc, char **argv)
{
    node_options options = {.print_config = false};
    alv_cli_parse(&node_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    if (options.help_config) {
        status = print_help_config(&options.common);
    } else {
        alv_config *config = alv_cli_config(&options.common);
        if (config != NULL) {
            status = options.print_config ? print_config(&options.common, config)
                                          : run_node(&options.common, config);
        }
        alv_config_free(config);
    }
    alv_cli_options_done(&options.common);
    return status;
}
