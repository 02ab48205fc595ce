/* cli_table.h — text in columns that are as wide as what stands in them.
 *
 * Thread: one.
 * Owns:   copies of its texts.
 */
#ifndef ALV_CLI_CLI_TABLE_H
#define ALV_CLI_CLI_TABLE_H

#include "base/bytes.h"

#define ALV_CLI_TABLE_COLUMNS_MAX 16

typedef struct alv_cli_table {
    size_t column_count;
    size_t widths[ALV_CLI_TABLE_COLUMNS_MAX]; /* in characters */
    char **cells;                             /* row by row */
    size_t cell_count;
} alv_cli_table;

/* The titles are the first row. */
void alv_cli_table_init(alv_cli_table *table, const char *const *titles, size_t column_count);

/* Adds the next cell; a row is complete when there are as many as columns. Control characters become
 * '?'. */
void alv_cli_table_add(alv_cli_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends the rows; the last one must be complete. */
void alv_cli_table_print(const alv_cli_table *table, alv_bytes *out);

void alv_cli_table_done(alv_cli_table *table);

#endif
