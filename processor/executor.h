/* executor.h — runs one command: steps 1 to 3 of a command's life.
 *
 * Why:    everything between a record and its effects is here and nowhere else: find the entity, check
 *         the command, run the handler, collect what it asked for. What cannot be processed becomes a
 *         dead letter in the same transaction, so that no input stops a shard (I8).
 * Thread: one lane; each lane has its own executor.
 * Owns:   the lane's entity cache and scratch memory; borrows the rest.
 */
#ifndef ALV_PROCESSOR_EXECUTOR_H
#define ALV_PROCESSOR_EXECUTOR_H

#include "base/config.h"
#include "processor/command.h"
#include "processor/crash_mark.h"
#include "processor/registry.h"
#include "processor/reply_box.h"
#include "processor/shard.h"
#include "processor/table_pin.h"
#include "topics/log_port.h"

typedef struct alv_executor alv_executor;

typedef struct alv_executor_options {
    const alv_settings *settings; /* all borrowed */
    const alv_registry *registry;
    alv_log_port *log;
    alv_store *store;
    alv_crash_mark *crash_mark; /* NULL = nothing is marked */
    alv_table_pin *pin; /* the global tables of the open transaction; NULL = there are none */
    int32_t lane;
    int32_t shard_count;
} alv_executor_options;

typedef struct alv_executor_counters {
    int64_t commands; /* executed, since the start */
    int64_t rejected; /* refused by their handler */
    int64_t repeated; /* not executed: answered as the first command with that idempotency key */
    int64_t buried[ALV_REASON_COUNT]; /* dead letters, by reason */
    int64_t timers;                   /* fired; they count as commands too */
    int64_t quarantined;              /* entities, set aside */
    int64_t released;                 /* entities, from there */
    int64_t expired;                  /* entities, deleted because they had not changed for long */
} alv_executor_counters;

alv_executor *alv_executor_new(const alv_executor_options *options);
void alv_executor_free(alv_executor *executor);

alv_cache *alv_executor_cache(alv_executor *executor);

/* Replies of the open transaction that nodes wait for; the lane hands them on or clears them. */
alv_reply_box *alv_executor_replies(alv_executor *executor);

/* Borrowed; as of now. */
const alv_executor_counters *alv_executor_counters_get(const alv_executor *executor);

/* Why its handler refused the last command or timer that was executed; NULL when it did not. Borrowed until the
 * next one. */
const char *alv_executor_rejection(const alv_executor *executor);

/* In careful mode a state's size is checked before a command takes hold, and a command that makes it
 * too large becomes a dead letter. It costs a copy of the state per command, so it is only switched on
 * while a transaction is run again that failed for that reason. */
void alv_executor_set_careful(alv_executor *executor, bool careful);

/* Executes a record of `shard` inside the open transaction of `producer`. `now_ms` is the wall clock
 * and serves the cache only. The shard must be touched; its next_offset is moved by the caller.
 * ALV_OK: done (or dead-lettered). ALV_ABORT, ALV_FENCED: the producer failed. ALV_RETRY: the shard's
 * store failed; `shard->failed` is set. In all cases but the first the transaction must be aborted. */
alv_status alv_executor_run(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                            const alv_record *record, int64_t now_ms, alv_error *err);

/* Executes the timers of an entity that the index says has some, if they are due at `until_ms`; `now_ms` is
 * their handlers' now. Fails as alv_executor_run. */
alv_status alv_executor_fire(alv_executor *executor, alv_shard *shard, alv_producer *producer,
                             const alv_due *due, int64_t until_ms, int64_t now_ms, alv_error *err);

#endif
