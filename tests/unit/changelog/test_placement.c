/* Goal:   the predicted receivers are those of the sticky assignor's rule, and standbys follow from them:
 *         on other nodes than the owner's, on as many as there can be, and the same for everybody who computes
 *         them. The lanes that are left are balanced when the group was.
 * Method: a few assignments with results worked out by hand, and random groups of 1 to 12 nodes that are
 *         compared with the rule written down in the plainest way. That the rule is the assignor's is shown
 *         in component/test_placement_group.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "changelog/placement.h"

#define SHARDS 64
#define NODES_MAX 12
#define GROUPS 300

/* ---- groups ---------------------------------------------------------------------------------- */

typedef struct test_group {
    alv_members members;
    int32_t shard_count;
} test_group;

static test_group group_new(int32_t shard_count, size_t member_count)
{
    test_group group = {.shard_count = shard_count};
    group.members.items = alv_alloc_array(member_count + 1, sizeof(*group.members.items));
    return group;
}

static void group_done(test_group *group)
{
    alv_members_done(&group->members);
}

static alv_member *group_add(test_group *group, const char *node, int lane, const char *uuid)
{
    alv_member *member = &group->members.items[group->members.count++];
    snprintf(member->node_id, sizeof(member->node_id), "%s", node);
    snprintf(member->member_id, sizeof(member->member_id), "%s-%d-%s", node, lane, uuid);
    member->lane = lane;
    member->shards = alv_alloc_array((size_t)group->shard_count + 1, sizeof(*member->shards));
    return member;
}

static void member_own(alv_member *member, int32_t shard)
{
    member->shards[member->shard_count++] = shard;
}

/* A lane with the shards of a list that ends with -1. */
static void group_add_owning(test_group *group, const char *node, int lane, const int32_t *shards)
{
    alv_member *member = group_add(group, node, lane, "u");
    for (; *shards >= 0; shards++) {
        member_own(member, *shards);
    }
}

static uint32_t next_random(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 8) % below;
}

/* Every shard has an owner; lanes differ by one shard, or by anything. */
static test_group group_random(uint32_t *random, int node_count, bool is_balanced)
{
    test_group group = group_new(SHARDS, NODES_MAX * 3);
    for (int node = 0; node < node_count; node++) {
        char id[16], uuid[16];
        snprintf(id, sizeof(id), "n%d", node);
        int lanes = 1 + (int)next_random(random, 3);
        for (int lane = 0; lane < lanes; lane++) {
            snprintf(uuid, sizeof(uuid), "%08x", next_random(random, 1u << 24));
            (void)group_add(&group, id, lane, uuid);
        }
    }
    uint32_t from = next_random(random, (uint32_t)group.members.count);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        uint32_t count = (uint32_t)group.members.count;
        uint32_t to = is_balanced ? (from + (uint32_t)shard) % count : next_random(random, count);
        member_own(&group.members.items[to], shard);
    }
    return group;
}

static int owner_of(const test_group *group, int32_t shard)
{
    for (size_t i = 0; i < group->members.count; i++) {
        for (size_t k = 0; k < group->members.items[i].shard_count; k++) {
            if (group->members.items[i].shards[k] == shard) {
                return (int)i;
            }
        }
    }
    return -1;
}

static const char *node_of(const test_group *group, int member)
{
    return group->members.items[member].node_id;
}

static bool is_on(const test_group *group, int member, const char *node)
{
    return strcmp(node_of(group, member), node) == 0;
}

/* ---- the rule, in the plainest way ----------------------------------------------------------- */

/* `owners` by shard; the members of the nodes in `dead` are out. */
static int plain_next(const test_group *group, const int *owners, const bool *dead)
{
    int best = -1;
    int best_load = 0;
    for (int member = 0; member < (int)group->members.count; member++) {
        int load = 0;
        for (int32_t shard = 0; shard < group->shard_count; shard++) {
            load += owners[shard] == member;
        }
        if (dead[member]) {
            continue;
        }
        if (best < 0 || load < best_load ||
            (load == best_load && strcmp(group->members.items[member].member_id,
                                         group->members.items[best].member_id) < 0)) {
            best = member;
            best_load = load;
        }
    }
    return best;
}

