/* Goal:   watchers of any node are told every committed change of what they watch, once and in order,
 *         also across lost connections; ids that cannot be resumed say so.
 * Method: a real changelog that the test writes in transactions, and nodes of this process that are
 *         nothing but their API. What watchers heard is compared with the topic as plain librdkafka
 *         reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/watch_id.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "tests/support/http_call.h"
#include "tests/support/watch_world.h"

/* ---- what is told ---------------------------------------------------------------------------- */

static void watch__tells_what_was_committed_and_nothing_else(void **state)
{
    (void)state;
    alv_test_watcher all, one, some;
    alv_test_watcher_open(&all, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX, "");
    alv_test_watcher_open(&one, &alv_world.room, alv_watch_world_address(1), ALV_WATCH_KEY,
                          "m:ada");
    alv_test_watcher_open(&some, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PATTERN,
                          "*[ab]?a");
    alv_watch_world_write("m:ada", "{\"n\":1}");
    alv_watch_world_begin(alv_world.producer);
    alv_watch_world_put(alv_world.producer, "m:ada", "{\"n\":2}"); /* aborted */
    assert_int_equal(alv_world.producer->ops->flush(alv_world.producer, NULL), ALV_OK);
    assert_int_equal(alv_world.producer->ops->abort(alv_world.producer, NULL), ALV_OK);
    alv_watch_world_begin(alv_world.producer);
    alv_watch_world_put(alv_world.producer, "m:ada", "{\"n\":3}"); /* open for now */
    assert_int_equal(alv_world.producer->ops->flush(alv_world.producer, NULL), ALV_OK);
    assert_int_not_equal(alv_api_node_shard("m:ada"), alv_api_node_shard("m:carl"));
    alv_watch_world_begin(alv_world.other);
    alv_watch_world_put(alv_world.other, "m:carl", "{}");
    alv_watch_world_commit(alv_world.other);
    alv_test_watcher_wait_heard(&all, 2);
    alv_test_watcher_expect_story(&all, "m:ada {\"n\":1};m:carl {};");
    alv_watch_world_commit(alv_world.producer);
    alv_test_watcher_wait_heard(&all, 3);
    alv_watch_world_write("m:ada", NULL);
    alv_test_watcher_wait_heard(&all, 4);
    alv_test_watcher_wait_heard(&one, 3);
    alv_test_watcher_wait_heard(&some, 3);
    alv_test_watcher_expect_story(&all, "m:ada {\"n\":1};m:carl {};m:ada {\"n\":3};m:ada null;");
    alv_test_watcher_expect_story(&one, "m:ada {\"n\":1};m:ada {\"n\":3};m:ada null;");
    alv_test_watcher_expect_story(&some, "m:ada {\"n\":1};m:ada {\"n\":3};m:ada null;");
    alv_test_watcher_done(&all);
    alv_test_watcher_done(&one);
    alv_test_watcher_done(&some);
}

static void watch__keys_and_states_of_any_kind(void **state)
{
    (void)state;
    alv_test_watcher all, odd;
    alv_test_watcher_open(&all, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX, "");
    alv_test_watcher_init(&odd, &alv_world.room, ALV_WATCH_KEY, "");
    (void)snprintf(odd.path, sizeof odd.path, "/v1/watch?key=a%%20%%22b%%5C%%2B%%C3%%BC%%26%%0A");
    alv_test_watcher_enter(&odd, alv_watch_world_address(0));
    alv_watch_world_write("a \"b\\+\xc3\xbc&\n", "{\"text\":\"\\n \xc3\xa4\"}");
    alv_watch_world_write("plain", "{\n  \"n\": 1\r\n}"); /* somebody else's way to write it */
    alv_test_watcher_wait_heard(&all, 2);
    alv_test_watcher_wait_heard(&odd, 1);
    alv_test_watcher_expect_story(
        &all, "a \"b\\+\xc3\xbc&\n {\"text\":\"\\n \xc3\xa4\"};plain {\"n\":1};");
    alv_test_watcher_done(&all);
    alv_test_watcher_done(&odd);
}

