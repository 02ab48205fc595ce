#include "tests/sim/sim_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "tests/sim/sim_cell.h"
#include "tests/sim/sim_peers.h"
#include "tests/sim/sim_run_internal.h"
#include "tests/sim/sim_trace.h"

/* So many calls may have steps inside of them at once. */
#define RUN_DEPTH_MAX 4

/* When all troubles are mended, all must be done after so long. */
#define RUN_PATIENCE_MS 180000

static const char *const run_settings[] = {
    "application.id=sim",          "behavior.default=cell",
    "idempotency.keys.max=1000",   "standby.replicas=1",
    "postgres.interval.ms=1000",   "commit.interval.max.ms=50",
    "passivate.after.ms=20000",    "passivate.check.ms=5000",
    "quarantine.after.failures=2", NULL,
};

/* ---- steps ----------------------------------------------------------------------------------- */

/* Mostly a moment, now and then more: threads are slow, and nothing happens for a while. */
static void run_pass_time(sim_simulation *run)
{
    int64_t choice = sim_random_below(&run->random, 1000);
    int64_t by_ms = choice < 600   ? sim_random_between(&run->random, 0, 2)
                    : choice < 950 ? sim_random_between(&run->random, 2, 20)
                                   : sim_random_between(&run->random, 20, 250);
    run->now_ms += by_ms;
    for (int i = 0; i < run->node_count; i++) {
        sim_model_see_clock(run->model, i, sim_node_clock_ms(&run->nodes[i]));
    }
    sim_broker_tick(&run->broker, run->now_ms);
    sim_network_tick(&run->network);
}

/* Placement says where replicas are best; a replica may be anywhere. */
static void run_set_standbys(sim_simulation *run, sim_node *node)
{
    bool wanted[SIM_SHARDS_MAX] = {false};
    for (int32_t shard = 0; shard < run->broker.shard_count; shard++) {
        wanted[shard] = sim_random_chance(&run->random, 400);
    }
    alv_replicator_set_standbys(node->replicator, wanted);
}

/* The table changes; a node that reads its topic has some of it. */
static void run_follow_table(sim_simulation *run, sim_node *node)
{
    sim_version *end = &run->broker.table;
    int changed = (int)sim_random_below(&run->random, SIM_TABLE_PARTITIONS);
    end->offsets[changed] += sim_random_below(&run->random, 3);
    if (node->cut_until_ms == 0 && (run->is_ending || sim_random_chance(&run->random, 300))) {
        sim_node_follow_table(node, run->is_ending ? 0 : sim_random_below(&run->random, 3));
    }
}

/* What a node does besides the turns of its threads. */
static void run_upkeep(sim_simulation *run, sim_node *node)
{
    if (!node->is_up || node->is_dead || node->paused_until_ms > 0) {
        return;
    }
    int64_t choice = sim_random_below(&run->random, 100);
    if (choice < 12) {
        run_follow_table(run, node);
    } else if (choice < 60) {
        sim_client_beat(node->client, node->cut_until_ms > 0);
    } else if (choice < 90) {
        sim_node_read(node, (int32_t)sim_random_below(&run->random, run->broker.shard_count));
    } else if (choice < 93) {
        (void)node->disk->base.ops->flush(&node->disk->base, NULL);
    } else if (choice < 95) {
        run_set_standbys(run, node);
    } else if (sim_node_is_watching(node)) {
        sim_trouble_think(run, node);
    }
}

/* The threads that watch the others: mostly at once, when there is something to do. */
static void run_watch(sim_simulation *run)
{
    for (int i = 0; i < run->node_count; i++) {
        const sim_node *node = &run->nodes[i];
        if (sim_node_is_watching(node) && sim_monitor_is_due(node->monitor) &&
            sim_random_chance(&run->random, 900)) {
            sim_monitor_turn(node->monitor);
        }
    }
}

void sim_run_step(sim_simulation *run)
{
    run->stats.steps++;
    run_pass_time(run);
    sim_trouble_mend(run, false);
    sim_trouble_step(run);
    run_watch(run);
    sim_node *node = &run->nodes[sim_random_below(&run->random, run->node_count)];
    int64_t choice = sim_random_below(&run->random, 100);
    if (choice < 8 && run->commands_left > 0) {
        sim_load_send(run);
    } else if (choice < 35) {
        run_upkeep(run, node);
    } else {
        (void)sim_node_turn(node, (int)sim_random_below(&run->random, SIM_PARTS));
    }
}

