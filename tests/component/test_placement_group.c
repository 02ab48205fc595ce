/* Goal:   the receivers that placement predicts are those that librdkafka's assignor chooses in a real
 *         group, one death after another, and standbys for two replicas cover two deaths.
 * Method: groups of static members under the names of lanes, on the broker that ALLUVIUM_TEST_KAFKA
 *         names (else skipped). The lanes of a node unsubscribe together, as an eviction makes them do.
 *         Before each death the members are asked for and the receivers predicted; after it they are
 *         compared with what the survivors were assigned. Two nodes die, come back, and so on with
 *         others, so that assignments get as irregular as they do in real life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "changelog/placement.h"

#define SHARDS_MAX 32
#define NODES_MAX 5
#define LANES_MAX 2
#define WAIT_MS 20000
/* For each of the groups; a round of two deaths and two returns takes 2 to 4 s. */
#define GROUP_MS 6500

static const char *broker;

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ---- a group --------------------------------------------------------------------------------- */

typedef struct test_lane {
    rd_kafka_t *rk; /* NULL = it is away */
    bool owns[SHARDS_MAX];
    int owned;
} test_lane;

typedef struct test_group {
    char app[64];
    alv_config *config;
    alv_group_view *view;
    int node_count;
    int lane_count; /* of each node */
    int shard_count;
    test_lane lanes[NODES_MAX][LANES_MAX];
    uint32_t random;
    int asked, missed;
    int asked_second, missed_second;
} test_group;

static void conf_set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, key, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        fail_msg("%s", text);
    }
}

static void lane_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                              rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    test_lane *lane = opaque;
    bool is_assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    for (int i = 0; i < partitions->cnt; i++) {
        lane->owns[partitions->elems[i].partition] = is_assigned;
    }
    lane->owned += is_assigned ? partitions->cnt : -partitions->cnt;
    rd_kafka_error_t *error = is_assigned ? rd_kafka_incremental_assign(rk, partitions)
                                          : rd_kafka_incremental_unassign(rk, partitions);
    if (error != NULL) {
        fail_msg("rebalance: %s", rd_kafka_error_string(error));
    }
}

static void lane_open(test_group *group, int node, int number)
{
    char text[256];
    test_lane *lane = &group->lanes[node][number];
    *lane = (test_lane){0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "bootstrap.servers", broker);
    conf_set(conf, "group.id", group->app);
    snprintf(text, sizeof(text), "n%d-%d", node, number);
    conf_set(conf, "group.instance.id", text);
    snprintf(text, sizeof(text), "n%d@127.0.0.1:%d/%d", node, 8090 + node, number);
    conf_set(conf, "client.id", text);
    conf_set(conf, "partition.assignment.strategy", "cooperative-sticky");
    conf_set(conf, "enable.auto.commit", "false");
    conf_set(conf, "session.timeout.ms", "30000");
    conf_set(conf, "heartbeat.interval.ms", "100");
    conf_set(conf, "log_level", "3");
    rd_kafka_conf_set_rebalance_cb(conf, lane_on_rebalance);
    rd_kafka_conf_set_opaque(conf, lane);
    lane->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    assert_non_null(lane->rk);
    (void)rd_kafka_poll_set_consumer(lane->rk);

    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    snprintf(text, sizeof(text), "%s.commands", group->app);
    (void)rd_kafka_topic_partition_list_add(topics, text, RD_KAFKA_PARTITION_UA);
    assert_int_equal(rd_kafka_subscribe(lane->rk, topics), 0);
    rd_kafka_topic_partition_list_destroy(topics);
}

static void group_poll(test_group *group)
{
    for (int node = 0; node < group->node_count; node++) {
        for (int number = 0; number < group->lane_count; number++) {
            rd_kafka_t *rk = group->lanes[node][number].rk;
            rd_kafka_message_t *message = rk != NULL ? rd_kafka_consumer_poll(rk, 1) : NULL;
            if (message != NULL) {
                rd_kafka_message_destroy(message);
            }
        }
    }
}

static bool lane_has_left(const test_lane *lane)
{
    char *id = rd_kafka_memberid(lane->rk);
    bool has_left = id == NULL || *id == '\0';
    if (id != NULL) {
        rd_kafka_mem_free(lane->rk, id);
    }
    return has_left;
}

/* The node's lanes leave together; what they have sent is waited for in close. */
static void node_die(test_group *group, int node)
{
    test_lane *lanes = group->lanes[node];
    for (int number = 0; number < group->lane_count; number++) {
        assert_int_equal(rd_kafka_unsubscribe(lanes[number].rk), 0);
    }
    int64_t deadline = now_ms() + WAIT_MS;
    for (int number = 0; number < group->lane_count; number++) {
        while (!lane_has_left(&lanes[number]) && now_ms() < deadline) {
            group_poll(group);
        }
    }
    for (int number = 0; number < group->lane_count; number++) {
        (void)rd_kafka_consumer_close(lanes[number].rk);
        rd_kafka_destroy(lanes[number].rk);
        lanes[number] = (test_lane){0};
    }
}

