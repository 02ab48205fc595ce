/* watch_hub_feed.c — reads the changelog and tells who watches. */
#include <stdio.h>

#include "api/http_limits.h"
#include "api/watch_event.h"
#include "api/watch_hub_internal.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"

/* While somebody catches up, the two readers take turns that are not longer than this. */
#define FEED_PAST_POLL_MS 2

/* ---- readers --------------------------------------------------------------------------------- */

alv_status alv_watch_feed_open(alv_watch_hub *hub, watch_feed *feed, const char *name,
                               size_t records_max, alv_error *err)
{
    if (feed->reader != NULL) {
        return ALV_OK;
    }
    alv_log_port *log = atomic_load(&hub->log);
    alv_status status = log->ops->open_reader(log, name, &feed->reader, err);
    if (status == ALV_OK) {
        alv_batch_init(&feed->batch, records_max);
    }
    return status;
}

void alv_watch_feed_close(watch_feed *feed)
{
    if (feed->reader == NULL) {
        return;
    }
    alv_batch_done(&feed->batch);
    feed->told = 0;
    feed->reader->ops->close(feed->reader);
    feed->reader = NULL;
}

/* ---- telling of one record ------------------------------------------------------------------- */

/* What those who are told of a record share. Made when the first of them is found. */
typedef struct feed_telling {
    alv_watch_hub *hub;
    const alv_record *record;
    bool past;            /* it comes from the past reader */
    bool written;         /* hub->data holds its data line */
    bool full;            /* one that catches up has enough to read now */
    alv_http_block *all;  /* whole, with the id of all shards in step; NULL = not made yet */
    alv_http_block *one;  /* whole, with the id of this shard in step */
    alv_http_block *data; /* the data line alone */
    int64_t events;
} feed_telling;

static bool feed_wants(const feed_telling *telling, const alv_watcher *watcher)
{
    if (watcher->gone) {
        return false;
    }
    if (watcher->places == NULL) {
        return !telling->past;
    }
    const watch_place *place = alv_watcher_place(watcher, telling->record->shard);
    return place->catching == telling->past && telling->record->offset >= place->next;
}

static void feed_write_data(feed_telling *telling)
{
    alv_watch_hub *hub = telling->hub;
    if (telling->written) {
        return;
    }
    alv_bytes_clear(&hub->data);
    alv_watch_event_change(telling->record,
                           alv_registry_type(hub->options.registry, telling->record->key),
                           &hub->data);
    telling->written = true;
}

static alv_http_block *feed_make_block(feed_telling *telling, const alv_watcher *watcher)
{
    alv_watch_hub *hub = telling->hub;
    feed_write_data(telling);
    alv_bytes_set(&hub->text, hub->data.data, hub->data.size);
    alv_watch_hub_append_id(hub, watcher, &hub->text);
    alv_bytes_append_text(&hub->text, "\n");
    return alv_watch_hub_block(hub, &hub->text);
}

/* Those behind have ids of their own, but share what is large. */
static void feed_tell_behind(feed_telling *telling, alv_watcher *watcher)
{
    alv_watch_hub *hub = telling->hub;
    feed_write_data(telling);
    if (telling->data == NULL) {
        telling->data = alv_watch_hub_block(hub, &hub->data);
    }
    alv_bytes_clear(&hub->text);
    alv_watch_hub_append_id(hub, watcher, &hub->text);
    alv_bytes_append_text(&hub->text, "\n");
    alv_http_block *id = alv_watch_hub_block(hub, &hub->text);
    alv_watch_hub_tell(hub, watcher, telling->data, id);
    alv_http_block_unref(id);
    telling->full = telling->full || atomic_load(&hub->bytes) > ALV_WATCH_BYTES_ALL_MAX / 2 ||
                    alv_http_stream_waiting(watcher->stream) >= ALV_WATCH_CATCH_UP_BYTES;
}

