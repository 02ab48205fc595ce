/* Goal:   the description at /openapi.json is true and complete: every route is in it and nothing else, and
 *         real answers have the statuses, types and schemas that it promises.
 * Method: the table of routes both ways; real requests to a node over the memory store, each answer checked
 *         against the description by a small checker, which is tested first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "api/routes.h"
#include "base/alloc.h"
#include "tests/support/api_node.h"
#include "tests/support/http_call.h"
#include "tests/support/json_schema.h"
#include "tests/support/openapi_check.h"

#define TOKEN "a-token-of-32-characters-exactly"

static alv_fake_group group;
static alv_api_node node;
static json_t *description;

static bool pause_at_once(void *payload, int32_t shard, bool paused,
                          void (*done)(void *payload, alv_status status), void *done_payload)
{
    alv_api_node *at = payload;
    if (alv_directory_view(at->directory, shard).state != ALV_SHARD_ACTIVE)
        return false;
    alv_directory_set_paused(at->directory, shard, paused);
    done(done_payload, ALV_OK);
    return true;
}

static int open_node(void **state)
{
    (void)state;
    const alv_settings settings = {.node_id = "node-1",
                                   .application_id = "mall",
                                   .node_roles = "seed,shard",
                                   .lanes = 1,
                                   .http_listen = "127.0.0.1:0"};
    alv_fake_group_init(&group);
    node.set_paused = pause_at_once;
    alv_api_node_open_with(&node, &settings, &group);
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS - 1; shard++)
        alv_api_node_activate(&node, shard);
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&node), "/openapi.json", NULL);
    assert_int_equal(result.status, 200);
    description = json_incref(result.json);
    assert_non_null(description);
    alv_http_result_done(&result);
    return 0;
}

static int close_node(void **state)
{
    (void)state;
    json_decref(description);
    alv_api_node_close(&node);
    alv_fake_group_done(&group);
    return 0;
}

/* ---- the checker ----------------------------------------------------------------------------- */

static void expect_schema(const char *schema, const char *value, bool good)
{
    char why[512];
    json_t *rules = json_loads(schema, JSON_DECODE_ANY, NULL);
    json_t *thing = json_loads(value, JSON_DECODE_ANY, NULL);
    assert_non_null(rules);
    assert_non_null(thing);
    if (alv_json_schema_check(rules, rules, thing, why, sizeof why) != good)
        fail_msg("%s against %s: %s", value, schema, good ? why : "was accepted");
    json_decref(rules);
    json_decref(thing);
}

static void schema__finds_what_does_not_fit(void **state)
{
    (void)state;
    expect_schema("{\"type\":\"integer\",\"minimum\":0}", "0", true);
    expect_schema("{\"type\":\"integer\",\"minimum\":0}", "-1", false);
    expect_schema("{\"type\":\"integer\"}", "1.5", false);
    expect_schema("{\"type\":[\"string\",\"null\"]}", "null", true);
    expect_schema("{\"type\":[\"string\",\"null\"]}", "7", false);
    expect_schema("{\"required\":[\"a\"]}", "{\"b\":1}", false);
    expect_schema("{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":1}", false);
    expect_schema("{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"b\":1}",
                  false);
    expect_schema("{\"items\":{\"enum\":[\"x\",null]}}", "[\"x\",null]", true);
    expect_schema("{\"items\":{\"enum\":[\"x\",null]}}", "[\"y\"]", false);
    expect_schema("{\"const\":true}", "false", false);
    expect_schema("{\"minLength\":1}", "\"\"", false);
    expect_schema("{\"oneOf\":[{\"type\":\"string\"},{\"minimum\":3}]}", "2", false);
    expect_schema("{\"$ref\":\"#/d/a~1b\",\"d\":{\"a/b\":{\"const\":1}}}", "1", false); /* "d" */
    expect_schema("{\"pattern\":\"x\"}", "\"x\"", false); /* a keyword that is not known */
}

