/* Goal:   entities that cannot be worked with are set aside alone, on real nodes: whoever sends to them is told,
 *         every node shows it, it outlives the owner's death and a restart, and a release puts their commands
 *         back once and in order.
 * Method: somebody writes two broken states into the changelog while no node runs: a balance that is no number
 *         (the handler gives up), and half a JSON object. Requests go to either node; the owner is killed. */
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
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define BROKEN "m:broken"
#define TORN "m:torn"
#define SETTLE_MS 60000

static const char *const settings[] = {"lanes=1", "shards=4", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
} fixture;

/* ---- doing ----------------------------------------------------------------------------------- */

static void start_nodes(void)
{
    for (int i = 0; i < 2; i++)
        alv_cluster_start_node(fixture.nodes[i], settings);
    for (int i = 0; i < 2; i++)
        alv_cluster_wait_ready(fixture.nodes[i]);
}

static void stop_nodes(void)
{
    for (int i = 0; i < 2; i++)
        alv_cluster_stop_node(fixture.nodes[i]);
}

/* By somebody who may write into the changelog, while no node runs. */
static void write_states(const char *broken, const char *torn)
{
    alv_wire *wire = alv_wire_open(fixture.cluster.brokers);
    const char *const states[][2] = {{BROKEN, broken}, {TORN, torn}};
    for (size_t i = 0; i < 2; i++) {
        const alv_wire_record record = {.topic = alv_cluster_topic(&fixture.cluster, "changelog"),
                                        .partition = -1,
                                        .key = alv_view_of(states[i][0]),
                                        .value = alv_view_of(states[i][1])};
        alv_wire_send(wire, &record);
    }
    alv_wire_flush(wire);
    alv_wire_close(wire);
}

/* Sends a command through `node`; again while the shard is on its way. */
static void post(const alv_cluster_node *node, const char *key, const char *body, long status,
                 const char *reason)
{
    char *path = alv_format("/v1/entities/%s/commands", key);
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    alv_http_result result = alv_http_call_post(NULL, node->address, path, body, NULL);
    while (result.status == 503 && !alv_wait_expired(deadline)) {
        alv_http_result_done(&result);
        result = alv_http_call_post(NULL, node->address, path, body, NULL);
    }
    if (result.status != status)
        fail_msg("%s: status %ld, expected %ld: %s", key, result.status, status,
                 alv_http_result_text(&result, "detail"));
    assert_string_equal(alv_http_result_text(&result, "reason"), reason);
    alv_http_result_done(&result);
    alv_free(path);
}

static void add(const alv_cluster_node *node, const char *key, int amount, long status,
                const char *reason)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"type\":\"add_balance\",\"amount\":%d}", amount);
    post(node, key, body, status, reason);
}

/* A command line without configuration and node, which are added. */
static void run(const char *const *given, int exit_status, const char *part)
{
    const char *arguments[16] = {NULL};
    int count = 0;
    for (; given[count] != NULL; count++)
        arguments[count] = given[count];
    arguments[count++] = "-c";
    arguments[count++] = fixture.cluster.config_path;
    if (strcmp(given[0], "dead-letters") != 0) {
        arguments[count++] = "--node";
        arguments[count++] = fixture.nodes[1]->address;
    }
    alv_cluster_result result = alv_cluster_run(&fixture.cluster, NULL, arguments);
    if (result.exit_status != exit_status || strstr(result.out, part) == NULL)
        fail_msg("%s %s: exit status %d: %s%s", arguments[0], arguments[1], result.exit_status,
                 result.out, result.err);
    alv_cluster_result_done(&result);
}

/* ---- looking --------------------------------------------------------------------------------- */

static json_t *get(const alv_cluster_node *node, const char *path, int expected)
{
    int status = 0;
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    json_t *answer = alv_cluster_http(node, path, &status);
    while (status == 503 && !alv_wait_expired(deadline)) {
        json_decref(answer);
        answer = alv_cluster_http(node, path, &status);
    }
    if (status != expected)
        fail_msg("GET %s: status %d, expected %d", path, status, expected);
    return answer;
}

