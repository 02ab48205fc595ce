/* log_port.h — the port to the log: what lanes, replicator and checkpointer ask of Kafka.
 *
 * Why:    the real log (kafka_*.c) and the simulated one stand behind the same few calls, so that
 *         the same lane runs in both. There are four kinds of handle:
 *           consumer  a member of the consumer group on the command topic; one per lane
 *           producer  a transactional producer; one per lane
 *           reader    manual assignment over compacted topics; replicator, checkpointer, tools
 *           sender    a plain idempotent producer; command line and HTTP
 * Thread: each handle belongs to one thread, which alone may call it; `wake` is for any thread.
 *         Listener callbacks run inside `poll`, on the same thread.
 * Owns:   handles are closed by whoever opened them. Views passed in are copied before a call
 *         returns.
 * Fails:  as each call says. "Not there yet" and "nothing to do" are not errors.
 */
#ifndef ALV_TOPICS_LOG_PORT_H
#define ALV_TOPICS_LOG_PORT_H

#include "base/status.h"
#include "topics/record.h"

typedef struct alv_log_port alv_log_port;
typedef struct alv_consumer alv_consumer;
typedef struct alv_producer alv_producer;
typedef struct alv_reader alv_reader;
typedef struct alv_sender alv_sender;

/* A place in one shard of a topic; `offset` is exclusive: the next to be read. */
typedef struct alv_shard_offset {
    int32_t shard;
    int64_t offset;
} alv_shard_offset;

/* What a group member is told about its shards, during poll or close. In `revoked` the listener
 * still owns the shards and may finish its transaction (commit or abort) before it returns;
 * afterwards they are gone. `lost` says they are already somebody else's: commit nothing. */
typedef struct alv_rebalance_listener {
    void (*assigned)(void *payload, const int32_t *shards, size_t count);
    void (*revoked)(void *payload, const int32_t *shards, size_t count, bool lost);
    void *payload;
} alv_rebalance_listener;

/* ---- consumer -------------------------------------------------------------------------------- */

typedef struct alv_consumer_ops {
    /* Waits up to `timeout_ms` for records of started shards and returns those that are there
     * (maybe none). Returns early when the listener was called. read_committed. Newly assigned
     * shards are silent until `start`.
     * ALV_RETRY: the log is away, or a started offset is not in it (the shard is silent until it is
     * started elsewhere), poll again; ALV_FENCED: another member took this member's seat;
     * ALV_FATAL: this consumer is of no use any more. Before these two the listener has heard, with
     * `lost`, that all shards are gone. */
    alv_status (*poll)(alv_consumer *consumer, int timeout_ms, alv_batch *out, alv_error *err);

    /* Ends a poll that waits. Any thread. */
    void (*wake)(alv_consumer *consumer);

    /* Delivers an assigned shard from `offset` on (also: again from an earlier one, after an
     * abort). Records of it that were delivered by earlier polls are no longer valid. Local:
     * carried out at the next poll, together with others. Also inside the listener. ALV_RETRY: it
     * is not assigned. */
    alv_status (*start)(alv_consumer *consumer, int32_t shard, int64_t offset, alv_error *err);

    /* Silences a shard until the next `start`. Local. ALV_RETRY: it is not assigned. */
    alv_status (*pause)(alv_consumer *consumer, int32_t shard, alv_error *err);

    /* The group's committed offsets, waiting for transactions that are still under way (requires
     * stable offsets). Fills `offset` of each item, ALV_OFFSET_NONE where there is none.
     * Blocks up to ALV_KAFKA_CALL_MS. ALV_RETRY. */
    alv_status (*committed)(alv_consumer *consumer, alv_shard_offset *items, size_t count,
                            alv_error *err);

    /* The first offset the command topic still holds of a shard, and its end as a read_committed
     * reader sees it. Blocks up to ALV_KAFKA_CALL_MS. ALV_RETRY. */
    alv_status (*range)(alv_consumer *consumer, int32_t shard, int64_t *out_start, int64_t *out_end,
                        alv_error *err);

    /* The end of a shard of the command topic when records of it were last fetched; ALV_OFFSET_NONE
     * when nothing is known. Local: asks nobody. Also behind the end are control records, which are
     * never delivered. */
    int64_t (*end)(const alv_consumer *consumer, int32_t shard);

    /* Leaves the group (or, with `stay`, keeps the seat of a static member for a quick restart) and
     * frees the handle. The listener hears of the revocation before it returns. Batches that are
     * still held are emptied. Blocks up to 5 s besides what the listener takes. */
    void (*close)(alv_consumer *consumer, bool stay);
} alv_consumer_ops;

