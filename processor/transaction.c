#include "processor/transaction.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/logger.h"
#include "base/plant.h"
#include "topics/schema.h"

struct alv_transaction {
    alv_transaction_options options;
    char *owner;
    alv_producer *producer;
    alv_transaction_state state;
    bool must_renew; /* the producer's epoch must not be used again (I10) */
    alv_shard **touched;
    size_t touched_count;
    alv_shard_offset *offsets; /* scratch, one per touched shard */
    size_t command_count;
    int64_t began_us;
    alv_bytes scratch;
};

/* The picture in transaction.h as a table: row = from, column = to. */
static const bool transaction_moves[4][4] = {
    [ALV_TRANSACTION_IDLE] = {[ALV_TRANSACTION_OPEN] = true},
    [ALV_TRANSACTION_OPEN] = {[ALV_TRANSACTION_COMMITTED] = true,
                              [ALV_TRANSACTION_UNCERTAIN] = true,
                              [ALV_TRANSACTION_IDLE] = true},
    [ALV_TRANSACTION_COMMITTED] = {[ALV_TRANSACTION_IDLE] = true},
    [ALV_TRANSACTION_UNCERTAIN] =
        {[ALV_TRANSACTION_COMMITTED] = true, [ALV_TRANSACTION_IDLE] = true},
};

static void transaction_set_state(alv_transaction *transaction, alv_transaction_state state)
{
    ALV_ASSERT(transaction_moves[transaction->state][state]);
    if (state == ALV_TRANSACTION_UNCERTAIN) {
        alv_counter_add(&transaction->options.meter->uncertain, 1);
        alv_log(ALV_LOG_WARN, "transaction-uncertain", "commands=%zu shards=%zu",
                transaction->command_count, transaction->touched_count);
    }
    transaction->state = state;
}

/* ---- life -------------------------------------------------------------------------------------- */

alv_transaction *alv_transaction_new(const alv_transaction_options *options)
{
    ALV_ASSERT(options->shard_count > 0);
    alv_transaction *transaction = alv_alloc(sizeof *transaction);
    transaction->options = *options;
    transaction->owner = alv_strdup(options->owner);
    size_t shard_count = (size_t)options->shard_count;
    transaction->touched = alv_alloc_array(shard_count, sizeof *transaction->touched);
    transaction->offsets = alv_alloc_array(shard_count, sizeof *transaction->offsets);
    return transaction;
}

void alv_transaction_free(alv_transaction *transaction)
{
    if (transaction == NULL) {
        return;
    }
    if (transaction->state == ALV_TRANSACTION_OPEN) {
        alv_transaction_rollback(transaction);
    }
    ALV_ASSERT(transaction->touched_count == 0);
    if (transaction->options.pin != NULL) {
        alv_table_pin_release(transaction->options.pin); /* it may still be UNCERTAIN */
    }
    if (transaction->producer != NULL) {
        transaction->producer->ops->close(transaction->producer);
    }
    alv_bytes_done(&transaction->scratch);
    alv_free(transaction->touched);
    alv_free(transaction->offsets);
    alv_free(transaction->owner);
    alv_free(transaction);
}

void alv_transaction_set_producer(alv_transaction *transaction, alv_producer *producer)
{
    ALV_ASSERT(transaction->producer == NULL && producer != NULL);
    transaction->producer = producer;
}

alv_producer *alv_transaction_producer(alv_transaction *transaction)
{
    return transaction->producer;
}

alv_transaction_state alv_transaction_state_get(const alv_transaction *transaction)
{
    return transaction->state;
}

size_t alv_transaction_commands(const alv_transaction *transaction)
{
    return transaction->command_count;
}

int64_t alv_transaction_age_us(const alv_transaction *transaction)
{
    return alv_monotonic_us(transaction->options.clock) - transaction->began_us;
}

/* ---- begin, touch ------------------------------------------------------------------------------ */

/* I10: after anything indefinite the old epoch is given up before the next transaction. */
static alv_status transaction_renew(alv_transaction *transaction, alv_error *err)
{
    alv_producer *producer = transaction->producer;
    alv_status status = producer->ops->renew(producer, err);
    if (status == ALV_OK) {
        ALV_ASSERT(!producer->ops->tainted(producer));
        transaction->must_renew = false;
        alv_counter_add(&transaction->options.meter->renewals, 1);
        alv_log(ALV_LOG_INFO, "producer-renewed", "owner=%s", transaction->owner);
    }
    return status;
}

