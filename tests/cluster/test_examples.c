/* Goal:   the scripts in examples/ do what they say, on the servers of the test run.
 * Method: they are run as a person would; each checks itself and ends with 0 only when all was as expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#define EXAMPLE_MS 180000

static void print_file(const char *path)
{
    char line[512];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        print_message("%s", line);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static void run_example(const char *path)
{
    char *directory = alv_scratch_make();
    char *output = alv_format("%s/output", directory);
    assert_non_null(getenv("ALLUVIUM_TEST_KAFKA"));
    assert_int_equal(setenv("KAFKA", getenv("ALLUVIUM_TEST_KAFKA"), 1), 0);
    const char *const argv[] = {path, NULL};
    int status = alv_process_run(
        argv, (alv_process_files){.in = NULL, .out = output, .err = output}, EXAMPLE_MS);
    if (status != 0) {
        print_file(output);
    }
    assert_int_equal(status, 0);
    alv_free(output);
    alv_scratch_remove(directory);
}

static void two_nodes__answer_alike_whoever_is_asked(void **state)
{
    (void)state;
    run_example("examples/two-nodes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes__answer_alike_whoever_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
