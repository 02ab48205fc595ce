/* checkpointer_internal.h — what the parts of the checkpointer share: checkpointer.c has its life
 * and its loop, _read follows shards and reads them, _write writes.
 *
 * Thread: the checkpointer's, except for the atomics and what `lock` guards.
 */
#ifndef ALV_CHANGELOG_CHECKPOINTER_INTERNAL_H
#define ALV_CHANGELOG_CHECKPOINTER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "changelog/checkpointer.h"
#include "changelog/coalescer.h"

/* See the picture in checkpointer.h. */
typedef enum checkpointer_state {
    CHECKPOINTER_OFF,      /* not followed, nothing held */
    CHECKPOINTER_LOCATING, /* followed; its position is to be asked for; nothing held */
    CHECKPOINTER_READING,  /* assigned to the reader */
    CHECKPOINTER_LEAVING,  /* not followed any more; what was read is to be written */
    CHECKPOINTER_STUCK,    /* followed, but must not be written; nothing held */
} checkpointer_state;

/* How far a catch-up is. */
typedef enum checkpointer_caught_up {
    CHECKPOINTER_CATCHING_UP,
    CHECKPOINTER_CAUGHT_UP,
    CHECKPOINTER_CANNOT, /* PostgreSQL is away */
} checkpointer_caught_up;

typedef struct checkpointer_shard {
    _Atomic uint64_t wanted;  /* generation * 2, + 1 when followed: what lanes ask for */
    _Atomic int64_t position; /* what PostgreSQL has, ALV_OFFSET_NONE while not known */
    uint64_t seen;            /* the last `wanted` that was acted upon */
    checkpointer_state state;
    int64_t read;             /* exclusive end of what was read and is written or held */
    int64_t delivered;        /* where `read` will be when the polled batch has been taken */
    bool first_record;        /* none was read since the position was asked for */
    int64_t look_again_at_ms; /* STUCK */
    int64_t last_end;         /* catching up: of the changelog; ALV_OFFSET_NONE = to be asked for */
} checkpointer_shard;

struct alv_checkpointer {
    alv_checkpointer_options options;
    alv_reader *reader;
    checkpointer_shard *shards;
    alv_view default_type; /* of keys without "/" */

    alv_coalescer *held;
    alv_batch batch; /* polled; items from batch_next on are still to be taken */
    size_t batch_next;
    bool paused;                        /* the reader is */
    int64_t dirty_since_ms;             /* first change that is not written, -1 = all is */
    bool hurry;                         /* write before the interval is over */
    alv_checkpoint_position *positions; /* of the write under way */

    alv_backoff durable_backoff;
    alv_backoff log_backoff;
    bool tried;            /* PostgreSQL, at least once */
    bool given_up;         /* for good: it can never be reached */
    char *durable_trouble; /* what was last said about it, NULL = nothing */
    bool log_trouble;      /* said already */
    int64_t refused_said_at_ms;

    _Atomic uint64_t changes; /* counts follow and unfollow */
    uint64_t changes_seen;
    atomic_bool stopping;
    atomic_bool keeping;     /* unfollow is not heeded any more */
    atomic_bool catching_up; /* somebody waits */
    pthread_mutex_t lock;    /* a leaf, held for a moment; guards the four below */
    pthread_cond_t wakened;
    bool woken;
    pthread_cond_t told; /* `caught_up` is */
    checkpointer_caught_up caught_up;
    bool started;
    pthread_t thread;

    atomic_bool connected;
    _Atomic int64_t rows_written;
    _Atomic int64_t rows_pending;
    _Atomic int64_t rows_refused;
    _Atomic int64_t failures;
    _Atomic int64_t shards_stuck;
};

/* Monotonic, in ms; for durations. */
int64_t alv_checkpointer_now_ms(const alv_checkpointer *checkpointer);

bool alv_checkpointer_is_full(const alv_checkpointer *checkpointer);

/* Changes the state of a shard; nothing else does. */
void alv_checkpointer_set_state(alv_checkpointer *checkpointer, int32_t shard,
                                checkpointer_state state);

/* ---- checkpointer_read.c --------------------------------------------------------------------- */

/* Acts upon follow and unfollow. */
void alv_checkpointer_take_changes(alv_checkpointer *checkpointer);

/* Asks for the position of shards that wait for it. True when some are left that need no
 * waiting. */
bool alv_checkpointer_locate(alv_checkpointer *checkpointer);

/* Whether it would be of use to poll the reader. */
bool alv_checkpointer_wants_poll(const alv_checkpointer *checkpointer);

/* Asks where the changelogs end that are to be caught up with. CHECKPOINTER_CAUGHT_UP when all up to there is
 * written. */
checkpointer_caught_up alv_checkpointer_look_behind(alv_checkpointer *checkpointer);

/* Polls, waiting up to `timeout_ms`. */
void alv_checkpointer_poll(alv_checkpointer *checkpointer, int timeout_ms);

/* Takes records of the last poll until all are held or there is no more room. */
void alv_checkpointer_take_batch(alv_checkpointer *checkpointer);

/* Stops reading a shard and forgets what is held of it. */
void alv_checkpointer_drop(alv_checkpointer *checkpointer, int32_t shard);

/* One of the rows was not stored as it is; said at most every 10 s. */
void alv_checkpointer_say_refused(alv_checkpointer *checkpointer, int32_t shard, int64_t offset,
                                  const char *why);

/* ---- checkpointer_write.c -------------------------------------------------------------------- */

/* When the next write should be tried, INT64_MAX when there is nothing to write. */
int64_t alv_checkpointer_write_due_ms(const alv_checkpointer *checkpointer);

/* One try to write all that is held. */
void alv_checkpointer_write(alv_checkpointer *checkpointer);

/* Notes how a call of the durable store ended: connection state, backoff, log. */
void alv_checkpointer_note_durable(alv_checkpointer *checkpointer, alv_status status,
                                   const alv_error *err);

#endif
