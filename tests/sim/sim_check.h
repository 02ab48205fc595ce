/* sim_check.h — compares what nodes and PostgreSQL have with what the log says, at any moment.
 *
 * Why:    a wrong store that is overwritten before anybody looks was wrong all the same. The log keeps what
 *         compaction removed, so what may be known at a position can be told.
 * Thread: one.
 * Fails:  sim_fail.
 */
#ifndef ALV_TESTS_SIM_CHECK_H
#define ALV_TESTS_SIM_CHECK_H

#include "statestore/store.h"
#include "tests/sim/sim_model.h"

/* Whether `value` (absent = there is none) is what whoever has read a topic up to `end` may have of an entity: the
 * last committed record below it; or one before that, if those in between were removed by compaction, because a
 * newer one, which is not read yet, replaces them. */
bool sim_check_value(sim_broker *broker, alv_topic topic, int32_t shard, int64_t end, alv_view key,
                     alv_view value);

/* What a position record of the shard says, the last one below `end` in the ledger; 0 when there is none. */
int64_t sim_check_position(sim_broker *broker, int32_t shard, int64_t end);

/* I2: the shard's states and ledgers are the replay up to its position, and its index of timers leads to
 * every timer. */
void sim_check_store(sim_broker *broker, const sim_model *model, alv_store *store, int node,
                     int32_t shard);

/* I4: nothing gets into a store that is not committed. `before` and `after` are its positions. */
void sim_check_applied(sim_broker *broker, const sim_model *model, int node, int32_t shard,
                       const alv_position *before, const alv_position *after);

#endif
