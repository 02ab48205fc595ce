/* placement.c — the sticky assignor's rule, run on deaths that have not happened.
 *
 * A scenario is an assignment together with the nodes that are assumed dead in it. A death makes a new
 * scenario out of one: it goes on with the node's shards given out. First replicas need one scenario
 * per node; the second replica of a shard is found where the first one's node has died after it, and so
 * on. Each shard has one such chain, so there are never more scenarios per step than shards.
 */
#include "changelog/placement.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

typedef struct placement_lane {
    const char *member_id; /* borrowed from the members */
    int32_t node;          /* index into nodes */
    int32_t member;        /* index into the members */
} placement_lane;

/* What does not change: lanes in the order in which the assignor breaks ties, and their nodes. */
typedef struct placement_group {
    placement_lane *lanes;
    int32_t lane_count;
    const char **nodes; /* ids */
    int32_t node_count;
    int32_t shard_count;
} placement_group;

typedef struct placement_scenario {
    int32_t *owners; /* by shard: lane, or ALV_PLACEMENT_NONE */
    int32_t *loads;  /* by lane: number of shards */
    bool *dead;      /* by node */
} placement_scenario;

/* ---- group ----------------------------------------------------------------------------------- */

static int32_t group_find_node(const placement_group *group, const char *node_id)
{
    for (int32_t i = 0; i < group->node_count; i++) {
        if (strcmp(group->nodes[i], node_id) == 0) {
            return i;
        }
    }
    return ALV_PLACEMENT_NONE;
}

static int32_t group_add_node(placement_group *group, const char *node_id)
{
    int32_t node = group_find_node(group, node_id);
    if (node != ALV_PLACEMENT_NONE) {
        return node;
    }
    group->nodes[group->node_count] = node_id;
    return group->node_count++;
}

static int lane_compare(const void *left, const void *right)
{
    return strcmp(((const placement_lane *)left)->member_id,
                  ((const placement_lane *)right)->member_id);
}

static void group_init(placement_group *group, const alv_members *members, int32_t shard_count)
{
    ALV_ASSERT(shard_count >= 0 && shard_count <= ALV_SHARDS_MAX);
    *group = (placement_group){
        .lanes = alv_alloc_array(members->count, sizeof(*group->lanes)),
        .lane_count = (int32_t)members->count,
        .nodes = alv_alloc_array(members->count, sizeof(*group->nodes)),
        .shard_count = shard_count,
    };
    for (int32_t i = 0; i < group->lane_count; i++) {
        const alv_member *member = &members->items[i];
        group->lanes[i] = (placement_lane){.member_id = member->member_id,
                                           .node = group_add_node(group, member->node_id),
                                           .member = i};
    }
    if (group->lane_count > 0) { /* an empty array must not be sorted */
        qsort(group->lanes, (size_t)group->lane_count, sizeof(*group->lanes), lane_compare);
    }
}

static void group_done(placement_group *group)
{
    alv_free(group->lanes);
    alv_free(group->nodes);
}

/* ---- scenario -------------------------------------------------------------------------------- */

static void scenario_alloc(placement_scenario *scenario, const placement_group *group)
{
    scenario->owners = alv_alloc_array((size_t)group->shard_count, sizeof(*scenario->owners));
    scenario->loads = alv_alloc_array((size_t)group->lane_count, sizeof(*scenario->loads));
    scenario->dead = alv_alloc_array((size_t)group->node_count, sizeof(*scenario->dead));
}

static void scenario_done(placement_scenario *scenario)
{
    alv_free(scenario->owners);
    alv_free(scenario->loads);
    alv_free(scenario->dead);
}

/* The assignment as the members have it. What they say comes from outside: numbers out of range, or a
 * shard that two of them name, are passed over. */
