/* cli_behavior.c — `alluvium behavior check LIBRARY`: what a library of behaviors offers, and whether a node
 * would take it.
 *
 * It is loaded as a node loads it, beside the built-in behaviors, so what this accepts a node accepts.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "behaviors/builtin.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "processor/library.h"
#include "testkit/test_run.h"

typedef struct behavior_options {
    alv_cli_options common;
    const char *path;
} behavior_options;

static error_t behavior_parse(int key, char *argument, struct argp_state *state)
{
    behavior_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0 && strcmp(argument, "check") != 0) {
            argp_error(state, "cannot \"%s\" behaviors; there is check", argument);
        } else if (state->arg_num == 1) {
            options->path = argument;
        } else if (state->arg_num > 1) {
            argp_error(state, "one library at a time");
        }
        return 0;
    case ARGP_KEY_END:
        if (options->path == NULL) {
            argp_error(state, "say: check LIBRARY");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp behavior_argp = {
    .parser = behavior_parse,
    .args_doc = "check LIBRARY",
    .doc =
        "Checks a library of behaviors.\v"
        "check     loads a shared object as a node does that has it in behavior.libraries, and "
        "lists its behaviors, their commands and jobs, and runs the tests that are in it; exit status 1 if "
        "a node would refuse it or a test fails",
    .children = alv_cli_argp_children,
};

/* ---- what it offers ---------------------------------------------------------------------------- */

static const char *field_kind_name(alv_field_kind kind)
{
    static const char *const names[] = {
        [ALV_FIELD_TEXT] = "text",       [ALV_FIELD_BOOLEAN] = "boolean",
        [ALV_FIELD_INTEGER] = "integer", [ALV_FIELD_POSITIVE] = "positive",
        [ALV_FIELD_OBJECT] = "object",   [ALV_FIELD_ARRAY] = "array",
    };
    return names[kind]; /* the registry has checked it */
}

static json_t *fields_to_json(const alv_command_row *row)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ALV_FIELDS_MAX && row->fields[i].kind != ALV_FIELD_NONE; i++) {
        const alv_field *field = &row->fields[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", field->name, "kind",
                                              field_kind_name(field->kind), "optional",
                                              (int)field->optional));
    }
    return list;
}

static json_t *behavior_to_json(const alv_behavior *behavior)
{
    json_t *commands = json_array();
    for (size_t i = 0; i < behavior->command_count; i++) {
        const alv_command_row *row = &behavior->commands[i];
        json_array_append_new(
            commands, json_pack("{s:s, s:o}", "name", row->name, "fields", fields_to_json(row)));
    }
    json_t *singletons = json_array();
    for (size_t i = 0; i < behavior->singleton_count; i++) {
        const alv_singleton *job = &behavior->singletons[i];
        json_array_append_new(singletons,
                              json_pack("{s:s, s:s, s:I}", "id", job->id, "command", job->command,
                                        "everyMs", (json_int_t)job->every_ms));
    }
    return json_pack("{s:s, s:I, s:o, s:o, s:I}", "type", behavior->type, "stateVersion",
                     (json_int_t)alv_registry_state_version(behavior), "commands", commands,
                     "singletons", singletons, "expireAfterMs",
                     (json_int_t)behavior->expire_after_ms);
}

static void test_to_json(void *payload, const alv_test_case *test, const char *report)
{
    json_array_append_new(payload, json_pack("{s:s, s:b, s:s}", "name", test->name, "passed",
                                             (int)(report[0] == '\0'), "report", report));
}

/* Of the registry and not of the table, which may be of another size. */
static json_t *library_to_json(const alv_library *library, const alv_registry *registry,
                               size_t *out_failed)
{
    json_t *behaviors = json_array();
    const alv_behavior *behavior;
    for (size_t i = 0; (behavior = alv_registry_at(registry, i)) != NULL; i++) {
        if (alv_registry_origin(registry, i).library == library->path) {
            json_array_append_new(behaviors, behavior_to_json(behavior));
        }
    }
    json_t *tests = json_array();
    *out_failed =
        alv_test_run_each(library->table.tests, library->table.test_count, test_to_json, tests);
    json_t *answer =
        json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "library", library->path, "name",
                  library->table.name, "version", library->table.version, "abi",
                  (json_int_t)library->table.abi, "behaviors", behaviors, "tests", tests);
    ALV_ASSERT(answer != NULL);
    return answer;
}

