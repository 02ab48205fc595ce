/* Goal:   a killed node is noticed within milliseconds; a paused one only by a majority; one that
 *         stops on purpose, restarts or was never heard is not taken for dead.
 * Method: this process is one node, forked ones are the others, over real connections; the group
 *         is told by the test. They are killed, paused and stopped by signals. "No verdict" is seen
 *         by none coming within several time-outs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/http_limits.h"
#include "api/listener.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/api_node.h"
#include "tests/support/http_call.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

#define TIMEOUT_MS 400
#define ALIVE_MS 10000
#define NOTICE_MS 10000
#define QUIET_MS (3 * TIMEOUT_MS)
#define NODES 3

/* ---- verdicts -------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    char dead[64]; /* the last node found dead */
    int dead_count;
    int cleared_count;
    int64_t dead_at_us;
} verdicts = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

static void note_dead(void *payload, const char *node_id)
{
    (void)payload;
    pthread_mutex_lock(&verdicts.lock);
    verdicts.dead_at_us = now_us();
    verdicts.dead_count++;
    (void)snprintf(verdicts.dead, sizeof verdicts.dead, "%s", node_id);
    pthread_mutex_unlock(&verdicts.lock);
}

static void note_cleared(void *payload, const char *node_id)
{
    (void)payload;
    (void)node_id;
    pthread_mutex_lock(&verdicts.lock);
    verdicts.cleared_count++;
    pthread_mutex_unlock(&verdicts.lock);
}

static bool has_dead(void *payload)
{
    const int *count = payload;
    pthread_mutex_lock(&verdicts.lock);
    bool is_there = verdicts.dead_count >= *count;
    pthread_mutex_unlock(&verdicts.lock);
    return is_there;
}

static bool has_cleared(void *payload)
{
    const int *count = payload;
    pthread_mutex_lock(&verdicts.lock);
    bool is_there = verdicts.cleared_count >= *count;
    pthread_mutex_unlock(&verdicts.lock);
    return is_there;
}

static void expect_dead(const char *node_id, int count)
{
    assert_true(alv_wait_until(has_dead, &count, NOTICE_MS));
    assert_string_equal(verdicts.dead, node_id);
    assert_int_equal(verdicts.dead_count, count);
}

static void expect_cleared(int count)
{
    assert_true(alv_wait_until(has_cleared, &count, NOTICE_MS));
}

static void expect_no_verdict(void)
{
    int one = 1;
    assert_false(alv_wait_until(has_dead, &one, QUIET_MS));
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static const char *const ids[NODES] = {"node-1", "node-2", "node-3"};
static char addresses[NODES][64];
static alv_fake_group group;
static alv_api_node here; /* node-1 */
static alv_process others[NODES];

/* The first `count` nodes, one lane each. */
static void group_says(alv_fake_group *told, int count)
{
    alv_fake_lane lanes[NODES] = {{.lane = 0}};
    for (int i = 0; i < count; i++) {
        lanes[i].shards[0] = i;
        lanes[i].shards[1] = -1;
        (void)snprintf(lanes[i].node_id, sizeof lanes[i].node_id, "%s", ids[i]);
        (void)snprintf(lanes[i].address, sizeof lanes[i].address, "%s", addresses[i]);
    }
    alv_fake_group_say(told, lanes, (size_t)count);
}

/* The other process: a node until SIGTERM. */
static void run_other(int number, int node_count)
{
    alv_fake_group told;
    alv_api_node node;
    sigset_t stop;
    int signal = 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL); /* the node's threads inherit it */
    alv_fake_group_init(&told);
    group_says(&told, node_count);
    const alv_api_node_watch watch = {.listen = addresses[number], .peer_timeout_ms = TIMEOUT_MS};
    alv_api_node_open_watching(&node, ids[number], &told, &watch);
    (void)sigwait(&stop, &signal);
    alv_api_node_close(&node);
    _exit(0);
}

static void start_other(int number, int node_count)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_other(number, node_count);
    }
    alv_process_adopt(&others[number], pid);
}

/* What `observer` thinks of a node; empty when it does not know it. */
static const char *state_at(int observer, int number)
{
    static char text[32];
    alv_http_result result = alv_http_call(NULL, "GET", addresses[observer], "/v1/peers", NULL);
    json_t *peer;
    size_t i;
    text[0] = '\0';
    json_array_foreach(json_object_get(result.json, "peers"), i, peer)
    {
        if (strcmp(json_string_value(json_object_get(peer, "node")), ids[number]) == 0) {
            (void)snprintf(text, sizeof text, "%s",
                           json_string_value(json_object_get(peer, "state")));
        }
    }
    alv_http_result_done(&result);
    return text;
}

