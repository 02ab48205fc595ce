/* reply_box.h — replies to commands of the open transaction that a node of the cluster waits for.
 *
 * Why:    whoever sent a command over HTTP is told what became of it only when that is committed (I4, I7).
 *         So replies are collected while commands run, handed on after the commit, and forgotten when the
 *         transaction is undone. A command that nobody waits for puts nothing in.
 * Thread: one at a time: the lane's while it fills it, then whoever took the content.
 * Owns:   copies of everything put in.
 * Limits: ALV_REPLY_BOX_BYTES_MAX, above which the lane commits.
 *
 * A command says who waits with the headers `reply-to: node:<node.id>` and `correlation-id`; another
 * `reply-to` gets its reply through the replies topic.
 */
#ifndef ALV_PROCESSOR_REPLY_BOX_H
#define ALV_PROCESSOR_REPLY_BOX_H

#include "processor/command.h"
#include "statestore/store.h"

/* What `reply-to` begins with when a node waits. */
#define ALV_REPLY_TO_NODE "node:"

typedef enum alv_result_kind {
    ALV_RESULT_DONE,     /* `text` is the behavior's reply, JSON; empty when it gave none */
    ALV_RESULT_REJECTED, /* by the behavior; `text` says why */
    ALV_RESULT_DEAD,     /* in the dead letters; `reason`, and `text` with the detail */
} alv_result_kind;

typedef struct alv_result {
    alv_result_kind kind;
    alv_reason reason;     /* of ALV_RESULT_DEAD */
    int32_t shard;         /* where the command was */
    int64_t offset;        /* its own */
    alv_position position; /* of the shard after the commit; set by then */
    alv_view node;         /* who waits: a node.id */
    alv_view id;           /* the correlation id */
    alv_view text;
} alv_result;

typedef struct alv_reply_box {
    struct reply_box_item *items;
    size_t count;
    size_t capacity;
    alv_bytes bytes; /* of all items, one behind the other */
} alv_reply_box;

void alv_reply_box_init(alv_reply_box *box);
void alv_reply_box_done(alv_reply_box *box);

/* Copies `reply`. */
void alv_reply_box_add(alv_reply_box *box, const alv_result *reply);

/* Reply `index` (below count). Its views are valid until the box changes. */
alv_result alv_reply_box_get(const alv_reply_box *box, size_t index);

/* Says up to where the shard of reply `index` is complete now that it is committed. */
void alv_reply_box_set_position(alv_reply_box *box, size_t index, const alv_position *position);

/* Forgets the replies of a shard, or all, and keeps the memory. */
void alv_reply_box_drop_shard(alv_reply_box *box, int32_t shard);
void alv_reply_box_clear(alv_reply_box *box);

/* Moves the content of `box` into `out`, an empty one. */
void alv_reply_box_take(alv_reply_box *box, alv_reply_box *out);

#endif
