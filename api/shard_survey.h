/* shard_survey.h — every shard of the cluster, put together from what its nodes say.
 *
 * Why:    operators and scripts ask any node where a shard is, whether it works and how far it is behind.
 * Thread: any; for alv_gather_answer.
 *
 * A list, one object per shard:
 *   shard      number
 *   state      at its owner: "restoring", "active", "stopped"; "unassigned": nobody has it at the moment;
 *              "unknown": its owner did not answer
 *   paused     true: its commands wait until somebody resumes it; null = not known
 *   owner      {"node","address"}, null when nobody is known to have it
 *   lane       of the owner, null when that is not known
 *   lag        commands in Kafka that are not consumed yet, as the owner last saw it; null = not known
 *   commands   handled by the owner since it started
 *   position   of the owner's store: {"commands","changelog","ledger"}; null = not known
 *   restore    of the owner, as shard_list.h; null when there is none
 *   restored, target   records of the owner's last restore, and how many there were at most
 *   standbys   [{"node","state": "hot" | "catching-up", "position": in the changelog, "lag": records of the
 *              changelog behind the owner, null = not known, "restore"}]
 */
#ifndef ALV_API_SHARD_SURVEY_H
#define ALV_API_SHARD_SURVEY_H

#include "api/gather.h"

void alv_shard_survey_compose(const alv_api *api, const alv_gathered *round, alv_answer *out);

#endif
