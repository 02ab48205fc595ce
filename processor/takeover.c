#include "processor/takeover.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/inbox.h"
#include "base/logger.h"

/* After an eviction the group is asked again whether the lanes are gone. */
#define TAKEOVER_LOOK_AGAIN_MS 250
#define TAKEOVER_MEMBERS_MS 2000
#define TAKEOVER_NEWS_MAX 1024
#define TAKEOVER_IDLE_MS 60000

/* What somebody says about a node. */
typedef struct takeover_news {
    bool dead;
    char *node_id;
} takeover_news;

/* A node whose seats are to be taken: a dead one, or this one with its former lanes. */
typedef struct takeover_case {
    char *node_id;
    bool own;            /* this node's seats, from settings->lanes on */
    bool over;           /* the lanes are gone; kept because the node is still held for dead */
    int64_t since_ms;    /* the verdict */
    int64_t due_ms;      /* the next look; within it, whose turn it is is decided */
    alv_backoff backoff; /* of failed tries */
} takeover_case;

struct alv_takeover {
    alv_takeover_options options;
    const alv_settings *settings;
    alv_group_view *group; /* NULL when the members come from elsewhere */
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    alv_inbox *news;
    takeover_case *cases;
    size_t case_count;
};

static int64_t takeover_now_ms(const alv_takeover *takeover)
{
    return alv_monotonic_us(takeover->options.clock) / 1000;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static takeover_case *takeover_find(const alv_takeover *takeover, const char *node_id)
{
    for (size_t i = 0; i < takeover->case_count; i++) {
        takeover_case *found = &takeover->cases[i];
        if (!found->own && strcmp(found->node_id, node_id) == 0) {
            return found;
        }
    }
    return NULL;
}

static void takeover_open_case(alv_takeover *takeover, const char *node_id, bool own)
{
    size_t size = (takeover->case_count + 1) * sizeof *takeover->cases;
    takeover->cases = alv_realloc(takeover->cases, size);
    takeover_case *opened = &takeover->cases[takeover->case_count++];
    *opened = (takeover_case){.node_id = alv_strdup(node_id), .own = own};
    opened->since_ms = takeover_now_ms(takeover);
    opened->due_ms = opened->since_ms;
    alv_backoff_init(&opened->backoff, (uint64_t)alv_monotonic_us(takeover->options.clock));
}

static void takeover_close_case(alv_takeover *takeover, takeover_case *closed)
{
    alv_free(closed->node_id);
    *closed = takeover->cases[--takeover->case_count];
}

static void takeover_look_at_once(alv_takeover *takeover)
{
    for (size_t i = 0; i < takeover->case_count; i++) {
        takeover->cases[i].due_ms = takeover_now_ms(takeover);
    }
}

static void takeover_hear(alv_takeover *takeover, const takeover_news *news)
{
    takeover_case *known = takeover_find(takeover, news->node_id);
    if (news->dead && known == NULL) {
        alv_log(ALV_LOG_WARN, "node-dead", "node=%s", news->node_id);
        takeover_open_case(takeover, news->node_id, false);
        takeover_look_at_once(takeover); /* whoever waited for that node need not any more */
    } else if (!news->dead && known != NULL) {
        if (!known->over) {
            alv_log(ALV_LOG_INFO, "takeover-ended", "node=%s msg=\"heard again, or gone\"",
                    known->node_id);
        }
        takeover_close_case(takeover, known);
    }
}

static void takeover_free_news(void *message)
{
    takeover_news *news = message;
    alv_free(news->node_id);
    alv_free(news);
}

static void takeover_take_news(alv_takeover *takeover)
{
    takeover_news *news;
    while ((news = alv_inbox_take(takeover->news)) != NULL) {
        takeover_hear(takeover, news);
        takeover_free_news(news);
    }
}

/* ---- whose turn it is ------------------------------------------------------------------------ */

static bool takeover_holds_for_dead(const void *payload, const char *node_id)
{
    return takeover_find(payload, node_id) != NULL;
}

/* How many living nodes of the group come before this one. */
static int64_t takeover_rank(const alv_takeover *takeover, const alv_members *members)
{
    return alv_members_before(members, takeover->settings->node_id, takeover_holds_for_dead,
                              takeover);
}

static bool takeover_is_seat(const alv_takeover *takeover, const takeover_case *of,
                             const alv_member *member)
{
    return strcmp(member->node_id, of->node_id) == 0 &&
           (!of->own || member->lane >= (int32_t)takeover->settings->lanes);
}

static size_t takeover_count_seats(const alv_takeover *takeover, const takeover_case *of,
                                   const alv_members *members)
{
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++) {
        count += takeover_is_seat(takeover, of, &members->items[i]);
    }
    return count;
}

