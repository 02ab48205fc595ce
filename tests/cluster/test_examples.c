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
#include "tests/support/plugin.h"
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

/* ---- an author who has what is installed, and nothing else --------------------------------------- */

/* What is compiled there is linked with the test kit of this build, so it needs the same sanitizer. */
static void use_the_same_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__)
    assert_int_equal(setenv("CFLAGS", "-g -fsanitize=address,undefined", 1), 0);
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    assert_int_equal(setenv("CFLAGS", "-g -fsanitize=thread", 1), 0);
    assert_int_equal(setenv("CC", "clang", 1), 0);
#endif
#endif
}

static void install(const char *prefix)
{
    char *build = alv_plugin_build_folder();
    const char *const argv[] = {"cmake", "--install", build, "--prefix", prefix, NULL};
    int status = alv_process_run(
        argv, (alv_process_files){.in = NULL, .out = "/dev/stderr", .err = "/dev/stderr"},
        EXAMPLE_MS);
    assert_int_equal(status, 0);
    alv_free(build);
}

static void cart__is_built_from_what_is_installed_and_sells(void **state)
{
    (void)state;
    char *prefix = alv_scratch_make();
    install(prefix);
    const char *before = getenv("PKG_CONFIG_PATH");
    char *path = alv_format("%s/lib/pkgconfig:%s/lib64/pkgconfig:%s", prefix, prefix,
                            before != NULL ? before : "");
    assert_int_equal(setenv("PKG_CONFIG_PATH", path, 1), 0);
    use_the_same_sanitizer();
    run_example("examples/cart/try");
    alv_free(path);
    alv_scratch_remove(prefix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes__answer_alike_whoever_is_asked),
        cmocka_unit_test(cart__is_built_from_what_is_installed_and_sells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
