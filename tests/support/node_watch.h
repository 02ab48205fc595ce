/* node_watch.h — looks at a node again and again: its memory, and whether it says that it is alive.
 *
 * Why:    the most memory a process had once is not what it has; and what a supervisor would see while a node
 *         has too much to do decides whether it is killed.
 * Thread: one opens, looks and closes; it has a thread of its own. Each /healthz is a new connection.
 * Owns:   heap object.
 */
#ifndef ALV_TESTS_SUPPORT_NODE_WATCH_H
#define ALV_TESTS_SUPPORT_NODE_WATCH_H

#include <stdint.h>

#include "tests/support/cluster.h"

typedef struct alv_node_watch alv_node_watch;

typedef struct alv_node_watch_view {
    int64_t first_kib; /* resident, when it began */
    int64_t peak_kib;  /* the most that was seen since */
    int64_t last_kib;
    int64_t cpu_us;    /* used since it began */
    int64_t passed_us; /* since it began */
    int looks;
    int refused;        /* of /healthz: any answer but 200, or none within 30 s */
    int64_t longest_us; /* until its answer */
} alv_node_watch_view;

alv_node_watch *alv_node_watch_open(const alv_cluster_node *node);
alv_node_watch_view alv_node_watch_look(alv_node_watch *watch);
alv_node_watch_view alv_node_watch_close(alv_node_watch *watch);

#endif
