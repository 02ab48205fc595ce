/* sim_model_cell.c — what a cell does, on plain structs; see sim_cell.h and sim_model.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_cell.h"
#include "tests/sim/sim_model_internal.h"
#include "tests/sim/sim_trace.h"
#include "topics/schema.h"

void sim_model_key(int cell, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%d", cell < SIM_MISTS_FROM ? "cell" : "mist", cell);
}

int sim_model_cell(alv_view key)
{
    size_t prefix_size = strlen("cell/");
    if (key.data == NULL || key.size <= prefix_size ||
        (!alv_view_starts_with(key, ALV_VIEW("cell/")) &&
         !alv_view_starts_with(key, ALV_VIEW("mist/")))) {
        return -1;
    }
    int number = 0;
    for (size_t i = prefix_size; i < key.size; i++) {
        number = number * 10 + (key.data[i] - '0');
    }
    bool is_mist = key.data[0] == 'm';
    return number >= 0 && number < SIM_CELLS && is_mist == (number >= SIM_MISTS_FROM) ? number : -1;
}

alv_view sim_model_header(const sim_record *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++) {
        if (strcmp(record->headers[i].name, name) == 0) {
            return record->headers[i].value;
        }
    }
    return ALV_VIEW_NONE;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static int cell_find_timer(const model_cell *cell, const char *name)
{
    for (int i = 0; i < cell->timer_count; i++) {
        if (strcmp(cell->timers[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static void cell_cancel_timer(model_cell *cell, const char *name)
{
    int at = cell_find_timer(cell, name);
    if (at < 0) {
        return;
    }
    for (int i = at; i + 1 < cell->timer_count; i++) {
        cell->timers[i] = cell->timers[i + 1];
    }
    cell->timer_count--;
    cell->ledger_changed = true;
}

static void cell_set_timer(model_cell *cell, const model_timer *timer)
{
    cell_cancel_timer(cell, timer->name);
    ALV_ASSERT(cell->timer_count < MODEL_TIMERS_MAX);
    cell->timers[cell->timer_count++] = *timer;
    cell->ledger_changed = true;
}

/* ---- expiry ---------------------------------------------------------------------------------- */

/* Of one that was changed in the same transaction the ledger does not say when it was to go; one that failed in it
 * may have gone before. */
void sim_model_expire(sim_model *model, int number)
{
    model_cell *cell = &model->cells[number];
    if (cell->failing.held && cell->failing_before.held) {
        sim_fail("quarantine", "mist %d: it has gone, and is quarantined", number);
    }
    if (cell->touched_ms == 0 && model->latest_ms[model->node] < cell->expires_ms) {
        sim_fail("expiry", "mist %d: it has gone %" PRId64 " ms too early", number,
                 cell->expires_ms - model->latest_ms[model->node]);
    }
    cell->exists = false;
    cell->n = cell->chain = 0;
    cell->timer_count = 0;
    cell->state_changed = true;
    cell->ledger_changed = true;
    model->expired++;
}

/* The next event begins anew. */
static void cell_find_expired(sim_model *model, int number)
{
    const model_cell *cell = &model->cells[number];
    const model_event *event = model->event;
    if (cell->is_mist && cell->exists && event != NULL && event->cell == number &&
        event->timer[0] == '\0' && event->n == 1) {
        sim_model_expire(model, number);
    }
}

/* ---- executions ------------------------------------------------------------------------------ */

/* Counts, and says what the event must be. */
static model_outcome cell_count(model_cell *cell, int64_t id, int64_t now_ms, model_event *event)
{
    cell->touched_ms = now_ms;
    cell->touched_by_timer = false;
    uint64_t before = cell->exists ? (uint64_t)cell->chain : 0;
    cell->n = cell->exists ? cell->n + 1 : 1;
    cell->chain =
        (int64_t)((before * 1000003u + (uint64_t)id * 31u + 7u) % (uint64_t)SIM_CELL_CHAIN_MAX);
    cell->exists = true;
    cell->state_changed = true;
    *event = (model_event){.id = id, .n = cell->n, .chain = cell->chain, .now_ms = now_ms};
    return (model_outcome){.accepted = true, .n = cell->n, .chain = cell->chain};
}

