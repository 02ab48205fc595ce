/* sim_tables.h — a global table that changes all the time, and how far each node has followed it.
 *
 * Why:    I12 is about versions: which one a handler saw, whether that is told, and whether a shard that moves to a
 *         node which is behind waits. So a row says by its value of which version it is, and what a version has can
 *         be computed instead of being kept.
 * How:    record number n of partition p (of two) sets the row "r<p + 2 * (n % 2)>" to {"v": n + 1}.
 * Thread: one.
 */
#ifndef ALV_TESTS_SIM_TABLES_H
#define ALV_TESTS_SIM_TABLES_H

#include "statestore/tables.h"

#define SIM_TABLE "rates"
#define SIM_TABLE_PARTITIONS 2
#define SIM_TABLE_ROWS 4

/* By partition, exclusive ends. */
typedef struct sim_version {
    int64_t offsets[SIM_TABLE_PARTITIONS];
} sim_version;

/* What a row has at a version, 0 when there is none. */
int64_t sim_table_value(int row, const sim_version *version);

/* Whether `left` has at least what `right` has. */
bool sim_version_covers(const sim_version *left, const sim_version *right);

/* The copies of a node that has read everything up to `version`. */
alv_tables *sim_tables_new(const sim_version *version);

/* It has read on. */
void sim_tables_follow(alv_tables *tables, const sim_version *version);

/* What a record of the ledger or a header of the changelog says; false: it is no version. */
bool sim_version_read(alv_view text, sim_version *out);

#endif
