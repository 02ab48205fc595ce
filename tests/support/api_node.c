#include "tests/support/api_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "processor/quarantine_record.h"
#include "topics/partitioner.h"

#define API_NODE_RETENTION_MS (24 * 3600 * 1000) /* as in a configuration that says nothing */

static void api_node_handle(const json_t *state, const alv_command *command, int64_t now_ms,
                            alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)effects;
}

static const alv_command_row api_node_rows[] = {
    {.name = "touch", .handler = api_node_handle},
    {.name = "add",
     .handler = api_node_handle,
     .fields = {ALV_REQUIRED("amount", ALV_FIELD_POSITIVE)}}};
static const alv_behavior api_node_user = {ALV_BEHAVIOR_HEAD, .type = "user",
                                           .commands = api_node_rows, .command_count = 2};
static const alv_behavior api_node_transfer = {ALV_BEHAVIOR_HEAD, .type = "transfer",
                                               .commands = api_node_rows, .command_count = 2};

static bool api_node_ready(void *payload, char *why, size_t size)
{
    const alv_api_node *node = payload;
    if (node->not_ready != NULL)
        (void)snprintf(why, size, "%s", node->not_ready);
    return node->not_ready == NULL;
}

static void api_node_start(alv_api_node *node, alv_fake_group *group)
{
    alv_api_options options = {
        .settings = &node->settings,
        .log = node->log,
        .store = node->store,
        .directory = node->directory,
        .registry = node->registry,
        .clock = alv_clock_system(),
        .tables = node->tables,
        .ready = api_node_ready,
        .ready_payload = node,
        .set_paused = node->set_paused,
        .set_paused_payload = node,
        .members = alv_fake_group_members,
        .members_payload = group,
        .node_dead = node->watch.dead,
        .node_cleared = node->watch.cleared,
        .node_payload = node->watch.payload,
    };
    assert_int_equal(alv_api_start(&options, &node->api, NULL), ALV_OK);
}

static void api_node_fill(alv_api_node *node)
{
    if (node->settings.application_id == NULL)
        node->settings.application_id = "mall";
    node->store = alv_store_memory_new();
    node->directory = alv_directory_new(ALV_API_NODE_SHARDS);
    node->registry = alv_registry_new();
    assert_int_equal(alv_registry_add(node->registry, &api_node_user, NULL), ALV_OK);
    assert_int_equal(alv_registry_add(node->registry, &api_node_transfer, NULL), ALV_OK);
    assert_int_equal(alv_registry_set_default(node->registry, "user", NULL), ALV_OK);
}

void alv_api_node_open(alv_api_node *node, const char *node_id, alv_fake_group *group)
{
    alv_api_node_open_sending(node, node_id, group, NULL);
}

void alv_api_node_open_sending(alv_api_node *node, const char *node_id, alv_fake_group *group,
                               alv_log_port *log)
{
    *node = (alv_api_node){.settings = {.node_id = node_id,
                                        .http_listen = "127.0.0.1:0",
                                        .tombstone_retention_ms = API_NODE_RETENTION_MS},
                           .log = log};
    api_node_fill(node);
    api_node_start(node, group);
}

void alv_api_node_open_with(alv_api_node *node, const alv_settings *settings, alv_fake_group *group)
{
    *node = (alv_api_node){
        .settings = *settings, .set_paused = node->set_paused, .tables = node->tables};
    api_node_fill(node);
    api_node_start(node, group);
}

void alv_api_node_open_watching(alv_api_node *node, const char *node_id, alv_fake_group *group,
                                const alv_api_node_watch *watch)
{
    *node = (alv_api_node){
        .settings = {.node_id = node_id,
                     .http_listen = watch->listen != NULL ? watch->listen : "127.0.0.1:0",
                     .failover_evict = true,
                     .tombstone_retention_ms = API_NODE_RETENTION_MS,
                     .peer_timeout_ms = watch->peer_timeout_ms},
        .watch = *watch,
    };
    api_node_fill(node);
    api_node_start(node, group);
}

void alv_api_node_restart(alv_api_node *node, alv_fake_group *group, const char *http_advertise)
{
    alv_api_node_stop(node);
    node->settings.http_advertise = http_advertise;
    api_node_start(node, group);
}

void alv_api_node_stop(alv_api_node *node)
{
    alv_api_stop(node->api);
    node->api = NULL;
}

void alv_api_node_close(alv_api_node *node)
{
    alv_api_node_stop(node);
    alv_registry_free(node->registry);
    alv_directory_free(node->directory);
    node->store->ops->close(node->store);
}

const char *alv_api_node_address(const alv_api_node *node)
{
    return alv_api_address(node->api);
}

int32_t alv_api_node_shard(const char *key)
{
    return alv_partitioner_shard(alv_view_of(key), ALV_API_NODE_SHARDS);
}

void alv_api_node_restore(alv_api_node *node, int32_t shard)
{
    alv_position position;
    assert_int_equal(node->store->ops->open_shard(node->store, shard, &position, NULL), ALV_OK);
    assert_true(alv_directory_claim(node->directory, shard, 0));
    alv_directory_set_state(node->directory, shard, 0, ALV_SHARD_RESTORING);
}

void alv_api_node_activate(alv_api_node *node, int32_t shard)
{
    if (alv_directory_view(node->directory, shard).state == ALV_SHARD_UNASSIGNED)
        alv_api_node_restore(node, shard);
    alv_directory_set_state(node->directory, shard, 0, ALV_SHARD_ACTIVE);
}

void alv_api_node_activate_all(alv_api_node *node)
{
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS; shard++)
        alv_api_node_activate(node, shard);
}

void alv_api_node_revoke(alv_api_node *node, int32_t shard)
{
    alv_directory_set_state(node->directory, shard, 0, ALV_SHARD_UNASSIGNED);
}

static void api_node_apply(alv_api_node *node, const char *key, const alv_store_write *write,
                           int64_t position)
{
    alv_position at = {position, 2 * position, 3 * position, 0};
    int32_t shard = alv_api_node_shard(key);
    alv_store *store = node->store;
    assert_int_equal(store->ops->apply(store, shard, write, 1, &at, NULL), ALV_OK);
    alv_directory_set_position(node->directory, shard, &at);
}

void alv_api_node_put(alv_api_node *node, const char *key, alv_view state, int64_t position)
{
    const alv_store_write write = {ALV_STORE_STATE, alv_view_of(key), state};
    api_node_apply(node, key, &write, position);
}

void alv_api_node_quarantine(alv_api_node *node, const char *key, const char *record,
                             int64_t position)
{
    alv_bytes record_key = ALV_BYTES_EMPTY;
    int32_t shard = alv_api_node_shard(key);
    alv_quarantine_key(alv_view_of(key), &record_key);
    const alv_store_write write = {ALV_STORE_LEDGER, alv_bytes_view(&record_key),
                                   alv_view_of(record)};
    api_node_apply(node, key, &write, position);
    alv_directory_set_quarantined(node->directory, shard,
                                  alv_directory_view(node->directory, shard).quarantined + 1);
    alv_bytes_done(&record_key);
}
