/* desk_waiting.h — who waits for which reply.
 *
 * Why:    replies come in any order, late, twice or never; each finds its exchange, or nobody, in constant
 *         time.
 * Thread: the desk's.
 * Owns:   the exchanges in it, until they are taken out.
 * Limits: ALV_HTTP_COMMANDS_MAX.
 */
#ifndef ALV_API_DESK_WAITING_H
#define ALV_API_DESK_WAITING_H

#include <stdint.h>

#include "api/exchange.h"

#define ALV_DESK_ID_BYTES 64

typedef struct alv_desk_waiting alv_desk_waiting;

typedef struct alv_desk_entry {
    alv_exchange *exchange;
    int32_t shard;
    int64_t offset; /* of the command; ALV_OFFSET_NONE until it is written */
    int64_t deadline_us;
    bool is_async; /* it waits for the command to be written, and no longer */
    bool has_key;  /* an idempotency key, so that it can be sent again */
} alv_desk_entry;

/* Ids begin with a new random number. */
alv_desk_waiting *alv_desk_waiting_new(void);
void alv_desk_waiting_free(alv_desk_waiting *waiting);

/* Puts an entry in, which must have room, and says under which id; `out_ticket` is another name for it.
 * Deadlines never go back from one entry to the next. */
void alv_desk_waiting_add(alv_desk_waiting *waiting, const alv_desk_entry *entry,
                          char out_id[ALV_DESK_ID_BYTES], uint64_t *out_ticket);

/* The ticket of an id; false when it is none of ours or nobody waits any more. */
bool alv_desk_waiting_find(const alv_desk_waiting *waiting, alv_view id, uint64_t *out_ticket);

/* The entry of a ticket, NULL when it was taken out. Valid until then. */
alv_desk_entry *alv_desk_waiting_get(alv_desk_waiting *waiting, uint64_t ticket);

/* Takes an entry out; false when it was taken before. */
bool alv_desk_waiting_take(alv_desk_waiting *waiting, uint64_t ticket, alv_desk_entry *out);

/* The ticket of the entry that was put in first; false when there is none. */
bool alv_desk_waiting_first(const alv_desk_waiting *waiting, uint64_t *out_ticket);

#endif
