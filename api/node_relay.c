#include "api/node_relay.h"

#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/metrics.h"
#include "api/url.h"
#include "base/alloc.h"

#define NODE_RELAY_ID_BYTES_MAX 255

typedef struct relay_request {
    alv_exchange *exchange;
    char *node;
} relay_request;

/* The address of the node's API: empty when it has none. False: nobody knows the node. */
static bool relay_find(const alv_api *api, const char *node, char *out, size_t size)
{
    size_t capacity = alv_peers_list(api->peers, NULL, 0);
    alv_peer *lanes = alv_alloc_array(capacity, sizeof *lanes);
    size_t count = alv_peers_list(api->peers, lanes, capacity);
    count = count < capacity ? count : capacity;
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        found = strcmp(lanes[i].node_id, node) == 0;
        if (found) {
            (void)snprintf(out, size, "%s", lanes[i].address);
        }
    }
    alv_free(lanes);
    return found;
}

static void relay_replied(void *payload, alv_status status, alv_answer *answer,
                          const alv_error *err)
{
    relay_request *request = payload;
    if (status != ALV_OK) {
        alv_answer_set_problem(answer, 503, "node %s does not answer: %s", request->node,
                               err->text);
    }
    alv_exchange_answer(request->exchange, answer);
    alv_free(request->node);
    alv_free(request);
}

/* Deferred before another thread can answer it. */
static void relay_ask(alv_api *api, alv_exchange *exchange, const char *node, const char *address)
{
    relay_request *request = alv_alloc(sizeof *request);
    *request = (relay_request){.exchange = exchange, .node = alv_strdup(node)};
    alv_exchange_defer(exchange);
    if (!alv_http_client_get(api->client, address, ALV_VIEW("/metrics"), relay_replied, request)) {
        const alv_error err = {.text = "too many requests for other nodes are under way"};
        alv_answer answer = ALV_ANSWER_NONE;
        relay_replied(request, ALV_RETRY, &answer, &err);
    }
}

static void relay_refuse(alv_exchange *exchange, int status, const char *what, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, status, "%s %s", what, why);
    alv_exchange_answer(exchange, &answer);
}

static void relay_to(alv_api *api, alv_exchange *exchange, const char *node)
{
    char address[256] = "";
    if (strcmp(node, api->options.settings->node_id) == 0) {
        alv_answer answer = ALV_ANSWER_NONE;
        alv_metrics_answer(api, &answer);
        alv_exchange_answer(exchange, &answer);
    } else if (!relay_find(api, node, address, sizeof address)) {
        relay_refuse(exchange, 404, node, "is no member of the group");
    } else if (address[0] == '\0') {
        relay_refuse(exchange, 503, node, "has no HTTP API");
    } else {
        relay_ask(api, exchange, node, address);
    }
}

void alv_node_relay_metrics(alv_api *api, alv_exchange *exchange, alv_view encoded_node)
{
    alv_error err = ALV_ERROR_NONE;
    alv_bytes node = ALV_BYTES_EMPTY;
    if (alv_url_decode(encoded_node, NODE_RELAY_ID_BYTES_MAX, &node, &err) != ALV_OK) {
        relay_refuse(exchange, 400, "the node's id cannot be used:", err.text);
    } else {
        alv_bytes_append(&node, "", 1); /* the NUL; decoding lets none through */
        relay_to(api, exchange, node.data);
    }
    alv_bytes_done(&node);
}
