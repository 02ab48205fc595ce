/* Goal:   whoever asks for too much of one thing does not keep others from theirs, is told what is wrong with it,
 *         and all that was taken is executed once; it is over by itself.
 * Method: one real node with one lane and four shards, so that all shards share it. What must not wait is compared
 *         with what is still waiting when it is done, not with a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/flood.h"
#include "tests/support/http_call.h"
#include "tests/support/http_flood.h"
#include "tests/support/plugin.h"
#include "tests/support/usage.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"
#include "topics/partitioner.h"

#define SHARDS 4
#define TESTS 6
#define WAIT_MS 120000
#define FILES 700 /* a node keeps half of them for other things */
#define CONNECTIONS (FILES / 2)
#define ADD "{\"type\":\"add_balance\",\"amount\":1}"
#define SLOW "{\"type\":\"work\",\"rounds\":150000}" /* hundreds of microseconds */

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    int passed; /* tests */
} fixture;

static void drain(void)
{
    alv_cluster_wait_consumed(&fixture.cluster, WAIT_MS);
}

/* A user of that shard. */
static const char *user_of(int32_t shard)
{
    static char key[32];
    for (int i = 0;; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        if (alv_partitioner_shard(alv_view_of(key), SHARDS) == shard) {
            return key;
        }
    }
}

static int post(const char *key, const char *body)
{
    char *path = alv_format("/v1/entities/%s/commands", key);
    alv_http_result result = alv_http_call_post(NULL, fixture.node->address, path, body, NULL);
    int status = (int)result.status;
    alv_http_result_done(&result);
    alv_free(path);
    return status;
}

static int get(const char *path)
{
    alv_http_result result = alv_http_call(NULL, "GET", fixture.node->address, path, NULL);
    int status = (int)result.status;
    alv_http_result_done(&result);
    return status;
}

static alv_flood *flood_of(const char *prefix, const char *command, const char *counter,
                           int hot_percent, const bool *shards)
{
    const alv_flood_options options = {.brokers = fixture.cluster.brokers,
                                       .application = fixture.cluster.application,
                                       .prefix = prefix,
                                       .command = command,
                                       .counter = counter,
                                       .entities = 500,
                                       .hot_percent = hot_percent,
                                       .shard_count = SHARDS,
                                       .shards = shards};
    return alv_flood_new(&options);
}

/* ---- a flood --------------------------------------------------------------------------------- */

#define BACKLOG 10000

/* All of it is fetched before the other command comes. */
static void flood__of_one_shard_does_not_hold_up_another(void **state)
{
    (void)state;
    static const bool shards[SHARDS] = {[1] = true};
    alv_flood *flood = flood_of("slow/", SLOW, "count", 0, shards);
    alv_flood_send(flood, BACKLOG);
    assert_int_equal(post(user_of(2), ADD), 200);
    int64_t left = alv_cluster_backlog(&fixture.cluster);
    print_message("%" PRId64 " of %d still wait when others are done\n", left, BACKLOG);
    assert_true(left > BACKLOG / 8);
    assert_int_equal(get("/readyz"), 200);
    drain();
    assert_int_equal(alv_flood_count_wrong(flood), 0);
    alv_flood_free(flood);
    fixture.passed++;
}

static void flood__of_one_entity_with_half_of_all_is_right(void **state)
{
    (void)state;
    alv_flood *flood = flood_of("hot:", ADD, "balance", 50, NULL);
    alv_flood_send(flood, 40000);
    assert_int_equal(post(user_of(0), ADD), 200);
    drain();
    assert_int_equal(alv_flood_count_wrong(flood), 0);
    alv_flood_free(flood);
    fixture.passed++;
}

/* ---- over HTTP ------------------------------------------------------------------------------- */

