/* Goal: a command whose result was not all taken by stdout does not end with 0.
 * Method: children whose stdout is /dev/full print in all the ways in which text can get lost before the last
 * flush, which then has nothing left to fail with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/cli_common.h"

static const alv_cli_options options = {.name = "alluvium test"};

static void print_nothing(void)
{
}

static void print_little(void)
{
    (void)printf("a result\n");
}

/* More than is buffered: written at once, and forgotten when that fails. */
static void print_much(void)
{
    static char text[16 * BUFSIZ];
    memset(text, 'x', sizeof text);
    (void)fwrite(text, 1, sizeof text, stdout);
}

/* As a command does that shows how it is now, and goes on. */
static void print_and_flush(void)
{
    print_little();
    (void)fflush(stdout);
}

/* As a command does that has something to say besides. */
static void print_and_warn(void)
{
    print_little();
    (void)alv_cli_fail(&options, ALV_EXIT_DONE, NULL, "something was odd");
}

/* The exit status of a command that would have ended with `status`. */
static int exit_status(const char *path, void (*print)(void), int status)
{
    (void)fflush(NULL); /* or the child would write it as well */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int out = open(path, O_WRONLY | O_CLOEXEC);
        int err = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) {
            _exit(99);
        }
        print();
        _exit(alv_cli_finish(&options, status));
    }
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    return WEXITSTATUS(ended);
}

static void cli_common__a_result_that_is_lost_is_a_failure(void **state)
{
    (void)state;
    void (*const prints[])(void) = {print_little, print_much, print_and_flush, print_and_warn};
    for (size_t i = 0; i < sizeof prints / sizeof prints[0]; i++) {
        assert_int_equal(exit_status("/dev/full", prints[i], ALV_EXIT_DONE), ALV_EXIT_FAILED);
        assert_int_equal(exit_status("/dev/null", prints[i], ALV_EXIT_DONE), ALV_EXIT_DONE);
    }
}

static void cli_common__any_other_status_stays(void **state)
{
    (void)state;
    assert_int_equal(exit_status("/dev/full", print_nothing, ALV_EXIT_DONE), ALV_EXIT_DONE);
    assert_int_equal(exit_status("/dev/full", print_much, ALV_EXIT_USAGE), ALV_EXIT_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cli_common__a_result_that_is_lost_is_a_failure),
        cmocka_unit_test(cli_common__any_other_status_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
