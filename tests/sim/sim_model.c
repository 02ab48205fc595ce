#include "tests/sim/sim_model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_model_internal.h"
#include "tests/sim/sim_trace.h"
#include "topics/schema.h"

/* ---- lines ----------------------------------------------------------------------------------- */

void sim_model_add_line(model_lines *lines, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (lines->count == lines->capacity) {
        lines->capacity = 2 * lines->capacity + 16;
        lines->items = alv_realloc(lines->items, lines->capacity * sizeof *lines->items);
    }
    lines->items[lines->count++] = alv_strdup(text);
}

static void lines_clear(model_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        alv_free(lines->items[i]);
    }
    lines->count = 0;
}

static int line_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* ---- life ------------------------------------------------------------------------------------ */

sim_model *sim_model_new(sim_broker *broker, const sim_marks *marks)
{
    sim_model *model = alv_alloc(sizeof *model);
    model->broker = broker;
    model->marks = marks;
    for (int i = 0; i < SIM_CELLS; i++) {
        model->cells[i].is_mist = i >= SIM_MISTS_FROM;
        model->cells[i].expires_ms = INT64_MAX;
    }
    return model;
}

void sim_model_free(sim_model *model)
{
    for (int i = 0; i < SIM_CELLS; i++) {
        alv_free(model->cells[i].answers);
    }
    for (int i = 0; i < SIM_SHARDS_MAX; i++) {
        alv_free(model->shards[i].outcomes);
    }
    lines_clear(&model->expected);
    lines_clear(&model->found);
    alv_free(model->expected.items);
    alv_free(model->found.items);
    alv_free(model);
}

/* ---- what a transaction says ----------------------------------------------------------------- */

static const sim_record *model_record(const sim_model *model, const sim_place *place)
{
    return &sim_broker_partition(model->broker, place->topic, place->shard)->records[place->offset];
}

static bool model_is_position(const sim_place *place, const sim_record *record)
{
    return place->topic == ALV_TOPIC_LEDGER &&
           alv_view_equal(record->key, ALV_VIEW(ALV_POSITION_KEY));
}

/* The position record of the shard, ALV_OFFSET_NONE when there is none. */
static int64_t model_position(const sim_model *model, const sim_transaction *transaction,
                              int32_t shard)
{
    int64_t found = ALV_OFFSET_NONE;
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        const sim_record *record = model_record(model, place);
        if (place->shard == shard && model_is_position(place, record)) {
            int64_t at_ms = 0;
            if (found != ALV_OFFSET_NONE) {
                sim_fail("I1", "two position records of shard %d in one transaction", (int)shard);
            }
            if (alv_schema_read_position(record->value, &found, &at_ms, NULL) != ALV_OK) {
                sim_fail("I11", "a position record that cannot be read");
            }
        }
    }
    return found;
}

static model_event model_read_event(const sim_record *record)
{
    model_event event = {.cell = sim_model_cell(record->key)};
    json_t *body = json_loadb(record->value.data, record->value.size, 0, NULL);
    ALV_ASSERT(body != NULL);
    event.id = json_integer_value(json_object_get(body, "id"));
    event.n = json_integer_value(json_object_get(body, "n"));
    event.chain = json_integer_value(json_object_get(body, "chain"));
    event.now_ms = json_integer_value(json_object_get(body, "now"));
    event.due_ms = json_integer_value(json_object_get(body, "due"));
    const char *timer = json_string_value(json_object_get(body, "timer"));
    (void)snprintf(event.timer, sizeof event.timer, "%s", timer == NULL ? "" : timer);
    json_decref(body);
    return event;
}

/* The next event or dead letter of the shard from *at on; false when there is none. */
static bool model_next_event(const sim_model *model, const sim_transaction *transaction,
                             int32_t shard, size_t *at, model_event *out)
{
    for (; *at < transaction->place_count; (*at)++) {
        const sim_place *place = &transaction->places[*at];
        if (place->shard != shard) {
            continue;
        }
        if (place->topic == ALV_TOPIC_EVENTS || place->topic == ALV_TOPIC_DEAD_LETTERS) {
            const sim_record *record = model_record(model, place);
            *out = place->topic == ALV_TOPIC_EVENTS
                       ? model_read_event(record)
                       : (model_event){.is_dead = true, .cell = sim_model_cell(record->key)};
            (*at)++;
            return true;
        }
    }
    return false;
}

