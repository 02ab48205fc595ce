/* kafka_conf.c — every librdkafka setting that correctness or speed depends on, with its reason. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "topics/kafka_internal.h"

#define CONSUMER ALV_KAFKA_CONSUMER
#define PRODUCER ALV_KAFKA_PRODUCER
#define READER ALV_KAFKA_READER
#define SENDER ALV_KAFKA_SENDER
#define PROBE ALV_KAFKA_PROBE
#define CONSUMING (CONSUMER | READER | PROBE)
#define PRODUCING (PRODUCER | SENDER)
#define ALL (CONSUMING | PRODUCING | ALV_KAFKA_ADMIN)

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

typedef struct conf_setting {
    unsigned kinds;
    const char *key;
    const char *value;
} conf_setting;

/* Choices for speed and quick recovery. kafka.* may change them. */
static const conf_setting conf_choices[] = {
    /* Without it, small requests wait for the peer's delayed ACK: 6 ms instead of 1.3 per
     * commit. */
    {ALL, "socket.nagle.disable", "true"},
    /* A dead peer that sends no reset is noticed by the kernel as well. */
    {ALL, "socket.keepalive.enable", "true"},
    {ALL, "socket.connection.setup.timeout.ms", "5000"},
    /* A broker that comes back is used again within a second (default: up to 10 s). */
    {ALL, "reconnect.backoff.ms", "50"},
    {ALL, "reconnect.backoff.max.ms", "1000"},
    /* A host that vanishes without closing its connections is given up after this (default: 60
     * s). */
    {CONSUMING, "socket.timeout.ms", "10000"},

    /* The broker's default floor is 6 s; a longer pause of a healthy process must not cost it its
     * seat. Dead nodes are evicted by their peers long before (design, section 6). */
    {CONSUMER, "session.timeout.ms", "10000"},
    /* Members learn of a rebalance through the answer to a heartbeat. */
    {CONSUMER, "heartbeat.interval.ms", "200"},
    /* A lane polls many times a second; this is for one that is stuck in a handler. */
    {CONSUMER, "max.poll.interval.ms", "300000"},

    /* The broker answers as soon as there is a byte, or after this: idle load against the time until a
     * shard that was paused is fetched again. */
    {CONSUMER | READER, "fetch.min.bytes", "1"},
    {CONSUMER, "fetch.wait.max.ms", "50"},
    /* When the local queue is full, look again soon: with the default of 1 s a lane is stuck at
     * 100,000 records/s. */
    {CONSUMER | READER, "fetch.queue.backoff.ms", "5"},
    {CONSUMER | READER, "fetch.error.backoff.ms", "100"},
    /* Committed offsets that are not stable yet are asked for again after this. */
    {CONSUMING, "retry.backoff.ms", "20"},
    {CONSUMING, "retry.backoff.max.ms", "200"},
    /* Memory: a lane never holds much more than this of undelivered records. One small record costs
     * several times its size in librdkafka, so the count matters as much as the bytes. */
    {CONSUMER, "queued.min.messages", "50000"},
    {CONSUMER, "queued.max.messages.kbytes", "16384"},
    {CONSUMER, "fetch.max.bytes", "4194304"},
    {CONSUMER, "fetch.message.max.bytes", "1048576"},
    /* The end of a log that ends with a control record is seen by an answer without records, so a restore
     * waits this long at its end. */
    {READER, "fetch.wait.max.ms", "20"},
    /* Restores: large answers, and enough of them ahead to keep the reader busy. */
    {READER, "queued.min.messages", "200000"},
    {READER, "queued.max.messages.kbytes", "32768"},
    {READER, "fetch.max.bytes", "16777216"},
    {READER, "fetch.message.max.bytes", "4194304"},

    /* Retries of CONCURRENT_TRANSACTIONS at the begin of each transaction wait this long. */
    {PRODUCING, "retry.backoff.ms", "1"},
    {PRODUCING, "retry.backoff.max.ms", "10"},
    /* Shapes batches while a transaction grows; flush and commit do not wait for it. */
    {PRODUCER, "linger.ms", "5"},
    {SENDER, "linger.ms", "1"},
    /* produce waits when this much is under way. The count is raised for large transactions
     * below. */
    {PRODUCING, "queue.buffering.max.messages", "200000"},
    {PRODUCING, "queue.buffering.max.kbytes", "131072"},
    /* Compression costs the lane CPU; the network is rarely the limit. */
    {PRODUCING, "compression.type", "none"},
};

