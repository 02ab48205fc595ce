/* cli_bench_internal.h — what the parts of `alluvium bench` share: what is asked for, what came of it. */
#ifndef ALV_CLI_CLI_BENCH_INTERNAL_H
#define ALV_CLI_CLI_BENCH_INTERNAL_H

#include "cli/cli_bench_latency.h"
#include "cli/cli_bench_pool.h"
#include "cli/cli_common.h"

#define BENCH_PREFIX "bench:" /* of the keys: bench:1 to bench:N */
#define BENCH_STATUS_MAX 600  /* HTTP's end below it */

typedef struct bench_options {
    alv_cli_options common;
    const char *node; /* NULL = the configured one */
    double seconds;
    double rate; /* commands per second; 0 = as many as it takes */
    uint64_t users;
    size_t in_flight;
    bool no_keys; /* commands have no idempotency key */
} bench_options;

/* What became of the commands. */
typedef struct bench_result {
    uint64_t sent;
    uint64_t by_status[BENCH_STATUS_MAX]; /* 0 = no answer */
    uint64_t done;                        /* 200 */
    uint64_t unknown;                     /* executed or not: nobody said */
    uint64_t refused;                     /* certainly not executed */
    double took_s;                        /* from the first request to the last that is done */
    alv_cli_bench_latency latency;        /* of those that are done */
    uint64_t grown;                       /* the sum of the balances, by so much */
    bool exact;                           /* `grown` is what `done` and `unknown` allow */
} bench_result;

/* Sends commands for as long as the options say and waits for all answers. */
void alv_cli_bench_load(const bench_options *options, alv_cli_bench_pool *pool,
                        bench_result *result);

/* Adds up the balances of all users, reading each at its owner. What cannot be read is tried again for
 * `patience_ms`, then it is ALV_RETRY. */
alv_status alv_cli_bench_balances(const bench_options *options, alv_cli_bench_pool *pool,
                                  int patience_ms, uint64_t *out_sum, alv_error *err);

void alv_cli_bench_print(const bench_options *options, const bench_result *result);

#endif
