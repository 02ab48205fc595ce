/* main.c — finds the subcommand. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/cli_common.h"

static const struct subcommand {
    const char *name;
    alv_cli_run run;
    const char *summary;
} subcommands[] = {
    {"node", alv_cli_node_run, "run a node"},
    {"send", alv_cli_send_run, "send commands to entities"},
    {"get", alv_cli_get_run, "show the state of an entity"},
    {"watch", alv_cli_watch_run, "print changes as they come"},
    {"topics", alv_cli_topics_run, "create, check or describe an application's topics"},
    {"table", alv_cli_global_table_run, "show or change rows of global tables"},
    {"acls", alv_cli_acls_run, "print what clients must be allowed in Kafka"},
    {"dead-letters", alv_cli_dead_letters_run, "list, show or retry commands that failed"},
    {"quarantine", alv_cli_quarantine_run, "list or release entities that keep failing"},
    {"verify", alv_cli_verify_run, "compare store and PostgreSQL with the changelog"},
    {"rebuild", alv_cli_rebuild_run, "make a lost changelog anew"},
    {"backup", alv_cli_backup_run, "copy a node's state to a directory, also while it works"},
    {"restore", alv_cli_restore_run, "put a backup into an empty state.dir"},
    {"status", alv_cli_status_run, "show nodes, shards, lags and progress of the cluster"},
    {"behavior", alv_cli_behavior_run, "check a library of behaviors"},
    {"bench", alv_cli_bench_run, "load a running application and tell how it does"},
    {"completion", alv_cli_completion_run, "print a completion script for bash, zsh or fish"},
    {"version", alv_cli_version_run, "print versions"},
};

#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

static void print_help(FILE *out)
{
    (void)fputs("usage: alluvium COMMAND [OPTION...]\n\n"
                "Turns a partitioned Kafka topic of commands into state per entity.\n\n",
                out);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        fprintf(out, "  %-13s %s\n", subcommands[i].name, subcommands[i].summary);
    }
    (void)fputs("\n`alluvium help COMMAND` or `alluvium COMMAND --help` tells more.\n"
                "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
                out);
}

static const struct subcommand *find(const char *name)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(subcommands[i].name, name) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

static int fail_unknown(const char *name)
{
    const char *names[SUBCOMMAND_COUNT];
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        names[i] = subcommands[i].name;
    }
    const char *nearest = alv_nearest(name, names, SUBCOMMAND_COUNT);
    if (nearest != NULL) {
        fprintf(stderr, "alluvium: no command \"%s\"; did you mean \"%s\"?\n", name, nearest);
    } else {
        fprintf(stderr, "alluvium: no command \"%s\"; `alluvium --help` lists them\n", name);
    }
    return ALV_EXIT_USAGE;
}

/* Runs with argv[0] telling the subcommand's name, because that is what argp puts into messages. */
static int run(const struct subcommand *subcommand, int argc, char **argv)
{
    char *name = alv_format("alluvium %s", subcommand->name);
    argv[0] = name;
    int status = subcommand->run(argc, argv);
    alv_free(name);
    return status;
}

static void list_commands(void)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        printf("%s\t%s\n", subcommands[i].name, subcommands[i].summary);
    }
    puts("help\ttell more about a command");
}

static int list_options(const char *name)
{
    char list[] = "--list-options";
    char *arguments[] = {NULL, list, NULL};
    const struct subcommand *subcommand = find(name);
    return subcommand != NULL ? run(subcommand, 2, arguments) : ALV_EXIT_USAGE;
}

static const alv_cli_completion completion = {list_commands, list_options};

static int run_help(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stdout);
        return ALV_EXIT_DONE;
    }
    const struct subcommand *subcommand = find(argv[1]);
    if (subcommand == NULL) {
        return fail_unknown(argv[1]);
    }
    char help[] = "--help";
    char *arguments[] = {NULL, help, NULL};
    return run(subcommand, 2, arguments);
}

int main(int argc, char **argv)
{
    alv_cli_completion_main = &completion;
    (void)umask(077);    /* states are written for this user alone */
    json_object_seed(0); /* before there are threads, which would do it at the same time */
    if (argc < 2) {
        print_help(stderr);
        return ALV_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        return run_help(argc - 1, argv + 1);
    }
    if (strcmp(word, "--version") == 0) {
        word = "version";
    }
    const struct subcommand *subcommand = find(word);
    if (subcommand == NULL) {
        return fail_unknown(word);
    }
    return run(subcommand, argc - 1, argv + 1);
}