static void plain_kill(const test_group *group, int *owners, bool *dead, const char *node)
{
    bool is_owned[SHARDS];
    for (int member = 0; member < (int)group->members.count; member++) {
        dead[member] = dead[member] || is_on(group, member, node);
    }
    for (int32_t shard = 0; shard < group->shard_count; shard++) {
        is_owned[shard] = !dead[owners[shard]];
    }
    for (int32_t shard = group->shard_count - 1; shard >= 0; shard--) {
        if (!is_owned[shard]) {
            owners[shard] = -1;
        }
    }
    for (int32_t shard = group->shard_count - 1; shard >= 0; shard--) {
        if (!is_owned[shard]) {
            owners[shard] = plain_next(group, owners, dead);
        }
    }
}

/* Where the `depth`-th replica of a shard belongs, NULL when there is no further node. */
static const char *plain_replica(const test_group *group, int32_t shard, int depth)
{
    int owners[SHARDS];
    bool dead[NODES_MAX * 3] = {false};
    for (int32_t i = 0; i < group->shard_count; i++) {
        owners[i] = owner_of(group, i);
    }
    for (int i = 0; i < depth; i++) {
        plain_kill(group, owners, dead, node_of(group, owners[shard]));
        if (owners[shard] < 0) {
            return NULL;
        }
    }
    return node_of(group, owners[shard]);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void expect_receivers(const test_group *group, const char *dead, const int32_t *expected)
{
    int32_t receivers[SHARDS];
    alv_placement_receivers(&group->members, group->shard_count, dead, receivers);
    for (int32_t shard = 0; shard < group->shard_count; shard++) {
        if (receivers[shard] != expected[shard]) {
            fail_msg("shard %d of %s goes to %d, not %d", (int)shard, dead, (int)receivers[shard],
                     (int)expected[shard]);
        }
    }
}

/* Descending: 6 to c (2 shards), then b and c have 3: 1 to b by its id, 0 to c. */
static void receivers__are_the_least_loaded_from_the_highest_shard_down(void **state)
{
    (void)state;
    test_group group = group_new(8, 3);
    group_add_owning(&group, "a", 0, (const int32_t[]){0, 1, 6, -1});
    group_add_owning(&group, "b", 0, (const int32_t[]){2, 3, 4, -1});
    group_add_owning(&group, "c", 0, (const int32_t[]){5, 7, -1});
    expect_receivers(&group, "a", (const int32_t[]){2, 1, -1, -1, -1, -1, 2, -1});
    expect_receivers(&group, "b", (const int32_t[]){-1, -1, 2, 0, 2, -1, -1, -1});
    expect_receivers(&group, "nobody", (const int32_t[]){-1, -1, -1, -1, -1, -1, -1, -1});
    group_done(&group);
}

static void receivers__are_never_other_lanes_of_the_dead_node(void **state)
{
    (void)state;
    test_group group = group_new(4, 3);
    group_add_owning(&group, "a", 0, (const int32_t[]){0, 1, -1});
    group_add_owning(&group, "a", 1, (const int32_t[]){-1});
    group_add_owning(&group, "b", 0, (const int32_t[]){2, 3, -1});
    expect_receivers(&group, "a", (const int32_t[]){2, 2, -1, -1});
    group_done(&group);
}

/* When nobody who is left has a shard, librdkafka sorts the list ascending. */
static void receivers__get_the_lowest_first_when_nobody_has_any(void **state)
{
    (void)state;
    test_group group = group_new(3, 3);
    group_add_owning(&group, "a", 0, (const int32_t[]){0, 1, 2, -1});
    group_add_owning(&group, "b", 0, (const int32_t[]){-1});
    group_add_owning(&group, "c", 0, (const int32_t[]){-1});
    expect_receivers(&group, "a", (const int32_t[]){1, 2, 1});
    group_done(&group);
}

/* Shard 3 has no owner: it is given out as well and makes b fuller, but is not a's. */
static void receivers__make_way_for_shards_without_owner(void **state)
{
    (void)state;
    test_group group = group_new(4, 3);
    group_add_owning(&group, "a", 0, (const int32_t[]){1, -1});
    group_add_owning(&group, "b", 0, (const int32_t[]){0, -1});
    group_add_owning(&group, "c", 0, (const int32_t[]){2, -1});
    expect_receivers(&group, "a", (const int32_t[]){-1, 2, -1, -1});
    group_done(&group);
}

static void receivers__do_not_exist_for_the_last_node(void **state)
{
    (void)state;
    test_group group = group_new(2, 1);
    expect_receivers(&group, "a", (const int32_t[]){-1, -1});
    group_add_owning(&group, "a", 0, (const int32_t[]){0, 1, -1});
    expect_receivers(&group, "a", (const int32_t[]){-1, -1});
    group_done(&group);
}

/* What a broker tells may be nonsense; it must not lead outside of the tables. */
static void receivers__pass_over_numbers_that_cannot_be(void **state)
{
    (void)state;
    test_group group = group_new(2, 2);
    group.shard_count = 8; /* room for the lists */
    group_add_owning(&group, "a", 0, (const int32_t[]){7, 0, 0, -1});
    group_add_owning(&group, "b", 0, (const int32_t[]){0, 1, -1});
    group.members.items[0].shards[0] = -5;
    group.members.items[0].shards[2] = INT32_MAX;
    group.shard_count = 2;
    expect_receivers(&group, "a", (const int32_t[]){1, -1});
    group_done(&group);
}

static void receivers__follow_the_rule_in_random_groups(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < GROUPS; i++) {
        test_group group = group_random(&random, 1 + i % NODES_MAX, i % 2 == 0);
        char dead[16];
        snprintf(dead, sizeof(dead), "n%d",
                 (int)next_random(&random, 1u + (uint32_t)i % NODES_MAX));
        int owners[SHARDS];
        bool gone[NODES_MAX * 3] = {false};
        int32_t expected[SHARDS];
        for (int32_t shard = 0; shard < SHARDS; shard++) {
            owners[shard] = owner_of(&group, shard);
        }
        plain_kill(&group, owners, gone, dead);
        for (int32_t shard = 0; shard < SHARDS; shard++) {
            expected[shard] = is_on(&group, owner_of(&group, shard), dead) ? owners[shard] : -1;
        }
        expect_receivers(&group, dead, expected);
        group_done(&group);
    }
}

