/* test_watcher.h — a watcher that keeps what it hears, and knows what it should have heard.
 *
 * Why:    "every committed change, once and in order" is checked by whoever watches, against the
 *         changelog topic as plain librdkafka reads it.
 * Thread: one; watchers hear while their room's set has its turn.
 * Owns:   the caller's structs; texts are copied. A room borrows its texts and its set.
 * Fails:  every event that is not as it must be fails the running cmocka test: offsets of a shard that do
 *         not grow, keys in the wrong shard, fields that are missing.
 */
#ifndef ALV_TESTS_SUPPORT_TEST_WATCHER_H
#define ALV_TESTS_SUPPORT_TEST_WATCHER_H

#include "api/watch_index.h"
#include "tests/support/sse.h"

#define ALV_TEST_WATCHER_WAIT_MS 60000
#define ALV_TEST_WATCHER_HEARD_MAX 20000
#define ALV_TEST_WATCHER_SHARDS_MAX 64

/* What watchers share. */
typedef struct alv_watch_room {
    alv_sse_set *set; /* made with alv_test_watcher_hear */
    const char *brokers;
    const char *topic; /* the changelog; empty when the watchers come */
    int32_t shard_count;
} alv_watch_room;

/* An alv_sse_heard. */
void alv_test_watcher_hear(void *payload, alv_sse *sse, const alv_sse_event *event);

typedef struct alv_watch_place {
    int32_t shard;
    int64_t offset;
} alv_watch_place;

int alv_watch_place_compare(const void *left, const void *right);

typedef struct alv_test_watcher {
    const alv_watch_room *room;
    char path[128];
    alv_watch_kind kind;
    char text[32];
    alv_sse *sse; /* NULL = not connected */
    char *last_id;
    alv_watch_place *heard;
    int count;
    int resets;
    alv_bytes story; /* "key state;" of each change */
    bool tells;      /* whether the story is kept */
    int64_t last[ALV_TEST_WATCHER_SHARDS_MAX];
} alv_test_watcher;

void alv_test_watcher_init(alv_test_watcher *it, const alv_watch_room *room, alv_watch_kind kind,
                           const char *text);
void alv_test_watcher_done(alv_test_watcher *it);

/* Connects, with the last id there is; does not wait. */
void alv_test_watcher_come(alv_test_watcher *it, const char *address);

/* Breaks the connection and keeps the last id. */
void alv_test_watcher_leave(alv_test_watcher *it);

/* Comes and waits until the node answers; comes again, some times, when it says 503, because a busy broker has not
 * told it soon enough where the changelog ends. */
void alv_test_watcher_enter(alv_test_watcher *it, const char *address);

/* Init and enter. */
void alv_test_watcher_open(alv_test_watcher *it, const alv_watch_room *room, const char *address,
                           alv_watch_kind kind, const char *text);

void alv_test_watcher_wait_heard(const alv_test_watcher *it, int count);
void alv_test_watcher_expect_story(const alv_test_watcher *it, const char *story);

/* Waits until it has heard as many changes as the topic has for it, and compares them. Sorts what it
 * has heard. */
void alv_test_watcher_expect_all(alv_test_watcher *it);

#endif
