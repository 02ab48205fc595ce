/* ledger.h — what is remembered beside an entity's state: answers to commands with an idempotency key,
 * pending timers, and when it expires.
 *
 * Why:    the state belongs to the behavior; this belongs to the processor, and must survive with the state
 *         (I2). It is one JSON record per entity, in the ledger topic and in the store:
 *
 *             {"due":1700000060000,
 *              "timers":[{"name":"deadline","due":1700000060000,"command":{"type":"expire"}}],
 *              "answers":[{"key":"k1","at":1700000000000,"accepted":true,"reply":{"balance":5}}]}
 *
 *         with "expires" and "touched" of an entity that expires, "forget" of one that has answers. Members
 *         without content are left out; a record without any is a tombstone. "due", the time of the first
 *         thing to be done, comes first, so that whoever keeps the index of timers need not parse the rest.
 * Thread: one lane, or whoever decodes it.
 * Owns:   its texts.
 * Limits: below; an encoded ledger fits into a record (ALV_STATE_BYTES_MAX).
 */
#ifndef ALV_STATESTORE_LEDGER_H
#define ALV_STATESTORE_LEDGER_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* No time: nothing is due. */
#define ALV_DUE_NEVER INT64_MAX

typedef struct alv_ledger alv_ledger;

/* An empty one. */
alv_ledger *alv_ledger_new(void);
void alv_ledger_free(alv_ledger *ledger);

/* Reads a record; *out is the caller's. ALV_REJECT: it is not one. */
alv_status alv_ledger_decode(alv_view encoded, alv_ledger **out, alv_error *err);

/* Appends the record; nothing when the ledger is empty. */
void alv_ledger_encode(const alv_ledger *ledger, alv_bytes *out);

/* alv_ledger_due of an encoded record, ALV_DUE_NEVER when nothing is to be done. Looks at the first bytes
 * only. */
int64_t alv_ledger_peek_due(alv_view encoded);

/* What it takes in memory, about. */
size_t alv_ledger_memory(const alv_ledger *ledger);

/* ---- answers --------------------------------------------------------------------------------- */

/* A reply of more than this is not kept: who asks again is told that it is not, and what the outcome was. */
#define ALV_LEDGER_REPLY_BYTES_MAX (8 * 1024)

/* All answers of an entity, with their keys; the oldest are forgotten first. */
#define ALV_LEDGER_ANSWERS_BYTES_MAX (384 * 1024)

typedef struct alv_answer {
    int64_t at_ms; /* the time of the command that was executed */
    bool accepted;
    alv_view reply; /* JSON; absent when there was none. Borrowed until the ledger changes */
} alv_answer;

/* How long answers are kept; ages are differences of record times, so that a replay decides the same. */
typedef struct alv_answer_policy {
    size_t count_max;
    int64_t retention_ms;
} alv_answer_policy;

/* The answer to an earlier command with this key, false when there is none or it is too old at `at_ms`. */
bool alv_ledger_find_answer(const alv_ledger *ledger, alv_view key, int64_t at_ms,
                            const alv_answer_policy *policy, alv_answer *out);

/* Remembers one (the key must not be there, except too old) and forgets those that the policy does not
 * keep. Copies key and reply. */
void alv_ledger_add_answer(alv_ledger *ledger, alv_view key, const alv_answer *answer,
                           const alv_answer_policy *policy);

/* ---- timers ---------------------------------------------------------------------------------- */

/* Per entity: how many may be pending, and the sum of their commands. */
#define ALV_LEDGER_TIMERS_MAX 64
#define ALV_LEDGER_TIMERS_BYTES_MAX (384 * 1024)

typedef struct alv_timer {
    const char *name;
    int64_t due_ms;
    alv_view command; /* JSON, an object */
} alv_timer;

/* When the earliest is due, ALV_DUE_NEVER. */
int64_t alv_ledger_timer_due(const alv_ledger *ledger);

/* The earliest timer (of those due at the same time, the one set first); false when there is none. Borrowed
 * until the ledger changes. */
bool alv_ledger_first_timer(const alv_ledger *ledger, alv_timer *out);

/* A ledger with the same timers and no answers; the caller's. */
alv_ledger *alv_ledger_dup_timers(const alv_ledger *ledger);

/* Sets a timer, or replaces the one of that name. Copies. False, and nothing is changed, when the limits do
 * not allow it. */
bool alv_ledger_set_timer(alv_ledger *ledger, const alv_timer *timer);

/* Removes a timer; false when there is none of that name. */
bool alv_ledger_cancel_timer(alv_ledger *ledger, const char *name);

/* Removes all; false when there were none. */
bool alv_ledger_cancel_timers(alv_ledger *ledger);

/* ---- chores: what is done about an entity without a handler ------------------------------------ */

/* When the first of all is to be done, timers and chores; ALV_DUE_NEVER. */
int64_t alv_ledger_due(const alv_ledger *ledger);

/* The entity is deleted at `due_ms` unless it changes before; ALV_DUE_NEVER: it does not expire. `touched_ms`: the
 * change from which that was counted. */
typedef struct alv_expiry {
    int64_t due_ms;
    int64_t touched_ms;
} alv_expiry;

#define ALV_EXPIRY_NEVER ((alv_expiry){ALV_DUE_NEVER, 0})

alv_expiry alv_ledger_expiry(const alv_ledger *ledger);

/* False: it was so before. */
bool alv_ledger_set_expiry(alv_ledger *ledger, alv_expiry expiry);

/* When answers are all too old for anybody, ALV_DUE_NEVER: there are none. */
int64_t alv_ledger_forget_due(const alv_ledger *ledger);
void alv_ledger_set_forget_due(alv_ledger *ledger, int64_t due_ms);

/* Drops all answers. */
void alv_ledger_forget_answers(alv_ledger *ledger);

#endif
