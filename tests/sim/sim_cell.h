/* sim_cell.h — the behavior that simulated nodes run: one entity type with everything a behavior can do.
 *
 * Why:    what happened must be told from what is published. A cell counts what it executed and mixes the
 *         numbers of all of it, in order, into `chain`; and each execution publishes an event, so that the
 *         order in a transaction is known.
 *
 *   {"n": executions, "chain": all of them}          key: cell/<number>
 *
 *   add {id}                          executes, replies
 *   refuse {id}                       rejects
 *   remove {id}                       deletes the entity
 *   arm {id, name, delay, left}       sets a timer, which is set again `left` times when it fires
 *   disarm {id, name}                 cancels it
 *   pass {id, to}                     emits add (or refuse, when id is a multiple of 7) to another cell, with
 *                                     an idempotency key, and takes the outcome back
 *   look {id, row}                    looks a row of a global table up (sim_tables.h), which counts for `chain`
 *   break {id}                        fails, so that the entity is quarantined
 *   poison {id, crash}                kills the process that executes it
 *   ring, ack                         a timer fires; an outcome comes back
 *   tick {due}                        executes; the job of the cluster sends it to cell 4
 *
 * A mist is a cell that expires.
 * Thread: one; pure, but for `poison`.
 */
#ifndef ALV_TESTS_SIM_CELL_H
#define ALV_TESTS_SIM_CELL_H

#include "include/alluvium/behavior.h"

/* The id of a command that `pass` emits, from its own. */
#define SIM_CELL_PASSED 1000000

/* quarantine.after.failures */
#define SIM_FAILURES 2

/* How often the job sends `tick`, and what the time that it was due leaves of a division by this counts as its id. */
#define SIM_JOB_EVERY_MS 3000
#define SIM_CELL_TICKS 1000003

/* What `look` finds counts so much more than its id. */
#define SIM_CELL_LOOKED 10000000

/* `chain` stays below this, so that it is exact everywhere. */
#define SIM_CELL_CHAIN_MAX (INT64_C(1) << 52)

/* A mist that has not changed for so long goes. */
#define SIM_MIST_EXPIRES_MS 5000

/* What `poison` does; set for the run that is under way. */
typedef void (*sim_cell_poison)(void *payload, int64_t id, bool crashes);
void sim_cell_set_poison(sim_cell_poison poison, void *payload);

extern const alv_behavior sim_cell_behavior;
extern const alv_behavior sim_mist_behavior;

#endif
