#include "tests/sim/sim_random.h"

#include "base/assert.h"

/* SplitMix64 throughout: small, and good enough for what is at stake here. */
void sim_random_init(sim_random *random, uint64_t seed)
{
    random->state = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
}

uint64_t sim_random_next(sim_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = random->state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

int64_t sim_random_below(sim_random *random, int64_t count)
{
    ALV_ASSERT(count > 0);
    return (int64_t)(sim_random_next(random) % (uint64_t)count);
}

int64_t sim_random_between(sim_random *random, int64_t low, int64_t high)
{
    return low + sim_random_below(random, high - low + 1);
}

bool sim_random_chance(sim_random *random, int64_t per_mille)
{
    return sim_random_below(random, 1000) < per_mille;
}
