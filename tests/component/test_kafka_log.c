/* Goal:   the log port over a real broker keeps the promises that lanes, replicator and
 *         checkpointer rest on: what is aborted is never seen, no record is skipped or handed out
 *         from before a `start`, shards move between members with the listener still able to
 *         commit, a second producer fences the first, and positions reach the end of the log across
 *         control records.
 * Method: each test makes an application of its own on the broker that ALLUVIUM_TEST_KAFKA names
 *         (host:port), and looks at what comes back. Without that variable all is skipped. What a
 *         healthy broker does not do, time-outs and lost answers, is in test_kafka_faults.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/wait.h"
#include "topics/kafka.h"
#include "topics/partitioner.h"

#define SHARDS 4
#define WAIT_MS 20000

static const char *broker;

/* ---- an application on the broker ------------------------------------------------------------ */

typedef struct test_app {
    char id[64];
    alv_config *config;
    alv_log_port *log;
} test_app;

static void app_id(char out[64])
{
    static int count;
    snprintf(out, 64, "test-%d-%lld-%d", (int)getpid(),
             (long long)(alv_now_ms(alv_clock_system()) % 100000000), count++);
}

static void config_add(alv_config *config, const char *key, const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    char *assignment = alv_format("%s=%s", key, value);
    if (alv_config_set(config, assignment, &err) != ALV_OK)
        fail_msg("%s: %s", assignment, err.text);
    alv_free(assignment);
}

static alv_config *config_new(const char *id, const char *node, const char *shards)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    config_add(config, "bootstrap.servers", broker);
    config_add(config, "application.id", id);
    config_add(config, "node.id", node);
    if (shards != NULL)
        config_add(config, "shards", shards);
    if (alv_config_finish(config, &err) != ALV_OK)
        fail_msg("config: %s", err.text);
    return config;
}

static void app_join(test_app *app, const char *id, const char *node)
{
    alv_error err = ALV_ERROR_NONE;
    snprintf(app->id, sizeof(app->id), "%s", id);
    app->config = config_new(id, node, "4");
    if (alv_kafka_open(app->config, &app->log, &err) != ALV_OK)
        fail_msg("open: %s", err.text);
}

static void app_new(test_app *app)
{
    char id[64];
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPIC_COUNT];
    app_id(id);
    app_join(app, id, "n1");
    if (alv_kafka_prepare_topics(app->config, topics, &err) != ALV_OK)
        fail_msg("prepare: %s", err.text);
    assert_int_equal(topics[ALV_TOPIC_COMMANDS].shards, SHARDS);
    assert_true(strlen(topics[ALV_TOPIC_CHANGELOG].id) > 10);
    assert_string_not_equal(topics[ALV_TOPIC_CHANGELOG].id, topics[ALV_TOPIC_LEDGER].id);
}

static void app_done(test_app *app)
{
    app->log->ops->close(app->log);
    alv_config_free(app->config);
}

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ---- producing ------------------------------------------------------------------------------- */

static alv_producer *producer_open(test_app *app, int lane)
{
    alv_producer *producer = NULL;
    alv_error err = ALV_ERROR_NONE;
    if (app->log->ops->open_producer(app->log, lane, &producer, &err) != ALV_OK)
        fail_msg("open producer: %s", err.text);
    return producer;
}

static void begin(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->begin(producer, &err) != ALV_OK)
        fail_msg("begin: %s", err.text);
}

static void produce(alv_producer *producer, alv_topic topic, int32_t shard, const char *key,
                    const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_produce record = {
        .topic = topic, .shard = shard, .key = alv_view_of(key), .value = alv_view_of(value)};
    if (producer->ops->produce(producer, &record, &err) != ALV_OK)
        fail_msg("produce: %s", err.text);
}

static void commit(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->commit(producer, NULL, NULL, 0, "n1-0", &err) != ALV_COMMIT_DONE)
        fail_msg("commit: %s", err.text);
    assert_false(producer->ops->tainted(producer));
}

static void abort_it(alv_producer *producer)
{
    alv_error err = ALV_ERROR_NONE;
    if (producer->ops->abort(producer, &err) != ALV_OK)
        fail_msg("abort: %s", err.text);
}

/* `count` commands per shard in transactions of `per_transaction`, with an aborted one before each.
 * Values are the numbers from 0 on, per shard. */
static void fill_commands(test_app *app, int count, int per_transaction)
{
    alv_producer *producer = producer_open(app, 60);
    char value[16];
    for (int from = 0; from < count; from += per_transaction) {
        begin(producer);
        produce(producer, ALV_TOPIC_COMMANDS, from % SHARDS, "k", "aborted");
        abort_it(producer);
        begin(producer);
        for (int i = from; i < from + per_transaction && i < count; i++)
            for (int32_t shard = 0; shard < SHARDS; shard++) {
                snprintf(value, sizeof(value), "%d", i);
                produce(producer, ALV_TOPIC_COMMANDS, shard, "k", value);
            }
        commit(producer);
    }
    producer->ops->close(producer);
}

/* ---- a member of the group ------------------------------------------------------------------- */

typedef struct test_member {
    alv_consumer *consumer;
    alv_batch batch;
    bool owned[SHARDS];
    bool was_lost;
    int revocations;
    bool start_in_listener;
    void (*on_revoke)(struct test_member *member);
    alv_producer *producer; /* for on_revoke */
    alv_commit_outcome outcome;
    int64_t next[SHARDS];  /* what comes next, by value */
    int64_t after[SHARDS]; /* offset after the last one seen */
} test_member;

static void member_assigned(void *payload, const int32_t *shards, size_t count)
{
    test_member *member = payload;
    for (size_t i = 0; i < count; i++) {
        assert_false(member->owned[shards[i]]);
        member->owned[shards[i]] = true;
        if (member->start_in_listener)
            assert_int_equal(member->consumer->ops->start(member->consumer, shards[i], 0, NULL),
                             ALV_OK);
    }
}

