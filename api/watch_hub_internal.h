/* watch_hub_internal.h — what the files of the watch hub share.
 *
 * Why:    watch_hub.c has the thread and the watchers, watch_hub_join.c brings new ones to their
 *         place, watch_hub_feed.c reads and tells.
 * Thread: the hub's, but for what is marked.
 * Owns:   see watch_hub.h.
 */
#ifndef ALV_API_WATCH_HUB_INTERNAL_H
#define ALV_API_WATCH_HUB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/http_stream.h"
#include "api/watch_hub.h"
#include "base/inbox.h"

/* A watcher's place in one shard while it is behind. */
typedef struct watch_place {
    int64_t next;  /* nothing below is told any more */
    bool catching; /* fed by the past reader: what is below `next` or that one's place was told */
} watch_place;

typedef struct alv_watcher {
    alv_watch_member member; /* first: the index knows this */
    alv_watch_kind kind;
    alv_bytes text;
    int32_t shard;    /* of the key; -1 = all of them */
    int64_t *wanted;  /* while it joins: offsets of its id; NULL = it has none */
    int64_t as_of_ms; /* while it joins or is behind: the time of its id */
    int64_t join_until_ms;
    alv_exchange *exchange; /* while it joins */
    alv_http_stream *stream;
    watch_place *places; /* NULL = in step */
    int64_t told_at_ms;
    int64_t stuck_since_ms; /* too much waits for it since; 0 = it does not */
    bool gone;              /* to be removed */
    struct alv_watcher *next;
} alv_watcher;

typedef struct watch_feed {
    alv_reader *reader; /* NULL = closed */
    alv_batch batch;
    size_t told; /* records of the batch */
} watch_feed;

typedef struct watch_shard {
    int32_t watchers;
    bool live; /* the live reader has it */
    int64_t
        last; /* one past the last record it gave, or where it began: no record from there to `ends` */
    bool past;          /* the past reader has it, or is about to */
    int64_t past_place; /* what is below was told to who catches up here */
    bool past_moved;    /* past_place was set back: to be assigned there */
} watch_shard;

struct alv_watch_hub {
    alv_watch_hub_options options;
    _Atomic(alv_log_port *) log; /* NULL = not open */
    uint32_t changelog;          /* written before `log` */
    pthread_t thread;
    bool started;        /* and not yet joined; main only */
    alv_inbox *inbox;    /* alv_watcher: to join */
    atomic_int count;    /* watchers, those that join included */
    atomic_size_t bytes; /* of all blocks */
    atomic_llong changes;
    atomic_llong events;
    atomic_llong cut_off;
    atomic_llong resets;

    /* The hub thread's own. */
    int64_t now_ms;  /* monotonic */
    int64_t wall_ms; /* since the epoch */
    watch_feed live;
    watch_feed past;
    watch_shard *shards;
    int64_t *ends;      /* by shard: the live reader's place; what is below was told */
    int32_t past_count; /* shards that the past reader has */
    alv_watch_index *index;
    alv_watcher *watchers; /* all that have joined */
    alv_watcher *joining;
    int64_t join_again_ms;
    int32_t behind; /* watchers with places */
    bool any_gone;
    int64_t swept_at_ms;
    int64_t idle_since_ms;
    int64_t *scratch; /* offsets of one id */
    alv_bytes data;
    alv_bytes text;
};

/* ---- watch_hub.c ----------------------------------------------------------------------------- */

/* Whether the watcher watches this shard. */
static inline bool alv_watcher_has(const alv_watcher *watcher, int32_t shard)
{
    return watcher->shard < 0 || watcher->shard == shard;
}

static inline watch_place *alv_watcher_place(const alv_watcher *watcher, int32_t shard)
{
    return &watcher->places[watcher->shard < 0 ? shard : 0];
}

/* Appends "id: ...\n" with the watcher's place, or the place of all who watch as it does and are in
 * step. */
void alv_watch_hub_append_id(alv_watch_hub *hub, const alv_watcher *watcher, alv_bytes *out);

/* Sends it a block, and another one behind it unless that is NULL; a watcher that takes no more is to be
 * removed. */
void alv_watch_hub_tell(alv_watch_hub *hub, alv_watcher *watcher, alv_http_block *block,
                        alv_http_block *next);

/* It reads too slowly: its connection ends, and it is to be removed. */
void alv_watch_hub_cut(alv_watch_hub *hub, alv_watcher *watcher);

/* A block of this text that counts against the limit of all. */
alv_http_block *alv_watch_hub_block(alv_watch_hub *hub, const alv_bytes *text);

/* Tells the watcher that it may have missed something, and that it is in step in this shard from now
 * on; its next id says where. */
void alv_watch_hub_reset(alv_watch_hub *hub, alv_watcher *watcher, int32_t shard,
                         const char *reason);

/* Answers a watcher that has not joined with 503 and frees it. */
void alv_watch_hub_refuse(alv_watch_hub *hub, alv_watcher *watcher, const char *why);

/* ---- watch_hub_join.c ------------------------------------------------------------------------ */

/* Brings those that wait to their places, if Kafka says where the shards end. */
void alv_watch_hub_join(alv_watch_hub *hub);

/* ---- watch_hub_feed.c ------------------------------------------------------------------------ */

/* Reads what is there and tells it; waits up to `timeout_ms` when there is nothing. */
void alv_watch_hub_feed(alv_watch_hub *hub, int timeout_ms);

/* The past reader has nobody to serve in this shard. */
void alv_watch_hub_end_past(alv_watch_hub *hub, int32_t shard);

/* Opens the reader if it is not. ALV_FATAL. */
alv_status alv_watch_feed_open(alv_watch_hub *hub, watch_feed *feed, const char *name,
                               size_t records_max, alv_error *err);
void alv_watch_feed_close(watch_feed *feed);

#endif
