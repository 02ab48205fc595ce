#include "tests/support/null_log.h"

#include "base/limits.h"

static struct {
    alv_producer base;
    int64_t records;
    int64_t ends[ALV_TOPIC_COUNT][ALV_SHARDS_MAX];
} null_producer;

static alv_status null_begin(alv_producer *producer, alv_error *err)
{
    (void)producer;
    (void)err;
    return ALV_OK;
}

static alv_status null_produce(alv_producer *producer, const alv_produce *record, alv_error *err)
{
    (void)producer;
    (void)err;
    null_producer.records++;
    if (record->shard >= 0) {
        null_producer.ends[record->topic][record->shard]++;
    }
    return ALV_OK;
}

static int64_t null_written_end(const alv_producer *producer, alv_topic topic, int32_t shard)
{
    (void)producer;
    return null_producer.ends[topic][shard];
}

static alv_commit_outcome null_commit(alv_producer *producer, alv_consumer *consumer,
                                      const alv_shard_offset *offsets, size_t count,
                                      const char *owner, alv_error *err)
{
    (void)producer;
    (void)consumer;
    (void)offsets;
    (void)count;
    (void)owner;
    (void)err;
    return ALV_COMMIT_DONE;
}

static bool null_tainted(const alv_producer *producer)
{
    (void)producer;
    return false;
}

static void null_nothing(alv_producer *producer)
{
    (void)producer;
}

static const alv_producer_ops null_producer_ops = {
    .begin = null_begin,
    .produce = null_produce,
    .flush = null_begin, /* both have nothing to do */
    .written_end = null_written_end,
    .commit = null_commit,
    .abort = null_begin,
    .tainted = null_tainted,
    .renew = null_begin,
    .serve = null_nothing,
    .close = null_nothing,
};

alv_producer *alv_null_log_producer(void)
{
    null_producer.base.ops = &null_producer_ops;
    return &null_producer.base;
}

int64_t alv_null_log_records(void)
{
    return null_producer.records;
}

static size_t null_headers(const alv_record *record, alv_header *out, size_t capacity)
{
    (void)record;
    (void)out;
    (void)capacity;
    return 0;
}

alv_log_port *alv_null_log_port(void)
{
    static const alv_log_ops ops = {.headers = null_headers};
    static alv_log_port port = {.ops = &ops};
    return &port;
}
