/* Goal:   a handler on any node prices orders by a global table; every node has the table; when it changes under
 *         load and nodes are killed, the versions that a shard has seen never go backwards, and each change was
 *         made from the version that it names (I12).
 * Method: two real nodes with the library shop; each price is the number of its record, so that a price names the
 *         version it is from. The changelog is read at the end and checked record by record. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/http_call.h"
#include "tests/support/metrics_text.h"
#include "tests/support/plugin.h"
#include "tests/support/wait.h"
#include "topics/kafka.h"

#define SHARDS 4
#define ORDERS 24
#define ROUNDS 24
#define KILL_AT 8
#define BACK_AT 16
#define SETTLE_MS 60000

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    char *library; /* settings */
    char *tables;
    int prices; /* written so far: the next price */
    int tests_passed;
} fixture;

#define RUN(input, ...) \
    alv_cluster_run(&fixture.cluster, input, (const char *const[]){__VA_ARGS__, NULL})
#define CONFIG "-c", fixture.cluster.config_path, "-X", fixture.tables

static void assert_done(alv_cluster_result result, const char *part)
{
    if (result.exit_status != 0 || strstr(result.out, part) == NULL) {
        fail_msg("status %d, \"%s\" is not in:\n%s%s", result.exit_status, part, result.out,
                 result.err);
    }
    alv_cluster_result_done(&result);
}

static void start(alv_cluster_node *node)
{
    alv_cluster_start_node(
        node, (const char *const[]){fixture.library, fixture.tables, "lanes=1", "shards=4", NULL});
}

/* The record at offset n says n. */
static void put_price(void)
{
    char price[16];
    (void)snprintf(price, sizeof price, "%d", fixture.prices++);
    assert_done(RUN(NULL, "table", "put", CONFIG, "prices", "apple", price), "");
}

/* An order for each of ORDERS entities; whoever owns them. */
static void send_orders(void)
{
    alv_bytes lines = ALV_BYTES_EMPTY;
    for (int i = 0; i < ORDERS; i++) {
        alv_bytes_printf(&lines, "order/%d\t{\"type\":\"order\",\"what\":\"apple\"}\n", i);
    }
    alv_bytes_append(&lines, "", 1);
    assert_done(RUN(lines.data, "send", CONFIG), "");
    alv_bytes_done(&lines);
}

/* ---- every node -------------------------------------------------------------------------------- */

typedef struct expected_price {
    const alv_cluster_node *node;
    int price;
} expected_price;

static bool has_price(void *payload)
{
    const expected_price *expected = payload;
    int status = 0;
    json_t *row = alv_cluster_http(expected->node, "/v1/tables/prices?key=apple", &status);
    bool has =
        status == 200 && json_integer_value(json_object_get(row, "value")) == expected->price;
    json_decref(row);
    return has;
}

static void wait_price(const alv_cluster_node *node)
{
    expected_price expected = {node, fixture.prices - 1};
    if (!alv_wait_until(has_price, &expected, SETTLE_MS)) {
        fail_msg("%s does not have price %d", node->id, expected.price);
    }
}

static void nodes__do_not_start_without_a_table_that_a_behavior_needs(void **state)
{
    (void)state;
    alv_cluster_result result = RUN(NULL, "node", "-c", fixture.cluster.config_path, "-X",
                                    fixture.library, "-X", "state.dir=/nowhere/at/all");
    assert_int_equal(result.exit_status, 1);
    if (strstr(result.err, "behavior \"order\" needs a global table") == NULL) {
        fail_msg("%s", result.err);
    }
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

static void tables__are_on_every_node(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start(fixture.nodes[i]);
    }
    for (int i = 0; i < 2; i++) {
        alv_cluster_wait_ready(fixture.nodes[i]);
    }
    put_price();
    put_price();
    for (int i = 0; i < 2; i++) {
        wait_price(fixture.nodes[i]);
    }
    const char *address = fixture.nodes[1]->address;
    assert_done(RUN(NULL, "send", CONFIG, "--node", address, "--wait", "order/1",
                    "{\"type\":\"order\",\"what\":\"apple\"}"),
                "\"price\":1");
    assert_done(RUN(NULL, "table", "get", CONFIG, "-n", address, "prices", "apple"), "1\n");
    assert_done(RUN(NULL, "table", "get", CONFIG, "-n", address, "--json", "prices", "apple"),
                "\"offsets\": [\n      2\n    ]");
    assert_done(RUN(NULL, "table", "list", CONFIG, "-n", address), "prices");
    assert_done(RUN(NULL, "table", "list", CONFIG, "-n", address, "prices"), "apple\t1\n");
    assert_done(RUN(NULL, "status", CONFIG, "-n", address), "TABLE");
    assert_done(RUN(NULL, "topics", "check", CONFIG), ".prices");

    alv_cluster_result result = RUN(NULL, "send", CONFIG, "--node", address, "--wait", "order/1",
                                    "{\"type\":\"order\",\"what\":\"pear\"}");
    assert_int_equal(result.exit_status, 1);
    assert_non_null(strstr(result.err, "pear has no price"));
    alv_cluster_result_done(&result);

    double rows = 0;
    alv_http_result page = alv_http_call(NULL, "GET", address, "/metrics", NULL);
    char *text = alv_strndup(page.body.data, page.body.size);
    assert_true(alv_metrics_text_find(text, "alluvium_table_rows{table=\"prices\"}", &rows));
    assert_true(rows == 1);
    alv_free(text);
    alv_http_result_done(&page);
    fixture.tests_passed++;
}

