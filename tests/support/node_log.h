/* node_log.h — when a node's log says that something happened.
 *
 * Why:    a figure that is worse than it should be is explained by what happened when.
 * Thread: one.
 */
#ifndef ALV_TESTS_SUPPORT_NODE_LOG_H
#define ALV_TESTS_SUPPORT_NODE_LOG_H

#include <stdint.h>

#include "tests/support/cluster.h"

/* The last line that has `text`, in ms after `since_ms` (as alv_now_ms says); lines from before do not
 * count. -1: there is none. Right for half a day. */
int64_t alv_node_log_last(const alv_cluster_node *node, const char *text, int64_t since_ms);

/* A number in that line, "ms=" for instance; -1: there is none. */
int64_t alv_node_log_value(const alv_cluster_node *node, const char *text, const char *name,
                           int64_t since_ms);

#endif
