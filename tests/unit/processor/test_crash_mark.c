/* Goal:   a command that crashes the process becomes a dead letter after ALV_CRASHES_MAX crashes, however it
 *         does that, and the commands around it take effect (I8); a process that is killed from outside
 *         buries no command that happens to be in hand, unless that goes on and on.
 * Method: child processes die, each in its way; all that survives a child is the file of the crash mark. Some
 *         run the real lane over the simulated log with a behavior whose handler aborts.
 */
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
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

/* ---- ways to die ----------------------------------------------------------------------------- */

static void die_by_exit(void)
{
    _exit(0);
}

static void die_by_kill(void)
{
    (void)kill(getpid(), SIGKILL);
}

/* As the kernel does when there is no memory, or an operator: the signal is for the process, and from
 * somebody else. */
static void die_by_signal_from_outside(void)
{
    for (;;) {
        (void)pause(); /* the parent sends it */
    }
}

/* The sanitizers would say so and exit, which is no crash. */
__attribute__((no_sanitize("undefined", "address"))) static void die_by_null(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static void die_by_abort(void)
{
    abort();
}

static void die_by_failed_assertion(void)
{
    ALV_ASSERT(getpid() == 0);
}

static void die_by_division(void)
{
    (void)raise(SIGFPE); /* not every processor faults */
}

__attribute__((no_sanitize("undefined", "address"))) static void die_by_bus_error(void)
{
    FILE *file = tmpfile();
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    page[0] = 1; /* behind the file's end */
}

static int depth_max = INT_MAX; /* for the compiler: it might end */

static int overflow(volatile char *before, int depth)
{
    volatile char room[4096];
    room[0] = (char)(before[0] + 1);
    return depth == depth_max ? 0 : overflow(room, depth + 1) + room[0];
}

static void die_by_stack_overflow(void)
{
    volatile char begin[1] = {0};
    (void)overflow(begin, 0);
}

/* On another thread than the lane's. */
static void *abort_here(void *payload)
{
    (void)payload;
    abort();
}

static void die_on_another_thread(void)
{
    pthread_t thread;
    (void)pthread_create(&thread, NULL, abort_here, NULL);
    (void)pthread_join(thread, NULL);
}

/* What the watchdog does: the signal is for this thread, and from another one of the process. */
static void *abort_lane(void *payload)
{
    (void)pthread_kill(*(pthread_t *)payload, SIGABRT);
    return NULL;
}

static void die_by_watchdog(void)
{
    pthread_t lane = pthread_self();
    pthread_t thread;
    (void)pthread_create(&thread, NULL, abort_lane, &lane);
    for (;;) {
        (void)pause();
    }
}

static const struct death {
    const char *name;
    void (*die)(void);
    int signal; /* that ends the process; 0 = it exits */
    bool is_crash;
} deaths[] = {
    {"exit", die_by_exit, 0, false},
    {"kill -9", die_by_kill, SIGKILL, false},
    {"kill -SEGV from outside", die_by_signal_from_outside, SIGSEGV, false},
    {"abort on another thread", die_on_another_thread, SIGABRT, false},
    {"null pointer", die_by_null, SIGSEGV, true},
    {"abort", die_by_abort, SIGABRT, true},
    {"failed assertion", die_by_failed_assertion, SIGABRT, true},
    {"division", die_by_division, SIGFPE, true},
    {"bus error", die_by_bus_error, SIGBUS, true},
    {"watchdog", die_by_watchdog, SIGABRT, true},
    {"stack overflow", die_by_stack_overflow, SIGSEGV, true},
};

#define DEATH_COUNT (sizeof deaths / sizeof deaths[0])

/* A sanitizer that reports a crash exits instead of dying of the signal. */
static void expect_end(const struct death *death, int status)
{
    bool exited = WIFEXITED(status) && (death->signal == 0 || WEXITSTATUS(status) != 0);
    bool signalled = WIFSIGNALED(status) && WTERMSIG(status) == death->signal;
    if (!exited && !signalled) {
        fail_msg("%s: ended with %d", death->name, status);
    }
}

/* The test framework catches faults; a node's process does not. */
static void forget_handlers(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)signal(signals[i], SIG_DFL);
    }
}

