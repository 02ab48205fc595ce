/* Goal:   a transaction that is open on a shard's changelog, its ledger or the group's offsets is seen, and the
 *         lane that committed the shard's offsets last is named; neither of it when there is none. After the
 *         fence nothing is open any more.
 * Method: plain producers with transactional ids of lanes against a real broker, which leave transactions
 *         open that would last for ten minutes. The broker is the one that ALLUVIUM_TEST_KAFKA names; without
 *         it all is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/wait.h"
#include "topics/kafka.h"
#include "topics/kafka_evict.h"
#include "topics/kafka_owners.h"

#define SHARDS 4
#define WAIT_MS 30000

static const char *broker;

static struct {
    char application[64];
    alv_config *config;
    alv_kafka_owners *owners;
    rd_kafka_t *rk; /* the lane's */
} test;

static void must(rd_kafka_error_t *error)
{
    if (error != NULL)
        fail_msg("%s", rd_kafka_error_string(error));
}

static const char *topic(const char *suffix)
{
    static char name[128];
    (void)snprintf(name, sizeof name, "%s.%s", test.application, suffix);
    return name;
}

/* A transaction of lane 3 of node "a-b", as a crash leaves it. */
static void begin_transaction(void)
{
    char text[256];
    char *id = alv_format("%s-a-b-3", test.application);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", broker, text, sizeof text), 0);
    assert_int_equal(rd_kafka_conf_set(conf, "transactional.id", id, text, sizeof text), 0);
    assert_int_equal(rd_kafka_conf_set(conf, "transaction.timeout.ms", "600000", text, sizeof text),
                     0);
    test.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(test.rk);
    must(rd_kafka_init_transactions(test.rk, WAIT_MS));
    must(rd_kafka_begin_transaction(test.rk));
    alv_free(id);
}

static void write_record(const char *suffix, int32_t shard)
{
    assert_int_equal(rd_kafka_producev(test.rk, RD_KAFKA_V_TOPIC(topic(suffix)),
                                       RD_KAFKA_V_PARTITION(shard), RD_KAFKA_V_KEY("k", 1),
                                       RD_KAFKA_V_VALUE("{}", 2), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(test.rk, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void send_offset(int32_t shard, const char *metadata)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *item =
        rd_kafka_topic_partition_list_add(list, topic("commands"), shard);
    item->offset = 0;
    item->metadata_size = strlen(metadata);
    item->metadata = rd_kafka_mem_malloc(test.rk, item->metadata_size + 1);
    memcpy(item->metadata, metadata, item->metadata_size);
    rd_kafka_consumer_group_metadata_t *group =
        rd_kafka_consumer_group_metadata_new(test.application);
    must(rd_kafka_send_offsets_to_transaction(test.rk, list, group, WAIT_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(list);
}

static void commit(void)
{
    must(rd_kafka_commit_transaction(test.rk, WAIT_MS));
    rd_kafka_destroy(test.rk);
    test.rk = NULL;
}

static void crash(void)
{
    rd_kafka_destroy_flags(test.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    test.rk = NULL;
}

static bool has_answered(void *payload)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_kafka_owners_ask(test.owners, payload, SHARDS, &err);
    if (status != ALV_OK && status != ALV_RETRY)
        fail_msg("%s", err.text);
    return status == ALV_OK; /* leaders of new topics are not known at once */
}

static void ask(alv_owner owners[SHARDS])
{
    for (int32_t shard = 0; shard < SHARDS; shard++)
        owners[shard].shard = shard;
    assert_true(alv_wait_until(has_answered, owners, WAIT_MS));
}

static bool nothing_is_open(void *payload)
{
    (void)payload;
    alv_owner owners[SHARDS];
    ask(owners);
    for (int32_t shard = 0; shard < SHARDS; shard++)
        if (owners[shard].is_blocked)
            return false;
    return true;
}

static void fence(void)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_seat seat = {.node_id = "a-b", .lane = 3};
    if (alv_kafka_fence(test.config, &seat, &err) != ALV_OK)
        fail_msg("%s", err.text);
    assert_true(alv_wait_until(nothing_is_open, NULL, WAIT_MS));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void owners__of_a_new_application_are_nobody(void **state)
{
    (void)state;
    alv_owner owners[SHARDS];
    ask(owners);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_false(owners[shard].is_blocked);
        assert_false(owners[shard].is_named);
    }
}

static void owners__see_what_is_open_on_changelog_and_ledger(void **state)
{
    (void)state;
    alv_owner owners[SHARDS];
    begin_transaction();
    write_record("changelog", 1);
    write_record("ledger", 2);
    crash();
    ask(owners);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_int_equal(owners[shard].is_blocked, shard == 1 || shard == 2);
        assert_false(owners[shard].is_named); /* nothing was committed yet */
    }
    fence();
}

/* Of which shard they are, nobody tells; who committed last is told of each. */
static void owners__see_offsets_that_are_not_stable(void **state)
{
    (void)state;
    alv_owner owners[SHARDS];
    begin_transaction();
    send_offset(1, "{\"owner\":\"a-b-3\"}");
    send_offset(2, "{\"owner\":\"no lane\"}");
    send_offset(3, "not ours");
    commit();
    ask(owners);
    assert_true(nothing_is_open(NULL));
    assert_true(owners[1].is_named);
    assert_string_equal(owners[1].node_id, "a-b");
    assert_int_equal(owners[1].lane, 3);
    assert_false(owners[0].is_named || owners[2].is_named || owners[3].is_named);

    begin_transaction();
    send_offset(1, "{\"owner\":\"other-0\"}");
    crash();
    ask(owners);
    assert_true(owners[1].is_blocked);
    assert_string_equal(owners[1].node_id, "a-b"); /* the committed one still */
    fence();
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    static int count;
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info made[ALV_TOPICS_MAX];
    (void)snprintf(test.application, sizeof test.application, "owners-%d-%lld-%d", (int)getpid(),
                   (long long)(alv_now_ms(alv_clock_system()) % 100000000), count++);
    const char *const settings[] = {"bootstrap.servers",
                                    broker,
                                    "application.id",
                                    test.application,
                                    "node.id",
                                    "here",
                                    "shards",
                                    "4",
                                    NULL};
    test.config = alv_config_new();
    for (size_t i = 0; settings[i] != NULL; i += 2) {
        char *assignment = alv_format("%s=%s", settings[i], settings[i + 1]);
        assert_int_equal(alv_config_set(test.config, assignment, &err), ALV_OK);
        alv_free(assignment);
    }
    assert_int_equal(alv_config_finish(test.config, &err), ALV_OK);
    if (alv_kafka_prepare_topics(test.config, made, &err) != ALV_OK)
        fail_msg("%s", err.text);
    test.owners = alv_kafka_owners_new(test.config);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (test.rk != NULL)
        crash();
    alv_kafka_owners_free(test.owners);
    alv_config_free(test.config);
    return 0;
}

int main(void)
{
    broker = getenv("ALLUVIUM_TEST_KAFKA");
    if (broker == NULL) {
        fprintf(stderr, "skipped: ALLUVIUM_TEST_KAFKA names no broker; run it with dev/test\n");
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(owners__of_a_new_application_are_nobody),
        TEST(owners__see_what_is_open_on_changelog_and_ledger),
        TEST(owners__see_offsets_that_are_not_stable),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
