#include "api/ask.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/url.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/inbox.h"
#include "base/logger.h"
#include "processor/quarantine_record.h"
#include "statestore/codec.h"
#include "topics/partitioner.h"

/* With nothing to look at, the thread only waits for its inbox. */
#define ASK_IDLE_MS 10000
#define ASK_PATH "/v1/entities/"
#define ASK_CONSISTENCY_BYTES 16

/* One question under way. It belongs to the server's thread, then to whoever holds its exchange:
 * the ask thread while it waits, the client's while it is forwarded. */
typedef struct ask_request {
    alv_ask *ask;
    alv_exchange *exchange;
    alv_bytes key;
    int32_t shard;
    bool forwarded; /* to us, by another node */
    bool any;       /* a hot standby may answer */
    bool deferred;
    alv_read_position floor; /* answers that are older do not count (I4) */
    int64_t hold_until_us;
    char asked[256];          /* the owner's address that was tried last; empty at first */
    int64_t ask_again_us;     /* when that address may be tried again */
    struct ask_request *next; /* in the list of those that wait */
} ask_request;

struct alv_ask {
    alv_ask_options options;
    pthread_t thread;
    bool started;      /* and not yet joined; main only */
    alv_inbox *inbox;  /* ask_request: to wait */
    ask_request *held; /* ask thread */
};

/* What to do with a request. */
typedef enum ask_step {
    ASK_ANSWER,  /* the answer is there */
    ASK_FORWARD, /* to the owner */
    ASK_HOLD,    /* look again soon */
} ask_step;

/* ---- ends of a request ----------------------------------------------------------------------- */

static void ask_finish(ask_request *request, alv_answer *answer)
{
    alv_read_floor_raise(request->ask->options.floor, request->shard, answer->position);
    alv_exchange_answer(request->exchange, answer);
    alv_bytes_done(&request->key);
    alv_free(request);
}

static void ask_refuse(ask_request *request, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503, "%s", why);
    ask_finish(request, &answer);
}

/* It has waited long enough: says what it waited for. */
static void ask_give_up(ask_request *request)
{
    const alv_ask_options *options = &request->ask->options;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_peer owner;
    int shard = (int)request->shard;
    if (alv_directory_view(options->directory, request->shard).state == ALV_SHARD_RESTORING) {
        alv_answer_set_problem(&answer, 503, "shard %d is being restored on this node", shard);
    } else if (alv_peers_owner(options->peers, request->shard, &owner)) {
        alv_answer_set_problem(&answer, 503, "node %s, which owns shard %d, does not answer for it",
                               owner.node_id, shard);
    } else {
        alv_answer_set_problem(&answer, 503,
                               "no node is known to own shard %d; Kafka last told who is a member "
                               "%lld ms ago: %zu lanes",
                               shard, (long long)alv_peers_age_ms(options->peers),
                               alv_peers_list(options->peers, NULL, 0));
    }
    ask_finish(request, &answer);
}

/* ---- here ------------------------------------------------------------------------------------ */

/* Who answers, and how many records of the changelog it has not applied yet; -1 = not known. */
typedef struct ask_source {
    const char *name;
    int64_t lag;
} ask_source;

/* What the store has of an entity. */
typedef struct ask_found {
    bool is_there;
    alv_bytes state;
    bool is_quarantined;
    alv_bytes quarantine; /* then: the record that says so */
} ask_found;

static bool ask_is_json(const alv_bytes *state)
{
    json_t *value = NULL;
    bool good = alv_codec_decode(alv_bytes_view(state), &value, NULL) == ALV_OK;
    json_decref(value);
    return good;
}

/* {"key","type","shard","state","position":{"commands","changelog"},"source","lag"}, and "quarantine" of an entity
 * that is; the state goes in as it is stored: it is the text that was published, and parsing it again would
 * only cost. */