static void scenario_init(placement_scenario *scenario, const placement_group *group,
                          const alv_members *members)
{
    scenario_alloc(scenario, group);
    for (int32_t shard = 0; shard < group->shard_count; shard++) {
        scenario->owners[shard] = ALV_PLACEMENT_NONE;
    }
    for (int32_t lane = 0; lane < group->lane_count; lane++) {
        const alv_member *member = &members->items[group->lanes[lane].member];
        for (size_t i = 0; i < member->shard_count; i++) {
            int32_t shard = member->shards[i];
            if (shard < 0 || shard >= group->shard_count ||
                scenario->owners[shard] != ALV_PLACEMENT_NONE) {
                continue;
            }
            scenario->owners[shard] = lane;
            scenario->loads[lane]++;
        }
    }
}

static void scenario_copy(placement_scenario *scenario, const placement_group *group,
                          const placement_scenario *from)
{
    scenario_alloc(scenario, group);
    memcpy(scenario->owners, from->owners, (size_t)group->shard_count * sizeof(*from->owners));
    memcpy(scenario->loads, from->loads, (size_t)group->lane_count * sizeof(*from->loads));
    memcpy(scenario->dead, from->dead, (size_t)group->node_count * sizeof(*from->dead));
}

/* The node of a shard's owner. */
static int32_t scenario_node(const placement_scenario *scenario, const placement_group *group,
                             int32_t shard)
{
    int32_t lane = scenario->owners[shard];
    return lane == ALV_PLACEMENT_NONE ? ALV_PLACEMENT_NONE : group->lanes[lane].node;
}

/* ---- giving out: a heap of living lanes, the next receiver on top ----------------------------- */

typedef struct placement_heap {
    int32_t *lanes;
    int32_t count;
    int32_t *loads; /* of the scenario */
} placement_heap;

/* Lanes are numbered in the order of their member ids. */
static bool heap_before(const placement_heap *heap, int32_t left, int32_t right)
{
    if (heap->loads[left] != heap->loads[right]) {
        return heap->loads[left] < heap->loads[right];
    }
    return left < right;
}

static void heap_sink(placement_heap *heap, int32_t at)
{
    for (;;) {
        int32_t first = at;
        for (int32_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++) {
            if (heap_before(heap, heap->lanes[child], heap->lanes[first])) {
                first = child;
            }
        }
        if (first == at) {
            return;
        }
        int32_t lane = heap->lanes[at];
        heap->lanes[at] = heap->lanes[first];
        heap->lanes[first] = lane;
        at = first;
    }
}

static void heap_init(placement_heap *heap, const placement_group *group,
                      const placement_scenario *scenario)
{
    *heap = (placement_heap){
        .lanes = alv_alloc_array((size_t)group->lane_count, sizeof(*heap->lanes)),
        .loads = scenario->loads,
    };
    for (int32_t lane = 0; lane < group->lane_count; lane++) {
        if (!scenario->dead[group->lanes[lane].node]) {
            heap->lanes[heap->count++] = lane;
        }
    }
    for (int32_t at = heap->count / 2; at-- > 0;) {
        heap_sink(heap, at);
    }
}

static int32_t heap_give(placement_heap *heap)
{
    if (heap->count == 0) {
        return ALV_PLACEMENT_NONE;
    }
    int32_t lane = heap->lanes[0];
    heap->loads[lane]++;
    heap_sink(heap, 0);
    return lane;
}

static bool heap_owns_something(const placement_heap *heap)
{
    for (int32_t at = 0; at < heap->count; at++) {
        if (heap->loads[heap->lanes[at]] > 0) {
            return true;
        }
    }
    return false;
}

/* All lanes of `node` leave at once: the rule of the header. */
static void scenario_kill(placement_scenario *scenario, const placement_group *group, int32_t node)
{
    ALV_ASSERT(!scenario->dead[node]);
    scenario->dead[node] = true;
    placement_heap heap;
    heap_init(&heap, group, scenario);
    bool is_ascending = !heap_owns_something(&heap);
    for (int32_t i = 0; i < group->shard_count; i++) {
        int32_t shard = is_ascending ? i : group->shard_count - 1 - i;
        int32_t owner = scenario_node(scenario, group, shard);
        if (owner == ALV_PLACEMENT_NONE || owner == node) {
            scenario->owners[shard] = heap_give(&heap);
        }
    }
    alv_free(heap.lanes);
}

