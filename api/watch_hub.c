/* watch_hub.c — the thread, and the life of a watcher. */
#include "api/watch_hub.h"

#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/watch_event.h"
#include "api/watch_hub_internal.h"
#include "api/watch_id.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "topics/partitioner.h"

/* With nobody to watch, the thread only waits for its inbox. */
#define HUB_IDLE_MS 600000

/* What the thread sleeps at most while there are watchers: new ones wait for it. */
#define HUB_POLL_MS 20

/* How often heartbeats and clients that have gone are looked for. */
#define HUB_SWEEP_MS 1000

/* ---- watchers -------------------------------------------------------------------------------- */

static void watcher_free(alv_watch_hub *hub, alv_watcher *watcher)
{
    ALV_ASSERT(watcher->exchange == NULL && watcher->member.group == NULL);
    alv_http_stream_end(watcher->stream);
    alv_bytes_done(&watcher->text);
    alv_free(watcher->wanted);
    alv_free(watcher->places);
    alv_free(watcher);
    int before = atomic_fetch_sub(&hub->count, 1);
    ALV_ASSERT(before > 0);
}

void alv_watch_hub_refuse(alv_watch_hub *hub, alv_watcher *watcher, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_exchange *exchange = watcher->exchange;
    watcher->exchange = NULL;
    watcher_free(hub, watcher);
    alv_answer_set_problem(&answer, 503, "%s", why);
    alv_exchange_answer(exchange, &answer);
}

/* A joined one. */
static void hub_remove(alv_watch_hub *hub, alv_watcher *watcher)
{
    alv_watch_index_remove(hub->index, &watcher->member);
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        if (alv_watcher_has(watcher, shard)) {
            hub->shards[shard].watchers--;
            ALV_ASSERT(hub->shards[shard].watchers >= 0);
        }
    }
    hub->behind -= watcher->places != NULL;
    watcher_free(hub, watcher);
}

static void hub_remove_gone(alv_watch_hub *hub, bool all)
{
    alv_watcher **link = &hub->watchers;
    while (*link != NULL) {
        alv_watcher *watcher = *link;
        if (watcher->gone || all) {
            *link = watcher->next;
            hub_remove(hub, watcher);
        } else {
            link = &watcher->next;
        }
    }
    hub->any_gone = false;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* What is below was told, or is none of the watcher's. */
static int64_t hub_place_of(const alv_watch_hub *hub, const alv_watcher *watcher, int32_t shard)
{
    int64_t end = hub->ends[shard];
    if (watcher->places == NULL) {
        return end;
    }
    const watch_place *place = alv_watcher_place(watcher, shard);
    int64_t fed = place->catching ? hub->shards[shard].past_place : end;
    return place->next > fed ? place->next : fed;
}

/* Ids of those in step are of now; who is behind keeps the time of the id that it came with, because
 * what was deleted since then is not all told. */
void alv_watch_hub_append_id(alv_watch_hub *hub, const alv_watcher *watcher, alv_bytes *out)
{
    int64_t as_of_ms = watcher->places == NULL ? hub->wall_ms : watcher->as_of_ms;
    alv_watch_id id = {.changelog = hub->changelog,
                       .as_of_s = as_of_ms / 1000,
                       .shard_count = hub->options.shard_count,
                       .shard = watcher->shard,
                       .offsets = hub->scratch};
    if (watcher->shard >= 0) {
        hub->scratch[0] = hub_place_of(hub, watcher, watcher->shard);
    } else if (watcher->places == NULL) {
        id.offsets = hub->ends;
    } else {
        for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
            hub->scratch[shard] = hub_place_of(hub, watcher, shard);
        }
    }
    alv_bytes_append_text(out, "id: ");
    alv_watch_id_encode(&id, out);
    alv_bytes_append_text(out, "\n");
}

alv_http_block *alv_watch_hub_block(alv_watch_hub *hub, const alv_bytes *text)
{
    return alv_http_block_new(alv_bytes_view(text), &hub->bytes);
}

