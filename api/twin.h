/* twin.h — finds another process that runs with this node's id.
 *
 * Why:    two processes with one node.id take each other's seats in the group for ever. The usual
 *         causes are a copied configuration and two nodes on one host that left node.id to its
 *         default, so it is found out at the start, before any lane joins.
 * Thread: main.
 * Fails:  ALV_REJECT: there is one, `err` says where. When the group cannot be asked, or a member
 *         of that id does not answer over HTTP (a former process of this node, mostly), nothing is
 *         known against the start.
 */
#ifndef ALV_API_TWIN_H
#define ALV_API_TWIN_H

#include "api/api.h"

/* The API must be serving: a former address of this node may lead back to it. `out` is who is a member,
 * empty when the group cannot be asked; freed with alv_members_done, whatever the call says. Blocks up to
 * ALV_PEERS_CALL_MS, and ALV_TWIN_ANSWER_MS per address. */
#define ALV_TWIN_ANSWER_MS 1000
alv_status alv_twin_check(const alv_api *api, alv_members *out, alv_error *err);

#endif
