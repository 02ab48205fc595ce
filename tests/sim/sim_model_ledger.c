/* sim_model_ledger.c — what a transaction writes into ledgers: timers and answers of entities, which of them fail, and
 * which version of the table a shard has seen.
 */
#include <inttypes.h>
#include <string.h>

#include "processor/quarantine_record.h"
#include "processor/singletons.h"
#include "tests/sim/sim_cell.h"
#include "tests/sim/sim_model_internal.h"
#include "tests/sim/sim_trace.h"
#include "topics/schema.h"

/* ---- entities -------------------------------------------------------------------------------- */

/* The object of the list whose member `name` is `text`; NULL = there is none. */
static const json_t *ledger_find(const json_t *list, const char *name, const char *text)
{
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        if (strcmp(json_string_value(json_object_get(item, name)), text) == 0) {
            return item;
        }
    }
    return NULL;
}

static bool ledger_has_timer(const json_t *timers, const model_timer *timer)
{
    const json_t *item = ledger_find(timers, "name", timer->name);
    const json_t *command = json_object_get(item, "command");
    return item != NULL && json_integer_value(json_object_get(item, "due")) == timer->due_ms &&
           json_integer_value(json_object_get(command, "id")) == timer->id &&
           json_integer_value(json_object_get(command, "left")) == timer->left;
}

static bool ledger_has_answer(const json_t *answers, const model_answer *answer)
{
    const json_t *item = ledger_find(answers, "key", answer->key);
    const json_t *reply = json_object_get(item, "reply");
    return item != NULL &&
           json_is_true(json_object_get(item, "accepted")) == answer->outcome.accepted &&
           json_integer_value(json_object_get(reply, "n")) == answer->outcome.n;
}

/* A mist's ledger also says until when it stays. */
static void ledger_take_expiry(model_cell *cell, int number, const json_t *ledger)
{
    const json_t *expires = json_object_get(ledger, "expires");
    if (cell->is_mist && (expires != NULL) != cell->exists) {
        sim_fail("expiry", "mist %d: it is %s, and its ledger says %swhen it goes", number,
                 cell->exists ? "there" : "gone", expires == NULL ? "not " : "");
    }
    cell->expires_ms = expires == NULL ? INT64_MAX : json_integer_value(expires);
}

static void ledger_compare(model_cell *cell, int number, const sim_record *record)
{
    json_t *ledger = record->value.data == NULL
                         ? NULL
                         : json_loadb(record->value.data, record->value.size, 0, NULL);
    const json_t *timers = json_object_get(ledger, "timers");
    const json_t *answers = json_object_get(ledger, "answers");
    bool same = json_array_size(timers) == (size_t)cell->timer_count &&
                json_array_size(answers) == (size_t)cell->answer_count;
    for (int i = 0; same && i < cell->timer_count; i++) {
        same = ledger_has_timer(timers, &cell->timers[i]);
    }
    for (int i = 0; same && i < cell->answer_count; i++) {
        same = ledger_has_answer(answers, &cell->answers[i]);
    }
    if (!same) {
        sim_fail("I1", "cell %d: its ledger should have %d timers and %d answers, and is %.*s",
                 number, cell->timer_count, cell->answer_count, (int)record->value.size,
                 record->value.data == NULL ? "" : record->value.data);
    }
    ledger_take_expiry(cell, number, ledger);
    json_decref(ledger);
}

static void ledger_take_entity(model_cell *cell, int number, const sim_record *record)
{
    bool may_change = cell->ledger_changed || cell->is_mist; /* it may have moved its end */
    if (cell->ledger_seen || !may_change) {
        sim_fail("I1", "cell %d: a record of the ledger %s", number,
                 cell->ledger_seen ? "too many" : "though nothing changed");
    }
    cell->ledger_seen = true;
    ledger_compare(cell, number, record);
}

/* ---- those that fail ------------------------------------------------------------------------- */

static bool failing_is_same(const model_failing *left, const model_failing *right)
{
    return left->failures == right->failures && left->held == right->held &&
           left->waiting == right->waiting;
}

