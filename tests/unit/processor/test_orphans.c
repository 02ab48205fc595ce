/* Goal:   a shard that the group has given to nobody makes one node let the group assign anew, after a while in
 *         which nothing else can be meant, and again with growing pauses; nothing else does.
 * Method: pictures of a group of four shards, a clock that stands still until it is moved, and a nudge that
 *         counts. A nudge is made by the thread of the object under test; that none is made shows in the
 *         order of things: only what see has decided is ever made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "processor/orphans.h"
#include "tests/support/wait.h"

#define SHARDS 4
#define WAIT_MS 10000
#define LOOK_MS 1000

static alv_manual_clock manual;
static alv_config *config;
static alv_orphans *orphans;
static atomic_int nudges;
static alv_status nudge_answer;

static alv_status count_nudge(void *payload, alv_error *err)
{
    (void)payload;
    atomic_fetch_add(&nudges, 1);
    return nudge_answer == ALV_OK ? ALV_OK : alv_fail(err, nudge_answer, "as told");
}

static int open_stage(void **state)
{
    (void)state;
    alv_log_set_level(ALV_LOG_ERROR);
    alv_error err = ALV_ERROR_NONE;
    config = alv_config_new();
    assert_int_equal(alv_config_set(config, "node.id=b", &err), ALV_OK);
    assert_int_equal(alv_config_set(config, "shards=4", &err), ALV_OK);
    alv_manual_clock_init(&manual, 1700000000000);
    atomic_store(&nudges, 0);
    nudge_answer = ALV_OK;
    const alv_orphans_options options = {
        .config = config, .clock = &manual.clock, .nudge = count_nudge};
    assert_int_equal(alv_orphans_start(&options, &orphans, &err), ALV_OK);
    return 0;
}

static int close_stage(void **state)
{
    (void)state;
    alv_orphans_stop(orphans);
    alv_config_free(config);
    return 0;
}

/* Looks at the group for so long, once a second. `lanes` is a list of "node:shards" ended by NULL. */
static void look(const char *const *lanes, int for_ms)
{
    for (int passed_ms = 0; passed_ms <= for_ms; passed_ms += LOOK_MS) {
        alv_member items[4] = {0};
        int32_t shards[4][SHARDS];
        alv_members members = {.items = items};
        for (; lanes[members.count] != NULL; members.count++) {
            alv_member *member = &items[members.count];
            const char *colon = strchr(lanes[members.count], ':');
            assert_non_null(colon);
            (void)snprintf(member->node_id, sizeof member->node_id, "%.*s",
                           (int)(colon - lanes[members.count]), lanes[members.count]);
            member->shards = shards[members.count];
            for (const char *digit = colon + 1; *digit != '\0'; digit++) {
                member->shards[member->shard_count++] = *digit - '0';
            }
        }
        alv_orphans_see(orphans, &members);
        alv_manual_clock_advance(&manual, LOOK_MS);
    }
}

static bool has_nudged(void *payload)
{
    return atomic_load(&nudges) >= *(int *)payload;
}

static void expect_nudges(int count)
{
    assert_true(alv_wait_until(has_nudged, &count, WAIT_MS));
    assert_int_equal(atomic_load(&nudges), count);
}

#define LANES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void orphans__are_found_when_they_stay(void **state)
{
    (void)state;
    look(LANES("b:01", "c:2"), 3000);
    look(LANES("b:01", "c:23"), 1000); /* had been a hand-over */
    look(LANES("b:01", "c:2"), 3000);
    assert_int_equal(atomic_load(&nudges), 0);
    look(LANES("b:01", "c:2"), 3000);
    expect_nudges(1);
}

static void orphans__are_none_while_the_group_rebalances(void **state)
{
    (void)state;
    look(LANES("b:", "c:"), 60000);
    look(LANES("b:01", "c:23"), 60000);
    look(LANES("b:01", "c:2"), 5000); /* the first that counts */
    expect_nudges(1);
}

static void orphans__are_looked_after_by_one_node_then_by_the_next(void **state)
{
    (void)state;
    look(LANES("a:0", "a:1", "b:2"), 20000);
    assert_int_equal(atomic_load(&nudges), 0); /* it is a's turn */
    look(LANES("a:0", "a:1", "b:2"), 6000);
    expect_nudges(1);
    look(LANES("c:0", "d:1"), 600000); /* who is no member leaves it to those who are */
    assert_int_equal(atomic_load(&nudges), 1);
}

static void orphans__that_stay_are_tried_again_more_and_more_seldom(void **state)
{
    (void)state;
    nudge_answer = ALV_RETRY;
    look(LANES("b:012"), 5000);
    expect_nudges(1);
    look(LANES("b:012"), 8000);
    assert_int_equal(atomic_load(&nudges), 1);
    look(LANES("b:012"), 2000);
    expect_nudges(2);
    look(LANES("b:012"), 16000); /* the next one would be the twentieth second */
    assert_int_equal(atomic_load(&nudges), 2);
    look(LANES("b:012"), 4000);
    expect_nudges(3);
}

int main(void)
{
#define STAGED(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)
    const struct CMUnitTest tests[] = {
        STAGED(orphans__are_found_when_they_stay),
        STAGED(orphans__are_none_while_the_group_rebalances),
        STAGED(orphans__are_looked_after_by_one_node_then_by_the_next),
        STAGED(orphans__that_stay_are_tried_again_more_and_more_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
