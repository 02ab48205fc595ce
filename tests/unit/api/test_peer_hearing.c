/* Goal:   what comes on a stream of another node leads to the right events, however it is cut into pieces, and what
 *         may not come ends the stream; a stream that worked is opened again at once, others later and later. What
 *         is said is what is heard.
 * Method: bytes and times in, states of the verdict out; no connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/http_limits.h"
#include "api/peer_hearing.h"
#include "api/peer_saying.h"

#define TIMEOUT_MS 1000

typedef struct ear {
    alv_peer_verdict *verdict;
    alv_peer_hearing hearing;
} ear;

static ear fixture;

static void ignore(void *payload, const alv_peer_view *peer, alv_peer_state from)
{
    (void)payload;
    (void)peer;
    (void)from;
}

/* It knows of b and c, and listens to b from 0 ms on. */
static int open_ear(void **state)
{
    alv_peer_view members[] = {{.node_id = "b", .address = "b:1"},
                               {.node_id = "c", .address = "c:1"}};
    fixture.verdict = alv_peer_verdict_new(TIMEOUT_MS, ignore, NULL);
    alv_peer_verdict_set_members(fixture.verdict, members, 2);
    alv_peer_hearing_init(&fixture.hearing, "b");
    alv_peer_hearing_begin(&fixture.hearing, 0);
    *state = &fixture;
    return 0;
}

static int close_ear(void **state)
{
    ear *of = *state;
    alv_peer_hearing_done(&of->hearing);
    alv_peer_verdict_free(of->verdict);
    return 0;
}

static bool take(ear *of, const char *text, int64_t now_ms)
{
    return alv_peer_hearing_take(&of->hearing, of->verdict, alv_view_of(text), now_ms);
}

static alv_peer_state state_of(const ear *of, const char *node_id)
{
    return alv_peer_verdict_find(of->verdict, node_id)->state;
}

static void hearing__takes_lines_in_any_pieces(void **state)
{
    ear *of = *state;
    static const char *const said = "hello b boot-1\nbeat c\nnews of a later version\nbeat\nbye\n";
    for (size_t i = 0; i < strlen(said); i++) {
        const char byte[] = {said[i], '\0'};
        assert_true(take(of, byte, 5));
    }
    assert_int_equal(state_of(of, "b"), ALV_PEER_LEFT);
    assert_string_equal(alv_peer_verdict_find(of->verdict, "b")->boot, "boot-1");
}

static void hearing__is_of_no_use_without_a_greeting_or_by_another(void **state)
{
    ear *of = *state;
    static const char *const wrong[] = {
        "beat\n",           "bye\n",     "hello\n",
        "hello c boot-1\n", "hello b\n", "hello b 0123456789012345678901234567890123\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        alv_peer_hearing_begin(&of->hearing, 0);
        assert_false(take(of, wrong[i], 1));
        assert_int_equal(state_of(of, "b"), ALV_PEER_UNKNOWN);
    }
    alv_peer_hearing_begin(&of->hearing, 0);
    assert_true(take(of, "hello b boot-1\n", 1));
    assert_false(take(of, "hello b boot-1\n", 1)); /* once a stream */
}

static void hearing__refuses_lines_without_an_end(void **state)
{
    ear *of = *state;
    char piece[1025] = {0};
    memset(piece, 'x', sizeof piece - 1);
    int pieces = 1;
    while (take(of, piece, 1)) {
        pieces++;
    }
    assert_int_equal(pieces, ALV_PEER_LINE_BYTES_MAX / 1024);
}

static void hearing__waits_longer_and_longer_until_a_beat_is_heard(void **state)
{
    ear *of = *state;
    int64_t waited_ms[10];
    for (int i = 0; i < 10; i++) {
        alv_peer_hearing_end(&of->hearing, 1000);
        waited_ms[i] = of->hearing.try_at_ms - 1000;
        assert_true(i == 0 || waited_ms[i] > waited_ms[i - 1] ||
                    waited_ms[i] == ALV_PEER_RETRY_MAX_MS);
    }
    assert_int_equal(waited_ms[0], 0);
    assert_int_equal(waited_ms[9], ALV_PEER_RETRY_MAX_MS);
    alv_peer_hearing_begin(&of->hearing, 2000);
    assert_true(take(of, "hello b boot-1\nbeat\n", 2000));
    alv_peer_hearing_end(&of->hearing, 2000);
    assert_int_equal(of->hearing.try_at_ms, 2000);
}

static void hearing__is_mute_when_nothing_came_for_so_long(void **state)
{
    ear *of = *state;
    assert_false(alv_peer_hearing_is_mute(&of->hearing, TIMEOUT_MS, TIMEOUT_MS - 1));
    assert_true(alv_peer_hearing_is_mute(&of->hearing, TIMEOUT_MS, TIMEOUT_MS));
    assert_true(take(of, "hello b boot-1\n", 700));
    assert_false(alv_peer_hearing_is_mute(&of->hearing, TIMEOUT_MS, 1699));
    assert_true(alv_peer_hearing_is_mute(&of->hearing, TIMEOUT_MS, 1700));
}

/* ---- what is said ------------------------------------------------------------------------------ */

static void saying__is_due_four_times_a_timeout_and_with_news(void **state)
{
    ear *of = *state;
    alv_peer_saying saying = {.beat = ALV_BYTES_EMPTY};
    assert_true(take(of, "hello b boot-1\nbeat\n", 100));
    assert_true(alv_peer_saying_turn(&saying, of->verdict, TIMEOUT_MS, 100));
    assert_false(alv_peer_saying_turn(&saying, of->verdict, TIMEOUT_MS, 349));
    assert_true(alv_peer_saying_turn(&saying, of->verdict, TIMEOUT_MS, 350));
    alv_peer_verdict_refused(of->verdict, "b");
    assert_true(alv_peer_saying_turn(&saying, of->verdict, TIMEOUT_MS, 351));
    assert_true(alv_view_equal(alv_bytes_view(&saying.beat), ALV_VIEW("beat b\n")));
    assert_false(alv_peer_saying_turn(&saying, of->verdict, TIMEOUT_MS, 352));
    alv_peer_saying_done(&saying);
}

static void saying__greets_with_a_beat(void **state)
{
    ear *of = *state;
    alv_peer_saying saying = {.beat = ALV_BYTES_EMPTY};
    alv_bytes greeting = ALV_BYTES_EMPTY;
    (void)alv_peer_saying_turn(&saying, of->verdict, TIMEOUT_MS, 1);
    alv_peer_saying_greet(&saying, "a", "boot-2", &greeting);
    assert_true(alv_view_equal(alv_bytes_view(&greeting), ALV_VIEW("hello a boot-2\nbeat\n")));
    alv_bytes_done(&greeting);
    alv_peer_saying_done(&saying);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ear, close_ear)
    const struct CMUnitTest tests[] = {
        TEST(hearing__takes_lines_in_any_pieces),
        TEST(hearing__is_of_no_use_without_a_greeting_or_by_another),
        TEST(hearing__refuses_lines_without_an_end),
        TEST(hearing__waits_longer_and_longer_until_a_beat_is_heard),
        TEST(hearing__is_mute_when_nothing_came_for_so_long),
        TEST(saying__is_due_four_times_a_timeout_and_with_news),
        TEST(saying__greets_with_a_beat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
