#include "tests/sim/sim_postgres.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_trace.h"
#include "topics/partitioner.h"

typedef struct sim_connection {
    alv_durable_store base;
    sim_postgres *postgres;
    int node;
} sim_connection;

void sim_postgres_init(sim_postgres *postgres, sim_broker *broker)
{
    memset(postgres, 0, sizeof *postgres);
    postgres->broker = broker;
}

void sim_postgres_done(sim_postgres *postgres)
{
    for (int i = 0; i < SIM_CELLS; i++) {
        alv_bytes_done(&postgres->rows[i].state);
    }
}

/* ---- I5 -------------------------------------------------------------------------------------- */

static void postgres_check(const sim_postgres *postgres, int32_t shard)
{
    int64_t position = postgres->positions[shard];
    for (int cell = 0; cell < SIM_CELLS; cell++) {
        const sim_row *row = &postgres->rows[cell];
        char key[32];
        sim_model_key(cell, key, sizeof key);
        if (alv_partitioner_shard(alv_view_of(key), postgres->broker->shard_count) != shard) {
            continue;
        }
        alv_view state = row->exists ? alv_bytes_view(&row->state) : ALV_VIEW_NONE;
        if (!sim_check_value(postgres->broker, ALV_TOPIC_CHANGELOG, shard, position,
                             alv_view_of(key), state)) {
            sim_fail("I5", "shard %d is stored up to %" PRId64 ", and %s is as of %" PRId64,
                     (int)shard, position, key, row->exists ? row->offset : -1);
        }
    }
}

bool sim_postgres_is_complete(const sim_postgres *postgres, int32_t shard)
{
    const sim_partition *partition =
        sim_broker_partition(postgres->broker, ALV_TOPIC_CHANGELOG, shard);
    for (int64_t i = postgres->positions[shard]; i < partition->end; i++) {
        if (sim_record_is_committed(&partition->records[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the port -------------------------------------------------------------------------------- */

/* What becomes of the call; away is away. */
static sim_fate connection_call(const sim_connection *connection)
{
    sim_postgres *postgres = connection->postgres;
    sim_fate fate = postgres->call(postgres->payload, connection->node, SIM_CALL_DURABLE);
    return fate != SIM_FATE_DEAD && postgres->is_away ? SIM_FATE_LOST : fate;
}

static alv_status connection_position(alv_durable_store *base, int32_t shard, int64_t *out,
                                      alv_error *err)
{
    sim_connection *connection = (sim_connection *)base;
    if (connection_call(connection) != SIM_FATE_DONE) {
        return alv_fail(err, ALV_RETRY, "no answer");
    }
    *out = connection->postgres->positions[shard];
    return ALV_OK;
}

static bool postgres_fences(const sim_postgres *postgres, alv_checkpoint_position *positions,
                            size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        positions[i].fenced = postgres->positions[positions[i].shard] != positions[i].expected;
        any = any || positions[i].fenced;
    }
    return any;
}

/* The guards of the statements: a row is not replaced by an older one. */
static void postgres_store(sim_postgres *postgres, alv_checkpoint_row *row)
{
    int cell = sim_model_cell(row->key);
    ALV_ASSERT(cell >= 0);
    sim_row *stored = &postgres->rows[cell];
    row->outcome = ALV_ROW_STORED;
    if (stored->exists && stored->offset >= row->changelog_offset) {
        return;
    }
    stored->exists = row->state.data != NULL;
    stored->offset = row->changelog_offset;
    alv_bytes_set(&stored->state, row->state.data == NULL ? "" : row->state.data, row->state.size);
}

static alv_status connection_write(alv_durable_store *base, alv_checkpoint_row *rows,
                                   size_t row_count, alv_checkpoint_position *positions,
                                   size_t position_count, alv_error *err)
{
    sim_connection *connection = (sim_connection *)base;
    sim_postgres *postgres = connection->postgres;
    sim_fate fate = connection_call(connection);
    if (fate == SIM_FATE_LOST || fate == SIM_FATE_DEAD) {
        return alv_fail(err, ALV_RETRY, "no answer");
    }
    if (postgres_fences(postgres, positions, position_count)) {
        postgres->fenced++;
        return alv_fail(err, ALV_FENCED, "another position is stored");
    }
    for (size_t i = 0; i < row_count; i++) {
        postgres_store(postgres, &rows[i]);
    }
    for (size_t i = 0; i < position_count; i++) {
        postgres->positions[positions[i].shard] = positions[i].changelog_offset;
        postgres_check(postgres, positions[i].shard);
    }
    postgres->writes++;
    return fate == SIM_FATE_DONE ? ALV_OK : alv_fail(err, ALV_RETRY, "no answer to the commit");
}

static void connection_close(alv_durable_store *base)
{
    alv_free(base);
}

static const alv_durable_store_ops connection_ops = {
    .position = connection_position,
    .write = connection_write,
    .close = connection_close,
};

alv_durable_store *sim_postgres_connect(sim_postgres *postgres, int node)
{
    sim_connection *connection = alv_alloc(sizeof *connection);
    connection->base.ops = &connection_ops;
    connection->postgres = postgres;
    connection->node = node;
    return &connection->base;
}
