/* replicator_read.c — a job's way: what there is to read, reading it, loading it in bulk, the end. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "changelog/replicator_internal.h"

static int64_t replicator_now_ms(const alv_replicator *replicator)
{
    return alv_now_ms(replicator->options.clock);
}

/* ---- the reader ---------------------------------------------------------------------------------- */

static alv_status replicator_assign(alv_replicator *replicator, const alv_replicator_job *job,
                                    alv_error *err)
{
    alv_reader *reader = replicator->reader;
    const alv_position *position = &job->restore.position;
    ALV_ASSERT(!replicator->assigned[job->shard]);
    replicator->assigned[job->shard] = true;
    alv_status status =
        reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, job->shard, position->changelog, err);
    if (status == ALV_OK) {
        status = reader->ops->assign(reader, ALV_TOPIC_LEDGER, job->shard, position->ledger, err);
    }
    return status;
}

void alv_replicator_unassign(alv_replicator *replicator, int32_t shard)
{
    if (!replicator->assigned[shard]) {
        return;
    }
    replicator->assigned[shard] = false;
    replicator->reader->ops->unassign(replicator->reader, ALV_TOPIC_CHANGELOG, shard);
    replicator->reader->ops->unassign(replicator->reader, ALV_TOPIC_LEDGER, shard);
}

void alv_replicator_stop_reading(alv_replicator *replicator, alv_replicator_job *job)
{
    alv_replicator_unassign(replicator, job->shard);
    alv_restorer_bulk_drop(&job->restore, replicator->options.store);
    job->reading = false;
    job->waiting = false;
    job->ending = false;
}

/* ---- the end of a job ---------------------------------------------------------------------------- */

/* Takes the restore out of the table; whoever waits is answered without the lock, by the caller. */
static alv_replicator_job *replicator_end_job(alv_replicator *replicator, alv_replicator_job *job)
{
    alv_replicator_stop_reading(replicator, job);
    replicator->jobs[job->shard] = NULL;
    return job;
}

static void replicator_answer(alv_replicator_job *job, alv_status status, const alv_error *error)
{
    if (job != NULL) {
        job->done(job->payload, job->shard, job->ticket, status, &job->restore, error);
        alv_free(job);
    }
}

/* A step failed. What may pass is tried again from the store's position, after a while; a standby always
 * is, since nobody depends on it. Returns a restore that is to be answered. Lock held. */
static alv_replicator_job *replicator_failed(alv_replicator *replicator, alv_replicator_job *job,
                                             alv_status status, const alv_error *error)
{
    bool passes = status == ALV_RETRY || status == ALV_REJECT;
    if (!passes && !job->is_standby) {
        return replicator_end_job(replicator, job);
    }
    alv_replicator_stop_reading(replicator, job);
    job->is_hot = false;
    job->survey_due = true;
    bool first = job->backoff.failures == 0;
    alv_backoff_failed(&job->backoff, replicator_now_ms(replicator));
    alv_log_error(first ? ALV_LOG_WARN : ALV_LOG_DEBUG, "restore-waits", error,
                  "shard=%" PRId32 " standby=%d failures=%u", job->shard, job->is_standby,
                  job->backoff.failures);
    return NULL;
}

/* ---- surveys ------------------------------------------------------------------------------------- */

typedef struct replicator_request {
    int32_t shard;
    uint64_t serial;
    bool is_standby;
} replicator_request;

bool alv_replicator_is_restoring(const alv_replicator *replicator)
{
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        if (replicator->jobs[shard] != NULL && !replicator->jobs[shard]->is_standby) {
            return true;
        }
    }
    return false;
}

/* The next job from *from on whose survey is due; false when there is none, or when the replicator is to
 * stop: while brokers are away each survey takes its full time. Standbys wait for restores. */