static void watch__of_a_shard_begins_where_it_ends(void **state)
{
    (void)state;
    alv_test_watcher other, early, late;
    /* Committed before anybody watches on this node. What the writer knows to be committed, the log may not
     * show yet; what another node tells, it does. */
    alv_test_watcher_open(&other, &alv_world.room, alv_watch_world_address(1), ALV_WATCH_KEY,
                          "m:ada");
    alv_watch_world_write("m:ada", "{\"n\":1}");
    alv_test_watcher_wait_heard(&other, 1);
    alv_test_watcher_done(&other);
    alv_test_watcher_open(&early, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "m:ada");
    alv_watch_world_write("m:ada", "{\"n\":2}");
    alv_test_watcher_wait_heard(&early, 1);
    alv_test_watcher_open(&late, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX,
                          "m:");
    alv_watch_world_write("m:ada", "{\"n\":3}");
    alv_test_watcher_wait_heard(&early, 2);
    alv_test_watcher_wait_heard(&late, 1);
    alv_test_watcher_expect_story(&early, "m:ada {\"n\":2};m:ada {\"n\":3};");
    alv_test_watcher_expect_story(&late, "m:ada {\"n\":3};");
    alv_test_watcher_done(&early);
    alv_test_watcher_done(&late);
}

/* ---- resuming -------------------------------------------------------------------------------- */

#define STEPS 12

/* From every id on, on the other node, exactly the rest is told. */
static void resume__from_every_id(void **state)
{
    (void)state;
    alv_test_watcher first;
    char *ids[STEPS + 1];
    alv_test_watcher_open(&first, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX,
                          "");
    ids[0] = alv_strdup(first.sse->last_id);
    for (int i = 0; i < STEPS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "m:%d", i % 5);
        alv_watch_world_write(key, i % 4 == 3 ? NULL : "{\"n\":1}");
        alv_test_watcher_wait_heard(&first, i + 1);
        ids[i + 1] = alv_strdup(first.sse->last_id);
        assert_string_not_equal(ids[i + 1], ids[i]);
    }
    for (int i = 0; i <= STEPS; i++) {
        alv_test_watcher again;
        alv_test_watcher_init(&again, &alv_world.room, ALV_WATCH_PREFIX, "");
        alv_free(again.last_id);
        again.last_id = ids[i];
        alv_test_watcher_come(&again, alv_watch_world_address(1));
        alv_test_watcher_wait_heard(&again, STEPS - i);
        assert_int_equal(again.resets, 0);
        alv_watch_place rest[STEPS]; /* between shards, the order is any */
        memcpy(rest, &first.heard[i], (size_t)(STEPS - i) * sizeof rest[0]);
        qsort(rest, (size_t)(STEPS - i), sizeof rest[0], alv_watch_place_compare);
        qsort(again.heard, (size_t)(STEPS - i), sizeof rest[0], alv_watch_place_compare);
        for (int k = 0; k < STEPS - i; k++)
            assert_int_equal(alv_watch_place_compare(&again.heard[k], &rest[k]), 0);
        alv_test_watcher_done(&again);
    }
    alv_test_watcher_done(&first);
}

/* An id of all shards serves the watch of a key; the parameter is as good as the header, and the
 * header wins. */
static void resume__by_parameter_and_by_header(void **state)
{
    (void)state;
    alv_test_watcher all, one;
    alv_test_watcher_open(&all, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX, "");
    char *old = alv_strdup(all.sse->last_id);
    alv_watch_world_write("m:ada", "{\"n\":1}");
    alv_test_watcher_wait_heard(&all, 1);
    alv_watch_world_write("m:ada", "{\"n\":2}");
    alv_test_watcher_wait_heard(&all, 2);
    alv_test_watcher_init(&one, &alv_world.room, ALV_WATCH_KEY, "m:ada");
    (void)snprintf(one.path, sizeof one.path, "/v1/watch?key=m:ada&last_event_id=%s", old);
    alv_test_watcher_come(&one, alv_watch_world_address(1));
    alv_test_watcher_wait_heard(&one, 2);
    alv_test_watcher_leave(&one); /* with the second id */
    alv_watch_world_write("m:ada", "{\"n\":3}");
    alv_test_watcher_come(
        &one,
        alv_watch_world_address(0)); /* the old id still in the URL, the new one in the header */
    alv_test_watcher_wait_heard(&one, 3);
    alv_test_watcher_expect_story(&one, "m:ada {\"n\":1};m:ada {\"n\":2};m:ada {\"n\":3};");
    alv_free(old);
    alv_test_watcher_done(&one);
    alv_test_watcher_done(&all);
}