static void member_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    test_member *member = payload;
    member->revocations++;
    member->was_lost = lost;
    if (member->on_revoke != NULL)
        member->on_revoke(member);
    for (size_t i = 0; i < count; i++) {
        assert_true(member->owned[shards[i]]);
        member->owned[shards[i]] = false;
    }
}

static void member_join(test_member *member, test_app *app, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_rebalance_listener listener = {member_assigned, member_revoked, member};
    alv_batch_init(&member->batch, 500);
    if (app->log->ops->open_consumer(app->log, lane, &listener, &member->consumer, &err) != ALV_OK)
        fail_msg("open consumer: %s", err.text);
}

static void member_leave(test_member *member)
{
    member->consumer->ops->close(member->consumer, false);
    alv_batch_done(&member->batch);
}

static int member_owned(const test_member *member)
{
    int count = 0;
    for (int shard = 0; shard < SHARDS; shard++)
        count += member->owned[shard];
    return count;
}

/* Checks that the records of a batch are the next ones of their shards, none left out. */
static void member_check(test_member *member)
{
    for (size_t i = 0; i < member->batch.count; i++) {
        const alv_record *record = &member->batch.records[i];
        char value[16] = "";
        assert_true(record->value.size < sizeof(value));
        memcpy(value, record->value.data, record->value.size);
        assert_true(member->owned[record->shard]);
        assert_int_equal(record->topic, ALV_TOPIC_COMMANDS);
        if (atoll(value) != member->next[record->shard])
            fail_msg("shard %d: %s came, %lld was next", (int)record->shard, value,
                     (long long)member->next[record->shard]);
        assert_true(record->offset >= member->after[record->shard]);
        member->next[record->shard]++;
        member->after[record->shard] = record->offset + 1;
    }
}

static size_t member_poll(test_member *member, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        member->consumer->ops->poll(member->consumer, timeout_ms, &member->batch, &err);
    if (status != ALV_OK && status != ALV_RETRY)
        fail_msg("poll: %s", err.text);
    member_check(member);
    return member->batch.count;
}

static void members_settle(test_member *members, int count, const int *wanted)
{
    int64_t deadline = now_ms() + WAIT_MS;
    bool settled = false;
    while (!settled) {
        settled = true;
        for (int i = 0; i < count; i++) {
            member_poll(&members[i], 20);
            settled = settled && member_owned(&members[i]) == wanted[i];
        }
        if (now_ms() > deadline)
            fail_msg("the group does not settle");
    }
}

static void member_settle(test_member *member)
{
    members_settle(member, 1, (const int[]){SHARDS});
}

static void member_start(test_member *member, int32_t shard, int64_t offset)
{
    alv_error err = ALV_ERROR_NONE;
    if (member->consumer->ops->start(member->consumer, shard, offset, &err) != ALV_OK)
        fail_msg("start: %s", err.text);
}

static void member_start_all(test_member *member)
{
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        member->next[shard] = 0;
        member->after[shard] = 0;
        member_start(member, shard, 0);
    }
}

/* Polls until each shard in `mask` has delivered up to value `count`. */
static void member_read(test_member *member, unsigned mask, int64_t count)
{
    int64_t deadline = now_ms() + WAIT_MS;
    bool done = false;
    while (!done) {
        member_poll(member, 50);
        done = true;
        for (int shard = 0; shard < SHARDS; shard++)
            done = done && ((mask >> shard & 1) == 0 || member->next[shard] >= count);
        if (now_ms() > deadline)
            fail_msg("only %lld %lld %lld %lld came", (long long)member->next[0],
                     (long long)member->next[1], (long long)member->next[2],
                     (long long)member->next[3]);
    }
}

/* Polls for a while in which nothing must come. */
static void member_expect_silence(test_member *member, int for_ms)
{
    int64_t until = now_ms() + for_ms;
    while (now_ms() < until)
        assert_int_equal(member_poll(member, 20), 0);
}

/* ---- topics ---------------------------------------------------------------------------------- */

/* Tried again for a while, because a change of a setting takes a moment to be seen. */
static void topics_expect_refusal(const alv_config *config, const char *first, const char *second)
{
    alv_error err = ALV_ERROR_NONE;
    int64_t deadline = now_ms() + WAIT_MS;
    do {
        alv_topic_info topics[ALV_TOPIC_COUNT];
        alv_error_clear(&err);
        if (alv_kafka_prepare_topics(config, topics, &err) == ALV_REJECT &&
            strstr(err.text, first) != NULL && strstr(err.text, second) != NULL) {
            return;
        }
    } while (now_ms() < deadline);
    fail_msg("'%s' does not say '%s' and '%s'", err.text, first, second);
}

static void topic_alter(const test_app *app, const char *suffix, const char *key, const char *value)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    rd_kafka_conf_set(conf, "bootstrap.servers", broker, text, sizeof(text));
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    char *name = alv_format("%s.%s", app->id, suffix);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_error_destroy(rd_kafka_ConfigResource_add_incremental_config(
        resource, key, RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value));
    rd_kafka_IncrementalAlterConfigs(rk, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    alv_free(name);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void topics__are_refused_when_missing_and_may_not_be_created(void **state)
{
    (void)state;
    char id[64];
    app_id(id);
    alv_config *config = alv_config_new();
    config_add(config, "bootstrap.servers", broker);
    config_add(config, "application.id", id);
    config_add(config, "topics.create", "false");
    assert_int_equal(alv_config_finish(config, NULL), ALV_OK);
    topics_expect_refusal(config, "commands", "does not exist");
    alv_topic_info info[ALV_TOPIC_COUNT];
    assert_int_equal(alv_kafka_describe_topics(config, info, NULL), ALV_OK);
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        assert_false(info[topic].exists);
        assert_string_not_equal(info[topic].problem, "");
    }
    alv_config_free(config);
}

