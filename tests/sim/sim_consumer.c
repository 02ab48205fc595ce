/* sim_consumer.c — a member of the group; see sim_client.h.
 *
 * The beat is librdkafka's thread: it joins, hears of rebalances, and leaves word of what the application must
 * be told. The poll tells it. Nothing is joined again before the application has heard.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_client_internal.h"
#include "tests/sim/sim_trace.h"

/* ---- the beat -------------------------------------------------------------------------------- */

static void consumer_lose(sim_consumer *consumer, const char *why)
{
    sim_trace("n%d/%d: %s: all is lost (m%" PRId64 ", had %02x)", consumer->client->options.node,
              consumer->lane, why, consumer->member_id, (unsigned)consumer->assigned);
    consumer->is_lost = true;
    consumer->phase = SIM_PHASE_OUT;
}

static void consumer_join(sim_consumer *consumer, int64_t id)
{
    sim_broker *broker = consumer->client->options.broker;
    consumer->must_rejoin = false;
    consumer->phase = SIM_PHASE_JOINING;
    consumer->heard_ms = broker->now_ms;
    consumer->member_id =
        sim_group_join(&broker->group, broker->now_ms, consumer->client->options.node,
                       consumer->lane, id, id == 0 ? 0 : consumer->assigned);
    sim_group_advertise(&broker->group, consumer->member_id,
                        broker->ports[consumer->client->options.node]);
    if (consumer->member_id == 0) {
        consumer_lose(consumer, "it joins as a member that nobody knows");
    }
}

static void consumer_sync(sim_consumer *consumer)
{
    sim_group *group = &consumer->client->options.broker->group;
    sim_shards target = 0;
    if (!sim_group_sync(group, consumer->member_id, &consumer->generation, &target)) {
        return;
    }
    consumer->to_revoke = consumer->assigned & ~target;
    consumer->to_assign = target & ~consumer->assigned;
    consumer->phase = SIM_PHASE_STEADY;
}

static bool consumer_has_news(const sim_consumer *consumer)
{
    return consumer->is_serving || consumer->is_lost || consumer->is_fenced ||
           consumer->to_revoke != 0 || consumer->to_assign != 0;
}

static void consumer_hear(sim_consumer *consumer)
{
    sim_broker *broker = consumer->client->options.broker;
    sim_beat answer = sim_group_beat(&broker->group, broker->now_ms, consumer->client->options.node,
                                     consumer->lane, consumer->member_id);
    if (answer == SIM_BEAT_FENCED) {
        consumer_lose(consumer, "its seat is taken");
        consumer->is_fenced = true;
        return;
    }
    if (answer == SIM_BEAT_UNKNOWN) {
        consumer_lose(consumer, "its session has ended");
        return;
    }
    consumer->heard_ms = broker->now_ms;
    if (consumer->phase == SIM_PHASE_JOINING && answer == SIM_BEAT_OK) {
        consumer_sync(consumer);
    } else if ((answer == SIM_BEAT_REBALANCE || consumer->must_rejoin) &&
               !consumer_has_news(consumer)) {
        consumer_join(consumer, consumer->member_id);
    }
}

void sim_consumer_beat(sim_consumer *consumer, bool is_cut)
{
    const sim_broker *broker = consumer->client->options.broker;
    if (!consumer->was_polled || consumer->is_lost || consumer->is_fenced) {
        return;
    }
    if (is_cut) {
        if (consumer->phase != SIM_PHASE_OUT &&
            broker->now_ms - consumer->heard_ms > broker->group.session_ms) {
            consumer_lose(consumer, "no answer for a whole session");
        }
    } else if (consumer->phase != SIM_PHASE_OUT) {
        consumer_hear(consumer);
    } else if (!consumer_has_news(consumer)) {
        consumer_join(consumer, 0);
    }
}

/* ---- what the application hears -------------------------------------------------------------- */

static size_t consumer_list(sim_shards shards, int32_t *out)
{
    size_t count = 0;
    for (int32_t shard = 0; shard < SIM_SHARDS_MAX; shard++) {
        if ((shards >> shard & 1) != 0) {
            out[count++] = shard;
        }
    }
    return count;
}

static void consumer_tell_revoked(sim_consumer *consumer, sim_shards shards, bool lost)
{
    int32_t list[SIM_SHARDS_MAX];
    size_t count = consumer_list(shards, list);
    consumer->is_serving = true;
    consumer->listener.revoked(consumer->listener.payload, list, count, lost);
    consumer->is_serving = false;
    consumer->assigned &= ~shards;
    for (size_t i = 0; i < count; i++) {
        consumer->next[list[i]] = ALV_OFFSET_NONE;
    }
}

static void consumer_tell_lost(sim_consumer *consumer)
{
    if (consumer->assigned != 0) {
        consumer_tell_revoked(consumer, consumer->assigned, true);
    }
    consumer->to_revoke = 0;
    consumer->to_assign = 0;
    consumer->must_rejoin = false;
    consumer->is_lost = false;
}

static void consumer_tell_assigned(sim_consumer *consumer)
{
    int32_t list[SIM_SHARDS_MAX];
    size_t count = consumer_list(consumer->to_assign, list);
    consumer->assigned |= consumer->to_assign;
    consumer->to_assign = 0;
    consumer->is_serving = true;
    consumer->listener.assigned(consumer->listener.payload, list, count);
    consumer->is_serving = false;
}

