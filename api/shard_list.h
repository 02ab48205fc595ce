/* shard_list.h — every shard as this node sees it.
 *
 * Why:    each node knows best what it has; shard_survey.h puts together what all of them say.
 * Thread: any.
 */
#ifndef ALV_API_SHARD_LIST_H
#define ALV_API_SHARD_LIST_H

#include <jansson.h>

#include "api/api.h"

/* A new reference to a list, one object per shard:
 *   shard      number
 *   state      here: "unassigned", "restoring", "active", "stopped"
 *   lane       of this node, null when the shard is not here
 *   owner      {"node","address","lane"}, null when nobody is known to own it
 *   standby    what this node keeps of another node's shard: "hot", "catching-up", null = nothing
 *   standby_lag   records of the changelog that it is behind, as far as is known here; null = no standby
 *   restore    of a restore under way, or of a standby that catches up: {"records","target","bytes",
 *              "share","eta_ms"}; share is 0 to 1, eta_ms null while not known. Otherwise null
 *   position   of the store here: {"commands","changelog","ledger"}
 *   commands   handled here since the node started
 *   paused     it is active here, and its commands wait
 *   commands_lag   commands in Kafka that are not consumed yet, as last seen; null = not known
 *   restored, target   records of the last restore here, and how many there were at most */
json_t *alv_shard_list_rows(const alv_api *api);

#endif
