/* Goal:   an armed process dies or stops at the place that was named, the given time it gets there, and
 *         nothing else ever does.
 * Method: child processes arm themselves and pass places; the parent sees how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

#define EXIT_BAD 99

/* The status of a child that is armed with `text` and then passes `fault` so many times; it exits with the
 * number of times it came through. */
static int run_child(const char *text, alv_fault fault, int times)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (alv_fault_arm(text, NULL) != ALV_OK) {
            _exit(EXIT_BAD);
        }
        for (int i = 0; i < times; i++) {
            alv_fault_reach(fault);
        }
        _exit(times);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        assert_int_equal(kill(child, SIGCONT), 0);
        int after = 0;
        assert_int_equal(waitpid(child, &after, 0), child);
        assert_true(WIFEXITED(after)); /* once is enough: it came through */
    }
    return status;
}

static bool dies(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void reach__kills_at_the_named_place_and_time(void **state)
{
    (void)state;
    assert_true(dies(run_child("after-send", ALV_FAULT_AFTER_SEND, 1)));
    assert_true(dies(run_child("after-send:3", ALV_FAULT_AFTER_SEND, 3)));
    assert_true(dies(run_child("before-end:3:kill", ALV_FAULT_BEFORE_END, 9)));
    int status = run_child("after-send:3", ALV_FAULT_AFTER_SEND, 2);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

static void reach__passes_other_places(void **state)
{
    (void)state;
    for (int fault = ALV_FAULT_NONE + 1; fault < ALV_FAULT_COUNT; fault++) {
        int status = run_child("in-finish", (alv_fault)fault, 1);
        assert_int_equal(dies(status), fault == ALV_FAULT_IN_FINISH);
    }
    assert_true(WIFEXITED(run_child(NULL, ALV_FAULT_IN_FINISH, 1)));
}

static void reach__stops_once(void **state)
{
    (void)state;
    assert_true(WIFSTOPPED(run_child("before-send:2:stop", ALV_FAULT_BEFORE_SEND, 5)));
}

static void arm__knows_every_place_and_refuses_others(void **state)
{
    (void)state;
    for (int fault = ALV_FAULT_NONE + 1; fault < ALV_FAULT_COUNT; fault++) {
        assert_true(dies(run_child(alv_fault_name((alv_fault)fault), (alv_fault)fault, 1)));
    }
    static const char *const wrong[] = {
        "",
        "none",
        "after",
        "after-send-",
        "after-send:0",
        "after-send:",
        "after-send:x",
        "after-send:1:die",
        "after-send:1:",
        "after-send:kill",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        alv_error err = ALV_ERROR_NONE;
        assert_int_equal(alv_fault_arm(wrong[i], &err), ALV_REJECT);
        assert_int_equal(alv_fault_armed, ALV_FAULT_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reach__kills_at_the_named_place_and_time),
        cmocka_unit_test(reach__passes_other_places),
        cmocka_unit_test(reach__stops_once),
        cmocka_unit_test(arm__knows_every_place_and_refuses_others),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
