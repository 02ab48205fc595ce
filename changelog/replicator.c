#include "changelog/replicator.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/logger.h"
#include "changelog/replicator_internal.h"

#define REPLICATOR_POLL_RECORDS_MAX 10000
/* With fewer records to read, a file of its own for the shard costs more than it saves. */
#define REPLICATOR_BULK_RECORDS_MIN 10000
/* How often the store is asked whether it has installed what was loaded. */
#define REPLICATOR_ENDING_POLL_MS 2

/* ---- which jobs there are ------------------------------------------------------------------------ */

/* Lock held. */
static alv_replicator_job *replicator_add_job(alv_replicator *replicator, int32_t shard)
{
    ALV_ASSERT(replicator->jobs[shard] == NULL);
    alv_replicator_job *job = alv_alloc(sizeof *job);
    job->shard = shard;
    job->serial = ++replicator->last_serial;
    job->survey_due = true;
    job->began_us = alv_monotonic_us(replicator->options.clock);
    job->restore.shard = shard;
    alv_backoff_init(&job->backoff, job->serial);
    replicator->jobs[shard] = job;
    return job;
}

/* Lock held. */
static void replicator_drop_job(alv_replicator *replicator, alv_replicator_job *job)
{
    alv_replicator_stop_reading(replicator, job);
    replicator->jobs[job->shard] = NULL;
    alv_free(job);
}

/* Restores come before standbys: one that is not at the end yet lets go of the reader and of its place in
 * the store's loads, and goes on from the store's position later. Lock held. */
static void replicator_park(alv_replicator *replicator, alv_replicator_job *job)
{
    if (job->is_standby && !job->is_hot && (job->reading || job->waiting || job->ending)) {
        alv_replicator_stop_reading(replicator, job);
        job->survey_due = true;
    }
}

/* Makes standbys that are wanted and ends those that are not; lets go of what was released. */
static void replicator_arrange(alv_replicator *replicator)
{
    pthread_mutex_lock(&replicator->lock);
    bool restoring = alv_replicator_is_restoring(replicator);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        alv_replicator_job *job = replicator->jobs[shard];
        if (job != NULL && job->is_standby && !replicator->wanted[shard]) {
            alv_replicator_report(replicator, ALV_REPLICA_NONE, job);
            replicator_drop_job(replicator, job);
            job = NULL;
        }
        if (job != NULL && restoring) {
            replicator_park(replicator, job);
        }
        if (job == NULL) {
            alv_replicator_unassign(replicator, shard);
            if (replicator->wanted[shard] && !replicator->taken[shard] && !restoring) {
                replicator_add_job(replicator, shard)->is_standby = true;
            }
        }
    }
    pthread_mutex_unlock(&replicator->lock);
}

/* ---- the loop ------------------------------------------------------------------------------------ */

/* Whether the store takes in more; waits a little for it. What is not polled waits in the reader. */
static bool replicator_has_room(alv_replicator *replicator, int timeout_ms)
{
    alv_store *store = replicator->options.store;
    pthread_mutex_lock(&replicator->lock);
    int loads = alv_replicator_loads(replicator);
    pthread_mutex_unlock(&replicator->lock);
    return loads == 0 || store->ops->bulk_wait(store, timeout_ms);
}

static void replicator_poll(alv_replicator *replicator, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        replicator->reader->ops->poll(replicator->reader, timeout_ms, &replicator->batch, &err);
    if (status == ALV_REJECT) {
        alv_replicator_restart_reading(replicator, &err);
    } else if (status == ALV_FATAL) {
        alv_log_error(ALV_LOG_ERROR, "replicator-reader", &err, "msg=\"reading goes on\"");
    }
}

/*  1. arrange: begin and end standbys, let go of what was released
 *  2. survey what is new   3. poll   4. apply   5. answer what is complete   6. say how far it is */
void alv_replicator_turn(alv_replicator *replicator, int timeout_ms)
{
    replicator_arrange(replicator);
    alv_replicator_survey_due(replicator);
    alv_replicator_begin_waiting(replicator);
    int wait_ms = replicator->is_ending && timeout_ms > REPLICATOR_ENDING_POLL_MS
                      ? REPLICATOR_ENDING_POLL_MS
                      : timeout_ms;
    if (replicator_has_room(replicator, wait_ms)) {
        replicator_poll(replicator, wait_ms);
        alv_replicator_apply_batch(replicator);
        alv_batch_clear(&replicator->batch);
    }
    replicator->is_ending = alv_replicator_finish_due(replicator);
    alv_replicator_report_due(replicator);
}

static void *replicator_main(void *argument)
{
    alv_replicator *replicator = argument;
    alv_log_set_thread("replicator");
    while (!atomic_load(&replicator->stop)) {
        alv_replicator_turn(replicator, ALV_LANE_IDLE_POLL_MS);
    }
    return NULL;
}