static void hub_lose(alv_watch_hub *hub, alv_watcher *watcher)
{
    atomic_fetch_add(&hub->cut_off, alv_http_stream_was_cut(watcher->stream));
    watcher->gone = true;
    hub->any_gone = true;
}

void alv_watch_hub_cut(alv_watch_hub *hub, alv_watcher *watcher)
{
    if (!watcher->gone) {
        alv_http_stream_cut(watcher->stream);
        hub_lose(hub, watcher);
    }
}

void alv_watch_hub_tell(alv_watch_hub *hub, alv_watcher *watcher, alv_http_block *block,
                        alv_http_block *next)
{
    bool crowded = atomic_load(&hub->bytes) > ALV_WATCH_BYTES_ALL_MAX;
    if (crowded && alv_http_stream_waiting(watcher->stream) > 0) {
        alv_watch_hub_cut(hub, watcher);
    }
    if (watcher->gone) {
        return;
    }
    watcher->told_at_ms = hub->now_ms;
    if (!alv_http_stream_share(watcher->stream, block) ||
        (next != NULL && !alv_http_stream_share(watcher->stream, next))) {
        hub_lose(hub, watcher);
    }
}

void alv_watch_hub_reset(alv_watch_hub *hub, alv_watcher *watcher, int32_t shard,
                         const char *reason)
{
    if (watcher->places != NULL) {
        *alv_watcher_place(watcher, shard) = (watch_place){.next = hub->ends[shard]};
    }
    atomic_fetch_add(&hub->resets, 1);
    alv_bytes_clear(&hub->text);
    alv_watch_event_reset(reason, &hub->text);
    alv_http_block *block = alv_watch_hub_block(hub, &hub->text);
    alv_watch_hub_tell(hub, watcher, block, NULL);
    alv_http_block_unref(block);
}

/* ---- looking around -------------------------------------------------------------------------- */

/* One block for all who are in step in all shards; `shared` is made at the first of them. */
static void hub_heartbeat(alv_watch_hub *hub, alv_watcher *watcher, alv_http_block **shared)
{
    bool shares = watcher->places == NULL && watcher->shard < 0;
    alv_http_block *block = shares ? *shared : NULL;
    if (block == NULL) {
        alv_bytes_clear(&hub->text);
        alv_watch_event_comment("alive", &hub->text);
        alv_watch_hub_append_id(hub, watcher, &hub->text);
        alv_bytes_append_text(&hub->text, "\n");
        block = alv_watch_hub_block(hub, &hub->text);
    }
    alv_watch_hub_tell(hub, watcher, block, NULL);
    if (shares) {
        *shared = block;
    } else {
        alv_http_block_unref(block);
    }
}

static void hub_sweep(alv_watch_hub *hub)
{
    alv_http_block *shared = NULL;
    if (hub->now_ms - hub->swept_at_ms < HUB_SWEEP_MS) {
        return;
    }
    hub->swept_at_ms = hub->now_ms;
    for (alv_watcher *watcher = hub->watchers; watcher != NULL; watcher = watcher->next) {
        if (!alv_http_stream_listening(watcher->stream)) {
            hub_lose(hub, watcher);
        } else if (hub->now_ms - watcher->told_at_ms >= ALV_WATCH_HEARTBEAT_MS) {
            hub_heartbeat(hub, watcher, &shared);
        }
    }
    alv_http_block_unref(shared);
}

static bool hub_has_catching(const alv_watch_hub *hub, int32_t shard)
{
    for (const alv_watcher *it = hub->watchers; it != NULL; it = it->next) {
        if (it->places != NULL && alv_watcher_has(it, shard) &&
            alv_watcher_place(it, shard)->catching) {
            return true;
        }
    }
    return false;
}

