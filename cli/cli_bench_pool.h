/* cli_bench_pool.h — requests to one node, a bounded number under way at a time.
 *
 * Why:    what a cluster takes shows when it always has enough to do; what it must not be given is
 *         more than anybody waits for.
 * Thread: everything here: one. Answers are taken on the threads of the HTTP clients, one after the other.
 * Owns:   the clients with their threads and connections. Security and address are borrowed.
 * Fails:  start: ALV_FATAL. A request that gets no answer is an answer with ALV_RETRY.
 * Limits: ALV_CLI_BENCH_IN_FLIGHT_MAX requests; no answer takes longer than ALV_CLI_BENCH_CALL_MS.
 */
#ifndef ALV_CLI_CLI_BENCH_POOL_H
#define ALV_CLI_CLI_BENCH_POOL_H

#include "api/answer.h"
#include "api/http_limits.h"
#include "api/http_security.h"

#define ALV_CLI_BENCH_IN_FLIGHT_MAX ALV_HTTP_COMMANDS_MAX
#define ALV_CLI_BENCH_CALL_MS 15000 /* above what a node takes to say that it does not know */

typedef struct alv_cli_bench_pool alv_cli_bench_pool;
typedef struct alv_cli_bench_slot alv_cli_bench_slot;

/* Takes what became of a request. `number` is that of the request, `took_us` the time since the moment given
 * with it. `answer` and `err` as in alv_http_reply; the answer stays the pool's. Never two at a time. */
typedef void (*alv_cli_bench_take)(void *payload, uint64_t number, int64_t took_us,
                                   alv_status status, const alv_answer *answer,
                                   const alv_error *err);

alv_status alv_cli_bench_pool_start(const alv_http_security *security, const char *address,
                                    size_t in_flight, alv_cli_bench_pool **out, alv_error *err);

/* A free place for one request, which must be used; NULL when there is none until `until_us` (monotonic). */
alv_cli_bench_slot *alv_cli_bench_pool_slot(alv_cli_bench_pool *pool, int64_t until_us);

/* What a request is: POST of `body` with `header`, or GET without a body. */
typedef struct alv_cli_bench_request {
    uint64_t number;
    int64_t since_us; /* from when its time is taken, monotonic */
    const char *path;
    const char *body;   /* JSON; NULL = GET */
    const char *header; /* NULL = none */
    alv_cli_bench_take take;
    void *payload;
} alv_cli_bench_request;

void alv_cli_bench_pool_send(alv_cli_bench_slot *slot, const alv_cli_bench_request *request);

/* Waits until nothing is under way: every answer has been taken, and what it wrote can be read. */
void alv_cli_bench_pool_drain(alv_cli_bench_pool *pool);

/* Ends the clients; nothing may be under way. NULL is fine. */
void alv_cli_bench_pool_free(alv_cli_bench_pool *pool);

#endif
