/* Goal:   the picture of the group follows what the source says, survives its silence, and keeps
 *         owners over a rebalance.
 * Method: a source that a test rewrites; conditions are polled with a deadline, each poll being a
 *         wish for a new answer. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/peers.h"
#include "base/logger.h"
#include "tests/support/fake_group.h"

#define SHARDS 4
#define DEADLINE_US 5000000

/* Waits until an answer that was asked for after this call has been taken in: two questions
 * later. */
static void wait_for_news(alv_peers *peers, alv_fake_group *group)
{
    int64_t deadline_us = alv_monotonic_us(alv_clock_system()) + DEADLINE_US;
    int asked = alv_fake_group_asked(group);
    while (alv_fake_group_asked(group) < asked + 2) {
        assert_true(alv_monotonic_us(alv_clock_system()) < deadline_us);
        alv_peers_refresh_soon(peers);
        sched_yield();
    }
}

static alv_peers *start(alv_fake_group *group)
{
    const alv_peers_options options = {.source = alv_fake_group_members,
                                       .payload = group,
                                       .clock = alv_clock_system(),
                                       .shard_count = SHARDS};
    alv_peers *peers = NULL;
    assert_int_equal(alv_peers_start(&options, &peers, NULL), ALV_OK);
    return peers;
}

static const alv_fake_lane settled[] = {
    {"node-1", "10.0.0.1:8090", 0, {0, 1, -1}},
    {"node-2", "10.0.0.2:8090", 0, {2, 3, -1}},
};

static void expect_owner(alv_peers *peers, int32_t shard, const char *address)
{
    alv_peer peer;
    assert_true(alv_peers_owner(peers, shard, &peer));
    assert_string_equal(peer.address, address);
}

static void peers__know_owners(void **state)
{
    (void)state;
    alv_fake_group group;
    alv_fake_group_init(&group);
    alv_fake_group_say(&group, settled, 2);
    alv_peers *peers = start(&group);
    wait_for_news(peers, &group);
    expect_owner(peers, 1, "10.0.0.1:8090");
    expect_owner(peers, 2, "10.0.0.2:8090");
    alv_peer list[1];
    assert_int_equal(alv_peers_list(peers, list, 1), 2);
    assert_string_equal(list[0].node_id, "node-1");
    assert_in_range(alv_peers_age_ms(peers), 0, DEADLINE_US / 1000);
    alv_peers_free(peers);
    alv_fake_group_done(&group);
}

static void peers__nothing_is_known_at_first(void **state)
{
    (void)state;
    alv_fake_group group;
    alv_fake_group_init(&group);
    alv_fake_group_set_away(&group, true);
    alv_peers *peers = start(&group);
    wait_for_news(peers, &group);
    alv_peer peer;
    assert_false(alv_peers_owner(peers, 0, &peer));
    assert_int_equal(alv_peers_list(peers, NULL, 0), 0);
    assert_int_equal(alv_peers_age_ms(peers), -1);
    alv_peers_free(peers);
    alv_fake_group_done(&group);
}

static void peers__keep_the_last_picture_while_kafka_is_away(void **state)
{
    (void)state;
    alv_fake_group group;
    alv_fake_group_init(&group);
    alv_fake_group_say(&group, settled, 2);
    alv_peers *peers = start(&group);
    wait_for_news(peers, &group);
    alv_fake_group_set_away(&group, true);
    wait_for_news(peers, &group);
    expect_owner(peers, 3, "10.0.0.2:8090");
    static const alv_fake_lane after[] = {{"node-1", "10.0.0.1:8090", 0, {0, 1, 2, 3, -1}}};
    alv_fake_group_say(&group, after, 1);
    alv_fake_group_set_away(&group, false);
    wait_for_news(peers, &group);
    expect_owner(peers, 3, "10.0.0.1:8090");
    alv_peers_free(peers);
    alv_fake_group_done(&group);
}

/* During a rebalance the coordinator names members without assignments. */
static void peers__keep_owners_that_are_still_members(void **state)
{
    (void)state;
    alv_fake_group group;
    alv_fake_group_init(&group);
    alv_fake_group_say(&group, settled, 2);
    alv_peers *peers = start(&group);
    wait_for_news(peers, &group);
    static const alv_fake_lane rebalancing[] = {{"node-3", "10.0.0.3:8090", 0, {-1}},
                                                {"node-2", "10.0.0.9:8090", 0, {-1}}};
    alv_fake_group_say(&group, rebalancing, 2);
    wait_for_news(peers, &group);
    alv_peer peer;
    assert_false(alv_peers_owner(peers, 0, &peer)); /* node-1 has left */
    expect_owner(peers, 2, "10.0.0.9:8090");        /* node-2 has moved to another address */
    alv_peers_free(peers);
    alv_fake_group_done(&group);
}

/* The address becomes a URL, the node id becomes JSON; both come from outside. */
static void peers__do_not_trust_what_members_say(void **state)
{
    (void)state;
    static const alv_fake_lane odd[] = {{"n\xff", "none", 0, {0, 99, -1}},
                                        {"node-2", "evil.example/x?:80", 1, {1, -5, -1}}};
    alv_fake_group group;
    alv_fake_group_init(&group);
    alv_fake_group_say(&group, odd, 2);
    alv_peers *peers = start(&group);
    wait_for_news(peers, &group);
    alv_peer peer;
    assert_true(alv_peers_owner(peers, 0, &peer));
    assert_string_equal(peer.node_id, "n?");
    assert_string_equal(peer.address, "");
    expect_owner(peers, 1, "");
    assert_false(alv_peers_owner(peers, 3, &peer));
    alv_peers_free(peers);
    alv_fake_group_done(&group);
}

/* Many wishes are one question per gap, and a stop does not wait for the interval. */
static void peers__wishes_are_limited(void **state)
{
    (void)state;
    alv_fake_group group;
    alv_fake_group_init(&group);
    alv_fake_group_say(&group, settled, 2);
    alv_peers *peers = start(&group);
    int64_t began_us = alv_monotonic_us(alv_clock_system());
    while (alv_monotonic_us(alv_clock_system()) < began_us + 350000)
        alv_peers_refresh_soon(peers);
    int asked = alv_fake_group_asked(&group);
    assert_in_range(asked, 2, 5);
    int64_t stop_us = alv_monotonic_us(alv_clock_system());
    alv_peers_free(peers);
    assert_true(alv_monotonic_us(alv_clock_system()) - stop_us < 500000);
    alv_fake_group_done(&group);
}

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers__know_owners),
        cmocka_unit_test(peers__nothing_is_known_at_first),
        cmocka_unit_test(peers__keep_the_last_picture_while_kafka_is_away),
        cmocka_unit_test(peers__keep_owners_that_are_still_members),
        cmocka_unit_test(peers__do_not_trust_what_members_say),
        cmocka_unit_test(peers__wishes_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