/* Lets go of what nobody watches any more, or catches up with. */
static void hub_drop_shards(alv_watch_hub *hub)
{
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        watch_shard *it = &hub->shards[shard];
        if (it->past && !hub_has_catching(hub, shard)) {
            alv_watch_hub_end_past(hub, shard);
        }
        if (it->live && it->watchers == 0) {
            hub->live.reader->ops->unassign(hub->live.reader, ALV_TOPIC_CHANGELOG, shard);
            *it = (watch_shard){.live = false};
        }
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void hub_take_inbox(alv_watch_hub *hub)
{
    alv_watcher *watcher;
    while ((watcher = alv_inbox_take(hub->inbox)) != NULL) {
        watcher->next = hub->joining;
        hub->joining = watcher;
    }
}

/* Nobody watches: sleeps until somebody does, and closes the readers after a while. */
static void hub_idle(alv_watch_hub *hub)
{
    if (hub->live.reader == NULL) {
        (void)alv_inbox_wait(hub->inbox, HUB_IDLE_MS);
        return;
    }
    if (hub->idle_since_ms == 0) {
        hub->idle_since_ms = hub->now_ms;
    }
    hub_drop_shards(hub);
    int64_t left_ms = hub->idle_since_ms + ALV_WATCH_LINGER_MS - hub->now_ms;
    if (left_ms > 0) {
        (void)alv_inbox_wait(hub->inbox, (int)left_ms);
        return;
    }
    alv_watch_feed_close(&hub->live);
    alv_watch_feed_close(&hub->past);
}

/*  1. take who comes   2. bring them to their places   3. read and tell
 *  4. heartbeats       5. remove who has gone, and what only they watched */
static void hub_turn(alv_watch_hub *hub)
{
    hub->now_ms = alv_monotonic_us(hub->options.clock) / 1000;
    hub->wall_ms = alv_now_ms(hub->options.clock);
    hub_take_inbox(hub);
    if (hub->joining != NULL) {
        alv_watch_hub_join(hub);
    }
    if (hub->watchers == NULL) {
        if (hub->joining == NULL) {
            hub_idle(hub);
        } else {
            (void)alv_inbox_wait(hub->inbox, HUB_POLL_MS);
        }
        return;
    }
    hub->idle_since_ms = 0;
    alv_watch_hub_feed(hub, HUB_POLL_MS);
    hub_sweep(hub);
    if (hub->any_gone) {
        hub_remove_gone(hub, false);
        hub_drop_shards(hub);
    }
}

static void *hub_run(void *payload)
{
    alv_watch_hub *hub = payload;
    alv_log_set_thread("watch");
    while (!alv_inbox_is_closed(hub->inbox)) {
        hub_turn(hub);
    }
    hub_take_inbox(hub);
    while (hub->joining != NULL) {
        alv_watcher *watcher = hub->joining;
        hub->joining = watcher->next;
        alv_watch_hub_refuse(hub, watcher, "this node is stopping");
    }
    hub_remove_gone(hub, true);
    alv_watch_feed_close(&hub->live);
    alv_watch_feed_close(&hub->past);
    return NULL;
}

/* ---- from other threads ---------------------------------------------------------------------- */

alv_status alv_watch_hub_start(const alv_watch_hub_options *options, alv_watch_hub **out,
                               alv_error *err)
{
    alv_watch_hub *hub = alv_alloc(sizeof *hub);
    size_t count = (size_t)options->shard_count;
    hub->options = *options;
    hub->inbox = alv_inbox_new(ALV_WATCHERS_MAX, NULL);
    hub->shards = alv_alloc_array(count, sizeof *hub->shards);
    hub->ends = alv_alloc_array(count, sizeof *hub->ends);
    hub->scratch = alv_alloc_array(count, sizeof *hub->scratch);
    hub->index = alv_watch_index_new();
    int code = pthread_create(&hub->thread, NULL, hub_run, hub);
    hub->started = code == 0;
    if (code != 0) {
        alv_watch_hub_free(hub);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = hub;
    return ALV_OK;
}

void alv_watch_hub_open(alv_watch_hub *hub, alv_log_port *log, const char *topic_id)
{
    hub->changelog = alv_watch_id_changelog(topic_id);
    atomic_store(&hub->log, log); /* orders the line above before every use */
}

static void serve_refuse(alv_exchange *exchange, int status, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, status, "%s", why);
    alv_exchange_answer(exchange, &answer);
}

static alv_watcher *serve_make(const alv_watch_hub *hub, const alv_watch_request *request)
{
    alv_watcher *watcher = alv_alloc(sizeof *watcher);
    watcher->kind = request->kind;
    alv_bytes_set(&watcher->text, request->text.data, request->text.size);
    watcher->shard = request->kind == ALV_WATCH_KEY
                         ? alv_partitioner_shard(request->text, hub->options.shard_count)
                         : -1;
    return watcher;
}

static alv_status serve_read_id(const alv_watch_hub *hub, alv_view text, alv_watcher *watcher,
                                alv_error *err)
{
    if (text.data == NULL) {
        return ALV_OK;
    }
    alv_watch_id wanted = {.changelog = hub->changelog,
                           .shard_count = hub->options.shard_count,
                           .shard = watcher->shard};
    size_t count = watcher->shard < 0 ? (size_t)hub->options.shard_count : 1;
    int64_t as_of_s = 0;
    watcher->wanted = alv_alloc_array(count, sizeof *watcher->wanted);
    alv_status status = alv_watch_id_decode(text, &wanted, watcher->wanted, &as_of_s, err);
    watcher->as_of_ms = as_of_s < INT64_MAX / 1000 ? as_of_s * 1000 : 0;
    return status;
}

/* Why nobody can watch here at the moment; NULL = somebody can. */
static const char *serve_refusal(const alv_watch_hub *hub)
{
    if (atomic_load(&hub->log) == NULL) {
        return "this node is starting";
    }
    if (atomic_load(&hub->count) >= ALV_WATCHERS_MAX) {
        return "this node has as many watchers as it takes; any other node serves the same";
    }
    return NULL;
}

/* Deferred before the hub can see it. Only this thread adds to the count, so it cannot pass the
 * limit between the question and the addition. */
void alv_watch_hub_serve(alv_watch_hub *hub, alv_exchange *exchange,
                         const alv_watch_request *request)
{
    alv_error err = ALV_ERROR_NONE;
    const char *refusal = serve_refusal(hub);
    if (refusal != NULL) {
        serve_refuse(exchange, 503, refusal);
        return;
    }
    if (request->kind != ALV_WATCH_KEY && hub->options.shard_count > ALV_WATCH_SHARDS_MAX) {
        serve_refuse(exchange, 400, "with so many shards, only single keys can be watched");
        return;
    }
    alv_watcher *watcher = serve_make(hub, request);
    atomic_fetch_add(&hub->count, 1);
    if (serve_read_id(hub, request->id, watcher, &err) != ALV_OK) {
        serve_refuse(exchange, 400, err.text);
        watcher_free(hub, watcher);
        return;
    }
    watcher->exchange = exchange;
    watcher->join_until_ms = alv_monotonic_us(hub->options.clock) / 1000 + ALV_WATCH_JOIN_MS;
    alv_exchange_defer(exchange);
    if (!alv_inbox_try_post(hub->inbox, watcher)) { /* has room for all; so it is closed */
        alv_watch_hub_refuse(hub, watcher, "this node is stopping");
    }
}

alv_watch_stats alv_watch_hub_stats(const alv_watch_hub *hub)
{
    return (alv_watch_stats){.watchers = atomic_load(&hub->count),
                             .changes = atomic_load(&hub->changes),
                             .events = atomic_load(&hub->events),
                             .cut_off = atomic_load(&hub->cut_off),
                             .resets = atomic_load(&hub->resets),
                             .bytes = (int64_t)atomic_load(&hub->bytes)};
}

void alv_watch_hub_stop(alv_watch_hub *hub)
{
    if (!hub->started) {
        return;
    }
    alv_inbox_close(hub->inbox);
    int failed = pthread_join(hub->thread, NULL);
    ALV_ASSERT(failed == 0);
    hub->started = false;
}

void alv_watch_hub_free(alv_watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    alv_watch_hub_stop(hub);
    ALV_ASSERT(atomic_load(&hub->bytes) == 0); /* streams went with the server */
    alv_inbox_free(hub->inbox);
    alv_watch_index_free(hub->index);
    alv_bytes_done(&hub->data);
    alv_bytes_done(&hub->text);
    alv_free(hub->shards);
    alv_free(hub->ends);
    alv_free(hub->scratch);
    alv_free(hub);
}
