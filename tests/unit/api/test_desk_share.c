/* Goal:   whatever other shards do, a shard's commands find room, as long as it answers; all together are never more
 *         than there may be.
 * Method: shards that enter and never leave, one after the other and by turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/desk_share.h"
#include "api/http_limits.h"

#define SHARDS 32
#define MAX ALV_HTTP_COMMANDS_MAX

static alv_desk_share *share;

static int open_share(void **state)
{
    (void)state;
    share = alv_desk_share_new(SHARDS);
    return 0;
}

static int close_share(void **state)
{
    (void)state;
    alv_desk_share_free(share);
    return 0;
}

/* How many the shard gets in. */
static int fill(int32_t shard)
{
    int count = 0;
    while (alv_desk_share_enter(share, shard, true) == ALV_DESK_ENTERED)
        count++;
    return count;
}

static void leave(int32_t shard, int count)
{
    for (int i = 0; i < count; i++)
        alv_desk_share_leave(share, shard);
}

static void share__one_that_is_behind_has_half(void **state)
{
    (void)state;
    assert_int_equal(fill(3), MAX / 2);
    assert_int_equal(alv_desk_share_enter(share, 3, false), ALV_DESK_SHARD_FULL);
    leave(3, 1);
    assert_int_equal(alv_desk_share_enter(share, 3, true), ALV_DESK_ENTERED);
    assert_int_equal(alv_desk_share_enter(share, 3, true), ALV_DESK_SHARD_FULL);
    assert_int_equal(alv_desk_share_under_way(share), MAX / 2);
}

/* By turns, as requests come. */
static void share__those_that_are_behind_have_the_same(void **state)
{
    (void)state;
    for (int behind = 2; behind <= SHARDS; behind++) {
        int entered[SHARDS] = {0};
        for (int i = 0; i < MAX; i++)
            entered[i % behind] +=
                alv_desk_share_enter(share, i % behind, true) == ALV_DESK_ENTERED;
        for (int32_t shard = 0; shard < behind; shard++) {
            assert_in_range(entered[shard], MAX / (behind + 1), MAX / (behind + 1) + 1);
            leave(shard, entered[shard]);
        }
    }
    assert_int_equal(alv_desk_share_under_way(share), 0);
}

/* However many are behind, there is room for another. */
static void share__there_is_always_room_for_another(void **state)
{
    (void)state;
    for (int32_t shard = 0; shard < 9; shard++) {
        assert_true(fill(shard) > 0);
        assert_int_equal(alv_desk_share_enter(share, SHARDS - 1, true), ALV_DESK_ENTERED);
        leave(SHARDS - 1, 1);
    }
    assert_in_range(alv_desk_share_under_way(share), MAX - 2, MAX);
}

static void share__never_more_than_all(void **state)
{
    (void)state;
    for (int32_t shard = 0; shard < SHARDS; shard++)
        (void)fill(shard);
    assert_int_equal(alv_desk_share_under_way(share), MAX);
    assert_int_equal(alv_desk_share_enter(share, SHARDS - 1, false), ALV_DESK_FULL);
    alv_desk_share_leave(share, 0);
    assert_int_equal(alv_desk_share_enter(share, 0, true), ALV_DESK_SHARD_FULL);
    assert_int_equal(alv_desk_share_enter(share, SHARDS - 1, true), ALV_DESK_ENTERED);
}

static void share__late_one_has_a_few(void **state)
{
    (void)state;
    int before = fill(5);
    alv_desk_share_late(share, 5);
    leave(5, before);
    assert_int_equal(fill(5), ALV_HTTP_COMMANDS_LATE_MAX);
    assert_int_equal(alv_desk_share_enter(share, 5, true), ALV_DESK_SHARD_LATE);
    assert_int_equal(alv_desk_share_enter(share, 5, false), ALV_DESK_ENTERED); /* only written */
    assert_int_equal(alv_desk_share_enter(share, 6, true), ALV_DESK_ENTERED);
    alv_desk_share_replied(share, 5);
    assert_int_equal(alv_desk_share_enter(share, 5, true), ALV_DESK_ENTERED);
}

#define SHARE_TEST(test) cmocka_unit_test_setup_teardown(test, open_share, close_share)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARE_TEST(share__one_that_is_behind_has_half),
        SHARE_TEST(share__those_that_are_behind_have_the_same),
        SHARE_TEST(share__there_is_always_room_for_another),
        SHARE_TEST(share__never_more_than_all),
        SHARE_TEST(share__late_one_has_a_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