/* ---- for people -------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

static void print_command(const json_t *command)
{
    const json_t *fields = json_object_get(command, "fields");
    printf(json_array_size(fields) > 0 ? "  %-24s" : "  %s", text_of(command, "name"));
    size_t index;
    json_t *field;
    json_array_foreach(fields, index, field)
    {
        printf("%s%s %s%s", index == 0 ? "" : ", ", text_of(field, "name"), text_of(field, "kind"),
               json_is_true(json_object_get(field, "optional")) ? " (optional)" : "");
    }
    putchar('\n');
}

static void print_behavior(const json_t *behavior)
{
    printf("\n%s, state version %" JSON_INTEGER_FORMAT "\n", text_of(behavior, "type"),
           json_integer_value(json_object_get(behavior, "stateVersion")));
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(behavior, "commands"), index, item)
    {
        print_command(item);
    }
    json_array_foreach(json_object_get(behavior, "singletons"), index, item)
    {
        printf("  job %s/%s: %s every %" JSON_INTEGER_FORMAT " ms\n", text_of(behavior, "type"),
               text_of(item, "id"), text_of(item, "command"),
               json_integer_value(json_object_get(item, "everyMs")));
    }
    json_int_t after_ms = json_integer_value(json_object_get(behavior, "expireAfterMs"));
    if (after_ms > 0) {
        printf("  expires after %" JSON_INTEGER_FORMAT " ms without a change\n", after_ms);
    }
}

/* A report has lines of its own, which go under the test's. */
static void print_test(const json_t *test)
{
    printf("  %-6s%s\n", json_is_true(json_object_get(test, "passed")) ? "ok" : "FAIL",
           text_of(test, "name"));
    for (const char *at = text_of(test, "report"); *at != '\0';) {
        size_t size = strcspn(at, "\n");
        printf("        %.*s\n", (int)size, at);
        at += at[size] == '\n' ? size + 1 : size;
    }
}

static void print_library(const json_t *library)
{
    printf("%s: %s %s\n", text_of(library, "library"), text_of(library, "name"),
           text_of(library, "version"));
    size_t index;
    json_t *behavior;
    json_array_foreach(json_object_get(library, "behaviors"), index, behavior)
    {
        print_behavior(behavior);
    }
    json_t *test;
    json_array_foreach(json_object_get(library, "tests"), index, test)
    {
        (void)fputs(index == 0 ? "\ntests\n" : "", stdout);
        print_test(test);
    }
}

/* ---- check ------------------------------------------------------------------------------------- */

static int check_print(const behavior_options *options, const alv_library *library,
                       const alv_registry *registry)
{
    size_t failed = 0;
    json_t *answer = library_to_json(library, registry, &failed);
    if (options->common.json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_library(answer);
    }
    json_decref(answer);
    return failed == 0 ? ALV_EXIT_DONE
                       : alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL,
                                      "%zu of %zu tests failed", failed, library->table.test_count);
}

static int check(const behavior_options *options)
{
    char path[PATH_MAX]; /* settings want the whole of it; a person at a prompt need not write it */
    if (realpath(options->path, path) == NULL) {
        return alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL, "%s: %s", options->path,
                            strerror(errno));
    }
    if (strchr(path, ',') != NULL) {
        return alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL,
                            "%s: behavior.libraries cannot name a path with a comma", path);
    }
    alv_error err = ALV_ERROR_NONE;
    alv_library *library = NULL;
    alv_registry *registry = alv_registry_new();
    alv_status status = alv_builtin_register(registry, &err);
    if (status == ALV_OK) {
        status = alv_library_load(path, registry, &library, &err);
    }
    int result = status == ALV_OK ? check_print(options, library, registry)
                                  : alv_cli_fail_error(&options->common, &err, NULL);
    alv_registry_free(registry);
    alv_library_close(library);
    return result;
}

int alv_cli_behavior_run(int argc, char **argv)
{
    behavior_options options = {.path = NULL};
    alv_cli_parse(&behavior_argp, argc, argv, &options);
    int status = alv_cli_finish(&options.common, check(&options));
    alv_cli_options_done(&options.common);
    return status;
}