/* ---- the table of routes --------------------------------------------------------------------- */

static bool is_route(const char *method, const char *pattern)
{
    for (int i = 0; alv_routes_name(i).method != NULL; i++) {
        alv_route_name route = alv_routes_name(i);
        if (strcasecmp(route.method, method) == 0 && strcmp(route.pattern, pattern) == 0)
            return true;
    }
    return false;
}

static void routes__are_described_all_of_them_and_nothing_else(void **state)
{
    (void)state;
    for (int i = 0; alv_routes_name(i).method != NULL; i++) {
        alv_route_name route = alv_routes_name(i);
        if (alv_openapi_operation(description, route.method, route.pattern) == NULL)
            fail_msg("%s %s is not in api/openapi.json", route.method, route.pattern);
    }
    const char *pattern;
    json_t *path;
    json_object_foreach(json_object_get(description, "paths"), pattern, path)
    {
        const char *method;
        json_t *operation;
        json_object_foreach(path, method, operation)
        {
            if (!is_route(method, pattern))
                fail_msg("api/openapi.json describes %s %s, which is no route", method, pattern);
            assert_non_null(json_string_value(json_object_get(operation, "operationId")));
            assert_non_null(json_string_value(json_object_get(operation, "summary")));
        }
    }
}

/* Every "{name}" of a path has a parameter, and every reference leads somewhere. */
static void check_references(const json_t *at)
{
    const char *name;
    json_t *member;
    size_t i;
    const char *reference = json_string_value(json_object_get(at, "$ref"));
    if (reference != NULL && alv_json_schema_resolve(description, reference) == NULL)
        fail_msg("%s does not exist", reference);
    json_object_foreach((json_t *)at, name, member) check_references(member);
    json_array_foreach(at, i, member) check_references(member);
}

static void references__lead_somewhere(void **state)
{
    (void)state;
    check_references(description);
    assert_string_equal(json_string_value(json_object_get(description, "openapi")), "3.1.0");
}

/* ---- answers --------------------------------------------------------------------------------- */

static void expect_as(const char *method, const char *pattern, const char *path, long status,
                      const char *header)
{
    alv_http_result result = alv_http_call(NULL, method, alv_api_node_address(&node), path, header);
    if (result.status != status)
        fail_msg("%s %s: status %ld, expected %ld", method, path, result.status, status);
    alv_openapi_check(description, &result, method, pattern);
    alv_http_result_done(&result);
}

static void expect(const char *method, const char *pattern, const char *path, long status)
{
    expect_as(method, pattern, path, status, NULL);
}

static void answers__of_entities(void **state)
{
    (void)state;
    const char *pattern = "/v1/entities/{key}";
    alv_api_node_put(&node, "7:42", ALV_VIEW("{\"n\":[1,null]}"), 3);
    expect("GET", pattern, "/v1/entities/7:42", 200);
    expect("GET", pattern, "/v1/entities/7:43", 404);
    expect("GET", pattern, "/v1/entities/a%zz", 400);
    expect("GET", pattern, "/v1/entities/7:42?consistency=any", 200);
    expect("GET", "/v1/entities", "/v1/entities?limit=0", 400);
    expect("GET", "/v1/entities", "/v1/entities", 503); /* one shard is nobody's */
    expect("GET", "/v1/local/entities", "/v1/local/entities?shards=7&limit=1", 200);
    alv_api_node_activate(&node, ALV_API_NODE_SHARDS - 1);
    expect("GET", "/v1/entities", "/v1/entities?prefix=7", 200);
    expect_as("GET", pattern, "/v1/entities/7:42", 403, "Host: evil.example");
}

#define HELD                                                                                        \
    "{\"quarantined\":true,\"failures\":3,\"reason\":\"failed\",\"detail\":\"broken\",\"since\":1," \
    "\"offset\":0,\"waiting\":0}"