static void node_return(test_group *group, int node)
{
    for (int number = 0; number < group->lane_count; number++) {
        lane_open(group, node, number);
    }
}

static bool node_lives(const test_group *group, int node)
{
    return group->lanes[node][0].rk != NULL;
}

/* The lane, by number, that was assigned a shard; -1 when there is none or more than one. */
static int group_owner(const test_group *group, int shard)
{
    int owner = -1;
    for (int node = 0; node < group->node_count; node++) {
        for (int number = 0; number < group->lane_count; number++) {
            if (group->lanes[node][number].owns[shard]) {
                if (owner >= 0) {
                    return -1;
                }
                owner = node * LANES_MAX + number;
            }
        }
    }
    return owner;
}

static bool group_is_settled(const test_group *group)
{
    int fewest = SHARDS_MAX;
    int most = 0;
    for (int shard = 0; shard < group->shard_count; shard++) {
        if (group_owner(group, shard) < 0) {
            return false;
        }
    }
    for (int node = 0; node < group->node_count; node++) {
        for (int number = 0; number < group->lane_count; number++) {
            const test_lane *lane = &group->lanes[node][number];
            if (lane->rk == NULL) {
                continue;
            }
            fewest = lane->owned < fewest ? lane->owned : fewest;
            most = lane->owned > most ? lane->owned : most;
        }
    }
    return most - fewest <= 1;
}

static int member_number(const alv_member *member)
{
    int node = (int)strtol(member->node_id + 1, NULL, 10);
    return node * LANES_MAX + member->lane;
}

/* True when the coordinator says the same as the members. */
static bool members_agree(const test_group *group, const alv_members *members)
{
    int shards = 0;
    for (size_t i = 0; i < members->count; i++) {
        for (size_t k = 0; k < members->items[i].shard_count; k++) {
            int owner = group_owner(group, members->items[i].shards[k]);
            if (owner != member_number(&members->items[i])) {
                return false;
            }
            shards++;
        }
    }
    return shards == group->shard_count;
}

/* Waits until everything is assigned and evened out. The members are the caller's. */
static void group_settle(test_group *group, alv_members *out)
{
    int64_t deadline = now_ms() + WAIT_MS;
    for (;;) {
        group_poll(group);
        if (group_is_settled(group) &&
            alv_group_view_members(group->view, 5000, out, NULL) == ALV_OK) {
            if (members_agree(group, out)) {
                return;
            }
            alv_members_done(out);
        }
        if (now_ms() > deadline) {
            fail_msg("the group does not settle");
        }
    }
}