alv_status alv_transaction_begin(alv_transaction *transaction, alv_error *err)
{
    ALV_ASSERT(transaction->state == ALV_TRANSACTION_IDLE);
    ALV_ASSERT(transaction->touched_count == 0 && transaction->command_count == 0);
    alv_producer *producer = transaction->producer;
    if (transaction->must_renew ||
        (producer->ops->tainted(producer) && !ALV_PLANTED(IGNORE_TAINT))) {
        alv_status status = transaction_renew(transaction, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    alv_status status = producer->ops->begin(producer, err);
    if (status != ALV_OK) {
        transaction->must_renew = true;
        return status == ALV_FATAL ? ALV_FATAL : ALV_RETRY;
    }
    transaction->began_us = alv_monotonic_us(transaction->options.clock);
    transaction_set_state(transaction, ALV_TRANSACTION_OPEN);
    return ALV_OK;
}

void alv_transaction_touch(alv_transaction *transaction, alv_shard *shard)
{
    ALV_ASSERT(transaction->state == ALV_TRANSACTION_OPEN);
    transaction->command_count++;
    if (!shard->touched) {
        ALV_ASSERT(shard->next_offset == shard->committed_offset);
        shard->touched = true;
        transaction->touched[transaction->touched_count++] = shard;
    }
}

/* A step of a commit that began at `begin_us` is done. */
static void transaction_took(const alv_transaction *transaction, alv_histogram *step,
                             int64_t begin_us)
{
    alv_histogram_observe(step, alv_monotonic_us(transaction->options.clock) - begin_us, 1);
}

/* ---- step 1, prepare: everything is written, and its offsets are known --------------------------- */

/* I12: which versions of global tables the shard's handlers saw stands in its ledger from this commit on. */
static void transaction_add_tables(const alv_transaction *transaction, alv_shard *shard)
{
    const alv_table_pin *pin = transaction->options.pin;
    const alv_store_write *write =
        alv_table_record_prepare(&shard->tables, alv_tables_list(pin->tables), pin->view);
    if (write != NULL && !ALV_PLANTED(UNRECORDED)) {
        alv_overlay_add_write(&shard->overlay, write);
    }
}

static alv_status transaction_publish_shard(alv_transaction *transaction, alv_shard *shard,
                                            alv_error *err)
{
    alv_producer *producer = transaction->producer;
    alv_status status = alv_overlay_encode(&shard->overlay, err);
    if (status == ALV_OK && shard->extra_write != NULL) {
        alv_overlay_add_write(&shard->overlay, shard->extra_write);
    }
    if (status == ALV_OK) {
        alv_quarantine_write(&shard->quarantine, &shard->overlay);
    }
    bool read_tables = shard->tables.read != 0;
    if (status == ALV_OK && read_tables) {
        transaction_add_tables(transaction, shard);
    }
    const alv_header versions = {ALV_HEADER_TABLES, alv_bytes_view(&shard->tables.header)};
    for (size_t i = 0; status == ALV_OK && i < shard->overlay.write_count; i++) {
        const alv_store_write *write = &shard->overlay.writes[i];
        if (write->kind == ALV_STORE_TIMER) {
            continue; /* follows from the ledger */
        }
        bool is_state = write->kind == ALV_STORE_STATE;
        const alv_produce record = {.topic = is_state ? ALV_TOPIC_CHANGELOG : ALV_TOPIC_LEDGER,
                                    .shard = shard->number,
                                    .key = write->key,
                                    .value = write->value,
                                    .headers = &versions,
                                    .header_count = is_state && read_tables ? 1 : 0};
        status = producer->ops->produce(producer, &record, err);
    }
    return status;
}

/* I11: where the shard must go on, whatever happens to the group's offsets. */
static alv_status transaction_publish_position(alv_transaction *transaction, const alv_shard *shard,
                                               alv_error *err)
{
    alv_producer *producer = transaction->producer;
    alv_bytes_clear(&transaction->scratch);
    alv_schema_write_position(shard->next_offset, alv_now_ms(transaction->options.clock),
                              &transaction->scratch);
    const alv_produce record = {.topic = ALV_TOPIC_LEDGER,
                                .shard = shard->number,
                                .key = ALV_VIEW(ALV_POSITION_KEY),
                                .value = alv_bytes_view(&transaction->scratch)};
    return producer->ops->produce(producer, &record, err);
}

static alv_status transaction_prepare(alv_transaction *transaction, alv_error *err)
{
    for (size_t i = 0; i < transaction->touched_count; i++) {
        alv_shard *shard = transaction->touched[i];
        alv_status status = transaction_publish_shard(transaction, shard, err);
        if (status == ALV_OK && !ALV_PLANTED(DROP_POSITION)) {
            status = transaction_publish_position(transaction, shard, err);
        }
        if (ALV_PLANTED(APPLY_BEFORE_COMMIT)) {
            alv_store *store = transaction->options.store;
            (void)store->ops->apply(store, shard->number, shard->overlay.writes,
                                    shard->overlay.write_count, &shard->position, NULL);
        }
        if (status != ALV_OK) {
            return status;
        }
        transaction->offsets[i] =
            (alv_shard_offset){.shard = shard->number, .offset = shard->next_offset};
    }
    return transaction->producer->ops->flush(transaction->producer, err);
}

/* ---- step 3, finish: the store follows ----------------------------------------------------------- */

static int64_t transaction_end(const alv_transaction *transaction, alv_topic topic,
                               const alv_shard *shard, int64_t before)
{
    int64_t end =
        transaction->producer->ops->written_end(transaction->producer, topic, shard->number);
    return end > before ? end : before; /* unknown: the next restore reads a little more */
}

/* Data and position in one write (I2). A store that fails does not undo what is committed: the shard
 * is marked, and restored from the changelog before it goes on. */
static void transaction_finish_shard(alv_transaction *transaction, alv_shard *shard)
{
    alv_position position = {
        .commands = shard->next_offset,
        .changelog =
            transaction_end(transaction, ALV_TOPIC_CHANGELOG, shard, shard->position.changelog),
        .ledger = transaction_end(transaction, ALV_TOPIC_LEDGER, shard, shard->position.ledger),
        .at_ms = alv_now_ms(transaction->options.clock),
    };
    ALV_ASSERT(alv_position_covers(&position, &shard->position));
    alv_store *store = transaction->options.store;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = store->ops->apply(
        store, shard->number, shard->overlay.writes,
        shard->overlay.write_count - (ALV_PLANTED(LOSE_WRITE) && shard->overlay.write_count > 0),
        &position, &err);
    int64_t commands = shard->commands;
    shard->reached = position;
    shard->committed_offset = shard->next_offset;
    shard->commands = 0;
    shard->touched = false;
    alv_table_record_commit(&shard->tables);
    alv_timers_commit(&shard->timers, shard->overlay.due_ms);
    alv_quarantine_commit(&shard->quarantine); /* after the writes that borrow from it */
    if (status != ALV_OK) {
        alv_log_error(ALV_LOG_ERROR, "store-failed", &err, "shard=%" PRId32, shard->number);
        alv_overlay_drop(&shard->overlay, transaction->options.cache);
        shard->failed = true;
    } else {
        alv_overlay_finish(&shard->overlay, transaction->options.cache);
        shard->position = position;
    }
    transaction->options.finished(transaction->options.payload, shard, commands);
}

static void transaction_reset(alv_transaction *transaction)
{
    transaction->touched_count = 0;
    transaction->command_count = 0;
    if (transaction->options.pin != NULL) {
        alv_table_pin_release(transaction->options.pin);
    }
    transaction_set_state(transaction, ALV_TRANSACTION_IDLE);
}

static void transaction_finish(alv_transaction *transaction)
{
    int64_t begin_us = alv_monotonic_us(transaction->options.clock);
    transaction_set_state(transaction, ALV_TRANSACTION_COMMITTED);
    alv_fault_reach(ALV_FAULT_BEFORE_FINISH);
    for (size_t i = 0; i < transaction->touched_count; i++) {
        transaction_finish_shard(transaction, transaction->touched[i]);
        alv_fault_reach(ALV_FAULT_IN_FINISH);
    }
    alv_fault_reach(ALV_FAULT_AFTER_FINISH);
    transaction_took(transaction, &transaction->options.meter->finish, begin_us);
    transaction_reset(transaction);
}

/* ---- the other ending ----------------------------------------------------------------------------- */

static void transaction_rewind(alv_transaction *transaction)
{
    alv_counter_add(&transaction->options.meter->aborts, 1);
    for (size_t i = 0; i < transaction->touched_count; i++) {
        alv_shard_rewind(transaction->touched[i], transaction->options.cache);
    }
    transaction_reset(transaction);
}

void alv_transaction_rollback(alv_transaction *transaction)
{
    ALV_ASSERT(transaction->state == ALV_TRANSACTION_OPEN);
    alv_producer *producer = transaction->producer;
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->abort(producer, &err) != ALV_OK) {
        transaction->must_renew = true;
    }
    transaction_rewind(transaction);
}

/* ---- step 2, send --------------------------------------------------------------------------------- */

static alv_status transaction_send(alv_transaction *transaction, alv_consumer *consumer,
                                   alv_error *err)
{
    alv_producer *producer = transaction->producer;
    int64_t begin_us = alv_monotonic_us(transaction->options.clock);
    alv_fault_reach(ALV_FAULT_BEFORE_SEND);
    alv_commit_outcome outcome =
        producer->ops->commit(producer, consumer, transaction->offsets, transaction->touched_count,
                              transaction->owner, err);
    alv_fault_reach(ALV_FAULT_AFTER_SEND);
    switch (outcome) {
    case ALV_COMMIT_DONE:
        transaction_took(transaction, &transaction->options.meter->send, begin_us);
        transaction_finish(transaction);
        return ALV_OK;
    case ALV_COMMIT_UNKNOWN:
        transaction->must_renew = !ALV_PLANTED(REUSE_EPOCH);
        transaction_set_state(transaction, ALV_TRANSACTION_UNCERTAIN);
        return ALV_RETRY;
    case ALV_COMMIT_ABORTED:
        break;
    }
    alv_transaction_rollback(transaction);
    return ALV_ABORT;
}

alv_status alv_transaction_commit(alv_transaction *transaction, alv_consumer *consumer,
                                  alv_error *err)
{
    ALV_ASSERT(transaction->state == ALV_TRANSACTION_OPEN);
    int64_t begin_us = alv_monotonic_us(transaction->options.clock);
    alv_fault_reach(ALV_FAULT_BEFORE_PREPARE);
    alv_status status = transaction_prepare(transaction, err);
    alv_fault_reach(ALV_FAULT_AFTER_PREPARE);
    if (status == ALV_OK) {
        transaction_took(transaction, &transaction->options.meter->prepare, begin_us);
        return transaction_send(transaction, consumer, err);
    }
    alv_transaction_rollback(transaction);
    return status == ALV_FATAL || status == ALV_REJECT ? status : ALV_ABORT;
}

/* ---- resolve ---------------------------------------------------------------------------------------- */

/* The transaction was atomic, so all shards tell the same story; they are asked one by one because a
 * shard may have left the lane meanwhile. An offset that is neither where the transaction began nor
 * where it ended belongs to a later owner: what we know of that shard is worth nothing. A shard that
 * consumed nothing (its timers fired) has no story to tell; when none has, the log must be read. */
static alv_status transaction_settle(alv_transaction *transaction, alv_error *err)
{
    size_t moved = 0;
    size_t ours = 0;
    size_t foreign = 0;
    for (size_t i = 0; i < transaction->touched_count; i++) {
        const alv_shard *shard = transaction->touched[i];
        int64_t committed = transaction->offsets[i].offset;
        bool has_moved = shard->next_offset > shard->committed_offset;
        moved += has_moved;
        ours += has_moved && committed == shard->next_offset;
        foreign += committed > shard->next_offset;
    }
    if ((foreign == 0 && ours == moved && (moved > 0 || transaction->touched_count == 0) &&
         !ALV_PLANTED(GUESS_ABORTED)) ||
        ALV_PLANTED(GUESS_COMMITTED)) {
        transaction_finish(transaction);
        return ALV_OK;
    }
    if ((foreign > 0 || ours > 0 || moved == 0) && !ALV_PLANTED(GUESS_ABORTED)) {
        for (size_t i = 0; i < transaction->touched_count; i++) {
            transaction->touched[i]->failed = true; /* restored before it goes on */
        }
    }
    transaction_rewind(transaction);
    return alv_fail(err, ALV_ABORT,
                    moved == 0 ? "the log must be read to know what was committed"
                               : "the commit was not carried out");
}

alv_status alv_transaction_resolve(alv_transaction *transaction, alv_consumer *consumer,
                                   alv_error *err)
{
    ALV_ASSERT(transaction->state == ALV_TRANSACTION_UNCERTAIN);
    if (transaction->must_renew) {
        alv_status status = transaction_renew(transaction, err);
        if (status != ALV_OK) {
            return status == ALV_FATAL ? ALV_FATAL : ALV_RETRY;
        }
    }
    for (size_t i = 0; i < transaction->touched_count; i++) {
        transaction->offsets[i] =
            (alv_shard_offset){transaction->touched[i]->number, ALV_OFFSET_NONE};
    }
    if (transaction->touched_count > 0) {
        alv_status status = consumer->ops->committed(consumer, transaction->offsets,
                                                     transaction->touched_count, err);
        if (status != ALV_OK) {
            return ALV_RETRY;
        }
    }
    return transaction_settle(transaction, err);
}

void alv_transaction_forget(alv_transaction *transaction, alv_shard *shard)
{
    if (!shard->touched) {
        return;
    }
    ALV_ASSERT(transaction->state == ALV_TRANSACTION_UNCERTAIN);
    size_t kept = 0;
    for (size_t i = 0; i < transaction->touched_count; i++) {
        if (transaction->touched[i] != shard) {
            transaction->touched[kept++] = transaction->touched[i];
        }
    }
    ALV_ASSERT(kept == transaction->touched_count - 1);
    transaction->touched_count = kept;
    alv_shard_rewind(shard, transaction->options.cache);
}
