/* node_relay.h — the metrics of another node, asked through this one.
 *
 *     GET /v1/nodes/{node}/metrics
 *
 * Why:    a browser may ask no other node than the one its page came from, and a person has the address of
 *         one. What nodes say about shards and each other, any of them puts together (gather.h).
 * Thread: the server's; the answer comes on the HTTP client's.
 * Owns:   the request until it is answered.
 * Fails:  404: no such node in the group; 503: it does not answer.
 * Limits: those of http_client.h. One hop: the other node is asked for its own path.
 */
#ifndef ALV_API_NODE_RELAY_H
#define ALV_API_NODE_RELAY_H

#include "api/api.h"
#include "api/exchange.h"

/* Answers `exchange` with what the node of this percent-encoded id answers at /metrics.
 * @thread http */
void alv_node_relay_metrics(alv_api *api, alv_exchange *exchange, alv_view encoded_node);

#endif
