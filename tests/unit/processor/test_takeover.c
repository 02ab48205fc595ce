/* Goal:   one node acts on a death, at once; the next one if that one does not; nobody on a node
 *         that has left or is heard again; and a node's own former lanes are cleared away.
 * Method: the real thread over a group and an eviction that are a table in this file, and a clock
 *         that stands still until it is moved. "Nothing happens" is seen by nothing having happened
 *         although the group was asked again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "processor/takeover.h"
#include "tests/support/log_capture.h"
#include "tests/support/wait.h"

#define WAIT_MS 10000
#define SEATS_MAX 16

typedef struct seat {
    const char *node_id;
    int32_t lane;
} seat;

static struct {
    pthread_mutex_t lock;
    seat seats[SEATS_MAX];
    size_t count;
    int asked;
    int evictions;
    alv_status answer;
    bool away;
    char evicted[256]; /* "node/lane ..." of the last eviction */
} group = {.lock = PTHREAD_MUTEX_INITIALIZER};

static alv_manual_clock manual;
static alv_config *config;
static alv_takeover *takeover;

/* ---- the group ------------------------------------------------------------------------------- */

static alv_status group_members(void *payload, alv_members *out, alv_error *err)
{
    (void)payload;
    pthread_mutex_lock(&group.lock);
    group.asked++;
    bool away = group.away;
    out->items = alv_alloc_array(SEATS_MAX, sizeof *out->items);
    for (size_t i = 0; i < group.count; i++) {
        alv_member *member = &out->items[out->count++];
        (void)snprintf(member->node_id, sizeof member->node_id, "%s", group.seats[i].node_id);
        member->lane = group.seats[i].lane;
    }
    pthread_mutex_unlock(&group.lock);
    return away ? alv_fail(err, ALV_RETRY, "no broker") : ALV_OK;
}

static void group_remove(const alv_seat *gone)
{
    for (size_t i = 0; i < group.count; i++) {
        if (strcmp(group.seats[i].node_id, gone->node_id) == 0 &&
            group.seats[i].lane == gone->lane) {
            group.seats[i] = group.seats[--group.count];
            return;
        }
    }
}

static alv_status group_evict(void *payload, const alv_seat *seats, size_t count, alv_evicted *out,
                              alv_error *err)
{
    (void)payload;
    pthread_mutex_lock(&group.lock);
    alv_status status = group.answer;
    group.evictions++;
    group.evicted[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(group.evicted);
        (void)snprintf(group.evicted + size, sizeof group.evicted - size, "%s%s/%d",
                       i > 0 ? " " : "", seats[i].node_id, (int)seats[i].lane);
        out[i] = (alv_evicted){.seated_ms = 1, .left_ms = 2, .fenced_ms = 3};
        if (status == ALV_OK) {
            group_remove(&seats[i]);
        }
    }
    pthread_mutex_unlock(&group.lock);
    return status == ALV_OK ? ALV_OK : alv_fail(err, status, "not now");
}

static int read_count(const int *count)
{
    pthread_mutex_lock(&group.lock);
    int value = *count;
    pthread_mutex_unlock(&group.lock);
    return value;
}

static bool has_evicted(void *payload)
{
    return read_count(&group.evictions) >= *(const int *)payload;
}

static bool has_asked(void *payload)
{
    return read_count(&group.asked) >= *(const int *)payload;
}

static void expect_evicted(int times, const char *seats)
{
    assert_true(alv_wait_until(has_evicted, &times, WAIT_MS));
    assert_int_equal(read_count(&group.evictions), times);
    assert_string_equal(group.evicted, seats);
}

