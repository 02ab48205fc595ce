#include "base/caller.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/logger.h"

#define CALLER_NAME_BYTES 16 /* what Linux takes */

/* Freed by whoever is the last to let go: the owner when it ends, or the thread. */
struct alv_caller {
    char name[CALLER_NAME_BYTES];
    pthread_mutex_t lock; /* a leaf lock: no call runs under it */
    pthread_cond_t changed;
    alv_call call; /* to be made or being made; NULL = none */
    void *payload;
    alv_call last;
    void *last_payload;
    bool is_ending; /* `last` is set */
    bool is_over;   /* the thread will not touch anything but this struct any more */
    bool is_left;   /* the owner does not wait any more */
};

static atomic_int callers_left;

int alv_callers_left(void)
{
    return atomic_load(&callers_left);
}

static void caller_free(alv_caller *caller)
{
    pthread_cond_destroy(&caller->changed);
    pthread_mutex_destroy(&caller->lock);
    alv_free(caller);
}

/* Makes calls until the end is asked for; lock held, but not during a call. */
static void caller_serve(alv_caller *caller)
{
    while (caller->call != NULL || !caller->is_ending) {
        if (caller->call == NULL) {
            pthread_cond_wait(&caller->changed, &caller->lock);
            continue;
        }
        pthread_mutex_unlock(&caller->lock);
        caller->call(caller->payload);
        pthread_mutex_lock(&caller->lock);
        caller->call = NULL;
        pthread_cond_signal(&caller->changed);
    }
}

static void *caller_main(void *argument)
{
    alv_caller *caller = argument;
    alv_log_set_thread(caller->name);
    pthread_mutex_lock(&caller->lock);
    caller_serve(caller);
    pthread_mutex_unlock(&caller->lock);
    caller->last(caller->last_payload);
    pthread_mutex_lock(&caller->lock);
    caller->is_over = true;
    bool is_left = caller->is_left;
    pthread_cond_signal(&caller->changed);
    pthread_mutex_unlock(&caller->lock);
    if (is_left) {
        atomic_fetch_sub(&callers_left, 1);
        caller_free(caller);
    }
    return NULL;
}

alv_caller *alv_caller_new(const char *name)
{
    alv_caller *caller = alv_alloc(sizeof *caller);
    ALV_ASSERT(strlen(name) < CALLER_NAME_BYTES);
    memcpy(caller->name, name, strlen(name) + 1);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&caller->lock, NULL);
    pthread_cond_init(&caller->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, caller_main, caller);
    ALV_ASSERT(failed == 0);
    failed = pthread_detach(thread);
    ALV_ASSERT(failed == 0);
    return caller;
}

/* Lock held. */
static bool caller_wait_locked(alv_caller *caller, int timeout_ms)
{
    const struct timespec deadline = alv_clock_deadline(timeout_ms);
    int failed = 0;
    while (caller->call != NULL && failed == 0) {
        failed = pthread_cond_timedwait(&caller->changed, &caller->lock, &deadline);
    }
    return caller->call == NULL;
}

bool alv_caller_run(alv_caller *caller, alv_call call, void *payload, int timeout_ms)
{
    pthread_mutex_lock(&caller->lock);
    ALV_ASSERT(caller->call == NULL);
    caller->call = call;
    caller->payload = payload;
    pthread_cond_signal(&caller->changed);
    bool returned = caller_wait_locked(caller, timeout_ms);
    pthread_mutex_unlock(&caller->lock);
    return returned;
}

bool alv_caller_wait(alv_caller *caller, int timeout_ms)
{
    pthread_mutex_lock(&caller->lock);
    bool returned = caller_wait_locked(caller, timeout_ms);
    pthread_mutex_unlock(&caller->lock);
    return returned;
}

bool alv_caller_end(alv_caller *caller, alv_call last, void *payload, int timeout_ms)
{
    const struct timespec deadline = alv_clock_deadline(timeout_ms);
    pthread_mutex_lock(&caller->lock);
    caller->last = last;
    caller->last_payload = payload;
    caller->is_ending = true;
    pthread_cond_signal(&caller->changed);
    int failed = 0;
    while (!caller->is_over && failed == 0) {
        failed = pthread_cond_timedwait(&caller->changed, &caller->lock, &deadline);
    }
    bool is_over = caller->is_over;
    caller->is_left = !is_over;
    if (caller->is_left) {
        atomic_fetch_add(&callers_left, 1);
    }
    pthread_mutex_unlock(&caller->lock);
    if (is_over) {
        caller_free(caller);
    }
    return is_over;
}