/* Loads after the death of `dead`, as the receivers say. */
static void check_balance(const test_group *group, const char *dead)
{
    int32_t receivers[SHARDS];
    size_t loads[NODES_MAX * 3];
    size_t fewest = SHARDS;
    size_t most = 0;
    alv_placement_receivers(&group->members, SHARDS, dead, receivers);
    for (size_t i = 0; i < group->members.count; i++) {
        loads[i] = group->members.items[i].shard_count;
    }
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        bool is_moved = is_on(group, owner_of(group, shard), dead);
        assert_int_equal(receivers[shard] != ALV_PLACEMENT_NONE, is_moved);
        if (is_moved) {
            loads[receivers[shard]]++;
        }
    }
    for (int member = 0; member < (int)group->members.count; member++) {
        if (is_on(group, member, dead)) {
            continue;
        }
        fewest = loads[member] < fewest ? loads[member] : fewest;
        most = loads[member] > most ? loads[member] : most;
    }
    assert_true(most - fewest <= 1);
}

static void receivers__leave_a_balanced_group_balanced(void **state)
{
    (void)state;
    uint32_t random = 5;
    for (int i = 0; i < GROUPS; i++) {
        int node_count = 2 + i % (NODES_MAX - 1);
        test_group group = group_random(&random, node_count, true);
        char dead[16];
        snprintf(dead, sizeof(dead), "n%d", (int)next_random(&random, (uint32_t)node_count));
        check_balance(&group, dead);
        group_done(&group);
    }
}

/* How many nodes of the group hold each shard as a standby; checks who they are. */
static void check_standbys(const test_group *group, int node_count, int replicas)
{
    int held[SHARDS] = {0};
    for (int node = 0; node < node_count; node++) {
        char id[16];
        bool standbys[SHARDS];
        memset(standbys, 1, sizeof(standbys)); /* must be set for each, not only added to */
        snprintf(id, sizeof(id), "n%d", node);
        alv_placement_standbys(&group->members, SHARDS, id, replicas, standbys);
        for (int32_t shard = 0; shard < SHARDS; shard++) {
            bool is_expected = false;
            for (int depth = 1; depth <= replicas; depth++) {
                const char *expected = plain_replica(group, shard, depth);
                is_expected = is_expected || (expected != NULL && strcmp(expected, id) == 0);
            }
            assert_int_equal(standbys[shard], is_expected);
            assert_false(standbys[shard] && is_on(group, owner_of(group, shard), id));
            held[shard] += standbys[shard];
        }
    }
    int wanted = replicas < node_count ? replicas : node_count - 1;
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_int_equal(held[shard], wanted);
    }
}

