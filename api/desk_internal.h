/* desk_internal.h — what the desk's files share: desk.c (thread and inbox), desk_command.c (from the request
 * to the record), desk_reply.c (from the reply to the answer), desk_parcel.c (replies for other nodes).
 *
 * Thread: the desk's, except where a field says otherwise.
 */
#ifndef ALV_API_DESK_INTERNAL_H
#define ALV_API_DESK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/desk.h"
#include "api/desk_share.h"
#include "api/desk_waiting.h"
#include "base/inbox.h"

/* Replies for one other node, as they are sent to it. */
typedef struct desk_parcel {
    alv_desk *desk;
    char *node_id;
    alv_bytes body;
    size_t reply_count;
    int64_t expires_us; /* nobody waits any more */
    int64_t again_us;   /* not sent before */
    struct desk_parcel *next;
} desk_parcel;

/* A command as it came. */
typedef struct desk_command {
    alv_exchange *exchange;
    int32_t shard;
    alv_bytes key;
    alv_bytes body;
    alv_bytes idempotency_key; /* empty = none */
    bool is_async;
    bool is_release; /* no command: it has no body */
} desk_command;

typedef enum desk_message_kind {
    DESK_COMMAND,      /* http -> desk */
    DESK_REPLIES,      /* lane -> desk: a box */
    DESK_REPLIES_TEXT, /* http -> desk: what another node sent */
    DESK_UNSENT,       /* http-client -> desk: a parcel that did not arrive */
} desk_message_kind;

typedef struct desk_message {
    desk_message_kind kind;
    desk_command command;
    alv_reply_box box;
    alv_bytes text;
    desk_parcel *parcel;
} desk_message;

struct alv_desk {
    alv_desk_options options;
    alv_sender *sender; /* NULL without a log */
    pthread_t thread;
    bool started; /* and not yet joined; main only */
    atomic_bool draining;
    alv_inbox *inbox;      /* desk_message */
    alv_desk_share *share; /* commands accepted and not yet answered */
    atomic_int parcels;    /* not yet delivered or given up */
    alv_desk_waiting *waiting;
    desk_parcel *unsent; /* to be sent again */
    alv_bytes scratch;
    int64_t dropped_replies;
};

int64_t alv_desk_now_us(const alv_desk *desk);

/* Every accepted command ends here. */
void alv_desk_answer(alv_desk *desk, int32_t shard, alv_exchange *exchange, alv_answer *answer);

/* desk.c: hands a message to the desk's thread; false, and the message is freed, when it has ended or is
 * too far behind. Any thread. */
bool alv_desk_post(alv_desk *desk, desk_message *message);
void alv_desk_free_message(void *payload);

/* desk_command.c: checks the command and produces it, or refuses it. Takes what it holds. */
void alv_desk_produce(alv_desk *desk, desk_command *command);

/* desk_command.c: the reply did not come in time (or `stopping`). */
void alv_desk_give_up(alv_desk *desk, const alv_desk_entry *entry, bool stopping);

/* desk_reply.c */
void alv_desk_deliver(alv_desk *desk, const alv_reply_box *box);
void alv_desk_deliver_text(alv_desk *desk, alv_view text);

/* desk_reply.c: appends what another node reads with alv_desk_deliver_text, without what stands around
 * all of them. */
void alv_desk_write_result(const alv_result *result, alv_bytes *out);

/* desk_parcel.c: puts a reply into the last parcel for its node in `parcels`, or a new one in front. */
void alv_desk_pack(alv_desk *desk, desk_parcel **parcels, const alv_result *result);
void alv_desk_send_parcels(alv_desk *desk, desk_parcel *parcels);
void alv_desk_send_again(alv_desk *desk, desk_parcel *parcel);

/* desk_parcel.c: sends those whose time has come; the milliseconds until the next, -1 = none waits. */
int alv_desk_send_due(alv_desk *desk);
void alv_desk_free_parcel(desk_parcel *parcel);

#endif
