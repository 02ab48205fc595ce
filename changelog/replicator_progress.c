/* replicator_progress.c — how far restores and standbys are, for whoever asks and for the log. */
#include <inttypes.h>

#include "base/logger.h"
#include "changelog/replicator_internal.h"

/* Those who ask see figures that are not older than the first; the log is told every second one. */
#define PROGRESS_REPORT_EVERY_US (250 * 1000)
#define PROGRESS_LOG_EVERY_US (2000 * 1000)

void alv_replicator_report(const alv_replicator *replicator, alv_replica replica,
                           const alv_replicator_job *job)
{
    if (replicator->options.progress != NULL) {
        const alv_replica_view view = {
            .replica = replica,
            .restore = &job->restore,
            .took_ms = job->reading_us == 0
                           ? 0
                           : (alv_monotonic_us(replicator->options.clock) - job->reading_us) / 1000,
            .waits = job->waiting || (job->survey_due && !job->reading),
        };
        replicator->options.progress(replicator->options.payload, &view);
    }
}

alv_replica alv_replicator_replica(const alv_replicator_job *job)
{
    if (!job->is_standby) {
        return ALV_REPLICA_RESTORING;
    }
    return job->is_hot ? ALV_REPLICA_HOT : ALV_REPLICA_CATCHING_UP;
}

void alv_replicator_log_complete(const alv_replicator *replicator, const alv_replicator_job *job)
{
    int64_t took_us = alv_monotonic_us(replicator->options.clock) - job->began_us;
    alv_log(ALV_LOG_INFO, job->is_standby ? "standby-hot" : "restored",
            "shard=%" PRId32 " records=%" PRId64 " bytes=%" PRId64 " changelog=%" PRId64
            " ms=%" PRId64,
            job->shard, job->restore.records, job->restore.bytes, job->restore.position.changelog,
            took_us / 1000);
}

/* One job since it was logged last. Jobs that are read and not at the end yet; there are few, because
 * long ones wait for one another and short ones are over before their turn comes. */
static void progress_log_job(alv_replicator_job *job, int64_t now_us)
{
    const alv_restore *restore = &job->restore;
    int64_t took_us = now_us - job->logged_us;
    if (!job->reading || job->is_hot || took_us < PROGRESS_LOG_EVERY_US) {
        return;
    }
    int64_t rate = (restore->records - job->logged_records) * 1000000 / took_us;
    int64_t left = restore->records_target - restore->records;
    job->logged_us = now_us;
    job->logged_records = restore->records;
    alv_log(ALV_LOG_INFO, job->is_standby ? "standby-catches-up" : "restoring",
            "shard=%" PRId32 " records=%" PRId64 " of=%" PRId64 " bytes=%" PRId64
            " percent=%" PRId64 " rate=%" PRId64 " eta_s=%" PRId64,
            job->shard, restore->records, restore->records_target, restore->bytes,
            alv_restorer_share(restore) / 10, rate, rate > 0 ? left / rate : -1);
}

typedef struct progress_sum {
    int shards;
    int waiting;
    int64_t records;
    int64_t target;
} progress_sum;

static void progress_add(progress_sum *sum, const alv_replicator_job *job)
{
    if (job->is_hot || (!job->reading && !job->waiting)) {
        return;
    }
    sum->shards++;
    sum->waiting += job->waiting;
    sum->records += job->restore.records;
    sum->target += job->restore.records_target;
}

static void progress_log_sum(const progress_sum *sum)
{
    if (sum->waiting > 0) {
        alv_log(ALV_LOG_INFO, "restores", "shards=%d waiting=%d records=%" PRId64 " of=%" PRId64,
                sum->shards, sum->waiting, sum->records, sum->target);
    }
}

void alv_replicator_report_due(alv_replicator *replicator)
{
    int64_t now_us = alv_monotonic_us(replicator->options.clock);
    if (now_us - replicator->reported_us < PROGRESS_REPORT_EVERY_US) {
        return;
    }
    replicator->reported_us = now_us;
    bool log = now_us - replicator->logged_us >= PROGRESS_LOG_EVERY_US;
    replicator->logged_us = log ? now_us : replicator->logged_us;
    progress_sum sum = {0};
    alv_reader *reader = replicator->reader;
    pthread_mutex_lock(&replicator->lock);
    for (int32_t shard = 0; shard < replicator->options.shard_count; shard++) {
        alv_replicator_job *job = replicator->jobs[shard];
        if (job == NULL) {
            continue;
        }
        alv_restorer_note_end(&job->restore,
                              reader->ops->last_end(reader, ALV_TOPIC_CHANGELOG, shard));
        alv_replicator_report(replicator, alv_replicator_replica(job), job);
        progress_log_job(job, now_us);
        progress_add(&sum, job);
    }
    pthread_mutex_unlock(&replicator->lock);
    if (log) {
        progress_log_sum(&sum);
    }
}