typedef struct wanted_state {
    int observer;
    int number;
    const char *state;
} wanted_state;

static bool is_in_state(void *payload)
{
    const wanted_state *wanted = payload;
    return strcmp(state_at(wanted->observer, wanted->number), wanted->state) == 0;
}

static void expect_state_at(int observer, int number, const char *state)
{
    wanted_state wanted = {observer, number, state};
    if (!alv_wait_until(is_in_state, &wanted, ALIVE_MS)) {
        fail_msg("%s is %s, not %s", ids[number], state_at(observer, number), state);
    }
}

static void expect_state(int number, const char *state)
{
    expect_state_at(0, number, state);
}

/* Starts the nodes and waits until each hears every other. Forks first: a process with threads is
 * no good to fork. */
static void start_nodes(int count)
{
    for (int i = 1; i < count; i++) {
        start_other(i, count);
    }
    group_says(&group, count);
    const alv_api_node_watch watch = {.listen = addresses[0],
                                      .peer_timeout_ms = TIMEOUT_MS,
                                      .dead = note_dead,
                                      .cleared = note_cleared};
    alv_api_node_open_watching(&here, ids[0], &group, &watch);
    for (int i = 0; i < count * count; i++) {
        if (i / count != i % count) {
            expect_state_at(i / count, i % count, "alive");
        }
    }
}

static int choose_addresses(void **state)
{
    (void)state;
    verdicts.dead_count = 0;
    verdicts.cleared_count = 0;
    alv_fake_group_init(&group);
    int sockets[NODES];
    for (int i = 0; i < NODES; i++) {
        char bound[ALV_LISTENER_ADDRESS_BYTES];
        assert_int_equal(alv_listener_open("127.0.0.1:0", &sockets[i], bound, NULL), ALV_OK);
        (void)snprintf(addresses[i], sizeof addresses[i], "%.63s", bound);
    }
    for (int i = 0; i < NODES; i++) {
        (void)close(sockets[i]);
    }
    return 0;
}

static int end_nodes(void **state)
{
    (void)state;
    for (int i = 1; i < NODES; i++) {
        alv_process_done(&others[i]);
        others[i] = (alv_process){.pid = 0};
    }
    if (here.api != NULL) {
        alv_api_node_close(&here);
    }
    alv_fake_group_done(&group);
    return 0;
}

/* ---- death ----------------------------------------------------------------------------------- */

static void kill__is_noticed_at_once(void **state)
{
    (void)state;
    start_nodes(2);
    int64_t killed_at_us = now_us();
    alv_process_kill(&others[1]);
    expect_dead("node-2", 1);
    int64_t took_us = verdicts.dead_at_us - killed_at_us;
    print_message("from kill -9 to the verdict: %" PRId64 " us\n", took_us);
    assert_true(took_us < TIMEOUT_MS * 1000); /* silence would not have been noticed yet */
    expect_state(1, "dead");
}

static void kill__of_several_at_once(void **state)
{
    (void)state;
    start_nodes(3);
    alv_process_signal(&others[1], SIGKILL);
    alv_process_signal(&others[2], SIGKILL);
    int two = 2;
    assert_true(alv_wait_until(has_dead, &two, NOTICE_MS));
    expect_state(1, "dead");
    expect_state(2, "dead");
}

static void kill__a_node_that_comes_back_is_cleared(void **state)
{
    (void)state;
    start_nodes(2);
    alv_process_kill(&others[1]);
    expect_dead("node-2", 1);
    alv_api_node there;
    alv_fake_group told;
    alv_fake_group_init(&told);
    group_says(&told, 2);
    const alv_api_node_watch watch = {.listen = addresses[1], .peer_timeout_ms = TIMEOUT_MS};
    alv_api_node_open_watching(&there, ids[1], &told, &watch);
    expect_cleared(1);
    expect_state(1, "alive");
    alv_api_node_close(&there);
    expect_state(1, "left");
    assert_int_equal(verdicts.dead_count, 1);
    alv_fake_group_done(&told);
}

static void kill__a_member_that_has_gone_is_cleared(void **state)
{
    (void)state;
    start_nodes(2);
    alv_process_kill(&others[1]);
    expect_dead("node-2", 1);
    group_says(&group, 1);
    expect_cleared(1);
    expect_state(1, "");
}

