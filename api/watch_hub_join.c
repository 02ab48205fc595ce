/* watch_hub_join.c — a new watcher's way to its place. */
#include <stdio.h>

#include "api/http_limits.h"
#include "api/watch_event.h"
#include "api/watch_hub_internal.h"
#include "base/alloc.h"
#include "base/assert.h"

/* One question to Kafka; the others wait meanwhile. */
#define JOIN_ASK_MS 1000

/* Between two questions that were not answered. */
#define JOIN_AGAIN_MS 200

static int64_t join_wanted(const alv_watcher *watcher, int32_t shard)
{
    return watcher->wanted[watcher->shard < 0 ? shard : 0];
}

/* ---- where the shards end -------------------------------------------------------------------- */

/* The end of a shard that is read is known here; but an id may be from a node that is ahead of us,
 * and then only Kafka can say that such an offset exists. */
static bool join_needs_end(const alv_watch_hub *hub, int32_t shard)
{
    for (const alv_watcher *it = hub->joining; it != NULL; it = it->next) {
        if (!alv_watcher_has(it, shard)) {
            continue;
        }
        if (!hub->shards[shard].live ||
            (it->wanted != NULL && join_wanted(it, shard) > hub->ends[shard])) {
            return true;
        }
    }
    return false;
}

/* Fills `out`, by shard; for those that need no question with the live reader's place. */
static alv_status join_ask_ends(alv_watch_hub *hub, int64_t *out, alv_error *err)
{
    int32_t shard_count = hub->options.shard_count;
    alv_shard_offset *items = alv_alloc_array((size_t)shard_count, sizeof *items);
    size_t count = 0;
    alv_status status = ALV_OK;
    for (int32_t shard = 0; shard < shard_count; shard++) {
        out[shard] = hub->ends[shard];
        if (join_needs_end(hub, shard)) {
            items[count++].shard = shard;
        }
    }
    if (count > 0) {
        alv_reader *reader = hub->live.reader;
        status = reader->ops->ends(reader, ALV_TOPIC_CHANGELOG, items, count, JOIN_ASK_MS, err);
    }
    for (size_t i = 0; i < count && status == ALV_OK; i++) {
        out[items[i].shard] = items[i].offset;
    }
    alv_free(items);
    return status;
}

/* ---- one watcher ----------------------------------------------------------------------------- */

/* Begins to follow what was not followed. What is committed from `end` on will be told. */
static alv_status join_start_live(alv_watch_hub *hub, int32_t shard, int64_t end, alv_error *err)
{
    watch_shard *it = &hub->shards[shard];
    if (it->live) {
        return ALV_OK;
    }
    alv_reader *reader = hub->live.reader;
    alv_status status = reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, shard, end, err);
    if (status == ALV_OK) {
        *it = (watch_shard){.live = true, .last = end};
        hub->ends[shard] = end;
    }
    return status;
}

/* Sets the past reader back to `from` if it is ahead of it; the feed carries it out. Who catches up here already must not be
 * told again what it has had. */
static void join_start_past(alv_watch_hub *hub, int32_t shard, int64_t from)
{
    watch_shard *it = &hub->shards[shard];
    if (it->past && it->past_place <= from) {
        return;
    }
    for (alv_watcher *other = hub->watchers; it->past && other != NULL; other = other->next) {
        if (other->places == NULL || !alv_watcher_has(other, shard)) {
            continue;
        }
        watch_place *place = alv_watcher_place(other, shard);
        if (place->catching && place->next < it->past_place) {
            place->next = it->past_place;
        }
    }
    hub->past_count += !it->past;
    it->past = true;
    it->past_place = from;
    it->past_moved = true;
}

/* Whether something between the watcher's id and now can be missing; then `why` says it. An id that
 * is beyond the end is of a log that has lost its tail. */
static bool join_is_lost(const alv_watch_hub *hub, const alv_watcher *watcher, const int64_t *ends,
                         char *why, size_t size)
{
    bool old = false;
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        if (!alv_watcher_has(watcher, shard)) {
            continue;
        }
        if (join_wanted(watcher, shard) > ends[shard]) {
            (void)snprintf(why, size, "shard %d has lost what the event id stands for", (int)shard);
            return true;
        }
        old = old || join_wanted(watcher, shard) < hub->ends[shard];
    }
    int64_t age_ms = hub->wall_ms - watcher->as_of_ms;
    if (!old || age_ms <= hub->options.tombstone_retention_ms) {
        return false;
    }
    (void)snprintf(why, size,
                   "the event id is %lld s old, and deletions are certain to be known for %lld s "
                   "only: read the state of what you watch again; from here on nothing is missing",
                   (long long)age_ms / 1000, (long long)hub->options.tombstone_retention_ms / 1000);
    return true;
}

