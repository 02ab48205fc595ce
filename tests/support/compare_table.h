/* compare_table.h — what bench/compare measured, as Markdown tables with the aims beside it.
 *
 * Why:    single runs go into the JSON file; what people read is one cell per figure and contender.
 * Thread: main.
 */
#ifndef ALV_TESTS_SUPPORT_COMPARE_TABLE_H
#define ALV_TESTS_SUPPORT_COMPARE_TABLE_H

#include <jansson.h>

/* Prints a table for each kind of measurement in `rows`, an array of
 *     {"what": "drain", "contender": "Alluvium", "keys": "hot", "threads": 1, "run": 1,
 *      "commands_per_s": n, "cpu_us": n, "peak_mib": n}
 *     {"what": "latency", "contender", "rate", "p50_ms", "p99_ms", "p999_ms", "max_ms"}
 *     {"what": "restore", "contender", "run", "records_per_s", "ready_ms", "peak_mib"}
 *     {"what": "start", "contender", "run", "ready_ms"}
 * with the median of the runs in each cell, the smallest and the largest in brackets. */
void alv_compare_print(const json_t *rows);

#endif
