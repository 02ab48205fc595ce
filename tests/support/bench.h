/* bench.h — what the programs of bench/ share: options, a stack of their own, what ran beside them.
 *
 * Why:    a figure that anybody can take again with one command, on a machine with nothing prepared.
 * Thread: main.
 * Fails:  wrong options end the program with exit status 2, everything else as in cluster.h.
 */
#ifndef ALV_TESTS_SUPPORT_BENCH_H
#define ALV_TESTS_SUPPORT_BENCH_H

#include "tests/support/cluster.h"

/* One option: with a whole number (or several, separated by commas), a text, or alone. */
typedef struct alv_bench_option {
    const char *name; /* "--rate" */
    int *values;
    int values_max;    /* 0: it has no value, and *values becomes 1 */
    int *count;        /* how many were given; NULL with values_max 1 */
    const char **text; /* instead of `values` */
} alv_bench_option;

/* Fills in what is given. `options` ends with a name that is NULL. `help` is printed for --help; *json
 * becomes true with --json, unless `json` is NULL. */
void alv_bench_parse(int argc, char **argv, const alv_bench_option *options, const char *help,
                     bool *json);

/* Starts a stack; nodes have default settings, which means: no PostgreSQL. The programs are taken from
 * the build folder that this one is in. Prints to stderr what it does. */
void alv_bench_open(alv_cluster *cluster, const char *name);

/* The same with several brokers; with three and more, topics are replicated. */
void alv_bench_open_brokers(alv_cluster *cluster, const char *name, int brokers);

/* The process of a server of the stack: "kafka-1", "postgres". */
pid_t alv_bench_server(const alv_cluster *cluster, const char *name);

/* From now on nodes have a PostgreSQL to write to. */
void alv_bench_start_postgres(alv_cluster *cluster);

/* "2 cores shared with the broker, load 0.15 before the start". Valid until the next call. */
const char *alv_bench_machine(void);

#endif