/* ---- receivers ------------------------------------------------------------------------------- */

void alv_placement_receivers(const alv_members *members, int32_t shard_count, const char *dead_node,
                             int32_t *out_receivers)
{
    placement_group group;
    placement_scenario now;
    placement_scenario after;
    group_init(&group, members, shard_count);
    scenario_init(&now, &group, members);
    scenario_copy(&after, &group, &now);
    int32_t node = group_find_node(&group, dead_node);
    if (node != ALV_PLACEMENT_NONE) {
        scenario_kill(&after, &group, node);
    }

    for (int32_t shard = 0; shard < shard_count; shard++) {
        int32_t lane = after.owners[shard];
        bool is_moved = node != ALV_PLACEMENT_NONE && lane != ALV_PLACEMENT_NONE &&
                        scenario_node(&now, &group, shard) == node;
        out_receivers[shard] = is_moved ? group.lanes[lane].member : ALV_PLACEMENT_NONE;
    }
    scenario_done(&after);
    scenario_done(&now);
    group_done(&group);
}

/* ---- standbys -------------------------------------------------------------------------------- */

typedef struct placement_search {
    const placement_group *group;
    int32_t own; /* the node whose standbys are wanted, ALV_PLACEMENT_NONE = not a member */
    bool *standbys;
} placement_search;

/* Those of `shards` that `node` owns in the scenario. */
static size_t search_select(const placement_search *search, const placement_scenario *scenario,
                            int32_t node, const int32_t *shards, size_t count, int32_t *out)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (scenario_node(scenario, search->group, shards[i]) == node) {
            out[found++] = shards[i];
        }
    }
    return found;
}

/* `node` owns `shards` in the scenario `before` and dies. The receivers have a replica; where it is not
 * ours, the next one is found when the receiver dies as well.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as there are `replicas`, at most the nodes */
static void search_follow(const placement_search *search, const placement_scenario *before,
                          int32_t node, const int32_t *shards, size_t count, int64_t replicas)
{
    if (count == 0 || replicas <= 0) {
        return;
    }
    placement_scenario after;
    int32_t *received = alv_alloc_array(count, sizeof(*received));
    scenario_copy(&after, search->group, before);
    scenario_kill(&after, search->group, node);
    for (int32_t receiver = 0; receiver < search->group->node_count; receiver++) {
        size_t found = search_select(search, &after, receiver, shards, count, received);
        if (receiver != search->own) {
            search_follow(search, &after, receiver, received, found, replicas - 1);
        } else {
            for (size_t i = 0; i < found; i++) {
                search->standbys[received[i]] = true;
            }
        }
    }
    alv_free(received);
    scenario_done(&after);
}

void alv_placement_standbys(const alv_members *members, int32_t shard_count, const char *node_id,
                            int64_t replicas, bool *standbys)
{
    placement_group group;
    placement_scenario now;
    group_init(&group, members, shard_count);
    scenario_init(&now, &group, members);
    int32_t *all = alv_alloc_array((size_t)shard_count, sizeof(*all));
    int32_t *owned = alv_alloc_array((size_t)shard_count, sizeof(*owned));
    for (int32_t shard = 0; shard < shard_count; shard++) {
        all[shard] = shard;
        if (now.owners[shard] != ALV_PLACEMENT_NONE) {
            standbys[shard] = false;
        }
    }

    const placement_search search = {&group, group_find_node(&group, node_id), standbys};
    for (int32_t node = 0; node < group.node_count && search.own != ALV_PLACEMENT_NONE; node++) {
        if (node == search.own) {
            continue;
        }
        size_t found = search_select(&search, &now, node, all, (size_t)shard_count, owned);
        search_follow(&search, &now, node, owned, found, replicas);
    }
    alv_free(owned);
    alv_free(all);
    scenario_done(&now);
    group_done(&group);
}
