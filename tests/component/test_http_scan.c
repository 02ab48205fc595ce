/* Goal:   a list shows every entity of a prefix once, in key order, whichever nodes have them, or says that it
 *         cannot; standbys answer who takes any state, and nothing older than what was shown.
 * Method: two real nodes in this process over memory stores; half of the shards are here, half there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pthread.h>
#include <cmocka.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "tests/support/api_node.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define ANSWER_MS 20000
#define KEYS 50

static alv_fake_group group;
static alv_api_node here;
static alv_api_node there;
static int64_t position;

static void owners(void)
{
    alv_fake_lane lanes[2] = {{.lane = 0, .shards = {0, 2, -1}}, {.lane = 0, .shards = {1, 3, -1}}};
    const alv_api_node *nodes[] = {&here, &there};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(lanes[i].node_id, sizeof lanes[i].node_id, "%s", nodes[i]->settings.node_id);
        (void)snprintf(lanes[i].address, sizeof lanes[i].address, "%s",
                       alv_api_node_address(nodes[i]));
    }
    alv_fake_group_say(&group, lanes, 2);
}

static int open_nodes(void **state)
{
    (void)state;
    position = 0;
    alv_fake_group_init(&group);
    alv_api_node_open(&here, "node-1", &group);
    alv_api_node_open(&there, "node-2", &group);
    owners();
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS; shard++)
        alv_api_node_activate(shard % 2 == 0 ? &here : &there, shard);
    return 0;
}

static int close_nodes(void **state)
{
    (void)state;
    alv_api_node_close(&here);
    alv_api_node_close(&there);
    alv_fake_group_done(&group);
    return 0;
}

static void put(const char *key, const char *text)
{
    alv_api_node *owner = alv_api_node_shard(key) % 2 == 0 ? &here : &there;
    alv_api_node_put(owner, key, alv_view_of(text), ++position);
}

static void put_many(const char *prefix)
{
    for (int i = 0; i < KEYS; i++) {
        char key[64];
        char text[64];
        (void)snprintf(key, sizeof key, "%s%02d", prefix, i);
        (void)snprintf(text, sizeof text, "{\"n\": %d.50}", i);
        put(key, text);
    }
}

static alv_http_result list(const alv_api_node *node, const char *query)
{
    char *path = alv_format("/v1/entities%s", query);
    alv_http_result result = alv_http_call(NULL, "GET", alv_api_node_address(node), path, NULL);
    alv_free(path);
    return result;
}

static const char *key_at(const alv_http_result *result, size_t index)
{
    const json_t *entities = json_object_get(result->json, "entities");
    const char *key = json_string_value(json_object_get(json_array_get(entities, index), "key"));
    return key != NULL ? key : "";
}

static size_t count_of(const alv_http_result *result)
{
    return json_array_size(json_object_get(result->json, "entities"));
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void scan__shows_all_in_key_order_from_any_node(void **state)
{
    (void)state;
    put_many("7:");
    put_many("8:");
    put_many("transfer/");
    const alv_api_node *nodes[] = {&here, &there};
    for (size_t i = 0; i < 2; i++) {
        alv_http_result result = list(nodes[i], "?prefix=7%3A");
        assert_int_equal(result.status, 200);
        assert_int_equal(count_of(&result), KEYS);
        assert_true(json_is_null(json_object_get(result.json, "cursor")));
        for (int k = 0; k < KEYS; k++) {
            char key[16];
            (void)snprintf(key, sizeof key, "7:%02d", k);
            assert_string_equal(key_at(&result, (size_t)k), key);
        }
        assert_non_null(
            memmem(result.body.data, result.body.size, "{\"n\": 7.50}", 11)); /* as stored */
        alv_http_result_done(&result);
        result = list(nodes[i], "?limit=1000");
        assert_int_equal(count_of(&result), 3 * KEYS);
        alv_http_result_done(&result);
    }
    alv_http_result result = list(&here, "?prefix=transfer/&limit=1");
    const json_t *first = json_array_get(json_object_get(result.json, "entities"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "type")), "transfer");
    assert_int_equal(json_integer_value(json_object_get(first, "shard")),
                     alv_api_node_shard("transfer/00"));
    alv_http_result_done(&result);
}

