/* outbox.h — what a command sends to others: emitted commands, events, and the outcome for whoever emitted it.
 *
 * Why:    they are records of the open transaction like the changelog's, so they are there once or not at
 *         all (I1); nothing has to be sent again, noticed or cleaned up later.
 * Thread: one lane.
 * Owns:   nothing.
 */
#ifndef ALV_PROCESSOR_OUTBOX_H
#define ALV_PROCESSOR_OUTBOX_H

#include "processor/effects.h"
#include "topics/log_port.h"

/* Writes the commands and events of `effects`, asked for by entity `from` of `shard`. The time of the
 * records is left to the log: with that of an old command, retention could take them at once.
 * ALV_ABORT, ALV_FENCED: the transaction must be aborted. */
alv_status alv_outbox_send(alv_producer *producer, int32_t shard, alv_view from,
                           const alv_effects *effects, alv_error *err);

/* Writes a command that no entity emitted, an object. ALV_ABORT, ALV_FENCED. */
alv_status alv_outbox_command(alv_producer *producer, alv_view key, const json_t *command,
                              alv_error *err);

/* How a command that an entity emitted ended. */
typedef struct alv_outcome {
    alv_view from;            /* the entity that executed it, or should have */
    alv_view to;              /* the one that emitted it; absent = nobody wants to know */
    alv_view on_reply;        /* the command that takes it there; absent = nobody wants to know */
    alv_view idempotency_key; /* of the command; absent = it had none */
    bool accepted;
    const json_t *reply; /* accepted: may be NULL; else {"error": text} */
} alv_outcome;

/* Sends the outcome back, as a command (see alv_emit); nothing when nobody wants to know. A reply that is
 * too large is left out. ALV_ABORT, ALV_FENCED. */
alv_status alv_outbox_answer(alv_producer *producer, const alv_outcome *outcome, alv_error *err);

#endif
