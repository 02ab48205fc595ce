/* http_limits.h — what bounds the HTTP API beside base/limits.h.
 *
 * Why:    every queue, buffer, retry and wait has a named maximum.
 * Thread: any (constants).
 */
#ifndef ALV_API_HTTP_LIMITS_H
#define ALV_API_HTTP_LIMITS_H

#include <stddef.h>

#include "base/limits.h"

/* Memory of one connection for request line, headers and the head of the response. A key may be
 * percent-encoded to three times its length, so this leaves most of it for headers. */
#define ALV_HTTP_CONNECTION_BYTES (16 * 1024)
static_assert(ALV_HTTP_CONNECTION_BYTES > 8 * 3 * ALV_KEY_BYTES_MAX, "the longest key fits easily");

/* Bodies of requests that are held at a time, all together; a request that finds no room gets 503. */
#define ALV_HTTP_BODIES_BYTES_MAX ((size_t)64 * 1024 * 1024)
static_assert(ALV_HTTP_BODIES_BYTES_MAX > 32 * ALV_COMMAND_BYTES_MAX, "large commands at a time");

/* Answers that clients have not taken yet, all together: 256 of the largest entities. */
#define ALV_HTTP_ANSWERS_BYTES_MAX ((size_t)256 * 1024 * 1024)
static_assert(ALV_HTTP_ANSWERS_BYTES_MAX > 128 * ALV_STATE_BYTES_MAX, "large answers at a time");

/* How long a request may take to be whole: its head, its body; and its answer to be taken. More bytes now
 * and then do not help. How often it is looked. */
#define ALV_HTTP_HEAD_MS 10000
#define ALV_HTTP_BODY_MS 30000
#define ALV_HTTP_SEND_MS 60000
#define ALV_HTTP_PATIENCE_LOOK_MS 1000

/* Connections beyond the limit that are accepted, only to be told so, or how the node is: a sixteenth of it,
 * within these bounds. They are gone at the second look at the latest; at best as many as may wait in the
 * kernel's queue, so that whoever asks how the node is need not wait for many looks. */
#define ALV_HTTP_SURPLUS_MIN 16
#define ALV_HTTP_SURPLUS_MAX 1024
static_assert(ALV_HTTP_SURPLUS_MAX == ALV_HTTP_CONNECTIONS_MAX / 16, "the same");

/* Lists of entities under way at a time, per node; the largest page, in entities and in bytes (one entity may be
 * larger). */
#define ALV_HTTP_SCANS_MAX 64
#define ALV_HTTP_SCAN_LIMIT_MAX 1000
#define ALV_HTTP_SCAN_BYTES_MAX (1024 * 1024)

/* Files that a node has open besides its connections: RocksDB's, librdkafka's sockets. */
#define ALV_HTTP_OTHER_FILES 2048

/* What callers are told to wait before they come back after 429 and 503. */
#define ALV_HTTP_RETRY_AFTER_S 1

/* How long a request may wait for its shard to become readable somewhere, and how often it is
 * looked at again. A failover takes about half a second, a shard that moves to a node that joins one and a
 * half (librdkafka joins once a second): a planned hand-over must not be seen as an error, also on a
 * machine that is busy. */
#define ALV_HTTP_HOLD_MS 4000
#define ALV_HTTP_HOLD_LOOK_MS 20
static_assert(ALV_HTTP_HOLD_LOOK_MS < ALV_HTTP_HOLD_MS,
              "a held request is looked at more than once");
static_assert(ALV_HTTP_HOLD_MS < ALV_HTTP_FORWARD_TIMEOUT_MS,
              "an owner that holds a request answers before its sender gives up");

/* An owner that did not answer is asked again only after this, unless the owner has changed. */
#define ALV_HTTP_FORWARD_AGAIN_MS 100

/* Peers are hosts of the same network: one that takes longer to accept a connection is gone. */
#define ALV_HTTP_CONNECT_TIMEOUT_MS 300
static_assert(ALV_HTTP_CONNECT_TIMEOUT_MS < ALV_HTTP_HOLD_MS,
              "a dead owner is noticed while the request may still be held");