static model_outcome cell_remove(model_cell *cell, int64_t id, int64_t now_ms, model_event *event)
{
    if (cell->exists) {
        cell->ledger_changed = cell->ledger_changed || cell->timer_count > 0;
        cell->timer_count = 0;
        cell->exists = false;
        cell->n = cell->chain = 0;
        cell->state_changed = true;
    }
    *event = (model_event){.id = id, .now_ms = now_ms};
    return (model_outcome){.accepted = true};
}

static int64_t body_integer(const json_t *body, const char *name)
{
    return json_integer_value(json_object_get(body, name));
}

/* What a row has at the version that the transaction says it has seen. */
static int64_t cell_look(sim_model *model, const json_t *body)
{
    model_shard *shard = &model->shards[model->running];
    const char *row = json_string_value(json_object_get(body, "row"));
    shard->has_looked = true;
    model->looked++;
    return SIM_CELL_LOOKED * sim_table_value((int)strtol(row + 1, NULL, 10), &shard->version);
}

static void cell_arm(model_cell *cell, const json_t *body, int64_t now_ms)
{
    model_timer timer = {.delay_ms = body_integer(body, "delay"),
                         .id = body_integer(body, "id"),
                         .left = body_integer(body, "left")};
    timer.due_ms = now_ms + timer.delay_ms;
    (void)snprintf(timer.name, sizeof timer.name, "%s",
                   json_string_value(json_object_get(body, "name")));
    cell_set_timer(cell, &timer);
}

/* The handler of each type. */
static model_outcome cell_handle(sim_model *model, int number, const json_t *body, int64_t now_ms,
                                 model_event *event)
{
    model_cell *cell = &model->cells[number];
    const char *type = json_string_value(json_object_get(body, "type"));
    int64_t id = body_integer(body, "id");
    if (strcmp(type, "refuse") == 0) {
        return (model_outcome){.accepted = false};
    }
    cell_find_expired(model, number);
    if (strcmp(type, "remove") == 0) {
        return cell_remove(cell, id, now_ms, event);
    }
    if (strcmp(type, "ack") == 0) {
        const char *key = json_string_value(json_object_get(body, "idempotencyKey"));
        bool accepted = json_is_true(json_object_get(body, "accepted"));
        id = strtoll(key + 1, NULL, 10) * 2 + accepted + 2 * SIM_CELL_PASSED;
    } else if (strcmp(type, "tick") == 0) {
        id = body_integer(body, "due") % SIM_CELL_TICKS;
    } else if (strcmp(type, "look") == 0) {
        id += cell_look(model, body);
    }
    model_outcome outcome = cell_count(cell, id, now_ms, event);
    if (strcmp(type, "arm") == 0) {
        cell_arm(cell, body, now_ms);
    } else if (strcmp(type, "disarm") == 0) {
        cell_cancel_timer(cell, json_string_value(json_object_get(body, "name")));
    } else if (strcmp(type, "pass") == 0) {
        const char *to = json_string_value(json_object_get(body, "to"));
        sim_model_add_line(&model->expected, "command %s %s %" PRId64 " key=p%" PRId64 " from=%d",
                           to, id % 7 == 0 ? "refuse" : "add", id + SIM_CELL_PASSED, id, number);
    }
    return outcome;
}

