/* sim_trouble.c — what goes wrong in a run, and when it is mended. */
#include <inttypes.h>

#include "tests/sim/sim_peers.h"
#include "tests/sim/sim_run_internal.h"
#include "tests/sim/sim_trace.h"

/* Shorter and longer than the session with the group (6 s). */
#define TROUBLE_LASTS_MAX_MS 12000
#define TROUBLE_CLOCK_MAX_MS 60000

/* Not every run has every trouble: some failures need that nothing else comes in between. Chance is asked line by
 * line: within an initialiser compilers differ in the order. */
static int64_t trouble_rate(sim_simulation *run, int64_t most)
{
    return sim_random_chance(&run->random, 400) ? 0 : sim_random_between(&run->random, 1, most);
}

void sim_trouble_choose(sim_simulation *run)
{
    run_troubles *troubles = &run->troubles;
    troubles->crash = trouble_rate(run, 30);
    troubles->stop = trouble_rate(run, 8);
    troubles->freeze = trouble_rate(run, 15);
    troubles->cut = trouble_rate(run, 15);
    troubles->think = trouble_rate(run, 15);
    troubles->split = trouble_rate(run, 30);
    troubles->power = trouble_rate(run, 500);
    troubles->evict = trouble_rate(run, 100);
    troubles->evict_false = trouble_rate(run, 8);
    troubles->clock = trouble_rate(run, 10);
    troubles->disk = trouble_rate(run, 10);
    troubles->postgres = trouble_rate(run, 15);
    troubles->expire = trouble_rate(run, 5);
    troubles->compact = trouble_rate(run, 30);
    troubles->lose_end = trouble_rate(run, 80);
    troubles->lose_call = trouble_rate(run, 8);
    troubles->yield = sim_random_between(&run->random, 0, 250);
    troubles->deep = sim_random_between(&run->random, 0, 12);
    troubles->pause = trouble_rate(run, 40);
    troubles->poison = sim_random_chance(&run->random, 250) ? 10 : 0;
    troubles->spoil = trouble_rate(run, 300);
    run->broker.marker_delay_per_mille = trouble_rate(run, 500);
    run->broker.unsaid_per_mille = sim_random_chance(&run->random, 150) ? 50 : 0;
    run->network.slow_per_mille = trouble_rate(run, 60);
    for (int i = 0; i < run->node_count; i++) {
        run->network.hosts[i].is_hidden = sim_random_chance(&run->random, 40);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static sim_node *trouble_node(sim_simulation *run)
{
    return &run->nodes[sim_random_below(&run->random, run->node_count)];
}

static bool trouble_is_alive(const sim_node *node)
{
    return node->is_up && !node->is_dead;
}

static int64_t trouble_until(sim_simulation *run)
{
    return run->now_ms + sim_random_between(&run->random, 50, TROUBLE_LASTS_MAX_MS);
}

/* At once, or in the middle of one of the next calls. */
static void trouble_crash(sim_simulation *run, sim_node *node)
{
    node->start_at_ms = trouble_until(run);
    node->loses_power = sim_random_chance(&run->random, run->troubles.power);
    if (sim_random_chance(&run->random, 700)) {
        node->die_in_calls = sim_random_between(&run->random, 1, 60);
    } else {
        sim_node_kill(node);
        run->stats.crashes++;
    }
}

static void trouble_freeze(sim_simulation *run, sim_node *node)
{
    if (sim_random_chance(&run->random, 700)) {
        node->freeze_in_calls = sim_random_between(&run->random, 1, 60);
    } else if (node->paused_until_ms == 0) {
        node->paused_until_ms = trouble_until(run);
        run->stats.freezes++;
        sim_trace("n%d: is frozen until %" PRId64, node->number, node->paused_until_ms);
    }
}

/* For less or for more than peer.timeout.ms. */
static int64_t trouble_split_until(sim_simulation *run)
{
    return sim_random_chance(&run->random, 500)
               ? run->now_ms + sim_random_between(&run->random, 50, 1800)
               : trouble_until(run);
}

/* Another node than this one, -1 for all of them. */
static int trouble_other(sim_simulation *run, const sim_node *node)
{
    if (sim_random_chance(&run->random, 500)) {
        return -1;
    }
    int by = (int)sim_random_between(&run->random, 1, run->node_count - 1);
    return (node->number + by) % run->node_count;
}

/* `only` is -1: towards all others. */
static void trouble_cut_peers(sim_simulation *run, const sim_node *node, int only, bool is_mute,
                              bool is_deaf, int64_t until_ms)
{
    for (int other = 0; other < run->node_count; other++) {
        if (other == node->number || (only >= 0 && other != only)) {
            continue;
        }
        if (is_mute) {
            sim_network_cut(&run->network, node->number, other, until_ms);
        }
        if (is_deaf) {
            sim_network_cut(&run->network, other, node->number, until_ms);
        }
    }
    run->stats.splits++;
    sim_trace("n%d:%s%s towards %d until %" PRId64, node->number, is_mute ? " is not heard" : "",
              is_deaf ? " hears nothing" : "", only, until_ms);
}

/* From the brokers, or from everybody. */
static void trouble_cut(sim_simulation *run, sim_node *node)
{
    node->cut_until_ms = trouble_until(run);
    run->stats.cuts++;
    sim_trace("n%d: is cut off until %" PRId64, node->number, node->cut_until_ms);
    if (run->node_count > 1 && sim_random_chance(&run->random, 500)) {
        trouble_cut_peers(run, node, -1, true, true, node->cut_until_ms);
    }
}

/* Nobody hears the node, or it hears nobody, or both; or so with one other node alone. */
static void trouble_split(sim_simulation *run, const sim_node *node)
{
    bool is_mute = sim_random_chance(&run->random, 700);
    bool is_deaf = !is_mute || sim_random_chance(&run->random, 600);
    int only = trouble_other(run, node);
    trouble_cut_peers(run, node, only, is_mute, is_deaf, trouble_split_until(run));
}

/* Two halves that do not hear each other. */
static void trouble_halve(sim_simulation *run)
{
    int64_t until_ms = trouble_split_until(run);
    for (int i = 0; i < run->node_count; i++) {
        for (int j = i % 2 == 0 ? 1 : 0; j < run->node_count; j += 2) {
            sim_network_cut(&run->network, i, j, until_ms);
        }
    }
    run->stats.splits++;
    sim_trace("even and odd nodes do not hear each other until %" PRId64, until_ms);
}

static void trouble_jump(sim_simulation *run, sim_node *node)
{
    node->clock.offset_ms =
        sim_random_between(&run->random, -TROUBLE_CLOCK_MAX_MS, TROUBLE_CLOCK_MAX_MS);
    sim_model_see_clock(run->model, node->number, sim_node_clock_ms(node));
    run->stats.clock_jumps++;
    sim_trace("n%d: its clock is %" PRId64 " ms off", node->number, node->clock.offset_ms);
}

static void trouble_disk(sim_simulation *run, sim_node *node)
{
    if (sim_random_chance(&run->random, 100)) {
        node->disk->is_damaged |= 1u << sim_random_below(&run->random, run->broker.shard_count);
        return;
    }
    node->disk->is_full = true;
    node->full_until_ms = run->now_ms + sim_random_between(&run->random, 50, 3000);
    run->stats.full_disks++;
    sim_trace("n%d: its disk is full until %" PRId64, node->number, node->full_until_ms);
}

/* As kafka_evict.c does: all seats are taken, the producers fenced, then all leave. */
static void trouble_evict(sim_simulation *run, const sim_node *node)
{
    sim_broker *broker = &run->broker;
    int64_t seats[SIM_LANES_MAX] = {0};
    int count = 0;
    for (int lane = 0; lane < node->lane_count; lane++) {
        if (sim_group_find_seat(&broker->group, node->number, lane) != NULL) {
            seats[count++] = sim_group_join(&broker->group, run->now_ms, node->number, lane, 0, 0);
            (void)sim_coordinator_init(broker, sim_producer_index(node->number, lane));
        }
    }
    for (int i = 0; i < count; i++) {
        sim_group_leave(&broker->group, run->now_ms, seats[i]);
    }
    if (count > 0) {
        run->stats.evictions++;
        run->stats.false_evictions += trouble_is_alive(node) && node->paused_until_ms == 0;
        sim_trace("n%d: is evicted", node->number);
    }
}

static void trouble_stop(sim_simulation *run, sim_node *node)
{
    if (!sim_node_is_busy(node) && node->paused_until_ms == 0 && run->depth == 0) {
        node->start_at_ms = trouble_until(run);
        sim_node_stop(node);
        run->stats.stops++;
    }
}

/* Somebody starts it again soon. */
void sim_trouble_poison(void *payload, int64_t id, bool crashes)
{
    sim_simulation *run = payload;
    sim_node *node = &run->nodes[run->turn.node];
    const run_poison *poison = sim_load_poison(run, id);
    if (!node->is_dead) {
        node->start_at_ms = run->now_ms + sim_random_between(&run->random, 50, 2000);
        sim_node_poison(node, poison->shard, poison->offset, crashes);
    }
}

/* Whatever api/peer_monitor.c finds: it could be wrong. */
void sim_trouble_think(sim_simulation *run, sim_node *node)
{
    const sim_node *other = trouble_node(run);
    bool dead = sim_random_chance(&run->random, run->troubles.think);
    if (other != node) {
        sim_peers_think(node, other->number, dead && !run->is_ending);
    }
}

/* ---- the others ------------------------------------------------------------------------------ */

static void trouble_expire(sim_simulation *run)
{
    for (int32_t shard = 0; shard < run->broker.shard_count; shard++) {
        run->broker.committed[shard] = ALV_OFFSET_NONE;
    }
    run->stats.expired_offsets++;
    sim_trace("broker: the offsets of the group have expired");
}

static void trouble_postgres(sim_simulation *run)
{
    run->postgres.is_away = true;
    run->postgres_back_ms = trouble_until(run);
    run->stats.postgres_outages++;
    sim_trace("postgres: away until %" PRId64, run->postgres_back_ms);
}

/* Offsets expire only when nobody has been a member for days. */
static bool trouble_nobody_is_there(const sim_simulation *run)
{
    return run->broker.group.member_count == 0;
}

static void trouble_of_cluster(sim_simulation *run)
{
    const run_troubles *troubles = &run->troubles;
    sim_random *random = &run->random;
    if (sim_random_chance(random, troubles->postgres)) {
        trouble_postgres(run);
    }
    if (sim_random_chance(random, troubles->compact)) {
        sim_broker_compact(&run->broker, sim_random_between(random, 0, 30));
    }
    if (sim_random_chance(random, troubles->expire * 100) && trouble_nobody_is_there(run)) {
        trouble_expire(run);
    }
}

/* An operator, or two who do not know of each other: each node is asked, and who has the shard does it. */
static void trouble_pause(sim_simulation *run)
{
    int32_t shard = (int32_t)sim_random_below(&run->random, run->broker.shard_count);
    bool paused = sim_random_chance(&run->random, 500);
    sim_trace("somebody wishes that shard %d %s", (int)shard, paused ? "pauses" : "goes on");
    for (int i = 0; i < run->node_count; i++) {
        sim_node_set_paused(&run->nodes[i], shard, paused);
    }
}

void sim_trouble_resume_all(sim_simulation *run)
{
    for (int32_t shard = 0; shard < run->broker.shard_count; shard++) {
        for (int i = 0; i < run->node_count && sim_model_is_paused(run->model, shard); i++) {
            sim_node_set_paused(&run->nodes[i], shard, false);
        }
    }
}

void sim_trouble_step(sim_simulation *run)
{
    const run_troubles *troubles = &run->troubles;
    sim_random *random = &run->random;
    sim_node *node = trouble_node(run);
    if (run->is_ending || !sim_random_chance(random, 60)) {
        return;
    }
    trouble_of_cluster(run);
    if (sim_random_chance(random, troubles->pause)) {
        trouble_pause(run);
    }
    bool alive = trouble_is_alive(node);
    bool frozen = alive && node->paused_until_ms > 0;
    if ((!alive || frozen || node->cut_until_ms > 0) &&
        sim_random_chance(random, troubles->evict)) {
        trouble_evict(run, node);
    }
    if (!alive) {
        return;
    }
    if (sim_random_chance(random, troubles->crash)) {
        trouble_crash(run, node);
    } else if (sim_random_chance(random, troubles->freeze)) {
        trouble_freeze(run, node);
    } else if (sim_random_chance(random, troubles->cut)) {
        trouble_cut(run, node);
    } else if (run->node_count > 1 && sim_random_chance(random, troubles->split)) {
        if (sim_random_chance(random, 200)) {
            trouble_halve(run);
        } else {
            trouble_split(run, node);
        }
    } else if (sim_random_chance(random, troubles->evict_false)) {
        trouble_evict(run, node);
    } else if (sim_random_chance(random, troubles->clock)) {
        trouble_jump(run, node);
    } else if (sim_random_chance(random, troubles->disk)) {
        trouble_disk(run, node);
    } else if (sim_random_chance(random, troubles->stop)) {
        trouble_stop(run, node);
    }
}

/* ---- mending --------------------------------------------------------------------------------- */

static void trouble_mend_node(sim_simulation *run, sim_node *node, bool all)
{
    if (node->paused_until_ms > 0 && (all || run->now_ms >= node->paused_until_ms)) {
        node->paused_until_ms = 0;
        sim_trace("n%d: goes on", node->number);
    }
    if (node->cut_until_ms > 0 && (all || run->now_ms >= node->cut_until_ms)) {
        node->cut_until_ms = 0;
        sim_trace("n%d: is connected again", node->number);
    }
    if (all || run->now_ms >= node->full_until_ms) {
        node->disk->is_full = false;
    }
    for (int other = 0; all && sim_node_is_watching(node) && other < run->node_count; other++) {
        sim_peers_think(node, other, false);
    }
    if (all) {
        node->loses_power = false;
        node->clock.offset_ms = 0;
        sim_model_see_clock(run->model, node->number, sim_node_clock_ms(node));
        node->die_in_calls = node->freeze_in_calls = 0;
    }
    if (node->is_dead && !sim_node_is_busy(node)) {
        sim_node_bury(node, run->troubles.deep, run->is_ending ? 0 : run->troubles.spoil);
    }
    if (!node->is_up && run->depth == 0 && (all || run->now_ms >= node->start_at_ms)) {
        sim_node_start(node);
    }
}

void sim_trouble_mend(sim_simulation *run, bool all)
{
    for (int i = 0; i < run->node_count; i++) {
        trouble_mend_node(run, &run->nodes[i], all);
    }
    sim_network_mend(&run->network, all);
    if (run->postgres.is_away && (all || run->now_ms >= run->postgres_back_ms)) {
        run->postgres.is_away = false;
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool call_counts_down(int64_t *calls)
{
    return *calls > 0 && --*calls == 0;
}

static void call_strike(sim_simulation *run, sim_node *node)
{
    if (call_counts_down(&node->die_in_calls)) {
        sim_node_kill(node);
        run->stats.crashes++;
        run->stats.crashes_inside++;
    } else if (call_counts_down(&node->freeze_in_calls) && node->paused_until_ms == 0) {
        int64_t until_ms = trouble_until(run);
        run->stats.freezes++;
        node->paused_until_ms = until_ms;
        sim_trace("n%d: is frozen in a call until %" PRId64, node->number, until_ms);
        sim_run_until(run, until_ms);
    } else if (sim_random_chance(&run->random, run->troubles.yield)) {
        sim_run_until(run, run->now_ms + sim_random_between(&run->random, 0, 40));
    }
}

/* Nobody can be reached: the call takes its time, and fails. */
static void call_wait_in_vain(sim_simulation *run)
{
    if (sim_random_chance(&run->random, 300)) {
        sim_run_until(run, run->now_ms + sim_random_between(&run->random, 10, 1500));
    }
}

static sim_fate call_draw(sim_simulation *run, sim_call call)
{
    sim_random *random = &run->random;
    if (run->is_ending) {
        return SIM_FATE_DONE;
    }
    if (call == SIM_CALL_END) {
        if (!sim_random_chance(random, run->troubles.lose_end)) {
            return SIM_FATE_DONE;
        }
        run->stats.no_answers++;
        return SIM_FATE_LOST + (sim_fate)sim_random_below(random, 3);
    }
    int64_t rate = call == SIM_CALL_PRODUCE ? run->troubles.lose_call / 3 : run->troubles.lose_call;
    if (!sim_random_chance(random, rate)) {
        return SIM_FATE_DONE;
    }
    return sim_random_chance(random, 500) ? SIM_FATE_LOST : SIM_FATE_UNANSWERED;
}

/* What a lane has in hand meanwhile; of a node that stops it may be any lane. */
static void call_note(sim_simulation *run, const sim_node *node, bool writes)
{
    const sim_turn *turn = &run->turn;
    for (int lane = 0; lane < node->lane_count; lane++) {
        if (turn->node == node->number && (turn->part == lane || turn->part < 0)) {
            sim_marks_set_writing(run->marks, node->number, lane, writes);
        }
    }
}

static sim_fate call_make(sim_simulation *run, sim_node *node, sim_call call)
{
    call_strike(run, node);
    bool is_cut = node->cut_until_ms > 0 && call != SIM_CALL_DURABLE;
    bool is_away = run->postgres.is_away && call == SIM_CALL_DURABLE;
    if (!node->is_dead && (is_cut || is_away)) {
        call_wait_in_vain(run);
    }
    if (node->is_dead) {
        return SIM_FATE_DEAD;
    }
    return is_cut ? SIM_FATE_LOST : call_draw(run, call);
}

sim_fate sim_trouble_call(void *payload, int number, sim_call call)
{
    sim_simulation *run = payload;
    sim_node *node = &run->nodes[number];
    if (node->is_dead) {
        return SIM_FATE_DEAD;
    }
    call_note(run, node, call == SIM_CALL_PRODUCE);
    sim_fate fate = call_make(run, node, call);
    call_note(run, node, false);
    return fate;
}
