#include "tests/sim/sim_peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "changelog/placement.h"
#include "processor/fencer.h"
#include "processor/rivals.h"
#include "processor/takeover.h"
#include "tests/sim/sim_trace.h"

static sim_broker *peers_broker(const sim_node *node)
{
    return node->options->broker;
}

/* The number in "n<number>". */
static int peers_number(const char *node_id)
{
    int number = atoi(node_id + 1);
    ALV_ASSERT(node_id[0] == 'n' && number >= 0 && number < SIM_NODES_MAX);
    return number;
}

/* ---- what is asked --------------------------------------------------------------------------- */

static bool peers_ask(const sim_node *node)
{
    return node->options->call(node->options->payload, node->number, SIM_CALL_ASK) == SIM_FATE_DONE;
}

static void peers_fill_member(const sim_member *from, alv_member *to)
{
    (void)snprintf(to->node_id, sizeof to->node_id, "n%d", from->node);
    (void)snprintf(to->address, sizeof to->address, "n%d:%d", from->node, from->port);
    (void)snprintf(to->member_id, sizeof to->member_id, "m%08" PRId64, from->id);
    to->lane = from->lane;
    to->shards = alv_alloc_array(SIM_SHARDS_MAX, sizeof *to->shards);
    for (int32_t shard = 0; shard < SIM_SHARDS_MAX; shard++) {
        if ((from->assigned >> shard & 1) != 0) {
            to->shards[to->shard_count++] = shard;
        }
    }
}

static alv_status peers_members(void *payload, alv_members *out, alv_error *err)
{
    const sim_node *node = payload;
    if (!peers_ask(node)) {
        return alv_fail(err, ALV_RETRY, "no answer");
    }
    const sim_group *group = &peers_broker(node)->group;
    out->items = alv_alloc_array((size_t)group->member_count + 1, sizeof *out->items);
    out->count = 0;
    for (int i = 0; i < group->member_count; i++) {
        peers_fill_member(&group->members[i], &out->items[out->count++]);
    }
    return ALV_OK;
}

/* As kafka_owners.c tells: whether a transaction is in the way, and who committed last. */
static alv_status peers_owners(void *payload, alv_owner *items, size_t count, alv_error *err)
{
    const sim_node *node = payload;
    sim_broker *broker = peers_broker(node);
    if (!peers_ask(node)) {
        return alv_fail(err, ALV_RETRY, "no answer");
    }
    for (size_t i = 0; i < count; i++) {
        int32_t shard = items[i].shard;
        int by = broker->committed_by[shard];
        items[i].is_blocked = sim_coordinator_is_unstable(broker, shard) ||
                              sim_broker_stable_end(broker, ALV_TOPIC_CHANGELOG, shard) <
                                  sim_broker_partition(broker, ALV_TOPIC_CHANGELOG, shard)->end ||
                              sim_broker_stable_end(broker, ALV_TOPIC_LEDGER, shard) <
                                  sim_broker_partition(broker, ALV_TOPIC_LEDGER, shard)->end;
        items[i].is_named = by >= 0;
        items[i].lane = by % SIM_LANES_MAX;
        (void)snprintf(items[i].node_id, sizeof items[i].node_id, "n%d", by / SIM_LANES_MAX);
    }
    return ALV_OK;
}

/* ---- what is done ---------------------------------------------------------------------------- */

static alv_status peers_fence(void *payload, const alv_seat *seat, alv_error *err)
{
    const sim_node *node = payload;
    if (!peers_ask(node)) {
        return alv_fail(err, ALV_RETRY, "no answer");
    }
    sim_trace("n%d: fences %s/%d", node->number, seat->node_id, (int)seat->lane);
    (void)sim_coordinator_init(peers_broker(node),
                               sim_producer_index(peers_number(seat->node_id), seat->lane));
    return ALV_OK;
}

