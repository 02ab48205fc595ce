#include "changelog/checkpointer.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/logger.h"
#include "changelog/checkpointer_internal.h"

/* The thread's longest wait; whatever it waits for wakes it. */
#define CHECKPOINTER_IDLE_MS 1000

/* What one poll returns at most. */
#define CHECKPOINTER_POLL_RECORDS_MAX 4096

/* ---- life ------------------------------------------------------------------------------------ */

static void checkpointer_init_wake(alv_checkpointer *checkpointer)
{
    pthread_condattr_t attributes;
    ALV_ASSERT(pthread_condattr_init(&attributes) == 0);
    ALV_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    ALV_ASSERT(pthread_cond_init(&checkpointer->wakened, &attributes) == 0);
    ALV_ASSERT(pthread_cond_init(&checkpointer->told, &attributes) == 0);
    ALV_ASSERT(pthread_condattr_destroy(&attributes) == 0);
    ALV_ASSERT(pthread_mutex_init(&checkpointer->lock, NULL) == 0);
}

alv_status alv_checkpointer_new(const alv_checkpointer_options *options, alv_checkpointer **out,
                                alv_error *err)
{
    ALV_ASSERT(options->shard_count > 0 && options->shard_count <= ALV_SHARDS_MAX);
    alv_reader *reader = NULL;
    alv_status status = options->log->ops->open_reader(options->log, "checkpointer", &reader, err);
    if (status != ALV_OK) {
        options->durable->ops->close(options->durable);
        return status;
    }
    size_t shard_count = (size_t)options->shard_count;
    alv_checkpointer *checkpointer = alv_alloc(sizeof *checkpointer);
    checkpointer->options = *options;
    checkpointer->reader = reader;
    checkpointer->default_type = alv_view_of(options->settings->behavior_default);
    checkpointer->held = alv_coalescer_new();
    checkpointer->dirty_since_ms = -1;
    checkpointer->positions = alv_alloc_array(shard_count, sizeof *checkpointer->positions);
    checkpointer->shards = alv_alloc_array(shard_count, sizeof *checkpointer->shards);
    for (size_t i = 0; i < shard_count; i++) {
        atomic_init(&checkpointer->shards[i].position, ALV_OFFSET_NONE);
        checkpointer->shards[i].last_end = ALV_OFFSET_NONE;
    }
    alv_batch_init(&checkpointer->batch, CHECKPOINTER_POLL_RECORDS_MAX);
    uint64_t seed = (uint64_t)alv_monotonic_us(options->clock);
    alv_backoff_init(&checkpointer->durable_backoff, seed);
    alv_backoff_init(&checkpointer->log_backoff, seed + 1);
    checkpointer_init_wake(checkpointer);
    *out = checkpointer;
    return ALV_OK;
}

static void checkpointer_free(alv_checkpointer *checkpointer)
{
    alv_batch_done(&checkpointer->batch);
    checkpointer->reader->ops->close(checkpointer->reader);
    checkpointer->options.durable->ops->close(checkpointer->options.durable);
    alv_coalescer_free(checkpointer->held);
    alv_free(checkpointer->positions);
    alv_free(checkpointer->shards);
    alv_free(checkpointer->durable_trouble);
    ALV_ASSERT(pthread_cond_destroy(&checkpointer->wakened) == 0);
    ALV_ASSERT(pthread_cond_destroy(&checkpointer->told) == 0);
    ALV_ASSERT(pthread_mutex_destroy(&checkpointer->lock) == 0);
    alv_free(checkpointer);
}

/* ---- waking and waiting ---------------------------------------------------------------------- */

/* The thread may wait in the reader's poll or on the condition. */
static void checkpointer_wake(alv_checkpointer *checkpointer)
{
    ALV_ASSERT(pthread_mutex_lock(&checkpointer->lock) == 0);
    checkpointer->woken = true;
    ALV_ASSERT(pthread_cond_signal(&checkpointer->wakened) == 0);
    ALV_ASSERT(pthread_mutex_unlock(&checkpointer->lock) == 0);
    checkpointer->reader->ops->wake(checkpointer->reader);
}

static void checkpointer_sleep(alv_checkpointer *checkpointer, int timeout_ms)
{
    struct timespec until = alv_clock_deadline(timeout_ms);
    ALV_ASSERT(pthread_mutex_lock(&checkpointer->lock) == 0);
    int timed_out = 0;
    while (!checkpointer->woken && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&checkpointer->wakened, &checkpointer->lock, &until);
    }
    checkpointer->woken = false;
    ALV_ASSERT(pthread_mutex_unlock(&checkpointer->lock) == 0);
}

/* ---- follow and unfollow --------------------------------------------------------------------- */

/* A word per shard instead of messages: it can be set at any time, however long the thread is
 * held up. The generation tells a shard that left and came back from one that stayed. */
