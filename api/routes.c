#include "api/routes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/api_internal.h"
#include "api/dashboard.h"
#include "api/guard.h"
#include "api/health.h"
#include "api/http_limits.h"
#include "api/http_meter.h"
#include "api/metrics.h"
#include "api/node_relay.h"
#include "api/node_view.h"
#include "api/openapi.h"
#include "api/pause.h"
#include "api/peer_list.h"
#include "api/shard_survey.h"
#include "api/table_view.h"
#include "api/watch.h"
#include "base/assert.h"

/* ---- handlers -------------------------------------------------------------------------------- */

static void route_entity(alv_api *api, alv_exchange *exchange, alv_view key)
{
    alv_ask_entity(api->ask, exchange, key);
}

static void route_entities(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_scan_page_of(api->scan, exchange, ALV_SCAN_ENTITIES);
}

static void route_local_entities(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_scan_local(api->scan, exchange, ALV_SCAN_ENTITIES);
}

static void route_command(alv_api *api, alv_exchange *exchange, alv_view key)
{
    alv_desk_command(api->desk, exchange, key);
}

static void route_quarantine(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_scan_page_of(api->scan, exchange, ALV_SCAN_QUARANTINE);
}

static void route_local_quarantine(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_scan_local(api->scan, exchange, ALV_SCAN_QUARANTINE);
}

static void route_release(alv_api *api, alv_exchange *exchange, alv_view key)
{
    alv_desk_release(api->desk, exchange, key);
}

static void route_dead_letters(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_letters_list(api->letters, exchange);
}

static void route_replies(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_desk_take_replies(api->desk, exchange);
}

static void route_shards(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_gather_answer(api->gather, exchange, alv_shard_survey_compose);
}

static void route_pause(alv_api *api, alv_exchange *exchange, alv_view shard)
{
    alv_pause_handle(api, exchange, shard, true);
}

static void route_resume(alv_api *api, alv_exchange *exchange, alv_view shard)
{
    alv_pause_handle(api, exchange, shard, false);
}

