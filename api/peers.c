#include "api/peers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"
#include "base/address.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/inbox.h"
#include "base/logger.h"
#include "base/utf8.h"

#define PEERS_NOBODY (-1)

/* Never changed once it is in place; replaced whole. */
typedef struct peers_picture {
    alv_peer *lanes;
    size_t lane_count;
    int32_t *owners; /* of each shard: index into `lanes`, or PEERS_NOBODY */
} peers_picture;

/* A node with an address, as it was heard of last. */
typedef struct peers_node {
    char node_id[256];
    char address[ALV_PEER_ADDRESS_BYTES];
    int64_t seen_ms;
} peers_node;

struct alv_peers {
    alv_peers_options options;
    pthread_t thread;
    bool started; /* and not yet joined; main only */
    atomic_bool stopping;
    _Atomic int64_t answered_ms; /* monotonic; -1 = not yet */
    alv_inbox *wishes;           /* capacity 1: ten wishes are one question */
    alv_backoff backoff;
    pthread_mutex_t lock; /* leaf; guards what follows */
    peers_picture *picture;
    peers_node nodes[ALV_PEER_NODES_MAX];
    size_t node_count;
    char **silent; /* node ids */
    size_t silent_count;
};

/* What the inbox of wishes carries. */
static char peers_wish;

static void peers_lock(alv_peers *peers)
{
    int failed = pthread_mutex_lock(&peers->lock);
    ALV_ASSERT(failed == 0);
}

static void peers_unlock(alv_peers *peers)
{
    int failed = pthread_mutex_unlock(&peers->lock);
    ALV_ASSERT(failed == 0);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static peers_picture *picture_new(size_t lane_count, int32_t shard_count)
{
    peers_picture *picture = alv_alloc(sizeof *picture);
    picture->lanes = alv_alloc_array(lane_count, sizeof *picture->lanes);
    picture->lane_count = lane_count;
    picture->owners = alv_alloc_array((size_t)shard_count, sizeof *picture->owners);
    for (int32_t shard = 0; shard < shard_count; shard++) {
        picture->owners[shard] = PEERS_NOBODY;
    }
    return picture;
}

static void picture_free(peers_picture *picture)
{
    if (picture == NULL) {
        return;
    }
    alv_free(picture->lanes);
    alv_free(picture->owners);
    alv_free(picture);
}

/* The address becomes part of a URL and was written by whoever joined the group, so it is taken
 * only when it is a plain host:port. */
static void picture_set_lane(alv_peer *lane, const alv_member *member)
{
    alv_address ignored;
    bool usable = alv_address_parse(member->address, &ignored);
    (void)snprintf(lane->node_id, sizeof lane->node_id, "%s", member->node_id);
    alv_utf8_repair(lane->node_id); /* it ends up in JSON */
    (void)snprintf(lane->address, sizeof lane->address, "%s", usable ? member->address : "");
    lane->lane = member->lane;
}

static peers_picture *picture_of(const alv_members *members, int32_t shard_count)
{
    peers_picture *picture = picture_new(members->count, shard_count);
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        picture_set_lane(&picture->lanes[i], member);
        for (size_t j = 0; j < member->shard_count; j++) {
            int32_t shard = member->shards[j];
            if (shard >= 0 && shard < shard_count) {
                picture->owners[shard] = (int32_t)i;
            }
        }
    }
    return picture;
}

/* The index of the same lane of the same node, PEERS_NOBODY when it has left. */
static int32_t picture_find_lane(const peers_picture *picture, const alv_peer *lane)
{
    for (size_t i = 0; i < picture->lane_count; i++) {
        const alv_peer *other = &picture->lanes[i];
        if (other->lane == lane->lane && strcmp(other->node_id, lane->node_id) == 0) {
            return (int32_t)i;
        }
    }
    return PEERS_NOBODY;
}