/* ---- what others ask for ------------------------------------------------------------------------- */

void alv_replicator_restore(alv_replicator *replicator, int32_t shard, uint64_t ticket,
                            alv_restore_done done, void *payload)
{
    ALV_ASSERT(shard >= 0 && shard < replicator->options.shard_count);
    pthread_mutex_lock(&replicator->lock);
    replicator->taken[shard] = true;
    alv_replicator_job *job = replicator->jobs[shard];
    if (job == NULL) {
        job = replicator_add_job(replicator, shard);
    }
    ALV_ASSERT(job->done == NULL); /* one lane at a time */
    job->serial = ++replicator->last_serial;
    job->is_standby = false; /* promoted: it goes on reading while it is surveyed */
    job->is_hot = false;
    job->survey_due = true;
    job->began_us = alv_monotonic_us(replicator->options.clock);
    job->ticket = ticket;
    job->done = done;
    job->payload = payload;
    alv_backoff_succeeded(&job->backoff);
    pthread_mutex_unlock(&replicator->lock);
    replicator->reader->ops->wake(replicator->reader);
}

void alv_replicator_release(alv_replicator *replicator, int32_t shard)
{
    pthread_mutex_lock(&replicator->lock);
    replicator->taken[shard] = false;
    alv_replicator_job *job = replicator->jobs[shard];
    if (job != NULL) {
        alv_restorer_bulk_drop(&job->restore, replicator->options.store);
        replicator->jobs[shard] = NULL;
    }
    pthread_mutex_unlock(&replicator->lock);
    alv_free(job);
    replicator->reader->ops->wake(replicator->reader);
}

void alv_replicator_set_standbys(alv_replicator *replicator, const bool *wanted)
{
    size_t shard_count = (size_t)replicator->options.shard_count;
    pthread_mutex_lock(&replicator->lock);
    memcpy(replicator->wanted, wanted, shard_count * sizeof *wanted);
    pthread_mutex_unlock(&replicator->lock);
    replicator->reader->ops->wake(replicator->reader);
}

/* ---- life ---------------------------------------------------------------------------------------- */

alv_status alv_replicator_new(const alv_replicator_options *options, alv_replicator **out,
                              alv_error *err)
{
    ALV_ASSERT(options->shard_count > 0);
    alv_reader *reader = NULL;
    alv_status status = options->log->ops->open_reader(options->log, "replicator", &reader, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_replicator *replicator = alv_alloc(sizeof *replicator);
    size_t shard_count = (size_t)options->shard_count;
    replicator->options = *options;
    replicator->reader = reader;
    if (options->bulk_records_min == 0) {
        replicator->options.bulk_records_min = REPLICATOR_BULK_RECORDS_MIN;
    }
    replicator->reported_us = alv_monotonic_us(options->clock);
    replicator->logged_us = replicator->reported_us;
    pthread_mutex_init(&replicator->lock, NULL);
    replicator->jobs = alv_alloc_array(shard_count, sizeof(alv_replicator_job *));
    replicator->taken = alv_alloc_array(shard_count, sizeof *replicator->taken);
    replicator->wanted = alv_alloc_array(shard_count, sizeof *replicator->wanted);
    replicator->assigned = alv_alloc_array(shard_count, sizeof *replicator->assigned);
    alv_batch_init(&replicator->batch, REPLICATOR_POLL_RECORDS_MAX);
    *out = replicator;
    return ALV_OK;
}

void alv_replicator_start(alv_replicator *replicator)
{
    ALV_ASSERT(!replicator->started);
    int failed = pthread_create(&replicator->thread, NULL, replicator_main, replicator);
    ALV_ASSERT(failed == 0);
    replicator->started = true;
}

void alv_replicator_stop(alv_replicator *replicator)
{
    if (!replicator->started) {
        return;
    }
    atomic_store(&replicator->stop, true);
    replicator->reader->ops->wake(replicator->reader);
    pthread_join(replicator->thread, NULL);
    replicator->started = false;
}

void alv_replicator_free(alv_replicator *replicator)
{
    if (replicator == NULL) {
        return;
    }
    alv_replicator_stop(replicator);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        if (replicator->jobs[shard] != NULL) {
            replicator_drop_job(replicator, replicator->jobs[shard]);
        }
    }
    alv_batch_done(&replicator->batch);
    replicator->reader->ops->close(replicator->reader);
    pthread_mutex_destroy(&replicator->lock);
    alv_free(replicator->jobs);
    alv_free(replicator->taken);
    alv_free(replicator->wanted);
    alv_free(replicator->assigned);
    alv_free(replicator);
}
