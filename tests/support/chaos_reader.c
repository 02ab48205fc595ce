#include "tests/support/chaos_reader.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "tests/support/http_call.h"
#include "tests/support/user_model.h"

#define READER_THREADS_MAX 8
#define READER_PAUSE_MS 8
#define READER_PAUSE_SILENT_MS 100
#define READER_HOT 20 /* so many of the hot counters get half of the questions */

typedef struct reader_thread {
    alv_chaos_reader *reader;
    const char *address;
    uint64_t random;
    pthread_t thread;
    CURL *curl;
} reader_thread;

struct alv_chaos_reader {
    alv_chaos_counters *counters; /* NULL = nothing to ask for */
    reader_thread threads[READER_THREADS_MAX];
    int count;
    _Atomic bool stopping;
    _Atomic int64_t stale_until_us;
    _Atomic int64_t *seen; /* per counter: the largest balance that was answered */
    _Atomic int64_t answers;
    _Atomic int64_t refused;
    _Atomic int64_t silent;
    _Atomic int64_t stale;
    pthread_mutex_t lock; /* failure */
    char failure[1024];
    _Atomic bool failed;
};

/* One question and its answer. */
typedef struct reader_question {
    int user;
    char key[64];
    int64_t seen_before; /* answered to somebody before this was asked */
    bool may_be_stale;
    int64_t balance;
    int64_t position; /* of the commands; -1 = not in the answer */
} reader_question;

/* ---- judging --------------------------------------------------------------------------------- */

static void reader_fail(reader_thread *thread, const reader_question *reading, const char *what,
                        int64_t bound, const char *body)
{
    alv_chaos_reader *reader = thread->reader;
    (void)pthread_mutex_lock(&reader->lock);
    if (!reader->failed) {
        (void)snprintf(reader->failure, sizeof(reader->failure),
                       "%s answers for %s: %s %" PRId64 ": %.600s", thread->address, reading->key,
                       what, bound, body);
        reader->failed = true;
    }
    (void)pthread_mutex_unlock(&reader->lock);
}

static bool reader_stale_allowed(const alv_chaos_reader *reader)
{
    return alv_monotonic_us(alv_clock_system()) < reader->stale_until_us;
}

static void reader_note_seen(_Atomic int64_t *seen, int64_t balance)
{
    int64_t before = *seen;
    while (before < balance && !atomic_compare_exchange_weak(seen, &before, balance)) {
    }
}

