/* watch_hub.h — tells watchers what was committed, over all shards, whoever owns them.
 *
 * Why:    the changelog holds every committed change and nothing else (I1, I4), in the order of each
 *         entity, and any node can read it. So a node needs no other node for its watchers, and a
 *         place in the changelog is all that a watcher needs to go on elsewhere.
 * Thread: its own. start, open, stop, free: main. serve: the server's. stats: any.
 * Owns:   watchers, their streams, two readers. The log and the registry are borrowed.
 * Fails:  a watcher that cannot be served gets an answer that says why. Nothing here slows commands
 *         down (I9): lanes do not know of watchers.
 * Limits: http_limits.h: ALV_WATCHERS_MAX, ALV_WATCH_*.
 *
 * The live reader follows the committed ends of those shards that somebody watches; the past reader
 * serves who comes back with an older place, as fast as these take it, until they have reached the
 * live one. With nobody to watch, both are closed and the thread sleeps.
 *
 *              no id, or up to date                      the connection ends, or is cut off
 *     JOINING ----------------------------> IN STEP --------------------------------------> gone
 *        |     older id                       ^   everything up to the live reader is told
 *        +---------------> BEHIND ------------+
 *
 * In step: the watcher's place is the hub's own. Behind: it has a place per shard, each of which is
 * catching up (fed by the past reader) or not (fed by the live one).
 */
#ifndef ALV_API_WATCH_HUB_H
#define ALV_API_WATCH_HUB_H

#include "api/exchange.h"
#include "api/watch_index.h"
#include "base/clock.h"
#include "processor/registry.h"
#include "topics/log_port.h"

typedef struct alv_watch_hub alv_watch_hub;

typedef struct alv_watch_hub_options {
    const alv_clock *clock; /* borrowed, as all here */
    const alv_registry *registry;
    int32_t shard_count;
    int64_t tombstone_retention_ms; /* an older id may miss deletions */
} alv_watch_hub_options;

/* Watchers get 503 until it is open. ALV_FATAL. */
alv_status alv_watch_hub_start(const alv_watch_hub_options *options, alv_watch_hub **out,
                               alv_error *err);

/* Serves from now on. `topic_id` is the changelog's in Kafka; copied. The log is used until stop. */
void alv_watch_hub_open(alv_watch_hub *hub, alv_log_port *log, const char *topic_id);

/* What a request wants; the views are copied. */
typedef struct alv_watch_request {
    alv_watch_kind kind;
    alv_view text; /* checked: a key or prefix in UTF-8, a pattern */
    alv_view id;   /* to resume at; data NULL = from now on */
} alv_watch_request;

/* Answers `exchange`, now or later: with a stream that lasts, or with why there is none.
 * @thread http */
void alv_watch_hub_serve(alv_watch_hub *hub, alv_exchange *exchange,
                         const alv_watch_request *request);

/* Since the start, apart from the first and the last. */
typedef struct alv_watch_stats {
    int64_t watchers; /* at the moment */
    int64_t changes;  /* records that somebody was told of */
    int64_t events;   /* tellings: changes times their watchers */
    int64_t cut_off;  /* watchers that did not read fast enough */
    int64_t resets;   /* ids that could not be resumed in full */
    int64_t bytes;    /* that wait to be sent, at the moment */
} alv_watch_stats;

alv_watch_stats alv_watch_hub_stats(const alv_watch_hub *hub);

/* Ends all streams and the thread; later requests get 503. */
void alv_watch_hub_stop(alv_watch_hub *hub);

/* Stops if that was not done; the server must have stopped. NULL is fine. */
void alv_watch_hub_free(alv_watch_hub *hub);

#endif
