/* Goal:   a verdict is never given on less than a proof or a majority, and not later than that.
 * Method: the rules take events and a time and do no I/O, so every story is a list of calls; what
 *         they decide is written down as text, "node:from>to", and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/peer_verdict.h"

#define TIMEOUT_MS 1000

static alv_peer_verdict *verdict;
static char news[1024]; /* since they were last compared */

static void note(void *payload, const alv_peer_view *peer, alv_peer_state from)
{
    (void)payload;
    size_t size = strlen(news);
    (void)snprintf(news + size, sizeof news - size, "%s%s:%s>%s", size > 0 ? " " : "",
                   peer->node_id, alv_peer_state_name(from), alv_peer_state_name(peer->state));
}

static void expect_news(const char *expected)
{
    assert_string_equal(news, expected);
    news[0] = '\0';
}

/* The other members: `ids` is a list of words; each node's address is its id. */
static void members(const char *ids)
{
    alv_peer_view views[8];
    size_t count = 0;
    while (*ids != '\0') {
        int size = (int)strcspn(ids, " ");
        views[count] = (alv_peer_view){.state = ALV_PEER_UNKNOWN};
        (void)snprintf(views[count].node_id, sizeof views[count].node_id, "%.*s", size, ids);
        (void)snprintf(views[count].address, sizeof views[count].address, "%.*s", size, ids);
        count++;
        ids += size;
        ids += *ids == ' ';
    }
    alv_peer_verdict_set_members(verdict, views, count);
}

static void hello(const char *node_id, int64_t now_ms)
{
    alv_peer_verdict_hello(verdict, node_id, "boot-1", now_ms);
}

static void beat(const char *node_id, const char *suspects, int64_t now_ms)
{
    alv_peer_verdict_beat(verdict, node_id, alv_view_of(suspects), now_ms);
}

static void tick(int64_t now_ms)
{
    alv_peer_verdict_tick(verdict, now_ms);
}

static int open_verdict(void **state)
{
    (void)state;
    news[0] = '\0';
    verdict = alv_peer_verdict_new(TIMEOUT_MS, note, NULL);
    return 0;
}

static int close_verdict(void **state)
{
    (void)state;
    alv_peer_verdict_free(verdict);
    return 0;
}

/* Members b, c, ... of a group with this node, all alive at time 0. */
static void all_alive(const char *ids)
{
    char id[8];
    members(ids);
    for (; *ids != '\0'; ids += strcspn(ids, " "), ids += *ids == ' ') {
        (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(ids, " "), ids);
        hello(id, 0);
    }
    news[0] = '\0';
}

/* ---- proof ----------------------------------------------------------------------------------- */

static void refused__is_death_where_the_node_was_heard(void **state)
{
    (void)state;
    all_alive("b");
    alv_peer_verdict_refused(verdict, "b");
    expect_news("b:alive>dead");
    alv_peer_verdict_refused(verdict, "b");
    tick(10 * TIMEOUT_MS);
    expect_news(""); /* once */
}

static void refused__is_death_of_a_suspect(void **state)
{
    (void)state;
    all_alive("b");
    tick(TIMEOUT_MS);
    alv_peer_verdict_refused(verdict, "b");
    expect_news("b:alive>suspected b:suspected>dead");
}

static void refused__proves_nothing_at_an_address_that_never_answered(void **state)
{
    (void)state;
    members("b");
    alv_peer_verdict_refused(verdict, "b");
    tick(10 * TIMEOUT_MS);
    expect_news("");
    assert_int_equal(alv_peer_verdict_find(verdict, "b")->state, ALV_PEER_UNKNOWN);
}

static void refused__proves_nothing_at_a_new_address(void **state)
{
    (void)state;
    all_alive("b");
    alv_peer_view moved = {.node_id = "b", .address = "elsewhere"};
    alv_peer_verdict_set_members(verdict, &moved, 1);
    alv_peer_verdict_refused(verdict, "b");
    expect_news("b:alive>unknown");
}

/* ---- silence --------------------------------------------------------------------------------- */

static void silence__is_suspicion_from_the_timeout_on(void **state)
{
    (void)state;
    all_alive("b c");
    beat("c", "", TIMEOUT_MS - 1);
    tick(TIMEOUT_MS - 1);
    expect_news("");
    tick(TIMEOUT_MS);
    expect_news("b:alive>suspected");
    beat("b", "", TIMEOUT_MS + 1);
    expect_news("b:suspected>alive");
}

static void silence__of_one_of_two_is_never_death(void **state)
{
    (void)state;
    all_alive("b");
    tick(1000 * TIMEOUT_MS);
    expect_news("b:alive>suspected");
}

static void silence__of_one_of_three_is_death_when_the_other_agrees(void **state)
{
    (void)state;
    all_alive("b c");
    beat("c", "", 900);
    tick(TIMEOUT_MS);
    expect_news("b:alive>suspected");
    beat("c", "bb b-b", 1100); /* others, with similar names */
    tick(1100);
    expect_news("");
    beat("c", "x b", 1200);
    tick(1200);
    expect_news("b:suspected>dead");
}

static void silence__agreement_before_ones_own_suspicion_counts(void **state)
{
    (void)state;
    all_alive("b c");
    beat("c", "b", 900);
    tick(900);
    expect_news("");
    tick(TIMEOUT_MS);
    expect_news("b:alive>suspected b:suspected>dead");
}

