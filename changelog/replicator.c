#include "changelog/replicator.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/logger.h"

#define REPLICATOR_POLL_RECORDS_MAX 10000
#define REPLICATOR_PROGRESS_EVERY_MS 2000

/* One shard's restore. REQUESTED: steps 1 and 2 are still to be done (or to be done again, after a failure).
 * READING: assigned to the reader, step 3 is under way. */
typedef struct replicator_job {
    int32_t shard;
    uint64_t serial; /* unique among all jobs */
    uint64_t ticket; /* the requester's */
    alv_restore_done done;
    void *payload;
    enum {
        JOB_REQUESTED,
        JOB_READING
    } phase;
    alv_backoff backoff;
    alv_restore restore;
    int64_t began_us;
} replicator_job;

/* `lock` is a leaf lock: it guards `jobs` and is held while a shard's store is written, so that a
 * cancel which got it knows that nobody writes. Everything else belongs to the replicator's thread. */
struct alv_replicator {
    alv_replicator_options options;
    alv_reader *reader;
    pthread_mutex_t lock;
    replicator_job **jobs; /* by shard; NULL = none */
    uint64_t last_serial;
    bool *assigned; /* by shard: the reader reads it */
    alv_batch batch;
    int64_t progress_at_us;
    atomic_bool stop;
    bool started;
    pthread_t thread;
};

/* ---- the reader ------------------------------------------------------------------------------------ */

static alv_status replicator_assign(alv_replicator *replicator, const replicator_job *job,
                                    alv_error *err)
{
    alv_reader *reader = replicator->reader;
    alv_status status = reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, job->shard,
                                            job->restore.position.changelog, err);
    if (status == ALV_OK) {
        status = reader->ops->assign(reader, ALV_TOPIC_LEDGER, job->shard,
                                     job->restore.position.ledger, err);
    }
    replicator->assigned[job->shard] = true;
    return status;
}

static void replicator_unassign(alv_replicator *replicator, int32_t shard)
{
    if (!replicator->assigned[shard]) {
        return;
    }
    replicator->assigned[shard] = false;
    replicator->reader->ops->unassign(replicator->reader, ALV_TOPIC_CHANGELOG, shard);
    replicator->reader->ops->unassign(replicator->reader, ALV_TOPIC_LEDGER, shard);
}

/* ---- endings ----------------------------------------------------------------------------------- */

/* Takes the restore out of the table and answers. The lock must not be held: `done` may take others. */
static void replicator_answer(replicator_job *job, alv_status status, const alv_error *error)
{
    job->done(job->payload, job->shard, job->ticket, status, &job->restore, error);
    alv_free(job);
}

/* A step failed. What may pass is tried again from the store's position, after a while; the rest is
 * answered. Returns the restore when it is to be answered (it has left the table). Lock held. */
static replicator_job *replicator_failed(alv_replicator *replicator, replicator_job *job,
                                         alv_status status, const alv_error *error)
{
    replicator_unassign(replicator, job->shard);
    job->phase = JOB_REQUESTED;
    if (status == ALV_RETRY || status == ALV_REJECT) {
        bool first = job->backoff.failures == 0;
        alv_backoff_failed(&job->backoff, alv_now_ms(replicator->options.clock));
        alv_log_error(first ? ALV_LOG_WARN : ALV_LOG_DEBUG, "restore-waits", error,
                      "shard=%" PRId32 " failures=%u", job->shard, job->backoff.failures);
        return NULL;
    }
    replicator->jobs[job->shard] = NULL;
    return job;
}

static void replicator_report(const alv_replicator *replicator, const replicator_job *job)
{
    if (replicator->options.progress != NULL) {
        replicator->options.progress(replicator->options.payload, &job->restore);
    }
}

/* Everything that was there is applied: the job leaves the table and is to be answered. Lock held. */
static replicator_job *replicator_complete(alv_replicator *replicator, replicator_job *job)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_restorer_finish(&job->restore, replicator->options.store,
                                            alv_now_ms(replicator->options.clock), &err);
    if (status != ALV_OK) {
        return replicator_failed(replicator, job, status, &err);
    }
    replicator_unassign(replicator, job->shard);
    replicator->jobs[job->shard] = NULL;
    replicator_report(replicator, job);
    int64_t took_us = alv_monotonic_us(replicator->options.clock) - job->began_us;
    alv_log(ALV_LOG_INFO, "restored",
            "shard=%" PRId32 " records=%" PRId64 " changelog=%" PRId64 " ms=%" PRId64, job->shard,
            job->restore.records, job->restore.position.changelog, took_us / 1000);
    return job;
}

/* ---- new requests ------------------------------------------------------------------------------ */

