/* difference.h — where two JSON values differ, for a person to read.
 *
 * Why:    "expected A, is B" of two states of a page each helps nobody; the member that differs does.
 * Thread: any; pure.
 */
#ifndef ALV_TESTKIT_DIFFERENCE_H
#define ALV_TESTKIT_DIFFERENCE_H

#include <jansson.h>

#include "base/bytes.h"

/* So many lines at most; more are counted. */
#define ALV_DIFFERENCES_MAX 20

/* Appends a line for each difference, as "\n    items[0].sku: expected 1, is 2"; NULL is "nothing". False, and nothing
 * is appended, when there is none. Equal is what json_equal says. */
bool alv_difference(const json_t *expected, const json_t *actual, alv_bytes *out);

/* Appends the value on one line, cut when it is long; "nothing" for NULL. */
void alv_difference_show(const json_t *value, alv_bytes *out);

#endif
