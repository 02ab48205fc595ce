/* cli_bench_print.c — what `alluvium bench` found out, as a table or as JSON. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/cli_bench_internal.h"

static const struct print_percentile {
    const char *name;
    double fraction;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};

#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

static double print_ms(const bench_result *result, size_t percentile)
{
    int64_t us = alv_cli_bench_latency_at(&result->latency, percentiles[percentile].fraction);
    return (double)us / 1000;
}

static double print_rate(const bench_result *result)
{
    return result->took_s > 0 ? (double)result->done / result->took_s : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *print_statuses_json(const bench_result *result)
{
    json_t *statuses = json_object();
    for (int i = 0; i < BENCH_STATUS_MAX; i++) {
        if (result->by_status[i] > 0) {
            char *name = i > 0 ? alv_format("%d", i) : alv_strdup("none");
            (void)json_object_set_new(statuses, name,
                                      json_integer((json_int_t)result->by_status[i]));
            alv_free(name);
        }
    }
    return statuses;
}

static json_t *print_latency_json(const bench_result *result)
{
    json_t *latency = json_object();
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        (void)json_object_set_new(latency, percentiles[i].name, json_real(print_ms(result, i)));
    }
    return latency;
}

static void print_json(const bench_result *result)
{
    json_t *answer = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:o, s:f, s:f, s:o, s:{s:I, s:I, s:I, s:b}}", "sent",
        (json_int_t)result->sent, "answered", (json_int_t)(result->sent - result->by_status[0]),
        "done", (json_int_t)result->done, "refused", (json_int_t)result->refused, "unknown",
        (json_int_t)result->unknown, "by_status", print_statuses_json(result), "seconds",
        result->took_s, "rate", print_rate(result), "latency_ms", print_latency_json(result),
        "balances", "grown", (json_int_t)result->grown, "least", (json_int_t)result->done, "most",
        (json_int_t)(result->done + result->unknown), "exact", (int)result->exact);
    ALV_ASSERT(answer != NULL);
    (void)json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(answer);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_failed(const bench_result *result)
{
    for (int i = 0; i < BENCH_STATUS_MAX; i++) {
        if (result->by_status[i] > 0 && i == 0) {
            printf("  no answer   %" PRIu64 "\n", result->by_status[i]);
        } else if (result->by_status[i] > 0 && i != 200) {
            printf("  status %d  %" PRIu64 "\n", i, result->by_status[i]);
        }
    }
}

static void print_text(const bench_result *result)
{
    printf("sent          %" PRIu64 "\n", result->sent);
    printf("answered      %" PRIu64 "\n", result->sent - result->by_status[0]);
    printf("done          %" PRIu64 "\n", result->done);
    print_failed(result);
    printf("rate          %.0f/s over %.1f s\n", print_rate(result), result->took_s);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        printf("%-5s         %.1f ms\n", percentiles[i].name, print_ms(result, i));
    }
    printf("balances      grown by %" PRIu64, result->grown);
    if (!result->exact) {
        printf(", expected %" PRIu64 " to %" PRIu64 "\n", result->done,
               result->done + result->unknown);
    } else if (result->unknown > 0) {
        printf(": %" PRIu64 " of the %" PRIu64 " without a known outcome are in it so far\n",
               result->grown - result->done, result->unknown);
    } else {
        puts(": each command that is done once, no other");
    }
}

void alv_cli_bench_print(const bench_options *options, const bench_result *result)
{
    if (options->common.json) {
        print_json(result);
    } else {
        print_text(result);
    }
}
