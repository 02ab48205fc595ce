/* stage.h — one shard with one behavior, as a lane has it: executor, transaction, store; and no broker.
 *
 * Why:    a test must not have its own idea of what a command does. What runs here is what runs in a node
 *         (processor/executor.h, processor/transaction.h), one command a transaction.
 * Thread: one.
 * Owns:   everything in it.
 */
#ifndef ALV_TESTKIT_STAGE_H
#define ALV_TESTKIT_STAGE_H

#include "base/clock.h"
#include "processor/executor.h"
#include "processor/transaction.h"
#include "testkit/recorder.h"

/* What came of a command. */
typedef struct alv_stage_outcome {
    alv_result_kind kind;
    alv_reason reason; /* of ALV_RESULT_DEAD */
    json_t *reply;     /* of ALV_RESULT_DONE; NULL = none */
    char *text; /* why it was rejected, or the detail of the dead letter; NULL when it was done */
} alv_stage_outcome;

typedef struct alv_stage {
    alv_config *config;
    alv_registry *registry;
    alv_manual_clock clock;
    alv_meter *meter;
    alv_store *store;
    alv_recorder recorder;
    alv_tables *tables; /* those that the behavior names; NULL = none */
    alv_table copies[ALV_TABLES_MAX];
    alv_table_pin pin;
    alv_executor *executor;
    alv_transaction *transaction;
    alv_shard *shard;
    uint32_t state_version; /* of the behavior, 1 at least */
    char *key;
    json_t *state;  /* as committed, without its version; NULL = the entity does not exist */
    json_t *timers; /* pending: [{"name", "due", "command"}] */
    alv_stage_outcome outcome; /* of the last command */
} alv_stage;

/* ALV_REJECT: the registry refuses the behavior; the stage is there all the same, and whatever is sent is a dead
 * letter. */
alv_status alv_stage_init(alv_stage *stage, const alv_behavior *behavior, const char *key,
                          int64_t now_ms, alv_error *err);
void alv_stage_done(alv_stage *stage);

/* Forgets what was recorded and came of the last command. */
void alv_stage_clear(alv_stage *stage);

/* Writes a state as if it had been committed before; absent = none. */
void alv_stage_put(alv_stage *stage, alv_view encoded);

/* A global table that the behavior names has this row from now on (steals; NULL = it has not). False: it names no
 * such table. */
bool alv_stage_put_row(alv_stage *stage, const char *table, const char *key, json_t *value);

/* Executes a command and commits. `headers` (at most ALV_STAGE_HEADERS_MAX) come besides those by which it asks for
 * its reply. */
#define ALV_STAGE_HEADERS_MAX 4
void alv_stage_execute(alv_stage *stage, alv_view command, const alv_header *headers, size_t count);

/* The timer of that name in `timers`, borrowed; NULL = none is pending. */
const json_t *alv_stage_timer(const alv_stage *stage, const char *name);

/* Moves the clock to `until_ms` and fires what is due by then, each timer at its own time unless that has passed. */
void alv_stage_fire(alv_stage *stage, int64_t until_ms);

#endif
