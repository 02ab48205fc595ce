#include "tests/support/compare_table.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPARE_RUNS_MAX 64
#define COMPARE_CONTENDERS_MAX 4
#define COMPARE_FIRST "Alluvium" /* the ratio is its median to that of the second */
#define COMPARE_SECOND "Kafka Streams"

/* One line of a table: which rows, which number of them, and what the design aims at. */
typedef struct compare_figure {
    const char *what;
    const char *keys; /* NULL = any */
    int threads;      /* 0 = any */
    int rate;         /* 0 = any */
    const char *field;
    const char *title;
    int decimals;
    const char *aim;
} compare_figure;

static const compare_figure compare_figures[] = {
    {"drain", "hot", 1, 0, "commands_per_s", "hot keys, 1 thread: commands/s", 0, ">= 150,000"},
    {"drain", "hot", 1, 0, "cpu_us", "CPU per command, us", 1, "<= 5"},
    {"drain", "hot", 1, 0, "peak_mib", "peak memory, MiB", 0, "<= 190"},
    {"drain", "hot", 2, 0, "commands_per_s", "hot keys, 2 threads: commands/s", 0, ""},
    {"drain", "hot", 2, 0, "cpu_us", "CPU per command, us", 1, ""},
    {"drain", "hot", 2, 0, "peak_mib", "peak memory, MiB", 0, ""},
    {"drain", "cold", 1, 0, "commands_per_s", "cold keys, 1 thread: commands/s", 0, ""},
    {"drain", "cold", 1, 0, "cpu_us", "CPU per command, us", 1, "<= 9"},
    {"drain", "cold", 1, 0, "peak_mib", "peak memory, MiB", 0, ""},
    {"drain", "cold", 2, 0, "commands_per_s", "cold keys, 2 threads: commands/s", 0, ""},
    {"drain", "cold", 2, 0, "cpu_us", "CPU per command, us", 1, ""},
    {"drain", "cold", 2, 0, "peak_mib", "peak memory, MiB", 0, ""},
    {"latency", NULL, 0, 1000, "p50_ms", "1,000/s: p50, ms", 1, "<= 8"},
    {"latency", NULL, 0, 1000, "p99_ms", "p99", 1, "<= 30"},
    {"latency", NULL, 0, 1000, "p999_ms", "p99.9", 1, ""},
    {"latency", NULL, 0, 1000, "max_ms", "max", 1, ""},
    {"latency", NULL, 0, 10000, "p50_ms", "10,000/s: p50, ms", 1, ""},
    {"latency", NULL, 0, 10000, "p99_ms", "p99", 1, ""},
    {"latency", NULL, 0, 10000, "p999_ms", "p99.9", 1, ""},
    {"latency", NULL, 0, 10000, "max_ms", "max", 1, ""},
    {"restore", NULL, 0, 0, "records_per_s", "restore: records/s", 0, ">= 1,000,000"},
    {"restore", NULL, 0, 0, "ready_ms", "start to all restored, ms", 0, ""},
    {"restore", NULL, 0, 0, "peak_mib", "peak memory, MiB", 0, ""},
    {"start", NULL, 0, 0, "ready_ms", "start to ready, empty state, ms", 0, "<= 500"},
};
#define COMPARE_FIGURES (sizeof(compare_figures) / sizeof(compare_figures[0]))

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL ? text : "";
}

static bool is_meant(const json_t *row, const compare_figure *figure)
{
    json_int_t threads = json_integer_value(json_object_get(row, "threads"));
    json_int_t rate = json_integer_value(json_object_get(row, "rate"));
    return strcmp(text_of(row, "what"), figure->what) == 0 &&
           (figure->keys == NULL || strcmp(text_of(row, "keys"), figure->keys) == 0) &&
           (figure->threads == 0 || threads == figure->threads) &&
           (figure->rate == 0 || rate == figure->rate);
}

typedef struct compare_spread {
    int count;
    double least;
    double median;
    double most;
} compare_spread;

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static compare_spread find_spread(const json_t *rows, const compare_figure *figure,
                                  const char *contender)
{
    double values[COMPARE_RUNS_MAX];
    size_t count = 0;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (is_meant(row, figure) && strcmp(text_of(row, "contender"), contender) == 0 &&
            count < COMPARE_RUNS_MAX) {
            values[count++] = json_number_value(json_object_get(row, figure->field));
        }
    }
    if (count == 0) {
        return (compare_spread){0};
    }
    qsort(values, count, sizeof(values[0]), compare_doubles);
    double middle =
        count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    return (compare_spread){(int)count, values[0], middle, values[count - 1]};
}

/* Those that were measured for any figure of that kind, in the order of their first measurement. */
static size_t find_contenders(const json_t *rows, const char *what,
                              const char *contenders[COMPARE_CONTENDERS_MAX])
{
    size_t count = 0;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *name = text_of(row, "contender");
        bool known = strcmp(text_of(row, "what"), what) != 0;
        for (size_t k = 0; k < count; k++) {
            known = known || strcmp(contenders[k], name) == 0;
        }
        if (!known && count < COMPARE_CONTENDERS_MAX) {
            contenders[count++] = name;
        }
    }
    return count;
}

static void print_head(const char *what, const char *const *contenders, size_t count)
{
    printf("\n| %s |", what);
    for (size_t i = 0; i < count; i++) {
        printf(" %s |", contenders[i]);
    }
    printf(" ratio | aim |\n|---|");
    for (size_t i = 0; i < count + 2; i++) {
        printf("---|");
    }
    printf("\n");
}

static void print_cell(const compare_spread *spread, int decimals)
{
    if (spread->count == 0) {
        printf(" - |");
    } else if (spread->count == 1) {
        printf(" %.*f |", decimals, spread->median);
    } else {
        printf(" %.*f (%.*f-%.*f) |", decimals, spread->median, decimals, spread->least, decimals,
               spread->most);
    }
}

static void print_figure(const json_t *rows, const compare_figure *figure,
                         const char *const *contenders, size_t count)
{
    compare_spread first = find_spread(rows, figure, COMPARE_FIRST);
    compare_spread second = find_spread(rows, figure, COMPARE_SECOND);
    if (first.count + second.count == 0) {
        return;
    }
    printf("| %s |", figure->title);
    for (size_t i = 0; i < count; i++) {
        compare_spread spread = find_spread(rows, figure, contenders[i]);
        print_cell(&spread, figure->decimals);
    }
    if (first.median > 0 && second.median > 0) {
        printf(" %.2f |", first.median / second.median);
    } else {
        printf(" |");
    }
    printf(" %s |\n", figure->aim);
}

void alv_compare_print(const json_t *rows)
{
    const char *contenders[COMPARE_CONTENDERS_MAX];
    const char *what = "";
    size_t count = 0;
    for (size_t i = 0; i < COMPARE_FIGURES; i++) {
        const compare_figure *figure = &compare_figures[i];
        if (strcmp(figure->what, what) != 0) {
            what = figure->what;
            count = find_contenders(rows, what, contenders);
            if (count > 0) {
                print_head(what, contenders, count);
            }
        }
        print_figure(rows, figure, contenders, count);
    }
    (void)fflush(stdout);
}
