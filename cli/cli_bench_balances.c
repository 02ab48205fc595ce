/* cli_bench_balances.c — the sum of the balances, before and after the load of `alluvium bench`. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/cli_bench_internal.h"
#include "cli/cli_progress.h"

#define BALANCES_AGAIN_MS 200

typedef struct balances {
    bool *read; /* per user */
    uint64_t count;
    uint64_t sum;
    alv_error failure; /* the last */
} balances;

/* A user who does not exist has nothing. */
static void balances_take(void *payload, uint64_t number, int64_t took_us, alv_status status,
                          const alv_answer *answer, const alv_error *err)
{
    (void)took_us;
    balances *all = payload;
    if (status != ALV_OK) {
        all->failure = *err;
        return;
    }
    alv_view body = alv_bytes_view(&answer->body);
    json_t *json = json_loadb(body.size > 0 ? body.data : "", body.size, 0, NULL);
    const json_t *balance = json_object_get(json_object_get(json, "state"), "balance");
    if (answer->status == 404 || (answer->status == 200 && json_is_integer(balance))) {
        all->sum += (uint64_t)json_integer_value(balance);
        all->read[number] = true;
        all->count++;
    } else {
        const char *detail = json_string_value(json_object_get(json, "detail"));
        (void)alv_fail(&all->failure, ALV_RETRY, BENCH_PREFIX "%" PRIu64 ": HTTP status %d: %s",
                       number + 1, answer->status, detail != NULL ? detail : "no reason given");
    }
    json_decref(json);
}

static void balances_ask(alv_cli_bench_pool *pool, balances *all, uint64_t user)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/v1/entities/" BENCH_PREFIX "%" PRIu64, user + 1);
    alv_cli_bench_request request = {
        .number = user, .path = path, .take = balances_take, .payload = all};
    alv_cli_bench_slot *slot = NULL;
    while (slot == NULL) {
        int64_t now_us = alv_monotonic_us(alv_clock_system());
        slot = alv_cli_bench_pool_slot(pool, now_us + INT64_C(1000000));
    }
    alv_cli_bench_pool_send(slot, &request);
}

/* Asks for all users whose balance is not known; the first alone, because when it cannot be read the others
 * need not be tried. */
static void balances_round(const bench_options *options, alv_cli_bench_pool *pool, balances *all,
                           alv_cli_progress *progress)
{
    bool first = true;
    for (uint64_t user = 0; user < options->users; user++) {
        if (all->read[user]) {
            continue;
        }
        balances_ask(pool, all, user);
        if (first) {
            alv_cli_bench_pool_drain(pool);
            if (!all->read[user]) {
                return;
            }
            first = false;
        }
        alv_cli_progress_update(progress, user + 1, (double)(user + 1) / (double)options->users);
    }
    alv_cli_bench_pool_drain(pool);
}

alv_status alv_cli_bench_balances(const bench_options *options, alv_cli_bench_pool *pool,
                                  int patience_ms, uint64_t *out_sum, alv_error *err)
{
    int64_t until_us = alv_monotonic_us(alv_clock_system()) + INT64_C(1000) * patience_ms;
    balances all = {.read = alv_alloc(options->users * sizeof(bool))};
    alv_cli_progress progress;
    alv_cli_progress_init(&progress, "balances read");
    balances_round(options, pool, &all, &progress);
    while (all.count < options->users && alv_monotonic_us(alv_clock_system()) < until_us) {
        (void)poll(NULL, 0, BALANCES_AGAIN_MS);
        balances_round(options, pool, &all, &progress);
    }
    alv_cli_progress_done(&progress);
    alv_free(all.read);
    *out_sum = all.sum;
    return all.count == options->users
               ? ALV_OK
               : alv_fail(err, ALV_RETRY, "the balances cannot be read: %s", all.failure.text);
}
