#include "tests/support/watch_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/wait.h"
#include "topics/kafka.h"

#define OPEN_MS 60000

/* ---- the world ------------------------------------------------------------------------------- */

alv_watch_world alv_world;

/* What of it is nobody else's. */
static struct {
    alv_config *config;
    alv_log_port *log;
    alv_log_port counting; /* hands on to `log` */
    alv_log_ops counting_ops;
    alv_reader_ops reader_ops; /* of a reader, but that closing counts */
    void (*close)(alv_reader *reader);
    int opened; /* readers, by the hubs */
    int closed;
} inner;

static void count_close(alv_reader *reader)
{
    inner.close(reader);
    __atomic_fetch_add(&inner.closed, 1, __ATOMIC_SEQ_CST);
}

static alv_status count_open_reader(alv_log_port *log, const char *name, alv_reader **out,
                                    alv_error *err)
{
    (void)log;
    alv_status status = inner.log->ops->open_reader(inner.log, name, out, err);
    if (status == ALV_OK)
        (*out)->ops = &inner.reader_ops;
    __atomic_fetch_add(&inner.opened, 1, __ATOMIC_SEQ_CST);
    return status;
}

static void config_add(const char *key, const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    char *assignment = alv_format("%s=%s", key, value);
    if (alv_config_set(inner.config, assignment, &err) != ALV_OK)
        fail_msg("%s: %s", assignment, err.text);
    alv_free(assignment);
}

/* A broker that has just started may want to be asked again for its transactions. */
static void open_producer(int32_t lane, alv_producer **out)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t deadline = alv_wait_deadline(OPEN_MS);
    alv_status status = inner.log->ops->open_producer(inner.log, lane, out, &err);
    while (status == ALV_RETRY && !alv_wait_expired(deadline)) {
        err = ALV_ERROR_NONE;
        status = inner.log->ops->open_producer(inner.log, lane, out, &err);
    }
    if (status != ALV_OK)
        fail_msg("producer: %s", err.text);
}

static void make_log(void)
{
    static int count;
    char id[64];
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPICS_MAX];
    (void)snprintf(id, sizeof id, "watch-%d-%d", (int)getpid(), count++);
    inner.config = alv_config_new();
    config_add("bootstrap.servers", alv_world.brokers);
    config_add("application.id", id);
    config_add("node.id", "writer");
    config_add("shards", "4");
    assert_int_equal(alv_config_finish(inner.config, &err), ALV_OK);
    if (alv_kafka_prepare_topics(inner.config, topics, &err) != ALV_OK)
        fail_msg("topics: %s", err.text);
    assert_int_equal(topics[ALV_TOPIC_CHANGELOG].shards, ALV_API_NODE_SHARDS);
    (void)snprintf(alv_world.topic, sizeof alv_world.topic, "%s.changelog", id);
    (void)snprintf(alv_world.topic_id, sizeof alv_world.topic_id, "%s",
                   topics[ALV_TOPIC_CHANGELOG].id);
    assert_int_equal(alv_kafka_open(inner.config, &inner.log, &err), ALV_OK);
    inner.counting_ops = *inner.log->ops;
    inner.counting_ops.open_reader = count_open_reader;
    inner.counting.ops = &inner.counting_ops;
    alv_reader *reader = NULL;
    assert_int_equal(inner.log->ops->open_reader(inner.log, "look", &reader, &err), ALV_OK);
    inner.reader_ops = *reader->ops;
    inner.close = inner.reader_ops.close;
    inner.reader_ops.close = count_close;
    inner.close(reader);
    inner.opened = 0;
    inner.closed = 0;
    alv_world.log = &inner.counting;
    open_producer(0, &alv_world.producer);
    open_producer(1, &alv_world.other);
}

int alv_watch_world_open(void **state)
{
    (void)state;
    alv_world.brokers = getenv("ALLUVIUM_TEST_KAFKA");
    assert_non_null(alv_world.brokers);
    make_log();
    alv_fake_group_init(&alv_world.group);
    for (int i = 0; i < ALV_WATCH_WORLD_NODES; i++) {
        alv_api_node_open(&alv_world.nodes[i], i == 0 ? "node-1" : "node-2", &alv_world.group);
        alv_api_open_watch(alv_world.nodes[i].api, alv_world.log, alv_world.topic_id);
    }
    alv_world.room = (alv_watch_room){.set = alv_sse_set_new(alv_test_watcher_hear, NULL),
                                      .brokers = alv_world.brokers,
                                      .topic = alv_world.topic,
                                      .shard_count = ALV_API_NODE_SHARDS};
    return 0;
}

int alv_watch_world_close(void **state)
{
    (void)state;
    alv_sse_set_free(alv_world.room.set);
    for (int i = 0; i < ALV_WATCH_WORLD_NODES; i++)
        alv_api_node_close(&alv_world.nodes[i]);
    alv_fake_group_done(&alv_world.group);
    alv_world.producer->ops->close(alv_world.producer);
    alv_world.other->ops->close(alv_world.other);
    inner.log->ops->close(inner.log);
    alv_config_free(inner.config);
    return 0;
}

const char *alv_watch_world_address(int node)
{
    return alv_api_node_address(&alv_world.nodes[node]);
}

int alv_watch_world_readers_opened(void)
{
    return __atomic_load_n(&inner.opened, __ATOMIC_SEQ_CST);
}

int alv_watch_world_readers_closed(void)
{
    return __atomic_load_n(&inner.closed, __ATOMIC_SEQ_CST);
}

/* ---- writing --------------------------------------------------------------------------------- */

void alv_watch_world_begin(alv_producer *producer)
{
    if (producer->ops->tainted(producer)) { /* a loaded machine, as in the product (I10) */
        assert_int_equal(producer->ops->renew(producer, NULL), ALV_OK);
    }
    assert_int_equal(producer->ops->begin(producer, NULL), ALV_OK);
}

void alv_watch_world_put_view(alv_producer *producer, const char *key, alv_view value)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_produce record = {
        .topic = ALV_TOPIC_CHANGELOG, .shard = -1, .key = alv_view_of(key), .value = value};
    if (producer->ops->produce(producer, &record, &err) != ALV_OK)
        fail_msg("produce: %s", err.text);
}

/* `value` NULL = a deletion. */
void alv_watch_world_put(alv_producer *producer, const char *key, const char *value)
{
    alv_watch_world_put_view(producer, key, alv_view_of(value));
}

void alv_watch_world_commit(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->commit(producer, NULL, NULL, 0, "writer", &err) != ALV_COMMIT_DONE)
        fail_msg("commit: %s", err.text);
}

void alv_watch_world_write(const char *key, const char *value)
{
    alv_watch_world_begin(alv_world.producer);
    alv_watch_world_put(alv_world.producer, key, value);
    alv_watch_world_commit(alv_world.producer);
}
