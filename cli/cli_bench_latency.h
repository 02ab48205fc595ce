/* cli_bench_latency.h — how long many requests took, in little memory: counts per time.
 *
 * Why:    a run of hours has more answers than anybody wants to keep; percentiles need no more than how
 *         many took about how long. A time is kept to within 1/128 of itself.
 * Thread: one at a time.
 * Limits: times above ALV_CLI_BENCH_LATENCY_MAX_US count as that.
 */
#ifndef ALV_CLI_CLI_BENCH_LATENCY_H
#define ALV_CLI_CLI_BENCH_LATENCY_H

#include <stdint.h>

#define ALV_CLI_BENCH_LATENCY_MAX_US ((INT64_C(1) << 30) - 1) /* 18 minutes */

/* Below 128 us one per us; above, 128 for each doubling. */
#define ALV_CLI_BENCH_LATENCY_STEPS 128
#define ALV_CLI_BENCH_LATENCY_BUCKETS (ALV_CLI_BENCH_LATENCY_STEPS * (30 - 7 + 1))

/* Zeros are an empty one. */
typedef struct alv_cli_bench_latency {
    uint64_t counts[ALV_CLI_BENCH_LATENCY_BUCKETS];
    uint64_t count;
    int64_t max_us;
} alv_cli_bench_latency;

void alv_cli_bench_latency_add(alv_cli_bench_latency *latency, int64_t took_us);

/* The least time that at least `fraction` (above 0, up to 1) of all did not exceed; never above max_us.
 * 0 when there are none. */
int64_t alv_cli_bench_latency_at(const alv_cli_bench_latency *latency, double fraction);

#endif