/* Waits until the group was asked `times` more, moving the clock each time it is looked at. */
static void let_it_look(int times, int64_t step_ms)
{
    for (int i = 0; i < times; i++) {
        int next = read_count(&group.asked) + 1;
        alv_manual_clock_advance(&manual, step_ms);
        assert_true(alv_wait_until(has_asked, &next, WAIT_MS));
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void members(const seat *seats, size_t count)
{
    pthread_mutex_lock(&group.lock);
    memcpy(group.seats, seats, count * sizeof *seats);
    group.count = count;
    pthread_mutex_unlock(&group.lock);
}

static const seat three_nodes[] = {{"b", 0}, {"b", 1}, {"a", 0}, {"a", 1}, {"c", 0}, {"c", 1}};
#define THREE_NODES three_nodes, sizeof three_nodes / sizeof three_nodes[0]

/* Of a node that is configured but does not run yet. */
static alv_takeover_options prepare(const char *node_id, int lanes)
{
    char text[64];
    alv_manual_clock_init(&manual, 1000000);
    config = alv_config_new();
    (void)snprintf(text, sizeof text, "node.id=%s", node_id);
    assert_int_equal(alv_config_set(config, text, NULL), ALV_OK);
    (void)snprintf(text, sizeof text, "lanes=%d", lanes);
    assert_int_equal(alv_config_set(config, text, NULL), ALV_OK);
    assert_int_equal(alv_config_finish(config, NULL), ALV_OK);
    return (alv_takeover_options){
        .config = config, .clock = &manual.clock, .members = group_members, .evict = group_evict};
}

static void start(const char *node_id, int lanes)
{
    const alv_takeover_options options = prepare(node_id, lanes);
    assert_int_equal(alv_takeover_start(&options, &takeover, NULL), ALV_OK);
    int once = 1;
    assert_true(alv_wait_until(has_asked, &once, WAIT_MS)); /* for own seats */
}

static int reset(void **state)
{
    (void)state;
    group.count = 0;
    group.asked = 0;
    group.evictions = 0;
    group.answer = ALV_OK;
    group.away = false;
    group.evicted[0] = '\0';
    return 0;
}

static int stop(void **state)
{
    (void)state;
    alv_takeover_stop(takeover);
    takeover = NULL;
    alv_config_free(config);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void death__the_smallest_survivor_acts_at_once(void **state)
{
    (void)state;
    members(THREE_NODES);
    start("a", 2);
    alv_takeover_dead(takeover, "b");
    expect_evicted(1, "b/0 b/1");
    let_it_look(1, 250); /* whether the seats are gone */
    alv_manual_clock_advance(&manual, 10 * ALV_TAKEOVER_TURN_MS);
    alv_takeover_dead(takeover, "c");
    expect_evicted(2, "c/1 c/0");
}

static void death__of_the_smallest_makes_the_next_one_act(void **state)
{
    (void)state;
    members(THREE_NODES);
    start("b", 2);
    alv_takeover_dead(takeover, "a");
    expect_evicted(1, "a/0 a/1");
}

static void death__others_wait_for_their_turn(void **state)
{
    (void)state;
    members(THREE_NODES);
    start("c", 2); /* after a */
    alv_takeover_dead(takeover, "b");
    int twice = 2;
    assert_true(alv_wait_until(has_asked, &twice, WAIT_MS)); /* the clock has not moved yet */
    let_it_look(7, 250);
    assert_int_equal(read_count(&group.evictions), 0);
    alv_manual_clock_advance(&manual, 300);
    expect_evicted(1, "b/0 b/1");
}

static void death__of_the_one_who_should_act_ends_the_wait(void **state)
{
    (void)state;
    members(THREE_NODES);
    start("c", 2);
    alv_takeover_dead(takeover, "b");
    let_it_look(1, 250);
    assert_int_equal(read_count(&group.evictions), 0);
    alv_takeover_dead(takeover, "a"); /* the clock stands still */
    expect_evicted(1, "b/0 b/1 a/0 a/1");
}

static void death__of_one_who_has_left_needs_nothing(void **state)
{
    (void)state;
    static const seat two[] = {{"a", 0}, {"c", 0}};
    members(two, 2);
    start("a", 1);
    alv_takeover_dead(takeover, "b");
    int twice = 2;
    assert_true(alv_wait_until(has_asked, &twice, WAIT_MS));
    alv_takeover_dead(takeover, "c");
    expect_evicted(1, "c/0");
}

static void cleared__ends_it(void **state)
{
    (void)state;
    members(THREE_NODES);
    start("b", 2); /* its turn for c comes after a's */
    alv_takeover_dead(takeover, "c");
    let_it_look(1, 250);
    alv_takeover_cleared(takeover, "c");
    alv_manual_clock_advance(&manual, 10 * ALV_TAKEOVER_TURN_MS);
    alv_takeover_dead(takeover, "a");
    expect_evicted(1, "a/0 a/1");
}

static void failure__is_tried_again_while_the_seats_are_there(void **state)
{
    (void)state;
    members(THREE_NODES);
    group.answer = ALV_RETRY;
    start("a", 2);
    alv_takeover_dead(takeover, "b");
    expect_evicted(1, "b/0 b/1");
    let_it_look(1, 5000);
    expect_evicted(2, "b/0 b/1");
    pthread_mutex_lock(&group.lock);
    group.answer = ALV_OK;
    group.away = true;
    pthread_mutex_unlock(&group.lock);
    let_it_look(1, 5000); /* the group cannot be asked */
    assert_int_equal(read_count(&group.evictions), 2);
    pthread_mutex_lock(&group.lock);
    group.away = false;
    pthread_mutex_unlock(&group.lock);
    let_it_look(1, 5000);
    expect_evicted(3, "b/0 b/1");
}

static void own__former_lanes_are_cleared_away(void **state)
{
    (void)state;
    static const seat seats[] = {{"a", 0}, {"b", 0}, {"b", 1}, {"b", 2}, {"b", 3}};
    members(seats, 5);
    start("b", 2);
    expect_evicted(1, "b/2 b/3");
}

/* One that finds no room is lost, and said so; whoever gives it again is heard. */
static void death__a_verdict_without_room_may_be_given_again(void **state)
{
    (void)state;
    enum {
        ROOM = 1024
    };
    char node_id[16];
    alv_log_capture capture;
    const alv_takeover_options options = prepare("a", 2);
    members(THREE_NODES);
    assert_int_equal(alv_takeover_new(&options, &takeover, NULL), ALV_OK);
    alv_takeover_turn(takeover, 0); /* own seats */
    alv_log_set_level(ALV_LOG_WARN);
    alv_log_capture_begin(&capture);
    for (int i = 0; i < ROOM; i++) {
        (void)snprintf(node_id, sizeof node_id, "x%d", i);
        alv_takeover_dead(takeover, node_id);
    }
    alv_takeover_dead(takeover, "b");
    const char *said = alv_log_capture_end(&capture);
    alv_log_set_level(ALV_LOG_ERROR);
    assert_non_null(strstr(said, "event=takeover-busy node=b dead=1"));
    assert_null(strstr(said, "node=x"));
    alv_log_capture_done(&capture);

    for (int i = 0; i < 3; i++) {
        alv_takeover_turn(takeover, 0);
    }
    assert_int_equal(group.evictions, 0); /* none of those is a member, and of b nobody heard */
    alv_takeover_dead(takeover, "b");
    for (int i = 0; i < 3; i++) {
        alv_takeover_turn(takeover, 0);
    }
    assert_int_equal(group.evictions, 1);
    assert_string_equal(group.evicted, "b/0 b/1");
}

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, stop)
    const struct CMUnitTest tests[] = {
        TEST(death__the_smallest_survivor_acts_at_once),
        TEST(death__of_the_smallest_makes_the_next_one_act),
        TEST(death__others_wait_for_their_turn),
        TEST(death__of_the_one_who_should_act_ends_the_wait),
        TEST(death__of_one_who_has_left_needs_nothing),
        TEST(cleared__ends_it),
        TEST(failure__is_tried_again_while_the_seats_are_there),
        TEST(own__former_lanes_are_cleared_away),
        TEST(death__a_verdict_without_room_may_be_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