static void topics__are_created_once_with_their_policies(void **state)
{
    (void)state;
    test_app app;
    size_t created = 99;
    alv_topic_info info[ALV_TOPIC_COUNT];
    app_new(&app);
    assert_int_equal(alv_kafka_create_topics(app.config, &created, NULL), ALV_OK);
    assert_int_equal(created, 0);
    assert_int_equal(alv_kafka_describe_topics(app.config, info, NULL), ALV_OK);
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        assert_true(info[topic].exists);
        assert_int_equal(info[topic].shards, SHARDS);
        assert_int_equal(info[topic].replication_factor, 1);
        assert_string_equal(info[topic].cleanup_policy,
                            alv_schema_is_compacted((alv_topic)topic) ? "compact" : "delete");
        assert_string_equal(info[topic].problem, "");
    }
    app_done(&app);
}

static void topics__take_the_shard_count_that_is_there(void **state)
{
    (void)state;
    test_app app;
    alv_topic_info topics[ALV_TOPIC_COUNT];
    app_new(&app);
    alv_config *unset = config_new(app.id, "n1", NULL);
    assert_int_equal(alv_kafka_prepare_topics(unset, topics, NULL), ALV_OK);
    assert_int_equal(topics[ALV_TOPIC_COMMANDS].shards, SHARDS);
    alv_config *other = config_new(app.id, "n1", "8");
    topics_expect_refusal(other, "4 partitions", "8");
    alv_config_free(unset);
    alv_config_free(other);
    app_done(&app);
}

static void topics__with_a_wrong_policy_are_refused(void **state)
{
    (void)state;
    test_app app;
    app_new(&app);
    topic_alter(&app, "ledger", "cleanup.policy", "compact,delete");
    topics_expect_refusal(app.config, ".ledger", "cleanup.policy=compact,delete");
    topic_alter(&app, "ledger", "cleanup.policy", "compact");
    topic_alter(&app, "changelog", "max.message.bytes", "1000");
    topics_expect_refusal(app.config, ".changelog", "max.message.bytes=1000");
    app_done(&app);
}

static void *create_topics(void *payload)
{
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPIC_COUNT];
    if (alv_kafka_prepare_topics(payload, topics, &err) != ALV_OK ||
        topics[ALV_TOPIC_LEDGER].shards != SHARDS)
        return alv_strdup(err.text);
    return NULL;
}

static void topics__can_be_created_by_two_nodes_at_once(void **state)
{
    (void)state;
    char id[64];
    pthread_t threads[2];
    alv_config *configs[2];
    app_id(id);
    for (int i = 0; i < 2; i++) {
        configs[i] = config_new(id, i == 0 ? "n1" : "n2", "4");
        pthread_create(&threads[i], NULL, create_topics, configs[i]);
    }
    for (int i = 0; i < 2; i++) {
        void *problem = NULL;
        pthread_join(threads[i], &problem);
        if (problem != NULL)
            fail_msg("%s", (char *)problem);
        alv_config_free(configs[i]);
    }
}

static void settings__that_correctness_needs_cannot_be_passed_through(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "kafka.enable.auto.commit=true",
        "kafka.isolation.level=read_uncommitted",
        "kafka.group.id=x",
        "kafka.group.instance.id=x",
        "kafka.transactional.id=x",
        "kafka.enable.idempotence=false",
        "kafka.client.id=x",
        "kafka.partition.assignment.strategy=range",
        "kafka.acks=1",
        "kafka.auto.offset.reset=latest",
        "kafka.no.such.setting=1",
        "kafka.linger.ms=soon",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        alv_error err = ALV_ERROR_NONE;
        alv_log_port *log = NULL;
        alv_config *config = alv_config_new();
        alv_status status = alv_config_set(config, refused[i], &err);
        if (status == ALV_OK)
            status = alv_config_finish(config, &err);
        if (status == ALV_OK)
            status = alv_kafka_open(config, &log, &err);
        if (status != ALV_REJECT || strstr(err.text, "kafka.") == NULL)
            fail_msg("%s: %s %s", refused[i], alv_status_name(status), err.text);
        alv_config_free(config);
    }
}

/* ---- transactions and the reader ------------------------------------------------------------- */

static alv_reader *reader_open(test_app *app)
{
    alv_reader *reader = NULL;
    assert_int_equal(app->log->ops->open_reader(app->log, "reader", &reader, NULL), ALV_OK);
    return reader;
}

/* Polls until the position of a shard is at the high watermark; appends the values, each with
 * ';'. */
static void reader_drain(alv_reader *reader, alv_topic topic, int32_t shard, alv_bytes *out)
{
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    int64_t start = -1;
    int64_t end = -1;
    int64_t deadline = now_ms() + WAIT_MS;
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
        if (now_ms() > deadline)
            fail_msg("position %lld does not reach %lld",
                     (long long)reader->ops->position(reader, topic, shard), (long long)end);
    }
    assert_int_equal(reader->ops->position(reader, topic, shard), end);
    alv_batch_done(&batch);
}

static void transaction__is_seen_after_commit_and_never_after_abort(void **state)
{
    (void)state;
    test_app app;
    alv_bytes seen = ALV_BYTES_EMPTY;
    app_new(&app);
    alv_producer *producer = producer_open(&app, 0);
    alv_reader *reader = reader_open(&app);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "one");
    produce(producer, ALV_TOPIC_CHANGELOG, 1, "b", "two");
    commit(producer);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "never");
    assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK); /* it is in the log */
    abort_it(producer);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "three");
    commit(producer);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "never");
    assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK);
    abort_it(producer);

    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 1, 0, NULL), ALV_OK);
    reader_drain(reader, ALV_TOPIC_CHANGELOG, 1, &seen);
    assert_true(alv_view_equal(alv_bytes_view(&seen), ALV_VIEW("one;two;three;")));
    /* 3 records, 2 aborted ones, 4 markers */
    assert_int_equal(reader->ops->position(reader, ALV_TOPIC_CHANGELOG, 1), 9);
    alv_bytes_done(&seen);
    reader->ops->close(reader);
    producer->ops->close(producer);
    app_done(&app);
}