static void scan__of_nothing_is_empty(void **state)
{
    (void)state;
    alv_http_result result = list(&here, "?prefix=none");
    assert_int_equal(result.status, 200);
    assert_int_equal(count_of(&result), 0);
    assert_true(json_is_null(json_object_get(result.json, "cursor")));
    alv_http_result_done(&result);
}

/* Page by page, from one node and the other in turn, while entities come and go in front and behind. */
static void scan__goes_on_where_it_was(void **state)
{
    (void)state;
    put_many("7:");
    char *query = alv_strdup("?prefix=7:&limit=7");
    int next = 0;
    for (int page = 0; query != NULL; page++) {
        alv_http_result result = list(page % 2 == 0 ? &here : &there, query);
        assert_int_equal(result.status, 200);
        for (size_t i = 0; i < count_of(&result); i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "7:%02d", next++);
            assert_string_equal(key_at(&result, i), key);
        }
        put("7:0", "{}"); /* before all pages but the first */
        const char *cursor = json_string_value(json_object_get(result.json, "cursor"));
        alv_free(query);
        query = cursor != NULL ? alv_format("?prefix=7:&limit=7&cursor=%s", cursor) : NULL;
        alv_http_result_done(&result);
    }
    assert_int_equal(next, KEYS);
}

/* Three states that do not fit into one page: it has those that do, and the rest follows. */
static void scan__large_states_make_short_pages(void **state)
{
    (void)state;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&text, "{\"x\":\"");
    while (text.size < 900 * 1000)
        alv_bytes_append_text(&text, "0123456789");
    alv_bytes_append(&text, "\"}", 3);
    static const char *const keys[] = {"7:a", "7:b", "7:c", "7:d"};
    for (size_t i = 0; i < 4; i++)
        put(keys[i], text.data);
    char *query = alv_strdup("?prefix=7:");
    size_t seen = 0;
    while (query != NULL) {
        alv_http_result result = list(&here, query);
        assert_int_equal(result.status, 200);
        assert_in_range(count_of(&result), 1, 2);
        for (size_t i = 0; i < count_of(&result); i++)
            assert_string_equal(key_at(&result, i), keys[seen++]);
        const char *cursor = json_string_value(json_object_get(result.json, "cursor"));
        alv_free(query);
        query = cursor != NULL ? alv_format("?prefix=7:&cursor=%s", cursor) : NULL;
        alv_http_result_done(&result);
    }
    assert_int_equal(seen, 4);
    alv_bytes_done(&text);
}

static void scan__refuses_what_is_no_list(void **state)
{
    (void)state;
    static const char *const queries[] = {"?limit=0",   "?limit=1001", "?limit=",
                                          "?limit=1x",  "?prefix=%ff", "?cursor=",
                                          "?cursor=!!", "?cursor=MQ",  "?prefix=7:&cursor=MTg6YQ"};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        alv_http_result result = list(&here, queries[i]);
        if (result.status != 400)
            fail_msg("%s: %ld", queries[i], result.status);
        assert_string_equal(result.content_type, "application/problem+json");
        alv_http_result_done(&result);
    }
    static const char *const local[] = {"", "?shards=0", "?shards=xx&limit=1", "?shards=000"};
    for (size_t i = 0; i < 4; i++) {
        char *path = alv_format("/v1/local/entities%s", local[i]);
        alv_http_result result =
            alv_http_call(NULL, "GET", alv_api_node_address(&here), path, NULL);
        assert_true(result.status == 400 || (i == 1 && result.status == 200));
        alv_http_result_done(&result);
        alv_free(path);
    }
}

