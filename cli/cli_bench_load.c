/* cli_bench_load.c — the load of `alluvium bench`: commands at a rate, or as many as are answered.
 *
 * With a rate the time of a command begins when it was due, also when it had to wait because too many were
 * under way: a cluster that stands still for a second is not made to look well by asking it less.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cli/cli_bench_internal.h"
#include "cli/cli_progress.h"

#define LOAD_LOOK_US 100000  /* how often progress is told, whatever happens */
#define LOAD_PAUSE_US 100000 /* a node that refuses, or is away, is left alone for so long */

typedef struct load {
    const bench_options *options;
    alv_cli_bench_pool *pool;
    bench_result *result;
    uint64_t id; /* of this run, in its idempotency keys */
    int64_t started_at_us;
    int64_t ends_at_us;
    int64_t last_done_at_us;        /* written by answers */
    _Atomic int64_t pause_until_us; /* written by answers */
    alv_cli_progress progress;
} load;

static int64_t load_now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

/* ---- answers --------------------------------------------------------------------------------- */

/* 503 is the only one from 500 on that says that nothing was written. */
static void load_count(bench_result *result, int http_status)
{
    result->by_status[http_status]++;
    if (http_status == 200) {
        result->done++;
    } else if (http_status == 0 || (http_status >= 500 && http_status != 503)) {
        result->unknown++;
    } else {
        result->refused++;
    }
}

static void load_take(void *payload, uint64_t number, int64_t took_us, alv_status status,
                      const alv_answer *answer, const alv_error *err)
{
    (void)number;
    (void)err;
    load *run = payload;
    int http_status = status == ALV_OK && answer->status < BENCH_STATUS_MAX ? answer->status : 0;
    load_count(run->result, http_status);
    if (http_status == 200) {
        alv_cli_bench_latency_add(&run->result->latency, took_us);
        run->last_done_at_us = load_now_us();
    } else {
        atomic_store(&run->pause_until_us, load_now_us() + LOAD_PAUSE_US);
    }
}

/* ---- commands -------------------------------------------------------------------------------- */

static void load_send(load *run, alv_cli_bench_slot *slot, int64_t since_us)
{
    uint64_t number = run->result->sent;
    char path[96];
    char header[96];
    (void)snprintf(path, sizeof path, "/v1/entities/" BENCH_PREFIX "%" PRIu64 "/commands",
                   number % run->options->users + 1);
    (void)snprintf(header, sizeof header, "Idempotency-Key: bench-%016" PRIx64 "-%" PRIu64, run->id,
                   number);
    alv_cli_bench_request request = {
        .number = number,
        .since_us = since_us,
        .path = path,
        .body = "{\"type\":\"add_balance\",\"amount\":1}",
        .header = run->options->no_keys ? NULL : header,
        .take = load_take,
        .payload = run,
    };
    run->result->sent++;
    alv_cli_bench_pool_send(slot, &request);
}

/* When the next command is to go out; with no rate at once. */
static int64_t load_due_us(const load *run, int64_t now_us)
{
    if (run->options->rate <= 0) {
        return now_us;
    }
    return run->started_at_us + (int64_t)((double)run->result->sent * 1e6 / run->options->rate);
}

static void load_sleep_until(int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* early is fine */
}

static int64_t load_earlier(int64_t left_us, int64_t right_us)
{
    return left_us < right_us ? left_us : right_us;
}

/* Sends the next command, or waits a little for its time or for room. */
static void load_step(load *run, int64_t now_us)
{
    int64_t look_us = load_earlier(run->ends_at_us, now_us + LOAD_LOOK_US);
    int64_t due_us = load_due_us(run, now_us);
    int64_t pause_us = atomic_load(&run->pause_until_us);
    int64_t start_us = due_us > pause_us ? due_us : pause_us;
    if (start_us > now_us) {
        load_sleep_until(load_earlier(start_us, look_us));
        return;
    }
    alv_cli_bench_slot *slot = alv_cli_bench_pool_slot(run->pool, look_us);
    if (slot != NULL) {
        load_send(run, slot, run->options->rate > 0 ? due_us : load_now_us());
    }
}

void alv_cli_bench_load(const bench_options *options, alv_cli_bench_pool *pool,
                        bench_result *result)
{
    load run = {.options = options, .pool = pool, .result = result};
    ssize_t size = getrandom(&run.id, sizeof run.id, 0);
    ALV_ASSERT(size == (ssize_t)sizeof run.id); /* so few bytes always come */
    alv_cli_progress_init(&run.progress, "commands sent");
    run.started_at_us = load_now_us();
    run.ends_at_us = run.started_at_us + (int64_t)(options->seconds * 1e6);
    for (int64_t now_us; (now_us = load_now_us()) < run.ends_at_us;) {
        load_step(&run, now_us);
        alv_cli_progress_update(&run.progress, result->sent,
                                (double)(now_us - run.started_at_us) / 1e6 / options->seconds);
    }
    alv_cli_bench_pool_drain(pool);
    alv_cli_progress_done(&run.progress);
    if (result->done > 0) {
        result->took_s = (double)(run.last_done_at_us - run.started_at_us) / 1e6;
    }
}
