/* table_view.h — this node's copies of the global tables, told over HTTP.
 *
 * Why:    every node has its own copies, so a person who wonders what a handler saw asks a node, not the
 *         cluster; an answer says of which version it is.
 * Thread: the server's.
 */
#ifndef ALV_API_TABLE_VIEW_H
#define ALV_API_TABLE_VIEW_H

#include "api/api.h"
#include "api/exchange.h"

/* One object per table:
 *   {"table", "topic", "restored", "rows", "bytes": memory, estimated, "unreadable": records that are not JSON,
 *    "lag": offsets behind the end of the topic, "problem": why it does not go on, or null,
 *    "version": {"topic": Kafka's id, "offsets": by partition, exclusive}, null before it is restored}
 * A new reference. */
json_t *alv_table_view_json(const alv_api *api);

/* GET /v1/tables/{table}?key=       {"table", "node", "version", "key", "value"}; 404 when there is none
 * GET /v1/tables/{table}?after=&limit=   {"table", "node", "version", "rows": [{"key", "value"}],
 *                                     "after": for the next page, null when this is the last} */
void alv_table_view_answer(const alv_api *api, alv_exchange *exchange, alv_view table);

/* GET /v1/tables                    {"node", "tables": as above} */
void alv_table_view_answer_all(const alv_api *api, alv_exchange *exchange);

#endif