static void reader__waits_behind_an_open_transaction(void **state)
{
    (void)state;
    test_app app;
    alv_bytes seen = ALV_BYTES_EMPTY;
    alv_batch batch;
    int64_t start;
    int64_t end;
    app_new(&app);
    alv_producer *producer = producer_open(&app, 0);
    alv_reader *reader = reader_open(&app);
    alv_batch_init(&batch, 10);
    begin(producer);
    produce(producer, ALV_TOPIC_LEDGER, 0, "a", "open");
    assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK);
    assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_LEDGER, 0), 1);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_LEDGER, 0, 0, NULL), ALV_OK);
    /* The end is the high watermark, which the position must not reach yet. */
    assert_int_equal(reader->ops->range(reader, ALV_TOPIC_LEDGER, 0, &start, &end, NULL), ALV_OK);
    assert_int_equal(end, 1);
    /* Committed ends do not move while it is open. */
    alv_shard_offset ends[] = {{2, -1}, {0, -1}};
    assert_int_equal(reader->ops->ends(reader, ALV_TOPIC_LEDGER, ends, 2, WAIT_MS, NULL), ALV_OK);
    assert_int_equal(ends[0].offset, 0);
    assert_int_equal(ends[1].offset, 0);
    for (int64_t until = now_ms() + 300; now_ms() < until;) {
        assert_int_equal(reader->ops->poll(reader, 50, &batch, NULL), ALV_OK);
        assert_int_equal(batch.count, 0);
        assert_int_equal(reader->ops->position(reader, ALV_TOPIC_LEDGER, 0), 0);
    }
    commit(producer);
    reader_drain(reader, ALV_TOPIC_LEDGER, 0, &seen);
    assert_true(alv_view_equal(alv_bytes_view(&seen), ALV_VIEW("open;")));
    assert_int_equal(reader->ops->ends(reader, ALV_TOPIC_LEDGER, ends, 2, WAIT_MS, NULL), ALV_OK);
    assert_int_equal(ends[0].offset, 0);
    assert_int_equal(ends[1].offset, 2); /* the record and its marker */
    alv_bytes_done(&seen);
    alv_batch_done(&batch);
    reader->ops->close(reader);
    producer->ops->close(producer);
    app_done(&app);
}

static void reader__can_be_sent_back_and_paused(void **state)
{
    (void)state;
    test_app app;
    alv_batch batch;
    app_new(&app);
    alv_producer *producer = producer_open(&app, 0);
    alv_reader *reader = reader_open(&app);
    begin(producer);
    for (int i = 0; i < 1000; i++)
        produce(producer, ALV_TOPIC_CHANGELOG, 2, "k", "v");
    commit(producer);
    alv_batch_init(&batch, 7);
    int64_t next = 0;
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 2, 0, NULL), ALV_OK);
    for (int round = 0; round < 200 || next < 1000; round++) {
        assert_int_equal(reader->ops->poll(reader, 100, &batch, NULL), ALV_OK);
        for (size_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.records[i].offset, next++);
        if (round % 20 == 5) {
            reader->ops->pause_all(reader, true);
            assert_int_equal(reader->ops->poll(reader, 1, &batch, NULL), ALV_OK);
            assert_int_equal(batch.count, 0);
            reader->ops->pause_all(reader, false);
        }
        if (round % 20 == 10 && round < 200) {
            next = round % 3 * 100; /* also forwards */
            assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 2, next, NULL),
                             ALV_OK);
            assert_int_equal(reader->ops->position(reader, ALV_TOPIC_CHANGELOG, 2), next);
        }
        assert_true(round < 5000);
    }
    reader->ops->unassign(reader, ALV_TOPIC_CHANGELOG, 2);
    assert_int_equal(reader->ops->poll(reader, 100, &batch, NULL), ALV_OK);
    assert_int_equal(batch.count, 0);
    reader->ops->close(reader);
    alv_batch_done(&batch);
    producer->ops->close(producer);
    app_done(&app);
}

static void reader__reports_an_offset_that_is_not_in_the_log(void **state)
{
    (void)state;
    test_app app;
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    app_new(&app);
    alv_reader *reader = reader_open(&app);
    alv_batch_init(&batch, 10);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 3, 1000, NULL), ALV_OK);
    for (int64_t deadline = now_ms() + WAIT_MS; status == ALV_OK && now_ms() < deadline;)
        status = reader->ops->poll(reader, 100, &batch, &err);
    assert_int_equal(status, ALV_REJECT);
    assert_non_null(strstr(err.text, "changelog shard 3"));
    reader->ops->unassign(reader, ALV_TOPIC_CHANGELOG, 3);
    assert_int_equal(reader->ops->poll(reader, 100, &batch, NULL), ALV_OK);
    alv_batch_done(&batch);
    reader->ops->close(reader);
    app_done(&app);
}

static void records__keep_headers_keys_times_and_absence(void **state)
{
    (void)state;
    test_app app;
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    app_new(&app);
    alv_producer *producer = producer_open(&app, 0);
    alv_reader *reader = reader_open(&app);
    const alv_header headers[] = {{"reply-to", {"somewhere", 9}},
                                  {"empty", {"", 0}},
                                  {"null", ALV_VIEW_NONE},
                                  {"bytes", {"a\0b", 3}}};
    const alv_produce full = {.topic = ALV_TOPIC_EVENTS,
                              .shard = 0,
                              .timestamp_ms = 1700000000123,
                              .key = ALV_VIEW("k\0y"),
                              .value = ALV_VIEW("value"),
                              .headers = headers,
                              .header_count = 4};
    begin(producer);
    assert_int_equal(producer->ops->produce(producer, &full, &err), ALV_OK);
    produce(producer, ALV_TOPIC_EVENTS, 0, "gone", NULL);
    produce(producer, ALV_TOPIC_EVENTS, 0, NULL, "");
    commit(producer);

    alv_batch_init(&batch, 10);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_EVENTS, 0, 0, NULL), ALV_OK);
    alv_record records[3];
    for (int64_t deadline = now_ms() + WAIT_MS; batch.count < 3 && now_ms() < deadline;)
        assert_int_equal(reader->ops->poll(reader, 200, &batch, NULL), ALV_OK);
    assert_int_equal(batch.count, 3);
    memcpy(records, batch.records, sizeof(records));
    assert_true(alv_view_equal(records[0].key, full.key));
    assert_true(alv_view_equal(records[0].value, full.value));
    assert_int_equal(records[0].timestamp_ms, 1700000000123);
    assert_true(alv_view_equal(records[1].key, ALV_VIEW("gone")));
    assert_null(records[1].value.data);
    assert_null(records[2].key.data);
    assert_non_null(records[2].value.data);
    assert_int_equal(records[2].value.size, 0);

    alv_header found[8];
    assert_int_equal(app.log->ops->headers(&records[0], found, 8), 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(found[i].name, headers[i].name);
        assert_true(alv_view_equal(found[i].value, headers[i].value));
    }
    assert_int_equal(app.log->ops->headers(&records[0], found, 2), 4);
    assert_int_equal(app.log->ops->headers(&records[1], found, 8), 0);
    reader->ops->close(reader); /* empties the batch that is still held */
    assert_int_equal(batch.count, 0);
    alv_batch_done(&batch);
    producer->ops->close(producer);
    app_done(&app);
}

