#include "api/gather.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/http_limits.h"
#include "api/node_view.h"
#include "base/alloc.h"
#include "base/assert.h"

/* Somebody who waits for a round. */
typedef struct gather_wait {
    alv_exchange *exchange;
    alv_gather_compose compose;
    struct gather_wait *next;
} gather_wait;

typedef struct gather_round {
    alv_gather *gather;
    alv_gathered_node *nodes;
    size_t count;
    atomic_int left;       /* nodes that were asked and have not answered, and one for the asking */
    atomic_int references; /* of the gather while it is the last one, and of who composes */
    gather_wait *waits;    /* guarded by the gather's lock until the round is complete */
} gather_round;

/* One question under way. */
typedef struct gather_question {
    gather_round *round;
    alv_gathered_node *node;
} gather_question;

struct alv_gather {
    const alv_api *api;
    alv_http_client *client;
    pthread_mutex_t lock; /* leaf; guards what follows */
    gather_round *under_way;
    gather_round *last;
    int64_t last_at_ms;
};

static void gather_lock(alv_gather *gather)
{
    int failed = pthread_mutex_lock(&gather->lock);
    ALV_ASSERT(failed == 0);
}

static void gather_unlock(alv_gather *gather)
{
    int failed = pthread_mutex_unlock(&gather->lock);
    ALV_ASSERT(failed == 0);
}

