#include "processor/fencer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/inbox.h"
#include "base/logger.h"

/* How often the directory is looked at; a look is one atomic read per shard. */
#define FENCER_LOOK_MS 100
#define FENCER_MEMBERS_MS 2000

/* A lane by name. */
typedef struct fencer_lane {
    bool is_known;
    char node_id[256];
    int32_t lane;
} fencer_lane;

typedef struct fencer_shard {
    bool is_restoring;
    bool was_said;  /* that its transaction is nobody's who may be fenced */
    int64_t due_ms; /* the next look at it */
} fencer_shard;

struct alv_fencer {
    alv_fencer_options options;
    const alv_settings *settings;
    int32_t shard_count;
    alv_kafka_owners *owners; /* NULL when that is asked elsewhere; so the next */
    alv_group_view *group;
    pthread_t thread;
    bool started;
    alv_inbox *stop; /* carries nothing: closed to end */
    fencer_shard *shards;
    alv_owner *blocked;   /* scratch, one per shard */
    pthread_mutex_t lock; /* a leaf lock, for `seen` */
    fencer_lane *seen;    /* by shard: who had it last, apart from this node */
};

/* ---- candidates ------------------------------------------------------------------------------ */

void alv_fencer_members_known(alv_fencer *fencer, const alv_members *members)
{
    ALV_ASSERT(pthread_mutex_lock(&fencer->lock) == 0);
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        bool is_own = strcmp(member->node_id, fencer->settings->node_id) == 0;
        for (size_t j = 0; j < member->shard_count && !is_own; j++) {
            int32_t shard = member->shards[j];
            if (shard >= 0 && shard < fencer->shard_count) {
                fencer_lane *seen = &fencer->seen[shard];
                seen->is_known = true;
                (void)snprintf(seen->node_id, sizeof seen->node_id, "%s", member->node_id);
                seen->lane = member->lane;
            }
        }
    }
    ALV_ASSERT(pthread_mutex_unlock(&fencer->lock) == 0);
}