/* How many entities are quarantined by the list; when that is both, how many commands of BROKEN wait. */
static void assert_listed(const alv_cluster_node *node, size_t count, json_int_t waiting)
{
    json_t *page = get(node, "/v1/quarantine", 200);
    const json_t *list = json_object_get(page, "quarantined");
    assert_int_equal(json_array_size(list), count);
    const json_t *first = json_array_get(list, 0);
    if (count > 1) {
        assert_string_equal(json_string_value(json_object_get(first, "key")), BROKEN);
        assert_int_equal(
            json_integer_value(json_object_get(json_object_get(first, "quarantine"), "waiting")),
            waiting);
    }
    json_decref(page);
}

typedef struct shown {
    const alv_cluster_node *node;
    json_int_t count;
} shown;

static bool shards_show(void *payload)
{
    const shown *expected = payload;
    json_int_t count = 0;
    size_t i;
    json_t *row;
    int status = 0;
    json_t *rows = alv_cluster_http(expected->node, "/v1/shards", &status);
    json_array_foreach(rows, i, row)
    {
        count += json_integer_value(json_object_get(row, "quarantined"));
    }
    json_decref(rows);
    return count == expected->count;
}

static void wait_shown(const alv_cluster_node *node, json_int_t count)
{
    shown expected = {node, count};
    if (!alv_wait_until(shards_show, &expected, SETTLE_MS))
        fail_msg("%s does not show %d quarantined entities", node->id, (int)count);
}

/* 0 or 1. */
static int owner_of(const char *key)
{
    char *path = alv_format("/v1/quarantine?prefix=%s", key);
    json_t *page = get(fixture.nodes[0], path, 200);
    json_int_t shard = json_integer_value(
        json_object_get(json_array_get(json_object_get(page, "quarantined"), 0), "shard"));
    json_t *rows = get(fixture.nodes[0], "/v1/shards", 200);
    const json_t *owner = json_object_get(json_array_get(rows, (size_t)shard), "owner");
    const char *id = json_string_value(json_object_get(owner, "node"));
    int index = id != NULL && strcmp(id, fixture.nodes[1]->id) == 0 ? 1 : 0;
    json_decref(page);
    json_decref(rows);
    alv_free(path);
    return index;
}

typedef struct wanted {
    const alv_cluster_node *node;
    const char *key;
    json_int_t balance;
} wanted;

static bool has_balance(void *payload)
{
    const wanted *expected = payload;
    char *path = alv_format("/v1/entities/%s", expected->key);
    json_t *entity = get(expected->node, path, 200);
    const json_t *balance = json_object_get(json_object_get(entity, "state"), "balance");
    bool reached = json_integer_value(balance) == expected->balance &&
                   json_object_get(entity, "quarantine") == NULL;
    json_decref(entity);
    alv_free(path);
    return reached;
}