static void answers__of_quarantined_entities(void **state)
{
    (void)state;
    alv_api_node_activate(&node, ALV_API_NODE_SHARDS - 1);
    alv_api_node_put(&node, "7:42", ALV_VIEW("{}"), 3);
    alv_api_node_quarantine(&node, "7:42", HELD, 4);
    alv_api_node_put(&node, "7:43", ALV_VIEW("{broken"), 5);
    alv_api_node_quarantine(&node, "7:43", HELD, 6);
    expect("GET", "/v1/entities/{key}", "/v1/entities/7:42", 200);
    expect("GET", "/v1/entities/{key}", "/v1/entities/7:43", 500);
    expect("GET", "/v1/quarantine", "/v1/quarantine", 200);
    expect("GET", "/v1/quarantine", "/v1/quarantine?cursor=!", 400);
    expect("GET", "/v1/local/quarantine", "/v1/local/quarantine?shards=f&limit=1", 200);
    expect("POST", "/v1/quarantine/{key}/release", "/v1/quarantine/7:42/release", 503);
    expect("GET", "/v1/shards", "/v1/shards", 200);
    expect("GET", "/v1/dead-letters", "/v1/dead-letters?limit=5", 503); /* no Kafka here */
    expect("GET", "/v1/dead-letters", "/v1/dead-letters?limit=501", 400);
    expect("GET", "/v1/dead-letters", "/v1/dead-letters?shard=4", 400);
    expect("GET", "/v1/dead-letters", "/v1/dead-letters?after=4", 400);
}

static void answers__of_a_stopped_shard(void **state)
{
    (void)state;
    int32_t shard = alv_api_node_shard("7:42");
    alv_directory_set_state(node.directory, shard, 0, ALV_SHARD_RESTORING);
    expect("GET", "/v1/shards", "/v1/shards", 200);
    alv_directory_set_state(node.directory, shard, 0, ALV_SHARD_STOPPED);
    expect("GET", "/v1/entities/{key}", "/v1/entities/7:42", 503);
    expect("GET", "/v1/shards", "/v1/shards", 200);
}

static void answers__about_the_cluster(void **state)
{
    (void)state;
    const alv_fake_lane lanes[] = {
        {.node_id = "node-1", .lane = 0, .shards = {0, 1, -1}},
        {.node_id = "node-2", .address = "127.0.0.1:1", .lane = 0, .shards = {2, 3, -1}},
    };
    alv_directory_set_standby(node.directory, 3, true, false);
    alv_fake_group_say(&group, lanes, 2);
    expect("GET", "/v1/cluster", "/v1/cluster", 200);
    expect("GET", "/v1/shards", "/v1/shards", 200);
    expect("GET", "/v1/node", "/v1/node", 200);
    expect("GET", "/v1/peers", "/v1/peers", 200);
    expect("GET", "/v1/peers/stream", "/v1/peers/stream", 404); /* it watches none */
    node.not_ready = "shard 3 is being restored";
    expect("GET", "/v1/node", "/v1/node", 200);
    expect("GET", "/readyz", "/readyz", 503);
    node.not_ready = NULL;
}

static void answers__to_pause_and_resume(void **state)
{
    (void)state;
    expect("POST", "/v1/shards/{n}/pause", "/v1/shards/0/pause", 200);
    expect("GET", "/v1/shards", "/v1/shards", 200);
    expect("POST", "/v1/shards/{n}/resume", "/v1/shards/0/resume", 200);
    expect("POST", "/v1/shards/{n}/pause", "/v1/shards/99/pause", 404);
    expect("POST", "/v1/shards/{n}/pause", "/v1/shards/3/pause", 503); /* nobody has it */
    expect_as("POST", "/v1/shards/{n}/resume", "/v1/shards/0/resume", 403,
              "Origin: http://evil.example");
}

