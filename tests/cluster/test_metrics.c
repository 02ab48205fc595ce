/* Goal:   /metrics is a page that Prometheus takes, and its numbers are those of the work that was done.
 * Method: one real node with PostgreSQL takes a known load: commands, rejections, dead letters. The page
 *         is read by a checker of the tests' own before and afterwards. */
#include <curl/curl.h>
#include <setjmp.h>
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
#include "tests/support/wait.h"

#define USERS 50
#define DRAIN_TIMEOUT_MS 30000

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    char *page; /* as it was read last */
    int tests_passed;
} fixture;

static const char *read_page(void)
{
    alv_http_result result = alv_http_call(NULL, "GET", fixture.node->address, "/metrics", NULL);
    assert_int_equal(result.status, 200);
    assert_non_null(strstr(result.content_type, "version=0.0.4"));
    alv_free(fixture.page);
    fixture.page = alv_strndup(result.body.data, result.body.size);
    alv_http_result_done(&result);
    return fixture.page;
}

static double value_of(const char *series)
{
    double value = 0;
    if (!alv_metrics_text_find(fixture.page, series, &value))
        fail_msg("%s is not in:\n%s", series, fixture.page);
    return value;
}

static void expect(const char *series, double value)
{
    double found = value_of(series);
    if (found != value)
        fail_msg("%s is %g, expected %g", series, found, value);
}

static void expect_sum(const char *name, double value)
{
    double found = alv_metrics_text_sum(fixture.page, name);
    if (found != value)
        fail_msg("the sum of %s is %g, expected %g", name, found, value);
}

/* Every user is added to twice, refused once, and one command of three is no command at all. */
static void send_load(void)
{
    alv_bytes lines = ALV_BYTES_EMPTY;
    for (int i = 0; i < USERS; i++) {
        alv_bytes_printf(&lines, "m:%d\t{\"type\":\"add_balance\",\"amount\":1}\n", i);
        alv_bytes_printf(&lines, "m:%d\t{\"type\":\"add_balance\",\"amount\":1}\n", i);
        alv_bytes_printf(&lines, "m:%d\t{\"type\":\"deduct_balance\",\"amount\":99}\n", i);
        alv_bytes_printf(&lines, "m:%d\t{\"type\":\"fly\"}\n", i);
    }
    alv_bytes_append(&lines, "", 1);
    alv_cluster_result result =
        alv_cluster_run(&fixture.cluster, lines.data,
                        (const char *const[]){"send", "-c", fixture.cluster.config_path, NULL});
    assert_int_equal(result.exit_status, 0);
    alv_cluster_result_done(&result);
    alv_bytes_done(&lines);
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
}

static void metrics__an_idle_node_shows_a_good_page(void **state)
{
    (void)state;
    alv_metrics_text_check(read_page());
    expect("alluvium_ready", 1);
    expect("alluvium_commands_total", 0);
    expect("alluvium_shards{state=\"active\"}", 4);
    expect("alluvium_shards{state=\"stopped\"}", 0);
    expect("alluvium_shard_state{shard=\"3\",state=\"active\"}", 1);
    expect("alluvium_command_latency_seconds_count", 0);
    expect("alluvium_http_requests_in_flight", 1); /* this one */
    assert_true(value_of("process_resident_memory_bytes") > 1e6);
    assert_true(value_of("process_open_fds") > 10);
    assert_true(value_of("process_threads") > 5);
    assert_true(value_of("process_cpu_seconds_total") > 0);
    fixture.tests_passed++;
}

static void metrics__numbers_are_those_of_the_work_done(void **state)
{
    (void)state;
    send_load();
    alv_metrics_text_check(read_page());
    expect("alluvium_commands_total", 3 * USERS);
    expect("alluvium_commands_rejected_total", USERS);
    expect("alluvium_dead_letters_total{reason=\"unknown-type\"}", USERS);
    expect_sum("alluvium_dead_letters_total", USERS);
    expect("alluvium_command_latency_seconds_count", 4 * USERS);
    expect_sum("alluvium_shard_commands_total", 4 * USERS);
    double commits = value_of("alluvium_transaction_commits_total");
    assert_true(commits >= 1 && commits <= 4 * USERS);
    expect("alluvium_transaction_step_seconds_count{step=\"send\"}", commits);
    expect("alluvium_transaction_uncertain_total", 0);
    fixture.tests_passed++;
}

/* Handles of librdkafka tell of themselves once a second, each at its own time. */
#define PRODUCER_REQUESTS "alluvium_kafka_requests_total{client=\"producer\",lane=\"0\"}"
#define CONSUMER_BYTES "alluvium_kafka_received_bytes_total{client=\"consumer\",lane=\"1\"}"

