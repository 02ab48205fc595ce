/* soak_table.h — samples of many figures over time, and what became of each figure.
 *
 * Why:    what a soak found out is read as one line per figure: at first, in the middle, at last, and whether
 *         it grows.
 * Thread: one.
 * Owns:   heap object.
 */
#ifndef ALV_TESTS_SUPPORT_SOAK_TABLE_H
#define ALV_TESTS_SUPPORT_SOAK_TABLE_H

#include <jansson.h>

#include "tests/support/trend.h"

#define ALV_SOAK_ROWS_MAX 32

typedef struct alv_soak_table alv_soak_table;

alv_soak_table *alv_soak_table_new(void);
void alv_soak_table_free(alv_soak_table *table);

/* Rows are numbered from 0 in the order in which they are added; all before the first sample. The name is copied. */
void alv_soak_table_add_row(alv_soak_table *table, const char *name, alv_trend_slack slack);

/* Adds a sample in which nothing is known (NAN) and returns its values, by row; valid until the next one. */
double *alv_soak_table_add_sample(alv_soak_table *table, double at_s);

/* A line per row. */
void alv_soak_table_print(const alv_soak_table *table);

/* [{"what", "first", "middle", "last", "per_hour", "verdict"}], without rows of which nothing is known, and
 * [{"at_s", name: value}]. New references. */
json_t *alv_soak_table_rows(const alv_soak_table *table);
json_t *alv_soak_table_samples(const alv_soak_table *table);

#endif