/* Those in step have the same id. */
static void feed_visit(void *payload, alv_watch_member *member)
{
    feed_telling *telling = payload;
    alv_watcher *watcher = (alv_watcher *)member;
    if (!feed_wants(telling, watcher)) {
        return;
    }
    telling->events++;
    if (watcher->places != NULL) {
        feed_tell_behind(telling, watcher);
        return;
    }
    alv_http_block **shared = watcher->shard < 0 ? &telling->all : &telling->one;
    if (*shared == NULL) {
        *shared = feed_make_block(telling, watcher);
    }
    alv_watch_hub_tell(telling->hub, watcher, *shared, NULL);
}

/* The reader's place is moved first, so that the ids say that this record has been told. True when
 * one that catches up has enough to read. */
static bool feed_tell(alv_watch_hub *hub, const alv_record *record, bool past)
{
    watch_shard *shard = &hub->shards[record->shard];
    feed_telling telling = {.hub = hub, .record = record, .past = past};
    if (past) {
        shard->past_place = record->offset + 1;
    } else {
        hub->ends[record->shard] = record->offset + 1;
        shard->last = record->offset + 1;
    }
    if (record->key.size == 0) {
        return false; /* no entity has such a key */
    }
    alv_watch_index_match(hub->index, record->key, feed_visit, &telling);
    alv_http_block_unref(telling.all);
    alv_http_block_unref(telling.one);
    alv_http_block_unref(telling.data);
    if (telling.events > 0) {
        atomic_fetch_add(&hub->changes, 1);
        atomic_fetch_add(&hub->events, telling.events);
    }
    return telling.full;
}

/* ---- a place that is gone -------------------------------------------------------------------- */

/* The first shard of the reader whose place is not in the log any more; -1 when Kafka does not say. */
static int32_t feed_find_lost(const alv_watch_hub *hub, const watch_feed *feed, bool past)
{
    alv_reader *reader = feed->reader;
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        int64_t start = 0;
        int64_t end = 0;
        if (!(past ? hub->shards[shard].past : hub->shards[shard].live)) {
            continue;
        }
        int64_t at = reader->ops->position(reader, ALV_TOPIC_CHANGELOG, shard);
        if (reader->ops->range(reader, ALV_TOPIC_CHANGELOG, shard, &start, &end, NULL) == ALV_OK &&
            (at < start || at > end)) {
            return shard;
        }
    }
    return -1;
}

void alv_watch_hub_end_past(alv_watch_hub *hub, int32_t shard)
{
    if (hub->past.reader != NULL) { /* it could not be opened yet */
        hub->past.reader->ops->unassign(hub->past.reader, ALV_TOPIC_CHANGELOG, shard);
    }
    hub->shards[shard].past = false;
    hub->shards[shard].past_moved = false;
    hub->past_count--;
}

/* Somebody has cut the changelog off under its readers: its watchers must read the state anew. */
static void feed_lost(alv_watch_hub *hub, watch_feed *feed, bool past, const alv_error *err)
{
    int32_t shard = feed_find_lost(hub, feed, past);
    char why[128];
    if (shard < 0) {
        return;
    }
    alv_log_error(ALV_LOG_WARN, "watch-lost-place", err, "shard=%d", (int)shard);
    (void)snprintf(why, sizeof why, "shard %d no longer has the changes from here on", (int)shard);
    if (past) {
        alv_watch_hub_end_past(hub, shard);
    } else {
        alv_shard_offset end = {.shard = shard};
        alv_reader *reader = feed->reader;
        if (reader->ops->ends(reader, ALV_TOPIC_CHANGELOG, &end, 1, ALV_WATCH_JOIN_MS, NULL) !=
                ALV_OK ||
            reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, shard, end.offset, NULL) != ALV_OK) {
            return; /* reported again at the next poll */
        }
        hub->ends[shard] = end.offset;
        hub->shards[shard].last = end.offset;
    }
    for (alv_watcher *watcher = hub->watchers; watcher != NULL; watcher = watcher->next) {
        bool concerned = alv_watcher_has(watcher, shard);
        if (concerned && past) {
            concerned = watcher->places != NULL && alv_watcher_place(watcher, shard)->catching;
        }
        if (concerned) {
            alv_watch_hub_reset(hub, watcher, shard, why);
        }
    }
}

