#include "cli/cli_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define TABLE_CELL_BYTES 512

/* Characters of UTF-8 text; what is wider or narrower than one column is not known here. */
static size_t table_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

/* Names come from other hosts: a terminal must not obey them. */
static void table_add_text(alv_cli_table *table, const char *text)
{
    size_t column = table->cell_count % table->column_count;
    size_t width = table_width(text);
    size_t size = (table->cell_count + 1) * sizeof *table->cells;
    char *cell = alv_strdup(text);
    for (char *c = cell; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    table->cells = alv_realloc(table->cells, size);
    table->cells[table->cell_count++] = cell;
    table->widths[column] = width > table->widths[column] ? width : table->widths[column];
}

void alv_cli_table_init(alv_cli_table *table, const char *const *titles, size_t column_count)
{
    ALV_ASSERT(column_count > 0 && column_count <= ALV_CLI_TABLE_COLUMNS_MAX);
    *table = (alv_cli_table){.column_count = column_count};
    for (size_t i = 0; i < column_count; i++) {
        table_add_text(table, titles[i]);
    }
}

void alv_cli_table_add(alv_cli_table *table, const char *format, ...)
{
    char text[TABLE_CELL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* a longer one is cut */
    va_end(arguments);
    table_add_text(table, text);
}

void alv_cli_table_print(const alv_cli_table *table, alv_bytes *out)
{
    ALV_ASSERT(table->cell_count % table->column_count == 0);
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->column_count;
        bool is_last = column + 1 == table->column_count;
        alv_bytes_append_text(out, table->cells[i]);
        size_t fill = is_last ? 0 : table->widths[column] - table_width(table->cells[i]) + 2;
        for (size_t j = 0; j < fill; j++) {
            alv_bytes_append_text(out, " ");
        }
        if (is_last) {
            alv_bytes_append_text(out, "\n");
        }
    }
}

void alv_cli_table_done(alv_cli_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) {
        alv_free(table->cells[i]);
    }
    alv_free(table->cells);
    *table = (alv_cli_table){.column_count = 1};
}
