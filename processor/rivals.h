/* rivals.h — notices that shards which are active here have another owner by now.
 *
 * Why:    a lane learns that it lost its shards from its consumer, and that can take seconds after an outage of
 *         the brokers: the session has ended, others are at work, and the consumer is still looking for its
 *         coordinator. Commits of such a lane fail; but reads from its store would show an old truth (I4).
 *         Each node asks the group every few seconds anyway who holds what.
 * How:    an answer may be older than the shard's activation here, when it came the other way round. So it
 *         takes two answers in a row that name somebody else, and no change of the shard's state in
 *         between: the second question was asked when the shard was active already.
 * Thread: the one that asks the group.
 */
#ifndef ALV_PROCESSOR_RIVALS_H
#define ALV_PROCESSOR_RIVALS_H

#include "processor/directory.h"
#include "topics/kafka.h"

typedef struct alv_rivals alv_rivals;

/* Borrows both. */
alv_rivals *alv_rivals_new(alv_directory *directory, const char *node_id);

/* The group has answered. */
void alv_rivals_members_known(alv_rivals *rivals, const alv_members *members);

/* NULL is fine. */
void alv_rivals_free(alv_rivals *rivals);

#endif
