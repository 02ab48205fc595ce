/* api.h — the HTTP API of a node: starts and stops what stands behind it.
 *
 *     GET /v1/entities         all whose key begins with a prefix, page by page
 *     GET /v1/local/entities   for the other nodes: see scan.h
 *     GET /v1/entities/{key}   state of an entity, from whichever node owns it
 *     POST /v1/entities/{key}/commands   a command, answered once it is committed
 *     GET /v1/quarantine       entities that are, of all shards; /v1/local/quarantine: for the other nodes
 *     POST /v1/quarantine/{key}/release   lets the commands of one be executed again
 *     GET /v1/dead-letters     the newest, from the topic
 *     POST /v1/replies         for the other nodes: see desk.h
 *     GET /v1/watch            committed changes as they come, of all shards
 *     GET /v1/shards           every shard of the cluster
 *     POST /v1/shards/{n}/pause, /resume   stop and go for one shard
 *     GET /v1/cluster          the nodes of the group, who is heard, who would take over
 *     GET /v1/node             what this node knows of itself and of every shard
 *     GET /v1/tables, /v1/tables/{table}   this node's copies of the global tables, and their rows
 *     GET /v1/peers            the other nodes as this one hears them
 *     GET /v1/peers/stream     for the other nodes: see peer_monitor.h
 *     GET /healthz, /readyz    alive; ready to work
 *     GET /metrics             for Prometheus: see metrics.h
 *     GET /openapi.json        the description of all this for programs
 *     GET /v1/nodes/{node}/metrics   those of another node, asked there
 *     GET /                    the dashboard
 *
 * Why:    programs and peers ask a node over HTTP; a request may come to any node.
 * Thread: start, stop: main. The rest as each says. It runs ten threads: the server's, http-ask,
 *         http-scan, http-letters,
 *         http-patience, http-desk, http-client, peers, watch and (with failover.evict) peer-monitor.
 * Owns:   its threads and sockets. What it is given is borrowed and must outlive it.
 * Fails:  ALV_REJECT: http.listen cannot be used; ALV_FATAL.
 * Limits: http_limits.h.
 *
 * Order: the server starts before the lanes, because a lane tells the group the address that is
 * bound only here. Until shards are active, entities are answered by their owners, or with 503.
 */
#ifndef ALV_API_API_H
#define ALV_API_API_H

#include "api/peers.h"
#include "base/clock.h"
#include "base/config.h"
#include "changelog/checkpointer.h"
#include "processor/directory.h"
#include "processor/meter.h"
#include "processor/registry.h"
#include "processor/reply_box.h"
#include "statestore/store.h"
#include "statestore/tables.h"
#include "topics/log_port.h"

typedef struct alv_api alv_api;

typedef struct alv_api_options {
    const alv_settings *settings;
    const alv_config *config; /* for asking Kafka about the group and sending commands */
    alv_log_port *log;        /* where commands go instead; NULL with `members` set: nowhere */
    alv_store *store;
    const alv_directory *directory;
    const alv_registry *registry;
    const alv_clock *clock;
    alv_tables *tables; /* global tables; NULL = there are none */

    /* Whether the node is ready; otherwise `why` gets one line. Any thread; must not block. */
    bool (*ready)(void *payload, char *why, size_t size);
    void *ready_payload;

    const alv_meter *meter; /* NULL = nothing is executed here */

    /* As alv_node_set_paused. Any thread; must not block. NULL = nothing is executed here. */
    bool (*set_paused)(void *payload, int32_t shard, bool paused,
                       void (*done)(void *payload, alv_status status), void *done_payload);
    void *set_paused_payload;

    /* As alv_node_checkpoints. Any thread; must not block. NULL = there are none. */
    bool (*checkpoints)(void *payload, alv_checkpointer_status *out_status, int64_t *out_positions);
    void *checkpoints_payload;

    alv_peers_source members; /* NULL = ask Kafka, and send commands there */
    void *members_payload;

    /* With failover.evict: a node was found dead; and that verdict is over. On the monitor's
     * thread; must not block. May be NULL. */
    void (*node_dead)(void *payload, const char *node_id);
    void (*node_cleared)(void *payload, const char *node_id);
    void *node_payload;

    /* Told who is a member of the group, every time Kafka was asked. Not on the caller's thread; must
     * not block. May be NULL. */
    void (*members_known)(void *payload, const alv_members *members);
    void *members_known_payload;
} alv_api_options;

/* Listens on http.listen and answers from now on. */
alv_status alv_api_start(const alv_api_options *options, alv_api **out, alv_error *err);

/* Changes can be watched from now on. `log` is used until stop; `topic_id` is the changelog's in
 * Kafka. At most once. @thread main */
void alv_api_open_watch(alv_api *api, alv_log_port *log, const char *topic_id);

/* The bound "host:port". Borrowed until stop. @thread any */
const char *alv_api_address(const alv_api *api);

/* What peers and clients should be told: http.advertise as it was at the start; or the bound
 * address when that is not set or names port 0. Borrowed until stop. @thread any */
const char *alv_api_advertise(const alv_api *api);

/* Names this start of the process among those of its node: random. Borrowed until stop.
 * @thread any */
const char *alv_api_boot(const alv_api *api);

/* Takes the content of `box`, as alv_lane_options.replied says. @thread lane @blocks no */
void alv_api_replied(alv_api *api, alv_reply_box *box);

/* Shards have moved: ask the group soon who holds what. @thread any @blocks no */
void alv_api_peers_changed(alv_api *api);

/* Answers what is under way (what waits gets 503), ends the threads, frees everything. Nobody may
 * call alv_api_peers_changed or alv_api_replied any more. Blocks up to ALV_HTTP_COMMANDS_DRAIN_MS +
 * ALV_HTTP_DRAIN_MS + ALV_PEERS_CALL_MS. NULL is
 * fine. */
void alv_api_stop(alv_api *api);

#endif
