#include "tests/sim/sim_check.h"

#include <inttypes.h>

#include "processor/quarantine_record.h"
#include "statestore/ledger.h"
#include "tests/sim/sim_trace.h"
#include "topics/schema.h"

static bool check_is_of(const sim_record *record, alv_view key)
{
    return sim_record_is_committed(record) && alv_view_equal(record->key, key);
}

bool sim_check_value(sim_broker *broker, alv_topic topic, int32_t shard, int64_t end, alv_view key,
                     alv_view value)
{
    const sim_partition *partition = sim_broker_partition(broker, topic, shard);
    for (int64_t i = end < partition->end ? end : partition->end; i-- > 0;) {
        const sim_record *record = &partition->records[i];
        if (!check_is_of(record, key)) {
            continue;
        }
        if (alv_view_equal(record->value, value)) {
            return true;
        }
        if (!record->is_gone) {
            return false;
        }
    }
    return value.data == NULL;
}

int64_t sim_check_position(sim_broker *broker, int32_t shard, int64_t end)
{
    const sim_partition *partition = sim_broker_partition(broker, ALV_TOPIC_LEDGER, shard);
    for (int64_t i = end < partition->end ? end : partition->end; i-- > 0;) {
        const sim_record *record = &partition->records[i];
        int64_t position = 0;
        int64_t at_ms = 0;
        if (sim_record_is_visible(record) &&
            alv_view_equal(record->key, ALV_VIEW(ALV_POSITION_KEY)) &&
            alv_schema_read_position(record->value, &position, &at_ms, NULL) == ALV_OK) {
            return position;
        }
    }
    return 0;
}

/* ---- I2 -------------------------------------------------------------------------------------- */

typedef struct check_look {
    sim_broker *broker;
    alv_store *store;
    int node;
    int32_t shard;
    alv_position position;
    alv_bytes key;
    alv_bytes value;
    alv_bytes quarantine; /* a key */
} check_look;

/* When the broker has not said where the records of a transaction are, the store keeps its former position
 * and is ahead of it, until the next transaction, or until they are read again. */
static bool check_is_ahead(const check_look *look, alv_topic topic, int64_t end, alv_view key,
                           alv_view value)
{
    const sim_partition *partition = sim_broker_partition(look->broker, topic, look->shard);
    for (int64_t i = end; i < partition->end && look->broker->unsaid_per_mille > 0; i++) {
        const sim_record *record = &partition->records[i];
        if (check_is_of(record, key) && alv_view_equal(record->value, value)) {
            return true;
        }
    }
    return false;
}

/* What the store has of a cell; absent when it has nothing. */
static alv_view check_get(check_look *look, alv_store_kind kind, alv_view key)
{
    bool found = false;
    (void)look->store->ops->get(look->store, look->shard, kind, key, &found, &look->value, NULL);
    return found ? alv_bytes_view(&look->value) : ALV_VIEW_NONE;
}

static alv_view check_key(check_look *look, alv_store_kind kind, alv_view key)
{
    bool is_state = kind == ALV_STORE_STATE;
    alv_topic topic = is_state ? ALV_TOPIC_CHANGELOG : ALV_TOPIC_LEDGER;
    int64_t end = is_state ? look->position.changelog : look->position.ledger;
    alv_view value = check_get(look, kind, key);
    if (!sim_check_value(look->broker, topic, look->shard, end, key, value) &&
        !check_is_ahead(look, topic, end, key, value)) {
        sim_fail("I2", "n%d shard %d at %" PRId64 " of the %s: %.*s has %.*s", look->node,
                 (int)look->shard, end, alv_schema_suffix(topic), (int)key.size, key.data,
                 (int)value.size, value.data == NULL ? "" : value.data);
    }
    return value;
}

/* The entry by which the earliest timer of a ledger is found. */
static void check_index(check_look *look, const char *key, alv_view ledger)
{
    int64_t due_ms = alv_ledger_peek_due(ledger);
    if (due_ms == ALV_DUE_NEVER) {
        return;
    }
    alv_bytes_clear(&look->key);
    alv_store_timer_key(due_ms, alv_view_of(key), &look->key);
    if (check_get(look, ALV_STORE_TIMER, alv_bytes_view(&look->key)).data == NULL) {
        sim_fail("I2", "n%d shard %d: the index knows nothing of the timer of %s", look->node,
                 (int)look->shard, key);
    }
}

void sim_check_store(sim_broker *broker, const sim_model *model, alv_store *store, int node,
                     int32_t shard)
{
    check_look look = {.broker = broker, .store = store, .node = node, .shard = shard};
    if (store->ops->position(store, shard, &look.position, NULL) != ALV_OK) {
        return; /* it has none of it */
    }
    for (int cell = 0; cell < SIM_CELLS; cell++) {
        char key[32];
        sim_model_key(cell, key, sizeof key);
        (void)check_key(&look, ALV_STORE_STATE, alv_view_of(key));
        check_index(&look, key, check_key(&look, ALV_STORE_LEDGER, alv_view_of(key)));
        alv_bytes_clear(&look.quarantine);
        alv_quarantine_key(alv_view_of(key), &look.quarantine);
        (void)check_key(&look, ALV_STORE_LEDGER, alv_bytes_view(&look.quarantine));
    }
    (void)check_key(&look, ALV_STORE_LEDGER, ALV_VIEW(ALV_TABLES_KEY));
    alv_bytes_done(&look.quarantine);
    alv_bytes_done(&look.key);
    alv_bytes_done(&look.value);
    int64_t recorded = sim_check_position(broker, shard, look.position.ledger);
    int64_t next = look.position.commands;
    if (next < recorded || next > sim_model_next(model, shard)) {
        sim_fail("I11",
                 "n%d shard %d: the store goes on at command %" PRId64 "; its ledger says %" PRId64
                 ", committed is up to %" PRId64,
                 node, (int)shard, next, recorded, sim_model_next(model, shard));
    }
}

/* ---- I4 -------------------------------------------------------------------------------------- */

/* A zombie may have written what it can no longer commit, because the group takes no offsets from it any more;
 * a transaction that has sent them may still be committed. */
static void check_decided(sim_broker *broker, int node, alv_topic topic, int32_t shard,
                          int64_t from, int64_t to)
{
    const sim_partition *partition = sim_broker_partition(broker, topic, shard);
    if (to > partition->end) {
        sim_fail("I2", "n%d shard %d: the store is ahead of the %s", node, (int)shard,
                 alv_schema_suffix(topic));
    }
    for (int64_t i = from; i < to; i++) {
        const sim_transaction *transaction = partition->records[i].transaction;
        if (transaction != NULL && transaction->decision == SIM_UNDECIDED &&
            transaction->offset_count > 0) {
            sim_fail("I4", "n%d shard %d: offset %" PRId64 " of the %s is stored and not committed",
                     node, (int)shard, i, alv_schema_suffix(topic));
        }
    }
}

void sim_check_applied(sim_broker *broker, const sim_model *model, int node, int32_t shard,
                       const alv_position *before, const alv_position *after)
{
    check_decided(broker, node, ALV_TOPIC_CHANGELOG, shard, before->changelog, after->changelog);
    check_decided(broker, node, ALV_TOPIC_LEDGER, shard, before->ledger, after->ledger);
    if (after->commands > sim_model_next(model, shard)) {
        sim_fail("I4",
                 "n%d shard %d: commands up to %" PRId64 " are stored, committed are %" PRId64,
                 node, (int)shard, after->commands, sim_model_next(model, shard));
    }
}