static void ledger_take_failing(model_cell *cell, int number, const sim_record *record)
{
    alv_quarantine_entry entry = {.failures = 0};
    if (record->value.data != NULL && !alv_quarantine_decode(record->value, &entry)) {
        sim_fail("quarantine", "cell %d: its record cannot be read", number);
    }
    const model_failing found = {entry.failures, entry.waiting, entry.since_ms != 0};
    if (cell->failing_seen || !failing_is_same(&found, &cell->failing)) {
        sim_fail("quarantine",
                 "cell %d: failures %" PRId64 " of %" PRId64 ", held %d of %d, waiting %" PRId64
                 " of %" PRId64,
                 number, found.failures, cell->failing.failures, found.held, cell->failing.held,
                 found.waiting, cell->failing.waiting);
    }
    cell->failing_seen = true;
}

/* ---- the job ----------------------------------------------------------------------------------- */

static void ledger_take_job(model_job *job, const sim_record *record)
{
    json_t *ledger = json_loadb(record->value.data, record->value.size, 0, NULL);
    const json_t *timers = json_object_get(ledger, "timers");
    job->next_ms = json_integer_value(json_object_get(json_array_get(timers, 0), "due"));
    if (json_array_size(timers) != 1 || job->next_ms <= 0) {
        sim_fail("jobs", "the ledger of the job is %.*s", (int)record->value.size,
                 record->value.data);
    }
    json_decref(ledger);
}

/* Each time is sent once and in its order, none before its time; the ledger moves on in the same transaction. */
void sim_model_check_job(sim_model *model)
{
    model_job *job = &model->job;
    bool is_first = job->due_ms == 0;
    if ((job->sent_count > 0 || job->next_ms != 0) &&
        (job->next_ms <= job->due_ms || (!is_first && job->sent_count == 0))) {
        sim_fail("jobs",
                 "the job was sent %d times, and its next time was %" PRId64 " and is %" PRId64,
                 job->sent_count, job->due_ms, job->next_ms);
    }
    int64_t earliest_ms = job->due_ms;
    for (int i = 0; i < job->sent_count; i++) {
        int64_t due_ms = job->sent[i];
        bool is_due = i == 0 && !is_first ? due_ms == job->due_ms : due_ms > earliest_ms;
        if (!is_due || due_ms >= job->next_ms || due_ms > model->latest_ms[model->node]) {
            sim_fail("jobs", "the job was sent for %" PRId64 ", and it was due at %" PRId64, due_ms,
                     job->due_ms);
        }
        earliest_ms = due_ms;
        model->ticks++;
    }
    job->due_ms = job->next_ms != 0 ? job->next_ms : job->due_ms;
    job->next_ms = 0;
    job->sent_count = 0;
}

void sim_model_take_ledger(sim_model *model, const sim_record *record)
{
    bool is_failing = alv_view_starts_with(record->key, ALV_VIEW(ALV_QUARANTINE_KEY));
    alv_view key = is_failing ? alv_quarantine_entity(record->key) : record->key;
    int number = sim_model_cell(key);
    if (alv_view_equal(record->key, ALV_VIEW(ALV_TABLES_KEY)) ||
        alv_view_equal(record->key, ALV_VIEW(ALV_PAUSED_KEY))) {
        return; /* taken before */
    }
    if (alv_singletons_is_key(record->key)) {
        ledger_take_job(&model->job, record);
        return;
    }
    if (number < 0) {
        sim_fail("I1", "the ledger has a record of nobody: %.*s", (int)record->key.size,
                 record->key.data);
    }
    if (is_failing) {
        ledger_take_failing(&model->cells[number], number, record);
    } else {
        ledger_take_entity(&model->cells[number], number, record);
    }
}

/* ---- shards that are paused -------------------------------------------------------------------- */

/* The record that says so; NULL = there is none. */
static const sim_record *ledger_find_pause(const sim_model *model,
                                           const sim_transaction *transaction, int32_t shard,
                                           size_t *out_others)
{
    const sim_record *found = NULL;
    *out_others = 0;
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        bool is_own = place->topic == ALV_TOPIC_CHANGELOG || place->topic == ALV_TOPIC_LEDGER ||
                      place->topic == ALV_TOPIC_EVENTS;
        if (!is_own || place->shard != shard) {
            continue;
        }
        const sim_record *record =
            &sim_broker_partition(model->broker, place->topic, shard)->records[place->offset];
        bool is_ledger = place->topic == ALV_TOPIC_LEDGER;
        if (is_ledger && alv_view_equal(record->key, ALV_VIEW(ALV_PAUSED_KEY))) {
            found = record;
        } else if (!is_ledger || !alv_view_equal(record->key, ALV_VIEW(ALV_POSITION_KEY))) {
            (*out_others)++;
        }
    }
    return found;
}

