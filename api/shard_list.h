/* shard_list.h — every shard as this node sees it.
 *
 * Why:    operators and scripts look here for what is where and how far a restore is.
 * Thread: the server's.
 */
#ifndef ALV_API_SHARD_LIST_H
#define ALV_API_SHARD_LIST_H

#include "api/answer.h"
#include "api/api.h"

/* A list, one object per shard:
 *   shard      number
 *   state      here: "unassigned", "restoring", "active", "stopped"
 *   lane       of this node, null when the shard is not here
 *   owner      {"node","address","lane"}, null when nobody is known to own it
 *   position   of the store here: {"commands","changelog","ledger"}
 *   commands   handled here since the node started
 *   restored, target   records of the last restore here, and how many there were at most */
void alv_shard_list_answer(const alv_api *api, alv_answer *out);

#endif