/* ---- shards that move ------------------------------------------------------------------------ */

static void scan__without_a_shard_is_503(void **state)
{
    (void)state;
    put_many("7:");
    alv_api_node_revoke(&there, 1);
    alv_http_result result = list(&here, "?prefix=7:");
    assert_int_equal(result.status, 503);
    assert_int_equal(result.retry_after_s, ALV_HTTP_RETRY_AFTER_S);
    assert_non_null(strstr(alv_http_result_text(&result, "detail"), "shard 1"));
    assert_true(result.total_ms >= ALV_HTTP_HOLD_MS - 1);
    alv_http_result_done(&result);
    result = alv_http_call(NULL, "GET", alv_api_node_address(&there), "/v1/local/entities?shards=2",
                           NULL);
    assert_int_equal(result.status, 503); /* at once: whoever asks for others waits itself */
    alv_http_result_done(&result);
}

static void *list_in_background(void *payload)
{
    *(alv_http_result *)payload = list(&here, "?prefix=7:");
    return NULL;
}

/* A planned hand-over is no error: the list waits for it. */
static void scan__waits_for_a_shard_that_moves(void **state)
{
    (void)state;
    put_many("7:");
    alv_api_node_revoke(&there, 1);
    alv_http_result result;
    pthread_t thread;
    int asked = alv_fake_group_asked(&group);
    assert_int_equal(pthread_create(&thread, NULL, list_in_background, &result), 0);
    int64_t deadline = alv_wait_deadline(ANSWER_MS);
    while (alv_fake_group_asked(&group) <= asked && !alv_wait_expired(deadline)) {
    }
    alv_api_node_activate(&there, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(result.status, 200);
    assert_int_equal(count_of(&result), KEYS);
    alv_http_result_done(&result);
}

static void scan__ends_with_the_node(void **state)
{
    (void)state;
    alv_api_node_revoke(&there, 1);
    alv_http_result result;
    pthread_t thread;
    int asked = alv_fake_group_asked(&group);
    assert_int_equal(pthread_create(&thread, NULL, list_in_background, &result), 0);
    int64_t deadline = alv_wait_deadline(ANSWER_MS);
    while (alv_fake_group_asked(&group) <= asked && !alv_wait_expired(deadline)) {
    }
    alv_api_node_stop(&here);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(result.status, 503);
    alv_http_result_done(&result);
}

/* ---- standbys -------------------------------------------------------------------------------- */

#define KEY "7:42"
#define PATH "/v1/entities/" KEY

/* The shard of KEY is there; this node keeps a replica, as it was at `at`. */
static int32_t keep_replica(const char *text, int64_t at)
{
    int32_t shard = alv_api_node_shard(KEY);
    alv_position none;
    if (alv_directory_view(here.directory, shard).state == ALV_SHARD_ACTIVE) {
        alv_api_node_revoke(&here, shard);
        alv_api_node_activate(&there, shard);
        alv_fake_lane lane = {.node_id = "node-2", .lane = 0, .shards = {0, 1, 2, 3, -1}};
        (void)snprintf(lane.address, sizeof lane.address, "%s", alv_api_node_address(&there));
        alv_fake_group_say(&group, &lane, 1);
    }
    assert_int_equal(here.store->ops->open_shard(here.store, shard, &none, NULL), ALV_OK);
    alv_api_node_put(&here, KEY, alv_view_of(text), at);
    alv_directory_set_standby(here.directory, shard, true, true);
    return shard;
}

static void expect_from(const char *query, const char *source, json_int_t n)
{
    char *path = alv_format(PATH "%s", query);
    alv_http_result result = alv_http_call(NULL, "GET", alv_api_node_address(&here), path, NULL);
    assert_int_equal(result.status, 200);
    assert_string_equal(alv_http_result_text(&result, "source"), source);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(result.json, "state"), "n")), n);
    assert_non_null(json_object_get(result.json, "lag"));
    alv_http_result_done(&result);
    alv_free(path);
}