void sim_model_take_pause(sim_model *model, const sim_transaction *transaction, int32_t shard,
                          int64_t until)
{
    model_shard *known = &model->shards[shard];
    size_t others = 0;
    const sim_record *record = ledger_find_pause(model, transaction, shard, &others);
    if ((known->is_paused || record != NULL) && (others > 0 || until != known->next)) {
        sim_fail("pause",
                 "shard %d is paused, and %zu records and commands %" PRId64 " to %" PRId64
                 " are of it",
                 (int)shard, others, known->next, until);
    }
    if (record != NULL) {
        model->paused += record->value.data != NULL;
        known->is_paused = record->value.data != NULL;
        sim_trace("  shard %d: %s", (int)shard, known->is_paused ? "pauses" : "goes on");
    }
}

/* ---- the end of a transaction ---------------------------------------------------------------- */

/* A timer is told the time of its lane, from which the end counts; a command is not. */
static void cell_check_expiry(const model_cell *cell, int number)
{
    int64_t from_ms = cell->touched_ms + SIM_MIST_EXPIRES_MS;
    int64_t slack_ms = SIM_MIST_EXPIRES_MS / 8;
    if (cell->touched_by_timer &&
        (cell->expires_ms < from_ms || cell->expires_ms > from_ms + slack_ms)) {
        sim_fail("expiry", "mist %d: changed at %" PRId64 ", it goes at %" PRId64, number,
                 cell->touched_ms, cell->expires_ms);
    }
}

void sim_model_check_cell(model_cell *cell, int number)
{
    bool ledger_missing = cell->ledger_changed && !cell->ledger_seen;
    if (cell->state_changed != cell->state_seen || ledger_missing) {
        sim_fail("I1", "cell %d changed, and its %s is not in the transaction", number,
                 ledger_missing ? "ledger" : "state");
    }
    if (!cell->failing_seen && !failing_is_same(&cell->failing, &cell->failing_before)) {
        sim_fail("quarantine", "cell %d: what its failures come to is not in the transaction",
                 number);
    }
    if (cell->is_mist && cell->exists && cell->touched_ms > 0) {
        cell_check_expiry(cell, number);
    }
    cell->state_changed = cell->state_seen = false;
    cell->ledger_changed = cell->ledger_seen = false;
    cell->failing_seen = false;
    cell->failing_before = cell->failing;
    cell->touched_ms = 0;
}

/* ---- versions of the table ------------------------------------------------------------------- */

void sim_model_take_version(sim_model *model, const sim_transaction *transaction, int32_t shard)
{
    model_shard *own = &model->shards[shard];
    own->has_looked = false;
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        const sim_record *record = &sim_broker_partition(model->broker, place->topic, place->shard)
                                        ->records[place->offset];
        sim_version version;
        if (place->topic != ALV_TOPIC_LEDGER || place->shard != shard ||
            !alv_view_equal(record->key, ALV_VIEW(ALV_TABLES_KEY))) {
            continue;
        }
        if (!sim_version_read(record->value, &version) ||
            !sim_version_covers(&version, &own->version) ||
            !sim_version_covers(&model->broker->table, &version)) {
            sim_fail("I12", "shard %d: after version %" PRId64 " %" PRId64 " of the table, %.*s",
                     (int)shard, own->version.offsets[0], own->version.offsets[1],
                     (int)record->value.size, record->value.data);
        }
        own->version = version;
    }
}

void sim_model_check_version(const sim_model *model, const sim_transaction *transaction,
                             int32_t shard)
{
    const model_shard *own = &model->shards[shard];
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        const sim_record *record = &sim_broker_partition(model->broker, place->topic, place->shard)
                                        ->records[place->offset];
        if (place->topic != ALV_TOPIC_CHANGELOG || place->shard != shard) {
            continue;
        }
        alv_view header = sim_model_header(record, ALV_HEADER_TABLES);
        sim_version version;
        bool good = own->has_looked ? sim_version_read(header, &version) &&
                                          sim_version_covers(&version, &own->version) &&
                                          sim_version_covers(&own->version, &version)
                                    : header.data == NULL;
        if (!good) {
            sim_fail("I12", "shard %d: a record of the changelog says %.*s; looked at: %s",
                     (int)shard, (int)header.size, header.data == NULL ? "" : header.data,
                     own->has_looked ? "the version in the ledger" : "nothing");
        }
    }
}
