/* sim_log_reader.c — reads what is committed, from where it is told. */
#include "base/alloc.h"
#include "tests/support/sim_log_internal.h"

typedef struct sim_reader {
    alv_reader base;
    alv_sim_log *log;
    int64_t *next; /* topic * shard_count + shard; ALV_OFFSET_NONE = not assigned */
} sim_reader;

static alv_status sim_reader_assign(alv_reader *base, alv_topic topic, int32_t shard,
                                    int64_t offset, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)err;
    reader->next[alv_sim_slot(reader->log, topic, shard)] = offset;
    return ALV_OK;
}

static void sim_reader_unassign(alv_reader *base, alv_topic topic, int32_t shard)
{
    sim_reader *reader = (sim_reader *)base;
    reader->next[alv_sim_slot(reader->log, topic, shard)] = ALV_OFFSET_NONE;
}

static void sim_reader_pause_all(alv_reader *base, bool paused)
{
    (void)base;
    (void)paused;
}

static alv_status sim_reader_poll(alv_reader *base, int timeout_ms, alv_batch *out, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)timeout_ms;
    out->count = 0;
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        for (int32_t shard = 0; shard < reader->log->shard_count; shard++) {
            int64_t *next = &reader->next[alv_sim_slot(reader->log, (alv_topic)topic, shard)];
            if (*next == ALV_OFFSET_NONE) {
                continue;
            }
            if (*next < alv_sim_partition_of(reader->log, (alv_topic)topic, shard)->start) {
                return alv_fail(err, ALV_REJECT,
                                "offset %lld of topic %d shard %d is not in the log",
                                (long long)*next, topic, (int)shard);
            }
            alv_sim_deliver(reader->log, (alv_topic)topic, shard, next, out);
        }
    }
    return ALV_OK;
}

static void sim_reader_wake(alv_reader *base)
{
    (void)base;
}

static int64_t sim_reader_position(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const sim_reader *reader = (const sim_reader *)base;
    return reader->next[alv_sim_slot(reader->log, topic, shard)];
}

static int64_t sim_reader_last_end(const alv_reader *base, alv_topic topic, int32_t shard)
{
    const sim_reader *reader = (const sim_reader *)base;
    if (reader->next[alv_sim_slot(reader->log, topic, shard)] == ALV_OFFSET_NONE) {
        return ALV_OFFSET_NONE;
    }
    return alv_sim_log_end(reader->log, topic, shard);
}

static alv_status sim_reader_range(alv_reader *base, alv_topic topic, int32_t shard,
                                   int64_t *out_start, int64_t *out_end, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)err;
    *out_start = alv_sim_partition_of(reader->log, topic, shard)->start;
    *out_end = alv_sim_log_end(reader->log, topic, shard);
    return ALV_OK;
}

static alv_status sim_reader_ends(alv_reader *base, alv_topic topic, alv_shard_offset *items,
                                  size_t count, int timeout_ms, alv_error *err)
{
    const sim_reader *reader = (const sim_reader *)base;
    (void)timeout_ms;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        items[i].offset = alv_sim_stable_end(reader->log, topic, items[i].shard);
    }
    return ALV_OK;
}

static alv_status sim_reader_committed(alv_reader *base, alv_shard_offset *items, size_t count,
                                       int timeout_ms, alv_error *err)
{
    sim_reader *reader = (sim_reader *)base;
    (void)timeout_ms;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        items[i].offset = reader->log->committed[items[i].shard];
    }
    return ALV_OK;
}

static void sim_reader_close(alv_reader *base)
{
    sim_reader *reader = (sim_reader *)base;
    alv_free(reader->next);
    alv_free(reader);
}

static const alv_reader_ops sim_reader_ops = {
    .assign = sim_reader_assign,
    .unassign = sim_reader_unassign,
    .pause_all = sim_reader_pause_all,
    .poll = sim_reader_poll,
    .wake = sim_reader_wake,
    .position = sim_reader_position,
    .last_end = sim_reader_last_end,
    .range = sim_reader_range,
    .ends = sim_reader_ends,
    .committed = sim_reader_committed,
    .close = sim_reader_close,
};

alv_status alv_sim_open_reader(alv_log_port *port, const char *name, alv_reader **out,
                               alv_error *err)
{
    alv_sim_log *log = (alv_sim_log *)port;
    (void)name;
    (void)err;
    sim_reader *reader = alv_alloc(sizeof *reader);
    size_t slots = (size_t)ALV_TOPICS_MAX * (size_t)log->shard_count;
    reader->base.ops = &sim_reader_ops;
    reader->log = log;
    reader->next = alv_alloc_array(slots, sizeof *reader->next);
    for (size_t i = 0; i < slots; i++) {
        reader->next[i] = ALV_OFFSET_NONE;
    }
    *out = &reader->base;
    return ALV_OK;
}