/* ---- versions ---------------------------------------------------------------------------------- */

/* What has been read of the changelog. */
typedef struct reading {
    int64_t version[SHARDS]; /* of the last record */
    int64_t price[ORDERS];   /* by order, of the last record */
    int records;
    int changes; /* of versions */
} reading;

static void check_record(alv_log_port *log, const alv_record *record, reading *seen)
{
    alv_header header;
    assert_int_equal(log->ops->headers(record, &header, 1), 1);
    assert_string_equal(header.name, "alluvium-tables");
    json_t *versions = json_loadb(header.value.data, header.value.size, 0, NULL);
    json_t *offsets = json_object_get(json_object_get(versions, "prices"), "offsets");
    int64_t version = json_integer_value(json_array_get(offsets, 0));
    json_t *state = json_loadb(record->value.data, record->value.size, 0, NULL);
    int64_t price = json_integer_value(json_object_get(state, "price"));
    assert_true(version >= seen->version[record->shard]); /* never backwards */
    assert_int_equal(price, version - 1);                 /* made from what it names */
    seen->changes += version != seen->version[record->shard];
    seen->version[record->shard] = version;
    char key[32];
    int order = -1;
    (void)snprintf(key, sizeof key, "%.*s", (int)record->key.size, record->key.data);
    assert_int_equal(sscanf(key, "order/%d", &order), 1);
    seen->price[order] = price;
    seen->records++;
    json_decref(state);
    json_decref(versions);
}

static alv_config *make_config(void)
{
    alv_config *config = alv_config_new();
    char *brokers = alv_format("bootstrap.servers=%s", fixture.cluster.brokers);
    char *application = alv_format("application.id=%s", fixture.cluster.application);
    assert_int_equal(alv_config_set(config, brokers, NULL), ALV_OK);
    assert_int_equal(alv_config_set(config, application, NULL), ALV_OK);
    assert_int_equal(alv_config_finish(config, NULL), ALV_OK);
    alv_free(application);
    alv_free(brokers);
    return config;
}

static void read_changelog(reading *seen)
{
    alv_log_port *log = NULL;
    alv_reader *reader = NULL;
    alv_batch batch;
    alv_config *config = make_config();
    memset(seen, 0, sizeof *seen);
    alv_batch_init(&batch, 1000);
    assert_int_equal(alv_kafka_open(config, &log, NULL), ALV_OK);
    assert_int_equal(log->ops->open_reader(log, "test", &reader, NULL), ALV_OK);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        int64_t start_offset = 0;
        int64_t end = 0;
        assert_int_equal(
            reader->ops->range(reader, ALV_TOPIC_CHANGELOG, shard, &start_offset, &end, NULL),
            ALV_OK);
        assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, shard, 0, NULL), ALV_OK);
        int64_t deadline = alv_wait_deadline(SETTLE_MS);
        while (reader->ops->position(reader, ALV_TOPIC_CHANGELOG, shard) < end) {
            (void)reader->ops->poll(reader, 100, &batch, NULL); /* again until the deadline */
            for (size_t i = 0; i < batch.count; i++) {
                check_record(log, &batch.records[i], seen);
            }
            assert_false(alv_wait_expired(deadline));
        }
        reader->ops->unassign(reader, ALV_TOPIC_CHANGELOG, shard);
    }
    reader->ops->close(reader);
    log->ops->close(log);
    alv_batch_done(&batch);
    alv_config_free(config);
}

static void versions__never_go_backwards_when_nodes_are_killed(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        put_price();
        send_orders();
        if (round == KILL_AT) {
            alv_process_kill(&fixture.nodes[1]->process);
        } else if (round == BACK_AT) {
            start(fixture.nodes[1]); /* whatever its copy has when shards come to it */
        }
    }
    alv_cluster_wait_ready(fixture.nodes[1]);
    alv_process_kill(&fixture.nodes[0]->process);
    put_price();
    wait_price(fixture.nodes[1]);
    send_orders();
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);

    reading seen;
    read_changelog(&seen);
    for (int i = 0; i < ORDERS; i++) {
        assert_int_equal(seen.price[i], fixture.prices - 1);
    }
    print_message("%d records of %d versions\n", seen.records, seen.changes);
    assert_true(seen.changes > SHARDS);
    alv_cluster_stop_node(fixture.nodes[1]);
    fixture.tests_passed++;
}

static int set_up(void **state)
{
    (void)state;
    alv_cluster_open(&fixture.cluster, "global-tables");
    char *path = alv_plugin_path("shop");
    fixture.library = alv_format("behavior.libraries=%s", path);
    fixture.tables = alv_format("global.tables=prices=%s.prices", fixture.cluster.application);
    alv_free(path);
    for (int i = 0; i < 2; i++) {
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture.cluster.passed = fixture.tests_passed == 3;
    alv_cluster_close(&fixture.cluster);
    alv_free(fixture.library);
    alv_free(fixture.tables);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes__do_not_start_without_a_table_that_a_behavior_needs),
        cmocka_unit_test(tables__are_on_every_node),
        cmocka_unit_test(versions__never_go_backwards_when_nodes_are_killed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