#define HOPPERS 24
#define HOPPER_KEYS 20
#define HOP_ROUNDS 400

static void hop_write(void)
{
    alv_watch_world_begin(alv_world.producer);
    for (int i = rand() % 4; i >= 0; i--) {
        char key[16];
        char value[48];
        (void)snprintf(key, sizeof key, "m:%d", rand() % HOPPER_KEYS);
        (void)snprintf(value, sizeof value, "{\"n\":%d}", rand());
        alv_watch_world_put(alv_world.producer, key, rand() % 8 == 0 ? NULL : value);
    }
    if (rand() % 8 != 0)
        alv_watch_world_commit(alv_world.producer);
    else if (alv_world.producer->ops->abort(alv_world.producer, NULL) != ALV_OK)
        assert_int_equal(alv_world.producer->ops->renew(alv_world.producer, NULL), ALV_OK);
}

/* Connections break at any moment, and come back later, here or there, while changes go on. */
static void resume__across_nodes_while_changes_go_on(void **state)
{
    (void)state;
    static alv_test_watcher hoppers[HOPPERS];
    unsigned seed = (unsigned)alv_now_ms(alv_clock_system());
    if (getenv("ALLUVIUM_TEST_SEED") != NULL)
        seed = (unsigned)strtoul(getenv("ALLUVIUM_TEST_SEED"), NULL, 10);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < HOPPERS; i++) {
        char text[16];
        (void)snprintf(text, sizeof text,
                       i % 3 == 0   ? "m:%d"
                       : i % 3 == 1 ? "m:1"
                                    : "m:*[%d-9]",
                       i % 8);
        alv_test_watcher_open(&hoppers[i], &alv_world.room,
                              alv_watch_world_address(i % ALV_WATCH_WORLD_NODES),
                              (alv_watch_kind)(i % 3), i == 1 ? "" : text);
        hoppers[i].tells = false;
    }
    for (int round = 0; round < HOP_ROUNDS; round++) {
        hop_write();
        for (int i = 0; i < HOPPERS; i++) {
            if (hoppers[i].sse == NULL && rand() % 8 == 0)
                alv_test_watcher_come(&hoppers[i],
                                      alv_watch_world_address(rand() % ALV_WATCH_WORLD_NODES));
            else if (hoppers[i].sse != NULL && rand() % 16 == 0)
                alv_test_watcher_leave(&hoppers[i]);
        }
        alv_sse_turn(alv_world.room.set, 1);
    }
    int heard_count = 0;
    for (int i = 0; i < HOPPERS; i++) {
        if (hoppers[i].sse == NULL)
            alv_test_watcher_come(&hoppers[i],
                                  alv_watch_world_address(rand() % ALV_WATCH_WORLD_NODES));
        alv_test_watcher_expect_all(&hoppers[i]);
        assert_int_equal(hoppers[i].resets, 0);
        heard_count += hoppers[i].count;
        alv_test_watcher_done(&hoppers[i]);
    }
    print_message("%d changes heard by %d watchers\n", heard_count, HOPPERS);
    assert_true(heard_count > HOPPERS);
}