static void route_node(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_node_view_answer(api, &answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_tables(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_table_view_answer_all(api, exchange);
}

static void route_table(alv_api *api, alv_exchange *exchange, alv_view table)
{
    alv_table_view_answer(api, exchange, table);
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

static void route_watch(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_watch_answer(api->watch, exchange);
}

static void route_cluster(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_gather_answer(api->gather, exchange, alv_peer_list_compose_cluster);
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

static void route_openapi(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)api;
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_openapi_answer(&answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_metrics(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_metrics_answer(api, &answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_node_metrics(alv_api *api, alv_exchange *exchange, alv_view node)
{
    alv_node_relay_metrics(api, exchange, node);
}

static void route_dashboard_file(alv_api *api, alv_exchange *exchange, alv_view name)
{
    (void)api;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_dashboard_answer(name, &answer);
    alv_exchange_answer(exchange, &answer);
}

static void route_dashboard(alv_api *api, alv_exchange *exchange, alv_view none)
{
    (void)none;
    route_dashboard_file(api, exchange, ALV_VIEW("index.html"));
}

static const alv_route routes_table[] = {
    {"GET", "/v1/entities", route_entities, 0},
    {"GET", "/v1/local/entities", route_local_entities, 0},
    {"GET", "/v1/entities/{key}", route_entity, 0},
    {"POST", "/v1/entities/{key}/commands", route_command, ALV_COMMAND_BYTES_MAX},
    {"GET", "/v1/quarantine", route_quarantine, 0},
    {"GET", "/v1/local/quarantine", route_local_quarantine, 0},
    {"POST", "/v1/quarantine/{key}/release", route_release, 0},
    {"GET", "/v1/dead-letters", route_dead_letters, 0},
    {"POST", "/v1/replies", route_replies, ALV_HTTP_REPLIES_BYTES_MAX},
    {"GET", "/v1/watch", route_watch, 0},
    {"GET", "/v1/shards", route_shards, 0},
    {"POST", "/v1/shards/{n}/pause", route_pause, 0},
    {"POST", "/v1/shards/{n}/resume", route_resume, 0},
    {"GET", "/v1/cluster", route_cluster, 0},
    {"GET", "/v1/node", route_node, 0},
    {"GET", "/v1/tables", route_tables, 0},
    {"GET", "/v1/tables/{table}", route_table, 0},
    {"GET", "/v1/peers", route_peers, 0},
    {"GET", "/v1/peers/stream", route_peer_stream, 0},
    {"GET", "/healthz", route_alive, 0},
    {"GET", "/readyz", route_ready, 0},
    {"GET", "/metrics", route_metrics, 0},
    {"GET", "/openapi.json", route_openapi, 0},
    {"GET", "/v1/nodes/{node}/metrics", route_node_metrics, 0},
    {"GET", "/", route_dashboard, 0},
    {"GET", "/dashboard/{file}", route_dashboard_file, 0},
};
static_assert(sizeof routes_table / sizeof routes_table[0] < ALV_HTTP_METER_ROUTES, "counted");

/* ---- the loop -------------------------------------------------------------------------------- */

static bool route_fits(const alv_route *route, alv_view path, alv_view *out_parameter)
{
    const char *open = strchr(route->pattern, '{');
    if (open == NULL) {
        *out_parameter = ALV_VIEW_NONE;
        return alv_view_equal(path, alv_view_of(route->pattern));
    }
    alv_view before = {route->pattern, (size_t)(open - route->pattern)};
    alv_view after = alv_view_of(strchr(open, '}') + 1);
    if (path.size < before.size + after.size || !alv_view_starts_with(path, before)) {
        return false;
    }
    *out_parameter = (alv_view){path.data + before.size, path.size - before.size - after.size};
    alv_view rest = {out_parameter->data + out_parameter->size, after.size};
    return alv_view_equal(rest, after);
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

alv_route_name alv_routes_name(int route)
{
    if (route < 0 || (size_t)route >= sizeof routes_table / sizeof routes_table[0]) {
        return (alv_route_name){NULL, NULL};
    }
    return (alv_route_name){routes_table[route].method, routes_table[route].pattern};
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

static alv_route_match route_find(alv_exchange *exchange)
{
    alv_route_match match =
        alv_routes_match(routes_table, sizeof routes_table / sizeof routes_table[0],
                         alv_exchange_method(exchange), alv_view_of(alv_exchange_path(exchange)));
    if (match.route != NULL) {
        alv_exchange_set_route(exchange, (int)(match.route - routes_table));
    }
    return match;
}

/* For everybody, see guard.h: supervisors have no secrets, and the page holds no data, it asks for them
 * as anybody does. */
static const char *const routes_open[] = {"/healthz", "/readyz", "/", "/dashboard/{file}"};

static bool route_is_open(const alv_route *route)
{
    for (size_t i = 0; route != NULL && i < sizeof routes_open / sizeof routes_open[0]; i++) {
        if (strcmp(routes_open[i], route->pattern) == 0) {
            return true;
        }
    }
    return false;
}

/* Asked before anything else, so that nobody learns from a 404 what there is. False: it was refused. */
static bool route_admits(alv_api *api, alv_exchange *exchange, const alv_route_match *match)
{
    alv_answer answer = ALV_ANSWER_NONE;
    bool admitted =
        alv_guard_admits(&api->security, exchange, route_is_open(match->route), &answer);
    if (!admitted) {
        alv_exchange_answer(exchange, &answer);
    }
    return admitted;
}

/* A supervisor that is refused would restart a node that is only busy, and who looks for the cause needs its
 * numbers. */
bool alv_routes_is_vital(const alv_exchange *exchange)
{
    static const char *const paths[] = {"/healthz", "/readyz", "/metrics"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (strcmp(paths[i], alv_exchange_path(exchange)) == 0) {
            return true;
        }
    }
    return false;
}

/* Addresses are given to others: what was meant for a node of one application must not be answered by a node
 * of another. False: it was refused. */
static bool route_is_ours(const alv_api *api, alv_exchange *exchange)
{
    const char *application = api->options.settings->application_id;
    const char *wanted = alv_exchange_header(exchange, ALV_EXCHANGE_APPLICATION);
    if (wanted == NULL) {
        return true;
    }
    alv_exchange_set_application(exchange, application);
    if (strcmp(wanted, application) == 0) {
        return true;
    }
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 421, "this is a node of another application");
    alv_exchange_answer(exchange, &answer);
    return false;
}

/* Parameters such as charset may follow; JSON is UTF-8 whatever they say. */
static bool route_is_json(const char *content_type)
{
    size_t size = strlen(ALV_ANSWER_JSON);
    return content_type != NULL && strncasecmp(content_type, ALV_ANSWER_JSON, size) == 0 &&
           strchr("; \t", content_type[size]) != NULL;
}

size_t alv_routes_body_max(alv_api *api, alv_exchange *exchange)
{
    alv_route_match match = route_find(exchange);
    if (!route_admits(api, exchange, &match) || !route_is_ours(api, exchange)) {
        return 0;
    }
    if (match.route == NULL) {
        route_refuse(exchange, &match);
        return 0;
    }
    alv_answer answer = ALV_ANSWER_NONE;
    if (match.route->body_bytes_max == 0) {
        alv_answer_set_problem(&answer, 400, "a %s request here has no body",
                               alv_exchange_method(exchange));
    } else if (!route_is_json(alv_exchange_header(exchange, "Content-Type"))) {
        alv_answer_set_problem(&answer, 415, "the body must be of Content-Type " ALV_ANSWER_JSON);
    } else {
        return match.route->body_bytes_max;
    }
    alv_exchange_answer(exchange, &answer);
    return 0;
}

void alv_routes_handle(alv_api *api, alv_exchange *exchange)
{
    alv_route_match match = route_find(exchange);
    if (!route_admits(api, exchange, &match) || !route_is_ours(api, exchange)) {
        return;
    }
    if (match.route == NULL) {
        route_refuse(exchange, &match);
    } else if (match.route->body_bytes_max > 0 && !alv_exchange_has_body(exchange)) {
        alv_answer answer = ALV_ANSWER_NONE;
        alv_answer_set_problem(&answer, 411, "a %s request here needs a body, and Content-Length",
                               alv_exchange_method(exchange));
        alv_exchange_answer(exchange, &answer);
    } else {
        match.route->handler(api, exchange, match.parameter);
    }
}
