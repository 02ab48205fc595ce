#include "api/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/scan_internal.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/base64url.h"
#include "base/limits.h"
#include "base/logger.h"

#define SCAN_IDLE_MS 10000
#define SCAN_LIMIT_USUAL 100
#define SCAN_CURSOR_FORM '1' /* what a cursor begins with; another one is of another version */
#define SCAN_NUMBER_BYTES 16

static int64_t scan_now_us(const alv_scan *scan)
{
    return alv_monotonic_us(scan->options.clock);
}

bool alv_scan_is_active(const alv_scan *scan, int32_t shard)
{
    return alv_directory_is_current(scan->options.directory, shard, scan_now_us(scan));
}

/* ---- ends of a request ----------------------------------------------------------------------- */

static void scan_free_request(scan_request *request)
{
    alv_bytes_done(&request->prefix);
    alv_bytes_done(&request->after);
    alv_scan_page_done(&request->page);
    alv_free(request->shards);
    alv_free(request->floors);
    alv_free(request->positions);
    alv_free(request);
}

static void scan_finish(scan_request *request, alv_answer *answer)
{
    alv_scan *scan = request->scan;
    alv_exchange_answer(request->exchange, answer);
    scan_free_request(request);
    atomic_fetch_sub(&scan->count, 1);
}

static void scan_refuse(scan_request *request, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503, "%s", why);
    scan_finish(request, &answer);
}

/* The first shard that could not be read; they all could when it is the shard count. */
static int32_t scan_missing(const scan_request *request)
{
    int32_t shard = 0;
    while (shard < request->scan->shard_count && request->shards[shard] != SCAN_TODO &&
           request->shards[shard] != SCAN_ASKED) {
        shard++;
    }
    return shard;
}

static void scan_give_up(scan_request *request)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503,
                           "shard %d cannot be read now, so the list would be incomplete",
                           (int)scan_missing(request));
    scan_finish(request, &answer);
}

static void scan_write_cursor(const alv_scan_page *page, alv_bytes *out)
{
    alv_bytes plain = ALV_BYTES_EMPTY;
    alv_view last = alv_scan_page_key(page, page->count - 1);
    alv_bytes_append(&plain, &(char){SCAN_CURSOR_FORM}, 1);
    alv_bytes_append(&plain, last.data, last.size);
    alv_base64url_encode(alv_bytes_view(&plain), out);
    alv_bytes_done(&plain);
}

static void scan_write_page(const scan_request *request, alv_answer *answer)
{
    const alv_scan_page *page = &request->page;
    alv_answer_begin_json(answer, 200);
    alv_bytes *body = &answer->body;
    alv_bytes_reserve(body, page->bytes + page->count + 1024);
    alv_bytes_append_text(body, request->list == ALV_SCAN_QUARANTINE ? "{\"quarantined\":["
                                                                     : "{\"entities\":[");
    for (size_t i = 0; i < page->count; i++) {
        alv_view text = alv_scan_page_text(page, i);
        alv_bytes_append_text(body, i > 0 ? "," : "");
        alv_bytes_append(body, text.data, text.size);
    }
    alv_bytes_append_text(body, "],\"cursor\":");
    if (page->more && page->count > 0) {
        alv_bytes_append_text(body, "\"");
        scan_write_cursor(page, body);
        alv_bytes_append_text(body, "\"}");
    } else {
        alv_bytes_append_text(body, "null}");
    }
}