/* ---- executing what it consumed -------------------------------------------------------------- */

static void model_note_outcome(model_shard *shard, int64_t offset, const model_outcome *outcome)
{
    if (offset >= shard->outcome_capacity) {
        shard->outcome_capacity = 2 * offset + 64;
        shard->outcomes =
            alv_realloc(shard->outcomes, (size_t)shard->outcome_capacity * sizeof *shard->outcomes);
    }
    shard->outcomes[offset] = *outcome;
}

static void model_compare_event(int32_t shard, int64_t offset, const model_event *expected,
                                bool has_event, const model_event *event)
{
    if (!has_event || event->is_dead || event->cell != expected->cell ||
        event->id != expected->id || event->n != expected->n || event->chain != expected->chain) {
        sim_fail("I1",
                 "shard %d offset %" PRId64 ": cell %d id %" PRId64 " should have made n=%" PRId64
                 "; the next event is of cell %d id %" PRId64 " n=%" PRId64,
                 (int)shard, offset, expected->cell, expected->id, expected->n,
                 has_event ? event->cell : -1, has_event ? event->id : -1,
                 has_event ? event->n : -1);
    }
    if (event->now_ms != expected->now_ms) {
        sim_fail("I1", "shard %d offset %" PRId64 ": its handler was told another time", (int)shard,
                 offset);
    }
}

static void model_expect_dead(int32_t shard, int64_t offset, bool has_event,
                              const model_event *event)
{
    if (!has_event || !event->is_dead) {
        sim_fail("I8", "shard %d offset %" PRId64 " should be a dead letter", (int)shard, offset);
    }
}

/* One command; true when the event in hand was its. */
static bool model_step(sim_model *model, int32_t number, int64_t offset, bool has_event,
                       const model_event *event)
{
    sim_partition *partition = sim_broker_partition(model->broker, ALV_TOPIC_COMMANDS, number);
    const sim_record *record = &partition->records[offset];
    model_outcome outcome = {.is_dead = false};
    model_event expected;
    bool publishes = false;
    if (record->transaction != NULL && record->transaction->decision == SIM_UNDECIDED) {
        sim_fail("I1", "shard %d offset %" PRId64 " was consumed and is not committed", (int)number,
                 offset);
    }
    model->event = has_event ? event : NULL;
    model->offset = offset;
    if (sim_record_is_committed(record)) {
        publishes = sim_model_execute(model, record, &outcome, &expected);
    }
    model_note_outcome(&model->shards[number], offset, &outcome);
    if (publishes) {
        model_compare_event(number, offset, &expected, has_event, event);
    } else if (outcome.is_dead) {
        model_expect_dead(number, offset, has_event, event);
    }
    return publishes || outcome.is_dead;
}

static void model_run_shard(sim_model *model, const sim_transaction *transaction, int32_t number,
                            int64_t until)
{
    model_shard *shard = &model->shards[number];
    model->running = number;
    size_t at = 0;
    model_event event = {.cell = -1};
    bool has_event = model_next_event(model, transaction, number, &at, &event);
    while (has_event || shard->next < until) {
        bool waits = has_event && model->cells[event.cell].failing.held && shard->next < until;
        bool used = has_event && event.timer[0] != '\0' && !waits; /* its release comes first */
        if (used) {
            sim_model_ring(model, &event);
        } else if (shard->next < until) {
            used = model_step(model, number, shard->next, has_event, &event);
            shard->next++;
        } else {
            sim_fail("I1",
                     "shard %d: an event of cell %d, id %" PRId64 ", though nothing was consumed",
                     (int)number, event.cell, event.id);
        }
        if (used) {
            has_event = model_next_event(model, transaction, number, &at, &event);
        }
    }
}

/* ---- what it published ----------------------------------------------------------------------- */

static void model_compare_state(const model_cell *cell, int number, const sim_record *record)
{
    json_t *state = record->value.data == NULL
                        ? NULL
                        : json_loadb(record->value.data, record->value.size, 0, NULL);
    int64_t n = json_integer_value(json_object_get(state, "n"));
    int64_t chain = json_integer_value(json_object_get(state, "chain"));
    if ((state != NULL) != cell->exists ||
        (cell->exists && (n != cell->n || chain != cell->chain))) {
        sim_fail("I1", "cell %d: the changelog has n=%" PRId64 ", the commands make n=%" PRId64,
                 number, state == NULL ? -1 : n, cell->exists ? cell->n : -1);
    }
    json_decref(state);
}