/* Shards that nobody is said to hold keep their last owner while it is a member. */
static void picture_inherit(peers_picture *picture, const peers_picture *last, int32_t shard_count)
{
    if (last == NULL) {
        return;
    }
    for (int32_t shard = 0; shard < shard_count; shard++) {
        if (picture->owners[shard] == PEERS_NOBODY && last->owners[shard] != PEERS_NOBODY) {
            picture->owners[shard] = picture_find_lane(picture, &last->lanes[last->owners[shard]]);
        }
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static size_t peers_find_node(const alv_peers *peers, alv_view node_id)
{
    size_t i = 0;
    while (i < peers->node_count &&
           !alv_view_equal(alv_view_of(peers->nodes[i].node_id), node_id)) {
        i++;
    }
    return i;
}

/* The place of the one that was heard of longest ago. */
static size_t peers_oldest_node(const alv_peers *peers)
{
    size_t oldest = 0;
    for (size_t i = 1; i < peers->node_count; i++) {
        oldest = peers->nodes[i].seen_ms < peers->nodes[oldest].seen_ms ? i : oldest;
    }
    return oldest;
}

/* With the lock held. */
static void peers_remember(alv_peers *peers, const alv_peer *lane, int64_t now_ms)
{
    if (lane->address[0] == '\0') {
        return;
    }
    size_t at = peers_find_node(peers, alv_view_of(lane->node_id));
    if (at == peers->node_count) {
        at = at < ALV_PEER_NODES_MAX ? peers->node_count++ : peers_oldest_node(peers);
    }
    peers_node *node = &peers->nodes[at];
    memcpy(node->node_id, lane->node_id, sizeof node->node_id);
    memcpy(node->address, lane->address, sizeof node->address);
    node->seen_ms = now_ms;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int64_t peers_now_ms(const alv_peers *peers)
{
    return alv_monotonic_us(peers->options.clock) / 1000;
}

static void peers_show(alv_peers *peers, const alv_members *members)
{
    int32_t shard_count = peers->options.shard_count;
    peers_picture *picture = picture_of(members, shard_count);
    picture_inherit(picture, peers->picture, shard_count); /* only this thread replaces it */
    int64_t now_ms = peers_now_ms(peers);
    peers_lock(peers);
    peers_picture *last = peers->picture;
    peers->picture = picture;
    for (size_t i = 0; i < picture->lane_count; i++) {
        peers_remember(peers, &picture->lanes[i], now_ms);
    }
    peers_unlock(peers);
    picture_free(last);
}

/* Asks once; returns how long not to ask again, whoever wishes it. A failure is logged when it
 * begins and when it is over, not each time. */
static int64_t peers_ask(alv_peers *peers)
{
    alv_members members = {0};
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        peers->options.source(peers->options.payload, ALV_PEERS_CALL_MS, &members, &err);
    if (status != ALV_OK) {
        int64_t now_ms = peers_now_ms(peers);
        if (peers->backoff.failures == 0) {
            alv_log_error(ALV_LOG_WARN, "peers-unknown", &err, "keeps=\"the last answer\"");
        }
        return alv_backoff_failed(&peers->backoff, now_ms) - now_ms;
    }
    if (peers->backoff.failures > 0) {
        alv_log(ALV_LOG_INFO, "peers-known", "after_failures=%u", peers->backoff.failures);
    }
    alv_backoff_succeeded(&peers->backoff);
    atomic_store(&peers->answered_ms, peers_now_ms(peers));
    peers_show(peers, &members);
    if (peers->options.known != NULL) {
        peers->options.known(peers->options.known_payload, &members);
    }
    alv_members_done(&members);
    return ALV_PEERS_GAP_MS;
}

/* Waits `gap_ms` whatever is wished, then for a wish, but no longer than the interval. */
static void peers_wait(alv_peers *peers, int64_t gap_ms)
{
    bool wished = false;
    int64_t until_ms = peers_now_ms(peers) + gap_ms;
    int64_t left_ms = gap_ms;
    while (left_ms > 0 && alv_inbox_wait(peers->wishes, (int)left_ms)) {
        wished = alv_inbox_take(peers->wishes) != NULL;
        left_ms = until_ms - peers_now_ms(peers);
    }
    if (wished || gap_ms >= ALV_PEERS_INTERVAL_MS) {
        return;
    }
    if (alv_inbox_wait(peers->wishes, ALV_PEERS_INTERVAL_MS - (int)gap_ms)) {
        (void)alv_inbox_take(peers->wishes);
    }
}

static void *peers_run(void *payload)
{
    alv_peers *peers = payload;
    alv_log_set_thread("peers");
    while (!atomic_load(&peers->stopping)) {
        peers_wait(peers, peers_ask(peers));
    }
    return NULL;
}

/* ---- public ---------------------------------------------------------------------------------- */

alv_status alv_peers_start(const alv_peers_options *options, alv_peers **out, alv_error *err)
{
    alv_peers *peers = alv_alloc(sizeof *peers);
    peers->options = *options;
    atomic_init(&peers->answered_ms, -1);
    peers->wishes = alv_inbox_new(1, NULL);
    alv_backoff_init(&peers->backoff, (uint64_t)alv_monotonic_us(options->clock));
    int failed = pthread_mutex_init(&peers->lock, NULL);
    ALV_ASSERT(failed == 0);
    int code = pthread_create(&peers->thread, NULL, peers_run, peers);
    peers->started = code == 0;
    if (code != 0) {
        alv_peers_free(peers);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = peers;
    return ALV_OK;
}

/* With the lock held: the index in `silent`, or their number. */
static size_t peers_find_silent(const alv_peers *peers, const char *node_id)
{
    size_t i = 0;
    while (i < peers->silent_count && strcmp(peers->silent[i], node_id) != 0) {
        i++;
    }
    return i;
}

void alv_peers_set_silent(alv_peers *peers, const char *node_id, bool silent)
{
    peers_lock(peers);
    size_t at = peers_find_silent(peers, node_id);
    bool was_silent = at < peers->silent_count;
    if (silent && !was_silent) {
        size_t size = (peers->silent_count + 1) * sizeof *peers->silent;
        peers->silent = alv_realloc(peers->silent, size);
        peers->silent[peers->silent_count++] = alv_strdup(node_id);
    } else if (!silent && was_silent) {
        alv_free(peers->silent[at]);
        peers->silent[at] = peers->silent[--peers->silent_count];
    }
    peers_unlock(peers);
}

bool alv_peers_owner(alv_peers *peers, int32_t shard, alv_peer *out)
{
    ALV_ASSERT(shard >= 0 && shard < peers->options.shard_count);
    peers_lock(peers);
    const peers_picture *picture = peers->picture;
    int32_t owner = picture == NULL ? PEERS_NOBODY : picture->owners[shard];
    if (owner != PEERS_NOBODY) {
        *out = picture->lanes[owner];
        out->silent = peers_find_silent(peers, out->node_id) < peers->silent_count;
    }
    peers_unlock(peers);
    return owner != PEERS_NOBODY;
}

int64_t alv_peers_age_ms(const alv_peers *peers)
{
    int64_t answered_ms = atomic_load(&peers->answered_ms);
    return answered_ms < 0 ? -1 : peers_now_ms(peers) - answered_ms;
}

bool alv_peers_address(alv_peers *peers, alv_view node_id, char out[ALV_PEER_ADDRESS_BYTES])
{
    int64_t since_ms = peers_now_ms(peers) - ALV_PEERS_REMEMBER_MS;
    peers_lock(peers);
    size_t at = peers_find_node(peers, node_id);
    bool known = at < peers->node_count && peers->nodes[at].seen_ms >= since_ms;
    if (known) {
        memcpy(out, peers->nodes[at].address, ALV_PEER_ADDRESS_BYTES);
    }
    peers_unlock(peers);
    return known;
}

size_t alv_peers_list(alv_peers *peers, alv_peer *out, size_t capacity)
{
    peers_lock(peers);
    size_t count = peers->picture == NULL ? 0 : peers->picture->lane_count;
    for (size_t i = 0; i < count && i < capacity; i++) {
        out[i] = peers->picture->lanes[i];
    }
    peers_unlock(peers);
    return count;
}

void alv_peers_refresh_soon(alv_peers *peers)
{
    (void)alv_inbox_try_post(peers->wishes, &peers_wish); /* full: somebody has wished it already */
}

void alv_peers_stop(alv_peers *peers)
{
    if (!peers->started) {
        return;
    }
    atomic_store(&peers->stopping, true);
    alv_inbox_close(peers->wishes);
    int failed = pthread_join(peers->thread, NULL);
    ALV_ASSERT(failed == 0);
    peers->started = false;
}

void alv_peers_free(alv_peers *peers)
{
    if (peers == NULL) {
        return;
    }
    alv_peers_stop(peers);
    picture_free(peers->picture);
    for (size_t i = 0; i < peers->silent_count; i++) {
        alv_free(peers->silent[i]);
    }
    alv_free(peers->silent);
    (void)pthread_mutex_destroy(&peers->lock); /* nobody holds it */
    alv_inbox_free(peers->wishes);
    alv_free(peers);
}
