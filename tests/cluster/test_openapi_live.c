/* Goal:   what real nodes answer is as /openapi.json says: commands and their outcomes, shards with standbys and
 *         lags, the cluster, a pause.
 * Method: two real nodes; each answer is checked against the description that the node serves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/openapi_check.h"
#include "tests/support/wait.h"

#define COMMANDS "/v1/entities/{key}/commands"
#define SETTLE_MS 60000

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    json_t *description;
} fixture;

/* A machine that is busy may let a command wait for longer than its answer may take: that is described, too,
 * and tried again. */
static void post(const char *path, const char *body, const char *const *headers, long status)
{
    for (int i = 0; i < 2; i++) { /* the owner, and a node that is not */
        int64_t deadline = alv_wait_deadline(SETTLE_MS);
        bool again = true;
        while (again) {
            alv_http_result result =
                alv_http_call_post(NULL, fixture.nodes[i]->address, path, body, headers);
            again = result.status == 504 && !alv_wait_expired(deadline);
            if (result.status != status && !again)
                fail_msg("POST %s %.60s: status %ld, expected %ld", path, body, result.status,
                         status);
            alv_openapi_check(fixture.description, &result, "POST", COMMANDS);
            alv_http_result_done(&result);
        }
    }
}

static void get(const char *pattern, const char *path, long status)
{
    for (int i = 0; i < 2; i++) {
        alv_http_result result = alv_http_call(NULL, "GET", fixture.nodes[i]->address, path, NULL);
        if (result.status != status)
            fail_msg("GET %s: status %ld, expected %ld", path, result.status, status);
        alv_openapi_check(fixture.description, &result, "GET", pattern);
        alv_http_result_done(&result);
    }
}

static void live__commands_and_entities(void **state)
{
    (void)state;
    static const char *const async[] = {"Prefer: respond-async", NULL};
    const char *path = "/v1/entities/m:1/commands";
    post(path, "{\"type\":\"add_balance\",\"amount\":5}", NULL, 200);
    post(path, "{\"type\":\"deduct_balance\",\"amount\":500}", NULL, 422);
    post(path, "{\"type\":\"add_balance\",\"amount\":1}", async, 202);
    post(path, "{\"type\":\"fly\"}", NULL, 400);
    post(path, "{\"type\":", NULL, 400);
    char *large = alv_alloc(ALV_COMMAND_BYTES_MAX + 2);
    memset(large, ' ', ALV_COMMAND_BYTES_MAX + 1);
    post(path, large, NULL, 413);
    alv_free(large);
    get("/v1/entities/{key}", "/v1/entities/m:1", 200);
    get("/v1/entities/{key}", "/v1/entities/m:nobody", 404);
}

/* One hot standby per shard, so that rows have all their members. */
static bool standbys_are_hot(void *payload)
{
    (void)payload;
    int status = 0;
    int hot = 0;
    size_t i;
    json_t *shard;
    json_t *rows = alv_cluster_http(fixture.nodes[0], "/v1/shards", &status);
    json_array_foreach(rows, i, shard)
    {
        const json_t *standby = json_array_get(json_object_get(shard, "standbys"), 0);
        const char *is = json_string_value(json_object_get(standby, "state"));
        hot += is != NULL && strcmp(is, "hot") == 0;
    }
    json_decref(rows);
    return hot == 4;
}

static void live__the_cluster(void **state)
{
    (void)state;
    get("/v1/shards", "/v1/shards", 200); /* while standbys catch up, maybe */
    assert_true(alv_wait_until(standbys_are_hot, NULL, SETTLE_MS));
    get("/v1/shards", "/v1/shards", 200);
    get("/v1/cluster", "/v1/cluster", 200);
    get("/v1/node", "/v1/node", 200);
    get("/v1/peers", "/v1/peers", 200);
    get("/metrics", "/metrics", 200);
    get("/readyz", "/readyz", 200);
}

static void live__pause_and_resume(void **state)
{
    (void)state;
    static const char *const verbs[] = {"pause", "resume"};
    for (size_t i = 0; i < 2; i++) {
        char *path = alv_format("/v1/shards/2/%s", verbs[i]);
        char *pattern = alv_format("/v1/shards/{n}/%s", verbs[i]);
        alv_http_result result = alv_http_call(NULL, "POST", fixture.nodes[i]->address, path, NULL);
        assert_int_equal(result.status, 200);
        alv_openapi_check(fixture.description, &result, "POST", pattern);
        get("/v1/shards", "/v1/shards", 200);
        alv_http_result_done(&result);
        alv_free(path);
        alv_free(pattern);
    }
    fixture.cluster.passed = true;
}

static int start_fixture(void **state)
{
    (void)state;
    static const char *const settings[] = {"lanes=1", "shards=4", "node.roles=seed,shard", NULL};
    alv_cluster_open(&fixture.cluster, "openapi");
    for (int i = 0; i < 2; i++) {
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
        alv_cluster_start_node(fixture.nodes[i], settings);
    }
    for (int i = 0; i < 2; i++)
        alv_cluster_wait_ready(fixture.nodes[i]);
    int status = 0;
    fixture.description = alv_cluster_http(fixture.nodes[0], "/openapi.json", &status);
    assert_int_equal(status, 200);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    json_decref(fixture.description);
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live__commands_and_entities),
        cmocka_unit_test(live__the_cluster),
        cmocka_unit_test(live__pause_and_resume),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