/* With TLS, connecting takes two more round trips and some arithmetic. */
#define ALV_HTTP_TLS_CONNECT_TIMEOUT_MS 900
static_assert(ALV_HTTP_TLS_CONNECT_TIMEOUT_MS < ALV_HTTP_HOLD_MS, "as above");

/* Requests handed to peers at a time, in all and per peer; more wait or are refused. */
#define ALV_HTTP_FORWARDS_MAX 512
#define ALV_HTTP_FORWARD_CONNECTIONS_MAX 64
static_assert(ALV_HTTP_FORWARDS_MAX <= ALV_HTTP_CONNECTIONS_MAX, "one request per connection");

/* The largest answer that is passed on: an entity with the largest state, its key escaped, and what
 * stands around it. */
#define ALV_HTTP_ANSWER_BYTES_MAX (2 * 1024 * 1024)
static_assert(ALV_HTTP_ANSWER_BYTES_MAX > ALV_STATE_BYTES_MAX + 16 * ALV_KEY_BYTES_MAX,
              "every entity can be passed on");

static_assert(ALV_HTTP_ANSWER_BYTES_MAX > ALV_HTTP_SCAN_BYTES_MAX +
                                              ALV_HTTP_SCAN_LIMIT_MAX * (ALV_KEY_BYTES_MAX + 24) +
                                              ALV_SHARDS_MAX * 32,
              "every page of another node fits");

/* What may wait in a stream of a peer that does not read it. */
#define ALV_HTTP_STREAM_BYTES_MAX (64 * 1024)

/* Watchers of one node; the next one is refused. They are connections that stay, so they must leave
 * enough of these to requests. */
#define ALV_WATCHERS_MAX 2048
static_assert(ALV_WATCHERS_MAX + 1024 < ALV_HTTP_CONNECTIONS_MAX,
              "streams leave room for requests");

/* What may wait for a watcher that does not read: beyond it, it is cut off and may resume. All of
 * them together may hold ALV_WATCH_BYTES_ALL_MAX; above that, whoever has not read everything is cut
 * off. Events are shared among those who wait for them. */
#define ALV_WATCH_BYTES_MAX (4 * 1024 * 1024)
#define ALV_WATCH_BYTES_ALL_MAX (64 * 1024 * 1024)
static_assert(ALV_WATCH_BYTES_MAX > 2 * ALV_STATE_BYTES_MAX, "several large states fit");

/* A watcher that catches up is given more only when less than this waits for it; one that stays
 * above for ALV_WATCH_STUCK_MS is cut off, because others wait with it. */
#define ALV_WATCH_CATCH_UP_BYTES (128 * 1024)
#define ALV_WATCH_STUCK_MS 5000

/* A watcher that was told nothing for so long gets a comment line with its id. Proxies close
 * connections that are silent for 30 or 60 s; a client that has gone is noticed by it. */
#define ALV_WATCH_HEARTBEAT_MS 10000
static_assert(ALV_WATCH_HEARTBEAT_MS < ALV_HTTP_IDLE_TIMEOUT_S * 1000, "a stream never times out");

/* How long a new watcher waits for Kafka to say where the changelog ends. */
#define ALV_WATCH_JOIN_MS 3000

/* The readers are closed when nobody has watched for so long. */
#define ALV_WATCH_LINGER_MS 10000

/* Clients come back after this when their connection breaks. */
#define ALV_WATCH_RETRY_MS 500

/* Records taken at a time: from the end of the changelog, and for those who catch up. */
#define ALV_WATCH_RECORDS_MAX 1024
#define ALV_WATCH_CATCH_UP_RECORDS_MAX 256

/* A watch of a prefix or pattern has an offset per shard in each event's id, and a client sends the
 * last id in a header. */
