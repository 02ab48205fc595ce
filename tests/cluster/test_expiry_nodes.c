/* Goal:   entities that do not change expire on real nodes: everywhere, also when their owner was killed before, and
 *         those that change do not.
 * Method: two nodes with a behavior whose entities live for 3 s; one is killed at once; one entity is kept alive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/http_call.h"
#include "tests/support/plugin.h"
#include "tests/support/wait.h"

#define ENTITIES 20
#define AFTER_MS 3000
#define SETTLE_MS 60000

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
} fixture;

/* Again while the shard is on its way. Returns when it was sent for the last time, ms. */
static int64_t touch(const alv_cluster_node *node, int number)
{
    char *path = alv_format("/v1/entities/fleeting%%2F%d/commands", number);
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    long status = 0;
    int64_t sent_ms = 0;
    while (status != 200 && !alv_wait_expired(deadline)) {
        sent_ms = alv_now_ms(alv_clock_system());
        alv_http_result result =
            alv_http_call_post(NULL, node->address, path, "{\"type\":\"touch\"}", NULL);
        status = result.status;
        alv_http_result_done(&result);
    }
    assert_int_equal(status, 200);
    alv_free(path);
    return sent_ms;
}

/* 200 or 404. */
static int status_of(const alv_cluster_node *node, int number)
{
    char *path = alv_format("/v1/entities/fleeting%%2F%d", number);
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    int status = 503;
    while (status == 503 && !alv_wait_expired(deadline))
        json_decref(alv_cluster_http(node, path, &status));
    alv_free(path);
    return status;
}

typedef struct expiry {
    const alv_cluster_node *node;
    int64_t touched_ms; /* entity 0, which is kept alive, at the latest */
    int touches;
} expiry;

/* Entity 0 is touched in good time, so it must be there; all others go. */
static bool others_are_gone(void *payload)
{
    expiry *watched = payload;
    int64_t now_ms = alv_now_ms(alv_clock_system());
    if (now_ms - watched->touched_ms > AFTER_MS / 3) {
        watched->touched_ms = touch(watched->node, 0);
        watched->touches++;
    }
    int left = 0;
    for (int i = 1; i < ENTITIES; i++)
        left += status_of(watched->node, i) != 404;
    return left == 0 && watched->touches > 5;
}

static void entities__expire_after_their_owner_was_killed(void **state)
{
    (void)state;
    int64_t first_ms = alv_now_ms(alv_clock_system());
    for (int i = 0; i < ENTITIES; i++)
        (void)touch(fixture.nodes[i % 2], i);
    int64_t last_ms = alv_now_ms(alv_clock_system());
    if (last_ms - first_ms < AFTER_MS) { /* else: the machine is too busy to say */
        for (int i = 0; i < ENTITIES && alv_now_ms(alv_clock_system()) - first_ms < AFTER_MS; i++) {
            int status = status_of(fixture.nodes[1], i);
            assert_true(status == 200 || alv_now_ms(alv_clock_system()) - first_ms >= AFTER_MS);
        }
    }
    alv_process_kill(&fixture.nodes[0]->process);
    expiry watched = {.node = fixture.nodes[1]};
    assert_true(alv_wait_until(others_are_gone, &watched, SETTLE_MS));
    json_t *states = alv_cluster_changelog_states(&fixture.cluster);
    assert_true(json_object_size(states) <= 1); /* tombstones */
    json_decref(states);
    alv_cluster_stop_node(fixture.nodes[1]);
    fixture.cluster.passed = true;
}

static int start_fixture(void **state)
{
    (void)state;
    char *path = alv_plugin_path("fleeting");
    char *setting = alv_format("behavior.libraries=%s", path);
    const char *const settings[] = {setting, "lanes=1", "shards=4", NULL};
    alv_cluster_open(&fixture.cluster, "expiry");
    for (int i = 0; i < 2; i++) {
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
        alv_cluster_start_node(fixture.nodes[i], settings);
    }
    for (int i = 0; i < 2; i++)
        alv_cluster_wait_ready(fixture.nodes[i]);
    alv_free(setting);
    alv_free(path);
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
        cmocka_unit_test(entities__expire_after_their_owner_was_killed),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
