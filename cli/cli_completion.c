/* cli_completion.c — `alluvium completion`: scripts that let shells complete what a person types.
 *
 * The scripts ask the program itself: what it lists comes from the tables by which it parses (the
 * subcommands of main.c, the options of each argp, the keys of the configuration), so that no second list
 * can fall behind.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/cli_common.h"

const alv_cli_completion *alv_cli_completion_main;

static const char completion_bash[] =
    "# alluvium for bash. To use it: source <(alluvium completion bash)\n"
    "_alluvium() {\n"
    "    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} list\n"
    "    local before=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    COMPREPLY=()\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        list=$(\"$program\" completion commands 2>/dev/null | cut -f 1)\n"
    "    else\n"
    "        case $before in\n"
    "            -X)\n"
    "                compopt -o nospace 2>/dev/null\n"
    "                list=$(\"$program\" completion settings 2>/dev/null | cut -f 1 | sed 's/$/=/')\n"
    "                ;;\n"
    "            -c | --config | --config-file)\n"
    "                mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
    "                return\n"
    "                ;;\n"
    "            *) list=$(\"$program\" completion options \"${COMP_WORDS[1]}\" 2>/dev/null | cut -f 1) ;;\n"
    "        esac\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$list\" -- \"$word\")\n"
    "}\n"
    "complete -o default -F _alluvium alluvium\n";

static const char completion_zsh[] =
    "#compdef alluvium\n"
    "# alluvium for zsh. To use it: source <(alluvium completion zsh)\n"
    "_alluvium() {\n"
    "    local -a items\n"
    "    local program=$words[1]\n"
    "    if (( CURRENT == 2 )); then\n"
    "        items=(\"${(@f)$($program completion commands 2>/dev/null)}\")\n"
    "        items=(\"${items[@]//$'\\t'/:}\")\n"
    "        _describe command items\n"
    "    elif [[ $words[CURRENT-1] == -X ]]; then\n"
    "        items=(\"${(@f)$($program completion settings 2>/dev/null | cut -f 1)}\")\n"
    "        compadd -S = -a items\n"
    "    elif [[ $words[CURRENT-1] == (-c|--config) ]]; then\n"
    "        _files\n"
    "    else\n"
    "        items=(\"${(@f)$($program completion options $words[2] 2>/dev/null)}\")\n"
    "        items=(\"${items[@]//$'\\t'/:}\")\n"
    "        _describe option items\n"
    "    fi\n"
    "}\n"
    "compdef _alluvium alluvium\n";

static const char completion_fish[] =
    "# alluvium for fish. To use it: alluvium completion fish | source\n"
    "complete -c alluvium -f\n"
    "complete -c alluvium -n __fish_use_subcommand -a '(alluvium completion commands)'\n"
    "complete -c alluvium -n 'not __fish_use_subcommand' \\\n"
    "    -a '(alluvium completion options (commandline -opc)[2])'\n"
    "complete -c alluvium -s c -l config -r -F -d 'Read settings from this .properties file'\n"
    "complete -c alluvium -s X -x -a '(alluvium completion settings)' -d 'Set one of them'\n";

static const struct completion_shell {
    const char *name;
    const char *script;
} completion_shells[] = {
    {"bash", completion_bash},
    {"zsh", completion_zsh},
    {"fish", completion_fish},
};

/* ---- options --------------------------------------------------------------------------------- */

typedef struct completion_options {
    alv_cli_options common;
    const char *what;
    const char *command; /* of `options NAME` */
} completion_options;

static error_t completion_parse(int key, char *argument, struct argp_state *state)
{
    completion_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) {
            argp_error(state, "too many arguments");
        }
        *(state->arg_num == 0 ? &options->what : &options->command) = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "for which shell? bash, zsh or fish");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp completion_argp = {
    .parser = completion_parse,
    .args_doc = "bash|zsh|fish",
    .doc = "Prints a script that completes commands, options and settings in a shell.\v"
           "bash: source <(alluvium completion bash)\n"
           "zsh:  source <(alluvium completion zsh)\n"
           "fish: alluvium completion fish | source\n"
           "Put that line into the shell's start-up file to have it always.",
    .children = alv_cli_argp_children,
};

/* ---- lists ----------------------------------------------------------------------------------- */

/* The keys of the configuration and what they mean, out of the table that --help-config prints. */
static void completion_list_settings(void)
{
    alv_bytes table = ALV_BYTES_EMPTY;
    alv_config_describe(&table);
    alv_bytes_append(&table, "", 1);
    for (const char *row = strstr(table.data, "\n| `"); row != NULL; row = strstr(row, "\n| `")) {
        row += strlen("\n| `");
        size_t size = strcspn(row, "`");
        if (size > 0 && row[size - 1] != '*') { /* kafka.* stands for many */
            printf("%.*s\n", (int)size, row);
        }
    }
    alv_bytes_done(&table);
}

static int completion_list(const completion_options *options)
{
    if (strcmp(options->what, "commands") == 0) {
        alv_cli_completion_main->list_commands();
    } else if (strcmp(options->what, "settings") == 0) {
        completion_list_settings();
    } else if (strcmp(options->what, "options") == 0 && options->command != NULL) {
        return alv_cli_completion_main->list_options(options->command);
    } else {
        return alv_cli_fail(&options->common, ALV_EXIT_USAGE, NULL,
                            "no script for \"%s\"; there are bash, zsh and fish", options->what);
    }
    return ALV_EXIT_DONE;
}

int alv_cli_completion_run(int argc, char **argv)
{
    completion_options options = {0};
    alv_cli_parse(&completion_argp, argc, argv, &options);
    const char *script = NULL;
    for (size_t i = 0; i < sizeof completion_shells / sizeof completion_shells[0]; i++) {
        if (strcmp(completion_shells[i].name, options.what) == 0) {
            script = completion_shells[i].script;
        }
    }
    int status = ALV_EXIT_DONE;
    if (script != NULL) {
        (void)fputs(script, stdout);
    } else {
        status = completion_list(&options);
    }
    status = alv_cli_finish(&options.common, status);
    alv_cli_options_done(&options.common);
    return status;
}