void sim_run_until(sim_simulation *run, int64_t until_ms)
{
    if (run->depth == RUN_DEPTH_MAX) {
        return;
    }
    run->depth++;
    while (run->now_ms < until_ms) {
        sim_run_step(run);
    }
    run->depth--;
    sim_trouble_mend(run, false);
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void run_decided(void *payload, const sim_transaction *transaction)
{
    sim_simulation *run = payload;
    run->stats.transactions += transaction->decision == SIM_COMMITTED;
    run->stats.aborts += transaction->decision == SIM_ABORTED;
    sim_model_decided(run->model, transaction);
}

static bool run_is_dead(void *payload, int node)
{
    return ((sim_simulation *)payload)->nodes[node].is_dead;
}

static void run_init_registry(sim_simulation *run)
{
    run->registry = alv_registry_new();
    alv_status status = alv_registry_add(run->registry, &sim_cell_behavior, NULL);
    ALV_ASSERT(status == ALV_OK);
    status = alv_registry_add(run->registry, &sim_mist_behavior, NULL);
    ALV_ASSERT(status == ALV_OK);
    status = alv_registry_set_default(run->registry, "cell", NULL);
    ALV_ASSERT(status == ALV_OK);
}

/* Small transactions end in the middle of a batch, large ones when there is nothing more to do. Entities come and
 * go all the time, or most of them stay in the cache. */
static const char *const *run_choose_settings(sim_simulation *run)
{
    static const char *const sizes[] = {"commit.commands.max=2", "commit.commands.max=5",
                                        "commit.commands.max=30"};
    static const char *const caches[] = {"cache.memory.bytes=4096", "cache.memory.bytes=65536"};
    size_t count = sizeof run_settings / sizeof run_settings[0];
    ALV_ASSERT(count + 3 <= RUN_SETTINGS_MAX);
    memcpy(run->settings, run_settings, sizeof run_settings);
    run->settings[count - 1] = sizes[sim_random_below(&run->random, 3)];
    run->settings[count] = caches[run->seed % 2];
    run->settings[count + 1] = run->seed % 5 == 0 ? "commit.interval.min.ms=20" : NULL;
    return run->settings;
}

static void run_init_nodes(sim_simulation *run)
{
    run->node_count = (int)sim_random_between(&run->random, 1, SIM_NODES_MAX);
    sim_network_init(&run->network, run->node_count, &run->now_ms, &run->random);
    run->node_options = (sim_node_options){.broker = &run->broker,
                                           .random = &run->random,
                                           .postgres = &run->postgres,
                                           .network = &run->network,
                                           .marks = run->marks,
                                           .turn = &run->turn,
                                           .monitor_counts = &run->monitor_counts,
                                           .model = run->model,
                                           .registry = run->registry,
                                           .now_ms = &run->now_ms,
                                           .settings = run_choose_settings(run),
                                           .is_dead = run_is_dead,
                                           .call = sim_trouble_call,
                                           .payload = run};
    for (int i = 0; i < run->node_count; i++) {
        int lanes = (int)sim_random_between(&run->random, 1, SIM_LANES_MAX);
        sim_node_init(&run->nodes[i], i, lanes, &run->node_options);
    }
}

static void run_init(sim_simulation *run, uint64_t seed)
{
    memset(run, 0, sizeof *run);
    run->seed = seed;
    sim_random_init(&run->random, seed);
    sim_trace_begin(seed, &run->now_ms);
    sim_broker_init(&run->broker, (int32_t)sim_random_between(&run->random, 1, 6), &run->random);
    run->marks = sim_marks_new(&run->broker, &run->random);
    run->turn.node = -1;
    sim_cell_set_poison(sim_trouble_poison, run);
    run->model = sim_model_new(&run->broker, run->marks);
    run->broker.decided = run_decided;
    run->broker.payload = run;
    sim_postgres_init(&run->postgres, &run->broker);
    run->postgres.call = sim_trouble_call;
    run->postgres.payload = run;
    run_init_registry(run);
    run_init_nodes(run);
    sim_trouble_choose(run);
    run->commands_left = sim_random_between(&run->random, 50, 400);
    sim_trace("seed %" PRIu64 ": %d nodes, %d shards, %" PRId64 " commands", seed, run->node_count,
              (int)run->broker.shard_count, run->commands_left);
}

/* ---- end ------------------------------------------------------------------------------------- */

/* Each node hears all the others, but for those that give a wrong address, of which none knows anything. */
static bool run_is_united(const sim_simulation *run)
{
    for (int i = 0; i < run->node_count; i++) {
        for (int j = 0; j < run->node_count; j++) {
            const sim_node *node = &run->nodes[i];
            bool hidden = run->network.hosts[j].is_hidden;
            alv_peer_state right = hidden ? ALV_PEER_UNKNOWN : ALV_PEER_ALIVE;
            if (i != j &&
                (!sim_node_is_watching(node) || sim_monitor_state(node->monitor, j) != right)) {
                return false;
            }
        }
    }
    return true;
}

static const char *run_unfinished(const sim_simulation *run)
{
    if (!sim_model_is_done(run->model)) {
        return "commands are not executed";
    }
    if (sim_model_due(run->model) != INT64_MAX) {
        return "timers have not fired, or entities have not expired";
    }
    if (sim_model_job_due(run->model) < sim_node_clock_ms(&run->nodes[0]) - SIM_JOB_EVERY_MS) {
        return "the job has not been sent";
    }
    if (!run_is_united(run)) {
        return "nodes do not hear each other";
    }
    for (int32_t shard = 0; shard < run->broker.shard_count; shard++) {
        if (!sim_postgres_is_complete(&run->postgres, shard)) {
            return "PostgreSQL is not complete";
        }
    }
    return NULL;
}

static void run_await_all(sim_simulation *run)
{
    int64_t until_ms = run->now_ms + RUN_PATIENCE_MS;
    const char *unfinished = NULL;
    while ((unfinished = run_unfinished(run)) != NULL) {
        if (run->now_ms > until_ms) {
            sim_fail("progress", "after %d s without any trouble %s", RUN_PATIENCE_MS / 1000,
                     unfinished);
        }
        sim_trouble_resume_all(run);
        for (int i = 0; i < 50; i++) {
            sim_run_step(run);
        }
    }
}

/* Nothing goes wrong any more; then everything must be done within a while, also when one more node dies. */
static void run_finish(sim_simulation *run)
{
    run->is_ending = true;
    sim_trace("all troubles are mended");
    sim_trouble_mend(run, true);
    run_await_all(run);
    if (run->node_count > 1) {
        sim_drill_run(run);
        run_await_all(run);
    }
    for (int i = 0; i < run->node_count; i++) {
        for (int32_t shard = 0; shard < run->broker.shard_count; shard++) {
            sim_node_read(&run->nodes[i], shard);
            sim_disk_check(run->nodes[i].disk, shard);
        }
    }
}

static void run_add(int64_t *sum, const int64_t *values)
{
    for (size_t i = 0; i < sizeof(sim_stats) / sizeof(int64_t); i++) {
        sum[i] += values[i];
    }
}

static void run_done(sim_simulation *run, sim_stats *stats)
{
    run->stats.runs = 1;
    run->stats.simulated_ms = run->now_ms;
    run->stats.executions = sim_model_executions(run->model);
    run->stats.timers = sim_model_timers(run->model);
    run->stats.repeated = sim_model_repeated(run->model);
    sim_model_counts counts;
    sim_model_count(run->model, &counts);
    run->stats.expired = counts.expired;
    run->stats.quarantined = counts.quarantined;
    run->stats.released = counts.released;
    run->stats.looked = counts.looked;
    run->stats.pauses = counts.paused;
    run->stats.ticks = counts.ticks;
    run->stats.poisoned = counts.poisoned;
    sim_marks_counts marks;
    sim_marks_count(run->marks, &marks);
    run->stats.poison_crashes = marks.crashes;
    run->stats.poison_deaths = marks.deaths;
    run->stats.chance_deaths = marks.chance;
    run->stats.damaged_marks = marks.damaged;
    run->stats.suspicions = run->monitor_counts.suspicions;
    run->stats.proofs = run->monitor_counts.proofs;
    run->stats.convictions = run->monitor_counts.convictions;
    run->stats.wrong_convictions = run->monitor_counts.wrong;
    run->stats.revived = run->monitor_counts.revived;
    run->stats.goodbyes = run->monitor_counts.goodbyes;
    run->stats.noticed_restarts = run->monitor_counts.restarts;
    run->stats.late_hits = run->broker.late_hits;
    run->stats.rebalances = run->broker.group.rebalances;
    for (int i = 0; i < run->node_count; i++) {
        run->stats.takeovers += run->nodes[i].evictions;
        run->stats.awaited += run->nodes[i].awaited;
    }
    run->stats.checkpoints = run->postgres.writes;
    run->stats.checkpoints_fenced = run->postgres.fenced;
    run_add((int64_t *)stats, (const int64_t *)&run->stats);
    for (int i = 0; i < run->node_count; i++) {
        sim_node_done(&run->nodes[i]);
    }
    sim_model_free(run->model);
    sim_marks_free(run->marks);
    sim_postgres_done(&run->postgres);
    sim_broker_done(&run->broker);
    alv_registry_free(run->registry);
    sim_trace_end();
}

void sim_run(uint64_t seed, sim_stats *stats)
{
    sim_simulation *run = alv_alloc(sizeof *run);
    run_init(run, seed);
    while (run->commands_left > 0) {
        sim_run_step(run);
    }
    int64_t until_ms = run->now_ms + sim_random_between(&run->random, 0, 10000);
    while (run->now_ms < until_ms) {
        sim_run_step(run);
    }
    run_finish(run);
    run_done(run, stats);
    alv_free(run);
}

void sim_stats_print(const sim_stats *stats, double seconds)
{
    const struct {
        const char *what;
        int64_t count;
    } lines[] = {
        {"runs", stats->runs},
        {"steps", stats->steps},
        {"simulated seconds", stats->simulated_ms / 1000},
        {"commands sent", stats->commands},
        {"executions", stats->executions},
        {"of these, timers", stats->timers},
        {"repeated commands", stats->repeated},
        {"entities expired", stats->expired},
        {"entities quarantined", stats->quarantined},
        {"of these, released", stats->released},
        {"commands that looked a row up", stats->looked},
        {"shards paused", stats->pauses},
        {"commands of the cluster's job", stats->ticks},
        {"looks at shards that waited for a table", stats->awaited},
        {"transactions committed", stats->transactions},
        {"transactions aborted", stats->aborts},
        {"EndTxn without an answer", stats->no_answers},
        {"late EndTxn that hit another", stats->late_hits},
        {"crashes", stats->crashes},
        {"of these, inside a turn", stats->crashes_inside},
        {"clean stops", stats->stops},
        {"freezes", stats->freezes},
        {"nodes cut off", stats->cuts},
        {"commands that kill, given up", stats->poisoned},
        {"crashes by them", stats->poison_crashes},
        {"deaths by them", stats->poison_deaths},
        {"others in hand at a death", stats->chance_deaths},
        {"crash marks damaged", stats->damaged_marks},
        {"splits between nodes", stats->splits},
        {"suspicions", stats->suspicions},
        {"held for dead by proof", stats->proofs},
        {"held for dead by a majority", stats->convictions},
        {"of these, of running processes", stats->wrong_convictions},
        {"held for dead, and heard again", stats->revived},
        {"goodbyes heard", stats->goodbyes},
        {"restarts noticed by their boot", stats->noticed_restarts},
        {"deaths with nothing else wrong", stats->drills},
        {"ms until their seats were free, in all", stats->drill_ms},
        {"evictions by takeover", stats->takeovers},
        {"evictions by somebody else", stats->evictions},
        {"of these, of live nodes", stats->false_evictions},
        {"clock jumps", stats->clock_jumps},
        {"full disks", stats->full_disks},
        {"PostgreSQL away", stats->postgres_outages},
        {"checkpoints", stats->checkpoints},
        {"checkpoints fenced", stats->checkpoints_fenced},
        {"rebalances", stats->rebalances},
        {"group offsets expired", stats->expired_offsets},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        printf("%12" PRId64 "  %s\n", lines[i].count, lines[i].what);
    }
    if (seconds > 0) {
        printf("%12.0f  runs a minute\n", (double)stats->runs * 60 / seconds);
    }
}
