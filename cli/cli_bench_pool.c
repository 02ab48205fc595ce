/* An HTTP client keeps a limited number of connections to one node, each with one request; so there are
 * as many clients as it takes. */
#include "cli/cli_bench_pool.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "api/http_client.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

struct alv_cli_bench_slot {
    alv_cli_bench_pool *pool;
    alv_http_client *client;
    alv_cli_bench_request request; /* its texts are gone by the time of the answer */
    alv_cli_bench_slot *next;      /* in `idle` */
};

struct alv_cli_bench_pool {
    const char *address;
    alv_http_client **clients;
    size_t client_count;
    alv_cli_bench_slot *slots;
    size_t slot_count;
    pthread_mutex_t mutex; /* for what follows, and whatever answers are written to */
    pthread_cond_t changed;
    alv_cli_bench_slot *idle;
    size_t idle_count;
};

static void pool_init_locks(alv_cli_bench_pool *pool)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    failed |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&pool->changed, &attributes);
    failed |= pthread_condattr_destroy(&attributes);
    failed |= pthread_mutex_init(&pool->mutex, NULL);
    ALV_ASSERT(failed == 0);
}

static void pool_add_idle(alv_cli_bench_pool *pool, alv_cli_bench_slot *slot)
{
    slot->next = pool->idle;
    pool->idle = slot;
    pool->idle_count++;
}

alv_status alv_cli_bench_pool_start(const alv_http_security *security, const char *address,
                                    size_t in_flight, alv_cli_bench_pool **out, alv_error *err)
{
    alv_cli_bench_pool *pool = alv_alloc(sizeof *pool);
    size_t per_client = ALV_HTTP_FORWARD_CONNECTIONS_MAX;
    size_t client_count = (in_flight + per_client - 1) / per_client;
    pool_init_locks(pool);
    pool->address = address;
    pool->clients = alv_alloc(client_count * sizeof(*pool->clients));
    pool->slots = alv_alloc(in_flight * sizeof(*pool->slots));
    pool->slot_count = in_flight;
    for (; pool->client_count < client_count; pool->client_count++) {
        alv_status status = alv_http_client_start(security, false, ALV_CLI_BENCH_CALL_MS,
                                                  &pool->clients[pool->client_count], err);
        if (status != ALV_OK) {
            alv_cli_bench_pool_free(pool);
            return status;
        }
    }
    for (size_t i = in_flight; i-- > 0;) {
        pool->slots[i].pool = pool;
        pool->slots[i].client = pool->clients[i % client_count];
        pool_add_idle(pool, &pool->slots[i]);
    }
    *out = pool;
    return ALV_OK;
}

void alv_cli_bench_pool_free(alv_cli_bench_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (size_t i = 0; i < pool->client_count; i++) {
        alv_http_client_free(pool->clients[i]);
    }
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    alv_free(pool->slots);
    alv_free(pool->clients);
    alv_free(pool);
}

alv_cli_bench_slot *alv_cli_bench_pool_slot(alv_cli_bench_pool *pool, int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    int waited = 0;
    pthread_mutex_lock(&pool->mutex);
    while (pool->idle == NULL && waited == 0) {
        waited = pthread_cond_timedwait(&pool->changed, &pool->mutex, &until);
    }
    alv_cli_bench_slot *slot = pool->idle;
    if (slot != NULL) {
        pool->idle = slot->next;
        pool->idle_count--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return slot;
}

static void pool_take_answer(void *payload, alv_status status, alv_answer *answer,
                             const alv_error *err)
{
    int64_t now_us = alv_monotonic_us(alv_clock_system());
    alv_cli_bench_slot *slot = payload;
    alv_cli_bench_pool *pool = slot->pool;
    const alv_cli_bench_request *request = &slot->request;
    pthread_mutex_lock(&pool->mutex);
    request->take(request->payload, request->number, now_us - request->since_us, status, answer,
                  err);
    alv_answer_done(answer);
    pool_add_idle(pool, slot);
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
}

void alv_cli_bench_pool_send(alv_cli_bench_slot *slot, const alv_cli_bench_request *request)
{
    alv_view path = alv_view_of(request->path);
    const char *address = slot->pool->address;
    bool taken;
    slot->request = *request;
    if (request->body != NULL) {
        alv_bytes body = ALV_BYTES_EMPTY;
        alv_bytes_append_text(&body, request->body);
        taken = alv_http_client_post(slot->client, address, path, &body, &request->header,
                                     request->header != NULL ? 1 : 0, pool_take_answer, slot);
    } else {
        taken = alv_http_client_get(slot->client, address, path, pool_take_answer, slot);
    }
    ALV_ASSERT(taken); /* a client has room for more requests than there are slots for it */
}

void alv_cli_bench_pool_drain(alv_cli_bench_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->idle_count < pool->slot_count) {
        pthread_cond_wait(&pool->changed, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}
