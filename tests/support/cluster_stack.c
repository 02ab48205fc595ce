/* cluster_stack.c — servers of a test's own, through dev/stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"

#define STACK_TIMEOUT_MS 300000

#define STACK_ARGUMENTS_MAX 16

/* Runs dev/stack with its output in `out`, which may be NULL. */
static void run_stack(const alv_cluster *cluster, const char *command, const char *const *arguments,
                      const char *out)
{
    char *tool = alv_format("%s/dev/stack", cluster->root);
    char *directory = alv_cluster_path(cluster, "stack");
    char *log = alv_cluster_path(cluster, "stack.log");
    const char *argv[STACK_ARGUMENTS_MAX] = {tool, command, "--dir", directory};
    for (int i = 4; arguments != NULL && *arguments != NULL; i++, arguments++) {
        assert_true(i + 1 < STACK_ARGUMENTS_MAX);
        argv[i] = *arguments;
    }
    alv_process_files files = {.out = out, .err = log};
    int status = alv_process_run(argv, files, STACK_TIMEOUT_MS);
    if (status != 0) {
        fail_msg("dev/stack %s: exit status %d, see %s", command, status, log);
    }
    alv_free(tool);
    alv_free(directory);
    alv_free(log);
}

/* A process that outlives the test and stops the stack as soon as the other end of its stdin is
 * closed: at the end of the test, and also when it is killed. */
static void start_guard(alv_cluster *cluster)
{
    static const char script[] = "trap '' INT TERM HUP; cat >/dev/null; "
                                 "exec \"$0\" stop --dir \"$1\" >/dev/null 2>&1";
    char *tool = alv_format("%s/dev/stack", cluster->root);
    char *directory = alv_cluster_path(cluster, "stack");
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setsid();
        (void)dup2(ends[0], STDIN_FILENO);
        execl("/bin/sh", "sh", "-c", script, tool, directory, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    cluster->stack_fd = ends[1];
    alv_process_adopt(&cluster->stack_guard, pid);
    alv_free(tool);
    alv_free(directory);
}

/* Takes NAME=value out of what dev/stack printed; NULL when it is not there. */
static char *read_setting(const char *path, const char *name)
{
    char line[512];
    char *value = NULL;
    size_t length = strlen(name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (value == NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            line[strcspn(line, "\n")] = '\0';
            value = alv_strdup(line + length + 1);
        }
    }
    (void)fclose(file);
    return value;
}

void alv_cluster_start_stack(alv_cluster *cluster)
{
    alv_cluster_start_stack_with(cluster, NULL);
}

void alv_cluster_start_stack_with(alv_cluster *cluster, const char *const *options)
{
    char *out = alv_cluster_path(cluster, "stack.env");
    start_guard(cluster);
    run_stack(cluster, "start", options, out);
    alv_free(cluster->brokers);
    alv_free(cluster->postgres_url);
    cluster->brokers = read_setting(out, "KAFKA");
    assert_non_null(cluster->brokers);
    cluster->postgres_url = read_setting(out, "POSTGRES");
    alv_cluster_write_config(cluster);
    alv_free(out);
}

char *alv_cluster_stack_setting(const alv_cluster *cluster, const char *name)
{
    char *path = alv_cluster_path(cluster, "stack.env");
    char *value = read_setting(path, name);
    alv_free(path);
    return value;
}

void alv_cluster_stack(alv_cluster *cluster, const char *command, const char *argument)
{
    const char *const arguments[] = {argument, NULL};
    run_stack(cluster, command, arguments, NULL);
}
