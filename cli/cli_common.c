#include "cli/cli_common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum {
    COMMON_OPTION_LIST = 1024 /* above those of the subcommands */
};

static const struct argp_option common_options[] = {
    {"config", 'c', "FILE", 0, "Read settings from this .properties file", 10},
    {NULL, 'X', "KEY=VALUE", 0, "Set one of them; wins over the file. May be repeated", 10},
    {"json", 'j', NULL, 0, "Print JSON, for programs", 10},
    {"list-options", COMMON_OPTION_LIST, NULL, OPTION_HIDDEN, "For shells that complete", 10},
    {0},
};

static void add_assignment(alv_cli_options *options, const char *assignment)
{
    size_t size = (options->assignment_count + 1) * sizeof(*options->assignments);
    options->assignments = alv_realloc(options->assignments, size);
    options->assignments[options->assignment_count++] = assignment;
}

/* ---- what a shell may complete --------------------------------------------------------------- */

static void list_option(const struct argp_option *option)
{
    const char *doc = option->doc != NULL ? option->doc : "";
    if ((option->flags & (OPTION_HIDDEN | OPTION_DOC)) != 0) {
        return;
    }
    if (option->name != NULL) {
        printf("--%s\t%s\n", option->name, doc);
    } else if (option->key > ' ' && option->key < 0x7f) {
        printf("-%c\t%s\n", option->key, doc);
    }
}

/* "create|check|describe" are words to choose from; "KEY" is none. */
static void list_words(const char *args_doc)
{
    const char *bar = args_doc != NULL ? strchr(args_doc, '|') : NULL;
    if (bar == NULL) {
        return;
    }
    for (const char *at = args_doc; *at != '\0';) {
        size_t size = strcspn(at, "| \n");
        printf("%.*s\n", (int)size, at);
        at += size;
        at = *at == '|' ? at + 1 : "";
    }
}

/* argp_parse puts an argp of its own around a subcommand's, with --help.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as argps of this program have children */
static void list_all(const struct argp *argp)
{
    list_words(argp->args_doc);
    const struct argp_option *option = argp->options;
    for (; option != NULL && (option->name != NULL || option->key != 0 || option->doc != NULL);
         option++) {
        list_option(option);
    }
    const struct argp_child *child = argp->children;
    for (; child != NULL && child->argp != NULL; child++) {
        list_all(child->argp);
    }
}

static void list_and_exit(const struct argp *argp)
{
    list_all(argp);
    exit(alv_cli_printed() ? ALV_EXIT_DONE : ALV_EXIT_FAILED);
}

/* ---- options --------------------------------------------------------------------------------- */

static error_t common_parse(int key, char *argument, struct argp_state *state)
{
    alv_cli_options *options = state->input;
    switch (key) {
    case ARGP_KEY_FINI: /* the name is not there before */
        options->name = state->name;
        return 0;
    case 'c':
        options->config_path = argument;
        return 0;
    case 'X':
        add_assignment(options, argument);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    case COMMON_OPTION_LIST:
        list_and_exit(state->root_argp);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp alv_cli_argp = {.options = common_options, .parser = common_parse};

const struct argp_child alv_cli_argp_children[] = {
    {.argp = &alv_cli_argp, .header = "Everywhere:", .group = 10},
    {0},
};

void alv_cli_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    argp_err_exit_status = ALV_EXIT_USAGE;
    error_t error = argp_parse(argp, argc, argv, 0, NULL, input);
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
        exit(ALV_EXIT_USAGE);
    }
}

void alv_cli_options_done(alv_cli_options *options)
{
    alv_free(options->assignments);
    *options = (alv_cli_options){0};
}

static alv_status apply_file(alv_config *config, const char *path, alv_error *err)
{
    alv_properties properties = {0};
    alv_status status = alv_properties_load(path, &properties, err);
    if (status == ALV_OK) {
        status = alv_config_apply(config, &properties, path, err);
    }
    alv_properties_done(&properties);
    return status;
}

alv_config *alv_cli_config(const alv_cli_options *options)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    alv_status status = ALV_OK;
    if (options->config_path != NULL) {
        status = apply_file(config, options->config_path, &err);
    }
    for (size_t i = 0; status == ALV_OK && i < options->assignment_count; i++) {
        status = alv_config_set(config, options->assignments[i], &err);
    }
    if (status == ALV_OK) {
        status = alv_config_finish(config, &err);
    }
    if (status != ALV_OK) {
        (void)alv_cli_fail_error(options, &err, NULL);
        alv_config_free(config);
        return NULL;
    }
    return config;
}

int alv_cli_fail(const alv_cli_options *options, alv_exit status, const char *next_step,
                 const char *format, ...)
{
    (void)fflush(stdout); /* what was printed so far stays in front of the message */
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", options->name);
    (void)vfprintf(stderr, format, arguments); /* if not there, then nowhere */
    (void)fputc('\n', stderr);
    va_end(arguments);
    if (next_step != NULL) {
        fprintf(stderr, "%s: %s\n", options->name, next_step);
    }
    return (int)status;
}

int alv_cli_fail_error(const alv_cli_options *options, const alv_error *err, const char *next_step)
{
    return alv_cli_fail(options, ALV_EXIT_FAILED, next_step, "%s", err->text);
}

double alv_cli_number(struct argp_state *state, const char *option, const char *argument,
                      double low, double high)
{
    char *end = NULL;
    errno = 0;
    double number = strtod(argument, &end);
    if (errno != 0 || end == argument || *end != '\0' || !(number >= low && number <= high)) {
        argp_error(state, "%s%s\"%s\" is not a number from %.9g to %.9g",
                   option != NULL ? option : "", option != NULL ? ": " : "", argument, low, high);
    }
    return number;
}

const char *alv_cli_node_address(const alv_cli_options *options, const char *given,
                                 const alv_config *config)
{
    const alv_settings *settings = alv_config_settings(config);
    if (given != NULL) {
        return given;
    }
    if (strcmp(settings->http_listen, "none") == 0) {
        (void)alv_cli_fail(options, ALV_EXIT_USAGE, "--node HOST:PORT names another",
                           "http.listen=none: this node has no HTTP API to ask");
        return NULL;
    }
    return settings->http_advertise != NULL ? settings->http_advertise : settings->http_listen;
}

bool alv_cli_printed(void)
{
    errno = 0;
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

int alv_cli_finish(const alv_cli_options *options, int status)
{
    if (!alv_cli_printed() && status == ALV_EXIT_DONE) {
        return alv_cli_fail(options, ALV_EXIT_FAILED, NULL, "cannot write the result: %s",
                            errno != 0 ? strerror(errno) : "not all of it was taken");
    }
    return status;
}
