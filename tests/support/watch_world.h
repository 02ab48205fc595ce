/* watch_world.h — a changelog that a test writes, two nodes that are nothing but their API, and watchers.
 *
 * Why:    the hub is tested over a real log and real connections, and everything else stands still.
 * Thread: one.
 * Owns:   the one world there is; made before each test and gone after it.
 * Fails:  whatever does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_WATCH_WORLD_H
#define ALV_TESTS_SUPPORT_WATCH_WORLD_H

#include "tests/support/api_node.h"
#include "tests/support/test_watcher.h"

#define ALV_WATCH_WORLD_NODES 2

typedef struct alv_watch_world {
    const char *brokers;
    char topic[80]; /* the changelog */
    char topic_id[ALV_TOPIC_ID_BYTES];
    alv_log_port *log; /* counts readers */
    alv_producer *producer;
    alv_producer *other;
    alv_fake_group group;
    alv_api_node nodes[ALV_WATCH_WORLD_NODES];
    alv_watch_room room;
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

#endif