void sim_model_ring(sim_model *model, const model_event *event)
{
    model_cell *cell = &model->cells[event->cell];
    if (cell->failing.held) {
        sim_fail("quarantine", "cell %d: timer %s fired, and it is quarantined", event->cell,
                 event->timer);
    }
    int at = cell_find_timer(cell, event->timer);
    if (at < 0 || cell->timers[at].due_ms != event->due_ms) {
        sim_fail("I1", "cell %d: timer %s due at %" PRId64 " fired, and is not pending",
                 event->cell, event->timer, event->due_ms);
    }
    if (event->now_ms < event->due_ms) {
        sim_fail("timers", "cell %d: timer %s fired %" PRId64 " ms early", event->cell,
                 event->timer, event->due_ms - event->now_ms);
    }
    model_timer timer = cell->timers[at];
    cell_cancel_timer(cell, event->timer);
    model_event expected;
    (void)cell_count(cell, timer.id, event->now_ms, &expected);
    cell->touched_by_timer = true;
    cell->failing = (model_failing){.failures = 0};
    if (expected.id != event->id || expected.n != event->n || expected.chain != event->chain) {
        sim_fail("I1",
                 "cell %d: timer %s: n=%" PRId64 " of %" PRId64 ", id %" PRId64 " of %" PRId64,
                 event->cell, event->timer, event->n, expected.n, event->id, expected.id);
    }
    if (timer.left > 0) {
        timer.left--;
        timer.due_ms = event->now_ms + timer.delay_ms;
        cell_set_timer(cell, &timer);
    }
    model->timers++;
    model->executions++;
}

/* ---- commands -------------------------------------------------------------------------------- */

static const model_answer *cell_answer(const model_cell *cell, alv_view key)
{
    for (int i = 0; i < cell->answer_count; i++) {
        if (alv_view_equal(alv_view_of(cell->answers[i].key), key)) {
            return &cell->answers[i];
        }
    }
    return NULL;
}

static void cell_remember(model_cell *cell, alv_view key, const model_outcome *outcome)
{
    size_t size = (size_t)(cell->answer_count + 1) * sizeof *cell->answers;
    cell->answers = alv_realloc(cell->answers, size);
    model_answer *answer = &cell->answers[cell->answer_count++];
    (void)snprintf(answer->key, sizeof answer->key, "%.*s", (int)key.size, key.data);
    answer->outcome = *outcome;
    cell->ledger_changed = true;
}

/* Who waits, by a topic or by a command that takes the outcome back. */
static void command_answer(sim_model *model, const sim_record *record, int number,
                           const model_outcome *outcome)
{
    alv_view on_reply = sim_model_header(record, ALV_HEADER_ON_REPLY);
    alv_view reply_to = sim_model_header(record, ALV_HEADER_REPLY_TO);
    if (on_reply.data != NULL) {
        alv_view from = sim_model_header(record, ALV_HEADER_FROM);
        alv_view key = sim_model_header(record, ALV_HEADER_IDEMPOTENCY_KEY);
        sim_model_add_line(&model->expected, "outcome %.*s %.*s key=%.*s accepted=%d from=%d",
                           (int)from.size, from.data, (int)on_reply.size, on_reply.data,
                           (int)key.size, key.data, outcome->accepted, number);
    }
    if (reply_to.data != NULL && !alv_view_starts_with(reply_to, ALV_VIEW(ALV_REPLY_TO_NODE))) {
        alv_view id = sim_model_header(record, ALV_HEADER_CORRELATION_ID);
        sim_model_add_line(&model->expected, "reply %.*s %d %" PRId64 " %" PRId64, (int)id.size,
                           id.data, outcome->accepted, outcome->n, outcome->chain);
    }
}

/* ---- failures -------------------------------------------------------------------------------- */

static void command_bury(sim_model *model, int number, const char *reason)
{
    sim_model_add_line(&model->expected, "dead %d %s", number, reason);
}

/* Enough of these in a row, and nothing of the entity is executed any more. */
static void command_fail(sim_model *model, int number, const char *reason)
{
    model_failing *failing = &model->cells[number].failing;
    failing->failures++;
    failing->held = failing->failures >= SIM_FAILURES;
    model->quarantined += failing->held;
    command_bury(model, number, reason);
}

