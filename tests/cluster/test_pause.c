/* Goal:   one shard is stopped and goes on through any node; while it is paused its commands wait, it answers
 *         reads, every node shows it, and it stays paused when it moves; then nothing is lost or done twice.
 * Method: two real nodes; requests go to the one that does not have the shard; its owner is killed. */
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
#include "topics/partitioner.h"

#define SHARDS 4
#define USERS 40
#define SETTLE_MS 60000

static const char *const settings[] = {"lanes=1", "shards=4", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    int32_t shard;
    int sent; /* to every user */
} fixture;

/* ---- looking --------------------------------------------------------------------------------- */

/* The row of the shard as `node` shows it; the caller frees it. */
static json_t *row_of(const alv_cluster_node *node, int32_t shard)
{
    int status = 0;
    json_t *rows = alv_cluster_http(node, "/v1/shards", &status);
    json_t *row = json_incref(json_array_get(rows, (size_t)shard));
    json_decref(rows);
    return row;
}

/* Whether `node` shows the shard active at some owner, and paused or not. */
typedef struct expectation {
    const alv_cluster_node *node;
    int32_t shard;
    bool paused;
} expectation;

static bool is_shown(void *payload)
{
    const expectation *expected = payload;
    json_t *row = row_of(expected->node, expected->shard);
    const char *state = json_string_value(json_object_get(row, "state"));
    bool shown = state != NULL && strcmp(state, "active") == 0 &&
                 json_is_true(json_object_get(row, "paused")) == expected->paused;
    json_decref(row);
    return shown;
}

static void wait_shown(const alv_cluster_node *node, int32_t shard, bool paused)
{
    expectation expected = {node, shard, paused};
    if (!alv_wait_until(is_shown, &expected, SETTLE_MS))
        fail_msg("%s does not show shard %d paused=%d", node->id, (int)shard, paused);
}

/* The node that has the shard: 0 or 1. */
static int owner_of(int32_t shard)
{
    json_t *row = row_of(fixture.nodes[0], shard);
    const char *id = json_string_value(json_object_get(json_object_get(row, "owner"), "node"));
    int owner = id != NULL && strcmp(id, fixture.nodes[1]->id) == 0 ? 1 : 0;
    json_decref(row);
    return owner;
}

static bool is_in_shard(int user)
{
    char key[32];
    (void)snprintf(key, sizeof key, "m:%d", user);
    return alv_partitioner_shard(alv_view_of(key), SHARDS) == fixture.shard;
}

/* ---- doing ----------------------------------------------------------------------------------- */

/* POST, again while the shard is on its way. */
static long set_paused(const alv_cluster_node *node, const char *verb)
{
    char *path = alv_format("/v1/shards/%d/%s", (int)fixture.shard, verb);
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    alv_http_result result = alv_http_call(NULL, "POST", node->address, path, NULL);
    while (result.status == 503 && !alv_wait_expired(deadline)) {
        alv_http_result_done(&result);
        result = alv_http_call(NULL, "POST", node->address, path, NULL);
    }
    long status = result.status;
    alv_http_result_done(&result);
    alv_free(path);
    return status;
}

static void send_to_all(void)
{
    alv_cluster_add_to_users(&fixture.cluster, USERS);
    fixture.sent++;
}

static int64_t balance_of(const alv_cluster_node *node, int user)
{
    char path[64];
    int status = 0;
    (void)snprintf(path, sizeof path, "/v1/entities/m%%3A%d", user);
    json_t *answer = alv_cluster_http(node, path, &status);
    int64_t balance =
        status == 200
            ? json_integer_value(json_object_get(json_object_get(answer, "state"), "balance"))
            : -1;
    json_decref(answer);
    return balance;
}

/* Users of the paused shard stand at `paused_balance`, all others at what was sent. */
typedef struct balances {
    const alv_cluster_node *node;
    int64_t paused_balance;
} balances;

static bool balances_are_right(void *payload)
{
    const balances *expected = payload;
    for (int i = 0; i < USERS; i++) {
        int64_t wanted = is_in_shard(i) ? expected->paused_balance : fixture.sent;
        if (balance_of(expected->node, i) != wanted)
            return false;
    }
    return true;
}

static void wait_balances(const alv_cluster_node *node, int64_t paused_balance)
{
    balances expected = {node, paused_balance};
    if (!alv_wait_until(balances_are_right, &expected, SETTLE_MS))
        fail_msg("%s: balances are not those expected (%d sent, %d in the paused shard)", node->id,
                 fixture.sent, (int)paused_balance);
}

/* ---- the story ------------------------------------------------------------------------------- */

static void pause__holds_through_moves_and_restarts_and_loses_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        wait_shown(fixture.nodes[i], fixture.shard, false);
    send_to_all();
    wait_balances(fixture.nodes[0], 1);

    int owner = owner_of(fixture.shard);
    alv_cluster_node *asked = fixture.nodes[1 - owner]; /* it has to pass the request on */
    assert_int_equal(set_paused(asked, "pause"), 200);
    for (int i = 0; i < 2; i++)
        wait_shown(fixture.nodes[i], fixture.shard, true);
    send_to_all();
    wait_balances(asked, 1); /* reads are answered, the others go on */
    assert_true(alv_cluster_backlog(&fixture.cluster) > 0);

    alv_process_kill(&fixture.nodes[owner]->process);
    wait_shown(asked, fixture.shard, true);
    send_to_all();
    wait_balances(asked, 1);

    alv_cluster_start_node(fixture.nodes[owner], settings);
    alv_cluster_wait_ready(fixture.nodes[owner]);
    wait_shown(fixture.nodes[owner], fixture.shard, true);
    wait_balances(fixture.nodes[owner], 1);

    assert_int_equal(set_paused(fixture.nodes[owner], "resume"), 200);
    for (int i = 0; i < 2; i++)
        wait_shown(fixture.nodes[i], fixture.shard, false);
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);
    for (int i = 0; i < 2; i++)
        wait_balances(fixture.nodes[i], fixture.sent);
}

static void pause__of_no_shard_is_404(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/shards/4/pause", "/v1/shards/-1/pause",
                                        "/v1/shards/x/resume", "/v1/shards/00/pause",
                                        "/v1/shards/99999999999/pause"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        alv_http_result result =
            alv_http_call(NULL, "POST", fixture.nodes[0]->address, paths[i], NULL);
        assert_int_equal(result.status, 404);
        alv_http_result_done(&result);
    }
    alv_http_result result =
        alv_http_call(NULL, "GET", fixture.nodes[0]->address, "/v1/shards/0/pause", NULL);
    assert_int_equal(result.status, 405);
    alv_http_result_done(&result);
    fixture.cluster.passed = true;
}

static int start_fixture(void **state)
{
    (void)state;
    alv_cluster_open(&fixture.cluster, "pause");
    fixture.shard = alv_partitioner_shard(ALV_VIEW("m:7"), SHARDS);
    for (int i = 0; i < 2; i++) {
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
        alv_cluster_start_node(fixture.nodes[i], settings);
    }
    for (int i = 0; i < 2; i++)
        alv_cluster_wait_ready(fixture.nodes[i]);
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
        cmocka_unit_test(pause__holds_through_moves_and_restarts_and_loses_nothing),
        cmocka_unit_test(pause__of_no_shard_is_404),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
