/* sim_model_internal.h — the model inside: sim_model.c compares transactions, sim_model_cell.c executes,
 * sim_model_ledger.c looks at what the ledger has. */
#ifndef ALV_TESTS_SIM_MODEL_INTERNAL_H
#define ALV_TESTS_SIM_MODEL_INTERNAL_H

#include <jansson.h>

#include "tests/sim/sim_model.h"
#include "tests/sim/sim_tables.h"

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
    bool is_release; /* then `n` says whether it was held, and `chain` how many commands waited */
    int64_t n;
    int64_t chain;
} model_outcome;

typedef struct model_answer {
    char key[MODEL_ID_BYTES];
    model_outcome outcome;
} model_answer;

/* How an entity fails; all zero when it does not. */
typedef struct model_failing {
    int64_t failures; /* in a row */
    int64_t waiting;  /* commands since it is held */
    bool held;        /* quarantined */
} model_failing;

typedef struct model_cell {
    bool exists;
    bool is_mist;
    int64_t n;
    int64_t chain;
    model_timer timers[MODEL_TIMERS_MAX];
    int timer_count;
    model_answer *answers;
    int answer_count;
    model_failing failing;
    model_failing failing_before; /* the transaction */
    int64_t expires_ms;           /* of a mist, as its ledger says */

    /* By the transaction that is being looked at. */
    bool state_changed;
    bool ledger_changed;
    bool state_seen;
    bool ledger_seen;
    bool failing_seen;
    int64_t touched_ms; /* by the last command or timer that changed it; 0 = none did */
    bool touched_by_timer;
} model_cell;

/* An event that says what was executed, or a dead letter: both tell of the order. */
typedef struct model_event {
    bool is_dead;
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
    sim_version version; /* of the table, as the ledger says */
    bool has_looked;     /* in the transaction that is being looked at */
    bool is_paused;
} model_shard;

/* The job of the cluster. */
#define MODEL_TICKS_MAX 16

typedef struct model_job {
    int64_t due_ms; /* as the ledger says; 0 = it was never begun */

    /* By the transaction that is being looked at. */
    int64_t next_ms;               /* what the ledger says then; 0 = nothing */
    int64_t sent[MODEL_TICKS_MAX]; /* commands: when each was due */
    int sent_count;
} model_job;

struct sim_model {
    sim_broker *broker;
    const sim_marks *marks;
    model_cell cells[SIM_CELLS];
    model_shard shards[SIM_SHARDS_MAX];
    model_lines expected;
    model_lines found;
    int64_t executions;
    int64_t timers;
    int64_t repeated;
    int64_t expired;
    int64_t quarantined;
    int64_t released;
    int64_t looked;
    int64_t paused;
    int64_t ticks;
    int64_t poisoned;
    model_job job;
    const model_event *event;         /* the next one of the shard; NULL = there is none */
    int node;                         /* whose transaction it is */
    int32_t running;                  /* the shard that is being executed, */
    int64_t offset;                   /* and the command */
    int64_t latest_ms[SIM_NODES_MAX]; /* that its clock has shown */
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

/* A mist has gone: whether it may is checked. */
void sim_model_expire(sim_model *model, int number);

/* ---- sim_model_ledger.c */

/* What the transaction says about versions of the table, before anything of the shard is executed (I12). */
void sim_model_take_version(sim_model *model, const sim_transaction *transaction, int32_t shard);

/* The headers of its changelog say the same. */
void sim_model_check_version(const sim_model *model, const sim_transaction *transaction,
                             int32_t shard);

/* Whether the transaction may do what it does to a shard that is paused, or that pauses with it or goes on: nothing
 * but say so. */
void sim_model_take_pause(sim_model *model, const sim_transaction *transaction, int32_t shard,
                          int64_t until);

/* A record of the shard's ledger that is not its position. */
void sim_model_take_ledger(sim_model *model, const sim_record *record);

/* When the transaction is taken: what the job sent is what was due, and its ledger has moved on. */
void sim_model_check_job(sim_model *model);

/* When the transaction is taken: what changed without being there, and until when mists stay. */
void sim_model_check_cell(model_cell *cell, int number);

/* A header's value, absent when there is none of that name. */
alv_view sim_model_header(const sim_record *record, const char *name);

#endif