static void model_take_state(sim_model *model, const sim_record *record)
{
    int number = sim_model_cell(record->key);
    if (number < 0) {
        sim_fail("I1", "the changelog has a record of nobody: %.*s", (int)record->key.size,
                 record->key.data);
    }
    model_cell *cell = &model->cells[number];
    if (cell->state_seen || !cell->state_changed) {
        sim_fail("I1", "cell %d: a record of the changelog %s", number,
                 cell->state_seen ? "too many" : "though nothing changed");
    }
    cell->state_seen = true;
    model_compare_state(cell, number, record);
}

/* A command that an entity emitted, or an outcome that comes back to it. */
static void model_take_command(sim_model *model, const sim_record *record)
{
    json_t *body = json_loadb(record->value.data, record->value.size, 0, NULL);
    const char *type = json_string_value(json_object_get(body, "type"));
    alv_view key = sim_model_header(record, ALV_HEADER_IDEMPOTENCY_KEY);
    int from = sim_model_cell(sim_model_header(record, ALV_HEADER_FROM));
    ALV_ASSERT(type != NULL);
    if (strcmp(type, "tick") == 0) {
        ALV_ASSERT(model->job.sent_count < MODEL_TICKS_MAX);
        model->job.sent[model->job.sent_count++] = json_integer_value(json_object_get(body, "due"));
    } else if (strcmp(type, "ack") == 0) {
        sim_model_add_line(&model->found, "outcome %.*s ack key=%s accepted=%d from=%d",
                           (int)record->key.size, record->key.data,
                           json_string_value(json_object_get(body, "idempotencyKey")),
                           json_is_true(json_object_get(body, "accepted")), from);
    } else {
        sim_model_add_line(&model->found, "command %.*s %s %" PRId64 " key=%.*s from=%d",
                           (int)record->key.size, record->key.data, type,
                           (int64_t)json_integer_value(json_object_get(body, "id")), (int)key.size,
                           key.data, from);
    }
    json_decref(body);
}

static void model_take_reply(sim_model *model, const sim_record *record)
{
    json_t *body = json_loadb(record->value.data, record->value.size, 0, NULL);
    bool accepted = json_object_get(body, "error") == NULL;
    sim_model_add_line(&model->found, "reply %.*s %d %" PRId64 " %" PRId64, (int)record->key.size,
                       record->key.data, accepted,
                       (int64_t)json_integer_value(json_object_get(body, "n")),
                       (int64_t)json_integer_value(json_object_get(body, "chain")));
    json_decref(body);
}

static void model_take_dead(sim_model *model, const sim_record *record)
{
    alv_view reason = sim_model_header(record, ALV_HEADER_REASON);
    sim_model_add_line(&model->found, "dead %d %.*s", sim_model_cell(record->key), (int)reason.size,
                       reason.data);
}

static void model_take(sim_model *model, const sim_place *place, const sim_record *record)
{
    switch (place->topic) {
    case ALV_TOPIC_CHANGELOG:
        model_take_state(model, record);
        break;
    case ALV_TOPIC_LEDGER:
        if (!model_is_position(place, record)) {
            sim_model_take_ledger(model, record);
        }
        break;
    case ALV_TOPIC_COMMANDS:
        model_take_command(model, record);
        break;
    case ALV_TOPIC_REPLIES:
        model_take_reply(model, record);
        break;
    case ALV_TOPIC_DEAD_LETTERS:
        model_take_dead(model, record);
        break;
    default:
        break; /* events were taken in their order */
    }
}

static void model_compare_cells(sim_model *model)
{
    for (int i = 0; i < SIM_CELLS; i++) {
        sim_model_check_cell(&model->cells[i], i);
    }
}

/* A mist that has gone without a command shows by its record alone. */
static void model_find_expired(sim_model *model, const sim_transaction *transaction)
{
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        const sim_record *record = model_record(model, place);
        int number = place->topic == ALV_TOPIC_CHANGELOG ? sim_model_cell(record->key) : -1;
        if (number >= 0 && record->value.data == NULL && model->cells[number].exists &&
            model->cells[number].is_mist) {
            sim_model_expire(model, number);
        }
    }
}

