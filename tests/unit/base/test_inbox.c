/* Goal:   messages arrive once and in order, a full inbox holds its senders back, and closing frees
 *         whoever waits.
 * Method: direct calls on one thread, then real threads. Where a thread must be seen to wait, the
 *         test polls until it has reached that point; no result depends on how long anything takes.
 *         */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/inbox.h"

#define WAIT_MS 10000
#define SENDERS 3
#define MESSAGES 20000

/* Of tests in which threads take turns one message at a time: each turn costs a round of the scheduler,
 * which is long on a busy machine. */
#define TURNS 500
#define ROUNDS 50

static atomic_int freed_count;

static void count_freed(void *message)
{
    (void)message;
    freed_count++;
}

static int one = 1;
static int two = 2;
static int three = 3;

static void take__gives_messages_in_order(void **state)
{
    (void)state;
    alv_inbox *inbox = alv_inbox_new(3, NULL);
    assert_null(alv_inbox_take(inbox));
    /* Round the ring more than once, at every offset. */
    for (int i = 0; i < 10; i++) {
        assert_true(alv_inbox_post(inbox, &one));
        assert_true(alv_inbox_post(inbox, &two));
        assert_ptr_equal(alv_inbox_take(inbox), &one);
        assert_true(alv_inbox_post(inbox, &three));
        assert_ptr_equal(alv_inbox_take(inbox), &two);
        assert_ptr_equal(alv_inbox_take(inbox), &three);
        assert_null(alv_inbox_take(inbox));
    }
    alv_inbox_free(inbox);
    alv_inbox_free(NULL);
}

static void try_post__is_refused_when_full(void **state)
{
    (void)state;
    freed_count = 0;
    alv_inbox *inbox = alv_inbox_new(2, count_freed);
    assert_true(alv_inbox_try_post(inbox, &one));
    assert_true(alv_inbox_try_post(inbox, &two));
    assert_false(alv_inbox_try_post(inbox, &three));
    assert_int_equal(freed_count, 0);
    assert_ptr_equal(alv_inbox_take(inbox), &one);
    assert_true(alv_inbox_try_post(inbox, &three));
    alv_inbox_free(inbox);
    assert_int_equal(freed_count, 2);
}

static void close__refuses_posts_and_keeps_what_is_inside(void **state)
{
    (void)state;
    freed_count = 0;
    alv_inbox *inbox = alv_inbox_new(4, count_freed);
    assert_true(alv_inbox_post(inbox, &one));
    assert_false(alv_inbox_is_closed(inbox));
    alv_inbox_close(inbox);
    assert_true(alv_inbox_is_closed(inbox));
    assert_false(alv_inbox_try_post(inbox, &two)); /* stays ours */
    assert_int_equal(freed_count, 0);
    assert_false(alv_inbox_post(inbox, &three)); /* is freed */
    assert_int_equal(freed_count, 1);
    assert_true(alv_inbox_wait(inbox, WAIT_MS));
    assert_ptr_equal(alv_inbox_take(inbox), &one);
    assert_false(alv_inbox_wait(inbox, WAIT_MS)); /* at once: nothing will come */
    alv_inbox_free(inbox);
}

static void wait__ends_after_its_time(void **state)
{
    (void)state;
    alv_inbox *inbox = alv_inbox_new(1, NULL);
    assert_false(alv_inbox_wait(inbox, 0));
    int64_t before_us = alv_monotonic_us(alv_clock_system());
    assert_false(alv_inbox_wait(inbox, 20));
    assert_true(alv_monotonic_us(alv_clock_system()) - before_us >= 20000);
    alv_inbox_free(inbox);
}

static void count_wakes(void *payload)
{
    atomic_int *wakes = payload;
    (*wakes)++;
}

static void wake__is_called_after_each_post_that_was_taken(void **state)
{
    (void)state;
    atomic_int wakes = 0;
    alv_inbox *inbox = alv_inbox_new(2, NULL);
    alv_inbox_set_wake(inbox, count_wakes, &wakes);
    (void)alv_inbox_post(inbox, &one);
    (void)alv_inbox_try_post(inbox, &two);
    (void)alv_inbox_try_post(inbox, &three); /* full */
    assert_int_equal(wakes, 2);
    alv_inbox_close(inbox);
    assert_false(alv_inbox_post(inbox, &three));
    assert_int_equal(wakes, 2);
    alv_inbox_free(inbox);
}

typedef struct sender {
    alv_inbox *inbox;
    pthread_t thread;
    int count;            /* of messages to post */
    int values[MESSAGES]; /* the messages */
    atomic_int posted;
    atomic_bool refused;
} sender;

