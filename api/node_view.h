/* node_view.h — what a node knows of itself.
 *
 * Why:    any node is to show the whole cluster, and only the node itself knows its roles, its version and
 *         how far its shards are; so nodes ask each other for this (gather.h).
 * Thread: any.
 */
#ifndef ALV_API_NODE_VIEW_H
#define ALV_API_NODE_VIEW_H

#include "api/answer.h"
#include "api/api.h"

/* GET /v1/node:
 *   node, address, version, application
 *   roles      list of texts
 *   lanes      how many
 *   behaviors  which it has: list of type, version, stateVersion, library (a path;
 *              null = built in)
 *   ready      true or false; `reason` says why not
 *   tables     as table_view.h: its copies of the global tables
 *   shards     as shard_list.h: every shard as this node sees it
 * A new reference. */
json_t *alv_node_view_json(const alv_api *api);

void alv_node_view_answer(const alv_api *api, alv_answer *out);

#endif
