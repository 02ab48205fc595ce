/* recorder.h — the log of a test: takes what a command writes, and keeps what leaves the entity.
 *
 * Why:    executor and transaction write to a producer and never ask what became of it, so a producer that only takes
 *         down is all that they need to run as they do in a node.
 * Thread: one.
 * Owns:   what it has taken down.
 */
#ifndef ALV_TESTKIT_RECORDER_H
#define ALV_TESTKIT_RECORDER_H

#include <jansson.h>

#include "topics/log_port.h"

typedef struct alv_recorder {
    alv_producer producer; /* first */
    alv_log_port log;  /* gives the headers of a record whose handle is an alv_recorder_headers */
    json_t *emitted;   /* [{"key", "command", "idempotencyKey", "onReply"}], the last two or null */
    json_t *published; /* the events */
    json_t *letters;   /* dead letters: [{"reason", "detail"}] */
    bool deleted;      /* the last state written to the changelog was a tombstone */
    size_t marks[3];   /* how long the lists were when the open transaction began */
} alv_recorder;

typedef struct alv_recorder_headers {
    const alv_header *items;
    size_t count;
} alv_recorder_headers;

void alv_recorder_init(alv_recorder *recorder);
void alv_recorder_done(alv_recorder *recorder);

/* Forgets what it has. Not while a transaction is open. */
void alv_recorder_clear(alv_recorder *recorder);

#endif
