/* Goal:   a leak of handles, threads or files on disk would be seen: what tests and benchmarks count is what there is.
 * Method: this process opens files and starts a thread; a folder is filled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/usage.h"

static void usage__counts_open_files(void **state)
{
    (void)state;
    int64_t before = alv_usage_open_files(getpid());
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(alv_usage_open_files(getpid()), before + 2);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(alv_usage_open_files(getpid()), before);
}

static void *wait_for_it(void *payload)
{
    (void)pthread_mutex_lock(payload);
    (void)pthread_mutex_unlock(payload);
    return NULL;
}

static void usage__counts_threads(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    /* The thread sanitizer begins one of its own with the first. */
    assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &lock), 0);
    (void)pthread_join(thread, NULL);
    int64_t before = alv_usage_threads(getpid());
    (void)pthread_mutex_lock(&lock);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &lock), 0);
    assert_int_equal(alv_usage_threads(getpid()), before + 1);
    (void)pthread_mutex_unlock(&lock);
    (void)pthread_join(thread, NULL);
}

/* As long as it takes to be seen: the kernel counts in hundredths of a second. */
static void burn(void)
{
    int64_t before = alv_usage_cpu_us(getpid());
    while (alv_usage_cpu_us(getpid()) - before < 50000) {
    }
}

static void usage__counts_children_that_live_and_those_that_ended(void **state)
{
    (void)state;
    int64_t before = alv_usage_family_cpu_us(getpid());
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            burn();
            char done = 1;
            (void)!write(ends[1], &done, 1);
            while (i == 1) {
                (void)pause();
            }
            _exit(0);
        }
        char done = 0;
        assert_int_equal(read(ends[0], &done, 1), 1);
        if (i == 0) {
            assert_int_equal(waitpid(pid, NULL, 0), pid);
            continue;
        }
        assert_true(alv_usage_family_cpu_us(getpid()) - before >= 100000);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void put_file(const char *folder, const char *name, size_t size)
{
    char *path = alv_format("%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(fputc('x', file), 'x');
    }
    assert_int_equal(fclose(file), 0);
    alv_free(path);
}

static void usage__adds_up_a_folder_with_those_in_it(void **state)
{
    (void)state;
    char folder[] = "/tmp/alluvium-usage.XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *inner = alv_format("%s/inner", folder);
    assert_int_equal(mkdir(inner, 0700), 0);
    put_file(folder, "1.sst", 100);
    put_file(inner, "2.sst", 20);
    put_file(inner, "sst", 3);
    alv_usage_folder usage = alv_usage_of_folder(folder, ".sst");
    assert_int_equal(usage.bytes, 123);
    assert_int_equal(usage.files, 2);
    alv_cluster_remove(folder);
    usage = alv_usage_of_folder(folder, ".sst");
    assert_int_equal(usage.bytes, 0);
    alv_free(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage__counts_open_files),
        cmocka_unit_test(usage__counts_threads),
        cmocka_unit_test(usage__counts_children_that_live_and_those_that_ended),
        cmocka_unit_test(usage__adds_up_a_folder_with_those_in_it),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
