/* faulty_log.h — a log whose n-th call fails, around one that does not.
 *
 * Why:    each call of the log port may fail in the ways that log_port.h lists; what a lane and a replicator do
 *         then must end well for each of them.
 * Thread: as the log inside.
 * Owns:   its handles. The log inside is borrowed.
 * Limits: consumers, producers and readers; one of the first two at a time. Calls that cannot fail pass.
 *
 *   flavour   call         fails with
 *   0         all          the mildest way: ALV_RETRY; ALV_ABORT for produce, flush and commit (aborted)
 *   1         begin, produce, flush, abort, commit (aborted), poll of a consumer
 *                          ALV_FENCED, until the producer is renewed; the poll has told that all shards are lost
 *             open_*, renew, poll of a consumer
 *                          (renew, open_*) ALV_FATAL
 *   2         commit       unknown, and it was carried out; produce ALV_REJECT; poll of a consumer ALV_FATAL
 *   3         commit       unknown, and it was not carried out
 *   others                 as flavour 0
 */
#ifndef ALV_TESTS_SUPPORT_FAULTY_LOG_H
#define ALV_TESTS_SUPPORT_FAULTY_LOG_H

#include "tests/support/io_faults.h"
#include "topics/log_port.h"

#define ALV_FAULTY_LOG_FLAVOURS 4

typedef struct alv_faulty_log alv_faulty_log;

/* Borrows both. */
alv_faulty_log *alv_faulty_log_new(alv_log_port *inner, alv_io_faults *faults, int32_t shard_count);
void alv_faulty_log_free(alv_faulty_log *log);
alv_log_port *alv_faulty_log_port(alv_faulty_log *log);

/* Whether the consumer that is open has this shard; and how often a consumer was told that it has. */
bool alv_faulty_log_is_assigned(const alv_faulty_log *log, int32_t shard);
int alv_faulty_log_assignments(const alv_faulty_log *log, int32_t shard);

#endif
