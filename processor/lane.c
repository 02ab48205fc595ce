#include "processor/lane.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/logger.h"
#include "processor/lane_internal.h"

/* Commands between two looks at the clock while a batch is executed. */
#define LANE_CLOCK_EVERY 64

/* So many times a lane gets a new consumer within so long before it gives up. */
#define LANE_REJOINS_MAX 5
#define LANE_REJOINS_WITHIN_MS 60000

/* Wishes to pause or resume that may wait for the lane. */
#define LANE_PAUSES_MAX 256

/* ---- 2. inbox, 3. mend, 4. start ------------------------------------------------------------------ */

static void lane_read_inbox(alv_lane *lane)
{
    lane_message *message = NULL;
    while ((message = alv_inbox_take(lane->inbox)) != NULL) {
        alv_rebalance_restored(lane, message);
        alv_free(message);
    }
}

static void lane_set_wakeable(alv_lane *lane, alv_consumer *consumer)
{
    pthread_mutex_lock(&lane->wake_lock);
    lane->wakeable = consumer;
    pthread_mutex_unlock(&lane->wake_lock);
}

static void lane_close_consumer(alv_lane *lane, bool stay)
{
    if (lane->consumer == NULL) {
        return;
    }
    lane_set_wakeable(lane, NULL);
    lane->consumer->ops->close(lane->consumer, stay);
    lane->consumer = NULL;
}

static void lane_wake(void *payload)
{
    alv_lane *lane = payload;
    pthread_mutex_lock(&lane->wake_lock);
    if (lane->wakeable != NULL) {
        lane->wakeable->ops->wake(lane->wakeable);
    }
    pthread_mutex_unlock(&lane->wake_lock);
}

/* The producer first: fencing what a former life of this lane left open comes before joining. */
static alv_status lane_open(alv_lane *lane, alv_error *err)
{
    alv_log_port *log = lane->options.log;
    if (alv_transaction_producer(lane->transaction) == NULL) {
        alv_producer *producer = NULL;
        alv_status status = log->ops->open_producer(log, lane->options.number, &producer, err);
        if (status != ALV_OK) {
            return status;
        }
        alv_transaction_set_producer(lane->transaction, producer);
    }
    if (lane->consumer == NULL) {
        const alv_rebalance_listener listener = {
            .assigned = alv_rebalance_assigned, .revoked = alv_rebalance_revoked, .payload = lane};
        alv_status status =
            log->ops->open_consumer(log, lane->options.number, &listener, &lane->consumer, err);
        if (status != ALV_OK) {
            return status;
        }
        lane_set_wakeable(lane, lane->consumer);
    }
    return ALV_OK;
}

/* 4. A start that fails now is tried again in a later turn; until then the shard is silent. */
static alv_status lane_start_shards(alv_lane *lane, alv_error *err)
{
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (shard == NULL || !alv_shard_may_start(shard)) {
            continue;
        }
        ALV_ASSERT(!shard->touched && shard->next_offset == shard->committed_offset);
        alv_status status =
            lane->consumer->ops->start(lane->consumer, number, shard->next_offset, err);
        if (status != ALV_OK) {
            return status;
        }
        shard->must_start = false;
    }
    lane->starts_due = 0;
    return ALV_OK;
}

