/* sim_model.h — what must have come of the commands, computed by other means than the product's, and compared
 * with every transaction that is committed.
 *
 * Why:    a transaction may be committed by any lane of any node, a zombie's included. So the judge looks at the
 *         log, where it counts, and in the moment in which the coordinator decides: for every shard that the
 *         transaction touched,
 *           - its position record follows on the one before: no command is executed twice, or left out, or by
 *             two (I1, I3, I11), and the consumed offsets say the same;
 *           - executing the commands in between, with the timers that its events tell of, on plain structs
 *             gives exactly its changelog, ledger, events, emitted commands, replies and dead letters (I1, I8);
 *           - a timer that fired was pending, and due (never early, never twice);
 *           - a command is given up, and not executed, when it has killed the node whose transaction it is often
 *             enough;
 *           - an entity is quarantined after so many failures in a row, and nothing of it is executed until it is
 *             released; one that has not changed for so long goes, and not before;
 *           - handlers saw the version of the global table that its ledger names, which never goes back (I12).
 * Thread: one.
 * Owns:   its structs; borrows the broker, whose commands it reads, and the marks, which say what kills.
 * Fails:  sim_fail.
 */
#ifndef ALV_TESTS_SIM_MODEL_H
#define ALV_TESTS_SIM_MODEL_H

#include "processor/reply_box.h"
#include "tests/sim/sim_broker.h"
#include "tests/sim/sim_marks.h"

#define SIM_CELLS 20
#define SIM_MISTS_FROM 16 /* these expire */

typedef struct sim_model sim_model;

sim_model *sim_model_new(sim_broker *broker, const sim_marks *marks);
void sim_model_free(sim_model *model);

/* "cell/<number>"; of those that expire "mist/<number>" */
void sim_model_key(int cell, char *out, size_t size);

/* The number of a cell's key, -1 when it is none. */
int sim_model_cell(alv_view key);

/* A transaction is decided; nothing to see when it is aborted. */
void sim_model_decided(sim_model *model, const sim_transaction *transaction);

/* When the job is due next, by what is committed; 0 = it was never begun. */
int64_t sim_model_job_due(const sim_model *model);

/* Whether a shard is paused, by what is committed. */
bool sim_model_is_paused(const sim_model *model, int32_t shard);

/* The next command of a shard by what is committed. */
int64_t sim_model_next(const sim_model *model, int32_t shard);

/* Somebody is told what became of a command (I7): it must be committed, and true. */
void sim_model_replied(const sim_model *model, const alv_result *result);

/* Whether the cell is quarantined. */
bool sim_model_is_held(const sim_model *model, int cell);

/* Which version of the global table the shard has seen. */
const sim_version *sim_model_version(const sim_model *model, int32_t shard);

/* A node's clock shows this. */
void sim_model_see_clock(sim_model *model, int node, int64_t now_ms);

/* When the earliest timer that is pending is due, or an entity expires, INT64_MAX when none does. Those of
 * quarantined entities do not count. */
int64_t sim_model_due(const sim_model *model);

/* Whether all commands that are committed in the log are executed. */
bool sim_model_is_done(const sim_model *model);

/* Commands and timers executed by what is committed. */
int64_t sim_model_executions(const sim_model *model);
int64_t sim_model_timers(const sim_model *model);
int64_t sim_model_repeated(const sim_model *model);

typedef struct sim_model_counts {
    int64_t expired;
    int64_t quarantined;
    int64_t released;
    int64_t looked;   /* commands that looked a row up */
    int64_t paused;   /* shards, each time */
    int64_t ticks;    /* commands that the job has sent */
    int64_t poisoned; /* commands given up because they kill */
} sim_model_counts;

void sim_model_count(const sim_model *model, sim_model_counts *out);

#endif
