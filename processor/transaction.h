/* transaction.h — one Kafka transaction of a lane: everything a batch of commands did, or nothing (I1).
 *
 * Why:    changelog, ledger, replies, dead letters and consumed offsets become visible together, and
 *         only what is certainly committed reaches the local store and the cache (I2, I4).
 * Thread: the lane that owns it.
 * Owns:   the lane's transactional producer.
 *
 *            begin                    send: done                    finish
 *     IDLE ---------> OPEN ---------------------------> COMMITTED ---------> IDLE
 *      ^               |  \                                 ^
 *      |  rolled back  |   \ send: the answer never came    | resolve: offsets are ours
 *      +---------------+    +----------> UNCERTAIN ---------+
 *      |                                     |
 *      +---- resolve: offsets are not -------+
 *
 * OPEN:      records are being added; the shards it touched are listed.
 * UNCERTAIN: nobody knows whether it was committed. Nothing else happens in the lane until the
 *            producer was renewed (the coordinator then has ended it, one way or the other) and the
 *            committed offsets tell which way (I10).
 * COMMITTED: exists within one call only.
 * A commit is always the same three steps: prepare (encode, publish, flush), send (offsets, commit),
 * finish (overlay and position into the store, in one write per shard).
 */
#ifndef ALV_PROCESSOR_TRANSACTION_H
#define ALV_PROCESSOR_TRANSACTION_H

#include "base/clock.h"
#include "processor/meter.h"
#include "processor/shard.h"
#include "processor/table_pin.h"
#include "topics/log_port.h"

typedef enum alv_transaction_state {
    ALV_TRANSACTION_IDLE,
    ALV_TRANSACTION_OPEN,
    ALV_TRANSACTION_COMMITTED,
    ALV_TRANSACTION_UNCERTAIN,
} alv_transaction_state;

typedef struct alv_transaction alv_transaction;

typedef struct alv_transaction_options {
    alv_store *store;       /* borrowed */
    alv_cache *cache;       /* borrowed; the lane's */
    const alv_clock *clock; /* borrowed */
    alv_meter *meter;       /* borrowed */
    int32_t shard_count;
    const char *owner;  /* named in the offset metadata; copied */
    alv_table_pin *pin; /* global tables; released at every end. NULL = there are none */

    /* Called for each shard of a committed transaction; its store failed if shard->failed. */
    void (*finished)(void *payload, const alv_shard *shard, int64_t commands);
    void *payload;
} alv_transaction_options;

alv_transaction *alv_transaction_new(const alv_transaction_options *options);

/* Takes the producer. Replaces none: there is one for the life of the lane, renewed in place. */
void alv_transaction_set_producer(alv_transaction *transaction, alv_producer *producer);
alv_producer *alv_transaction_producer(alv_transaction *transaction);

alv_transaction_state alv_transaction_state_get(const alv_transaction *transaction);

/* Commands in the open transaction, and how long it has been open. */
size_t alv_transaction_commands(const alv_transaction *transaction);
int64_t alv_transaction_age_us(const alv_transaction *transaction);

/* IDLE -> OPEN. Renews the producer first when its epoch must not be used again (I10).
 * ALV_RETRY: brokers are away; ALV_FATAL. */
alv_status alv_transaction_begin(alv_transaction *transaction, alv_error *err);

/* A command of `shard` is about to be executed in the open transaction. */
void alv_transaction_touch(alv_transaction *transaction, alv_shard *shard);

/* Prepare, send, finish. After anything but ALV_OK and ALV_RETRY the transaction is rolled back and the
 * shards are rewound.
 * ALV_OK:     committed and stored (a shard whose store failed has `failed` set).
 * ALV_RETRY:  UNCERTAIN: call resolve until it says otherwise.
 * ALV_ABORT:  rolled back; run the commands again.
 * ALV_REJECT: rolled back because a state was too large; run them again in careful mode.
 * ALV_FATAL:  this lane cannot go on. */
alv_status alv_transaction_commit(alv_transaction *transaction, alv_consumer *consumer,
                                  alv_error *err);

/* OPEN -> IDLE without effect. Rewinds the shards. Never fails: what the broker could not be told, the
 * next begin makes good by renewing the producer. */
void alv_transaction_rollback(alv_transaction *transaction);

/* UNCERTAIN -> IDLE: renews the producer and compares the committed offsets. ALV_OK: it was committed
 * and is finished now; ALV_ABORT: it was not, the shards are rewound; ALV_RETRY: still unknown, try
 * again later; ALV_FATAL. */
alv_status alv_transaction_resolve(alv_transaction *transaction, alv_consumer *consumer,
                                   alv_error *err);

/* The shard leaves the lane: what the transaction did to it is forgotten here, without a claim about
 * whether it was committed. The next owner finds out from the log. */
void alv_transaction_forget(alv_transaction *transaction, alv_shard *shard);

/* Rolls back what is open, closes the producer, frees. NULL is fine. */
void alv_transaction_free(alv_transaction *transaction);

#endif
