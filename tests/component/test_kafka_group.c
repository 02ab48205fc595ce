/* Goal:   shards move between members with the listener still able to commit, and those that stay go on; offsets
 *         move with the transaction; a seat is kept, left or taken.
 * Method: each test makes an application of its own on the broker that ALLUVIUM_TEST_KAFKA names
 *         (host:port; tests/support/topic_app.h). Without that variable all is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/group_member.h"
#include "tests/support/wait.h"

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static void commit__moves_offsets_and_abort_does_not(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {0};
    alv_error err = ALV_ERROR_NONE;
    const alv_shard_offset first[] = {{0, 5}, {3, 7}};
    const alv_shard_offset second[] = {{0, 9}};
    alv_topic_app_new(&app);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_settle(&member);
    assert_int_equal(alv_group_member_committed(&member, 0), ALV_OFFSET_NONE);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "v");
    assert_int_equal(producer->ops->commit(producer, member.consumer, first, 2, "n1-0", &err),
                     ALV_COMMIT_DONE);
    assert_int_equal(alv_group_member_committed(&member, 0), 5);
    assert_int_equal(alv_group_member_committed(&member, 3), 7);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "v");
    alv_topic_app_abort(producer);
    assert_int_equal(alv_group_member_committed(&member, 0), 5);
    alv_topic_app_begin(producer); /* offsets alone */
    assert_int_equal(producer->ops->commit(producer, member.consumer, second, 1, "n1-0", &err),
                     ALV_COMMIT_DONE);
    assert_int_equal(alv_group_member_committed(&member, 0), 9);

    alv_reader *reader = alv_topic_app_reader(&app);
    alv_shard_offset items[] = {{0, 0}, {1, 0}, {3, 0}};
    assert_int_equal(reader->ops->committed(reader, items, 3, ALV_TOPIC_APP_WAIT_MS, NULL), ALV_OK);
    assert_int_equal(items[0].offset, 9);
    assert_int_equal(items[1].offset, ALV_OFFSET_NONE);
    assert_int_equal(items[2].offset, 7);
    reader->ops->close(reader);
    producer->ops->close(producer);
    alv_group_member_leave(&member);
    alv_topic_app_done(&app);
}

static void commit_inside(alv_group_member *member)
{
    if (member->producer == NULL)
        return;
    const alv_shard_offset offsets[] = {{0, 100}, {1, 101}, {2, 102}, {3, 103}};
    alv_error err = ALV_ERROR_NONE;
    alv_topic_app_begin(member->producer);
    alv_topic_app_produce(member->producer, ALV_TOPIC_CHANGELOG, 0, "k", "inside revoked");
    member->outcome =
        member->producer->ops->commit(member->producer, member->consumer, offsets, 4, "n1-0", &err);
    member->producer->ops->close(member->producer);
    member->producer = NULL;
}

static void group__moves_shards_and_lets_the_listener_commit_first(void **state)
{
    (void)state;
    alv_topic_app one;
    alv_topic_app two;
    alv_group_member members[2] = {{.start_in_listener = true}, {0}};
    alv_topic_app_new(&one);
    alv_topic_app_join(&two, one.id, "n2");
    alv_topic_app_fill(&one, 100, 50);
    alv_group_member_join(&members[0], &one, 0);
    alv_group_member_settle(&members[0]);
    alv_group_member_read(&members[0], 15, 100);
    members[0].on_revoke = commit_inside;
    members[0].producer = alv_topic_app_producer(&one, 0);
    members[0].outcome = ALV_COMMIT_UNKNOWN;
    alv_group_member_join(&members[1], &two, 0);
    alv_group_member_settle_all(members, 2, (const int[]){2, 2});
    assert_int_equal(members[0].revocations, 1);
    assert_false(members[0].was_lost);
    assert_int_equal(members[0].outcome, ALV_COMMIT_DONE);
    for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++) {
        assert_true(members[0].owned[shard] != members[1].owned[shard]);
        if (members[1].owned[shard]) {
            assert_int_equal(alv_group_member_committed(&members[1], shard), 100 + shard);
            assert_int_equal(members[0].consumer->ops->start(members[0].consumer, shard, 0, NULL),
                             ALV_RETRY); /* not its shard any more */
            alv_group_member_start(&members[1], shard, 0);
        }
    }
    /* What stayed goes on where it was, what moved is read by its new owner. */
    alv_group_member_expect_silence(&members[0], 200);
    for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++)
        if (members[1].owned[shard])
            alv_group_member_read(&members[1], 1u << shard, 100);

    /* A static member that leaves gives its shards up at once. */
    int64_t before = now_ms();
    alv_group_member_leave(&members[1]);
    members[0].on_revoke = NULL;
    members[0].start_in_listener = false;
    alv_group_member_settle(&members[0]);
    assert_in_range(now_ms() - before, 0, 4000);
    alv_group_member_leave(&members[0]);
    alv_topic_app_done(&two);
    alv_topic_app_done(&one);
}

