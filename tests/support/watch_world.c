#include "tests/support/watch_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/glob.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"
#include "topics/kafka.h"

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

static void make_log(void)
{
    static int count;
    char id[64];
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPIC_COUNT];
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
    assert_int_equal(inner.log->ops->open_producer(inner.log, 0, &alv_world.producer, &err),
                     ALV_OK);
    assert_int_equal(inner.log->ops->open_producer(inner.log, 1, &alv_world.other, &err), ALV_OK);
}

static void heard(void *payload, alv_sse *sse, const alv_sse_event *event);

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
    alv_world.set = alv_sse_set_new(heard, NULL);
    return 0;
}

int alv_watch_world_close(void **state)
{
    (void)state;
    alv_sse_set_free(alv_world.set);
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

/* ---- hearing --------------------------------------------------------------------------------- */

static void heard(void *payload, alv_sse *sse, const alv_sse_event *event)
{
    (void)payload;
    alv_test_watcher *it = sse->user;
    json_error_t why;
    json_t *data = json_loads(event->data, 0, &why);
    if (data == NULL)
        fail_msg("no JSON: %s: %.300s", why.text, event->data);
    if (strcmp(event->type, "reset") == 0) {
        assert_true(strlen(json_string_value(json_object_get(data, "reason"))) > 0);
        it->resets++;
        json_decref(data);
        return;
    }
    assert_string_equal(event->type, "message");
    int32_t shard = (int32_t)json_integer_value(json_object_get(data, "shard"));
    int64_t offset = json_integer_value(json_object_get(data, "offset"));
    const char *key = json_string_value(json_object_get(data, "key"));
    json_t *state = json_object_get(data, "state");
    assert_non_null(key);
    assert_non_null(state);
    assert_non_null(json_string_value(json_object_get(data, "type")));
    assert_int_equal(strlen(json_string_value(json_object_get(data, "at"))), 24);
    assert_int_equal(shard, alv_api_node_shard(key));
    if (offset <= it->last[shard])
        fail_msg("%s: shard %d: %" PRId64 " after %" PRId64, it->path, shard, offset,
                 it->last[shard]);
    it->last[shard] = offset;
    assert_true(it->count < ALV_WATCH_WORLD_HEARD_MAX);
    it->heard[it->count++] = (alv_watch_place){shard, offset};
    if (it->tells) {
        char *text = json_dumps(state, JSON_COMPACT | JSON_ENCODE_ANY);
        alv_bytes_printf(&it->story, "%s %s;", key, text);
        free(text);
    }
    json_decref(data);
}

void alv_test_watcher_init(alv_test_watcher *it, alv_watch_kind kind, const char *text)
{
    static const char *const names[] = {"key", "prefix", "pattern"};
    *it = (alv_test_watcher){.kind = kind, .tells = true};
    (void)snprintf(it->text, sizeof it->text, "%s", text);
    (void)snprintf(it->path, sizeof it->path, "/v1/watch?%s=%s", names[kind], text);
    it->heard = alv_alloc_array(ALV_WATCH_WORLD_HEARD_MAX, sizeof *it->heard);
    it->last_id = alv_strdup("");
    for (int shard = 0; shard < ALV_API_NODE_SHARDS; shard++)
        it->last[shard] = -1;
}

void alv_test_watcher_leave(alv_test_watcher *it)
{
    if (it->sse == NULL)
        return;
    alv_free(it->last_id);
    it->last_id = alv_strdup(it->sse->last_id);
    alv_sse_close(alv_world.set, it->sse);
    it->sse = NULL;
}

void alv_test_watcher_done(alv_test_watcher *it)
{
    alv_test_watcher_leave(it);
    alv_free(it->last_id);
    alv_free(it->heard);
    alv_bytes_done(&it->story);
}

void alv_test_watcher_come(alv_test_watcher *it, int node)
{
    assert_null(it->sse);
    it->sse =
        alv_sse_open(alv_world.set, alv_watch_world_address(node), it->path, it->last_id, it, 0);
}

void alv_test_watcher_open(alv_test_watcher *it, int node, alv_watch_kind kind, const char *text)
{
    alv_test_watcher_init(it, kind, text);
    alv_test_watcher_come(it, node);
    assert_int_equal(alv_sse_wait_open(alv_world.set, it->sse, ALV_WATCH_WORLD_WAIT_MS), 200);
    assert_true(strlen(it->sse->last_id) > 0);
}

typedef struct wait_count {
    const alv_test_watcher *it;
    int count;
} wait_count;

static bool has_count(void *payload)
{
    const wait_count *wait = payload;
    return wait->it->count >= wait->count;
}

void alv_test_watcher_wait_heard(const alv_test_watcher *it, int count)
{
    wait_count wait = {it, count};
    if (!alv_sse_until(alv_world.set, has_count, &wait, ALV_WATCH_WORLD_WAIT_MS))
        fail_msg("%s: heard %d of %d", it->path, it->count, count);
}

void alv_test_watcher_expect_story(const alv_test_watcher *it, const char *story)
{
    alv_view told = alv_bytes_view(&it->story);
    if (!alv_view_equal(told, alv_view_of(story)))
        fail_msg("%s heard \"%.*s\"", it->path, (int)told.size, told.data);
}

/* ---- what there was to hear ------------------------------------------------------------------ */

typedef struct expectation {
    const alv_test_watcher *it;
    alv_watch_place *places;
    int count;
} expectation;

static bool concerns(const alv_test_watcher *it, alv_view key)
{
    switch (it->kind) {
    case ALV_WATCH_KEY:
        return alv_view_equal(key, alv_view_of(it->text));
    case ALV_WATCH_PREFIX:
        return alv_view_starts_with(key, alv_view_of(it->text));
    case ALV_WATCH_PATTERN:
        return alv_glob_match(alv_view_of(it->text), key);
    }
    return false;
}

static void note_expected(void *payload, const alv_wire_message *message)
{
    expectation *expected = payload;
    if (concerns(expected->it, message->key)) {
        assert_true(expected->count < ALV_WATCH_WORLD_HEARD_MAX);
        expected->places[expected->count++] =
            (alv_watch_place){message->partition, message->offset};
    }
}

int alv_watch_place_compare(const void *left, const void *right)
{
    const alv_watch_place *a = left;
    const alv_watch_place *b = right;
    if (a->shard != b->shard)
        return a->shard < b->shard ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* Everything in the topic that concerns it, and nothing twice: the order within each shard was checked
 * as it came. */
void alv_test_watcher_expect_all(alv_test_watcher *it)
{
    expectation expected = {
        .it = it, .places = alv_alloc_array(ALV_WATCH_WORLD_HEARD_MAX, sizeof *expected.places)};
    alv_wire_read(alv_world.brokers, alv_world.topic, note_expected, &expected);
    alv_test_watcher_wait_heard(it, expected.count);
    assert_int_equal(it->count, expected.count);
    qsort(it->heard, (size_t)it->count, sizeof(alv_watch_place), alv_watch_place_compare);
    qsort(expected.places, (size_t)expected.count, sizeof(alv_watch_place),
          alv_watch_place_compare);
    for (int i = 0; i < it->count; i++)
        assert_int_equal(alv_watch_place_compare(&it->heard[i], &expected.places[i]), 0);
    alv_free(expected.places);
}