/* Steps 3 and 4: ALV_OK when the lane can poll and execute. */
static alv_status lane_mend(alv_lane *lane, alv_error *err)
{
    alv_status status = lane_open(lane, err);
    if (status == ALV_OK &&
        alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_UNCERTAIN) {
        status = alv_lane_resolve(lane, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    alv_rebalance_claim_due(lane);
    alv_rebalance_tables_due(lane);
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_IDLE) {
        alv_rebalance_restart_failed(lane);
    }
    status = alv_lane_pause_record(lane, err);
    if (status != ALV_OK) {
        return status;
    }
    return lane->starts_due > 0 ? lane_start_shards(lane, err) : ALV_OK;
}

/* ---- 6. execute ------------------------------------------------------------------------------------ */

/* The shard of a record, if the record is to be executed now. */
static alv_shard *lane_shard_of(const alv_lane *lane, const alv_record *record)
{
    ALV_ASSERT(record->shard >= 0 && record->shard < lane->options.shard_count);
    alv_shard *shard = lane->shards[record->shard];
    if (shard == NULL || !shard->active || shard->must_start || shard->failed) {
        return NULL; /* revoked, or rewound: it will be delivered again */
    }
    return record->offset >= shard->next_offset ? shard : NULL;
}

/* Records from `begin` on are not executed now: the consumer is to deliver them again. */
static void lane_return_records(alv_lane *lane, size_t begin)
{
    for (size_t i = begin; i < lane->batch.count; i++) {
        alv_shard *shard = lane_shard_of(lane, &lane->batch.records[i]);
        if (shard != NULL) {
            alv_timers_resume(&shard->timers); /* what was seen of it is still to come */
            shard->must_start = true;
            lane->starts_due++;
        }
    }
}

static bool lane_is_full(const alv_lane *lane, size_t index)
{
    const alv_settings *settings = lane->options.settings;
    size_t commands = alv_transaction_commands(lane->transaction);
    if ((int64_t)commands >= settings->commit_commands_max ||
        alv_executor_replies(lane->executor)->bytes.size > ALV_REPLY_BOX_BYTES_MAX) {
        return true;
    }
    return index % LANE_CLOCK_EVERY == 0 && commands > 0 &&
           alv_transaction_age_us(lane->transaction) >= settings->commit_interval_max_ms * 1000;
}

/* Runs one record in the open transaction, opening it if need be. */
static alv_status lane_execute(alv_lane *lane, alv_shard *shard, const alv_record *record,
                               alv_error *err)
{
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_IDLE) {
        alv_status status = alv_transaction_begin(lane->transaction, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    alv_transaction_touch(lane->transaction, shard);
    alv_status status =
        alv_executor_run(lane->executor, shard, alv_transaction_producer(lane->transaction), record,
                         lane->now_ms, err);
    if (status == ALV_OK) {
        alv_shard_consumed(shard, record->offset);
        alv_lane_meter_note(&lane->meter, record->timestamp_ms);
        alv_timers_pass(&shard->timers, record->timestamp_ms);
    }
    return status;
}

/* A record could not be executed: nothing of the transaction counts. */
static alv_status lane_give_up(alv_lane *lane, size_t index, alv_status status,
                               const alv_error *error)
{
    alv_lane_rollback(lane);
    lane_return_records(lane, index);
    return alv_lane_react(lane, status, error);
}

static int64_t lane_took_ms(const alv_lane *lane, int64_t began_us)
{
    return (alv_monotonic_us(lane->options.clock) - began_us) / 1000;
}

/* In the middle of a batch. Its time does not count as that of the batch. */
static alv_status lane_commit_within(alv_lane *lane, int64_t *began_us, alv_error *err)
{
    int64_t commit_us = alv_monotonic_us(lane->options.clock);
    alv_status status = alv_lane_commit(lane, err);
    *began_us += alv_monotonic_us(lane->options.clock) - commit_us;
    return status;
}

/* Ends early, with nothing in a transaction, when it takes too long; what is left is delivered again. Moves
 * *began_us on by what commits took. */
static alv_status lane_execute_batch(alv_lane *lane, int64_t *began_us, alv_error *err)
{
    for (size_t i = 0; i < lane->batch.count; i++) {
        const alv_record *record = &lane->batch.records[i];
        alv_shard *shard = lane_shard_of(lane, record);
        if (shard == NULL) {
            continue;
        }
        alv_error why = ALV_ERROR_NONE;
        alv_status status = lane_execute(lane, shard, record, &why);
        if (status != ALV_OK) {
            status = lane_give_up(lane, i, status, &why);
            return alv_lane_fail(err, status, &why);
        }
        if (!lane_is_full(lane, i)) {
            continue;
        }
        status = lane_commit_within(lane, began_us, err);
        if (status != ALV_OK) {
            return status;
        }
        if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_UNCERTAIN ||
            lane_took_ms(lane, *began_us) > ALV_LANE_TURN_MS) {
            lane_return_records(lane, i + 1);
            return ALV_OK;
        }
    }
    return ALV_OK;
}

/* Executes the batch, and takes fewer or more the next time. */
static alv_status lane_execute_some(alv_lane *lane, alv_error *err)
{
    int64_t began_us = alv_monotonic_us(lane->options.clock);
    alv_status status = lane_execute_batch(lane, &began_us, err);
    int64_t took_ms = lane_took_ms(lane, began_us);
    if (took_ms > ALV_LANE_TURN_MS && lane->batch_max > ALV_POLL_RECORDS_MIN) {
        lane->batch_max /= 2;
    } else if (took_ms < ALV_LANE_TURN_MS / 4 && lane->batch_max < ALV_POLL_RECORDS_MAX) {
        lane->batch_max *= 2;
    }
    return status;
}

/* ---- 7. timers, 8. commit ------------------------------------------------------------------------------ */

static alv_status lane_fire_timers(alv_lane *lane, alv_error *err)
{
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_UNCERTAIN) {
        return ALV_OK;
    }
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_lane_fire_timers(lane, &why);
    if (status != ALV_OK) {
        status = lane_give_up(lane, lane->batch.count, status, &why);
        return alv_lane_fail(err, status, &why);
    }
    return ALV_OK;
}

