#include "processor/orphans.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "topics/kafka_nudge.h"

struct alv_orphans {
    alv_orphans_options options;
    const alv_settings *settings;
    bool *held; /* scratch of see, by shard */

    /* What see knows. */
    int64_t since_ms; /* since when there are some, or since the last nudge; 0 = there are none */
    int64_t pause_ms;

    pthread_mutex_t lock; /* a leaf: guards the next two, held for a few instructions */
    pthread_cond_t told;
    bool is_due;
    atomic_bool stopping; /* changed under the lock, and read in the middle of a nudge */
    pthread_t thread;
};

/* ---- looking --------------------------------------------------------------------------------- */

/* Shards that no member has; 0 while the group tells nothing. */
static int32_t orphans_count(const alv_orphans *orphans, const alv_members *members)
{
    int32_t shards = (int32_t)orphans->settings->shards;
    int32_t held = 0;
    memset(orphans->held, 0, (size_t)shards * sizeof *orphans->held);
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        for (size_t j = 0; j < member->shard_count; j++) {
            int32_t shard = member->shards[j];
            if (shard >= 0 && shard < shards && !orphans->held[shard]) {
                orphans->held[shard] = true;
                held++;
            }
        }
    }
    return held == 0 ? 0 : shards - held;
}

static bool orphans_is_member(const alv_orphans *orphans, const alv_members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        if (strcmp(members->items[i].node_id, orphans->settings->node_id) == 0) {
            return true;
        }
    }
    return false;
}

static void orphans_wake(alv_orphans *orphans)
{
    pthread_mutex_lock(&orphans->lock);
    orphans->is_due = true;
    pthread_cond_signal(&orphans->told);
    pthread_mutex_unlock(&orphans->lock);
}

void alv_orphans_see(alv_orphans *orphans, const alv_members *members)
{
    if (orphans == NULL) {
        return;
    }
    int64_t now_ms = alv_monotonic_us(orphans->options.clock) / 1000;
    int32_t count = orphans_count(orphans, members);
    if (count == 0 || !orphans_is_member(orphans, members)) {
        orphans->since_ms = 0;
        orphans->pause_ms = ALV_ORPHANS_AFTER_MS;
        return;
    }
    if (orphans->since_ms == 0) {
        orphans->since_ms = now_ms;
    }
    int64_t rank = alv_members_before(members, orphans->settings->node_id, NULL, NULL);
    if (now_ms - orphans->since_ms < orphans->pause_ms + rank * ALV_ORPHANS_TURN_MS) {
        return;
    }
    alv_log(ALV_LOG_WARN, "shards-orphaned",
            "shards=%" PRId32
            " msg=\"the group has given them to nobody: it is made to assign anew\"",
            count);
    orphans->since_ms = now_ms;
    orphans->pause_ms = 2 * orphans->pause_ms < ALV_ORPHANS_PAUSE_MAX_MS ? 2 * orphans->pause_ms
                                                                         : ALV_ORPHANS_PAUSE_MAX_MS;
    orphans_wake(orphans);
}

/* ---- acting ---------------------------------------------------------------------------------- */

static alv_status orphans_nudge_kafka(void *payload, alv_error *err)
{
    const alv_orphans *orphans = payload;
    return alv_kafka_nudge(orphans->options.config, &orphans->stopping, err);
}

/* False when it is to end. */
static bool orphans_wait(alv_orphans *orphans)
{
    pthread_mutex_lock(&orphans->lock);
    while (!orphans->is_due && !atomic_load(&orphans->stopping)) {
        pthread_cond_wait(&orphans->told, &orphans->lock);
    }
    bool goes_on = !atomic_load(&orphans->stopping);
    orphans->is_due = false;
    pthread_mutex_unlock(&orphans->lock);
    return goes_on;
}

static void *orphans_run(void *payload)
{
    alv_orphans *orphans = payload;
    alv_log_set_thread("orphans");
    while (orphans_wait(orphans)) {
        alv_error err = ALV_ERROR_NONE;
        int64_t began_ms = alv_monotonic_us(orphans->options.clock) / 1000;
        if (orphans->options.nudge(orphans->options.payload, &err) == ALV_OK) {
            alv_log(ALV_LOG_INFO, "group-nudged", "ms=%" PRId64,
                    alv_monotonic_us(orphans->options.clock) / 1000 - began_ms);
        } else {
            alv_log_error(ALV_LOG_WARN, "nudge-failed", &err, "msg=\"tried again later\"");
        }
    }
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

alv_status alv_orphans_start(const alv_orphans_options *options, alv_orphans **out, alv_error *err)
{
    alv_orphans *orphans = alv_alloc(sizeof *orphans);
    orphans->options = *options;
    if (options->nudge == NULL) {
        orphans->options.nudge = orphans_nudge_kafka;
        orphans->options.payload = orphans;
    }
    orphans->settings = alv_config_settings(options->config);
    orphans->held = alv_alloc_array((size_t)orphans->settings->shards, sizeof *orphans->held);
    orphans->pause_ms = ALV_ORPHANS_AFTER_MS;
    pthread_mutex_init(&orphans->lock, NULL);
    pthread_cond_init(&orphans->told, NULL);
    int code = pthread_create(&orphans->thread, NULL, orphans_run, orphans);
    if (code != 0) {
        pthread_cond_destroy(&orphans->told);
        pthread_mutex_destroy(&orphans->lock);
        alv_free(orphans->held);
        alv_free(orphans);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = orphans;
    return ALV_OK;
}

void alv_orphans_stop(alv_orphans *orphans)
{
    if (orphans == NULL) {
        return;
    }
    pthread_mutex_lock(&orphans->lock);
    atomic_store(&orphans->stopping, true);
    pthread_cond_signal(&orphans->told);
    pthread_mutex_unlock(&orphans->lock);
    int failed = pthread_join(orphans->thread, NULL);
    ALV_ASSERT(failed == 0);
    pthread_cond_destroy(&orphans->told);
    pthread_mutex_destroy(&orphans->lock);
    alv_free(orphans->held);
    alv_free(orphans);
}