/* Its ledger is written again, so that its timers are looked at. */
static model_outcome command_release(sim_model *model, const sim_record *record, int number)
{
    model_cell *cell = &model->cells[number];
    model_outcome outcome = {.accepted = true,
                             .is_release = true,
                             .n = cell->failing.held,
                             .chain = cell->failing.held ? cell->failing.waiting : 0};
    if (cell->failing.held) {
        cell->failing = (model_failing){.failures = 0};
        cell->ledger_changed =
            cell->ledger_changed || cell->timer_count > 0 || cell->answer_count > 0;
        model->released++;
    }
    const model_outcome told = {.accepted = true};
    command_answer(model, record, number, &told);
    return outcome;
}

/* What is wrong with a command: the reason of its dead letter, NULL when nothing is. */
static const char *command_problem(const json_t *body)
{
    const char *type = json_string_value(json_object_get(body, "type"));
    if (body == NULL) {
        return "not-json";
    }
    if (type == NULL || strcmp(type, "dance") == 0) {
        return "unknown-type";
    }
    bool has_id = strcmp(type, "ack") == 0 || strcmp(type, "tick") == 0 ||
                  json_is_integer(json_object_get(body, "id"));
    return has_id ? NULL : "bad-field";
}

/* One that was executed before would only be answered. */
static bool command_breaks(const model_cell *cell, const sim_record *record, const json_t *body)
{
    alv_view key = sim_model_header(record, ALV_HEADER_IDEMPOTENCY_KEY);
    const char *type = json_string_value(json_object_get(body, "type"));
    return strcmp(type, "break") == 0 && (key.data == NULL || cell_answer(cell, key) == NULL);
}

static bool command_kills(const json_t *body)
{
    return strcmp(json_string_value(json_object_get(body, "type")), "poison") == 0;
}

static bool command_run(sim_model *model, const sim_record *record, int number, const json_t *body,
                        model_outcome *out_outcome, model_event *out_event)
{
    model_cell *cell = &model->cells[number];
    alv_view key = sim_model_header(record, ALV_HEADER_IDEMPOTENCY_KEY);
    const model_answer *known = key.data == NULL ? NULL : cell_answer(cell, key);
    if (known != NULL) {
        *out_outcome = known->outcome;
        model->repeated++;
    } else {
        cell->failing = (model_failing){.failures = 0};
        *out_outcome = cell_handle(model, number, body, record->timestamp_ms, out_event);
        out_event->cell = number;
        if (key.data != NULL) {
            cell_remember(cell, key, out_outcome);
        }
    }
    command_answer(model, record, number, out_outcome);
    return known == NULL && out_outcome->accepted;
}

bool sim_model_execute(sim_model *model, const sim_record *record, model_outcome *out_outcome,
                       model_event *out_event)
{
    int number = sim_model_cell(record->key);
    ALV_ASSERT(number >= 0);
    json_t *body = record->value.data == NULL
                       ? NULL
                       : json_loadb(record->value.data, record->value.size, 0, NULL);
    const char *problem = command_problem(body);
    bool publishes = false;
    model_cell *cell = &model->cells[number];
    model->executions++;
    *out_outcome = (model_outcome){.is_dead = true};
    if (sim_model_header(record, ALV_HEADER_RELEASE).data != NULL) {
        *out_outcome = command_release(model, record, number);
    } else if (sim_marks_is_enough(model->marks, model->node, model->running, model->offset)) {
        model->poisoned++;
        command_fail(model, number, "crashed-node");
    } else if (cell->failing.held) {
        cell->failing.waiting++;
        command_bury(model, number, "quarantined");
    } else if (problem != NULL) {
        command_bury(model, number, problem);
    } else if (command_kills(body)) {
        sim_fail("I8",
                 "shard %d offset %" PRId64 ": n%d is past it, and was not killed often enough",
                 (int)model->running, model->offset, model->node);
    } else if (command_breaks(cell, record, body)) {
        command_fail(model, number, "failed");
    } else {
        publishes = command_run(model, record, number, body, out_outcome, out_event);
    }
    json_decref(body);
    return publishes;
}
