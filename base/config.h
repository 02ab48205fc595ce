/* config.h — every setting: one table with type, default, bounds and meaning.
 *
 * Why:    an operator's typing error must be an error, not a default that silently stays. The table
 *         in config_keys.c is the only list of keys; parsing, --print-config, the documentation's
 *         table and the "did you mean" all read it.
 * Thread: built on the main thread before the others start, read-only afterwards.
 * Owns:   the strings in it; valid until alv_config_free.
 * Fails:  ALV_REJECT with the key, where it was set and what would be right.
 */
#ifndef ALV_BASE_CONFIG_H
#define ALV_BASE_CONFIG_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/properties.h"
#include "base/status.h"

/* The values in effect. Text that is not set and has no default is NULL; lists are one text,
 * "a,b,c", without blanks or empty items. Names follow the keys: "state.dir" is state_dir. */
typedef struct alv_settings {
    const char *bootstrap_servers;
    const char *application_id;
    const char *node_id;
    const char *node_roles;
    const char *state_dir;
    int64_t state_memory_bytes;
    int64_t cache_memory_bytes;
    int64_t lanes;
    int64_t shards;
    bool topics_create;
    int64_t topics_replication_factor; /* -1 = the broker's default */
    int64_t commands_retention_ms;
    int64_t dead_letters_retention_ms;
    int64_t events_retention_ms;
    int64_t replies_retention_ms;
    int64_t tombstone_retention_ms; /* delete.retention.ms of the compacted topics */
    int64_t standby_replicas;
    const char *http_listen;    /* "none" = off */
    const char *http_advertise; /* host:port that peers and clients are told; NULL when http_listen
                                   does not tell (none, every interface, port 0) */
    const char *http_auth; /* "none" = everybody may ask; NULL = only who is on this host, or shows
                                   what the settings below ask for */
    const char *http_auth_token; /* NULL = none; from http_auth_token_file once finished */
    const char *http_auth_token_file;
    const char *http_auth_token_also; /* let in as well, never shown to others; NULL = none */
    const char *http_tls_cert;        /* PEM files; NULL = plain HTTP */
    const char *http_tls_key;
    const char *http_tls_client_ca; /* NULL = clients need no certificate */
    const char *http_tls_ca;        /* NULL = http_tls_client_ca, or what the system trusts */
    const char *postgres_url;       /* NULL = no checkpoints */
    const char *postgres_schema;
    int64_t postgres_interval_ms;
    int64_t commit_interval_max_ms;
    int64_t commit_interval_min_ms;
    int64_t commit_commands_max;
    bool changelog_coalesce;
    int64_t idempotency_keys_max;
    int64_t idempotency_retention_ms;
    int64_t quarantine_after_failures; /* 0 = never */
    int64_t passivate_after_ms;        /* 0 = never because of time */
    int64_t passivate_check_ms;
    const char *behavior_default;
    const char *behavior_libraries;
    const char *global_tables; /* NULL = none; see table_list.h */
    int64_t global_tables_memory_bytes;
    bool failover_evict;
    int64_t peer_timeout_ms;
    int64_t handler_timeout_ms; /* 0 = none */
    const char *shutdown;       /* "leave" or "stay" */
    const char *on_command_gap; /* "stop" or "continue" */
    const char *log_level;      /* "error", "warn", "info", "debug" */
} alv_settings;

typedef struct alv_config alv_config;

/* Defaults only. Never NULL; the caller frees it. */
alv_config *alv_config_new(void);

/* A value that is "${file:PATH}" or "${env:NAME}" stands for what is there; for kafka.*, postgres.url and
 * http.auth.token alone. The reference is printed, never the value. */

/* Takes the keys of a parsed .properties file; `origin` names it in messages and --print-config. An
 * unknown key is refused with the nearest known one; `kafka.*` is collected for librdkafka. */
alv_status alv_config_apply(alv_config *config, const alv_properties *properties,
                            const char *origin, alv_error *err);

/* Takes one `key=value` from the command line (-X); wins over files whatever the order of calls. */
alv_status alv_config_set(alv_config *config, const char *assignment, alv_error *err);

/* Checks what needs more than one key, fills defaults that depend on the machine or on other keys
 * (node.id, lanes, http.advertise). Call it once it is complete. */
alv_status alv_config_finish(alv_config *config, alv_error *err);

/* Borrowed until alv_config_free. */
const alv_settings *alv_config_settings(const alv_config *config);

/* Whether somebody set the key, as opposed to its default. The key must be one of the table. */
bool alv_config_is_set(const alv_config *config, const char *key);

/* A secret that was written on the command line, where everybody on this host can see it, without the leading
 * "kafka."; NULL = none. */
const char *alv_config_exposed(const alv_config *config);

/* The pass-through settings, without the leading "kafka."; each once, in the order in which they
 * were first given, with the value that was given last (-X wins over files). Borrowed until the
 * next call that changes the configuration. */
const alv_property *alv_config_kafka(const alv_config *config, size_t *out_count);

/* Whether the value of the pass-through setting number `index` must not be printed. */
bool alv_config_kafka_is_secret(const alv_config *config, size_t index);

/* Appends one line per key, "key=value  # origin" (secrets such as a password in postgres.url or a
 * kafka.*password* are shown as "***"). With `json`, one object
 * {"key":{"value":...,"origin":...}}. */
void alv_config_print(const alv_config *config, bool json, alv_bytes *out);

/* Appends the table of keys, defaults and meanings for documentation and --help-config. */
void alv_config_describe(alv_bytes *out);

void alv_config_free(alv_config *config);

#endif
