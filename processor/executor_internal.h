/* executor_internal.h — what the files of the executor share: executor.c (the way of a command), executor_handle.c,
 * executor_reply.c (who waits for a reply), executor_version.c (states of older behaviors), executor_ledger.c (answers
 * kept), executor_timers.c, executor_quarantine.c (entities that fail), executor_chores.c (entities that expire, old
 * answers).
 */
#ifndef ALV_PROCESSOR_EXECUTOR_INTERNAL_H
#define ALV_PROCESSOR_EXECUTOR_INTERNAL_H

#include "base/limits.h"
#include "processor/command.h"
#include "processor/dead_letter.h"
#include "processor/effects.h"
#include "processor/executor.h"
#include "topics/schema.h"

struct alv_executor {
    alv_executor_options options;
    alv_cache *cache;
    alv_effects *effects;
    alv_dead_letter *dead_letter;
    alv_reply_box replies;
    alv_bytes scratch; /* encoded states on their way in, replies on their way out */
    char commands_topic[ALV_TOPIC_NAME_BYTES];
    alv_bytes timer_text; /* name and command of the timer in hand */
    alv_executor_counters counters;
    bool careful;
};

/* One command on its way; lives on the stack of alv_executor_run. */
typedef struct execution {
    alv_executor *executor;
    alv_shard *shard;
    alv_producer *producer;
    const alv_record *record;
    int64_t now_ms;
    int64_t mark; /* what the crash mark says: an offset, or something of the kind for a timer */
    const char *timer; /* its name when it is one; NULL else */
    int64_t due_ms;
    alv_entity *entity;
    alv_decoded decoded;
    alv_view correlation_id; /* data NULL = nobody waits for a reply */
    alv_view reply_to;
    alv_view waiting_node; /* data NULL = the reply goes through the topic */
    alv_view from;         /* these four: data NULL = there is no such header */
    alv_view on_reply;
    alv_view idempotency_key;
    alv_view release;    /* it is no command: it releases the entity from quarantine */
    bool changes_timers; /* the ledger was read, and the effects go into it */
    bool touches; /* the entity expires, its ledger was read, and the effects change its state */
    bool is_repeated; /* the command was executed before: `reply` and `accepted` are of that time */
    bool accepted;
    json_t *reply;     /* owned when it is repeated, else borrowed from the effects; may be NULL */
    alv_view answered; /* a dead letter come back whose emitter was told that it failed */
    alv_header headers[ALV_HEADERS_MAX];
    size_t header_count;
} execution;

/* executor_reply.c */

/* Sets `waiting_node` when reply-to names one. The headers have been read. */
void alv_executor_find_waiting_node(execution *run);

/* Tells whoever waits what became of the command; nothing leaves before the commit (I4). */
alv_status alv_executor_reply(execution *run, alv_error *err);

/* Tells the node that waits, if one does, that the command is a dead letter. */
void alv_executor_reply_dead(execution *run, alv_reason reason, const alv_error *why);

/* executor.c */

void alv_execution_init(execution *run, alv_executor *executor, alv_shard *shard,
                        alv_producer *producer, const alv_record *record, int64_t now_ms);

/* The entity of the record's key, from the cache or the store. On ALV_OK *out_reason may ask for a dead letter.
 * ALV_RETRY: the store failed. */
alv_status alv_executor_find(execution *run, alv_reason *out_reason, alv_error *err);

/* The entity is there: decodes the command, runs its handler, sends what it asked for or a dead letter, and
 * clears up. Fails as alv_executor_run. */
alv_status alv_executor_carry_out(execution *run, alv_error *err);

/* executor_handle.c */

/* Runs the handler of the decoded command; its effects take hold, or *out_reason asks for a dead letter. ALV_RETRY:
 * the store failed. */
alv_status alv_executor_handle(execution *run, alv_reason *out_reason, alv_error *err);

/* executor_version.c */

/* The decoded state says of which version it is: notes whether it must be migrated, and takes that member out of it.
 * A reason when it is of a version that this behavior does not know. */
alv_reason alv_executor_read_version(execution *run, alv_error *err);

/* Migrates the state of an entity that `is_outdated`, in memory: what is stored changes with the next change. */
alv_reason alv_executor_migrate(execution *run, alv_error *err);

/* executor_ledger.c */

/* Reads the entity's ledger unless that was done. ALV_RETRY: the store failed; on ALV_OK *out_reason may ask
 * for a dead letter. */
alv_status alv_executor_read_ledger(execution *run, alv_reason *out_reason, alv_error *err);

/* Sets `is_repeated`, `accepted` and `reply` when the command was executed before. The ledger has been
 * read. */
void alv_executor_recall(execution *run);

/* Notes outcome and reply of the command under its idempotency key. */
void alv_executor_remember(execution *run);

/* executor_quarantine.c */

/* Of an entity that may be quarantined: the reason why its command is not executed. */
alv_reason alv_executor_check_quarantine(const execution *run, alv_error *err);

/* The command becomes a dead letter for `reason`: counts what the entity is to blame for, and sets it aside when
 * it is enough. */
void alv_executor_note_failure(const execution *run, alv_reason reason, const alv_error *why);

/* The command of a suspect entity was executed: its failures are forgotten. */
void alv_executor_note_success(const execution *run);

/* Releases the entity of the record's key, if it is quarantined, in the open transaction; `reply` tells. Fails as
 * alv_executor_find. */
alv_status alv_executor_release(execution *run, alv_reason *out_reason, alv_error *err);

/* executor_chores.c; the ledger has been read */

/* The entity has changed: it expires later, if it expires. */
void alv_executor_touch(const execution *run);

/* An answer was added: all are forgotten later. */
void alv_executor_keep_answers(const execution *run);

/* Does what is due at `until_ms` besides timers. */
void alv_executor_do_chores(const execution *run, int64_t until_ms);

/* executor_timers.c; the ledger has been read */

/* Rejects the command when the timers it sets are too many. */
void alv_executor_check_timers(execution *run);

/* Changes the ledger as the effects ask; they have been applied to the state. */
void alv_executor_change_timers(execution *run);

#endif