/* ---- polls ----------------------------------------------------------------------------------- */

/* Brokers that are away are the reader's business: it goes on when they are back. */
static bool feed_poll(alv_watch_hub *hub, watch_feed *feed, bool past, int timeout_ms)
{
    ALV_ASSERT(feed->told == feed->batch.count);
    alv_error err = ALV_ERROR_NONE;
    alv_status status = feed->reader->ops->poll(feed->reader, timeout_ms, &feed->batch, &err);
    hub->now_ms = alv_monotonic_us(hub->options.clock) / 1000;
    hub->wall_ms = alv_now_ms(hub->options.clock);
    if (status == ALV_REJECT) {
        feed_lost(hub, feed, past, &err);
    } else if (status == ALV_FATAL) {
        alv_log_error(ALV_LOG_ERROR, "watch-reader", &err, "msg=\"reading goes on\"");
    }
    feed->told = 0;
    return status == ALV_OK;
}

static void feed_done(watch_feed *feed)
{
    alv_batch_clear(&feed->batch);
    feed->told = 0;
}

static void feed_poll_live(alv_watch_hub *hub, int timeout_ms)
{
    alv_reader *reader = hub->live.reader;
    bool read = feed_poll(hub, &hub->live, false, timeout_ms);
    for (size_t i = 0; i < hub->live.batch.count; i++) {
        (void)feed_tell(hub, &hub->live.batch.records[i], false); /* who is full is cut off */
    }
    feed_done(&hub->live);
    if (!read) {
        return;
    }
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        if (hub->shards[shard].live) {
            int64_t at = reader->ops->position(reader, ALV_TOPIC_CHANGELOG, shard);
            ALV_ASSERT(at >= hub->ends[shard]);
            hub->ends[shard] = at;
        }
    }
}

/* ---- those behind ---------------------------------------------------------------------------- */

/* Whoever caught up in this shard has been told everything up to the further of the two readers, so
 * the live one can take over: nothing lies between its last record and its place. */
static void feed_hand_over(alv_watch_hub *hub, int32_t shard)
{
    int64_t told = hub->shards[shard].past_place;
    told = told > hub->ends[shard] ? told : hub->ends[shard];
    alv_watch_hub_end_past(hub, shard);
    for (alv_watcher *watcher = hub->watchers; watcher != NULL; watcher = watcher->next) {
        if (watcher->places == NULL || !alv_watcher_has(watcher, shard)) {
            continue;
        }
        watch_place *place = alv_watcher_place(watcher, shard);
        if (place->catching) {
            place->catching = false;
            place->next = place->next > told ? place->next : told;
        }
    }
}

/* In step: fed by the live reader everywhere, and not ahead of it. */
static bool feed_is_in_step(const alv_watch_hub *hub, const alv_watcher *watcher)
{
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        if (!alv_watcher_has(watcher, shard)) {
            continue;
        }
        const watch_place *place = alv_watcher_place(watcher, shard);
        if (place->catching || place->next > hub->ends[shard]) {
            return false;
        }
    }
    return true;
}

static void feed_bring_in_step(alv_watch_hub *hub)
{
    alv_watcher *watcher = hub->behind > 0 ? hub->watchers : NULL;
    for (; watcher != NULL; watcher = watcher->next) {
        if (watcher->places != NULL && feed_is_in_step(hub, watcher)) {
            alv_free(watcher->places);
            watcher->places = NULL;
            hub->behind--;
        }
    }
}