/* Gives it its places from its id; those of one that is up to date are not kept. */
static void join_place(alv_watch_hub *hub, alv_watcher *watcher)
{
    bool behind = false;
    size_t count = watcher->shard < 0 ? (size_t)hub->options.shard_count : 1;
    watcher->places = alv_alloc_array(count, sizeof *watcher->places);
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        if (!alv_watcher_has(watcher, shard)) {
            continue;
        }
        int64_t next = join_wanted(watcher, shard);
        bool catching = next < hub->ends[shard];
        if (catching) {
            join_start_past(hub, shard, next);
        }
        *alv_watcher_place(watcher, shard) = (watch_place){.next = next, .catching = catching};
        behind = behind || next != hub->ends[shard];
    }
    if (behind) {
        hub->behind++;
    } else {
        alv_free(watcher->places);
        watcher->places = NULL;
    }
}

/* What stands before the first event, so that also who hears of none can resume. */
static void join_greet(alv_watch_hub *hub, alv_watcher *watcher)
{
    static const char *const kinds[] = {"key", "prefix", "pattern"};
    char *comment = alv_format("watching %s %.*s", kinds[watcher->kind], (int)watcher->text.size,
                               watcher->text.size > 0 ? watcher->text.data : "");
    alv_bytes_clear(&hub->text);
    alv_bytes_printf(&hub->text, "retry: %d\n", ALV_WATCH_RETRY_MS);
    alv_watch_event_comment(comment, &hub->text);
    alv_watch_hub_append_id(hub, watcher, &hub->text);
    alv_bytes_append_text(&hub->text, "\n");
    alv_http_block *block = alv_watch_hub_block(hub, &hub->text);
    alv_watch_hub_tell(hub, watcher, block, NULL);
    alv_http_block_unref(block);
    alv_free(comment);
}

/* From here on it is told everything; its client hears of that last. */
static void join_enter(alv_watch_hub *hub, alv_watcher *watcher, const int64_t *ends)
{
    char why[256] = "";
    bool lost = watcher->wanted != NULL && join_is_lost(hub, watcher, ends, why, sizeof why);
    if (watcher->wanted != NULL && !lost) {
        join_place(hub, watcher);
    }
    alv_free(watcher->wanted);
    watcher->wanted = NULL;
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        hub->shards[shard].watchers += alv_watcher_has(watcher, shard);
    }
    alv_watch_index_add(hub->index, watcher->kind, alv_bytes_view(&watcher->text),
                        &watcher->member);
    watcher->next = hub->watchers;
    hub->watchers = watcher;
    watcher->stream = alv_http_stream_new(ALV_WATCH_BYTES_MAX);
    join_greet(hub, watcher);
    if (lost) {
        alv_watch_hub_reset(hub, watcher, -1, why);
    }
    alv_exchange *exchange = watcher->exchange;
    watcher->exchange = NULL;
    alv_http_stream_attach(watcher->stream, exchange, ALV_HTTP_STREAM_EVENTS);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void join_refuse_all(alv_watch_hub *hub, bool late_only, const char *why)
{
    alv_watcher **link = &hub->joining;
    while (*link != NULL) {
        alv_watcher *watcher = *link;
        if (!late_only || hub->now_ms >= watcher->join_until_ms) {
            *link = watcher->next;
            alv_watch_hub_refuse(hub, watcher, why);
        } else {
            link = &watcher->next;
        }
    }
}

/* Followed first, for all: a place is behind or not compared with where the live reader is. */
static alv_status join_follow(alv_watch_hub *hub, const int64_t *ends, alv_error *err)
{
    alv_status status = ALV_OK;
    for (int32_t shard = 0; shard < hub->options.shard_count && status == ALV_OK; shard++) {
        if (!hub->shards[shard].live && join_needs_end(hub, shard)) {
            status = join_start_live(hub, shard, ends[shard], err);
        }
    }
    return status;
}

static alv_status join_prepare(alv_watch_hub *hub, int64_t *ends, alv_error *err)
{
    alv_status status = alv_watch_feed_open(hub, &hub->live, "watch", ALV_WATCH_RECORDS_MAX, err);
    if (status == ALV_OK) {
        status = join_ask_ends(hub, ends, err);
    }
    return status == ALV_OK ? join_follow(hub, ends, err) : status;
}

void alv_watch_hub_join(alv_watch_hub *hub)
{
    if (hub->now_ms < hub->join_again_ms) {
        return;
    }
    alv_error err = ALV_ERROR_NONE;
    int64_t *ends = alv_alloc_array((size_t)hub->options.shard_count, sizeof *ends);
    if (join_prepare(hub, ends, &err) != ALV_OK) {
        char why[640];
        (void)snprintf(why, sizeof why, "Kafka does not say where the changelog ends: %s",
                       err.text);
        hub->now_ms = alv_monotonic_us(hub->options.clock) / 1000; /* that took a while */
        hub->join_again_ms = hub->now_ms + JOIN_AGAIN_MS;
        join_refuse_all(hub, true, why);
        alv_free(ends);
        return;
    }
    while (hub->joining != NULL) {
        alv_watcher *watcher = hub->joining;
        hub->joining = watcher->next;
        join_enter(hub, watcher, ends);
    }
    alv_free(ends);
}
