/* letters.h — GET /v1/dead-letters: the newest dead letters, from the topic.
 *
 * Why:    who looks at a dashboard, or has no command line, sees what could not be processed and why. The topic
 *         is the same for all, so any node tells the same.
 * Thread: alv_letters_list: the server's. Its own reads the topic, one request after another; it has a reader
 *         only while somebody asks. start, stop, free: main.
 * Owns:   its thread and reader, the requests that wait.
 * Fails:  503: the brokers are away or too slow.
 * Limits: ALV_HTTP_LETTERS_WAITING_MAX requests at a time; ALV_HTTP_LETTERS_LIMIT_MAX letters per answer;
 *         records read per shard: letters_read.c. What is older is for `alluvium dead-letters`.
 */
#ifndef ALV_API_LETTERS_H
#define ALV_API_LETTERS_H

#include "api/exchange.h"
#include "base/clock.h"
#include "topics/log_port.h"

typedef struct alv_letters alv_letters;

typedef struct alv_letters_options {
    alv_log_port *log; /* borrowed; NULL = every request is answered with 503 */
    const alv_clock *clock;
    int32_t shard_count;
} alv_letters_options;

/* ALV_FATAL. */
alv_status alv_letters_start(const alv_letters_options *options, alv_letters **out, alv_error *err);

/* Answers `exchange` with the newest letters, newest first: parameters limit, shard, reason, key; after=N, with
 * shard, those before offset N. @thread http */
void alv_letters_list(alv_letters *letters, alv_exchange *exchange);

/* Answers what waits with 503 and ends the thread. */
void alv_letters_stop(alv_letters *letters);

/* Stops if that was not done; the server must have stopped. NULL is fine. */
void alv_letters_free(alv_letters *letters);

#endif