static bool feed_catches_up(const alv_watch_hub *hub, const alv_watcher *watcher)
{
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        if (alv_watcher_has(watcher, shard) && alv_watcher_place(watcher, shard)->catching) {
            return true;
        }
    }
    return false;
}

/* Whether much waits for all of them, or somebody who catches up has enough to read already: the past
 * reader waits for it, but not
 * for long, because others wait as well. */
static bool feed_past_is_full(alv_watch_hub *hub)
{
    bool full = atomic_load(&hub->bytes) > ALV_WATCH_BYTES_ALL_MAX / 2;
    size_t enough = full ? 1 : ALV_WATCH_CATCH_UP_BYTES;
    for (alv_watcher *watcher = hub->watchers; watcher != NULL; watcher = watcher->next) {
        if (watcher->gone || watcher->places == NULL || !feed_catches_up(hub, watcher)) {
            continue;
        }
        if (alv_http_stream_waiting(watcher->stream) < enough) {
            watcher->stuck_since_ms = 0;
            continue;
        }
        full = true;
        if (watcher->stuck_since_ms == 0) {
            watcher->stuck_since_ms = hub->now_ms;
        } else if (hub->now_ms - watcher->stuck_since_ms > ALV_WATCH_STUCK_MS) {
            alv_watch_hub_cut(hub, watcher);
        }
    }
    return full;
}

/* Puts the reader where joins and losses have moved it. False: not yet. */
static bool feed_move_past(alv_watch_hub *hub)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        alv_watch_feed_open(hub, &hub->past, "watch-past", ALV_WATCH_CATCH_UP_RECORDS_MAX, &err);
    for (int32_t shard = 0; shard < hub->options.shard_count && status == ALV_OK; shard++) {
        watch_shard *it = &hub->shards[shard];
        if (it->past_moved) {
            alv_reader *reader = hub->past.reader;
            status = reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, shard, it->past_place, &err);
            it->past_moved = status != ALV_OK;
        }
    }
    if (status != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "watch-past", &err, "msg=\"those behind wait\"");
    }
    return status == ALV_OK;
}

/* Tells what is left of the batch, or less: until one has enough to read. Records of a shard that
 * was moved since they were read will be read again from there. */
static void feed_tell_past(alv_watch_hub *hub)
{
    watch_feed *feed = &hub->past;
    bool full = false;
    while (!full && feed->told < feed->batch.count) {
        const alv_record *record = &feed->batch.records[feed->told++];
        const watch_shard *it = &hub->shards[record->shard];
        full = it->past && !it->past_moved && feed_tell(hub, record, true);
    }
}

/* Takes the places behind the last batch, control records included. */
static void feed_finish_past(alv_watch_hub *hub)
{
    alv_reader *reader = hub->past.reader;
    feed_done(&hub->past);
    for (int32_t shard = 0; shard < hub->options.shard_count; shard++) {
        watch_shard *it = &hub->shards[shard];
        if (!it->past || it->past_moved) {
            continue;
        }
        it->past_place = reader->ops->position(reader, ALV_TOPIC_CHANGELOG, shard);
        if (it->past_place >= it->last) {
            feed_hand_over(hub, shard);
        }
    }
}

static void feed_poll_past(alv_watch_hub *hub)
{
    if (feed_past_is_full(hub)) {
        return;
    }
    if (hub->past.told == hub->past.batch.count &&
        (!feed_move_past(hub) || !feed_poll(hub, &hub->past, true, FEED_PAST_POLL_MS))) {
        return;
    }
    feed_tell_past(hub);
    if (hub->past.told == hub->past.batch.count) {
        feed_finish_past(hub);
    }
}

void alv_watch_hub_feed(alv_watch_hub *hub, int timeout_ms)
{
    bool past = hub->past_count > 0;
    feed_poll_live(hub, past ? FEED_PAST_POLL_MS : timeout_ms);
    if (past) {
        feed_poll_past(hub);
    }
    feed_bring_in_step(hub);
}
