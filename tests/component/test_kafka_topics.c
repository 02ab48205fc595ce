/* Goal:   topics are made once, with their policies, and what exists is checked and never changed; settings that
 *         correctness needs cannot be passed through.
 * Method: each test makes an application of its own on the broker that ALLUVIUM_TEST_KAFKA names
 *         (host:port; tests/support/topic_app.h). Without that variable all is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/topic_app.h"
#include "tests/support/wire.h"

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* Tried again for a while, because a change of a setting takes a moment to be seen. */
static void topics_expect_refusal(const alv_config *config, const char *first, const char *second)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t deadline = now_ms() + ALV_TOPIC_APP_WAIT_MS;
    do {
        alv_topic_info topics[ALV_TOPICS_MAX];
        alv_error_clear(&err);
        if (alv_kafka_prepare_topics(config, topics, &err) == ALV_REJECT &&
            strstr(err.text, first) != NULL && strstr(err.text, second) != NULL) {
            return;
        }
    } while (now_ms() < deadline);
    fail_msg("'%s' does not say '%s' and '%s'", err.text, first, second);
}

static void topic_alter(const alv_topic_app *app, const char *suffix, const char *key,
                        const char *value)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    rd_kafka_conf_set(conf, "bootstrap.servers", alv_topic_app_broker(), text, sizeof(text));
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    char *name = alv_format("%s.%s", app->id, suffix);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_error_destroy(rd_kafka_ConfigResource_add_incremental_config(
        resource, key, RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value));
    rd_kafka_IncrementalAlterConfigs(rk, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ALV_TOPIC_APP_WAIT_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    alv_free(name);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void topics__are_refused_when_missing_and_may_not_be_created(void **state)
{
    (void)state;
    char id[64];
    alv_topic_app_id(id);
    alv_config *config = alv_config_new();
    alv_topic_app_set(config, "bootstrap.servers", alv_topic_app_broker());
    alv_topic_app_set(config, "application.id", id);
    alv_topic_app_set(config, "topics.create", "false");
    assert_int_equal(alv_config_finish(config, NULL), ALV_OK);
    topics_expect_refusal(config, "commands", "does not exist");
    alv_topic_info info[ALV_TOPICS_MAX];
    assert_int_equal(alv_kafka_describe_topics(config, ALV_ACCESS_OPERATOR, info, NULL), ALV_OK);
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        assert_false(info[topic].exists);
        assert_string_not_equal(info[topic].problem, "");
    }
    alv_config_free(config);
}

static void topics__are_created_once_with_their_policies(void **state)
{
    (void)state;
    alv_topic_app app;
    size_t created = 99;
    alv_topic_info info[ALV_TOPICS_MAX];
    alv_topic_app_new(&app);
    assert_int_equal(alv_kafka_create_topics(app.config, &created, NULL), ALV_OK);
    assert_int_equal(created, 0);
    assert_int_equal(alv_kafka_describe_topics(app.config, ALV_ACCESS_OPERATOR, info, NULL),
                     ALV_OK);
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        assert_true(info[topic].exists);
        assert_int_equal(info[topic].shards, ALV_TOPIC_APP_SHARDS);
        assert_int_equal(info[topic].replication_factor, 1);
        assert_string_equal(info[topic].cleanup_policy,
                            alv_schema_is_compacted((alv_topic)topic) ? "compact" : "delete");
        assert_string_equal(info[topic].problem, "");
    }
    alv_topic_app_done(&app);
}

static void topics__take_the_shard_count_that_is_there(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_topic_info topics[ALV_TOPICS_MAX];
    alv_topic_app_new(&app);
    alv_config *unset = alv_topic_app_config(app.id, "n1", NULL);
    assert_int_equal(alv_kafka_prepare_topics(unset, topics, NULL), ALV_OK);
    assert_int_equal(topics[ALV_TOPIC_COMMANDS].shards, ALV_TOPIC_APP_SHARDS);
    alv_config *other = alv_topic_app_config(app.id, "n1", "8");
    topics_expect_refusal(other, "4 partitions", "8");
    alv_config_free(unset);
    alv_config_free(other);
    alv_topic_app_done(&app);
}

static void topics__with_more_partitions_than_shards_are_told_of(void **state)
{
    (void)state;
    char name[128];
    alv_topic_app app;
    alv_topic_info topics[ALV_TOPICS_MAX];
    alv_topic_app_new(&app);
    alv_config *unset = alv_topic_app_config(app.id, "n1", NULL);
    (void)snprintf(name, sizeof name, "%s.commands", app.id);
    alv_wire_add_partitions(alv_topic_app_broker(), name, 2 * ALV_TOPIC_APP_SHARDS);
    alv_config *const configs[] = {unset, app.config};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(alv_kafka_prepare_topics(configs[i], topics, NULL), ALV_OK);
        assert_true(topics[ALV_TOPIC_COMMANDS].is_usable);
        assert_non_null(strstr(topics[ALV_TOPIC_COMMANDS].problem, "has 8 partitions"));
        assert_int_equal(topics[ALV_TOPIC_CHANGELOG].shards, ALV_TOPIC_APP_SHARDS);
        assert_string_equal(topics[ALV_TOPIC_CHANGELOG].problem, "");
    }
    alv_config_free(unset);
    alv_topic_app_done(&app);
}

