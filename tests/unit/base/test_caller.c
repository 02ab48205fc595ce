/* Goal:   a call that hangs is left behind, with the owner going on; what it uses is freed when it returns
 *         at last, and only then.
 * Method: real threads. Calls hang at a gate that the test opens; nothing depends on how long anything
 *         takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/caller.h"
#include "tests/support/wait.h"

#define WAIT_MS 20000
#define SHORT_MS 20

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool is_open;
} gate;

static gate the_gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void gate_set(bool open)
{
    pthread_mutex_lock(&the_gate.lock);
    the_gate.is_open = open;
    pthread_cond_broadcast(&the_gate.opened);
    pthread_mutex_unlock(&the_gate.lock);
}

static void gate_pass(void)
{
    pthread_mutex_lock(&the_gate.lock);
    while (!the_gate.is_open) {
        pthread_cond_wait(&the_gate.opened, &the_gate.lock);
    }
    pthread_mutex_unlock(&the_gate.lock);
}

/* What a call uses and who saw it last. */
typedef struct work {
    int sum; /* plain: run and wait must make it visible */
    pthread_t thread;
} work;

static atomic_int freed;

static void work_add(void *payload)
{
    work *mine = payload;
    mine->sum++;
    mine->thread = pthread_self();
}

static void work_hang(void *payload)
{
    gate_pass();
    work_add(payload);
}

static void work_free(void *payload)
{
    alv_free(payload);
    atomic_fetch_add(&freed, 1);
}

static bool has_freed(void *payload)
{
    (void)payload;
    return atomic_load(&freed) == 1;
}

static bool none_is_left(void *payload)
{
    (void)payload;
    return alv_callers_left() == 0;
}

static int reset(void **state)
{
    (void)state;
    gate_set(false);
    atomic_store(&freed, 0);
    return 0;
}

static void run__makes_calls_on_a_thread_of_its_own(void **state)
{
    (void)state;
    work *mine = alv_alloc(sizeof *mine);
    alv_caller *caller = alv_caller_new("caller");
    for (int i = 1; i <= 1000; i++) {
        assert_true(alv_caller_run(caller, work_add, mine, WAIT_MS));
        assert_int_equal(mine->sum, i);
    }
    assert_false(pthread_equal(mine->thread, pthread_self()));
    assert_true(alv_caller_end(caller, work_free, mine, WAIT_MS));
    assert_true(has_freed(NULL));
    assert_int_equal(alv_callers_left(), 0);
}

static void wait__sees_a_late_call_return(void **state)
{
    (void)state;
    work *mine = alv_alloc(sizeof *mine);
    alv_caller *caller = alv_caller_new("caller");
    assert_false(alv_caller_run(caller, work_hang, mine, SHORT_MS));
    assert_false(alv_caller_wait(caller, SHORT_MS));
    gate_set(true);
    assert_true(alv_caller_wait(caller, WAIT_MS));
    assert_int_equal(mine->sum, 1);
    assert_true(alv_caller_run(caller, work_add, mine, WAIT_MS));
    assert_int_equal(mine->sum, 2);
    assert_true(alv_caller_end(caller, work_free, mine, WAIT_MS));
}

static void end__leaves_a_hanging_call_behind_until_it_returns(void **state)
{
    (void)state;
    alv_caller *caller = alv_caller_new("caller");
    work *theirs = alv_alloc(sizeof *theirs);
    assert_false(alv_caller_run(caller, work_hang, theirs, SHORT_MS));
    assert_false(alv_caller_end(caller, work_free, theirs, SHORT_MS));
    assert_int_equal(alv_callers_left(), 1);
    assert_int_equal(atomic_load(&freed), 0); /* it is still used */
    gate_set(true);
    assert_true(alv_wait_until(has_freed, NULL, WAIT_MS));
    assert_true(alv_wait_until(none_is_left, NULL, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(run__makes_calls_on_a_thread_of_its_own, reset),
        cmocka_unit_test_setup(wait__sees_a_late_call_return, reset),
        cmocka_unit_test_setup(end__leaves_a_hanging_call_behind_until_it_returns, reset),
    };
    return cmocka_run_group_tests_name("caller", tests, NULL, NULL);
}