/* One record per shard, as the next value. */
static void write_next(alv_producer *producer, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    alv_topic_app_begin(producer);
    for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++) {
        alv_topic_app_produce(producer, ALV_TOPIC_COMMANDS, shard, "k", text);
    }
    alv_topic_app_commit(producer);
}

/* The other member neither polls nor answers meanwhile, so the rebalance that began with its joining stays
 * open: what moves has left the first member and belongs to nobody. What stays is delivered all the
 * same, without having been assigned or started again. */
static void group__delivers_what_stays_while_the_rest_moves(void **state)
{
    (void)state;
    alv_topic_app one;
    alv_topic_app two;
    alv_group_member members[2] = {{.start_in_listener = true}, {0}};
    alv_topic_app_new(&one);
    alv_topic_app_join(&two, one.id, "n2");
    alv_producer *writer = alv_topic_app_producer(&one, 60);
    alv_group_member_join(&members[0], &one, 0);
    alv_group_member_settle(&members[0]);
    write_next(writer, 0);
    alv_group_member_read(&members[0], 15, 1);

    alv_group_member_join(&members[1], &two, 0);
    int64_t deadline = alv_wait_deadline(ALV_TOPIC_APP_WAIT_MS);
    while (members[0].revocations == 0) {
        alv_group_member_poll(&members[0], 20);
        assert_false(alv_wait_expired(deadline));
    }
    assert_int_equal(alv_group_member_owned(&members[0]), 2);
    unsigned mask = 0;
    for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++) {
        mask |= members[0].owned[shard] ? 1u << shard : 0;
    }
    for (int64_t value = 1; value <= 20; value++) {
        write_next(writer, value);
        alv_group_member_read(&members[0], mask, value + 1);
    }
    for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++) {
        assert_int_equal(members[0].next[shard], members[0].owned[shard] ? 21 : 1);
    }
    assert_int_equal(members[0].revocations, 1);
    alv_group_member_settle_all(members, 2, (const int[]){2, 2});
    assert_int_equal(members[0].revocations,
                     1); /* nothing was taken twice; `assigned` checks the rest */
    write_next(writer, 21);
    alv_group_member_read(&members[0], mask, 22);
    writer->ops->close(writer);
    alv_group_member_leave(&members[1]);
    alv_group_member_leave(&members[0]);
    alv_topic_app_done(&two);
    alv_topic_app_done(&one);
}

static void group__keeps_the_seat_of_a_member_that_stays(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member first = {0};
    alv_group_member again = {0};
    alv_topic_app_new(&app);
    alv_group_member_join(&first, &app, 0);
    alv_group_member_settle(&first);
    first.consumer->ops->close(first.consumer, true);
    alv_batch_done(&first.batch);
    assert_int_equal(alv_group_member_owned(&first), 0);
    int64_t before = now_ms();
    alv_group_member_join(&again, &app, 0);
    alv_group_member_settle(&again);
    assert_in_range(now_ms() - before, 0, 3000); /* far below the session time-out */
    alv_group_member_leave(&again);
    alv_topic_app_done(&app);
}