static void model_compare_lines(sim_model *model)
{
    model_lines *expected = &model->expected;
    model_lines *found = &model->found;
    if (expected->count > 0) {
        qsort(expected->items, expected->count, sizeof *expected->items, line_compare);
    }
    if (found->count > 0) {
        qsort(found->items, found->count, sizeof *found->items, line_compare);
    }
    for (size_t i = 0; i < expected->count || i < found->count; i++) {
        const char *left = i < expected->count ? expected->items[i] : "nothing";
        const char *right = i < found->count ? found->items[i] : "nothing";
        if (strcmp(left, right) != 0) {
            sim_fail("I1", "should have gone out: %s; went out: %s", left, right);
        }
    }
    lines_clear(expected);
    lines_clear(found);
}

/* ---- a decision ------------------------------------------------------------------------------ */

static void model_check_offsets(const sim_model *model, const sim_transaction *transaction,
                                int32_t shard, int64_t until)
{
    int64_t next = model->shards[shard].next;
    if (until < next) {
        sim_fail("I3",
                 "shard %d: p%d commits up to command %" PRId64
                 ", others have committed up to %" PRId64,
                 (int)shard, transaction->producer, until, next);
    }
    if (until > sim_broker_partition(model->broker, ALV_TOPIC_COMMANDS, shard)->end) {
        sim_fail("I11", "shard %d: position %" PRId64 " is not in the log", (int)shard, until);
    }
    for (size_t i = 0; i < transaction->offset_count; i++) {
        if (transaction->offsets[i].shard == shard) {
            if (transaction->offsets[i].offset != until) {
                sim_fail("I11", "shard %d: offset %" PRId64 ", position record %" PRId64,
                         (int)shard, transaction->offsets[i].offset, until);
            }
            return;
        }
    }
    sim_fail("I1", "shard %d: its position is in the transaction, its offset is not", (int)shard);
}

/* Everything of a shard comes with its position. */
static void model_check_places(const sim_transaction *transaction, sim_shards touched)
{
    for (size_t i = 0; i < transaction->place_count; i++) {
        const sim_place *place = &transaction->places[i];
        bool anywhere = place->topic == ALV_TOPIC_COMMANDS || place->topic == ALV_TOPIC_REPLIES;
        if (!anywhere && (touched >> place->shard & 1) == 0) {
            sim_fail("I1", "the transaction wrote to the %s of shard %d, and has no position of it",
                     alv_schema_suffix(place->topic), (int)place->shard);
        }
    }
    for (size_t i = 0; i < transaction->offset_count; i++) {
        if ((touched >> transaction->offsets[i].shard & 1) == 0) {
            sim_fail("I11", "offsets of shard %d are committed without its position record",
                     (int)transaction->offsets[i].shard);
        }
    }
    if (transaction->place_count > 0 && touched == 0) {
        sim_fail("I1", "a part of a transaction was committed");
    }
}

void sim_model_decided(sim_model *model, const sim_transaction *transaction)
{
    sim_trace("broker: transaction %d of p%d: %s, %zu records, %zu shards", transaction->number,
              transaction->producer,
              transaction->decision == SIM_COMMITTED ? "committed" : "aborted",
              transaction->place_count, transaction->offset_count);
    if (transaction->decision != SIM_COMMITTED) {
        return;
    }
    sim_shards touched = 0;
    model->node = transaction->producer / SIM_LANES_MAX;
    for (int32_t shard = 0; shard < model->broker->shard_count; shard++) {
        int64_t until = model_position(model, transaction, shard);
        if (until != ALV_OFFSET_NONE) {
            touched |= (sim_shards)1 << shard;
            model_check_offsets(model, transaction, shard, until);
            sim_trace("  shard %d: commands %" PRId64 " to %" PRId64, (int)shard,
                      model->shards[shard].next, until);
            sim_model_take_pause(model, transaction, shard, until);
            sim_model_take_version(model, transaction, shard);
            model_run_shard(model, transaction, shard, until);
            sim_model_check_version(model, transaction, shard);
        }
    }
    model_check_places(transaction, touched);
    model_find_expired(model, transaction);
    for (size_t i = 0; i < transaction->place_count; i++) {
        model_take(model, &transaction->places[i], model_record(model, &transaction->places[i]));
    }
    model_compare_cells(model);
    model_compare_lines(model);
    sim_model_check_job(model);
}