#define ALV_WATCH_SHARDS_MAX 1024
#define ALV_WATCH_ID_BYTES_MAX (32 + ALV_WATCH_SHARDS_MAX * 9)
static_assert(ALV_WATCH_SHARDS_MAX * 6 * 4 / 3 < ALV_HTTP_CONNECTION_BYTES * 3 / 4,
              "ids fit into a request while offsets are below 2^42");

/* Nodes that watch each other, and how many of them may listen here; a node that has lost its
 * connection comes back before the old one is noticed to be gone. */
#define ALV_PEER_NODES_MAX 128
#define ALV_PEER_STREAMS_MAX (2 * ALV_PEER_NODES_MAX)
static_assert(ALV_PEER_STREAMS_MAX < ALV_HTTP_CONNECTIONS_MAX, "streams leave room for requests");

/* One line of a peer stream: it may name every node. */
#define ALV_PEER_LINE_BYTES_MAX (16 * 1024)
static_assert(ALV_PEER_LINE_BYTES_MAX > ALV_PEER_NODES_MAX * 101, "node ids have 100 characters");
static_assert(ALV_HTTP_STREAM_BYTES_MAX > 2 * ALV_PEER_LINE_BYTES_MAX, "a line fits");

/* A stream that broke is opened again at once, one that cannot be opened after these waits. */
#define ALV_PEER_RETRY_FIRST_MS 2
#define ALV_PEER_RETRY_MAX_MS 100

/* How often the nodes to watch are looked up in the picture of the group. */
#define ALV_PEER_MEMBERS_LOOK_MS 100

/* How often the group is asked for its members, and the least time between two questions. */
#define ALV_PEERS_INTERVAL_MS 1000
#define ALV_PEERS_GAP_MS 100
#define ALV_PEERS_CALL_MS 2000

/* Commands that wait for their reply at a time; more get 429. How long each waits: longer than a message
 * may take to be written (so its fate is known by then) and a failover to be over. */
#define ALV_HTTP_COMMANDS_MAX 1024
#define ALV_HTTP_COMMAND_WAIT_MS 10000

/* Of a shard whose last commands had no reply in time, so many find out when it replies again. */
#define ALV_HTTP_COMMANDS_LATE_MAX 16
static_assert(ALV_HTTP_COMMANDS_LATE_MAX < ALV_HTTP_COMMANDS_MAX / 2, "less than its share");
static_assert(ALV_HTTP_COMMAND_WAIT_MS > ALV_MESSAGE_TIMEOUT_MS, "written or not: we know");

/* Replies on their way to another node: bytes per request, tries, and what may wait in all. A member is
 * remembered for longer than anybody waits. */
#define ALV_HTTP_REPLIES_BYTES_MAX (2 * 1024 * 1024)
#define ALV_HTTP_REPLIES_AGAIN_MS 50
#define ALV_HTTP_REPLIES_WAITING_MAX 256
#define ALV_PEERS_REMEMBER_MS 60000
static_assert(ALV_HTTP_REPLIES_BYTES_MAX > ALV_STATE_BYTES_MAX + 4096, "every reply can be sent");
static_assert(ALV_PEERS_REMEMBER_MS > ALV_HTTP_COMMAND_WAIT_MS, "who waits is remembered");

/* A clean stop waits this long for replies to commands that other nodes execute. */
#define ALV_HTTP_COMMANDS_DRAIN_MS 2000

/* Nodes that are asked about themselves answer within this, or are told as unknown; what they said is
 * good for the next who asks within so long. */
#define ALV_GATHER_TIMEOUT_MS 1000
#define ALV_GATHER_CACHE_MS 250

/* A clean stop waits this long for answers that are on their way to slow clients. */
#define ALV_HTTP_DRAIN_MS 1000
static_assert(ALV_HTTP_DRAIN_MS < ALV_STOP_TIMEOUT_MS, "the API is a small part of a stop");

/* Lists of dead letters: how many requests wait for their turn, and letters in one answer. */
#define ALV_HTTP_LETTERS_WAITING_MAX 16
#define ALV_HTTP_LETTERS_LIMIT_MAX 500

#endif
