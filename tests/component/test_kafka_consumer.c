/* Goal:   no record is skipped or handed out from before a `start`, shards are paused one by one, and a poll that
 *         waits is woken.
 * Method: each test makes an application of its own on the broker that ALLUVIUM_TEST_KAFKA names
 *         (host:port; tests/support/topic_app.h). Without that variable all is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
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

static void consumer__is_silent_until_started(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {0};
    alv_topic_app_new(&app);
    alv_topic_app_fill(&app, 10, 5);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_settle(&member);
    alv_group_member_expect_silence(&member, 300);
    alv_group_member_start(&member, 2, 0);
    alv_group_member_read(&member, 1u << 2, 10);
    assert_int_equal(member.next[0] + member.next[1] + member.next[3], 0);
    alv_group_member_leave(&member);
    assert_int_equal(alv_group_member_owned(&member), 0);
    assert_false(member.was_lost);
    alv_topic_app_done(&app);
}

static void consumer__can_be_started_inside_the_listener(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {.start_in_listener = true};
    alv_topic_app_new(&app);
    alv_topic_app_fill(&app, 200, 50);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_read(&member, 15, 200);
    alv_group_member_leave(&member);
    alv_topic_app_done(&app);
}

/* Sends shards back again and again while records stream in, as aborts do. member_check fails on
 * the first record that is skipped, repeated or from before a start. */
static void consumer__starts_again_from_earlier_exactly(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {0};
    int64_t offsets[ALV_TOPIC_APP_SHARDS][20000]; /* offset of each value */
    const int count = 20000;
    unsigned random = 7;
    alv_topic_app_new(&app);
    alv_topic_app_fill(&app, count, 1000);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_settle(&member);
    alv_group_member_start_all(&member);
    for (int round = 0; round < 400; round++) {
        if (alv_group_member_poll(&member, 100) > 0)
            for (size_t i = 0; i < member.batch.count; i++) {
                const alv_record *record = &member.batch.records[i];
                offsets[record->shard][atoi(record->value.data)] = record->offset;
            }
        random = random * 1103515245u + 12345u;
        int32_t shard = (int32_t)(random >> 16) % ALV_TOPIC_APP_SHARDS;
        if (round % 3 == 0 && member.next[shard] > 0) {
            int64_t back = (int64_t)(random >> 18) % member.next[shard];
            if (round % 6 == 0)
                assert_int_equal(member.consumer->ops->pause(member.consumer, shard, NULL), ALV_OK);
            member.next[shard] = back;
            member.after[shard] = offsets[shard][back];
            alv_group_member_start(&member, shard, offsets[shard][back]);
        }
    }
    alv_group_member_read(&member, 15, count);
    alv_group_member_expect_silence(&member, 200);

    /* From the end on, from 0 on, and behind an aborted record. */
    int64_t start;
    int64_t end;
    assert_int_equal(member.consumer->ops->range(member.consumer, 0, &start, &end, NULL), ALV_OK);
    assert_int_equal(start, 0);
    assert_true(end > count);
    alv_group_member_start(&member, 0, end);
    alv_group_member_expect_silence(&member, 200);
    alv_group_member_start_all(&member);
    alv_group_member_read(&member, 15, count);
    alv_group_member_leave(&member);
    alv_topic_app_done(&app);
}

static void consumer__pauses_a_shard_and_not_the_others(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {0};
    alv_topic_app_new(&app);
    alv_topic_app_fill(&app, 5000, 1000);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_settle(&member);
    alv_group_member_start_all(&member);
    while (member.next[1] == 0)
        alv_group_member_poll(&member, 100);
    assert_int_equal(member.consumer->ops->pause(member.consumer, 1, NULL), ALV_OK);
    int64_t paused_at = member.next[1];
    int64_t paused_after = member.after[1];
    alv_group_member_read(&member, 13, 5000);
    alv_group_member_expect_silence(&member, 100);
    assert_int_equal(member.next[1], paused_at);
    alv_group_member_start(&member, 1, paused_after);
    alv_group_member_read(&member, 15, 5000);
    alv_group_member_leave(&member);
    alv_topic_app_done(&app);
}

static void consumer__says_when_an_offset_is_gone_and_can_start_elsewhere(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {0};
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    alv_topic_app_new(&app);
    alv_topic_app_fill(&app, 20, 10);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_settle(&member);
    alv_group_member_start(&member, 1, 1000);
    for (int64_t deadline = now_ms() + ALV_TOPIC_APP_WAIT_MS;
         status == ALV_OK && now_ms() < deadline;)
        status = member.consumer->ops->poll(member.consumer, 100, &member.batch, &err);
    assert_int_equal(status, ALV_RETRY);
    assert_non_null(strstr(err.text, "shard 1"));
    alv_group_member_start_all(&member);
    alv_group_member_read(&member, 15, 20);
    alv_group_member_leave(&member);
    alv_topic_app_done(&app);
}

typedef struct test_waker {
    alv_group_member *member;
    atomic_bool poll_is_over;
} test_waker;

static bool waker_wakes(void *payload)
{
    test_waker *waker = payload;
    bool over = atomic_load(&waker->poll_is_over);
    if (!over) {
        waker->member->consumer->ops->wake(waker->member->consumer);
    }
    return over;
}

/* Nobody can see whether the other thread is in poll yet, so it is woken until poll is over. */
static void *waker_main(void *payload)
{
    (void)alv_wait_until(waker_wakes, payload, ALV_TOPIC_APP_WAIT_MS);
    return NULL;
}

static void consumer__is_woken_from_another_thread(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_group_member member = {0};
    test_waker waker = {.member = &member};
    pthread_t thread;
    alv_topic_app_new(&app);
    alv_group_member_join(&member, &app, 0);
    alv_group_member_settle(&member);
    alv_group_member_expect_silence(&member, 100);
    int64_t before = now_ms();
    pthread_create(&thread, NULL, waker_main, &waker);
    alv_group_member_poll(&member, ALV_TOPIC_APP_WAIT_MS);
    atomic_store(&waker.poll_is_over, true);
    assert_true(now_ms() - before < ALV_TOPIC_APP_WAIT_MS / 2);
    pthread_join(thread, NULL);
    alv_group_member_leave(&member);
    alv_topic_app_done(&app);
}

int main(void)
{
    if (alv_topic_app_broker() == NULL) {
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consumer__is_silent_until_started),
        cmocka_unit_test(consumer__can_be_started_inside_the_listener),
        cmocka_unit_test(consumer__starts_again_from_earlier_exactly),
        cmocka_unit_test(consumer__pauses_a_shard_and_not_the_others),
        cmocka_unit_test(consumer__says_when_an_offset_is_gone_and_can_start_elsewhere),
        cmocka_unit_test(consumer__is_woken_from_another_thread),
    };
    return cmocka_run_group_tests_name("kafka_consumer", tests, NULL, NULL);
}