/* A process that dies with a command in hand, on the thread of its lane. */
static void die_with(const char *directory, const struct death *death, int32_t lane, int32_t shard,
                     int64_t offset)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)close(STDERR_FILENO); /* what it says of its end is expected */
        forget_handlers();
        alv_crash_mark *mark = open_mark(directory);
        alv_crash_mark_enter(mark, lane);
        alv_crash_mark_set(mark, lane, shard, offset);
        (void)write(ready[1], "", 1);
        death->die();
        _exit(0);
    }
    char byte;
    int status = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    if (death->die == die_by_signal_from_outside) {
        assert_int_equal(kill(child, death->signal), 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(ready[0]);
    (void)close(ready[1]);
    expect_end(death, status);
}

#define EXIT (&deaths[0])
#define ABORT (&deaths[5])

static bool is_poison(const char *directory, int32_t shard, int64_t offset)
{
    alv_crash_mark *mark = open_mark(directory);
    bool poison = alv_crash_mark_is_poison(mark, shard, offset);
    alv_crash_mark_close(mark);
    return poison;
}

/* ---- counting -------------------------------------------------------------------------------- */

static void crash_mark__counts_crashes_and_deaths_at_the_same_command(void **state)
{
    char *directory = *state;
    for (size_t i = 0; i < DEATH_COUNT; i++) {
        int enough = deaths[i].is_crash ? ALV_CRASHES_MAX : ALV_DEATHS_MAX;
        int64_t offset = 1234 + 10 * (int64_t)i;
        for (int n = 0; n < enough; n++) {
            if (is_poison(directory, 7, offset)) {
                fail_msg("%s: %d times were enough", deaths[i].name, n);
            }
            die_with(directory, &deaths[i], 1, 7, offset);
        }
        if (!is_poison(directory, 7, offset)) {
            fail_msg("%s: %d times were not enough", deaths[i].name, enough);
        }
        assert_false(is_poison(directory, 7, offset + 1));
        assert_false(is_poison(directory, 6, offset));
    }
}

static void crash_mark__adds_crashes_and_deaths_up(void **state)
{
    char *directory = *state;
    for (int i = 0; i < ALV_CRASHES_MAX - 1; i++) {
        die_with(directory, ABORT, 0, 1, 50);
    }
    for (int i = 0; i < 4; i++) {
        assert_false(is_poison(directory, 1, 50));
        die_with(directory, EXIT, 0, 1, 50);
    }
    assert_true(is_poison(directory, 1, 50));
}

static void crash_mark__a_clean_end_counts_nothing(void **state)
{
    char *directory = *state;
    for (int i = 0; i < 2 * ALV_DEATHS_MAX; i++) {
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
        die_with(directory, ABORT, 0, 1, 1);
    }
    for (int64_t offset = 100; offset < 300; offset++) {
        die_with(directory, EXIT, 0, 2, offset);
    }
    alv_crash_mark *mark = open_mark(directory);
    assert_false(alv_crash_mark_is_poison(mark, 1, 1));
    alv_crash_mark_close(mark);
}

/* One lane's command kills each time; what the others have in hand changes. */
static void crash_mark__finds_what_kills_among_all_lanes(void **state)
{
    char *directory = *state;
    for (int n = 0; n < ALV_DEATHS_MAX; n++) {
        assert_false(is_poison(directory, 1, 50));
        pid_t child = fork();
        if (child == 0) {
            alv_crash_mark *mark = open_mark(directory);
            for (int32_t lane = 0; lane < ALV_LANES_MAX; lane++) {
                bool kills = lane == ALV_LANES_MAX / 2;
                alv_crash_mark_set(mark, lane, kills ? 1 : 2, kills ? 50 : 1000 * n + lane);
            }
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    assert_true(is_poison(directory, 1, 50));
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
    die_with(directory, ABORT, 0, 1, 5);
    alv_crash_mark *mark = open_mark(directory);
    assert_false(alv_crash_mark_is_poison(mark, 1, 5));
    alv_crash_mark_close(mark);
}

/* Of the file's pages only some may have reached the disk before the host died. */
static void crash_mark__a_file_that_lost_a_part_accuses_nobody(void **state)
{
    char *directory = *state;
    char *path = alv_format("%s/in-flight", directory);
    alv_crash_count found[1];
    alv_crash_mark_close(open_mark(directory));
    for (off_t size = 0; size <= 4096; size += 512) {
        for (int i = 0; i < ALV_DEATHS_MAX; i++) {
            assert_int_equal(truncate(path, size), 0);
            alv_crash_mark *mark = open_mark(directory);
            assert_int_equal(alv_crash_mark_list(mark, found, 1), 0);
            assert_false(alv_crash_mark_is_poison(mark, 0, 0));
            alv_crash_mark_close(mark);
        }
    }
    alv_free(path);
}

static void crash_mark__lists_what_it_remembers(void **state)
{
    char *directory = *state;
    alv_crash_count found[2];
    die_with(directory, ABORT, 3, 1, 0);
    die_with(directory, EXIT, 3, 1, 0);
    die_with(directory, EXIT, 2, 5, INT64_MAX); /* a timer's may be that large */
    alv_crash_mark *mark = open_mark(directory);
    assert_int_equal(alv_crash_mark_list(mark, found, 2), 2);
    assert_int_equal(found[0].shard, 1);
    assert_int_equal(found[0].offset, 0);
    assert_int_equal(found[0].crashes, 1);
    assert_int_equal(found[0].deaths, 1);
    assert_int_equal(found[1].shard, 5);
    assert_int_equal(found[1].offset, INT64_MAX);
    assert_int_equal(found[1].crashes, 0);
    assert_int_equal(found[1].deaths, 1);
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

static void bomb_arm(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    (void)state;
    (void)command;
    alv_timer_set(effects, "fuse", now_ms + 1000, json_pack("{s:s}", "type", "explode"));
}

static const alv_command_row bomb_rows[] = {{.name = "explode", .handler = bomb_explode},
                                            {.name = "arm", .handler = bomb_arm}};
static const alv_behavior bomb = {ALV_BEHAVIOR_HEAD, .type = "bomb", .commands = bomb_rows,
                                  .command_count = 2};

/* What a child does; its exit status is 0 when everything was as it must be. */
static int run_with_bomb(const char *directory)
{
    alv_sim_world world;
    alv_crash_mark *mark = open_mark(directory);
    alv_crash_mark_enter(mark, 0); /* the simulated lane runs on this thread */
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
    alv_crash_mark_leave();
    alv_crash_mark_close(mark);
    return good ? 0 : 1;
}

/* The same with a timer, which has no offset. */
static int run_with_fuse(const char *directory)
{
    alv_sim_world world;
    alv_crash_mark *mark = open_mark(directory);
    alv_crash_mark_enter(mark, 0);
    alv_sim_world_init_with(&world, NULL, &bomb, mark);
    alv_sim_world_activate(&world);
    int32_t shard = alv_sim_world_send(&world, "bomb/1", "{\"type\":\"arm\"}");
    (void)alv_sim_world_send(&world, "m:1", "{\"type\":\"add_balance\",\"amount\":1}");
    alv_sim_world_run(&world, 50);
    alv_sim_world_pass(&world, 5000);
    alv_sim_world_run(&world, 50);
    bool good = alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, shard) == 1 &&
                alv_sim_log_last(world.log, ALV_TOPIC_LEDGER, shard, "bomb/1", NULL) == NULL &&
                alv_sim_world_stored_balance(&world, "m:1") == 1;
    alv_sim_world_done(&world);
    alv_crash_mark_leave();
    alv_crash_mark_close(mark);
    return good ? 0 : 1;
}

/* A child dies as often as it takes; the next one does not. */
static void assert_buried(const char *directory, int (*run)(const char *))
{
    for (int i = 0; i <= ALV_CRASHES_MAX; i++) {
        pid_t child = fork();
        if (child == 0) {
            const struct rlimit no_core = {0, 0};
            (void)setrlimit(RLIMIT_CORE, &no_core);
            forget_handlers();
            _exit(run(directory));
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

static void crash_mark__buries_the_command_that_kills(void **state)
{
    assert_buried(*state, run_with_bomb);
}

static void crash_mark__buries_the_timer_that_kills(void **state)
{
    assert_buried(*state, run_with_fuse);
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
        WITH_DIRECTORY(crash_mark__counts_crashes_and_deaths_at_the_same_command),
        WITH_DIRECTORY(crash_mark__adds_crashes_and_deaths_up),
        WITH_DIRECTORY(crash_mark__a_clean_end_counts_nothing),
        WITH_DIRECTORY(crash_mark__forgets_the_oldest_of_many),
        WITH_DIRECTORY(crash_mark__finds_what_kills_among_all_lanes),
        WITH_DIRECTORY(crash_mark__replaces_a_file_that_makes_no_sense),
        WITH_DIRECTORY(crash_mark__a_file_that_lost_a_part_accuses_nobody),
        WITH_DIRECTORY(crash_mark__lists_what_it_remembers),
        WITH_DIRECTORY(crash_mark__buries_the_command_that_kills),
        WITH_DIRECTORY(crash_mark__buries_the_timer_that_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
