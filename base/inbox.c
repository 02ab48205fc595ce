#include "base/inbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

/* A ring under one leaf lock: nothing else is locked, and no code of others runs, while it is
 * held. */
struct alv_inbox {
    pthread_mutex_t lock;
    pthread_cond_t arrived; /* a message came in, or closed */
    pthread_cond_t room;    /* a message went out, or closed */
    void **ring;            /* `capacity` places; the oldest message is at `first` */
    size_t capacity;
    size_t first;
    atomic_size_t count;    /* written under the lock, read by the owner without it */
    size_t senders_waiting; /* so that a take without one costs no signal */
    atomic_bool closed;     /* likewise */
    alv_inbox_free_message free_message;
    alv_inbox_wake wake;
    void *wake_payload;
};

static void inbox_lock(alv_inbox *inbox)
{
    int failed = pthread_mutex_lock(&inbox->lock);
    ALV_ASSERT(failed == 0);
}

static void inbox_unlock(alv_inbox *inbox)
{
    int failed = pthread_mutex_unlock(&inbox->lock);
    ALV_ASSERT(failed == 0);
}

/* Deadlines are on the monotonic clock: setting the host's clock must not stretch a wait. */
static void inbox_init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    ALV_ASSERT(failed == 0);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ALV_ASSERT(failed == 0);
    failed = pthread_cond_init(condition, &attributes);
    ALV_ASSERT(failed == 0);
    (void)pthread_condattr_destroy(&attributes); /* cannot fail for an initialised object */
}

alv_inbox *alv_inbox_new(size_t capacity, alv_inbox_free_message free_message)
{
    ALV_ASSERT(capacity > 0);
    alv_inbox *inbox = alv_alloc(sizeof *inbox);
    int failed = pthread_mutex_init(&inbox->lock, NULL);
    ALV_ASSERT(failed == 0);
    inbox_init_condition(&inbox->arrived);
    inbox_init_condition(&inbox->room);
    inbox->ring = alv_alloc_array(capacity, sizeof *inbox->ring);
    inbox->capacity = capacity;
    inbox->free_message = free_message;
    return inbox;
}

static void inbox_drop(alv_inbox *inbox, void *message)
{
    if (inbox->free_message != NULL) {
        inbox->free_message(message);
    }
}

void alv_inbox_free(alv_inbox *inbox)
{
    if (inbox == NULL) {
        return;
    }
    ALV_ASSERT(inbox->senders_waiting == 0);
    void *message;
    while ((message = alv_inbox_take(inbox)) != NULL) {
        inbox_drop(inbox, message);
    }
    (void)pthread_cond_destroy(&inbox->room); /* nobody waits: asserted above for the senders */
    (void)pthread_cond_destroy(&inbox->arrived);
    (void)pthread_mutex_destroy(&inbox->lock);
    alv_free(inbox->ring);
    alv_free(inbox);
}

void alv_inbox_set_wake(alv_inbox *inbox, alv_inbox_wake wake, void *payload)
{
    inbox->wake = wake;
    inbox->wake_payload = payload;
}

static bool inbox_is_full(const alv_inbox *inbox)
{
    return atomic_load_explicit(&inbox->count, memory_order_relaxed) == inbox->capacity;
}

/* With the lock held and room for it. */
static void inbox_push(alv_inbox *inbox, void *message)
{
    size_t count = atomic_load_explicit(&inbox->count, memory_order_relaxed);
    ALV_ASSERT(count < inbox->capacity);
    inbox->ring[(inbox->first + count) % inbox->capacity] = message;
    atomic_store_explicit(&inbox->count, count + 1, memory_order_release);
    (void)pthread_cond_signal(&inbox->arrived); /* one owner, so one waiter at most */
}

/* Without the lock: the wake-up may take locks of its own. */
static void inbox_wake_owner(const alv_inbox *inbox)
{
    if (inbox->wake != NULL) {
        inbox->wake(inbox->wake_payload);
    }
}

bool alv_inbox_post(alv_inbox *inbox, void *message)
{
    ALV_ASSERT(message != NULL);
    inbox_lock(inbox);
    inbox->senders_waiting++;
    while (inbox_is_full(inbox) && !inbox->closed) {
        (void)pthread_cond_wait(&inbox->room, &inbox->lock); /* the loop looks again */
    }
    inbox->senders_waiting--;
    bool open = !inbox->closed;
    if (open) {
        inbox_push(inbox, message);
    }
    inbox_unlock(inbox);
    if (open) {
        inbox_wake_owner(inbox);
    } else {
        inbox_drop(inbox, message);
    }
    return open;
}

bool alv_inbox_try_post(alv_inbox *inbox, void *message)
{
    ALV_ASSERT(message != NULL);
    inbox_lock(inbox);
    bool accepted = !inbox->closed && !inbox_is_full(inbox);
    if (accepted) {
        inbox_push(inbox, message);
    }
    inbox_unlock(inbox);
    if (accepted) {
        inbox_wake_owner(inbox);
    }
    return accepted;
}

void *alv_inbox_take(alv_inbox *inbox)
{
    if (atomic_load_explicit(&inbox->count, memory_order_acquire) == 0) {
        return NULL;
    }
    inbox_lock(inbox);
    size_t count = atomic_load_explicit(&inbox->count, memory_order_relaxed);
    ALV_ASSERT(count > 0); /* only the owner takes */
    void *message = inbox->ring[inbox->first];
    inbox->ring[inbox->first] = NULL;
    inbox->first = (inbox->first + 1) % inbox->capacity;
    atomic_store_explicit(&inbox->count, count - 1, memory_order_release);
    if (inbox->senders_waiting > 0) {
        (void)pthread_cond_signal(&inbox->room);
    }
    inbox_unlock(inbox);
    return message;
}

bool alv_inbox_wait(alv_inbox *inbox, int timeout_ms)
{
    ALV_ASSERT(timeout_ms >= 0);
    struct timespec deadline = alv_clock_deadline(timeout_ms);
    inbox_lock(inbox);
    int result = 0;
    while (inbox->count == 0 && !inbox->closed && result != ETIMEDOUT) {
        result = pthread_cond_timedwait(&inbox->arrived, &inbox->lock, &deadline);
    }
    bool there = inbox->count > 0;
    inbox_unlock(inbox);
    return there;
}

void alv_inbox_close(alv_inbox *inbox)
{
    inbox_lock(inbox);
    inbox->closed = true;
    (void)pthread_cond_broadcast(&inbox->arrived);
    (void)pthread_cond_broadcast(&inbox->room);
    inbox_unlock(inbox);
}

bool alv_inbox_is_closed(const alv_inbox *inbox)
{
    return inbox->closed;
}