struct alv_consumer {
    const alv_consumer_ops *ops;
};

/* ---- producer -------------------------------------------------------------------------------- */

typedef struct alv_produce {
    alv_topic topic;
    int32_t shard;        /* -1 = by key, with the partitioner */
    int64_t timestamp_ms; /* 0 = now */
    alv_view key;
    alv_view value;
    const alv_header *headers;
    size_t header_count;
} alv_produce;

/* How an attempt to commit ended. */
typedef enum alv_commit_outcome {
    ALV_COMMIT_DONE,    /* committed, certain */
    ALV_COMMIT_ABORTED, /* not committed, certain: abort (if still open) and replay */
    ALV_COMMIT_UNKNOWN, /* the answer never came: renew, then look at the committed offsets (I10) */
} alv_commit_outcome;

typedef struct alv_producer_ops {
    /* Opens a transaction. Local; does not block. ALV_RETRY: renew first (so after anything that
     * made it `tainted`); ALV_FENCED. */
    alv_status (*begin)(alv_producer *producer, alv_error *err);

    /* Adds a record to the open transaction. Waits while the producer's queue is full, and at the
     * first record of a topic with shard -1 for its number of partitions.
     * ALV_REJECT: this record can never be written (too large); ALV_ABORT; ALV_FENCED. */
    alv_status (*produce)(alv_producer *producer, const alv_produce *record, alv_error *err);

    /* Flushes and waits until every record of the open transaction is acknowledged, so that
     * `written_end` is known. ALV_ABORT, ALV_FENCED. Blocks up to ALV_MESSAGE_TIMEOUT_MS. */
    alv_status (*flush)(alv_producer *producer, alv_error *err);

    /* One past the largest offset this transaction wrote to that shard, ALV_OFFSET_NONE when
     * unknown (nothing written, or the broker did not say after a retry). Valid until the next
     * begin. */
    int64_t (*written_end)(const alv_producer *producer, alv_topic topic, int32_t shard);

    /* Sends the consumed offsets with the consumer's group metadata as it is now, and commits. The
     * metadata text beside each offset names `owner`. With ALV_COMMIT_ABORTED and _UNKNOWN, `err`
     * says why, and its status whether the producer is still good (ALV_ABORT), fenced (ALV_FENCED)
     * or must be renewed (ALV_RETRY). With `count` 0 no offsets are sent and `consumer` may be
     * NULL. Blocks up to about three times ALV_TRANSACTION_TIMEOUT_MS when brokers are away. */
    alv_commit_outcome (*commit)(alv_producer *producer, alv_consumer *consumer,
                                 const alv_shard_offset *offsets, size_t count, const char *owner,
                                 alv_error *err);

    /* Ends the open transaction without effect; nothing to do when none is open. ALV_RETRY: renew;
     * ALV_FENCED. Blocks up to ALV_TRANSACTION_TIMEOUT_MS. */
    alv_status (*abort)(alv_producer *producer, alv_error *err);

    /* True when something indefinite (time-out, disconnect, retry) happened since the last renewal:
     * the epoch must not be used for another transaction (I10). Check after each end of one. */
    bool (*tainted)(const alv_producer *producer);

    /* Replaces the producer by a new one with the same transactional id: completes or aborts what
     * the old one left, fences it, and bumps the epoch. ALV_RETRY: it has none until a renewal
     * succeeds; ALV_FATAL. Blocks up to ALV_KAFKA_CALL_MS; about 30 ms when nothing was left
     * open. */
    alv_status (*renew)(alv_producer *producer, alv_error *err);

    /* Runs callbacks that wait. To be called every few seconds when nothing else is. Local. */
    void (*serve)(alv_producer *producer);

    /* Frees the handle; an open transaction is aborted if that is quick. */
    void (*close)(alv_producer *producer);
} alv_producer_ops;

struct alv_producer {
    const alv_producer_ops *ops;
};

/* ---- reader ---------------------------------------------------------------------------------- */

