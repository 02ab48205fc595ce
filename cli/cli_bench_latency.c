#include "cli/cli_bench_latency.h"

#include <stddef.h>

#define LATENCY_STEP_BITS 7 /* 2^7 = ALV_CLI_BENCH_LATENCY_STEPS */

static size_t latency_bucket(uint64_t us)
{
    unsigned bits = 0; /* that do not count */
    while ((us >> bits) >= (2u << LATENCY_STEP_BITS)) {
        bits++;
    }
    return us < ALV_CLI_BENCH_LATENCY_STEPS
               ? (size_t)us
               : (size_t)bits * ALV_CLI_BENCH_LATENCY_STEPS + (size_t)(us >> bits);
}

/* The largest time that counts in a bucket. */
static int64_t latency_top(size_t bucket)
{
    if (bucket < (size_t)2 * ALV_CLI_BENCH_LATENCY_STEPS) {
        return (int64_t)bucket;
    }
    size_t bits = bucket / ALV_CLI_BENCH_LATENCY_STEPS - 1;
    int64_t head = (int64_t)(bucket - bits * ALV_CLI_BENCH_LATENCY_STEPS);
    return ((head + 1) << bits) - 1;
}

void alv_cli_bench_latency_add(alv_cli_bench_latency *latency, int64_t took_us)
{
    int64_t us = took_us < 0 ? 0 : took_us;
    us = us > ALV_CLI_BENCH_LATENCY_MAX_US ? ALV_CLI_BENCH_LATENCY_MAX_US : us;
    latency->counts[latency_bucket((uint64_t)us)]++;
    latency->count++;
    latency->max_us = us > latency->max_us ? us : latency->max_us;
}

int64_t alv_cli_bench_latency_at(const alv_cli_bench_latency *latency, double fraction)
{
    double share = fraction * (double)latency->count;
    uint64_t wanted = (uint64_t)share;
    wanted += (double)wanted < share ? 1 : 0;
    uint64_t seen = 0;
    for (size_t i = 0; i < ALV_CLI_BENCH_LATENCY_BUCKETS; i++) {
        seen += latency->counts[i];
        if (seen >= wanted && seen > 0) {
            int64_t top = latency_top(i);
            return top < latency->max_us ? top : latency->max_us;
        }
    }
    return latency->max_us;
}