static void reader_judge(reader_thread *thread, const reader_question *reading, const char *body)
{
    alv_chaos_reader *reader = thread->reader;
    int64_t produced = alv_chaos_counters_produced(reader->counters, reading->user);
    int64_t due = reading->position < 0 ? 0
                                        : alv_chaos_counters_below(reader->counters, reading->user,
                                                                   reading->position);
    if (reading->balance > produced) {
        reader_fail(thread, reading, "more than was produced, which is", produced, body);
    } else if (reading->balance < due) {
        reader_fail(thread, reading, "older than its position, at which it was", due, body);
    } else if (reading->balance >= reading->seen_before) {
        reader_note_seen(&reader->seen[reading->user], reading->balance);
    } else if (reading->may_be_stale || reader_stale_allowed(reader)) {
        reader->stale++;
    } else {
        reader_fail(thread, reading, "less than an earlier answer,", reading->seen_before, body);
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void reader_take(reader_thread *thread, reader_question *reading,
                        const alv_http_result *result)
{
    alv_chaos_reader *reader = thread->reader;
    char body[700];
    (void)snprintf(body, sizeof(body), "%ld %.*s", result->status, (int)result->body.size,
                   result->body.size > 0 ? result->body.data : "");
    if (result->status == 0) {
        reader->silent++;
    } else if (result->status == 503) {
        reader->refused++;
    } else if (result->status == 200 || result->status == 404) {
        json_t *position = json_object_get(json_object_get(result->json, "position"), "commands");
        json_t *state = json_object_get(result->json, "state");
        reading->position = json_is_integer(position) ? json_integer_value(position) : -1;
        reading->balance = json_integer_value(json_object_get(state, "balance"));
        reader->answers++;
        reader_judge(thread, reading, body);
    } else {
        reader_fail(thread, reading, "not as an owner would, status", result->status, body);
    }
}

static void reader_ask(reader_thread *thread)
{
    alv_chaos_reader *reader = thread->reader;
    int counters = alv_chaos_counters_count(reader->counters);
    reader_question reading = {
        .user = (int)(alv_user_model_random(&thread->random) % (uint64_t)counters)};
    if (alv_user_model_random(&thread->random) % 2 == 0) {
        reading.user = reading.user % READER_HOT * ALV_CHAOS_COUNTERS_HOT % counters;
    }
    alv_user_model user;
    alv_user_model_init(&user, (unsigned)reading.user);
    alv_user_model_key(&user, reading.key, sizeof(reading.key));
    char path[128];
    int mall = (int)strcspn(reading.key, ":");
    (void)snprintf(path, sizeof(path), "/v1/entities/%.*s%%3A%s", mall, reading.key,
                   reading.key + mall + 1);
    reading.seen_before = reader->seen[reading.user];
    reading.may_be_stale = reader_stale_allowed(reader);
    alv_http_result result = alv_http_call(thread->curl, "GET", thread->address, path, NULL);
    reader_take(thread, &reading, &result);
    (void)poll(NULL, 0, result.status == 0 ? READER_PAUSE_SILENT_MS : READER_PAUSE_MS);
    alv_http_result_done(&result);
}

static void *reader_main(void *payload)
{
    reader_thread *thread = payload;
    while (!thread->reader->stopping) {
        reader_ask(thread);
    }
    return NULL;
}

/* ---- for others ------------------------------------------------------------------------------ */

alv_chaos_reader *alv_chaos_reader_start(alv_chaos_counters *counters, const char *const *addresses,
                                         int count)
{
    ALV_ASSERT(count <= READER_THREADS_MAX);
    alv_chaos_reader *reader = alv_alloc(sizeof(*reader));
    memset(reader, 0, sizeof(*reader));
    reader->counters = counters;
    reader->count = counters != NULL ? count : 0;
    int seen_count = counters != NULL ? alv_chaos_counters_count(counters) : 0;
    reader->seen = alv_alloc_array((size_t)seen_count, sizeof(*reader->seen));
    for (int i = 0; i < seen_count; i++) {
        reader->seen[i] = 0;
    }
    ALV_ASSERT(pthread_mutex_init(&reader->lock, NULL) == 0);
    for (int i = 0; i < reader->count; i++) {
        reader_thread *thread = &reader->threads[i];
        thread->reader = reader;
        thread->address = addresses[i];
        thread->random = (uint64_t)i + 1;
        thread->curl = curl_easy_init();
        ALV_ASSERT(thread->curl != NULL);
        ALV_ASSERT(pthread_create(&thread->thread, NULL, reader_main, thread) == 0);
    }
    return reader;
}

void alv_chaos_reader_allow_stale(alv_chaos_reader *reader, int64_t ms)
{
    int64_t until_us = alv_monotonic_us(alv_clock_system()) + ms * 1000;
    reader_note_seen(&reader->stale_until_us, until_us);
}

const char *alv_chaos_reader_failure(const alv_chaos_reader *reader)
{
    return reader->failed ? reader->failure : NULL;
}

alv_chaos_reader_counts alv_chaos_reader_counted(const alv_chaos_reader *reader)
{
    return (alv_chaos_reader_counts){
        .answers = reader->answers,
        .refused = reader->refused,
        .silent = reader->silent,
        .stale = reader->stale,
    };
}

void alv_chaos_reader_stop(alv_chaos_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    reader->stopping = true;
    for (int i = 0; i < reader->count; i++) {
        (void)pthread_join(reader->threads[i].thread, NULL);
        curl_easy_cleanup(reader->threads[i].curl);
    }
    (void)pthread_mutex_destroy(&reader->lock);
    alv_free((void *)reader->seen);
    alv_free(reader);
}
