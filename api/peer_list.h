/* peer_list.h — the other nodes as this one sees them.
 *
 * Why:    people and nodes ask which nodes are heard, and who would take over from whom.
 * Thread: the server's.
 */
#ifndef ALV_API_PEER_LIST_H
#define ALV_API_PEER_LIST_H

#include "api/answer.h"
#include "api/api.h"

/* GET /v1/peers:
 *   node, boot   this node, and which start of its process answers
 *   peers        one object per other node of the group:
 *                {"node", "address", "state": "unknown" | "alive" | "suspected" | "dead" | "left",
 *                 "silent_ms": since its last heartbeat, null when there was none} */
void alv_peer_list_answer(const alv_api *api, alv_answer *out);

/* GET /v1/cluster:
 *   node         this node
 *   shards       how many there are
 *   successor    the node that takes over when another one is found dead, null when nobody does
 *   nodes        one object per node of the group, by node id:
 *                {"node", "address", "roles": of this node, null for others, "state": as above,
 *                 "self" for this node, "unwatched" without failover.evict,
 *                 "lanes": [numbers], "shards": how many it is known to own} */
void alv_peer_list_answer_cluster(const alv_api *api, alv_answer *out);

#endif
