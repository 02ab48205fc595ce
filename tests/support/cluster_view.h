/* cluster_view.h — the state of a cluster's entities as HTTP, Kafka and PostgreSQL show it.
 *
 * Why:    "the same everywhere" is the product's promise; with every view as one JSON object
 *         {key: state}, a test compares them in one line.
 * Thread: one.
 * Owns:   every json_t is a new reference.
 */
#ifndef ALV_TESTS_SUPPORT_CLUSTER_VIEW_H
#define ALV_TESTS_SUPPORT_CLUSTER_VIEW_H

#include "tests/support/cluster.h"

/* GET `path` of a node. The body as JSON, or NULL when it is none. *out_status is 0 when nobody
 * answers. */
json_t *alv_cluster_http(const alv_cluster_node *node, const char *path, int *out_status);

/* {key: state} of those `keys` (a JSON array) that exist, asked one by one from `node`. */
json_t *alv_cluster_http_states(const alv_cluster_node *node, json_t *keys);

/* {key: state} of the changelog. */
json_t *alv_cluster_changelog_states(const alv_cluster *cluster);

/* {key: state} of the rows in PostgreSQL; NULL when it cannot be asked (away, no table yet). */
json_t *alv_cluster_postgres_states(const alv_cluster *cluster);

/* Waits until the rows are `expected`; fails with the first difference. */
void alv_cluster_wait_postgres(const alv_cluster *cluster, json_t *expected, int timeout_ms);

/* Fails with the first key whose state differs. */
void alv_cluster_assert_states(json_t *actual, json_t *expected, const char *what);

/* Commands that are in the topic and not yet consumed by a committed transaction. */
int64_t alv_cluster_backlog(const alv_cluster *cluster);

/* Waits until there is no backlog. */
void alv_cluster_wait_consumed(const alv_cluster *cluster, int timeout_ms);

/* Drops the cluster's schema; never fails. */
void alv_cluster_drop_schema(const alv_cluster *cluster);

#endif
