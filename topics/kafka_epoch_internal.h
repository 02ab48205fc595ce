/* kafka_epoch_internal.h — one producer epoch of a lane: a librdkafka handle, and the thread that makes its
 * blocking calls.
 *
 * Why:    an epoch ends with its handle (I10), and a handle can hang: rd_kafka_send_offsets_to_transaction
 *         does not keep its time-out (librdkafka issues 5456, 5511), and destroying the handle does not end
 *         that call but pulls the ground from under it. So the calls that talk to coordinators run on a
 *         thread of the epoch. One that does not return is left behind together with its handle, and the
 *         lane goes on with a new epoch, which fences what the old one may still send.
 * Thread: the lane's. Delivery reports are run by whichever of the two threads is inside a call.
 * Owns:   handle, thread, what is known of the records of the open transaction.
 * Limits: ALV_CALLERS_LEFT_MAX epochs of this process that were left behind and have not come back.
 */
#ifndef ALV_TOPICS_KAFKA_EPOCH_INTERNAL_H
#define ALV_TOPICS_KAFKA_EPOCH_INTERNAL_H

#include "base/caller.h"
#include "topics/kafka_internal.h"

typedef struct alv_kafka_written {
    int64_t *ends; /* by shard */
    int32_t shard_count;
    bool is_incomplete; /* some record was written at an offset that the broker did not tell */
} alv_kafka_written;

/* How far a commit is. The call's thread and the lane's agree by it on who was first: what was given up
 * while offsets were sent is certain to send no EndTxn. */
typedef enum alv_kafka_step {
    ALV_KAFKA_STEP_OFFSETS,
    ALV_KAFKA_STEP_END,
    ALV_KAFKA_STEP_GIVEN_UP,
} alv_kafka_step;

typedef rd_kafka_error_t *(*alv_kafka_end)(rd_kafka_t *rk, int timeout_ms);

/* Arguments and result of the call under way; the call's own while it runs. */
typedef struct alv_kafka_epoch_call {
    rd_kafka_topic_partition_list_t *offsets; /* NULL = none */
    rd_kafka_consumer_group_metadata_t *group;
    alv_kafka_end end; /* commit, abort or init */
    int slice_ms;      /* `end` is called again after so long, */
    int timeout_ms;    /* and given up after this */
    _Atomic int step;  /* alv_kafka_step */
    rd_kafka_error_t *error;
} alv_kafka_epoch_call;

typedef struct alv_kafka_epoch {
    alv_kafka_client client; /* its owner is the epoch */
    alv_kafka_targets targets;
    alv_caller *caller;
    alv_kafka_epoch_call call;
    bool hangs; /* the call has not returned in time */

    /* Of the open transaction. */
    alv_kafka_written written[ALV_TOPIC_COUNT];
    int64_t failed;                  /* records that were not delivered */
    rd_kafka_resp_err_t failed_code; /* of the last of them, and ... */
    alv_topic failed_topic;          /* ... where it was to go */
} alv_kafka_epoch;

/* How a call ended. `has_returned` false: the epoch must be closed, and nothing else done with it. */
typedef struct alv_kafka_ended {
    bool has_returned;
    bool may_have_ended; /* of a commit: EndTxn may have been sent */
    rd_kafka_error_t *error;
} alv_kafka_ended;

/* Makes handle and thread; init comes next. ALV_FATAL: librdkafka refuses the settings; ALV_RETRY: too
 * many have been left behind. */
alv_status alv_kafka_epoch_open(const alv_kafka *log, const char *transactional_id, int lane,
                                alv_kafka_epoch **out, alv_error *err);

/* Forgets the records of the last transaction. */
void alv_kafka_epoch_reset(alv_kafka_epoch *epoch);

/* init_transactions. Blocks up to ALV_KAFKA_CALL_MS. */
alv_kafka_ended alv_kafka_epoch_init(alv_kafka_epoch *epoch);

/* Sends offsets (NULL: there are none) and commits. Takes both. Blocks up to ALV_OFFSETS_CALL_MS and
 * then ALV_TRANSACTION_TIMEOUT_MS. */
alv_kafka_ended alv_kafka_epoch_commit(alv_kafka_epoch *epoch,
                                       rd_kafka_topic_partition_list_t *offsets,
                                       rd_kafka_consumer_group_metadata_t *group);

/* abort_transaction. Blocks up to `timeout_ms`. */
alv_kafka_ended alv_kafka_epoch_abort(alv_kafka_epoch *epoch, int timeout_ms);

/* Destroys the handle, without waiting for brokers. What hangs is left behind, which is logged. NULL is
 * fine. Blocks up to ALV_EPOCH_CLOSE_MS. */
void alv_kafka_epoch_close(alv_kafka_epoch *epoch);

/* Something indefinite happened: no other transaction in this epoch (I10). */
void alv_kafka_epoch_taint(alv_kafka_epoch *epoch);

#endif