static void ask_write_entity(const ask_request *request, const ask_found *found,
                             const ask_source *source, const alv_position *position,
                             alv_answer *answer)
{
    alv_view state = alv_bytes_view(&found->state);
    alv_view key = alv_bytes_view(&request->key);
    alv_answer_begin_json(answer, 200);
    alv_bytes *body = &answer->body;
    alv_bytes_reserve(body, state.size + 2 * key.size + 256);
    alv_bytes_append_text(body, "{\"key\":");
    alv_answer_append_string(answer, key);
    alv_bytes_append_text(body, ",\"type\":");
    alv_answer_append_string(answer, alv_registry_type(request->ask->options.registry, key));
    alv_bytes_printf(body, ",\"shard\":%d,\"state\":", (int)request->shard);
    alv_bytes_append(body, state.data, state.size);
    alv_bytes_printf(body,
                     ",\"position\":{\"commands\":%lld,\"changelog\":%lld},"
                     "\"source\":\"%s\",\"lag\":",
                     (long long)position->commands, (long long)position->changelog, source->name);
    if (source->lag < 0) {
        alv_bytes_append_text(body, "null");
    } else {
        alv_bytes_printf(body, "%lld", (long long)source->lag);
    }
    if (found->is_quarantined) {
        alv_bytes_append_text(body, ",\"quarantine\":");
        alv_bytes_append(body, found->quarantine.data, found->quarantine.size);
    }
    alv_bytes_append_text(body, "}");
}

/* A state that no behavior can read is shown to nobody as one. */
static void ask_write(const ask_request *request, const ask_found *found, const ask_source *source,
                      const alv_position *position, alv_answer *answer)
{
    alv_view key = alv_bytes_view(&request->key);
    const char *quarantined = found->is_quarantined ? "; it is quarantined" : "";
    if (!found->is_there) {
        alv_answer_set_problem(answer, 404, "there is no entity %.*s%s", (int)key.size, key.data,
                               quarantined);
    } else if (found->is_quarantined && !ask_is_json(&found->state)) {
        alv_answer_set_problem(answer, 500, "the state of %.*s cannot be decoded%s", (int)key.size,
                               key.data, quarantined);
    } else {
        ask_write_entity(request, found, source, position, answer);
    }
}

/* Few entities are quarantined, and mostly the owner knows that none is. */
static alv_status ask_read_quarantine(const ask_request *request, ask_found *out, alv_error *err)
{
    const alv_ask_options *options = &request->ask->options;
    alv_shard_view view = alv_directory_view(options->directory, request->shard);
    if (view.state == ALV_SHARD_ACTIVE && view.quarantined == 0) {
        return ALV_OK;
    }
    alv_bytes key = ALV_BYTES_EMPTY;
    bool found = false;
    alv_quarantine_key(alv_bytes_view(&request->key), &key);
    alv_status status =
        options->store->ops->get(options->store, request->shard, ALV_STORE_LEDGER,
                                 alv_bytes_view(&key), &found, &out->quarantine, err);
    out->is_quarantined = found && alv_quarantine_is_held(alv_bytes_view(&out->quarantine));
    alv_bytes_done(&key);
    return status;
}

/* The position is read before the value, so the value is at least as new as the position beside it:
 * whoever waits for a position never takes an older state for it (I4). The other order could pair
 * an old state with the position of a transaction that was applied in between. */
static alv_status ask_read(const ask_request *request, const ask_source *source, alv_answer *answer,
                           alv_error *err)
{
    alv_store *store = request->ask->options.store;
    alv_view key = alv_bytes_view(&request->key);
    alv_position position;
    ask_found found = {.state = ALV_BYTES_EMPTY, .quarantine = ALV_BYTES_EMPTY};
    alv_status status = store->ops->position(store, request->shard, &position, err);
    if (status == ALV_OK) {
        status = store->ops->get(store, request->shard, ALV_STORE_STATE, key, &found.is_there,
                                 &found.state, err);
    }
    if (status == ALV_OK) {
        status = ask_read_quarantine(request, &found, err);
    }
    if (status == ALV_OK) {
        ask_write(request, &found, source, &position, answer);
        answer->position = (alv_read_position){position.commands, position.changelog};
    }
    alv_bytes_done(&found.state);
    alv_bytes_done(&found.quarantine);
    return status;
}

