#include "testkit/test_run.h"

#include <limits.h>
#include <stdio.h>

#include "base/bytes.h"

static void run_failed(void *payload, const char *file, int line, const char *text)
{
    alv_bytes_printf(payload, "%s:%d: %s\n", file, line, text);
}

size_t alv_test_run_each(const alv_test_case *tests, size_t count, alv_test_told told,
                         void *payload)
{
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        alv_bytes report = ALV_BYTES_EMPTY;
        alv_test *test = alv_test_new(tests[i].behavior, tests[i].key);
        alv_test_on_failure(test, run_failed, &report);
        tests[i].run(test);
        failed += alv_test_free(test) > 0;
        alv_bytes_append(&report, "", 1); /* the NUL */
        told(payload, &tests[i], report.data);
        alv_bytes_done(&report);
    }
    return failed;
}

static void run_print(void *payload, const alv_test_case *test, const char *report)
{
    (void)payload;
    printf("%-6s%s\n%s", report[0] == '\0' ? "ok" : "FAIL", test->name, report);
}

int alv_test_run(const alv_test_case *tests, size_t count)
{
    size_t failed = alv_test_run_each(tests, count, run_print, NULL);
    printf("%zu passed, %zu failed\n", count - failed, failed);
    return failed > INT_MAX ? INT_MAX : (int)failed;
}