static void scan_complete(scan_request *request)
{
    alv_answer answer = ALV_ANSWER_NONE;
    for (int32_t shard = 0; shard < request->scan->shard_count; shard++) {
        if (request->shards[shard] == SCAN_DONE) {
            alv_read_floor_raise(request->scan->options.floor, shard, request->positions[shard]);
        }
    }
    if (request->is_local) {
        alv_scan_write_answer(request, &answer);
    } else {
        scan_write_page(request, &answer);
    }
    scan_finish(request, &answer);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void scan_free_part(scan_part *part)
{
    alv_answer_done(&part->answer);
    alv_free(part->shards);
    alv_free(part);
}

/* The inbox has room for all that may be under way. False when it has closed. */
static bool scan_post(alv_scan *scan, scan_request *request, scan_part *part)
{
    scan_message *message = alv_alloc(sizeof *message);
    *message = (scan_message){.request = request, .part = part};
    if (alv_inbox_try_post(scan->inbox, message)) {
        return true;
    }
    alv_free(message);
    return false;
}

/* On the client's thread. */
static void scan_answered(void *payload, alv_status status, alv_answer *answer,
                          const alv_error *err)
{
    (void)err;
    scan_part *part = payload;
    if (status == ALV_OK) {
        part->answer = *answer;
        *answer = ALV_ANSWER_NONE;
    }
    bool posted = scan_post(part->request->scan, NULL, part);
    ALV_ASSERT(posted); /* the client stops before the scan does */
}

/* Asks the node at `address` for all shards in `shards`, which the part takes. */
static void scan_ask(scan_request *request, const char *address, bool *shards)
{
    alv_scan *scan = request->scan;
    scan_part *part = alv_alloc(sizeof *part);
    part->request = request;
    part->shards = shards;
    (void)snprintf(part->address, sizeof part->address, "%s", address);
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_scan_write_path(part, &path);
    if (alv_http_client_get(scan->options.client, address, alv_bytes_view(&path), scan_answered,
                            part)) {
        for (int32_t shard = 0; shard < scan->shard_count; shard++) {
            request->shards[shard] = shards[shard] ? SCAN_ASKED : request->shards[shard];
        }
        request->asked++;
    } else {
        scan_free_part(part); /* its shards stay to be done */
    }
    alv_bytes_done(&path);
}

/* The address of another node that is said to own the shard. */
static bool scan_find_owner(const alv_scan *scan, int32_t shard, alv_peer *out)
{
    return alv_peers_owner(scan->options.peers, shard, out) && out->address[0] != '\0' &&
           !out->silent && strcmp(out->node_id, scan->options.node_id) != 0;
}

/* One question for all shards of the same node that are still to be done. */
static void scan_ask_others(scan_request *request)
{
    alv_scan *scan = request->scan;
    bool *tried = alv_alloc_array((size_t)scan->shard_count, sizeof *tried);
    for (int32_t first = 0; first < scan->shard_count; first++) {
        alv_peer owner;
        if (request->shards[first] != SCAN_TODO || tried[first] ||
            !scan_find_owner(scan, first, &owner)) {
            continue;
        }
        bool *shards = alv_alloc_array((size_t)scan->shard_count, sizeof *shards);
        for (int32_t shard = first; shard < scan->shard_count; shard++) {
            alv_peer other;
            shards[shard] = request->shards[shard] == SCAN_TODO &&
                            scan_find_owner(scan, shard, &other) &&
                            strcmp(other.address, owner.address) == 0;
            tried[shard] = tried[shard] || shards[shard];
        }
        scan_ask(request, owner.address, shards);
    }
    alv_free(tried);
}

static void scan_read_here(scan_request *request)
{
    for (int32_t shard = 0; shard < request->scan->shard_count; shard++) {
        if (request->shards[shard] == SCAN_TODO && alv_scan_read_shard(request, shard)) {
            request->shards[shard] = SCAN_DONE;
        }
    }
}

/* Something cannot be read now: it is tried again, as long as it is worth it. A request of another node does not
 * wait, because that one knows better what to do. */
static void scan_wait(scan_request *request, int64_t again_ms)
{
    alv_scan *scan = request->scan;
    int64_t now_us = scan_now_us(scan);
    if (request->is_local || now_us >= request->hold_until_us) {
        scan_give_up(request);
        return;
    }
    alv_peers_refresh_soon(scan->options.peers);
    request->again_us = now_us + again_ms * 1000;
    request->next = scan->held;
    scan->held = request;
}

/* Does what can be done now. */
static void scan_step(scan_request *request)
{
    alv_scan *scan = request->scan;
    scan_read_here(request);
    if (!request->is_local) {
        scan_ask_others(request);
    }
    if (request->asked > 0) {
        return;
    }
    if (scan_missing(request) == scan->shard_count) {
        scan_complete(request);
    } else {
        scan_wait(request, ALV_HTTP_HOLD_LOOK_MS);
    }
}

static void scan_take_part(scan_part *part)
{
    scan_request *request = part->request;
    alv_scan *scan = request->scan;
    bool good = part->answer.status == 200 && alv_scan_read_answer(part);
    for (int32_t shard = 0; shard < scan->shard_count; shard++) {
        if (part->shards[shard]) {
            request->shards[shard] = good ? SCAN_DONE : SCAN_TODO;
        }
    }
    request->asked--;
    scan_free_part(part);
    if (request->asked > 0) {
        return;
    }
    if (scan_missing(request) == scan->shard_count) {
        scan_complete(request);
        return;
    }
    scan_wait(request, ALV_HTTP_FORWARD_AGAIN_MS);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void scan_take_inbox(alv_scan *scan)
{
    scan_message *message = NULL;
    while ((message = alv_inbox_take(scan->inbox)) != NULL) {
        if (message->part != NULL) {
            scan_take_part(message->part);
        } else {
            scan_step(message->request);
        }
        alv_free(message);
    }
}

static void scan_look(alv_scan *scan)
{
    int64_t now_us = scan_now_us(scan);
    scan_request *all = scan->held;
    scan->held = NULL;
    while (all != NULL) {
        scan_request *request = all;
        all = request->next;
        if (request->again_us <= now_us) {
            scan_step(request);
        } else {
            request->next = scan->held;
            scan->held = request;
        }
    }
}

static void *scan_run(void *payload)
{
    alv_scan *scan = payload;
    alv_log_set_thread("http-scan");
    while (!alv_inbox_is_closed(scan->inbox)) {
        (void)alv_inbox_wait(scan->inbox,
                             scan->held != NULL ? ALV_HTTP_HOLD_LOOK_MS : SCAN_IDLE_MS);
        scan_take_inbox(scan);
        scan_look(scan);
    }
    return NULL;
}

/* ---- requests -------------------------------------------------------------------------------- */

static alv_status scan_read_limit(const alv_exchange *exchange, size_t *out, alv_error *err)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    bool found = false;
    long limit = SCAN_LIMIT_USUAL;
    alv_status status =
        alv_exchange_query(exchange, "limit", SCAN_NUMBER_BYTES, &found, &text, err);
    if (status == ALV_OK && found) {
        char *end = NULL;
        alv_bytes_append(&text, "", 1);
        limit = strtol(text.data, &end, 10);
        if (end == text.data || *end != '\0' || limit < 1 || limit > ALV_HTTP_SCAN_LIMIT_MAX) {
            status = alv_fail(err, ALV_REJECT, "limit must be a number from 1 to %d",
                              ALV_HTTP_SCAN_LIMIT_MAX);
        }
    }
    alv_bytes_done(&text);
    *out = (size_t)limit;
    return status;
}

static alv_status scan_read_cursor(const alv_exchange *exchange, alv_view prefix, alv_bytes *out,
                                   alv_error *err)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes plain = ALV_BYTES_EMPTY;
    bool found = false;
    alv_status status =
        alv_exchange_query(exchange, "cursor", 2 * ALV_KEY_BYTES_MAX, &found, &text, err);
    if (status == ALV_OK && found) {
        bool good = alv_base64url_decode(alv_bytes_view(&text), &plain) && plain.size > 1 &&
                    plain.data[0] == SCAN_CURSOR_FORM;
        alv_view key = good ? (alv_view){plain.data + 1, plain.size - 1} : ALV_VIEW_NONE;
        if (good && alv_view_starts_with(key, prefix)) {
            alv_bytes_set(out, key.data, key.size);
        } else {
            status = alv_fail(err, ALV_REJECT,
                              "the cursor is none of a list with this prefix; begin without one");
        }
    }
    alv_bytes_done(&text);
    alv_bytes_done(&plain);
    return status;
}

