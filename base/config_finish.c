#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/config_internal.h"
#include "base/table_list.h"

#define CONFIG_NAME_LENGTH_MAX 100
#define CONFIG_HOST_NAME_BYTES 256
#define CONFIG_LANES_COMPUTED_MAX 4

/* Kafka: a topic's name has at most 249 characters; ".dead-letters" is our longest suffix. */
_Static_assert(CONFIG_NAME_LENGTH_MAX + sizeof ".dead-letters" - 1 <= 249, "topic names fit");

/* Where a key was set, for messages: "FILE:LINE: ". */
static const char *config_place(const alv_config *config, const char *name)
{
    size_t index = alv_config_key_find(name);
    ALV_ASSERT(index < alv_config_key_count);
    return alv_config_origin_text(&config->origins[index]);
}

static void config_compute(alv_config *config, const char *name, const char *text)
{
    size_t index = alv_config_key_find(name);
    ALV_ASSERT(index < alv_config_key_count && alv_config_keys[index].computed != NULL);
    alv_status status = alv_config_value_set(config, index, text, NULL, NULL);
    ALV_ASSERT(status == ALV_OK);
    alv_free(config->origins[index].place); /* an empty value is as good as none */
    alv_free(config->origins[index].reference);
    config->origins[index] = (alv_config_origin){.rank = ALV_CONFIG_COMPUTED};
}

/* ---- defaults that depend on the machine ----------------------------------------------------- */

static alv_status config_compute_node_id(alv_config *config, alv_error *err)
{
    char host[CONFIG_HOST_NAME_BYTES] = "";
    if (config->settings.node_id != NULL) {
        return ALV_OK;
    }
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
        return alv_fail(err, ALV_REJECT, "node.id: this host has no name; set node.id");
    }
    config_compute(config, "node.id", host);
    return ALV_OK;
}

/* The cores this process may use, which in a container are fewer than the machine has. */
static int config_cores(void)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) {
        return 1; /* more than 1024 cores; whoever has them sets `lanes` */
    }
    return CPU_COUNT(&cores);
}

static void config_compute_lanes(alv_config *config)
{
    if (config->settings.lanes != 0) {
        return;
    }
    int cores = config_cores();
    int lanes = cores < CONFIG_LANES_COMPUTED_MAX ? cores : CONFIG_LANES_COMPUTED_MAX;
    char *text = alv_format("%d", lanes);
    config_compute(config, "lanes", text);
    alv_free(text);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Names become part of topic names, group ids and client ids, where '@' and '/' separate. */
static alv_status config_check_name(const alv_config *config, const char *key, const char *name,
                                    alv_error *err)
{
    size_t length =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (length > 0 && name[length] == '\0' && length <= CONFIG_NAME_LENGTH_MAX) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "%s: %s=%s: must be 1 to %d characters out of A-Z a-z 0-9 . _ -",
                    config_place(config, key), key, name, CONFIG_NAME_LENGTH_MAX);
}

/* PostgreSQL cuts longer names silently. */
static alv_status config_check_schema(const alv_config *config, alv_error *err)
{
    const char *schema = config->settings.postgres_schema;
    size_t length = strspn(schema, "abcdefghijklmnopqrstuvwxyz0123456789_");
    bool digit_first = schema[0] >= '0' && schema[0] <= '9';
    if (length > 0 && schema[length] == '\0' && length <= 63 && !digit_first) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "%s: postgres.schema=%s: must be 1 to 63 characters out of a-z 0-9 _ and not "
                    "begin with a digit",
                    config_place(config, "postgres.schema"), schema);
}

static alv_status config_check_commit(const alv_config *config, alv_error *err)
{
    const alv_settings *settings = &config->settings;
    if (settings->commit_interval_min_ms <= settings->commit_interval_max_ms) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "%s: commit.interval.min.ms=%lld: must not be more than "
                    "commit.interval.max.ms, which is %lld",
                    config_place(config, "commit.interval.min.ms"),
                    (long long)settings->commit_interval_min_ms,
                    (long long)settings->commit_interval_max_ms);
}

