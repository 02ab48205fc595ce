/* watch_world.h — a changelog that a test writes, two nodes that are nothing but their API, and watchers.
 *
 * Why:    what watchers hear is compared with the topic as plain librdkafka reads it.
 * Thread: one.
 * Owns:   the one world there is; made before each test and gone after it.
 * Fails:  whatever does not work, and every event that is not as it must be, fails the running cmocka
 *         test: offsets of a shard that do not grow, keys in the wrong shard, fields that are missing.
 */
#ifndef ALV_TESTS_SUPPORT_WATCH_WORLD_H
#define ALV_TESTS_SUPPORT_WATCH_WORLD_H

#include "api/watch_index.h"
#include "tests/support/api_node.h"
#include "tests/support/sse.h"

#define ALV_WATCH_WORLD_NODES 2
#define ALV_WATCH_WORLD_WAIT_MS 30000
#define ALV_WATCH_WORLD_HEARD_MAX 20000

typedef struct alv_watch_world {
    const char *brokers;
    char topic[80]; /* the changelog */
    char topic_id[ALV_TOPIC_ID_BYTES];
    alv_log_port *log; /* counts readers */
    alv_producer *producer;
    alv_producer *other;
    alv_fake_group group;
    alv_api_node nodes[ALV_WATCH_WORLD_NODES];
    alv_sse_set *set;
} alv_watch_world;

extern alv_watch_world alv_world;

/* Set-up and tear-down of a test. Without brokers (ALLUVIUM_TEST_KAFKA) a program skips itself. */
int alv_watch_world_open(void **state);
int alv_watch_world_close(void **state);

const char *alv_watch_world_address(int node);

/* Readers that the nodes have opened so far, and those that they have closed. */
int alv_watch_world_readers_opened(void);
int alv_watch_world_readers_closed(void);

/* ---- writing --------------------------------------------------------------------------------- */

void alv_watch_world_begin(alv_producer *producer);

/* A change within the open transaction; `value` NULL = a deletion. */
void alv_watch_world_put(alv_producer *producer, const char *key, const char *value);
void alv_watch_world_put_view(alv_producer *producer, const char *key, alv_view value);
void alv_watch_world_commit(alv_producer *producer);

/* One change in a transaction of its own. */
void alv_watch_world_write(const char *key, const char *value);

/* ---- watching -------------------------------------------------------------------------------- */

typedef struct alv_watch_place {
    int32_t shard;
    int64_t offset;
} alv_watch_place;

int alv_watch_place_compare(const void *left, const void *right);

typedef struct alv_test_watcher {
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
    int64_t last[ALV_API_NODE_SHARDS];
} alv_test_watcher;

void alv_test_watcher_init(alv_test_watcher *it, alv_watch_kind kind, const char *text);
void alv_test_watcher_done(alv_test_watcher *it);

/* Connects, with the last id there is; does not wait. */
void alv_test_watcher_come(alv_test_watcher *it, int node);

/* Breaks the connection and keeps the last id. */
void alv_test_watcher_leave(alv_test_watcher *it);

/* Init, come, and waits until the node answers. */
void alv_test_watcher_open(alv_test_watcher *it, int node, alv_watch_kind kind, const char *text);

void alv_test_watcher_wait_heard(const alv_test_watcher *it, int count);
void alv_test_watcher_expect_story(const alv_test_watcher *it, const char *story);

/* Waits until it has heard as many changes as the topic has for it, and compares them. Sorts what it
 * has heard. */
void alv_test_watcher_expect_all(alv_test_watcher *it);

#endif
