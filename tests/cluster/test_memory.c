/* Goal:   a node that has executed four million commands is not larger than one that has executed some: nothing is
 *         kept for each command, neither here nor in a library.
 * Method: few users, so that all that grows with them is there early; commands in pieces, of every kind that has
 *         memory of its own: changes, idempotency keys, replies, rejections, dead letters, requests over HTTP.
 *         What the kernel counts as resident is compared after the first pieces and after the last ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/usage.h"
#include "tests/support/wire.h"

#define USERS 499 /* no divisor of the numbers below, so that each gets commands of each kind */
#define PIECES 40
#define COMMANDS_PER_PIECE 100000
#define REQUESTS_PER_PIECE 200
#define DRAIN_TIMEOUT_MS 300000

/* By then the buffers of RocksDB and librdkafka have been as full as they get. */
#define PIECES_WARM 12

/* It goes up by 10 to 20 MiB now and then and comes back, when more of RocksDB's threads than usual flush and
 * compact at once: the least of the last pieces counts. */
#define PIECES_LAST 10

/* What the pieces in between may add: 7 bytes for each of their commands would be 13 MiB. Measured: less than 1. */
#define GROWTH_MAX_KIB (12 * 1024)

static const char *const settings[] = {"lanes=1",
                                       "shards=4",
                                       "state.memory.bytes=64MiB",
                                       "cache.memory.bytes=16MiB",
                                       "idempotency.keys.max=4",
                                       "log.level=error",
                                       NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_wire *wire;
    int64_t sent;
    bool passed;
} fixture;

static const char *command_of(int64_t number)
{
    if (number % 1000 == 0) {
        return "{\"type\":\"fly\"}"; /* a dead letter */
    }
    if (number % 100 == 1) {
        return "{\"type\":\"deduct_balance\",\"amount\":1000000000000}"; /* rejected */
    }
    return "{\"type\":\"add_balance\",\"amount\":1,\"transferId\":\"t\"}";
}

static void send_command(const char *topic)
{
    char key[32];
    char number[32];
    (void)snprintf(key, sizeof key, "m:%" PRId64, fixture.sent % USERS);
    (void)snprintf(number, sizeof number, "%" PRId64, fixture.sent);
    const alv_wire_header headers[] = {
        {"idempotency-key", number}, {"reply-to", "nobody"}, {"correlation-id", number}};
    const alv_wire_record record = {
        .topic = topic,
        .partition = -1,
        .key = alv_view_of(key),
        .value = alv_view_of(command_of(fixture.sent)),
        .headers = headers,
        .header_count = fixture.sent % 10 == 2   ? 1
                        : fixture.sent % 10 == 3 ? 3
                                                 : 0,
    };
    alv_wire_send(fixture.wire, &record);
    fixture.sent++;
}

static void send_piece(void)
{
    char topic[256];
    (void)snprintf(topic, sizeof topic, "%s", alv_cluster_topic(&fixture.cluster, "commands"));
    for (int i = 0; i < COMMANDS_PER_PIECE; i++) {
        send_command(topic);
    }
    alv_wire_flush(fixture.wire);
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
}

static void ask(void)
{
    for (int i = 0; i < REQUESTS_PER_PIECE; i++) {
        char path[64];
        int status = 0;
        (void)snprintf(path, sizeof path, "/v1/entities/m:%d", i % USERS);
        json_decref(alv_cluster_http(fixture.node, path, &status));
        assert_int_equal(status, 200);
    }
}

static void memory__does_not_grow_with_commands(void **state)
{
    (void)state;
    int64_t warm_kib = 0;
    int64_t least_kib = INT64_MAX;
    for (int piece = 1; piece <= PIECES; piece++) {
        send_piece();
        ask();
        int64_t now_kib = alv_usage_resident_kib(fixture.node->process.pid);
        print_message("%" PRId64 " commands: %" PRId64 " KiB\n", fixture.sent, now_kib);
        warm_kib = piece == PIECES_WARM ? now_kib : warm_kib;
        least_kib = piece > PIECES - PIECES_LAST && now_kib < least_kib ? now_kib : least_kib;
    }
    assert_true(warm_kib > 0 && least_kib > 0);
    assert_true(least_kib - warm_kib <= GROWTH_MAX_KIB);
    fixture.passed = true;
}

static int start_fixture(void **state)
{
    (void)state;
    alv_cluster_open(&fixture.cluster, "memory");
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    fixture.wire = alv_wire_open(fixture.cluster.brokers);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    if (fixture.passed) {
        alv_cluster_stop_node(fixture.node);
    }
    alv_wire_close(fixture.wire);
    fixture.cluster.passed = fixture.passed;
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__does_not_grow_with_commands),
    };
    return cmocka_run_group_tests_name("memory", tests, start_fixture, end_fixture);
}
