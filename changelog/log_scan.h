/* log_scan.h — reads a shard of a compacted topic from its first record to its end.
 *
 * Why:    the operator's tools want all of a shard once, without a group, a store or a thread.
 * Thread: the reader's.
 * Owns:   nothing.
 */
#ifndef ALV_CHANGELOG_LOG_SCAN_H
#define ALV_CHANGELOG_LOG_SCAN_H

#include "base/clock.h"
#include "topics/log_port.h"

/* What is read: of one shard of a topic, from `start` up to `end`, usually the high watermark (reader `range`). */
typedef struct alv_log_range {
    alv_topic topic;
    int32_t shard;
    int64_t start;
    int64_t end;
} alv_log_range;

/* Called for each committed record, in the order of offsets; it is valid during the call. */
typedef void (*alv_log_visit)(void *payload, const alv_record *record);

/* Visits what is committed in the range; waits for transactions that are still open there. The shard is
 * assigned to the reader for that time; nothing else may be. ALV_RETRY: brokers are away, or a transaction stays
 * open; ALV_REJECT: the log no longer holds `start`; ALV_FATAL: it may not be read. Gives up when nothing moves
 * for three times ALV_TRANSACTION_TIMEOUT_MS. */
alv_status alv_log_scan(alv_reader *reader, const alv_log_range *range, const alv_clock *clock,
                        alv_log_visit visit, void *payload, alv_error *err);

#endif
