/* Goal:   a watcher that does not read, or too many of them, harm nobody; heartbeats keep ids young;
 *         with nobody to watch there is no reader.
 * Method: as in test_watch_hub.c; clients that stop reading, a thousand watchers, as many as a node
 *         takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"
#include "tests/support/watch_world.h"

/* ---- limits ---------------------------------------------------------------------------------- */

static bool has_ended(void *payload)
{
    return ((const alv_test_watcher *)payload)->sse->ended;
}

/* One that does not read is cut off while others go on, and goes on later where it was. */
static void slow__is_cut_off_and_resumes(void **state)
{
    (void)state;
    enum {
        STATES = 60,
        STATE_BYTES = 500000
    };
    alv_test_watcher slow, fast;
    alv_test_watcher_open(&fast, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX, "");
    alv_test_watcher_init(&slow, &alv_world.room, ALV_WATCH_PREFIX, "");
    slow.tells = fast.tells = false;
    slow.sse =
        alv_sse_open(alv_world.room.set, alv_watch_world_address(0), slow.path, NULL, &slow, 4096);
    assert_int_equal(alv_sse_wait_open(alv_world.room.set, slow.sse, ALV_TEST_WATCHER_WAIT_MS),
                     200);
    alv_sse_pause(slow.sse, true);
    alv_bytes large = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&large, "{\"text\":\"");
    while (large.size < STATE_BYTES)
        alv_bytes_append_text(&large, "0123456789");
    alv_bytes_append_text(&large, "\"}");
    for (int i = 0; i < STATES; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "m:%d", i);
        alv_watch_world_begin(alv_world.producer);
        alv_watch_world_put_view(alv_world.producer, key, alv_bytes_view(&large));
        alv_watch_world_commit(alv_world.producer);
        alv_test_watcher_wait_heard(&fast, i + 1); /* not kept waiting */
    }
    alv_sse_pause(slow.sse, false);
    assert_true(alv_sse_until(alv_world.room.set, has_ended, &slow, ALV_TEST_WATCHER_WAIT_MS));
    assert_false(slow.sse->whole);
    print_message("cut off after %d of %d\n", slow.count, STATES);
    assert_true(slow.count < STATES);
    while (slow.count < STATES) { /* it may be cut off again: it gets on each time */
        int before = slow.count;
        alv_test_watcher_leave(&slow);
        alv_test_watcher_come(&slow, alv_watch_world_address(1));
        alv_test_watcher_wait_heard(&slow, before + 1);
        int64_t deadline = alv_wait_deadline(ALV_TEST_WATCHER_WAIT_MS);
        while (slow.count < STATES && !slow.sse->ended && !alv_wait_expired(deadline))
            alv_sse_turn(alv_world.room.set, 20);
    }
    alv_test_watcher_expect_all(&slow);
    alv_bytes_done(&large);
    alv_test_watcher_done(&slow);
    alv_test_watcher_done(&fast);
}

static bool has_heartbeat(void *payload)
{
    return ((const alv_test_watcher *)payload)->sse->comments >= 2;
}

/* A watcher that hears of no change is kept up to date all the same: its id moves on. */
static void heartbeat__carries_the_id(void **state)
{
    (void)state;
    alv_test_watcher one, all;
    alv_test_watcher_open(&one, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "m:ada");
    alv_test_watcher_open(&all, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_PREFIX,
                          "nothing/");
    assert_int_equal(all.sse->retry_ms, ALV_WATCH_RETRY_MS);
    char *before = alv_strdup(all.sse->last_id);
    alv_watch_world_write("m:ada", "{}");
    alv_test_watcher_wait_heard(&one, 1);
    assert_true(alv_sse_until(alv_world.room.set, has_heartbeat, &all, 2 * ALV_WATCH_HEARTBEAT_MS));
    assert_string_not_equal(all.sse->last_id, before);
    assert_int_equal(all.count, 0);
    alv_free(before);
    alv_test_watcher_done(&one);
    alv_test_watcher_done(&all);
}

#define CROWD 1000

static alv_test_watcher crowd[ALV_WATCHERS_MAX];

static bool crowd_has_heard(void *payload)
{
    const int *wanted = payload;
    for (int i = 0; i < CROWD; i++) {
        if (crowd[i].count < *wanted)
            return false;
    }
    return true;
}

static bool crowd_is_open(void *payload)
{
    const int *size = payload;
    for (int i = 0; i < *size; i++) {
        if (crowd[i].sse->last_id[0] == '\0' && !crowd[i].sse->ended)
            return false;
    }
    return true;
}

