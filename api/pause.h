/* pause.h — POST /v1/shards/{n}/pause and /resume: stop and go for one shard.
 *
 * Why:    an operator who finds that a shard's commands do harm stops them, without stopping the node, and
 *         without losing one: they wait in Kafka. Reads go on.
 * Thread: the server's; the answer comes from the lane's thread, or from the client's.
 *
 *   200  {"shard","paused","node"}: recorded; it holds until somebody says otherwise, also after the shard has
 *        moved or its node was restarted
 *   404  there is no such shard
 *   503  its owner is not known, does not answer, or has just lost it: try again
 *
 * A request that comes to another node is passed to the owner, with one hop at most.
 */
#ifndef ALV_API_PAUSE_H
#define ALV_API_PAUSE_H

#include "api/api.h"
#include "api/exchange.h"

/* `number` is the part of the path that names the shard. */
void alv_pause_handle(alv_api *api, alv_exchange *exchange, alv_view number, bool paused);

#endif