static void any__is_answered_by_a_hot_standby(void **state)
{
    (void)state;
    int32_t shard = keep_replica("{\"n\":1}", 10);
    alv_api_node_put(&there, KEY, ALV_VIEW("{\"n\":2}"), 20);
    expect_from("?consistency=any", "standby", 1);
    expect_from("?consistency=owner", "owner", 2);
    alv_directory_set_standby(here.directory, shard, true, false); /* it catches up */
    expect_from("?consistency=any", "owner", 2);
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&here), PATH "?consistency=some", NULL);
    assert_int_equal(result.status, 400);
    alv_http_result_done(&result);
}

/* ---- quarantine ------------------------------------------------------------------------------ */

#define HELD_REST "\"failures\":3,\"reason\":\"failed\",\"waiting\":2}"
#define HELD "{\"quarantined\":true," HELD_REST
#define COUNTED "{\"quarantined\":false," HELD_REST

static void set_aside(const char *key, const char *record)
{
    alv_api_node *owner = alv_api_node_shard(key) % 2 == 0 ? &here : &there;
    alv_api_node_quarantine(owner, key, record, ++position);
}

static void expect_quarantined(const char *query, const char *expected)
{
    const alv_api_node *nodes[] = {&here, &there};
    for (size_t i = 0; i < 2; i++) {
        char got[512] = "";
        size_t index = 0;
        json_t *item = NULL;
        char *path = alv_format("/v1/quarantine%s", query);
        alv_http_result result =
            alv_http_call(NULL, "GET", alv_api_node_address(nodes[i]), path, NULL);
        assert_int_equal(result.status, 200);
        json_array_foreach(json_object_get(result.json, "quarantined"), index, item)
        {
            size_t at = strlen(got);
            (void)snprintf(got + at, sizeof got - at, "%s ",
                           json_string_value(json_object_get(item, "key")));
            assert_int_equal(
                json_integer_value(json_object_get(json_object_get(item, "quarantine"), "waiting")),
                2);
        }
        assert_string_equal(got, expected);
        bool more = json_is_string(json_object_get(result.json, "cursor"));
        assert_int_equal(more, strstr(query, "limit=1") != NULL);
        alv_http_result_done(&result);
        alv_free(path);
    }
}

static void quarantine__is_listed_by_any_node(void **state)
{
    (void)state;
    expect_quarantined("", "");
    put_many("7:");
    for (int i = 0; i < 8; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "7:%02d", i);
        set_aside(key, i == 3 ? COUNTED : HELD);
    }
    set_aside("8:1", HELD);
    expect_quarantined("", "7:00 7:01 7:02 7:04 7:05 7:06 7:07 8:1 ");
    expect_quarantined("?prefix=8", "8:1 ");
    expect_quarantined("?prefix=7%3A0&limit=1", "7:00 ");
    alv_http_result first =
        alv_http_call(NULL, "GET", alv_api_node_address(&here), "/v1/quarantine?limit=3", NULL);
    char *query = alv_format("?cursor=%s", alv_http_result_text(&first, "cursor"));
    expect_quarantined(query, "7:04 7:05 7:06 7:07 8:1 ");
    alv_free(query);
    alv_http_result_done(&first);
}

static void expect_entity(const char *path, int status, bool quarantined)
{
    const alv_api_node *nodes[] = {&here, &there};
    for (size_t i = 0; i < 2; i++) {
        alv_http_result result =
            alv_http_call(NULL, "GET", alv_api_node_address(nodes[i]), path, NULL);
        const char *detail = json_string_value(json_object_get(result.json, "detail"));
        bool says = json_object_get(result.json, "quarantine") != NULL ||
                    (detail != NULL && strstr(detail, "quarantined") != NULL);
        assert_int_equal(result.status, status);
        assert_int_equal(says, quarantined);
        alv_http_result_done(&result);
    }
}

