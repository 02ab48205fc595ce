/* sim_random.h — where all chance of a simulated run comes from.
 *
 * Why:    one seed decides everything, so a failure can be run again. Nothing else may be asked for chance.
 * Thread: one.
 */
#ifndef ALV_TESTS_SIM_RANDOM_H
#define ALV_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_random {
    uint64_t state;
} sim_random;

void sim_random_init(sim_random *random, uint64_t seed);

uint64_t sim_random_next(sim_random *random);

/* 0 to `count` - 1; `count` > 0. */
int64_t sim_random_below(sim_random *random, int64_t count);

/* Both ends included. */
int64_t sim_random_between(sim_random *random, int64_t low, int64_t high);

/* True `per_mille` times in a thousand. */
bool sim_random_chance(sim_random *random, int64_t per_mille);

#endif