static void producer__refuses_only_what_can_never_be_written(void **state)
{
    (void)state;
    test_app app;
    alv_bytes seen = ALV_BYTES_EMPTY;
    app_new(&app);
    alv_producer *producer = producer_open(&app, 0);
    alv_reader *reader = reader_open(&app);
    char *value = alv_alloc(2000000);
    memset(value, 'x', 2000000);
    alv_produce record = {.topic = ALV_TOPIC_CHANGELOG, .key = ALV_VIEW("k")};
    record.value = (alv_view){value, 2000000};
    begin(producer);
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_REJECT);
    record.value.size = 1000 * 1000; /* ALV_STATE_BYTES_MAX */
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_OK);
    commit(producer);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 0, 0, NULL), ALV_OK);
    reader_drain(reader, ALV_TOPIC_CHANGELOG, 0, &seen);
    assert_int_equal(seen.size, 1000 * 1000 + 1);
    alv_free(value);
    alv_bytes_done(&seen);
    reader->ops->close(reader);
    producer->ops->close(producer);
    app_done(&app);
}

static void producer__knows_where_it_wrote(void **state)
{
    (void)state;
    test_app app;
    app_new(&app);
    alv_producer *producer = producer_open(&app, 0);
    for (int64_t round = 0; round < 3; round++) {
        begin(producer);
        for (int32_t shard = 0; shard < SHARDS; shard++)
            assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_CHANGELOG, shard),
                             ALV_OFFSET_NONE);
        for (int i = 0; i < 10; i++)
            produce(producer, ALV_TOPIC_CHANGELOG, 3, "k", "v");
        assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK);
        assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_CHANGELOG, 3),
                         round * 11 + 10);
        assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_LEDGER, 3),
                         ALV_OFFSET_NONE);
        commit(producer);
        assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_CHANGELOG, 3),
                         round * 11 + 10);
    }
    producer->ops->close(producer);
    app_done(&app);
}

static void producer__is_fenced_by_another_of_the_same_name(void **state)
{
    (void)state;
    test_app app;
    alv_error err = ALV_ERROR_NONE;
    alv_bytes seen = ALV_BYTES_EMPTY;
    app_new(&app);
    alv_producer *zombie = producer_open(&app, 0);
    begin(zombie);
    produce(zombie, ALV_TOPIC_CHANGELOG, 0, "k", "zombie");
    assert_int_equal(zombie->ops->flush(zombie, NULL), ALV_OK);
    alv_producer *owner = producer_open(&app, 0); /* aborts what the zombie left open */
    assert_int_equal(zombie->ops->commit(zombie, NULL, NULL, 0, "n1-0", &err), ALV_COMMIT_UNKNOWN);
    assert_int_equal(err.status, ALV_RETRY);
    assert_true(zombie->ops->tainted(zombie));
    assert_int_equal(zombie->ops->begin(zombie, NULL), ALV_FENCED);

    begin(owner);
    produce(owner, ALV_TOPIC_CHANGELOG, 0, "k", "owner");
    commit(owner);
    begin(owner);
    produce(owner, ALV_TOPIC_CHANGELOG, 0, "k", "owner, aborted by the renewal");
    assert_int_equal(owner->ops->flush(owner, NULL), ALV_OK);
    assert_int_equal(zombie->ops->renew(zombie, NULL), ALV_OK);
    assert_false(zombie->ops->tainted(zombie));
    begin(zombie);
    produce(zombie, ALV_TOPIC_CHANGELOG, 0, "k", "renewed");
    commit(zombie);
    err = ALV_ERROR_NONE;
    produce(owner, ALV_TOPIC_CHANGELOG, 1, "k", "late");
    assert_int_equal(owner->ops->flush(owner, &err), ALV_FENCED);

    alv_reader *reader = reader_open(&app);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 0, 0, NULL), ALV_OK);
    reader_drain(reader, ALV_TOPIC_CHANGELOG, 0, &seen);
    assert_true(alv_view_equal(alv_bytes_view(&seen), ALV_VIEW("owner;renewed;")));
    alv_bytes_done(&seen);
    reader->ops->close(reader);
    owner->ops->close(owner);
    zombie->ops->close(zombie);
    app_done(&app);
}

/* ---- consumer -------------------------------------------------------------------------------- */

static void consumer__is_silent_until_started(void **state)
{
    (void)state;
    test_app app;
    test_member member = {0};
    app_new(&app);
    fill_commands(&app, 10, 5);
    member_join(&member, &app, 0);
    member_settle(&member);
    member_expect_silence(&member, 300);
    member_start(&member, 2, 0);
    member_read(&member, 1u << 2, 10);
    assert_int_equal(member.next[0] + member.next[1] + member.next[3], 0);
    member_leave(&member);
    assert_int_equal(member_owned(&member), 0);
    assert_false(member.was_lost);
    app_done(&app);
}