static int64_t gather_now_ms(const alv_gather *gather)
{
    return alv_monotonic_us(gather->api->options.clock) / 1000;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void round_unref(gather_round *round)
{
    if (round == NULL || atomic_fetch_sub(&round->references, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < round->count; i++) {
        json_decref(round->nodes[i].view);
    }
    alv_free(round->nodes);
    alv_free(round);
}

static int round_compare(const void *left, const void *right)
{
    const alv_gathered_node *a = left;
    const alv_gathered_node *b = right;
    return strcmp(a->node_id, b->node_id);
}

static bool round_has(const gather_round *round, const char *node_id)
{
    for (size_t i = 0; i < round->count; i++) {
        if (strcmp(round->nodes[i].node_id, node_id) == 0) {
            return true;
        }
    }
    return false;
}

static void round_add(gather_round *round, const char *node_id, const char *address)
{
    alv_gathered_node *node = &round->nodes[round->count++];
    (void)snprintf(node->node_id, sizeof node->node_id, "%s", node_id);
    (void)snprintf(node->address, sizeof node->address, "%s", address);
}

/* This node and the nodes of the group, each once. */
static gather_round *round_new(alv_gather *gather)
{
    const alv_api *api = gather->api;
    size_t capacity = alv_peers_list(api->peers, NULL, 0);
    alv_peer *lanes = alv_alloc_array(capacity, sizeof *lanes);
    size_t count = alv_peers_list(api->peers, lanes, capacity);
    gather_round *round = alv_alloc(sizeof *round);
    round->gather = gather;
    round->nodes = alv_alloc_array(capacity + 1, sizeof *round->nodes);
    atomic_init(&round->left, 1);
    atomic_init(&round->references, 1);
    round_add(round, api->options.settings->node_id, alv_api_advertise(api));
    for (size_t i = 0; i < count && i < capacity; i++) {
        if (!round_has(round, lanes[i].node_id)) {
            round_add(round, lanes[i].node_id, lanes[i].address);
        }
    }
    alv_free(lanes);
    qsort(round->nodes + 1, round->count - 1, sizeof *round->nodes, round_compare);
    return round;
}

/* ---- the end of a round ---------------------------------------------------------------------- */

static void round_compose(const gather_round *round, alv_exchange *exchange,
                          alv_gather_compose compose)
{
    const alv_gathered gathered = {round->nodes, round->count};
    alv_answer answer = ALV_ANSWER_NONE;
    compose(round->gather->api, &gathered, &answer);
    alv_exchange_answer(exchange, &answer);
}

/* All have answered, or will not. From here on nothing of the round changes. What this node knows of
 * itself is taken last, so that it is no older than what the others say. */
static void round_end(gather_round *round)
{
    alv_gather *gather = round->gather;
    round->nodes[0].view = alv_node_view_json(gather->api);
    atomic_fetch_add(&round->references, 1); /* ours, while we compose */
    gather_lock(gather);
    gather_round *before = gather->last;
    gather_wait *waits = round->waits;
    round->waits = NULL;
    gather->last = round;
    gather->last_at_ms = gather_now_ms(gather);
    gather->under_way = NULL;
    gather_unlock(gather);
    round_unref(before);
    while (waits != NULL) {
        gather_wait *wait = waits;
        waits = wait->next;
        round_compose(round, wait->exchange, wait->compose);
        alv_free(wait);
    }
    round_unref(round);
}

static void round_answered(gather_round *round)
{
    if (atomic_fetch_sub(&round->left, 1) == 1) {
        round_end(round);
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* What the node says of itself; NULL when another one answers at its address. */
static json_t *gather_read_view(const alv_gathered_node *node, alv_view body)
{
    json_t *view = json_loadb(body.data, body.size, 0, NULL);
    const char *node_id = json_string_value(json_object_get(view, "node"));
    if (node_id != NULL && strcmp(node_id, node->node_id) == 0) {
        return view;
    }
    json_decref(view);
    return NULL;
}

/* On the client's thread. */
static void gather_replied(void *payload, alv_status status, alv_answer *answer,
                           const alv_error *err)
{
    (void)err;
    gather_question *question = payload;
    if (status == ALV_OK && answer->status == 200) {
        question->node->view = gather_read_view(question->node, alv_bytes_view(&answer->body));
    }
    alv_answer_done(answer);
    gather_round *round = question->round;
    alv_free(question);
    round_answered(round);
}

/* Asking who is not heard would make everybody wait for nothing. */
static bool gather_is_silent(const alv_peer_view *peers, size_t count, const char *node_id)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(peers[i].node_id, node_id) == 0) {
            return peers[i].state == ALV_PEER_SUSPECTED || peers[i].state == ALV_PEER_DEAD;
        }
    }
    return false;
}

static void gather_ask_node(alv_gather *gather, gather_round *round, alv_gathered_node *node)
{
    gather_question *question = alv_alloc(sizeof *question);
    *question = (gather_question){round, node};
    atomic_fetch_add(&round->left, 1);
    if (!alv_http_client_get(gather->client, node->address, ALV_VIEW("/v1/node"), gather_replied,
                             question)) {
        alv_free(question);
        round_answered(round);
    }
}

static void gather_ask_all(alv_gather *gather, gather_round *round)
{
    const alv_api *api = gather->api;
    alv_peer_view *peers = alv_alloc_array(ALV_PEER_NODES_MAX, sizeof *peers);
    size_t count =
        api->monitor != NULL ? alv_peer_monitor_list(api->monitor, peers, ALV_PEER_NODES_MAX) : 0;
    for (size_t i = 1; i < round->count; i++) {
        alv_gathered_node *node = &round->nodes[i];
        if (node->address[0] != '\0' && !gather_is_silent(peers, count, node->node_id)) {
            gather_ask_node(gather, round, node);
        }
    }
    alv_free(peers);
    round_answered(round); /* the asking itself */
}

/* With the lock held: the last round with a reference, if it is young enough. */
static gather_round *gather_recent(alv_gather *gather)
{
    gather_round *last = gather->last;
    if (last == NULL || gather_now_ms(gather) - gather->last_at_ms >= ALV_GATHER_CACHE_MS) {
        return NULL;
    }
    atomic_fetch_add(&last->references, 1);
    return last;
}

/* Waits for the round under way, or for `begun`, which then is that. False: it has ended meanwhile; then
 * the last round is as new as can be, and *out_recent has a reference to it. */
static bool gather_join(alv_gather *gather, gather_round *begun, gather_wait *wait,
                        gather_round **out_recent)
{
    gather_lock(gather);
    if (begun != NULL) {
        ALV_ASSERT(gather->under_way == NULL); /* rounds begin on the server's thread alone */
        gather->under_way = begun;
    }
    gather_round *round = gather->under_way;
    if (round != NULL) {
        wait->next = round->waits;
        round->waits = wait;
    } else {
        *out_recent = gather->last;
        atomic_fetch_add(&gather->last->references, 1);
    }
    gather_unlock(gather);
    return round != NULL;
}

static void gather_wait_for(alv_gather *gather, alv_exchange *exchange, alv_gather_compose compose,
                            bool is_under_way)
{
    gather_round *begun = is_under_way ? NULL : round_new(gather);
    gather_round *recent = NULL;
    gather_wait *wait = alv_alloc(sizeof *wait);
    *wait = (gather_wait){exchange, compose, NULL};
    alv_exchange_defer(exchange); /* before another thread can see it */
    if (!gather_join(gather, begun, wait, &recent)) {
        alv_free(wait);
        round_compose(recent, exchange, compose);
        round_unref(recent);
    } else if (begun != NULL) {
        gather_ask_all(gather, begun);
    }
}

void alv_gather_answer(alv_gather *gather, alv_exchange *exchange, alv_gather_compose compose)
{
    gather_lock(gather);
    gather_round *recent = gather_recent(gather);
    bool is_under_way = gather->under_way != NULL;
    gather_unlock(gather);
    if (recent != NULL) {
        round_compose(recent, exchange, compose);
        round_unref(recent);
    } else {
        gather_wait_for(gather, exchange, compose, is_under_way);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

alv_status alv_gather_start(const alv_api *api, alv_gather **out, alv_error *err)
{
    alv_gather *gather = alv_alloc(sizeof *gather);
    gather->api = api;
    int failed = pthread_mutex_init(&gather->lock, NULL);
    ALV_ASSERT(failed == 0);
    alv_status status =
        alv_http_client_start(&api->security, true, ALV_GATHER_TIMEOUT_MS, &gather->client, err);
    if (status != ALV_OK) {
        alv_gather_free(gather);
        return status;
    }
    *out = gather;
    return ALV_OK;
}

void alv_gather_stop(alv_gather *gather)
{
    alv_http_client_stop(gather->client);
}

void alv_gather_free(alv_gather *gather)
{
    if (gather == NULL) {
        return;
    }
    if (gather->client != NULL) {
        alv_gather_stop(gather);
        alv_http_client_free(gather->client);
    }
    ALV_ASSERT(gather->under_way == NULL);
    round_unref(gather->last);
    (void)pthread_mutex_destroy(&gather->lock); /* nobody holds it */
    alv_free(gather);
}