static bool fencer_is_member(const alv_members *members, const char *node_id, int32_t lane)
{
    for (size_t i = 0; i < members->count; i++) {
        if (members->items[i].lane == lane && strcmp(members->items[i].node_id, node_id) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct fencer_seats {
    fencer_lane lanes[ALV_EVICT_LANES_MAX];
    size_t count;
} fencer_seats;

/* Adds a lane that may be fenced; false when it may not. */
static bool fencer_add(fencer_seats *seats, const alv_members *members, const char *node_id,
                       int32_t lane)
{
    if (fencer_is_member(members, node_id, lane)) {
        return false;
    }
    for (size_t i = 0; i < seats->count; i++) {
        if (seats->lanes[i].lane == lane && strcmp(seats->lanes[i].node_id, node_id) == 0) {
            return true;
        }
    }
    if (seats->count < ALV_EVICT_LANES_MAX) {
        fencer_lane *added = &seats->lanes[seats->count++];
        (void)snprintf(added->node_id, sizeof added->node_id, "%s", node_id);
        added->lane = lane;
    }
    return true;
}

static void fencer_add_of_shard(alv_fencer *fencer, const alv_owner *owner,
                                const alv_members *members, fencer_seats *seats)
{
    ALV_ASSERT(pthread_mutex_lock(&fencer->lock) == 0);
    fencer_lane seen = fencer->seen[owner->shard];
    ALV_ASSERT(pthread_mutex_unlock(&fencer->lock) == 0);
    bool added = owner->is_named && fencer_add(seats, members, owner->node_id, owner->lane);
    added = (seen.is_known && fencer_add(seats, members, seen.node_id, seen.lane)) || added;
    fencer_shard *shard = &fencer->shards[owner->shard];
    if (!added && !shard->was_said) {
        shard->was_said = true;
        alv_log(ALV_LOG_WARN, "restore-blocked",
                "shard=%" PRId32 " committed_by=%s-%" PRId32
                " msg=\"somebody left a transaction open, and who is not known: waiting for its "
                "time-out\"",
                owner->shard, owner->is_named ? owner->node_id : "nobody", owner->lane);
    }
}

/* ---- acting ---------------------------------------------------------------------------------- */

static void fencer_fence(alv_fencer *fencer, const fencer_seats *seats)
{
    for (size_t i = 0; i < seats->count && !alv_inbox_is_closed(fencer->stop); i++) {
        const fencer_lane *lane = &seats->lanes[i];
        const alv_seat seat = {.node_id = lane->node_id, .lane = lane->lane};
        alv_error err = ALV_ERROR_NONE;
        int64_t began_us = alv_monotonic_us(fencer->options.clock);
        alv_status status = fencer->options.fence(fencer->options.payload, &seat, &err);
        if (status == ALV_OK) {
            alv_log(ALV_LOG_INFO, "fenced",
                    "node=%s lane=%" PRId32 " ms=%" PRId64
                    " msg=\"its open transaction is aborted\"",
                    lane->node_id, lane->lane,
                    (alv_monotonic_us(fencer->options.clock) - began_us) / 1000);
        } else {
            alv_log_error(ALV_LOG_WARN, "fence-failed", &err, "node=%s lane=%" PRId32,
                          lane->node_id, lane->lane);
        }
    }
}

/* Asks whose transactions block these shards, and ends those of lanes that are gone. */
static void fencer_look(alv_fencer *fencer, alv_owner *owners, size_t count)
{
    alv_error err = ALV_ERROR_NONE;
    alv_members members = {.count = 0};
    void *payload = fencer->options.payload;
    alv_status status = fencer->options.owners(payload, owners, count, &err);
    bool is_blocked = false;
    for (size_t i = 0; i < count && status == ALV_OK; i++) {
        is_blocked = is_blocked || owners[i].is_blocked;
    }
    if (status == ALV_OK && is_blocked) {
        status = fencer->options.members(payload, &members, &err);
    }
    if (status == ALV_OK && is_blocked) {
        fencer_seats seats = {.count = 0};
        for (size_t i = 0; i < count; i++) {
            if (owners[i].is_blocked) {
                fencer_add_of_shard(fencer, &owners[i], &members, &seats);
            }
        }
        fencer_fence(fencer, &seats);
    } else if (status != ALV_OK) { /* who restores says so as well */
        alv_log_error(ALV_LOG_DEBUG, "fencer-waits", &err, "shards=%zu", count);
    }
    alv_members_done(&members);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Collects the shards whose restore has taken too long. */
static size_t fencer_collect(alv_fencer *fencer, alv_owner *out)
{
    int64_t now_ms = alv_monotonic_us(fencer->options.clock) / 1000;
    size_t count = 0;
    for (int32_t number = 0; number < fencer->shard_count; number++) {
        fencer_shard *shard = &fencer->shards[number];
        alv_shard_view view = alv_directory_view(fencer->options.directory, number);
        if (view.state != ALV_SHARD_RESTORING) {
            *shard = (fencer_shard){.is_restoring = false};
        } else if (!shard->is_restoring) {
            shard->is_restoring = true;
            shard->due_ms = now_ms + ALV_FENCER_PATIENCE_MS;
        } else if (now_ms >= shard->due_ms) {
            shard->due_ms = now_ms + ALV_FENCER_AGAIN_MS;
            out[count++] = (alv_owner){.shard = number};
        }
    }
    return count;
}

void alv_fencer_turn(alv_fencer *fencer)
{
    size_t count = fencer_collect(fencer, fencer->blocked);
    if (count > 0) {
        fencer_look(fencer, fencer->blocked, count);
    }
}

static void *fencer_run(void *payload)
{
    alv_fencer *fencer = payload;
    alv_log_set_thread("fencer");
    while (!alv_inbox_is_closed(fencer->stop)) {
        alv_fencer_turn(fencer);
        (void)alv_inbox_wait(fencer->stop, FENCER_LOOK_MS); /* nothing comes but its end */
    }
    return NULL;
}

/* ---- public ---------------------------------------------------------------------------------- */

static alv_status fencer_ask_owners(void *payload, alv_owner *items, size_t count, alv_error *err)
{
    alv_fencer *fencer = payload;
    return alv_kafka_owners_ask(fencer->owners, items, count, err);
}

static alv_status fencer_ask_members(void *payload, alv_members *out, alv_error *err)
{
    alv_fencer *fencer = payload;
    if (fencer->group == NULL) {
        alv_status status = alv_group_view_open(fencer->options.config, &fencer->group, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    return alv_group_view_members(fencer->group, FENCER_MEMBERS_MS, out, err);
}

static alv_status fencer_fence_in_kafka(void *payload, const alv_seat *seat, alv_error *err)
{
    alv_fencer *fencer = payload;
    return alv_kafka_fence(fencer->options.config, seat, err);
}

static void fencer_use_kafka(alv_fencer *fencer)
{
    if (fencer->options.owners != NULL) {
        return;
    }
    fencer->owners = alv_kafka_owners_new(fencer->options.config);
    fencer->options.owners = fencer_ask_owners;
    fencer->options.members = fencer_ask_members;
    fencer->options.fence = fencer_fence_in_kafka;
    fencer->options.payload = fencer;
}

alv_fencer *alv_fencer_new(const alv_fencer_options *options)
{
    alv_fencer *fencer = alv_alloc(sizeof *fencer);
    fencer->options = *options;
    fencer->settings = alv_config_settings(options->config);
    fencer->shard_count = alv_directory_shard_count(options->directory);
    fencer->shards = alv_alloc_array((size_t)fencer->shard_count, sizeof *fencer->shards);
    fencer->blocked = alv_alloc_array((size_t)fencer->shard_count, sizeof *fencer->blocked);
    fencer->seen = alv_alloc_array((size_t)fencer->shard_count, sizeof *fencer->seen);
    fencer->stop = alv_inbox_new(1, NULL);
    ALV_ASSERT(pthread_mutex_init(&fencer->lock, NULL) == 0);
    fencer_use_kafka(fencer);
    return fencer;
}

alv_status alv_fencer_start(const alv_fencer_options *options, alv_fencer **out, alv_error *err)
{
    alv_fencer *fencer = alv_fencer_new(options);
    int code = pthread_create(&fencer->thread, NULL, fencer_run, fencer);
    fencer->started = code == 0;
    if (code != 0) {
        alv_fencer_stop(fencer);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = fencer;
    return ALV_OK;
}

void alv_fencer_stop(alv_fencer *fencer)
{
    if (fencer == NULL) {
        return;
    }
    alv_inbox_close(fencer->stop);
    if (fencer->started) {
        ALV_ASSERT(pthread_join(fencer->thread, NULL) == 0);
    }
    alv_kafka_owners_free(fencer->owners);
    alv_group_view_close(fencer->group);
    ALV_ASSERT(pthread_mutex_destroy(&fencer->lock) == 0);
    alv_inbox_free(fencer->stop);
    alv_free(fencer->shards);
    alv_free(fencer->blocked);
    alv_free(fencer->seen);
    alv_free(fencer);
}
