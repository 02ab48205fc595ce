/* Goal:   a node answers for the types of its libraries like for its own, tells which they are, and does not start
 *         with one that it would not trust or understand; `alluvium behavior check` says the same beforehand.
 * Method: the shared objects of tests/plugins, through the program as a person runs it. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "include/alluvium/behavior.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/plugin.h"
#include "tests/support/wait.h"

#define RETRY_MS 30000

static struct {
    alv_cluster cluster;
    int tests_passed;
} fixture;

#define RUN(...) alv_cluster_run(&fixture.cluster, NULL, (const char *const[]){__VA_ARGS__, NULL})

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, text);
    }
}

/* ---- alluvium behavior check ------------------------------------------------------------------- */

static void check__lists_what_a_library_offers(void **state)
{
    (void)state;
    char *path = alv_plugin_path("tally");
    alv_cluster_result result = RUN("behavior", "check", path);
    assert_int_equal(result.exit_status, 0);
    assert_has(result.out, "tally 1.2.3\n\ntally, state version 1\n");
    assert_has(result.out, "add                     by positive, why text (optional)\n");
    assert_has(result.out, "job tally/all: clear every 86400000 ms\n");
    assert_has(result.out, "\ntests\n  ok    adds\n  ok    is right\n");
    alv_cluster_result_done(&result);

    result = RUN("behavior", "check", path, "--json");
    assert_int_equal(result.exit_status, 0);
    json_t *said = json_loads(result.out, 0, NULL);
    json_t *expected = json_pack(
        "{s:s, s:s, s:s, s:i, s:[{s:s, s:i, s:[{s:s, s:[{s:s, s:s, s:b}, {s:s, s:s, s:b}]}, {s:s, s:[]}],"
        " s:[{s:s, s:s, s:i}], s:i}], s:[{s:s, s:b, s:s}, {s:s, s:b, s:s}]}",
        "library", path, "name", "tally", "version", "1.2.3", "abi", (int)ALV_BEHAVIOR_ABI,
        "behaviors", "type", "tally", "stateVersion", 1, "commands", "name", "add", "fields",
        "name", "by", "kind", "positive", "optional", 0, "name", "why", "kind", "text", "optional",
        1, "name", "clear", "fields", "singletons", "id", "all", "command", "clear", "everyMs",
        86400000, "expireAfterMs", 0, "tests", "name", "adds", "passed", 1, "report", "", "name",
        "is right", "passed", 1, "report", "");
    assert_non_null(expected);
    if (!json_equal(said, expected)) {
        fail_msg("not as expected:\n%s", result.out);
    }
    json_decref(expected);
    json_decref(said);
    alv_cluster_result_done(&result);
    alv_free(path);
    fixture.tests_passed++;
}

/* The library finds itself wrong when it is told to. */
static void check__fails_with_the_report_of_a_test(void **state)
{
    (void)state;
    char *path = alv_plugin_path("tally");
    assert_int_equal(setenv("TALLY_WRONG", "1", 1), 0);
    alv_cluster_result result = RUN("behavior", "check", path);
    assert_int_equal(unsetenv("TALLY_WRONG"), 0);
    assert_int_equal(result.exit_status, 1);
    assert_has(result.out, "  ok    adds\n  FAIL  is right\n        ");
    assert_has(result.out, "state of tally/1 after {\"type\":\"add\",\"by\":3}\n"
                           "            count: expected 2, is 3\n");
    assert_has(result.err, "1 of 2 tests failed");
    alv_cluster_result_done(&result);
    alv_free(path);
    fixture.tests_passed++;
}

/* Those of the installed headers are in the program, and in the test kit. */
static void check__finds_every_function(void **state)
{
    (void)state;
    char *path = alv_plugin_path("every_function");
    alv_cluster_result result = RUN("behavior", "check", path);
    if (result.exit_status != 0) {
        fail_msg("%s", result.err);
    }
    alv_cluster_result_done(&result);

    char *kit = alv_plugin_test_kit();
    assert_non_null(dlopen(kit, RTLD_NOW | RTLD_GLOBAL));
    if (dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL) {
        fail_msg("%s", dlerror());
    }
    alv_free(kit);
    alv_free(path);
    fixture.tests_passed++;
}

