/* Goal:   each event is one line of logfmt that any parser takes, whatever the values hold.
 * Method: stderr is a file while the test logs; what comes out is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logger.h"
#include "tests/support/log_capture.h"

#define TIME_LENGTH (sizeof "2026-11-21T10:00:00.123Z" - 1)

static alv_log_capture capture;

static void capture_begin(void)
{
    alv_log_capture_done(&capture);
    alv_log_capture_begin(&capture);
}

/* Everything that was logged since capture_begin. */
static char *capture_end(void)
{
    return alv_log_capture_end(&capture);
}

/* What stands behind the time, after a look at the time. */
static char *after_time(char *line)
{
    assert_true(strlen(line) > TIME_LENGTH);
    const char *form = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] == 'd')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], form[i]);
    }
    return line + TIME_LENGTH;
}

static void log__writes_the_fixed_keys_first(void **state)
{
    (void)state;
    alv_log_set_thread("lane-0");
    capture_begin();
    alv_log(ALV_LOG_INFO, "shard-state", "shard=%d from=%s to=%s", 7, "restoring", "active");
    assert_string_equal(after_time(capture_end()),
                        " level=info thread=lane-0 event=shard-state shard=7 from=restoring "
                        "to=active\n");
}

static void log__without_values_ends_after_the_event(void **state)
{
    (void)state;
    alv_log_set_thread("lane-0");
    capture_begin();
    alv_log(ALV_LOG_WARN, "stopping", "%s", "");
    assert_string_equal(after_time(capture_end()), " level=warn thread=lane-0 event=stopping\n");
}

static void log__escapes_control_characters(void **state)
{
    (void)state;
    alv_log_set_thread("main");
    capture_begin();
    alv_log(ALV_LOG_ERROR, "odd", "msg=\"%s\"",
            "a\nb\rc\td\x01"
            "e\x7f"
            "f\xff"
            "g\xc3\xa4");
    assert_string_equal(after_time(capture_end()),
                        " level=error thread=main event=odd "
                        "msg=\"a\\nb\\rc\\td\\x01e\\x7ff\\xffg\xc3\xa4\"\n");
}

static void log__respects_the_level(void **state)
{
    (void)state;
    assert_true(alv_log_enabled(ALV_LOG_INFO));
    assert_false(alv_log_enabled(ALV_LOG_DEBUG));
    alv_log_set_level(ALV_LOG_WARN);
    assert_false(alv_log_enabled(ALV_LOG_INFO));
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail(&err, ALV_RETRY, "unseen");
    capture_begin();
    alv_log(ALV_LOG_INFO, "unseen", "%s", "");
    alv_log_text(ALV_LOG_DEBUG, "unseen", "text", "%s", "");
    alv_log_error(ALV_LOG_INFO, "unseen", &err, "%s", "");
    assert_string_equal(capture_end(), "");
    alv_log_set_level(ALV_LOG_INFO);
}

static void log__cuts_long_lines_and_still_ends_them(void **state)
{
    (void)state;
    char *value = malloc(10000);
    memset(value, '\n', 9999);
    value[9999] = '\0';
    capture_begin();
    alv_log(ALV_LOG_INFO, "long", "value=%s", value);
    alv_log_text(ALV_LOG_INFO, "long", value, "a=%d", 1);
    free(value);
    char *lines = capture_end();
    char *second = strchr(lines, '\n') + 1;
    assert_in_range(second - lines, 4000, 4096);
    assert_in_range(strlen(second), 4000, 4096);
    assert_string_equal(second + strlen(second) - 4, "\\n\"\n"); /* no half escape, and the quote */
    assert_ptr_equal(strchr(second, '\n'), second + strlen(second) - 1);
}

/* Nobody reads the pipe, and the test would never end if somebody waited for that. */
static void log__of_a_reader_that_stands_still_is_lost_and_counted(void **state)
{
    (void)state;
    static char text[1 << 20];
    int ends[2];
    int before = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    for (int i = 0; i < 3000; i++) { /* more than fits */
        alv_log(ALV_LOG_INFO, "unread", "number=%d padding=%0100d", i, 0);
    }
    ssize_t first = read(ends[0], text, sizeof text - 1);
    alv_log(ALV_LOG_INFO, "read", "number=%d", 1);
    ssize_t then = read(ends[0], text + first, sizeof text - 1 - (size_t)first);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    (void)close(before);
    (void)close(ends[0]);
    (void)close(ends[1]);

    assert_true(first > 0 && then > 0);
    text[first + then] = '\0';
    int written = 0;
    for (const char *at = text; (at = strstr(at, "event=unread")) != NULL; at++) {
        written++;
    }
    const char *lost = strstr(text, "event=log-lost lines=");
    assert_non_null(lost);
    assert_int_equal(atoi(lost + strlen("event=log-lost lines=")), 3000 - written);
    assert_non_null(strstr(lost, "event=read number=1\n"));
}