/* The next request that is due: its shard and serial number; false when there is none. */
static bool replicator_next_request(alv_replicator *replicator, int32_t *from, uint64_t *out_serial)
{
    int64_t now_ms = alv_now_ms(replicator->options.clock);
    bool found = false;
    pthread_mutex_lock(&replicator->lock);
    for (; *from < replicator->options.shard_count && !found; (*from)++) {
        const replicator_job *job = replicator->jobs[*from];
        if (job != NULL && job->phase == JOB_REQUESTED && alv_backoff_due(&job->backoff, now_ms)) {
            *out_serial = job->serial;
            found = true;
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    return found;
}

/* The broker is asked without the lock; meanwhile the request may have been cancelled, or cancelled
 * and made again (maybe by another lane), which the serial number tells: a survey is good only for
 * the request it was made for. */
static void replicator_begin(alv_replicator *replicator, int32_t shard, uint64_t serial)
{
    alv_survey survey = {0};
    alv_error err = ALV_ERROR_NONE;
    replicator_unassign(replicator, shard); /* of a restore that was cancelled */
    alv_status status = alv_restorer_survey(replicator->reader, shard, &survey, &err);

    pthread_mutex_lock(&replicator->lock);
    replicator_job *job = replicator->jobs[shard];
    replicator_job *ended = NULL;
    if (job != NULL && job->serial == serial) {
        if (status == ALV_OK) {
            status = alv_restorer_plan(replicator->options.store, replicator->options.settings,
                                       shard, &survey, alv_now_ms(replicator->options.clock),
                                       &job->restore, &err);
        }
        if (status == ALV_OK) {
            status = replicator_assign(replicator, job, &err);
        }
        if (status == ALV_OK) {
            job->phase = JOB_READING;
            alv_backoff_succeeded(&job->backoff);
            replicator_report(replicator, job);
        } else {
            ended = replicator_failed(replicator, job, status, &err);
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    if (ended != NULL) {
        replicator_answer(ended, status, &err);
    }
}

static void replicator_begin_requests(alv_replicator *replicator)
{
    int32_t next = 0;
    uint64_t serial = 0;
    while (replicator_next_request(replicator, &next, &serial)) {
        replicator_begin(replicator, next - 1, serial);
    }
}

/* Restores that were cancelled are no longer in the table, but the reader still reads them. */
static void replicator_drop_cancelled(alv_replicator *replicator)
{
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        if (!replicator->assigned[shard]) {
            continue;
        }
        pthread_mutex_lock(&replicator->lock);
        bool wanted =
            replicator->jobs[shard] != NULL && replicator->jobs[shard]->phase == JOB_READING;
        pthread_mutex_unlock(&replicator->lock);
        if (!wanted) {
            replicator_unassign(replicator, shard);
        }
    }
}

/* ---- step 3: applying what was read ------------------------------------------------------------ */

/* One run of records of the same shard, if its restore is still wanted. */
static void replicator_apply_run(alv_replicator *replicator, const alv_record *records,
                                 size_t count)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    int32_t shard = records[0].shard;
    pthread_mutex_lock(&replicator->lock);
    replicator_job *job = replicator->jobs[shard];
    replicator_job *ended = NULL;
    if (job != NULL && job->phase == JOB_READING) {
        status = alv_restorer_apply(&job->restore, replicator->options.store, records, count,
                                    alv_now_ms(replicator->options.clock), &err);
        if (status != ALV_OK) {
            ended = replicator_failed(replicator, job, status, &err);
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    if (ended != NULL) {
        replicator_answer(ended, status, &err);
    }
}

static void replicator_apply_batch(alv_replicator *replicator)
{
    const alv_record *records = replicator->batch.records;
    size_t count = replicator->batch.count;
    for (size_t begin = 0, end = 0; begin < count; begin = end) {
        while (end < count && records[end].shard == records[begin].shard &&
               end - begin < ALV_RESTORE_RECORDS_MAX) {
            end++;
        }
        replicator_apply_run(replicator, &records[begin], end - begin);
    }
}

/* Positions as the reader sees them, control records included, and what is complete by them. */
static void replicator_finish_complete(alv_replicator *replicator)
{
    alv_reader *reader = replicator->reader;
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        if (!replicator->assigned[shard]) {
            continue;
        }
        pthread_mutex_lock(&replicator->lock);
        replicator_job *job = replicator->jobs[shard];
        replicator_job *ended = NULL;
        if (job != NULL && job->phase == JOB_READING) {
            alv_restorer_advance(&job->restore,
                                 reader->ops->position(reader, ALV_TOPIC_CHANGELOG, shard),
                                 reader->ops->position(reader, ALV_TOPIC_LEDGER, shard));
            if (alv_restorer_is_complete(&job->restore)) {
                ended = replicator_complete(replicator, job);
            }
        }
        pthread_mutex_unlock(&replicator->lock);
        if (ended != NULL) {
            replicator_answer(ended, ALV_OK, NULL);
        }
    }
}

/* An assigned offset fell out of the log while it was read: all that is being read is surveyed again,
 * which finds out what to do about it. */
static void replicator_restart_reading(alv_replicator *replicator, const alv_error *error)
{
    pthread_mutex_lock(&replicator->lock);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        replicator_job *job = replicator->jobs[shard];
        if (job != NULL && job->phase == JOB_READING) {
            (void)replicator_failed(replicator, job, ALV_RETRY, error); /* stays in the table */
        }
    }
    pthread_mutex_unlock(&replicator->lock);
}

/* ---- the loop ---------------------------------------------------------------------------------- */

/* Every few seconds: how far all restores are, for whoever watches the log. */
static void replicator_log_progress(alv_replicator *replicator)
{
    int64_t now_us = alv_monotonic_us(replicator->options.clock);
    if (now_us - replicator->progress_at_us < REPLICATOR_PROGRESS_EVERY_MS * 1000) {
        return;
    }
    bool first_look = replicator->progress_at_us == 0;
    replicator->progress_at_us = now_us;
    int count = 0;
    int64_t done = 0;
    int64_t target = 0;
    int64_t began_us = now_us;
    pthread_mutex_lock(&replicator->lock);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        const replicator_job *job = replicator->jobs[shard];
        if (job != NULL && job->phase == JOB_READING) {
            replicator_report(replicator, job);
            count++;
            done += job->restore.records;
            target += job->restore.records_target;
            began_us = job->began_us < began_us ? job->began_us : began_us;
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    int64_t took_ms = (now_us - began_us) / 1000;
    int64_t left_s = done > 0 ? (target - done) * took_ms / done / 1000 : -1;
    if (count > 0 && !first_look) {
        alv_log(ALV_LOG_INFO, "restoring",
                "shards=%d records=%" PRId64 " of=%" PRId64 " percent=%" PRId64 " eta_s=%" PRId64,
                count, done, target, target > 0 ? done * 100 / target : 100, left_s);
    }
}

/*  1. drop what was cancelled   2. begin what was requested   3. poll
 *  4. apply                     5. answer what is complete    6. say how far */
void alv_replicator_turn(alv_replicator *replicator, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    replicator_drop_cancelled(replicator);
    replicator_begin_requests(replicator);
    alv_status status =
        replicator->reader->ops->poll(replicator->reader, timeout_ms, &replicator->batch, &err);
    if (status == ALV_REJECT) {
        replicator_restart_reading(replicator, &err);
    } else if (status == ALV_FATAL) {
        alv_log_error(ALV_LOG_ERROR, "replicator-reader", &err, "msg=\"reading goes on\"");
    }
    replicator_apply_batch(replicator);
    alv_batch_clear(&replicator->batch);
    replicator_finish_complete(replicator);
    replicator_log_progress(replicator);
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

/* ---- life -------------------------------------------------------------------------------------- */

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
    pthread_mutex_init(&replicator->lock, NULL);
    replicator->jobs = alv_alloc_array(shard_count, sizeof(replicator_job *));
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

void alv_replicator_restore(alv_replicator *replicator, int32_t shard, uint64_t ticket,
                            alv_restore_done done, void *payload)
{
    ALV_ASSERT(shard >= 0 && shard < replicator->options.shard_count);
    replicator_job *job = alv_alloc(sizeof *job);
    job->shard = shard;
    job->ticket = ticket;
    job->done = done;
    job->payload = payload;
    job->began_us = alv_monotonic_us(replicator->options.clock);
    alv_backoff_init(&job->backoff, ticket);
    pthread_mutex_lock(&replicator->lock);
    ALV_ASSERT(replicator->jobs[shard] == NULL);
    job->serial = ++replicator->last_serial;
    replicator->jobs[shard] = job;
    pthread_mutex_unlock(&replicator->lock);
    replicator->reader->ops->wake(replicator->reader);
}

void alv_replicator_cancel(alv_replicator *replicator, int32_t shard)
{
    pthread_mutex_lock(&replicator->lock);
    replicator_job *job = replicator->jobs[shard];
    replicator->jobs[shard] = NULL;
    if (job != NULL && job->phase == JOB_READING) {
    }
    pthread_mutex_unlock(&replicator->lock);
    alv_free(job);
    replicator->reader->ops->wake(replicator->reader);
}

void alv_replicator_stop(alv_replicator *replicator)
{
    if (replicator == NULL) {
        return;
    }
    atomic_store(&replicator->stop, true);
    if (replicator->started) {
        replicator->reader->ops->wake(replicator->reader);
        pthread_join(replicator->thread, NULL);
    }
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        alv_free(replicator->jobs[shard]);
    }
    alv_batch_done(&replicator->batch);
    replicator->reader->ops->close(replicator->reader);
    pthread_mutex_destroy(&replicator->lock);
    alv_free(replicator->jobs);
    alv_free(replicator->assigned);
    alv_free(replicator);
}
