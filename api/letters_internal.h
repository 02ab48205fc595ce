/* letters_internal.h — what letters.c (requests, thread) and letters_read.c (from the topic to the answer) share. */
#ifndef ALV_API_LETTERS_INTERNAL_H
#define ALV_API_LETTERS_INTERNAL_H

#include "api/letters.h"
#include "base/inbox.h"

/* What is asked for. */
typedef struct letters_query {
    int32_t shard;    /* -1 = all */
    int64_t before;   /* offsets below this one; INT64_MAX = all */
    size_t limit;     /* at least 1 */
    alv_bytes reason; /* empty = every */
    alv_bytes key;    /* the same */
} letters_query;

/* Reads what is asked for and writes the answer. ALV_RETRY: Kafka is away or too slow, or `inbox` was closed;
 * ALV_REJECT: it is too far back; `answer` is untouched then. */
alv_status alv_letters_read(const alv_letters_options *options, alv_reader *reader,
                            const letters_query *query, const alv_inbox *inbox, alv_answer *answer,
                            alv_error *err);

#endif
