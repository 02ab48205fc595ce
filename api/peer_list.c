#include "api/peer_list.h"

#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/http_limits.h"
#include "base/alloc.h"

/* ---- peers ----------------------------------------------------------------------------------- */

typedef struct peer_table {
    alv_peer_view *items;
    size_t count;
} peer_table;

static peer_table peer_table_read(const alv_api *api)
{
    peer_table table = {alv_alloc_array(ALV_PEER_NODES_MAX, sizeof *table.items), 0};
    if (api->monitor != NULL) {
        table.count = alv_peer_monitor_list(api->monitor, table.items, ALV_PEER_NODES_MAX);
    }
    return table;
}

static const alv_peer_view *peer_table_find(const peer_table *table, const char *node_id)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->items[i].node_id, node_id) == 0) {
            return &table->items[i];
        }
    }
    return NULL;
}

static json_t *peer_list_row(const alv_api *api, const alv_peer_view *peer)
{
    int64_t now_ms = alv_monotonic_us(api->options.clock) / 1000;
    json_t *silent_ms =
        peer->heard_at_ms == 0 ? json_null() : json_integer(now_ms - peer->heard_at_ms);
    return json_pack("{s:s, s:s, s:s, s:o}", "node", peer->node_id, "address", peer->address,
                     "state", alv_peer_state_name(peer->state), "silent_ms", silent_ms);
}

void alv_peer_list_answer(const alv_api *api, alv_answer *out)
{
    peer_table table = peer_table_read(api);
    json_t *list = json_array();
    for (size_t i = 0; i < table.count; i++) {
        (void)json_array_append_new(list, peer_list_row(api, &table.items[i])); /* memory only */
    }
    alv_answer_set_json(out, 200,
                        json_pack("{s:s, s:s, s:s, s:o}", "application",
                                  api->options.settings->application_id, "node",
                                  api->options.settings->node_id, "boot", alv_api_boot(api),
                                  "peers", list));
    alv_free(table.items);
}

/* ---- cluster --------------------------------------------------------------------------------- */

static const char *cluster_state(const alv_api *api, const peer_table *table, const char *node_id)
{
    if (strcmp(node_id, api->options.settings->node_id) == 0) {
        return "self";
    }
    const alv_peer_view *peer = peer_table_find(table, node_id);
    return peer != NULL ? alv_peer_state_name(peer->state) : "unwatched";
}

/* As processor/takeover.h decides it: the smallest id of those that are not held for dead. */
static json_t *cluster_successor(const alv_api *api, const peer_table *table, const alv_peer *lanes,
                                 size_t count)
{
    const char *smallest = NULL;
    for (size_t i = 0; api->monitor != NULL && i < count; i++) {
        const alv_peer_view *peer = peer_table_find(table, lanes[i].node_id);
        bool dead = peer != NULL && peer->state == ALV_PEER_DEAD;
        if (!dead && (smallest == NULL || strcmp(lanes[i].node_id, smallest) < 0)) {
            smallest = lanes[i].node_id;
        }
    }
    return smallest != NULL ? json_string(smallest) : json_null();
}

static int cluster_count_shards(const alv_api *api, const char *node_id)
{
    int owned = 0;
    alv_peer owner;
    int32_t count = alv_directory_shard_count(api->options.directory);
    for (int32_t shard = 0; shard < count; shard++) {
        if (alv_peers_owner(api->peers, shard, &owner) && strcmp(owner.node_id, node_id) == 0) {
            owned++;
        }
    }
    return owned;
}

/* What the node said of itself; NULL when it did not answer. */
static const json_t *cluster_said(const alv_gathered *round, const char *node_id)
{
    for (size_t i = 0; i < round->count; i++) {
        if (strcmp(round->nodes[i].node_id, node_id) == 0) {
            return round->nodes[i].view;
        }
    }
    return NULL;
}

static json_t *cluster_copy(const json_t *said, const char *name)
{
    json_t *member = json_object_get(said, name);
    return member != NULL ? json_deep_copy(member) : json_null();
}

static json_t *cluster_count_standbys(const json_t *said)
{
    int count = 0;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(said, "shards"), i, row)
    {
        count += json_is_string(json_object_get(row, "standby"));
    }
    return said != NULL ? json_integer(count) : json_null();
}

