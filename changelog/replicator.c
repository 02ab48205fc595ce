#include "changelog/replicator.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/logger.h"

#define REPLICATOR_POLL_RECORDS_MAX 10000
#define REPLICATOR_PROGRESS_EVERY_MS 2000

/* One shard's way: a restore, which ends with an answer, or a standby, which goes on. */
typedef struct replicator_job {
    int32_t shard;
    uint64_t serial; /* unique among all jobs */
    bool is_standby;
    bool survey_due; /* what there is to read must be asked (again) */
    bool reading;    /* the reader has it, and `restore` says how far it is */
    bool is_hot;     /* standby: it has been at the end */
    alv_backoff backoff;
    alv_restore restore;
    int64_t began_us;

    /* Of a restore: who waits. */
    uint64_t ticket;
    alv_restore_done done;
    void *payload;
} replicator_job;

/* `lock` is a leaf lock: it guards `jobs`, `taken` and `wanted`, and is held while a shard's store is
 * written, so that a release which got it knows that nobody writes. The rest is the thread's own. */
struct alv_replicator {
    alv_replicator_options options;
    alv_reader *reader;
    pthread_mutex_t lock;
    replicator_job **jobs; /* by shard; NULL = none */
    bool *taken;           /* by shard: a lane has it */
    bool *wanted;          /* by shard: to be followed while no lane has it */
    uint64_t last_serial;
    bool *assigned; /* by shard: the reader reads it */
    alv_batch batch;
    int64_t progress_at_us;
    atomic_bool stop;
    bool started;
    pthread_t thread;
};

static int64_t replicator_now_ms(const alv_replicator *replicator)
{
    return alv_now_ms(replicator->options.clock);
}

/* ---- the reader ---------------------------------------------------------------------------------- */

static alv_status replicator_assign(alv_replicator *replicator, const replicator_job *job,
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

static void replicator_unassign(alv_replicator *replicator, int32_t shard)
{
    if (!replicator->assigned[shard]) {
        return;
    }
    replicator->assigned[shard] = false;
    replicator->reader->ops->unassign(replicator->reader, ALV_TOPIC_CHANGELOG, shard);
    replicator->reader->ops->unassign(replicator->reader, ALV_TOPIC_LEDGER, shard);
}

/* ---- jobs ---------------------------------------------------------------------------------------- */

static void replicator_report(const alv_replicator *replicator, alv_replica replica,
                              const replicator_job *job)
{
    if (replicator->options.progress != NULL) {
        replicator->options.progress(replicator->options.payload, replica, &job->restore);
    }
}

static alv_replica replicator_replica(const replicator_job *job)
{
    if (!job->is_standby) {
        return ALV_REPLICA_RESTORING;
    }
    return job->is_hot ? ALV_REPLICA_HOT : ALV_REPLICA_CATCHING_UP;
}

/* Lock held. */
static replicator_job *replicator_add_job(alv_replicator *replicator, int32_t shard)
{
    ALV_ASSERT(replicator->jobs[shard] == NULL);
    replicator_job *job = alv_alloc(sizeof *job);
    job->shard = shard;
    job->serial = ++replicator->last_serial;
    job->survey_due = true;
    job->began_us = alv_monotonic_us(replicator->options.clock);
    job->restore.shard = shard;
    alv_backoff_init(&job->backoff, job->serial);
    replicator->jobs[shard] = job;
    return job;
}

/* Takes the restore out of the table; whoever waits is answered without the lock, by the caller. */
static replicator_job *replicator_end_job(alv_replicator *replicator, replicator_job *job)
{
    replicator_unassign(replicator, job->shard);
    replicator->jobs[job->shard] = NULL;
    return job;
}

static void replicator_answer(replicator_job *job, alv_status status, const alv_error *error)
{
    job->done(job->payload, job->shard, job->ticket, status, &job->restore, error);
    alv_free(job);
}

/* A step failed. What may pass is tried again from the store's position, after a while; a standby always
 * is, since nobody depends on it. Returns a restore that is to be answered. Lock held. */
static replicator_job *replicator_failed(alv_replicator *replicator, replicator_job *job,
                                         alv_status status, const alv_error *error)
{
    bool passes = status == ALV_RETRY || status == ALV_REJECT;
    if (!passes && !job->is_standby) {
        return replicator_end_job(replicator, job);
    }
    replicator_unassign(replicator, job->shard);
    job->reading = false;
    job->is_hot = false;
    job->survey_due = true;
    bool first = job->backoff.failures == 0;
    alv_backoff_failed(&job->backoff, replicator_now_ms(replicator));
    alv_log_error(first ? ALV_LOG_WARN : ALV_LOG_DEBUG, "restore-waits", error,
                  "shard=%" PRId32 " standby=%d failures=%u", job->shard, job->is_standby,
                  job->backoff.failures);
    return NULL;
}

/* ---- which jobs there are ------------------------------------------------------------------------ */

/* Lock held. Restores come before standbys: none is begun while a restore is under way. */
static bool replicator_is_restoring(const alv_replicator *replicator)
{
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        if (replicator->jobs[shard] != NULL && !replicator->jobs[shard]->is_standby) {
            return true;
        }
    }
    return false;
}

