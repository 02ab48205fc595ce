/* cli_acls.c — `alluvium acls`: what each kind of client needs to be allowed in Kafka. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "topics/access.h"

typedef struct acls_options {
    alv_cli_options common;
    const char *principal;
    bool chosen[ALV_ACCESS_ROLE_COUNT];
    bool some; /* are chosen */
} acls_options;

static void acls_choose(acls_options *options, const char *word, struct argp_state *state)
{
    const char *names[ALV_ACCESS_ROLE_COUNT];
    for (int role = 0; role < ALV_ACCESS_ROLE_COUNT; role++) {
        names[role] = alv_access_role_name((alv_access_role)role);
        if (strcmp(word, names[role]) == 0) {
            options->chosen[role] = true;
            options->some = true;
            return;
        }
    }
    const char *nearest = alv_nearest(word, names, ALV_ACCESS_ROLE_COUNT);
    if (nearest != NULL) {
        argp_error(state, "there is no role \"%s\"; did you mean \"%s\"?", word, nearest);
    } else {
        argp_error(state, "there is no role \"%s\"; `alluvium acls` lists them", word);
    }
}

static const struct argp_option acls_argp_options[] = {
    {"principal", 'p', "PRINCIPAL", 0, "Who is to be allowed, as Kafka names it: User:NAME", 0},
    {0},
};

static error_t acls_parse(int key, char *argument, struct argp_state *state)
{
    acls_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'p':
        options->principal = argument;
        return 0;
    case ARGP_KEY_ARG:
        acls_choose(options, argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp acls_argp = {
    .options = acls_argp_options,
    .parser = acls_parse,
    .args_doc = "[node|topics|sender|reader|operator|rebuild]...",
    .doc =
        "Prints the least that each kind of client must be allowed in Kafka, as calls of Kafka's "
        "kafka-acls.\v"
        "node      a node, when the topics are there\n"
        "topics    whoever creates the topics\n"
        "sender    any program that produces commands\n"
        "reader    any program that reads states or events from Kafka\n"
        "operator  `topics check`, `dead-letters`, `quarantine`, `verify`, `table put|delete`\n"
        "rebuild   `rebuild`, which may delete\n\n"
        "Nothing is asked of Kafka and nothing is changed.",
    .children = alv_cli_argp_children,
};

/* ---- output ---------------------------------------------------------------------------------- */

/* As kafka-acls names the resource. */
static const char *acls_option_of(alv_access_kind kind)
{
    static const char *const options[] = {"topic", "group", "transactional-id"};
    return options[kind];
}

static bool acls_same_resource(const alv_access *left, const alv_access *right)
{
    return left->kind == right->kind && strcmp(left->name, right->name) == 0;
}

/* One call for all rights on one resource, which stand together. The number of them. */
static size_t acls_print_resource(const acls_options *options, const alv_settings *settings,
                                  const alv_access *rights, size_t count)
{
    size_t same = 0;
    printf("kafka-acls --bootstrap-server %s --add --allow-principal %s%s --%s %s",
           settings->bootstrap_servers, options->principal,
           rights->is_prefix ? " --resource-pattern-type prefixed" : "",
           acls_option_of(rights->kind), rights->name);
    for (; same < count && acls_same_resource(&rights[same], rights); same++) {
        printf(" --operation %s", alv_access_operation_name(rights[same].operation));
    }
    for (size_t i = 0; i < same; i++) {
        printf("%s%s", i == 0 ? "  # " : "; ", rights[i].purpose);
    }
    putchar('\n');
    return same;
}

static void acls_print_role(const acls_options *options, alv_access_role role,
                            const alv_settings *settings)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(role, settings, rights);
    printf("# %s: %s\n", alv_access_role_name(role), alv_access_role_meaning(role));
    for (size_t i = 0; i < count;) {
        i += acls_print_resource(options, settings, &rights[i], count - i);
    }
}

static json_t *acls_role_to_json(alv_access_role role, const alv_settings *settings)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(role, settings, rights);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *right = json_pack(
            "{s:s, s:s, s:s, s:s, s:s}", "resource", acls_option_of(rights[i].kind), "pattern",
            rights[i].is_prefix ? "prefixed" : "literal", "name", rights[i].name, "operation",
            alv_access_operation_name(rights[i].operation), "purpose", rights[i].purpose);
        ALV_ASSERT(right != NULL);
        json_array_append_new(list, right);
    }
    return list;
}

static void acls_print_json(const acls_options *options, const alv_settings *settings)
{
    json_t *roles = json_object();
    for (int role = 0; role < ALV_ACCESS_ROLE_COUNT; role++) {
        if (!options->some || options->chosen[role]) {
            json_object_set_new(roles, alv_access_role_name((alv_access_role)role),
                                acls_role_to_json((alv_access_role)role, settings));
        }
    }
    json_dumpf(roles, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(roles);
}

static void acls_print(const acls_options *options, const alv_settings *settings)
{
    const char *separator = "";
    for (int role = 0; role < ALV_ACCESS_ROLE_COUNT; role++) {
        if (!options->some || options->chosen[role]) {
            (void)fputs(separator, stdout);
            acls_print_role(options, (alv_access_role)role, settings);
            separator = "\n";
        }
    }
}

int alv_cli_acls_run(int argc, char **argv)
{
    acls_options options = {.principal = "User:alluvium"};
    alv_cli_parse(&acls_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        if (options.common.json) {
            acls_print_json(&options, alv_config_settings(config));
        } else {
            acls_print(&options, alv_config_settings(config));
        }
        status = alv_cli_finish(&options.common, ALV_EXIT_DONE);
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
