/* Goal:   topics of global tables are made when they are missing and checked when they are there; their copies
 *         have what Kafka has, of all partitions, and follow it.
 * Method: an application of the test's own on the broker that ALLUVIUM_TEST_KAFKA names; without that variable
 *         all is skipped. One table is made by the node, one by hand with three partitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "changelog/table_follower.h"
#include "tests/support/topic_app.h"
#include "tests/support/wait.h"

#define PARTITIONS 3
#define ROWS 300

typedef struct fixture {
    char id[64];
    char *limits; /* name of the topic made by hand */
    alv_config *config;
    alv_log_port *log;
    alv_topic_info topics[ALV_TOPICS_MAX];
    alv_tables *tables;
    alv_table_follower *follower;
} fixture;

static fixture f;

/* ---- topics ------------------------------------------------------------------------------------ */

static void make_topic(const char *name, int partitions, const char *policy)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", alv_topic_app_broker(), text, sizeof text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, text, sizeof text);
    rd_kafka_NewTopic_set_config(topic, "cleanup.policy", policy);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ALV_TOPIC_APP_WAIT_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void configure(const char *tables)
{
    f.config = alv_topic_app_config(f.id, "n1", "4");
    alv_topic_app_set(f.config, "global.tables", tables);
}

static void topics__of_tables_are_made_with_one_partition(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    char *tables = alv_format("prices=%s.prices", f.id);
    configure(tables);
    size_t created = 0;
    assert_int_equal(alv_kafka_create_topics(f.config, &created, &err), ALV_OK);
    assert_int_equal(created, ALV_TOPIC_COUNT + 1);
    assert_int_equal(alv_kafka_describe_topics(f.config, ALV_ACCESS_OPERATOR, f.topics, &err),
                     ALV_OK);
    const alv_topic_info *topic = &f.topics[ALV_TOPIC_OF_TABLE(0)];
    assert_true(topic->exists);
    assert_int_equal(topic->shards, 1);
    assert_string_equal(topic->cleanup_policy, "compact");
    assert_string_equal(topic->problem, "");
    assert_string_equal(f.topics[ALV_TOPIC_OF_TABLE(1)].name, "");
    alv_config_free(f.config);
    alv_free(tables);
}

static void assert_refused(const char *tables, const char *part)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t deadline = alv_wait_deadline(ALV_TOPIC_APP_WAIT_MS);
    configure(tables);
    do {
        alv_error_clear(&err);
        if (alv_kafka_prepare_topics(f.config, f.topics, &err) == ALV_REJECT &&
            strstr(err.text, part) != NULL) {
            alv_config_free(f.config);
            return;
        }
    } while (!alv_wait_expired(deadline));
    fail_msg("\"%s\" is not in: %s", part, err.text);
}

static void topics__that_would_lose_rows_are_refused(void **state)
{
    (void)state;
    char *topic = alv_format("%s.expiring", f.id);
    char *own = alv_format("%s.changelog", f.id);
    make_topic(topic, 1, "compact,delete");
    assert_refused(topic, "cleanup.policy=compact,delete and a global table needs compact");
    assert_refused(own, "is a topic of the application itself");
    alv_free(own);
    alv_free(topic);
}

/* ---- copies ------------------------------------------------------------------------------------ */

static void follow(void)
{
    alv_error err = ALV_ERROR_NONE;
    alv_table_list list;
    alv_table_source sources[2];
    char *tables = alv_format("prices=%s.prices,limits=%s", f.id, f.limits);
    configure(tables);
    alv_free(tables);
    if (alv_kafka_prepare_topics(f.config, f.topics, &err) != ALV_OK) {
        fail_msg("prepare: %s", err.text);
    }
    assert_int_equal(
        alv_table_list_parse(alv_config_settings(f.config)->global_tables, &list, NULL), ALV_OK);
    for (size_t i = 0; i < 2; i++) {
        sources[i].partition_count = f.topics[ALV_TOPIC_OF_TABLE(i)].shards;
        (void)snprintf(sources[i].topic_id, sizeof sources[i].topic_id, "%s",
                       f.topics[ALV_TOPIC_OF_TABLE(i)].id);
    }
    assert_int_equal(sources[1].partition_count, PARTITIONS);
    if (f.log == NULL) {
        assert_int_equal(alv_kafka_open(f.config, &f.log, NULL), ALV_OK);
    }
    f.tables = alv_tables_new(&list);
    const alv_table_follower_options options = {.log = f.log,
                                                .clock = alv_clock_system(),
                                                .settings = alv_config_settings(f.config),
                                                .tables = f.tables,
                                                .sources = sources};
    if (alv_table_follower_new(&options, &f.follower, &err) != ALV_OK) {
        fail_msg("follower: %s", err.text);
    }
    alv_table_follower_start(f.follower);
}

