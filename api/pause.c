#include "api/pause.h"

#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/alloc.h"

/* One request under way; whoever answers frees it. */
typedef struct pause_request {
    alv_api *api;
    alv_exchange *exchange;
    int32_t shard;
    bool paused;
} pause_request;

static void pause_finish(pause_request *request, alv_answer *answer)
{
    alv_exchange_answer(request->exchange, answer);
    alv_free(request);
}

static void pause_refuse(pause_request *request, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503, "shard %d: %s", (int)request->shard, why);
    pause_finish(request, &answer);
}

/* On the lane's thread. */
static void pause_done(void *payload, alv_status status)
{
    pause_request *request = payload;
    alv_answer answer = ALV_ANSWER_NONE;
    if (status != ALV_OK) {
        pause_refuse(request, "it has left this node, or another request came in between");
        return;
    }
    alv_answer_set_json(&answer, 200,
                        json_pack("{s:i, s:b, s:s}", "shard", (int)request->shard, "paused",
                                  (int)request->paused, "node",
                                  request->api->options.settings->node_id));
    pause_finish(request, &answer);
}

/* On the client's thread: the owner's answer is passed on as it is. */
static void pause_forwarded(void *payload, alv_status status, alv_answer *answer,
                            const alv_error *err)
{
    pause_request *request = payload;
    if (status == ALV_OK) {
        pause_finish(request, answer);
        return;
    }
    alv_peers_refresh_soon(request->api->peers);
    pause_refuse(request, err->text);
}

static void pause_forward(pause_request *request)
{
    alv_api *api = request->api;
    alv_peer owner;
    if (!alv_peers_owner(api->peers, request->shard, &owner) || owner.address[0] == '\0' ||
        strcmp(owner.node_id, api->options.settings->node_id) == 0) {
        alv_peers_refresh_soon(api->peers);
        pause_refuse(request, "no node is known to have it at the moment");
        return;
    }
    char *path =
        alv_format("/v1/shards/%d/%s", (int)request->shard, request->paused ? "pause" : "resume");
    alv_bytes nothing = ALV_BYTES_EMPTY;
    if (!alv_http_client_post(api->client, owner.address, alv_view_of(path), &nothing, NULL, 0,
                              pause_forwarded, request)) {
        pause_refuse(request, "too many requests for other nodes are under way");
    }
    alv_free(path);
}

/* "0" to the largest number there is, without signs or leading zeros; -1 for anything else. */
static int32_t pause_shard_of(const alv_api *api, alv_view number)
{
    int32_t shard = 0;
    if (number.size == 0 || number.size > 4 || (number.size > 1 && number.data[0] == '0')) {
        return -1;
    }
    for (size_t i = 0; i < number.size; i++) {
        if (number.data[i] < '0' || number.data[i] > '9') {
            return -1;
        }
        shard = shard * 10 + (number.data[i] - '0');
    }
    return shard < alv_directory_shard_count(api->options.directory) ? shard : -1;
}

void alv_pause_handle(alv_api *api, alv_exchange *exchange, alv_view number, bool paused)
{
    int32_t shard = pause_shard_of(api, number);
    if (shard < 0) {
        alv_answer answer = ALV_ANSWER_NONE;
        alv_answer_set_problem(&answer, 404, "there is no shard %.*s; they are numbered 0 to %d",
                               (int)number.size, number.data,
                               (int)alv_directory_shard_count(api->options.directory) - 1);
        alv_exchange_answer(exchange, &answer);
        return;
    }
    bool forwarded = alv_exchange_header(exchange, ALV_EXCHANGE_FORWARDED) != NULL;
    pause_request *request = alv_alloc(sizeof *request);
    *request = (pause_request){api, exchange, shard, paused};
    alv_exchange_defer(exchange);
    const alv_api_options *options = &api->options;
    if (options->set_paused != NULL &&
        options->set_paused(options->set_paused_payload, shard, paused, pause_done, request)) {
        return;
    }
    if (forwarded) {
        pause_refuse(request, "it is not on this node");
    } else {
        pause_forward(request);
    }
}