/* Those who catch up with much do not keep those in step waiting, and miss nothing. */
static void resume__of_much_beside_those_in_step(void **state)
{
    (void)state;
    enum {
        MANY = 15000
    };
    alv_test_watcher behind, live;
    alv_test_watcher_open(&behind, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX,
                          "");
    behind.tells = false;
    alv_test_watcher_leave(&behind);
    for (int i = 0; i < MANY;) {
        alv_watch_world_begin(alv_world.producer);
        for (int k = 0; k < 1000; k++, i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "m:%d", i % 997);
            alv_watch_world_put(alv_world.producer, key,
                                "{\"text\":\"0123456789012345678901234567890123456789\"}");
        }
        alv_watch_world_commit(alv_world.producer);
    }
    alv_test_watcher_open(&live, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "x:live");
    alv_test_watcher_come(&behind, alv_watch_world_address(0));
    alv_watch_world_write("x:live", "{}");
    alv_test_watcher_wait_heard(&live, 1);
    alv_test_watcher_expect_all(&behind);
    assert_int_equal(behind.count, MANY + 1);
    alv_watch_world_write("m:1", "{}");
    alv_test_watcher_wait_heard(&behind, MANY + 2);
    alv_test_watcher_done(&behind);
    alv_test_watcher_done(&live);
}

/* ---- ids that cannot be resumed -------------------------------------------------------------- */

static void expect_refused(const char *path, const char *id, const char *part)
{
    char *header = id != NULL ? alv_format("Last-Event-ID: %s", id) : NULL;
    alv_http_result result = alv_http_call(NULL, "GET", alv_watch_world_address(0), path, header);
    assert_int_equal(result.status, 400);
    assert_string_equal(result.content_type, "application/problem+json");
    if (strstr(alv_http_result_text(&result, "detail"), part) == NULL)
        fail_msg("%s: \"%s\"", path, alv_http_result_text(&result, "detail"));
    alv_http_result_done(&result);
    alv_free(header);
}

static char *make_id(const char *topic_id, int64_t as_of_s, int64_t offset)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    int64_t offsets[ALV_API_NODE_SHARDS] = {offset, offset, offset, offset};
    const alv_watch_id id = {.changelog = alv_watch_id_changelog(topic_id),
                             .as_of_s = as_of_s,
                             .shard_count = ALV_API_NODE_SHARDS,
                             .shard = -1,
                             .offsets = offsets};
    alv_watch_id_encode(&id, &text);
    alv_bytes_append(&text, "", 1);
    return text.data;
}

static void request__that_is_wrong_is_refused(void **state)
{
    (void)state;
    alv_test_watcher one;
    expect_refused("/v1/watch", NULL, "key=");
    expect_refused("/v1/watch?key=a&prefix=b", NULL, "one of");
    expect_refused("/v1/watch?key=", NULL, "empty");
    expect_refused("/v1/watch?key=%ff", NULL, "UTF-8");
    expect_refused("/v1/watch?prefix=%0", NULL, "prefix");
    expect_refused("/v1/watch?pattern=%5Ba", NULL, "not closed");
    expect_refused("/v1/watch?prefix=", "nonsense", "not the id");
    expect_refused("/v1/watch?prefix=&last_event_id=nonsense", NULL, "not the id");
    char *foreign = make_id("another topic", 1764151200, 0);
    expect_refused("/v1/watch?prefix=", foreign, "another application");
    alv_free(foreign);
    alv_test_watcher_open(&one, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "m:ada");
    expect_refused("/v1/watch?prefix=", one.sse->last_id, "watch of a key");
    assert_int_not_equal(alv_api_node_shard("m:ada"), alv_api_node_shard("m:carl"));
    expect_refused("/v1/watch?key=m:carl", one.sse->last_id, "shard");
    alv_test_watcher_done(&one);
    alv_http_result head =
        alv_http_call(NULL, "HEAD", alv_watch_world_address(0), "/v1/watch?prefix=", NULL);
    assert_int_equal(head.status, 200);
    assert_string_equal(head.content_type, "text/event-stream");
    alv_http_result_done(&head);
}

/* The stream says that something may be missing, and goes on from now. */
static void expect_reset(const char *id)
{
    alv_test_watcher it;
    alv_test_watcher_init(&it, &alv_world.room, ALV_WATCH_PREFIX, "");
    alv_free(it.last_id);
    it.last_id = alv_strdup(id);
    alv_test_watcher_enter(&it, alv_watch_world_address(0));
    alv_watch_world_write("m:new", "{}");
    alv_test_watcher_wait_heard(&it, 1);
    assert_int_equal(it.resets, 1);
    alv_test_watcher_expect_story(&it, "m:new {};");
    assert_string_not_equal(it.sse->last_id, id);
    alv_test_watcher_done(&it);
}

