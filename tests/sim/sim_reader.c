/* sim_reader.c — manual assignment over the compacted topics; see sim_client.h. */
#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_client_internal.h"

typedef struct sim_reader {
    alv_reader base;
    sim_client *client;
    int64_t next[SIM_SLOTS]; /* ALV_OFFSET_NONE = not assigned */
    bool is_paused;
} sim_reader;

static int reader_slot(alv_topic topic, int32_t shard)
{
    return (int)topic * SIM_SHARDS_MAX + shard;
}

static alv_status reader_assign(alv_reader *base, alv_topic topic, int32_t shard, int64_t offset,
                                alv_error *err)
{
    (void)err; /* local */
    ((sim_reader *)base)->next[reader_slot(topic, shard)] = offset;
    return ALV_OK;
}

static void reader_unassign(alv_reader *base, alv_topic topic, int32_t shard)
{
    ((sim_reader *)base)->next[reader_slot(topic, shard)] = ALV_OFFSET_NONE;
}

static void reader_pause_all(alv_reader *base, bool paused)
{
    ((sim_reader *)base)->is_paused = paused;
}

/* A few records of each partition, of some nothing: what comes first is chance. */
static alv_status reader_poll(alv_reader *base, int timeout_ms, alv_batch *out, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    sim_client *client = reader->client;
    sim_random *random = client->options.random;
    (void)timeout_ms;
    out->count = 0;
    if (sim_client_call(client, SIM_CALL_POLL) != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    int first = (int)sim_random_below(random, SIM_SLOTS);
    for (int i = 0; i < SIM_SLOTS && !reader->is_paused; i++) {
        int slot = (first + i) % SIM_SLOTS;
        if (reader->next[slot] != ALV_OFFSET_NONE && !sim_random_chance(random, 200)) {
            sim_broker_deliver(client->options.broker, (alv_topic)(slot / SIM_SHARDS_MAX),
                               slot % SIM_SHARDS_MAX, &reader->next[slot],
                               sim_random_between(random, 1, 40), out);
        }
    }
    return ALV_OK;
}

static void reader_wake(alv_reader *base)
{
    (void)base; /* nobody waits */
}

static int64_t reader_position(const alv_reader *base, alv_topic topic, int32_t shard)
{
    return ((const sim_reader *)base)->next[reader_slot(topic, shard)];
}

static int64_t reader_last_end(const alv_reader *base, alv_topic topic, int32_t shard)
{
    sim_client *client = ((const sim_reader *)base)->client;
    return sim_broker_partition(client->options.broker, topic, shard)->end;
}

static alv_status reader_range(alv_reader *base, alv_topic topic, int32_t shard, int64_t *out_start,
                               int64_t *out_end, alv_error *err)
{
    sim_client *client = ((sim_reader *)base)->client;
    if (sim_client_call(client, SIM_CALL_ASK) != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    *out_start = 0;
    *out_end = sim_broker_partition(client->options.broker, topic, shard)->end;
    return ALV_OK;
}

static alv_status reader_ends(alv_reader *base, alv_topic topic, alv_shard_offset *items,
                              size_t count, int timeout_ms, alv_error *err)
{
    sim_client *client = ((sim_reader *)base)->client;
    (void)timeout_ms;
    if (sim_client_call(client, SIM_CALL_ASK) != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    for (size_t i = 0; i < count; i++) {
        items[i].offset = sim_broker_stable_end(client->options.broker, topic, items[i].shard);
    }
    return ALV_OK;
}

static alv_status reader_committed(alv_reader *base, alv_shard_offset *items, size_t count,
                                   int timeout_ms, alv_error *err)
{
    (void)timeout_ms;
    return sim_client_committed(((sim_reader *)base)->client, items, count, err);
}

static void reader_close(alv_reader *base)
{
    alv_free(base);
}

static const alv_reader_ops reader_ops = {
    .assign = reader_assign,
    .unassign = reader_unassign,
    .pause_all = reader_pause_all,
    .poll = reader_poll,
    .wake = reader_wake,
    .position = reader_position,
    .last_end = reader_last_end,
    .range = reader_range,
    .ends = reader_ends,
    .committed = reader_committed,
    .close = reader_close,
};

alv_status sim_client_open_reader(alv_log_port *port, const char *name, alv_reader **out,
                                  alv_error *err)
{
    (void)name;
    (void)err;
    sim_reader *reader = alv_alloc(sizeof *reader);
    reader->base.ops = &reader_ops;
    reader->client = (sim_client *)port;
    for (int slot = 0; slot < SIM_SLOTS; slot++) {
        reader->next[slot] = ALV_OFFSET_NONE;
    }
    *out = &reader->base;
    return ALV_OK;
}
