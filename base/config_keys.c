#include <stddef.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/limits.h"
#include "base/nearest.h"

/* What a row says about its member: the type of the value and where it goes. The _Generic is a
 * check: a row whose member has another type does not compile.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type stands in no brackets */
#define MEMBER(member, c_type) \
    .offset = _Generic((((alv_settings *)0)->member), c_type : offsetof(alv_settings, member))
/* NOLINTEND(bugprone-macro-parentheses) */
#define TEXT(member) .type = ALV_CONFIG_TEXT, MEMBER(member, const char *)
#define LIST(member) .type = ALV_CONFIG_LIST, MEMBER(member, const char *)
#define CHOICE(member, words) \
    .type = ALV_CONFIG_CHOICE, .choices = (words), MEMBER(member, const char *)
#define BOOL(member) .type = ALV_CONFIG_BOOL, MEMBER(member, bool)
#define INT(member, low, high) \
    .type = ALV_CONFIG_INT, .min = (low), .max = (high), MEMBER(member, int64_t)
#define BYTES(member, low, high) \
    .type = ALV_CONFIG_BYTES, .min = (low), .max = (high), MEMBER(member, int64_t)

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)
#define MINUTE_MS ((int64_t)60 * 1000)
#define DAY_MS (24 * 60 * MINUTE_MS)
#define CENTURY_MS (36525 * DAY_MS)

/* The other half of the transaction time-out is left for the commit itself on a slow day. */
#define COMMIT_INTERVAL_MAX_MS (ALV_TRANSACTION_TIMEOUT_MS / 2)