static json_t *cluster_silent_ms(const alv_api *api, const peer_table *table, const char *node_id)
{
    int64_t now_ms = alv_monotonic_us(api->options.clock) / 1000;
    const alv_peer_view *peer = peer_table_find(table, node_id);
    return peer == NULL || peer->heard_at_ms == 0 ? json_null()
                                                  : json_integer(now_ms - peer->heard_at_ms);
}

static json_t *cluster_row(const alv_api *api, const peer_table *table, const json_t *said,
                           const alv_peer *lane)
{
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:[], s:i, s:o, s:o, s:[]}", "node",
        lane->node_id, "address", lane->address, "state", cluster_state(api, table, lane->node_id),
        "silent_ms", cluster_silent_ms(api, table, lane->node_id), "version",
        cluster_copy(said, "version"), "roles", cluster_copy(said, "roles"), "ready",
        cluster_copy(said, "ready"), "reason", cluster_copy(said, "reason"), "lanes", "shards",
        cluster_count_shards(api, lane->node_id), "standbys", cluster_count_standbys(said),
        "tables", cluster_copy(said, "tables"), "duties");
}

static int cluster_compare(const void *left, const void *right)
{
    const alv_peer *a = left;
    const alv_peer *b = right;
    int order = strcmp(a->node_id, b->node_id);
    return order != 0 ? order : (a->lane > b->lane) - (a->lane < b->lane);
}

/* `lanes` is sorted, so those of a node follow each other. */
static json_t *cluster_nodes(const alv_api *api, const peer_table *table, const alv_gathered *round,
                             const alv_peer *lanes, size_t count)
{
    json_t *nodes = json_array();
    json_t *row = NULL;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(lanes[i].node_id, lanes[i - 1].node_id) != 0) {
            row = cluster_row(api, table, cluster_said(round, lanes[i].node_id), &lanes[i]);
            (void)json_array_append_new(nodes, row); /* out of memory only, here and below */
        }
        (void)json_array_append_new(json_object_get(row, "lanes"), json_integer(lanes[i].lane));
    }
    return nodes;
}

static void cluster_add_duties(json_t *nodes, const json_t *successor)
{
    size_t i;
    json_t *row;
    json_array_foreach(nodes, i, row)
    {
        if (json_equal(json_object_get(row, "node"), successor)) {
            (void)json_array_append_new(json_object_get(row, "duties"), json_string("takes-over"));
        }
    }
}

static json_t *cluster_unknown(const alv_gathered *round)
{
    json_t *list = json_array();
    for (size_t i = 0; i < round->count; i++) {
        if (round->nodes[i].view == NULL) {
            (void)json_array_append_new(list, json_string(round->nodes[i].node_id));
        }
    }
    return list;
}

/* The lanes of the group, by node and number. */
static alv_peer *cluster_lanes(const alv_api *api, size_t *out_count)
{
    size_t capacity = alv_peers_list(api->peers, NULL, 0);
    alv_peer *lanes = alv_alloc_array(capacity, sizeof *lanes);
    size_t count = alv_peers_list(api->peers, lanes, capacity);
    *out_count = count < capacity ? count : capacity;
    if (*out_count > 0) {
        qsort(lanes, *out_count, sizeof *lanes, cluster_compare);
    }
    return lanes;
}

void alv_peer_list_compose_cluster(const alv_api *api, const alv_gathered *round, alv_answer *out)
{
    size_t count = 0;
    peer_table table = peer_table_read(api);
    alv_peer *lanes = cluster_lanes(api, &count);
    json_t *successor = cluster_successor(api, &table, lanes, count);
    json_t *nodes = cluster_nodes(api, &table, round, lanes, count);
    cluster_add_duties(nodes, successor);
    alv_answer_set_json(
        out, 200,
        json_pack("{s:s, s:s?, s:i, s:o, s:o, s:o}", "node", api->options.settings->node_id,
                  "application", api->options.settings->application_id, "shards",
                  (int)alv_directory_shard_count(api->options.directory), "successor", successor,
                  "unknown", cluster_unknown(round), "nodes", nodes));
    alv_free(lanes);
    alv_free(table.items);
}