static alv_status config_check_tables(const alv_config *config, alv_error *err)
{
    alv_table_list list;
    alv_error why = ALV_ERROR_NONE;
    if (alv_table_list_parse(config->settings.global_tables, &list, &why) == ALV_OK) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT, "%s: global.tables: %s", config_place(config, "global.tables"),
                    why.text);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static alv_status config_check_listen(const alv_config *config, alv_address *out, alv_error *err)
{
    const alv_settings *settings = &config->settings;
    if (!alv_address_parse(settings->http_listen, out)) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.listen=%s: must be host:port, [IPv6 address]:port or none",
                        config_place(config, "http.listen"), settings->http_listen);
    }
    bool is_protected = settings->http_auth_token != NULL || settings->http_tls_client_ca != NULL;
    if (!alv_address_is_loopback(out) && !is_protected && settings->http_auth == NULL) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.listen=%s: others can reach this address: set "
                        "http.tls.client.ca (with http.tls.cert and http.tls.key) or "
                        "http.auth.token.file, or write http.auth=none to let everybody in",
                        config_place(config, "http.listen"), settings->http_listen);
    }
    return ALV_OK;
}

/* What is set only half would protect less than somebody believes. */
static alv_status config_check_tls(const alv_config *config, alv_error *err)
{
    const alv_settings *settings = &config->settings;
    if ((settings->http_tls_cert != NULL) != (settings->http_tls_key != NULL)) {
        const char *given = settings->http_tls_cert != NULL ? "http.tls.cert" : "http.tls.key";
        const char *missing = settings->http_tls_cert != NULL ? "http.tls.key" : "http.tls.cert";
        return alv_fail(err, ALV_REJECT, "%s: %s: needs %s as well", config_place(config, given),
                        given, missing);
    }
    if (settings->http_tls_client_ca != NULL && settings->http_tls_cert == NULL) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.tls.client.ca: needs http.tls.cert and http.tls.key as well",
                        config_place(config, "http.tls.client.ca"));
    }
    if (settings->http_auth != NULL &&
        (settings->http_auth_token != NULL || settings->http_tls_client_ca != NULL)) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.auth=none: contradicts http.auth.token and http.tls.client.ca",
                        config_place(config, "http.auth"));
    }
    return ALV_OK;
}

static alv_status config_check_advertise(const alv_config *config, alv_error *err)
{
    alv_address address;
    const char *advertise = config->settings.http_advertise;
    if (!alv_address_parse(advertise, &address) || address.port == 0 ||
        alv_address_is_wildcard(&address)) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.advertise=%s: must be host:port or [IPv6 address]:port that "
                        "others can connect to",
                        config_place(config, "http.advertise"), advertise);
    }
    return ALV_OK;
}

/* What is listened on is what others are told, unless it is known only when the socket is open: the
 * node fills it in then. */
static alv_status config_finish_http(alv_config *config, alv_error *err)
{
    alv_address listen;
    if (strcmp(config->settings.http_listen, "none") == 0) {
        if (config->settings.http_advertise == NULL) {
            return ALV_OK;
        }
        return alv_fail(err, ALV_REJECT,
                        "%s: http.advertise=%s: has no meaning with http.listen=none",
                        config_place(config, "http.advertise"), config->settings.http_advertise);
    }
    alv_status status = config_check_listen(config, &listen, err);
    if (status != ALV_OK) {
        return status;
    }
    if (config->settings.http_advertise != NULL) {
        return config_check_advertise(config, err);
    }
    if (listen.port != 0 && !alv_address_is_wildcard(&listen)) {
        config_compute(config, "http.advertise", config->settings.http_listen);
    }
    return ALV_OK;
}

alv_status alv_config_finish(alv_config *config, alv_error *err)
{
    alv_status status = config_compute_node_id(config, err);
    config_compute_lanes(config);
    const alv_settings *settings = &config->settings;
    if (status == ALV_OK) {
        status = config_check_name(config, "application.id", settings->application_id, err);
    }
    if (status == ALV_OK) {
        status = config_check_name(config, "node.id", settings->node_id, err);
    }
    if (status == ALV_OK) {
        status = config_check_name(config, "behavior.default", settings->behavior_default, err);
    }
    if (status == ALV_OK) {
        status = config_check_schema(config, err);
    }
    if (status == ALV_OK) {
        status = config_check_commit(config, err);
    }
    if (status == ALV_OK) {
        status = config_check_tables(config, err);
    }
    if (status == ALV_OK) {
        status = alv_config_load_token(config, err);
    }
    if (status == ALV_OK) {
        status = config_check_tls(config, err);
    }
    if (status == ALV_OK) {
        status = config_finish_http(config, err);
    }
    return status;
}