static void put_all(alv_topic topic, int first, int count, int64_t number)
{
    alv_error err = ALV_ERROR_NONE;
    alv_sender *sender = NULL;
    assert_int_equal(f.log->ops->open_sender(f.log, "test", &sender, NULL), ALV_OK);
    for (int i = first; i < first + count; i++) {
        char key[16];
        char value[32];
        (void)snprintf(key, sizeof key, "k%d", i);
        (void)snprintf(value, sizeof value, "{\"n\":%lld}", (long long)number);
        const alv_produce record = {.topic = topic,
                                    .shard = -1,
                                    .key = alv_view_of(key),
                                    .value = number < 0 ? ALV_VIEW_NONE : alv_view_of(value)};
        if (sender->ops->send(sender, &record, NULL, NULL, &err) != ALV_OK) {
            fail_msg("send: %s", err.text);
        }
    }
    if (sender->ops->flush(sender, ALV_TOPIC_APP_WAIT_MS, &err) != ALV_OK) {
        fail_msg("flush: %s", err.text);
    }
    sender->ops->close(sender);
}

/* Whether the copy of table 1 has `rows` rows, with the number in row "k0". */
typedef struct expected_copy {
    size_t rows;
    int64_t number;
} expected_copy;

static bool has_copy(void *payload)
{
    const expected_copy *expected = payload;
    alv_tables_view *view = alv_tables_take(f.tables);
    if (view == NULL) {
        return false;
    }
    const alv_table_map *rows = &view->items[1].rows;
    const json_t *row = alv_table_map_get(rows, ALV_VIEW("k0"));
    bool has = rows->count == expected->rows &&
               json_integer_value(json_object_get(row, "n")) == expected->number;
    alv_tables_release(view);
    return has;
}

static void wait_copy(size_t rows, int64_t number)
{
    expected_copy expected = {rows, number};
    if (!alv_wait_until(has_copy, &expected, ALV_TOPIC_APP_WAIT_MS)) {
        alv_table_progress progress = alv_tables_progress(f.tables, 1);
        fail_msg("%lld rows, %lld read, problem \"%s\"", (long long)progress.rows,
                 (long long)progress.read, progress.problem);
    }
}

static void copies__have_what_is_there_and_follow(void **state)
{
    (void)state;
    follow();
    wait_copy(0, 0); /* two topics without a record */
    put_all(ALV_TOPIC_OF_TABLE(1), 0, ROWS, 1);
    wait_copy(ROWS, 1);
    put_all(ALV_TOPIC_OF_TABLE(1), 0, 100, 2);
    put_all(ALV_TOPIC_OF_TABLE(1), 200, 100, -1);
    wait_copy(ROWS - 100, 2);

    alv_tables_view *view = alv_tables_take(f.tables);
    int64_t records = 0;
    for (int i = 0; i < PARTITIONS; i++) {
        assert_true(view->items[1].offsets[i] > 0);
        records += view->items[1].offsets[i];
    }
    assert_int_equal(records, ROWS + 200);

    /* Another node has the same rows at the same version. */
    alv_table_follower *first = f.follower;
    alv_tables *first_tables = f.tables;
    alv_config *first_config = f.config;
    follow();
    wait_copy(ROWS - 100, 2);
    alv_tables_view *other = alv_tables_take(f.tables);
    assert_true(alv_table_covers(&other->items[1], &view->items[1]));
    assert_true(alv_table_covers(&view->items[1], &other->items[1]));
    alv_view key = ALV_VIEW_NONE;
    json_t *value = NULL;
    while (alv_table_map_next(&view->items[1].rows, key, &key, &value)) {
        assert_true(json_equal(value, alv_table_map_get(&other->items[1].rows, key)));
    }
    alv_tables_release(other);
    alv_tables_release(view);
    alv_table_follower_free(first);
    alv_table_follower_free(f.follower);
    alv_tables_free(first_tables);
    alv_tables_free(f.tables);
    f.log->ops->close(f.log);
    alv_config_free(first_config);
    alv_config_free(f.config);
}

static int set_up(void **state)
{
    (void)state;
    alv_topic_app_id(f.id);
    f.limits = alv_format("%s.limits", f.id);
    make_topic(f.limits, PARTITIONS, "compact");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    alv_free(f.limits);
    return 0;
}

int main(void)
{
    if (alv_topic_app_broker() == NULL) {
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics__of_tables_are_made_with_one_partition),
        cmocka_unit_test(topics__that_would_lose_rows_are_refused),
        cmocka_unit_test(copies__have_what_is_there_and_follow),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
