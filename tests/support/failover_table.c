#include "tests/support/failover_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_CONTENDERS_MAX 8
#define TABLE_RUNS_MAX 256

/* ---- rows ------------------------------------------------------------------------------------ */

static void print_cell(int64_t value, int width)
{
    if (value < 0) {
        printf("%*s", width, "-");
    } else {
        printf("%*" PRId64, width, value);
    }
}

void alv_failover_print_head(void)
{
    printf("ms; verdict, evicted, assigned, active: when Alluvium's logs say it last happened\n"
           "%-16s %-26s %3s %8s %6s %8s %8s %6s %8s %8s %8s %8s %6s %6s %8s %9s\n",
           "contender", "event", "run", "longest", "p99", "p99>100", "moved:", "shards", "verdict",
           "evicted", "assigned", "active", "ready", "ended", "settled", "restored");
    (void)fflush(stdout);
}

void alv_failover_print_row(const alv_failover_outcome *out)
{
    printf("%-13s %2d %-26s %3d", alv_contender_name(out->kind), out->nodes, out->event, out->run);
    print_cell(out->all.max_us / 1000, 9);
    print_cell(out->soon.p99_us / 1000, 7);
    print_cell(out->all.slow_ms, 9);
    print_cell(out->moved_shards > 0 ? out->moved.max_us / 1000 : -1, 9);
    print_cell(out->moved_shards, 7);
    print_cell(out->verdict_ms, 9);
    print_cell(out->evicted_ms, 9);
    print_cell(out->assigned_ms, 9);
    print_cell(out->active_ms, 9);
    print_cell(out->ready_ms, 7);
    print_cell(out->ended_ms, 7);
    print_cell(out->settled_ms, 9);
    print_cell(out->restored, 10);
    printf("\n");
    (void)fflush(stdout);
}

json_t *alv_failover_row_json(const alv_failover_outcome *out)
{
    return json_pack(
        "{s:s, s:i, s:s, s:i, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "contender", alv_contender_name(out->kind), "nodes", out->nodes, "event", out->event, "run",
        out->run, "longest_ms", (json_int_t)(out->all.max_us / 1000), "p99_ms",
        (json_int_t)(out->soon.p99_us / 1000), "p99_above_100_ms", (json_int_t)out->all.slow_ms,
        "moved_longest_ms", (json_int_t)(out->moved.max_us / 1000), "moved_shards",
        out->moved_shards, "verdict_ms", (json_int_t)out->verdict_ms, "evicted_ms",
        (json_int_t)out->evicted_ms, "assigned_ms", (json_int_t)out->assigned_ms, "active_ms",
        (json_int_t)out->active_ms, "ready_ms", (json_int_t)out->ready_ms, "ended_ms",
        (json_int_t)out->ended_ms, "settled_ms", (json_int_t)out->settled_ms, "restored_records",
        (json_int_t)out->restored);
}

/* ---- the summary ----------------------------------------------------------------------------- */

typedef struct summary_column {
    const char *contender;
    int nodes;
} summary_column;

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static int64_t number_of(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static bool is_of(const json_t *row, const summary_column *column)
{
    return number_of(row, "nodes") == column->nodes &&
           strcmp(text_of(row, "contender"), column->contender) == 0;
}

/* The contenders, in the order in which they were measured. */
static int find_columns(const json_t *rows, summary_column columns[TABLE_CONTENDERS_MAX])
{
    int count = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        bool known = count > 0 && is_of(row, &columns[count - 1]);
        if (!known && count < TABLE_CONTENDERS_MAX) {
            columns[count++] =
                (summary_column){text_of(row, "contender"), (int)number_of(row, "nodes")};
        }
    }
    return count;
}

static int compare_numbers(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void print_summary_cell(const json_t *rows, const summary_column *column, const char *event)
{
    int64_t longest = 0;
    int64_t p99[TABLE_RUNS_MAX];
    size_t count = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (is_of(row, column) && strcmp(text_of(row, "event"), event) == 0 &&
            count < TABLE_RUNS_MAX) {
            int64_t wait = number_of(row, "longest_ms");
            longest = wait > longest ? wait : longest;
            p99[count++] = number_of(row, "p99_ms");
        }
    }
    if (count == 0) {
        printf(" - |");
        return;
    }
    qsort(p99, count, sizeof(p99[0]), compare_numbers);
    printf(" %" PRId64 " (%" PRId64 ") |", longest, p99[count / 2]);
}

void alv_failover_print_summary(const json_t *rows)
{
    summary_column columns[TABLE_CONTENDERS_MAX];
    int count = find_columns(rows, columns);
    printf("\nlongest wait of all runs, in brackets the median of the runs' p99 in the first 10 s; "
           "ms\n\n| event |");
    for (int i = 0; i < count; i++) {
        printf(" %s, %d nodes |", columns[i].contender, columns[i].nodes);
    }
    printf("\n|---|");
    for (int i = 0; i < count; i++) {
        printf("---|");
    }
    printf("\n");
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (!is_of(row, &columns[0]) || number_of(row, "run") != 1) {
            continue; /* every event once */
        }
        const char *event = text_of(row, "event");
        printf("| %s |", event);
        for (int column = 0; column < count; column++) {
            print_summary_cell(rows, &columns[column], event);
        }
        printf("\n");
    }
}