static void write_post(void *payload, int64_t number, alv_bytes *out)
{
    char key[ALV_FLOOD_KEY_BYTES];
    const alv_flood *flood = payload;
    alv_flood_key(flood, alv_flood_entity(flood, number), key);
    alv_bytes_printf(out,
                     "POST /v1/entities/%s/commands HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     key, sizeof ADD - 1, ADD);
}

static void note_answer(void *payload, int64_t number, int status)
{
    alv_flood *flood = payload;
    if (status == 200) {
        alv_flood_note(flood, alv_flood_entity(flood, number), true);
    } else if (status == 504 || status == 0) {
        alv_flood_note(flood, alv_flood_entity(flood, number), false);
    }
}

static void set_paused(int32_t shard, bool paused)
{
    char *path = alv_format("/v1/shards/%d/%s", (int)shard, paused ? "pause" : "resume");
    alv_http_result result = alv_http_call(NULL, "POST", fixture.node->address, path, NULL);
    assert_int_equal(result.status, 200);
    alv_http_result_done(&result);
    alv_free(path);
}

static bool is_refused(void *payload)
{
    alv_http_flood_counts counts;
    alv_http_flood_look(payload, &counts);
    return counts.answered[429] >= 1000;
}

/* More connections than there are places want something from a shard that executes nothing. */
static void http__one_shard_does_not_take_the_places_of_others(void **state)
{
    (void)state;
    static const bool shards[SHARDS] = {[3] = true};
    alv_flood *flood = flood_of("p:", ADD, "balance", 0, shards);
    set_paused(3, true);
    const alv_http_flood_options options = {.address = fixture.node->address,
                                            .connections = 1500,
                                            .pause_ms = 50,
                                            .write = write_post,
                                            .answered = note_answer,
                                            .payload = flood};
    alv_http_flood *posts = alv_http_flood_start(&options);
    assert_true(alv_wait_until(is_refused, posts, WAIT_MS));
    for (int round = 0; round < 20; round++) {
        assert_int_equal(post(user_of(round % 3), ADD), 200);
        assert_int_equal(get("/healthz"), 200);
    }
    set_paused(3, false);
    alv_http_flood_counts counts;
    alv_http_flood_stop(posts, &counts);
    print_message("%s\n", alv_http_flood_text(&counts));
    assert_true(counts.answered[200] > 0);
    assert_int_equal(post(user_of(3), ADD), 200);
    drain();
    assert_int_equal(alv_flood_count_wrong(flood), 0);
    alv_flood_free(flood);
    fixture.passed++;
}

/* ---- huge ------------------------------------------------------------------------------------ */

static void fill(alv_bytes *out, size_t bytes, const char *end)
{
    while (out->size + strlen(end) < bytes) {
        alv_bytes_append_text(out, "x");
    }
    alv_bytes_append_text(out, end);
}

static void send_record(alv_wire *wire, size_t key_bytes, size_t value_bytes, int number)
{
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_bytes_printf(&key, "h%d", number);
    fill(&key, key_bytes, ":u");
    alv_bytes_append_text(&value, "{\"type\":\"update_profile\",\"nickname\":\"");
    fill(&value, value_bytes, "\"}");
    const alv_wire_record record = {.topic = alv_cluster_topic(&fixture.cluster, "commands"),
                                    .partition = -1,
                                    .key = alv_bytes_view(&key),
                                    .value = alv_bytes_view(&value)};
    alv_wire_send(wire, &record);
    alv_bytes_done(&key);
    alv_bytes_done(&value);
}

static void count_reason(void *payload, const alv_wire_message *message)
{
    int *counts = payload;
    alv_view reason = alv_wire_message_header(message, "alluvium-reason");
    counts[0] += alv_view_equal(reason, ALV_VIEW("key-too-long"));
    counts[1] += alv_view_equal(reason, ALV_VIEW("too-large"));
    counts[2]++;
}

#define HUGE_ROUNDS 30
#define HUGE_GROWTH_MAX_KIB (400 * 1024)

/* Everything at and over the limits, with others in between: what fits is executed, the rest is a dead letter, and
 * the node does not keep them in memory. */
static void huge__records_are_executed_or_dead_letters(void **state)
{
    (void)state;
    int found[3] = {0};
    int64_t before_kib = alv_usage_resident_kib(fixture.node->process.pid);
    alv_flood *flood = flood_of("g:", ADD, "balance", 0, NULL);
    alv_wire *wire = alv_wire_open(fixture.cluster.brokers);
    for (int round = 0; round < HUGE_ROUNDS; round++) {
        send_record(wire, 20, ALV_COMMAND_BYTES_MAX, round % 5);
        send_record(wire, ALV_KEY_BYTES_MAX, 200, round);
        send_record(wire, ALV_KEY_BYTES_MAX + 1, 200, round);
        send_record(wire, 900 * 1000, 200, round);
        send_record(wire, 20, ALV_COMMAND_BYTES_MAX + 1, round);
        alv_flood_send(flood, 10);
    }
    alv_wire_flush(wire);
    alv_wire_close(wire);
    drain();
    int64_t peak_kib = alv_usage_peak_kib(fixture.node->process.pid);
    print_message("%" PRId64 " MiB before, %" PRId64 " at most\n", before_kib / 1024,
                  peak_kib / 1024);
    alv_wire_read(fixture.cluster.brokers, alv_cluster_topic(&fixture.cluster, "dead-letters"),
                  count_reason, found);
    assert_int_equal(found[0], 2 * HUGE_ROUNDS);
    assert_int_equal(found[1], HUGE_ROUNDS);
    assert_int_equal(found[2], 3 * HUGE_ROUNDS);
    assert_int_equal(alv_flood_count_wrong(flood), 0);
    assert_true(peak_kib - before_kib < HUGE_GROWTH_MAX_KIB);
    alv_flood_free(flood);
    fixture.passed++;
}

static void huge__requests_are_told_so(void **state)
{
    (void)state;
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_bytes body = ALV_BYTES_EMPTY;
    fill(&key, ALV_KEY_BYTES_MAX + 1, ":u");
    alv_bytes_append(&key, "", 1);
    assert_int_equal(post(key.data, ADD), 400);
    assert_int_equal(post(key.data + 1, ADD), 200);
    alv_bytes_append_text(&body, "{\"type\":\"update_profile\",\"nickname\":\"");
    fill(&body, ALV_COMMAND_BYTES_MAX + 1, "\"}");
    alv_bytes_append(&body, "", 1);
    assert_int_equal(post("h:413", body.data), 413);
    body.data[body.size - 4] = '"';
    body.data[body.size - 3] = '}';
    body.data[body.size - 2] = '\0';
    assert_int_equal(post("h:413", body.data), 200);
    alv_bytes_done(&key);
    alv_bytes_done(&body);
    fixture.passed++;
}

/* ---- connections ----------------------------------------------------------------------------- */

static int served(int fd)
{
    static const char text[] = "GET /v1/node HTTP/1.1\r\nHost: localhost\r\n\r\n";
    alv_bytes answer = ALV_BYTES_EMPTY;
    alv_http_raw_send(fd, text, sizeof text - 1);
    int status = alv_http_raw_read(fd, WAIT_MS, &answer);
    alv_bytes_done(&answer);
    return status;
}

static bool is_served(void *payload)
{
    (void)payload;
    return get("/v1/node") == 200;
}

static void connections__all_in_use_is_told_and_over_when_some_go(void **state)
{
    (void)state;
    static int fds[CONNECTIONS];
    int count = 0;
    int status = 200;
    while (status == 200 && count < CONNECTIONS) {
        fds[count] = alv_http_raw_open(fixture.node->address);
        status = served(fds[count]);
        count++;
    }
    print_message("%d connections\n", count);
    assert_in_range(count, CONNECTIONS / 2, CONNECTIONS);
    for (int round = 0; round < 10; round++) {
        assert_int_equal(get("/v1/node"), 503);
        assert_int_equal(get("/healthz"), 200);
        assert_int_equal(get("/readyz"), 200);
        assert_int_equal(get("/metrics"), 200);
    }
    assert_int_equal(served(fds[0]), 200); /* who was there is not disturbed */
    for (int i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    assert_true(alv_wait_until(is_served, NULL, WAIT_MS));
    assert_int_equal(post(user_of(0), ADD), 200);
    fixture.passed++;
}

/* ---- fixture --------------------------------------------------------------------------------- */

/* A program that starts the node with few files. */
static void limit_files(void)
{
    char *path = alv_cluster_path(&fixture.cluster, "alluvium-with-few-files");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", FILES, fixture.cluster.binary);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
    alv_free(fixture.cluster.binary);
    fixture.cluster.binary = path;
}

static void start_node(void)
{
    char *library = alv_plugin_path("slow");
    char *libraries = alv_format("behavior.libraries=%s", library);
    const char *const settings[] = {
        "lanes=1", "shards=4", libraries, "state.memory.bytes=64MiB", "cache.memory.bytes=16MiB",
        NULL};
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    alv_free(library);
    alv_free(libraries);
}

/* The last test has a node with few files. */
static int restart_with_few_files(void **state)
{
    (void)state;
    alv_cluster_stop_node(fixture.node);
    limit_files();
    start_node();
    return 0;
}

static int start_fixture(void **state)
{
    (void)state;
    alv_cluster_open(&fixture.cluster, "overload");
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    start_node();
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    fixture.cluster.passed = fixture.passed == TESTS;
    if (fixture.cluster.passed) {
        alv_cluster_stop_node(fixture.node);
    }
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flood__of_one_shard_does_not_hold_up_another),
        cmocka_unit_test(flood__of_one_entity_with_half_of_all_is_right),
        cmocka_unit_test(http__one_shard_does_not_take_the_places_of_others),
        cmocka_unit_test(huge__records_are_executed_or_dead_letters),
        cmocka_unit_test(huge__requests_are_told_so),
        cmocka_unit_test_setup(connections__all_in_use_is_told_and_over_when_some_go,
                               restart_with_few_files),
    };
    return cmocka_run_group_tests_name("overload", tests, start_fixture, end_fixture);
}
