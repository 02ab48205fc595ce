/* Goal:   a directory that cannot be used is refused with the file and the reason, keeps what is in it, and is free for
 *         the next who asks.
 * Method: directories by hand, spoilt in one way each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "statestore/store_directory_internal.h"
#include "tests/support/scratch.h"

static char *scratch;
static char *directory; /* in it, not made yet */

static int setup(void **state)
{
    (void)state;
    scratch = alv_scratch_make();
    directory = alv_format("%s/state", scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    alv_free(directory);
    alv_scratch_remove(scratch);
    return 0;
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

static void must_open(const char *path)
{
    int lock = -1;
    alv_error err = ALV_ERROR_NONE;
    if (alv_store_directory_open(path, "test", &lock, &err) != ALV_OK)
        fail_msg("%s", err.text);
    alv_store_directory_close(lock);
}

static void expect_refused(const char *path, const char *why)
{
    int lock = -1;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(ALV_REJECT, alv_store_directory_open(path, "test", &lock, &err));
    assert_int_equal(-1, lock);
    assert_contains(err.text, why);
}

/* `name` in the directory; the caller's to free. */
static char *path_of(const char *name)
{
    return alv_format("%s/%s", directory, name);
}

static void directory__below_a_file_cannot_be_made(void **state)
{
    (void)state;
    char *below = alv_format("%s/state", directory);
    int file = open(directory, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(0, close(file));
    expect_refused(below, "cannot make state.dir");
    alv_free(below);
}

/* Whoever can write there decides what the node takes for its state. */
static void directory__that_everybody_may_write_to_is_refused(void **state)
{
    (void)state;
    must_open(directory);
    assert_int_equal(0, chmod(directory, 0702));
    expect_refused(directory, "everybody on this host may write there: chmod o-w");
    assert_int_equal(0, chmod(directory, 0770));
    must_open(directory); /* a volume of a container is often like that */
}

/* The holder has not written its name yet, or could not: the lock holds without it. */
static void lock__without_a_name_holds(void **state)
{
    (void)state;
    int held = -1;
    char *path = path_of("lock");
    assert_int_equal(ALV_OK, alv_store_directory_open(directory, "test", &held, NULL));
    assert_int_equal(0, truncate(path, 0));
    expect_refused(directory, "is in use by another process");
    alv_store_directory_close(held);
    must_open(directory);
    alv_free(path);
}

static void lock__that_is_no_file_is_refused(void **state)
{
    (void)state;
    char *path = path_of("lock");
    assert_int_equal(0, mkdir(directory, 0700));
    assert_int_equal(0, mkdir(path, 0700));
    expect_refused(directory, "/lock");
    assert_int_equal(0, rmdir(path));
    must_open(directory);
    alv_free(path);
}

static void stamp__that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    char *path = path_of("VERSION");
    assert_int_equal(0, mkdir(directory, 0700));
    assert_int_equal(0, mkdir(path, 0700));
    expect_refused(directory, "cannot read");
    assert_int_equal(0, rmdir(path));
    must_open(directory);
    alv_free(path);
}

/* Neither a stamp that cannot be begun nor one that cannot be put in place leaves a directory that looks used. */
static void stamp__that_cannot_be_written_is_refused(void **state)
{
    (void)state;
    static const char *const in_the_way[] = {"VERSION.new", "CHANGELOG.new"};
    char *version = path_of(in_the_way[0]);
    char *changelog = path_of(in_the_way[1]);
    char *noted = NULL;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(0, mkdir(directory, 0700));
    assert_int_equal(0, mkdir(version, 0700));
    expect_refused(directory, "cannot write");
    assert_int_equal(ALV_REJECT, alv_store_directory_read(directory, "test", &noted, &err));
    assert_contains(err.text, "has format (unreadable)");
    assert_int_equal(0, rmdir(version));
    must_open(directory);

    alv_error_clear(&err);
    assert_int_equal(0, mkdir(changelog, 0700));
    assert_int_equal(ALV_REJECT, alv_store_directory_bind(directory, "topic-1", &err));
    assert_contains(err.text, "cannot write");
    assert_int_equal(ALV_OK, alv_store_directory_read(directory, "test", &noted, NULL));
    assert_null(noted);
    assert_int_equal(0, rmdir(changelog));
    assert_int_equal(ALV_OK, alv_store_directory_bind(directory, "topic-1", NULL));
    assert_int_equal(ALV_OK, alv_store_directory_read(directory, "test", &noted, NULL));
    assert_string_equal("topic-1", noted);
    alv_free(noted);
    alv_free(changelog);
    alv_free(version);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(directory__below_a_file_cannot_be_made),
        TEST(directory__that_everybody_may_write_to_is_refused),
        TEST(lock__without_a_name_holds),
        TEST(lock__that_is_no_file_is_refused),
        TEST(stamp__that_cannot_be_read_is_refused),
        TEST(stamp__that_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
