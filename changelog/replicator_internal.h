/* replicator_internal.h — the replicator inside: one job per shard, and the steps of a turn.
 *
 * Files:  replicator.c           life, the loop, what others ask for, which jobs there are
 *         replicator_read.c      a job's way: survey, reading, loading, the end
 *         replicator_progress.c  how far it is
 *
 * A job's way; a restore is answered at the end, a standby goes on reading:
 *
 *   survey due --> reading --------------------------------> at the end
 *        ^  |        ^  \                                       ^
 *        |  v        |   +-- long: by bulk load --> ending -----+ (a standby: survey due again)
 *        |  waiting -+                                |
 *        +---- failed, or parked: a restore has come --+
 */
#ifndef ALV_CHANGELOG_REPLICATOR_INTERNAL_H
#define ALV_CHANGELOG_REPLICATOR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "changelog/replicator.h"

/* One shard's way: a restore, which ends with an answer, or a standby, which goes on. */
typedef struct alv_replicator_job {
    int32_t shard;
    uint64_t serial; /* unique among all jobs */
    bool is_standby;
    bool survey_due; /* what there is to read must be asked (again) */
    bool waiting;    /* planned and long, and so many others are being loaded that it must wait */
    bool reading;    /* the reader has it, and `restore` says how far it is */
    bool ending;     /* loaded, and the store is asked to install the rest */
    bool reached;    /* ending: the restore has its target. Otherwise it is surveyed again */
    bool is_hot;     /* standby: it has been at the end */
    alv_backoff backoff;
    alv_restore restore;
    int64_t began_us;
    int64_t reading_us;     /* since when it is read */
    int64_t logged_us;      /* when its progress was logged, */
    int64_t logged_records; /* and what it was */

    /* Of a restore: who waits. */
    uint64_t ticket;
    alv_restore_done done;
    void *payload;
} alv_replicator_job;

/* `lock` is a leaf lock but for those of the store: it guards `jobs`, `taken` and `wanted`, and is held
 * while a shard's store is written, so that a release which got it knows that nobody writes. The rest is
 * the thread's own. */
struct alv_replicator {
    alv_replicator_options options;
    alv_reader *reader;
    pthread_mutex_t lock;
    alv_replicator_job **jobs; /* by shard; NULL = none */
    bool *taken;               /* by shard: a lane has it */
    bool *wanted;              /* by shard: to be followed while no lane has it */
    uint64_t last_serial;
    bool *assigned; /* by shard: the reader reads it */
    alv_batch batch;
    bool is_ending; /* the store is installing what was loaded */
    int64_t reported_us;
    int64_t logged_us;
    atomic_bool stop;
    bool started;
    pthread_t thread;
};

/* ---- replicator_read.c: L = lock held -------------------------------------------------------------- */

/* L. The reader no longer reads the shard, and what is not in the store yet is dropped. */
void alv_replicator_stop_reading(alv_replicator *replicator, alv_replicator_job *job);

/* L. The reader no longer reads the shard, whoever's it is. */
void alv_replicator_unassign(alv_replicator *replicator, int32_t shard);

/* L. Whether a restore is under way or waits: standbys that are not at the end stand aside. */
bool alv_replicator_is_restoring(const alv_replicator *replicator);

/* Asks what there is to read where that is due, and begins to. */
void alv_replicator_survey_due(alv_replicator *replicator);

/* Begins those that wait for others to end. */
void alv_replicator_begin_waiting(alv_replicator *replicator);

/* Applies what was polled. */
void alv_replicator_apply_batch(alv_replicator *replicator);

/* An assigned offset fell out of the log while it was read: all that is being read is surveyed again,
 * which finds out what to do about it. */
void alv_replicator_restart_reading(alv_replicator *replicator, const alv_error *error);

/* Answers what is complete. Returns whether the store is still installing what was loaded. */
bool alv_replicator_finish_due(alv_replicator *replicator);

/* L. How many shards are loaded in bulk. */
int alv_replicator_loads(const alv_replicator *replicator);

/* ---- replicator_progress.c --------------------------------------------------------------------------- */

/* L. Says what has become of the job. */
void alv_replicator_report(const alv_replicator *replicator, alv_replica replica,
                           const alv_replicator_job *job);

/* L. What a job that goes on is doing. */
alv_replica alv_replicator_replica(const alv_replicator_job *job);

/* L. One line: a restore is complete, or a standby at the end. */
void alv_replicator_log_complete(const alv_replicator *replicator, const alv_replicator_job *job);

/* Now and then: how far everything is. */
void alv_replicator_report_due(alv_replicator *replicator);

#endif