typedef struct alv_reader_ops {
    /* Adds a shard of a topic, from `offset` on. ALV_RETRY. */
    alv_status (*assign)(alv_reader *reader, alv_topic topic, int32_t shard, int64_t offset,
                         alv_error *err);

    /* Removes it; records of it that were polled before are no longer valid. No-op when absent. */
    void (*unassign)(alv_reader *reader, alv_topic topic, int32_t shard);

    /* Pauses or resumes everything assigned, without losing what was read (back-pressure). */
    void (*pause_all)(alv_reader *reader, bool paused);

    /* Waits up to `timeout_ms` for committed records (read_committed) and returns what is there.
     * ALV_RETRY: the log is away; ALV_REJECT: an assigned offset is no longer (or not yet) in the
     * log, `err` says which topic and shard: unassign it; ALV_FATAL: it may not read, until somebody grants
     * the right that `err` names: polling on is right. */
    alv_status (*poll)(alv_reader *reader, int timeout_ms, alv_batch *out, alv_error *err);

    /* Ends a poll that waits. Any thread. */
    void (*wake)(alv_reader *reader);

    /* The offset up to which everything committed has been delivered by the last poll, control
     * records included; what the poll before returned must have been applied. */
    int64_t (*position)(const alv_reader *reader, alv_topic topic, int32_t shard);

    /* The high watermark of an assigned shard as the last answer of the broker told it, without asking;
     * ALV_OFFSET_NONE when there was none yet. */
    int64_t (*last_end)(const alv_reader *reader, alv_topic topic, int32_t shard);

    /* First offset and high watermark (the read_uncommitted end) of a shard, asked from the broker.
     * Blocks up to ALV_KAFKA_CALL_MS. ALV_RETRY. */
    alv_status (*range)(alv_reader *reader, alv_topic topic, int32_t shard, int64_t *out_start,
                        int64_t *out_end, alv_error *err);

    /* The ends of several shards of a topic as a read_committed reader sees them (the last stable
     * offsets), asked at once: fills `offset` of each item. Blocks up to `timeout_ms`. ALV_RETRY. */
    alv_status (*ends)(alv_reader *reader, alv_topic topic, alv_shard_offset *items, size_t count,
                       int timeout_ms, alv_error *err);

    /* The offsets that the consumer group committed on the command topic, as consumer `committed`,
     * for a thread that is no member. ALV_RETRY also when they are still unstable after
     * `timeout_ms`. */
    alv_status (*committed)(alv_reader *reader, alv_shard_offset *items, size_t count,
                            int timeout_ms, alv_error *err);

    void (*close)(alv_reader *reader);
} alv_reader_ops;

struct alv_reader {
    const alv_reader_ops *ops;
};

/* ---- sender ---------------------------------------------------------------------------------- */

/* Called on the sender's thread inside `serve`, `flush` or `close`, once per sent record. ALV_OK: it is
 * in the log; ALV_REJECT: the log will never take it; ALV_RETRY: it was not written; ALV_ABORT: nobody
 * knows whether it was. */
typedef void (*alv_sent)(void *payload, alv_status status, int32_t shard, int64_t offset,
                         const char *error_text);

typedef struct alv_sender_ops {
    /* Queues a record; waits while the queue is full. `sent` may be NULL. ALV_REJECT, ALV_RETRY. */
    alv_status (*send)(alv_sender *sender, const alv_produce *record, alv_sent sent, void *payload,
                       alv_error *err);

    /* Runs callbacks of records that were acknowledged; waits up to `timeout_ms` for the first. */
    void (*serve)(alv_sender *sender, int timeout_ms);

    /* Ends a serve that waits. Any thread. */
    void (*wake)(alv_sender *sender);

    /* Waits until all is acknowledged or `timeout_ms` have passed: ALV_RETRY. */
    alv_status (*flush)(alv_sender *sender, int timeout_ms, alv_error *err);

    void (*close)(alv_sender *sender);
} alv_sender_ops;

struct alv_sender {
    const alv_sender_ops *ops;
};

/* ---- the log itself -------------------------------------------------------------------------- */

typedef struct alv_log_ops {
    /* `lane` numbers the member within its node: ids derive from node.id and lane. The listener is
     * copied. Joins the group at the first poll. ALV_RETRY, ALV_FATAL. */
    alv_status (*open_consumer)(alv_log_port *log, int lane, const alv_rebalance_listener *listener,
                                alv_consumer **out, alv_error *err);

    /* Does what `renew` does before it returns. ALV_RETRY, ALV_FATAL. */
    alv_status (*open_producer)(alv_log_port *log, int lane, alv_producer **out, alv_error *err);

    /* `name` appears in client.id. ALV_FATAL. */
    alv_status (*open_reader)(alv_log_port *log, const char *name, alv_reader **out,
                              alv_error *err);

    alv_status (*open_sender)(alv_log_port *log, const char *name, alv_sender **out,
                              alv_error *err);

    /* The headers of a record whose batch is still held: up to `capacity` items into `out`, the
     * number there are as the result. Any thread that holds the batch. 0 costs almost nothing. */
    size_t (*headers)(const alv_record *record, alv_header *out, size_t capacity);

    void (*close)(alv_log_port *log);
} alv_log_ops;

struct alv_log_port {
    const alv_log_ops *ops;
};

#endif