/* Half of the states may be in the others. */
static void topics__with_more_partitions_for_states_are_refused(void **state)
{
    (void)state;
    char name[128];
    alv_topic_app app;
    alv_topic_app_new(&app);
    alv_config *unset = alv_topic_app_config(app.id, "n1", NULL);
    (void)snprintf(name, sizeof name, "%s.changelog", app.id);
    alv_wire_add_partitions(alv_topic_app_broker(), name, 2 * ALV_TOPIC_APP_SHARDS);
    topics_expect_refusal(app.config, ".changelog", "has 8 partitions");
    topics_expect_refusal(unset, ".changelog", "has 8 partitions");
    alv_config_free(unset);
    alv_topic_app_done(&app);
}

static void topics__with_a_wrong_policy_are_refused(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_topic_app_new(&app);
    topic_alter(&app, "ledger", "cleanup.policy", "compact,delete");
    topics_expect_refusal(app.config, ".ledger", "cleanup.policy=compact,delete");
    topic_alter(&app, "ledger", "cleanup.policy", "compact");
    topic_alter(&app, "changelog", "max.message.bytes", "1000");
    topics_expect_refusal(app.config, ".changelog", "max.message.bytes=1000");
    alv_topic_app_done(&app);
}

static void *create_topics(void *payload)
{
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPICS_MAX];
    if (alv_kafka_prepare_topics(payload, topics, &err) != ALV_OK ||
        topics[ALV_TOPIC_LEDGER].shards != ALV_TOPIC_APP_SHARDS)
        return alv_strdup(err.text);
    return NULL;
}

static void topics__can_be_created_by_two_nodes_at_once(void **state)
{
    (void)state;
    char id[64];
    pthread_t threads[2];
    alv_config *configs[2];
    alv_topic_app_id(id);
    for (int i = 0; i < 2; i++) {
        configs[i] = alv_topic_app_config(id, i == 0 ? "n1" : "n2", "4");
        pthread_create(&threads[i], NULL, create_topics, configs[i]);
    }
    for (int i = 0; i < 2; i++) {
        void *problem = NULL;
        pthread_join(threads[i], &problem);
        if (problem != NULL)
            fail_msg("%s", (char *)problem);
        alv_config_free(configs[i]);
    }
}

static void settings__that_correctness_needs_cannot_be_passed_through(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "kafka.enable.auto.commit=true",
        "kafka.isolation.level=read_uncommitted",
        "kafka.group.id=x",
        "kafka.group.instance.id=x",
        "kafka.transactional.id=x",
        "kafka.enable.idempotence=false",
        "kafka.client.id=x",
        "kafka.partition.assignment.strategy=range",
        "kafka.acks=1",
        "kafka.auto.offset.reset=latest",
        "kafka.no.such.setting=1",
        "kafka.linger.ms=soon",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        alv_error err = ALV_ERROR_NONE;
        alv_log_port *log = NULL;
        alv_config *config = alv_config_new();
        alv_status status = alv_config_set(config, refused[i], &err);
        if (status == ALV_OK)
            status = alv_config_finish(config, &err);
        if (status == ALV_OK)
            status = alv_kafka_open(config, &log, &err);
        if (status != ALV_REJECT || strstr(err.text, "kafka.") == NULL)
            fail_msg("%s: %s %s", refused[i], alv_status_name(status), err.text);
        alv_config_free(config);
    }
}

int main(void)
{
    if (alv_topic_app_broker() == NULL) {
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics__are_refused_when_missing_and_may_not_be_created),
        cmocka_unit_test(topics__are_created_once_with_their_policies),
        cmocka_unit_test(topics__take_the_shard_count_that_is_there),
        cmocka_unit_test(topics__with_more_partitions_than_shards_are_told_of),
        cmocka_unit_test(topics__with_more_partitions_for_states_are_refused),
        cmocka_unit_test(topics__with_a_wrong_policy_are_refused),
        cmocka_unit_test(topics__can_be_created_by_two_nodes_at_once),
        cmocka_unit_test(settings__that_correctness_needs_cannot_be_passed_through),
    };
    return cmocka_run_group_tests_name("kafka_topics", tests, NULL, NULL);
}