static void log_text__quotes_what_others_wrote(void **state)
{
    (void)state;
    alv_log_set_thread("main");
    capture_begin();
    alv_log_text(ALV_LOG_WARN, "rdkafka", "Topic \"a\\b\" is\naway", "facility=%s", "FAIL");
    assert_string_equal(after_time(capture_end()),
                        " level=warn thread=main event=rdkafka facility=FAIL "
                        "msg=\"Topic \\\"a\\\\b\\\" is\\naway\"\n");
}

static void log_error__says_what_and_where(void **state)
{
    (void)state;
    alv_log_set_thread("main");
    alv_error err = ALV_ERROR_NONE;
    (void)alv_error_set(&err, ALV_ABORT, "rdkafka", -185, "topics/kafka_log.c", 12,
                        "broker \"%s\" timed out", "b1");
    capture_begin();
    alv_log_error(ALV_LOG_WARN, "commit-aborted", &err, "shard=%d", 3);
    assert_string_equal(after_time(capture_end()),
                        " level=warn thread=main event=commit-aborted shard=3 error=\"broker "
                        "\\\"b1\\\" timed out\" status=abort source=rdkafka code=-185 "
                        "at=kafka_log.c:12\n");
}

static void log_error__takes_an_empty_error(void **state)
{
    (void)state;
    alv_log_set_thread("main");
    alv_error err = ALV_ERROR_NONE;
    capture_begin();
    alv_log_error(ALV_LOG_WARN, "odd", &err, "%s", "");
    assert_string_equal(after_time(capture_end()),
                        " level=warn thread=main event=odd error=\"\" status=ok source=none code=0 "
                        "at=none:0\n");
}

static void log__leaves_errno_alone(void **state)
{
    (void)state;
    capture_begin();
    (void)close(STDERR_FILENO);
    errno = ENOENT;
    alv_log(ALV_LOG_INFO, "lost", "%s", "");
    int after = errno;
    assert_string_equal(capture_end(), "");
    assert_int_equal(after, ENOENT);
}

static void *other_thread(void *payload)
{
    (void)payload;
    char name[32];
    alv_log_set_thread("a-name-that-is-far-too-long");
    (void)pthread_getname_np(pthread_self(), name, sizeof name);
    alv_log(ALV_LOG_INFO, "other", "name=%s", name);
    return NULL;
}

static void thread__name_belongs_to_one_thread_and_is_cut(void **state)
{
    (void)state;
    pthread_t thread;
    alv_log_set_thread("main");
    capture_begin();
    int failed = pthread_create(&thread, NULL, other_thread, NULL);
    if (failed == 0)
        (void)pthread_join(thread, NULL);
    alv_log(ALV_LOG_INFO, "mine", "%s", "");
    char *lines = capture_end();
    assert_int_equal(failed, 0);
    assert_non_null(strstr(lines, "thread=a-name-that-is- event=other name=a-name-that-is-\n"));
    assert_non_null(strstr(lines, "thread=main event=mine\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log__writes_the_fixed_keys_first),
        cmocka_unit_test(log__without_values_ends_after_the_event),
        cmocka_unit_test(log__escapes_control_characters),
        cmocka_unit_test(log__respects_the_level),
        cmocka_unit_test(log__cuts_long_lines_and_still_ends_them),
        cmocka_unit_test(log__of_a_reader_that_stands_still_is_lost_and_counted),
        cmocka_unit_test(log_text__quotes_what_others_wrote),
        cmocka_unit_test(log_error__says_what_and_where),
        cmocka_unit_test(log_error__takes_an_empty_error),
        cmocka_unit_test(log__leaves_errno_alone),
        cmocka_unit_test(thread__name_belongs_to_one_thread_and_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