static void reset__of_ids_that_are_too_old_or_of_another_world(void **state)
{
    (void)state;
    int64_t now_s = alv_now_ms(alv_clock_system()) / 1000;
    alv_watch_world_write("m:1", "{}");
    char *old = make_id(alv_world.topic_id, now_s - 24 * 3600 - 100, 0); /* may miss deletions */
    expect_reset(old);
    alv_free(old);
    char *beyond = make_id(alv_world.topic_id, now_s, 1000); /* the log has lost its tail */
    expect_reset(beyond);
    alv_free(beyond);
    alv_test_watcher it; /* old, but nothing has happened in that shard since */
    char *fine = make_id(alv_world.topic_id, now_s - 24 * 3600 - 100, 0);
    alv_test_watcher_init(&it, &alv_world.room, ALV_WATCH_KEY, "");
    int untouched = 0;
    do {
        (void)snprintf(it.text, sizeof it.text, "x:%d", untouched++);
    } while (alv_api_node_shard(it.text) == alv_api_node_shard("m:1") ||
             alv_api_node_shard(it.text) == alv_api_node_shard("m:new"));
    (void)snprintf(it.path, sizeof it.path, "/v1/watch?key=%s", it.text);
    alv_free(it.last_id);
    it.last_id = fine;
    alv_test_watcher_enter(&it, alv_watch_world_address(0));
    alv_watch_world_write(it.text, "{}");
    alv_test_watcher_wait_heard(&it, 1);
    assert_int_equal(it.resets, 0);
    alv_test_watcher_done(&it);
}

static bool has_ended(void *payload)
{
    return ((const alv_test_watcher *)payload)->sse->ended;
}

static void stop__ends_streams_between_events(void **state)
{
    (void)state;
    alv_test_watcher one, all;
    alv_test_watcher_open(&one, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "m:ada");
    alv_test_watcher_open(&all, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX, "");
    alv_watch_world_write("m:ada", "{}");
    alv_api_node_restart(&alv_world.nodes[0], &alv_world.group, NULL); /* on another port */
    assert_true(alv_sse_until(alv_world.room.set, has_ended, &one, ALV_TEST_WATCHER_WAIT_MS));
    assert_true(alv_sse_until(alv_world.room.set, has_ended, &all, ALV_TEST_WATCHER_WAIT_MS));
    assert_true(one.sse->whole);
    assert_true(all.sse->whole);
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_watch_world_address(0), "/v1/watch?key=m:ada", NULL);
    assert_int_equal(result.status, 503); /* it has not been given its log yet */
    alv_http_result_done(&result);
    alv_api_open_watch(alv_world.nodes[0].api, alv_world.log, alv_world.topic_id);
    alv_watch_world_write("m:ada", "{}");
    alv_test_watcher_leave(&one);
    alv_test_watcher_leave(&all);
    alv_test_watcher_come(&one, alv_watch_world_address(0));
    alv_test_watcher_come(&all, alv_watch_world_address(1));
    alv_test_watcher_expect_all(&one);
    alv_test_watcher_expect_all(&all);
    alv_test_watcher_done(&one);
    alv_test_watcher_done(&all);
}

#define WATCH_TEST(name) \
    cmocka_unit_test_setup_teardown(name, alv_watch_world_open, alv_watch_world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(watch__tells_what_was_committed_and_nothing_else),
        WATCH_TEST(watch__keys_and_states_of_any_kind),
        WATCH_TEST(watch__of_a_shard_begins_where_it_ends),
        WATCH_TEST(resume__from_every_id),
        WATCH_TEST(resume__by_parameter_and_by_header),
        WATCH_TEST(resume__across_nodes_while_changes_go_on),
        WATCH_TEST(resume__of_much_beside_those_in_step),
        WATCH_TEST(request__that_is_wrong_is_refused),
        WATCH_TEST(reset__of_ids_that_are_too_old_or_of_another_world),
        WATCH_TEST(stop__ends_streams_between_events),
    };
    alv_log_set_level(ALV_LOG_WARN);
    if (getenv("ALLUVIUM_TEST_KAFKA") == NULL)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
