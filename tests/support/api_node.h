/* api_node.h — a node that consists of its API, a memory store and a directory.
 *
 * Why:    the API is tested and measured over real sockets; what stands behind it is filled by
 *         hand.
 * Thread: the test's. Shards may be moved while requests are under way, as lanes do.
 * Owns:   everything but the group.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_API_NODE_H
#define ALV_TESTS_SUPPORT_API_NODE_H

#include "api/api.h"
#include "tests/support/fake_group.h"

#define ALV_API_NODE_SHARDS 4

/* What a node that watches its peers needs; the rest is as in alv_api_options. */
typedef struct alv_api_node_watch {
    const char *listen; /* host:port; NULL = a free port */
    int64_t peer_timeout_ms;
    void (*dead)(void *payload, const char *node_id);
    void (*cleared)(void *payload, const char *node_id);
    void *payload;
} alv_api_node_watch;

typedef struct alv_api_node {
    alv_settings settings;
    alv_api_node_watch watch;
    alv_store *store;
    alv_directory *directory;
    alv_registry *registry;
    alv_api *api;
    alv_log_port *log; /* where its commands go; NULL = nowhere */
    /* As in alv_api_options, with the node as payload; set before it is opened and kept. May be NULL. */
    bool (*set_paused)(void *payload, int32_t shard, bool paused,
                       void (*done)(void *payload, alv_status status), void *done_payload);
    alv_tables *tables;    /* global tables; set like set_paused. May be NULL */
    const char *not_ready; /* why /readyz says no; NULL = ready */
} alv_api_node;

/* Starts a node on a free port of 127.0.0.1; all shards are unassigned. */
void alv_api_node_open(alv_api_node *node, const char *node_id, alv_fake_group *group);

/* The same with other settings, which are copied; node_id and http_listen must be among them.
 * Without application_id it is "mall". */
void alv_api_node_open_with(alv_api_node *node, const alv_settings *settings,
                            alv_fake_group *group);

/* The same, with a log that takes commands; borrowed. */
void alv_api_node_open_sending(alv_api_node *node, const char *node_id, alv_fake_group *group,
                               alv_log_port *log);

/* The same, with failover.evict. */
void alv_api_node_open_watching(alv_api_node *node, const char *node_id, alv_fake_group *group,
                                const alv_api_node_watch *watch);

/* Stops the API and starts another one over the same state, with `http_advertise` (may be NULL). */
void alv_api_node_restart(alv_api_node *node, alv_fake_group *group, const char *http_advertise);

/* Stops the API only (again: nothing happens). */
void alv_api_node_stop(alv_api_node *node);
void alv_api_node_close(alv_api_node *node);

const char *alv_api_node_address(const alv_api_node *node);

/* The shard a key belongs to. */
int32_t alv_api_node_shard(const char *key);

/* Moves a shard forward: unassigned -> restoring -> active; and back. */
void alv_api_node_restore(alv_api_node *node, int32_t shard);
void alv_api_node_activate(alv_api_node *node, int32_t shard);
void alv_api_node_activate_all(alv_api_node *node);
void alv_api_node_revoke(alv_api_node *node, int32_t shard);

/* Writes an entity as the transaction that ends at this position would. */
void alv_api_node_put(alv_api_node *node, const char *key, alv_view state, int64_t position);

/* The same for the record of an entity that is quarantined (see processor/quarantine_record.h); the directory counts
 * it. */
void alv_api_node_quarantine(alv_api_node *node, const char *key, const char *record,
                             int64_t position);

#endif