/* ---- silence --------------------------------------------------------------------------------- */

static void pause__of_one_of_three_is_death_by_majority(void **state)
{
    (void)state;
    start_nodes(3);
    int64_t paused_at_us = now_us();
    alv_process_signal(&others[1], SIGSTOP);
    expect_dead("node-2", 1);
    int64_t took_ms = (verdicts.dead_at_us - paused_at_us) / 1000;
    print_message("from SIGSTOP to the verdict: %" PRId64 " ms (peer.timeout.ms=%d)\n", took_ms,
                  TIMEOUT_MS);
    assert_true(took_ms >= TIMEOUT_MS / 2);
    assert_true(took_ms < 4 * TIMEOUT_MS);
    alv_process_signal(&others[1], SIGCONT);
    expect_cleared(1);
    expect_state(1, "alive");
}

static void pause__of_one_of_two_is_suspicion_only(void **state)
{
    (void)state;
    start_nodes(2);
    alv_process_signal(&others[1], SIGSTOP);
    expect_state(1, "suspected");
    expect_no_verdict();
    alv_process_signal(&others[1], SIGCONT);
    expect_state(1, "alive");
    alv_process_signal(&others[1], SIGSTOP);
    expect_state(1, "suspected");
    alv_process_kill(&others[1]);
    expect_dead("node-2", 1); /* a suspect is listened to: its death is seen at once */
}

/* A request that was passed on to the paused node, and those that come later, do not wait for the
 * time-out of a passed-on request. */
static void pause__frees_what_was_passed_on(void **state)
{
    (void)state;
    char path[64];
    int key = 0;
    start_nodes(2);
    do {
        (void)snprintf(path, sizeof path, "k%d", ++key);
    } while (alv_api_node_shard(path) != 1); /* node-2's */
    (void)snprintf(path, sizeof path, "/v1/entities/k%d", key);
    alv_process_signal(&others[1], SIGSTOP);
    for (int i = 0; i < 2; i++) {
        alv_http_result result = alv_http_call(NULL, "GET", addresses[0], path, NULL);
        assert_int_equal(result.status, 503);
        /* At the time-out it would say that the node at that address does not answer. */
        assert_non_null(
            strstr(alv_http_result_text(&result, "detail"), "node-2, which owns shard 1,"));
        alv_http_result_done(&result);
    }
    expect_state(1, "suspected");
}

/* ---- no death -------------------------------------------------------------------------------- */

static void stop__on_purpose_is_no_death(void **state)
{
    (void)state;
    start_nodes(2);
    alv_process_signal(&others[1], SIGTERM);
    assert_true(alv_process_wait(&others[1], NOTICE_MS));
    assert_int_equal(others[1].exit_status, 0);
    expect_state(1, "left");
    expect_no_verdict();
}

static void stop__and_start_is_no_death(void **state)
{
    (void)state;
    alv_api_node there;
    alv_fake_group told;
    start_nodes(1);
    alv_fake_group_init(&told);
    group_says(&told, 2);
    const alv_api_node_watch watch = {.listen = addresses[1], .peer_timeout_ms = TIMEOUT_MS};
    alv_api_node_open_watching(&there, ids[1], &told, &watch);
    group_says(&group, 2);
    expect_state(1, "alive");
    alv_api_node_restart(&there, &told, NULL);
    expect_no_verdict();
    expect_state(1, "alive");
    alv_api_node_close(&there);
    alv_fake_group_done(&told);
}

static void address__that_never_answered_proves_nothing(void **state)
{
    (void)state;
    start_nodes(1);
    group_says(&group, 2); /* nobody listens at the second address */
    expect_state(1, "unknown");
    expect_no_verdict();
}

static void address__of_somebody_else_proves_nothing(void **state)
{
    (void)state;
    start_other(2, 3);
    start_nodes(1);
    memcpy(addresses[1], addresses[2], sizeof addresses[1]);
    group_says(&group, 3); /* node-3 answers where node-2 is said to be */
    expect_state(2, "alive");
    expect_state(1, "unknown");
    alv_process_kill(&others[2]);
    expect_dead("node-3", 1);
    int two = 2;
    assert_false(alv_wait_until(has_dead, &two, QUIET_MS));
}

/* ---- the stream ------------------------------------------------------------------------------ */