/* What correctness needs. kafka.* may not set these. */
static const conf_setting conf_fixed[] = {
    /* A typing error in a topic's name must not create one with default settings. */
    {ALL, "allow.auto.create.topics", "false"},
    /* Lost connections are seen through the log callback (I10), on librdkafka's own threads. */
    {ALL, "log.connection.close", "true"},
    {ALL, "log.queue", "false"},
    {ALL, "log_level", "6"},

    /* Offsets are committed by the producer, inside the transaction, and never otherwise (I1). */
    {CONSUMING, "enable.auto.commit", "false"},
    {CONSUMING, "enable.auto.offset.store", "false"},
    /* Where to start is always said explicitly; an offset that is gone must be an error, because
     * anything else skips or repeats commands silently. */
    {CONSUMING, "auto.offset.reset", "error"},
    /* Commands of aborted transactions must not be seen; committed offsets must be stable. */
    {CONSUMER | READER, "isolation.level", "read_committed"},
    /* The high watermark: what restores must reach (KAFKA-10167). */
    {PROBE, "isolation.level", "read_uncommitted"},
    {CONSUMER, "enable.partition.eof", "false"},
    /* The end-of-partition event carries the position behind control records. */
    {READER, "enable.partition.eof", "true"},
    /* Predictable placement, and shards that stay keep running during a rebalance. */
    {CONSUMER, "partition.assignment.strategy", "cooperative-sticky"},
    {CONSUMER, "group.protocol", "classic"},

    {PRODUCING, "enable.idempotence", "true"},
    {PRODUCING, "acks", "all"},
    /* Offsets written are learned from delivery reports. */
    {PRODUCING, "delivery.report.only.error", "false"},
    {PRODUCER, "transaction.timeout.ms", TEXT(ALV_TRANSACTION_TIMEOUT_MS)},
    {PRODUCING, "message.timeout.ms", TEXT(ALV_MESSAGE_TIMEOUT_MS)},
    /* Just below what a stock broker takes in one batch (1,048,588 with the batch's header): what
     * is too large is refused here, at produce, and never poisons a transaction. */
    {PRODUCING, "message.max.bytes", "1048000"},
    /* For records without a key; others are placed by alv_partitioner_shard. */
    {PRODUCING, "partitioner", "murmur2_random"},
};
static_assert(ALV_STATE_BYTES_MAX + ALV_KEY_BYTES_MAX + 1024 < 1048000, "a state fits a message");
static_assert(ALV_COMMAND_BYTES_MAX + ALV_DEAD_LETTER_HEADER_BYTES_MAX + 1024 < 1048000,
              "a dead letter fits a message");

