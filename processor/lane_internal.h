/* lane_internal.h — what lane.c (the loop), lane_end.c, lane_timers.c and rebalance.c (which shards, in which
 * state) share.
 *
 * Thread: the lane's, except where a field says otherwise.
 */
#ifndef ALV_PROCESSOR_LANE_INTERNAL_H
#define ALV_PROCESSOR_LANE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "base/inbox.h"
#include "processor/executor.h"
#include "processor/lane.h"
#include "processor/lane_meter.h"
#include "processor/transaction.h"

struct alv_lane {
    alv_lane_options options;
    alv_inbox *inbox; /* lane_message; any thread posts */
    alv_consumer *consumer;
    alv_transaction *transaction;
    alv_executor *executor;
    alv_shard **shards; /* by number; NULL = not ours */
    int32_t starts_due; /* shards with must_start, at most: 0 = do not look */
    bool claims_due;    /* a shard has no `claimed`: try to claim it */
    alv_table_pin pin;  /* global tables, as the open transaction sees them */
    bool tables_due;    /* a shard has `awaits_tables`, maybe */
    alv_inbox *pauses;  /* alv_pause_wish; any thread posts */
    bool pauses_due;    /* a shard has a `pause_wish`, maybe */
    bool shard_failed;  /* a shard has `failed` set: look for it */
    uint64_t last_ticket;
    alv_batch batch;
    size_t batch_max;    /* the capacity of the next one */
    alv_due_list due;    /* scratch */
    alv_backoff mending; /* opening, resolving, starting failed: when to try again */
    int rejoins;         /* consumers that were fenced or broken, since `rejoins_since_ms` */
    int64_t rejoins_since_ms;
    alv_backoff retrying;   /* transactions failed in a row: when to begin the next */
    alv_status poll_status; /* of the last poll: trouble is said when it changes */
    bool drained;           /* the last poll had nothing */
    bool way_wanted;        /* some shards are to give way as soon as no transaction is open */
    bool giving_way;        /* they do, since: */
    int64_t way_since_ms;
    int64_t way_at_ms; /* when it is looked again whether they should */
    int64_t now_ms;    /* read once per turn */
    int64_t passivate_at_ms;
    size_t passivated; /* in the round under way */
    alv_lane_meter meter;
    int64_t publish_at_ms; /* when cache and command ends are shown the next time */
    bool closing;          /* the consumer is being closed: nothing new is restored */

    /* Read or written by other threads. `wake_lock` is a leaf lock around `wakeable`, so that nobody
     * wakes a consumer that is being closed. */
    pthread_mutex_t wake_lock;
    alv_consumer *wakeable;
    atomic_bool joined;
    atomic_bool stay; /* the seat is kept; set before */
    atomic_bool stop;
    bool started;
    pthread_t thread;
};

/* The replicator's answer about one shard. */
typedef struct lane_message {
    int32_t shard;
    uint64_t ticket;
    alv_status status;
    alv_restore restore;
    alv_error error;
} lane_message;

/* Somebody wants a shard to stop, or to go on. */
typedef struct alv_pause_wish {
    int32_t shard;
    bool paused;
    alv_lane_pause_done done;
    void *payload;
} alv_pause_wish;

/* lane_upkeep.c: idle entities leave memory, when it is time to look. */
void alv_lane_passivate(alv_lane *lane);

/* lane_upkeep.c: every second, shows what the cache holds and how far the commands of its shards reach, and lets
 * the producer run its callbacks. */
void alv_lane_publish(alv_lane *lane);

/* lane_way.c: lets shards that are behind give way, and go on; once a turn. */
void alv_lane_way(alv_lane *lane);

/* lane_way.c: whether some should, so that the open transaction is to end now. */
bool alv_lane_way_wanted(alv_lane *lane);

/* lane_pause.c: takes what was wished. */
void alv_lane_pause_take_all(alv_lane *lane);

/* lane_pause.c: records wishes, when no transaction is open. As alv_lane_commit, and ALV_RETRY when a
 * transaction cannot be begun, or is UNCERTAIN now: the lane executes nothing until that is resolved. */
alv_status alv_lane_pause_record(alv_lane *lane, alv_error *err);

/* lane_pause.c: a shard becomes active: is it paused? ALV_RETRY, ALV_REJECT: its store cannot be read. */
alv_status alv_lane_pause_load(alv_lane *lane, alv_shard *shard, alv_error *err);

/* lane_pause.c: the shard leaves the lane; whoever wished is told. */
void alv_lane_pause_forget(alv_shard *shard);

/* lane_tables.c: a shard becomes active: which versions of global tables has it seen? ALV_RETRY: its store
 * cannot be read; ALV_REJECT: what it has is not ours. */
alv_status alv_lane_tables_load(const alv_lane *lane, alv_shard *shard, alv_error *err);

/* lane_tables.c: whether this node's copies have all that the shard has seen (I12); else `why` says what is
 * missing. */
bool alv_lane_tables_cover(const alv_lane *lane, const alv_shard *shard, alv_error *why);

/* rebalance.c: shards that wait for copies of global tables go on when they have come. */
void alv_rebalance_tables_due(alv_lane *lane);

/* rebalance.c: the listener for the consumer; payload is the lane. */
void alv_rebalance_assigned(void *payload, const int32_t *shards, size_t count);
void alv_rebalance_revoked(void *payload, const int32_t *shards, size_t count, bool lost);

/* rebalance.c: claims and restores shards that another lane of this node still had. */
void alv_rebalance_claim_due(alv_lane *lane);

/* rebalance.c: the replicator has answered. Takes no ownership of the message. */
void alv_rebalance_restored(alv_lane *lane, const lane_message *message);

/* rebalance.c: shards whose store failed are restored again; nothing of them may be in a transaction. */
void alv_rebalance_restart_failed(alv_lane *lane);

/* lane_timers.c: what was polled says which shards have a backlog. */
void alv_lane_timers_see_batch(alv_lane *lane);

/* lane_timers.c: executes timers that are due, in the open transaction or a new one. After anything but ALV_OK
 * the transaction must be rolled back. */
alv_status alv_lane_fire_timers(alv_lane *lane, alv_error *err);

/* lane_timers.c: when there is one to fire, ALV_DUE_NEVER when none is known. */
int64_t alv_lane_next_timer(const alv_lane *lane);

/* lane_end.c: commits what is open and deals with every outcome. Afterwards the transaction is IDLE or
 * UNCERTAIN. ALV_FATAL only. */
alv_status alv_lane_commit(alv_lane *lane, alv_error *err);

/* lane_end.c: one attempt to resolve an uncertain transaction; ALV_RETRY when it still is. */
alv_status alv_lane_resolve(alv_lane *lane, alv_error *err);

/* lane_end.c: everything touched is undone and will be delivered again. */
void alv_lane_rollback(alv_lane *lane);

/* lane_end.c: what follows from how a transaction ended. One that failed is tried again, at once the first time.
 * ALV_FATAL only. */
alv_status alv_lane_react(alv_lane *lane, alv_status status, const alv_error *error);

/* lane_end.c: hands an error on to a caller who decides by its status alone. */
alv_status alv_lane_fail(alv_error *err, alv_status status, const alv_error *why);

/* lane_end.c: for the transaction, see alv_transaction_options. */
void alv_lane_finished(void *payload, const alv_shard *shard, int64_t commands);

#endif