static void wait_balance(const char *key, json_int_t balance)
{
    for (int i = 0; i < 2; i++) {
        wanted expected = {fixture.nodes[i], key, balance};
        if (!alv_wait_until(has_balance, &expected, SETTLE_MS))
            fail_msg("%s does not come to %d", key, (int)balance);
    }
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void quarantine__begins_and_is_told_by_every_node(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        add(fixture.nodes[i % 2], BROKEN, 1 << i, 500, "failed");
    add(fixture.nodes[0], TORN, 1, 500, "state-unreadable");
    for (int i = 0; i < 2; i++) {
        add(fixture.nodes[i], BROKEN, 8 << i, 409, "quarantined");
        add(fixture.nodes[i], TORN, 2 << i, 409, "quarantined");
        add(fixture.nodes[i], "m:healthy", 1, 200, "");
        wait_shown(fixture.nodes[i], 2);
        json_t *entity = get(fixture.nodes[i], "/v1/entities/" BROKEN, 200);
        assert_true(
            json_is_true(json_object_get(json_object_get(entity, "quarantine"), "quarantined")));
        json_decref(entity);
        json_decref(get(fixture.nodes[i], "/v1/entities/" TORN, 500));
        assert_listed(fixture.nodes[i], 2, i + 1);
    }
    static const char *const list[] = {"quarantine", "list", NULL};
    run(list, 0, "2 wait  failed: the stored balance is not a whole number");
    static const char *const status[] = {"status", NULL};
    run(status, 0, "2 entities are quarantined");
}

static void quarantine__outlives_its_owner(void **state)
{
    (void)state;
    int owner = owner_of(BROKEN);
    alv_cluster_node *other = fixture.nodes[1 - owner];
    alv_process_kill(&fixture.nodes[owner]->process);
    add(other, BROKEN, 32, 409, "quarantined");
    add(other, "m:healthy", 1, 200, "");
    wait_shown(other, 2);
    for (char product = 'a'; product <= 'c'; product++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"type\":\"view_product\",\"productId\":\"%c\"}",
                       product);
        post(other, BROKEN, body, 409, "quarantined");
    }
    assert_listed(other, 2, 6);
    alv_cluster_start_node(fixture.nodes[owner], settings);
    alv_cluster_wait_ready(fixture.nodes[owner]);
    stop_nodes();
    write_states("{\"balance\":1000,\"nickname\":\"mended\"}", "{\"balance\":1000}");
    start_nodes();
    add(fixture.nodes[0], BROKEN, 64, 409, "quarantined");
    assert_listed(fixture.nodes[1], 2, 7);
}

/* Three that failed, seven that waited; each once, in their order. */
static void release__puts_commands_back_once(void **state)
{
    (void)state;
    static const char *const release[] = {"quarantine", "release", BROKEN,
                                          "--retry",    "--json",  NULL};
    run(release, 0, "\"waiting\":7,\"retried\":10}");
    wait_balance(BROKEN, 1000 + 127);
    json_t *entity = get(fixture.nodes[0], "/v1/entities/" BROKEN, 200);
    const json_t *products = json_object_get(json_object_get(entity, "state"), "recentProducts");
    for (size_t i = 0; i < 3; i++) {
        const char expected[] = {(char)('c' - (int)i), '\0'};
        assert_string_equal(json_string_value(json_array_get(products, i)), expected);
    }
    json_decref(entity);
    static const char *const again[] = {"quarantine", "release", BROKEN, "--retry", NULL};
    run(again, 1, "");
    assert_listed(fixture.nodes[0], 1, 0); /* TORN */
}

static void release__leaves_commands_where_they_are(void **state)
{
    (void)state;
    static const char *const release[] = {"quarantine", "release", TORN, NULL};
    run(release, 0, "released; 2 of its commands are in the dead letters");
    wait_balance(TORN, 1000);
    add(fixture.nodes[0], TORN, 8, 200, "");
    static const char *const retry[] = {"dead-letters", "retry", "--all", "--key", TORN, NULL};
    run(retry, 0, "3 put back");
    wait_balance(TORN, 1000 + 15);
    assert_listed(fixture.nodes[1], 0, 0);
    static const char *const list[] = {"quarantine", "list", NULL};
    run(list, 0, "no entity is quarantined");
    run(release, 1, "");
    stop_nodes();
    fixture.cluster.passed = true;
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int start_fixture(void **state)
{
    (void)state;
    alv_cluster_open(&fixture.cluster, "quarantine");
    for (int i = 0; i < 2; i++)
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
    start_nodes();
    stop_nodes();
    write_states("{\"balance\":\"many\"}", "{\"balance\":");
    start_nodes();
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quarantine__begins_and_is_told_by_every_node),
        cmocka_unit_test(quarantine__outlives_its_owner),
        cmocka_unit_test(release__puts_commands_back_once),
        cmocka_unit_test(release__leaves_commands_where_they_are),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