/* Set by the code itself, and other names of what is fixed above. */
static const struct {
    const char *key;
    const char *instead;
} conf_reserved[] = {
    {"bootstrap.servers", "set bootstrap.servers"},
    {"metadata.broker.list", "set bootstrap.servers"},
    {"client.id", "it follows from node.id and http.advertise"},
    {"group.id", "it follows from application.id"},
    {"group.instance.id", "it follows from node.id"},
    {"transactional.id", "it follows from application.id and node.id"},
    {"request.required.acks", "exactly-once needs all"},
    {"delivery.timeout.ms", "it must stay below the transaction time-out"},
    {"retries", "exactly-once needs unlimited retries"},
    {"message.send.max.retries", "exactly-once needs unlimited retries"},
    {"max.in.flight", "exactly-once keeps its own limit"},
    {"max.in.flight.requests.per.connection", "exactly-once keeps its own limit"},
    {"queuing.strategy", "it would break the order of records"},
    {"enable.gapless.guarantee", "transactions give that guarantee"},
    {"group.remote.assignor", "placement relies on cooperative-sticky"},
    {"group.protocol.type", "it is fixed"},
    {"auto.commit.enable", "offsets are committed with the transaction"},
    {"offset.store.method", "offsets are committed with the transaction"},
    {"enabled_events", "callbacks are used"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Why kafka.`key` may not be set, NULL when it may. */
static const char *conf_refusal(const char *key)
{
    for (size_t i = 0; i < COUNT(conf_reserved); i++) {
        if (strcmp(conf_reserved[i].key, key) == 0) {
            return conf_reserved[i].instead;
        }
    }
    for (size_t i = 0; i < COUNT(conf_fixed); i++) {
        if (strcmp(conf_fixed[i].key, key) == 0) {
            return "correctness depends on its value";
        }
    }
    return NULL;
}

void alv_kafka_conf_set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char text[256];
    bool set = rd_kafka_conf_set(conf, key, value, text, sizeof(text)) == RD_KAFKA_CONF_OK;
    ALV_ASSERT(set && "our own settings are valid");
}

void alv_kafka_conf_set_number(rd_kafka_conf_t *conf, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    alv_kafka_conf_set(conf, key, text);
}

static void conf_apply(rd_kafka_conf_t *conf, alv_kafka_kind kind, const conf_setting *settings,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((settings[i].kinds & (unsigned)kind) != 0) {
            alv_kafka_conf_set(conf, settings[i].key, settings[i].value);
        }
    }
}

/* librdkafka has one name space for consumers and producers and ignores what does not concern a
 * handle, so each handle is given all of kafka.*. */
static alv_status conf_apply_passed_through(rd_kafka_conf_t *conf, const alv_config *config,
                                            alv_error *err)
{
    size_t count = 0;
    const alv_property *items = alv_config_kafka(config, &count);
    char text[256];
    for (size_t i = 0; i < count; i++) {
        const char *why = conf_refusal(items[i].key);
        if (why != NULL) {
            return alv_fail(err, ALV_REJECT, "kafka.%s cannot be set: %s", items[i].key, why);
        }
        if (rd_kafka_conf_set(conf, items[i].key, items[i].value, text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
            bool quotes_it = *items[i].value != '\0' && strstr(text, items[i].value) != NULL;
            return alv_fail_from(err, ALV_REJECT, "rdkafka", 0, "kafka.%s: %s", items[i].key,
                                 quotes_it && alv_config_kafka_is_secret(config, i)
                                     ? "librdkafka does not take this value"
                                     : text);
        }
    }
    return ALV_OK;
}

/* A transaction writes up to three records per command (changelog, ledger, reply) and must fit the
 * producer's queue, unless somebody set that queue by hand. */
static void conf_size_queue(rd_kafka_conf_t *conf, const alv_config *config)
{
    int64_t wanted = alv_config_settings(config)->commit_commands_max * 4;
    char text[32];
    size_t size = sizeof(text);
    if (wanted > 200000 && wanted <= 10000000 &&
        rd_kafka_conf_get(conf, "queue.buffering.max.messages", text, &size) == RD_KAFKA_CONF_OK &&
        strcmp(text, "200000") == 0) {
        alv_kafka_conf_set_number(conf, "queue.buffering.max.messages", wanted);
    }
}

alv_status alv_kafka_conf_new(const alv_config *config, alv_kafka_kind kind,
                              const alv_kafka_client *client, rd_kafka_conf_t **out, alv_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_apply(conf, kind, conf_choices, COUNT(conf_choices));
    alv_status status = conf_apply_passed_through(conf, config, err);
    if (status != ALV_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    conf_apply(conf, kind, conf_fixed, COUNT(conf_fixed));
    /* Handles that are polled all the time ask for statistics themselves (kafka_stats.c). */
    alv_kafka_conf_set(conf, "statistics.interval.ms", "0");
    if ((kind & PRODUCING) != 0) {
        conf_size_queue(conf, config);
    }
    alv_kafka_conf_set(conf, "bootstrap.servers", alv_config_settings(config)->bootstrap_servers);
    alv_kafka_conf_set(conf, "client.id", client->name);
    rd_kafka_conf_set_log_cb(conf, alv_kafka_events_log);
    rd_kafka_conf_set_error_cb(conf, alv_kafka_events_error);
    *out = conf;
    return ALV_OK;
}