static int64_t ask_now_us(const alv_ask *ask)
{
    return alv_monotonic_us(ask->options.clock);
}

static bool ask_is_active(const ask_request *request)
{
    return alv_directory_is_current(request->ask->options.directory, request->shard,
                                    ask_now_us(request->ask));
}

/* False when the shard was taken away while it was read: what was read may be a store that is being
 * wiped or restored for its next time here. Also when it is older than what was shown before: then the
 * shard has long been elsewhere, and this node will hear of it. */
static bool ask_answer_here(const ask_request *request, alv_answer *answer)
{
    alv_error err = ALV_ERROR_NONE;
    const ask_source owner = {"owner", 0};
    alv_status status = ask_read(request, &owner, answer, &err);
    if (!ask_is_active(request) ||
        (status == ALV_OK && !alv_read_floor_owner_passes(request->floor, answer->position))) {
        alv_answer_done(answer);
        return false;
    }
    if (status == ALV_RETRY) {
        alv_answer_set_problem(answer, 503, "shard %d: %s", (int)request->shard, err.text);
    } else if (status != ALV_OK) {
        alv_answer_set_problem(answer, 500, "shard %d: %s", (int)request->shard, err.text);
    }
    return true;
}

/* Whether this node keeps a replica that follows the end of the changelog, and how far it is behind, as far
 * as that is known. */
static bool ask_is_hot(const ask_request *request, int64_t *out_lag)
{
    alv_shard_view view = alv_directory_view(request->ask->options.directory, request->shard);
    *out_lag = alv_shard_view_lag(&view);
    return view.state == ALV_SHARD_UNASSIGNED && view.is_standby && view.is_hot;
}

/* From the replica, unless it is older than what was shown before (I4), or has become something else while
 * it was read: then the owner is asked. */
static bool ask_answer_standby(const ask_request *request, alv_answer *answer)
{
    ask_source standby = {"standby", 0};
    int64_t ignored = 0;
    if (!ask_is_hot(request, &standby.lag)) {
        return false;
    }
    alv_status status = ask_read(request, &standby, answer, NULL);
    if (status == ALV_OK && alv_read_floor_standby_passes(request->floor, answer->position) &&
        ask_is_hot(request, &ignored)) {
        answer->position.changelog = 0;
        return true;
    }
    alv_answer_done(answer);
    return false;
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

static void ask_hold(ask_request *request);

/* The exchange must be deferred before another thread can answer it. */
static void ask_defer(ask_request *request)
{
    if (!request->deferred) {
        alv_exchange_defer(request->exchange);
    }
    request->deferred = true;
}

/* The owner's answer is passed on as it is. Without one, or when the owner says 503 (it is not the
 * owner any more, or not yet), our picture is old: while there is time, it is renewed and the
 * request waits for its turn. On the client's thread. */
static void ask_forwarded(void *payload, alv_status status, alv_answer *answer,
                          const alv_error *err)
{
    ask_request *request = payload;
    alv_ask *ask = request->ask;
    bool is_old = answer->position.commands > 0 &&
                  !alv_read_floor_owner_passes(request->floor, answer->position);
    bool failed = status != ALV_OK || answer->status == 503 || is_old;
    int64_t now_us = ask_now_us(ask);
    if (failed) {
        alv_peers_refresh_soon(ask->options.peers);
    }
    if (failed && now_us < request->hold_until_us) {
        alv_answer_done(answer);
        request->ask_again_us = now_us + ALV_HTTP_FORWARD_AGAIN_MS * 1000;
        ask_hold(request);
    } else if (is_old) {
        alv_answer_set_problem(answer, 503, "what %s has of shard %d is older than what was shown",
                               request->asked, (int)request->shard);
        ask_finish(request, answer);
    } else if (status == ALV_OK) {
        ask_finish(request, answer);
    } else {
        alv_answer_set_problem(answer, 503, "the owner of shard %d at %s does not answer: %s",
                               (int)request->shard, request->asked, err->text);
        ask_finish(request, answer);
    }
}

static void ask_forward(ask_request *request, const alv_peer *owner)
{
    (void)snprintf(request->asked, sizeof request->asked, "%s", owner->address);
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&path, ASK_PATH);
    alv_url_encode(alv_bytes_view(&request->key), &path);
    ask_defer(request);
    if (!alv_http_client_get(request->ask->options.client, owner->address, alv_bytes_view(&path),
                             ask_forwarded, request)) {
        ask_refuse(request, "too many requests for other nodes are under way");
    }
    alv_bytes_done(&path);
}

