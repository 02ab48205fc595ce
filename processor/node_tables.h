/* node_tables.h — the global tables of a node: the copies, and the thread that keeps them.
 *
 * Why:    a part of the node with a life of its own, of which most nodes have none.
 * Thread: main; the copies as statestore/tables.h says.
 * Owns:   both.
 */
#ifndef ALV_PROCESSOR_NODE_TABLES_H
#define ALV_PROCESSOR_NODE_TABLES_H

#include "changelog/table_follower.h"
#include "topics/kafka.h"

typedef struct alv_node_tables {
    alv_tables *tables; /* NULL = global.tables names none */
    alv_table_source sources[ALV_TABLES_MAX];
    alv_table_follower *follower; /* NULL before the start */
} alv_node_tables;

/* `topics` as alv_kafka_prepare_topics found them. */
void alv_node_tables_init(alv_node_tables *node_tables, const alv_settings *settings,
                          const alv_topic_info topics[ALV_TOPICS_MAX]);

/* Starts the thread, if there are tables; `options` without tables and sources. ALV_FATAL, ALV_RETRY. */
alv_status alv_node_tables_start(alv_node_tables *node_tables,
                                 const alv_table_follower_options *options, alv_error *err);

/* Whether handlers may run; otherwise `why` (one line) says what is missing. Any thread. */
bool alv_node_tables_ready(const alv_node_tables *node_tables, char *why, size_t size);

/* The copies stay as they are. */
void alv_node_tables_stop(alv_node_tables *node_tables);

/* Lanes have let go of the copies. */
void alv_node_tables_done(alv_node_tables *node_tables);

#endif
