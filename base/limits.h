/* limits.h — every queue, buffer, retry and wait has a maximum, and it stands here.
 *
 * Why:    what is not bounded grows until the host dies, at the worst moment. Keys that people may
 *         change are in config.c; what stands here is fixed, with the reason and the relations that
 *         must hold between them.
 * Thread: any (constants).
 */
#ifndef ALV_BASE_LIMITS_H
#define ALV_BASE_LIMITS_H

#include <assert.h>

/* Entities (design: an entity key is UTF-8, 1..512 bytes). */
#define ALV_KEY_BYTES_MAX 512

/* One encoded state. Below the stock broker's max.message.bytes (1,048,588) with room for the key and
 * the record batch around it, so that a state that passes here can always be published. */
#define ALV_STATE_BYTES_MAX (1000 * 1000)

/* One command's value. A stock broker refuses more than about 1 MiB anyway; dead letters add headers
 * to the same value and must still fit, hence the distance. */
#define ALV_COMMAND_BYTES_MAX (900 * 1000)

/* What one command may send out besides its reply: emitted commands and events. One value is well below
 * what a command or a record may have, so that it can always be written; the sum bounds a transaction. */
#define ALV_OUTPUTS_MAX 256
#define ALV_OUTPUT_BYTES_MAX (256 * 1024)
#define ALV_OUTPUTS_BYTES_MAX (2 * 1024 * 1024)
static_assert(ALV_OUTPUT_BYTES_MAX < ALV_COMMAND_BYTES_MAX, "an emitted command is not too large");

/* An idempotency key: room for the key of an entity and the name of a step. */
#define ALV_IDEMPOTENCY_KEY_BYTES_MAX 1024
static_assert(ALV_IDEMPOTENCY_KEY_BYTES_MAX > ALV_KEY_BYTES_MAX + 64, "<entity key>/<step> fits");

/* Entities of one shard that fail, quarantined ones among them: each takes a KiB of its lane's memory. */
#define ALV_QUARANTINE_ROWS_MAX 4096

/* What a dead letter may add to the record it carries. */
#define ALV_DEAD_LETTER_HEADER_BYTES_MAX 4096
#define ALV_HEADERS_MAX 64 /* original headers kept in a dead letter */

/* Topics and lanes. */
#define ALV_SHARDS_MAX 4096
#define ALV_LANES_MAX 64

/* Global tables: each partition of one is an assignment on every node, and its offset a number in every
 * version that is recorded. */
#define ALV_TABLES_MAX 16
#define ALV_TABLE_PARTITIONS_MAX 64

/* A new owner of a shard whose copy of a table is older than what the shard has seen waits for it, usually
 * the milliseconds that the copy is behind. After this somebody should look: the shard is shown as stopped,
 * and goes on by itself when the copy has arrived. */
#define ALV_TABLES_WAIT_MS 30000

/* One poll of a lane: enough to amortise the call, small enough to stay in the L2 cache. Half as many each time
 * it takes the lane longer than this to execute them, until few are left: rebalances, timers and other shards
 * wait for the end of a turn. */
#define ALV_POLL_RECORDS_MAX 4096
#define ALV_POLL_RECORDS_MIN 64
#define ALV_LANE_TURN_MS 200

/* While some shards of a lane have more commands waiting than one poll takes and others have fewer, those with more
 * give way: so often, until the others are drained, for at least as long as a fetch takes (fetch.wait.max.ms of
 * kafka_conf.c does not count: it ends when there is something). */
#define ALV_LANE_WAY_EVERY_MS 400
#define ALV_LANE_WAY_LEAST_MS 20
#define ALV_LANE_WAY_MOST_MS 150
static_assert(ALV_LANE_WAY_MOST_MS < ALV_LANE_WAY_EVERY_MS / 2, "they get most of the time");

/* An idle lane wakes up this often to look at its timers; an inbox message wakes it at once. */
#define ALV_LANE_IDLE_POLL_MS 100

/* A lane that has not turned for so long may have lost its shards without knowing: reads of them are no
 * longer answered from here. The least session time-out that a stock broker allows, because before
 * that nobody else is given its shards without it being told. */
#define ALV_LANE_SILENT_MS 6000

/* Replies that wait for the commit of their transaction; a lane that holds more commits at once. One
 * reply is bounded like a state. */
#define ALV_REPLY_BOX_BYTES_MAX (8 * 1024 * 1024)

/* Inboxes between threads. Senders that find one full wait (see inbox.h): the receiver is behind. */
#define ALV_INBOX_MESSAGES_MAX 4096

/* Kafka. The transaction time-out is what a dead node's open transaction can block readers for when
 * nobody fences it; Kafka Streams uses the same 10 s. A message must fail before its transaction. */
#define ALV_TRANSACTION_TIMEOUT_MS 10000
#define ALV_MESSAGE_TIMEOUT_MS 9000
#define ALV_KAFKA_CALL_MS 10000 /* admin calls, watermark queries, committed offsets */
/* What a transaction's offsets may take to be accepted, usually a few ms. Longer than this, and the lane
 * would be held for silent; its shards are better off in a new attempt. */
#define ALV_OFFSETS_CALL_MS 5000
static_assert(ALV_OFFSETS_CALL_MS < ALV_LANE_SILENT_MS,
              "a lane that waits for its offsets is alive");
/* Destroying a producer's handle, usually a few ms. */
#define ALV_EPOCH_CLOSE_MS 3000
/* Calls that hang and were left behind, in the whole process: each keeps its handle with some six threads
 * and less than a MiB. Brokers end idle connections after ten minutes, which is what they wait for at the
 * latest. */
#define ALV_CALLERS_LEFT_MAX 16
static_assert(ALV_MESSAGE_TIMEOUT_MS < ALV_TRANSACTION_TIMEOUT_MS,
              "librdkafka: message.timeout.ms must stay below transaction.timeout.ms");

/* Retries of anything that is away: first wait, longest wait (exponential, with jitter). */
#define ALV_BACKOFF_FIRST_MS 100
#define ALV_BACKOFF_MAX_MS 5000
static_assert(ALV_BACKOFF_FIRST_MS < ALV_BACKOFF_MAX_MS, "backoff grows");

/* Checkpoints: rows per PostgreSQL transaction, and rows held while PostgreSQL is away (the rest
 * waits in Kafka). */
#define ALV_CHECKPOINT_ROWS_MAX 20000
#define ALV_CHECKPOINT_BYTES_MAX (64 * 1024 * 1024)

/* A clean stop that takes longer than this is given up: the process exits and the state on disk is
 * as good as after a crash (I2, I6). */
#define ALV_STOP_TIMEOUT_MS 30000

/* Of this, so long for the last checkpoints: a second or so of changes is what is behind in normal times,
 * and the next owner has all of them from the changelog anyway. */
#define ALV_CHECKPOINT_CATCH_UP_MS 5000
static_assert(ALV_CHECKPOINT_CATCH_UP_MS < ALV_STOP_TIMEOUT_MS, "a part of a clean stop");

/* HTTP. */
#define ALV_HTTP_CONNECTIONS_MAX 16384
#define ALV_HTTP_IDLE_TIMEOUT_S 60
#define ALV_HTTP_FORWARD_TIMEOUT_MS 6000

#endif
