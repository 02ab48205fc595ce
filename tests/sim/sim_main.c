/* The simulator as a program; see sim_run.h and docs/testing.md. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logger.h"
#include "base/plant.h"
#include "tests/sim/sim_run.h"
#include "tests/sim/sim_trace.h"

static const char usage[] =
    "usage: sim [--seed N [--trace] | --seeds A..B | --minutes N]\n"
    "\n"
    "Runs clusters of simulated nodes: the real lanes, transactions, replicator and checkpointer over a\n"
    "simulated log, store, PostgreSQL and clock, while nodes crash, freeze and are cut off. Checks all the\n"
    "time that nothing is lost, executed twice or seen too early.\n"
    "\n"
    "  --seed N      this run alone\n"
    "  --trace       prints everything that happens in it\n"
    "  --seeds A..B  these, one after the other\n"
    "  --minutes N   fresh ones for so long [1]\n"
    "  --plant BUG   with one of the bugs of base/plant.h, by name; \"list\" prints the names\n"
    "  --log LEVEL   what the nodes log [nothing]: error, warn, info, debug\n"
    "  --help        this\n"
    "\n"
    "Exit status 0: all held. A run that fails prints why, its last lines, and how to run it again.\n";

typedef struct sim_arguments {
    uint64_t first;
    uint64_t last;
    double minutes; /* 0 = seeds first to last */
    bool trace;
} sim_arguments;

static int main_usage(const char *problem)
{
    fprintf(stderr, "sim: %s\n%s", problem, usage);
    return 2;
}

static double main_seconds(void)
{
    return (double)alv_monotonic_us(alv_clock_system()) / 1e6;
}

static void main_progress(const sim_stats *stats, uint64_t seed, double seconds)
{
    static double shown;
    if (isatty(STDERR_FILENO) && seconds - shown > 0.5) {
        shown = seconds;
        fprintf(stderr, "\rseed %" PRIu64 ": %" PRId64 " runs, %" PRId64 " executions, %.0f s ",
                seed, stats->runs, stats->executions, seconds);
    }
}

static void main_run(const sim_arguments *arguments)
{
    sim_stats stats = {.runs = 0};
    double began = main_seconds();
    double seconds = 0;
    for (uint64_t seed = arguments->first;
         arguments->minutes > 0 ? seconds < arguments->minutes * 60 : seed <= arguments->last;
         seed++) {
        sim_run(seed, &stats);
        seconds = main_seconds() - began;
        main_progress(&stats, seed, seconds);
    }
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%60s\r", "");
    }
    sim_stats_print(&stats, seconds);
}

static bool main_read_seeds(const char *text, sim_arguments *out)
{
    char *end = NULL;
    out->first = strtoull(text, &end, 10);
    if (end == text || strncmp(end, "..", 2) != 0) {
        return false;
    }
    const char *second = end + 2;
    out->last = strtoull(second, &end, 10);
    return end != second && *end == '\0';
}

static bool main_read_seed(const char *text, sim_arguments *out)
{
    char *end = NULL;
    out->first = out->last = strtoull(text, &end, 10);
    return end != text && *end == '\0';
}

static void main_list_plants(void)
{
    for (int plant = ALV_PLANT_NOTHING + 1; plant < ALV_PLANT_COUNT; plant++) {
        printf("%s\n", alv_plant_name((alv_plant)plant));
    }
}

static bool main_read_plant(const char *text)
{
    for (int plant = ALV_PLANT_NOTHING; plant < ALV_PLANT_COUNT; plant++) {
        if (strcmp(text, alv_plant_name((alv_plant)plant)) == 0) {
            alv_planted = (alv_plant)plant;
            return true;
        }
    }
    return false;
}

static bool main_read_level(const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            alv_log_set_level((alv_log_level)i);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},    {"seeds", required_argument, NULL, 'r'},
        {"minutes", required_argument, NULL, 'm'}, {"trace", no_argument, NULL, 't'},
        {"log", required_argument, NULL, 'l'},     {"plant", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    sim_arguments arguments = {.minutes = 1};
    arguments.first = (uint64_t)alv_now_ms(alv_clock_system());
    alv_log_set_level(ALV_LOG_NOTHING);
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = true;
        switch (option) {
        case 's':
            good = main_read_seed(optarg, &arguments);
            arguments.minutes = 0;
            break;
        case 'r':
            good = main_read_seeds(optarg, &arguments);
            arguments.minutes = 0;
            break;
        case 'm':
            arguments.minutes = strtod(optarg, NULL);
            good = arguments.minutes > 0;
            break;
        case 't':
            sim_trace_set_loud(true);
            break;
        case 'l':
            good = main_read_level(optarg);
            break;
        case 'p':
            if (strcmp(optarg, "list") == 0) {
                main_list_plants();
                return 0;
            }
            good = main_read_plant(optarg);
            break;
        case 'h':
            printf("%s", usage);
            return 0;
        default:
            good = false;
            break;
        }
        if (!good) {
            return main_usage("what is asked for is not understood");
        }
    }
    if (optind < argc) {
        return main_usage("there are no other arguments");
    }
    main_run(&arguments);
    return 0;
}