static bool stream_has(int fd, alv_bytes *seen, const char *text)
{
    int64_t deadline = alv_wait_deadline(NOTICE_MS);
    while (memmem(alv_bytes_view(seen).data, seen->size, text, strlen(text)) == NULL) {
        char data[4096];
        ssize_t size = alv_wait_expired(deadline) ? 0 : read(fd, data, sizeof data);
        if (size <= 0) {
            return false;
        }
        alv_bytes_append(seen, data, (size_t)size);
    }
    return true;
}

static void stream__greets_beats_and_says_goodbye(void **state)
{
    (void)state;
    static const char request[] = "GET /v1/peers/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    alv_bytes seen = ALV_BYTES_EMPTY;
    char hello[128];
    start_nodes(1);
    int fd = alv_http_raw_open(alv_api_node_address(&here));
    alv_http_raw_send(fd, request, sizeof request - 1);
    (void)snprintf(hello, sizeof hello, "hello node-1 %s\n", alv_api_boot(here.api));
    assert_true(stream_has(fd, &seen, "HTTP/1.1 200 OK\r\n"));
    assert_true(stream_has(fd, &seen, hello));
    assert_true(stream_has(fd, &seen, "beat\n"));
    alv_bytes_clear(&seen);
    assert_true(stream_has(fd, &seen, "beat\n"));
    alv_api_node_stop(&here);
    assert_true(stream_has(fd, &seen, "bye\n"));
    assert_true(alv_http_raw_closed(fd, NOTICE_MS));
    (void)close(fd);
    alv_bytes_done(&seen);
    alv_api_node_close(&here);
    here.api = NULL;
}

/* A client that goes away, and one that only asks for the head, take nothing with them. */
static void stream__clients_come_and_go(void **state)
{
    (void)state;
    static const char request[] = "GET /v1/peers/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    start_nodes(2);
    for (int i = 0; i < 300; i++) {
        int fd = alv_http_raw_open(alv_api_node_address(&here));
        alv_http_raw_send(fd, request, sizeof request - 1);
        (void)close(fd);
    }
    alv_http_result result =
        alv_http_call(NULL, "HEAD", alv_api_node_address(&here), "/v1/peers/stream", NULL);
    assert_int_equal(result.status, 200);
    alv_http_result_done(&result);
    expect_no_verdict();
    expect_state(1, "alive");
}

/* ---- the view -------------------------------------------------------------------------------- */

static void cluster__shows_who_lives_and_who_would_take_over(void **state)
{
    (void)state;
    start_nodes(3);
    alv_process_kill(&others[2]);
    expect_dead("node-3", 1);
    expect_state(2, "dead");
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&here), "/v1/cluster", NULL);
    assert_int_equal(result.status, 200);
    assert_string_equal(alv_http_result_text(&result, "successor"), "node-1");
    json_t *nodes = json_object_get(result.json, "nodes");
    assert_int_equal(json_array_size(nodes), 3);
    static const char *const states[] = {"self", "alive", "dead"};
    for (size_t i = 0; i < 3; i++) {
        json_t *node = json_array_get(nodes, i);
        assert_string_equal(json_string_value(json_object_get(node, "node")), ids[i]);
        assert_string_equal(json_string_value(json_object_get(node, "state")), states[i]);
        assert_int_equal(json_array_size(json_object_get(node, "lanes")), 1);
        assert_int_equal(json_integer_value(json_object_get(node, "shards")), 1);
    }
    alv_http_result_done(&result);
}

int main(void)
{
    if (getenv("ALV_TEST_LOG") == NULL) {
        alv_log_set_level(ALV_LOG_ERROR);
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, choose_addresses, end_nodes)
    const struct CMUnitTest tests[] = {
        TEST(kill__is_noticed_at_once),
        TEST(kill__of_several_at_once),
        TEST(kill__a_node_that_comes_back_is_cleared),
        TEST(kill__a_member_that_has_gone_is_cleared),
        TEST(pause__of_one_of_three_is_death_by_majority),
        TEST(pause__of_one_of_two_is_suspicion_only),
        TEST(pause__frees_what_was_passed_on),
        TEST(stop__on_purpose_is_no_death),
        TEST(stop__and_start_is_no_death),
        TEST(address__that_never_answered_proves_nothing),
        TEST(address__of_somebody_else_proves_nothing),
        TEST(stream__greets_beats_and_says_goodbye),
        TEST(stream__clients_come_and_go),
        TEST(cluster__shows_who_lives_and_who_would_take_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