/* ---- for others to ask ----------------------------------------------------------------------- */

int64_t sim_model_job_due(const sim_model *model)
{
    return model->job.due_ms;
}

bool sim_model_is_paused(const sim_model *model, int32_t shard)
{
    return model->shards[shard].is_paused;
}

int64_t sim_model_next(const sim_model *model, int32_t shard)
{
    return model->shards[shard].next;
}

void sim_model_replied(const sim_model *model, const alv_result *result)
{
    const model_shard *shard = &model->shards[result->shard];
    if (result->offset >= shard->next) {
        sim_fail("I7", "shard %d offset %" PRId64 " was answered and is not committed",
                 (int)result->shard, result->offset);
    }
    const model_outcome *outcome = &shard->outcomes[result->offset];
    bool same = result->kind == ALV_RESULT_DEAD       ? outcome->is_dead
                : result->kind == ALV_RESULT_REJECTED ? !outcome->is_dead && !outcome->accepted
                                                      : !outcome->is_dead && outcome->accepted;
    if (same && result->kind == ALV_RESULT_DONE && outcome->is_release) {
        json_t *reply = json_loadb(result->text.data, result->text.size, 0, NULL);
        same = json_is_true(json_object_get(reply, "released")) == (outcome->n != 0) &&
               json_integer_value(json_object_get(reply, "waiting")) == outcome->chain;
        json_decref(reply);
    } else if (same && result->kind == ALV_RESULT_DONE) {
        json_t *reply = json_loadb(result->text.data, result->text.size, 0, NULL);
        same = json_integer_value(json_object_get(reply, "n")) == outcome->n &&
               json_integer_value(json_object_get(reply, "chain")) == outcome->chain;
        json_decref(reply);
    }
    if (!same) {
        sim_fail("I7", "shard %d offset %" PRId64 " was answered with %.*s, should be n=%" PRId64,
                 (int)result->shard, result->offset, (int)result->text.size, result->text.data,
                 outcome->n);
    }
}

int64_t sim_model_due(const sim_model *model)
{
    int64_t due_ms = INT64_MAX;
    for (int i = 0; i < SIM_CELLS; i++) {
        const model_cell *cell = &model->cells[i];
        if (cell->failing.held) {
            continue; /* they wait until it is released */
        }
        if (cell->is_mist && cell->exists) {
            due_ms = cell->expires_ms < due_ms ? cell->expires_ms : due_ms;
        }
        for (int j = 0; j < model->cells[i].timer_count; j++) {
            int64_t timer_ms = model->cells[i].timers[j].due_ms;
            due_ms = timer_ms < due_ms ? timer_ms : due_ms;
        }
    }
    return due_ms;
}

bool sim_model_is_done(const sim_model *model)
{
    for (int32_t shard = 0; shard < model->broker->shard_count; shard++) {
        const sim_partition *partition =
            sim_broker_partition(model->broker, ALV_TOPIC_COMMANDS, shard);
        for (int64_t i = model->shards[shard].next; i < partition->end; i++) {
            const sim_record *record = &partition->records[i];
            bool undecided =
                record->transaction != NULL && record->transaction->decision == SIM_UNDECIDED;
            if (undecided || sim_record_is_committed(record)) {
                return false;
            }
        }
    }
    return true;
}

int64_t sim_model_executions(const sim_model *model)
{
    return model->executions;
}

int64_t sim_model_timers(const sim_model *model)
{
    return model->timers;
}

int64_t sim_model_repeated(const sim_model *model)
{
    return model->repeated;
}

void sim_model_count(const sim_model *model, sim_model_counts *out)
{
    *out = (sim_model_counts){.expired = model->expired,
                              .quarantined = model->quarantined,
                              .released = model->released,
                              .looked = model->looked,
                              .paused = model->paused,
                              .ticks = model->ticks,
                              .poisoned = model->poisoned};
}

const sim_version *sim_model_version(const sim_model *model, int32_t shard)
{
    return &model->shards[shard].version;
}

bool sim_model_is_held(const sim_model *model, int cell)
{
    return model->cells[cell].failing.held;
}

void sim_model_see_clock(sim_model *model, int node, int64_t now_ms)
{
    if (now_ms > model->latest_ms[node]) {
        model->latest_ms[node] = now_ms;
    }
}
