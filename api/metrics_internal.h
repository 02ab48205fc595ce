/* metrics_internal.h — the parts of the page: metrics.c has the node and its API, metrics_shards.c the
 * shards and their checkpoints, metrics_tables.c the global tables, metrics_libraries.c RocksDB and librdkafka.
 *
 * Thread: the server's.
 */
#ifndef ALV_API_METRICS_INTERNAL_H
#define ALV_API_METRICS_INTERNAL_H

#include "api/api_internal.h"
#include "base/exposition.h"

void alv_metrics_write_shards(const alv_api *api, alv_exposition *page);
void alv_metrics_write_tables(const alv_api *api, alv_exposition *page);
void alv_metrics_write_store(const alv_api *api, alv_exposition *page);
void alv_metrics_write_kafka(alv_exposition *page);

#endif