static bool is_shown(const char *page, const char *series)
{
    double value = 0;
    return alv_metrics_text_find(page, series, &value) && value > 0;
}

static bool is_all_shown(void *payload)
{
    (void)payload;
    const char *page = read_page();
    double entities = alv_metrics_text_sum(page, "alluvium_cache_entities");
    double lag_is_known = 0;
    return entities == USERS && is_shown(page, PRODUCER_REQUESTS) &&
           is_shown(page, CONSUMER_BYTES) &&
           alv_metrics_text_find(page, "alluvium_shard_lag_records{shard=\"0\"}", &lag_is_known) &&
           alv_metrics_text_sum(page, "alluvium_checkpoint_rows_written_total") == USERS &&
           alv_metrics_text_sum(page, "alluvium_checkpoint_rows_pending") == 0;
}

/* Caches, lags, checkpoints and librdkafka's own numbers are shown a moment later. */
static void metrics__caches_lags_checkpoints_and_libraries_follow(void **state)
{
    (void)state;
    if (!alv_wait_until(is_all_shown, NULL, DRAIN_TIMEOUT_MS))
        fail_msg("not all was shown:\n%s", fixture.page);
    alv_metrics_text_check(fixture.page);
    if (value_of("alluvium_transaction_aborts_total") == 0) { /* else some were decoded again */
        expect_sum("alluvium_cache_misses_total", USERS);
        expect_sum("alluvium_cache_hits_total", 3 * USERS);
    }
    expect_sum("alluvium_shard_lag_records", 0);
    expect("alluvium_checkpoint_connected", 1);
    expect("alluvium_checkpoint_failures_total", 0);
    assert_true(value_of("alluvium_store_memtable_bytes") > 0);
    assert_true(value_of("alluvium_http_requests_total{method=\"GET\",route=\"/metrics\","
                         "status=\"2xx\"}") >= 2);
    fixture.tests_passed++;
}

/* How many answers of a kind the page counts; 0 when the series is not there yet. */
static double answers(const char *method, const char *route, const char *status)
{
    double count = 0;
    char *series =
        alv_format("alluvium_http_requests_total{method=\"%s\",route=\"%s\",status=\"%s\"}", method,
                   route, status);
    (void)alv_metrics_text_find(read_page(), series, &count);
    alv_free(series);
    return count;
}

/* The state of a metric is by route, not by path: a client must not be able to make series. */
static void metrics__requests_are_counted_by_route(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/entities/m:1", "/v1/entities/m:nobody", "/none",
                                        "/no%22ne\\", "/%0a"};
    double found = answers("GET", "/v1/entities/{key}", "2xx");
    double missed = answers("GET", "/v1/entities/{key}", "4xx");
    double unknown = answers("any", "none", "4xx");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        alv_http_result result = alv_http_call(NULL, "GET", fixture.node->address, paths[i], NULL);
        alv_http_result_done(&result);
    }
    assert_true(answers("GET", "/v1/entities/{key}", "2xx") == found + 1);
    assert_true(answers("GET", "/v1/entities/{key}", "4xx") == missed + 1);
    assert_true(answers("any", "none", "4xx") == unknown + 3);
    alv_metrics_text_check(fixture.page);
    fixture.cluster.passed = ++fixture.tests_passed == 4;
}

/* A node is ready also while the group moves shards from one of its lanes to the other. */
static bool all_are_active(void *payload)
{
    double active = 0;
    (void)payload;
    return alv_metrics_text_find(read_page(), "alluvium_shards{state=\"active\"}", &active) &&
           active == 4;
}

static int start_fixture(void **state)
{
    (void)state;
    static const char *const settings[] = {"lanes=2", "shards=4",
                                           "kafka.statistics.interval.ms=1000",
                                           "postgres.interval.ms=50", NULL};
    alv_cluster_open(&fixture.cluster, "metrics");
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    assert_true(alv_wait_until(all_are_active, NULL, DRAIN_TIMEOUT_MS));
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_cluster_drop_schema(&fixture.cluster);
    alv_cluster_close(&fixture.cluster);
    alv_free(fixture.page);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__an_idle_node_shows_a_good_page),
        cmocka_unit_test(metrics__numbers_are_those_of_the_work_done),
        cmocka_unit_test(metrics__caches_lags_checkpoints_and_libraries_follow),
        cmocka_unit_test(metrics__requests_are_counted_by_route),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
