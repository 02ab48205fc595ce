/* inbox.h — the one way threads meet: a bounded queue of messages for one receiver.
 *
 * Why:    each object has one owner thread; whoever wants something of it posts a message. There is
 *         no other shared state but atomic counters.
 * Thread: alv_inbox_post: any. alv_inbox_take: the owner only.
 * Owns:   a posted message belongs to the receiver; the inbox frees what is left at the end through
 *         the `free_message` given at creation.
 * Limits: `capacity` messages. A sender that finds the inbox full waits until there is room or the
 *         inbox is closed: back-pressure, never growth and never loss. So an owner must never post
 *         to itself, and no two owners may wait for each other: lanes post to the replicator and
 *         the checkpointer; these answer with alv_inbox_try_post and keep the answer when it is
 *         refused.
 */
#ifndef ALV_BASE_INBOX_H
#define ALV_BASE_INBOX_H

#include <stdbool.h>
#include <stddef.h>

typedef struct alv_inbox alv_inbox;

/* Called after each post, on the sender's thread, to wake a receiver that does not wait in
 * alv_inbox_wait but in a poll of its own. May be NULL. */
typedef void (*alv_inbox_wake)(void *payload);
typedef void (*alv_inbox_free_message)(void *message);

alv_inbox *alv_inbox_new(size_t capacity, alv_inbox_free_message free_message);

/* NULL is fine; no other thread may use it any more. */
void alv_inbox_free(alv_inbox *inbox);

/* Set before any other thread can post. */
void alv_inbox_set_wake(alv_inbox *inbox, alv_inbox_wake wake, void *payload);

/* Takes `message` (not NULL). Blocks while the inbox is full. After alv_inbox_close the message is
 * freed and false returned. */
bool alv_inbox_post(alv_inbox *inbox, void *message);

/* As above, but returns false at once when full or closed; the message then stays the caller's. */
bool alv_inbox_try_post(alv_inbox *inbox, void *message);

/* The oldest message, now the caller's; NULL when there is none. Costs one atomic load when
 * empty. */
void *alv_inbox_take(alv_inbox *inbox);

/* Waits until a message is there, the inbox is closed or `timeout_ms` (>= 0) have passed; true if
 * one is there. False at once when closed and empty: an owner that loops asks
 * alv_inbox_is_closed. */
bool alv_inbox_wait(alv_inbox *inbox, int timeout_ms);

/* Refuses further posts and wakes everybody who waits. What is inside can still be taken. */
void alv_inbox_close(alv_inbox *inbox);

bool alv_inbox_is_closed(const alv_inbox *inbox);

#endif
