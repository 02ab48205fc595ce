#include "tests/sim/sim_client.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_client_internal.h"

alv_status sim_client_away(alv_error *err)
{
    return alv_fail(err, ALV_RETRY, "no answer");
}

alv_status sim_client_committed(const sim_client *client, alv_shard_offset *items, size_t count,
                                alv_error *err)
{
    if (sim_client_call(client, SIM_CALL_ASK) != SIM_FATE_DONE) {
        return sim_client_away(err);
    }
    const sim_broker *broker = client->options.broker;
    for (size_t i = 0; i < count; i++) {
        if (sim_coordinator_is_unstable(broker, items[i].shard)) {
            return alv_fail(err, ALV_RETRY, "the offset of shard %d is not stable",
                            (int)items[i].shard);
        }
    }
    for (size_t i = 0; i < count; i++) {
        items[i].offset = broker->committed[items[i].shard];
    }
    return ALV_OK;
}

static size_t client_headers(const alv_record *record, alv_header *out, size_t capacity)
{
    const alv_header *headers = record->handle;
    size_t count = 0;
    while (headers != NULL && headers[count].name != NULL && count < capacity) {
        out[count] = headers[count];
        count++;
    }
    return count;
}

static void client_close(alv_log_port *port)
{
    (void)port; /* sim_client_free does it */
}

static const alv_log_ops client_ops = {
    .open_consumer = sim_client_open_consumer,
    .open_producer = sim_client_open_producer,
    .open_reader = sim_client_open_reader,
    .headers = client_headers,
    .close = client_close,
};

sim_client *sim_client_new(const sim_client_options *options)
{
    sim_client *client = alv_alloc(sizeof *client);
    client->port.ops = &client_ops;
    client->options = *options;
    return client;
}

void sim_client_free(sim_client *client)
{
    for (int lane = 0; lane < SIM_LANES_MAX; lane++) {
        ALV_ASSERT(client->consumers[lane] == NULL);
    }
    alv_free(client);
}

alv_log_port *sim_client_port(sim_client *client)
{
    return &client->port;
}

void sim_client_beat(sim_client *client, bool is_cut)
{
    for (int lane = 0; lane < SIM_LANES_MAX; lane++) {
        if (client->consumers[lane] != NULL) {
            sim_consumer_beat(client->consumers[lane], is_cut);
        }
    }
}
