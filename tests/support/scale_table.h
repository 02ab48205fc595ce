/* scale_table.h — what bench/scale measured, as Markdown tables.
 *
 * Why:    docs/scale.md is written from them.
 * Thread: main.
 */
#ifndef ALV_TESTS_SUPPORT_SCALE_TABLE_H
#define ALV_TESTS_SUPPORT_SCALE_TABLE_H

#include <jansson.h>

/* Prints a table of the rows {"dimension": name, "value": n, figure: x, ...} of a dimension, in the order of
 * their values, with the figures that its rows have; nothing when there are no such rows. */
void alv_scale_print(const json_t *rows, const char *dimension);

#endif