static void check__says_what_a_node_would_refuse(void **state)
{
    (void)state;
    char *path = alv_plugin_path("other_abi");
    alv_cluster_result result = RUN("behavior", "check", path);
    assert_int_equal(result.exit_status, 1);
    assert_string_equal(result.out, "");
    assert_has(result.err, "compile it again with the header of this version");
    alv_cluster_result_done(&result);
    alv_free(path);

    result = RUN("behavior", "check", "/nowhere.so");
    assert_int_equal(result.exit_status, 1);
    assert_has(result.err, "/nowhere.so: No such file");
    alv_cluster_result_done(&result);
    result = RUN("behavior", "check");
    assert_int_equal(result.exit_status, 2);
    alv_cluster_result_done(&result);
    result = RUN("behavior", "list", "x.so");
    assert_int_equal(result.exit_status, 2);
    assert_has(result.err, "there is check");
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* ---- a node -------------------------------------------------------------------------------------- */

static void node__does_not_start_with_a_library_it_would_not_trust(void **state)
{
    (void)state;
    alv_cluster_result result =
        RUN("node", "-c", fixture.cluster.config_path, "-X", "behavior.libraries=tests/tally.so");
    assert_int_equal(result.exit_status, 1);
    assert_has(result.err, "library tests/tally.so: write its whole path");
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* The item of `type` in what the node says of itself. */
static void assert_node_tells(const alv_cluster_node *node, const char *type, const char *version,
                              int state_version, const char *library)
{
    int status = 0;
    json_t *view = alv_cluster_http(node, "/v1/node", &status);
    json_t *expected = json_pack("{s:s, s:s, s:i, s:s?}", "type", type, "version", version,
                                 "stateVersion", state_version, "library", library);
    bool found = false;
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(view, "behaviors"), index, item)
    {
        found = found || json_equal(item, expected);
    }
    json_decref(expected);
    json_decref(view);
    assert_int_equal(status, 200);
    assert_true(found);
}

static void node__answers_for_the_types_of_its_libraries(void **state)
{
    (void)state;
    char *path = alv_plugin_path("tally");
    char *setting = alv_format("behavior.libraries= %s ,", path);
    alv_cluster_node *node = alv_cluster_add_node(&fixture.cluster);
    alv_cluster_start_node(node, (const char *const[]){setting, "lanes=1", "shards=4",
                                                       "behavior.default=tally", NULL});
    alv_cluster_wait_ready(node);
    assert_node_tells(node, "tally", "1.2.3", 1, path);
    assert_node_tells(node, "user", ALV_VERSION, 1, NULL);

    const char *config = fixture.cluster.config_path;
    alv_cluster_result result = RUN("send", "-c", config, "--node", node->address, "--wait",
                                    "tally/1", "{\"type\":\"add\",\"by\":3}");
    assert_int_equal(result.exit_status, 0);
    assert_has(result.out, "\"count\":3");
    alv_cluster_result_done(&result);

    json_t *keys = json_pack("[s]", "tally/1");
    json_t *expected = json_pack("{s:{s:i}}", "tally/1", "count", 3);
    json_t *states = alv_cluster_http_states(node, keys);
    alv_cluster_assert_states(states, expected, "http");
    json_decref(states);
    json_decref(expected);
    json_decref(keys);
    alv_cluster_stop_node(node);
    alv_free(setting);
    alv_free(path);
    fixture.tests_passed++;
}

/* ---- a library that has changed ------------------------------------------------------------------ */

/* Runs the node with a library until it is ready. */
static void start_with(alv_cluster_node *node, const char *plugin)
{
    char *path = alv_plugin_path(plugin);
    char *setting = alv_format("behavior.libraries=%s", path);
    alv_cluster_start_node(node, (const char *const[]){setting, "lanes=1", "shards=4", NULL});
    alv_cluster_wait_ready(node);
    alv_free(setting);
    alv_free(path);
}

static alv_cluster_result send_add(const alv_cluster_node *node, const char *key, int by)
{
    char *command = alv_format("{\"type\":\"add\",\"by\":%d}", by);
    alv_cluster_result result = RUN("send", "-c", fixture.cluster.config_path, "--node",
                                    node->address, "--wait", key, command);
    alv_free(command);
    return result;
}

static void assert_state(const alv_cluster_node *node, const char *key, json_t *expected)
{
    json_t *keys = json_pack("[s]", key);
    json_t *all = json_pack("{s:o}", key, expected);
    json_t *states = alv_cluster_http_states(node, keys);
    alv_cluster_assert_states(states, all, "http");
    json_decref(states);
    states = alv_cluster_changelog_states(&fixture.cluster);
    if (!json_equal(json_object_get(states, key), expected)) {
        fail_msg("the changelog has another state of %s", key);
    }
    json_decref(states);
    json_decref(all);
    json_decref(keys);
}

static void assert_replies(alv_cluster_result result, int status, const char *text)
{
    if (result.exit_status != status) {
        fail_msg("exit status %d: %s%s", result.exit_status, result.out, result.err);
    }
    assert_has(status == 0 ? result.out : result.err, text);
    alv_cluster_result_done(&result);
}

static bool is_retried(void *payload)
{
    int status = 0;
    json_t *entity = alv_cluster_http(payload, "/v1/entities/tally%2Fa", &status);
    json_t *total = json_object_get(json_object_get(entity, "state"), "total");
    bool is_there = json_integer_value(total) == 7;
    json_decref(entity);
    return is_there;
}

static void node__migrates_what_an_older_library_left(void **state)
{
    (void)state;
    alv_cluster_node *node = alv_cluster_add_node(&fixture.cluster);
    start_with(node, "tally");
    assert_replies(send_add(node, "tally/a", 3), 0, "\"count\":3");
    assert_replies(send_add(node, "tally/b", 4), 0, "\"count\":4");
    alv_cluster_stop_node(node);

    start_with(node, "tally_v2");
    assert_state(node, "tally/a", json_pack("{s:i}", "count", 3)); /* nobody has asked for it yet */
    assert_replies(send_add(node, "tally/a", 3), 0, "\"total\":6");
    assert_state(node, "tally/a", json_pack("{s:i, s:i}", "$version", 2, "total", 6));
    assert_state(node, "tally/b", json_pack("{s:i}", "count", 4));
    alv_cluster_stop_node(node);

    /* And back: what was not changed meanwhile goes on. */
    start_with(node, "tally");
    assert_replies(send_add(node, "tally/b", 1), 0, "\"count\":5");
    assert_replies(send_add(node, "tally/a", 1), 1, "of version 2, this behavior knows 1 to 1");
    alv_cluster_stop_node(node);
    assert_replies(RUN("dead-letters", "list", "-c", fixture.cluster.config_path), 0,
                   "state-version");

    start_with(node, "tally_v2");
    assert_replies(RUN("dead-letters", "retry", "--all", "-c", fixture.cluster.config_path), 0,
                   "1");
    assert_true(alv_wait_until(is_retried, node, RETRY_MS));
    assert_state(node, "tally/a", json_pack("{s:i, s:i}", "$version", 2, "total", 7));
    alv_cluster_stop_node(node);
    fixture.tests_passed++;
}

static int set_up(void **state)
{
    (void)state;
    alv_cluster_open(&fixture.cluster, "libraries");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture.cluster.passed = fixture.tests_passed == 7;
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check__lists_what_a_library_offers),
        cmocka_unit_test(check__fails_with_the_report_of_a_test),
        cmocka_unit_test(check__finds_every_function),
        cmocka_unit_test(check__says_what_a_node_would_refuse),
        cmocka_unit_test(node__does_not_start_with_a_library_it_would_not_trust),
        cmocka_unit_test(node__answers_for_the_types_of_its_libraries),
        cmocka_unit_test(node__migrates_what_an_older_library_left),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
