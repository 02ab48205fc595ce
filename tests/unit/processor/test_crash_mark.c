/* Goal:   a command that kills the process becomes a dead letter after ALV_CRASHES_MAX deaths, and the
 *         commands around it take effect (I8).
 * Method: child processes run the real lane over the simulated log with a behavior whose handler aborts;
 *         all that survives a child is the file of the crash mark. The bookkeeping itself is tested
 *         directly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "processor/crash_mark.h"
#include "tests/support/scratch.h"
#include "tests/support/sim_world.h"

static alv_crash_mark *open_mark(const char *directory)
{
    alv_crash_mark *mark = NULL;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_crash_mark_open(directory, &mark, &err), ALV_OK);
    return mark;
}

/* A process that dies with a command in hand. */
static void die_with(const char *directory, int32_t lane, int32_t shard, int64_t offset)
{
    pid_t child = fork();
    if (child == 0) {
        alv_crash_mark_set(open_mark(directory), lane, shard, offset);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void crash_mark__counts_deaths_at_the_same_command(void **state)
{
    char *directory = *state;
    for (int i = 0; i < ALV_CRASHES_MAX; i++) {
        alv_crash_mark *mark = open_mark(directory);
        assert_false(alv_crash_mark_is_poison(mark, 7, 1234));
        alv_crash_mark_close(mark);
        die_with(directory, 1, 7, 1234);
    }
    alv_crash_mark *mark = open_mark(directory);
    assert_true(alv_crash_mark_is_poison(mark, 7, 1234));
    assert_false(alv_crash_mark_is_poison(mark, 7, 1235));
    assert_false(alv_crash_mark_is_poison(mark, 6, 1234));
    alv_crash_mark_close(mark);
}

static void crash_mark__a_clean_end_counts_nothing(void **state)
{
    char *directory = *state;
    for (int i = 0; i < 2 * ALV_CRASHES_MAX; i++) {
        alv_crash_mark *mark = open_mark(directory);
        alv_crash_mark_set(mark, 0, 3, 99);
        alv_crash_mark_close(mark);
    }
    alv_crash_mark *mark = open_mark(directory);
    assert_false(alv_crash_mark_is_poison(mark, 3, 99));
    alv_crash_mark_close(mark);
}

static void crash_mark__forgets_the_oldest_of_many(void **state)
{
    char *directory = *state;
    for (int i = 0; i < ALV_CRASHES_MAX; i++) {
        die_with(directory, 0, 1, 1);
    }
    for (int64_t offset = 100; offset < 300; offset++) {
        die_with(directory, 0, 2, offset);
    }
    alv_crash_mark *mark = open_mark(directory);
    assert_false(alv_crash_mark_is_poison(mark, 1, 1));
    alv_crash_mark_close(mark);
}

static void crash_mark__replaces_a_file_that_makes_no_sense(void **state)
{
    char *directory = *state;
    char *path = alv_format("%s/in-flight", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "something else");
    (void)fclose(file);
    alv_free(path);
    die_with(directory, 0, 1, 5);
    alv_crash_mark *mark = open_mark(directory);
    assert_false(alv_crash_mark_is_poison(mark, 1, 5));
    alv_crash_mark_close(mark);
}

/* ---- the whole way ------------------------------------------------------------------------------- */

static void bomb_explode(const json_t *state, const alv_command *command, int64_t now_ms,
                         alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)effects;
    abort();
}

static const alv_command_row bomb_rows[] = {{.name = "explode", .handler = bomb_explode}};
static const alv_behavior bomb = {ALV_BEHAVIOR_HEAD, .type = "bomb", .commands = bomb_rows,
                                  .command_count = 1};

/* What a child does; its exit status is 0 when everything was as it must be. */
static int run_with_bomb(const char *directory)
{
    alv_sim_world world;
    alv_crash_mark *mark = open_mark(directory);
    alv_sim_world_init_with(&world, NULL, &bomb, mark);
    alv_sim_world_activate(&world);
    int32_t shard = alv_sim_world_send(&world, "bomb/1", "{\"type\":\"explode\"}");
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard, "bomb/1",
                             "{\"type\":\"unknown\"}", NULL, 0);
    (void)alv_sim_world_send(&world, "m:1", "{\"type\":\"add_balance\",\"amount\":1}");
    alv_sim_world_run(&world, 50);
    bool good = alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, shard) == 2 &&
                alv_sim_world_stored_balance(&world, "m:1") == 1;
    alv_sim_world_done(&world);
    alv_crash_mark_close(mark);
    return good ? 0 : 1;
}

static void crash_mark__buries_the_command_that_kills(void **state)
{
    char *directory = *state;
    for (int i = 0; i <= ALV_CRASHES_MAX; i++) {
        pid_t child = fork();
        if (child == 0) {
            const struct rlimit no_core = {0, 0};
            (void)setrlimit(RLIMIT_CORE, &no_core);
            _exit(run_with_bomb(directory));
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (i < ALV_CRASHES_MAX) {
            assert_true(WIFSIGNALED(status));
            assert_int_equal(WTERMSIG(status), SIGABRT);
        } else {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
    }
}

static int make_directory(void **state)
{
    *state = alv_scratch_make();
    return 0;
}

static int remove_directory(void **state)
{
    alv_scratch_remove(*state);
    return 0;
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(crash_mark__counts_deaths_at_the_same_command),
        WITH_DIRECTORY(crash_mark__a_clean_end_counts_nothing),
        WITH_DIRECTORY(crash_mark__forgets_the_oldest_of_many),
        WITH_DIRECTORY(crash_mark__replaces_a_file_that_makes_no_sense),
        WITH_DIRECTORY(crash_mark__buries_the_command_that_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
