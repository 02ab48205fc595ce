#include "api/routes.h"

#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/health.h"
#include "api/peer_list.h"
#include "api/shard_list.h"
#include "base/assert.h"

/* ---- handlers -------------------------------------------------------------------------------- */

static void route_entity(alv_api *api, alv_exchange *exchange, alv_view key)
{
    alv_ask_entity(api->ask, exchange, key);
}

static void route_shards(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_shard_list_answer(api, &answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_peers(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_peer_list_answer(api, &answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_peer_stream(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    if (api->monitor != NULL) {
        alv_peer_monitor_serve(api->monitor, exchange);
        return;
    }
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 404, "this node watches no peers (failover.evict=false)");
    alv_exchange_answer(exchange, &answer);
}

static void route_cluster(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_peer_list_answer_cluster(api, &answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_alive(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)api;
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_health_answer_alive(&answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_ready(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_health_answer_ready(api, &answer);
    alv_exchange_answer(exchange, &answer);
}

static const alv_route routes_table[] = {
    {"GET", "/v1/entities/{key}", route_entity},
    {"GET", "/v1/shards", route_shards},
    {"GET", "/v1/cluster", route_cluster},
    {"GET", "/v1/peers", route_peers},
    {"GET", "/v1/peers/stream", route_peer_stream},
    {"GET", "/healthz", route_alive},
    {"GET", "/readyz", route_ready},
};

/* ---- the loop -------------------------------------------------------------------------------- */

static bool route_fits(const alv_route *route, alv_view path, alv_view *out_parameter)
{
    const char *brace = strchr(route->pattern, '{');
    if (brace == NULL) {
        *out_parameter = ALV_VIEW_NONE;
        return alv_view_equal(path, alv_view_of(route->pattern));
    }
    alv_view prefix = {route->pattern, (size_t)(brace - route->pattern)};
    if (!alv_view_starts_with(path, prefix)) {
        return false;
    }
    *out_parameter = (alv_view){path.data + prefix.size, path.size - prefix.size};
    return true;
}

static void route_allow(alv_route_match *match, const char *method)
{
    size_t size = strlen(match->allow);
    const char *head = strcmp(method, "GET") == 0 ? ", HEAD" : "";
    int added = snprintf(match->allow + size, sizeof match->allow - size, "%s%s%s",
                         size > 0 ? ", " : "", method, head);
    ALV_ASSERT(added > 0 && (size_t)added < sizeof match->allow - size);
}

alv_route_match alv_routes_match(const alv_route *routes, size_t count, const char *method,
                                 alv_view path)
{
    alv_route_match match = {.route = NULL};
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < count; i++) {
        alv_view parameter;
        if (!route_fits(&routes[i], path, &parameter)) {
            continue;
        }
        route_allow(&match, routes[i].method);
        if (match.route == NULL && strcmp(routes[i].method, wanted) == 0) {
            match.route = &routes[i];
            match.parameter = parameter;
        }
    }
    return match;
}

static void route_refuse(alv_exchange *exchange, const alv_route_match *match)
{
    const char *path = alv_exchange_path(exchange);
    alv_answer answer = ALV_ANSWER_NONE;
    if (match->allow[0] == '\0') {
        alv_answer_set_problem(&answer, 404, "there is nothing at %s", path);
    } else {
        alv_answer_set_problem(&answer, 405, "%s takes %s only", path, match->allow);
        (void)snprintf(answer.allow, sizeof answer.allow, "%s", match->allow);
    }
    alv_exchange_answer(exchange, &answer);
}

void alv_routes_handle(alv_api *api, alv_exchange *exchange)
{
    alv_route_match match =
        alv_routes_match(routes_table, sizeof routes_table / sizeof routes_table[0],
                         alv_exchange_method(exchange), alv_view_of(alv_exchange_path(exchange)));
    if (match.route != NULL) {
        match.route->handler(api, exchange, match.parameter);
    } else {
        route_refuse(exchange, &match);
    }
}