/* Whether this node acts now; otherwise `due_ms` says when to look again. */
static bool takeover_is_due(const alv_takeover *takeover, takeover_case *of,
                            const alv_members *members, int64_t now_ms)
{
    if (of->over || now_ms < of->due_ms) {
        return false;
    }
    if (takeover_count_seats(takeover, of, members) == 0) {
        if (!of->own) {
            alv_log(ALV_LOG_INFO, "seats-gone", "node=%s ms=%" PRId64, of->node_id,
                    now_ms - of->since_ms);
        }
        of->over = true;
        return false;
    }
    int64_t turn_ms = of->since_ms;
    if (!of->own) {
        turn_ms += takeover_rank(takeover, members) * ALV_TAKEOVER_TURN_MS;
    }
    if (now_ms < turn_ms) {
        /* Not only then: those before may be found dead meanwhile, and it is our turn at once. */
        int64_t look_ms = now_ms + TAKEOVER_LOOK_AGAIN_MS;
        of->due_ms = look_ms < turn_ms ? look_ms : turn_ms;
        return false;
    }
    return true;
}

/* ---- acting ---------------------------------------------------------------------------------- */

static void takeover_add_seats(const alv_takeover *takeover, const takeover_case *of,
                               const alv_members *members, alv_seats *seats)
{
    for (size_t i = 0; i < members->count; i++) {
        if (takeover_is_seat(takeover, of, &members->items[i])) {
            alv_seats_add(seats, &members->items[i]);
        }
    }
}

static void takeover_log_evicted(const alv_seats *seats, const alv_evicted *evicted,
                                 int64_t took_ms)
{
    alv_evicted last = {.seated_ms = -1, .left_ms = -1, .fenced_ms = -1};
    for (size_t i = 0; i < seats->count; i++) {
        last.seated_ms =
            evicted[i].seated_ms > last.seated_ms ? evicted[i].seated_ms : last.seated_ms;
        last.left_ms = evicted[i].left_ms > last.left_ms ? evicted[i].left_ms : last.left_ms;
        last.fenced_ms =
            evicted[i].fenced_ms > last.fenced_ms ? evicted[i].fenced_ms : last.fenced_ms;
    }
    alv_log(ALV_LOG_INFO, "evicted",
            "node=%s lanes=%zu ms=%" PRId64 " seated_ms=%" PRId64 " left_ms=%" PRId64
            " fenced_ms=%" PRId64,
            seats->items[0].node_id, seats->count, took_ms, last.seated_ms, last.left_ms,
            last.fenced_ms);
}

static alv_status takeover_evict(alv_takeover *takeover, const alv_seats *seats)
{
    alv_evicted evicted[ALV_EVICT_LANES_MAX];
    alv_error err = ALV_ERROR_NONE;
    int64_t began_ms = takeover_now_ms(takeover);
    alv_status status = takeover->options.evict(takeover->options.payload, seats->items,
                                                seats->count, evicted, &err);
    if (status == ALV_OK) {
        takeover_log_evicted(seats, evicted, takeover_now_ms(takeover) - began_ms);
    } else {
        alv_log_error(ALV_LOG_WARN, "evict-failed", &err, "node=%s lanes=%zu",
                      seats->items[0].node_id, seats->count);
    }
    return status;
}