static void standbys__are_on_as_many_other_nodes_as_asked_for(void **state)
{
    (void)state;
    uint32_t random = 7;
    for (int i = 0; i < 24; i++) {
        int node_count = 1 + i % 6;
        test_group group = group_random(&random, node_count, i % 2 == 0);
        for (int replicas = 0; replicas <= 4; replicas += 1 + replicas / 2) {
            check_standbys(&group, node_count, replicas);
        }
        group_done(&group);
    }
}

static void standbys__do_not_depend_on_the_order_of_members(void **state)
{
    (void)state;
    uint32_t random = 3;
    for (int i = 0; i < 50; i++) {
        test_group group = group_random(&random, 5, true);
        bool before[SHARDS] = {false};
        bool after[SHARDS] = {false};
        alv_placement_standbys(&group.members, SHARDS, "n2", 2, before);
        for (size_t k = group.members.count; k-- > 1;) {
            size_t other = next_random(&random, (uint32_t)k + 1);
            alv_member swapped = group.members.items[k];
            group.members.items[k] = group.members.items[other];
            group.members.items[other] = swapped;
        }
        alv_placement_standbys(&group.members, SHARDS, "n2", 2, after);
        assert_memory_equal(before, after, sizeof(before));
        group_done(&group);
    }
}

static void standbys__of_shards_without_owner_stay_as_they_are(void **state)
{
    (void)state;
    test_group group = group_new(4, 2);
    group_add_owning(&group, "a", 0, (const int32_t[]){0, -1});
    group_add_owning(&group, "b", 0, (const int32_t[]){1, -1});
    bool standbys[4] = {false, false, true, false};
    alv_placement_standbys(&group.members, 4, "b", 1, standbys);
    assert_memory_equal(standbys, ((const bool[]){true, false, true, false}), sizeof(standbys));
    alv_placement_standbys(&group.members, 4, "stranger", 1, standbys);
    assert_memory_equal(standbys, ((const bool[]){false, false, true, false}), sizeof(standbys));
    group_done(&group);
}

/* A generous bound that something quadratic would miss by far. */
static void standbys__of_the_largest_group_take_a_moment(void **state)
{
    (void)state;
    test_group group = group_new(ALV_SHARDS_MAX, 64 * 4);
    bool *standbys = alv_alloc_array(ALV_SHARDS_MAX, sizeof(*standbys));
    char id[16];
    for (int i = 0; i < 64 * 4; i++) {
        snprintf(id, sizeof(id), "n%d", i / 4);
        (void)group_add(&group, id, i % 4, "u");
    }
    for (int32_t shard = 0; shard < ALV_SHARDS_MAX; shard++) {
        member_own(&group.members.items[shard % (64 * 4)], shard);
    }
    for (int replicas = 1; replicas <= 3; replicas++) {
        int64_t begin_us = alv_monotonic_us(alv_clock_system());
        alv_placement_standbys(&group.members, ALV_SHARDS_MAX, "n7", replicas, standbys);
        int64_t took_ms = (alv_monotonic_us(alv_clock_system()) - begin_us) / 1000;
        print_message("%d replicas of %d shards on 64 nodes: %lld ms\n", replicas, ALV_SHARDS_MAX,
                      (long long)took_ms);
        assert_true(took_ms < 5000);
    }
    alv_free(standbys);
    group_done(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receivers__are_the_least_loaded_from_the_highest_shard_down),
        cmocka_unit_test(receivers__are_never_other_lanes_of_the_dead_node),
        cmocka_unit_test(receivers__get_the_lowest_first_when_nobody_has_any),
        cmocka_unit_test(receivers__make_way_for_shards_without_owner),
        cmocka_unit_test(receivers__do_not_exist_for_the_last_node),
        cmocka_unit_test(receivers__pass_over_numbers_that_cannot_be),
        cmocka_unit_test(receivers__follow_the_rule_in_random_groups),
        cmocka_unit_test(receivers__leave_a_balanced_group_balanced),
        cmocka_unit_test(standbys__are_on_as_many_other_nodes_as_asked_for),
        cmocka_unit_test(standbys__do_not_depend_on_the_order_of_members),
        cmocka_unit_test(standbys__of_shards_without_owner_stay_as_they_are),
        cmocka_unit_test(standbys__of_the_largest_group_take_a_moment),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
