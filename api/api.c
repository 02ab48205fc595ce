#include "api/api.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/api_internal.h"
#include "api/http_limits.h"
#include "api/routes.h"
#include "base/address.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"

static void api_make_boot(alv_api *api)
{
    unsigned char random[(ALV_PEER_BOOT_BYTES - 1) / 2];
    ssize_t size = getrandom(random, sizeof random, 0);
    ALV_ASSERT(size == (ssize_t)sizeof random); /* so few bytes always come */
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(api->boot + 2 * i, 3, "%02x", random[i]);
    }
}

static alv_status api_ask_group(void *payload, int timeout_ms, alv_members *out, alv_error *err)
{
    return alv_group_view_members(payload, timeout_ms, out, err);
}

static alv_status api_start_peers(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    alv_peers_options peers = {
        .known = options->members_known,
        .known_payload = options->members_known_payload,
        .source = options->members,
        .payload = options->members_payload,
        .clock = options->clock,
        .shard_count = alv_directory_shard_count(options->directory),
    };
    if (options->members == NULL) {
        alv_status status = alv_group_view_open(options->config, &api->group, err);
        if (status != ALV_OK) {
            return status;
        }
        peers.source = api_ask_group;
        peers.payload = api->group;
    }
    return alv_peers_start(&peers, &api->peers, err);
}

/* Over a log of its own: the node's is opened only when its lanes start. */
static alv_status api_start_desk(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    if (options->log == NULL && options->members == NULL) {
        alv_status status = alv_kafka_open(options->config, &api->log, err);
        if (status != ALV_OK) {
            return status;
        }
        alv_kafka_set_shards(api->log, alv_directory_shard_count(options->directory));
    }
    const alv_desk_options desk = {
        .node_id = options->settings->node_id,
        .log = api->log != NULL ? api->log : options->log,
        .registry = options->registry,
        .clock = options->clock,
        .peers = api->peers,
        .client = api->client,
        .floor = api->floor,
        .shard_count = alv_directory_shard_count(options->directory),
    };
    return alv_desk_start(&desk, &api->desk, err);
}

static alv_status api_start_ask(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    alv_ask_options ask = {
        .node_id = options->settings->node_id,
        .store = options->store,
        .directory = options->directory,
        .registry = options->registry,
        .clock = options->clock,
        .peers = api->peers,
        .client = api->client,
        .floor = api->floor,
    };
    return alv_ask_start(&ask, &api->ask, err);
}

static alv_status api_start_scan(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    alv_scan_options scan = {
        .node_id = options->settings->node_id,
        .store = options->store,
        .directory = options->directory,
        .registry = options->registry,
        .clock = options->clock,
        .peers = api->peers,
        .client = api->client,
        .floor = api->floor,
    };
    return alv_scan_start(&scan, &api->scan, err);
}

static alv_status api_start_letters(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    const alv_letters_options letters = {
        .log = api->log != NULL ? api->log : options->log,
        .clock = options->clock,
        .shard_count = alv_directory_shard_count(options->directory),
    };
    return alv_letters_start(&letters, &api->letters, err);
}

/* Requests that were passed on to a node that is not heard are free to look for the next owner, and
 * none follows them. */
static void api_peer_changed(void *payload, const alv_peer_view *peer, alv_peer_state from)
{
    alv_api *api = payload;
    const alv_api_options *options = &api->options;
    bool silent = peer->state == ALV_PEER_SUSPECTED || peer->state == ALV_PEER_DEAD;
    alv_peers_set_silent(api->peers, peer->node_id, silent);
    if (silent) {
        alv_http_client_give_up(api->client, peer->address);
    } else {
        alv_http_client_back(api->client, peer->address);
    }
    if (peer->state == ALV_PEER_DEAD && options->node_dead != NULL) {
        options->node_dead(options->node_payload, peer->node_id);
    }
    if (from == ALV_PEER_DEAD && options->node_cleared != NULL) {
        options->node_cleared(options->node_payload, peer->node_id);
    }
}

static alv_status api_start_monitor(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    if (!options->settings->failover_evict) {
        return ALV_OK;
    }
    alv_peer_monitor_options monitor = {
        .node_id = options->settings->node_id,
        .boot = api->boot,
        .peers = api->peers,
        .clock = options->clock,
        .security = &api->security,
        .timeout_ms = options->settings->peer_timeout_ms,
        .changed = api_peer_changed,
        .payload = api,
    };
    return alv_peer_monitor_start(&monitor, &api->monitor, err);
}

static alv_status api_start_watch(alv_api *api, alv_error *err)
{
    const alv_api_options *options = &api->options;
    alv_watch_hub_options watch = {
        .clock = options->clock,
        .registry = options->registry,
        .shard_count = alv_directory_shard_count(options->directory),
        .tombstone_retention_ms = options->settings->tombstone_retention_ms,
    };
    return alv_watch_hub_start(&watch, &api->watch, err);
}

static char *api_choose_advertise(const alv_api *api)
{
    const char *advertise = api->options.settings->http_advertise;
    alv_address parsed;
    if (advertise == NULL || !alv_address_parse(advertise, &parsed) || parsed.port == 0) {
        advertise = alv_http_server_address(api->server);
    }
    return alv_strdup(advertise);
}