static void consumer__can_be_started_inside_the_listener(void **state)
{
    (void)state;
    test_app app;
    test_member member = {.start_in_listener = true};
    app_new(&app);
    fill_commands(&app, 200, 50);
    member_join(&member, &app, 0);
    member_read(&member, 15, 200);
    member_leave(&member);
    app_done(&app);
}

/* Sends shards back again and again while records stream in, as aborts do. member_check fails on
 * the first record that is skipped, repeated or from before a start. */
static void consumer__starts_again_from_earlier_exactly(void **state)
{
    (void)state;
    test_app app;
    test_member member = {0};
    int64_t offsets[SHARDS][20000]; /* offset of each value */
    const int count = 20000;
    unsigned random = 7;
    app_new(&app);
    fill_commands(&app, count, 1000);
    member_join(&member, &app, 0);
    member_settle(&member);
    member_start_all(&member);
    for (int round = 0; round < 400; round++) {
        if (member_poll(&member, 100) > 0)
            for (size_t i = 0; i < member.batch.count; i++) {
                const alv_record *record = &member.batch.records[i];
                offsets[record->shard][atoi(record->value.data)] = record->offset;
            }
        random = random * 1103515245u + 12345u;
        int32_t shard = (int32_t)(random >> 16) % SHARDS;
        if (round % 3 == 0 && member.next[shard] > 0) {
            int64_t back = (int64_t)(random >> 18) % member.next[shard];
            if (round % 6 == 0)
                assert_int_equal(member.consumer->ops->pause(member.consumer, shard, NULL), ALV_OK);
            member.next[shard] = back;
            member.after[shard] = offsets[shard][back];
            member_start(&member, shard, offsets[shard][back]);
        }
    }
    member_read(&member, 15, count);
    member_expect_silence(&member, 200);

    /* From the end on, from 0 on, and behind an aborted record. */
    int64_t start;
    int64_t end;
    assert_int_equal(member.consumer->ops->range(member.consumer, 0, &start, &end, NULL), ALV_OK);
    assert_int_equal(start, 0);
    assert_true(end > count);
    member_start(&member, 0, end);
    member_expect_silence(&member, 200);
    member_start_all(&member);
    member_read(&member, 15, count);
    member_leave(&member);
    app_done(&app);
}

static void consumer__pauses_a_shard_and_not_the_others(void **state)
{
    (void)state;
    test_app app;
    test_member member = {0};
    app_new(&app);
    fill_commands(&app, 5000, 1000);
    member_join(&member, &app, 0);
    member_settle(&member);
    member_start_all(&member);
    while (member.next[1] == 0)
        member_poll(&member, 100);
    assert_int_equal(member.consumer->ops->pause(member.consumer, 1, NULL), ALV_OK);
    int64_t paused_at = member.next[1];
    int64_t paused_after = member.after[1];
    member_read(&member, 13, 5000);
    member_expect_silence(&member, 100);
    assert_int_equal(member.next[1], paused_at);
    member_start(&member, 1, paused_after);
    member_read(&member, 15, 5000);
    member_leave(&member);
    app_done(&app);
}

static void consumer__says_when_an_offset_is_gone_and_can_start_elsewhere(void **state)
{
    (void)state;
    test_app app;
    test_member member = {0};
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    app_new(&app);
    fill_commands(&app, 20, 10);
    member_join(&member, &app, 0);
    member_settle(&member);
    member_start(&member, 1, 1000);
    for (int64_t deadline = now_ms() + WAIT_MS; status == ALV_OK && now_ms() < deadline;)
        status = member.consumer->ops->poll(member.consumer, 100, &member.batch, &err);
    assert_int_equal(status, ALV_RETRY);
    assert_non_null(strstr(err.text, "shard 1"));
    member_start_all(&member);
    member_read(&member, 15, 20);
    member_leave(&member);
    app_done(&app);
}

typedef struct test_waker {
    test_member *member;
    atomic_bool poll_is_over;
} test_waker;

static bool waker_wakes(void *payload)
{
    test_waker *waker = payload;
    bool over = atomic_load(&waker->poll_is_over);
    if (!over) {
        waker->member->consumer->ops->wake(waker->member->consumer);
    }
    return over;
}

/* Nobody can see whether the other thread is in poll yet, so it is woken until poll is over. */
static void *waker_main(void *payload)
{
    (void)alv_wait_until(waker_wakes, payload, WAIT_MS);
    return NULL;
}

static void consumer__is_woken_from_another_thread(void **state)
{
    (void)state;
    test_app app;
    test_member member = {0};
    test_waker waker = {.member = &member};
    pthread_t thread;
    app_new(&app);
    member_join(&member, &app, 0);
    member_settle(&member);
    member_expect_silence(&member, 100);
    int64_t before = now_ms();
    pthread_create(&thread, NULL, waker_main, &waker);
    member_poll(&member, WAIT_MS);
    atomic_store(&waker.poll_is_over, true);
    assert_true(now_ms() - before < WAIT_MS / 2);
    pthread_join(thread, NULL);
    member_leave(&member);
    app_done(&app);
}

/* ---- commit with offsets --------------------------------------------------------------------- */

static int64_t committed_of(test_member *member, int32_t shard)
{
    alv_shard_offset items[] = {{3 - shard, 0}, {shard, 0}}; /* not in order */
    alv_error err = ALV_ERROR_NONE;
    if (member->consumer->ops->committed(member->consumer, items, 2, &err) != ALV_OK)
        fail_msg("committed: %s", err.text);
    return items[1].offset;
}

