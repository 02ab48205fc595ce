/* singletons.h — jobs of the cluster: a command for one entity, again and again, sent by one lane of one node.
 *
 * Why:    some work belongs to nobody's command and must be started once, however many nodes there are. The
 *         lane that owns shard 0 sends them: Kafka has already decided who that is, and sees to it that nobody
 *         else commits for that shard (I3), so no other election is needed. When the next one is due stands in
 *         shard 0's part of the ledger, under a key that no entity can have, and moves on in the transaction
 *         that sends the command (I1): each is sent once, whoever dies.
 * Thread: the lane that owns shard 0.
 * Owns:   nothing.
 */
#ifndef ALV_PROCESSOR_SINGLETONS_H
#define ALV_PROCESSOR_SINGLETONS_H

#include "processor/executor.h"

/* Whether the key of an index entry is one of ours. */
bool alv_singletons_is_key(alv_view key);

/* Shard 0 has become active: jobs that nobody has started yet are due at once. `producer` has an open
 * transaction, the shard is touched. Fails as alv_executor_run. */
alv_status alv_singletons_begin(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                                int64_t now_ms, alv_error *err);

/* Whether any behavior has one. */
bool alv_singletons_exist(const alv_registry *registry);

/* The job of an index entry is due: sends its command, and sets when it is next due; those that were missed
 * meanwhile are not made up for. A job that no behavior has any more ends. Fails as alv_executor_run. */
alv_status alv_singletons_fire(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                               const alv_due *due, int64_t until_ms, int64_t now_ms,
                               alv_error *err);

#endif