/* How long the open transaction waits for more commands yet, in ms. */
static int lane_lingers_ms(const alv_lane *lane)
{
    int64_t least_us = lane->options.settings->commit_interval_min_ms * 1000;
    int64_t left_us = least_us == 0 ? 0 : least_us - alv_transaction_age_us(lane->transaction);
    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

/* A lane that waits (`able` false) commits what it has. Its batch says nothing then: shards that were rewound
 * deliver until they are started again, and what they deliver is dropped. */
static alv_status lane_commit_if_due(alv_lane *lane, bool able, alv_error *err)
{
    if (alv_transaction_state_get(lane->transaction) != ALV_TRANSACTION_OPEN) {
        return ALV_OK;
    }
    bool drained = !able || (lane->batch.count == 0 && lane_lingers_ms(lane) == 0);
    if (drained || lane_is_full(lane, 0) || alv_lane_way_wanted(lane)) {
        return alv_lane_commit(lane, err);
    }
    return ALV_OK;
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

/* Steps 3 and 4; *out_able says whether commands can be executed in this turn. What is away is said
 * once, and tried again after a while. */
static alv_status lane_try_mend(alv_lane *lane, bool *out_able, alv_error *err)
{
    *out_able = false;
    if (!alv_backoff_due(&lane->mending, lane->now_ms) ||
        !alv_backoff_due(&lane->retrying, lane->now_ms)) {
        return ALV_OK;
    }
    alv_error why = ALV_ERROR_NONE;
    alv_status status = lane_mend(lane, &why);
    if (status == ALV_FATAL || status == ALV_FENCED) {
        return alv_lane_fail(err, ALV_FATAL, &why);
    }
    if (status != ALV_OK) {
        alv_log_error(lane->mending.failures == 0 ? ALV_LOG_WARN : ALV_LOG_DEBUG, "lane-waits",
                      &why, "failures=%u", lane->mending.failures);
        alv_backoff_failed(&lane->mending, lane->now_ms);
        return ALV_OK;
    }
    alv_backoff_succeeded(&lane->mending);
    *out_able = true;
    return ALV_OK;
}

/* While the lane cannot execute it goes on polling, since rebalances are served there, but its shards
 * are silent. They start again from next_offset, whatever that is by then. */
static void lane_silence(alv_lane *lane)
{
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        alv_shard *shard = lane->shards[number];
        if (shard != NULL && shard->active && !shard->must_start) {
            (void)lane->consumer->ops->pause(lane->consumer, number,
                                             NULL); /* else: dropped later */
            shard->must_start = true;
            lane->starts_due++;
        }
    }
}

/* How long poll may wait: not longer than an open transaction does, because an empty poll commits it, and not
 * beyond the next timer. */
static int lane_poll_timeout(const alv_lane *lane, int timeout_ms)
{
    if (alv_transaction_state_get(lane->transaction) == ALV_TRANSACTION_OPEN) {
        int lingers_ms = lane_lingers_ms(lane);
        timeout_ms = lingers_ms < timeout_ms ? lingers_ms : timeout_ms;
    }
    if (timeout_ms == 0) {
        return 0;
    }
    int64_t next_ms = alv_lane_next_timer(lane);
    if (next_ms <= lane->now_ms) {
        return 0;
    }
    if (lane->giving_way && timeout_ms > ALV_LANE_WAY_LEAST_MS / 4) {
        timeout_ms = ALV_LANE_WAY_LEAST_MS / 4;
    }
    return next_ms - lane->now_ms < timeout_ms ? (int)(next_ms - lane->now_ms) : timeout_ms;
}

/* The consumer is of no use any more: its seat was taken, or its session ended while the brokers were
 * away. The listener has heard that all shards are lost, so a new consumer joins as if the lane had just
 * started. When that happens again and again, two processes are fighting for the seat. */
static alv_status lane_rejoin(alv_lane *lane, alv_status status, const alv_error *why,
                              alv_error *err)
{
    lane_close_consumer(lane, true);
    alv_counter_add(&lane->options.meter->rejoins, 1);
    if (lane->now_ms - lane->rejoins_since_ms > LANE_REJOINS_WITHIN_MS) {
        lane->rejoins_since_ms = lane->now_ms;
        lane->rejoins = 0;
    }
    if (++lane->rejoins <= LANE_REJOINS_MAX) {
        alv_log_error(ALV_LOG_WARN, "rejoining", why, "reason=%s times=%d", alv_status_name(status),
                      lane->rejoins);
        return ALV_OK;
    }
    if (status == ALV_FENCED) {
        return alv_fail(err, ALV_FATAL,
                        "another process is a member of the group as node.id=%s: every node needs "
                        "a node.id of its own (%s)",
                        lane->options.settings->node_id, why->text);
    }
    return alv_lane_fail(err, ALV_FATAL, why);
}

static alv_status lane_poll(alv_lane *lane, int timeout_ms, alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    alv_status status = lane->consumer->ops->poll(
        lane->consumer, lane_poll_timeout(lane, timeout_ms), &lane->batch, &why);
    lane->drained = lane->batch.count == 0;
    alv_status before = lane->poll_status;
    lane->poll_status = status;
    switch (status) {
    case ALV_OK:
        return ALV_OK;
    case ALV_FENCED:
    case ALV_FATAL:
        return lane_rejoin(lane, status, &why, err);
    case ALV_RETRY:
    case ALV_REJECT:
    case ALV_ABORT:
        break;
    }
    alv_log_error(before == status ? ALV_LOG_DEBUG : ALV_LOG_WARN, "poll-failed", &why,
                  "reaction=%s", alv_status_name(status));
    return ALV_OK;
}

alv_status alv_lane_turn(alv_lane *lane, int timeout_ms, alv_error *err)
{
    bool able = false;
    lane->now_ms = alv_now_ms(lane->options.clock);
    alv_directory_lane_turned(lane->options.directory, lane->options.number,
                              alv_monotonic_us(lane->options.clock));
    lane_read_inbox(lane);
    alv_lane_pause_take_all(lane);
    alv_status status = lane_try_mend(lane, &able, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_lane_publish(lane);
    if (lane->consumer == NULL) {
        (void)alv_inbox_wait(lane->inbox, timeout_ms);
        return ALV_OK;
    }
    if (able) {
        alv_lane_way(lane);
    } else {
        lane_silence(lane);
    }
    status = lane_poll(lane, timeout_ms, err);
    if (status == ALV_OK) {
        alv_lane_timers_see_batch(lane);
        status = lane_execute_some(lane, err);
    }
    if (status == ALV_OK && able) {
        status = lane_fire_timers(lane, err);
    }
    if (status == ALV_OK) {
        status = lane_commit_if_due(lane, able, err);
    }
    alv_batch_clear(&lane->batch);
    lane->batch.capacity = lane->batch_max;
    alv_lane_passivate(lane);
    return status;
}

/* Drains and leaves: the listener is called from close and finishes the open transaction. Shards that
 * close could not hand back (brokers away) are dropped as lost. */
static void lane_leave(alv_lane *lane)
{
    lane->closing = true;
    alv_inbox_close(lane->pauses);
    alv_lane_pause_take_all(lane);
    lane_close_consumer(lane, atomic_load(&lane->stay));
    for (int32_t number = 0; number < lane->options.shard_count; number++) {
        if (lane->shards[number] != NULL) {
            alv_rebalance_revoked(lane, &number, 1, true);
        }
    }
}

static void *lane_main(void *argument)
{
    alv_lane *lane = argument;
    alv_error err = ALV_ERROR_NONE;
    char name[16];
    (void)snprintf(name, sizeof name, "lane-%" PRId32, lane->options.number);
    alv_log_set_thread(name);
    if (lane->options.crash_mark != NULL) {
        alv_crash_mark_enter(lane->options.crash_mark, lane->options.number);
    }
    alv_status status = ALV_OK;
    while (status == ALV_OK && !atomic_load(&lane->stop)) {
        status = alv_lane_turn(lane, ALV_LANE_IDLE_POLL_MS, &err);
    }
    lane_leave(lane);
    alv_crash_mark_leave();
    lane->options.ended(lane->options.payload, status == ALV_OK ? NULL : &err);
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void lane_free_message(void *message)
{
    alv_free(message);
}

alv_lane *alv_lane_new(const alv_lane_options *options)
{
    ALV_ASSERT(options->number >= 0 && options->shard_count > 0);
    alv_lane *lane = alv_alloc(sizeof *lane);
    lane->options = *options;
    lane->inbox = alv_inbox_new(ALV_INBOX_MESSAGES_MAX, lane_free_message);
    alv_inbox_set_wake(lane->inbox, lane_wake, lane);
    lane->pauses = alv_inbox_new(LANE_PAUSES_MAX, NULL);
    alv_inbox_set_wake(lane->pauses, lane_wake, lane);
    lane->shards = alv_alloc_array((size_t)options->shard_count, sizeof(alv_shard *));
    alv_batch_init(&lane->batch, ALV_POLL_RECORDS_MAX);
    lane->batch_max = ALV_POLL_RECORDS_MAX;
    alv_backoff_init(&lane->mending, (uint64_t)options->number + 1);
    alv_backoff_init(&lane->retrying, (uint64_t)options->number + 2);
    pthread_mutex_init(&lane->wake_lock, NULL);
    lane->pin.tables = options->tables;
    alv_lane_meter_init(&lane->meter, options->meter, options->number);
    const alv_executor_options executor = {.settings = options->settings,
                                           .registry = options->registry,
                                           .log = options->log,
                                           .store = options->store,
                                           .crash_mark = options->crash_mark,
                                           .pin = options->tables != NULL ? &lane->pin : NULL,
                                           .lane = options->number,
                                           .shard_count = options->shard_count};
    lane->executor = alv_executor_new(&executor);
    char *owner = alv_format("%s-%" PRId32, options->settings->node_id, options->number);
    const alv_transaction_options transaction = {.store = options->store,
                                                 .cache = alv_executor_cache(lane->executor),
                                                 .clock = options->clock,
                                                 .meter = options->meter,
                                                 .shard_count = options->shard_count,
                                                 .owner = owner,
                                                 .pin = executor.pin,
                                                 .finished = alv_lane_finished,
                                                 .payload = lane};
    lane->transaction = alv_transaction_new(&transaction);
    alv_free(owner);
    return lane;
}

void alv_lane_start(alv_lane *lane)
{
    ALV_ASSERT(!lane->started);
    int failed = pthread_create(&lane->thread, NULL, lane_main, lane);
    ALV_ASSERT(failed == 0);
    lane->started = true;
}

bool alv_lane_has_joined(const alv_lane *lane)
{
    return atomic_load(&lane->joined);
}

void alv_lane_request_stop(alv_lane *lane, bool stay)
{
    atomic_store(&lane->stay, stay);
    atomic_store(&lane->stop, true);
    lane_wake(lane);
}

/* The handler of crash_mark.c runs on that thread and notes its command. */
void alv_lane_crash(alv_lane *lane)
{
    ALV_ASSERT(lane->started);
    int failed = pthread_kill(lane->thread, SIGABRT);
    ALV_ASSERT(failed == 0);
}

void alv_lane_free(alv_lane *lane)
{
    if (lane == NULL) {
        return;
    }
    if (lane->started) {
        pthread_join(lane->thread, NULL);
    }
    lane_leave(lane);
    alv_inbox_close(lane->inbox);
    alv_transaction_free(lane->transaction);
    alv_batch_done(&lane->batch);
    alv_lane_meter_done(&lane->meter);
    alv_bytes_done(&lane->due.keys);
    alv_executor_free(lane->executor);
    alv_inbox_free(lane->inbox);
    alv_inbox_free(lane->pauses);
    pthread_mutex_destroy(&lane->wake_lock);
    alv_free(lane->shards);
    alv_free(lane);
}