static size_t api_body_max(void *payload, alv_exchange *exchange)
{
    return alv_routes_body_max(payload, exchange);
}

static void api_handle(void *payload, alv_exchange *exchange)
{
    alv_routes_handle(payload, exchange);
}

static bool api_is_vital(void *payload, const alv_exchange *exchange)
{
    (void)payload;
    return alv_routes_is_vital(exchange);
}

/* The address is bound first, so that one that is taken is told at once; requests are accepted
 * last, when all they need is there. */
static alv_status api_start_all(alv_api *api, alv_error *err)
{
    const alv_settings *settings = api->options.settings;
    alv_status status = alv_http_security_load(settings, &api->security, err);
    if (status == ALV_OK) {
        status = alv_http_server_open(settings->http_listen, &api->security, &api->server, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    api->advertise = api_choose_advertise(api);
    status = api_start_peers(api, err);
    if (status == ALV_OK) {
        status = alv_http_client_start(&api->security, true, ALV_HTTP_FORWARD_TIMEOUT_MS,
                                       &api->client, err);
    }
    if (status == ALV_OK) {
        status = api_start_desk(api, err);
    }
    if (status == ALV_OK) {
        status = api_start_ask(api, err);
    }
    if (status == ALV_OK) {
        status = api_start_scan(api, err);
    }
    if (status == ALV_OK) {
        status = api_start_letters(api, err);
    }
    if (status == ALV_OK) {
        status = api_start_monitor(api, err);
    }
    if (status == ALV_OK) {
        status = api_start_watch(api, err);
    }
    if (status == ALV_OK) {
        status = alv_gather_start(api, &api->gather, err);
    }
    const alv_http_service service = {
        .body_max = api_body_max, .handle = api_handle, .is_vital = api_is_vital, .payload = api};
    return status == ALV_OK ? alv_http_server_start(api->server, &service, err) : status;
}

alv_status alv_api_start(const alv_api_options *options, alv_api **out, alv_error *err)
{
    ALV_ASSERT(options->ready != NULL);
    alv_api *api = alv_alloc(sizeof *api);
    api->options = *options;
    api_make_boot(api);
    api->floor = alv_read_floor_new(alv_directory_shard_count(options->directory));
    alv_status status = api_start_all(api, err);
    if (status != ALV_OK) {
        alv_api_stop(api);
        return status;
    }
    alv_log(ALV_LOG_INFO, "http-listening", "address=%s advertise=%s", alv_api_address(api),
            alv_api_advertise(api));
    *out = api;
    return ALV_OK;
}

void alv_api_open_watch(alv_api *api, alv_log_port *log, const char *topic_id)
{
    alv_watch_hub_open(api->watch, log, topic_id);
}

const char *alv_api_address(const alv_api *api)
{
    return alv_http_server_address(api->server);
}

const char *alv_api_advertise(const alv_api *api)
{
    return api->advertise;
}

const char *alv_api_boot(const alv_api *api)
{
    return api->boot;
}

void alv_api_replied(alv_api *api, alv_reply_box *box)
{
    alv_desk_replied(api->desk, box);
}

void alv_api_peers_changed(alv_api *api)
{
    alv_peers_refresh_soon(api->peers);
}

/* The order: 1. no new commands, and replies to those under way are waited for, which come over HTTP;
 * 2. no new work; 3. what waits and what is forwarded is answered, peers are told goodbye
 * and watches end, so that no exchange is deferred and no stream open any more; 4. the answers go out and the server ends;
 * 5. nobody is left to use the rest. */
void alv_api_stop(alv_api *api)
{
    if (api == NULL) {
        return;
    }
    if (api->desk != NULL) {
        alv_desk_stop(api->desk);
    }
    if (api->server != NULL) {
        alv_http_server_refuse(api->server);
    }
    if (api->ask != NULL) {
        alv_ask_stop(api->ask);
    }
    if (api->client != NULL) {
        alv_http_client_stop(api->client);
    }
    if (api->gather != NULL) {
        alv_gather_stop(api->gather);
    }
    if (api->scan != NULL) {
        alv_scan_stop(api->scan);
    }
    if (api->letters != NULL) {
        alv_letters_stop(api->letters);
    }
    if (api->monitor != NULL) {
        alv_peer_monitor_stop(api->monitor);
    }
    if (api->watch != NULL) {
        alv_watch_hub_stop(api->watch);
    }
    alv_http_server_stop(api->server);
    alv_ask_free(api->ask);
    alv_gather_free(api->gather);
    alv_scan_free(api->scan);
    alv_letters_free(api->letters);
    alv_http_client_free(api->client);
    alv_desk_free(api->desk);
    if (api->log != NULL) {
        api->log->ops->close(api->log);
    }
    alv_read_floor_free(api->floor);
    alv_peer_monitor_free(api->monitor);
    alv_watch_hub_free(api->watch);
    alv_peers_free(api->peers);
    if (api->group != NULL) {
        alv_group_view_close(api->group);
    }
    alv_http_security_done(&api->security);
    alv_free(api->advertise);
    alv_free(api);
}
