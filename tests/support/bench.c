#include "tests/support/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"

#define BENCH_WRONG_USAGE 2

/* ---- options --------------------------------------------------------------------------------- */

static void bench_refuse(const char *program, const char *why, const char *what)
{
    fprintf(stderr, "%s: %s %s (see --help)\n", program, why, what);
    exit(BENCH_WRONG_USAGE);
}

/* Reads "1000,10000"; 0 when it is something else. */
static int bench_read_numbers(const char *text, int *values, int max)
{
    int count = 0;
    while (count < max) {
        char *end = NULL;
        errno = 0;
        long value = strtol(text, &end, 10);
        if (end == text || errno != 0 || value < 1 || value > INT_MAX) {
            return 0;
        }
        values[count++] = (int)value;
        if (*end == '\0') {
            return count;
        }
        if (*end != ',') {
            return 0;
        }
        text = end + 1;
    }
    return 0;
}

static const alv_bench_option *bench_find(const alv_bench_option *options, const char *name)
{
    while (options->name != NULL && strcmp(options->name, name) != 0) {
        options++;
    }
    return options->name != NULL ? options : NULL;
}

/* The value of an option; ends the program when it is none. */
static void bench_take(const char *program, const alv_bench_option *option, const char *value)
{
    if (option->text != NULL) {
        *option->text = value;
        return;
    }
    int count = bench_read_numbers(value, option->values, option->values_max);
    if (count == 0) {
        bench_refuse(program, "not a number above 0:", value);
    }
    if (option->count != NULL) {
        *option->count = count;
    }
}

void alv_bench_parse(int argc, char **argv, const alv_bench_option *options, const char *help,
                     bool *json)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(help, stdout);
            exit(0);
        }
        if (json != NULL && strcmp(argv[i], "--json") == 0) {
            *json = true;
            continue;
        }
        const alv_bench_option *option = bench_find(options, argv[i]);
        bool alone = option != NULL && option->values_max == 0 && option->text == NULL;
        if (option == NULL || (!alone && i + 1 == argc)) {
            bench_refuse(argv[0], option == NULL ? "unknown option" : "no value for", argv[i]);
            return;
        }
        if (alone) {
            *option->values = 1;
        } else {
            bench_take(argv[0], option, argv[++i]);
        }
    }
}

/* ---- the stack ------------------------------------------------------------------------------- */

/* The folder that this program's folder is in, `levels` up: build/bench/x is 2 below build/. */
static char *bench_folder_above(int levels)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(length > 0);
    path[length] = '\0';
    for (; levels > 0; levels--) {
        char *slash = strrchr(path, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    return alv_strdup(path);
}

static void bench_tell_places(void)
{
    char *build = bench_folder_above(2);
    char *root = bench_folder_above(3);
    char *binary = alv_format("%s/alluvium", build);
    assert_int_equal(setenv("ALLUVIUM_BIN", binary, 0), 0);
    assert_int_equal(setenv("ALLUVIUM_ROOT", root, 0), 0);
    /* Outside of a test, cmocka says why something failed only when it is told to abort. */
    assert_int_equal(setenv("CMOCKA_TEST_ABORT", "1", 0), 0);
    alv_free(build);
    alv_free(root);
    alv_free(binary);
}

void alv_bench_open(alv_cluster *cluster, const char *name)
{
    alv_bench_open_brokers(cluster, name, 1);
}

void alv_bench_open_brokers(alv_cluster *cluster, const char *name, int brokers)
{
    char count[16];
    (void)snprintf(count, sizeof(count), "%d", brokers);
    const char *const stack[] = {"--brokers", count, NULL};
    (void)alv_bench_machine(); /* before our own load */
    bench_tell_places();
    alv_cluster_open_alone(cluster, name);
    fprintf(stderr, "starting %s in %s\n", brokers > 1 ? "brokers" : "a broker",
            cluster->directory);
    alv_cluster_start_stack_with(cluster, stack);
    alv_cluster_stack(cluster, "stop-postgres", NULL);
    alv_free(cluster->postgres_url);
    cluster->postgres_url = NULL;
    alv_cluster_write_config(cluster);
}

pid_t alv_bench_server(const alv_cluster *cluster, const char *name)
{
    int pid = 0;
    char *file_name = alv_format("stack/%s.pid", name);
    char *path = alv_cluster_path(cluster, file_name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    (void)fclose(file);
    alv_free(file_name);
    alv_free(path);
    return pid;
}

void alv_bench_start_postgres(alv_cluster *cluster)
{
    alv_cluster_stack(cluster, "start-postgres", NULL);
    cluster->postgres_url = alv_cluster_stack_setting(cluster, "POSTGRES");
    assert_non_null(cluster->postgres_url);
    alv_cluster_write_config(cluster);
}

const char *alv_bench_machine(void)
{
    static char text[128];
    if (text[0] == '\0') {
        double load = 0;
        (void)getloadavg(&load, 1);
        (void)snprintf(text, sizeof(text),
                       "%ld cores shared with the broker, load %.2f before the start",
                       sysconf(_SC_NPROCESSORS_ONLN), load);
    }
    return text;
}