static bool replicator_next_request(alv_replicator *replicator, int32_t *from,
                                    replicator_request *out)
{
    int64_t now_ms = replicator_now_ms(replicator);
    bool found = false;
    if (atomic_load(&replicator->stop)) {
        return false;
    }
    pthread_mutex_lock(&replicator->lock);
    bool restoring = alv_replicator_is_restoring(replicator);
    for (; *from < replicator->options.shard_count && !found; (*from)++) {
        const alv_replicator_job *job = replicator->jobs[*from];
        if (job != NULL && job->survey_due && !job->ending && !(job->is_standby && restoring) &&
            alv_backoff_due(&job->backoff, now_ms)) {
            *out = (replicator_request){job->shard, job->serial, job->is_standby};
            found = true;
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    return found;
}

int alv_replicator_loads(const alv_replicator *replicator)
{
    int count = 0;
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        count += replicator->jobs[shard] != NULL && replicator->jobs[shard]->restore.bulk;
    }
    return count;
}

/* Reads what was planned, or lets it wait: a few long ones at a time. Their shards are ready one after
 * the other instead of all at the very end, and each fills larger buffers. Lock held. */
static alv_status replicator_begin(alv_replicator *replicator, alv_replicator_job *job,
                                   alv_error *err)
{
    alv_status status = ALV_OK;
    bool is_long = job->restore.records_target >= replicator->options.bulk_records_min;
    job->waiting = is_long && alv_replicator_loads(replicator) >= ALV_STORE_BULK_SHARDS_MAX;
    if (job->waiting) {
        return ALV_OK;
    }
    if (is_long) {
        status = alv_restorer_bulk_begin(&job->restore, replicator->options.store, err);
    }
    if (status == ALV_OK) {
        alv_replicator_unassign(replicator, job->shard); /* of a job released a moment ago */
        status = replicator_assign(replicator, job, err);
    }
    job->reading = status == ALV_OK;
    job->reading_us = alv_monotonic_us(replicator->options.clock);
    job->logged_us = job->reading_us;
    job->logged_records = 0;
    return status;
}

/* Begins to read, or, for a standby that was promoted, reads on to a new target. Lock held. */
static alv_status replicator_use_survey(alv_replicator *replicator, alv_replicator_job *job,
                                        const alv_survey *survey, alv_error *err)
{
    if (job->reading) {
        job->logged_records = 0;
        return alv_restorer_promote(&job->restore, survey, err);
    }
    ALV_ASSERT(!job->restore.bulk);
    alv_status status =
        alv_restorer_plan(replicator->options.store, replicator->options.settings, job->shard,
                          survey, replicator_now_ms(replicator), &job->restore, err);
    return status == ALV_OK ? replicator_begin(replicator, job, err) : status;
}

/* The broker is asked without the lock. Meanwhile the job may have been ended and another one begun,
 * which the serial number tells: a survey is good only for the job it was made for. */
static void replicator_survey(alv_replicator *replicator, const replicator_request *request)
{
    alv_survey survey = {0};
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        request->is_standby
            ? alv_restorer_survey_replica(replicator->reader, request->shard, &survey, &err)
            : alv_restorer_survey(replicator->reader, request->shard, &survey, &err);

    pthread_mutex_lock(&replicator->lock);
    alv_replicator_job *job = replicator->jobs[request->shard];
    alv_replicator_job *ended = NULL;
    if (job != NULL && job->serial == request->serial) {
        if (status == ALV_OK) {
            status = replicator_use_survey(replicator, job, &survey, &err);
        }
        if (status == ALV_OK) {
            job->survey_due = false;
            alv_backoff_succeeded(&job->backoff);
            alv_replicator_report(replicator, alv_replicator_replica(job), job);
        } else {
            ended = replicator_failed(replicator, job, status, &err);
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    replicator_answer(ended, status, &err);
}

void alv_replicator_survey_due(alv_replicator *replicator)
{
    int32_t next = 0;
    replicator_request request;
    while (replicator_next_request(replicator, &next, &request)) {
        replicator_survey(replicator, &request);
    }
}

/* While a restore waits, standbys do not take its place: they stood aside, and are surveyed again later. */
void alv_replicator_begin_waiting(alv_replicator *replicator)
{
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        alv_error err = ALV_ERROR_NONE;
        alv_status status = ALV_OK;
        pthread_mutex_lock(&replicator->lock);
        alv_replicator_job *job = replicator->jobs[shard];
        alv_replicator_job *ended = NULL;
        if (job != NULL && job->waiting) {
            status = replicator_begin(replicator, job, &err);
            if (status != ALV_OK) {
                ended = replicator_failed(replicator, job, status, &err);
            }
        }
        pthread_mutex_unlock(&replicator->lock);
        replicator_answer(ended, status, &err);
    }
}

/* ---- applying what was read ---------------------------------------------------------------------- */

/* One run of records of the same shard, if its job is still there. */
static void replicator_apply_run(alv_replicator *replicator, const alv_record *records,
                                 size_t count)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    pthread_mutex_lock(&replicator->lock);
    alv_replicator_job *job = replicator->jobs[records[0].shard];
    alv_replicator_job *ended = NULL;
    if (job != NULL && job->reading) {
        status = alv_restorer_apply(&job->restore, replicator->options.store, records, count,
                                    replicator_now_ms(replicator), &err);
        if (status != ALV_OK) {
            ended = replicator_failed(replicator, job, status, &err);
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    replicator_answer(ended, status, &err);
}

void alv_replicator_apply_batch(alv_replicator *replicator)
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

void alv_replicator_restart_reading(alv_replicator *replicator, const alv_error *error)
{
    pthread_mutex_lock(&replicator->lock);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        alv_replicator_job *job = replicator->jobs[shard];
        if (job != NULL && job->reading) {
            (void)replicator_failed(replicator, job, ALV_RETRY, error); /* stays in the table */
        }
    }
    pthread_mutex_unlock(&replicator->lock);
}

/* ---- what is complete ---------------------------------------------------------------------------- */

/* The job has reached its target. Returns a restore that is to be answered with *status. Lock held. */
static alv_replicator_job *replicator_complete(alv_replicator *replicator, alv_replicator_job *job,
                                               alv_status *out_status, alv_error *err)
{
    if (job->is_standby) {
        job->is_hot = true;
        alv_replicator_log_complete(replicator, job);
        alv_replicator_report(replicator, ALV_REPLICA_HOT, job);
        return NULL;
    }
    *out_status = alv_restorer_finish(&job->restore, replicator->options.store,
                                      replicator_now_ms(replicator), err);
    if (*out_status != ALV_OK) {
        return replicator_failed(replicator, job, *out_status, err);
    }
    alv_replicator_log_complete(replicator, job);
    alv_replicator_report(replicator, ALV_REPLICA_NONE, job);
    return replicator_end_job(replicator, job);
}

/* The target of a load is reached: nothing more is taken in while the store installs the rest. A standby
 * then goes on from the store's position, as if it had just been found near the end. Lock held. */
static void replicator_end_load(alv_replicator *replicator, alv_replicator_job *job)
{
    alv_replicator_unassign(replicator, job->shard);
    job->reading = false;
    job->ending = true;
    job->reached = !job->is_standby;
    job->survey_due = job->is_standby;
}

/* The same for one whose load is ending: is the rest installed? */
static alv_replicator_job *replicator_look_at_ending(alv_replicator *replicator,
                                                     alv_replicator_job *job,
                                                     alv_status *out_status, alv_error *err)
{
    bool done = false;
    *out_status = alv_restorer_bulk_end(&job->restore, replicator->options.store, &done, err);
    if (*out_status != ALV_OK) {
        return replicator_failed(replicator, job, *out_status, err);
    }
    if (!done) {
        return NULL;
    }
    job->ending = false;
    alv_log(ALV_LOG_INFO, "loaded",
            "shard=%" PRId32 " standby=%d records=%" PRId64 " bytes=%" PRId64, job->shard,
            job->is_standby, job->restore.records, job->restore.bytes);
    return job->reached ? replicator_complete(replicator, job, out_status, err) : NULL;
}

/* Takes over the positions as the reader sees them, control records included. Lock held. */
static alv_replicator_job *replicator_look_at_reading(alv_replicator *replicator,
                                                      alv_replicator_job *job,
                                                      alv_status *out_status, alv_error *err)
{
    alv_reader *reader = replicator->reader;
    alv_restorer_advance(&job->restore,
                         reader->ops->position(reader, ALV_TOPIC_CHANGELOG, job->shard),
                         reader->ops->position(reader, ALV_TOPIC_LEDGER, job->shard));
    if (job->survey_due || job->is_hot || !alv_restorer_is_complete(&job->restore)) {
        return NULL;
    }
    if (job->restore.bulk) {
        replicator_end_load(replicator, job);
        return replicator_look_at_ending(replicator, job, out_status, err);
    }
    return replicator_complete(replicator, job, out_status, err);
}

bool alv_replicator_finish_due(alv_replicator *replicator)
{
    bool is_ending = false;
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        alv_error err = ALV_ERROR_NONE;
        alv_status status = ALV_OK;
        pthread_mutex_lock(&replicator->lock);
        alv_replicator_job *job = replicator->jobs[shard];
        alv_replicator_job *ended = NULL;
        if (job != NULL && job->ending) {
            ended = replicator_look_at_ending(replicator, job, &status, &err);
        } else if (job != NULL && job->reading) {
            ended = replicator_look_at_reading(replicator, job, &status, &err);
        }
        is_ending =
            is_ending || (replicator->jobs[shard] != NULL && replicator->jobs[shard]->ending);
        pthread_mutex_unlock(&replicator->lock);
        replicator_answer(ended, status, status == ALV_OK ? NULL : &err);
    }
    return is_ending;
}