/* All seats are taken, and then all leave; the producers are fenced in between, or not if something fails. */
static alv_status peers_evict(void *payload, const alv_seat *seats, size_t count, alv_evicted *out,
                              alv_error *err)
{
    sim_node *node = payload;
    sim_broker *broker = peers_broker(node);
    int64_t taken[SIM_MEMBERS_MAX];
    ALV_ASSERT(count <= SIM_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!peers_ask(node)) {
            return alv_fail(err, ALV_RETRY, "no answer");
        }
        out[i] = (alv_evicted){.seated_ms = 0, .left_ms = 0, .fenced_ms = 0};
        taken[i] = sim_group_join(&broker->group, broker->now_ms, peers_number(seats[i].node_id),
                                  seats[i].lane, 0, 0);
        sim_trace("n%d: takes the seat of %s/%d", node->number, seats[i].node_id,
                  (int)seats[i].lane);
    }
    alv_status status = ALV_OK;
    for (size_t i = 0; i < count && status == ALV_OK; i++) {
        status = peers_fence(node, &seats[i], err);
    }
    if (node->is_dead) {
        return ALV_RETRY; /* the seats stay with the group until their sessions end */
    }
    for (size_t i = 0; i < count; i++) {
        sim_group_leave(&broker->group, broker->now_ms, taken[i]);
    }
    node->evictions++;
    return status;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static bool peers_holds_dead(const sim_node *node, int other)
{
    return ((node->found_dead | node->thought_dead) >> other & 1) != 0;
}

static void peers_set_dead(sim_node *node, sim_nodes *by, int other, bool dead)
{
    char node_id[16];
    bool before = peers_holds_dead(node, other);
    *by = (*by & ~((sim_nodes)1 << other)) | (sim_nodes)dead << other;
    if (peers_holds_dead(node, other) == before) {
        return;
    }
    (void)snprintf(node_id, sizeof node_id, "n%d", other);
    sim_trace("n%d: holds n%d for %s", node->number, other, dead ? "dead" : "alive");
    if (dead) {
        alv_takeover_dead(node->takeover, node_id);
    } else {
        alv_takeover_cleared(node->takeover, node_id);
    }
}

static void peers_judged(void *payload, int other, bool dead)
{
    sim_node *node = payload;
    peers_set_dead(node, &node->found_dead, other, dead);
}

void sim_peers_think(sim_node *node, int other, bool dead)
{
    peers_set_dead(node, &node->thought_dead, other, dead);
}

/* ---- life ------------------------------------------------------------------------------------ */

void sim_peers_start(sim_node *node)
{
    const alv_takeover_options takeover = {.config = node->config,
                                           .clock = &node->clock.base,
                                           .members = peers_members,
                                           .evict = peers_evict,
                                           .payload = node};
    alv_status status = alv_takeover_new(&takeover, &node->takeover, NULL);
    ALV_ASSERT(status == ALV_OK);
    const alv_fencer_options fencer = {.config = node->config,
                                       .clock = &node->clock.base,
                                       .directory = node->directory,
                                       .owners = peers_owners,
                                       .members = peers_members,
                                       .fence = peers_fence,
                                       .payload = node};
    node->fencer = alv_fencer_new(&fencer);
    node->rivals = alv_rivals_new(node->directory, alv_config_settings(node->config)->node_id);
    const sim_monitor_options monitor = {
        .network = node->options->network,
        .number = node->number,
        .boot = sim_network_start(node->options->network, node->number),
        .timeout_ms = alv_config_settings(node->config)->peer_timeout_ms,
        .counts = node->options->monitor_counts,
        .judged = peers_judged,
        .payload = node};
    node->monitor = sim_monitor_new(&monitor);
    peers_broker(node)->ports[node->number] = node->options->network->hosts[node->number].port;
    node->found_dead = node->thought_dead = 0;
}

void sim_peers_stop(sim_node *node)
{
    alv_takeover_stop(node->takeover);
    alv_fencer_stop(node->fencer);
    alv_rivals_free(node->rivals);
    sim_monitor_free(node->monitor);
    node->monitor = NULL;
}

/* The first of its lanes says where a node is, as in api/peer_monitor.c. */
static void peers_tell_monitor(const sim_node *node, const alv_members *members)
{
    int ports[SIM_NODES_MAX] = {0};
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        int *port = &ports[peers_number(member->node_id)];
        *port = *port == 0 ? atoi(strchr(member->address, ':') + 1) : *port;
    }
    sim_monitor_set_members(node->monitor, ports);
}

void sim_peers_look(sim_node *node)
{
    alv_members members = {.count = 0};
    bool *standbys = node->standbys;
    if (peers_members(node, &members, NULL) == ALV_OK && !node->is_dead) {
        alv_rivals_members_known(node->rivals, &members);
        alv_fencer_members_known(node->fencer, &members);
        peers_tell_monitor(node, &members);
        alv_placement_standbys(&members, peers_broker(node)->shard_count,
                               alv_config_settings(node->config)->node_id, 1, standbys);
        alv_replicator_set_standbys(node->replicator, standbys);
    }
    alv_members_done(&members);
}