/* True when something was told. */
static bool consumer_serve(sim_consumer *consumer)
{
    if (consumer->is_lost) {
        consumer_tell_lost(consumer);
    } else if (consumer->to_revoke != 0) {
        sim_shards shards = consumer->to_revoke;
        consumer->to_revoke = 0;
        consumer_tell_revoked(consumer, shards, false);
        consumer->must_rejoin = true;
    } else if (consumer->to_assign != 0) {
        consumer_tell_assigned(consumer);
    } else {
        return false;
    }
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void consumer_deliver(sim_consumer *consumer, alv_batch *out)
{
    sim_broker *broker = consumer->client->options.broker;
    sim_random *random = consumer->client->options.random;
    int32_t first = (int32_t)sim_random_below(random, broker->shard_count);
    for (int32_t i = 0; i < broker->shard_count; i++) {
        int32_t shard = (first + i) % broker->shard_count;
        if (consumer->next[shard] != ALV_OFFSET_NONE && !sim_random_chance(random, 200)) {
            sim_broker_deliver(broker, ALV_TOPIC_COMMANDS, shard, &consumer->next[shard],
                               sim_random_between(random, 1, 12), out);
            consumer->ends[shard] = sim_broker_partition(broker, ALV_TOPIC_COMMANDS, shard)->end;
        }
    }
}

static alv_status consumer_poll(alv_consumer *base, int timeout_ms, alv_batch *out, alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    (void)timeout_ms;
    out->count = 0;
    consumer->was_polled = true;
    sim_fate fate = sim_client_call(consumer->client, SIM_CALL_POLL);
    if (fate == SIM_FATE_DEAD) {
        return sim_client_away(err);
    }
    bool is_fenced = consumer->is_fenced;
    if (consumer_serve(consumer)) {
        return is_fenced ? alv_fail(err, ALV_FENCED, "another has the seat") : ALV_OK;
    }
    if (fate != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    consumer_deliver(consumer, out);
    return ALV_OK;
}

static void consumer_wake(alv_consumer *base)
{
    (void)base; /* nobody waits */
}

static alv_status consumer_start(alv_consumer *base, int32_t shard, int64_t offset, alv_error *err)
{
    sim_consumer *consumer = (sim_consumer *)base;
    if ((consumer->assigned >> shard & 1) == 0) {
        return alv_fail(err, ALV_RETRY, "shard %d is not assigned", (int)shard);
    }
    consumer->next[shard] = offset;
    return ALV_OK;
}

static alv_status consumer_pause(alv_consumer *base, int32_t shard, alv_error *err)
{
    return consumer_start(base, shard, ALV_OFFSET_NONE, err);
}

static alv_status consumer_committed(alv_consumer *base, alv_shard_offset *items, size_t count,
                                     alv_error *err)
{
    return sim_client_committed(((sim_consumer *)base)->client, items, count, err);
}

static alv_status consumer_range(alv_consumer *base, int32_t shard, int64_t *out_start,
                                 int64_t *out_end, alv_error *err)
{
    const sim_client *client = ((sim_consumer *)base)->client;
    if (sim_client_call(client, SIM_CALL_ASK) != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    *out_start = 0;
    *out_end = sim_broker_partition(client->options.broker, ALV_TOPIC_COMMANDS, shard)->end;
    return ALV_OK;
}

static int64_t consumer_end(const alv_consumer *base, int32_t shard)
{
    return ((const sim_consumer *)base)->ends[shard];
}

/* A fenced consumer has lost the seat, and leaves nothing. */
static void consumer_close(alv_consumer *base, bool stay)
{
    sim_consumer *consumer = (sim_consumer *)base;
    sim_client *client = consumer->client;
    sim_broker *broker = client->options.broker;
    if (!sim_client_is_dead(client)) {
        if (consumer->is_lost) {
            consumer_tell_lost(consumer);
        } else if (consumer->assigned != 0) {
            consumer_tell_revoked(consumer, consumer->assigned, false);
        }
        if (!stay && !consumer->is_fenced && !sim_client_is_dead(client)) {
            sim_group_leave(&broker->group, broker->now_ms, consumer->member_id);
        }
    }
    client->consumers[consumer->lane] = NULL;
    alv_free(consumer);
}

static const alv_consumer_ops consumer_ops = {
    .poll = consumer_poll,
    .wake = consumer_wake,
    .start = consumer_start,
    .pause = consumer_pause,
    .committed = consumer_committed,
    .range = consumer_range,
    .end = consumer_end,
    .close = consumer_close,
};

alv_status sim_client_open_consumer(alv_log_port *port, int lane,
                                    const alv_rebalance_listener *listener, alv_consumer **out,
                                    alv_error *err)
{
    sim_client *client = (sim_client *)port;
    if (sim_client_is_dead(client)) {
        return sim_client_away(err);
    }
    ALV_ASSERT(lane < SIM_LANES_MAX && client->consumers[lane] == NULL);
    sim_consumer *consumer = alv_alloc(sizeof *consumer);
    consumer->base.ops = &consumer_ops;
    consumer->client = client;
    consumer->lane = lane;
    consumer->listener = *listener;
    for (int shard = 0; shard < SIM_SHARDS_MAX; shard++) {
        consumer->next[shard] = ALV_OFFSET_NONE;
        consumer->ends[shard] = ALV_OFFSET_NONE;
    }
    client->consumers[lane] = consumer;
    *out = &consumer->base;
    return ALV_OK;
}
