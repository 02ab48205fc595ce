/* sim_drill.c — what a failover is for: with nothing else wrong, a node's death is noticed by the others, and its
 * seats in the group are free long before its session there would have ended. */
#include <inttypes.h>

#include "tests/sim/sim_run_internal.h"
#include "tests/sim/sim_trace.h"

/* An eviction and what threads take, without and with the time-out of peers (1 s) before it; the session is 6 s. */
#define DRILL_PROOF_MS 1500
#define DRILL_SILENCE_MS 3000

/* A host that is gone with its process refuses nothing, so a majority must notice the silence. */
static bool drill_can_be_silent(const sim_simulation *run)
{
    for (int i = 0; i < run->node_count; i++) {
        if (run->network.hosts[i].is_hidden) {
            return false;
        }
    }
    return run->node_count > 2;
}

/* One that the others hear; NULL when there is none. */
static sim_node *drill_choose(sim_simulation *run)
{
    int first = (int)sim_random_below(&run->random, run->node_count);
    for (int i = 0; i < run->node_count; i++) {
        int number = (first + i) % run->node_count;
        if (!run->network.hosts[number].is_hidden) {
            return &run->nodes[number];
        }
    }
    return NULL;
}

static bool drill_has_seats(const sim_simulation *run, const sim_node *node)
{
    for (int lane = 0; lane < node->lane_count; lane++) {
        if (sim_group_find_seat(&run->broker.group, node->number, lane) != NULL) {
            return true;
        }
    }
    return false;
}

void sim_drill_run(sim_simulation *run)
{
    sim_node *victim = drill_choose(run);
    if (victim == NULL) {
        return;
    }
    victim->loses_power = drill_can_be_silent(run) && sim_random_chance(&run->random, 500);
    sim_trace("nothing is wrong; n%d dies%s", victim->number,
              victim->loses_power ? " with its host" : "");
    int64_t since_ms = run->now_ms;
    int64_t most_ms = victim->loses_power ? DRILL_SILENCE_MS : DRILL_PROOF_MS;
    run->network.slow_per_mille = 0;
    victim->start_at_ms = INT64_MAX;
    sim_node_kill(victim);
    while (drill_has_seats(run, victim)) {
        if (run->now_ms - since_ms > most_ms) {
            sim_fail("failover", "n%d died %" PRId64 " ms ago, and its seats are not free",
                     victim->number, run->now_ms - since_ms);
        }
        sim_run_step(run);
        for (int i = 0; i < run->node_count; i++) { /* nobody starves */
            (void)sim_node_turn(&run->nodes[i], SIM_PART_TAKEOVER);
        }
    }
    run->stats.drills++;
    run->stats.drill_ms += run->now_ms - since_ms;
    victim->start_at_ms = run->now_ms;
}
