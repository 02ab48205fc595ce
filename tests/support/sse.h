/* sse.h — watchers of a test: many event streams on one thread, read with libcurl.
 *
 * Why:    what nodes send is taken apart here by code that shares nothing with the product, in the way
 *         the standard for Server-Sent Events says, and is checked on the way.
 * Thread: one; streams move on only inside alv_sse_turn.
 * Owns:   the set owns its streams; texts of an event are valid during the call.
 * Fails:  a text that is no event stream fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_SSE_H
#define ALV_TESTS_SUPPORT_SSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

typedef struct alv_sse_set alv_sse_set;
typedef struct alv_sse alv_sse;

typedef struct alv_sse_event {
    const char *type; /* "message" when none is given */
    const char *data;
    const char *id; /* the last id seen, with this event or before */
} alv_sse_event;

typedef void (*alv_sse_heard)(void *payload, alv_sse *sse, const alv_sse_event *event);

/* One connection. Read only. */
struct alv_sse {
    int status;    /* HTTP; 0 = no answer yet */
    bool ended;    /* the connection is over; the stream is still there until closed */
    bool whole;    /* and it was ended by the node, between two events */
    char *last_id; /* "" = none yet */
    int events;
    int comments;
    int retry_ms;      /* 0 = not said */
    alv_bytes problem; /* the body, when the status is not 200 */
    void *user;
};

alv_sse_set *alv_sse_set_new(alv_sse_heard heard, void *payload);
void alv_sse_set_free(alv_sse_set *set);

/* GET http://address/path, with `last_id` as Last-Event-ID unless it is NULL or empty. `receive_bytes`
 * is the socket's buffer; 0 = the system's choice. */
alv_sse *alv_sse_open(alv_sse_set *set, const char *address, const char *path, const char *last_id,
                      void *user, int receive_bytes);

/* Ends it in the middle of whatever it does. */
void alv_sse_close(alv_sse_set *set, alv_sse *sse);

/* Whether it is read. One that is not lets what comes wait in the kernel. */
void alv_sse_pause(alv_sse *sse, bool paused);

/* Reads what is there; waits up to `timeout_ms` for the first. */
void alv_sse_turn(alv_sse_set *set, int timeout_ms);

/* Turns until the condition holds; false when it did not within `timeout_ms`. */
bool alv_sse_until(alv_sse_set *set, bool (*condition)(void *payload), void *payload,
                   int timeout_ms);

/* Turns until a stream is open (its first id has come) or has ended; the status. */
int alv_sse_wait_open(alv_sse_set *set, alv_sse *sse, int timeout_ms);

#endif
