/* cli_status_internal.h — the two parts of `alluvium status`: cli_status.c has the options and asks the node,
 * cli_status_print.c makes tables of the answers.
 *
 * Thread: main.
 */
#ifndef ALV_CLI_CLI_STATUS_INTERNAL_H
#define ALV_CLI_CLI_STATUS_INTERNAL_H

#include <jansson.h>

#include "base/bytes.h"

/* Appends what GET /v1/cluster and GET /v1/shards said, for people. `all_shards`: those that are as they
 * should be as well. */
void alv_cli_status_print(const json_t *cluster, const json_t *shards, bool all_shards,
                          alv_bytes *out);

#endif