/* In the order in which they are printed and documented. */
const alv_config_key alv_config_keys[] = {
    {.name = "bootstrap.servers",
     LIST(bootstrap_servers),
     .fallback = "127.0.0.1:9092",
     .meaning = "Kafka brokers to ask first, host:port, separated by commas"},
    {.name = "application.id",
     TEXT(application_id),
     .fallback = "alluvium",
     .meaning = "prefix of topics, consumer groups and transactional ids"},
    {.name = "node.id",
     TEXT(node_id),
     .computed = "host name",
     .meaning = "name of this node: stable over restarts, and no other node has it"},
    {.name = "node.roles",
     LIST(node_roles),
     .meaning = "labels shown in the cluster view, such as `seed,shard`"},
    {.name = "state.dir",
     TEXT(state_dir),
     .fallback = "./state",
     .meaning = "folder of RocksDB and the small files beside it; locked by one process"},
    {.name = "state.memory.bytes",
     BYTES(state_memory_bytes, 4 * MIB, TIB),
     .fallback = "512MiB",
     .meaning = "memory budget of RocksDB, all shards together"},
    {.name = "cache.memory.bytes",
     BYTES(cache_memory_bytes, 4 * KIB, TIB),
     .fallback = "256MiB",
     .meaning = "memory budget of the decoded entities, all lanes together"},
    {.name = "lanes",
     INT(lanes, 1, ALV_LANES_MAX),
     .computed = "number of cores, at most 4",
     .meaning = "processing threads"},
    {.name = "shards",
     INT(shards, 1, ALV_SHARDS_MAX),
     .fallback = "32",
     .meaning = "partitions of the topics, when this node creates them; fixed afterwards"},
    {.name = "topics.create",
     BOOL(topics_create),
     .fallback = "true",
     .meaning = "create topics that are missing; existing ones are checked, never changed"},
    {.name = "topics.replication.factor",
     INT(topics_replication_factor, -1, INT16_MAX),
     .fallback = "-1",
     .meaning = "replicas of created topics; -1 = the broker's default"},
    {.name = "commands.retention.ms",
     INT(commands_retention_ms, -1, CENTURY_MS),
     .fallback = "604800000",
     .meaning = "retention of the command topic; -1 = for ever"},
    {.name = "dead-letters.retention.ms",
     INT(dead_letters_retention_ms, -1, CENTURY_MS),
     .fallback = "2592000000",
     .meaning = "retention of the dead letters; -1 = for ever"},
    {.name = "events.retention.ms",
     INT(events_retention_ms, -1, CENTURY_MS),
     .fallback = "604800000",
     .meaning = "retention of the events; -1 = for ever"},
    {.name = "replies.retention.ms",
     INT(replies_retention_ms, -1, CENTURY_MS),
     .fallback = "3600000",
     .meaning = "retention of the replies; -1 = for ever"},
    {.name = "tombstone.retention.ms",
     INT(tombstone_retention_ms, 1000, CENTURY_MS),
     .fallback = "86400000",
     .meaning = "how long deletions stay in the compacted topics; a node that was away for longer "
                "restores its state from the beginning"},
    {.name = "standby.replicas",
     INT(standby_replicas, 0, 8),
     .fallback = "1",
     .meaning = "hot replicas per shard"},
    {.name = "http.listen",
     TEXT(http_listen),
     .fallback = "127.0.0.1:8090",
     .meaning = "address of the API, host:port; `none` turns it off"},
    {.name = "http.advertise",
     TEXT(http_advertise),
     .computed = "same as http.listen",
     .meaning = "address of the API that peers and clients are told, host:port"},
    {.name = "http.auth",
     CHOICE(http_auth, "none"),
     .meaning = "`none` lets everybody in who can reach an address that is not loopback"},
    {.name = "http.auth.token",
     TEXT(http_auth_token),
     .hidden = true,
     .meaning = "secret that clients and nodes show as `Authorization: Bearer`, 16 to 512 "
                "characters; better in a file"},
    {.name = "http.auth.token.file",
     TEXT(http_auth_token_file),
     .meaning = "file with that secret, and nothing else but a line end"},
    {.name = "http.auth.token.also",
     TEXT(http_auth_token_also),
     .hidden = true,
     .meaning = "a second secret that is let in, while the first one is changed node by node"},
    {.name = "http.tls.cert",
     TEXT(http_tls_cert),
     .meaning = "PEM file with this node's certificate and its chain: the API speaks HTTPS; also "
                "shown to other nodes"},
    {.name = "http.tls.key",
     TEXT(http_tls_key),
     .meaning = "PEM file with the key of that certificate"},
    {.name = "http.tls.client.ca",
     TEXT(http_tls_client_ca),
     .meaning = "PEM file with the authorities whose certificates clients must show (mutual TLS)"},
    {.name = "http.tls.ca",
     TEXT(http_tls_ca),
     .computed = "same as http.tls.client.ca, else the system's",
     .meaning = "PEM file with the authorities that nodes and the command line trust"},
    {.name = "postgres.url",
     TEXT(postgres_url),
     .secret = true,
     .meaning = "PostgreSQL for checkpoints; without it there are none"},
    {.name = "postgres.schema",
     TEXT(postgres_schema),
     .fallback = "alluvium",
     .meaning = "schema of the checkpoint tables; made by the node if missing"},
    {.name = "postgres.interval.ms",
     INT(postgres_interval_ms, 10, 60 * MINUTE_MS),
     .fallback = "1000",
     .meaning = "time between checkpoints"},
    {.name = "commit.interval.max.ms",
     INT(commit_interval_max_ms, 1, COMMIT_INTERVAL_MAX_MS),
     .fallback = "50",
     .meaning = "longest transaction"},
    {.name = "commit.interval.min.ms",
     INT(commit_interval_min_ms, 0, COMMIT_INTERVAL_MAX_MS),
     .fallback = "0",
     .meaning = "how long a transaction waits for more commands; more spares the brokers"},
    {.name = "commit.commands.max",
     INT(commit_commands_max, 1, 1000 * 1000),
     .fallback = "20000",
     .meaning = "largest transaction, in commands"},
    {.name = "changelog.coalesce",
     BOOL(changelog_coalesce),
     .fallback = "true",
     .only = "true",
     .meaning =
         "write an entity that changed several times in one transaction once, as it is at the "
         "end"},
    {.name = "idempotency.keys.max",
     INT(idempotency_keys_max, 1, 1000),
     .fallback = "64",
     .meaning = "answers kept per entity for commands that come again with the same "
                "`idempotency-key`"},
    {.name = "idempotency.retention.ms",
     INT(idempotency_retention_ms, 1000, CENTURY_MS),
     .fallback = "86400000",
     .meaning = "how long they are kept, by the times of the commands"},
    {.name = "quarantine.after.failures",
     INT(quarantine_after_failures, 0, 1000000),
     .fallback = "3",
     .meaning = "failures in a row after which an entity is quarantined: its commands wait in the "
                "dead letters; at once when its state cannot be decoded; 0 = never"},
    {.name = "passivate.after.ms",
     INT(passivate_after_ms, 0, CENTURY_MS),
     .fallback = "1800000",
     .meaning =
         "idle time after which a decoded entity leaves memory; 0 = only when memory is short"},
    {.name = "passivate.check.ms",
     INT(passivate_check_ms, 10, DAY_MS),
     .fallback = "300000",
     .meaning = "time between looks for idle entities"},
    {.name = "behavior.default",
     TEXT(behavior_default),
     .fallback = "user",
     .meaning = "entity type of keys without a `/`"},
    {.name = "behavior.libraries",
     LIST(behavior_libraries),
     .meaning = "shared objects with further behaviors: absolute paths, separated by commas"},
    {.name = "global.tables",
     LIST(global_tables),
     .meaning = "compacted topics that every node holds whole, for handlers to look things up in: "
                "`prices,limits=shop.limits`; a table without `=` is the topic of that name"},
    {.name = "global.tables.memory.bytes",
     BYTES(global_tables_memory_bytes, 64 * KIB, TIB),
     .fallback = "256MiB",
     .meaning = "memory budget of the global tables, all together; a node that would need more "
                "stays at the version it has, or does not become ready"},
    {.name = "failover.evict",
     BOOL(failover_evict),
     .fallback = "true",
     .meaning = "take over from a dead node at once, before its session times out; needs "
                "`http.listen` on every node"},
    {.name = "peer.timeout.ms",
     INT(peer_timeout_ms, 100, 10 * MINUTE_MS),
     .fallback = "1000",
     .meaning = "silence after which a peer is suspected dead"},
    {.name = "handler.timeout.ms",
     INT(handler_timeout_ms, 0, 4 * MINUTE_MS),
     .fallback = "30000",
     .meaning = "a handler that takes longer is taken for one that never returns, and its process "
                "ends as by a crash; 0 lets it"},
    {.name = "shutdown",
     CHOICE(shutdown, "leave|stay"),
     .fallback = "leave",
     .meaning = "`leave` hands the shards to other nodes; `stay` keeps them for a quick restart"},
    {.name = "on.command.gap",
     CHOICE(on_command_gap, "stop|continue"),
     .fallback = "stop",
     .meaning = "what a shard does when commands it has not seen were deleted by retention"},
    {.name = "log.level",
     CHOICE(log_level, "error|warn|info|debug"),
     .fallback = "info",
     .meaning = "least important messages that are logged"},
};

#define KEY_COUNT (sizeof alv_config_keys / sizeof alv_config_keys[0])

const size_t alv_config_key_count = KEY_COUNT;

size_t alv_config_key_find(const char *name)
{
    size_t index = 0;
    while (index < KEY_COUNT && strcmp(alv_config_keys[index].name, name) != 0) {
        index++;
    }
    return index;
}

const char *alv_config_key_nearest(const char *name)
{
    const char *names[KEY_COUNT];
    for (size_t i = 0; i < KEY_COUNT; i++) {
        names[i] = alv_config_keys[i].name;
    }
    return alv_nearest(name, names, KEY_COUNT);
}
