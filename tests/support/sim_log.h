/* sim_log.h — a log in memory behind the log port, for tests that decide everything themselves.
 *
 * Why:    aborts, lost answers, zombies and lost assignments cannot be ordered from a real broker at a
 *         chosen moment. This one has partitions with offsets, transactions with markers, a last stable
 *         offset, fencing by epoch and group offsets; it has no threads and no network.
 * Thread: one; everything happens inside the calls.
 * Owns:   all records and handles; alv_sim_log_free at the end, after the handles were closed.
 * Limits: no compaction, no groups: the test says who is assigned what.
 */
#ifndef ALV_TESTS_SUPPORT_SIM_LOG_H
#define ALV_TESTS_SUPPORT_SIM_LOG_H

#include "topics/log_port.h"

typedef struct alv_sim_log alv_sim_log;

alv_sim_log *alv_sim_log_new(int32_t shard_count);
void alv_sim_log_free(alv_sim_log *log);
alv_log_port *alv_sim_log_port(alv_sim_log *log);

/* ---- what the test does ------------------------------------------------------------------------ */

/* Appends a record from outside any transaction; its offset. `value` NULL = tombstone. */
int64_t alv_sim_log_append(alv_sim_log *log, alv_topic topic, int32_t shard, const char *key,
                           const char *value, const alv_header *headers, size_t header_count);

/* The same with a key and a value of any bytes; without data they are absent. */
int64_t alv_sim_log_append_bytes(alv_sim_log *log, alv_topic topic, int32_t shard, alv_view key,
                                 alv_view value, const alv_header *headers, size_t header_count);

/* A control record, which takes an offset and is never delivered. */
void alv_sim_log_append_marker(alv_sim_log *log, alv_topic topic, int32_t shard);

/* The time of records appended and produced from now on. */
void alv_sim_log_set_time(alv_sim_log *log, int64_t now_ms);

/* What is before `start` is gone for readers, as after retention or DeleteRecords. */
void alv_sim_log_truncate(alv_sim_log *log, alv_topic topic, int32_t shard, int64_t start);

/* Tells a lane's consumer at its next poll. */
void alv_sim_log_assign(alv_sim_log *log, int lane, int32_t shard);
void alv_sim_log_revoke(alv_sim_log *log, int lane, int32_t shard, bool lost);

/* What happens to the next call of that kind, once. */
typedef enum alv_sim_fault {
    ALV_SIM_NONE,
    ALV_SIM_COMMIT_ABORTED,      /* commit: refused, certain (an old generation) */
    ALV_SIM_COMMIT_LOST_ANSWER,  /* commit: carried out, but the answer never comes */
    ALV_SIM_COMMIT_LOST_REQUEST, /* commit: not carried out, and no answer either */
    ALV_SIM_PRODUCE_ABORT,       /* produce: fails, the transaction must be aborted */
    ALV_SIM_BEGIN_RETRY,         /* begin: brokers are away */
    ALV_SIM_CONSUMER_FENCED, /* poll: the seat is another's; the listener hears that all is lost */
    ALV_SIM_CONSUMER_BROKEN, /* poll: ALV_FATAL, with the same news for the listener */
    ALV_SIM_RENEW_RETRY,     /* renew: brokers are away */
    ALV_SIM_RENEW_FATAL,     /* renew: a right is gone, for instance */
    ALV_SIM_FLUSH_FATAL,     /* flush: ALV_FATAL, of which no log is known that says so */
} alv_sim_fault;
void alv_sim_log_fail_next(alv_sim_log *log, alv_sim_fault fault);

/* An event that makes the producer's epoch unusable for another transaction (I10). */
void alv_sim_log_taint(alv_sim_log *log);

/* ---- what the test looks at -------------------------------------------------------------------- */

/* The group's committed offset of a shard, ALV_OFFSET_NONE when there is none. */
int64_t alv_sim_log_committed(const alv_sim_log *log, int32_t shard);
void alv_sim_log_set_committed(alv_sim_log *log, int32_t shard, int64_t offset);

/* The high watermark. */
int64_t alv_sim_log_end(const alv_sim_log *log, alv_topic topic, int32_t shard);

/* The value of the last committed record of a key: NULL when there is none or it is a tombstone.
 * Valid until the next append. `out_count` (may be NULL): committed records of the key. */
const char *alv_sim_log_last(const alv_sim_log *log, alv_topic topic, int32_t shard,
                             const char *key, size_t *out_count);

/* Committed records of a topic's shard, control records left out. */
size_t alv_sim_log_count(const alv_sim_log *log, alv_topic topic, int32_t shard);

/* How often a producer was opened or renewed. */
int alv_sim_log_epochs(const alv_sim_log *log);

#endif