static void silence__agreement_that_was_taken_back_does_not_count(void **state)
{
    (void)state;
    all_alive("b c");
    beat("c", "b", 800);
    beat("c", "", 900);
    tick(TIMEOUT_MS);
    expect_news("b:alive>suspected");
}

static void silence__those_who_are_not_heard_have_no_say(void **state)
{
    (void)state;
    all_alive("b c");
    beat("b", "c", 1);
    beat("c", "b", 1);
    tick(TIMEOUT_MS + 1); /* this node is the one that is cut off */
    tick(2 * TIMEOUT_MS);
    expect_news("b:alive>suspected c:alive>suspected");
}

/* Two of four: half is no majority, whichever half asks. */
static void silence__no_half_convicts_the_other(void **state)
{
    (void)state;
    all_alive("b c d");
    beat("b", "c d", 900);
    tick(TIMEOUT_MS);
    expect_news("c:alive>suspected d:alive>suspected");
    tick(1200);
    expect_news("");
}

static void silence__three_of_five_convict_two(void **state)
{
    (void)state;
    all_alive("b c d e");
    beat("b", "d e", 900);
    beat("c", "e", 900);
    tick(TIMEOUT_MS);
    expect_news("d:alive>suspected e:alive>suspected e:suspected>dead");
    beat("c", "e d", 1100);
    beat("b", "e d", 1100);
    tick(1100);
    expect_news("d:suspected>dead");
}

static void silence__members_without_a_stream_count_as_not_agreeing(void **state)
{
    (void)state;
    all_alive("b c");
    members("b c d"); /* d was never heard */
    beat("c", "b", 900);
    tick(TIMEOUT_MS);
    expect_news("b:alive>suspected");
}

/* ---- coming back, leaving -------------------------------------------------------------------- */

static void back__a_dead_node_that_is_heard_lives(void **state)
{
    (void)state;
    all_alive("b");
    alv_peer_verdict_refused(verdict, "b");
    alv_peer_verdict_hello(verdict, "b", "boot-2", 50);
    expect_news("b:alive>dead b:dead>alive");
    alv_peer_verdict_refused(verdict, "b");
    expect_news("b:alive>dead"); /* a second death is a second verdict */
}

static void back__a_restart_that_was_quicker_than_the_verdict_is_told(void **state)
{
    (void)state;
    all_alive("b");
    hello("b", 10);
    expect_news(""); /* the same process: only its stream broke */
    alv_peer_verdict_hello(verdict, "b", "boot-2", 20);
    expect_news("b:alive>alive");
    assert_string_equal(alv_peer_verdict_find(verdict, "b")->boot, "boot-2");
}

static void left__a_node_that_said_goodbye_is_not_dead(void **state)
{
    (void)state;
    all_alive("b c");
    alv_peer_verdict_goodbye(verdict, "b");
    expect_news("b:alive>left");
    alv_peer_verdict_refused(verdict, "b");
    beat("c", "b", 10 * TIMEOUT_MS);
    tick(10 * TIMEOUT_MS);
    expect_news("");
    hello("b", 10 * TIMEOUT_MS);
    expect_news("b:left>alive");
}

static void left__who_is_no_member_any_more_is_forgotten(void **state)
{
    (void)state;
    all_alive("b c d");
    alv_peer_verdict_refused(verdict, "b");
    news[0] = '\0';
    members("d c");
    expect_news("b:dead>unknown");
    assert_null(alv_peer_verdict_find(verdict, "b"));
    assert_int_equal(alv_peer_verdict_list(verdict, NULL, 0), 2);
    assert_int_equal(alv_peer_verdict_find(verdict, "d")->state, ALV_PEER_ALIVE);
    members("b c d");
    alv_peer_verdict_refused(verdict, "b");
    expect_news(""); /* a new member, and not heard yet */
}

static void events__about_strangers_change_nothing(void **state)
{
    (void)state;
    all_alive("b");
    hello("x", 1);
    beat("x", "b", 1);
    alv_peer_verdict_goodbye(verdict, "x");
    alv_peer_verdict_refused(verdict, "x");
    tick(2);
    expect_news("");
    assert_int_equal(alv_peer_verdict_list(verdict, NULL, 0), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_verdict, close_verdict)
    const struct CMUnitTest tests[] = {
        TEST(refused__is_death_where_the_node_was_heard),
        TEST(refused__is_death_of_a_suspect),
        TEST(refused__proves_nothing_at_an_address_that_never_answered),
        TEST(refused__proves_nothing_at_a_new_address),
        TEST(silence__is_suspicion_from_the_timeout_on),
        TEST(silence__of_one_of_two_is_never_death),
        TEST(silence__of_one_of_three_is_death_when_the_other_agrees),
        TEST(silence__agreement_before_ones_own_suspicion_counts),
        TEST(silence__agreement_that_was_taken_back_does_not_count),
        TEST(silence__those_who_are_not_heard_have_no_say),
        TEST(silence__no_half_convicts_the_other),
        TEST(silence__three_of_five_convict_two),
        TEST(silence__members_without_a_stream_count_as_not_agreeing),
        TEST(back__a_dead_node_that_is_heard_lives),
        TEST(back__a_restart_that_was_quicker_than_the_verdict_is_told),
        TEST(left__a_node_that_said_goodbye_is_not_dead),
        TEST(left__who_is_no_member_any_more_is_forgotten),
        TEST(events__about_strangers_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