static void checkpointer_want(alv_checkpointer *checkpointer, int32_t shard, bool followed)
{
    ALV_ASSERT(shard >= 0 && shard < checkpointer->options.shard_count);
    _Atomic uint64_t *wanted = &checkpointer->shards[shard].wanted;
    uint64_t old = atomic_load(wanted);
    uint64_t new;
    do {
        new = (old / 2 + 1) * 2 + (followed ? 1 : 0);
    } while (!atomic_compare_exchange_weak(wanted, &old, new));
    atomic_fetch_add(&checkpointer->changes, 1);
    checkpointer_wake(checkpointer);
}

void alv_checkpointer_follow(alv_checkpointer *checkpointer, int32_t shard)
{
    checkpointer_want(checkpointer, shard, true);
}

void alv_checkpointer_unfollow(alv_checkpointer *checkpointer, int32_t shard)
{
    checkpointer_want(checkpointer, shard, false);
}

void alv_checkpointer_set_state(alv_checkpointer *checkpointer, int32_t shard,
                                checkpointer_state state)
{
    static const bool legal[][5] = {
        /* to:                   OFF    LOCATING READING LEAVING STUCK */
        [CHECKPOINTER_OFF] = {false, true, false, false, false},
        [CHECKPOINTER_LOCATING] = {true, true, true, false, true},
        [CHECKPOINTER_READING] = {true, true, false, true, false},
        [CHECKPOINTER_LEAVING] = {true, true, false, false, false},
        [CHECKPOINTER_STUCK] = {true, true, true, false, true},
    };
    checkpointer_shard *it = &checkpointer->shards[shard];
    ALV_ASSERT(legal[it->state][state]);
    int64_t stuck = (state == CHECKPOINTER_STUCK) - (it->state == CHECKPOINTER_STUCK);
    atomic_fetch_add(&checkpointer->shards_stuck, stuck);
    it->state = state;
    if (state != CHECKPOINTER_READING && state != CHECKPOINTER_LEAVING) {
        atomic_store(&it->position, ALV_OFFSET_NONE);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

int64_t alv_checkpointer_now_ms(const alv_checkpointer *checkpointer)
{
    return alv_monotonic_us(checkpointer->options.clock) / 1000;
}

bool alv_checkpointer_is_full(const alv_checkpointer *checkpointer)
{
    return alv_coalescer_count(checkpointer->held) >= ALV_CHECKPOINT_ROWS_MAX ||
           alv_coalescer_bytes(checkpointer->held) >= ALV_CHECKPOINT_BYTES_MAX;
}

/* How long there is certainly nothing to do unless somebody wakes us, at most `timeout_ms`. A
 * try that is due already was made in this turn, or nobody wants it any more. */
static int checkpointer_wait_ms(const alv_checkpointer *checkpointer, int timeout_ms)
{
    int64_t now_ms = alv_checkpointer_now_ms(checkpointer);
    int64_t until_ms = alv_checkpointer_write_due_ms(checkpointer);
    const alv_backoff *waiting[] = {&checkpointer->durable_backoff, &checkpointer->log_backoff};
    for (size_t i = 0; i < 2; i++) {
        if (waiting[i]->next_try_at_ms > now_ms && waiting[i]->next_try_at_ms < until_ms) {
            until_ms = waiting[i]->next_try_at_ms;
        }
    }
    if (until_ms == INT64_MAX) {
        return timeout_ms;
    }
    int64_t wait_ms = until_ms - now_ms;
    if (wait_ms < 0) {
        return 0;
    }
    return wait_ms < timeout_ms ? (int)wait_ms : timeout_ms;
}

/* While PostgreSQL is away and no more can be held, the reader need not fetch ahead either. When
 * it is merely slow, reading ahead is what makes the next write quick. */
static void checkpointer_set_pause(alv_checkpointer *checkpointer)
{
    bool paused = alv_checkpointer_is_full(checkpointer) && !atomic_load(&checkpointer->connected);
    if (paused == checkpointer->paused) {
        return;
    }
    checkpointer->paused = paused;
    checkpointer->reader->ops->pause_all(checkpointer->reader, paused);
}

static void checkpointer_read(alv_checkpointer *checkpointer, int timeout_ms)
{
    int wait_ms = checkpointer_wait_ms(checkpointer, timeout_ms);
    if (alv_checkpointer_wants_poll(checkpointer)) {
        alv_checkpointer_poll(checkpointer, wait_ms);
    } else if (wait_ms > 0) {
        checkpointer_sleep(checkpointer, wait_ms);
    }
    alv_checkpointer_take_batch(checkpointer);
}

/* Nothing is lost when it is left out, so a stop need not wait for a server that is away. */
static void checkpointer_write_last(alv_checkpointer *checkpointer)
{
    bool away = checkpointer->tried && !atomic_load(&checkpointer->connected);
    if (!away && alv_checkpointer_write_due_ms(checkpointer) != INT64_MAX) {
        alv_checkpointer_write(checkpointer);
    }
}

/* Whoever waits is told as soon as there is something to tell. */
static void checkpointer_look_behind(alv_checkpointer *checkpointer)
{
    if (!atomic_load(&checkpointer->catching_up)) {
        return;
    }
    checkpointer_caught_up caught_up = alv_checkpointer_look_behind(checkpointer);
    ALV_ASSERT(pthread_mutex_lock(&checkpointer->lock) == 0);
    checkpointer->caught_up = caught_up;
    ALV_ASSERT(pthread_cond_signal(&checkpointer->told) == 0);
    ALV_ASSERT(pthread_mutex_unlock(&checkpointer->lock) == 0);
}

/* 1. follow and unfollow; 2. ask for positions; 3. write when due; 4. read, or wait. */
bool alv_checkpointer_turn(alv_checkpointer *checkpointer, int timeout_ms)
{
    alv_checkpointer_take_changes(checkpointer);
    if (atomic_load(&checkpointer->stopping)) {
        checkpointer_write_last(checkpointer);
        return false;
    }
    bool more = alv_checkpointer_locate(checkpointer);
    checkpointer_look_behind(checkpointer);
    if (alv_checkpointer_write_due_ms(checkpointer) <= alv_checkpointer_now_ms(checkpointer)) {
        alv_checkpointer_write(checkpointer);
    }
    checkpointer_set_pause(checkpointer);
    checkpointer_read(checkpointer, more ? 0 : timeout_ms);
    atomic_store(&checkpointer->rows_pending, (int64_t)alv_coalescer_count(checkpointer->held));
    return true;
}

static void *checkpointer_run(void *payload)
{
    alv_checkpointer *checkpointer = payload;
    alv_log_set_thread("checkpointer");
    bool goes_on = true;
    while (goes_on) {
        goes_on = alv_checkpointer_turn(checkpointer, CHECKPOINTER_IDLE_MS);
    }
    return NULL;
}

void alv_checkpointer_start(alv_checkpointer *checkpointer)
{
    ALV_ASSERT(!checkpointer->started);
    checkpointer->started = true;
    ALV_ASSERT(pthread_create(&checkpointer->thread, NULL, checkpointer_run, checkpointer) == 0);
}

void alv_checkpointer_keep(alv_checkpointer *checkpointer)
{
    atomic_store(&checkpointer->keeping, true);
}

bool alv_checkpointer_catch_up(alv_checkpointer *checkpointer, int timeout_ms)
{
    ALV_ASSERT(checkpointer->started && atomic_load(&checkpointer->keeping));
    struct timespec until = alv_clock_deadline(timeout_ms);
    atomic_store(&checkpointer->catching_up, true);
    checkpointer_wake(checkpointer);
    ALV_ASSERT(pthread_mutex_lock(&checkpointer->lock) == 0);
    int timed_out = 0;
    while (checkpointer->caught_up == CHECKPOINTER_CATCHING_UP && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&checkpointer->told, &checkpointer->lock, &until);
    }
    bool done = checkpointer->caught_up == CHECKPOINTER_CAUGHT_UP;
    ALV_ASSERT(pthread_mutex_unlock(&checkpointer->lock) == 0);
    return done;
}

void alv_checkpointer_stop(alv_checkpointer *checkpointer)
{
    if (checkpointer == NULL) {
        return;
    }
    atomic_store(&checkpointer->stopping, true);
    checkpointer_wake(checkpointer);
    if (checkpointer->started) {
        ALV_ASSERT(pthread_join(checkpointer->thread, NULL) == 0);
    } else {
        (void)alv_checkpointer_turn(checkpointer, 0); /* false: it is the last */
    }
    checkpointer_free(checkpointer);
}

/* ---- for others to see ----------------------------------------------------------------------- */

alv_checkpointer_status alv_checkpointer_status_get(const alv_checkpointer *checkpointer)
{
    return (alv_checkpointer_status){
        .connected = atomic_load(&checkpointer->connected),
        .rows_written = atomic_load(&checkpointer->rows_written),
        .rows_pending = atomic_load(&checkpointer->rows_pending),
        .rows_refused = atomic_load(&checkpointer->rows_refused),
        .failures = atomic_load(&checkpointer->failures),
        .shards_stuck = atomic_load(&checkpointer->shards_stuck),
    };
}

int64_t alv_checkpointer_position(const alv_checkpointer *checkpointer, int32_t shard)
{
    ALV_ASSERT(shard >= 0 && shard < checkpointer->options.shard_count);
    return atomic_load(&checkpointer->shards[shard].position);
}