static void commit__moves_offsets_and_abort_does_not(void **state)
{
    (void)state;
    test_app app;
    test_member member = {0};
    alv_error err = ALV_ERROR_NONE;
    const alv_shard_offset first[] = {{0, 5}, {3, 7}};
    const alv_shard_offset second[] = {{0, 9}};
    app_new(&app);
    member_join(&member, &app, 0);
    member_settle(&member);
    assert_int_equal(committed_of(&member, 0), ALV_OFFSET_NONE);
    alv_producer *producer = producer_open(&app, 0);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "v");
    assert_int_equal(producer->ops->commit(producer, member.consumer, first, 2, "n1-0", &err),
                     ALV_COMMIT_DONE);
    assert_int_equal(committed_of(&member, 0), 5);
    assert_int_equal(committed_of(&member, 3), 7);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "v");
    abort_it(producer);
    assert_int_equal(committed_of(&member, 0), 5);
    begin(producer); /* offsets alone */
    assert_int_equal(producer->ops->commit(producer, member.consumer, second, 1, "n1-0", &err),
                     ALV_COMMIT_DONE);
    assert_int_equal(committed_of(&member, 0), 9);

    alv_reader *reader = reader_open(&app);
    alv_shard_offset items[] = {{0, 0}, {1, 0}, {3, 0}};
    assert_int_equal(reader->ops->committed(reader, items, 3, WAIT_MS, NULL), ALV_OK);
    assert_int_equal(items[0].offset, 9);
    assert_int_equal(items[1].offset, ALV_OFFSET_NONE);
    assert_int_equal(items[2].offset, 7);
    reader->ops->close(reader);
    producer->ops->close(producer);
    member_leave(&member);
    app_done(&app);
}

static void commit_inside(test_member *member)
{
    if (member->producer == NULL)
        return;
    const alv_shard_offset offsets[] = {{0, 100}, {1, 101}, {2, 102}, {3, 103}};
    alv_error err = ALV_ERROR_NONE;
    begin(member->producer);
    produce(member->producer, ALV_TOPIC_CHANGELOG, 0, "k", "inside revoked");
    member->outcome =
        member->producer->ops->commit(member->producer, member->consumer, offsets, 4, "n1-0", &err);
    member->producer->ops->close(member->producer);
    member->producer = NULL;
}

static void group__moves_shards_and_lets_the_listener_commit_first(void **state)
{
    (void)state;
    test_app one;
    test_app two;
    test_member members[2] = {{.start_in_listener = true}, {0}};
    app_new(&one);
    app_join(&two, one.id, "n2");
    fill_commands(&one, 100, 50);
    member_join(&members[0], &one, 0);
    member_settle(&members[0]);
    member_read(&members[0], 15, 100);
    members[0].on_revoke = commit_inside;
    members[0].producer = producer_open(&one, 0);
    members[0].outcome = ALV_COMMIT_UNKNOWN;
    member_join(&members[1], &two, 0);
    members_settle(members, 2, (const int[]){2, 2});
    assert_int_equal(members[0].revocations, 1);
    assert_false(members[0].was_lost);
    assert_int_equal(members[0].outcome, ALV_COMMIT_DONE);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_true(members[0].owned[shard] != members[1].owned[shard]);
        if (members[1].owned[shard]) {
            assert_int_equal(committed_of(&members[1], shard), 100 + shard);
            assert_int_equal(members[0].consumer->ops->start(members[0].consumer, shard, 0, NULL),
                             ALV_RETRY); /* not its shard any more */
            member_start(&members[1], shard, 0);
        }
    }
    /* What stayed goes on where it was, what moved is read by its new owner. */
    member_expect_silence(&members[0], 200);
    for (int32_t shard = 0; shard < SHARDS; shard++)
        if (members[1].owned[shard])
            member_read(&members[1], 1u << shard, 100);

    /* A static member that leaves gives its shards up at once. */
    int64_t before = now_ms();
    member_leave(&members[1]);
    members[0].on_revoke = NULL;
    members[0].start_in_listener = false;
    member_settle(&members[0]);
    assert_in_range(now_ms() - before, 0, 4000);
    member_leave(&members[0]);
    app_done(&two);
    app_done(&one);
}

static void group__keeps_the_seat_of_a_member_that_stays(void **state)
{
    (void)state;
    test_app app;
    test_member first = {0};
    test_member again = {0};
    app_new(&app);
    member_join(&first, &app, 0);
    member_settle(&first);
    first.consumer->ops->close(first.consumer, true);
    alv_batch_done(&first.batch);
    assert_int_equal(member_owned(&first), 0);
    int64_t before = now_ms();
    member_join(&again, &app, 0);
    member_settle(&again);
    assert_in_range(now_ms() - before, 0, 3000); /* far below the session time-out */
    member_leave(&again);
    app_done(&app);
}

static void consumer__is_fenced_by_another_in_its_seat(void **state)
{
    (void)state;
    test_app app;
    test_member first = {0};
    test_member second = {0};
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    app_new(&app);
    member_join(&first, &app, 0);
    member_settle(&first);
    member_join(&second, &app, 0);
    member_settle(&second);
    for (int64_t deadline = now_ms() + WAIT_MS; status != ALV_FENCED && now_ms() < deadline;)
        status = first.consumer->ops->poll(first.consumer, 50, &first.batch, &err);
    assert_int_equal(status, ALV_FENCED);
    assert_int_equal(member_owned(&first), 0);
    assert_true(first.was_lost);

    /* A transaction of the one without a seat cannot move offsets. */
    const alv_shard_offset offsets[] = {{0, 5}};
    alv_producer *producer = producer_open(&app, 1);
    begin(producer);
    produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "never");
    err = ALV_ERROR_NONE;
    assert_int_equal(producer->ops->commit(producer, first.consumer, offsets, 1, "n1-0", &err),
                     ALV_COMMIT_ABORTED);
    assert_int_equal(err.status, ALV_ABORT);
    abort_it(producer);
    assert_int_equal(committed_of(&second, 0), ALV_OFFSET_NONE);
    begin(producer); /* and the producer is still good */
    produce(producer, ALV_TOPIC_CHANGELOG, 0, "k", "v");
    commit(producer);
    producer->ops->close(producer);
    member_leave(&first);
    member_leave(&second);
    app_done(&app);
}

