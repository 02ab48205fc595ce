/* sim_log_consumer.c — a lane that reads commands: assignments come when the test says so. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/support/sim_log_internal.h"

typedef struct sim_consumer {
    alv_consumer base;
    alv_sim_log *log;
    int lane;
    alv_rebalance_listener listener;
    bool *assigned;
    int64_t *next; /* by shard; ALV_OFFSET_NONE = silent */
} sim_consumer;

static void sim_consumer_serve(sim_consumer *consumer)
{
    alv_sim_log *log = consumer->log;
    for (size_t i = 0; i < log->event_count; i++) {
        sim_event event = log->events[i];
        if (event.lane != consumer->lane) {
            continue;
        }
        memmove(&log->events[i], &log->events[i + 1],
                (log->event_count - i - 1) * sizeof(sim_event));
        log->event_count--;
        i--;
        if (event.assign) {
            consumer->assigned[event.shard] = true;
            consumer->next[event.shard] = ALV_OFFSET_NONE;
            consumer->listener.assigned(consumer->listener.payload, &event.shard, 1);
        } else {
            consumer->listener.revoked(consumer->listener.payload, &event.shard, 1, event.lost);
            consumer->assigned[event.shard] = false;
        }
    }
}

static void sim_consumer_lose_all(sim_consumer *consumer)
{
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        if (consumer->assigned[shard]) {
            consumer->listener.revoked(consumer->listener.payload, &shard, 1, true);
            consumer->assigned[shard] = false;
        }
    }
}

static alv_status sim_consumer_poll(alv_consumer *base, int timeout_ms, alv_batch *out,
                                    alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)timeout_ms;
    sim_consumer_serve(consumer);
    out->count = 0;
    if (alv_sim_takes_fault(consumer->log, ALV_SIM_CONSUMER_FENCED)) {
        sim_consumer_lose_all(consumer);
        return alv_fail(err, ALV_FENCED, "another has the seat");
    }
    if (alv_sim_takes_fault(consumer->log, ALV_SIM_CONSUMER_BROKEN)) {
        sim_consumer_lose_all(consumer);
        return alv_fail(err, ALV_FATAL, "the consumer is broken for good");
    }
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        if (consumer->assigned[shard] && consumer->next[shard] != ALV_OFFSET_NONE) {
            alv_sim_deliver(consumer->log, ALV_TOPIC_COMMANDS, shard, &consumer->next[shard], out);
        }
    }
    return ALV_OK;
}

static void sim_consumer_wake(alv_consumer *base)
{
    (void)base;
}

static alv_status sim_consumer_start(alv_consumer *base, int32_t shard, int64_t offset,
                                     alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    ALV_ASSERT(consumer->assigned[shard]);
    consumer->next[shard] = offset;
    return ALV_OK;
}

static alv_status sim_consumer_pause(alv_consumer *base, int32_t shard, alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    consumer->next[shard] = ALV_OFFSET_NONE;
    return ALV_OK;
}

static alv_status sim_consumer_committed(alv_consumer *base, alv_shard_offset *items, size_t count,
                                         alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        items[i].offset = consumer->log->committed[items[i].shard];
    }
    return ALV_OK;
}

static int64_t sim_consumer_end(const alv_consumer *base, int32_t shard)
{
    const sim_consumer *consumer = (const sim_consumer *)base;
    return alv_sim_log_end(consumer->log, ALV_TOPIC_COMMANDS, shard);
}

static alv_status sim_consumer_range(alv_consumer *base, int32_t shard, int64_t *out_start,
                                     int64_t *out_end, alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)err;
    *out_start = 0;
    *out_end = alv_sim_log_end(consumer->log, ALV_TOPIC_COMMANDS, shard);
    return ALV_OK;
}

static void sim_consumer_close(alv_consumer *base, bool stay)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)stay;
    sim_consumer_serve(consumer);
    for (int32_t shard = 0; shard < consumer->log->shard_count; shard++) {
        if (consumer->assigned[shard]) {
            consumer->listener.revoked(consumer->listener.payload, &shard, 1, false);
        }
    }
    alv_free(consumer->assigned);
    alv_free(consumer->next);
    alv_free(consumer);
}

static const alv_consumer_ops sim_consumer_ops = {
    .poll = sim_consumer_poll,
    .wake = sim_consumer_wake,
    .start = sim_consumer_start,
    .pause = sim_consumer_pause,
    .committed = sim_consumer_committed,
    .range = sim_consumer_range,
    .end = sim_consumer_end,
    .close = sim_consumer_close,
};

alv_status alv_sim_open_consumer(alv_log_port *port, int lane,
                                 const alv_rebalance_listener *listener, alv_consumer **out,
                                 alv_error *err)
{
    alv_sim_log *log = (alv_sim_log *)port;
    (void)err;
    ALV_ASSERT(lane < SIM_LANES_MAX);
    sim_consumer *consumer = alv_alloc(sizeof *consumer);
    size_t shard_count = (size_t)log->shard_count;
    consumer->base.ops = &sim_consumer_ops;
    consumer->log = log;
    consumer->lane = lane;
    consumer->listener = *listener;
    consumer->assigned = alv_alloc_array(shard_count, sizeof *consumer->assigned);
    consumer->next = alv_alloc_array(shard_count, sizeof *consumer->next);
    *out = &consumer->base;
    return ALV_OK;
}
