/* tables.h — this node's copies of the global tables, as lanes see them.
 *
 * Why:    a handler may look rows up, and the version that it saw must be one that can be named: a view
 *         holds all tables as they were after the same step of whoever follows their topics, it never
 *         changes, and each table in it has a version.
 *
 * Version: the exclusive end offset per partition of the table's topic up to which records are in the
 *         copy, and the topic's id in Kafka. Two copies of the same version have the same rows, on whichever
 *         node, because a row is decided by the last record of its key. Versions of one topic are compared
 *         partition by partition; those of two topics (it was deleted and made anew) cannot be.
 *
 * I12 (here: the part of one process): the view that is taken later is never older, in no table.
 *
 * Thread: one publishes; any takes, and reads what it has taken. The lock is held for some instructions.
 * Owns:   the views, until the last one who took one has released it.
 */
#ifndef ALV_STATESTORE_TABLES_H
#define ALV_STATESTORE_TABLES_H

#include "base/table_list.h"
#include "statestore/table_map.h"

#define ALV_TABLE_TOPIC_ID_BYTES 32

/* One table at one version. */
typedef struct alv_table {
    char topic_id[ALV_TABLE_TOPIC_ID_BYTES];
    int32_t partition_count;
    int64_t offsets[ALV_TABLE_PARTITIONS_MAX]; /* by partition, exclusive; 0 behind the last */
    alv_table_map rows;
} alv_table;

/* All tables, at a moment. `items` are as global.tables lists them. */
typedef struct alv_tables_view {
    _Atomic uint32_t references;
    uint64_t serial; /* which view of this process it is, from 1 on */
    size_t count;
    alv_table items[];
} alv_tables_view;

typedef struct alv_tables alv_tables;

/* Without a view so far. Copies the list. */
alv_tables *alv_tables_new(const alv_table_list *list);

/* All views must have been released. NULL is fine. */
void alv_tables_free(alv_tables *tables);

const alv_table_list *alv_tables_list(const alv_tables *tables);

/* What is taken from now on; `items` is one per table of the list, and their rows are shared. No version may be
 * older than the one before (I12). */
void alv_tables_publish(alv_tables *tables, const alv_table *items);

/* The last view; NULL before the first: the tables are still being restored. To be released. */
alv_tables_view *alv_tables_take(alv_tables *tables);
void alv_tables_release(alv_tables_view *view);

/* Whether `left` is of the same topic as `right` and has at least what that has. */
bool alv_table_covers(const alv_table *left, const alv_table *right);

/* ---- how far they are ------------------------------------------------------------------------- */

typedef struct alv_table_progress {
    bool is_restored; /* it has had what was in its topic when the node started */
    int64_t rows;
    int64_t bytes;   /* memory, estimated */
    int64_t read;    /* records, since the start */
    int64_t to_read; /* records there were at the start; an upper bound: compacted logs have gaps */
    int64_t unreadable; /* records whose value is not JSON: their keys have no row */
    int64_t lag;        /* offsets between the copy and the end of the topic as last heard */
    char problem[200];  /* why it does not go on; empty when it does */
} alv_table_progress;

void alv_tables_set_progress(alv_tables *tables, size_t table, const alv_table_progress *progress);
alv_table_progress alv_tables_progress(alv_tables *tables, size_t table);

/* Whether there is a view and no table has a problem; otherwise `why` (one line) says what is missing. */
bool alv_tables_ready(alv_tables *tables, char *why, size_t size);

#endif