static void quarantine__is_told_with_the_entity(void **state)
{
    (void)state;
    put("7:1", "{\"n\":1}");
    set_aside("7:1", HELD);
    put("7:2", "{\"n\":");
    set_aside("7:2", HELD);
    put("7:3", "{\"n\":1}");
    set_aside("7:3", COUNTED);
    set_aside("7:4", HELD);
    expect_entity("/v1/entities/7:1", 200, true);
    expect_entity("/v1/entities/7:2", 500, true);
    expect_entity("/v1/entities/7:3", 200, false);
    expect_entity("/v1/entities/7:4", 404, true);
    expect_entity("/v1/entities/7:5", 404, false);
}

static void quarantine__is_told_by_a_standby(void **state)
{
    (void)state;
    int32_t shard = keep_replica("{\"n\":1}", 10);
    alv_api_node_quarantine(&here, KEY, HELD, 11);
    alv_directory_set_quarantined(here.directory, shard, 0); /* which it does not count */
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&here), PATH "?consistency=any", NULL);
    assert_string_equal(alv_http_result_text(&result, "source"), "standby");
    assert_non_null(json_object_get(result.json, "quarantine"));
    alv_http_result_done(&result);
}

/* ---- what was shown -------------------------------------------------------------------------- */

/* I4: once the owner's state was shown here, the replica's older one is not; when it has caught up it is. */
static void any__never_goes_back(void **state)
{
    (void)state;
    (void)keep_replica("{\"n\":1}", 10);
    alv_api_node_put(&there, KEY, ALV_VIEW("{\"n\":2}"), 20);
    expect_from("", "owner", 2);
    expect_from("?consistency=any", "owner", 2);
    (void)keep_replica("{\"n\":3}", 30);
    expect_from("?consistency=any", "standby", 3);
}

/* I4: a former owner that does not know that it is one has an old state. Whoever has seen a newer one here
 * does not get it. */
static void floor__an_old_owner_is_not_believed(void **state)
{
    (void)state;
    (void)keep_replica("{\"n\":1}", 10);
    alv_api_node_put(&there, KEY, ALV_VIEW("{\"n\":2}"), 20);
    expect_from("", "owner", 2);
    int32_t shard = alv_api_node_shard(KEY);
    alv_directory_set_standby(here.directory, shard, false, false);
    alv_api_node_revoke(&there, shard);
    alv_api_node_activate(&here, shard); /* so it thinks, at position 10 */
    alv_http_result result = alv_http_call(NULL, "GET", alv_api_node_address(&here), PATH, NULL);
    assert_int_equal(result.status, 503);
    alv_http_result_done(&result);
    result = list(&here, "?prefix=7:");
    assert_int_equal(result.status, 503);
    alv_http_result_done(&result);
    alv_api_node_put(&here, KEY, ALV_VIEW("{\"n\":3}"), 21);
    expect_from("", "owner", 3);
}

#define NODES_TEST(test) cmocka_unit_test_setup_teardown(test, open_nodes, close_nodes)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        NODES_TEST(scan__shows_all_in_key_order_from_any_node),
        NODES_TEST(scan__of_nothing_is_empty),
        NODES_TEST(scan__goes_on_where_it_was),
        NODES_TEST(scan__large_states_make_short_pages),
        NODES_TEST(scan__refuses_what_is_no_list),
        NODES_TEST(scan__without_a_shard_is_503),
        NODES_TEST(scan__waits_for_a_shard_that_moves),
        NODES_TEST(scan__ends_with_the_node),
        NODES_TEST(any__is_answered_by_a_hot_standby),
        NODES_TEST(quarantine__is_listed_by_any_node),
        NODES_TEST(quarantine__is_told_with_the_entity),
        NODES_TEST(quarantine__is_told_by_a_standby),
        NODES_TEST(any__never_goes_back),
        NODES_TEST(floor__an_old_owner_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
