#include "tests/support/scale_table.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct column {
    const char *field;
    const char *title;
    int digits;
} columns[] = {
    {"commands_per_s", "commands/s", 0},
    {"cpu_us", "CPU us/command", 2},
    {"broker_cpu_us", "broker's CPU us/command", 2},
    {"commands_per_transaction", "commands/transaction", 0},
    {"sent_bytes", "bytes to the broker/command", 0},
    {"received_bytes", "bytes from it/command", 0},
    {"peak_mib", "peak memory MiB", 0},
    {"state_dir_mib", "state.dir MiB", 0},
    {"start_ms", "start to ready ms", 0},
    {"restore_records", "restored records", 0},
    {"restore_records_per_s", "records/s", 0},
    {"restore_mib_per_s", "MiB/s", 0},
    {"restore_cpu_us", "CPU us/record", 2},
    {"postgres_rows_per_s", "PostgreSQL rows/s", 0},
    {"postgres_cpu_us_per_row", "its CPU us/row", 1},
    {"events_per_s", "events/s", 0},
    {"node_cpu_percent", "node's CPU %", 1},
    {"node_cpu_percent_unwatched", "unwatched %", 1},
    {"cpu_us_per_event", "CPU us/event", 1},
    {"node_mib", "memory MiB", 0},
    {"node_mib_unwatched", "unwatched MiB", 0},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static bool is_of(const json_t *row, const char *dimension)
{
    return strcmp(json_string_value(json_object_get(row, "dimension")), dimension) == 0;
}

static long long value_of(const json_t *row)
{
    return (long long)json_integer_value(json_object_get(row, "value"));
}

/* The row of the smallest value above `after`, NULL behind the last one. */
static const json_t *next_row(const json_t *rows, const char *dimension, long long after)
{
    const json_t *next = NULL;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (is_of(row, dimension) && value_of(row) > after &&
            (next == NULL || value_of(row) < value_of(next))) {
            next = row;
        }
    }
    return next;
}

static bool has_column(const json_t *rows, const char *dimension, const struct column *column)
{
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (is_of(row, dimension) && json_object_get(row, column->field) != NULL) {
            return true;
        }
    }
    return false;
}

static void print_head(const json_t *rows, const char *dimension)
{
    printf("\n| %s |", dimension);
    for (size_t i = 0; i < COLUMNS; i++) {
        if (has_column(rows, dimension, &columns[i])) {
            printf(" %s |", columns[i].title);
        }
    }
    printf("\n|---|");
    for (size_t i = 0; i < COLUMNS; i++) {
        if (has_column(rows, dimension, &columns[i])) {
            printf("---|");
        }
    }
    printf("\n");
}

static void print_cells(const json_t *rows, const char *dimension, const json_t *row)
{
    printf("| %lld |", value_of(row));
    for (size_t i = 0; i < COLUMNS; i++) {
        const json_t *cell = json_object_get(row, columns[i].field);
        if (cell != NULL) {
            printf(" %.*f |", columns[i].digits, json_number_value(cell));
        } else if (has_column(rows, dimension, &columns[i])) {
            printf(" |");
        }
    }
    printf("\n");
}

void alv_scale_print(const json_t *rows, const char *dimension)
{
    const json_t *row = next_row(rows, dimension, LLONG_MIN);
    if (row == NULL) {
        return;
    }
    print_head(rows, dimension);
    for (; row != NULL; row = next_row(rows, dimension, value_of(row))) {
        print_cells(rows, dimension, row);
    }
}