static void crowd_open(int size)
{
    for (int i = 0; i < size; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, i % 2 == 0 ? "m:%d" : "m:", i);
        alv_test_watcher_init(&crowd[i], &alv_world.room,
                              i % 2 == 0 ? ALV_WATCH_KEY : ALV_WATCH_PREFIX, text);
        crowd[i].tells = false;
        alv_test_watcher_come(&crowd[i], alv_watch_world_address(0));
        if (i % 64 == 0)
            alv_sse_turn(alv_world.room.set, 0); /* a listen queue has its limit */
    }
    assert_true(alv_sse_until(alv_world.room.set, crowd_is_open, &size, ALV_TEST_WATCHER_WAIT_MS));
}

static void crowd_close(int size)
{
    for (int i = 0; i < size; i++)
        alv_test_watcher_done(&crowd[i]);
}

static void crowd__of_a_thousand_hears_all(void **state)
{
    (void)state;
    crowd_open(CROWD);
    alv_watch_world_begin(alv_world.producer);
    for (int i = 0; i < CROWD; i += 2) {
        char key[16];
        (void)snprintf(key, sizeof key, "m:%d", i);
        alv_watch_world_put(alv_world.producer, key, "{}");
    }
    alv_watch_world_commit(alv_world.producer);
    int one = 1;
    assert_true(alv_sse_until(alv_world.room.set, crowd_has_heard, &one, ALV_TEST_WATCHER_WAIT_MS));
    for (int i = 0; i < CROWD; i += 100)
        alv_test_watcher_wait_heard(&crowd[i + 1], CROWD / 2);
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_watch_world_address(0), "/healthz", NULL);
    assert_int_equal(result.status, 200); /* requests have their turn */
    alv_http_result_done(&result);
    for (int i = 0; i < CROWD; i++) {
        alv_test_watcher_wait_heard(&crowd[i], i % 2 == 0 ? 1 : CROWD / 2);
        assert_int_equal(crowd[i].count, i % 2 == 0 ? 1 : CROWD / 2);
    }
    crowd_close(CROWD);
}

static bool has_room(void *payload)
{
    alv_test_watcher *it = payload;
    if (it->sse != NULL && !it->sse->ended)
        return it->sse->last_id[0] != '\0';
    alv_test_watcher_leave(it);
    alv_test_watcher_come(it, alv_watch_world_address(0));
    return false;
}

/* One more than a node takes is told so, requests go on, and places of those who left are free. */
static void crowd__has_a_limit(void **state)
{
    (void)state;
    alv_test_watcher more;
    crowd_open(ALV_WATCHERS_MAX);
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_watch_world_address(0), "/v1/watch?key=m:1", NULL);
    assert_int_equal(result.status, 503);
    assert_int_equal(result.retry_after_s, ALV_HTTP_RETRY_AFTER_S);
    alv_http_result_done(&result);
    result = alv_http_call(NULL, "GET", alv_watch_world_address(0), "/healthz", NULL);
    assert_int_equal(result.status, 200);
    alv_http_result_done(&result);
    crowd_close(ALV_WATCHERS_MAX);
    alv_test_watcher_init(&more, &alv_world.room, ALV_WATCH_KEY, "m:1");
    assert_true(alv_sse_until(alv_world.room.set, has_room, &more, 3 * ALV_WATCH_HEARTBEAT_MS));
    alv_test_watcher_done(&more);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static bool readers_are_closed(void *payload)
{
    (void)payload;
    return alv_watch_world_readers_closed() == alv_watch_world_readers_opened();
}

/* With nobody to watch there is no reader, before and after. */
static void reader__is_there_only_for_watchers(void **state)
{
    (void)state;
    alv_test_watcher one;
    assert_int_equal(alv_watch_world_readers_opened(), 0);
    alv_test_watcher_open(&one, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "m:ada");
    assert_int_equal(alv_watch_world_readers_opened(), 1);
    alv_test_watcher_done(&one);
    assert_true(alv_wait_until(readers_are_closed, NULL,
                               2 * ALV_WATCH_HEARTBEAT_MS + 2 * ALV_WATCH_LINGER_MS));
    alv_test_watcher_open(&one, &alv_world.room, alv_watch_world_address(0), ALV_WATCH_KEY,
                          "m:ada");
    assert_int_equal(alv_watch_world_readers_opened(), 2);
    alv_watch_world_write("m:ada", "{}");
    alv_test_watcher_wait_heard(&one, 1);
    alv_test_watcher_done(&one);
}

/* Both ends of each connection are in this process. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur > 2 * ALV_WATCHERS_MAX + 256);
}

#define WATCH_TEST(name) \
    cmocka_unit_test_setup_teardown(name, alv_watch_world_open, alv_watch_world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(slow__is_cut_off_and_resumes),       WATCH_TEST(heartbeat__carries_the_id),
        WATCH_TEST(crowd__of_a_thousand_hears_all),     WATCH_TEST(crowd__has_a_limit),
        WATCH_TEST(reader__is_there_only_for_watchers),
    };
    alv_log_set_level(ALV_LOG_WARN);
    if (getenv("ALLUVIUM_TEST_KAFKA") == NULL)
        return 77;
    raise_file_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