static test_group *group_new(int node_count, int lane_count, int shard_count)
{
    static int count;
    char text[128];
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info made[ALV_TOPICS_MAX];
    test_group *group = alv_alloc(sizeof(*group));
    group->node_count = node_count;
    group->lane_count = lane_count;
    group->shard_count = shard_count;
    group->random = (uint32_t)now_ms();
    snprintf(group->app, sizeof(group->app), "placement-%d-%lld-%d", (int)getpid(),
             (long long)(alv_now_ms(alv_clock_system()) % 100000000), count++);
    group->config = alv_config_new();
    snprintf(text, sizeof(text), "bootstrap.servers=%s", broker);
    assert_int_equal(alv_config_set(group->config, text, NULL), ALV_OK);
    snprintf(text, sizeof(text), "application.id=%s", group->app);
    assert_int_equal(alv_config_set(group->config, text, NULL), ALV_OK);
    snprintf(text, sizeof(text), "shards=%d", shard_count);
    assert_int_equal(alv_config_set(group->config, text, NULL), ALV_OK);
    assert_int_equal(alv_config_finish(group->config, NULL), ALV_OK);
    if (alv_kafka_prepare_topics(group->config, made, &err) != ALV_OK ||
        alv_group_view_open(group->config, &group->view, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
    for (int node = 0; node < node_count; node++) {
        node_return(group, node);
    }
    return group;
}

static void group_done(test_group *group)
{
    for (int node = 0; node < group->node_count; node++) {
        if (node_lives(group, node)) {
            for (int number = 0; number < group->lane_count; number++) {
                rd_kafka_destroy_flags(group->lanes[node][number].rk,
                                       RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            }
        }
    }
    alv_group_view_close(group->view);
    alv_config_free(group->config);
    alv_free(group);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

/* What was expected before a death. */
typedef struct test_guess {
    int owners[SHARDS_MAX];                /* of then */
    int receivers[SHARDS_MAX];             /* -1 = stays */
    bool standbys[NODES_MAX][SHARDS_MAX];  /* for one replica */
    bool standbys2[NODES_MAX][SHARDS_MAX]; /* for two */
} test_guess;

static void guess_make(test_guess *guess, const test_group *group, const alv_members *members,
                       int victim)
{
    char id[16];
    int32_t receivers[SHARDS_MAX];
    *guess = (test_guess){0};
    snprintf(id, sizeof(id), "n%d", victim);
    alv_placement_receivers(members, group->shard_count, id, receivers);
    for (int shard = 0; shard < group->shard_count; shard++) {
        const alv_member *member = receivers[shard] >= 0 ? &members->items[receivers[shard]] : NULL;
        guess->owners[shard] = group_owner(group, shard);
        guess->receivers[shard] = member != NULL ? member_number(member) : -1;
    }
    for (int node = 0; node < group->node_count; node++) {
        snprintf(id, sizeof(id), "n%d", node);
        alv_placement_standbys(members, group->shard_count, id, 1, guess->standbys[node]);
        alv_placement_standbys(members, group->shard_count, id, 2, guess->standbys2[node]);
    }
}

/* Every shard of the victim is a question: is it where it was expected, and a replica with it? */
static void guess_check(const test_guess *guess, test_group *group, int victim)
{
    for (int shard = 0; shard < group->shard_count; shard++) {
        int owner = group_owner(group, shard);
        if (guess->owners[shard] / LANES_MAX != victim) {
            assert_int_equal(guess->receivers[shard], -1);
            continue;
        }
        group->asked++;
        assert_int_not_equal(guess->receivers[shard], -1);
        if (owner == guess->receivers[shard] && guess->standbys[owner / LANES_MAX][shard]) {
            continue;
        }
        group->missed++;
        print_message("missed: shard %d of n%d went to n%d-%d, expected n%d-%d\n", shard, victim,
                      owner / LANES_MAX, owner % LANES_MAX, guess->receivers[shard] / LANES_MAX,
                      guess->receivers[shard] % LANES_MAX);
    }
}

/* Shards that went from the first victim to the second one, which is dead now as well. */
static void guess_check_second(const test_guess *guess, test_group *group, int first, int second)
{
    for (int shard = 0; shard < group->shard_count; shard++) {
        int owner = group_owner(group, shard);
        if (guess->owners[shard] / LANES_MAX != first ||
            guess->receivers[shard] / LANES_MAX != second) {
            continue;
        }
        group->asked_second++;
        if (guess->standbys2[owner / LANES_MAX][shard]) {
            continue;
        }
        group->missed_second++;
        print_message("missed: shard %d went from n%d to n%d to n%d\n", shard, first, second,
                      owner / LANES_MAX);
    }
}

static int group_victim(test_group *group)
{
    for (;;) {
        group->random = group->random * 1664525 + 1013904223;
        int node = (int)((group->random >> 8) % (uint32_t)group->node_count);
        if (node_lives(group, node)) {
            return node;
        }
    }
}

/* Two die, one after the other, and come back. */
static void group_round(test_group *group)
{
    alv_members members;
    test_guess first;
    test_guess second;
    int victims[2];
    group_settle(group, &members);
    victims[0] = group_victim(group);
    guess_make(&first, group, &members, victims[0]);
    alv_members_done(&members);
    node_die(group, victims[0]);

    group_settle(group, &members);
    guess_check(&first, group, victims[0]);
    victims[1] = group_victim(group);
    guess_make(&second, group, &members, victims[1]);
    alv_members_done(&members);
    node_die(group, victims[1]);

    group_settle(group, &members);
    alv_members_done(&members);
    guess_check(&second, group, victims[1]);
    guess_check_second(&first, group, victims[0], victims[1]);
    node_return(group, victims[0]);
    node_return(group, victims[1]);
}

/* Nothing else happens in this group, so all of them must be right. */
static void run_group(int node_count, int lane_count, int shard_count)
{
    test_group *group = group_new(node_count, lane_count, shard_count);
    int64_t until = now_ms() + GROUP_MS;
    int rounds = 0;
    while (now_ms() < until) {
        group_round(group);
        rounds++;
    }
    print_message("%d nodes of %d lanes, %d shards: %d deaths, %d of %d receivers and %d of %d "
                  "second replicas as predicted\n",
                  node_count, lane_count, shard_count, 2 * rounds, group->asked - group->missed,
                  group->asked, group->asked_second - group->missed_second, group->asked_second);
    assert_true(group->asked >= 2 * rounds);
    assert_int_equal(group->missed, 0);
    assert_int_equal(group->missed_second, 0);
    group_done(group);
}

static void placement__is_what_the_assignor_does_with_3_nodes(void **state)
{
    (void)state;
    run_group(3, 2, 32);
}

static void placement__is_what_the_assignor_does_with_4_nodes(void **state)
{
    (void)state;
    run_group(4, 1, 17);
}

static void placement__is_what_the_assignor_does_with_5_nodes(void **state)
{
    (void)state;
    run_group(5, 2, 23);
}

int main(void)
{
    broker = getenv("ALLUVIUM_TEST_KAFKA");
    if (broker == NULL || *broker == '\0') {
        puts("skipped: set ALLUVIUM_TEST_KAFKA=host:port (dev/stack start; dev/stack env)");
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placement__is_what_the_assignor_does_with_3_nodes),
        cmocka_unit_test(placement__is_what_the_assignor_does_with_4_nodes),
        cmocka_unit_test(placement__is_what_the_assignor_does_with_5_nodes),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
