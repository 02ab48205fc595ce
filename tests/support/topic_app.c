#include "tests/support/topic_app.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/wait.h"

const char *alv_topic_app_broker(void)
{
    const char *broker = getenv("ALLUVIUM_TEST_KAFKA");
    if (broker == NULL || *broker == '\0') {
        puts("skipped: set ALLUVIUM_TEST_KAFKA=host:port (dev/stack start; dev/stack env)");
        return NULL;
    }
    return broker;
}

/* ---- an application on the broker ------------------------------------------------------------ */

void alv_topic_app_id(char out[64])
{
    static int count;
    snprintf(out, 64, "test-%d-%lld-%d", (int)getpid(),
             (long long)(alv_now_ms(alv_clock_system()) % 100000000), count++);
}

void alv_topic_app_set(alv_config *config, const char *key, const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    char *assignment = alv_format("%s=%s", key, value);
    if (alv_config_set(config, assignment, &err) != ALV_OK)
        fail_msg("%s: %s", assignment, err.text);
    alv_free(assignment);
}

alv_config *alv_topic_app_config(const char *id, const char *node, const char *shards)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    alv_topic_app_set(config, "bootstrap.servers", alv_topic_app_broker());
    alv_topic_app_set(config, "application.id", id);
    alv_topic_app_set(config, "node.id", node);
    if (shards != NULL)
        alv_topic_app_set(config, "shards", shards);
    if (alv_config_finish(config, &err) != ALV_OK)
        fail_msg("config: %s", err.text);
    return config;
}

void alv_topic_app_join(alv_topic_app *app, const char *id, const char *node)
{
    alv_error err = ALV_ERROR_NONE;
    snprintf(app->id, sizeof(app->id), "%s", id);
    app->config = alv_topic_app_config(id, node, "4");
    if (alv_kafka_open(app->config, &app->log, &err) != ALV_OK)
        fail_msg("open: %s", err.text);
}

/* A topic that was made a moment ago may not have a leader everywhere yet. */
static void app_wait_for_leaders(alv_topic_app *app)
{
    static const alv_topic topics[] = {ALV_TOPIC_COMMANDS, ALV_TOPIC_CHANGELOG, ALV_TOPIC_LEDGER};
    alv_reader *reader = alv_topic_app_reader(app);
    int64_t deadline = alv_wait_deadline(ALV_TOPIC_APP_WAIT_MS);
    for (int i = 0; i < 3 * ALV_TOPIC_APP_SHARDS;) {
        int64_t start = 0;
        int64_t end = 0;
        alv_error err = ALV_ERROR_NONE;
        if (reader->ops->range(reader, topics[i / ALV_TOPIC_APP_SHARDS], i % ALV_TOPIC_APP_SHARDS,
                               &start, &end, &err) == ALV_OK) {
            i++;
        } else if (alv_wait_expired(deadline)) {
            fail_msg("leaders: %s", err.text);
        }
    }
    reader->ops->close(reader);
}

void alv_topic_app_new(alv_topic_app *app)
{
    char id[64];
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPICS_MAX];
    alv_topic_app_id(id);
    alv_topic_app_join(app, id, "n1");
    if (alv_kafka_prepare_topics(app->config, topics, &err) != ALV_OK)
        fail_msg("prepare: %s", err.text);
    assert_int_equal(topics[ALV_TOPIC_COMMANDS].shards, ALV_TOPIC_APP_SHARDS);
    assert_true(strlen(topics[ALV_TOPIC_CHANGELOG].id) > 10);
    assert_string_not_equal(topics[ALV_TOPIC_CHANGELOG].id, topics[ALV_TOPIC_LEDGER].id);
    app_wait_for_leaders(app);
}

void alv_topic_app_done(alv_topic_app *app)
{
    app->log->ops->close(app->log);
    alv_config_free(app->config);
}

/* ---- producing ------------------------------------------------------------------------------- */

alv_producer *alv_topic_app_producer(alv_topic_app *app, int lane)
{
    alv_producer *producer = NULL;
    alv_error err = ALV_ERROR_NONE;
    if (app->log->ops->open_producer(app->log, lane, &producer, &err) != ALV_OK)
        fail_msg("open producer: %s", err.text);
    return producer;
}

void alv_topic_app_begin(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->begin(producer, &err) != ALV_OK)
        fail_msg("begin: %s", err.text);
}

void alv_topic_app_produce(alv_producer *producer, alv_topic topic, int32_t shard, const char *key,
                           const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_produce record = {
        .topic = topic, .shard = shard, .key = alv_view_of(key), .value = alv_view_of(value)};
    if (producer->ops->produce(producer, &record, &err) != ALV_OK)
        fail_msg("produce: %s", err.text);
}

void alv_topic_app_commit(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->commit(producer, NULL, NULL, 0, "n1-0", &err) != ALV_COMMIT_DONE)
        fail_msg("commit: %s", err.text);
    assert_false(producer->ops->tainted(producer));
}

void alv_topic_app_abort(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->abort(producer, &err) != ALV_OK)
        fail_msg("abort: %s", err.text);
}

/* `count` commands per shard in transactions of `per_transaction`, with an aborted one before each.
 * Values are the numbers from 0 on, per shard. */
void alv_topic_app_fill(alv_topic_app *app, int count, int per_transaction)
{
    alv_producer *producer = alv_topic_app_producer(app, 60);
    char value[16];
    for (int from = 0; from < count; from += per_transaction) {
        alv_topic_app_begin(producer);
        alv_topic_app_produce(producer, ALV_TOPIC_COMMANDS, from % ALV_TOPIC_APP_SHARDS, "k",
                              "aborted");
        alv_topic_app_abort(producer);
        alv_topic_app_begin(producer);
        for (int i = from; i < from + per_transaction && i < count; i++)
            for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++) {
                snprintf(value, sizeof(value), "%d", i);
                alv_topic_app_produce(producer, ALV_TOPIC_COMMANDS, shard, "k", value);
            }
        alv_topic_app_commit(producer);
    }
    producer->ops->close(producer);
}

/* ---- reading --------------------------------------------------------------------------------- */

alv_reader *alv_topic_app_reader(alv_topic_app *app)
{
    alv_reader *reader = NULL;
    assert_int_equal(app->log->ops->open_reader(app->log, "reader", &reader, NULL), ALV_OK);
    return reader;
}

/* Polls until the position of a shard is at the high watermark; appends the values, each with
 * ';'. */
void alv_topic_app_drain(alv_reader *reader, alv_topic topic, int32_t shard, alv_bytes *out)
{
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    int64_t start = -1;
    int64_t end = -1;
    int64_t deadline = alv_wait_deadline(ALV_TOPIC_APP_WAIT_MS);
    alv_batch_init(&batch, 100);
    if (reader->ops->range(reader, topic, shard, &start, &end, &err) != ALV_OK)
        fail_msg("range: %s", err.text);
    while (reader->ops->position(reader, topic, shard) < end) {
        if (reader->ops->poll(reader, 100, &batch, &err) != ALV_OK)
            fail_msg("poll: %s", err.text);
        for (size_t i = 0; i < batch.count; i++) {
            assert_int_equal(batch.records[i].topic, topic);
            alv_bytes_append(out, batch.records[i].value.data, batch.records[i].value.size);
            alv_bytes_append_text(out, ";");
        }
        if (alv_wait_expired(deadline))
            fail_msg("position %lld does not reach %lld",
                     (long long)reader->ops->position(reader, topic, shard), (long long)end);
    }
    assert_int_equal(reader->ops->position(reader, topic, shard), end);
    alv_batch_done(&batch);
}
