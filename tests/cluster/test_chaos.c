/* Goal: whatever dies, stops, freezes or loses its network, every command takes effect exactly once, and
 * all views of every user agree in the end.
 *
 * Method: a short run of the chaos suite (tests/support/chaos.h), with servers and nodes of its own: half
 * of the time with a seed that is always the same, half with a new one, which is printed;
 * ALLUVIUM_TEST_SEED repeats it. Then a shorter one in which the load is transfers.
 *
 * With arguments the program runs for as long as one likes:
 *
 *     build/tests/cluster/chaos --minutes 30 --seed 7
 *     build/tests/cluster/chaos --minutes 30 --load transfers
 *
 * The same seed, minutes, nodes and brokers do the same things at the same times. Exit status 0: all went
 * well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/support/chaos.h"

#define FIXED_SEED 55
#define SHORT_RUN_MS 20000
#define TRANSFERS_SEED 70
#define TRANSFERS_RUN_MS 15000

static struct {
    alv_chaos_options options;
    int64_t duration_ms;
    int runs;
    bool list;
    alv_chaos *chaos;
} program = {
    .options = {.nodes = 3, .lanes = 2, .brokers = 1},
    .duration_ms = 60000,
    .runs = 1,
};

/* ---- the tests ------------------------------------------------------------------------------- */

static uint64_t new_seed(void)
{
    return (uint64_t)alv_monotonic_us(alv_clock_system()) | 1;
}

static void chaos__leaves_no_trace_with_a_known_seed(void **state)
{
    (void)state;
    alv_chaos_run(program.chaos, FIXED_SEED, SHORT_RUN_MS);
}

static void chaos__leaves_no_money_behind_or_over(void **state)
{
    (void)state;
    alv_chaos_run(program.chaos, TRANSFERS_SEED, TRANSFERS_RUN_MS);
}

static void chaos__leaves_no_trace_with_a_new_seed(void **state)
{
    (void)state;
    const char *given = getenv("ALLUVIUM_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 0;
    seed = seed != 0 ? seed : new_seed();
    print_message("seed: ALLUVIUM_TEST_SEED=%" PRIu64 "\n", seed);
    alv_chaos_run(program.chaos, seed, SHORT_RUN_MS);
}

static void chaos__leaves_no_trace_in_a_long_run(void **state)
{
    (void)state;
    for (int run = 0; run < program.runs; run++) {
        uint64_t seed = program.options.seed + (uint64_t)run;
        alv_chaos_run(program.chaos, seed, program.duration_ms);
        printf("chaos: seed %" PRIu64 " is done, %d of %d\n", seed, run + 1, program.runs);
        (void)fflush(stdout);
    }
}

static void chaos__nodes_stop_cleanly(void **state)
{
    (void)state;
    alv_chaos_finish(program.chaos);
}

static int start_chaos(void **state)
{
    (void)state;
    program.chaos = alv_chaos_open(&program.options);
    return 0;
}

static int end_chaos(void **state)
{
    (void)state;
    alv_chaos_close(program.chaos);
    return 0;
}

static int run_short_users(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chaos__leaves_no_trace_with_a_known_seed),
        cmocka_unit_test(chaos__leaves_no_trace_with_a_new_seed),
        cmocka_unit_test(chaos__nodes_stop_cleanly),
    };
    program.options.seed = FIXED_SEED;
    program.options.brokers = 3;
    return cmocka_run_group_tests_name("users", tests, start_chaos, end_chaos);
}

static int run_short_transfers(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chaos__leaves_no_money_behind_or_over),
        cmocka_unit_test(chaos__nodes_stop_cleanly),
    };
    program.options.seed = TRANSFERS_SEED;
    program.options.brokers = 1;
    program.options.load = &alv_chaos_load_transfers;
    return cmocka_run_group_tests_name("transfers", tests, start_chaos, end_chaos);
}

static int run_short(void)
{
    int failed = run_short_users();
    return failed + run_short_transfers();
}

static int run_long(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chaos__leaves_no_trace_in_a_long_run),
        cmocka_unit_test(chaos__nodes_stop_cleanly),
    };
    return cmocka_run_group_tests(tests, start_chaos, end_chaos);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: chaos                    the short test\n"
    "       chaos [--minutes N] [--seed S] [--nodes 2|3] [--lanes N] [--brokers 1|3]\n"
    "             [--runs N] [--users N] [--rate N] [--supervise] [--keep] [--list]\n"
    "             [--load users|transfers]\n"
    "\n"
    "  --minutes    how long, 1 unless given; fractions are fine\n"
    "  --seed       what happens and when; a new one, which is printed, unless given\n"
    "  --runs       so many times, with this seed and those that follow, with rest and checks after each\n"
    "  --lanes      of the first node, 2 unless given; the others have one each\n"
    "  --load       users: commands of all kinds to users (unless given)\n"
    "               transfers: money among users, with timers and idempotency keys\n"
    "  --users      3000 unless given, 300 with transfers\n"
    "  --rate       commands per second, 800 unless given; transfers 100, each some commands more\n"
    "  --supervise  restart nodes that end by themselves with an error, instead of failing\n"
    "  --keep       keep the logs also when all goes well, and print where\n"
    "  --list       print what would happen, and do nothing\n";

static bool take_option(int option, const char *value)
{
    switch (option) {
    case 'm':
        program.duration_ms = (int64_t)(strtod(value, NULL) * 60000);
        return program.duration_ms > 0;
    case 's':
        program.options.seed = strtoull(value, NULL, 10);
        return program.options.seed > 0;
    case 'x':
        program.runs = (int)strtol(value, NULL, 10);
        return program.runs > 0;
    case 'n':
        program.options.nodes = (int)strtol(value, NULL, 10);
        return program.options.nodes >= 2 && program.options.nodes <= ALV_CHAOS_NODES_MAX;
    case 'a':
        program.options.lanes = (int)strtol(value, NULL, 10);
        return program.options.lanes > 0;
    case 'b':
        program.options.brokers = (int)strtol(value, NULL, 10);
        return program.options.brokers == 1 || program.options.brokers == 3;
    case 'o':
        program.options.load = alv_chaos_load_find(value);
        return program.options.load != NULL;
    case 'u':
        program.options.users = (int)strtol(value, NULL, 10);
        return program.options.users >= 3;
    case 'r':
        program.options.rate = (int)strtol(value, NULL, 10);
        return program.options.rate > 0;
    case 'e':
        program.options.supervise = true;
        return true;
    case 'k':
        program.options.keep_logs = true;
        return true;
    case 'l':
        program.list = true;
        return true;
    default:
        return false;
    }
}

static bool take_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"minutes", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 's'},
        {"runs", required_argument, NULL, 'x'},
        {"nodes", required_argument, NULL, 'n'},
        {"brokers", required_argument, NULL, 'b'},
        {"users", required_argument, NULL, 'u'},
        {"rate", required_argument, NULL, 'r'},
        {"list", no_argument, NULL, 'l'},
        {"supervise", no_argument, NULL, 'e'},
        {"lanes", required_argument, NULL, 'a'},
        {"keep", no_argument, NULL, 'k'},
        {"load", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    bool good = true;
    for (int option; good && (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        good = take_option(option, optarg);
    }
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        return run_short();
    }
    if (!take_options(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    program.options.seed = program.options.seed != 0 ? program.options.seed : new_seed();
    printf("chaos: seed %" PRIu64 "\n", program.options.seed);
    (void)fflush(stdout);
    if (program.list) {
        alv_chaos_list(&program.options, program.options.seed, program.duration_ms);
        return 0;
    }
    return run_long();
}