/* Whether the owner is another node that may be asked now. */
static bool ask_find_owner(const ask_request *request, alv_peer *out)
{
    const alv_ask_options *options = &request->ask->options;
    if (!alv_peers_owner(options->peers, request->shard, out)) {
        return false;
    }
    if (out->address[0] == '\0' || out->silent || strcmp(out->node_id, options->node_id) == 0) {
        return false;
    }
    return strcmp(out->address, request->asked) != 0 ||
           ask_now_us(request->ask) >= request->ask_again_us;
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* A forwarded request may wait for a restore here (we are the owner, and know best when it is
 * over), but never for somebody else. */
static ask_step ask_decide(const ask_request *request, alv_answer *answer, alv_peer *out_owner)
{
    const alv_ask_options *options = &request->ask->options;
    switch (alv_directory_view(options->directory, request->shard).state) {
    case ALV_SHARD_ACTIVE:
        if (ask_is_active(request)) {
            return ask_answer_here(request, answer) ? ASK_ANSWER : ASK_HOLD;
        }
        break; /* its lane hangs: another node may have it by now */
    case ALV_SHARD_RESTORING:
        return ASK_HOLD;
    case ALV_SHARD_STOPPED:
        alv_answer_set_problem(answer, 503, "shard %d is stopped on this node; its log says why",
                               (int)request->shard);
        return ASK_ANSWER;
    case ALV_SHARD_UNASSIGNED:
        break;
    }
    if (request->any && ask_answer_standby(request, answer)) {
        return ASK_ANSWER;
    }
    if (request->forwarded) {
        alv_answer_set_problem(answer, 503, "shard %d is not on this node", (int)request->shard);
        return ASK_ANSWER;
    }
    if (ask_find_owner(request, out_owner)) {
        return ASK_FORWARD;
    }
    alv_peers_refresh_soon(options->peers);
    return ASK_HOLD;
}

/* Takes one step. False: the request still waits and is the caller's; true: it is out of its
 * hands. */
static bool ask_proceed(ask_request *request)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_peer owner;
    switch (ask_decide(request, &answer, &owner)) {
    case ASK_ANSWER:
        ask_finish(request, &answer);
        return true;
    case ASK_FORWARD:
        ask_forward(request, &owner);
        return true;
    case ASK_HOLD:
        break;
    }
    if (ask_now_us(request->ask) < request->hold_until_us) {
        return false;
    }
    ask_give_up(request);
    return true;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Hands a deferred request to the ask thread. The inbox has room for one request per connection, so
 * it refuses only when it was closed. */
static void ask_hold(ask_request *request)
{
    if (!alv_inbox_try_post(request->ask->inbox, request)) {
        ask_refuse(request, "this node is stopping");
    }
}

static void ask_take_inbox(alv_ask *ask)
{
    ask_request *request;
    while ((request = alv_inbox_take(ask->inbox)) != NULL) {
        request->next = ask->held;
        ask->held = request;
    }
}

static void ask_look(alv_ask *ask)
{
    ask_request **link = &ask->held;
    while (*link != NULL) {
        ask_request *request = *link;
        ask_request *next = request->next; /* it may be gone after the step */
        if (ask_proceed(request)) {
            *link = next;
        } else {
            link = &request->next;
        }
    }
}

/* Milliseconds until the held requests are looked at again. */
static int ask_wait_ms(const alv_ask *ask, int64_t look_at_us)
{
    if (ask->held == NULL) {
        return ASK_IDLE_MS;
    }
    int64_t left_ms = (look_at_us - ask_now_us(ask) + 999) / 1000;
    return left_ms > 0 ? (int)left_ms : 0;
}

static void *ask_run(void *payload)
{
    alv_ask *ask = payload;
    alv_log_set_thread("http-ask");
    int64_t look_at_us = 0;
    while (!alv_inbox_is_closed(ask->inbox)) {
        (void)alv_inbox_wait(ask->inbox, ask_wait_ms(ask, look_at_us));
        ask_take_inbox(ask);
        if (ask_now_us(ask) < look_at_us) {
            continue;
        }
        ask_look(ask);
        look_at_us = ask_now_us(ask) + ALV_HTTP_HOLD_LOOK_MS * 1000;
    }
    ask_take_inbox(ask);
    while (ask->held != NULL) {
        ask_request *request = ask->held;
        ask->held = request->next;
        ask_refuse(request, "this node is stopping");
    }
    return NULL;
}

/* ---- public ---------------------------------------------------------------------------------- */

alv_status alv_ask_start(const alv_ask_options *options, alv_ask **out, alv_error *err)
{
    alv_ask *ask = alv_alloc(sizeof *ask);
    ask->options = *options;
    ask->inbox = alv_inbox_new(ALV_HTTP_CONNECTIONS_MAX, NULL);
    int code = pthread_create(&ask->thread, NULL, ask_run, ask);
    ask->started = code == 0;
    if (code != 0) {
        alv_ask_free(ask);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = ask;
    return ALV_OK;
}

static ask_request *ask_request_new(alv_ask *ask, alv_exchange *exchange)
{
    ask_request *request = alv_alloc(sizeof *request);
    request->ask = ask;
    request->exchange = exchange;
    request->forwarded = alv_exchange_header(exchange, ALV_EXCHANGE_FORWARDED) != NULL;
    request->hold_until_us = ask_now_us(ask) + ALV_HTTP_HOLD_MS * 1000;
    return request;
}

static alv_status ask_read_request(ask_request *request, alv_view encoded_key, alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    alv_bytes consistency = ALV_BYTES_EMPTY;
    bool found = false;
    if (alv_url_decode(encoded_key, ALV_KEY_BYTES_MAX, &request->key, &why) != ALV_OK) {
        return alv_fail(err, ALV_REJECT, "the key in the path cannot be used: %s", why.text);
    }
    alv_status status = alv_exchange_query(request->exchange, "consistency", ASK_CONSISTENCY_BYTES,
                                           &found, &consistency, err);
    alv_view word = alv_bytes_view(&consistency);
    request->any = found && alv_view_equal(word, ALV_VIEW("any"));
    if (status == ALV_OK && found && !request->any && !alv_view_equal(word, ALV_VIEW("owner"))) {
        status = alv_fail(err, ALV_REJECT, "consistency must be owner or any");
    }
    alv_bytes_done(&consistency);
    return status;
}

void alv_ask_entity(alv_ask *ask, alv_exchange *exchange, alv_view encoded_key)
{
    ask_request *request = ask_request_new(ask, exchange);
    alv_error err = ALV_ERROR_NONE;
    if (ask_read_request(request, encoded_key, &err) != ALV_OK) {
        alv_answer answer = ALV_ANSWER_NONE;
        alv_answer_set_problem(&answer, 400, "%s", err.text);
        ask_finish(request, &answer);
        return;
    }
    request->shard = alv_partitioner_shard(alv_bytes_view(&request->key),
                                           alv_directory_shard_count(ask->options.directory));
    request->floor = alv_read_floor_get(ask->options.floor, request->shard);
    if (ask_proceed(request)) {
        return;
    }
    ask_defer(request);
    ask_hold(request);
}

void alv_ask_stop(alv_ask *ask)
{
    if (!ask->started) {
        return;
    }
    alv_inbox_close(ask->inbox);
    int failed = pthread_join(ask->thread, NULL);
    ALV_ASSERT(failed == 0);
    ask->started = false;
}

void alv_ask_free(alv_ask *ask)
{
    if (ask == NULL) {
        return;
    }
    alv_ask_stop(ask);
    alv_inbox_free(ask->inbox);
    alv_free(ask);
}
