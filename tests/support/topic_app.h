/* topic_app.h — an application of a test's own on a real broker: its topics, and handles on its log.
 *
 * Why:    tests of the log port share one broker and must not meet each other's records.
 * Thread: one.
 * Owns:   handles are closed by whoever opened them here.
 * Fails:  the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_TOPIC_APP_H
#define ALV_TESTS_SUPPORT_TOPIC_APP_H

#include "base/bytes.h"
#include "base/config.h"
#include "topics/kafka.h"

#define ALV_TOPIC_APP_SHARDS 4
#define ALV_TOPIC_APP_WAIT_MS 20000

/* The broker that ALLUVIUM_TEST_KAFKA names, host:port; NULL when there is none, which is said. */
const char *alv_topic_app_broker(void);

typedef struct alv_topic_app {
    char id[64];
    alv_config *config;
    alv_log_port *log;
} alv_topic_app;

/* A new application.id. */
void alv_topic_app_id(char out[64]);

/* A finished configuration; `shards` may be NULL. The caller frees it. */
alv_config *alv_topic_app_config(const char *id, const char *node, const char *shards);
void alv_topic_app_set(alv_config *config, const char *key, const char *value);

/* Makes an application with its topics, as node "n1"; `join` is another node of one that is there. */
void alv_topic_app_new(alv_topic_app *app);
void alv_topic_app_join(alv_topic_app *app, const char *id, const char *node);
void alv_topic_app_done(alv_topic_app *app);

/* ---- writing --------------------------------------------------------------------------------- */

alv_producer *alv_topic_app_producer(alv_topic_app *app, int lane);
void alv_topic_app_begin(alv_producer *producer);
void alv_topic_app_produce(alv_producer *producer, alv_topic topic, int32_t shard, const char *key,
                           const char *value);
void alv_topic_app_commit(alv_producer *producer); /* without offsets */
void alv_topic_app_abort(alv_producer *producer);

/* `count` commands per shard in transactions of `per_transaction`, with an aborted one before each.
 * Values are the numbers from 0 on, per shard. */
void alv_topic_app_fill(alv_topic_app *app, int count, int per_transaction);

/* ---- reading --------------------------------------------------------------------------------- */

alv_reader *alv_topic_app_reader(alv_topic_app *app);

/* Polls until the position of a shard is at the high watermark; appends the values, each with ';'. */
void alv_topic_app_drain(alv_reader *reader, alv_topic topic, int32_t shard, alv_bytes *out);

#endif