static void consumer__is_fenced_by_another_in_its_seat(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member first = {0};
    alv_group_member second = {0};
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    alv_topic_app_new(&app);
    alv_group_member_join(&first, &app, 0);
    alv_group_member_settle(&first);
    alv_group_member_join(&second, &app, 0);
    alv_group_member_settle(&second);
    for (int64_t deadline = now_ms() + ALV_TOPIC_APP_WAIT_MS;
         status != ALV_FENCED && now_ms() < deadline;)
        status = first.consumer->ops->poll(first.consumer, 50, &first.batch, &err);
    assert_int_equal(status, ALV_FENCED);
    assert_int_equal(alv_group_member_owned(&first), 0);
    assert_true(first.was_lost);

    /* A transaction of the one without a seat cannot move offsets. */
    const alv_shard_offset offsets[] = {{0, 5}};
    alv_producer *producer = alv_topic_app_producer(&app, 1);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "never");
    err = ALV_ERROR_NONE;
    assert_int_equal(producer->ops->commit(producer, first.consumer, offsets, 1, "n1-0", &err),
                     ALV_COMMIT_ABORTED);
    assert_int_equal(err.status, ALV_ABORT);
    alv_topic_app_abort(producer);
    assert_int_equal(alv_group_member_committed(&second, 0), ALV_OFFSET_NONE);
    alv_topic_app_begin(producer); /* and the producer is still good */
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "v");
    alv_topic_app_commit(producer);
    producer->ops->close(producer);
    alv_group_member_leave(&first);
    alv_group_member_leave(&second);
    alv_topic_app_done(&app);
}

static void group__is_seen_by_others(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member members[2] = {{0}, {0}};
    alv_group_view *view = NULL;
    alv_members seen;
    alv_topic_app_new(&app);
    assert_int_equal(alv_group_view_open(app.config, &view, NULL), ALV_OK);
    assert_int_equal(alv_group_view_members(view, 5000, &seen, NULL), ALV_OK);
    assert_int_equal(seen.count, 0); /* no such group yet */
    alv_members_done(&seen);
    alv_group_member_join(&members[0], &app, 0);
    alv_group_member_join(&members[1], &app, 1);
    alv_group_member_settle_all(members, 2, (const int[]){2, 2});
    alv_error err = ALV_ERROR_NONE;
    if (alv_group_view_members(view, 5000, &seen, &err) != ALV_OK)
        fail_msg("members: %s", err.text);
    assert_int_equal(seen.count, 2);
    for (size_t i = 0; i < seen.count; i++) {
        const alv_member *found = &seen.items[i];
        assert_string_equal(found->node_id, "n1");
        assert_string_equal(found->address, alv_config_settings(app.config)->http_advertise);
        assert_in_range(found->lane, 0, 1);
        assert_int_equal(found->shard_count, 2);
        for (size_t j = 0; j < found->shard_count; j++)
            assert_true(members[found->lane].owned[found->shards[j]]);
        assert_memory_equal(found->member_id, "n1-", 3);
    }
    assert_int_not_equal(seen.items[0].lane, seen.items[1].lane);
    alv_members_done(&seen);
    alv_group_view_close(view);
    alv_group_member_leave(&members[0]);
    alv_group_member_leave(&members[1]);
    alv_topic_app_done(&app);
}

int main(void)
{
    if (alv_topic_app_broker() == NULL) {
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit__moves_offsets_and_abort_does_not),
        cmocka_unit_test(group__moves_shards_and_lets_the_listener_commit_first),
        cmocka_unit_test(group__delivers_what_stays_while_the_rest_moves),
        cmocka_unit_test(group__keeps_the_seat_of_a_member_that_stays),
        cmocka_unit_test(consumer__is_fenced_by_another_in_its_seat),
        cmocka_unit_test(group__is_seen_by_others),
    };
    return cmocka_run_group_tests_name("kafka_group", tests, NULL, NULL);
}