static scan_request *scan_request_new(alv_scan *scan, alv_exchange *exchange, bool is_local,
                                      alv_scan_list list)
{
    size_t count = (size_t)scan->shard_count;
    scan_request *request = alv_alloc(sizeof *request);
    request->scan = scan;
    request->exchange = exchange;
    request->is_local = is_local;
    request->list = list;
    request->shards = alv_alloc_array(count, sizeof *request->shards);
    request->floors = alv_alloc_array(count, sizeof *request->floors);
    request->positions = alv_alloc_array(count, sizeof *request->positions);
    request->hold_until_us = scan_now_us(scan) + ALV_HTTP_HOLD_MS * 1000;
    for (int32_t shard = 0; shard < scan->shard_count; shard++) {
        request->floors[shard] = alv_read_floor_get(scan->options.floor, shard);
        request->shards[shard] = SCAN_TODO;
    }
    return request;
}

static alv_status scan_read_local(scan_request *request, alv_error *err)
{
    const alv_exchange *exchange = request->exchange;
    alv_bytes shards = ALV_BYTES_EMPTY;
    bool found = false;
    alv_status status =
        alv_exchange_query(exchange, "shards", ALV_SHARDS_MAX / 4, &found, &shards, err);
    if (status == ALV_OK && !alv_scan_read_shards(alv_bytes_view(&shards), request->shards,
                                                  request->scan->shard_count)) {
        status =
            alv_fail(err, ALV_REJECT, "the parameter shards does not fit the shards there are");
    }
    alv_bytes_done(&shards);
    if (status == ALV_OK) {
        status =
            alv_exchange_query(exchange, "after", ALV_KEY_BYTES_MAX, &found, &request->after, err);
    }
    return status;
}

