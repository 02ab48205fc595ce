/* peer_list.h — the other nodes as this one sees them.
 *
 * Why:    people and nodes ask which nodes are heard, and who would take over from whom.
 * Thread: the server's; the cluster's view: any.
 */
#ifndef ALV_API_PEER_LIST_H
#define ALV_API_PEER_LIST_H

#include "api/answer.h"
#include "api/api.h"
#include "api/gather.h"

/* GET /v1/peers:
 *   node, boot   this node, and which start of its process answers
 *   peers        one object per other node of the group:
 *                {"node", "address", "state": "unknown" | "alive" | "suspected" | "dead" | "left",
 *                 "silent_ms": since its last heartbeat, null when there was none} */
void alv_peer_list_answer(const alv_api *api, alv_answer *out);

/* GET /v1/cluster:
 *   node         this node
 *   application, shards   of all; how many shards there are
 *   successor    the node that takes over when another one is found dead, null when nobody does
 *   unknown      ids of the nodes that did not answer: what is theirs below is null
 *   nodes        one object per node of the group, by node id:
 *                {"node", "address", "state": as above, "self" for this node, "unwatched" without
 *                 failover.evict, "silent_ms": since its last heartbeat here, null when there was none,
 *                 "version", "roles": [texts], "ready", "reason": why it is not ready,
 *                 "lanes": [numbers], "shards": how many it is known to own,
 *                 "tables": its copies of the global tables (table_view.h),
 *                 "standbys": how many shards of others it keeps,
 *                 "duties": ["takes-over"] for the successor} */
void alv_peer_list_compose_cluster(const alv_api *api, const alv_gathered *round, alv_answer *out);

#endif
