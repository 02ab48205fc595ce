/* sim_model_internal.h — the model inside: sim_model.c compares transactions, sim_model_cell.c executes. */
#ifndef ALV_TESTS_SIM_MODEL_INTERNAL_H
#define ALV_TESTS_SIM_MODEL_INTERNAL_H

#include <jansson.h>

#include "tests/sim/sim_model.h"

#define MODEL_TIMERS_MAX 8
#define MODEL_NAME_BYTES 16
#define MODEL_ID_BYTES 48 /* idempotency keys, correlation ids */

typedef struct model_timer {
    char name[MODEL_NAME_BYTES];
    int64_t due_ms;
    int64_t id;
    int64_t delay_ms;
    int64_t left;
} model_timer;

/* What a command led to, as its sender is told. */
typedef struct model_outcome {
    bool is_dead; /* a dead letter; else: */
    bool accepted;
    int64_t n;
    int64_t chain;
} model_outcome;

typedef struct model_answer {
    char key[MODEL_ID_BYTES];
    model_outcome outcome;
} model_answer;

typedef struct model_cell {
    bool exists;
    int64_t n;
    int64_t chain;
    model_timer timers[MODEL_TIMERS_MAX];
    int timer_count;
    model_answer *answers;
    int answer_count;

    /* By the transaction that is being looked at. */
    bool state_changed;
    bool ledger_changed;
    bool state_seen;
    bool ledger_seen;
} model_cell;

/* An event that says what was executed. */
typedef struct model_event {
    int cell;
    int64_t id;
    int64_t n;
    int64_t chain;
    int64_t now_ms;
    int64_t due_ms;
    char timer[MODEL_NAME_BYTES]; /* empty = it was a command */
} model_event;

/* What goes out of a transaction besides states, ledgers and events: one line each, to be compared as a set. */
typedef struct model_lines {
    char **items;
    size_t count;
    size_t capacity;
} model_lines;

typedef struct model_shard {
    int64_t next;            /* command offset */
    model_outcome *outcomes; /* by command offset, below `next` */
    int64_t outcome_capacity;
} model_shard;

struct sim_model {
    sim_broker *broker;
    model_cell cells[SIM_CELLS];
    model_shard shards[SIM_SHARDS_MAX];
    model_lines expected;
    model_lines found;
    int64_t executions;
    int64_t timers;
    int64_t repeated;
};

/* Adds a line. */
void sim_model_add_line(model_lines *lines, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Executes the command in a record of the shard's commands. True when it publishes an event, which is then in
 * *out_event. */
bool sim_model_execute(sim_model *model, const sim_record *record, model_outcome *out_outcome,
                       model_event *out_event);

/* A timer fired, as `event` says: checks that, and executes it. */
void sim_model_ring(sim_model *model, const model_event *event);

/* A header's value, absent when there is none of that name. */
alv_view sim_model_header(const sim_record *record, const char *name);

#endif
