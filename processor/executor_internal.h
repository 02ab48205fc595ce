/* executor_internal.h — what executor.c (the way of a command), executor_reply.c (who waits for a reply) and
 * executor_ledger.c (what was answered before, timers) share.
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
    alv_entity *entity;
    alv_decoded decoded;
    alv_view correlation_id; /* data NULL = nobody waits for a reply */
    alv_view reply_to;
    alv_view waiting_node; /* data NULL = the reply goes through the topic */
    alv_view from;         /* these four: data NULL = there is no such header */
    alv_view on_reply;
    alv_view idempotency_key;
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

/* executor_ledger.c */

/* Reads the entity's ledger unless that was done. ALV_RETRY: the store failed; on ALV_OK *out_reason may ask
 * for a dead letter. */
alv_status alv_executor_read_ledger(execution *run, alv_reason *out_reason, alv_error *err);

/* Whether the command was executed before: then `is_repeated`, `accepted` and `reply` are set. The ledger
 * has been read. */
bool alv_executor_recall(execution *run);

/* Notes outcome and reply of the command under its idempotency key. */
void alv_executor_remember(execution *run);

#endif