static void *sender_run(void *payload)
{
    sender *self = payload;
    for (int i = 0; i < self->count; i++) {
        self->values[i] = i; /* written here, read by the receiver: TSan checks the hand-over */
        if (!alv_inbox_post(self->inbox, &self->values[i])) {
            self->refused = true;
            break;
        }
        self->posted++;
    }
    return NULL;
}

static void sender_start(sender *self, alv_inbox *inbox, int count)
{
    self->inbox = inbox;
    self->count = count;
    self->posted = 0;
    self->refused = false;
    assert_int_equal(pthread_create(&self->thread, NULL, sender_run, self), 0);
}

static sender senders[SENDERS];

static void check_in_order(int *next, const int *message)
{
    for (int i = 0; i < SENDERS; i++) {
        if (message >= senders[i].values && message < senders[i].values + MESSAGES) {
            assert_int_equal(*message, next[i]);
            next[i]++;
            return;
        }
    }
    fail_msg("a message nobody sent");
}

static void post__loses_nothing_between_threads(void **state)
{
    (void)state;
    int next[SENDERS] = {0};
    alv_inbox *inbox = alv_inbox_new(16, NULL);
    for (int i = 0; i < SENDERS; i++)
        sender_start(&senders[i], inbox, MESSAGES);
    for (int received = 0; received < SENDERS * MESSAGES;) {
        assert_true(alv_inbox_wait(inbox, WAIT_MS));
        int *message;
        while ((message = alv_inbox_take(inbox)) != NULL) {
            check_in_order(next, message);
            received++;
        }
    }
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    assert_null(alv_inbox_take(inbox));
    alv_inbox_free(inbox);
}

/* Polls with a deadline; the scheduler gets the time in between. */
static void await_posted(sender *who, int count)
{
    int64_t deadline_us = alv_monotonic_us(alv_clock_system()) + WAIT_MS * 1000;
    while (who->posted < count) {
        assert_true(alv_monotonic_us(alv_clock_system()) < deadline_us);
        (void)sched_yield();
    }
}

static void post__waits_for_room(void **state)
{
    (void)state;
    const int capacity = 5;
    alv_inbox *inbox = alv_inbox_new((size_t)capacity, NULL);
    sender_start(&senders[0], inbox, TURNS);
    for (int taken = 0; taken + capacity < TURNS; taken++) {
        await_posted(&senders[0], taken + capacity);
        assert_int_equal(senders[0].posted, taken + capacity); /* never ahead by more */
        assert_ptr_equal(alv_inbox_take(inbox), &senders[0].values[taken]);
    }
    assert_int_equal(pthread_join(senders[0].thread, NULL), 0);
    alv_inbox_free(inbox);
}

static void close_under_senders(void)
{
    freed_count = 0;
    alv_inbox *inbox = alv_inbox_new(1, count_freed);
    for (int i = 0; i < SENDERS; i++)
        sender_start(&senders[i], inbox, MESSAGES);
    assert_true(alv_inbox_wait(inbox, WAIT_MS));
    for (int i = 0; i < 10; i++) /* time for the others to find it full, in most rounds */
        (void)sched_yield();
    alv_inbox_close(inbox);
    int posted = 0;
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
        assert_true(senders[i].refused);
        posted += senders[i].posted;
    }
    assert_int_equal(posted, 1);
    assert_int_equal(freed_count, SENDERS);
    alv_inbox_free(inbox);
    assert_int_equal(freed_count, SENDERS + 1);
}

/* From outside nobody sees that a thread waits, so the odds are made good by many rounds. */
static void close__frees_senders_that_wait(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++)
        close_under_senders();
}

static void *closer_run(void *payload)
{
    alv_inbox_close(payload);
    return NULL;
}

static void close__frees_the_owner_that_waits(void **state)
{
    (void)state;
    alv_inbox *inbox = alv_inbox_new(1, NULL);
    pthread_t closer;
    int64_t before_us = alv_monotonic_us(alv_clock_system());
    assert_int_equal(pthread_create(&closer, NULL, closer_run, inbox), 0);
    assert_false(alv_inbox_wait(inbox, 2 * WAIT_MS));
    assert_true(alv_monotonic_us(alv_clock_system()) - before_us < WAIT_MS * 1000);
    assert_int_equal(pthread_join(closer, NULL), 0);
    alv_inbox_free(inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__gives_messages_in_order),
        cmocka_unit_test(try_post__is_refused_when_full),
        cmocka_unit_test(close__refuses_posts_and_keeps_what_is_inside),
        cmocka_unit_test(wait__ends_after_its_time),
        cmocka_unit_test(wake__is_called_after_each_post_that_was_taken),
        cmocka_unit_test(post__loses_nothing_between_threads),
        cmocka_unit_test(post__waits_for_room),
        cmocka_unit_test(close__frees_senders_that_wait),
        cmocka_unit_test(close__frees_the_owner_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