static void group__is_seen_by_others(void **state)
{
    (void)state;
    test_app app;
    test_member members[2] = {{0}, {0}};
    alv_group_view *view = NULL;
    alv_members seen;
    app_new(&app);
    assert_int_equal(alv_group_view_open(app.config, &view, NULL), ALV_OK);
    assert_int_equal(alv_group_view_members(view, 5000, &seen, NULL), ALV_OK);
    assert_int_equal(seen.count, 0); /* no such group yet */
    alv_members_done(&seen);
    member_join(&members[0], &app, 0);
    member_join(&members[1], &app, 1);
    members_settle(members, 2, (const int[]){2, 2});
    alv_error err = ALV_ERROR_NONE;
    if (alv_group_view_members(view, 5000, &seen, &err) != ALV_OK)
        fail_msg("members: %s", err.text);
    assert_int_equal(seen.count, 2);
    for (size_t i = 0; i < seen.count; i++) {
        const alv_member *found = &seen.items[i];
        assert_string_equal(found->node_id, "n1");
        assert_string_equal(found->address, alv_config_settings(app.config)->http_advertise);
        assert_in_range(found->lane, 0, 1);
        assert_int_equal(found->shard_count, 2);
        for (size_t j = 0; j < found->shard_count; j++)
            assert_true(members[found->lane].owned[found->shards[j]]);
        assert_memory_equal(found->member_id, "n1-", 3);
    }
    assert_int_not_equal(seen.items[0].lane, seen.items[1].lane);
    alv_members_done(&seen);
    alv_group_view_close(view);
    member_leave(&members[0]);
    member_leave(&members[1]);
    app_done(&app);
}

/* ---- sender ---------------------------------------------------------------------------------- */

typedef struct test_receipt {
    int calls;
    alv_status status;
    int32_t shard;
    int64_t offset;
} test_receipt;

static void note_receipt(void *payload, alv_status status, int32_t shard, int64_t offset,
                         const char *error_text)
{
    (void)error_text;
    test_receipt *receipt = payload;
    receipt->calls++;
    receipt->status = status;
    receipt->shard = shard;
    receipt->offset = offset;
}

static void sender__places_by_key_and_reports_each_record(void **state)
{
    (void)state;
    enum {
        KEYS = 50
    };
    test_app app;
    alv_sender *sender = NULL;
    test_receipt receipts[KEYS] = {{0}};
    alv_error err = ALV_ERROR_NONE;
    app_new(&app);
    assert_int_equal(app.log->ops->open_sender(app.log, "sender", &sender, NULL), ALV_OK);
    char keys[KEYS][32];
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "user/%d", i);
        const alv_produce record = {.topic = ALV_TOPIC_COMMANDS,
                                    .shard = -1,
                                    .key = alv_view_of(keys[i]),
                                    .value = ALV_VIEW("{}")};
        if (sender->ops->send(sender, &record, note_receipt, &receipts[i], &err) != ALV_OK)
            fail_msg("send: %s", err.text);
    }
    assert_int_equal(sender->ops->flush(sender, WAIT_MS, &err), ALV_OK);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(receipts[i].calls, 1);
        assert_int_equal(receipts[i].status, ALV_OK);
        assert_int_equal(receipts[i].shard, alv_partitioner_shard(alv_view_of(keys[i]), SHARDS));
        assert_true(receipts[i].offset >= 0);
    }
    char *huge = alv_alloc(2000000);
    const alv_produce record = {.topic = ALV_TOPIC_COMMANDS, .shard = 0, .value = {huge, 2000000}};
    assert_int_equal(sender->ops->send(sender, &record, note_receipt, &receipts[0], NULL),
                     ALV_REJECT);
    assert_int_equal(receipts[0].calls, 1);
    alv_free(huge);
    sender->ops->close(sender);
    app_done(&app);
}

int main(void)
{
    broker = getenv("ALLUVIUM_TEST_KAFKA");
    if (broker == NULL || *broker == '\0') {
        puts("skipped: set ALLUVIUM_TEST_KAFKA=host:port (dev/stack start; dev/stack env)");
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics__are_refused_when_missing_and_may_not_be_created),
        cmocka_unit_test(topics__are_created_once_with_their_policies),
        cmocka_unit_test(topics__take_the_shard_count_that_is_there),
        cmocka_unit_test(topics__with_a_wrong_policy_are_refused),
        cmocka_unit_test(topics__can_be_created_by_two_nodes_at_once),
        cmocka_unit_test(settings__that_correctness_needs_cannot_be_passed_through),
        cmocka_unit_test(transaction__is_seen_after_commit_and_never_after_abort),
        cmocka_unit_test(reader__waits_behind_an_open_transaction),
        cmocka_unit_test(reader__can_be_sent_back_and_paused),
        cmocka_unit_test(reader__reports_an_offset_that_is_not_in_the_log),
        cmocka_unit_test(records__keep_headers_keys_times_and_absence),
        cmocka_unit_test(producer__refuses_only_what_can_never_be_written),
        cmocka_unit_test(producer__knows_where_it_wrote),
        cmocka_unit_test(producer__is_fenced_by_another_of_the_same_name),
        cmocka_unit_test(consumer__is_silent_until_started),
        cmocka_unit_test(consumer__can_be_started_inside_the_listener),
        cmocka_unit_test(consumer__starts_again_from_earlier_exactly),
        cmocka_unit_test(consumer__pauses_a_shard_and_not_the_others),
        cmocka_unit_test(consumer__says_when_an_offset_is_gone_and_can_start_elsewhere),
        cmocka_unit_test(consumer__is_woken_from_another_thread),
        cmocka_unit_test(commit__moves_offsets_and_abort_does_not),
        cmocka_unit_test(group__moves_shards_and_lets_the_listener_commit_first),
        cmocka_unit_test(group__keeps_the_seat_of_a_member_that_stays),
        cmocka_unit_test(consumer__is_fenced_by_another_in_its_seat),
        cmocka_unit_test(group__is_seen_by_others),
        cmocka_unit_test(sender__places_by_key_and_reports_each_record),
    };
    return cmocka_run_group_tests_name("kafka_log", tests, NULL, NULL);
}
