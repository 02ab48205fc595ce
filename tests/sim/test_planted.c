/* Goal:   the checks of the simulation can fail: each bug of base/plant.h is found by them.
 * Method: a process of its own per bug runs seed after seed until something does not hold, or an assertion of the
 *         product is broken, which counts as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/logger.h"
#include "base/plant.h"
#include "tests/sim/sim_run.h"
#include "tests/sim/sim_trace.h"

/* So many runs a bug may need. */
#define SEEDS_MAX 600

/* What the process that has the bug tells the one that waits. */
typedef struct planted_result {
    uint64_t seed; /* the one that runs, or ran last */
} planted_result;

/* Never returns when the bug is found. */
static void planted_hunt(alv_plant plant, planted_result *result)
{
    sim_stats stats = {.runs = 0};
    alv_planted = plant;
    for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
        result->seed = seed;
        sim_run(seed, &stats);
    }
}

/* The last line that says what is wrong. */
static void planted_read_reason(FILE *log, char *out, size_t size)
{
    char line[1200];
    (void)fseek(log, 0, SEEK_SET);
    out[0] = '\0';
    while (fgets(line, sizeof line, log) != NULL) {
        if (strstr(line, "does not hold: ") != NULL || strstr(line, "must hold: ") != NULL) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(out, size, "%.120s", line + strcspn(line, ":") + 2);
        }
    }
}

static bool planted_is_found(alv_plant plant, planted_result *result)
{
    FILE *log = tmpfile();
    assert_non_null(log);
    (void)fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(fileno(log), STDERR_FILENO);
        planted_hunt(plant, result);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    bool found = (WIFEXITED(status) && WEXITSTATUS(status) == SIM_EXIT_FAILED) ||
                 (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char reason[160];
    planted_read_reason(log, reason, sizeof reason);
    printf("  %-22s %s %4" PRIu64 "  %s\n", alv_plant_name(plant), found ? "seed" : "NOT IN",
           result->seed, reason);
    (void)fclose(log);
    return found;
}

static void planted__bugs_are_all_found(void **state)
{
    (void)state;
    planted_result *result =
        mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(result != MAP_FAILED);
    int found = 0;
    for (int plant = ALV_PLANT_NOTHING + 1; plant < ALV_PLANT_COUNT; plant++) {
        found += planted_is_found((alv_plant)plant, result);
    }
    printf("found %d of %d\n", found, ALV_PLANT_COUNT - 1);
    assert_int_equal(found, ALV_PLANT_COUNT - 1);
    (void)munmap(result, sizeof *result);
}

int main(void)
{
    alv_log_set_level(ALV_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted__bugs_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