/* A node without global tables, and one with a table that changes from restoring to restored. */
static void answers__of_global_tables(void **state)
{
    (void)state;
    const char *pattern = "/v1/tables/{table}";
    expect("GET", "/v1/tables", "/v1/tables", 200);
    expect("GET", pattern, "/v1/tables/prices", 404);

    const alv_settings settings = node.settings;
    alv_table_list list;
    assert_int_equal(alv_table_list_parse("prices=shop.prices", &list, NULL), ALV_OK);
    alv_tables *tables = alv_tables_new(&list);
    alv_api_node_close(&node);
    node.tables = tables;
    alv_api_node_open_with(&node, &settings, &group);
    expect("GET", "/v1/tables", "/v1/tables", 200);
    expect("GET", pattern, "/v1/tables/prices", 503);
    expect("GET", "/v1/node", "/v1/node", 200);

    alv_table table = {.topic_id = "an-id", .partition_count = 2, .offsets = {3, 4}};
    alv_table_map_init(&table.rows, 1);
    alv_table_map_put(&table.rows, ALV_VIEW("a/b"), json_pack("{s:i}", "cents", 5), 10);
    alv_table_map_put(&table.rows, ALV_VIEW("\xff"), json_true(), 4);
    alv_tables_publish(tables, &table);
    expect("GET", "/v1/tables", "/v1/tables", 200);
    expect("GET", pattern, "/v1/tables/prices", 200);
    expect("GET", pattern, "/v1/tables/prices?limit=1", 200);
    expect("GET", pattern, "/v1/tables/prices?key=a%2Fb", 200);
    expect("GET", pattern, "/v1/tables/prices?key=b", 404);
    expect("GET", pattern, "/v1/tables/prices?key=b&after=a", 400);
    expect("GET", pattern, "/v1/tables/prices?limit=0", 400);
    expect("GET", "/metrics", "/metrics", 200);
    alv_api_node_close(&node);
    node.tables = NULL;
    alv_table_map_done(&table.rows);
    alv_tables_free(tables);
    alv_api_node_open_with(&node, &settings, &group);
}

static void answers__of_the_node(void **state)
{
    (void)state;
    expect("GET", "/healthz", "/healthz", 200);
    expect("GET", "/readyz", "/readyz", 200);
    expect("GET", "/metrics", "/metrics", 200);
    expect("GET", "/openapi.json", "/openapi.json", 200);
    expect("POST", "/v1/entities/{key}/commands", "/v1/entities/7:42/commands", 411);
    expect("POST", "/v1/replies", "/v1/replies", 411);
    expect("GET", "/v1/watch", "/v1/watch", 400); /* neither key nor prefix nor pattern */
}

/* Whatever asks for credentials says so; what does not is open. */
static void answers__without_credentials(void **state)
{
    (void)state;
    static const alv_settings settings = {.node_id = "node-1",
                                          .application_id = "mall",
                                          .http_auth_token = TOKEN,
                                          .http_listen = "127.0.0.1:0"};
    alv_api_node_close(&node);
    alv_api_node_open_with(&node, &settings, &group);
    for (int i = 0; alv_routes_name(i).method != NULL; i++) {
        alv_route_name route = alv_routes_name(i);
        const json_t *security = json_object_get(
            alv_openapi_operation(description, route.method, route.pattern), "security");
        alv_http_result result =
            alv_http_call(NULL, route.method, alv_api_node_address(&node), route.pattern, NULL);
        bool is_open = json_array_size(security) == 1;
        if ((result.status == 401) == is_open)
            fail_msg("%s %s: status %ld", route.method, route.pattern, result.status);
        alv_openapi_check(description, &result, route.method, route.pattern);
        alv_http_result_done(&result);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_node, close_node)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema__finds_what_does_not_fit),
        TEST(routes__are_described_all_of_them_and_nothing_else),
        TEST(references__lead_somewhere),
        TEST(answers__of_entities),
        TEST(answers__of_quarantined_entities),
        TEST(answers__of_a_stopped_shard),
        TEST(answers__about_the_cluster),
        TEST(answers__to_pause_and_resume),
        TEST(answers__of_global_tables),
        TEST(answers__of_the_node),
        TEST(answers__without_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