static alv_status scan_read(scan_request *request, alv_error *err)
{
    bool found = false;
    alv_status status = alv_exchange_query(request->exchange, "prefix", ALV_KEY_BYTES_MAX, &found,
                                           &request->prefix, err);
    if (status == ALV_OK) {
        status = scan_read_limit(request->exchange, &request->limit, err);
    }
    if (status == ALV_OK) {
        status = request->is_local
                     ? scan_read_local(request, err)
                     : scan_read_cursor(request->exchange, alv_bytes_view(&request->prefix),
                                        &request->after, err);
    }
    if (status == ALV_OK) {
        alv_scan_page_init(&request->page, request->limit, ALV_HTTP_SCAN_BYTES_MAX);
    }
    return status;
}

static void scan_begin(alv_scan *scan, alv_exchange *exchange, bool is_local, alv_scan_list list)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_error err = ALV_ERROR_NONE;
    scan_request *request = scan_request_new(scan, exchange, is_local, list);
    if (scan_read(request, &err) != ALV_OK) {
        alv_answer_set_problem(&answer, 400, "%s", err.text);
    } else if (atomic_fetch_add(&scan->count, 1) >= ALV_HTTP_SCANS_MAX) {
        atomic_fetch_sub(&scan->count, 1);
        alv_answer_set_problem(&answer, 429, "too many lists are under way");
    } else {
        alv_exchange_defer(exchange);
        if (!scan_post(scan, request, NULL)) {
            scan_refuse(request, "this node is stopping");
        }
        return;
    }
    scan_free_request(request);
    alv_exchange_answer(exchange, &answer);
}

void alv_scan_page_of(alv_scan *scan, alv_exchange *exchange, alv_scan_list list)
{
    scan_begin(scan, exchange, false, list);
}

void alv_scan_local(alv_scan *scan, alv_exchange *exchange, alv_scan_list list)
{
    scan_begin(scan, exchange, true, list);
}

/* ---- life ------------------------------------------------------------------------------------ */

alv_status alv_scan_start(const alv_scan_options *options, alv_scan **out, alv_error *err)
{
    alv_scan *scan = alv_alloc(sizeof *scan);
    scan->options = *options;
    scan->shard_count = alv_directory_shard_count(options->directory);
    scan->inbox = alv_inbox_new(ALV_HTTP_SCANS_MAX * (ALV_PEER_NODES_MAX + 1), alv_free);
    int code = pthread_create(&scan->thread, NULL, scan_run, scan);
    scan->started = code == 0;
    if (code != 0) {
        alv_scan_free(scan);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = scan;
    return ALV_OK;
}

void alv_scan_stop(alv_scan *scan)
{
    if (!scan->started) {
        return;
    }
    alv_inbox_close(scan->inbox);
    int failed = pthread_join(scan->thread, NULL);
    ALV_ASSERT(failed == 0);
    scan->started = false;
    scan_take_inbox(scan);
    while (scan->held != NULL) {
        scan_request *request = scan->held;
        scan->held = request->next;
        scan_refuse(request, "this node is stopping");
    }
}

void alv_scan_free(alv_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    alv_scan_stop(scan);
    alv_inbox_free(scan->inbox);
    alv_free(scan);
}
