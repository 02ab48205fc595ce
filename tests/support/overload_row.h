/* overload_row.h — what one scenario of bench/overload did, as a row of a table and as JSON.
 *
 * Why:    the scenarios measure different things; people compare what they have in common.
 * Thread: one.
 * Owns:   the caller's struct; done frees its notes.
 */
#ifndef ALV_TESTS_SUPPORT_OVERLOAD_ROW_H
#define ALV_TESTS_SUPPORT_OVERLOAD_ROW_H

#include <jansson.h>

#include "base/bytes.h"
#include "tests/support/node_watch.h"
#include "tests/support/probe.h"

typedef struct alv_overload_row {
    const char *what;
    double offered_s; /* commands a second; 0 = nothing to say, here and below */
    double done_s;
    alv_probe_summary here; /* waits on what is overloaded */
    alv_probe_summary others;
    int64_t back_ms; /* after the end of it, until nothing waits */
    int wrong;       /* entities that are not what they must be */
    alv_node_watch_view node;
    alv_bytes notes; /* more, in words */
} alv_overload_row;

void alv_overload_row_print_head(void);
void alv_overload_row_print(const alv_overload_row *row);

/* A new reference. */
json_t *alv_overload_row_json(const alv_overload_row *row);

void alv_overload_row_done(alv_overload_row *row);

#endif