/* The cases that are due go into one eviction, so that the group rebalances once. */
static void takeover_act(alv_takeover *takeover, const alv_members *members)
{
    alv_seats seats = {.count = 0};
    bool *acts = alv_alloc_array(takeover->case_count, sizeof *acts);
    int64_t now_ms = takeover_now_ms(takeover);
    for (size_t i = 0; i < takeover->case_count; i++) {
        acts[i] = takeover_is_due(takeover, &takeover->cases[i], members, now_ms);
        if (acts[i]) {
            takeover_add_seats(takeover, &takeover->cases[i], members, &seats);
        }
    }
    alv_status status = seats.count > 0 ? takeover_evict(takeover, &seats) : ALV_OK;
    now_ms = takeover_now_ms(takeover);
    for (size_t i = 0; i < takeover->case_count; i++) {
        takeover_case *of = &takeover->cases[i];
        if (acts[i]) {
            of->due_ms = status == ALV_OK ? now_ms + TAKEOVER_LOOK_AGAIN_MS
                                          : alv_backoff_failed(&of->backoff, now_ms);
        }
    }
    alv_free(acts);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int64_t takeover_due_ms(const alv_takeover *takeover)
{
    int64_t due_ms = takeover_now_ms(takeover) + TAKEOVER_IDLE_MS;
    for (size_t i = 0; i < takeover->case_count; i++) {
        const takeover_case *of = &takeover->cases[i];
        if (!of->over && of->due_ms < due_ms) {
            due_ms = of->due_ms;
        }
    }
    return due_ms;
}

static void takeover_ask_failed(alv_takeover *takeover, const alv_error *err)
{
    int64_t now_ms = takeover_now_ms(takeover);
    alv_log_error(ALV_LOG_WARN, "takeover-waits", err, "msg=\"who is a member is not known\"");
    for (size_t i = 0; i < takeover->case_count; i++) {
        takeover_case *of = &takeover->cases[i];
        if (now_ms >= of->due_ms) {
            of->due_ms = alv_backoff_failed(&of->backoff, now_ms);
        }
    }
}

/* One look: asks who is a member now, because the verdict may be older than a goodbye. */
static void takeover_look(alv_takeover *takeover)
{
    alv_members members = {.count = 0};
    alv_error err = ALV_ERROR_NONE;
    if (takeover->options.members(takeover->options.payload, &members, &err) == ALV_OK) {
        takeover_act(takeover, &members);
    } else {
        takeover_ask_failed(takeover, &err);
    }
    alv_members_done(&members);
}

void alv_takeover_turn(alv_takeover *takeover, int timeout_ms)
{
    int64_t left_ms = takeover_due_ms(takeover) - takeover_now_ms(takeover);
    if (left_ms > 0) {
        int wait_ms = left_ms < timeout_ms ? (int)left_ms : timeout_ms;
        (void)alv_inbox_wait(takeover->news, wait_ms); /* the next turn looks at what is due */
        takeover_take_news(takeover);
    } else {
        takeover_take_news(takeover);
        takeover_look(takeover);
    }
}

static void *takeover_run(void *payload)
{
    alv_takeover *takeover = payload;
    alv_log_set_thread("takeover");
    while (!atomic_load(&takeover->stopping)) {
        alv_takeover_turn(takeover, TAKEOVER_IDLE_MS);
    }
    return NULL;
}

/* ---- public ---------------------------------------------------------------------------------- */

static alv_status takeover_ask_kafka(void *payload, alv_members *out, alv_error *err)
{
    alv_takeover *takeover = payload;
    return alv_group_view_members(takeover->group, TAKEOVER_MEMBERS_MS, out, err);
}

static alv_status takeover_evict_in_kafka(void *payload, const alv_seat *seats, size_t count,
                                          alv_evicted *out, alv_error *err)
{
    alv_takeover *takeover = payload;
    return alv_kafka_evict(takeover->options.config, seats, count, out, err);
}

static alv_status takeover_open_group(alv_takeover *takeover, alv_error *err)
{
    if (takeover->options.members != NULL) {
        return ALV_OK;
    }
    takeover->options.members = takeover_ask_kafka;
    takeover->options.evict = takeover_evict_in_kafka;
    takeover->options.payload = takeover;
    return alv_group_view_open(takeover->options.config, &takeover->group, err);
}

static alv_status takeover_start_thread(alv_takeover *takeover, alv_error *err)
{
    int code = pthread_create(&takeover->thread, NULL, takeover_run, takeover);
    if (code != 0) {
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    takeover->started = true;
    return ALV_OK;
}

alv_status alv_takeover_new(const alv_takeover_options *options, alv_takeover **out, alv_error *err)
{
    alv_takeover *takeover = alv_alloc(sizeof *takeover);
    takeover->options = *options;
    takeover->settings = alv_config_settings(options->config);
    takeover->news = alv_inbox_new(TAKEOVER_NEWS_MAX, takeover_free_news);
    takeover_open_case(takeover, takeover->settings->node_id, true);
    alv_status status = takeover_open_group(takeover, err);
    if (status != ALV_OK) {
        alv_takeover_stop(takeover);
        return status;
    }
    *out = takeover;
    return ALV_OK;
}

alv_status alv_takeover_start(const alv_takeover_options *options, alv_takeover **out,
                              alv_error *err)
{
    alv_takeover *takeover = NULL;
    alv_status status = alv_takeover_new(options, &takeover, err);
    if (status != ALV_OK) {
        return status;
    }
    status = takeover_start_thread(takeover, err);
    if (status != ALV_OK) {
        alv_takeover_stop(takeover);
        return status;
    }
    *out = takeover;
    return ALV_OK;
}

/* News that finds no room is lost with a line in the log: the session time-out remains. */
static void takeover_post(alv_takeover *takeover, bool dead, const char *node_id)
{
    takeover_news *news = alv_alloc(sizeof *news);
    *news = (takeover_news){.dead = dead, .node_id = alv_strdup(node_id)};
    if (!alv_inbox_try_post(takeover->news, news)) {
        alv_log(ALV_LOG_WARN, "takeover-busy", "node=%s dead=%d", node_id, dead);
        takeover_free_news(news);
    }
}

void alv_takeover_dead(alv_takeover *takeover, const char *node_id)
{
    takeover_post(takeover, true, node_id);
}

void alv_takeover_cleared(alv_takeover *takeover, const char *node_id)
{
    takeover_post(takeover, false, node_id);
}

void alv_takeover_stop(alv_takeover *takeover)
{
    if (takeover == NULL) {
        return;
    }
    atomic_store(&takeover->stopping, true);
    alv_inbox_close(takeover->news);
    if (takeover->started) {
        int failed = pthread_join(takeover->thread, NULL);
        ALV_ASSERT(failed == 0);
    }
    while (takeover->case_count > 0) {
        takeover_close_case(takeover, &takeover->cases[takeover->case_count - 1]);
    }
    if (takeover->group != NULL) {
        alv_group_view_close(takeover->group);
    }
    alv_free(takeover->cases);
    alv_inbox_free(takeover->news);
    alv_free(takeover);
}