/* Makes standbys that are wanted and ends those that are not; lets go of what was released. */
static void replicator_arrange(alv_replicator *replicator)
{
    pthread_mutex_lock(&replicator->lock);
    bool restoring = replicator_is_restoring(replicator);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        replicator_job *job = replicator->jobs[shard];
        if (job != NULL && job->is_standby && !replicator->wanted[shard]) {
            replicator_report(replicator, ALV_REPLICA_NONE, job);
            alv_free(replicator_end_job(replicator, job));
            job = NULL;
        }
        if (job == NULL) {
            replicator_unassign(replicator, shard);
            if (replicator->wanted[shard] && !replicator->taken[shard] && !restoring) {
                replicator_add_job(replicator, shard)->is_standby = true;
            }
        }
    }
    pthread_mutex_unlock(&replicator->lock);
}

/* ---- surveys ------------------------------------------------------------------------------------- */

typedef struct replicator_request {
    int32_t shard;
    uint64_t serial;
    bool is_standby;
} replicator_request;

/* The next job from *from on whose survey is due; false when there is none, or when the replicator is to
 * stop: while brokers are away each survey takes its full time. */
static bool replicator_next_request(alv_replicator *replicator, int32_t *from,
                                    replicator_request *out)
{
    int64_t now_ms = replicator_now_ms(replicator);
    bool found = false;
    if (atomic_load(&replicator->stop)) {
        return false;
    }
    pthread_mutex_lock(&replicator->lock);
    for (; *from < replicator->options.shard_count && !found; (*from)++) {
        const replicator_job *job = replicator->jobs[*from];
        if (job != NULL && job->survey_due && alv_backoff_due(&job->backoff, now_ms)) {
            *out = (replicator_request){job->shard, job->serial, job->is_standby};
            found = true;
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    return found;
}

/* Begins to read, or, for a standby that was promoted, reads on to a new target. Lock held. */
static alv_status replicator_use_survey(alv_replicator *replicator, replicator_job *job,
                                        const alv_survey *survey, alv_error *err)
{
    if (job->reading) {
        return alv_restorer_promote(&job->restore, survey, err);
    }
    alv_status status =
        alv_restorer_plan(replicator->options.store, replicator->options.settings, job->shard,
                          survey, replicator_now_ms(replicator), &job->restore, err);
    if (status == ALV_OK) {
        replicator_unassign(replicator, job->shard); /* of a job that was released a moment ago */
        status = replicator_assign(replicator, job, err);
    }
    job->reading = status == ALV_OK;
    return status;
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
    replicator_job *job = replicator->jobs[request->shard];
    replicator_job *ended = NULL;
    if (job != NULL && job->serial == request->serial) {
        if (status == ALV_OK) {
            status = replicator_use_survey(replicator, job, &survey, &err);
        }
        if (status == ALV_OK) {
            job->survey_due = false;
            alv_backoff_succeeded(&job->backoff);
            replicator_report(replicator, replicator_replica(job), job);
        } else {
            ended = replicator_failed(replicator, job, status, &err);
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    if (ended != NULL) {
        replicator_answer(ended, status, &err);
    }
}

static void replicator_survey_due(alv_replicator *replicator)
{
    int32_t next = 0;
    replicator_request request;
    while (replicator_next_request(replicator, &next, &request)) {
        replicator_survey(replicator, &request);
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
    replicator_job *job = replicator->jobs[records[0].shard];
    replicator_job *ended = NULL;
    if (job != NULL && job->reading) {
        status = alv_restorer_apply(&job->restore, replicator->options.store, records, count,
                                    replicator_now_ms(replicator), &err);
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

/* An assigned offset fell out of the log while it was read: all that is being read is surveyed again,
 * which finds out what to do about it. */
static void replicator_restart_reading(alv_replicator *replicator, const alv_error *error)
{
    pthread_mutex_lock(&replicator->lock);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        replicator_job *job = replicator->jobs[shard];
        if (job != NULL && job->reading) {
            (void)replicator_failed(replicator, job, ALV_RETRY, error); /* stays in the table */
        }
    }
    pthread_mutex_unlock(&replicator->lock);
}

/* ---- what is complete ---------------------------------------------------------------------------- */

static void replicator_log_restored(const alv_replicator *replicator, const replicator_job *job)
{
    int64_t took_us = alv_monotonic_us(replicator->options.clock) - job->began_us;
    alv_log(ALV_LOG_INFO, job->is_standby ? "standby-hot" : "restored",
            "shard=%" PRId32 " records=%" PRId64 " changelog=%" PRId64 " ms=%" PRId64, job->shard,
            job->restore.records, job->restore.position.changelog, took_us / 1000);
}

/* The job has reached its target. Returns a restore that is to be answered with *status. Lock held. */
static replicator_job *replicator_complete(alv_replicator *replicator, replicator_job *job,
                                           alv_status *out_status, alv_error *err)
{
    if (job->is_standby) {
        job->is_hot = true;
        replicator_log_restored(replicator, job);
        replicator_report(replicator, ALV_REPLICA_HOT, job);
        return NULL;
    }
    *out_status = alv_restorer_finish(&job->restore, replicator->options.store,
                                      replicator_now_ms(replicator), err);
    if (*out_status != ALV_OK) {
        return replicator_failed(replicator, job, *out_status, err);
    }
    replicator_log_restored(replicator, job);
    replicator_report(replicator, ALV_REPLICA_NONE, job);
    return replicator_end_job(replicator, job);
}

/* Takes over the positions as the reader sees them, control records included. */
static void replicator_look_at(alv_replicator *replicator, int32_t shard)
{
    alv_reader *reader = replicator->reader;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    pthread_mutex_lock(&replicator->lock);
    replicator_job *job = replicator->jobs[shard];
    replicator_job *ended = NULL;
    if (job != NULL && job->reading) {
        alv_restorer_advance(&job->restore,
                             reader->ops->position(reader, ALV_TOPIC_CHANGELOG, shard),
                             reader->ops->position(reader, ALV_TOPIC_LEDGER, shard));
        if (!job->survey_due && !job->is_hot && alv_restorer_is_complete(&job->restore)) {
            ended = replicator_complete(replicator, job, &status, &err);
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    if (ended != NULL) {
        replicator_answer(ended, status, status == ALV_OK ? NULL : &err);
    }
}

static void replicator_finish_complete(alv_replicator *replicator)
{
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        if (replicator->assigned[shard]) {
            replicator_look_at(replicator, shard);
        }
    }
}

/* ---- the loop ------------------------------------------------------------------------------------ */

/* Every few seconds: how far everything is. Restores and standbys that catch up are logged. */
static void replicator_report_progress(alv_replicator *replicator)
{
    int64_t now_us = alv_monotonic_us(replicator->options.clock);
    if (now_us - replicator->progress_at_us < REPLICATOR_PROGRESS_EVERY_MS * 1000) {
        return;
    }
    replicator->progress_at_us = now_us;
    int count = 0;
    int64_t done = 0;
    int64_t target = 0;
    int64_t began_us = now_us;
    pthread_mutex_lock(&replicator->lock);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        const replicator_job *job = replicator->jobs[shard];
        if (job == NULL || !job->reading) {
            continue;
        }
        replicator_report(replicator, replicator_replica(job), job);
        if (!job->is_hot) {
            count++;
            done += job->restore.records;
            target += job->restore.records_target;
            began_us = job->began_us < began_us ? job->began_us : began_us;
        }
    }
    pthread_mutex_unlock(&replicator->lock);
    int64_t took_ms = (now_us - began_us) / 1000;
    if (count > 0 && took_ms > 0) {
        alv_log(ALV_LOG_INFO, "restoring",
                "shards=%d records=%" PRId64 " of=%" PRId64 " percent=%" PRId64 " eta_s=%" PRId64,
                count, done, target, target > 0 ? done * 100 / target : 100,
                done > 0 ? (target - done) * took_ms / done / 1000 : -1);
    }
}

/*  1. arrange: begin and end standbys, let go of what was released
 *  2. survey what is new   3. poll   4. apply   5. answer what is complete   6. say how far it is */
void alv_replicator_turn(alv_replicator *replicator, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    replicator_arrange(replicator);
    replicator_survey_due(replicator);
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
    replicator_report_progress(replicator);
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
    replicator_job *job = replicator->jobs[shard];
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
    replicator_job *job = replicator->jobs[shard];
    replicator->jobs[shard] = NULL;
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
    replicator->progress_at_us = alv_monotonic_us(options->clock);
    pthread_mutex_init(&replicator->lock, NULL);
    replicator->jobs = alv_alloc_array(shard_count, sizeof(replicator_job *));
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
        alv_free(replicator->jobs[shard]);
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
